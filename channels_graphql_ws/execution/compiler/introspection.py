"""Answers about the schema, which are the same for every client: kept for all."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from typing import Any, Final

from graphql import (
    ExecutionResult,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    SchemaMetaFieldDef,
    TypeMetaFieldDef,
    is_enum_type,
    is_input_object_type,
    is_interface_type,
    is_object_type,
)

from channels_graphql_ws.execution.budget import ExecutionLimits
from channels_graphql_ws.execution.heavy import HeavyResult

META_FIELDS: Final[Mapping[str, GraphQLField]] = {
    "__schema": SchemaMetaFieldDef,
    "__type": TypeMetaFieldDef,
}

MOST_CHARACTERS: Final = 8_388_608
"""Characters of all answers that are kept for a schema."""

MOST_ANSWERS: Final = 16
"""Answers that are."""

LONGEST_VALUE: Final = 100
"""Characters of a variable's value with which an answer is kept: names of types are shorter."""

FIELDS_FOR_A_MEMBER: Final = 50
"""Fields that an introspection may execute for each member of the schema: a type, one of its
fields, an argument, or an enum value. GraphiQL's takes 8 to 15."""

_ANSWERS: Final = "channels_graphql_ws_introspection"
"""Attribute of a schema."""


class KnownResult(ExecutionResult):
    """A result that is kept as text: there are no data.

    Attributes:
        text: in JSON.
    """

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        super().__init__(None, None)
        self.text = text


class LastingResult(HeavyResult):
    """A result that is worth keeping, once it is text."""

    __slots__ = ("_answers", "_key")

    def __init__(self, data: dict[str, Any] | None, answers: Answers, key: Hashable) -> None:
        super().__init__(data, None)
        self._answers = answers
        self._key = key

    def keep(self, text: str) -> None:
        """Keep the text for everybody who sends the same document."""
        self._answers.keep(self._key, text)


class Answers:
    """The answers about one schema; least recently used ones leave first."""

    def __init__(self) -> None:
        self._texts: OrderedDict[Hashable, str] = OrderedDict()
        self._characters = 0
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._texts)

    def get(self, key: Hashable) -> KnownResult | None:
        """Return an answer that is kept."""
        with self._lock:
            text = self._texts.get(key)
            if text is None:
                return None
            self._texts.move_to_end(key)
        return KnownResult(text)

    def keep(self, key: Hashable, text: str) -> None:
        """Keep an answer, unless it takes too much."""
        if len(text) > MOST_CHARACTERS:
            return
        with self._lock:
            self._characters += len(text) - len(self._texts.pop(key, ""))
            self._texts[key] = text
            while self._characters > MOST_CHARACTERS or len(self._texts) > MOST_ANSWERS:
                _, oldest = self._texts.popitem(last=False)
                self._characters -= len(oldest)


def is_small(value: object) -> bool:
    """Return whether an answer may be kept by the value of a variable, which clients choose."""
    if isinstance(value, str):
        return len(value) <= LONGEST_VALUE
    return value is None or isinstance(value, bool)


def answers_of(schema: GraphQLSchema) -> Answers:
    """Return the answers about a schema."""
    answers: Answers = vars(schema).setdefault(_ANSWERS, Answers())
    return answers


def asks_for_nothing_else(names: set[str]) -> bool:
    """Return whether fields of the root type with these names ask for the schema alone."""
    return not META_FIELDS.keys().isdisjoint(names) and names <= META_FIELDS.keys() | {
        "__typename"
    }


def meta_field(schema: GraphQLSchema, type_: GraphQLObjectType, name: str) -> GraphQLField | None:
    """Return the definition of `__schema` or `__type`, where it may be selected."""
    return META_FIELDS.get(name) if type_ is schema.query_type else None


def introspection_limits(schema: GraphQLSchema, limits: ExecutionLimits) -> ExecutionLimits:
    """Return the limits for an operation that asks for nothing but the schema.

    However large that is, what is known of it must be told to those who may ask.
    """
    if limits.max_fields_executed is None:
        return limits
    fields = max(limits.max_fields_executed, FIELDS_FOR_A_MEMBER * _members(schema))
    return ExecutionLimits(fields, limits.max_result_size)


def _members(schema: GraphQLSchema) -> int:
    count = len(schema.directives)
    for type_ in schema.type_map.values():
        count += 1
        named: Any = type_
        if is_enum_type(named):
            count += len(named.values)
        elif is_object_type(named) or is_interface_type(named):
            count += sum(1 + len(each.args) for each in named.fields.values())
        elif is_input_object_type(named):
            count += len(named.fields)
    return count

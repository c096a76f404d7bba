"""Make data up: recipes, after which equal values can be built as often as they are needed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from graphql import (
    GraphQLError,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    Undefined,
    is_abstract_type,
    is_leaf_type,
)

from differential.choosing import Chooser


class Shade(Enum):
    """What an enum of a schema stands for."""

    DARK = 1
    LIGHT = 2


class Spoken(Exception):  # noqa: N818 (an error of a user's)
    """Has the attributes that graphql-core looks for in any exception."""

    message = "spoken"
    extensions: Final = {"code": 7}
    nodes = None
    source = None
    positions = None


class Mute(Exception):  # noqa: N818 (see above)
    """Cannot be shown."""

    def __str__(self) -> str:
        raise ValueError("no words")


class Lazy:
    """Is text only when it is asked, like Django's translations."""

    def __str__(self) -> str:
        return "lazy"


FAULTS: Final[dict[str, Callable[[], Exception]]] = {
    "value": lambda: ValueError("boom"),
    "key": lambda: KeyError("k"),
    "empty": LookupError,
    "graphql": lambda: GraphQLError("told"),
    "extended": lambda: GraphQLError("told", extensions={"code": "X", "more": [1]}),
    "pathed": lambda: GraphQLError("elsewhere", path=["a", 0]),
    "original": lambda: GraphQLError("outer", original_error=ValueError("inner")),
    "spoken": lambda: Spoken("unheard"),
    "stop": lambda: StopIteration("s"),
    "stop_async": lambda: StopAsyncIteration("s"),
    "attribute": lambda: AttributeError("a"),
    "type": lambda: TypeError("t"),
    "group": lambda: ExceptionGroup("several", [ValueError("one"), KeyError("two")]),
    "recursion": lambda: RecursionError("deep"),
    "timeout": lambda: TimeoutError("late"),
    "assertion": AssertionError,
    "invalid": lambda: asyncio.InvalidStateError("i"),
}

GOOD: Final[dict[str, tuple[Any, ...]]] = {
    "String": ("s", "", "ü", 1, True, 1.5, Lazy()),
    "Int": (1, 0, -5, True, 2.0, "12", Decimal(3)),
    "Float": (1.5, 2, -0.0, "3.5", True, 1e300),
    "Boolean": (True, False, 1, 0.0),
    "ID": ("id", 7, "", 2.0),
    "Color": ("red", Shade.DARK, 3),
    "Odd": ("o", 5, ("t", 1), "list", "same"),
    "Json": ("j", {"b": 1, "a": [None, {"c": 2}]}, [1, "x"], 0),
}
BAD: Final[dict[str, tuple[Any, ...]]] = {
    "String": ([1], {}, object, b"bytes", ValueError),
    "Int": ("x", 1.5, 2**31, "", [1], float("nan"), "1e3"),
    "Float": ("x", float("inf"), float("nan"), "", {}),
    "Boolean": ("x", "", [], float("nan")),
    "ID": (1.5, [1], {}, True),
    "Color": ("PINK", [], "RED", Shade.LIGHT, {}),
    "Odd": ("refuse", "nothing", "undefined", "graphql", "stop"),
    "Json": ("refuse", "nothing"),
}
NOT_ITERABLE: Final[tuple[Any, ...]] = (1, "text", b"bytes", {"a": 1}, True, object)
NO_THING: Final[tuple[Any, ...]] = (1, "text", [], {}, True, 1.5, object)


@dataclass(frozen=True)
class Null:
    """`None`."""


@dataclass(frozen=True)
class Plain:
    """This value itself."""

    value: Any


@dataclass(frozen=True)
class Fault:
    """An exception, returned or raised."""

    name: str
    is_raised: bool


@dataclass(frozen=True)
class Items:
    """Something to iterate."""

    container: str
    items: tuple[Recipe, ...]


@dataclass(frozen=True)
class Thing:
    """An object with fields; `tag` is the name of its type, or what it says instead."""

    type: str
    kind: str
    tag: Any


@dataclass(frozen=True)
class Later:
    """Something to wait for, that comes after so many turns of the loop."""

    how: str
    turns: int
    value: Recipe


Recipe = Null | Plain | Fault | Items | Thing | Later

CONTAINERS: Final = (
    "list",
    "list",
    "tuple",
    "generator",
    "iterable",
    "values",
    "deque",
    "async_generator",
    "async_iterable",
    "failing",
)
KINDS: Final = ("dict", "object", "mapping", "slots", "properties", "getattr", "callables")
WAITS: Final = ("coroutine", "coroutine", "future", "task", "awaitable", "old")


@dataclass(frozen=True)
class Temper:
    """How much of a hundred goes wrong, and how much has to be waited for."""

    wrong: int = 0
    null: int = 5
    later: int = 0


class Cook:
    """Makes recipes up."""

    def __init__(self, choose: Chooser, schema: GraphQLSchema, temper: Temper) -> None:
        self._choose = choose
        self._schema = schema
        self._temper = temper

    def recipe(self, type: Any) -> Recipe:
        """Give a recipe for a value of an output type."""
        recipe = self._value(type)
        if self._choose.rarely(self._temper.later):
            return Later(self._choose.one(WAITS), self._choose.number(2), recipe)
        return recipe

    def _value(self, type: Any) -> Recipe:
        choose = self._choose
        if choose.rarely(self._temper.wrong):
            return self._wrong(type)
        if isinstance(type, GraphQLNonNull):
            return self._right(type.of_type)
        return Null() if choose.rarely(self._temper.null) else self._right(type)

    def _wrong(self, type: Any) -> Recipe:
        choose = self._choose
        kind = choose.number(3)
        if kind == 0:
            return Fault(choose.one(list(FAULTS)), is_raised=bool(choose.number(1)))
        if kind == 1:
            return choose.one((Null(), Plain(Undefined)))
        if isinstance(type, GraphQLNonNull):
            type = type.of_type
        if isinstance(type, GraphQLList):
            return Plain(choose.one(NOT_ITERABLE))
        if is_leaf_type(type):
            return Plain(choose.one(BAD[type.name]))
        if kind == 2:
            return Plain(choose.one(NO_THING))
        return self._thing(type, wrong=True)

    def _right(self, type: Any) -> Recipe:
        choose = self._choose
        if isinstance(type, GraphQLList):
            items = [self.recipe(type.of_type) for _ in range(choose.number(3))]
            return Items(choose.one(CONTAINERS[: 10 if self._temper.wrong else 7]), tuple(items))
        if is_leaf_type(type):
            return Plain(choose.one(GOOD[type.name]))
        return self._thing(type)

    def _thing(self, type: Any, *, wrong: bool = False) -> Recipe:
        choose = self._choose
        names = [each.name for each in possible_types(self._schema, type)]
        if not names:
            return Plain("of no type")
        name = choose.one(names)
        tag: Any = name
        if wrong:
            tag = choose.one(("Nope", "Int", "Query", "Cat", "Owl", None, 42, "Named", "type"))
        return Thing(name, choose.one(KINDS), tag)


def possible_types(schema: GraphQLSchema, type: Any) -> Sequence[Any]:
    """Give the object types that a value of this composite type can have."""
    if is_abstract_type(type):
        return schema.get_possible_types(type)
    return [type]

"""Coerce variables of many parts in threads: each part takes microseconds, and all at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import copy_context
from copy import copy
from functools import partial
from typing import Any, Final, cast

from graphql import (
    DocumentNode,
    ExecutionContext,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
)
from graphql.execution import get_variable_values

from channels_graphql_ws.concurrency.threads import Workers
from channels_graphql_ws.execution.parser_queue import ParserQueue, Sender

MOST_PARTS: Final = 256
"""Items of lists and fields of objects that are coerced on the event loop itself: in about two
milliseconds, if their types have a dozen fields."""

LONG_TEXT: Final = 65_536
"""Characters of a text that a scalar may take as long to parse."""

# To make a union takes longer than to look.
_WITH_PARTS: Final = (dict, list)

THREADS: Final = 2
"""Threads that coerce the others, for the whole process: one at a time of each owner."""

_queue: ParserQueue[dict[str, Any] | list[GraphQLError]] = ParserQueue(
    Workers("variables", THREADS), THREADS, 1_000
)


class CoercedVariables(dict[str, Any]):
    """Variables as the client sent them, which are coerced already.

    Attributes:
        coerced: what they are to the operation, or what is wrong with them.
    """

    __slots__ = ("coerced",)

    def __init__(
        self, variables: Mapping[str, Any], coerced: dict[str, Any] | list[GraphQLError]
    ) -> None:
        super().__init__(variables)
        self.coerced = coerced


def have_many_parts(variables: Mapping[str, Any]) -> bool:
    """Return whether it takes long to coerce variables."""
    left, waiting = MOST_PARTS, _with_parts(variables.values())
    while waiting:
        each = waiting.pop()
        left -= LONG_TEXT if isinstance(each, str) else len(each)
        if left < 0:
            return True
        waiting += _with_parts(each.values() if isinstance(each, dict) else each)
    return False


def _with_parts(values: Iterable[Any]) -> list[Any]:
    return [
        each
        for each in values
        if (len(each) > LONG_TEXT if isinstance(each, str) else isinstance(each, _WITH_PARTS))
    ]


async def coerced_in_thread(
    schema: GraphQLSchema,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any],
    sender: Sender,
    *,
    hide_suggestions: bool,
) -> CoercedVariables:
    """Coerce the variables of an operation.

    Args:
        schema: of the operation.
        operation: defines them.
        variables: as the client sent them.
        sender: who has sent them; others do not wait for all of one.
        hide_suggestions: what is wrong is told without "Did you mean …".
    """

    def coerce() -> dict[str, Any] | list[GraphQLError]:
        return get_variable_values(
            schema,
            operation.variable_definitions or (),
            dict(variables),
            max_errors=50,
            hide_suggestions=hide_suggestions,
        )

    # Scalars of the user may look into variables of the context.
    work = partial(copy_context().run, coerce)
    coerced = await _queue.run(sender, object(), work, is_large=False)
    return CoercedVariables(variables, coerced)


def copied(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Return variables that may be changed, coerced if these are."""
    return copy(variables) if isinstance(variables, CoercedVariables) else dict(variables)


class TakesCoerced(ExecutionContext):
    """An execution by graphql-core that coerces nothing anew."""

    @classmethod
    def build(
        cls,
        schema: GraphQLSchema,
        document: DocumentNode,
        root_value: Any = None,
        context_value: Any = None,
        raw_variable_values: dict[str, Any] | None = None,
        *args: Any,
        **more: Any,
    ) -> list[GraphQLError] | ExecutionContext:
        """Return an execution, or what is wrong with the variables (graphql-core)."""
        variables: Any = raw_variable_values
        if not isinstance(variables, CoercedVariables):
            return super().build(
                schema, document, root_value, context_value, variables, *args, **more
            )
        if isinstance(variables.coerced, list):
            return variables.coerced
        known = _without_variables(document)
        built: Any = super().build(schema, known, root_value, context_value, {}, *args, **more)
        if isinstance(built, ExecutionContext):
            changed: Any = built
            changed.operation = document.definitions[known.definitions.index(built.operation)]
            changed.variable_values = variables.coerced
        return cast("list[GraphQLError] | ExecutionContext", built)


def _without_variables(document: DocumentNode) -> DocumentNode:
    """Return a document whose operations define no variables."""
    definitions = [copy(each) for each in document.definitions]
    for each in definitions:
        if isinstance(each, OperationDefinitionNode):
            each.variable_definitions = ()
    return DocumentNode(definitions=tuple(definitions), loc=document.loc)

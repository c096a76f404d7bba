"""What is known while an operation runs."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from types import CoroutineType
from typing import Any, Protocol

from graphql import (
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
)
from graphql.pyutils import Path

from channels_graphql_ws.concurrency.threads import Workers
from channels_graphql_ws.execution.budget import (
    HEAVY,
    ExecutionLimits,
    Meter,
)
from channels_graphql_ws.execution.compiler.graphql_core import CollectedErrors, build_response
from channels_graphql_ws.execution.heavy import HeavyResult


class Selected(Protocol):
    """All that is selected of something.

    Attributes:
        size: what executing it counts as.
    """

    size: int

    def execute(self, run: Execution, source: Any, path: Path | None) -> Any:
        """Return the data, or a coroutine."""
        ...


class BoundOperation:
    """An operation with its variables and its context: what all events have in common.

    Attributes:
        arguments: those of fields that are worked out already.
        limits: what each execution may cost.
        workers: threads for what the event loop refuses, if it may go to a thread.
    """

    __slots__ = (
        "arguments",
        "context_value",
        "fragments",
        "limits",
        "operation",
        "schema",
        "variable_values",
        "workers",
    )

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        operation: OperationDefinitionNode,
        variable_values: dict[str, Any],
        context_value: Any,
        limits: ExecutionLimits,
        *,
        workers: Workers | None = None,
    ) -> None:
        self.schema = schema
        self.fragments = fragments
        self.operation = operation
        self.variable_values = variable_values
        self.context_value = context_value
        self.limits = limits
        self.arguments: dict[object, dict[str, Any]] = {}
        self.workers = workers


class Execution(Meter):
    """One execution: of a query, of a mutation, or for one event."""

    __slots__ = ("_collected", "bound", "root_value")

    # It makes itself what `Meter` would make of it: events are many, and a call is dear.
    def __init__(self, bound: BoundOperation, root_value: Any) -> None:
        self.left = self.granted = bound.limits.until_first_look
        self.waiting = self.awaited = 0
        self._pending = self._pace = None
        self.bound = bound
        self.root_value = root_value
        self._collected: Any = None

    @property
    def limits(self) -> ExecutionLimits:  # type: ignore[override]
        """What it may cost."""
        return self.bound.limits

    def add(self, error: GraphQLError, path: Path | None) -> None:
        """Take an error that made a null of what is at the path."""
        if self.left < 0 and self.is_exceeded:
            return  # The only one that is told is that of the limit.
        if self._collected is None:
            self._collected = CollectedErrors()
        self._collected.add(error, path)
        self.take_error(error)

    def response(self, data: dict[str, Any] | None) -> ExecutionResult:
        """Return the result, with what errors there are."""
        if self.left < 0 and self.is_exceeded:
            return self.limits.exceeded()
        if self.granted - self.left > HEAVY and self.is_heavy(0):
            if self._collected is None:
                return HeavyResult(data, None)
            result = build_response(data, self._collected.errors)
            return HeavyResult(result.data, result.errors)
        if self._collected is None:
            return ExecutionResult(data, None)
        return build_response(data, self._collected.errors)

    def result_of(
        self, selection: Selected, source: Any
    ) -> ExecutionResult | Awaitable[ExecutionResult]:
        """Return the result of executing something, at once where that is possible."""
        try:
            self.left = left = self.left - selection.size
            if left < 0:
                self.look()
                if self.left < 0 and self.is_exceeded:
                    return self.limits.exceeded()
            data = selection.execute(self, source, None)
        except GraphQLError as error:
            return self.failure(error)
        if type(data) is not CoroutineType:
            return self.response(data)
        self.note_wait()
        return self._awaited(data)

    async def _awaited(self, data: Awaitable[dict[str, Any]]) -> ExecutionResult:
        try:
            return self.response(await data)
        except GraphQLError as error:
            return self.failure(error)
        finally:
            self.end_wait()

    def failure(self, error: GraphQLError) -> ExecutionResult:
        """Return the result of an execution that an error has made a null of."""
        if self._collected is None:
            self._collected = CollectedErrors()
        self._collected.add(error, None)
        return self.response(None)

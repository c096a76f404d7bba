"""What is known while an operation runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import CoroutineType
from typing import Any, TypeAlias

from graphql import (
    ExecutionResult,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
)
from graphql.pyutils import Path

from channels_graphql_ws.execution.compiler.graphql_core import CollectedErrors, build_response

Execute: TypeAlias = "Callable[[Execution, Any, Path | None], Any]"
"""Gives the data of all that is selected of something, or a coroutine."""


class BoundOperation:
    """An operation with its variables and its context: what all events have in common.

    Attributes:
        arguments: those of fields that are worked out already.
    """

    __slots__ = (
        "arguments",
        "context_value",
        "fragments",
        "operation",
        "schema",
        "variable_values",
    )

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        operation: OperationDefinitionNode,
        variable_values: dict[str, Any],
        context_value: Any,
    ) -> None:
        self.schema = schema
        self.fragments = fragments
        self.operation = operation
        self.variable_values = variable_values
        self.context_value = context_value
        self.arguments: dict[object, dict[str, Any]] = {}


class Execution:
    """One execution: of a query, of a mutation, or for one event."""

    __slots__ = ("_collected", "bound", "root_value")

    def __init__(self, bound: BoundOperation, root_value: Any) -> None:
        self.bound = bound
        self.root_value = root_value
        self._collected: Any = None

    def add(self, error: GraphQLError, path: Path | None) -> None:
        """Take an error that made a null of what is at the path."""
        if self._collected is None:
            self._collected = CollectedErrors()
        self._collected.add(error, path)

    def response(self, data: dict[str, Any] | None) -> ExecutionResult:
        """Give the result, with what errors there are."""
        if self._collected is None:
            return ExecutionResult(data, None)
        return build_response(data, self._collected.errors)

    def result_of(
        self, execute: Execute, source: Any
    ) -> ExecutionResult | Awaitable[ExecutionResult]:
        """Give the result of executing something, at once where that is possible."""
        try:
            data = execute(self, source, None)
        except GraphQLError as error:
            return self.failure(error)
        return self._awaited(data) if type(data) is CoroutineType else self.response(data)

    async def _awaited(self, data: Awaitable[dict[str, Any]]) -> ExecutionResult:
        try:
            return self.response(await data)
        except GraphQLError as error:
            return self.failure(error)

    def failure(self, error: GraphQLError) -> ExecutionResult:
        """Give the result of an execution that an error has made a null of."""
        self.add(error, None)
        return self.response(None)

"""A subscription with its variables, before its first event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    OperationDefinitionNode,
)
from graphql.pyutils import Path

from channels_graphql_ws.execution.compiler.fields import Field
from channels_graphql_ws.execution.compiler.graphql_core import ROOT_VALUE, is_awaitable, make
from channels_graphql_ws.execution.compiler.plans import Selection
from channels_graphql_ws.execution.compiler.run import BoundOperation, Execution
from channels_graphql_ws.execution.compiler.selections import Fields
from channels_graphql_ws.execution.compiler.wide import WideSelection


class EventRoot:
    """The one field that a subscription selects, the conditions being decided.

    Attributes:
        key: its response name.
        nodes: where it is selected.
        definition: of the root type.
        path: where events are executed.
        before: what comes before the event in the `info` of the field, once it is known.
    """

    __slots__ = ("before", "definition", "key", "nodes", "path")

    def __init__(
        self, type_: GraphQLObjectType, fields: Fields, operation: OperationDefinitionNode
    ) -> None:
        """Find it.

        Raises:
            GraphQLError: there is none, or there are several.
        """
        if len(fields) != 1:
            # Validation sees to one field, `@skip` may leave none.
            raise GraphQLError("A subscription must select one field.", operation)
        self.key, self.nodes = next(iter(fields.items()))
        self.definition: GraphQLField = type_.fields[self.nodes[0].name.value]
        self.path: Path = make(Path, (None, self.key, type_.name))
        self.before: tuple[Any, ...] = ()

    @property
    def field_name(self) -> str:
        """What the field is called in the schema."""
        return self.nodes[0].name.value


class EventField(BoundOperation):
    """A subscription whose variables and context are known, and the one field that it selects.

    It lasts as long as the subscription, so it is one object and not several: there may be many
    thousands of them, and the garbage collector looks at each.

    Attributes:
        root: what is the same for all who subscribe by this document; known once it is selected.
    """

    __slots__ = ("_before", "_field", "root")

    def select(self, selection: Selection | WideSelection, root: EventRoot) -> None:
        """Take the field that is selected; to be called once, before anything else."""
        self.root = root
        field = selection.fields[root.key]
        assert isinstance(field, Field)
        self._field = field
        if not root.before:
            root.before = tuple(field.info(Execution(self, None), root.path))[:ROOT_VALUE]
        self._before = root.before

    def field_arguments(self) -> dict[str, Any]:
        """Return the arguments of the field; they are not to be changed.

        Raises:
            GraphQLError: there is none for a variable or a literal.
        """
        return self._field.arguments_of(self)

    def info(self, payload: Any = None) -> GraphQLResolveInfo:
        """Return what the resolver of the field gets for an event, and hooks without one."""
        after = payload, self.operation, self.variable_values, self.context_value, is_awaitable
        # Faster than to unpack them.
        parts = self._before + after
        info: GraphQLResolveInfo = make(GraphQLResolveInfo, parts)
        return info

    def is_resolved_by(self, resolve: Callable[..., Any]) -> bool:
        """Return whether only this resolves the field, always with the same arguments."""
        return self._field.resolve is resolve and self._field.has_lasting_arguments(self)

    def execute(self, payload: Any) -> ExecutionResult | Awaitable[ExecutionResult]:
        """Execute an event."""
        run = Execution(self, payload)
        try:
            data = self._field.execute_at(run, payload, self.root.path)
        except Exception as error:  # noqa: BLE001 (resolvers may raise anything)
            return self._failure(run, error)
        return self._response(run, data)

    def complete(
        self, payload: Any, value: Any, info: GraphQLResolveInfo
    ) -> ExecutionResult | Awaitable[ExecutionResult]:
        """Go on with what somebody else has resolved the field to."""
        run = Execution(self, payload)
        try:
            data = self._field.complete_at(run, value, self.root.path, info)
        except Exception as error:  # noqa: BLE001 (resolvers may raise anything)
            return self._failure(run, error)
        return self._response(run, data)

    def failed(self, payload: Any, error: Exception) -> ExecutionResult:
        """Return the result if somebody else could not resolve the field."""
        return self._failure(Execution(self, payload), error)

    def _response(self, run: Execution, data: Any) -> ExecutionResult | Awaitable[ExecutionResult]:
        if type(data) is CoroutineType:
            run.note_wait()
            return self._awaited(run, data)
        return run.response({self.root.key: data})

    def _failure(self, run: Execution, error: Exception) -> ExecutionResult:
        try:
            self._field.failed(run, error, None)
        except GraphQLError as located:
            return run.failure(located)
        return run.response({self.root.key: None})

    async def _awaited(self, run: Execution, data: Awaitable[Any]) -> ExecutionResult:
        try:
            return run.response({self.root.key: await data})
        except GraphQLError as error:
            return run.failure(error)
        finally:
            run.end_wait()

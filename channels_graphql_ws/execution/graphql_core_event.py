"""Events of a subscription, executed by graphql-core: what the compiler does not take."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionContext,
    ExecutionResult,
    GraphQLError,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    MiddlewareManager,
)
from graphql.execution import get_argument_values

from channels_graphql_ws.concurrency.eager import is_awaitable
from channels_graphql_ws.execution.budget import NO_LIMITS, ExecutionLimits
from channels_graphql_ws.execution.compiler.event import EventRoot
from channels_graphql_ws.execution.compiler.graphql_core import CollectedErrors
from channels_graphql_ws.execution.large_variables import TakesCoerced, copied
from channels_graphql_ws.execution.metered import MeteredContext
from channels_graphql_ws.execution.request import Subscribe


class _RootFields(TakesCoerced):
    """Stops where the fields of the root type are known, and returns them.

    Collecting fields is not a public function of graphql-core; executing an operation is.
    """

    def execute_fields(self, parent_type: Any, source_value: Any, path: Any, fields: Any) -> Any:
        """Return what would be executed."""
        del source_value, path
        return parent_type, fields


def bind(
    schema: GraphQLSchema,
    document: DocumentNode,
    request: Subscribe,
    context: Any,
    middleware: MiddlewareManager | None,
    limits: ExecutionLimits = NO_LIMITS,
    *,
    hide_suggestions: bool = False,
) -> CoreEventField | list[GraphQLError]:
    """Prepare a subscription for its events, or return what is wrong with the variables.

    Args:
        schema: of the document.
        document: is valid.
        request: names the operation.
        context: the `info.context` of all events.
        middleware: goes around all resolvers.
        limits: what each event may cost.
        hide_suggestions: what is wrong is told without "Did you mean …".

    Raises:
        GraphQLError: the selection makes no sense.
    """
    template = _RootFields.build(
        schema=schema,
        document=document,
        context_value=context,
        raw_variable_values=copied(request.variables),
        operation_name=request.operation_name,
        middleware=middleware,
        hide_suggestions=hide_suggestions,
    )
    return template if isinstance(template, list) else CoreEventField(template, limits)


class CoreEventField:
    """The one field of a subscription, as `compiler.EventField`.

    Attributes:
        root: what it is.
    """

    __slots__ = ("_limits", "_nodes", "_path", "_root_type", "_shared", "_template", "root")

    def __init__(self, template: ExecutionContext, limits: ExecutionLimits = NO_LIMITS) -> None:
        """Take an execution that has no event yet.

        Raises:
            GraphQLError: the selection makes no sense.
        """
        self._root_type: GraphQLObjectType
        self._root_type, fields = template.execute_operation(template.operation, None)  # type: ignore[misc]
        self.root = EventRoot(self._root_type, fields, template.operation)
        self._template = template
        self._limits = limits.for_events()
        self._shared = vars(template)
        # Each event has errors of its own, see `_execution`.
        del self._shared["collected_errors"]
        self._nodes = self.root.nodes
        self._path = self.root.path

    def field_arguments(self) -> dict[str, Any]:
        """Return the arguments of the field.

        Raises:
            GraphQLError: there is none for a variable or a literal.
        """
        variables = self._template.variable_values
        return get_argument_values(self.root.definition, self._nodes[0], variables)

    def info(self) -> GraphQLResolveInfo:
        """Return the `info` of hooks that are called without an event."""
        field = self.root.definition
        return self._template.build_resolve_info(field, self._nodes, self._root_type, self._path)

    def execute(self, payload: Any) -> ExecutionResult | Awaitable[ExecutionResult]:
        """Execute an event."""
        execution = self._execution(payload)
        try:
            value = execution.execute_field(self._root_type, payload, self._nodes, self._path)
        except GraphQLError as error:
            return self._response(execution, None, error)
        if is_awaitable(value):
            execution.meter.note_wait()
            return self._awaited(execution, value)
        return self._response(execution, {self._path.key: value})

    async def _awaited(self, execution: MeteredContext, value: Awaitable[Any]) -> ExecutionResult:
        try:
            return self._response(execution, {self._path.key: await value})
        except GraphQLError as error:
            return self._response(execution, None, error)

    def _execution(self, payload: Any) -> MeteredContext:
        """Return a context for one event: what is worked out is shared, errors are not."""
        execution = object.__new__(MeteredContext)
        variables = vars(execution)
        variables.update(self._shared)
        variables["root_value"] = payload
        variables["collected_errors"] = CollectedErrors()
        execution.limits = self._limits
        execution.begin()
        return execution

    @staticmethod
    def _response(
        execution: MeteredContext, data: Any, *failures: GraphQLError
    ) -> ExecutionResult:
        errors = execution.collected_errors.errors
        errors.extend(failures)
        return execution.build_response(data, errors)

"""An operation, compiled: what `graphql.execute` does, without finding out everything anew."""

from __future__ import annotations

from collections.abc import Awaitable, Hashable, Mapping
from typing import Any, TypeAlias

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    GraphQLObjectType,
    GraphQLSchema,
    MiddlewareManager,
    OperationDefinitionNode,
    OperationType,
    validate_schema,
)

from channels_graphql_ws.concurrency.threads import EVENTS, OPERATIONS
from channels_graphql_ws.execution.budget import NO_LIMITS, ExecutionLimits
from channels_graphql_ws.execution.compiler.awaiting import gathered, one_by_one
from channels_graphql_ws.execution.compiler.event import EventField, EventRoot
from channels_graphql_ws.execution.compiler.graphql_core import is_known, is_stable
from channels_graphql_ws.execution.compiler.introspection import (
    Answers,
    LastingResult,
    answers_of,
    asks_for_nothing_else,
    introspection_limits,
    is_small,
)
from channels_graphql_ws.execution.compiler.plans import Budget, Plans
from channels_graphql_ws.execution.compiler.run import BoundOperation, Execution
from channels_graphql_ws.execution.compiler.selections import (
    Collector,
    Fields,
    Survey,
    UnknownError,
)
from channels_graphql_ws.execution.compiler.variables import Variables
from channels_graphql_ws.execution.large_variables import copied
from channels_graphql_ws.execution.metered import execute
from channels_graphql_ws.execution.sync_resolvers import Hops

_Conditions: TypeAlias = tuple[bool, ...]


def compile_operation(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    middleware: MiddlewareManager | None = None,
    limits: ExecutionLimits = NO_LIMITS,
    *,
    hide_suggestions: bool = False,
) -> CompiledOperation | None:
    """Compile a valid operation; `None` if there is something that is not known.

    Args:
        schema: is kept, as long as the compiled operation is.
        document: has the operation and its fragments.
        operation: one of the document.
        middleware: goes around all resolvers.
        limits: what each execution may cost.
        hide_suggestions: what is wrong with variables is told without "Did you mean …".
    """
    root_type = schema.get_root_type(operation.operation)
    if root_type is None or validate_schema(schema) or not is_known():
        return None
    if middleware is not None and not is_stable(middleware):
        return None
    try:
        survey = Survey(document, operation)
    except UnknownError:
        return None
    variables = Variables(
        schema, operation.variable_definitions or (), hide_suggestions=hide_suggestions
    )
    return CompiledOperation(
        schema, document, operation, middleware, root_type, survey, variables, limits
    )


class _Plan:
    """What is selected, the conditions being decided."""

    def __init__(
        self,
        plans: Plans,
        collector: Collector,
        type_: GraphQLObjectType,
        operation: OperationDefinitionNode,
    ) -> None:
        self.plans = plans
        self.fields: Fields = collector.collect(type_, [operation.selection_set])
        is_mutation = operation.operation is OperationType.MUTATION
        self.root = plans.compiled(type_, self.fields, one_by_one if is_mutation else gathered)
        self.is_serial = is_mutation and len(self.fields) > 1
        names = {nodes[0].name.value for nodes in self.fields.values()}
        self.is_introspection = asks_for_nothing_else(names)
        self.event_root: EventRoot | None = None


class CompiledOperation:
    """An operation that is ready to be executed; see `compile_operation`."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        operation: OperationDefinitionNode,
        middleware: MiddlewareManager | None,
        root_type: GraphQLObjectType,
        survey: Survey,
        variables: Variables,
        limits: ExecutionLimits,
    ) -> None:
        self._limits = limits
        self._event_limits = limits.for_events()
        # Middleware may have its own say, or refuse.
        self._answers = answers_of(schema) if middleware is None else None
        self._hides_suggestions = variables.hides_suggestions
        self._schema = schema
        self._document = document
        self._operation = operation
        self._middleware = middleware
        self._root_type = root_type
        self._variables = variables
        self._fragments = survey.fragments
        self._conditions = survey.conditions
        self._plans: dict[_Conditions, _Plan] = {}
        self._room = _room_in(document)
        is_event = operation.operation is OperationType.SUBSCRIPTION
        self._workers = None
        if isinstance(middleware, Hops):
            self._workers = EVENTS if is_event else OPERATIONS

    @property
    def memory(self) -> int:
        """About how many bytes it takes, beside the document."""
        return self._room.memory

    def execute(
        self, *, root_value: Any, context_value: Any, variable_values: Mapping[str, Any]
    ) -> ExecutionResult | Awaitable[ExecutionResult]:
        """Execute the operation, as `graphql.execute` does.

        Args:
            root_value: what the root fields are resolved from; of a subscription, the event.
            context_value: the `info.context`.
            variable_values: as the client sent them.
        """
        plan = self._plan(variable_values)
        if plan is None:
            return self._hand_over(root_value, context_value, variable_values)
        limits = self._limits
        if plan.is_introspection:
            limits = introspection_limits(self._schema, limits)
        bound = self._bound(context_value, variable_values, limits)
        if isinstance(bound, list):
            return ExecutionResult(None, bound)
        run = Execution(bound, root_value)
        if plan.is_serial:
            run.refuse_pauses()
        if self._answers is not None and plan.is_introspection:
            return self._answer(self._answers, run, plan)
        return run.result_of(plan.root, root_value)

    def _answer(
        self, answers: Answers, run: Execution, plan: _Plan
    ) -> ExecutionResult | Awaitable[ExecutionResult]:
        """Execute pure introspection, or return its kept result."""
        values = run.bound.variable_values
        if not all(map(is_small, values.values())):
            return run.result_of(plan.root, None)
        key = self, plan, tuple(values.items())
        known = answers.get(key)
        if known is not None:
            return known
        result = run.result_of(plan.root, None)
        if not isinstance(result, ExecutionResult):
            return self._lasting_later(answers, key, result)
        return self._lasting(answers, key, result)

    async def _lasting_later(
        self, answers: Answers, key: Hashable, result: Awaitable[ExecutionResult]
    ) -> ExecutionResult:
        return self._lasting(answers, key, await result)

    @staticmethod
    def _lasting(answers: Answers, key: Hashable, result: ExecutionResult) -> ExecutionResult:
        return result if result.errors else LastingResult(result.data, answers, key)

    def bind(
        self, *, context_value: Any, variable_values: Mapping[str, Any]
    ) -> EventField | list[GraphQLError] | None:
        """Prepare a subscription for its events; `None` if that is to be left to graphql-core.

        Args:
            context_value: the `info.context` of all events.
            variable_values: as the client sent them.

        Raises:
            GraphQLError: it does not select exactly one field.
        """
        plan = self._plan(variable_values)
        if plan is None:
            return None
        values = self._variables.coerced(variable_values)
        if isinstance(values, list):
            return values
        field = EventField(
            self._schema,
            self._fragments,
            self._operation,
            values,
            context_value,
            self._event_limits,
            workers=self._workers,
        )
        root = plan.event_root
        if root is None:
            root = plan.event_root = EventRoot(self._root_type, plan.fields, self._operation)
        field.select(plan.root, root)
        return field

    def _plan(self, variable_values: Mapping[str, Any]) -> _Plan | None:
        decided = self._decided(variable_values) if self._conditions else ()
        if decided is None:
            return None
        plan = self._plans.get(decided)
        if plan is None and not self._room.is_full:
            conditions = dict(zip(self._conditions, decided, strict=True))
            collector = Collector(self._schema, self._fragments, conditions)
            is_event = self._operation.operation is OperationType.SUBSCRIPTION
            plans = Plans(collector, self._middleware, self._room, is_event=is_event)
            plan = _Plan(plans, collector, self._root_type, self._operation)
            plan = self._plans.setdefault(decided, plan)
        return None if self._room.is_full else plan

    def _decided(self, variable_values: Mapping[str, Any]) -> _Conditions | None:
        """Decide on conditions; `None` if graphql-core has words for what is wrong with them."""
        values = [variable_values.get(name, default) for name, default in self._conditions.items()]
        return tuple(values) if all(type(value) is bool for value in values) else None

    def _bound(
        self, context_value: Any, variable_values: Mapping[str, Any], limits: ExecutionLimits
    ) -> BoundOperation | list[GraphQLError]:
        values = self._variables.coerced(variable_values)
        if isinstance(values, list):
            return values
        return BoundOperation(
            self._schema,
            self._fragments,
            self._operation,
            values,
            context_value,
            limits,
            workers=self._workers,
        )

    def _hand_over(
        self, root_value: Any, context_value: Any, variable_values: Mapping[str, Any]
    ) -> ExecutionResult | Awaitable[ExecutionResult]:
        name = self._operation.name
        return execute(
            limits=self._limits,
            schema=self._schema,
            document=self._document,
            root_value=root_value,
            context_value=context_value,
            variable_values=copied(variable_values),
            operation_name=name.value if name else None,
            middleware=self._middleware,
            hide_suggestions=self._hides_suggestions,
        )


def _room_in(document: DocumentNode) -> Budget:
    """Return the room for one of the operations of a document: they share it."""
    operations = [
        definition
        for definition in document.definitions
        if isinstance(definition, OperationDefinitionNode)
    ]
    return Budget(document.loc.end if document.loc else 0, len(operations))

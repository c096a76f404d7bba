"""One subscription's way from a payload to a result, worked out once."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any, Final

from graphql import (
    DocumentNode,
    ExecutionContext,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    MiddlewareManager,
)
from graphql.execution import get_argument_values
from graphql.pyutils import Path

from ..messages import Refusal, Subscribe
from ..steps import Steps, is_awaitable
from ..subscription import Delivery, Hook, Source, Subscription, current_delivery
from .leaves import LeafContext
from .threads import freshness, in_thread


class RequestError(Exception):
    """The request can not be executed; `errors` tell the client why."""

    refusal = Refusal.DOCUMENT

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__(*errors)
        self.errors = errors


class TooManyError(RequestError):
    """There is no room for one operation more."""

    refusal = Refusal.OPERATION


_ERRORS: Final = (
    "collected_errors" if "collected_errors" in ExecutionContext.__annotations__ else "errors"
)
"""Where an execution collects errors: in a class of its own, in older releases of
graphql-core 3.2 in a plain list."""


class _RootFields(ExecutionContext):
    """Stops where the fields of the root type are known, and gives them.

    Collecting fields is no public function of graphql-core; executing an operation is.
    """

    def execute_fields(self, parent_type: Any, source_value: Any, path: Any, fields: Any) -> Any:
        """Give what would be executed."""
        del source_value, path
        return parent_type, fields


class EventPlan:
    """How one subscription executes an event.

    Everything that is the same for all events of a subscription is done here: finding
    the operation, coercing the variables, collecting the fields and the arguments.
    graphql-core's own way would be to do it for each event anew.

    Attributes:
        source: what feeds the field: a `Source`, or a `subscribe_…` of the user's.
        name: what to call the subscription in the log.
        info: what the hooks get as their `info`.
        arguments: what the hooks get as their keyword arguments.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        request: Subscribe,
        context: Any,
        middleware: MiddlewareManager | None,
        *,
        sync_in_thread: bool = False,
    ) -> None:
        """Work it out.

        Raises:
            RequestError: variables, arguments or the field do not allow to subscribe.
        """
        template = _RootFields.build(
            schema=schema,
            document=document,
            context_value=context,
            raw_variable_values=dict(request.variables),
            operation_name=request.operation_name,
            middleware=middleware,
        )
        if isinstance(template, list):
            raise RequestError(*template)
        self._sync_in_thread = sync_in_thread
        self._template = template
        self._shared = {**vars(template), "readers": {}}
        self._root_type, self._nodes, key = _root_field(template)
        self._path = Path(None, key, self._root_type.name)
        field = self._root_type.fields[self._nodes[0].name.value]
        self.source = _source(field, self._nodes)
        self.name = (
            self.subscription_class.__qualname__
            if isinstance(self.source, Source)
            else self._nodes[0].name.value
        )
        self.arguments = _arguments(template, field, self._nodes[0])
        self.info: GraphQLResolveInfo = template.build_resolve_info(
            field, self._nodes, self._root_type, self._path
        )
        self._delivery = Delivery()
        current_delivery.set(self._delivery)
        # User code of one event never sees what another subscription has set.
        self.variables = copy_context()

    @property
    def subscription_class(self) -> type[Subscription]:
        """The class that the client has subscribed to, where the source is one."""
        assert isinstance(self.source, Source)
        return self.source.subscription_class

    @property
    def has_filter(self) -> bool:
        """Tell if clients have their own say on each notification."""
        return self.subscription_class._meta.filter_event is not None

    @property
    def has_completed(self) -> bool:
        """Tell if the event that was just executed is the end of the subscription."""
        return self._delivery.completes

    def call(self, hook: Hook, root: object = None) -> Any:
        """Call a hook of the class; the result may be awaitable."""
        call = partial(hook, root, self.info, **self.arguments)
        if self._sync_in_thread and not (iscoroutinefunction(hook) or isasyncgenfunction(hook)):
            return in_thread(call)
        return call()

    def run(self, payload: Any) -> Steps[ExecutionResult | None]:
        """Execute one event; `None` if it is to be skipped."""
        freshness.see_to()
        self._delivery.skipped = False
        execution, errors = self._execution(payload)
        execute: Callable[[], Any] = partial(
            execution.execute_field,
            self._root_type,
            payload,
            self._nodes,
            self._path,
        )
        try:
            value = in_thread(execute) if self._sync_in_thread else execute()
            while is_awaitable(value):
                value = yield value
            data: dict[str, Any] | None = {self._path.key: value}  # type: ignore[dict-item]
        except GraphQLError as error:
            data = None
            errors.append(error)
        if self._delivery.skipped:
            return None
        return execution.build_response(data, errors)

    def run_initial(self) -> Steps[ExecutionResult | None]:
        """Execute the first event, with the `initial` hook in place of `publish`."""
        self._delivery.is_initial = True
        try:
            return (yield from self.run(None))
        finally:
            self._delivery.is_initial = False

    def _execution(self, payload: Any) -> tuple[ExecutionContext, list[GraphQLError]]:
        """Give a context for one event: what is worked out is shared, errors are not."""
        execution = object.__new__(LeafContext)
        variables = vars(execution)
        variables.update(self._shared)
        variables["root_value"] = payload
        collected = variables[_ERRORS] = type(variables[_ERRORS])()
        return execution, getattr(collected, "errors", collected)


def _arguments(context: ExecutionContext, field: GraphQLField, node: FieldNode) -> dict[str, Any]:
    try:
        return get_argument_values(field, node, context.variable_values)
    except GraphQLError as error:
        raise RequestError(error) from error


def _root_field(context: ExecutionContext) -> tuple[GraphQLObjectType, list[FieldNode], str]:
    try:
        root_type, fields = context.execute_operation(context.operation, None)  # type: ignore[misc]
    except GraphQLError as error:
        raise RequestError(error) from error
    if len(fields) != 1:
        # Validation sees to one field, `@skip` may leave none.
        raise RequestError(
            GraphQLError("A subscription must select one field.", context.operation)
        )
    key, nodes = next(iter(fields.items()))
    return root_type, nodes, key


def _source(field: GraphQLField, nodes: list[FieldNode]) -> Hook:
    if field.subscribe is None:
        name = nodes[0].name.value
        raise RequestError(
            GraphQLError(
                f"Field {name!r} is no subscription: mount one with `MySubscription.Field()`, "
                "or give it a `subscribe_…` method.",
                nodes,
            )
        )
    return field.subscribe

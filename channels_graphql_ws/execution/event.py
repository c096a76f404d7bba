"""One subscription's way from a payload to a result, worked out once."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import copy_context
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any

from graphql import (
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLField,
    GraphQLResolveInfo,
    GraphQLSchema,
    MiddlewareManager,
    OperationDefinitionNode,
)
from graphql.execution import get_argument_values

from ..compile import Binding, EventField
from ..documents import Document
from ..messages import Refusal, Subscribe
from ..steps import Steps, is_awaitable
from ..subscription import Delivery, Hook, Source, Subscription, current_delivery
from .compiled import compiled
from .core_event import CoreBinding, CoreEventField, bind
from .threads import in_thread


class RequestError(Exception):
    """The request can not be executed; `errors` tell the client why."""

    refusal = Refusal.DOCUMENT

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__(*errors)
        self.errors = errors


class NoDocumentError(RequestError):
    """The client has sent no document, and there is none in its place."""

    refusal = Refusal.REQUEST

    def __init__(self) -> None:
        super().__init__(
            GraphQLError('"query" is missing, and `on_operation` gave no document instead')
        )


class TooManyError(RequestError):
    """There is no room for one operation more."""

    refusal = Refusal.OPERATION


class EventPlan:
    """How one subscription executes an event.

    Everything that is the same for all events of a subscription is done here: finding
    the operation, coercing the variables, collecting the fields and the arguments.
    graphql-core's own way would be to do it for each event anew.

    Attributes:
        delivery: what becomes of the event that is being executed.
        source: what feeds the field: a `Source`, or a `subscribe_…` of the user's.
        name: what to call the subscription in the log.
        info: what the hooks get as their `info`.
        arguments: what the hooks get as their keyword arguments.
    """

    __slots__ = (
        "_field",
        "_publish",
        "_sync_in_thread",
        "arguments",
        "delivery",
        "info",
        "name",
        "source",
        "variables",
    )

    def __init__(
        self,
        schema: GraphQLSchema,
        document: Document,
        operation: OperationDefinitionNode,
        request: Subscribe,
        context: Any,
        middleware: MiddlewareManager | None,
        *,
        sync_in_thread: bool = False,
        compiles: bool = True,
    ) -> None:
        """Work it out.

        Raises:
            RequestError: variables, arguments or the field do not allow to subscribe.
        """
        self._sync_in_thread = sync_in_thread
        binding: Binding | CoreBinding | list[GraphQLError] | None = None
        plan = compiled(schema, document, operation, middleware) if compiles else None
        if plan is not None:
            binding = plan.bind(context_value=context, variable_values=request.variables)
        if binding is None:
            binding = _core_binding(schema, document, request, context, middleware)
        if isinstance(binding, list):
            raise RequestError(*binding)
        key, nodes = _root_field(binding.fields, operation)
        field = binding.root_type.fields[nodes[0].name.value]
        self.source = _source(field, nodes)
        self.name = (
            self.subscription_class.__qualname__
            if isinstance(self.source, Source)
            else nodes[0].name.value
        )
        self.arguments = _arguments(field, nodes[0], binding.variable_values)
        self._field = binding.event_field(key)
        self.info: GraphQLResolveInfo = self._field.info()
        self.delivery = Delivery(none_skips=_none_skips(self.source))
        self._publish = None if sync_in_thread else _direct_publish(self.source, self._field)
        current_delivery.set(self.delivery)
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

    def call(self, hook: Hook, root: object = None) -> Any:
        """Call a hook of the class; the result may be awaitable."""
        call = partial(hook, root, self.info, **self.arguments)
        if self._sync_in_thread and not (iscoroutinefunction(hook) or isasyncgenfunction(hook)):
            return in_thread(call)
        return call()

    def start(self, payload: Any) -> Any:
        """Begin to execute an event; give what `finish` makes its result of."""
        self.delivery.skipped = False
        publish = self._publish
        if publish is None:
            return self._resolve(payload)
        field: Any = self._field
        info = field.info_of(payload)
        try:
            value = publish(payload, info, **self.arguments)
        except Exception as error:  # noqa: BLE001 (the hook may raise anything)
            return field.failed(payload, error)
        if type(value) is not dict:  # So it is most often, and that is none of the signs.
            if self.delivery.is_told(value):
                return None
            if is_awaitable(value):
                return self._published(payload, value, info)
        return field.complete(payload, value, info)

    async def _published(self, payload: Any, value: Any, info: GraphQLResolveInfo) -> Any:
        """Wait for `publish`, and go on with what it gives."""
        field: Any = self._field
        try:
            value = await value
        except Exception as error:  # noqa: BLE001 (the hook may raise anything)
            return field.failed(payload, error)
        if self.delivery.is_told(value):
            return None
        return field.complete(payload, value, info)

    def _resolve(self, payload: Any) -> Any:
        """Have the event's resolver called, and what is around it."""
        if self._sync_in_thread:
            return in_thread(partial(self._field.execute, payload))
        return self._field.execute(payload)

    def finish(self, result: Any) -> Steps[ExecutionResult | None]:
        """Wait for what `start` gave, if need be: the result, `None` if it is to be skipped."""
        while is_awaitable(result):
            result = yield result
        return None if self.delivery.skipped else result

    def run(self, payload: Any) -> Steps[ExecutionResult | None]:
        """Execute an event; `None` if it is to be skipped."""
        return self.finish(self.start(payload))

    def run_initial(self) -> Steps[ExecutionResult | None]:
        """Execute the first event, with the `initial` hook in place of `publish`."""
        self.delivery.is_initial = True
        try:
            return (yield from self.finish(self._resolve(None)))
        finally:
            self.delivery.is_initial = False


def _none_skips(source: Hook) -> bool:
    return isinstance(source, Source) and source.subscription_class._meta.none_skips


def _direct_publish(source: Hook, field: EventField | CoreEventField) -> Hook | None:
    """Give the `publish` hook, if nothing but the resolver of the class would be around it.

    That resolver's way to tell of `SKIP` is a context variable, and as dear as all the rest.
    """
    if not isinstance(source, Source) or not isinstance(field, EventField):
        return None
    if not field.is_resolved_by(source.resolver):
        return None
    publish: Hook | None = source.subscription_class._meta.publish
    return publish


def _core_binding(
    schema: GraphQLSchema,
    document: Document,
    request: Subscribe,
    context: Any,
    middleware: MiddlewareManager | None,
) -> CoreBinding | list[GraphQLError]:
    try:
        return bind(schema, document.ast, request, context, middleware)
    except GraphQLError as error:
        raise RequestError(error) from error


def _root_field(
    fields: Mapping[str, list[FieldNode]], operation: OperationDefinitionNode
) -> tuple[str, list[FieldNode]]:
    if len(fields) != 1:
        # Validation sees to one field, `@skip` may leave none.
        raise RequestError(GraphQLError("A subscription must select one field.", operation))
    return next(iter(fields.items()))


def _arguments(
    field: GraphQLField, node: FieldNode, variable_values: dict[str, Any]
) -> dict[str, Any]:
    try:
        return get_argument_values(field, node, variable_values)
    except GraphQLError as error:
        raise RequestError(error) from error


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

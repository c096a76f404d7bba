"""One subscription's way from a payload to a result, worked out once."""

from __future__ import annotations

from contextvars import copy_context
from functools import partial
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any, NoReturn

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    MiddlewareManager,
    OperationDefinitionNode,
)

from channels_graphql_ws.concurrency.eager import Eager, is_awaitable
from channels_graphql_ws.concurrency.threads import in_thread
from channels_graphql_ws.execution.compiler.event import EventField, EventRoot
from channels_graphql_ws.execution.documents import Document, compiled
from channels_graphql_ws.execution.errors import RequestError
from channels_graphql_ws.execution.graphql_core_event import CoreEventField, bind
from channels_graphql_ws.execution.request import Subscribe
from channels_graphql_ws.subscription.field import Delivery, Hook, Source, current_delivery


class EventExecution:
    """How one subscription executes an event.

    Everything that is the same for all events of a subscription is done here: finding
    the operation, coercing the variables, collecting the fields and the arguments.
    graphql-core's own way would be to do it for each event anew.

    Attributes:
        delivery: what becomes of the event that is being executed.
        source: what feeds the field: a `Source`, or a `subscribe_…` of the user's.
        subscription_class: the class that the client has subscribed to; not there where the
            source is none.
        info: what the hooks get as their `info`.
        arguments: what the hooks get as their keyword arguments.
        waits_for: the hook that was last waited for.
        max_result_size: bytes that a result may have, `None` for any number.
    """

    __slots__ = (
        "_field",
        "_publish",
        "_sync_in_thread",
        "arguments",
        "delivery",
        "info",
        "max_result_size",
        "source",
        "subscription_class",
        "variables",
        "waits_for",
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
        self.waits_for = ""
        self._sync_in_thread = sync_in_thread
        field: EventField | CoreEventField | list[GraphQLError] | None = None
        plan = compiled(schema, document, operation, middleware) if compiles else None
        try:
            if plan is not None:
                field = plan.bind(context_value=context, variable_values=request.variables)
            if field is None:
                field = bind(
                    schema,
                    document.ast,
                    request,
                    context,
                    middleware,
                    document.limits,
                    hide_suggestions=document.hides_suggestions,
                )
            if isinstance(field, list):
                raise RequestError(*field)
            self.source = field.root.definition.subscribe or _no_source(field.root)
            self.arguments = field.arguments()
        except GraphQLError as error:
            raise RequestError(error) from error
        none_skips = False
        if isinstance(self.source, Source):
            self.subscription_class = self.source.subscription_class
            none_skips = self.subscription_class._meta.none_skips
        self._field = field
        self.max_result_size = document.limits.max_result_size
        self.info: GraphQLResolveInfo = field.info()
        self._publish = None if sync_in_thread else _direct_publish(self.source, field)
        self.delivery = Delivery(self.info.operation, none_skips=none_skips)
        current_delivery.set(self.delivery)
        # User code of one event never sees what another subscription has set.
        self.variables = copy_context()

    @property
    def name(self) -> str:
        """What to call the subscription in the log."""
        is_class = isinstance(self.source, Source)
        return self.subscription_class.__qualname__ if is_class else self.info.field_name

    @property
    def has_filter(self) -> bool:
        """Tell if clients have their own say on each notification."""
        return self.subscription_class._meta.filter_event is not None

    def call(self, hook: Hook, root: object = None) -> Any:
        """Call a hook of the class; the result may be awaitable."""
        if self._sync_in_thread and not (iscoroutinefunction(hook) or isasyncgenfunction(hook)):
            return in_thread(partial(hook, root, self.info, **self.arguments))
        return hook(root, self.info, **self.arguments)

    def start(self, payload: Any) -> Any:
        """Begin to execute an event; give what `finish` makes its result of."""
        delivery, publish = self.delivery, self._publish
        delivery.skipped = False
        if publish is None:
            return self._resolve(payload)
        field: Any = self._field
        info = field.info(payload)
        try:
            value = publish(payload, info, **self.arguments)
        except Exception as error:  # noqa: BLE001 (the hook may raise anything)
            return field.failed(payload, error)
        if type(value) is not dict:  # So it is most often, and that is none of the signs.
            if delivery.take_sentinel(value):
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
        if self.delivery.take_sentinel(value):
            return None
        return field.complete(payload, value, info)

    def _resolve(self, payload: Any) -> Any:
        """Have the event's resolver called, and what is around it."""
        if self._sync_in_thread:
            return in_thread(partial(self._field.execute, payload))
        return self._field.execute(payload)

    def finish(self, result: Any) -> Eager[ExecutionResult | None]:
        """Wait for what `start` gave, if need be: the result, `None` if it is to be skipped."""
        while is_awaitable(result):
            self.waits_for = "initial" if self.delivery.is_initial else "publish"
            result = yield result
        return None if self.delivery.skipped else result

    def run(self, payload: Any) -> Eager[ExecutionResult | None]:
        """Execute an event; `None` if it is to be skipped."""
        return self.finish(self.start(payload))

    def run_initial(self) -> Eager[ExecutionResult | None]:
        """Execute the first event, with the `initial` hook in place of `publish`."""
        self.delivery.is_initial = True
        try:
            return (yield from self.finish(self._resolve(None)))
        finally:
            self.delivery.is_initial = False


def _direct_publish(source: Hook, field: EventField | CoreEventField) -> Hook | None:
    """Give the `publish` hook, if nothing but the resolver of the class would be around it.

    That resolver's way to tell of `SKIP` is a context variable, and as dear as all the rest.
    """
    if not isinstance(source, Source) or not isinstance(field, EventField):
        return None
    # `publish` may change lists and input objects, so that each event has its own.
    if not field.is_resolved_by(source.resolver):
        return None
    publish: Hook | None = source.subscription_class._meta.publish
    return publish


def _no_source(root: EventRoot) -> NoReturn:
    name = root.nodes[0].name.value
    raise GraphQLError(
        f"Field {name!r} is no subscription: mount one with `MySubscription.Field()`, "
        "or give it a `subscribe_…` method.",
        root.nodes,
    )

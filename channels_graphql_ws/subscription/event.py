"""How one subscription executes its events, worked out once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from inspect import isasyncgenfunction
from time import perf_counter
from typing import Any, NoReturn, Protocol

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLField,
    GraphQLResolveInfo,
    GraphQLSchema,
    MiddlewareManager,
    OperationDefinitionNode,
    default_field_resolver,
)

from channels_graphql_ws.concurrency.eager import Eager, is_awaitable
from channels_graphql_ws.concurrency.fairness import current_key
from channels_graphql_ws.concurrency.placement import Placement, needs_thread
from channels_graphql_ws.concurrency.threads import EVENTS, in_thread, runs_on_loop
from channels_graphql_ws.execution.compiler.event import EventField, EventRoot
from channels_graphql_ws.execution.crowds import full_crowds, room_in_crowd
from channels_graphql_ws.execution.documents import Document, compiled
from channels_graphql_ws.execution.errors import RequestError
from channels_graphql_ws.execution.graphql_core_event import CoreEventField, bind
from channels_graphql_ws.execution.loaders import DataLoaders
from channels_graphql_ws.execution.permissions import BasePermission, Permissions, call_of
from channels_graphql_ws.execution.request import Subscribe
from channels_graphql_ws.subscription import fitting as fittings
from channels_graphql_ws.subscription.declared_permissions import permissions_of
from channels_graphql_ws.subscription.field import Delivery, Hook, Source, current_delivery
from channels_graphql_ws.subscription.patience import ENDLESS, HookWatch
from channels_graphql_ws.subscription.placements import Placements
from channels_graphql_ws.tally import tallies
from channels_graphql_ws.tracing import tracing


class Payload(Protocol):
    """Something that has a payload."""

    def payload(self) -> Any:
        """Return one that no other execution has."""
        ...


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
        arguments: what the hooks get as their keyword arguments.
        is_special: whether events have data loaders, or may need a thread.
        max_result_size: bytes that a result may have, `None` for any number.
        patience: how long a hook may take.
        permissions: what is asked for each event, see `Subscription.permission_classes`.
        tally: counts what becomes of the events.
    """

    __slots__ = (
        "_around_blocks",
        "_field",
        "_filter_placement",
        "_info",
        "_is_new_to_dicts",
        "_loaders",
        "_placement",
        "_placements",
        "_publish",
        "_uses_threads",
        "arguments",
        "delivery",
        "is_special",
        "max_result_size",
        "name",
        "patience",
        "permissions",
        "source",
        "subscription_class",
        "tally",
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
        placements: Placements | None = None,
        compiles: bool = True,
    ) -> None:
        """Find the field, coerce the variables, and decide where synchronous hooks run.

        Args:
            schema: has the field.
            document: has the operation.
            operation: the subscription.
            request: has the variables.
            context: the `info.context` of all events.
            middleware: goes around resolvers; `Hops` where threads are used.
            placements: where hooks of events run; `None` for the event loop.
            compiles: compile what is selected.

        Raises:
            RequestError: variables, arguments or the field do not allow to subscribe.
        """
        self.patience = ENDLESS
        self._uses_threads = self.is_special = placements is not None
        self._placements = placements
        self._loaders: DataLoaders | None = None
        plan = compiled(schema, document, operation, middleware) if compiles else None
        try:
            field: EventField | CoreEventField | list[GraphQLError] | None = None
            if plan is not None:
                field = plan.bind(context_value=context, variable_values=request.variables)
            if field is None:
                field = _uncompiled(schema, document, request, context, middleware)
            if isinstance(field, list):
                raise RequestError(*field)
            self._field: EventField | CoreEventField = field
            self.source = self._field.root.definition.subscribe or _no_source(self._field.root)
            self.arguments = self._field.field_arguments()
        except GraphQLError as error:
            raise RequestError(error) from error
        self.max_result_size = document.limits.max_result_size
        self.delivery = self._delivery(operation)
        is_class = isinstance(self.source, Source)
        self.name = (
            self.subscription_class.__qualname__ if is_class else self._field.root.field_name
        )
        """What to call the subscription in the log."""
        self._info: GraphQLResolveInfo | None = None
        self.tally = tallies.of(self.name)
        self._publish = _direct_publish(self.source, self._field)
        self._placement: Placement | None = None
        self._filter_placement: Placement | None = None
        self._around_blocks = False
        if placements is not None:
            self._place(placements, middleware)
        current_delivery.set(self.delivery)
        # User code of one event never sees what another subscription has set.
        self.variables = copy_context()
        if tracing.tracer is not None:
            self.variables.run(tracing.tracer.leave_operation)

    def _delivery(self, operation: OperationDefinitionNode) -> Delivery:
        """Look at the class that was subscribed to, if it is one."""
        if not isinstance(self.source, Source):
            self.permissions: Permissions = ()
            self._is_new_to_dicts = False
            return Delivery(operation, none_skips=False, fitting=None)
        self.subscription_class = self.source.subscription_class
        self.permissions = permissions_of(self.subscription_class)
        fitting = fittings.fitting_of(self.subscription_class)
        self._is_new_to_dicts = dict not in fitting.known
        none_skips = self.subscription_class._meta.none_skips
        return Delivery(operation, none_skips=none_skips, fitting=fitting)

    def _place(self, placements: Placements, middleware: Any) -> None:
        resolver = self._field.root.definition.resolve or default_field_resolver
        self._around_blocks = middleware.blocks(resolver)
        if self._around_blocks:
            self._placement = placements.of(self.source, self.name)
        if isinstance(self.source, Source):
            meta = self.subscription_class._meta
            if meta.filter_event is not None and not runs_on_loop(meta.filter_event):
                name = f"`filter_event` of {self.name}"
                self._filter_placement = placements.of(self.source, name)

    @property
    def info(self) -> GraphQLResolveInfo:
        """What the hooks get as their `info`.

        It is made anew for those that are called when a subscription begins and ends, and kept
        for those that are called for each event.
        """
        return self._field.info() if self._info is None else self._info

    def _kept_info(self) -> GraphQLResolveInfo:
        if self._info is None:
            self._info = self._field.info()
        return self._info

    @property
    def definition(self) -> GraphQLField:
        """The field of the schema."""
        return self._field.root.definition

    @property
    def has_filter(self) -> bool:
        """Whether the class decides for each client: by a `filter_event`, or permissions."""
        return bool(self.permissions) or self.subscription_class._meta.filter_event is not None

    def use_loaders(self, loaders: DataLoaders) -> None:
        """Have the data loaders of the context made anew for each event."""
        self._loaders = loaders
        self.is_special = True

    def _forget_loaders(self) -> None:
        if self._loaders is not None:
            self._loaders.forget()

    def call(self, hook: Hook) -> Any:
        """Call a hook of the class; the result may be awaitable."""
        call = partial(hook, None, self.info, **self.arguments)
        if self._uses_threads and not (runs_on_loop(hook) or isasyncgenfunction(hook)):
            return in_thread(call)
        return call()

    def call_once(self, hook: Hook, what: str) -> Eager[Any]:
        """Call a hook that is called once for a subscription; return what it returns.

        Args:
            hook: the hook.
            what: what it is called for, before the name of the class: "A subscription to".

        Raises:
            HookTimeoutError: it took too long.
            Exception: what the hook raises.
        """
        result = self.call(hook)
        while is_awaitable(result):
            result = yield self.watched(result, getattr(hook, "__name__", "a hook"), what)
        return result

    def watched(self, awaitable: Any, hook: str, what: str = "An event of") -> Any:
        """Return a coroutine that awaits a hook, but not for ever."""
        if self.patience.is_endless:
            return awaitable
        return HookWatch(f"{what} {self.name}", hook, self.patience).wait(awaitable)

    def room(self) -> Awaitable[None] | None:
        """Return something to wait for before an event, while its owner awaits very much."""
        return self.variables.copy().run(room_in_crowd) if full_crowds else None

    @property
    def owner(self) -> Hashable:
        """Who its executions are counted for; `None`: nobody who is known."""
        return self.variables.copy().run(current_key)

    def call_filter(self, event: Payload) -> Any:
        """Call `filter_event`; the result may be awaitable."""
        self._forget_loaders()
        hook, info = self.subscription_class._meta.filter_event, self._kept_info()

        def call() -> Any:
            return hook(event.payload(), info, **self.arguments)

        return _placed(call, self._filter_placement)

    def call_permission(self, permission: type[BasePermission], payload: Any) -> Any:
        """Ask a permission about an event; the result may be awaitable."""
        call = call_of(permission, payload, self._kept_info(), self.arguments)
        placement = None
        if self._placements is not None and not runs_on_loop(permission.has_permission):
            name = f"Permission {permission.__qualname__} of {self.name}"
            placement = self._placements.of(self.source, name)
        answer = _placed(call, placement)
        return self.watched(answer, "has_permission") if is_awaitable(answer) else answer

    def start(self, payload: Any, event: Payload | None = None) -> Any:
        """Begin to execute an event; return what `finish` makes the result of.

        Args:
            payload: of the event.
            event: has more of them, as `publish` may have changed the first one when it turns
                out to need a thread.
        """
        if self.is_special:
            return self._start_special(payload, event)
        return self.start_here(payload)

    def _start_special(self, payload: Any, event: Payload | None) -> Any:
        """Begin to execute an event that has data loaders, or may need a thread."""
        self._forget_loaders()
        placement = self._placement
        if placement is None:
            return self.start_here(payload)
        if placement.on_loop:
            refused, started = placement.refusals(), perf_counter()
            result = self.start_here(payload)
            placement.took(perf_counter() - started)
            if placement.refusals() == refused and not _wants_thread(result):
                return result
            placement.stay_in_threads("needs a thread")
            payload = payload if event is None else event.payload()
            call = partial(placement.watched, partial(self._field.execute, payload))
            return self._again(result, call)
        self.delivery.skipped = False
        self.tally.executed += 1
        call = partial(self._field.execute, payload)
        return in_thread(partial(placement.watched, call), EVENTS)

    async def _again(self, first: Any, call: Callable[[], Any]) -> Any:
        """Execute an event in a thread, once its first execution has ended."""
        if is_awaitable(first):
            # Closed, it would leave coroutines behind that were never awaited.
            with suppress(Exception):
                await first
        self.delivery.skipped = False
        return await in_thread(call, EVENTS)

    def start_here(self, payload: Any) -> Any:
        """Do as `start` where the plan is not special; most subscribers take this path."""
        self.delivery.skipped = False
        self.tally.executed += 1
        publish = self._publish
        if publish is None:
            return self._field.execute(payload)
        field: Any = self._field
        info = field.info(payload)
        try:
            value = publish(payload, info, **self.arguments)
        except Exception as error:  # noqa: BLE001 (the hook may raise anything)
            return field.failed(payload, error)
        if type(value) is not dict:  # Fast path: a dict is never SKIP, COMPLETE or None.
            if self.delivery.take_sentinel(value):
                return None
            if is_awaitable(value):
                return self._published(payload, value, info)
            self.delivery.look_at(value)
        elif self._is_new_to_dicts:
            self._is_new_to_dicts = False
            self.delivery.look_at(value)
        return field.complete(payload, value, info)

    async def _published(self, payload: Any, value: Any, info: GraphQLResolveInfo) -> Any:
        """Wait for `publish`, and complete what it returns."""
        field: Any = self._field
        try:
            value = await value
        except Exception as error:  # noqa: BLE001 (the hook may raise anything)
            return field.failed(payload, error)
        if self.delivery.take_sentinel(value):
            return None
        self.delivery.look_at(value)
        return field.complete(payload, value, info)

    def finish(self, result: Any) -> Eager[ExecutionResult | None]:
        """Wait for what `start` returned: the result, `None` if the event is to be skipped."""
        while is_awaitable(result):
            result = yield self.watched(result, self._waits_for)
        return None if self.delivery.skipped else result

    @property
    def _waits_for(self) -> str:
        if not isinstance(self.source, Source):
            return "its fields"
        return self.delivery.hook

    def run(self, payload: Any) -> Eager[ExecutionResult | None]:
        """Execute an event; `None` if the event is to be skipped."""
        return self.finish(self.start(payload))

    def run_hook(self, hook: str, payload: Any = None) -> Eager[ExecutionResult | None]:
        """Execute an event that is not a broadcast, with another hook in place of `publish`.

        Args:
            hook: the name of the hook: "initial" or "on_gap".
            payload: the first argument of the hook.
        """
        self.delivery.hook = hook
        self.delivery.skipped = False
        self.tally.executed += 1
        self._forget_loaders()
        call = partial(self._field.execute, payload)
        own: Any = getattr(self.subscription_class._meta, hook)
        blocks = self._around_blocks or not runs_on_loop(own)
        try:
            result = in_thread(call, EVENTS) if self._uses_threads and blocks else call()
            return (yield from self.finish(result))
        finally:
            self.delivery.hook = "publish"


def _placed(call: Callable[[], Any], placement: Placement | None) -> Any:
    """Call where that may be done; the result may be awaitable."""
    if placement is None:
        return call()
    if placement.on_loop:
        answer, is_done = placement.tried(call)
        if is_done:
            return answer
    return in_thread(partial(placement.watched, call), EVENTS)


def _uncompiled(
    schema: GraphQLSchema,
    document: Document,
    request: Subscribe,
    context: Any,
    middleware: MiddlewareManager | None,
) -> CoreEventField | list[GraphQLError]:
    return bind(
        schema,
        document.ast,
        request,
        context,
        middleware,
        document.limits,
        hide_suggestions=document.hides_suggestions,
    )


def _direct_publish(source: Hook, field: EventField | CoreEventField) -> Hook | None:
    """Return the `publish` hook, if only the resolver of the class would be around it.

    That resolver hands `SKIP` on by a context variable, which costs as much as all the rest.
    """
    if not isinstance(source, Source) or not isinstance(field, EventField):
        return None
    # `publish` may change lists and input objects, so that each event has its own.
    if not field.is_resolved_by(source.resolver):
        return None
    publish: Hook | None = source.subscription_class._meta.publish
    return publish


def _wants_thread(result: Any) -> bool:
    """Return whether an event failed only because an event loop runs in its thread."""
    errors = result.errors if type(result) is ExecutionResult else None
    return errors is not None and any(map(needs_thread, errors))


def _no_source(root: EventRoot) -> NoReturn:
    name = root.nodes[0].name.value
    raise GraphQLError(
        f"Field {name!r} is not a subscription: mount one with `MySubscription.Field()`, "
        "or give it a `subscribe_…` method.",
        root.nodes,
    )

"""The session of a connection or request: what its operations ask of the endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, suppress
from copy import copy
from functools import partial
from typing import Any, Final, Protocol

from channels_graphql_ws.client_log import LogFields, log_fields
from channels_graphql_ws.concurrency.eager import Eager, is_awaitable
from channels_graphql_ws.concurrency.thread_loop import lend_to_loaders
from channels_graphql_ws.concurrency.threads import context_of_nobody
from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.execution.context import OperationContext
from channels_graphql_ws.execution.loaders import DataLoaders
from channels_graphql_ws.execution.masking import Mask
from channels_graphql_ws.execution.parser_queue import Sender
from channels_graphql_ws.execution.request import Subscribe
from channels_graphql_ws.operations.engine import Engine, engine_by_now, engine_of
from channels_graphql_ws.operations.hook_calls import call_hook
from channels_graphql_ws.operations.interfaces import Client
from channels_graphql_ws.operations.lent import Lent
from channels_graphql_ws.operations.listing import (
    ListedConnection,
    ListedSubscription,
    listed_connection,
)
from channels_graphql_ws.operations.option_values import declared_class
from channels_graphql_ws.operations.overrides import Hooks
from channels_graphql_ws.operations.places import (
    address_of,
    identity_of,
    user_id_of,
    user_of,
)
from channels_graphql_ws.operations.revalidation import (
    PATIENCE,
    SETTING,
    Revalidation,
    Watched,
    claim_of,
)
from channels_graphql_ws.operations.revocation import (
    NOBODY,
    Revocable,
    Rights,
    rights_of,
    seconds_until,
)
from channels_graphql_ws.pubsub.hub import SEND_AWAY_TIMEOUT, Hub
from channels_graphql_ws.pubsub.layers import is_local
from channels_graphql_ws.pubsub.listen_to_channel import OwnChannel, listen
from channels_graphql_ws.settings import project_settings
from channels_graphql_ws.shutdown import drain_all
from channels_graphql_ws.signals import ClientSignal, ConnectionSignals
from channels_graphql_ws.subscription.queue import QueuedBytes
from channels_graphql_ws.subscription.replays import Replays
from channels_graphql_ws.subscription.runs import Run, RunOwner
from channels_graphql_ws.tracing import Tracer, tracing

_TRACE_HEADERS: Final = frozenset({b"traceparent", b"tracestate"})

_going: set[asyncio.Task[None]] = set()
"""Held here, or the garbage collector may end one half-way."""


class Endpoint(Protocol):
    """The consumer or view, as far as its operations need it."""

    channel_layer_alias: str
    max_queued_bytes: int | None
    max_waiting_documents: int | None
    resolve_sync_in_threads: bool | None
    revalidate_every: float | None
    revalidate_operations_every: float | None
    subscription_notification_queue_limit: int
    trusted_proxies: Sequence[str]

    def on_operation(self, op_id: Any, payload: Mapping[str, Any]) -> Any:
        """Refuse an operation by raising, or replace something of it. May be awaitable."""
        ...

    def get_context(self, context: OperationContext) -> Any:
        """Return the `info.context`. May be awaitable."""
        ...

    def get_root_value(self, context: Any) -> Any:
        """Return the root value. May be awaitable."""
        ...

    def execute_operation(self, **arguments: Any) -> Any:
        """Execute a query or mutation as the user wants. May be awaitable."""
        ...

    def _format_error(self, error: Exception) -> Mapping[str, Any]:
        """Return what a client is told of an error."""
        ...


OBSERVER: Final = "channels_graphql_ws.observer"
"""The name of an ASGI extension that is told which operations are done. No server has it; a
test that calls the application itself may."""


class Observer(Protocol):
    """What a test puts into the `extensions` of a scope."""

    def attached(self) -> None:
        """The application will report its operations."""
        ...

    def settled(self, id: object) -> None:
        """A query or mutation has ended, or a subscription is live or refused."""
        ...


def _observed(running: Eager[None], observer: Observer, id: object) -> Eager[None]:
    yield from running
    observer.settled(id)


def after_look_up(
    running: Eager[None],
    revalidation: Revalidation,
    watched: Watched,
    trust: float,
    joining: asyncio.Task[None] | None = None,
) -> Eager[None]:
    """Start an operation if the rights of its connection have not ended.

    Args:
        running: the operation.
        revalidation: looks them up.
        watched: the connection.
        trust: seconds that a look-up counts.
        joining: done when the end of rights is told: what ends before it is looked up.
    """
    if joining is not None:
        yield asyncio.wait([joining], timeout=PATIENCE)
    waiting = revalidation.before_operation(watched, trust)
    if waiting is not None:
        yield waiting
    if not watched.has_ended:
        yield from running


class RunLease:
    """What a run keeps of the session that has begun it; it ends with the rights of that.

    Args:
        session: has begun it.
        lent: for this run.
        run: the run.
        scope: has the user of the run.
    """

    def __init__(
        self, session: EndpointSession, lent: Lent, run: Run, scope: dict[str, Any]
    ) -> None:
        self._lent = lent
        self._run = run
        self.hub: Hub | None = None
        # Without a layer, only this process knows of the run.
        with suppress(ChannelLayerError):
            self.hub = lent.hub()
        self.reaches_others = self.hub is not None and not is_local(self.hub.layer)
        # Not before: a layer that is silent ends no run.
        lent.drainable = self
        session.watch_rights_with(lent, scope)

    def revoke(self, reason: str) -> None:
        """End the run: the rights of its owner have ended."""
        self._run.revoke(reason)

    async def drain(self, timeout: float) -> None:
        """End the run with the process."""
        await self._run.drain(timeout)

    async def close(self) -> None:
        """Give everything back."""
        await self._lent.close()


class EndpointSession:
    """The `Session` of the engine, over WebSocket and HTTP alike.

    Operations of one client identity share it; see `for_identity`.

    Args:
        endpoint: the consumer or view.
        scope: the ASGI scope of the connection or request.
        channel_name: the channel of the connection, `None` if it has none of its own.
        more: what `info.context` has besides what every context has.
        signals: those about the connection, if it has begun before.
        is_closed: whether nobody may begin to listen any more.

    Raises:
        TypeError, ValueError: an option of the endpoint makes no sense, see `engine_of`.
    """

    __slots__ = (
        "__weakref__",
        "_asks",
        "_endpoint",
        "_executes",
        "_formatter",
        "_gets_context",
        "_gets_root_value",
        "_lent",
        "_more",
        "_observer",
        "connection_params",
        "engine",
        "queued",
        "replays",
        "scope",
    )

    def __init__(
        self,
        endpoint: Endpoint,
        scope: Any,
        channel_name: str | None = None,
        more: Mapping[str, Any] | None = None,
        *,
        signals: ConnectionSignals | None = None,
        is_closed: bool = False,
    ) -> None:
        self.engine: Engine = engine_of(endpoint)
        signals = signals or signals_of(endpoint)
        alias = endpoint.channel_layer_alias
        self._lent = Lent(alias, channel_name, signals, is_closed=is_closed)
        self.queued = QueuedBytes(endpoint.max_queued_bytes)
        self.replays = Replays(endpoint.max_queued_bytes)
        self.connection_params: Mapping[str, Any] = {}
        self._endpoint = endpoint
        self._formatter: ErrorFormatter | None = None
        self.scope = scope
        self._more = more or {}
        self._observer: Observer | None = (scope.get("extensions") or {}).get(OBSERVER)
        if self._observer is not None:
            self._observer.attached()
        hooks = _HOOKS.overridden(endpoint)
        self._asks = "on_operation" in hooks
        self._executes = "execute_operation" in hooks
        self._look_at_getters()

    def _look_at_getters(self) -> None:
        """See whether context and root value are the user's; `on_connect` may have set them."""
        getters = _GETTERS.overridden(self._endpoint)
        self._gets_context = "get_context" in getters
        self._gets_root_value = "get_root_value" in getters

    def for_identity(self, scope: Any, connection_params: Mapping[str, Any]) -> EndpointSession:
        """Return a session for the operations that begin from now on.

        Those that have begun keep theirs, with the scope and the payload that were accepted then.
        """
        session = copy(self)
        session.scope = scope
        session.connection_params = connection_params
        self._lent.scope = scope
        return session

    def engine_by_now(self) -> Engine:
        """Return the engine for the options that the endpoint has by now.

        Raises:
            TypeError, ValueError: one makes no sense, see `engine_of`.
        """
        self._look_at_getters()
        return engine_by_now(self._endpoint, self.engine)

    def start(self, client: Client) -> Eager[None]:
        """Start an operation, see `Engine.start`."""
        running = self.engine.start(client, self)
        trust = self._endpoint.revalidate_operations_every
        if self._lent.looked_up is not None and trust is not None:
            running = after_look_up(running, *self._lent.looked_up, trust, self._lent.joining)
        if tracing.tracer is not None:
            running = self._traced(tracing.tracer, running, client.request)
        if self._observer is None:
            return running
        return _observed(running, self._observer, client.request.id)

    def _traced(self, tracer: Tracer, running: Eager[None], request: Subscribe) -> Eager[None]:
        headers = {
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in self.scope.get("headers", ())
            if name in _TRACE_HEADERS
        }
        sources = [request.extensions or {}, self.connection_params, headers]
        return tracer.operation(running, sources, self.scope["type"])

    @property
    def mask(self) -> Mask:
        """Which errors clients are not told of."""
        return self.engine.settings.mask

    @property
    def channel_name(self) -> str | None:
        """The channel of the connection, `None` if it has none of its own."""
        return self._lent.channel_name

    @channel_name.setter
    def channel_name(self, name: str | None) -> None:
        self._lent.channel_name = name

    @property
    def has_resources(self) -> bool:
        """Whether `close` has anything to do."""
        return bool(self._lent)

    def send_away_with_hub(self, connection: Revocable) -> None:
        """Have a connection ended if nothing comes through the channel layer any more."""
        self._lent.drainable = connection

    def watch_rights(self) -> Rights | None:
        """Have the connection ended when the rights that the scope gives now have ended.

        Returns:
            The rights that it had before.
        """
        self._lent.scope = self.scope
        return self.watch_rights_with(self._lent, self.scope)

    def run_owner(self) -> RunOwner:
        """Return who begins a run, or wants to watch one."""
        identity, proxies = identity_of(self.scope), self._endpoint.trusted_proxies
        # A stranger may have a new session for each run: those of an address count together.
        known = user_of(self.scope) or address_of(self.scope, proxies)
        return RunOwner(identity, known or identity, known is not None)

    def lend_to(self, run: Run, context: Any) -> RunLease:
        """Lend a run what it keeps when the connection has gone: hub, and the end of rights.

        Args:
            run: begins.
            context: that of its operation: it gets a scope of its own. Others may watch the run,
                and must not see who logs in over this connection later.
        """
        scope = self.scope
        if isinstance(context, OperationContext):
            scope = context._asdict()["channels_scope"] = dict(scope)
        alias = self._endpoint.channel_layer_alias
        return RunLease(self, Lent(alias, None, self._lent.signals, is_closed=False), run, scope)

    def watch_rights_with(self, lent: Lent, scope: dict[str, Any]) -> Rights | None:
        """Have what is lent end when the rights that a scope gives now have ended.

        Returns:
            The rights that it had before.
        """
        # Whoever renews the connection renews its runs.
        lent.expire(self.scope)
        rights = rights_of(scope)
        claim = None
        if rights is not None and project_settings.get(SETTING):
            claim = claim_of(scope, rights)
        lent.look_up(claim, self._endpoint.revalidate_every, scope)
        if rights is None and project_settings.get("LIST_CONNECTIONS"):
            rights = NOBODY
        return lent.watch(rights, self.engine.settings.group_name_prefix, scope)

    def look_up_rights(self) -> None:
        """Look the rights up that are watched: they may have ended since they were read."""
        trust = self._endpoint.revalidate_operations_every
        if self._lent.looked_up is not None and trust is not None:
            revalidation, watched = self._lent.looked_up
            look_up = partial(revalidation.before_operation, watched, trust)
            joining = self._lent.joining
            if joining is None:
                look_up()
            else:
                # What ends before that is not told.
                joining.add_done_callback(lambda _: look_up())

    def look_up_again(self) -> Awaitable[None] | None:
        """Return something to wait for if the rights were looked up too long ago to execute now.

        If they have ended, the connection is closed, and what waits is cancelled.
        """
        trust = self._endpoint.revalidate_operations_every
        if self._lent.looked_up is None or trust is None:
            return None
        revalidation, watched = self._lent.looked_up
        return revalidation.before_operation(watched, trust)

    def renew(self, expires_at: Any) -> None:
        """Let the rights of the connection end at another time, see `OperationContext.renew`."""
        if expires_at is not None:
            seconds_until(expires_at)
        loop = self._lent.loop_of_connection(self.scope)
        # Before the event loop may look, as this may be another thread.
        self.scope["expires_at"] = expires_at
        loop.call_soon_threadsafe(self._renewed)

    def _renewed(self) -> None:
        # Another user may have logged in over the connection meanwhile.
        if self._lent.scope is self.scope:
            self.watch_rights()

    def hub(self) -> Hub:
        """Return the hub of this event loop; it stays until the session is closed.

        Raises:
            ChannelLayerError: there is no channel layer.
        """
        return self._lent.hub()

    def send_away(self) -> None:
        """Close the connection, so that its client comes again."""
        connection = self._lent.drainable
        if connection is not None:
            going = drain_all([connection], SEND_AWAY_TIMEOUT)
            task = asyncio.get_running_loop().create_task(going, context=context_of_nobody())
            _going.add(task)
            task.add_done_callback(_going.discard)

    def own_channel(self) -> OwnChannel:
        """Return what listens to `channel_name`.

        Raises:
            ChannelLayerError: there is no channel layer.
        """
        return self._lent.own_channel()

    def listen_to_channel(
        self,
        type: str,
        *,
        timeout: float | None = None,
        groups: Iterable[str] = (),
        prefix: str = "",
    ) -> AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]:
        """Listen to other Channels code, see `OperationContext.listen_to_channel`."""
        own = self.own_channel()
        if self.channel_name is None and not groups:
            raise ChannelLayerError(
                "Only an operation whose answer is a stream has a channel of its own: name groups"
            )
        limit = self._endpoint.subscription_notification_queue_limit
        return listen(own, type, timeout=timeout, groups=groups, prefix=prefix, queue_limit=limit)

    def parsing_share(self) -> Sender:
        """Return the sender of documents.

        What one user or address sends is parsed one at a time, and its connections take turns.
        How many of its requests over HTTP may wait is not limited here: many come at once.
        """
        proxies = self._endpoint.trusted_proxies
        owner = user_of(self.scope) or address_of(self.scope, proxies) or self._lent
        if self.scope["type"] == "websocket":
            return Sender(owner, self._lent, self._endpoint.max_waiting_documents)
        return Sender(owner)

    def before_operation(self, request: Subscribe) -> Any:
        """Call `on_operation` if the user has one."""
        if not self._asks:
            return None
        payload = request.for_hook()
        # Nobody else looks at all that the client sent, and it may be large.
        request.payload = {}
        return call_hook(self._endpoint, "on_operation", request.id, payload=payload)

    def operation_context(self, request: Subscribe) -> Any:
        """Return the `info.context` of one operation."""
        items = {
            "channels_scope": self.scope,
            "channel_name": self._lent.channel_name,
            "graphql_operation_name": request.operation_name,
            "graphql_operation_id": request.id,
            "connection_params": self.connection_params,
            **self._more,
        }
        factories = self.engine.settings.data_loaders
        if factories:
            items["data_loaders"] = DataLoaders(factories)
        consumer = None if self._more else self._endpoint
        context = OperationContext(items, self, consumer)
        if not self._gets_context:
            return context
        made = call_hook(self._endpoint, "get_context", context)
        lends = self._endpoint.resolve_sync_in_threads is not False
        return _lending(made) if lends and is_awaitable(made) else made

    def get_root_value(self, context: Any) -> Any:
        """Return the root value of a query or mutation."""
        if not self._gets_root_value:
            return None
        return call_hook(self._endpoint, "get_root_value", context)

    def executor(self) -> Callable[..., Any] | None:
        """Return `execute_operation` if it is the user's."""
        return self._endpoint.execute_operation if self._executes else None

    def log_about(self, request: Subscribe) -> LogFields:
        """Have the records of the running code be about an operation."""
        fields = LogFields(
            self, EndpointSession._connection_fields, request.id, request.operation_name
        )
        log_fields.set(fields)
        return fields

    def _connection_fields(self) -> tuple[str, object]:
        return self._lent.signals.id, user_id_of(self.scope)

    def listed(
        self, subscriptions: Iterable[ListedSubscription], *, operations: int, unsent_bytes: int
    ) -> ListedConnection:
        """Return what operators are told of a WebSocket."""
        return listed_connection(
            self._lent.signals.id,
            "WebSocket",
            self.scope,
            subscriptions,
            operations=operations,
            unsent_bytes=unsent_bytes,
        )

    @property
    def signals(self) -> ConnectionSignals:
        """What tells receivers of Django signals about the connection."""
        return self._lent.signals

    def send_signal(self, signal: ClientSignal, **arguments: Any) -> None:
        """Send a Django signal about the client."""
        self._lent.signals.send(signal, self.scope, **arguments)

    def refused(self, request: Subscribe, error: Exception, name: str | None = None) -> None:
        """Tell receivers of signals that an operation was refused, see `Session`."""
        named = {"operation_id": request.id, "operation_name": request.operation_name or name}
        self._lent.signals.refuse(self.scope, "operation", error, error=error, **named)

    def format_error(self, error: Exception) -> Mapping[str, Any]:
        """Return what a client is told of an error."""
        return self.formatter(error)

    @property
    def formatter(self) -> ErrorFormatter:
        """What does so, for those who keep it: the same object for all subscriptions."""
        formatter = self._formatter
        if formatter is None or formatter.engine is not self.engine:
            formatter = self._formatter = ErrorFormatter(self._endpoint, self.engine)
        return formatter

    async def stop_listening(self) -> None:
        """End all listening, and let nobody begin to; harmless when repeated."""
        await self._lent.stop_listening()

    async def close(self) -> None:
        """Release what was lent; harmless when repeated."""
        await self._lent.close()


class ErrorFormatter:
    """Returns what clients are told of errors.

    Args:
        endpoint: its hook has the words.
        engine: knows which errors are hidden.
    """

    __slots__ = ("_endpoint", "engine")

    def __init__(self, endpoint: Endpoint, engine: Engine) -> None:
        self._endpoint = endpoint
        self.engine = engine

    def __call__(self, error: Exception) -> Mapping[str, Any]:
        """Return what a client is told of an error."""
        shown = self.engine.settings.mask(error)
        return self._endpoint._format_error(shown)  # noqa: SLF001 (its public name)


_HOOKS: Final = Hooks({"on_operation", "execute_operation"})

_GETTERS: Final = Hooks({"get_context", "get_root_value"})


def signals_of(endpoint: object) -> ConnectionSignals:
    """Return what tells receivers about one connection to an endpoint."""
    return ConnectionSignals(declared_class(type(endpoint)))


async def _lending(made: Awaitable[Any]) -> Any:
    context = await made
    lend_to_loaders(context, asyncio.get_running_loop())
    return context

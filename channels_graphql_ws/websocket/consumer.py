"""`GraphqlWsConsumer`: Channels callbacks and user hooks around a `Connection`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from functools import lru_cache, wraps
from http import HTTPStatus
from time import monotonic
from typing import Any, ClassVar, Never, Unpack

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer

from channels_graphql_ws.client_log import ClientLog, LogFields, log_fields
from channels_graphql_ws.concurrency import fairness
from channels_graphql_ws.concurrency.eager import is_awaitable
from channels_graphql_ws.exceptions import (
    ChannelLayerError,
    ChannelLayerUnavailableError,
    InvalidMessageError,
)
from channels_graphql_ws.operations.class_checks import check_instance, check_names
from channels_graphql_ws.operations.defaults import is_set, settle, settled
from channels_graphql_ws.operations.engine import Engine
from channels_graphql_ws.operations.graphene_settings import default_schema
from channels_graphql_ws.operations.hook_calls import call_hook, name_of
from channels_graphql_ws.operations.keywords import WebSocketKeywords
from channels_graphql_ws.operations.mounting import (
    check_arguments,
    check_called,
    check_class,
    check_request,
)
from channels_graphql_ws.operations.option_values import (
    SettingsReader,
    split_options,
    with_options,
)
from channels_graphql_ws.operations.overrides import Hooks, default
from channels_graphql_ws.operations.places import NoPlaceError, user_id_of
from channels_graphql_ws.operations.revocation import seconds_until
from channels_graphql_ws.operations.script_prefix import enter_script_prefix
from channels_graphql_ws.operations.server_limit import ServerLimit
from channels_graphql_ws.operations.session import EndpointSession, signals_of
from channels_graphql_ws.operations.sizes import LONG_TEXT, least
from channels_graphql_ws.pubsub import local
from channels_graphql_ws.pubsub.channel_reader import asked
from channels_graphql_ws.pubsub.layer_traits import unheld_channel
from channels_graphql_ws.pubsub.layers import register_endpoint
from channels_graphql_ws.shutdown import (
    DEFAULT_TIMEOUT,
    Connections,
    connections_of_loop,
    remaining,
    yield_to_server,
)
from channels_graphql_ws.signals import ConnectionSignals
from channels_graphql_ws.websocket.application import ConsumerApplication
from channels_graphql_ws.websocket.channel_messages import ChannelMessages
from channels_graphql_ws.websocket.connection import Connection
from channels_graphql_ws.websocket.handshake import (
    ConnectionPlace,
    Refusal,
    problem_of_origin,
    problem_of_place,
    problem_of_size,
    refuse,
)
from channels_graphql_ws.websocket.hooks import RESULT_HOOKS, WebSocketHooks
from channels_graphql_ws.websocket.identity import Identities
from channels_graphql_ws.websocket.interfaces import ConnectionSettings
from channels_graphql_ws.websocket.messages import CloseCode
from channels_graphql_ws.websocket.options import ConsumerOptions
from channels_graphql_ws.websocket.pace import AT_LEAST, SLICE, Pace
from channels_graphql_ws.websocket.protocol import (
    SERVICE_RESTART,
    ProtocolSettings,
    ServerProtocol,
)
from channels_graphql_ws.websocket.receiver import Receiver
from channels_graphql_ws.websocket.subprotocols import (
    SUBPROTOCOLS,
    Subprotocol,
    choose,
    for_hook,
    named,
    parse,
)

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")


class GraphqlWsConsumer(ConsumerOptions, WebSocketHooks, AsyncJsonWebsocketConsumer):
    """Serves GraphQL over WebSocket: subclass it, set `schema`, mount `as_asgi()`.

    Speaks both subprotocols, `graphql-transport-ws` and the legacy `graphql-ws`. All
    options may be set on the class or the instance until the connection opens; those of what is
    executed, such as `schema`, `middleware` and `max_depth`, in `on_connect`, too.

    Attributes:
        close_reason: the reason of the client's close, where the server tells it.
    """

    _engines: ClassVar[list[tuple[Any, Engine]]]

    _identities: Identities
    _signals: ConnectionSignals

    def __init_subclass__(cls, **options: Any) -> None:
        """Check the names of the class, and let broadcasts reach its groups."""
        super().__init_subclass__(**options)
        check_names(cls)
        register_endpoint(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make the consumer of one connection.

        Raises:
            AssertionError: the class has no `schema`.
            TypeError: a server has made it, see `check_arguments`.
        """
        check_arguments(type(self), args)
        # The error that users of the predecessor know; it is a mistake in their code.
        if getattr(self, "schema", None) is None and default_schema() is None:
            raise AssertionError(
                f"{type(self).__qualname__}.schema is missing: set it to a `graphene.Schema`"
            )
        super().__init__(*args, **kwargs)
        self.close_reason = ""
        self._close_code: int | None = None
        self._receiver: Receiver
        self._connections: Connections
        self._connection: Connection | None = None
        self._session: EndpointSession | None = None
        self._is_over = False
        # Known when the connection opens: hooks may be set on the instance until then.
        self._overridden: frozenset[str] = frozenset()
        self._takes_frames = False
        self._own_channel_name: str | None = None
        self._has_channel = False

    @property
    def channel_name(self) -> Any:
        """The name of this consumer's own channel; `None` without a channel layer.

        Raises:
            ChannelLayerError: the consumer has no channel. It has one if its class has
                handlers, `groups` or a method that uses this name, or says so.
        """
        if self._own_channel_name is not None and not self._has_channel:
            raise ChannelLayerError(
                f"This {type(self).__qualname__} does not read a channel of its own, so nothing "
                "could be sent to it: set `listen_to_channel_layer = True` on the class"
            )
        return self._own_channel_name

    @channel_name.setter
    def channel_name(  # pyright: ignore[reportIncompatibleVariableOverride] (was an attribute)
        self, name: str | None
    ) -> None:
        self._own_channel_name = name

    # A plain attribute in Channels, of a type that only its stubs have.
    @property  # type: ignore[override]
    def scope(self) -> dict[str, Any]:
        """The ASGI scope of the connection.

        `on_connect` may change it, which counts once it has accepted the client. After another
        user was accepted, operations that began before still see the one of before.
        """
        return self._identities.seen.scope

    @scope.setter
    def scope(self, scope: dict[str, Any]) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        if "_identities" in self.__dict__:
            self._identities.seen.scope = scope
        else:
            self._identities = Identities(scope)

    @property
    def connection_params(self) -> Mapping[str, Any]:
        """The payload of the last accepted `connection_init`; in `on_connect`, of the new one.

        A class that sets the attribute reads what it has set.
        """
        own: Mapping[str, Any] | None = self.__dict__.get("connection_params")
        return self._identities.seen.connection_params if own is None else own

    @connection_params.setter
    def connection_params(self, value: Mapping[str, Any]) -> None:
        # A likely name for what `on_connect` keeps.
        self.__dict__["connection_params"] = value

    @classmethod
    # Narrower than Channels' own, so that type checkers find a misspelt option.
    def as_asgi(  # type: ignore[override]
        cls, *called: Never, **initkwargs: Unpack[WebSocketKeywords]
    ) -> Any:
        """Return the ASGI application (Channels).

        Args:
            called: nothing.
            initkwargs: options of the class, or what its own `__init__` takes.

        Raises:
            TypeError, ValueError: an option is not known, or makes no sense.
        """
        check_called(cls, called)
        local.serving()
        options, own = split_options(cls, dict(initkwargs), GraphqlWsConsumer.__init__)
        made = with_options(cls, options)
        check_class(made)
        if not isinstance(made.subprotocols, property):
            named(settled(made).subprotocols, cls.__qualname__)
        # `super()` would look for the method above the class that was made.
        application: Any = super(GraphqlWsConsumer, made).as_asgi(**own)

        @wraps(application)
        async def checked(
            scope: Any, receive: Any = None, send: Any = None, **_path_params: Any
        ) -> None:
            check_request(cls.__qualname__, scope)
            # What Channels' own does, in one coroutine less for each connection.
            await made(**own)(scope, receive, send)

        return checked

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection (ASGI, WebSocket).

        Not through Channels' `dispatch`, which hops to a thread for every message.

        Raises:
            ValueError: this is not a WebSocket. Servers that ask an application for its
                `lifespan` take that for a no.
            TypeError: an `__init__` of a subclass does not call this class's.
        """
        if scope["type"] != "websocket":
            raise ValueError(
                f"GraphqlWsConsumer serves 'websocket' and not {scope['type']!r}: mount it "
                "under 'websocket' of a `channels.routing.ProtocolTypeRouter`"
            )
        # What is done in threads for this connection shares them with others.
        fairness.own()
        enter_script_prefix(scope)
        self._pings_at_once = is_set(self, "send_ping_every")
        settle(self)
        self._place = ConnectionPlace(self, scope)
        unsent = self._place.unsent
        fairness.share_as(fairness.Sharer(unsent.owner, unsent.room))
        self._identities = Identities(scope)
        self._signals = signals_of(self)
        log_fields.set(LogFields(self, GraphqlWsConsumer._log_fields))
        self.base_send = send
        self._server_limit = ServerLimit(send, unsent.owner)
        if not hasattr(self, "_close_code"):
            raise TypeError(
                f"{type(self).__qualname__}.__init__ must call `super().__init__(*args, **kwargs)`"
            )
        self._receiver = Receiver(receive)
        self.channel_layer: Any = None
        self._own_channel_name = None
        self._overridden = _HOOKS.overridden(self)
        self._takes_frames = _RECEIVING.isdisjoint(self._overridden)
        try:
            check_instance(self)
            # Before the handshake is accepted, the server reads what the client sends already.
            now = least(self.max_message_size, self.max_message_size_before_ack)
            self._server_limit.set(now, self.max_message_size)
            await self._serve()
        except StopConsumer:
            pass
        except asyncio.CancelledError:
            # So Daphne tells that it ends, and then waits for us.
            if self._connection is None:
                raise
            self._close_code = int(CloseCode.SERVICE_RESTART)
            await self._connection.drain(DEFAULT_TIMEOUT)
            await yield_to_server()
        # ASGI servers disagree on what a client sees of this: it must not reach them.
        except GeneratorExit:  # pragma: no cover (no server closes it)
            raise
        except BaseException:
            log.exception("A connection failed")
            await self._crash()
        finally:
            await self._end()

    async def connect(self) -> None:
        """Accept the socket with the best subprotocol that the client offers."""
        offered = [_text(name) for name in self.scope.get("subprotocols", [])]
        allowed = named(self.subprotocols, type(self).__qualname__)
        chosen = choose(offered, allowed)
        if chosen is None:
            # Some clients send a token as one more, which the log must not have.
            log.warning(
                "Refused a client, none of its subprotocols is ours: it offers %s, %s of which "
                "this server knows, and needs one of %s",
                len(offered),
                [each.name for each in SUBPROTOCOLS if each.name in offered] or "none",
                [each.name for each in allowed],
            )
            code, reason = CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE, "Subprotocol not acceptable"
            self._signals.refuse(self.scope, "connection", reason, code=int(code))
            await self.accept()
            await self.close(int(code), reason)
            return
        await self.accept(subprotocol=chosen.name)
        log.debug("A client has connected to %s: %s", self.scope.get("path"), chosen.name)
        self._connections = connections_of_loop()
        self._session = self._new_session()
        application = ConsumerApplication(
            self,
            self,
            self._session,
            self._identities,
            self._place,
            self._server_limit,
            self._overridden,
            self._crashed,
        )
        if self._connections.is_draining:
            await application.send_close(int(CloseCode.SERVICE_RESTART), SERVICE_RESTART)
            return
        settings = _settings(_reader.values(self))
        protocol = self._server_protocol(chosen, settings.protocol)
        self._connection = Connection(
            protocol,
            application,
            application,
            settings,
            pings_at_once=self._pings_at_once,
            unsent=self._place.unsent,
            live=self._place.live,
        )
        self._session.send_away_with_hub(self._connection)
        self._connections.add(self._connection)
        self._connection.opened()

    async def close(self, code: Any = None, reason: str | None = None) -> None:
        """Close the socket (Channels)."""
        with self._receiver.paused():
            self._receiver.expect_end()
            await super().close(code, reason)

    def renew(self, expires_at: datetime | float | None) -> None:
        """Change the time at which the rights of this connection end: in `on_ping`, for example.

        In `on_connect` it counts once the client is accepted.

        Args:
            expires_at: a date and time, or seconds since 1970, as `exp` of a JWT; `None`: they
                do not expire. It is `self.scope["expires_at"]` from then on.

        Raises:
            TypeError: it is not a time.
            RuntimeError: the connection is not open.
        """
        if expires_at is not None:
            seconds_until(expires_at)
        if self._connection is None:
            raise RuntimeError("There is nothing to renew: the connection is not open")
        scope, accepted = self.scope, self._identities.accepted
        if scope is accepted.scope and not self._identities.is_first:
            session = self._lent().for_identity(scope, accepted.connection_params)
            session.renew(expires_at)
        else:
            # What `on_connect` is deciding on.
            scope["expires_at"] = expires_at

    async def disconnect(self, code: int | None) -> None:
        """End everything that belongs to this connection."""
        self._close_code = code
        log.debug("A client has disconnected: %s", code)
        await self._end()

    @default
    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any
    ) -> None:
        """Take a frame and pass it to `receive_json`, unless it is not even JSON."""
        frame = bytes_data if text_data is None else text_data
        if self._connection is None or self._connection.may_take(frame):
            try:
                content = await self._decode(frame)
            except InvalidMessageError:
                pass
            # What `decode_json` does not take is not JSON, whatever it is.
            except (ValueError, RecursionError):
                frame = ""
            else:
                await self.receive_json(content, **kwargs)
                return
        if waiting := self._take_frame(frame):
            await waiting

    @default
    async def receive_json(self, content: Any, **_kwargs: Any) -> None:
        """Take a decoded message. Override it to see or change messages."""
        connection = self._connection
        if connection is not None and (waiting := connection.received_json(content)):
            await waiting

    def listen_to_channel(
        self,
        type: str,
        *,
        timeout: float | None = None,
        groups: Iterable[str] = (),
        prefix: str = "",
    ) -> AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]:
        """Listen to other Channels code, see `OperationContext.listen_to_channel`."""
        return self._lent().listen_to_channel(type, timeout=timeout, groups=groups, prefix=prefix)

    async def channel_listen(
        self, type: str, *, timeout: float | None = None, groups: Iterable[str] = ()
    ) -> AsyncIterator[dict[str, Any]]:
        """Do as `listen_to_channel` does, in one `async for`: an older word of Strawberry's.

        What was sent before the first iteration is missed.
        """
        async with self.listen_to_channel(type, timeout=timeout, groups=groups) as messages:
            async for message in messages:
                yield message

    def _lent(self) -> EndpointSession:
        if self._session is None:
            self._session = self._new_session()
        return self._session

    def _new_session(self) -> EndpointSession:
        return EndpointSession(
            self,
            self.scope,
            self._own_channel_name,
            signals=self._signals,
            is_closed=self._is_over,
        )

    def _server_protocol(
        self, subprotocol: Subprotocol, settings: ProtocolSettings
    ) -> ServerProtocol:
        if "on_operation" in self._overridden:
            subprotocol = for_hook(subprotocol)
        return ServerProtocol(
            subprotocol,
            settings,
            asks_about_pings="on_ping" in self._overridden,
            tells_of_pongs="on_pong" in self._overridden,
        )

    async def _serve(self) -> None:
        try:
            messages = await self._use_channel_layer()
        except ChannelLayerUnavailableError as error:
            await self._refuse_for_now(error)
            return
        pace = Pace(self.max_messages_per_second)
        tokens, busy = pace.most, 0.0
        while True:
            event = await self._receiver()
            started = monotonic()
            connection = self._connection if self._takes_frames else None
            if connection is not None and event["type"] == "websocket.receive":
                frame = event.get("text")
                if frame and len(frame) > LONG_TEXT:
                    waiting: Awaitable[None] | None = connection.received_in_turn(frame)
                else:
                    waiting = connection.received(event.get("bytes") if frame is None else frame)
                if waiting is not None:
                    await waiting
            elif not await self._take_event(event, messages):
                break
            tokens -= 1
            took = monotonic() - started
            busy += took if took > AT_LEAST else AT_LEAST  # noqa: FURB136 (a call less)
            if busy > SLICE or tokens < 0:
                tokens, busy = await pace.give_way(tokens), 0.0

    async def _refuse_for_now(self, error: ChannelLayerUnavailableError) -> None:
        """Refuse a handshake: the connection has handlers, and no channel that reaches them."""
        event = await self._receiver()
        if event["type"] == "websocket.connect":
            self._signals.refuse(self.scope, "handshake", error, code=503, error=error)
            refusal = Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"for now: {error}")
            await refuse(refusal, self.scope, self.base_send)

    async def _is_refused(self) -> bool:
        """Refuse a handshake that may not be accepted, and return whether it is one."""
        scope = self.scope
        refusal = problem_of_size(scope) or problem_of_origin(scope, self.allowed_origins)
        if refusal is None:
            try:
                self._place.take(scope)
            except NoPlaceError as error:
                refusal = problem_of_place(error)
        if refusal is not None:
            status, reason = int(refusal.status), refusal.reason
            self._signals.refuse(scope, "handshake", reason, code=status)
            await refuse(refusal, scope, self.base_send)
        return refusal is not None

    async def _use_channel_layer(self) -> ChannelMessages | None:
        self.channel_layer = get_channel_layer(self.channel_layer_alias)
        if self.channel_layer is None:
            return None
        messages = ChannelMessages(self, GraphqlWsConsumer)
        self._has_channel = messages.is_wanted
        # A layer may hold resources for each channel until it is read from.
        if not messages.is_wanted:
            self._own_channel_name = unheld_channel(self.channel_layer)
            return None
        self._own_channel_name = await asked(self.channel_layer.new_channel, "make a channel")
        return messages

    async def _take_event(self, event: Any, messages: ChannelMessages | None) -> bool:
        """Take what is not a frame for the connection; return whether to go on."""
        handle: Callable[[Any], Awaitable[None]] = self.dispatch
        if "dispatch" not in self._overridden:
            handle = getattr(self, event["type"].replace(".", "_"), handle)
        match event["type"]:
            case "websocket.receive":
                event.setdefault("bytes")
                await handle(event)
            case "websocket.connect":
                if await self._is_refused():
                    return False
                await handle(event)
                if messages is not None:
                    messages.listen(self._lent().own_channel())
            case "websocket.disconnect":
                self._close_code = event.setdefault("code")
                self.close_reason = event.get("reason") or ""
                if self.groups or not _DISCONNECTING.isdisjoint(self._overridden):
                    await handle(event)
                else:
                    # Channels' way to `disconnect` hops to a thread in the end.
                    await self.disconnect(self._close_code)
                    return False
            case _:
                await self.dispatch(event)
        return True

    async def _decode(self, frame: str | bytes | None) -> Any:
        connection = self._connection
        if connection is None or not frame or len(frame) <= LONG_TEXT:
            content = self._decoded(frame)
        else:
            async with connection.in_turn(frame):
                content = self._decoded(frame)
        return await content if is_awaitable(content) else content

    def _decoded(self, frame: str | bytes | None) -> Any:
        if "decode_json" in self._overridden and isinstance(frame, str):
            return self.decode_json(frame)
        return parse(frame)

    def _take_frame(self, frame: str | bytes | None) -> Awaitable[None] | None:
        connection = self._connection
        return None if connection is None else connection.received(frame)

    async def _end(self) -> None:
        """End what belongs to the connection, whichever way it was lost."""
        self._place.release()
        self._is_over = True
        session, self._session = self._session, None
        connection, self._connection = self._connection, None
        # Each of these is called, even if one before it fails or is cancelled.
        try:
            if session is not None:
                await session.stop_listening()
        finally:
            try:
                if connection is not None:
                    await self._end_connection(connection)
            finally:
                scope = self._identities.accepted.scope
                self._signals.closed(scope, self._close_code, self.close_reason)
                if session is not None:
                    await session.close()

    async def _end_connection(self, connection: Connection) -> None:
        self._connections.discard(connection)
        try:
            await connection.disconnected()
        finally:
            if "on_disconnect" in self._overridden:
                connection.enter()
                await self._call_on_disconnect()

    async def _call_on_disconnect(self) -> None:
        limit = asyncio.timeout(remaining(self.disconnect_timeout))
        try:
            async with limit:
                result: Any = call_hook(self, "on_disconnect", self._close_code)
                if is_awaitable(result):
                    await result
        # Nobody is left to be told of it but the log.
        except Exception:
            name = name_of(self, "on_disconnect")
            log.exception("%s %s", name, "took too long" if limit.expired() else "failed")

    def _log_fields(self) -> tuple[str, object]:
        return self._signals.id, user_id_of(self._identities.accepted.scope)

    def _crashed(self) -> None:
        assert self._connection is not None, "only a connection sends frames"
        self._connection.crashed()

    async def _crash(self) -> None:
        """Close with 4500, and drop a socket that cannot even take that."""
        try:
            if self._connection is not None:
                self._connection.crashed()
                await self._connection.closed()
            else:
                await self.close(int(CloseCode.INTERNAL_ERROR), "Internal server error")
        except Exception as error:  # noqa: BLE001 (servers raise what they like)
            log.debug("Cannot close: %r", error)


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("latin-1")


_RECEIVING = frozenset({"decode_json", "dispatch", "receive", "receive_json", "websocket_receive"})
_DISCONNECTING = frozenset({"dispatch", "websocket_disconnect"})

_HOOKS = Hooks(
    {"on_disconnect", "on_operation", "on_ping", "on_pong"}
    | {"encode_json", "send_json"}
    | _DISCONNECTING
    | RESULT_HOOKS
    | _RECEIVING
)

_reader = SettingsReader(ConnectionSettings, protocol=ProtocolSettings)
_settings = lru_cache(maxsize=128)(_reader.settings)
"""Connections with the same values have the same settings."""

for _name in (
    "decode_json",
    "dispatch",
    "encode_json",
    "send_json",
    "websocket_disconnect",
    "websocket_receive",
):
    _method = getattr(AsyncJsonWebsocketConsumer, _name)
    default(getattr(_method, "__func__", _method))

register_endpoint(GraphqlWsConsumer)

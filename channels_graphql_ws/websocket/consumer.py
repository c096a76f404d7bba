"""`GraphqlWsConsumer`: Channels callbacks → Connection; settings and user hooks."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from secrets import token_hex
from typing import Any, ClassVar

from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer

from channels_graphql_ws.concurrency.eager import Eager, is_awaitable
from channels_graphql_ws.exceptions import InvalidMessageError
from channels_graphql_ws.execution.context import OperationContext
from channels_graphql_ws.execution.errors import format_error
from channels_graphql_ws.execution.request import Subscribe
from channels_graphql_ws.json_text import loads
from channels_graphql_ws.operations.engine import Engine, engine_of
from channels_graphql_ws.operations.options import check_options, option_names, with_options
from channels_graphql_ws.operations.overrides import default, overridden
from channels_graphql_ws.pubsub.hub import Hub, hub_of
from channels_graphql_ws.pubsub.layers import channel_layer, register_endpoint
from channels_graphql_ws.pubsub.listen_to_channel import listen
from channels_graphql_ws.pubsub.local import serving
from channels_graphql_ws.shutdown import (
    DEFAULT_TIMEOUT,
    Connections,
    connections_of_loop,
    yield_to_server,
)
from channels_graphql_ws.websocket import subprotocols as _subprotocols
from channels_graphql_ws.websocket.channel_messages import ChannelMessages
from channels_graphql_ws.websocket.connection import Connection
from channels_graphql_ws.websocket.hooks import HookedClient, WebSocketHooks
from channels_graphql_ws.websocket.messages import CloseCode
from channels_graphql_ws.websocket.operation import ClientOperation
from channels_graphql_ws.websocket.options import ConsumerOptions
from channels_graphql_ws.websocket.protocol import SERVICE_RESTART
from channels_graphql_ws.websocket.receiver import Receiver

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")


class GraphqlWsConsumer(ConsumerOptions, WebSocketHooks, ChannelMessages):
    """Serves GraphQL over WebSocket: subclass it, set `schema`, mount `as_asgi()`.

    Speaks both subprotocols, `graphql-transport-ws` and the legacy `graphql-ws`. All
    attributes may be set on the class until its first connection.
    """

    schema: Any
    """A `graphene.Schema`, a `graphql.GraphQLSchema`, or something that has one."""

    _engines: ClassVar[list[tuple[Any, Engine]]]

    def __init_subclass__(cls, **options: Any) -> None:
        """Let broadcasts reach the groups of this class."""
        super().__init_subclass__(**options)
        register_endpoint(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Make the consumer of one connection.

        Raises:
            AssertionError: the class has no `schema`.
        """
        # The error that users of the predecessor know; it is a mistake in their code.
        if getattr(self, "schema", None) is None:
            raise AssertionError(
                f"{type(self).__qualname__}.schema is missing: set it to a `graphene.Schema`"
            )
        super().__init__(*args, **kwargs)
        self.connection_params: Mapping[str, Any] = {}
        self.close_reason = ""
        self._engine: Engine
        self._connection: Connection | None = None
        self._receiver: Receiver
        self._connections: Connections
        self._hub: Hub | None = None
        self._close_code: int | None = None
        # Known when the connection opens: hooks may be set on the instance until then.
        self._overridden: frozenset[str] = frozenset()
        self._takes_frames = False

    @staticmethod
    def _format_error(error: Exception) -> dict[str, Any]:
        """Tell clients of an error; override it to tell more, or less."""
        return format_error(error)

    @classmethod
    def as_asgi(cls, **initkwargs: Any) -> Any:
        """Give the ASGI application (Channels).

        Args:
            initkwargs: attributes of the class, or what a class with an `__init__` of its
                own takes.
        """
        serving()
        if not initkwargs or cls.__init__ is not GraphqlWsConsumer.__init__:
            return super().as_asgi(**initkwargs)
        check_options(initkwargs, option_names(cls), cls.__qualname__)
        return with_options(cls, initkwargs).as_asgi()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection (ASGI, WebSocket).

        Not through Channels' `dispatch`, which hops to a thread for every message.

        Raises:
            ValueError: this is no WebSocket. Servers that ask an application for its
                `lifespan` take that for a no.
        """
        if scope["type"] != "websocket":
            raise ValueError(
                f"GraphqlWsConsumer serves 'websocket' and not {scope['type']!r}: mount it "
                "under 'websocket' of a `channels.routing.ProtocolTypeRouter`"
            )
        self.scope = scope
        self.base_send = send
        self._receiver = Receiver(receive)
        self.channel_layer: Any = None
        self.channel_name: Any = None
        self._overridden = frozenset([name for name in _HOOKS if overridden(self, name)])
        self._takes_frames = _RECEIVING.isdisjoint(self._overridden)
        try:
            await self._use_channel_layer()
            while True:
                message = await self._receiver()
                if self._takes_frames and message["type"] == "websocket.receive":
                    if waiting := self._take_frame(_frame(message)):
                        await waiting
                elif not await self._take_event(message):
                    break
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
        except Exception:
            log.exception("A connection failed")
            await self._crash()
        finally:
            await self._end()

    async def connect(self) -> None:
        """Accept the socket with the best subprotocol that the client offers."""
        names: Any = self.scope.get("subprotocols", [])
        offered = [name if isinstance(name, str) else name.decode("latin-1") for name in names]
        chosen = _subprotocols.choose(offered, self.allowed_subprotocols())
        if chosen is None:
            log.warning("Refused a client, none of its subprotocols is ours: %s", offered)
            await self.accept()
            await self.close(
                int(CloseCode.SUBPROTOCOL_NOT_ACCEPTABLE), "Subprotocol not acceptable"
            )
            return
        await self.accept(subprotocol=chosen.name)
        connections = connections_of_loop()
        if connections.is_draining:
            await self.send_close(int(CloseCode.SERVICE_RESTART), SERVICE_RESTART)
            return
        self._engine = engine_of(self)
        if "on_operation" in self._overridden:
            chosen = _subprotocols.without_query(chosen)
        protocol = self.server_protocol(
            chosen,
            asks_about_pings="on_ping" in self._overridden,
            tells_of_pongs="on_pong" in self._overridden,
        )
        settings = self.connection_settings()
        self._connection = Connection(
            protocol, self, self, settings, confirms=self.confirm_subscriptions
        )
        self._connections = connections
        connections.add(self._connection)
        self._connection.opened()

    async def close(self, code: Any = None, reason: str | None = None) -> None:
        """Close the socket (Channels)."""
        with self._receiver.paused():
            await super().close(code, reason)

    async def disconnect(self, code: int | None) -> None:
        """End everything that belongs to this connection."""
        self._close_code = code
        await self._end()

    @default
    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None, **kwargs: Any
    ) -> None:
        """Take a frame and have `receive_json` see to it, unless it is not even JSON."""
        frame = bytes_data if text_data is None else text_data
        limit = self.max_message_size
        if limit is None or frame is None or len(frame) <= limit:
            try:
                content = await self._decode(frame)
            except InvalidMessageError:
                pass
            # What `decode_json` does not take is not JSON, whatever it is.
            except ValueError:
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
        self, type: str, *, timeout: float | None = None, groups: Iterable[str] = ()
    ) -> AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]:
        """Listen to other Channels code, see `OperationContext.listen_to_channel`."""
        own = self._channel_to_hear(channel_layer(self.channel_layer_alias))
        limit = self.subscription_notification_queue_limit
        return listen(own, type, timeout=timeout, groups=groups, queue_limit=limit)

    def event_sender(self) -> Callable[[dict[str, Any]], Awaitable[None]]:
        """Give what sends a text frame: an event `websocket.send` (ASGI)."""
        if "encode_json" in self._overridden:
            return self._send_encoded
        send: Callable[[Any], Awaitable[None]] = self.base_send
        return send

    async def send_close(self, code: int, reason: str) -> None:
        """Close the socket; the reason is at most 123 bytes long."""
        try:
            await self.close(code, reason)
        except Exception:
            if code != CloseCode.SERVICE_RESTART:
                raise
            await self.close(int(CloseCode.SERVICE_RESTART_OF_APPLICATION), reason)

    def accept_client(self, payload: Any) -> Eager[Mapping[str, Any] | None]:
        """Ask `on_connect`, and keep the payload for `info.context`."""
        self.connection_params = payload if isinstance(payload, dict) else {}
        if not overridden(self, "on_connect"):
            return None
        answer = yield self.on_connect(payload)
        if answer is None or isinstance(answer, dict):
            return answer
        log.warning(
            "`on_connect` gave %r, which is neither a dict nor None: the client is let in without "
            "it. To refuse a client, raise an error",
            answer,
        )
        return None

    def ping_payload_now(self) -> Any:
        """Give the payload of a ping of ours."""
        payload: Any = self.ping_payload
        return payload() if callable(payload) else payload

    def pinged(self, payload: Any) -> Any:
        """Ask `on_ping`."""
        return self.on_ping(payload)

    def ponged(self, payload: Any) -> Any:
        """Tell `on_pong`."""
        return self.on_pong(payload)

    def format_error(self, error: Exception) -> Mapping[str, Any]:
        """Tell a client of an error."""
        return self._format_error(self.mask()(error))

    def execute(self, client: ClientOperation) -> Eager[None]:
        """Start an operation."""
        if not _RESULT_HOOKS.isdisjoint(self._overridden):
            return self._engine.start(HookedClient(client, self), self)
        return self._engine.start(client, self)

    def hub(self) -> Hub:
        """Give the hub of this event loop; it stays until the connection ends.

        Raises:
            ChannelLayerError: there is no channel layer.
        """
        if self._hub is None:
            layer = channel_layer(self.channel_layer_alias)
            self._hub = hub_of(layer)
            self._hub.acquire()
        return self._hub

    def before_operation(self, request: Subscribe) -> Any:
        """Ask `on_operation`, if there is one worth asking."""
        if "on_operation" not in self._overridden:
            return None
        return self.on_operation(request.id, payload=request.for_hook())

    def operation_context(self, request: Subscribe) -> Any:
        """Make the `info.context` of one operation."""
        context = OperationContext(
            {
                "channels_scope": self.scope,
                "channel_name": self.channel_name,
                "graphql_operation_name": request.operation_name,
                "graphql_operation_id": request.id,
                "connection_params": self.connection_params,
            },
            self.listen_to_channel,
        )
        return self.get_context(context)

    async def _use_channel_layer(self) -> None:
        self.channel_layer = get_channel_layer(self.channel_layer_alias)
        if self.channel_layer is None:
            return
        self._listens = self._wants_to_listen()
        # A layer may hold resources for each channel until it is read from.
        self.channel_name = (
            await self.channel_layer.new_channel()
            if self._listens
            else f"specific.{token_hex(16)}"
        )

    async def _take_event(self, message: Any) -> bool:
        """Take what is no frame, or not for the connection yet; tell if more is to come."""
        match message["type"]:
            case "websocket.receive":
                message.setdefault("bytes")
                await self.websocket_receive(message)
            case "websocket.connect":
                await self.websocket_connect(message)
                self._listen_to_layer()
            case "websocket.disconnect":
                self._close_code = message.setdefault("code")
                self.close_reason = message.get("reason") or ""
                if self.groups or "websocket_disconnect" in self._overridden:
                    await self.websocket_disconnect(message)
                else:
                    # Channels' way to `disconnect` hops to a thread in the end.
                    await self.disconnect(self._close_code)
                    return False
            case _:
                await self.dispatch(message)
        return True

    async def _decode(self, frame: str | bytes | None) -> Any:
        if not ("decode_json" in self._overridden and isinstance(frame, str)):
            return _subprotocols.parse(frame)
        content: Any = self.decode_json(frame)
        return await content if is_awaitable(content) else content

    async def _send_encoded(self, event: dict[str, Any]) -> None:
        """Send a frame in the JSON of `encode_json`."""
        try:
            encoded: Any = self.encode_json(loads(event["text"]))
            if is_awaitable(encoded):
                encoded = await encoded
        except Exception:
            log.exception("`encode_json` failed")
            assert self._connection is not None, "only a connection sends frames"
            self._connection.crashed()
            return
        send: Callable[[Any], Awaitable[None]] = self.base_send
        await send({"type": "websocket.send", "text": encoded})

    def _take_frame(self, frame: str | bytes | None) -> Awaitable[None] | None:
        connection = self._connection
        return None if connection is None else connection.received(frame)

    async def _end(self) -> None:
        """End what belongs to the connection, whichever way it was lost."""
        self._is_over = True
        # Each of these is called, even if one before it fails or is cancelled.
        try:
            if self._own_channel is not None:
                await self._own_channel.close()
        finally:
            connection, self._connection = self._connection, None
            try:
                if connection is not None:
                    await self._end_connection(connection)
            finally:
                hub, self._hub = self._hub, None
                if hub is not None:
                    await hub.release()

    async def _end_connection(self, connection: Connection) -> None:
        self._connections.discard(connection)
        try:
            await connection.disconnected()
        finally:
            if "on_disconnect" in self._overridden:
                await self._call_on_disconnect()

    async def _call_on_disconnect(self) -> None:
        try:
            async with asyncio.timeout(self.disconnect_timeout):
                result: Any = self.on_disconnect(self._close_code)
                if is_awaitable(result):
                    await result
        # Nobody is left to be told of it but the log.
        except Exception:
            log.exception("`on_disconnect` failed")

    async def _crash(self) -> None:
        """Close with 4500, and drop a socket that can not even take that."""
        try:
            if self._connection is not None:
                self._connection.crashed()
                await self._connection.closed()
            else:
                await self.close(int(CloseCode.INTERNAL_ERROR), "Internal server error")
        except Exception as error:  # noqa: BLE001 (servers raise what they like)
            log.debug("Can not close: %r", error)


def _frame(message: Mapping[str, Any]) -> str | bytes | None:
    text: str | None = message.get("text")
    return message.get("bytes") if text is None else text


_RESULT_HOOKS = frozenset({"on_complete", "on_error", "on_next"})

_RECEIVING = frozenset({"decode_json", "receive", "receive_json", "websocket_receive"})

_SENDING = frozenset({"encode_json", "websocket_disconnect"})

_HOOKS = sorted(
    {"on_disconnect", "on_operation", "on_ping", "on_pong"} | _RESULT_HOOKS | _RECEIVING | _SENDING
)

for _name in ("decode_json", "encode_json", "websocket_disconnect", "websocket_receive"):
    _method = getattr(AsyncJsonWebsocketConsumer, _name)
    default(getattr(_method, "__func__", _method))

GraphqlWsConsumer._library_class = GraphqlWsConsumer  # noqa: SLF001 (it knows itself only now)
register_endpoint(GraphqlWsConsumer)

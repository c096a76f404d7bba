"""How the client reaches a server: the interface, and WebSockets by aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from channels_graphql_ws.client.transport import (
    DEFAULT_SUBPROTOCOL,
    ConnectionRejectedError,
    GraphqlWsTransport,
    SubprotocolMismatchError,
    closed_by_server,
    describe_close,
    parse_message,
    pong_for,
)
from channels_graphql_ws.exceptions import (
    ConnectionClosedError,
    GraphqlWsClientError,
    RemoteProtocolError,
)

if TYPE_CHECKING:
    import aiohttp

# How many messages wait for `receive()` before we stop reading the socket, so that
# a fast server and a slow program do not fill the memory.
_INBOX_LIMIT = 1024

_NORMAL_CLOSURE = 1000


class GraphqlWsTransportAiohttp(GraphqlWsTransport):
    """A WebSocket connection made with aiohttp.

    While it is open, a task of the transport reads from the socket, so that pings
    of the server (those of WebSockets and those of `graphql-transport-ws`) are
    answered also while nobody calls `receive()`.

    Args:
        url: where to connect, `ws://…` or `wss://…`.
        cookies: sent with the handshake.
        headers: sent with the handshake.
        max_message_size: bytes; a larger message of the server closes the
            connection with code 1009. Zero means no limit.
    """

    def __init__(
        self,
        url: str,
        cookies: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        max_message_size: int = 16 * 2**20,
    ) -> None:
        self._url = url
        self._cookies = dict(cookies or {})
        self._headers = dict(headers or {})
        self._max_message_size = max_message_size
        self._connection: _AiohttpConnection | None = None

    async def connect(
        self, timeout: float | None = None, subprotocol: str = DEFAULT_SUBPROTOCOL
    ) -> None:
        """Open the connection; possible again after `disconnect()`.

        Raises:
            ConnectionRejectedError: the server can not be reached, refused, or
                accepted only to close with a code of its own.
            SubprotocolMismatchError: it chose another subprotocol.
        """
        if self._connection is not None:
            raise GraphqlWsClientError("The transport is connected already, disconnect it first")
        async with (
            asyncio.timeout(self._seconds(timeout)),
            contextlib.AsyncExitStack() as on_failure,
        ):
            session = self._new_session()
            on_failure.push_async_callback(session.close)
            socket = await self._open_socket(session, subprotocol)
            await _require_subprotocol(socket, subprotocol)
            on_failure.pop_all()
        self._connection = _AiohttpConnection.start(session, socket)

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message as a text frame."""
        async with asyncio.timeout(self.TIMEOUT):
            await self._opened().send(message)

    async def receive(self, timeout: float | None = None) -> dict[str, Any]:
        """Return the next message, but for pings, which are answered already."""
        async with asyncio.timeout(self._seconds(timeout)):
            return await self._opened().receive()

    async def disconnect(self, timeout: float | None = None) -> None:
        """Close with code 1000; nothing happens if there is no connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            async with asyncio.timeout(self._seconds(timeout)):
                await connection.close()

    async def wait_disconnect(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait until the server closes, drop what it says before.

        Returns:
            A dict with `type` ("websocket.close"), `code` and `reason`.
        """
        connection = self._opened()
        async with asyncio.timeout(self._seconds(timeout)):
            closed = await connection.ended()
        await self.disconnect(timeout)
        return {
            "type": "websocket.close",
            "code": closed.code,
            "reason": closed.reason,
        }

    def _seconds(self, timeout: float | None) -> float:
        return self.TIMEOUT if timeout is None else timeout

    def _opened(self) -> _AiohttpConnection:
        if self._connection is None:
            raise ConnectionClosedError("The transport is not connected")
        return self._connection

    def _new_session(self) -> aiohttp.ClientSession:
        # Imported here because a server that imports this package needs no aiohttp.
        import aiohttp  # noqa: PLC0415

        # Our own timeout is the only one: `sock_connect` of aiohttp is 30 seconds.
        return aiohttp.ClientSession(
            cookies=self._cookies,
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        )

    async def _open_socket(
        self, session: aiohttp.ClientSession, subprotocol: str
    ) -> aiohttp.ClientWebSocketResponse:
        import aiohttp  # noqa: PLC0415 (see `_new_session`)

        try:
            return await session.ws_connect(
                self._url,
                protocols=(subprotocol,),
                max_msg_size=self._max_message_size,
            )
        except aiohttp.ClientError as error:
            raise ConnectionRejectedError(f"Could not connect to {self._url}: {error}") from error


async def _require_subprotocol(socket: aiohttp.ClientWebSocketResponse, subprotocol: str) -> None:
    if socket.protocol == subprotocol:
        return
    # Our own close reads what the server says last, which is its close if it
    # accepted only to tell us a code (4406); else it repeats ours.
    await socket.close()
    if socket.close_code in {_NORMAL_CLOSURE, None}:
        raise SubprotocolMismatchError(subprotocol, socket.protocol)
    raise ConnectionRejectedError(
        f"The server did not accept the subprotocol {subprotocol!r}: "
        f"{describe_close(socket.close_code, '')}",
        socket.close_code,
    )


@dataclass(frozen=True, slots=True)
class _AiohttpConnection:
    """One open socket, the task which reads it, and what it has read."""

    session: aiohttp.ClientSession
    socket: aiohttp.ClientWebSocketResponse
    inbox: asyncio.Queue[dict[str, Any] | GraphqlWsClientError]
    reader: asyncio.Task[None]

    @classmethod
    def start(
        cls,
        session: aiohttp.ClientSession,
        socket: aiohttp.ClientWebSocketResponse,
    ) -> _AiohttpConnection:
        inbox = asyncio.Queue[dict[str, Any] | GraphqlWsClientError](_INBOX_LIMIT)
        reader = asyncio.create_task(_read(socket, inbox))
        return cls(session, socket, inbox, reader)

    async def send(self, message: dict[str, Any]) -> None:
        await _send(self.socket, message)

    async def receive(self) -> dict[str, Any]:
        item = await self.inbox.get()
        if isinstance(item, ConnectionClosedError):
            # It stays the last item for whoever asks next; the reader has ended.
            self.inbox.put_nowait(item)
        if isinstance(item, GraphqlWsClientError):
            raise item
        return item

    async def ended(self) -> ConnectionClosedError:
        while True:
            try:
                await self.receive()
            except ConnectionClosedError as closed:
                return closed
            except RemoteProtocolError:
                continue

    async def close(self) -> None:
        try:
            await self.socket.close(code=_NORMAL_CLOSURE)
        finally:
            self.reader.cancel()
            await asyncio.gather(self.reader, return_exceptions=True)
            await self.session.close()


async def _read(
    socket: aiohttp.ClientWebSocketResponse,
    inbox: asyncio.Queue[dict[str, Any] | GraphqlWsClientError],
) -> None:
    # Nobody cancels this in mid-read: aiohttp would then forget the close code.
    answered = socket.protocol == DEFAULT_SUBPROTOCOL  # the other has no ping
    while True:
        item = _item(await socket.receive(), socket)
        if isinstance(item, dict) and answered and item.get("type") == "ping":
            # A ping that can not be answered is followed by the end, which is told.
            with contextlib.suppress(ConnectionClosedError):
                await _send(socket, pong_for(item))
            continue
        await inbox.put(item)
        if isinstance(item, ConnectionClosedError):
            return


async def _send(socket: aiohttp.ClientWebSocketResponse, message: dict[str, Any]) -> None:
    text = json.dumps(message, allow_nan=False)
    try:
        await socket.send_str(text)
    except ConnectionResetError as error:
        raise ConnectionClosedError(
            "The connection is closed, nothing can be sent", socket.close_code
        ) from error


def _item(
    frame: aiohttp.WSMessage, socket: aiohttp.ClientWebSocketResponse
) -> dict[str, Any] | GraphqlWsClientError:
    # Names of `aiohttp.WSMsgType`, because aiohttp is not imported here.
    match frame.type.name:
        case "TEXT":
            return _parsed(str(frame.data))
        case "BINARY":
            return RemoteProtocolError("The server sent a binary frame")
        case "CLOSE":
            return closed_by_server(frame.data or None, frame.extra or "")
        case "CLOSING":
            return ConnectionClosedError("The transport was disconnected")
        case "ERROR":
            fault = str(frame.data)
            return ConnectionClosedError(f"Broken off: {fault}", socket.close_code, fault)
        case _:
            return closed_by_server(socket.close_code, "")


def _parsed(text: str) -> dict[str, Any] | RemoteProtocolError:
    try:
        return parse_message(text)
    except RemoteProtocolError as error:
        return error

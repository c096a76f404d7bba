"""WebSockets by aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl as _ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from channels_graphql_ws.client.asked import Asked
from channels_graphql_ws.client.errors import (
    ConnectionRejectedError,
    GraphqlWsTimeoutError,
    SubprotocolMismatchError,
)
from channels_graphql_ws.client.handshake import not_open, time_limit
from channels_graphql_ws.client.intake import Intake
from channels_graphql_ws.client.option_values import checked_fields, checked_headers
from channels_graphql_ws.client.router import MAX_UNREAD
from channels_graphql_ws.client.tasks import begin_soon
from channels_graphql_ws.client.transport import (
    DEFAULT_SUBPROTOCOL,
    GraphqlWsTransport,
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
from channels_graphql_ws.json_text import dumps

if TYPE_CHECKING:
    import aiohttp

Message: TypeAlias = dict[str, Any]
Url: TypeAlias = str | Callable[[], str | Awaitable[str]]
Headers: TypeAlias = (
    Mapping[str, str] | Callable[[], Mapping[str, str] | Awaitable[Mapping[str, str]]]
)

_NORMAL_CLOSURE: Final = 1000
_DROP_TIMEOUT: Final = 0.5  # seconds for the close of a socket that we do not want
_TEXT: Final = 1  # `aiohttp.WSMsgType.TEXT`


class GraphqlWsTransportAiohttp(GraphqlWsTransport):
    """A WebSocket connection made with aiohttp.

    While it is open, a task of the transport reads from the socket, so that pings
    of the server (those of WebSockets and those of `graphql-transport-ws`) are
    answered even while no `receive()` is waiting.

    Args:
        url: where to connect, `ws://…` or `wss://…`.
        cookies: sent with the handshake.
        headers: sent with the handshake.
        max_message_size: bytes; a larger message of the server closes the
            connection with code 1009. Zero means no limit.
        max_unread: messages that may wait for `receive()`; then the oldest is dropped,
            and `receive()` raises `MessagesLostError` once.
        heartbeat: seconds between pings of WebSockets; without an answer for half of that
            the connection is closed. `None`: no pings.
        compress: offer `permessage-deflate`, which costs CPU and memory on both sides.
        ssl: a context with certificates of your own; `False` checks none.
        proxy: the URL of an HTTP proxy.
        session: an `aiohttp.ClientSession` to use, which is not closed; it brings everything else
            that aiohttp can do (authentication, trust in the environment, resolvers).

    `url`, `headers` and `cookies` may be functions or coroutine functions without arguments:
    they are called for each attempt to connect, so that an expired token can be renewed.
    """

    def __init__(  # noqa: PLR0913 (independent options, all but the first by keyword)
        self,
        url: Url,
        cookies: Headers | None = None,
        headers: Headers | None = None,
        *,
        max_message_size: int = 16 * 2**20,
        max_unread: int = MAX_UNREAD,
        heartbeat: float | None = 30.0,
        compress: bool = False,
        ssl: _ssl.SSLContext | bool = True,
        proxy: str | None = None,
        session: aiohttp.ClientSession | None = None,
    ) -> None:
        self._url = Asked("url", url)
        self._cookies = Asked("cookies", cookies or {})
        self._headers = Asked("headers", headers or {})
        self._max_unread = max_unread
        self._session = session
        self._options: dict[str, Any] = {
            "max_msg_size": max_message_size,
            "heartbeat": heartbeat,
            "compress": 15 if compress else 0,
            "ssl": ssl,
            "proxy": proxy,
        }
        self._connection: _AiohttpConnection | None = None
        self._address = url if isinstance(url, str) else "the server"
        self.renews = any(callable(each) for each in (url, cookies, headers))

    @property
    def address(self) -> str:
        """The URL, or the last one that was used."""
        return self._address

    @property
    def subprotocol(self) -> str | None:
        """The subprotocol that the server chose, `None` without a connection."""
        return None if self._connection is None else self._connection.socket.protocol

    async def connect(
        self,
        timeout: float | None = None,
        subprotocol: str = DEFAULT_SUBPROTOCOL,
        *,
        subprotocols: Sequence[str] = (),
    ) -> None:
        """Open the connection; possible again after `disconnect()`.

        Args:
            timeout: seconds, `None` for `TIMEOUT`.
            subprotocol: what to offer.
            subprotocols: all to offer, the preferred one first; in place of `subprotocol`.

        Raises:
            ConnectionRejectedError: the server cannot be reached, refused, or
                accepted only to close with a code of its own.
            SubprotocolMismatchError: it chose another subprotocol.
        """
        if self._connection is not None:
            raise GraphqlWsClientError("The transport is connected already, disconnect it first")
        offered = tuple(subprotocols) or (subprotocol,)
        async with (
            time_limit(
                self._seconds(timeout), f"a connection to {self._address}", not_open(self._address)
            ),
            contextlib.AsyncExitStack() as on_failure,
        ):
            self._address = checked_url(await self._url.value())
            cookies = checked_fields("cookies", await self._cookies.value())
            headers = checked_headers(await self._headers.value())
            session = self._session or _new_session()
            if session is not self._session:
                on_failure.push_async_callback(session.close)
            if cookies:
                headers["Cookie"] = SimpleCookie(cookies).output(attrs=[], header="", sep=";")
            socket = await self._open_socket(session, offered, headers)
            on_failure.push_async_callback(_drop, socket)
            await _require_subprotocol(socket, offered)
            # A time-out may have come together with the answer: then it is raised here, and not
            # in what follows, to which the connection would be lost.
            await asyncio.sleep(0)
            on_failure.pop_all()
        owned = None if session is self._session else session
        self._connection = _AiohttpConnection(owned, socket, self._max_unread)

    async def send(self, message: Message) -> None:
        """Send one message as a text frame."""
        connection = self._opened()
        text = encode(message)
        try:
            async with asyncio.timeout(self.TIMEOUT):
                await connection.send_text(text)
        except TimeoutError:
            raise GraphqlWsTimeoutError(
                f"{self._address} to take a message", self.TIMEOUT, "It does not read"
            ) from None

    async def receive(self, timeout: float | None = None) -> Message:
        """Return the next message, but for pings, which are answered already."""
        intake = self._opened().intake
        if not intake.inbox:
            async with time_limit(self._seconds(timeout), f"a message of {self._address}"):
                await intake.wait()
        return intake.inbox.take()

    async def read_all(self, deliver: Callable[[Message], object]) -> None:
        """Call `deliver` with each message, pings included, until the connection ends."""
        await self._opened().intake.forward(deliver)

    async def disconnect(
        self, timeout: float | None = None, *, code: int = _NORMAL_CLOSURE
    ) -> None:
        """Close; nothing happens if there is no connection.

        Args:
            timeout: seconds for the server to answer, `None` for `TIMEOUT`.
            code: the close code that the server gets.
        """
        connection, self._connection = self._connection, None
        if connection is not None:
            async with time_limit(self._seconds(timeout), f"{self._address} to close"):
                await connection.close(code)

    async def wait_disconnect(self, timeout: float | None = None) -> Message:
        """Wait until the server closes, drop what it says before.

        Returns:
            A dict with `type` ("websocket.close"), `code` and `reason`.
        """
        connection = self._opened()
        async with time_limit(self._seconds(timeout), f"{self._address} to close"):
            closed = await connection.intake.ended()
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

    async def _open_socket(
        self, session: aiohttp.ClientSession, offered: Sequence[str], headers: Mapping[str, str]
    ) -> aiohttp.ClientWebSocketResponse:
        import aiohttp  # noqa: PLC0415 (see `_new_session`)

        try:
            socket: aiohttp.ClientWebSocketResponse = await session.ws_connect(
                self._address, protocols=offered, headers=headers, **self._options
            )
            return socket
        except aiohttp.WSServerHandshakeError as error:
            raise refused_handshake(self._address, error) from error
        except aiohttp.ServerDisconnectedError as error:
            advice = "; does it speak TLS (wss://)?" if self._address.startswith("ws:") else ""
            raise ConnectionRejectedError(
                f"Could not connect to {self._address}: the server ended the handshake{advice}"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(self._address, error) from error


def checked_url(url: object) -> str:
    """Return a URL.

    Raises:
        TypeError: a function has returned something else for it.
    """
    if not isinstance(url, str):
        raise TypeError(f"The function for the URL must return text, not {url!r}")
    return url


def _new_session() -> aiohttp.ClientSession:
    # Imported here because a server that imports this package needs no aiohttp.
    import aiohttp  # noqa: PLC0415

    # Our own timeout is the only one: `sock_connect` of aiohttp is 30 seconds.
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
    )


def refused_handshake(address: str, error: aiohttp.ClientResponseError) -> ConnectionRejectedError:
    """Build the error for a server that answered with an HTTP status."""
    asked_for = error.headers.get("Retry-After") if error.headers else None
    redirected = f" after a redirect to {error.request_info.real_url}" if error.history else ""
    return ConnectionRejectedError(
        f"Could not connect to {address}: the server answered with HTTP {error.status}"
        f"{redirected}{_advice(error.status)}",
        status=error.status,
        retry_after=seconds_of(asked_for),
    )


def unreachable(address: str, error: Exception) -> ConnectionRejectedError:
    """Build the error for a server to which there is no connection."""
    return ConnectionRejectedError(f"Could not connect to {address}: {_cause_of(error)}")


def _cause_of(error: Exception) -> str:
    """Return why there is no connection, and what to look at."""
    cause = getattr(error, "os_error", None)
    if isinstance(error.__cause__, _ssl.SSLCertVerificationError):
        verdict = error.__cause__.verify_message or "verification failed"
        return f"its certificate is not trusted ({verdict}); see the option ssl"
    if isinstance(error, ValueError):  # `aiohttp.InvalidURL`
        return "it is not a valid URL"
    if isinstance(cause, ConnectionRefusedError):
        return "connection refused; are host and port right, and does the server run?"
    return str(getattr(cause, "strerror", None) or error) or type(error).__name__


def _advice(status: int) -> str:
    if status < _BAD_REQUEST:
        return ", a page and not a WebSocket: is the path right? Or is it a page to log in at?"
    return _STATUS_ADVICE.get(status, "")


_BAD_REQUEST: Final = 400

_STATUS_ADVICE: Final = {
    400: ", a bad request: does this path take WebSockets?",
    401: ", not authenticated: look at headers, cookies and connection_params",
    403: ", forbidden: look at headers, cookies and, with Django, the Origin header",
    404: ", not found: is the path right?",
    405: ", method not allowed: does this path take WebSockets?",
    426: ", upgrade required: does a proxy pass the headers Upgrade and Connection on?",
    429: ", too many requests",
    500: ", an error of the server: its log says which",
    502: ", a proxy that does not reach the server: does the server run?",
    503: ", the server or a proxy before it is not ready",
    504: ", a proxy that has waited for the server in vain",
}


def seconds_of(retry_after: str | None) -> float | None:
    """Read a `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date."""
    if not retry_after:
        return None
    with contextlib.suppress(ValueError):
        return max(0.0, float(retry_after))
    with contextlib.suppress(ValueError):
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - time.time())
    return None


async def _require_subprotocol(
    socket: aiohttp.ClientWebSocketResponse, offered: Sequence[str]
) -> None:
    if socket.protocol in offered:
        return
    # Our own close reads the server's close frame: its code if the server accepted only to send
    # one (4406), else a copy of ours.
    await socket.close()
    names = ", ".join(offered)
    if socket.close_code in {_NORMAL_CLOSURE, None}:
        raise SubprotocolMismatchError(names, socket.protocol)
    raise ConnectionRejectedError(
        f"The server did not accept the subprotocol {names!r}: "
        f"{describe_close(socket.close_code, '')}",
        socket.close_code,
    )


async def _drop(
    socket: aiohttp.ClientWebSocketResponse, *, seconds: float = _DROP_TIMEOUT
) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await socket.close()


class _AiohttpConnection:
    """One open socket, and the task that reads it."""

    def __init__(
        self,
        session: aiohttp.ClientSession | None,
        socket: aiohttp.ClientWebSocketResponse,
        max_unread: int,
    ) -> None:
        self.socket = socket
        self.intake = Intake(max_unread)
        self.session = session
        self._answers_pings = socket.protocol == DEFAULT_SUBPROTOCOL  # the other has no ping
        self.reader = begin_soon(self._read())

    async def send_text(self, text: str) -> None:
        try:
            await self.socket.send_str(text)
        except ConnectionResetError as error:
            raise ConnectionClosedError(
                "The connection is closed, nothing can be sent", self.socket.close_code
            ) from error

    async def close(self, code: int) -> None:
        # However often the caller is cancelled, the task is cancelled once, and then ends at once.
        closing = begin_soon(self._close(code))
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            closing.cancel()
            await asyncio.wait((closing,))
            raise

    async def _close(self, code: int) -> None:
        # Wherever it is cancelled, all of it is let go.
        async with contextlib.AsyncExitStack() as at_last:
            if self.session is not None:
                at_last.push_async_callback(self.session.close)
            at_last.push_async_callback(self._drop_if_open)
            at_last.push_async_callback(self._end_reading)
            await self.socket.close(code=code)

    async def _end_reading(self) -> None:
        self.reader.cancel()
        await asyncio.gather(self.reader, return_exceptions=True)

    async def _drop_if_open(self) -> None:
        if not self.socket.closed:
            # Cancelled before it began to close: aiohttp then holds the socket.
            await _drop(self.socket, seconds=0)

    async def _read(self) -> None:
        # Nobody cancels this in mid-read: aiohttp would then forget the close code.
        intake, receive = self.intake, self.socket.receive
        while True:
            frame = await receive()
            try:
                message = parse_message(frame.data) if frame.type == _TEXT else self._other(frame)
            except ConnectionClosedError as closed:
                intake.finish(closed)
                return
            except RemoteProtocolError as error:
                intake.report(error)
                continue
            if message.get("type") == "ping" and self._answers_pings and not intake.is_forwarding:
                # If the pong cannot be sent, the connection is ending, which is reported below.
                with contextlib.suppress(ConnectionClosedError):
                    await self.send_text(dumps(pong_for(message)))
            elif intake.put(message):
                await asyncio.sleep(0)

    def _other(self, frame: aiohttp.WSMessage) -> Message:
        """Raise what a frame means that is not text."""
        # Names of `aiohttp.WSMsgType`, because aiohttp is not imported here.
        match frame.type.name:
            case "BINARY":
                raise RemoteProtocolError("The server sent a binary frame")
            case "CLOSE":
                raise closed_by_server(frame.data or None, frame.extra or "")
            case "CLOSING":
                raise ConnectionClosedError("The transport was disconnected")
            case "ERROR":
                fault = str(frame.data)
                raise ConnectionClosedError(f"Broken off: {fault}", self.socket.close_code, fault)
            case _:
                raise closed_by_server(self.socket.close_code, "")


def encode(message: Message) -> str:
    """Encode a message as JSON text.

    Raises:
        TypeError, ValueError: it has no JSON form.
    """
    text = dumps(message)
    if "null" in text:
        # orjson writes it for NaN, too, which the standard library refuses.
        json.dumps(message, allow_nan=False, default=str)
    return text

"""What tests import: a client and a transport that drive an ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from asgiref.testing import ApplicationCommunicator

from . import client, transport
from .exceptions import (
    ConnectionClosedError,
    GraphqlWsClientError,
    RemoteProtocolError,
)
from .transport import ConnectionRejectedError, SubprotocolMismatchError

__all__ = ["GraphqlWsClient", "GraphqlWsTransport"]

_NORMAL_CLOSURE = 1000
_ABNORMAL_CLOSURE = 1006


class GraphqlWsTransport(transport.GraphqlWsTransport):
    """A connection to an ASGI application in this process, without a socket.

    It does what a server does: an application that closes is told that the
    connection has ended, and an exception of the application surfaces in the test,
    from whatever call notices it first. A wait that times out does not touch the
    application.

    Args:
        application: the ASGI application, for example `MyConsumer.as_asgi()`.
        path: path and query string, with or without a slash in front.
        communicator_kwds: `headers`, a list of (bytes, bytes); `spec_version`.
        subprotocol: the only one to offer.
    """

    TIMEOUT = 30

    def __init__(
        self,
        application: Any,
        path: str,
        communicator_kwds: Mapping[str, Any] | None = None,
        subprotocol: str = transport.DEFAULT_SUBPROTOCOL,
    ) -> None:
        self._application = application
        self._subprotocol = subprotocol
        self._scope = _websocket_scope(path, subprotocol, **(communicator_kwds or {}))
        self._running: _RunningApplication | None = None

    async def connect(self, timeout: float | None = None) -> None:
        """Start the application and open a connection to it.

        Raises:
            ConnectionRejectedError: the application refused, or accepted without our
                subprotocol and closed then (4406); it has the code.
            SubprotocolMismatchError: the application chose another subprotocol.
        """
        if self._running is not None:
            raise GraphqlWsClientError("The transport is connected already, disconnect it first")
        running = _RunningApplication(self._application, copy.deepcopy(self._scope))
        async with contextlib.AsyncExitStack() as on_failure:
            on_failure.push_async_callback(running.cancel)
            async with asyncio.timeout(self._seconds(timeout)):
                await self._open(running)
            on_failure.pop_all()
        self._running = running

    async def send(self, message: dict[str, Any]) -> None:
        """Send one message."""
        await self.send_text(json.dumps(message, allow_nan=False))

    async def send_text(self, text: str) -> None:
        """Send any text frame, for example one that is not JSON."""
        self._opened().send({"type": "websocket.receive", "text": text})

    async def send_bytes(self, data: bytes) -> None:
        """Send a binary frame."""
        self._opened().send({"type": "websocket.receive", "bytes": data})

    async def receive(self, timeout: float | None = None) -> dict[str, Any]:
        """Return the next message of the application."""
        async with asyncio.timeout(self._seconds(timeout)):
            event = await self._opened().next_event()
        if event["type"] == "websocket.close":
            raise transport.closed_by_server(event["code"], event["reason"])
        return transport.parse_message(_text_of(event))

    async def disconnect(self, timeout: float | None = None, code: int = _NORMAL_CLOSURE) -> None:
        """Close with `code` and wait for the application to end.

        Raises:
            TimeoutError: the application had to be cancelled.
        """
        running, self._running = self._running, None
        if running is not None:
            await running.end(code, self._seconds(timeout))

    async def wait_disconnect(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for the application to close, which must be the next it does.

        Returns:
            The `websocket.close` event, always with a `code` and a `reason`.

        Raises:
            RemoteProtocolError: the application sent a message instead.
        """
        running = self._opened()
        if running.close_event is None:
            async with asyncio.timeout(self._seconds(timeout)):
                event = await running.next_event()
            if event["type"] != "websocket.close":
                raise RemoteProtocolError(f"Expected the application to close, it sent {event!r}")
        await self.disconnect(timeout)
        return dict(running.close_event or {})

    def _seconds(self, timeout: float | None) -> float:
        return self.TIMEOUT if timeout is None else timeout

    def _opened(self) -> _RunningApplication:
        if self._running is None:
            raise ConnectionClosedError("The transport is not connected")
        return self._running

    async def _open(self, running: _RunningApplication) -> None:
        running.send({"type": "websocket.connect"})
        event = await running.next_event()
        accepted = event["type"] == "websocket.accept"
        if accepted and event.get("subprotocol") == self._subprotocol:
            return
        # A browser drops a connection without the subprotocol it asked for. After
        # that we know whether the application closed by itself, and why.
        await running.end(_ABNORMAL_CLOSURE, None)
        if running.close_event is not None:
            code, reason = running.close_event["code"], running.close_event["reason"]
            text = f"Not accepted. {transport.describe_close(code, reason)}"
            raise ConnectionRejectedError(text, code, reason)
        if accepted:
            chosen = event.get("subprotocol")
            raise SubprotocolMismatchError(self._subprotocol, chosen)
        raise RemoteProtocolError(
            f"Expected the application to accept or close, it sent {event!r}"
        )


class GraphqlWsClient(client.GraphqlWsClient):
    """The client, with what only tests want to do."""

    RECEIVE_NOTHING_ATTEMPTS = 10
    RECEIVE_NOTHING_INTERVAL = 0.1

    async def connect_and_init(
        self,
        connect_only: bool = False,  # noqa: FBT001, FBT002 (may be given by position)
    ) -> None:
        """Connect and initialize; with `connect_only`, send no `connection_init`."""
        await self._connect()
        if connect_only:
            self._connected = True
        else:
            await self._initialize()

    async def send_raw_message(self, message: Mapping[str, Any]) -> None:
        """Send a message as it is, right or wrong."""
        await self._send(dict(message))

    async def send_raw_text(self, text: str) -> None:
        """Send a text frame as it is, JSON or not."""
        await self._in_process().send_text(text)

    async def send_raw_bytes(self, data: bytes) -> None:
        """Send a binary frame."""
        await self._in_process().send_bytes(data)

    async def assert_no_messages(
        self,
        error_message: str | None = None,
        attempts: int | None = None,
        interval: float | None = None,
    ) -> None:
        """Fail if a message arrives within `attempts` times `interval` seconds.

        Pings, pongs and `ka` do not count; a closed connection is silent. `settle()`
        proves the same without waiting.

        Raises:
            AssertionError: with `error_message` and the message.
        """
        if attempts is None:
            attempts = self.RECEIVE_NOTHING_ATTEMPTS
        if interval is None:
            interval = self.RECEIVE_NOTHING_INTERVAL
        with contextlib.suppress(TimeoutError, ConnectionClosedError):
            async with asyncio.timeout(attempts * interval):
                message = await self._next_message()
            text = error_message or "A message arrived where none was expected"
            raise AssertionError(f"{text}\n{message}")

    async def settle(self) -> list[dict[str, Any]]:
        """Return every message the server sends until it answers a question of ours.

        The question is a ping, in `graphql-ws` a trivial query; the answer itself,
        pings, pongs and `ka` are not in the list. `await client.settle() == []`
        proves silence without sleeping, as far as the server answers in order.

        Raises:
            TimeoutError: no answer within `transport.TIMEOUT` seconds.
        """
        fence = uuid.uuid4().hex
        async with asyncio.timeout(self._seconds(None)):
            if self._dialect.has_ping:
                return await self._until_pong({"settle": fence})
            return await self._until_complete(fence)

    async def receive_error(self, msg_id: Any) -> tuple[Any, Any]:
        """Receive the message which says that an operation failed.

        Messages of other operations that come before are dropped.

        Returns:
            The errors and the data: of an `error` of `graphql-transport-ws` its
            payload and `None`, of a `data` of `graphql-ws` both from its payload.
        """
        async with asyncio.timeout(self._seconds(None)):
            message = await self._message_of(msg_id)
        payload = message.get("payload")
        match message.get("type"):
            case "error" if self._dialect.has_ping:
                return payload, None
            case "data" if not self._dialect.has_ping and payload and "errors" in payload:
                return payload["errors"], payload.get("data")
            case _:
                raise RemoteProtocolError(f"Expected an error, the server sent {message!r}")

    async def wait_disconnect(
        self, timeout: float | None = None, assert_code: int | None = None
    ) -> dict[str, Any]:
        """Wait until the server closes, and check the code if there is one to check.

        Raises:
            AssertionError: the code is not `assert_code`.
        """
        closed = await super().wait_disconnect(timeout)
        if assert_code is not None and closed.get("code") != assert_code:
            raise AssertionError(f"Expected close code {assert_code}, the server sent {closed!r}")
        return closed

    def _in_process(self) -> GraphqlWsTransport:
        if not isinstance(self._transport, GraphqlWsTransport):
            raise TypeError("Raw frames need the transport of channels_graphql_ws.testing")
        return self._transport

    async def _until_pong(self, payload: dict[str, Any]) -> list[dict[str, Any]]:
        await self._send({"type": "ping", "payload": payload})
        heard: list[dict[str, Any]] = []
        while True:
            message = await self._any_message()
            if message.get("type") == "pong" and message.get("payload") == payload:
                return heard
            if message.get("type") not in self._dialect.keep_alive:
                heard.append(message)

    async def _until_complete(self, fence: str) -> list[dict[str, Any]]:
        await self.start("{ __typename }", msg_id=fence)
        heard: list[dict[str, Any]] = []
        while True:
            message = await self._next_message()
            if message.get("id") != fence:
                heard.append(message)
            elif message.get("type") in {"complete", "error"}:
                return heard


class _RunningApplication:
    """One run of an application: what goes in, what comes out, how it ended."""

    def __init__(self, application: Any, scope: dict[str, Any]) -> None:
        new_communicator: Any = ApplicationCommunicator  # asgiref has no types here
        communicator = new_communicator(application, scope)
        # Held because the communicator cancels the application when it is deleted.
        self._communicator = communicator
        self._inputs: asyncio.Queue[dict[str, Any]] = communicator.input_queue
        self._outputs: asyncio.Queue[dict[str, Any] | None] = communicator.output_queue
        self._task: asyncio.Task[None] = communicator.future
        # `None` behind the last event wakes whoever waits for one more.
        self._task.add_done_callback(lambda _: self._outputs.put_nowait(None))
        self._hung_up = False
        self.close_event: dict[str, Any] | None = None

    def send(self, event: dict[str, Any]) -> None:
        if self._task.done():
            raise self._end_error()
        self._inputs.put_nowait(event)

    async def next_event(self) -> dict[str, Any]:
        event = await self._outputs.get()
        if event is None:
            self._outputs.put_nowait(None)
            raise self._end_error()
        if self.close_event is not None:
            raise RemoteProtocolError(f"The application sent {event!r} after it had closed")
        if event["type"] != "websocket.close":
            return event
        self.close_event = _with_defaults(event)
        # As a server does: `receive()` of the application tells that it is over.
        self._hang_up(self.close_event["code"])
        return self.close_event

    async def end(self, code: int, timeout: float | None) -> None:
        self._hang_up(code)
        done, _ = await asyncio.wait({self._task}, timeout=timeout)
        if not done:
            await self.cancel()
            raise TimeoutError(f"The application still ran {timeout} s after the disconnect")
        while (event := self._outputs.get_nowait()) is not None:
            if event["type"] == "websocket.close" and self.close_event is None:
                self.close_event = _with_defaults(event)
        if not self._task.cancelled():
            self._task.result()

    async def cancel(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def _hang_up(self, code: int) -> None:
        if not self._hung_up:
            self._hung_up = True
            self._inputs.put_nowait({"type": "websocket.disconnect", "code": code})

    def _end_error(self) -> BaseException:
        failure = None if self._task.cancelled() else self._task.exception()
        if failure is not None:
            return failure
        if self.close_event is None:
            return ConnectionClosedError("The application ended without closing")
        code, reason = self.close_event["code"], self.close_event["reason"]
        return transport.closed_by_server(code, reason)


def _websocket_scope(
    path: str,
    subprotocol: str,
    *,
    headers: Iterable[tuple[bytes, bytes]] | None = None,
    spec_version: str | None = None,
) -> dict[str, Any]:
    """Build the connection scope (ASGI, WebSocket Connection Scope)."""
    parts = urlsplit(path)
    raw_path = "/" + parts.path.removeprefix("/")
    scope: dict[str, Any] = {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": spec_version or "2.3"},
        "path": unquote(raw_path),
        "query_string": parts.query.encode(),
        "headers": list(headers or ()),
        "subprotocols": [subprotocol],
    }
    if spec_version is not None:
        # Where `channels.testing` puts it.
        scope["spec_version"] = spec_version
    return scope


def _with_defaults(close_event: Mapping[str, Any]) -> dict[str, Any]:
    code = close_event.get("code") or _NORMAL_CLOSURE
    return {**close_event, "code": code, "reason": close_event.get("reason") or ""}


def _text_of(event: Mapping[str, Any]) -> str:
    text = event.get("text")
    if not isinstance(text, str):
        raise RemoteProtocolError(f"Expected the application to send text, it sent {event!r}")
    return text

"""A transport that drives an ASGI application in this process."""

from __future__ import annotations

import contextlib
import copy
import json
from collections.abc import Mapping
from typing import Any

from channels_graphql_ws.client import transport
from channels_graphql_ws.client.handshake import time_limit
from channels_graphql_ws.client.transport import ConnectionRejectedError, SubprotocolMismatchError
from channels_graphql_ws.exceptions import (
    ConnectionClosedError,
    GraphqlWsClientError,
    RemoteProtocolError,
)
from channels_graphql_ws.testing.observer import OperationObserver
from channels_graphql_ws.testing.running import RunningApplication
from channels_graphql_ws.testing.scopes import websocket_scope

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
        self._scope = websocket_scope(path, subprotocol, **(communicator_kwds or {}))
        self._running: _RunningSocket | None = None
        self.observer = OperationObserver()
        """Learns which operations the application has dealt with."""

    async def connect(self, timeout: float | None = None) -> None:
        """Start the application and open a connection to it.

        Raises:
            ConnectionRejectedError: the application refused, or accepted without our
                subprotocol and closed then (4406); it has the code.
            SubprotocolMismatchError: the application chose another subprotocol.
        """
        if self._running is not None:
            raise GraphqlWsClientError("The transport is connected already, disconnect it first")
        self.observer = OperationObserver()
        scope = self.observer.observe(copy.deepcopy(self._scope))
        running = _RunningSocket(self._application, scope)
        async with contextlib.AsyncExitStack() as on_failure:
            on_failure.push_async_callback(running.cancel)
            async with time_limit(self._seconds(timeout), "the application to accept or close"):
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
        running = self._opened()
        async with time_limit(self._seconds(timeout), "the application to send something"):
            event = await running.next_event()
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
            async with time_limit(self._seconds(timeout), "the application to close"):
                event = await running.next_event()
            if event["type"] != "websocket.close":
                raise RemoteProtocolError(f"Expected the application to close, it sent {event!r}")
        await self.disconnect(timeout)
        return dict(running.close_event or {})

    def _seconds(self, timeout: float | None) -> float:
        return self.TIMEOUT if timeout is None else timeout

    def _opened(self) -> _RunningSocket:
        if self._running is None:
            raise ConnectionClosedError("The transport is not connected")
        return self._running

    async def _open(self, running: _RunningSocket) -> None:
        running.begin({"type": "websocket.connect"})
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


class _RunningSocket(RunningApplication):
    """One run of an application: what goes in, what comes out, how it ended."""

    def __init__(self, application: Any, scope: dict[str, Any]) -> None:
        super().__init__(application, scope)
        self.close_event: dict[str, Any] | None = None

    async def next_event(self) -> dict[str, Any]:
        event = await super().next_event()
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
        for event in await self.finish(timeout):
            if event["type"] == "websocket.close" and self.close_event is None:
                self.close_event = _with_defaults(event)
        self.raise_failure()

    def end_error(self) -> Exception:
        closing = self.close_event or self._unread_close()
        if closing is None:
            return super().end_error()
        return transport.closed_by_server(closing["code"], closing["reason"])

    def _unread_close(self) -> dict[str, Any] | None:
        """Look for a close among what nobody has read; it all stays to be read."""
        unread = [self._outputs.get_nowait() for _ in range(self._outputs.qsize())]
        for event in unread:
            self._outputs.put_nowait(event)
        closes = [event for event in unread if event and event["type"] == "websocket.close"]
        return _with_defaults(closes[0]) if closes else None

    def _hang_up(self, code: int) -> None:
        self.hang_up({"type": "websocket.disconnect", "code": code})


def _with_defaults(close_event: Mapping[str, Any]) -> dict[str, Any]:
    code = close_event.get("code") or _NORMAL_CLOSURE
    return {**close_event, "code": code, "reason": close_event.get("reason") or ""}


def _text_of(event: Mapping[str, Any]) -> str:
    text = event.get("text")
    if not isinstance(text, str):
        raise RemoteProtocolError(f"Expected the application to send text, it sent {event!r}")
    return text

"""A client that drives ASGI applications of any package, on any version of Channels."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

SILENCE = 0.3
"""Seconds without a message after which a probe takes it that none comes."""

PATIENCE = 10


class ClosedError(Exception):
    """The application has closed the WebSocket, or refused it."""

    def __init__(self, code: int | None, reason: str, *, accepted: bool) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason
        self.accepted = accepted


class Application:
    """One ASGI connection: events go in and come out."""

    def __init__(self, application: Any, scope: dict[str, Any]) -> None:
        self._in: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._out: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._task = asyncio.ensure_future(application(scope, self._in.get, self._out.put))

    def put(self, event: dict[str, Any]) -> None:
        """Give the application an event."""
        self._in.put_nowait(event)

    async def take(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """Return what the application sends next; raise what ended it instead."""
        taking = asyncio.ensure_future(self._out.get())
        await asyncio.wait(
            [taking, self._task], timeout=timeout, return_when=asyncio.FIRST_COMPLETED
        )
        if taking.done():
            return taking.result()
        taking.cancel()
        if self._task.done():
            self._task.result()
            raise EOFError
        raise TimeoutError

    async def end(self) -> None:
        """Stop the application."""
        self._task.cancel()
        await asyncio.wait([self._task], timeout=PATIENCE)


class Socket:
    """A WebSocket: `async with Socket(application, "graphql-transport-ws") as socket`."""

    def __init__(self, application: Any, subprotocol: str, **headers: str) -> None:
        names = {"host": "localhost", "origin": "http://localhost", **headers}
        self._subprotocol = subprotocol
        self._application = Application(
            application,
            {
                "type": "websocket",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "scheme": "ws",
                "path": "/graphql/",
                "raw_path": b"/graphql/",
                "root_path": "",
                "query_string": b"",
                "headers": [(k.encode(), v.encode()) for k, v in names.items()],
                "subprotocols": [subprotocol],
                "client": ("127.0.0.1", 50000),
                "server": ("localhost", 80),
                "url_route": {"args": (), "kwargs": {}},
            },
        )

    async def __aenter__(self) -> Self:
        self._application.put({"type": "websocket.connect"})
        event = await self._application.take()
        if event["type"] != "websocket.accept":
            raise ClosedError(event.get("code"), event.get("reason") or "", accepted=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._application.put({"type": "websocket.disconnect", "code": 1000})
        await asyncio.sleep(SILENCE)
        await self._application.end()

    def send(self, **message: Any) -> None:
        """Send a message."""
        self.send_text(json.dumps(message))

    def send_text(self, text: str) -> None:
        """Send a text that may be anything."""
        self._application.put({"type": "websocket.receive", "text": text})

    async def receive(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """Return the next message; pings are answered."""
        while True:
            event = await self._application.take(timeout)
            if event["type"] == "websocket.close":
                raise ClosedError(event.get("code"), event.get("reason") or "", accepted=True)
            message: dict[str, Any] = json.loads(event["text"])
            if message["type"] == "ping":
                self.send(type="pong")
            elif message["type"] != "ka":
                return message

    async def init(self, **payload: Any) -> dict[str, Any]:
        """Initialize the connection; return the acknowledgement."""
        self.send(type="connection_init", payload=payload)
        message = await self.receive()
        if message["type"] != "connection_ack":
            raise AssertionError(message)
        return message

    def subscribe(self, query: str, id: str = "1") -> None:
        """Begin an operation, in the words of the subprotocol."""
        type = "start" if self._subprotocol == "graphql-ws" else "subscribe"
        self.send(type=type, id=id, payload={"query": query, "variables": {}})


async def request(
    application: Any,
    method: str = "POST",
    body: bytes = b"",
    query_string: bytes = b"",
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    """Send an HTTP request; return status, headers and what comes of the body."""
    names = {"host": "localhost", **{k.replace("_", "-"): v for k, v in headers.items()}}
    running = Application(
        application,
        {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": "/graphql/",
            "raw_path": b"/graphql/",
            "root_path": "",
            "query_string": query_string,
            "headers": [(k.encode(), v.encode()) for k, v in names.items()],
            "client": ("127.0.0.1", 50000),
            "server": ("localhost", 80),
            "url_route": {"args": (), "kwargs": {}},
        },
    )
    running.put({"type": "http.request", "body": body, "more_body": False})
    start = await running.take()
    found = b""
    try:
        while True:
            event = await running.take(SILENCE * 3)
            found += event.get("body", b"")
            if not event.get("more_body"):
                break
    except (TimeoutError, EOFError):
        pass
    await running.end()
    return start["status"], {k.decode().lower(): v.decode() for k, v in start["headers"]}, found

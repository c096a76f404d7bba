"""A client for tests of HTTP: it talks to an ASGI application without a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from asgiref.testing import ApplicationCommunicator

from channels_graphql_ws.pubsub.hub import hub_of
from channels_graphql_ws.pubsub.layers import channel_layer
from support import GUARD, tick

RESPONSE = "application/graphql-response+json"
EVENTS = "text/event-stream"
PARTS = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0",application/json'


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    set_cookies: list[str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """The text of the only error."""
        (error,) = self.json["errors"]
        return str(error["message"])


class Exchange:
    """A request that is under way."""

    def __init__(self, application: Any, scope: dict[str, Any]) -> None:
        self._communicator = ApplicationCommunicator(application, scope)
        self.status = 0
        self.headers: dict[str, str] = {}
        self.set_cookies: list[str] = []
        self.ended = False

    async def send(self, body: bytes = b"", *, more: bool = False) -> None:
        message = {"type": "http.request", "body": body, "more_body": more}
        await self._communicator.send_input(message)

    async def leave(self) -> None:
        """Close the connection, and wait until the application has seen to it."""
        await self._communicator.send_input({"type": "http.disconnect"})
        await self._communicator.wait(GUARD)

    async def start(self) -> None:
        message = await self._communicator.receive_output(GUARD)
        assert message["type"] == "http.response.start", message
        self.status = message["status"]
        for name, value in message["headers"]:
            if name == b"set-cookie":
                self.set_cookies.append(value.decode())
            else:
                self.headers[name.decode().lower()] = value.decode()

    async def chunk(self) -> bytes:
        message = await self._communicator.receive_output(GUARD)
        assert message["type"] == "http.response.body", message
        self.ended = not message.get("more_body", False)
        body: bytes = message.get("body", b"")
        return body

    async def until(self, end: bytes) -> bytes:
        """Read until `end` is there; give all that came."""
        found = b""
        while end not in found:
            assert not self.ended, found
            found += await self.chunk()
        return found

    async def rest(self) -> bytes:
        body = b""
        while not self.ended:
            body += await self.chunk()
        return body

    async def close(self) -> None:
        self._communicator.stop(exceptions=False)
        # A hook that has gone to a thread is waited for.
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await self._communicator.wait(GUARD)

    async def answer(self) -> Answer:
        await self.start()
        body = await self.rest()
        await self._communicator.wait(GUARD)
        return Answer(self.status, self.headers, self.set_cookies, body)

    async def is_silent(self) -> bool:
        await tick(20)
        return await self._communicator.receive_nothing(0.01)

    async def finished(self) -> None:
        """Wait until the application has nothing more to do; raise what it raises."""
        await self._communicator.wait(GUARD)


def scope_of(method: str, path: str, headers: Mapping[str, str], **more: Any) -> dict[str, Any]:
    path, _, query_string = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": quote(path).encode(),
        "root_path": "",
        "scheme": "http",
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 1),
        "query_string": query_string.encode("latin-1"),
        "headers": [
            (name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()
        ],
        **more,
    }


@asynccontextmanager
async def exchange(
    application: Any,
    method: str = "POST",
    path: str = "/graphql/",
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> AsyncIterator[Exchange]:
    one = Exchange(application, scope_of(method, path, headers or {}, **more))
    try:
        yield one
    finally:
        await one.close()


async def ask(
    application: Any,
    method: str = "POST",
    path: str = "/graphql/",
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    **more: Any,
) -> Answer:
    """Send a request, and give the answer."""
    async with exchange(application, method, path, headers, **more) as one:
        await one.send(body)
        return await one.answer()


async def post(
    application: Any,
    content: object,
    *,
    path: str = "/graphql/",
    accept: str | None = None,
    headers: Mapping[str, str] | None = None,
    **more: Any,
) -> Answer:
    """Post JSON."""
    body, all_headers = posted(content, accept, headers)
    return await ask(application, "POST", path, headers=all_headers, body=body, **more)


def posted(
    content: object, accept: str | None = None, headers: Mapping[str, str] | None = None
) -> tuple[bytes, dict[str, str]]:
    body = json.dumps(content).encode()
    return body, {
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **({} if accept is None else {"Accept": accept}),
        **(headers or {}),
    }


async def get(
    application: Any, accept: str | None = None, path: str = "/graphql/", **parameters: str
) -> Answer:
    headers = {} if accept is None else {"Accept": accept}
    return await ask(application, "GET", f"{path}?{urlencode(parameters)}", headers=headers)


@asynccontextmanager
async def streaming(
    application: Any,
    query: str,
    *,
    accept: str = EVENTS,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Exchange]:
    """Post an operation whose answer goes on; it has begun."""
    body, all_headers = posted({"query": query}, accept, headers)
    async with exchange(application, "POST", "/graphql/", all_headers) as one:
        await one.send(body)
        await one.start()
        yield one


def multipart(parts: Sequence[tuple[str, str | None, bytes]]) -> tuple[bytes, dict[str, str]]:
    """Give the body and the headers of a form: field name, file name, content."""
    boundary = "a-boundary"
    body = b""
    for name, filename, content in parts:
        file = "" if filename is None else f'; filename="{filename}"'
        kind = "" if filename is None else "\r\nContent-Type: application/octet-stream"
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}{kind}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    body += f"--{boundary}--\r\n".encode()
    return body, {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(len(body)),
        "X-CSRFToken": "any",
    }


def listeners() -> int:
    """Count the subscriptions of this event loop."""
    return hub_of(channel_layer()).counts()["listeners"]


HOUR = 3600.0
"""Seconds that no test waits: see `Timers`."""


class Timers:
    """The timers of an hour on this event loop: they go off when a test says so."""

    def __init__(self, monkeypatch: Any) -> None:
        self._due: list[Callable[[], object]] = []
        loop = asyncio.get_running_loop()
        call_later = loop.call_later

        def recording(delay: float, callback: Any, *arguments: Any, **more: Any) -> Any:
            if delay == HOUR:
                self._due.append(partial(callback, *arguments))
            return call_later(delay, callback, *arguments, **more)

        monkeypatch.setattr(loop, "call_later", recording)

    def go_off(self) -> None:
        while self._due:
            self._due.pop()()


class Gate:
    """Where a resolver waits until a test lets it go on."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()
        self.passed = False
        self.cancelled = False

    async def wait(self) -> None:
        self.entered.set()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        self.passed = True

"""A server over HTTP that does what a test says, on a socket of 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

Answer = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]

EVENTS = {"Content-Type": "text/event-stream"}


class HttpPeer:
    """Answers each request with the next of `answers`, the last again and again.

    Attributes:
        answers: what to answer.
        requests: (method, headers, query, body) of each request so far.
        gone: how many requests were left by the client before they were answered.
    """

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[tuple[str, dict[str, str], dict[str, str], bytes]] = []
        self.gone = 0
        self.url = ""

    def bodies(self) -> list[Any]:
        """Return what was sent as JSON."""
        return [json.loads(body) for _, _, _, body in self.requests if body]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append((request.method, dict(request.headers), dict(request.query), body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        try:
            return await answer(request, body)
        except (asyncio.CancelledError, ConnectionResetError):
            self.gone += 1
            raise


@contextlib.asynccontextmanager
async def running(peer: HttpPeer) -> AsyncIterator[HttpPeer]:
    app = web.Application()
    app.router.add_route("*", "/graphql/", peer.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    peer.url = f"http://{host}:{port}/graphql/"
    try:
        yield peer
    finally:
        await runner.cleanup()


def body(
    content: Any, status: int = 200, type: str = "application/json", **headers: str
) -> Answer:
    """Answer with JSON, or with text as it is."""
    text = content if isinstance(content, str) else json.dumps(content)

    sent = {name.replace("_", "-"): value for name, value in headers.items()}

    async def answer(_request: web.Request, _body: bytes) -> web.StreamResponse:
        return web.Response(text=text, status=status, content_type=type, headers=sent)

    return answer


def data(value: Any) -> Answer:
    return body({"data": value})


def errors(*messages: str, status: int = 200, type: str = "application/json") -> Answer:
    return body({"errors": [{"message": each} for each in messages]}, status, type)


def event(type: str, content: Any = None, id: str | None = None) -> str:
    """Return the text of a server-sent event."""
    lines = [f"event: {type}"]
    if id is not None:
        lines.append(f"id: {id}")
    lines.append(f"data: {'' if content is None else json.dumps(content)}")
    return "\n".join(lines) + "\n\n"


def stream(*parts: str | bytes | asyncio.Event, ends: bool = True) -> Answer:
    """Answer with server-sent events; an `Event` among them is waited for."""

    async def answer(request: web.Request, _body: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers=EVENTS)
        await response.prepare(request)
        for part in parts:
            if isinstance(part, asyncio.Event):
                await part.wait()
            else:
                await response.write(part if isinstance(part, bytes) else part.encode())
        if not ends:
            await asyncio.Event().wait()
        return response

    return answer


async def broken(request: web.Request, _body: bytes) -> web.StreamResponse:
    """Drop the connection without an answer."""
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def silent(_request: web.Request, _body: bytes) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    return web.Response()

"""Closing leaves nothing behind, however often it is cancelled meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from channels_graphql_ws.client import (
    GraphqlHttpTransport,
    GraphqlSseTransport,
    GraphqlWsClient,
    GraphqlWsTransport,
    GraphqlWsTransportAiohttp,
    session,
)
from http_peer import EVENTS
from support import tick, wait_until

ON_A = "subscription { a }"


class SilentServer:
    """Takes each subscription in, and says no more: it does not answer a close, either.

    Attributes:
        subscribed: how many subscriptions have come.
        answers_close: whether it answers a close after all.
    """

    def __init__(self) -> None:
        self.subscribed = 0
        self.answers_close = False
        self.url = ""

    async def socket(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=["graphql-transport-ws"], autoclose=False)
        await socket.prepare(request)
        while (frame := await socket.receive()).type == aiohttp.WSMsgType.TEXT:
            if frame.json()["type"] == "connection_init":
                await socket.send_json({"type": "connection_ack"})
            else:
                self.subscribed += 1
        if self.answers_close:
            await socket.close()
        else:
            await self._never()
        return socket

    async def http(self, request: web.Request) -> web.StreamResponse:
        if request.method == "PUT":
            return web.Response(text="the token", status=201)
        is_shared = "X-GraphQL-Event-Stream-Token" in request.headers
        if request.method == "POST" and is_shared:
            self.subscribed += 1
            return web.Response(status=202)
        response = web.StreamResponse(headers=EVENTS)
        await response.prepare(request)
        self.subscribed += not is_shared
        await self._never()
        return response

    async def _never(self) -> None:
        await asyncio.Event().wait()


@pytest.fixture(autouse=True)
def _no_long_wait_for_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client wait for less than 5 seconds: the server never answers a close."""
    monkeypatch.setattr(session, "_CLOSE_TIMEOUT", 0.1)


@pytest.fixture
async def server() -> AsyncIterator[SilentServer]:
    server = SilentServer()
    app = web.Application()
    app.router.add_get("/socket", server.socket)
    app.router.add_route("*", "/http", server.http)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()


TRANSPORTS: dict[str, Callable[[str], GraphqlWsTransport]] = {
    "websocket": lambda url: GraphqlWsTransportAiohttp(f"ws{url}/socket"),
    "http": lambda url: GraphqlHttpTransport(f"http{url}/http"),
    "single stream": lambda url: GraphqlSseTransport(f"http{url}/http"),
}


@pytest.fixture(params=list(TRANSPORTS))
def transport(request: pytest.FixtureRequest, server: SilentServer) -> GraphqlWsTransport:
    return TRANSPORTS[request.param](server.url)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[aiohttp.ClientSession]:
    """Give a list of the sessions that are made during the test."""
    made: list[aiohttp.ClientSession] = []
    original = aiohttp.ClientSession.__init__

    def init(self: aiohttp.ClientSession, *arguments: Any, **options: Any) -> None:
        made.append(self)
        original(self, *arguments, **options)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", init)
    return made


async def is_cancelled_while_it_closes(closing: Awaitable[None], pauses: tuple[int, ...]) -> None:
    """Cancel what closes after so many steps, and again after so many more."""
    task = asyncio.ensure_future(closing)
    for pause in pauses:
        await tick(pause)
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("first", range(1, 7))
@pytest.mark.parametrize("second", range(1, 5))
async def test_a_session_that_is_cancelled_while_it_closes_leaves_nothing(
    server, transport, sessions, first, second
):
    known = asyncio.all_tasks()
    client = await GraphqlWsClient(transport).__aenter__()
    events = client.subscription(ON_A)
    listening = asyncio.create_task(anext(events, None))
    await wait_until(lambda: server.subscribed)
    await is_cancelled_while_it_closes(client.finalize(), (first, second))
    assert await listening is None
    await wait_until(lambda: all(each.closed for each in sessions))
    await wait_until(lambda: is_idle(known))
    assert sessions


async def test_a_transport_that_is_cancelled_when_its_socket_has_closed_leaves_nothing(
    server: SilentServer,
    sessions: list[aiohttp.ClientSession],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = asyncio.all_tasks()
    server.answers_close = True
    transport = GraphqlWsTransportAiohttp(f"ws{server.url}/socket")
    await transport.connect()
    closing = asyncio.ensure_future(transport.disconnect())
    original = aiohttp.ClientWebSocketResponse.close

    async def close(self: aiohttp.ClientWebSocketResponse, **options: Any) -> bool:
        was_open = await original(self, **options)
        closing.cancel()
        return was_open

    monkeypatch.setattr(aiohttp.ClientWebSocketResponse, "close", close)
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert [each.closed for each in sessions] == [True]
    await wait_until(lambda: is_idle(known))


def is_idle(known: set[asyncio.Task[Any]]) -> bool:
    """Return whether no task of the client is left; those of the server are not ours."""
    left = asyncio.all_tasks() - known - {asyncio.current_task()}
    return not [task for task in left if "channels_graphql_ws" in str(task.get_coro())]

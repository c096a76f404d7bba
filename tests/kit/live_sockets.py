"""WebSockets to real servers, as plain as can be, and what tests wait for there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from support import GUARD

NEW, LEGACY = "graphql-transport-ws", "graphql-ws"


@asynccontextmanager
async def opened(
    server: Any, *subprotocols: str, path: str = "graphql/", **options: Any
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Open a plain WebSocket."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            server.url(path), protocols=subprotocols or (NEW,), max_msg_size=0, **options
        ) as socket,
    ):
        yield socket


async def acknowledged(socket: aiohttp.ClientWebSocketResponse, **init: Any) -> None:
    """Introduce ourselves."""
    await socket.send_json({"type": "connection_init", **init})
    answer = await socket.receive_json(timeout=GUARD)
    assert answer["type"] == "connection_ack"


async def subscribed(socket: aiohttp.ClientWebSocketResponse, reader: str) -> None:
    """Subscribe, and know that it is done."""
    query = f'subscription {{ news(reader: "{reader}") {{ text }} }}'
    await socket.send_json({"type": "subscribe", "id": reader, "payload": {"query": query}})
    await socket.send_json({"type": "ping"})
    while (await socket.receive_json(timeout=GUARD))["type"] != "pong":
        pass


async def closes(
    socket: aiohttp.ClientWebSocketResponse, server: Any, code: int, reason: str
) -> None:
    """Wait for the close, and see why; read over all before it."""
    async with asyncio.timeout(GUARD):
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    assert message.type is aiohttp.WSMsgType.CLOSE, message
    assert message.data == code
    assert (message.extra or "") == (reason if server.kind.sends_reasons else "")


async def until(server: Any, holds: Callable[[dict[str, Any]], bool]) -> None:
    """Ask the server what it holds, until it is what we wait for."""
    async with asyncio.timeout(GUARD):
        while not holds(await server.counts()):  # noqa: ASYNC110 (another process is waited for)
            await asyncio.sleep(0.01)  # noqa: TID251 (so that it gets some rest)


async def is_left(server: Any, reader: str) -> None:
    """Wait until the server has forgotten a subscriber."""
    await until(
        server, lambda counts: reader in counts["unsubscribed"] and not counts["listeners"]
    )
    assert (await server.counts())["unsubscribed"].count(reader) == 1


def transport_of(socket: aiohttp.ClientWebSocketResponse) -> asyncio.Transport:
    connection = socket._conn
    assert connection is not None
    transport = connection.transport
    assert isinstance(transport, asyncio.Transport)
    return transport


def abort(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Reset the TCP connection, without a word of WebSocket."""
    transport_of(socket).abort()

"""Clients that read nothing: servers keep nothing for them, where they let us see to that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from live_sockets import LEGACY, NEW
from support import GUARD

pytestmark = pytest.mark.servers

HANDSHAKE = (
    "GET /graphql/ HTTP/1.1\r\n"
    "Host: 127.0.0.1:{port}\r\n"
    "Connection: Upgrade\r\n"
    "Upgrade: websocket\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: {subprotocol}\r\n\r\n"
)

QUERY = {"query": '{ page(name: "unread") }'}


def frame(opcode: int, data: bytes) -> bytes:
    """Return a frame of a client, masked with nothing."""
    assert len(data) < 126
    return bytes([0x80 | opcode, 0x80 | len(data)]) + bytes(4) + data


def said(**message: Any) -> bytes:
    return frame(1, json.dumps(message, separators=(",", ":")).encode())


@pytest.fixture
def server(start_server: Callable[..., Any]) -> Any:
    live = start_server("stalled_site")
    if not live.kind.has_transport:
        pytest.skip(f"{live.name} has no transport of asyncio")
    return live


@asynccontextmanager
async def client(server: Any, head: str) -> AsyncIterator[Any]:
    """Connect, send a head, and read nothing but what is asked for."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1_024)
    writer.write(head.encode())
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


@asynccontextmanager
async def unread_page(server: Any, subprotocol: str = NEW) -> AsyncIterator[Any]:
    """Ask for 16 MB over a WebSocket."""
    head = HANDSHAKE.format(port=server.port, subprotocol=subprotocol)
    async with client(server, head) as (reader, writer):
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), GUARD)
        writer.write(said(type="connection_init"))
        await asyncio.wait_for(reader.readuntil(b"connection_ack"), GUARD)
        word = "start" if subprotocol == LEGACY else "subscribe"
        writer.write(said(type=word, id="1", payload=QUERY))
        await until(server, lambda counts: counts["large"] == 1)
        yield writer


async def until(server: Any, holds: Callable[[dict[str, Any]], bool]) -> None:
    """Ask the server what it keeps, until it is what we wait for."""
    async with asyncio.timeout(GUARD):
        while not holds(await server.buffered()):  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.01)  # noqa: TID251 (so that it gets some rest)


async def nothing_is_kept(server: Any) -> None:
    await until(server, lambda counts: counts["large"] == 0)
    async with asyncio.timeout(GUARD):
        while (await server.counts())["consumers"]:  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.01)  # noqa: TID251 (so that it gets some rest)


@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_a_socket_that_takes_nothing_is_ended(server: Any, subprotocol: str) -> None:
    async with unread_page(server, subprotocol):
        await nothing_is_kept(server)


async def test_so_is_one_whose_client_says_goodbye_and_reads_no_more(server: Any) -> None:
    async with unread_page(server) as writer:
        writer.write(frame(8, (1000).to_bytes(2)))
        await nothing_is_kept(server)


async def test_so_is_one_whose_client_has_closed_its_side(server: Any) -> None:
    async with unread_page(server) as writer:
        writer.write_eof()
        await nothing_is_kept(server)


@pytest.mark.parametrize("accept", ["application/json", "text/event-stream"])
async def test_so_is_an_answer_that_nobody_reads(server: Any, accept: str) -> None:
    body = json.dumps(QUERY)
    head = (
        "POST /graphql/ HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{server.port}\r\n"
        f"Accept: {accept}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    async with client(server, head + body):
        await until(server, lambda counts: counts["large"] == 1)
        await until(server, lambda counts: counts["large"] == 0)

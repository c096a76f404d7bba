"""Servers that end while clients do all to keep them: see docs/reference/shutdown.md."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import quote

import pytest

from live_sockets import NEW, acknowledged, closes, opened
from support import GUARD

pytestmark = pytest.mark.servers

FLOOD = "subscription { flood }"

MUTATIONS = ("wait", "doze")
"""Those that never end, on the event loop and in a thread."""


@asynccontextmanager
async def does_not_read(server: Any, head: str, *frames: Any) -> AsyncIterator[None]:
    """A client that sends a request, and reads until the flood has begun."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=2**16)
    writer.write(f"{head}\r\nHost: 127.0.0.1\r\n\r\n".encode())
    async with asyncio.timeout(GUARD):
        for frame in frames:
            # To be sent once there is an answer to what was sent before.
            await reader.readuntil(b"\r\n\r\n" if frame is frames[0] else b"connection_ack")
            # A short text, whose mask is zero.
            data = json.dumps(frame).encode()
            writer.write(b"\x81" + bytes([0x80 | len(data)]) + bytes(4) + data)
        await reader.readuntil(b"x" * 100)
    yield
    writer.close()


def stalled_socket(server: Any) -> Any:
    key = base64.b64encode(os.urandom(16)).decode()
    return does_not_read(
        server,
        "GET /graphql/ HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: {NEW}",
        {"type": "connection_init"},
        {"type": "subscribe", "id": "1", "payload": {"query": FLOOD}},
    )


def stalled_stream(server: Any) -> Any:
    path = f"/graphql/?query={quote(FLOOD)}"
    return does_not_read(server, f"GET {path} HTTP/1.1\r\nAccept: text/event-stream")


async def test_it_ends_in_time_whatever_its_clients_do(ending: tuple[Any, Any]) -> None:
    server, form = ending
    async with AsyncExitStack() as stack:
        if form.outlasts_readers:
            await stack.enter_async_context(stalled_socket(server))
            await stack.enter_async_context(stalled_stream(server))
        waits, hangs, listens = [await stack.enter_async_context(opened(server)) for _ in range(3)]
        await acknowledged(hangs, payload={"hangs": True})
        for socket in (waits, listens):
            await acknowledged(socket)
        for number, name in enumerate(MUTATIONS):
            mutation = {"query": f"mutation {{ {name} }}"}
            await waits.send_json({"type": "subscribe", "id": str(number), "payload": mutation})
        server.process.send_signal(signal.SIGTERM)
        for socket in (listens, hangs, waits):
            await closes(socket, server, form.code, "Service restart")
        exit_code = await asyncio.to_thread(server.process.wait, GUARD / 2)
    assert exit_code in (0, -15), server.log
    assert "`on_disconnect` of Consumer" in server.log

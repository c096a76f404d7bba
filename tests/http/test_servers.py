"""A client that goes away, under real servers: it is noticed within a second."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from support import GUARD

pytestmark = pytest.mark.servers

SERVER = Path(__file__).with_name("serve.py")

REQUEST = json.dumps({"query": "subscription { onEvent { event } }"})


@asynccontextmanager
async def served(name):
    """Give the port, and the lines that the server prints: each subscription and its end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(SERVER), name, str(listener.fileno())),
            pass_fds=[listener.fileno()],
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            yield listener.getsockname()[1], process.stdout
        finally:
            process.kill()
            await process.wait()


async def line(lines):
    async with asyncio.timeout(GUARD):
        return (await lines.readline()).decode().strip()


@pytest.mark.parametrize("server", ["uvicorn", "daphne"])
@pytest.mark.parametrize("is_abrupt", [False, True])
async def test_a_client_that_goes_away_is_noticed_within_a_second(server, is_abrupt):
    pytest.importorskip(server)
    async with served(server) as (port, lines):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = (
            f"POST /graphql/ HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(REQUEST)}\r\n\r\n"
        )
        writer.write((head + REQUEST).encode())
        async with asyncio.timeout(GUARD):
            assert b"200" in await reader.readline()
            await reader.readuntil(b":\n\n")
        assert await line(lines) == "subscribed"
        if is_abrupt:
            writer.transport.abort()
        else:
            writer.close()
            await writer.wait_closed()
        # The clock runs from here: what comes later than this is too late.
        async with asyncio.timeout(1):
            assert await line(lines) == "unsubscribed"

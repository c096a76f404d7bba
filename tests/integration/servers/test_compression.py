"""Compressed messages: servers inflate no more of them than the application takes."""

from __future__ import annotations

import asyncio
import zlib
from typing import Any

import pytest

from live_sockets import acknowledged, opened, until
from support import GUARD

pytestmark = pytest.mark.servers

HANDSHAKE = (
    "GET /graphql/ HTTP/1.1\r\n"
    "Host: 127.0.0.1:{port}\r\n"
    "Connection: Upgrade\r\n"
    "Upgrade: websocket\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)

INIT = b'{"type":"connection_init"}'

OURS = (4400).to_bytes(2) + b"Message "
"""Our own code of a close, and what its reason begins with; it is on the wire as it is."""


@pytest.fixture
def inflating(server: Any) -> Any:
    if not server.kind.inflates:
        pytest.skip(f"{server.name} takes no compressed messages")
    return server


def deflated(message: bytes) -> bytes:
    """Return a frame with a compressed message of a client, masked with nothing."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -12)
    data = packer.compress(message) + packer.flush(zlib.Z_SYNC_FLUSH)
    data = data.removesuffix(b"\x00\x00\xff\xff")
    assert len(data) < 2**16
    length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2)
    return b"\xc1" + length + bytes(4) + data


async def answers(server: Any, *, acknowledged: bool, sent: bytes) -> bytes:
    """Return all that the server says to what is sent, until it ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        async with asyncio.timeout(GUARD):
            writer.write(HANDSHAKE.format(port=server.port).encode())
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"permessage-deflate" in head
            if acknowledged:
                writer.write(deflated(INIT))
                await reader.read(100)
            writer.write(sent)
            said = b""
            while data := await reader.read(1_000):
                said += data
                # The server waits for the client to close, too.
                if b"\x88" in data:
                    writer.write_eof()
            return said
    except ConnectionError:
        return b""
    finally:
        writer.transport.abort()


@pytest.mark.parametrize("is_acknowledged", [False, True])
async def test_a_message_that_becomes_too_large_is_not_inflated(
    inflating: Any, is_acknowledged: bool
) -> None:
    bomb = deflated(b" " * 4_000_000)
    said = await answers(inflating, acknowledged=is_acknowledged, sent=bomb)
    # It did not reach the application, which would have closed with 4400.
    assert OURS not in said
    await until(inflating, lambda counts: not counts["consumers"])


async def test_nor_are_many_that_come_at_once(inflating: Any) -> None:
    if inflating.name == "uvicorn-websockets":
        pytest.skip("it reads no more once a message waits for the application")
    if inflating.name == "hypercorn":
        pytest.skip("it hands over each message before it inflates the next")
    # Each of them is small enough, and would be bad JSON.
    many = deflated(b" " * 120_000) * 100
    said = await answers(inflating, acknowledged=False, sent=many)
    assert OURS not in said
    await until(inflating, lambda counts: not counts["consumers"])


async def test_what_the_application_takes_is_inflated(inflating: Any) -> None:
    async with opened(inflating, compress=15) as socket:
        assert socket.compress
        await acknowledged(socket)
        # More than is taken before the acknowledgement.
        for number in range(5):
            name = f"{number}" * 900_000
            query = "query($n: String) { hello(name: $n) }"
            payload = {"query": query, "variables": {"n": name}}
            await socket.send_json({"type": "subscribe", "id": "1", "payload": payload})
            message = await socket.receive_json(timeout=GUARD)
            assert message["payload"]["data"] == {"hello": f"Hello {name}"}
            assert (await socket.receive_json(timeout=GUARD))["type"] == "complete"
        assert socket.close_code is None

"""A WebSocket client on a bare asyncio protocol: the load must cost less than the server."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from typing import Any, Self, cast

TIMEOUT = 30.0

_TEXT, _CLOSE, _PING, _PONG = 0x1, 0x8, 0x9, 0xA
_FINAL, _MASKED = 0x80, 0x80
_TWO_BYTES, _EIGHT_BYTES = 126, 127

# A mask of zeros is a valid mask that leaves the payload as it is.
_MASK = bytes(4)


class WebSocketError(Exception):
    """The server refused, closed, or broke the WebSocket protocol."""


class WebSocketClient(asyncio.Protocol):
    """One client: the handshake, frames, and JSON messages one at a time."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.opened: asyncio.Future[None] = loop.create_future()
        self.closed: asyncio.Future[int | None] = loop.create_future()
        self._close_code: int | None = None
        self._buffer = b""

    @classmethod
    async def connect(
        cls, port: int, *, path: str = "/graphql/", receive_buffer: int | None = None
    ) -> Self:
        """Open a connection that speaks `graphql-transport-ws`."""
        connection = socket.socket()
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setblocking(False)  # noqa: FBT003 (the standard library's signature)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(connection, ("127.0.0.1", port))
        _, client = await loop.create_connection(cls, sock=connection)
        try:
            client.transport.write(_handshake(port, path))
            async with asyncio.timeout(TIMEOUT):
                await client.opened
        except BaseException:
            client.drop()
            raise
        return client

    async def initialize(self, payload: dict[str, Any] | None = None) -> None:
        """Send `connection_init` and wait for the acknowledgement."""
        self.send({"type": "connection_init", "payload": payload or {}})
        await self.expect("connection_ack")

    def send(self, message: dict[str, Any]) -> None:
        """Send one JSON message."""
        self._write(_frame(_TEXT, json.dumps(message).encode()))

    async def expect(self, type_: str, *, timeout: float = TIMEOUT) -> dict[str, Any]:
        """Return the next message, which must be of this type."""
        async with asyncio.timeout(timeout):
            message = await self.messages.get()
        if message["type"] != type_:
            raise WebSocketError(f"expected {type_!r}, got {message}")
        return message

    async def fence(self) -> None:
        """Wait until the server has looked at everything that was sent before."""
        self.send({"type": "ping"})
        await self.expect("pong")

    async def close(self) -> int | None:
        """Close cleanly with 1000 and wait for the end of the connection."""
        self._write(_frame(_CLOSE, (1000).to_bytes(2, "big")))
        async with asyncio.timeout(TIMEOUT):
            return await self.closed

    def drop(self) -> None:
        """Tear the connection down without a word."""
        self.transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take whole frames out of the stream of bytes."""
        if self.opened.cancelled():
            # Nobody waits for it any more.
            return
        self._buffer += data
        if not self.opened.done():
            self._take_handshake()
        while (frame := self._take_frame()) is not None:
            self._frame_received(*frame)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake everybody who waits for this connection."""
        if not self.opened.done():
            self.opened.set_exception(exc or WebSocketError("closed before the handshake"))
        if not self.closed.done():
            self.closed.set_result(self._close_code)

    def text_received(self, text: bytes, frame: bytes) -> None:
        """Take a message; `frame` is the text together with its header."""
        self.take(json.loads(text))

    def take(self, message: dict[str, Any]) -> None:
        """Answer a ping, and queue anything else for `expect`."""
        if message["type"] == "ping":
            self.send({"type": "pong"})
        else:
            self.messages.put_nowait(message)

    def _write(self, frame: bytes) -> None:
        if self.transport.is_closing():
            raise WebSocketError("the connection has ended")
        self.transport.write(frame)

    def _take_handshake(self) -> None:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        self._buffer = rest
        if head.startswith(b"HTTP/1.1 101 ") and b"graphql-transport-ws" in head:
            self.opened.set_result(None)
        else:
            self.opened.set_exception(WebSocketError(head.decode(errors="replace")))

    def _take_frame(self) -> tuple[int, bytes, bytes] | None:
        if not self.opened.done() or len(self._buffer) < 2:
            return None
        start, length = 2, self._buffer[1]
        if length == _TWO_BYTES:
            start, length = 4, int.from_bytes(self._buffer[2:4], "big")
        elif length == _EIGHT_BYTES:
            start, length = 10, int.from_bytes(self._buffer[2:10], "big")
        end = start + length
        if len(self._buffer) < end:
            return None
        frame, self._buffer = self._buffer[:end], self._buffer[end:]
        return frame[0], frame[start:], frame

    def _frame_received(self, first_byte: int, payload: bytes, frame: bytes) -> None:
        match first_byte ^ _FINAL:
            case 0x1:
                self.text_received(payload, frame)
            case 0x9:
                self.transport.write(_frame(_PONG, payload))
            case 0xA:
                pass
            case 0x8:
                self._close_code = int.from_bytes(payload[:2], "big") or None
                self.transport.close()
            case _:
                raise WebSocketError(f"unexpected frame {frame[:20]!r}")


def _handshake(port: int, path: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
    ).encode()


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < _TWO_BYTES:
        length = bytes([_MASKED | size])
    elif size < 1 << 16:
        length = bytes([_MASKED | _TWO_BYTES]) + size.to_bytes(2, "big")
    else:
        length = bytes([_MASKED | _EIGHT_BYTES]) + size.to_bytes(8, "big")
    return bytes([_FINAL | opcode]) + length + _MASK + payload

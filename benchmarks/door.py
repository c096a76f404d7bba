"""Tell a server over HTTP what to broadcast, see `servers/control.py`."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Self

TIMEOUT = 180.0


async def inventory(port: int, timeout: float) -> dict[str, Any]:
    """Ask a server what it holds, see `servers/inventory.py`; wait no longer than `timeout`."""
    return await _exchange(port, "GET", b"", timeout)


async def obeyed(port: int, **order: Any) -> dict[str, Any]:
    """Give an order to a server that answers with JSON."""
    return await _exchange(port, "POST", json.dumps(order).encode(), TIMEOUT)


async def _exchange(port: int, method: str, body: bytes, timeout: float) -> dict[str, Any]:
    head = f"{method} / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    async with asyncio.timeout(timeout):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answer = await reader.read()
        finally:
            writer.close()
        await writer.wait_closed()
    found: dict[str, Any] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


class Door:
    """One connection that stays open; one request at a time."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, port: int) -> Self:
        """Connect."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def fire(
        self,
        operation: str,
        *,
        first: int,
        count: int,
        rooms: int = 0,
        how: str = "awaited",
        size: int = 0,
    ) -> None:
        """Have events broadcast, and wait until the server has done so."""
        await self._ask(
            action="fire",
            operation=operation,
            first=first,
            count=count,
            rooms=rooms,
            how=how,
            size=size,
        )

    async def collect(self) -> None:
        """Have garbage collected."""
        await self._ask(action="collect")

    def close(self) -> None:
        """Leave."""
        self._writer.close()

    async def _ask(self, **order: Any) -> None:
        body = json.dumps(order).encode()
        head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + body)
        async with asyncio.timeout(TIMEOUT):
            answer = await self._reader.readuntil(b"\r\n\r\n")
            body = await self._reader.readexactly(2)
        if not answer.startswith(b"HTTP/1.1 200") or body != b"ok":
            raise RuntimeError(f"the server cannot {order}: {answer!r}")

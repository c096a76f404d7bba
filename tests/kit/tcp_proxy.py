"""A proxy in front of a server, which may be slow, swallow what comes, or cut connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from support import wait_until


class TcpProxy:
    """Forwards connections to a port of 127.0.0.1.

    Attributes:
        delay: seconds that everything takes on its way to the server.
        swallows_new: take what comes from new connections, and pass nothing on.
    """

    def __init__(self, target: int) -> None:
        self.delay = 0.0
        self.swallows_new = False
        self.port = 0
        self.accepted = 0
        self._target = target
        self._connections: set[_Connection] = set()
        self._is_closed = False
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        """Where to find the server behind the proxy."""
        return f"redis://127.0.0.1:{self.port}/0"

    def swallow(self) -> None:
        """Take what comes on the present connections, and pass nothing on, either way."""
        for connection in self._connections:
            connection.swallows = True

    def cut(self) -> None:
        """Close the present connections."""
        for connection in list(self._connections):
            connection.close()

    @contextlib.asynccontextmanager
    async def started(self) -> AsyncIterator[TcpProxy]:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            self._is_closed = True
            self._server.close()
            self.cut()
            await wait_until(lambda: not self._connections)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_closed:
            # The loop had accepted it before the end.
            writer.transport.abort()
            return
        self.accepted += 1
        connection = _Connection(self, writer)
        connection.swallows = self.swallows_new
        self._connections.add(connection)
        try:
            await connection.run(reader, self._target)
        finally:
            self._connections.discard(connection)


class _Connection:
    def __init__(self, proxy: TcpProxy, client: asyncio.StreamWriter) -> None:
        self.swallows = False
        self._proxy = proxy
        self._client = client
        self._server: asyncio.StreamWriter | None = None

    def close(self) -> None:
        self._client.close()
        if self._server is not None:
            self._server.close()

    async def run(self, reader: asyncio.StreamReader, target: int) -> None:
        answers, self._server = await asyncio.open_connection("127.0.0.1", target)
        try:
            await asyncio.gather(
                self._forward(reader, self._server, is_slow=True),
                self._forward(answers, self._client, is_slow=False),
                return_exceptions=True,
            )
        finally:
            self.close()

    async def _forward(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, is_slow: bool
    ) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await source.read(65_536):
                if self.swallows:
                    continue
                if is_slow and self._proxy.delay:
                    loop.call_later(self._proxy.delay, self._write, target, data)
                else:
                    self._write(target, data)
        finally:
            self.close()

    def _write(self, target: asyncio.StreamWriter, data: bytes) -> None:
        if not self.swallows and not target.is_closing():
            target.write(data)

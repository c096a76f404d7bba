"""What is on its way to a client that reads a response as it comes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from channels_graphql_ws.http.stream_formats import StreamFormat

FULL_AT = 64
"""Results that may wait for a client before further ones have to wait themselves."""

Text: TypeAlias = str | Callable[[], Awaitable[str]]
"""A result, JSON text; or what gives it when it is its turn."""

Chunk: TypeAlias = bytes | Callable[[], Awaitable[bytes]]


class Sink(Protocol):
    """Where the results of one operation go."""

    def ready(self) -> Awaitable[None] | None:
        """Give something to wait for before the next result, if there is need to."""
        ...

    def next(self, result: Text) -> None:
        """Send a result."""
        ...

    def complete(self) -> None:
        """Say that there are no more."""
        ...

    def end(self) -> None:
        """End the stream without a word: the client is to come again."""
        ...


class ResponseStream:
    """Chunks in order, for one reader: iterate over it.

    No task and no timer for a chunk. One timer sees to it that something is sent now and
    then, so that proxies keep the connection, and that a reader who does not read is
    noticed.

    Args:
        format: how results are written.
        heartbeat: seconds of silence before a sign of life, `None` sends none.
        patience: seconds until a reader that takes nothing is given up, `None` never.
    """

    def __init__(
        self,
        format: StreamFormat,
        *,
        heartbeat: float | None = None,
        patience: float | None = None,
    ) -> None:
        self.format = format
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[Chunk] = deque()
        self._finished = False
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Event | None = None
        self._heartbeat = heartbeat
        self._patience = patience
        self._silence = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.given_up: asyncio.Future[None] = self._loop.create_future()
        """Done when the reader has taken nothing for too long."""

    @property
    def is_full(self) -> bool:
        """Tell if results should wait."""
        return len(self._chunks) >= FULL_AT

    def ready(self) -> Awaitable[None] | None:
        """Give something to wait for before the next chunk, if there is need to."""
        return self._has_room() if self.is_full else None

    def put(self, chunk: Chunk) -> None:
        """Send a chunk, if anybody is there to read it."""
        if not (self._finished or self._closed):
            self._chunks.append(chunk)
            self._wake()

    def finish(self) -> None:
        """End behind what was put so far."""
        if not self._finished:
            self.put(self.format.closing)
            self._finished = True
            self._wake()

    def close(self) -> None:
        """Nobody reads any more."""
        self._closed = True
        self._chunks.clear()
        if self._timer is not None:
            self._timer.cancel()
        self._tell_room()
        self._wake()

    def open(self) -> None:
        """Begin: somebody reads from now on."""
        self._chunks.appendleft(self.format.opening)
        if self._heartbeat:
            self._timer = self._loop.call_later(self._heartbeat, self._beat)

    def __aiter__(self) -> ResponseStream:
        """Iterate over bytes."""
        return self

    async def __anext__(self) -> bytes:
        """Wait for what is there to be sent."""
        while not self._chunks:
            if self._finished or self._closed:
                raise StopAsyncIteration
            self._waiter = self._loop.create_future()
            await self._waiter
        chunks = list(self._chunks)
        self._chunks.clear()
        self._silence = 0.0
        self._tell_room()
        return b"".join([c if isinstance(c, bytes) else await c() for c in chunks])

    async def _has_room(self) -> None:
        while self.is_full:
            self._room = self._room or asyncio.Event()
            await self._room.wait()

    def _tell_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _beat(self) -> None:
        """Send a sign of life, unless the reader has enough to read."""
        assert self._heartbeat is not None, "who does not beat has no timer"
        if not self._chunks:
            self.put(self.format.heartbeat)
        self._silence += self._heartbeat
        if self._patience and self._silence > self._patience:
            self.given_up.set_result(None)
            self.close()
            return
        self._timer = self._loop.call_later(self._heartbeat, self._beat)


class OwnStream:
    """The sink of an operation that has a stream of its own."""

    def __init__(self, stream: ResponseStream) -> None:
        self.stream = stream
        self.ready = stream.ready

    def next(self, result: Text) -> None:
        """Send a result."""
        self.stream.put(chunk_of(result, self.stream.format.next))

    def complete(self) -> None:
        """Say that there are no more, and end the stream."""
        self.stream.put(self.stream.format.complete())
        self.stream.finish()

    def end(self) -> None:
        """End the stream without a word: the client is to come again."""
        self.stream.finish()


def chunk_of(result: Text, write: Callable[[str], bytes]) -> Chunk:
    """Write a result, now or when it is its turn."""
    if isinstance(result, str):
        return write(result)

    async def later() -> bytes:
        return write(await result())

    return later

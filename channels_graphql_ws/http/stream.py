"""Results on their way to a client that reads a response as it comes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, Protocol, TypeAlias

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.http.stream_formats import StreamFormat
from channels_graphql_ws.operations.unsent import LARGE, Unsent

log = ClientLog("channels_graphql_ws.http")

FULL_AT: Final = 64
"""Results that may wait for a client before further ones have to wait themselves."""

FULL_AT_BYTES: Final = 1_048_576
"""The same in bytes: what waits behind the part that is being sent."""

MOST_BYTES: Final = 67_108_864
"""Bytes that may wait at all, of results that cannot wait themselves; then the client is
given up."""


class LaterText(NamedTuple):
    """A result that the user's hooks change before it is sent, in its order.

    Attributes:
        size: about how long it will be.
        get: returns it, as JSON text.
    """

    size: int
    get: Callable[[], Awaitable[str]]


Text: TypeAlias = str | LaterText
"""A result, JSON text."""


class LaterChunk(NamedTuple):
    """The same, written in the form of a stream."""

    size: int
    get: Callable[[], Awaitable[bytes]]


Chunk: TypeAlias = bytes | LaterChunk
"""A part of the response."""


class Sink(Protocol):
    """Where the results of one operation go."""

    def ready(self) -> Awaitable[None] | None:
        """Return something to wait for before the next result, if there is need to."""
        ...

    def next(self, result: Text) -> None:
        """Send a result."""
        ...

    def complete(self) -> None:
        """Say that there are no more results."""
        ...

    def drop(self) -> None:
        """Forget what waits to be read."""

    def end(self) -> None:
        """End the stream without `complete`, so that the client connects again."""
        ...


class ResponseStream:
    """Chunks in order, for one reader: iterate over it.

    There is no task and no timer for a chunk. One timer sends something now and then, so that
    proxies keep the connection, and notices a reader that does not read.

    Args:
        format: how results are written.
        heartbeat: seconds of silence before a sign of life, `None` sends none.
        patience: seconds until a reader that takes nothing is given up, `None` never.
        unsent: where large chunks are counted that are not read yet; `None`: without limits.
    """

    def __init__(
        self,
        format: StreamFormat,
        *,
        heartbeat: float | None = None,
        patience: float | None = None,
        unsent: Unsent | None = None,
    ) -> None:
        self.format = format
        self._loop = asyncio.get_running_loop()
        self._chunks: deque[Chunk] = deque()
        self._size = 0
        self._finished = False
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._room: asyncio.Event | None = None
        self._heartbeat = heartbeat
        self._patience = patience
        self._unsent = unsent or Unsent(None, {})
        self._large = 0
        self._sending = 0
        self._silence = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.given_up: asyncio.Future[None] = self._loop.create_future()
        """Done when the reader has taken nothing for too long, or leaves too much unread."""

    @property
    def size(self) -> int:
        """Bytes that wait to be read."""
        return self._size

    @property
    def is_full(self) -> bool:
        """Whether results should wait."""
        return len(self._chunks) >= FULL_AT or self._size >= FULL_AT_BYTES

    def ready(self) -> Awaitable[None] | None:
        """Return something to wait for before the next chunk, if there is need to."""
        return self._has_room() if self.is_full or self._unsent.is_full else None

    def put(self, chunk: Chunk) -> None:
        """Send a chunk, unless the stream has ended."""
        if self._finished or self._closed:
            return
        if self._size > MOST_BYTES:
            self._give_up()
            return
        self._chunks.append(chunk)
        size = len(chunk) if isinstance(chunk, bytes) else chunk.size
        self._size += size
        if size > LARGE:
            self._large += size
            self._unsent.hold(size)
        self._wake()

    def finish(self) -> None:
        """End the stream behind what was put so far."""
        if not self._finished:
            self.put(self.format.closing)
            self._finished = True
            self._wake()

    def close(self) -> None:
        """Drop what is not sent yet: there is no reader any more."""
        self._closed = True
        self._chunks.clear()
        self._size = self._large = self._sending = 0
        self._unsent.close()
        if self._timer is not None:
            self._timer.cancel()
        self._tell_room()
        self._wake()

    def drop(self) -> None:
        """Forget what waits to be read, but for the beginning of the response."""
        begins = self._chunks and self._chunks[0] is self.format.opening
        self._chunks.clear()
        self._size = 0
        self._unsent.give_back(self._large)
        self._large = 0
        if begins:
            self._chunks.append(self.format.opening)
        self._tell_room()

    def open(self) -> None:
        """Begin: there is a reader from now on."""
        self._chunks.appendleft(self.format.opening)
        if self._heartbeat:
            self._timer = self._loop.call_later(self._heartbeat, self._beat)

    def __aiter__(self) -> ResponseStream:
        """Iterate over bytes."""
        return self

    async def __anext__(self) -> bytes:
        """Wait for something to send, and return it; what was returned before is read by now."""
        self._unsent.give_back(self._sending)
        self._sending = 0
        while not self._chunks:
            if self._finished or self._closed:
                raise StopAsyncIteration
            self._waiter = self._loop.create_future()
            await self._waiter
        chunks = list(self._chunks)
        self._chunks.clear()
        self._size = 0
        self._sending, self._large = self._large, 0
        self._silence = 0.0
        self._tell_room()
        return b"".join([c if isinstance(c, bytes) else await c.get() for c in chunks])

    async def _has_room(self) -> None:
        while self.is_full or self._unsent.is_full:
            if self.is_full:
                self._room = self._room or asyncio.Event()
                await self._room.wait()
            await self._unsent.has_room()

    def _tell_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _beat(self) -> None:
        """Send a sign of life, unless the reader has enough to read."""
        assert self._heartbeat is not None, "without heartbeats there is no timer"
        if not self._chunks:
            self.put(self.format.heartbeat)
        self._silence += self._heartbeat
        if self._patience and self._silence > self._patience:
            self._give_up()
            return
        self._timer = self._loop.call_later(self._heartbeat, self._beat)

    def _give_up(self) -> None:
        log.info("A client does not read its event stream: it is ended")
        self.given_up.set_result(None)
        self.close()


class OwnStream:
    """The sink of an operation that has a stream of its own."""

    def __init__(self, stream: ResponseStream) -> None:
        self.stream = stream
        self.ready = stream.ready
        self.drop = stream.drop

    def next(self, result: Text) -> None:
        """Send a result."""
        self.stream.put(chunk_of(result, self.stream.format.next))

    def complete(self) -> None:
        """Say that there are no more results, and end the stream."""
        self.stream.put(self.stream.format.complete())
        self.stream.finish()

    def end(self) -> None:
        """End the stream without `complete`, so that the client connects again."""
        self.stream.finish()


def chunk_of(result: Text, write: Callable[[str], bytes]) -> Chunk:
    """Return the chunk of a result, which is written now or, if it is a later one, then."""
    if isinstance(result, str):
        return write(result)

    async def later() -> bytes:
        return write(await result.get())

    return LaterChunk(result.size, later)

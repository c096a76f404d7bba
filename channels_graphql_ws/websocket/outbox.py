"""What is on its way to one client: straight to the socket while it takes more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from channels_graphql_ws.concurrency.eager import is_cancellation

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

T = TypeVar("T")

FULL_AT = 64
"""Frames that may wait for a socket before results have to wait themselves."""

_DONE: Final = object()
"""In the place of something to wait for: there is nothing."""


class _Rest:
    """Awaits the rest of an awaitable which has been started already."""

    def __init__(self, steps: Iterator[Any], waiting_for: Any) -> None:
        self._steps = steps
        self._waiting_for = waiting_for

    def __await__(self) -> Generator[Any, Any, None]:
        waiting_for = self._waiting_for
        while True:
            failure: BaseException | None = None
            try:
                yield waiting_for
            except BaseException as error:  # noqa: BLE001 (passed on as it is)
                failure = error
            try:
                steps = self._steps
                waiting_for = next(steps) if failure is None else _throw(steps, failure)
            except StopIteration:
                return


def _throw(steps: Iterator[Any], failure: BaseException) -> Any:
    # What `__await__` gives has to be an iterator, not a generator (Granian's is none).
    throw = getattr(steps, "throw", None)
    if throw is None:
        raise failure
    return throw(failure)


class OutboxOwner(Protocol):
    """The connection, as far as an outbox needs it."""

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Make a task, and own it."""
        ...

    def give_up(self) -> Awaitable[None]:
        """Close the socket, as a frame can not be sent."""
        ...


class Outbox:
    """Sends frames in order, without a task while the socket takes them at once.

    Attributes:
        flushing: sends what waits. While it is `None`, a frame is sent at once.
    """

    __slots__ = ("_closed", "_owner", "_room", "_waiting", "flushing")

    def __init__(self, owner: OutboxOwner) -> None:
        self._owner = owner
        # No deque: it takes ten times the memory for a client that keeps up.
        self._waiting: list[Callable[[], Awaitable[None]]] = []
        self.flushing: asyncio.Task[None] | None = None
        self._room: asyncio.Event | None = None
        self._closed = False

    @property
    def is_full(self) -> bool:
        """Tell if results should wait for `has_room`."""
        return len(self._waiting) >= FULL_AT and not self._closed

    async def has_room(self) -> None:
        """Wait until the outbox is not full, or of no use any more."""
        while self.is_full:
            self._room = self._room or asyncio.Event()
            await self._room.wait()

    def put(self, send: Callable[[T], Awaitable[None]], frame: T) -> None:
        """Have `send` called in its turn: now, if the socket has taken all before it."""
        if self._closed:
            return
        if self.flushing is not None:
            self._waiting.append(partial(send, frame))
            return
        try:
            steps = send(frame).__await__()
            # With a default, as most have nothing to wait for: an exception that says so would
            # cost more than all the rest here.
            waiting_for = next(steps, _DONE)
        # Servers raise what they like, and what is around them.
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
            self._fail(error, partial(send, frame))
            return
        if waiting_for is not _DONE:
            self.flushing = self._owner.spawn(self._flush(_Rest(steps, waiting_for)))

    def close(self, send: Callable[[], Awaitable[None]], *, at_once: bool = False) -> None:
        """Call `send` as the last of all; with `at_once`, forget what waits before it.

        Always in a task: a server may wait for the client's part of the closing, with
        a timeout, and Python's timeouts belong to the task that they were started in.
        """
        if self._closed:
            return
        self._closed = True
        if at_once:
            self._forget()
        self._waiting.append(send)
        self._tell_room()
        if self.flushing is None:
            self.flushing = self._owner.spawn(self._flush())

    async def closed(self, timeout: float) -> None:
        """Wait until the last frame is sent, `timeout` seconds at most."""
        if self.flushing is not None:
            await asyncio.wait([self.flushing], timeout=timeout)

    def abandon(self) -> None:
        """The socket is closed: forget what has not been sent, and the owner."""
        self._closed = True
        self._forget()
        self._tell_room()
        # It knows us, too: what is in a circle stays until garbage is collected.
        del self._owner

    async def _flush(self, rest: Awaitable[None] | None = None) -> None:
        try:
            if rest is not None:
                await rest
            while self._waiting:
                send = self._waiting.pop(0)
                if len(self._waiting) <= FULL_AT // 2:
                    self._tell_room()
                await send()
        # Servers raise what they like.
        except (Exception, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
            self._break(error)
        finally:
            # Another one may have taken over, see `close`.
            is_latest = self.flushing is asyncio.current_task()
            self.flushing = None if is_latest else self.flushing

    def _forget(self) -> None:
        self._waiting.clear()
        if self.flushing is not None:
            self.flushing.cancel()
            self.flushing = None

    def _fail(self, error: BaseException, send: Callable[[], Awaitable[None]]) -> None:
        """See if it was only that a send can not begin outside of a task.

        Results come from no task. A server takes them, but a `send` that middleware has
        wrapped in a timeout, say, does not.
        """
        if isinstance(error, OSError) or asyncio.current_task() is not None:
            self._break(error)
            return
        log.debug("Can not send outside of a task, trying in one: %r", error)
        self._waiting.append(send)
        self.flushing = self._owner.spawn(self._flush())

    def _break(self, error: BaseException) -> None:
        """Take it that the client has gone, if it is an OSError as ASGI has it."""
        log.debug("Can not send to a client: %r", error)
        was_closed, self._closed = self._closed, True
        self._waiting.clear()
        self._tell_room()
        if not was_closed and not isinstance(error, OSError):
            self.flushing = self._owner.spawn(self._close_after(error))

    async def _close_after(self, error: BaseException) -> None:
        """Leave nobody without a word: Daphne refuses frames that it finds too large."""
        try:
            await self._owner.give_up()
        except Exception as gone:  # noqa: BLE001 (servers raise what they like)
            log.debug("Can not even close: %r", gone)
        else:
            log.warning("Closed a connection: a message could not be sent: %r", error)

    def _tell_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

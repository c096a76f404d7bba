"""What is on its way to one client: straight to the socket while it takes more."""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator
from functools import partial
from sys import getsizeof
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from channels_graphql_ws.client_log import ClientLog, log_fields, logs_about
from channels_graphql_ws.concurrency.eager import is_cancellation
from channels_graphql_ws.operations.unsent import LARGE, Unsent

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

Event: TypeAlias = dict[str, Any]

Send: TypeAlias = Callable[[Event], Awaitable[None]]

FULL_AT = 64
"""Frames that may wait for a socket before results have to wait themselves."""

MEBIBYTE: Final = 1_048_576

CONTENDED: Final = 8
"""MiB that a client must take within the timeout while others of its owner wait for it."""

_DONE: Final = object()
"""Sentinel for something to wait for: there is nothing."""


class _Rest:
    """Awaits the rest of an awaitable that has been started already."""

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
            finally:
                # Its traceback knows this frame, and that the message that was to be sent.
                failure = None


def _throw(steps: Iterator[Any], failure: BaseException) -> Any:
    # What `__await__` returns must be an iterator, not a generator (Granian's is not).
    throw = getattr(steps, "throw", None)
    try:
        if throw is None:
            raise failure
        return throw(failure)
    finally:
        del failure


class OutboxOwner(Protocol):
    """The connection, as far as an outbox needs it."""

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Make a task, and own it."""
        ...

    def call_later(self, seconds: float, call: Callable[..., None], *args: Any) -> TimerHandle:
        """Set a timer."""
        ...

    def give_up(self) -> Awaitable[None]:
        """Close the socket, as a frame cannot be sent."""
        ...

    def stalled(self) -> None:
        """The client has taken nothing for too long."""

    def cut_off_later(self) -> None:
        """End the socket if the server does not tell us soon that it is closed."""


class Waiting(NamedTuple):
    """A frame that waits, or the close behind them."""

    send: Callable[[], Awaitable[None]]
    size: int


class Outbox:
    """Sends frames in order, without a task while the socket takes them at once.

    Args:
        owner: the connection.
        max_size: bytes that may wait behind the frame that is being sent before results have
            to wait themselves; `None` bounds only the number of frames.
        timeout: seconds in which the client must take something, for each started mebibyte of
            what is being sent; `None` waits for ever.
        unsent: where large frames are counted that are not sent yet; `None` does not count.

    Attributes:
        flushing: sends what waits. While it is `None`, a frame is sent at once.
        taken: how many frames the client has taken that had to wait for it.
        relieved: how often there was room again for those that had waited for it.
        size: bytes that wait behind the frame that is being sent.
    """

    __slots__ = (
        "_closed",
        "_handed",
        "_log_fields",
        "_max_size",
        "_owner",
        "_room",
        "_sending",
        "_timeout",
        "_unsent",
        "_waiting",
        "_watch",
        "flushing",
        "relieved",
        "size",
        "taken",
    )

    def __init__(
        self,
        owner: OutboxOwner,
        *,
        max_size: int | None = None,
        timeout: float | None = None,
        unsent: Unsent | None = None,
    ) -> None:
        self._owner = owner
        # A frame is sent by whichever code has one, perhaps for many clients.
        self._log_fields = log_fields.get()
        self._max_size = max_size
        self._timeout = timeout
        self._unsent = unsent
        # No deque: it takes ten times the memory for a client that keeps up.
        self._waiting: list[Waiting] = []
        self.flushing: asyncio.Task[None] | None = None
        self.size = 0
        self.taken = 0
        self.relieved = 0
        self._sending = 0
        # The last frame that the server has taken, if it is a large one: some servers wait for
        # their buffers before they send the next frame, and not behind a large one.
        self._handed = 0
        self._room: asyncio.Event | None = None
        self._watch: TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        """Return how many frames wait behind the one that is being sent."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether results should wait for `has_room`."""
        return not self._closed and self._exceeds(FULL_AT, self._max_size)

    def _exceeds(self, frames: int, size: int | None) -> bool:
        return len(self._waiting) >= frames or (size is not None and self.size > size)

    async def has_room(self) -> None:
        """Wait until the outbox is not full, or of no use any more."""
        while self.is_full:
            self._room = self._room or asyncio.Event()
            await self._room.wait()

    def put(self, send: Send, event: Event) -> None:
        """Send an event behind those that wait: now, if the socket has taken all of them.

        Args:
            send: the server's.
            event: a `websocket.send` (ASGI) with a `text`.
        """
        if self._closed:
            return
        if self.flushing is not None:
            self._append(send, event)
            return
        try:
            steps = send(event).__await__()
            # With a default, as most have nothing to wait for: an exception that says so would
            # cost more than all the rest here.
            waiting_for = next(steps, _DONE)
        # Servers raise errors of any class.
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
            self._fail(error, send, event)
            return
        if waiting_for is not _DONE:
            self._sending = getsizeof(event["text"])
            self._count(self._sending)
            self._flush_in_task(_Rest(steps, waiting_for))
        elif self._handed or len(event["text"]) > LARGE:
            self._sending = getsizeof(event["text"])
            self._count(self._sending)
            self._taken()

    @property
    def is_uncertain(self) -> bool:
        """Whether nobody knows if the client has taken the last frame, a large one."""
        return self._handed > 0 and self.flushing is None and not self._closed

    def drop(self) -> None:
        """Forget the frames that wait behind the one that is being sent."""
        if not self._closed:
            self._drop()

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
        self._waiting.append(Waiting(send, 0))
        self._tell_room()
        if self.flushing is None:
            self.flushing = self._owner.spawn(self._flush())
            # It may be the first that the client does not take.
            if self._handed and self._timeout and self._watch is None:
                self._look_later()

    async def closed(self, timeout: float) -> None:
        """Wait until the last frame is sent, `timeout` seconds at most."""
        if self.flushing is not None:
            await asyncio.wait([self.flushing], timeout=timeout)

    def abandon(self) -> None:
        """The socket is closed: forget what has not been sent, and the owner."""
        self._closed = True
        self._forget()
        self._tell_room()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        # Break the reference cycle, so that memory is freed at once.
        del self._owner

    def _append(self, send: Send, event: Event) -> None:
        # What it takes: a text with other than Latin letters has more bytes than characters.
        size = getsizeof(event["text"])
        self.size += size
        self._waiting.append(Waiting(partial(send, event), size))
        self._count(size)

    def _count(self, size: int) -> None:
        if size > LARGE and self._unsent is not None:
            self._unsent.hold(size)

    def _count_no_more(self, size: int) -> None:
        if size > LARGE and self._unsent is not None:
            self._unsent.give_back(size)

    def _taken(self) -> None:
        """Note that the server has taken a frame, and so the client those before it."""
        self._count_no_more(self._handed)
        self._handed = self._sending if self._sending > LARGE else 0
        self._sending = 0
        if self._handed and self._unsent is not None:
            self._unsent.ask_later()

    def _drop(self) -> None:
        """Forget the frames that wait; what is being sent may still be in the server's buffers."""
        for each in self._waiting:
            self._count_no_more(each.size)
        self._waiting.clear()
        self.size = 0

    def _flush_in_task(self, rest: Awaitable[None] | None = None) -> None:
        task = self._owner.spawn(self._flush(rest))
        # With eager tasks it may have ended already: what comes next has to be sent, too.
        self.flushing = None if task.done() else task
        if self._timeout and self._watch is None:
            self._look_later()

    async def _flush(self, rest: Awaitable[None] | None = None) -> None:
        try:
            if rest is not None:
                await rest
                self._taken()
                self.taken += 1
            while self._waiting:
                send, self._sending = self._waiting.pop(0)
                self.size -= self._sending
                half = None if self._max_size is None else self._max_size // 2
                if not self._exceeds(FULL_AT // 2, half):
                    self._tell_room()
                await send()
                self._taken()
                self.taken += 1
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
        self._drop()
        if self.flushing is not None:
            self.flushing.cancel()
            self.flushing = None

    def _look_later(self, patience: int = 0) -> None:
        assert self._timeout is not None, "without a timeout nothing is watched"
        self._watch = self._owner.call_later(self._timeout, self._look, self.taken, patience)

    def _look(self, taken: int, patience: int) -> None:
        """Find out whether the client has taken anything since `taken` frames."""
        self._watch = None
        if self.flushing is None:
            return
        if self.taken != taken:
            self._look_later()
        elif patience < self._patience:
            self._look_later(patience + 1)
        else:
            self._give_up()

    def _give_up(self) -> None:
        """Close, as the client has taken nothing for too long."""
        if not self._closed:
            self._owner.stalled()
        elif self._waiting:
            # The close waits behind what nobody reads.
            close = self._waiting[-1]
            self._forget()
            self._waiting.append(close)
            self.flushing = self._owner.spawn(self._flush())
        # The server may keep for ever what was not taken, and the close, too: Uvicorn does.
        self._owner.cut_off_later()
        if self._unsent is not None:
            self._unsent.abandon()

    @property
    def _patience(self) -> int:
        """How often more than once the client may be found to have taken nothing."""
        size = (self._handed + self._sending) // MEBIBYTE
        if self._unsent is None or not self._unsent.is_contended:
            return size
        return min(size, max(1, size // CONTENDED))

    def _fail(self, error: BaseException, send: Send, event: Event) -> None:
        """Find out whether it was only that a send cannot begin outside of a task.

        Results come from no task. A server takes them, but a `send` that middleware has
        wrapped in a timeout, say, does not.
        """
        if _is_disconnect(error) or asyncio.current_task() is not None:
            self._break(error)
            return
        log.debug("Cannot send outside of a task, trying in one: %r", error)
        self._append(send, event)
        self._flush_in_task()

    def _break(self, error: BaseException) -> None:
        """Take what says so as a disconnect; close the socket after any other error."""
        with logs_about(self._log_fields):
            log.debug("Cannot send to a client: %r", error)
        was_closed, self._closed = self._closed, True
        self._drop()
        self._tell_room()
        if not was_closed and not _is_disconnect(error):
            self.flushing = self._owner.spawn(self._close_after(error))

    async def _close_after(self, error: BaseException) -> None:
        """Tell the client why, if possible: Daphne refuses frames that it finds too large."""
        try:
            await self._owner.give_up()
        except Exception as gone:  # noqa: BLE001 (servers raise what they like)
            log.debug("Cannot even close: %r", gone)
        else:
            with logs_about(self._log_fields):
                log.warning("Closed a connection: a message could not be sent: %r", error)

    def _tell_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self.relieved += 1
            self._room = None


def _is_disconnect(error: BaseException) -> bool:
    """Return whether an error means that the client has gone: OSError (ASGI), or Daphne's own."""
    cls = type(error)
    return isinstance(error, OSError) or (cls.__module__, cls.__name__) == _OF_DAPHNE


_OF_DAPHNE: Final = ("autobahn.exception", "Disconnected")

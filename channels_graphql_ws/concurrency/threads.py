"""Threads for synchronous code: made when they are needed, and made anew after a fork."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar
from inspect import iscoroutine
from time import thread_time
from typing import Any, Final
from weakref import WeakKeyDictionary

import asgiref.sync

from channels_graphql_ws.concurrency import fairness
from channels_graphql_ws.concurrency.computing import turns
from channels_graphql_ws.concurrency.database import DatabaseCall
from channels_graphql_ws.concurrency.fairness import FairQueue, Place
from channels_graphql_ws.concurrency.pool import Pool
from channels_graphql_ws.concurrency.thread_loop import lent


class Workers:
    """A pool of threads for one purpose, so that no other purpose uses them up.

    Args:
        purpose: for the names of the threads.
        count: the most threads that there may be.
        share: the most of them that one user, or one address without one, may use at a time; all
            by default. Of whom neither is known each connection has so many.

    Attributes:
        count: the most threads that there may be now.
        share: the most of them that one user or address may use.
    """

    def __init__(self, purpose: str, count: int, share: int | None = None) -> None:
        self._purpose = purpose
        self.count = count
        self.share = count if share is None else share
        self._queues: WeakKeyDictionary[asyncio.AbstractEventLoop, FairQueue] = WeakKeyDictionary()
        self._made: tuple[int, Pool] | None = None

    def limit(self, count: int, share: int | None = None) -> None:
        """Change the number of threads and the share, see the class; existing threads stay."""
        self.share = count if share is None else share
        self.count = count
        if self._made is not None:
            self._made[1].count = count

    @property
    def pool(self) -> Pool:
        """The pool of this process: threads do not survive a fork."""
        process = os.getpid()
        if self._made is None or self._made[0] != process:
            name = f"channels-graphql-ws-{self._purpose}"
            self._made = process, Pool(name, self.count)
        return self._made[1]

    @property
    def queue(self) -> FairQueue:
        """What shares the threads among the clients of this event loop."""
        loop = asyncio.get_running_loop()
        queue = self._queues.get(loop)
        if queue is None:
            queue = self._queues[loop] = FairQueue(self.count, self.share)
        elif queue.places != self.count:
            # Here, and not in `limit`: a queue belongs to its event loop.
            queue.resize(self.count, self.share)
        return queue


THREADS: Final = 32
"""Most threads of each pool in a process. Each may hold a connection to each database."""

SHARE: Final = 8
"""Most threads of each pool that one user or address may use at a time: a quarter of them."""

OPERATIONS: Final = Workers("resolvers", THREADS, SHARE)
"""For queries, mutations, and the hooks that decide on connections and operations."""

EVENTS: Final = Workers("events", THREADS, SHARE)
"""For the hooks and resolvers of events: slow queries do not hold them up."""


def limit_threads(count: int) -> None:
    """Limit each of the two pools to so many threads; a user or address may use a quarter."""
    for workers in (OPERATIONS, EVENTS):
        workers.limit(count, max(1, count * SHARE // THREADS))


sync_in_callers_thread: ContextVar[bool] = ContextVar("sync_in_callers_thread", default=False)
"""Run synchronous code in asgiref's thread-sensitive thread, and not in a pool. Set by test
clients: a thread that waits for the application may hold a transaction, which no other sees."""


class RequestThread:
    """The thread that Django has for a request; false when calls are not taken there any more.

    Attributes:
        is_open: calls are taken there.
    """

    __slots__ = ("is_open",)

    def __init__(self) -> None:
        self.is_open = True

    def __bool__(self) -> bool:
        return self.is_open


operations_in_request_thread: ContextVar[RequestThread | None] = ContextVar(
    "operations_in_request_thread", default=None
)
"""The same for `OPERATIONS` only. Set by the Django view: middleware of the same request has
its database connections, and perhaps a transaction, in that thread."""


def context_of_nobody() -> Context:
    """Return an empty context that keeps only `sync_in_callers_thread`."""
    context = Context()
    context.run(sync_in_callers_thread.set, sync_in_callers_thread.get())
    return context


# Unlike that of `inspect`, up to Python 3.11, it knows functions that are marked as such.
_is_coroutine_function = asgiref.sync.iscoroutinefunction  # pyright: ignore[reportDeprecated]


def runs_on_loop(function: Any) -> bool:
    """Return whether a call of `function` only makes a coroutine, and blocks nothing."""
    return _is_coroutine_function(function) or _is_coroutine_function(
        getattr(function, "__call__", None)  # noqa: B004 (objects whose `__call__` is async)
    )


def _close_coroutine(result: Any) -> None:
    if iscoroutine(result):
        result.close()


async def in_thread(
    call: Callable[[], Any],
    workers: Workers = OPERATIONS,
    *,
    dispose: Callable[[Any], None] = _close_coroutine,
    starting: Callable[[], Awaitable[object] | None] = lambda: None,
) -> Any:
    """Call in a thread, with database connections closed that have expired.

    The threads are not asgiref's single thread-sensitive one, where a slow call of one client
    would hold up all others; but see `sync_in_callers_thread`.

    Args:
        call: what to call. `asyncio.get_event_loop()` works there, see `ThreadLoop`.
        workers: the pool to take a thread from.
        dispose: gets the result if this is cancelled meanwhile.
        starting: is asked when there is a thread, and returns something to wait for without
            it, if there is need.

    Raises:
        RuntimeError: the call has raised `StopIteration`, which no coroutine can raise.
        Exception: what else the call has raised.
    """
    loop = asyncio.get_running_loop()
    if sync_in_callers_thread.get() or (
        workers is OPERATIONS and operations_in_request_thread.get()
    ):
        while (waiting := starting()) is not None:
            await waiting
        running = _ThreadCall(call, dispose, loop)
        return await _result(running, DatabaseCall(running.run)())
    # Whoever it is now: a client that logs in meanwhile takes the next thread as somebody else.
    owner, connection = fairness.current_key(), fairness.known_owner()
    if owner is None:
        owner = object()
    place = await workers.queue.enter(owner, connection)
    while (waiting := starting()) is not None:
        place.leave()
        await waiting
        place = await workers.queue.enter(owner, connection)
    running = _ThreadCall(call, dispose, loop, place)
    pool: Any = workers.pool
    run = DatabaseCall(running.run, thread_sensitive=False, executor=pool)
    return await _result(running, run())


async def _result(running: _ThreadCall, result: Awaitable[Any]) -> Any:
    try:
        return await result
    except asyncio.CancelledError:
        running.abandon()
        raise
    finally:
        if not running.is_abandoned:
            running.leave()


class _ThreadCall:
    """A call in a thread. Its result is disposed of when nobody waits any more.

    Args:
        call: what to call.
        dispose: gets a result that nobody waits for.
        loop: what `asyncio.get_event_loop()` returns in the call.
        place: what the call has among the threads.

    Attributes:
        is_abandoned: nobody waits any more.
    """

    def __init__(
        self,
        call: Callable[[], Any],
        dispose: Callable[[Any], None],
        loop: asyncio.AbstractEventLoop,
        place: Place | None = None,
    ) -> None:
        self._call = call
        self._dispose = dispose
        self._loop = loop
        self._place = place
        self._result: Any = None
        self._has_ended = False
        self.is_abandoned = False

    def run(self) -> Any:
        """Call, in a thread."""
        began = thread_time()
        try:
            with lent(self._loop):
                try:
                    self._result = self._call()
                except StopIteration as error:
                    raise RuntimeError(f"{self._call!r} raised StopIteration") from error
        finally:
            turns.end()
            if self._place is not None:
                self._place.used(thread_time() - began)
            # Looked at after the result is in its place, as `abandon` does it the other way
            # round: one of the two sees both.
            self._has_ended = True
            if self.is_abandoned:
                self._end()
        return self._result

    def leave(self) -> None:
        """Release the place; harmless when repeated."""
        if self._place is not None:
            self._place.leave()

    def abandon(self) -> None:
        """Nobody waits any more: the call goes on, and keeps its place until it ends."""
        self.is_abandoned = True
        if self._has_ended:
            self._end()

    def _end(self) -> None:
        self.leave()
        self._dispose(self._result)

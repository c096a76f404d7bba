"""Threads of our own: made when they are needed, and made anew after a fork."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context, ContextVar
from inspect import iscoroutine
from typing import Any

from channels.db import database_sync_to_async


class Workers:
    """A pool of threads for one purpose, so that it can not use up those of another.

    Args:
        purpose: for the names of the threads.
        count: how many there may be.
    """

    def __init__(self, purpose: str, count: int) -> None:
        self._purpose = purpose
        self._count = count
        self._made: tuple[int, ThreadPoolExecutor] | None = None

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The pool of this process: threads do not survive a fork."""
        process = os.getpid()
        if self._made is None or self._made[0] != process:
            name = f"channels-graphql-ws-{self._purpose}"
            self._made = process, ThreadPoolExecutor(self._count, thread_name_prefix=name)
        return self._made[1]


THREADS = 32
"""Threads for synchronous resolvers and hooks, for the whole process. A database that can
not take as many connections wants fewer."""

_resolvers = Workers("resolvers", THREADS)

sync_in_callers_thread: ContextVar[bool] = ContextVar("sync_in_callers_thread", default=False)
"""Use the thread that asgiref has for synchronous code, and not those. Tests do so that wait
for us in a thread with a transaction: from no other thread it could be seen."""


def context_of_nobody() -> Context:
    """Give a context without any variable of a client: with no more than where threads are."""
    context = Context()
    context.run(sync_in_callers_thread.set, sync_in_callers_thread.get())
    return context


async def in_thread(call: Callable[[], Any]) -> Any:
    """Call in a thread, with database connections closed that have had their time.

    The threads are not asgiref's single "thread-sensitive" one, where a slow call of one
    client would keep all others waiting; they are our own, and `THREADS` at most.
    """
    running = _ThreadCall(call)
    try:
        return await _in_a_thread(running)
    except asyncio.CancelledError:
        running.abandon()
        raise


class _ThreadCall:
    """A call in a thread. A coroutine that it gives when nobody waits is closed."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._result: Any = None
        self._is_abandoned = False

    def run(self) -> Any:
        """Call, in a thread."""
        self._result = self._call()
        # Looked at after the result is in its place, as `abandon` does it the other way
        # round: one of the two sees both.
        if self._is_abandoned:
            self._drop()
        return self._result

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._is_abandoned = True
        self._drop()

    def _drop(self) -> None:
        if iscoroutine(self._result):
            self._result.close()


def _in_a_thread(call: _ThreadCall) -> Awaitable[Any]:
    run: Any
    if sync_in_callers_thread.get():
        run = database_sync_to_async(call.run)
    else:
        pool = _resolvers.pool
        run = database_sync_to_async(call.run, thread_sensitive=False, executor=pool)
    running: Awaitable[Any] = run()
    return running

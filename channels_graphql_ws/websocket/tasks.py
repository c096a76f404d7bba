"""The tasks of one connection: spawn, wait, cancel."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterable, Sequence
from contextlib import suppress
from contextvars import Context
from typing import Any, Final, Protocol

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.execution.breathing import breathe
from channels_graphql_ws.websocket.under_way import BYTES_FOR_ONE, FEW, UnderWay

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

CANCEL_TIMEOUT = 5.0
"""Seconds that a cancelled task may take to end."""

CANCELLED_AT_ONCE: Final = 16
"""Tasks that are cancelled in one iteration of the event loop, if there are more."""


class TasksOwner(Protocol):
    """The connection, as far as its tasks need it."""

    def crashed(self) -> None:
        """Close, as something broke that is not the client's fault."""


class ConnectionTasks:
    """Owns the tasks of a connection: cancels them, and waits for them.

    Args:
        loop: the event loop of the connection.
        owner: the connection: crashes when a task has failed, which is a bug of this package.

    Attributes:
        under_way: counts those of operations, if there were more than a few.
    """

    __slots__ = ("_loop", "_owner", "_tasks", "under_way")

    def __init__(self, loop: asyncio.AbstractEventLoop, owner: TasksOwner) -> None:
        self._loop = loop
        self._owner: TasksOwner | None = owner
        # Most connections never have any.
        self._tasks: set[asyncio.Task[None]] | None = None
        self.under_way: UnderWay | None = None

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def spawn(
        self, coroutine: Coroutine[Any, Any, None], variables: Context | None = None
    ) -> asyncio.Task[None]:
        """Make a task, and own it until it ends."""
        task = self._loop.create_task(coroutine, context=variables)
        if self._tasks is None:
            self._tasks = set()
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def count(self, task: asyncio.Task[None], size: int, owner: Callable[[], Hashable]) -> None:
        """Count the task of an operation, unless it is one of a few that are small.

        Args:
            task: one of these.
            size: bytes of its message, in memory.
            owner: see `UnderWay`.
        """
        assert self._tasks is not None, "it is one of them"
        if len(self._tasks) <= FEW and size < BYTES_FOR_ONE:
            return
        if self.under_way is None:
            self.under_way = UnderWay(owner, self._tasks)
        self.under_way.add(task, size)

    async def wait(self, timeout: float | None) -> None:
        """Wait until the tasks there are now have ended, at most `timeout` seconds."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=timeout)

    async def finish(self, timeout: float | None) -> None:
        """Wait until no task is left; cancel those that take longer than `timeout` seconds."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    while self._tasks:
                        await asyncio.wait(self._tasks)
        finally:
            await self.cancel()

    async def cancel(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        if self._tasks:
            log.warning("Cancelling %s tasks of a client that has gone", len(self._tasks))
        # Twice: a cancelled task may call a hook in its end, which may hang, too.
        for _ in range(2):
            tasks = list(self._tasks or ())
            await _cancel(tasks)
            if tasks:
                await asyncio.wait(tasks, timeout=CANCEL_TIMEOUT)

    def release(self) -> None:
        """Break the reference cycle with the connection, so that memory is freed at once."""
        self._owner = None

    def _finished(self, task: asyncio.Task[None]) -> None:
        assert self._tasks is not None, "it is one of them"
        self._tasks.discard(task)
        if self.under_way is not None and self.under_way.counts:
            self.under_way.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("A task of a connection failed", exc_info=task.exception())
            if self._owner is not None:
                self._owner.crashed()


async def _cancel(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks, many of them a few at a time; all, even if this is cancelled."""
    left = list(tasks)
    try:
        while len(left) > CANCELLED_AT_ONCE:
            _cancel_all(left[-CANCELLED_AT_ONCE:])
            del left[-CANCELLED_AT_ONCE:]
            await breathe()
    finally:
        _cancel_all(left)


def _cancel_all(tasks: Iterable[asyncio.Task[None]]) -> None:
    for task in tasks:
        eager.cancel(task)

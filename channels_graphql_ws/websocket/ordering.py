"""Strict ordering: a message of a client is seen to when the one before it has come to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from channels_graphql_ws.websocket.protocol import Effect

INBOX_LIMIT = 64
"""Messages that may wait for their turn before no more are read."""


class OrderingOwner(Protocol):
    """The connection, as far as the order of its messages needs it."""

    def carry_out(self, effects: list[Effect]) -> None:
        """Do what the protocol has decided."""

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Make a task, and own it."""
        ...


class StrictOrder:
    """Gives messages their turns.

    Attributes:
        in_progress: is set when the turn is over that is being taken, `None` if there is none.
    """

    __slots__ = ("_inbox", "_owner", "_tasks", "in_progress")

    def __init__(self, owner: OrderingOwner) -> None:
        self.in_progress: asyncio.Event | None = None
        self._owner = owner
        self._inbox: list[Callable[[], list[Effect]]] = []
        # What the message has begun whose turn it is.
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_full(self) -> bool:
        """Tell if no more messages should be read."""
        return len(self._inbox) >= INBOX_LIMIT

    async def has_room(self) -> None:
        """Wait until more messages may be read."""
        while self.in_progress is not None and self.is_full:
            await self.in_progress.wait()

    def put(self, decide: Callable[[], list[Effect]]) -> None:
        """Have the protocol decide on a message when it is its turn."""
        self._inbox.append(decide)
        self._work_off()

    def began(self, task: asyncio.Task[None]) -> None:
        """A task was begun: it belongs to the turn, if there is one."""
        if self.in_progress is not None:
            self._tasks.append(task)

    def end(self) -> None:
        """Forget what waits."""
        self._inbox.clear()
        self._finish()

    def _work_off(self) -> None:
        while self._inbox and self.in_progress is None:
            self.in_progress = asyncio.Event()
            self._owner.carry_out(self._inbox.pop(0)())
            if self._tasks:
                self._owner.spawn(self._wait_for_tasks())
            else:
                self._finish()

    async def _wait_for_tasks(self) -> None:
        while self._tasks:
            tasks, self._tasks = self._tasks, []
            await asyncio.wait(tasks)
        self._finish()
        self._work_off()

    def _finish(self) -> None:
        if self.in_progress is not None:
            self.in_progress.set()
            self.in_progress = None

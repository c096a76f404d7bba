"""Strict ordering: each message is processed to its end before the next one is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, Final, Protocol

from channels_graphql_ws.concurrency.fairness import current_key
from channels_graphql_ws.concurrency.rotation import next_turn
from channels_graphql_ws.operations.sizes import memory_of
from channels_graphql_ws.websocket.pace import SLICE
from channels_graphql_ws.websocket.protocol import Effect

INBOX_LIMIT: Final = 64
"""Messages that may wait before no more are read."""

INBOX_BYTES: Final = 1_048_576
"""Bytes of messages that may wait before no more are read."""


class OrderingOwner(Protocol):
    """The connection, as far as the order of its messages needs it."""

    def carry_out(self, effects: list[Effect]) -> None:
        """Do what the protocol has decided."""

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Make a task, and own it."""
        ...


class StrictOrder:
    """Processes messages one after the other.

    Attributes:
        in_progress: set when the message that is being processed has come to its end;
            `None` if there is none.
    """

    __slots__ = ("_inbox", "_owner", "_size", "_tasks", "in_progress")

    def __init__(self, owner: OrderingOwner) -> None:
        self.in_progress: asyncio.Event | None = None
        self._owner = owner
        self._inbox: list[tuple[Callable[[], list[Effect]], int]] = []
        self._size = 0
        # What the message that is being processed has begun.
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_full(self) -> bool:
        """Whether no more messages should be read."""
        return len(self._inbox) >= INBOX_LIMIT or self._size > INBOX_BYTES

    async def has_room(self) -> None:
        """Wait until more messages may be read."""
        while self.in_progress is not None and self.is_full:
            await self.in_progress.wait()

    def put(self, decide: Callable[[], list[Effect]], message: object) -> None:
        """Have the protocol decide on a message when those before it have come to their end.

        Args:
            decide: asks the protocol.
            message: what waits, for its size.
        """
        size = (
            len(message) if isinstance(message, str | bytes) else memory_of(message, INBOX_BYTES)
        )
        self._inbox.append((decide, size))
        self._size += size
        self._work_off()

    def began(self, task: asyncio.Task[None]) -> None:
        """A task was begun: it belongs to the message that is being processed, if any."""
        if self.in_progress is not None:
            self._tasks.append(task)

    def end(self) -> None:
        """Forget what waits."""
        self._inbox.clear()
        self._size = 0
        self._finish()

    def _work_off(self) -> None:
        until = monotonic() + SLICE
        while self._inbox and self.in_progress is None:
            self.in_progress = asyncio.Event()
            decide, size = self._inbox.pop(0)
            self._size -= size
            self._owner.carry_out(decide())
            if self._tasks:
                self._owner.spawn(self._wait_for_tasks())
            elif self._inbox and monotonic() > until:
                # So many have waited that other clients are served before the next one.
                self._owner.spawn(self._go_on_later())
            else:
                self._finish()

    async def _go_on_later(self) -> None:
        await next_turn(current_key())
        await self._wait_for_tasks()

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

"""Looks after what waits in the user's code: one timer for all, and none while nothing waits."""

from __future__ import annotations

import asyncio
from typing import Protocol

EVERY = 0.5
"""Seconds between two looks."""


class Waiting(Protocol):
    """Something that waits."""

    def has_waited(self, seconds: float) -> None:
        """Learn how long it has waited so far."""
        ...


class Overdue:
    """What waits on one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._since: dict[Waiting, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, waiting: Waiting) -> None:
        """Tell it now and then how long it has waited, until `end`."""
        self._since[waiting] = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(EVERY, self._look)

    def end(self, waiting: Waiting) -> None:
        """It waits no more; harmless for one that does not."""
        self._since.pop(waiting, None)
        if not self._since and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._loop.call_later(EVERY, self._look)
        now = self._loop.time()
        for waiting, since in list(self._since.items()):
            waiting.has_waited(now - since)

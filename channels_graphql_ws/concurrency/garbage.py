"""How long Python's garbage collector has held up this process lately."""

from __future__ import annotations

import gc
from collections import deque
from time import perf_counter
from typing import Any, Final

SHORTEST: Final = 0.001
"""Seconds of a collection that is remembered."""

REMEMBERED: Final = 100
"""Collections that are."""


class Collections:
    """Remembers when the garbage collector ran for long, on whatever thread.

    It holds up all of them, and whose turn it was just then has nothing to do with it.
    """

    def __init__(self) -> None:
        self._began = 0.0
        self._long: deque[tuple[float, float]] = deque(maxlen=REMEMBERED)
        # The collector runs, too, when the names of this module are gone already.
        self._now, self._shortest = perf_counter, SHORTEST

    def watch(self) -> None:
        """Remember collections from now on."""
        if self._note not in gc.callbacks:
            gc.callbacks.append(self._note)

    def seconds(self, began: float, ended: float) -> float:
        """Return how much of a time of `perf_counter` collections have taken."""
        return sum(
            max(0.0, min(until, ended) - max(since, began)) for since, until in self._long.copy()
        )

    def _note(self, phase: str, _: dict[str, Any]) -> None:
        now = self._now()
        if phase == "start":
            self._began = now
        elif now - self._began > self._shortest:
            self._long.append((self._began, now))


collections = Collections()
"""Those of this process."""

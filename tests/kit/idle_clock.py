"""An event loop whose clock advances only while nothing else happens."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")

_GRACE = 0.002
"""Real seconds in which a kernel hands on what was sent to a socket of this process."""


def run_on_idle_clock(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run like `asyncio.run`, but let timers fire only when no socket has anything to read.

    So a timeout means that the awaited thing does not come, never that the machine was busy. It is
    for programs whose peers are on the same loop: the clock does not wait for other processes.
    """
    with asyncio.Runner(loop_factory=_IdleClockLoop) as runner:
        return runner.run(coroutine)


class _IdleClockLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_IdleSelector(self._advance))

    def time(self) -> float:
        return self._now

    def _advance(self, seconds: float) -> None:
        self._now += seconds


class _IdleSelector(selectors.DefaultSelector):
    """Reports a timeout as idle time in place of waiting for it.

    Args:
        advance: called with the seconds that were not waited.
    """

    def __init__(self, advance: Callable[[float], None]) -> None:
        super().__init__()
        self._advance = advance

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(_GRACE)
        if not ready:
            self._advance(timeout)
        return ready

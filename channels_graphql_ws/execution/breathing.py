"""Long executions on an event loop: at most one of them runs in an iteration, for a short time."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic
from typing import Final
from weakref import WeakKeyDictionary

WINDOW: Final = 0.002
"""Seconds that an execution runs before it lets the event loop go on to others."""


class _Waiting:
    """Executions of one event loop that wait for their next window, in turn."""

    def __init__(self) -> None:
        self._futures: deque[asyncio.Future[None]] = deque()

    def join(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        """Return a future that is done when it is time to go on."""
        future = loop.create_future()
        if not self._futures:
            loop.call_soon(self._wake_next, loop)
        self._futures.append(future)
        return future

    def _wake_next(self, loop: asyncio.AbstractEventLoop) -> None:
        # The execution that is woken runs in the next iteration, when this function wakes
        # another.
        is_woken = False
        while self._futures and not is_woken:
            future = self._futures.popleft()
            if not future.done():
                future.set_result(None)
                is_woken = True
        if self._futures:
            loop.call_soon(self._wake_next, loop)


# None of them knows its loop: they would keep each other alive.
_waiting: WeakKeyDictionary[asyncio.AbstractEventLoop, _Waiting] = WeakKeyDictionary()


async def breathe() -> float:
    """Wait for the next window of this event loop.

    Returns:
        The time (`time.monotonic`) at which the window ends.
    """
    loop = asyncio.get_running_loop()
    waiting = _waiting.get(loop)
    if waiting is None:
        waiting = _waiting[loop] = _Waiting()
    await waiting.join(loop)
    return monotonic() + WINDOW


def is_on_event_loop() -> bool:
    """Return whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True

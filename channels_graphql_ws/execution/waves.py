"""Let very many go on in waves, with time for others in between."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

ITERATIONS: Final = 40
"""Iterations of the event loop between two waves: a thousand results come back meanwhile, and what
waits does not pile up for the garbage collector to look through."""


class Waves:
    """Those of one execution that wait for the next wave, in their order.

    Args:
        most: how many go on together.
    """

    __slots__ = ("_most", "_waiting")

    def __init__(self, most: int) -> None:
        self._most = most
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def next(self) -> None:
        """Wait for a wave."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._count_down, loop, ITERATIONS)
        self._waiting.append(future)
        await future

    def _count_down(self, loop: asyncio.AbstractEventLoop, left: int) -> None:
        if left:
            loop.call_soon(self._count_down, loop, left - 1)
            return
        for _ in range(min(self._most, len(self._waiting))):
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
        if self._waiting:
            loop.call_soon(self._count_down, loop, ITERATIONS)

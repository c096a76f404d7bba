"""One after the other: who has had enough of the event loop for now goes on in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable
from weakref import WeakKeyDictionary


class _Line:
    """Those that wait on one event loop, by their owners.

    In each iteration the next one of the next owner goes on: however many an owner has, others
    wait for one of them only.
    """

    def __init__(self) -> None:
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        self._is_moving = False

    async def wait(self, owner: Hashable | None) -> None:
        """Wait for the next turn of an owner."""
        loop = asyncio.get_running_loop()
        if not self._is_moving:
            # Nobody is before it.
            self._is_moving = True
            loop.call_soon(self._wake_next, loop)
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(future if owner is None else owner, deque()).append(future)
        await future

    def _wake_next(self, loop: asyncio.AbstractEventLoop) -> None:
        future = self._next()
        while future is not None and future.done():
            # It was cancelled.
            future = self._next()
        if future is None:
            self._is_moving = False
        else:
            future.set_result(None)
            loop.call_soon(self._wake_next, loop)

    def _next(self) -> asyncio.Future[None] | None:
        if not self._waiting:
            return None
        owner, futures = self._waiting.popitem(last=False)
        future = futures.popleft()
        if futures:
            self._waiting[owner] = futures
        return future


# None of them knows its loop: they would keep each other alive.
_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = WeakKeyDictionary()


async def next_turn(owner: Hashable | None) -> None:
    """Let others go on, and wait until it is the turn of the running code.

    Args:
        owner: whose turn it is to be: all of one owner take turns within its own; `None` for
            who shares with nobody.
    """
    loop = asyncio.get_running_loop()
    line = _lines.get(loop)
    if line is None:
        line = _lines[loop] = _Line()
    await line.wait(owner)

"""One after the other: who has had enough of the event loop for now goes on in turn."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Hashable
from typing import Final
from weakref import WeakKeyDictionary

REQUESTS_AT_ONCE: Final = 16
"""Requests that begin in one iteration of the event loop, if there are more."""


class _Owners:
    """Futures of those that wait: the next one of the next owner, however many an owner has."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def join(
        self, loop: asyncio.AbstractEventLoop, owner: Hashable | None
    ) -> asyncio.Future[None]:
        """Return a future that is done when it is its turn."""
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(future if owner is None else owner, deque()).append(future)
        return future

    def wake_next(self) -> bool:
        """Let the next one go on; return whether there is one that was not cancelled."""
        while self._waiting:
            owner, futures = self._waiting.popitem(last=False)
            future = futures.popleft()
            if futures:
                self._waiting[owner] = futures
            if not future.done():
                future.set_result(None)
                return True
        return False


class _Line:
    """Those that wait on one event loop: one goes on in each iteration."""

    __slots__ = ("_is_moving", "_owners")

    def __init__(self) -> None:
        self._owners = _Owners()
        self._is_moving = False

    async def wait(self, owner: Hashable | None) -> None:
        """Wait for the next turn of an owner."""
        loop = asyncio.get_running_loop()
        if self._is_moving:
            await self._owners.join(loop, owner)
        else:
            # Nobody is before it.
            self._is_moving = True
            loop.call_soon(self._wake_next, loop)
            await asyncio.sleep(0)

    def _wake_next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_moving = self._owners.wake_next()
        if self._is_moving:
            loop.call_soon(self._wake_next, loop)


class _Gate:
    """Requests that begin on one event loop: a few in each iteration."""

    __slots__ = ("_is_counting", "_left", "_owners")

    def __init__(self) -> None:
        self._owners = _Owners()
        self._left = REQUESTS_AT_ONCE
        self._is_counting = False

    def enter(self, owner: Callable[[], Hashable | None]) -> Awaitable[None] | None:
        """Return something to wait for before a request begins, if there is need."""
        loop = asyncio.get_running_loop()
        if not self._is_counting:
            self._is_counting = True
            loop.call_soon(self._begin_anew, loop)
        if self._left and not self._owners:
            self._left -= 1
            return None
        return self._owners.join(loop, owner())

    def _begin_anew(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = REQUESTS_AT_ONCE
        while self._left and self._owners.wake_next():
            self._left -= 1
        self._is_counting = self._left < REQUESTS_AT_ONCE
        if self._is_counting:
            loop.call_soon(self._begin_anew, loop)


# None of them knows its loop: they would keep each other alive.
_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = WeakKeyDictionary()
_gates: WeakKeyDictionary[asyncio.AbstractEventLoop, _Gate] = WeakKeyDictionary()


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


def turn_to_begin(owner: Callable[[], Hashable | None]) -> Awaitable[None] | None:
    """Return something to wait for before the running code sees to a request.

    Thousands may come in one iteration of the event loop, each over a connection of its own.

    Args:
        owner: returns whose request it is; called if it has to wait. `None` as for `next_turn`.

    Returns:
        `None` if it may begin now, as one of a few.
    """
    loop = asyncio.get_running_loop()
    gate = _gates.get(loop)
    if gate is None:
        gate = _gates[loop] = _Gate()
    return gate.enter(owner)

"""Long executions on an event loop: at most one of them runs in an iteration, for a short time."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

from channels_graphql_ws.concurrency.fairness import known_owner

WINDOW: Final = 0.002
"""Seconds that an execution runs before it lets the event loop go on to others."""

MOST_DELAYS: Final = 64
"""Iterations in which an execution is passed over, because parts of it still come to wait."""

_Loop: TypeAlias = asyncio.AbstractEventLoop


class _Parts:
    """The parts of one execution that wait.

    The one that came last goes on first: it is the deepest, and what it completes is data and no
    longer a task. If all parts went on in the order in which they came, each would leave others
    behind, and in the end there were thousands of tasks.
    """

    __slots__ = ("_delays", "_futures", "_is_settled")

    def __init__(self) -> None:
        self._futures: list[asyncio.Future[None]] = []
        self._is_settled = True
        self._delays = 0

    def __len__(self) -> int:
        return len(self._futures)

    def join(self, future: asyncio.Future[None]) -> None:
        """Let one more part wait."""
        # The first one goes on at once if it stays alone.
        self._is_settled = not self._futures
        self._futures.append(future)

    def wake(self) -> bool:
        """Let the last part go on; return whether it does."""
        if not self._is_settled and self._delays < MOST_DELAYS:
            # The deeper ones come in the next iterations.
            self._is_settled = True
            self._delays += 1
            return False
        self._delays = 0
        while self._futures:
            future = self._futures.pop()
            if not future.done():
                future.set_result(None)
                return True
        return False


class _Waiting:
    """Executions of one event loop that wait for their next window, in turn."""

    def __init__(self) -> None:
        self._executions: dict[object, _Parts] = {}

    def join(self, loop: _Loop, execution: object) -> asyncio.Future[None]:
        """Return a future that is done when it is time to go on."""
        future = loop.create_future()
        if not self._executions:
            loop.call_soon(self._wake_next, loop)
        self._executions.setdefault(execution, _Parts()).join(future)
        return future

    def _wake_next(self, loop: _Loop) -> None:
        # The part that is woken runs in the next iteration, when this function wakes another.
        idle: list[object] = []
        for execution, parts in self._executions.items():
            is_woken = parts.wake()
            if is_woken or not parts:
                idle.append(execution)
            if is_woken:
                break
        for execution in idle:
            parts = self._executions.pop(execution)
            if parts:  # Others go on before it does again.
                self._executions[execution] = parts
        if self._executions:
            loop.call_soon(self._wake_next, loop)


# None of them knows its loop: they would keep each other alive.
_waiting: WeakKeyDictionary[_Loop, _Waiting] = WeakKeyDictionary()


async def breathe(execution: object = None) -> float:
    """Wait for the next window of this event loop.

    Args:
        execution: what this is a part of, by identity; `None` for an execution of its own.

    Returns:
        The time (`time.monotonic`) at which the window ends.
    """
    loop = asyncio.get_running_loop()
    waiting = _waiting.get(loop)
    if waiting is None:
        waiting = _waiting[loop] = _Waiting()
    owner = known_owner()
    if owner is None:
        await waiting.join(loop, execution or object())
        return monotonic() + WINDOW
    owner.rest()
    try:
        await waiting.join(loop, execution or object())
    finally:
        owner.resume(loop)
    return monotonic() + WINDOW


def is_on_event_loop() -> bool:
    """Return whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True

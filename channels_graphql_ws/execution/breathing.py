"""Long executions on an event loop: at most one of them runs in an iteration, for a short time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Hashable
from heapq import nsmallest
from itertools import count
from math import inf
from time import monotonic
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary, WeakValueDictionary

from channels_graphql_ws.concurrency.fairness import known_owner, room_of_owner, sharer
from channels_graphql_ws.concurrency.turnstile import Turnstile
from channels_graphql_ws.execution.crowds import full_crowds, room_in_crowd

WINDOW: Final = 0.002
"""Seconds that an execution runs before it lets the event loop go on to others."""

MOST_DELAYS: Final = 64
"""Iterations in which an execution is passed over, because parts of it still come to wait."""

MOST_AT_A_TIME: Final = 4
"""Executions of one user or address that go on in turn: those that began to wait first. Each may
hold as large a result as there may be, when it is almost complete."""

MOST_UNDER_WAY: Final = 8
"""Long executions of one user or address that are under way when no more begin: what a resolver
has returned is there, however little of it has been executed."""

ITERATIONS: Final = 4
"""Iterations of the event loop after which an execution is not under way that does not wait."""

_Loop: TypeAlias = asyncio.AbstractEventLoop


class Execution:
    """An execution, whose parts may wait for the next window.

    Attributes:
        age: the smaller, the earlier it has waited for the first time.
        owned: those of the same user or address; `None` before it has waited.
        pauses: how often any part of it has waited.
    """

    __slots__ = ("age", "owned", "pauses")

    def __init__(self) -> None:
        self.age = self.pauses = 0
        self.owned: _Owned | None = None


class _Owned(Turnstile):
    """Executions of one user or address that wait: the oldest of them go on.

    One that waits for something else is not among them, and keeps nobody waiting.
    """

    __slots__ = ("__weakref__", "_latest", "_waiting")

    def __init__(self) -> None:
        super().__init__()
        self._waiting: set[Execution] = set()
        self._latest = inf

    def add(self, execution: Execution) -> None:
        """Let one more wait."""
        self._waiting.add(execution)
        self._find_latest()
        if self.is_full:
            _crowded.add(self)

    def discard(self, execution: Execution, loop: _Loop) -> None:
        """One does not wait any more."""
        self._waiting.discard(execution)
        self._find_latest()
        if not self.is_full:
            _crowded.discard(self)
            self.let_in(loop)

    @property
    def is_full(self) -> bool:
        """Whether no more of them should begin."""
        return len(self._waiting) >= MOST_UNDER_WAY

    def _find_latest(self) -> None:
        if len(self._waiting) <= MOST_AT_A_TIME:
            self._latest = inf
        else:
            self._latest = nsmallest(MOST_AT_A_TIME, [each.age for each in self._waiting])[-1]

    def may_go_on(self, execution: Execution) -> bool:
        """Return whether it is one of the oldest."""
        return execution.age <= self._latest


_ages = count(1)

_crowded: set[_Owned] = set()
"""Those of which no more executions should begin; mostly there are none."""


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
        self._executions: dict[Execution, _Parts] = {}
        self._owned: WeakValueDictionary[Hashable, _Owned] = WeakValueDictionary()

    def join(self, loop: _Loop, execution: Execution) -> asyncio.Future[None]:
        """Return a future that is done when it is time to go on."""
        future = loop.create_future()
        if not self._executions:
            loop.call_soon(self._wake_next, loop)
        if execution not in self._executions and execution.owned is not None:
            execution.owned.add(execution)
        execution.pauses += 1
        self._executions.setdefault(execution, _Parts()).join(future)
        return future

    def _wake_next(self, loop: _Loop) -> None:
        # The part that is woken runs in the next iteration, when this function wakes another.
        idle: list[Execution] = []
        for execution, parts in self._executions.items():
            if execution.owned is not None and not execution.owned.may_go_on(execution):
                continue
            is_woken = parts.wake()
            if is_woken or not parts:
                idle.append(execution)
            if is_woken:
                break
        for execution in idle:
            parts = self._executions.pop(execution)
            if parts:  # Others go on before it does again.
                self._executions[execution] = parts
            elif execution.owned is not None:
                self._leave(loop, execution, execution.pauses)
        if self._executions:
            loop.call_soon(self._wake_next, loop)

    def come(self, loop: _Loop, execution: Execution, key: Hashable) -> None:
        """Count an execution that is about to wait for the first time.

        Args:
            loop: the running one.
            execution: is about to wait.
            key: what all of one owner have in common; `None` if nobody shares with it.
        """
        owned = _Owned() if key is None else self._owned.setdefault(key, _Owned())
        execution.age, execution.owned = next(_ages), owned
        owned.add(execution)
        self._leave(loop, execution, execution.pauses)

    def _leave(
        self, loop: _Loop, execution: Execution, pauses: int, iterations: int = ITERATIONS
    ) -> None:
        """Count an execution no more, unless it waits once more by then."""
        if execution.pauses != pauses or execution.owned is None:
            return
        if iterations:
            loop.call_soon(self._leave, loop, execution, pauses, iterations - 1)
        else:
            execution.owned.discard(execution, loop)

    def owned_by(self, key: Hashable) -> _Owned | None:
        """Return the executions of an owner, if there are any."""
        return self._owned.get(key)


# None of them knows its loop: they would keep each other alive.
_waiting: WeakKeyDictionary[_Loop, _Waiting] = WeakKeyDictionary()


async def breathe(execution: Execution | None = None) -> float:
    """Wait for the next window of this event loop.

    Args:
        execution: what this is a part of; `None` for what is soon complete, which nobody else
            keeps waiting: the encoding of a result.

    Returns:
        The time (`time.monotonic`) at which the window ends.
    """
    loop = asyncio.get_running_loop()
    waiting = _waiting_of(loop)
    sharing = sharer()
    if execution is None:
        execution = Execution()
    elif sharing is not None:
        # What is complete would wait for them, too, and hold all of its result.
        while (room := sharing.room()) is not None:
            await room
        if execution.owned is None:
            waiting.come(loop, execution, sharing.key())
    owner = known_owner()
    if owner is None:
        await waiting.join(loop, execution)
        return monotonic() + WINDOW
    owner.rest()
    try:
        await waiting.join(loop, execution)
    finally:
        owner.resume(loop)
    return monotonic() + WINDOW


def room_to_begin() -> Awaitable[None] | None:
    """Return something to wait for before the running code may begin another execution."""
    room = room_of_owner()
    if room is None and full_crowds:
        room = room_in_crowd()
    if room is not None or not _crowded:
        return room
    loop, sharing = asyncio.get_running_loop(), sharer()
    owned = None if sharing is None else _waiting_of(loop).owned_by(sharing.key())
    return None if owned is None or owned not in _crowded else owned.has_room()


def _waiting_of(loop: _Loop) -> _Waiting:
    waiting = _waiting.get(loop)
    if waiting is None:
        waiting = _waiting[loop] = _Waiting()
    return waiting


def note_pause(execution: Execution) -> None:
    """Count an execution that is going to wait, as soon as that is known."""
    sharing = sharer()
    if sharing is not None and execution.owned is None:
        loop = asyncio.get_running_loop()
        _waiting_of(loop).come(loop, execution, sharing.key())


def is_on_event_loop() -> bool:
    """Return whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True

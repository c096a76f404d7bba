"""What executions await: how much one user or address may, before no more of it begins."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Collection, Hashable
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from channels_graphql_ws.concurrency.fairness import current_key
from channels_graphql_ws.concurrency.turnstile import Turnstile

FEW: Final = 4
"""Awaited fields of an execution that are not counted."""

MOST_AWAITED: Final = 25_000
"""Fields that the executions of one user or address await together when no more of them begin,
and only the oldest goes on, which may add as many again. Each takes about a kilobyte."""

MUCH: Final = 64
"""Awaited fields of an execution that has to wait for older ones. One that awaits little for long
keeps nobody waiting, either."""

PARTS_AT_ONCE: Final = 16
"""Parts of one execution that go on in one iteration of the event loop when there is room."""


class _Member:
    """One execution.

    Attributes:
        fields: how many it has awaited.
        parts: its parts that wait for room.
    """

    __slots__ = ("fields", "parts")

    def __init__(self) -> None:
        self.fields = 0
        self.parts: OrderedDict[asyncio.Future[None], None] = OrderedDict()


class _Crowd(Turnstile):
    """The executions of one user or address that await something.

    The oldest that awaits much goes on in any case: what it awaits comes from the user's code,
    which needs none of the others. If that hangs, the others wait until its client stops it or
    goes, or until `operation_timeout`: were the next one let go on after some time, a client whose
    executions all hang would have each of them add as many fields.
    """

    __slots__ = ("__weakref__", "_is_waking", "_large", "_parts", "fields")

    def __init__(self) -> None:
        super().__init__()
        self.fields = 0
        # Those that await much, or are about to, the oldest first.
        self._large: OrderedDict[_Member, None] = OrderedDict()
        self._parts = 0
        self._is_waking = False

    @property
    def is_full(self) -> bool:
        """Whether no more should begin."""
        return self.fields >= MOST_AWAITED

    def add(self, member: _Member, fields: int) -> None:
        """Count what a member awaits more."""
        member.fields += fields
        if member.fields >= MUCH:
            self._large.setdefault(member)
        self.fields += fields
        if self.is_full:
            full_crowds.add(self)

    def remove(self, member: _Member, loop: asyncio.AbstractEventLoop) -> None:
        """Count a member no more; nothing of it has to wait."""
        self._large.pop(member, None)
        self.fields -= member.fields
        while member.parts:
            self._let_go(member)
        if not self.is_full:
            full_crowds.discard(self)
        self._wake(loop)

    def keeps_waiting(self, member: _Member, *, grows: bool) -> bool:
        """Return whether a member has to wait for others."""
        if not self.is_full:
            return False
        if grows:
            self._large.setdefault(member)
        return member in self._large and next(iter(self._large)) is not member

    async def part_has_room(self, member: _Member) -> None:
        """Wait until a part of a member may go on."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        member.parts[future] = None
        self._parts += 1
        try:
            await future
        finally:
            # Not the one that has given up in the iteration in which it was let go.
            if future in member.parts:
                del member.parts[future]
                self._parts -= 1

    def _let_go(self, member: _Member) -> None:
        future, _ = member.parts.popitem(last=False)
        self._parts -= 1
        if not future.done():
            future.set_result(None)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        if not self._is_waking and (self._parts or self._coming):
            self._is_waking = True
            loop.call_soon(self._wake_next, loop)

    def _wake_next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._is_waking = self._wake_parts() or (not self.is_full and self._let_one_in())
        if self._is_waking:
            # What was woken runs in the next iteration, before this function does.
            loop.call_soon(loop.call_soon, self._wake_next, loop)

    def _wake_parts(self) -> bool:
        """Let some parts go on of the oldest that waits, if it may; return whether it does."""
        is_full = self.is_full
        waits = (each for each in self._large if each.parts or is_full)
        member = next(waits, None) if self._parts else None
        if member is None or not member.parts:
            return False
        for _ in range(min(PARTS_AT_ONCE, len(member.parts))):
            self._let_go(member)
        return True


full_crowds: Final[set[_Crowd]] = set()
"""Those of which no more executions should begin; mostly there are none."""

_crowds: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[Hashable, _Crowd]] = (
    WeakKeyDictionary()
)


class Waiting:
    """The fields that one execution awaits, counted until it is over or forgotten."""

    __slots__ = ("_crowd", "_left", "_loop", "_member")

    def __init__(self, crowd: _Crowd, loop: asyncio.AbstractEventLoop) -> None:
        self._crowd: _Crowd | None = crowd
        self._member = _Member()
        self._left = 0
        self._loop = loop

    def count(self, fields: int) -> None:
        """Count what it has awaited so far."""
        if self._crowd is not None:
            self._crowd.add(self._member, fields - self._member.fields)

    def room(self, *, grows: bool = False) -> Awaitable[None] | None:
        """Return something to wait for before a part of it goes on.

        Args:
            grows: the part may have to await more, so that it waits however little it awaits.
        """
        crowd, member = self._crowd, self._member
        if crowd is None or not crowd.keeps_waiting(member, grows=grows):
            return None
        return crowd.part_has_room(member)

    def end(self) -> None:
        """Count it no more; harmless when repeated."""
        crowd, self._crowd = self._crowd, None
        if crowd is not None:
            crowd.remove(self._member, self._loop)

    def end_after(self, tasks: Collection[asyncio.Future[Any]]) -> None:
        """Count it no more when all of these are over."""
        self._left = len(tasks)
        for task in tasks:
            task.add_done_callback(self._one_over)

    def _one_over(self, _: object) -> None:
        self._left -= 1
        if not self._left:
            self.end()

    def __del__(self) -> None:
        # It has never begun to wait, or nobody waits for it any more. Perhaps in a thread.
        if self._crowd is not None:
            try:
                self._loop.call_soon_threadsafe(self._crowd.remove, self._member, self._loop)
            except RuntimeError:  # The event loop is closed.
                full_crowds.discard(self._crowd)


def begin_to_wait() -> Waiting | None:
    """Return what counts an execution that has to wait for something, if anything does."""
    key = current_key()
    if key is None:
        return None
    loop = asyncio.get_running_loop()
    crowds = _crowds.get(loop)
    if crowds is None:
        crowds = _crowds[loop] = WeakValueDictionary()
    return Waiting(crowds.setdefault(key, _Crowd()), loop)


def room_in_crowd() -> Awaitable[None] | None:
    """Return something to wait for before the running code begins another execution.

    To be asked where `full_crowds` is not empty.
    """
    crowds = _crowds.get(asyncio.get_running_loop())
    key = None if crowds is None else current_key()
    crowd = None if crowds is None or key is None else crowds.get(key)
    return crowd.has_room() if crowd is not None and crowd.is_full else None

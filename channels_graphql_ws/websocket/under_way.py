"""Operations of one user or address that run: how many, before no more are read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Hashable
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from channels_graphql_ws.concurrency.turnstile import Turnstile

MOST_UNDER_WAY: Final = 4_096
"""Operations of one user or address that run, or wait to be executed, when no more are read. Each
takes about eight kilobytes."""

FEW: Final = 16
"""Operations of one connection that are not counted: it is always read while it has no more."""

BYTES_FOR_ONE: Final = 8_192
"""Bytes of the message of an operation, in memory, for which it counts as one more."""

LONGEST_WAIT: Final = 10.0
"""Seconds that a connection is not read. Then it is, so that it can stop operations, answer pings
and close; and more operations are refused until there is room."""

TOO_MANY: Final = {
    "message": "Too many operations of this client are under way: try again later",
    "extensions": {"code": "LIMIT_EXCEEDED"},
}
"""What is said of an operation that is refused."""


class _Owned(Turnstile):
    """The operations of one user or address on one event loop."""

    __slots__ = ("__weakref__", "count")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    @property
    def is_full(self) -> bool:
        """Whether no more should be read."""
        return self.count >= MOST_UNDER_WAY


_owned: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[Hashable, _Owned]] = (
    WeakKeyDictionary()
)


class UnderWay:
    """The operations of one connection that have a task, but for a few.

    What is executed at once has none, nor has a subscription that waits for events.

    Args:
        owner: returns whose they are: the user, or else the address; `None`: not known. What is
            limited for each connection is enough then.
        tasks: all that the connection has.

    Attributes:
        counts: what each of them counts as.
        owned: all of its owner, if any of these is counted there.
    """

    __slots__ = ("_count", "_has_waited", "_limit", "_owner", "_tasks", "counts", "owned")

    def __init__(self, owner: Callable[[], Hashable], tasks: Collection[object]) -> None:
        self._owner = owner
        self._tasks = tasks
        self._count = 0
        self._has_waited = False
        self._limit: asyncio.Timeout | None = None
        self.counts: dict[asyncio.Task[Any], int] = {}
        self.owned: _Owned | None = None

    def add(self, task: asyncio.Task[Any], size: int) -> None:
        """Count an operation until `discard`.

        Args:
            task: its own.
            size: bytes of its message, in memory.
        """
        count = self.counts[task] = 1 + size // BYTES_FOR_ONE
        self._count += count
        if self.owned is not None:
            self.owned.count += count
        elif (owner := self._owner()) is not None:
            all_owned = _owned.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
            self.owned = all_owned.setdefault(owner, _Owned())
            # Those of before, too, if the owner was not known then.
            self.owned.count += self._count

    def discard(self, task: asyncio.Task[Any]) -> None:
        """Count an operation no more, if it is counted."""
        count = self.counts.pop(task, 0)
        self._count -= count
        if self.owned is not None:
            self.owned.count -= count
            self.owned.let_in(task.get_loop())
            if not self.counts:
                self.owned = None
        if self._limit is not None and self._has_few and not self._limit.expired():
            self._limit.reschedule(task.get_loop().time())

    @property
    def _has_few(self) -> bool:
        return len(self._tasks) <= FEW and self._count <= FEW

    @property
    def is_crowded(self) -> bool:
        """Whether there are more than a few, and its owner has too many."""
        return self.owned is not None and self.owned.is_full and not self._has_few

    @property
    def must_wait(self) -> bool:
        """Whether no more should be read."""
        return self.is_crowded and not self._has_waited

    @property
    def is_waiting(self) -> bool:
        """Whether nothing is read."""
        return self._limit is not None

    @property
    def refuses(self) -> bool:
        """Whether more operations are refused: there was no room for too long."""
        self._has_waited = self._has_waited and self.is_crowded
        return self._has_waited

    async def has_room(self) -> None:
        """Wait until there is room, or there are only a few, but not for ever."""
        limit = self._limit = asyncio.timeout(LONGEST_WAIT)
        try:
            async with limit:
                while (owned := self.owned) is not None and owned.is_full:
                    await owned.has_room()
        except TimeoutError:
            self._has_waited = self.is_crowded
        finally:
            self._limit = None

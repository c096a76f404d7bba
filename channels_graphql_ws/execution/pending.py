"""Count what an execution awaits, and let no more begin while it is very much."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from types import coroutine
from typing import Any, Final

MOST_PENDING: Final = 3_000
"""Values of resolvers that one execution awaits when no more begin, but for what begins in three
iterations of the event loop. Each takes some kilobytes until it is there, and a few dozen objects
that Python's garbage collector looks through while nobody else is served."""

MOST_ADDED: Final = 4_096
"""Fields to be awaited that an execution finds in awaited objects in one iteration of the event
loop: fewer would split the keys of data loaders, and more keep others waiting."""


class Pending:
    """What one execution awaits.

    Attributes:
        count: values of resolvers that are awaited now. None of them waits for room.
    """

    __slots__ = (
        "_before",
        "_has_looked",
        "_is_adding",
        "_is_waking",
        "_waiting",
        "_was_full",
        "count",
    )

    def __init__(self) -> None:
        self.count = 0
        # How many there were when the iteration began; `None`: that is not known yet.
        self._before: int | None = 0
        self._is_adding = False
        self._waiting: list[asyncio.Future[None]] = []
        self._is_waking = self._has_looked = self._was_full = False

    @property
    def is_full(self) -> bool:
        """Whether no more should begin."""
        return self.count >= MOST_PENDING

    @coroutine
    def room(self) -> Generator[Any, Any, None]:
        """Let others run, and wait until more may be awaited.

        What asks in the same iteration of the event loop goes on in the same one: a data loader
        gets the keys of all of it in one call. So the first that asks decides for all.
        """
        if not self._has_looked:
            self._has_looked = True
            self._was_full = self.is_full
            # Comes before whoever asks in the next iteration.
            asyncio.get_running_loop().call_soon(self._look_again)
        if not self._was_full:
            yield
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._wake_soon()
        yield from future

    def has_added_many(self, awaited: int) -> bool:
        """Return whether the next awaited object should be executed in the next iteration.

        To be asked where many are awaited.

        Args:
            awaited: what the execution had to await so far.
        """
        if self._before is None:
            self._before = awaited
        if not self._is_adding:
            self._is_adding = True
            # Comes before whoever asks in the next iteration.
            asyncio.get_running_loop().call_soon(self._begin_iteration)
        return awaited - self._before >= MOST_ADDED

    def _begin_iteration(self) -> None:
        self._is_adding, self._before = False, None

    def done(self) -> None:
        """Count one less."""
        self.count -= 1
        if self._waiting:
            self._wake_soon()

    def _look_again(self) -> None:
        self._has_looked = False

    def _wake_soon(self) -> None:
        if not self._is_waking and not self.is_full:
            self._is_waking = True
            asyncio.get_running_loop().call_soon(self._wake)

    def _wake(self) -> None:
        self._is_waking = False
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

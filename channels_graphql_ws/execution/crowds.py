"""What executions await: how much one user or address may, before no more of its own begin."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable
from contextvars import ContextVar
from typing import Any, Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from channels_graphql_ws.concurrency.fairness import known_owner, sharer
from channels_graphql_ws.concurrency.turnstile import Turnstile

FEW: Final = 16
"""Awaited fields of an execution that are not counted."""

MOST_AWAITED: Final = 25_000
"""Fields that the executions of one user or address await together when no more of them begin.
The last one may add as many again; each takes about two kilobytes."""


class _Crowd(Turnstile):
    """The executions of one user or address that wait."""

    __slots__ = ("__weakref__", "fields")

    def __init__(self) -> None:
        super().__init__()
        self.fields = 0

    @property
    def is_full(self) -> bool:
        """Whether no more should begin."""
        return self.fields >= MOST_AWAITED

    def add(self, fields: int) -> None:
        """Count fields."""
        self.fields += fields
        if self.is_full:
            full_crowds.add(self)

    def remove(self, fields: int, loop: asyncio.AbstractEventLoop) -> None:
        """Count them no more."""
        self.fields -= fields
        if not self.is_full:
            full_crowds.discard(self)
            self.let_in(loop)


full_crowds: Final[set[_Crowd]] = set()
"""Those of which no more executions should begin; mostly there are none."""

_crowds: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[Hashable, _Crowd]] = (
    WeakKeyDictionary()
)


class Waiting:
    """The fields that one execution awaits, counted until it is over or forgotten."""

    __slots__ = ("_crowd", "_fields", "_left", "_loop")

    def __init__(self, crowd: _Crowd, loop: asyncio.AbstractEventLoop) -> None:
        self._crowd: _Crowd | None = crowd
        self._fields = self._left = 0
        self._loop = loop

    def count(self, fields: int) -> None:
        """Count what it has awaited so far."""
        if self._crowd is not None:
            more, self._fields = fields - self._fields, fields
            self._crowd.add(more)

    def end(self) -> None:
        """Count it no more; harmless when repeated."""
        crowd, self._crowd = self._crowd, None
        if crowd is not None:
            crowd.remove(self._fields, self._loop)

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
                self._loop.call_soon_threadsafe(self._crowd.remove, self._fields, self._loop)
            except RuntimeError:  # The event loop is closed.
                full_crowds.discard(self._crowd)


_asked: ContextVar[Callable[[], Hashable] | None] = ContextVar(
    "channels_graphql_ws_crowd", default=None
)


def belong_to(key: Callable[[], Hashable]) -> None:
    """Let the running code belong to nobody who is known to `fairness`.

    Args:
        key: returns whose executions its own are counted with; `None`: with none.
    """
    _asked.set(key)


def current_key() -> Hashable:
    """Return what all executions of one user or address have in common, if it is known."""
    asked = _asked.get()
    if asked is not None:
        return asked()
    sharing = sharer()
    key = None if sharing is None else sharing.key()
    return known_owner() if key is None else key


def begin_to_wait() -> Waiting | None:
    """Return what counts an execution that has to wait for something, if anything does."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None  # In a thread nobody has to wait.
    key = current_key()
    if key is None:
        return None
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

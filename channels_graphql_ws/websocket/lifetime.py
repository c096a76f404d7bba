"""End connections that have been idle for too long, or are too old."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import uniform
from typing import Any, Final, Protocol

YOUNGEST: Final = 0.9
"""The part of `max_connection_age` that every connection gets, so that those that were opened
at once are not closed at once."""


class LifetimeOwner(Protocol):
    """The connection, as far as its end is concerned."""

    @property
    def has_operations(self) -> bool:
        """Whether anything is under way."""
        ...

    def call_later(
        self, seconds: float, call: Callable[..., None], *args: Any
    ) -> asyncio.TimerHandle:
        """Set a timer."""
        ...

    def idled(self) -> None:
        """Close, as nothing was under way for too long."""

    def retire(self) -> None:
        """Ask the client to connect again, as soon as only subscriptions are under way."""


class Lifetime:
    """Ends a connection that is idle, or too old.

    Args:
        owner: the connection.
        idle_timeout: seconds without an operation; `None` for any time.
        max_age: seconds since the connection was opened; `None` for any time.
    """

    __slots__ = ("_age", "_idle", "_idle_timeout", "_owner")

    def __init__(
        self, owner: LifetimeOwner, idle_timeout: float | None, max_age: float | None
    ) -> None:
        self._owner = owner
        self._idle_timeout = idle_timeout
        self._idle: asyncio.TimerHandle | None = None
        self._age: asyncio.TimerHandle | None = None
        self.rested()
        if max_age is not None:
            # No secret depends on it.
            age = max_age * uniform(YOUNGEST, 1)  # noqa: S311
            self._age = owner.call_later(age, owner.retire)

    def rested(self) -> None:
        """Note that nothing is under way any more."""
        if self._idle_timeout is not None:
            if self._idle is not None:
                self._idle.cancel()
            self._idle = self._owner.call_later(self._idle_timeout, self._look)

    def _look(self) -> None:
        self._idle = None
        if not self._owner.has_operations:
            self._owner.idled()

    def stop(self) -> None:
        """Cancel the timers."""
        for timer in (self._idle, self._age):
            if timer is not None:
                timer.cancel()

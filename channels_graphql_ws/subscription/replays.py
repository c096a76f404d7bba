"""What clients that come back have missed, until it is sent: little at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from channels_graphql_ws.pubsub.notification import Notification
from channels_graphql_ws.subscription.continuity import LostEvents
from channels_graphql_ws.subscription.recovery import Restored

EVENT_BYTES: Final = 512
"""About how many bytes an event takes, besides its payload."""


class Replays:
    """What waits to be replayed to the subscriptions of one client.

    However many of them come back at once, what they have missed is fetched for one after the
    other, as soon as the client has taken enough of what was fetched before.

    Args:
        limit: bytes that may wait before more is fetched; `None` for any number.

    Attributes:
        size: bytes that wait.
    """

    __slots__ = ("_limit", "_lock", "_room", "size")

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self.size = 0
        # Few clients ever come back.
        self._lock: asyncio.Lock | None = None
        self._room: asyncio.Event | None = None

    async def restore(
        self, fetch: Callable[[], Awaitable[Restored]], begin: Callable[[Restored], None]
    ) -> Restored:
        """Fetch what a subscription has missed when it is its turn, and begin there.

        Args:
            fetch: asks the history.
            begin: takes what it returns; makes a `Replay` of it.

        Returns:
            The same.
        """
        self._lock = self._lock or asyncio.Lock()
        async with self._lock:
            while self._is_full:
                self._room = asyncio.Event()
                await self._room.wait()
            restored = await fetch()
            begin(restored)
        return restored

    def replay(self, events: Iterable[Notification]) -> Replay:
        """Let events wait until they are replayed."""
        replay = Replay(events, self)
        self.size += replay.size
        return replay

    def release(self, size: int) -> None:
        """Note that so much was taken."""
        self.size -= size
        if self._room is not None and not self._is_full:
            self._room.set()
            self._room = None

    @property
    def _is_full(self) -> bool:
        return self._limit is not None and self.size > self._limit


class Replay(deque[Notification | LostEvents]):
    """What is replayed to one subscription, and notices of gaps that come behind it.

    Args:
        events: what it has missed.
        replays: counts what waits.
    """

    __slots__ = ("_replays", "size")

    def __init__(self, events: Iterable[Notification], replays: Replays) -> None:
        super().__init__(events)
        self._replays = replays
        self.size = sum(map(_size, self))

    def popleft(self) -> Notification | LostEvents:
        """Take the next one."""
        event = super().popleft()
        self._release(_size(event))
        return event

    def clear(self) -> None:
        """Forget all of them."""
        super().clear()
        self._release(self.size)

    def _release(self, size: int) -> None:
        self.size -= size
        self._replays.release(size)


def _size(event: Notification | LostEvents) -> int:
    return EVENT_BYTES + event.size if isinstance(event, Notification) else 0

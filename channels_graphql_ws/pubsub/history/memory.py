"""The history of groups that do not leave this process."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from sys import getsizeof
from typing import Final

from channels_graphql_ws.pubsub.history.interfaces import Entry, Page, Position, place_in_run

SWEEP_EVERY = 1_000
"""Events between two looks for groups that have expired."""

MOST_IDS = 1_000
"""Ids of durable events that are remembered for each group."""

GROUP_BYTES: Final = 1_024
"""About how many bytes a group takes, besides its name and its events."""

EVENT_BYTES: Final = 256
"""The same of an event, besides its payload, and of the id of a durable one."""


class _Group:
    __slots__ = ("entries", "epoch", "expires_at", "offset", "offsets", "size")

    def __init__(self, name: str, run: str) -> None:
        self.epoch = place_in_run(run, secrets.token_hex(4)).epoch
        self.offset = 0
        self.entries: deque[Entry] = deque()
        # The offsets of durable events, by id.
        self.offsets: dict[str, int] = {}
        self.expires_at = float("inf")
        self.size = GROUP_BYTES + getsizeof(name)
        """About how many bytes it takes with all that is in it."""

    @property
    def head(self) -> Position:
        return Position(self.epoch, self.offset)

    def add(self, payload: bytes, time: int, id: str | None) -> None:
        """Number an event and keep it."""
        self.offset += 1
        self.entries.append(Entry(self.offset, payload, time))
        self.size += _size(payload)
        if id is not None:
            self.offsets[id] = self.offset
            self.size += EVENT_BYTES
            if len(self.offsets) > MOST_IDS:
                del self.offsets[next(iter(self.offsets))]
                self.size -= EVENT_BYTES

    def drop_oldest(self) -> None:
        """Forget the oldest event."""
        self.size -= _size(self.entries.popleft().payload)


def _size(payload: bytes) -> int:
    return EVENT_BYTES + len(payload)


class MemoryHistory:
    """Keeps events in this process, for any thread.

    Where there are too many bytes, groups are forgotten before their time, the one first to which
    no event came for the longest time. Clients that come back for it are told that nothing was
    recovered.

    Args:
        clock: returns seconds.
        max_bytes: about how many bytes all groups may take; `None` for any number. The last
            event is kept in any case.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, *, max_bytes: int | None = None
    ) -> None:
        self._clock = clock
        self._max_bytes = max_bytes
        self._run = secrets.token_hex(4)
        self._lock = threading.Lock()
        # In the order of their last events.
        self._groups: OrderedDict[str, _Group] = OrderedDict()
        self._bytes = 0
        self._appended = 0
        self._forgotten_until = float("-inf")
        """When the last group would have expired that was forgotten before its time."""

    @property
    def size(self) -> int:
        """About how many bytes all groups take."""
        return self._bytes

    def append_now(
        self, group: str, payload: bytes, size: int, ttl: float, id: str | None = None
    ) -> Position:
        """Number an event and keep it, without waiting; see `append_once`."""
        with self._lock:
            now = self._clock()
            self._sweep(now)
            kept = self._found(group, now) or self._begun(group)
            if id is not None and id in kept.offsets:
                return Position(kept.epoch, kept.offsets[id])
            before = kept.size
            kept.add(payload, int(now * 1_000), id)
            while len(kept.entries) > size:
                kept.drop_oldest()
            self._bytes += kept.size - before
            kept.expires_at = now + ttl
            self._groups.move_to_end(group)
            self._make_room(kept)
            return kept.head

    async def append(self, group: str, payload: bytes, size: int, ttl: float) -> Position:
        """Number an event and keep it."""
        return self.append_now(group, payload, size, ttl)

    async def append_once(
        self, group: str, payload: bytes, size: int, ttl: float, id: str
    ) -> Position:
        """Do as `append` does, but once for each id."""
        return self.append_now(group, payload, size, ttl, id)

    async def since(self, group: str, offset: int) -> Page | None:
        """Return the events behind an offset."""
        with self._lock:
            now = self._clock()
            kept = self._found(group, now)
            if kept is not None:
                return Page(kept.head, [entry for entry in kept.entries if entry.offset > offset])
            # It may be one of those that were forgotten, and then it is not empty.
            return Page(place_in_run(self._run), ()) if now >= self._forgotten_until else None

    async def heads(self, groups: Sequence[str]) -> list[Position | None]:
        """Return the place of the last event of each group."""
        with self._lock:
            now = self._clock()
            found = [self._found(group, now) for group in groups]
            return [place_in_run(self._run) if each is None else each.head for each in found]

    def _found(self, group: str, now: float) -> _Group | None:
        kept = self._groups.get(group)
        if kept is not None and kept.expires_at <= now:
            self._forget(group)
            return None
        return kept

    def _begun(self, group: str) -> _Group:
        kept = self._groups[group] = _Group(group, self._run)
        self._bytes += kept.size
        return kept

    def _forget(self, group: str) -> None:
        self._bytes -= self._groups.pop(group).size

    def _make_room(self, latest: _Group) -> None:
        """Forget what is oldest, but not the event that has just come."""
        most = self._max_bytes
        if most is None:
            return
        while self._bytes > most and len(self._groups) > 1:
            group, oldest = next(iter(self._groups.items()))
            self._forgotten_until = max(self._forgotten_until, oldest.expires_at)
            self._forget(group)
        while self._bytes > most and len(latest.entries) > 1:
            self._bytes -= latest.size
            latest.drop_oldest()
            self._bytes += latest.size

    def _sweep(self, now: float) -> None:
        """Forget what has expired, now and then: most groups are never asked for again."""
        self._appended += 1
        if self._appended % SWEEP_EVERY == 0:
            for group in list(self._groups):
                self._found(group, now)

"""The history of groups that do not leave this process."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from channels_graphql_ws.pubsub.history.interfaces import Entry, Page, Position, place_in_run

SWEEP_EVERY = 1_000
"""Events between two looks for groups that have expired."""

MOST_IDS = 1_000
"""Ids of durable events that are remembered for each group."""


class _Group:
    def __init__(self, run: str) -> None:
        self.epoch = place_in_run(run, secrets.token_hex(4)).epoch
        self.offset = 0
        self.entries: deque[Entry] = deque()
        # The offsets of durable events, by id.
        self.offsets: dict[str, int] = {}
        self.expires_at = float("inf")

    @property
    def head(self) -> Position:
        return Position(self.epoch, self.offset)


class MemoryHistory:
    """Keeps events in this process, for any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._run = secrets.token_hex(4)
        self._lock = threading.Lock()
        self._groups: dict[str, _Group] = {}
        self._appended = 0

    def append_now(
        self, group: str, payload: bytes, size: int, ttl: float, id: str | None = None
    ) -> Position:
        """Number an event and keep it, without waiting; see `append_once`."""
        with self._lock:
            now = self._clock()
            self._sweep(now)
            kept = self._found(group, now) or self._groups.setdefault(group, _Group(self._run))
            if id is not None and id in kept.offsets:
                return Position(kept.epoch, kept.offsets[id])
            kept.offset += 1
            if id is not None:
                kept.offsets[id] = kept.offset
                if len(kept.offsets) > MOST_IDS:
                    del kept.offsets[next(iter(kept.offsets))]
            kept.entries.append(Entry(kept.offset, payload, int(now * 1_000)))
            while len(kept.entries) > size:
                kept.entries.popleft()
            kept.expires_at = now + ttl
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
            kept = self._found(group, self._clock())
            if kept is None:
                return Page(place_in_run(self._run), ())
            return Page(kept.head, [entry for entry in kept.entries if entry.offset > offset])

    async def heads(self, groups: Sequence[str]) -> list[Position | None]:
        """Return the place of the last event of each group."""
        with self._lock:
            now = self._clock()
            found = [self._found(group, now) for group in groups]
            return [place_in_run(self._run) if each is None else each.head for each in found]

    def _found(self, group: str, now: float) -> _Group | None:
        kept = self._groups.get(group)
        if kept is not None and kept.expires_at <= now:
            del self._groups[group]
            return None
        return kept

    def _sweep(self, now: float) -> None:
        """Forget what has expired, now and then: most groups are never asked for again."""
        self._appended += 1
        if self._appended % SWEEP_EVERY == 0:
            for group in list(self._groups):
                self._found(group, now)

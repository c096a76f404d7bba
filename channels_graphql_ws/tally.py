"""What this process has counted, by the names of subscriptions and operations."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, OrderedDict
from typing import Final

MOST_NAMES: Final = 200
"""Names that are counted apart: clients choose the names of operations."""

MOST_WAITING: Final = 1_000
"""Names besides these whose executions are counted, as one of them may become frequent."""

LONGEST_NAME: Final = 100
"""Characters of a name that is counted apart."""

OTHERS: Final = "(others)"
"""The name that all further ones are counted under."""

BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds up to which latencies are counted together."""


class Tally:
    """The counters of one subscription; see `EventStatistics`."""

    __slots__ = (
        "broadcasts",
        "dropped",
        "executed",
        "failed",
        "missed",
        "recovered",
        "sent",
        "skipped",
        "subscribed",
    )

    def __init__(self) -> None:
        self.broadcasts = self.subscribed = self.executed = self.sent = self.skipped = 0
        self.dropped = self.missed = self.recovered = self.failed = 0


class Tallies:
    """The counters of all subscriptions of this process."""

    def __init__(self) -> None:
        self.by_name: dict[str, Tally] = {}

    def of(self, name: str) -> Tally:
        """Return the counters of a subscription."""
        known = self.by_name.get(name)
        if known is None:
            known = self.by_name.setdefault(_kept(name, len(self.by_name)), Tally())
        return known

    def kept(self, name: str) -> str:
        """Return the name that a subscription is counted under."""
        return name if name in self.by_name else OTHERS


class _Waiting:
    """An operation that is counted under `OTHERS`.

    Attributes:
        uses: how often it was executed.
        executed: how often it was counted under its name, if it ever was.
        failed: how many of these had errors.
    """

    __slots__ = ("executed", "failed", "uses")

    def __init__(self, uses: int = 0, executed: int = 0, failed: int = 0) -> None:
        self.uses = uses
        self.executed = executed
        self.failed = failed


class OperationCounts:
    """Queries and mutations that were executed, by type and name.

    Clients choose the names. Those that were executed most often are counted apart: a further
    one takes the place of the rarest once it was executed more often. What somebody invents and
    executes once displaces nothing, and what was displaced comes back by itself.

    Attributes:
        executed: how many.
        failed: how many of them have errors in their result.
    """

    def __init__(self) -> None:
        self.executed: Counter[tuple[str, str]] = Counter()
        self.failed: Counter[tuple[str, str]] = Counter()
        # How often those were executed that are counted apart.
        self._uses: dict[tuple[str, str], int] = {}
        self._waiting: OrderedDict[tuple[str, str], _Waiting] = OrderedDict()
        self._fewest = 0
        """No name that is counted apart was executed less often."""
        self._lock = threading.Lock()

    def add(self, type: str, name: str | None, *, failed: bool) -> None:
        """Count an operation."""
        key = type, name or ""
        uses = self._uses.get(key)
        if uses is not None:
            self._uses[key] = uses + 1
        elif len(key[1]) > LONGEST_NAME or not self._takes_place(key):
            key = type, OTHERS
        self.executed[key] += 1
        if failed:
            self.failed[key] += 1

    def _takes_place(self, key: tuple[str, str]) -> bool:
        """Count one that is not counted apart; return whether it is from now on."""
        with self._lock:
            if len(self._uses) < MOST_NAMES:
                self._uses[key] = 1
                return True
            waiting = self._waiting.pop(key, None) or _Waiting()
            waiting.uses += 1
            rarest = self._rarer_than(waiting.uses)
            if rarest is None:
                self._wait(key, waiting)
                return False
            counted = self.executed.pop(rarest, 0), self.failed.pop(rarest, 0)
            self._wait(rarest, _Waiting(self._uses.pop(rarest), *counted))
            self._uses[key] = waiting.uses
            if waiting.executed:
                self.executed[key], self.failed[key] = waiting.executed, waiting.failed
            return True

    def _rarer_than(self, uses: int) -> tuple[str, str] | None:
        """Return the one that is executed most seldom, if that is less often."""
        if uses <= self._fewest:
            return None
        # Others have been executed since it was looked for last.
        rarest = min(list(self._uses), key=lambda each: self._uses[each])
        self._fewest = self._uses[rarest]
        return rarest if self._fewest < uses else None

    def _wait(self, key: tuple[str, str], waiting: _Waiting) -> None:
        self._waiting[key] = waiting
        if len(self._waiting) > MOST_WAITING:
            self._waiting.popitem(last=False)


class Latencies:
    """A histogram of the seconds from a broadcast to the last client that got it.

    Attributes:
        is_on: whether anybody wants to know.
        counts: how many were no longer than each of `BOUNDS` but longer than the one before;
            the last number is for those beyond.
        total: the sum of all.
    """

    def __init__(self) -> None:
        self.is_on = False
        self.counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        """Count one; clocks of two hosts may differ, so that it is below zero."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds


def _kept(name: str, known: int) -> str:
    return name if known < MOST_NAMES and len(name) <= LONGEST_NAME else OTHERS


tallies: Final = Tallies()
operations: Final = OperationCounts()
latencies: Final = Latencies()

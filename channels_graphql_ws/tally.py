"""What this process has counted, by the names of subscriptions and operations."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from typing import Final

MOST_NAMES: Final = 200
"""Names that are counted apart: clients choose the names of operations."""

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


class OperationCounts:
    """Queries and mutations that were executed, by type and name.

    Attributes:
        executed: how many.
        failed: how many of them have errors in their result.
    """

    def __init__(self) -> None:
        self.executed: Counter[tuple[str, str]] = Counter()
        self.failed: Counter[tuple[str, str]] = Counter()

    def add(self, type: str, name: str | None, *, failed: bool) -> None:
        """Count an operation."""
        key = type, name or ""
        if key not in self.executed:
            key = type, _kept(key[1], len(self.executed))
        self.executed[key] += 1
        if failed:
            self.failed[key] += 1


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

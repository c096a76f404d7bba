"""Numbers the broadcasts of one sender, and announces its last numbers when it falls silent."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple
from weakref import ref

from channels_graphql_ws.pubsub.layer_traits import LayerTraits

ANNOUNCEMENT: Final = "serials"
"""The type of a message that announces numbers."""

ANNOUNCE_EVERY = 2.0
"""Seconds between two announcements; a group has to be silent for as long."""

DISTANCES: Final = (1, 2, 4, 8, 16, 32)
"""After so many intervals of silence the last number of a group is announced. Where a channel
layer has lost the broadcast, it may lose the first announcements, too."""

GROUPS_IN_MESSAGE = 500
"""Groups that one announcement tells of."""

GROUPS_AT_ONCE = 2_000
"""Groups that are announced at a time; the others follow next time."""

MOST_GROUPS = 65_536
"""Groups whose broadcasts are numbered; then the sender takes another name and begins anew."""


class _Last(NamedTuple):
    """The last broadcast of a group: its number, when it was sent, and in which interval."""

    serial: int
    at: float
    interval: int


class Numbering:
    """The numbers of one sender, on one host of a channel layer.

    Numbers rise by one for each broadcast to a group, so a receiver sees a hole. With each
    number goes the time since the one before: a receiver that has listened for longer knows
    that it should have got that one. After the last number comes no other, so it is announced.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start_anew()

    def _start_anew(self) -> None:
        self.sender = secrets.token_hex(8)
        self._last: dict[str, _Last] = {}
        self._touched: set[str] = set()
        self._intervals: deque[set[str]] = deque(maxlen=DISTANCES[-1])
        self._interval = 0
        self._due: dict[str, None] = {}
        self._due_at = 0.0

    def number(self, message: dict[str, Any]) -> None:
        """Number a broadcast within its group."""
        group, now = message["group"], self._clock()
        last = self._last.get(group)
        if last is None:
            if len(self._last) >= MOST_GROUPS:
                self._start_anew()
            serial = 1
        else:
            serial = last.serial + 1
            message["pause"] = now - last.at
        message["sender"], message["serial"] = self.sender, serial
        self._last[group] = _Last(serial, now, self._interval)
        if not self._touched and self.is_idle:
            self._due_at = now + ANNOUNCE_EVERY
        self._touched.add(group)

    @property
    def is_idle(self) -> bool:
        """Return whether there is nothing to announce, now or later."""
        return not (self._touched or self._due or any(self._intervals))

    def seconds_left(self) -> float:
        """Return how long it is until the next announcement."""
        return max(0.0, self._due_at - self._clock())

    def announcements(self) -> list[Mapping[str, Any]]:
        """Return the announcements that are due; call it when `seconds_left` is 0."""
        now = self._clock()
        # Nobody may have been there to call in time.
        intervals = 1 + int(max(0.0, now - self._due_at) / ANNOUNCE_EVERY)
        for _ in range(min(intervals, 1 + DISTANCES[-1])):
            self._due.update(dict.fromkeys(self._silent_groups()))
        self._due_at = now + ANNOUNCE_EVERY
        groups = list(self._due)[:GROUPS_AT_ONCE]
        for group in groups:
            del self._due[group]
        return self._in_messages(groups, now)

    def newest(self) -> list[Mapping[str, Any]]:
        """Return what tells of the groups that had a broadcast last."""
        groups = [*self._touched]
        for interval in reversed(self._intervals):
            groups += [group for group in interval if group not in self._touched]
        groups = list(dict.fromkeys(groups))[:GROUPS_AT_ONCE]
        return self._in_messages(groups, self._clock())

    def _silent_groups(self) -> list[str]:
        """Return the groups that have been silent for one of the distances; begin an interval."""
        silent: list[str] = []
        for distance in DISTANCES:
            if distance <= len(self._intervals):
                interval = self._interval - distance
                groups = self._intervals[-distance]
                silent += [group for group in groups if self._last[group].interval == interval]
        self._intervals.append(self._touched)
        self._touched = set()
        self._interval += 1
        return silent

    def _in_messages(self, groups: list[str], now: float) -> list[Mapping[str, Any]]:
        return [
            self._announcement(groups[start : start + GROUPS_IN_MESSAGE], now)
            for start in range(0, len(groups), GROUPS_IN_MESSAGE)
        ]

    def _announcement(self, groups: list[str], now: float) -> Mapping[str, Any]:
        known = [(group, self._last[group]) for group in groups]
        serials = [[group, last.serial, now - last.at] for group, last in known]
        return {"type": ANNOUNCEMENT, "sender": self.sender, "serials": serials, "pause": 0.0}


def announcements_on(traits: LayerTraits, shard: int) -> str:
    """Return the group through which the numbers of a host's groups are announced.

    It is served by the same host, so an announcement does not overtake what it is about.
    """
    return traits.group_on(shard, ANNOUNCEMENT)


def all_announcements(traits: LayerTraits) -> list[str]:
    """Return the groups through which numbers are announced, one for each host."""
    return [announcements_on(traits, shard) for shard in range(traits.shards)]


class _Taken(NamedTuple):
    layer: Callable[[], Any]
    shard: int
    loop: Callable[[], Any]
    numbering: Numbering


class _Numberings:
    """The numberings that the event loops of this process use."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: list[_Taken] = []

    def of(self, loop: Any, layer: Any, shard: int) -> Numbering:
        """Return numbers that no other event loop uses: a closed loop's, or new ones."""
        with self._lock:
            self._taken = [taken for taken in self._taken if taken.layer() is not None]
            for index, taken in enumerate(self._taken):
                if taken.layer() is layer and taken.shard == shard and _is_over(taken.loop()):
                    self._taken[index] = taken._replace(loop=_reference(loop))
                    return taken.numbering
            numbering = Numbering()
            self._taken.append(_Taken(_reference(layer), shard, _reference(loop), numbering))
            return numbering


def _reference(thing: Any) -> Callable[[], Any]:
    """Return a weak reference, or a strong one where a class does not allow it."""
    try:
        return ref(thing)
    except TypeError:
        return lambda: thing


def _is_over(loop: Any) -> bool:
    return loop is None or loop.is_closed()


_numberings = _Numberings()


def numbering_of(loop: Any, layer: Any, shard: int) -> Numbering:
    """Return the numbers of an event loop for one host of a channel layer.

    An event loop may live for one broadcast, as that of an asynchronous view under WSGI: the
    next one goes on with its numbers, so that receivers know them.
    """
    return _numberings.of(loop, layer, shard)


def _start_anew() -> None:  # pragma: no cover (runs in a forked child, which is not measured)
    """Use no numbers of the parent in a forked worker: it goes on using them."""
    # It has to stand in this module: another one would rebind a name of its own.
    global _numberings  # noqa: PLW0603
    _numberings = _Numberings()


if hasattr(os, "register_at_fork"):  # pragma: no branch (Windows does not fork)
    os.register_at_fork(after_in_child=_start_anew)

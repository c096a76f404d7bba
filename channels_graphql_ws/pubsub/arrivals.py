"""Notices what a channel layer has lost or doubled, by the numbers of the senders."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import Final

from channels_graphql_ws.client_log import ClientLog

log = ClientLog("channels_graphql_ws.broadcast")

DOUBLE: Final = -1
"""Sentinel for a number of lost messages: this one has come before."""

MOST_SENDERS = 256
"""Senders of one group that are remembered; commands and tasks come and go."""

MOST_MISSING = 1_000
"""Numbers of one sender that may still come late."""

SLACK = 1.0
"""Seconds that a message may take on its way."""

WARN_EVERY = 10.0
"""Seconds between two warnings about lost messages."""


class _Sender:
    """The numbers that came from one sender through one group."""

    __slots__ = ("last", "missing")

    def __init__(self, last: int) -> None:
        self.last = last
        self.missing: OrderedDict[int, None] | None = None

    def unusual(self, serial: int) -> int:
        """Take a number that is not the next one; return how many are missing before it."""
        if serial <= self.last:
            if self.missing is None or serial not in self.missing:
                return DOUBLE
            # Late, and not lost.
            del self.missing[serial]
            return 0
        missed = serial - self.last - 1
        self.missing = self.missing or OrderedDict()
        for number in range(max(self.last + 1, serial - MOST_MISSING), serial):
            self.missing[number] = None
        while len(self.missing) > MOST_MISSING:
            self.missing.popitem(last=False)
        self.last = serial
        return missed


class _Group:
    """The senders of one group, the latest ones."""

    __slots__ = ("has_forgotten", "senders")

    def __init__(self) -> None:
        self.senders: OrderedDict[str, _Sender] = OrderedDict()
        self.has_forgotten = False

    def add(self, name: str, last: int, late: int | None) -> None:
        sender = self.senders[name] = _Sender(last)
        if late is not None:
            sender.missing = OrderedDict({late: None})
        if len(self.senders) > MOST_SENDERS:
            self.senders.popitem(last=False)
            self.has_forgotten = True


class Arrivals:
    """The numbers of all messages that came to one hub.

    Args:
        joined_for: returns for how many seconds a group has certainly been joined.

    Attributes:
        missed: messages that a channel layer has lost.
        doubled: messages that came twice, and were dropped.
    """

    def __init__(self, joined_for: Callable[[str], float] = lambda _: 0.0) -> None:
        self.missed = 0
        self.doubled = 0
        self._joined_for = joined_for
        self._groups: dict[str, _Group] = {}
        self._warned_at = float("-inf")

    def check(self, group: str, sender: str, serial: int, pause: float = inf) -> int | None:
        """Take a number; return how many are missing before it, or `DOUBLE`.

        What a sender sent before anybody listened is not missing.

        Args:
            group: the group that the message came through.
            sender: the name of the sender.
            serial: the number.
            pause: seconds since the sender has sent the number before.

        Returns:
            `None` if some are missing and nobody knows how many.
        """
        known = self._groups.get(group)
        last = None if known is None else known.senders.get(sender)
        if last is None:
            missed = self._missed_before(group, serial - 1, pause)
            self._add(group, sender, serial, late=serial - 1 if missed != 0 else None)
            return missed
        if serial == last.last + 1:
            last.last = serial
            return 0
        missed = last.unusual(serial)
        if missed == DOUBLE:
            self.doubled += 1
        elif missed:
            self.lost(group, missed)
        return missed

    def announced(self, group: str, sender: str, serial: int, age: float) -> int | None:
        """Take the last number that a sender has sent; return how many never came.

        Args:
            group: the group that it was sent to.
            sender: the name of the sender.
            serial: the number.
            age: seconds since it was sent.

        Returns:
            `None` if some did not and nobody knows how many.
        """
        known = self._groups.get(group)
        last = None if known is None else known.senders.get(sender)
        if last is None:
            missed = self._missed_before(group, serial, age)
            if missed != 0:
                self._add(group, sender, serial, late=serial)
            return missed
        if serial <= last.last:
            return 0
        missed = last.unusual(serial + 1)
        last.last = serial
        self.lost(group, missed)
        return missed

    def _missed_before(self, group: str, serial: int, age: float) -> int | None:
        """Return how many are missing up to a number of a sender that was not known."""
        known = self._groups.get(group)
        has_forgotten = known is not None and known.has_forgotten
        if not serial or has_forgotten or self._joined_for(group) <= age + SLACK:
            return 0
        # It was sent while we listened. Of those before it nobody knows.
        missed = 1 if serial == 1 else None
        self.lost(group, missed)
        return missed

    def _add(self, group: str, sender: str, serial: int, late: int | None) -> None:
        known = self._groups.get(group)
        if known is None:
            known = self._groups[group] = _Group()
        known.add(sender, serial, late)

    def lost(self, group: str, missed: int | None) -> None:
        """Count what is lost for good, and say so now and then."""
        self.missed += missed or 1
        now = time.monotonic()
        if now - self._warned_at >= WARN_EVERY:
            self._warned_at = now
            log.warning(
                "The channel layer has lost events of group %s (%s in this process so far). With "
                "channels_redis.core, raise its `capacity`, or take channels_redis.pubsub."
                "RedisPubSubChannelLayer; of classes with `history_size` nothing is lost",
                group,
                self.missed,
            )

    def forget(self, group: str) -> None:
        """Remember nothing of a group that nobody listens to."""
        self._groups.pop(group, None)

"""Sees what a channel layer has lost or doubled, by the numbers that senders give."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import Final

log = logging.getLogger("channels_graphql_ws.broadcast")

DOUBLE: Final = -1
"""In the place of a number of lost messages: this one has come before."""

MOST_SENDERS = 256
"""Senders of one group that are remembered; commands and tasks come and go."""

MOST_MISSING = 1_000
"""Numbers of one sender that may still come late."""

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


class Arrivals:
    """The numbers of all messages that came to one hub.

    Attributes:
        missed: messages that a channel layer has lost.
        doubled: messages that came twice, and were dropped.
    """

    def __init__(self) -> None:
        self.missed = 0
        self.doubled = 0
        self._groups: dict[str, OrderedDict[str, _Sender]] = {}
        self._warned_at = float("-inf")

    def check(self, group: str, sender: str, serial: int) -> int:
        """Take a number; return how many are missing before it, or `DOUBLE`.

        What a sender sent before anybody listened is not missing: its first number counts.
        """
        senders = self._groups.get(group)
        if senders is None:
            senders = self._groups[group] = OrderedDict()
        known = senders.get(sender)
        if known is None:
            senders[sender] = _Sender(serial)
            if len(senders) > MOST_SENDERS:
                senders.popitem(last=False)
            return 0
        if serial == known.last + 1:
            known.last = serial
            return 0
        missed = known.unusual(serial)
        if missed == DOUBLE:
            self.doubled += 1
        elif missed:
            self.lost(group, missed)
        return missed

    def announced(self, group: str, sender: str, serial: int) -> int:
        """Take the last number that a sender has sent; return how many never came."""
        senders = self._groups.get(group)
        known = None if senders is None else senders.get(sender)
        if known is None or serial <= known.last:
            return 0
        missed = known.unusual(serial + 1)
        known.last = serial
        self.lost(group, missed)
        return missed

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

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
"""Sentinel for a number of lost messages: this one has come before, or is told to be lost."""

OVERTAKEN: Final = -2
"""Sentinel for a number of lost messages: this one is lost, as a later one has come before."""

MOST_SENDERS = 256
"""Senders of one group that are remembered; commands and tasks come and go."""

MOST_IDS = 10_000
"""Ids of durable events that are remembered."""

SLACK = 1.0
"""Seconds that a message may take on its way."""

WARN_EVERY = 10.0
"""Seconds between two warnings about lost messages."""


class _Sender:
    """The numbers that came from one sender through one group.

    Attributes:
        first: the lowest of those that came, or were told to be lost.
        last: the highest.
    """

    __slots__ = ("first", "last")

    def __init__(self, first: int, last: int) -> None:
        self.first = first
        self.last = last


class _Group:
    """The senders of one group, the latest ones."""

    __slots__ = ("has_forgotten", "senders")

    def __init__(self) -> None:
        self.senders: OrderedDict[str, _Sender] = OrderedDict()
        self.has_forgotten = False

    def add(self, name: str, sender: _Sender) -> None:
        if self.has_forgotten:
            # Perhaps this one, and nobody knows what has come from it.
            sender.first = 1
        self.senders[name] = sender
        if len(self.senders) > MOST_SENDERS:
            self.senders.popitem(last=False)
            self.has_forgotten = True


class Arrivals:
    """The numbers of all messages that came to one hub.

    Args:
        joined_for: returns for how many seconds a group has certainly been joined.

    Attributes:
        missed: messages that a channel layer has lost.
        doubled: messages that came twice, or behind later ones, and were dropped.
    """

    def __init__(self, joined_for: Callable[[str], float] = lambda _: 0.0) -> None:
        self.missed = 0
        self.doubled = 0
        self._joined_for = joined_for
        self._groups: dict[str, _Group] = {}
        self._ids: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._warned_at = float("-inf")

    def check(self, group: str, sender: str, serial: int, pause: float = inf) -> int | None:
        """Take a number; return how many are missing before it, `DOUBLE` or `OVERTAKEN`.

        What a sender sent before anybody listened is not missing. What comes behind a later
        one is dropped: the later one has told that it is lost, and the order is kept.

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
            self._add(group, sender, _Sender(serial if missed == 0 else 1, serial))
            return missed
        if serial <= last.last:
            return self._came_late(group, last, serial)
        missed = serial - last.last - 1
        last.last = serial
        if missed:
            self.lost(group, missed)
        return missed

    def is_known(self, group: str, id: str) -> bool:
        """Take the id of a durable event; return whether it came before.

        Who sends such an event again is another sender, so its numbers do not tell.
        """
        known = (group, id) in self._ids
        if known:
            self.doubled += 1
        self._ids[group, id] = None
        if len(self._ids) > MOST_IDS:
            self._ids.popitem(last=False)
        return known

    def _came_late(self, group: str, sender: _Sender, serial: int) -> int:
        self.doubled += 1
        if serial >= sender.first:
            return DOUBLE
        # Nothing was told of it, nor of what is between it and the first that came.
        self.lost(group, sender.first - serial)
        sender.first = serial
        return OVERTAKEN

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
                self._add(group, sender, _Sender(1, serial))
            return missed
        missed = serial - last.last
        if missed <= 0:
            return 0
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

    def _add(self, group: str, name: str, sender: _Sender) -> None:
        known = self._groups.get(group)
        if known is None:
            known = self._groups[group] = _Group()
        known.add(name, sender)

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

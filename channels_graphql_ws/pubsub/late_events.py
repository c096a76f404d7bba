"""Events of those who have had much of a hub's time already, while others wait for theirs."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, cast

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.pubsub.notification import Notification

log = ClientLog("channels_graphql_ws.broadcast")

ALLOWANCE: Final = 0.02
"""Seconds of a hub's time that a user or address may have, lately, before others come first."""

PERIOD: Final = 1.0
"""Seconds after which what somebody has had counts half."""

MOST_PLACES: Final = 1_000_000
"""Listeners that may wait for all events together, each with eight bytes."""


OFFERS_AT_ONCE: Final = 64
"""Listeners that are offered an event before the clock is looked at."""


class Late(Protocol):
    """What is asked of a listener."""

    @property
    def owner(self) -> Hashable:
        """Whose it is: the user, or else the address; `None`: not known, or of many."""
        ...

    def offer(self, notification: Notification) -> bool:
        """Take a notification without waiting; return whether to run this listener."""
        ...


def _takes(listener: Late, notification: Notification) -> bool:
    try:
        return listener.offer(notification)
    except (Exception, asyncio.CancelledError):  # The others shall have it.
        log.exception("Lost a notification of %r", listener)
        return False


@dataclass(slots=True)
class _Event:
    """An event, and those it has not been offered to."""

    notification: Notification
    size: int
    listeners: deque[Late] = field(default_factory=deque)


class LateEvents:
    """What each has had of the time, and what waits of those who have had much: in turn.

    All that comes for them is put behind what waits already, so that each hears everything in
    order.

    Attributes:
        count: events that wait, once for each user or address.
        places: listeners that wait for them.
        size: bytes of their payloads.
    """

    def __init__(self) -> None:
        self.count = self.places = self.size = 0
        self._spent: dict[Hashable, float] = {}
        self._halved_at = 0.0
        self._turns: OrderedDict[Hashable, None] = OrderedDict()
        self._events: dict[Hashable, deque[_Event]] = {}
        self._due: deque[_Event] = deque()
        self._runs: dict[Hashable, deque[Late]] = {}
        # To find it out takes as long as a short event.
        self._owners: dict[Late, Hashable] = {}
        # What comes for those who wait stays behind that, whoever joins a listener.
        self._owners_of_waiting: dict[Late, Hashable] = {}
        self._waiting: dict[Hashable, list[Late]] = {}

    def __bool__(self) -> bool:
        return bool(self._turns or self._due)

    @property
    def is_due(self) -> bool:
        """Whether there is something that must be offered before anything else comes."""
        return bool(self._due)

    def charge(self, listener: Late, seconds: float, now: float) -> None:
        """Count time that a listener has taken."""
        if now - self._halved_at > PERIOD:
            self._halved_at = now
            self._owners.clear()
            halves = ((owner, spent / 2) for owner, spent in self._spent.items())
            self._spent = {owner: spent for owner, spent in halves if spent > ALLOWANCE / 100}
        owner = self._owner_of(listener)
        self._spent[owner] = self._spent.get(owner, 0.0) + seconds

    def is_late(self, listener: Late) -> bool:
        """Return whether its owner has had much, or has events that wait."""
        return self._is_late(self._owner_of(listener))

    def _is_late(self, owner: Hashable) -> bool:
        return owner in self._events or self._spent.get(owner, 0.0) > ALLOWANCE

    def keep(self, listeners: Sequence[Late], notification: Notification, size: int) -> list[Late]:
        """Keep an event for those who have had much; return the others."""
        others: list[Late] = []
        kept: dict[Hashable, _Event] = {}
        for listener in listeners:
            owner = self._owner_of(listener)
            if not self._is_late(owner):
                others.append(listener)
            elif owner in kept:
                kept[owner].listeners.append(listener)
            else:
                kept[owner] = _Event(notification, size, deque([listener]))
        for owner, event in kept.items():
            self._events.setdefault(owner, deque()).append(event)
            self._turns.setdefault(owner)
            for listener in event.listeners:
                if listener not in self._owners_of_waiting:
                    self._owners_of_waiting[listener] = owner
                    self._waiting.setdefault(owner, []).append(listener)
            self.count += 1
            self.size += size
            self.places += len(event.listeners)
        return others

    def postpone(self, listener: Late) -> bool:
        """Let a listener that is to be run wait, if its owner has had much."""
        owner = self._owner_of(listener)
        if not self._is_late(owner):
            return False
        self._runs.setdefault(owner, deque()).append(listener)
        self._turns.setdefault(owner)
        return True

    def next(self) -> tuple[Late, Notification | None] | None:
        """Return whose turn it is, and what it is to be offered before; `None` if nobody waits."""
        if not self._turns:
            return None
        owner = next(iter(self._turns))
        self._turns.move_to_end(owner)
        runs = self._runs.get(owner)
        if runs:
            listener, notification = runs.popleft(), None
            if not runs:
                del self._runs[owner]
                self._forget_turn(owner)
            return listener, notification
        event = self._events[owner][0]
        listener = event.listeners.popleft()
        self.places -= 1
        if not event.listeners:
            self._forget_first(owner)
        return listener, event.notification

    def flush(self, listeners: Sequence[Late]) -> bool:
        """Make all due that waits for the owners of these; return whether there is any."""
        for owner in {self._owner_of(listener) for listener in listeners}:
            while owner in self._events:
                self._make_first_due(owner)
        return self.is_due

    def shorten(self) -> None:
        """Make the first event due of whoever has most."""
        self._make_first_due(max(self._events, key=lambda each: len(self._events[each])))

    def offer_due(self) -> list[Late]:
        """Offer a part of what is due, without running it; return who is to be run.

        A million listeners may be waiting: offer them over several steps of the event loop, and
        take no other event meanwhile.
        """
        event, ready = self._due[0], []
        for _ in range(min(OFFERS_AT_ONCE, len(event.listeners))):
            listener = event.listeners.popleft()
            if _takes(listener, event.notification):
                ready.append(listener)
        if not event.listeners:
            self._due.popleft()
        return ready

    def reset(self) -> None:
        """Nothing waits any more: what anybody has had does not matter."""
        self._spent.clear()
        self._owners.clear()

    def _make_first_due(self, owner: Hashable) -> None:
        event = self._events[owner][0]
        self.places -= len(event.listeners)
        self._forget_first(owner)
        self._due.append(event)

    def _forget_first(self, owner: Hashable) -> None:
        events = self._events[owner]
        self.size -= events.popleft().size
        self.count -= 1
        if not events:
            del self._events[owner]
            for listener in self._waiting.pop(owner):
                del self._owners_of_waiting[listener]
            self._forget_turn(owner)

    def _forget_turn(self, owner: Hashable) -> None:
        if owner not in self._events and owner not in self._runs:
            del self._turns[owner]

    def _owner_of(self, listener: Late) -> Hashable:
        known = self._owners_of_waiting.get(listener)
        if known is None:
            known = self._owners.get(listener)
        if known is None:
            # What ends the span of an event is nobody's, and who is not known one of its own.
            owner: Hashable = getattr(listener, "owner", None)
            known = self._owners[listener] = cast("Hashable", listener) if owner is None else owner
        return known

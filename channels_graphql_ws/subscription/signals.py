"""What receivers of Django signals are told of one subscription."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from channels_graphql_ws.signals import ClientSignal, dropped, subscribed, unsubscribed

DROPS_EVERY: Final = 0.25
"""Seconds in which dropped events are counted before a signal tells of them."""


class Send(Protocol):
    """Sends a signal about a connection, see `ConnectionSignals.send`."""

    def __call__(self, signal: ClientSignal, **arguments: Any) -> None:
        """Send it."""


def has_receivers() -> bool:
    """Return whether anybody is to be told of subscriptions."""
    return bool(subscribed.receivers or unsubscribed.receivers or dropped.receivers)


class Drops:
    """Counts dropped events, and tells of them a few times a second at most.

    Args:
        tell: is called with their number.
    """

    __slots__ = ("_number", "_tell", "_timer")

    def __init__(self, tell: Callable[[int], None]) -> None:
        self._tell = tell
        self._number = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, number: int) -> None:
        """Count some."""
        self._number += number
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(DROPS_EVERY, self.flush)

    def flush(self) -> None:
        """Tell of what was counted since the last time."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            number, self._number = self._number, 0
            self._tell(number)


class SubscriptionSignals:
    """Sends the signals about one subscription.

    Args:
        send: sends one.
        arguments: those that all of them have.
    """

    __slots__ = ("_arguments", "_drops", "_has_begun", "_is_over", "_send")

    def __init__(self, send: Send, **arguments: Any) -> None:
        self._send = send
        self._arguments = arguments
        self._has_begun = self._is_over = False
        self._drops: Drops | None = None

    def joined(self, groups: Iterable[str]) -> None:
        """Take the names of the groups, as `subscribe` has returned them."""
        self._arguments["groups"] = list(groups)

    def begin(self) -> None:
        """Say that the client is subscribed, unless that is over already."""
        if not self._is_over:
            self._has_begun = True
            self._send(subscribed, **self._arguments)

    def dropped(self, number: int) -> None:
        """Say that the queue has dropped events."""
        if self._drops is None:
            self._drops = Drops(self.lost)
        self._drops.add(number)

    def lost(self, number: int) -> None:
        """Say so at once."""
        self._send(dropped, **self._arguments, number=number)

    def end(self) -> None:
        """Say that the subscription is over; to be called once."""
        if self._drops is not None:
            self._drops.flush()
            self._drops = None
        self._is_over = True
        if self._has_begun:
            self._send(unsubscribed, **self._arguments)

"""What goes on over WebSockets, as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConnectionStatistics:
    """What goes on over one WebSocket.

    Attributes:
        operations: under way, subscriptions among them.
        subscriptions: those that count for `max_operations_per_connection`.
        unsent_messages: wait for the client to read.
        unsent_bytes: of these messages.
    """

    operations: int
    subscriptions: int
    unsent_messages: int
    unsent_bytes: int


@dataclass(frozen=True, slots=True)
class WebSocketStatistics:
    """What goes on over all WebSockets of a process.

    Attributes:
        connections: that are open.
        operations: under way, subscriptions among them.
        subscriptions: under way.
        unsent_messages: wait for clients to read.
        unsent_bytes: of these messages.
    """

    connections: int
    operations: int
    subscriptions: int
    unsent_messages: int
    unsent_bytes: int


def total(connections: Iterable[ConnectionStatistics]) -> WebSocketStatistics:
    """Return the sums over all connections."""
    all_of_them = list(connections)
    return WebSocketStatistics(
        connections=len(all_of_them),
        operations=sum(each.operations for each in all_of_them),
        subscriptions=sum(each.subscriptions for each in all_of_them),
        unsent_messages=sum(each.unsent_messages for each in all_of_them),
        unsent_bytes=sum(each.unsent_bytes for each in all_of_them),
    )

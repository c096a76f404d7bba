"""What goes on in this process, as data: for health checks, metrics and the curious."""

from __future__ import annotations

from dataclasses import dataclass

from channels_graphql_ws.pubsub import outgoing
from channels_graphql_ws.pubsub.hub import HubStatistics, hubs_of_process
from channels_graphql_ws.pubsub.pump import PublisherStatistics, publisher_statistics
from channels_graphql_ws.shutdown import connections_of_process
from channels_graphql_ws.subscription.queue import drops
from channels_graphql_ws.websocket.connection import Connection
from channels_graphql_ws.websocket.statistics import WebSocketStatistics, total


@dataclass(frozen=True, slots=True)
class Statistics:
    """What this process has counted since it began, and what waits in it now.

    Attributes:
        hubs: one for each event loop and channel layer that somebody is subscribed through.
        publisher: broadcasts on their way to channel layers.
        dropped: notifications that queues of subscriptions have dropped.
        unawaited_failures: broadcasts that failed and that nobody awaited.
        websockets: what goes on over all WebSockets.
    """

    hubs: tuple[HubStatistics, ...]
    publisher: PublisherStatistics
    dropped: int
    unawaited_failures: int
    websockets: WebSocketStatistics

    @property
    def is_healthy(self) -> bool:
        """Return whether what channel layers carry arrives here."""
        return all(hub.layer is None or hub.layer.is_healthy for hub in self.hubs)


def statistics() -> Statistics:
    """Return the counters of this process. May be called from any thread."""
    return Statistics(
        hubs=tuple(hub.statistics() for hub in hubs_of_process()),
        publisher=publisher_statistics(),
        dropped=drops.count,
        unawaited_failures=outgoing.failures.count,
        websockets=total(
            each.statistics() for each in connections_of_process() if isinstance(each, Connection)
        ),
    )

"""What goes on in this process, as data: for health checks, metrics and the curious."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate

from channels_graphql_ws.pubsub import outgoing
from channels_graphql_ws.pubsub.hub import HubStatistics, hubs_of_process
from channels_graphql_ws.pubsub.join_failures import join_failures
from channels_graphql_ws.pubsub.pump import PublisherStatistics, publisher_statistics
from channels_graphql_ws.shutdown import connections_of_process
from channels_graphql_ws.subscription.durable import OutboxStatistics, counted
from channels_graphql_ws.subscription.queue import drops
from channels_graphql_ws.subscription.runs import RunStatistics, run_statistics
from channels_graphql_ws.subscription.shared import SharedSubscriber
from channels_graphql_ws.subscription.subscriber import Subscriber
from channels_graphql_ws.tally import BOUNDS, latencies, operations, tallies
from channels_graphql_ws.websocket.connection import Connection
from channels_graphql_ws.websocket.statistics import WebSocketStatistics, total


@dataclass(frozen=True, slots=True)
class EventStatistics:
    """What became of the events of one subscription in this process.

    Attributes:
        subscriptions: those to its broadcasts that are under way now.
        subscribed: those that have ever begun.
        broadcasts: calls of `broadcast`.
        executed: events that were executed, once for all clients that share one.
        sent: results that were sent to clients.
        skipped: events that `publish` or `filter_event` kept back.
        dropped: events that queues have dropped.
        missed: events that the channel layer has lost for subscribers.
        recovered: events of a history that were sent to clients which came back.
        failed: results with errors, counted once for all clients that share one.
    """

    subscriptions: int
    subscribed: int
    broadcasts: int
    executed: int
    sent: int
    skipped: int
    dropped: int
    missed: int
    recovered: int
    failed: int


@dataclass(frozen=True, slots=True)
class OperationStatistics:
    """Queries or mutations of one name.

    Attributes:
        type: "query" or "mutation".
        name: as clients have called it; empty without a name, "(others)" for all but the 200
            that were executed most often.
        executed: how many were executed.
        failed: how many of them have errors in their result.
    """

    type: str
    name: str
    executed: int
    failed: int


@dataclass(frozen=True, slots=True)
class LatencyStatistics:
    """Seconds from a broadcast to the moment when the last client of an execution got it.

    Attributes:
        buckets: how many took no longer than so many seconds.
        count: of all.
        total: the sum of all, in seconds.
    """

    buckets: tuple[tuple[float, int], ...]
    count: int
    total: float


@dataclass(frozen=True, slots=True)
class Statistics:
    """What this process has counted since it began, and what waits in it now.

    Attributes:
        hubs: one for each event loop and channel layer that somebody is subscribed through.
        publisher: broadcasts on their way to channel layers.
        dropped: notifications that queues of subscriptions have dropped.
        unawaited_failures: broadcasts that failed and that nobody awaited.
        websockets: what goes on over all WebSockets.
        events: of each subscription, by its name; at most 200 names, and "(others)".
        operations: queries and mutations, by type and name.
        queued: events that wait in queues of subscriptions.
        joins_fail: whether a client could not join a group in the last 15 seconds, and none
            could since.
        runs: of resumable generators.
        outbox: of each database that this process looks into for durable broadcasts; counted
            every 15 seconds.
        latency: of broadcasts; `None` until somebody collects it, see `prometheus.register`.
    """

    hubs: tuple[HubStatistics, ...]
    publisher: PublisherStatistics
    dropped: int
    unawaited_failures: int
    websockets: WebSocketStatistics
    events: Mapping[str, EventStatistics]
    operations: tuple[OperationStatistics, ...]
    queued: int
    joins_fail: bool
    runs: RunStatistics
    outbox: tuple[OutboxStatistics, ...]
    latency: LatencyStatistics | None

    @property
    def is_healthy(self) -> bool:
        """Return whether clients can join groups, and what channel layers carry arrives here."""
        return not self.joins_fail and all(
            hub.layer is None or hub.layer.is_healthy for hub in self.hubs
        )


def statistics() -> Statistics:
    """Return the counters of this process. May be called from any thread."""
    hubs = hubs_of_process()
    listeners = [each for hub in hubs for each in hub.all_listeners()]
    subscribers = [each for each in listeners if isinstance(each, Subscriber)]
    return Statistics(
        hubs=tuple(hub.statistics() for hub in hubs),
        publisher=publisher_statistics(),
        dropped=drops.count,
        unawaited_failures=outgoing.failures.count,
        websockets=total(
            each.statistics() for each in connections_of_process() if isinstance(each, Connection)
        ),
        events=_events(subscribers),
        operations=tuple(
            OperationStatistics(type, name, executed, operations.failed[type, name])
            for (type, name), executed in list(operations.executed.items())
        ),
        queued=sum(each.queued for each in subscribers),
        joins_fail=join_failures.are_recent,
        runs=run_statistics(),
        outbox=tuple(counted.values()),
        latency=_latency() if latencies.is_on else None,
    )


def _events(subscribers: Iterable[Subscriber]) -> dict[str, EventStatistics]:
    active: Counter[str] = Counter()
    for each in subscribers:
        number = each.members if isinstance(each, SharedSubscriber) else 1
        active[tallies.kept(each.name)] += number
    return {
        name: EventStatistics(
            subscriptions=active[name],
            subscribed=tally.subscribed,
            broadcasts=tally.broadcasts,
            executed=tally.executed,
            sent=tally.sent,
            skipped=tally.skipped,
            dropped=tally.dropped,
            missed=tally.missed,
            recovered=tally.recovered,
            failed=tally.failed,
        )
        for name, tally in list(tallies.by_name.items())
    }


def _latency() -> LatencyStatistics:
    sums = list(accumulate(latencies.counts))
    return LatencyStatistics(tuple(zip(BOUNDS, sums, strict=False)), sums[-1], latencies.total)

"""The counters of `statistics()` for Prometheus: `register()`, and a view for its scrapes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final
from weakref import WeakKeyDictionary

from django.http import HttpRequest, HttpResponse

from channels_graphql_ws.concurrency.database import without_atomic_requests
from channels_graphql_ws.process_statistics import LatencyStatistics, Statistics, statistics
from channels_graphql_ws.tally import latencies

try:
    from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
    from prometheus_client.metrics_core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
        Metric,
    )
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(
        "`channels_graphql_ws.prometheus` needs the package prometheus-client: "
        "pip install 'channels-graphql-ws[prometheus]'"
    ) from error

PREFIX: Final = "channels_graphql_ws_"

_EVENTS: Final = {
    "subscribed": ("subscriptions_started", "Subscriptions that have begun."),
    "broadcasts": ("broadcasts", "Calls of broadcast()."),
    "executed": ("events_executed", "Events executed, once for all clients that share one."),
    "sent": ("events_sent", "Results sent to clients."),
    "skipped": ("events_skipped", "Events kept back by publish or filter_event."),
    "dropped": ("events_dropped", "Events dropped from queues of slow clients."),
    "missed": ("events_missed", "Events that the channel layer has lost."),
    "recovered": ("events_recovered", "Events sent from a history after a reconnect."),
    "failed": ("events_failed", "Results with errors."),
}

_PUBLISHER: Final = ("sent", "failed", "timed_out", "refused")

_HUB: Final = ("received", "missed", "doubled", "mended", "undecodable")


class StatisticsCollector(Collector):
    """Reads `statistics()` at each scrape; between two of them it does nothing."""

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are not compared when it is registered."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        known = statistics()
        yield from _now(known)
        yield from _events(known)
        yield from _operations(known)
        yield from _layers(known)
        yield from _outbox(known)
        if known.latency is not None:
            yield _latency(known.latency)


def _now(known: Statistics) -> Iterator[Metric]:
    """Yield what is under way, and what waits."""
    sockets, publisher = known.websockets, known.publisher
    gauges = {
        "connections": ("WebSockets that are open.", sockets.connections),
        "operations_in_progress": ("Operations on WebSockets.", sockets.operations),
        "unsent_bytes": ("Bytes that wait for clients to read.", sockets.unsent_bytes),
        "publisher_waiting_bytes": (
            "Bytes that wait for the channel layer.",
            publisher.waiting_bytes,
        ),
        "runs_finished": ("Runs whose generator has ended.", known.runs.finished),
        "runs_kept_bytes": ("Bytes of results that runs keep for clients.", known.runs.bytes),
        "healthy": ("Whether the channel layer carries messages.", int(known.is_healthy)),
    }
    for name, (text, value) in gauges.items():
        yield GaugeMetricFamily(PREFIX + name, text, value=value)
    runs = GaugeMetricFamily(
        PREFIX + "runs", "Runs of resumable generators, by their clients.", labels=["clients"]
    )
    runs.add_metric(["watching"], known.runs.watched)
    runs.add_metric(["away"], known.runs.waiting)
    yield runs
    depth = GaugeMetricFamily(PREFIX + "queue_depth", "What waits, by place.", labels=["queue"])
    depth.add_metric(["hub"], sum(hub.waiting for hub in known.hubs))
    depth.add_metric(["subscriptions"], known.queued)
    depth.add_metric(["websockets"], sockets.unsent_messages)
    depth.add_metric(["publisher"], publisher.waiting)
    yield depth


def _events(known: Statistics) -> Iterator[Metric]:
    """Yield what became of the events of each subscription."""
    active = GaugeMetricFamily(
        PREFIX + "subscriptions", "Subscriptions to broadcasts.", labels=["name"]
    )
    for name, each in known.events.items():
        active.add_metric([name], each.subscriptions)
    yield active
    for attribute, (metric, text) in _EVENTS.items():
        counter = CounterMetricFamily(PREFIX + metric, text, labels=["name"])
        for name, each in known.events.items():
            counter.add_metric([name], getattr(each, attribute))
        yield counter


def _operations(known: Statistics) -> Iterator[Metric]:
    executed = CounterMetricFamily(
        PREFIX + "operations", "Queries and mutations executed.", labels=["type", "name"]
    )
    failed = CounterMetricFamily(
        PREFIX + "operations_failed", "Those with errors in the result.", labels=["type", "name"]
    )
    for each in known.operations:
        executed.add_metric([each.type, each.name], each.executed)
        failed.add_metric([each.type, each.name], each.failed)
    yield executed
    yield failed


def _layers(known: Statistics) -> Iterator[Metric]:
    """Yield what went to channel layers and came from them."""
    sent = CounterMetricFamily(
        PREFIX + "layer_sent", "Broadcasts given to a channel layer.", labels=["result"]
    )
    for name in _PUBLISHER:
        sent.add_metric([name], getattr(known.publisher, name))
    yield sent
    # It begins anew when the last subscriber of a process has left: a gauge would not be right,
    # and Prometheus takes a counter that falls for one that was started anew.
    came = CounterMetricFamily(
        PREFIX + "layer_messages", "Messages from channel layers.", labels=["result"]
    )
    for name in _HUB:
        came.add_metric([name], sum(getattr(hub, name) for hub in known.hubs))
    yield came


def _outbox(known: Statistics) -> Iterator[Metric]:
    """Yield what is in the outbox of each database."""
    events = GaugeMetricFamily(
        PREFIX + "outbox_events", "Durable events in the outbox.", labels=["database", "state"]
    )
    oldest = GaugeMetricFamily(
        PREFIX + "outbox_oldest_seconds",
        "For how long the oldest event in the outbox has waited.",
        labels=["database"],
    )
    for each in known.outbox:
        events.add_metric([each.database, "waiting"], each.waiting)
        events.add_metric([each.database, "given_up"], each.given_up)
        oldest.add_metric([each.database], each.oldest_seconds)
    yield events
    yield oldest


def _latency(known: LatencyStatistics) -> Metric:
    buckets = [(str(bound), float(count)) for bound, count in known.buckets]
    return HistogramMetricFamily(
        PREFIX + "broadcast_to_send_seconds",
        "From a broadcast to the last client that got it.",
        buckets=[*buckets, ("+Inf", float(known.count))],
        sum_value=known.total,
    )


_collectors: WeakKeyDictionary[CollectorRegistry, StatisticsCollector] = WeakKeyDictionary()


def register(registry: CollectorRegistry = REGISTRY) -> StatisticsCollector:
    """Offer the counters of this process to Prometheus, and measure latencies from now on.

    Args:
        registry: where; a second call for the same one changes nothing.
    """
    collector = _collectors.get(registry)
    if collector is None:
        collector = _collectors[registry] = StatisticsCollector()
        registry.register(collector)
    latencies.is_on = True
    return collector


@without_atomic_requests
async def metrics(request: HttpRequest) -> HttpResponse:
    """Answer a scrape with all that is registered in this process."""
    del request
    register()
    return HttpResponse(generate_latest(REGISTRY), headers={"Content-Type": CONTENT_TYPE_LATEST})

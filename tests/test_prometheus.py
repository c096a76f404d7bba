"""What Prometheus reads of a process."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import graphene
import pytest
from django.test import AsyncRequestFactory
from prometheus_client import REGISTRY, CollectorRegistry

from asgi_socket import NEW, AsgiSocket
from channels_graphql_ws import (
    GraphqlWsConsumer,
    OutboxStatistics,
    Subscription,
    prometheus,
    statistics,
)
from channels_graphql_ws.pubsub.hub import hubs_of_process
from channels_graphql_ws.pubsub.notification import Notification
from channels_graphql_ws.pubsub.outgoing import Outgoing
from channels_graphql_ws.serializer import Serializer
from channels_graphql_ws.subscription.durable import counted
from channels_graphql_ws.subscription.queue import CoalescingQueue, NotificationQueue
from channels_graphql_ws.tally import (
    MOST_NAMES,
    MOST_WAITING,
    OTHERS,
    Latencies,
    OperationCounts,
    Tallies,
    latencies,
)
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from support import tick, wait_until

DASHBOARD = Path(__file__).resolve().parent.parent / "docs" / "dashboards" / "grafana.json"
PREFIX = "channels_graphql_ws_"


class OnMeasured(Subscription):
    """Skips what is 0, and fails for what is below."""

    number = graphene.Int()

    class Arguments:
        shared = graphene.Boolean()

    def context_id(self, info, shared=None):
        return "all" if shared else None

    def filter_event(self, info, shared=None):
        return self != 7

    def publish(self, info, shared=None):
        if self < 0:
            raise ValueError("below")
        return {"number": self} if self else None


class Query(graphene.ObjectType):
    ok = graphene.Boolean()
    bad = graphene.Boolean()

    def resolve_bad(self, info):
        raise ValueError("bad")


class OnFirst(Subscription):
    """Begins with an event that nobody has broadcast."""

    number = graphene.Int()

    def initial(self, info):
        return {"number": 1}

    def publish(self, info):
        return {"number": self}


class Root(graphene.ObjectType):
    measured = OnMeasured.Field()
    first = OnFirst.Field()


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Root)
    confirm_subscriptions = True


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> CollectorRegistry:
    monkeypatch.setattr(latencies, "is_on", latencies.is_on)
    registry = CollectorRegistry()
    prometheus.register(registry)
    return registry


async def _client() -> GraphqlWsClient:
    client = GraphqlWsClient(GraphqlWsTransport(Consumer.as_asgi(), "/"))
    await client.connect_and_init()
    return client


def _value(registry: CollectorRegistry, metric: str, /, **labels: str) -> float:
    return registry.get_sample_value(PREFIX + metric, labels) or 0.0


EVENTS = ("subscriptions", "subscriptions_started_total", "broadcasts_total")
OUTCOMES = ("executed", "sent", "skipped", "failed")


def _events(registry: CollectorRegistry) -> dict[str, float]:
    names = [*EVENTS, *(f"events_{each}_total" for each in OUTCOMES)]
    return {each: _value(registry, each, name="OnMeasured") for each in names}


@pytest.mark.parametrize("shared", [False, True])
async def test_events_are_counted_by_name(registry: CollectorRegistry, shared: bool) -> None:
    before = _events(registry)
    timed = _value(registry, "broadcast_to_send_seconds_count")
    clients = [await _client() for _ in range(2)]
    document = "subscription ($shared: Boolean) { measured(shared: $shared) { number } }"
    for client in clients:
        await client.subscribe(document, variables={"shared": shared})
    for payload in (1, 0, 7, -1, 2):
        await OnMeasured.broadcast(payload=payload)
    for client in clients:
        assert [(await client.transport.receive())["type"] for _ in range(3)] == ["next"] * 3
    counted = {name: value - before[name] for name, value in _events(registry).items()}
    executions = 1 if shared else 2
    assert counted == {
        "subscriptions": 2,
        "subscriptions_started_total": 2,
        "broadcasts_total": 5,
        # A shared event is filtered when it is executed, an event of one client before.
        "events_executed_total": 5 if shared else 4 * executions,
        "events_sent_total": 6,
        "events_skipped_total": 3 if shared else 4,
        "events_failed_total": executions,
    }
    measured = _value(registry, "broadcast_to_send_seconds_count") - timed
    assert measured == (4 if shared else 3 * executions)
    assert _value(registry, "connections") == 2
    assert _value(registry, "queue_depth", queue="subscriptions") == 0
    for client in clients:
        await client.finalize()


async def test_what_was_not_broadcast_has_no_latency(registry: CollectorRegistry) -> None:
    before = _value(registry, "broadcast_to_send_seconds_count")
    client = await _client()
    await client.subscribe("subscription { first { number } }")
    assert (await client.transport.receive())["type"] == "next"
    assert _value(registry, "broadcast_to_send_seconds_count") == before
    await client.finalize()


async def test_operations_are_counted_by_type_and_name(registry: CollectorRegistry) -> None:
    labels = {"type": "query", "name": "Measured"}
    client = await _client()
    await client.execute("query Measured { ok }")
    with pytest.raises(Exception, match="bad"):
        await client.execute("query Measured { bad }")
    assert _value(registry, "operations_total", **labels) == 2
    assert _value(registry, "operations_failed_total", **labels) == 1
    await client.finalize()


def test_names_that_are_too_many_or_too_long_are_counted_together() -> None:
    tallies, operations = Tallies(), OperationCounts()
    for number in range(MOST_NAMES + 10):
        tallies.of(f"On{number}").sent += 1
        operations.add("query", f"Q{number}", failed=True)
    operations.add("query", "x" * 1_000, failed=False)
    assert len(tallies.by_name) == len(operations.executed) == MOST_NAMES + 1
    assert tallies.by_name[OTHERS].sent == operations.failed["query", OTHERS] == 10
    assert tallies.kept("On0") == "On0"
    assert tallies.kept(f"On{MOST_NAMES}") == OTHERS
    assert operations.executed["query", OTHERS] == 11


def execute(operations: OperationCounts, *names: str, times: int = 1) -> None:
    """Execute operations of these names, in turn."""
    for _ in range(times):
        for name in names:
            operations.add("query", name, failed=True)


def test_names_that_somebody_invents_do_not_take_the_places_of_real_ones() -> None:
    operations = OperationCounts()
    execute(operations, "Real", times=3)
    execute(operations, *(f"Invented{number}" for number in range(10_000)))
    execute(operations, "Real", "Late", times=2)
    names = {name for _, name in operations.executed}
    assert {"Real", "Late", OTHERS} < names
    assert len(names) == MOST_NAMES + 1
    assert operations.executed["query", "Real"] == operations.failed["query", "Real"] == 5
    # The first time, nobody knew that it would come again.
    assert operations.executed["query", "Late"] == 1


def test_a_name_that_was_displaced_comes_back_with_what_was_counted() -> None:
    operations = OperationCounts()
    execute(operations, "Real", times=5)
    execute(operations, *(f"Invented{number}" for number in range(MOST_NAMES)), times=6)
    execute(operations, "Invented0", f"Invented{MOST_NAMES - 1}", times=6)
    assert ("query", "Real") not in operations.executed
    assert ("query", f"Invented{MOST_NAMES - 1}") in operations.executed
    execute(operations, "Real", times=2)
    # Six were counted under its name, and the seventh displaces another.
    assert operations.executed["query", "Real"] == operations.failed["query", "Real"] == 6
    assert len(operations.executed) == MOST_NAMES + 1


def test_names_that_wait_for_a_place_are_as_few_as_may_be() -> None:
    operations = OperationCounts()
    kept = [f"Invented{number}" for number in range(MOST_NAMES)]
    execute(operations, *kept, times=2)
    execute(operations, "Rare")
    execute(operations, *(f"Other{number}" for number in range(MOST_WAITING)))
    # It was forgotten meanwhile.
    execute(operations, "Rare", times=2)
    assert ("query", "Rare") not in operations.executed
    execute(operations, "Rare")
    assert ("query", "Rare") in operations.executed


async def test_what_waits_for_slow_clients_is_counted(registry: CollectorRegistry) -> None:
    reading = asyncio.Event()

    async def on_send(event: dict[str, Any]) -> None:
        if '"next"' in event.get("text", "") and "number" in event["text"]:
            await reading.wait()

    sockets = []
    for id, arguments in (("1", ""), ("2", "(shared: true)")):
        socket = AsgiSocket(Consumer.as_asgi(), NEW, on_send=on_send)
        await socket.acknowledged()
        socket.start(id, f"subscription {{ measured{arguments} {{ number }} }}")
        sockets.append(socket)
    await wait_until(lambda: len(_hub_listeners()) == 2)
    await tick(20)
    # More than an outbox takes; then they wait in the queues.
    for _ in range(1_000):
        OnMeasured.broadcast(payload=1)
    await wait_until(lambda: _value(registry, "queue_depth", queue="subscriptions") > 1)
    assert _value(registry, "queue_depth", queue="websockets") > 1
    reading.set()
    for socket in sockets:
        await socket.drop()


def _hub_listeners() -> list[Any]:
    return [each for hub in hubs_of_process() for each in hub.all_listeners()]


def test_the_queue_of_each_policy_knows_how_many_wait() -> None:
    for queue in (NotificationQueue("A", 5), CoalescingQueue("A", 5, lambda _: None)):
        assert len(queue) == 0
        queue.put(Notification(Serializer.serialize(1)))
        assert len(queue) == 1


def test_a_broadcast_counts_from_the_commit_that_sends_it() -> None:
    broadcast = Outgoing({"type": "broadcast", "at": 1.0}, "OnMeasured")
    broadcast.restart()
    assert broadcast.message["at"] > 1
    end = Outgoing({"type": "unsubscribe"}, "OnMeasured")
    end.restart()
    assert end.message == {"type": "unsubscribe"}


def test_a_clock_that_is_behind_counts_as_no_time_at_all() -> None:
    measured = Latencies()
    for seconds in (-3.0, 0.5, 99.0):
        measured.add(seconds)
    assert (measured.counts[0], measured.counts[-1], measured.total) == (1, 1, 99.5)


def test_latencies_are_measured_for_those_who_collect_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(latencies, "is_on", False)
    assert statistics().latency is None
    names = {metric.name for metric in prometheus.StatisticsCollector().collect()}
    assert PREFIX + "broadcast_to_send_seconds" not in names


def test_a_second_registration_changes_nothing(registry: CollectorRegistry) -> None:
    assert prometheus.register(registry) is prometheus.register(registry)


def test_events_in_the_outbox_are_counted_by_database(
    registry: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(counted, "archive", OutboxStatistics("archive", 3, 2, 70.5))
    assert _value(registry, "outbox_events", database="archive", state="waiting") == 3
    assert _value(registry, "outbox_events", database="archive", state="given_up") == 2
    assert _value(registry, "outbox_oldest_seconds", database="archive") == 70.5


async def test_the_view_answers_a_scrape(registry: CollectorRegistry) -> None:
    answer = await prometheus.metrics(AsyncRequestFactory().get("/"))
    assert answer["Content-Type"].startswith("text/plain")
    assert f"\n{PREFIX}connections 0.0\n" in answer.content.decode()
    REGISTRY.unregister(prometheus._collectors.pop(REGISTRY))


def test_the_dashboard_shows_each_metric_and_no_other(registry: CollectorRegistry) -> None:
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    shown = {
        name
        for panel in board["panels"]
        for target in panel["targets"]
        for name in re.findall(rf"{PREFIX}\w+", target["expr"])
    }
    # A counter ends in `_total` for those who ask, and a histogram in `_bucket`.
    ends = {"counter": "_total", "histogram": "_bucket"}
    there = {metric.name + ends.get(metric.type, "") for metric in registry.collect()}
    assert shown == there


def test_the_reference_lists_each_metric(registry: CollectorRegistry) -> None:
    page = (DASHBOARD.parents[1] / "reference" / "metrics.md").read_text()
    for metric in registry.collect():
        name = metric.name.removeprefix(PREFIX) + ("_total" if metric.type == "counter" else "")
        assert f"`{name}`" in page


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.delitem(sys.modules, "channels_graphql_ws.prometheus")
    with pytest.raises(ImportError, match=re.escape("channels-graphql-ws[prometheus]")):
        importlib.import_module("channels_graphql_ws.prometheus")

"""Hooks that hang: they cost one event, and the log says which."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import graphene
import pytest

from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.pubsub import overdue
from channels_graphql_ws.pubsub.overdue import Overdue
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from support import wait_until


class Hanging(Subscription):
    """Hangs where the payload says so."""

    class Meta:
        abstract = True

    text = graphene.String()

    async def publish(self, info):
        if self == "publish":
            await asyncio.Event().wait()
        return {"text": self}

    async def filter_event(self, info):
        if self == "filter":
            await asyncio.Event().wait()
        return True


class OnAlone(Hanging):
    pass


class OnShared(Hanging):
    def context_id(self, info):
        return "all"


class OnFirst(Hanging):
    async def initial(self, info):
        await asyncio.Event().wait()


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    alone = OnAlone.Field()
    shared = OnShared.Field()
    first = OnFirst.Field()


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Root)
    confirm_subscriptions = True
    event_timeout = 0.05
    warn_operation_timeout = 0.01


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(overdue, "EVERY", 0.01)


async def subscribed(field: str, **options: Any) -> GraphqlWsClient:
    application = type("Mine", (Consumer,), options).as_asgi()
    client = GraphqlWsClient(GraphqlWsTransport(application, "/"))
    await client.connect_and_init()
    await client.subscribe(f"subscription {{ x: {field} {{ text }} }}")
    return client


async def payload_of(client: GraphqlWsClient) -> Any:
    message = await client.transport.receive()
    assert message["type"] == "next", message
    return message["payload"]


TOO_LONG = {
    "message": "This event took longer than 0.05 seconds.",
    "extensions": {"code": "EVENT_TIMEOUT"},
}


@pytest.mark.parametrize(
    ("field", "where", "hook"),
    [
        ("alone", "publish", "publish"),
        ("alone", "filter", "filter_event"),
        ("shared", "publish", "publish"),
    ],
)
async def test_an_event_that_hangs_is_an_error_and_the_stream_goes_on(
    field: str, where: str, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    cls = OnAlone if field == "alone" else OnShared
    clients = [await subscribed(field) for _ in range(2)]
    for payload in ("before", where, "after"):
        await cls.broadcast(payload=payload)
    for client in clients:
        assert (await payload_of(client))["data"] == {"x": {"text": "before"}}
        assert (await payload_of(client))["errors"] == [TOO_LONG]
        assert (await payload_of(client))["data"] == {"x": {"text": "after"}}
    assert f"An event of {cls.__name__} has waited for `{hook}` for" in caplog.text
    assert f"An event of {cls.__name__} was given up: it took too long" in caplog.text
    for client in clients:
        await client.finalize()


async def test_a_snapshot_that_hangs_is_an_error_and_events_follow(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = await subscribed("first")
    await OnFirst.broadcast(payload="1")
    assert (await payload_of(client))["errors"] == [TOO_LONG]
    assert (await payload_of(client))["data"] == {"x": {"text": "1"}}
    assert "An event of OnFirst has waited for `initial` for" in caplog.text
    await client.finalize()


async def test_without_a_limit_only_the_log_is_told(caplog: pytest.LogCaptureFixture) -> None:
    client = await subscribed("alone", event_timeout=None)
    await OnAlone.broadcast(payload="publish")
    await wait_until(lambda: "has waited for `publish`" in caplog.text)
    warnings = len(caplog.records)
    assert await client.settle() == []
    await client.finalize()
    assert len(caplog.records) == warnings == 1


async def test_without_a_warning_the_limit_holds(caplog: pytest.LogCaptureFixture) -> None:
    client = await subscribed("alone", warn_operation_timeout=None)
    await OnAlone.broadcast(payload="publish")
    assert (await payload_of(client))["errors"] == [TOO_LONG]
    assert "has waited for" not in caplog.text
    await client.finalize()


async def test_a_client_that_leaves_while_its_event_hangs_is_gone() -> None:
    client = await subscribed("alone", event_timeout=20)
    await OnAlone.broadcast(payload="publish")
    await client.settle()
    await client.finalize()


async def test_nothing_is_looked_after_where_nothing_waits() -> None:
    class One:
        told: list[float]

        def __init__(self) -> None:
            self.told = []

        def has_waited(self, seconds: float) -> None:
            self.told.append(seconds)

    waiting, one, two = Overdue(asyncio.get_running_loop()), One(), One()
    waiting.end(one)
    waiting.begin(one)
    waiting.begin(two)
    await wait_until(lambda: len(one.told) >= 2 and two.told)
    assert one.told[0] < one.told[1]
    waiting.end(one)
    waiting.end(two)
    assert waiting._timer is None

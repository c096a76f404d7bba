"""Errors that many clients meet at a time: the log is told once, and how often."""

from __future__ import annotations

import asyncio
import logging
import time
from types import SimpleNamespace
from typing import Any

import graphene
import pytest
from graphql import GraphQLError

from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.pubsub import hub
from channels_graphql_ws.subscription import error_log
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from support import wait_until


class OnBroken(Subscription):
    """Raises what the payload says."""

    text = graphene.String()

    def publish(self, info):
        if self == "block":
            until = time.monotonic() + 0.02
            while time.monotonic() < until:
                pass
            return {"text": self}
        raise {"key": KeyError, "value": ValueError}[self](self)


class OnFiltered(Subscription):
    text = graphene.String()

    def context_id(self, info):
        return "all"

    def filter_event(self, info):
        raise RuntimeError("the filter is broken")

    def publish(self, info):
        return {"text": self}


class OnFirst(Subscription):
    text = graphene.String()

    def initial(self, info):
        raise RuntimeError("no snapshot")

    def publish(self, info):
        return {"text": self}


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    broken = OnBroken.Field()
    filtered = OnFiltered.Field()
    first = OnFirst.Field()


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Root)
    confirm_subscriptions = True


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(error_log, "COUNTED_AFTER", 0.05)


async def subscribed(field: str, number: int) -> list[GraphqlWsClient]:
    clients = []
    for _ in range(number):
        client = GraphqlWsClient(GraphqlWsTransport(Consumer.as_asgi(), "/"))
        await client.connect_and_init()
        await client.subscribe(f"subscription {{ x: {field} {{ text }} }}")
        clients.append(client)
    return clients


async def all_get(clients: list[GraphqlWsClient], number: int) -> list[Any]:
    return [(await one.transport.receive())["payload"] for one in clients for _ in range(number)]


async def leave(clients: list[GraphqlWsClient]) -> None:
    for client in clients:
        await client.finalize()


async def test_an_error_of_an_event_is_logged_once_and_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clients = await subscribed("broken", 5)
    for payload in ("key", "key", "value"):
        await OnBroken.broadcast(payload=payload)
    payloads = await all_get(clients, 3)
    # Every client is told of each all the same.
    assert all(payload["errors"] for payload in payloads)
    tracebacks = [record for record in caplog.records if record.exc_info]
    assert len(tracebacks) == 3
    await wait_until(lambda: caplog.text.count("came 4 more times, for other clients") == 3)
    assert "The same error in OnBroken (KeyError)" in caplog.text
    assert "The same error in OnBroken (ValueError)" in caplog.text
    await leave(clients)


async def test_a_filter_that_breaks_for_clients_that_share_is_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clients = await subscribed("filtered", 4)
    await OnFiltered.broadcast(payload="1")
    assert all(payload["errors"] for payload in await all_get(clients, 1))
    assert len([record for record in caplog.records if record.exc_info]) == 1
    await wait_until(lambda: "came 3 more times" in caplog.text)
    await leave(clients)


async def test_snapshots_that_break_at_a_time_are_logged_once_and_later_ones_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(error_log, "COUNTED_AFTER", 20.0)
    clients = await subscribed("first", 3)
    await all_get(clients, 1)
    assert len([record for record in caplog.records if record.exc_info]) == 1
    monkeypatch.setattr(error_log, "COUNTED_AFTER", 0.0)
    more = await subscribed("first", 1)
    await all_get(more, 1)
    assert len([record for record in caplog.records if record.exc_info]) == 2
    assert "came 2 more times" in caplog.text
    await leave([*clients, *more])


async def test_kinds_of_errors_are_remembered_within_limits(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(error_log, "MOST_KINDS", 1)
    clients = await subscribed("broken", 1)
    for payload in ("key", "value", "key"):
        await OnBroken.broadcast(payload=payload)
    await all_get(clients, 3)
    assert len([record for record in caplog.records if record.exc_info]) == 3
    await leave(clients)


async def test_an_event_that_blocks_the_event_loop_is_named_now_and_then(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "BLOCKS_AFTER", 0.01)
    clients = await subscribed("broken", 1)
    for _ in range(2):
        await OnBroken.broadcast(payload="block")
        await all_get(clients, 1)
    blocked = [each for each in caplog.messages if "has blocked the event loop" in each]
    assert len(blocked) == 1
    assert "An event of <SingleSubscriber of OnBroken>" in blocked[0]
    await leave(clients)


def test_an_event_that_our_own_mistake_has_broken_is_logged_once_too(
    caplog: pytest.LogCaptureFixture,
) -> None:
    execution: Any = SimpleNamespace(source=OnBroken, name="OnBroken")

    async def lose_all() -> None:
        for client in range(3):
            error_log.error_log().lost(RuntimeError("a mistake"), execution, client, 7)
        error_log.error_log().errors(None, execution, 1, 7)
        error_log.error_log().errors([GraphQLError("refused")], execution, 1, 7)

    asyncio.run(lose_all())
    assert caplog.text.count("Lost a notification of OnBroken") == 1

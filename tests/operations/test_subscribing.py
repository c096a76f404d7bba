"""How subscriptions come to be: groups, joining, confirmation, queue limit."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import graphene
import pytest
from graphql import GraphQLError, OperationType

from channels_graphql_ws import Subscription
from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.execution.request import Refusal
from channels_graphql_ws.subscription.groups import layer_group
from engine_fakes import FakeClient, Rig, schema_of
from support import tick

pytestmark = pytest.mark.usefixtures("executor")


class OnEvent(Subscription):
    """A subscription whose `subscribe` does what the test wants."""

    ok = graphene.Boolean()
    subscribing: Any = None
    at_the_end: Any = None
    ended: int = 0

    @classmethod
    def subscribe(cls, root, info):
        return cls.subscribing and cls.subscribing()

    @staticmethod
    def publish(payload, info):
        return {"ok": True}

    @classmethod
    def unsubscribed(cls, root, info):
        cls.ended += 1
        return cls.at_the_end and cls.at_the_end()


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(OnEvent, "subscribing", None)
    monkeypatch.setattr(OnEvent, "at_the_end", None)
    monkeypatch.setattr(OnEvent, "ended", 0)


def rig(**settings: Any) -> Rig:
    return Rig(schema_of(OnEvent), **settings)


async def test_a_subscription_is_live_without_waiting_and_says_nothing():
    server = rig()
    client, rest = server.begin("subscription { event { ok } }")
    assert rest is None
    assert client.type is OperationType.SUBSCRIPTION
    assert client.heard == []
    server.hub.broadcast()
    assert client.data == [{"ok": True}]


def groups_of(client: FakeClient) -> list[str]:
    return list(client.cohort.groups)


def named(*names: str | None, prefix: str = "GQLWS") -> list[str]:
    return [layer_group(OnEvent, prefix, name) for name in names]


@pytest.mark.parametrize("names", [None, [], ()])
async def test_everybody_is_in_the_group_of_the_class(names):
    OnEvent.subscribing = lambda: names
    assert groups_of(await rig().subscribe()) == named(None)


async def test_each_group_is_listened_to_once():
    OnEvent.subscribing = lambda: ["a", "b", "a", None, ""]
    assert groups_of(await rig().subscribe()) == named(None, "a", "b", "")


async def test_groups_have_the_prefix_of_the_consumer():
    client = await rig(group_name_prefix="MINE").subscribe()
    assert groups_of(client) == named(None, prefix="MINE")


async def later(value: Any) -> Any:
    await tick()
    return value


async def test_groups_may_come_later():
    OnEvent.subscribing = lambda: later(["a"])
    assert groups_of(await rig().subscribe()) == named(None, "a")


@pytest.mark.parametrize("names", ["", "group", {}, {"a": 1}, 3, [1], ["a", object()], object()])
async def test_anything_else_for_groups_is_an_assertion_error(names, caplog):
    OnEvent.subscribing = lambda: names
    client = await rig().run("subscription { event { ok } }")
    [error] = client.errors
    assert error["extensions"] == {"code": "AssertionError"}
    assert error["message"].startswith("AssertionError: ")
    assert "'subscribe' returned a value of an incorrect type" in error["message"]
    assert client.refusal is Refusal.SUBSCRIBE
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def yields_groups():
    yield "a"


@pytest.mark.parametrize("names", [lambda: (each for each in "ab"), yields_groups])
async def test_a_generator_of_groups_is_refused_with_what_to_write(names):
    OnEvent.subscribing = names
    client = await rig().run("subscription { event { ok } }")
    assert "generator': `return [*groups]`" in client.errors[0]["message"]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_subscribe_may_refuse_by_raising(asynchronous, caplog):
    def refuse():
        raise PermissionError("not you")

    async def refuse_later():
        await tick()
        refuse()

    OnEvent.subscribing = refuse_later if asynchronous else refuse
    server = rig(confirm_subscriptions=True)
    client = await server.run("subscription { event { ok } }")
    assert client.errors[0]["extensions"] == {"code": "PermissionError"}
    assert client.cohort is None
    assert not server.hub.all_listeners()
    assert OnEvent.ended == 0
    assert len(caplog.records) == 1


async def test_a_graphql_error_speaks_for_itself_and_is_not_logged(caplog):
    def refuse():
        raise GraphQLError("no", extensions={"code": "E"})

    OnEvent.subscribing = refuse
    client = await rig().run("subscription { event { ok } }")
    assert client.errors == [{"message": "no", "extensions": {"code": "E"}}]
    assert caplog.records == []


async def test_a_missing_channel_layer_is_told():
    def no_hub():
        raise ChannelLayerError("Channel layer is not configured!")

    server = rig()
    server.session.hub = no_hub  # type: ignore[method-assign]
    client = await server.run("subscription { event { ok } }")
    assert "Channel layer is not configured!" in client.errors[0]["message"]
    assert client.refusal is Refusal.SUBSCRIBE


async def test_something_cancelled_while_subscribing_is_an_error_that_is_told(caplog):
    async def stray():
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    OnEvent.subscribing = stray
    client = await rig().run("subscription { event { ok } }")
    assert client.errors == [{"message": "Internal server error"}]


async def test_notifications_wait_until_all_groups_are_joined():
    server = rig(confirm_subscriptions=True)
    server.hub.joining = asyncio.get_running_loop().create_future()
    client, rest = server.begin("subscription { event { ok } }")
    task = asyncio.create_task(rest)
    server.hub.broadcast()
    await tick(3)
    assert client.heard == []
    server.hub.joining.set_result(None)
    await task
    await tick()
    assert client.heard == [
        ("confirmed", {"data": None}),
        ("next", {"data": {"event": {"ok": True}}}),
    ]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_group_that_can_not_be_joined_ends_the_subscription(asynchronous):
    OnEvent.at_the_end = tick if asynchronous else None
    server = rig(confirm_subscriptions=True)
    server.hub.joining = asyncio.get_running_loop().create_future()
    server.hub.joining.set_exception(ChannelLayerError("no"))
    client = await server.run("subscription { event { ok } }")
    assert client.errors[0]["message"] == "ChannelLayerError: no"
    assert client.refusal is Refusal.SUBSCRIBE
    assert not server.hub.all_listeners()
    await server.end(client)
    assert OnEvent.ended == 1


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"data": None, "errors": None}, {"data": None}),
        ({}, {"data": None}),
        ({"data": "hello"}, {"data": "hello"}),
        (
            {"data": {"a": [1]}, "errors": [RuntimeError("x")]},
            {
                "data": {"a": [1]},
                "errors": [{"message": "RuntimeError: x", "extensions": {"code": "RuntimeError"}}],
            },
        ),
    ],
)
async def test_a_subscription_is_confirmed_in_the_words_of_the_user(message, expected):
    server = rig(confirm_subscriptions=True, subscription_confirmation_message=message)
    client = await server.subscribe()
    assert client.heard == [("confirmed", expected)]


async def test_a_confirmation_that_fails_leaves_no_subscription_behind(caplog):
    server = rig(confirm_subscriptions=True, subscription_confirmation_message={"errors": 3})
    client = await server.run("subscription { event { ok } }")
    assert client.refusal is Refusal.SUBSCRIBE
    assert not server.hub.all_listeners()
    assert OnEvent.ended == 1


@pytest.mark.parametrize(("own", "expected"), [(None, 7), (0, 7), (-1, 7), (3, 3)])
async def test_a_class_may_have_a_queue_limit_of_its_own(monkeypatch, own, expected):
    monkeypatch.setattr(OnEvent, "notification_queue_limit", own)
    server = rig(subscription_notification_queue_limit=7)
    server.hub.joining = asyncio.get_running_loop().create_future()
    client, rest = server.begin("subscription { event { ok } }")
    task = asyncio.create_task(rest)
    for _ in range(10):
        server.hub.broadcast()
    server.hub.joining.set_result(None)
    await task
    await tick()
    assert len(client.results) == expected
    assert client.cohort.dropped == 10 - expected


async def test_a_limit_of_the_consumer_that_is_below_one_is_one():
    server = rig(subscription_notification_queue_limit=0)
    server.hub.joining = asyncio.get_running_loop().create_future()
    client, rest = server.begin("subscription { event { ok } }")
    task = asyncio.create_task(rest)
    server.hub.broadcast()
    server.hub.broadcast()
    server.hub.joining.set_result(None)
    await task
    await client.hears(1)
    assert client.cohort.dropped == 1

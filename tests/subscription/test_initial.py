"""First a value, then events; and subscriptions that come to an end by themselves."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import graphene
import pytest
from graphql import GraphQLError

import channels_graphql_ws
from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import COMPLETE, SKIP, GraphqlWsConsumer, Subscription
from engine_fakes import FakeClient, Rig, schema_of
from support import tick, wait_until

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
EVENT = "subscription { event { value } }"


class Event(Subscription):
    """Begins with what a test wants it to begin with."""

    value = graphene.String()

    class Arguments:
        name = graphene.String()

    first: Any = None
    ended: list[Any]

    @classmethod
    def initial(cls, root, info, name=None):
        assert root is None
        return cls.first() if callable(cls.first) else cls.first

    @staticmethod
    def publish(payload, info, name=None):
        return COMPLETE if payload == "end" else {"value": payload}

    @classmethod
    def unsubscribed(cls, root, info, name=None):
        cls.ended.append(name)


@pytest.fixture(autouse=True)
def fresh(monkeypatch, caplog):
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(Event, "first", None)
    monkeypatch.setattr(Event, "ended", [], raising=False)


@pytest.fixture
def rig() -> Rig:
    return Rig(schema_of(Event))


def values(client: FakeClient) -> list[str]:
    return [data["value"] for data in client.data]


async def live(*subprotocols: str, **attributes: Any) -> AsgiSocket:
    schema = schema_of(Event)
    consumer = type("Initial", (GraphqlWsConsumer,), {"schema": schema, **attributes})
    socket = AsgiSocket(consumer.as_asgi(), *subprotocols)
    await socket.acknowledged()
    return socket


@BOTH
@pytest.mark.parametrize("confirms", [True, False])
async def test_the_first_event_comes_behind_the_confirmation(subprotocol, confirms, monkeypatch):
    monkeypatch.setattr(Event, "first", {"value": "first"})
    socket = await live(subprotocol, confirm_subscriptions=confirms)
    socket.start("s", EVENT)
    expected = [{"data": None}] * confirms + [{"data": {"event": {"value": "first"}}}]
    await wait_until(lambda: len(socket.results("s")) == len(expected))
    await Event.broadcast(payload="then")
    expected.append({"data": {"event": {"value": "then"}}})
    await wait_until(lambda: len(socket.results("s")) == len(expected))
    assert socket.results("s") == expected
    await socket.drop()
    assert Event.ended == [None]


async def test_it_is_asked_for_when_the_groups_are_joined(rig, monkeypatch):
    asked: list[bool] = []
    joined = asyncio.Event()
    rig.hub.joining = joined.wait()
    monkeypatch.setattr(Event, "first", lambda: asked.append(joined.is_set()))
    client, rest = rig.begin(EVENT)
    subscribing = asyncio.ensure_future(rest)
    await tick(3)
    assert asked == []
    joined.set()
    await subscribing
    await wait_until(lambda: asked)
    assert asked == [True]
    await rig.end(client)


async def test_what_is_broadcast_meanwhile_comes_behind_it(rig, monkeypatch):
    gate = asyncio.Event()

    async def first():
        await gate.wait()
        return {"value": "first"}

    monkeypatch.setattr(Event, "first", first)
    client = await rig.subscribe(EVENT)
    rig.hub.broadcast("second")
    await tick(3)
    rig.hub.broadcast("third")
    assert client.results == []
    gate.set()
    await client.hears(3)
    assert values(client) == ["first", "second", "third"]
    await rig.end(client)


@pytest.mark.parametrize("nothing", [None, SKIP])
async def test_there_may_be_nothing_to_begin_with(rig, nothing, monkeypatch):
    monkeypatch.setattr(Event, "first", nothing)
    client = await rig.subscribe(EVENT)
    rig.hub.broadcast("second")
    await client.hears(1)
    assert values(client) == ["second"]
    await rig.end(client)


async def test_none_is_sent_where_none_does_not_skip():
    class Nulls(Subscription):
        value = graphene.String()

        class Meta:
            none_skips = False

        def initial(self, info):
            assert self is None

        def publish(self, info):
            return SKIP

    rig = Rig(schema_of(Nulls))
    client = await rig.subscribe(EVENT)
    await client.hears(1)
    assert client.results == [{"data": {"event": None}}]
    await rig.end(client)


@pytest.mark.parametrize("kind", ["boom", "graphql", "late"])
async def test_an_error_is_one_event_with_errors_and_the_stream_lives_on(
    rig, kind, monkeypatch, caplog
):
    def fails():
        raise GraphQLError("boom") if kind == "graphql" else ValueError("boom")

    async def fails_late():
        await tick()
        fails()

    monkeypatch.setattr(Event, "first", fails_late if kind == "late" else fails)
    client = await rig.subscribe(EVENT)
    [result] = await client.hears(1)
    assert result["data"] == {"event": None}
    assert result["errors"][0]["message"] == "boom"
    assert result["errors"][0]["path"] == ["event"]
    assert bool(caplog.records) is (kind != "graphql")
    rig.hub.broadcast("second")
    assert client.data[1] == {"value": "second"}
    await rig.end(client)


async def test_middleware_and_arguments_apply(monkeypatch):
    seen: list[Any] = []

    def middleware(next, root, info, **arguments):
        seen.append((info.field_name, root, arguments))
        return next(root, info, **arguments)

    monkeypatch.setattr(Event, "first", {"value": "first"})
    rig = Rig(schema_of(Event), middleware=[middleware])
    client = await rig.subscribe('subscription { event(name: "n") { value } }')
    await client.hears(1)
    assert seen[0] == ("event", None, {"name": "n"})
    await rig.end(client)


@pytest.mark.parametrize("in_threads", [False, True])
async def test_the_hook_may_be_of_any_kind_and_given_by_keyword(in_threads):
    class Static(Subscription):
        value = graphene.String()

        @staticmethod
        async def initial(root, info):
            await tick()
            return {"value": f"static {root}"}

        @staticmethod
        def publish(payload, info):
            return None

    class ByKeyword(
        Subscription,
        initial=lambda root, info: {"value": f"keyword {root}"},
        publish=lambda payload, info: None,
    ):
        value = graphene.String()

    for each, expected in ((Static, "static None"), (ByKeyword, "keyword None")):
        rig = Rig(schema_of(each), resolve_sync_in_threads=in_threads)
        client = await rig.subscribe(EVENT)
        await client.hears(1)
        assert values(client) == [expected]
        await rig.end(client)


async def test_a_field_of_that_name_is_no_hook():
    class Named(Subscription):
        initial = graphene.String()

        @staticmethod
        def publish(payload, info):
            return {"initial": payload}

    rig = Rig(schema_of(Named))
    client = await rig.subscribe("subscription { event { initial } }")
    rig.hub.broadcast("A")
    assert client.data == [{"initial": "A"}]
    await rig.end(client)


async def test_ended_before_it_is_its_turn_the_hook_is_not_asked(rig, monkeypatch):
    asked: list[None] = []
    monkeypatch.setattr(Event, "first", lambda: asked.append(None))
    client = await rig.subscribe(EVENT)
    await rig.end(client)
    client.cohort.open()
    await tick(3)
    assert asked == []


async def test_in_strict_order_it_waits_for_the_turn_of_the_subscription(monkeypatch):
    monkeypatch.setattr(Event, "first", {"value": "first"})
    socket = await live(strict_ordering=True)
    socket.start("s", EVENT)
    socket.start("q", "{ ok }")
    await wait_until(lambda: "complete:q" in socket.words and socket.results("s"))
    await socket.drop()


def test_complete_is_public_and_says_what_it_is():
    assert channels_graphql_ws.COMPLETE is Subscription.COMPLETE is COMPLETE
    assert repr(COMPLETE) == "COMPLETE"


@BOTH
async def test_publish_may_end_the_subscription(subprotocol):
    socket = await live(subprotocol, confirm_subscriptions=True)
    for id in ("a", "b"):
        socket.start(id, EVENT)
        await socket.heard("data:" + id if subprotocol == LEGACY else "next:" + id)
    for payload in ("1", "end", "2"):
        await Event.broadcast(payload=payload)
    await wait_until(lambda: {"complete:a", "complete:b"} <= set(socket.words))
    for id in ("a", "b"):
        assert socket.results(id) == [{"data": None}, {"data": {"event": {"value": "1"}}}, None]
    assert Event.ended == [None, None]
    socket.start("a", "{ ok }")
    await socket.heard("data:a" if subprotocol == LEGACY else "next:a", "complete:a")
    await socket.drop()
    assert Event.ended == [None, None]


async def test_initial_may_end_it_too(rig, monkeypatch):
    monkeypatch.setattr(Event, "first", COMPLETE)
    client = await rig.subscribe(EVENT)
    await wait_until(lambda: client.heard)
    assert client.heard == [("completed", None)]
    assert Event.ended == [None]
    assert rig.hub.all_listeners() == set()
    await rig.end(client)
    assert Event.ended == [None]


async def test_what_waits_behind_the_end_is_forgotten():
    class Later(Subscription):
        value = graphene.String()

        @staticmethod
        async def publish(payload, info):
            await tick()
            return COMPLETE if payload == "end" else {"value": payload}

    rig = Rig(schema_of(Later))
    client = await rig.subscribe(EVENT)
    for payload in ("1", "end", "2"):
        rig.hub.broadcast(payload)
    await wait_until(lambda: client.heard and client.heard[-1] == ("completed", None))
    assert values(client) == ["1"]
    assert rig.hub.all_listeners() == set()


async def test_complete_is_sent_behind_what_unsubscribed_has_to_do():
    order: list[str] = []

    class Careful(Subscription):
        value = graphene.String()

        @staticmethod
        def publish(payload, info):
            return COMPLETE

        @staticmethod
        async def unsubscribed(root, info):
            await tick(3)
            order.append(f"completed: {bool(client.heard)}")

    rig = Rig(schema_of(Careful, required=True))
    client = await rig.subscribe(EVENT)
    rig.hub.broadcast()
    await wait_until(lambda: client.heard)
    assert order == ["completed: False"]
    assert client.heard == [("completed", None)]

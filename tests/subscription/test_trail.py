"""The log answers why an event arrives, or does not."""

from __future__ import annotations

import logging
import re

import graphene
import pytest
from channels.layers import InMemoryChannelLayer

from channels_graphql_ws import SKIP, GraphqlWsConsumer, Subscription
from channels_graphql_ws.pubsub.hub import hub_of
from channels_graphql_ws.subscription import trail
from channels_graphql_ws.subscription.groups import layer_group
from channels_graphql_ws.testing import GraphqlWebsocketCommunicator
from support import FakeListener

LOGGER = "channels_graphql_ws"


def made(**hooks) -> tuple[type[Subscription], type[GraphqlWsConsumer]]:
    """Make a class, which nothing was said of yet, and a consumer that serves it."""

    class OnMessage(Subscription, **hooks):
        text = graphene.String()

        class Arguments:
            room = graphene.String()

        @staticmethod
        def subscribe(root, info, room=None):
            return None if room is None else [room]

        @staticmethod
        def publish(payload, info, room=None):
            return SKIP if payload == "not for you" else {"text": payload}

    class Subscriptions(graphene.ObjectType):
        on_message = OnMessage.Field()

    class Query(graphene.ObjectType):
        ok = graphene.Boolean()

    class Consumer(GraphqlWsConsumer):
        schema = graphene.Schema(query=Query, subscription=Subscriptions)

    return OnMessage, Consumer


def subscribed(consumer: type[GraphqlWsConsumer], *rooms: str | None):
    """Connect, and subscribe to rooms."""
    return Client(consumer, rooms)


class Client:
    def __init__(self, consumer, rooms) -> None:
        self._client = GraphqlWebsocketCommunicator(consumer.as_asgi(), "/")
        self._rooms = rooms

    async def __aenter__(self):
        await self._client.__aenter__()
        self.events = []
        for room in self._rooms:
            subscription = self._client.subscribe(
                "subscription ($room: String) { onMessage(room: $room) { text } }", {"room": room}
            )
            self.events.append(await subscription.__aenter__())
        return self

    async def __aexit__(self, *error):
        for each in self.events:
            await each.__aexit__(*error)
        await self._client.__aexit__(*error)

    async def text(self) -> str:
        return (await anext(self.events[0])).data["onMessage"]["text"]


def warnings(caplog) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def without_ids(caplog) -> list[str]:
    """Return all lines; ids of operations are random."""
    return [re.sub(r"\(id [0-9a-f]{32}\)", "(id …)", each) for each in caplog.messages]


@pytest.mark.parametrize(
    ("joined", "broadcast"),
    [("tea", "Tea"), ("room-tea", "tea"), ("tea", "room_tea"), ("tea room", "tea-room")],
)
async def test_a_group_that_is_spelt_in_another_way_is_told(caplog, joined, broadcast):
    cls, consumer = made()
    async with subscribed(consumer, joined):
        await cls.broadcast(group=broadcast, payload="Milk?")
        await cls.broadcast(group=broadcast, payload="Milk?")
    (said,) = warnings(caplog)
    assert f".broadcast(group={broadcast!r}) reached nobody in this process" in said
    assert f"did you mean {joined!r}?" in said


async def test_groups_that_subscribe_has_not_returned_are_told(caplog):
    cls, consumer = made()
    async with subscribed(consumer, None):
        await cls.broadcast(group="tea", payload="Milk?")
    (said,) = warnings(caplog)
    assert "here: 1, in no group, as `subscribe` has returned none" in said


async def test_a_room_that_is_empty_is_no_mistake(caplog):
    cls, consumer = made()
    async with subscribed(consumer, "tea"):
        await cls.broadcast(group="coffee", payload="Milk?")
    assert warnings(caplog) == []


async def test_a_developer_is_told_of_any_group_that_nobody_has_joined(caplog, settings):
    settings.DEBUG = True
    cls, consumer = made()
    async with subscribed(consumer, "tea", "cake"):
        await cls.broadcast(group="coffee", payload="Milk?")
    (said,) = warnings(caplog)
    assert "here: 2, in the groups 'tea', 'cake'" in said


async def test_groups_are_looked_at_now_and_then_only(caplog, monkeypatch):
    cls, consumer = made()
    monkeypatch.setattr(trail, "monotonic", lambda: 1_000.0)
    async with subscribed(consumer, "tea"):
        await cls.broadcast(group="coffee", payload="Milk?")
        await cls.broadcast(group="Tea", payload="Milk?")
        assert warnings(caplog) == []
        monkeypatch.setattr(trail, "monotonic", lambda: 1_000.0 + trail.LOOKED_EVERY)
        await cls.broadcast(group="Tea", payload="Milk?")
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize(("joined", "broadcast"), [("x-" * 60, "X-" * 60), ("x-" * 60, "tea")])
async def test_long_names_which_clients_may_have_chosen_are_not_compared(
    caplog, monkeypatch, joined, broadcast
):
    def compared(name: str) -> list[str]:
        assert len(name) <= trail.LONGEST_COMPARED
        return [name]

    monkeypatch.setattr(trail, "_parts", compared)
    cls, consumer = made()
    async with subscribed(consumer, joined):
        await cls.broadcast(group=broadcast, payload="Milk?")
    assert warnings(caplog) == []


async def test_long_names_are_cut_in_the_log(caplog, settings):
    settings.DEBUG = True
    cls, consumer = made()
    async with subscribed(consumer, "j" * 101):
        await cls.broadcast(group="b" * 101, payload="Milk?")
    (said,) = warnings(caplog)
    assert "b" * 100 in said
    assert "j" * 100 in said
    assert "b" * 101 not in said
    assert "j" * 101 not in said


async def test_nothing_is_said_where_the_class_has_no_subscribers(caplog):
    cls, consumer = made()
    other, its_consumer = made(name="OnOther")
    async with subscribed(consumer), subscribed(its_consumer, "tea"):
        await cls.broadcast(group="Tea", payload="Milk?")
    assert other is not cls
    assert warnings(caplog) == []


async def test_only_subscribers_on_the_layer_of_the_broadcast_are_counted(caplog):
    caplog.set_level(logging.DEBUG, LOGGER)
    cls, consumer = made()
    groups, elsewhere = [layer_group(cls, "GQLWS", "tea")], hub_of(InMemoryChannelLayer())
    listener = FakeListener()
    elsewhere.acquire()
    elsewhere.listen(listener, groups)
    async with subscribed(consumer, "tea") as client:
        await cls.broadcast(group="tea", payload="Milk?")
        assert await client.text() == "Milk?"
    elsewhere.leave(listener, groups)
    await elsewhere.release()
    said = f"Broadcast of {cls.__qualname__} to the group 'tea', subscribers in this process: 1"
    assert said in caplog.messages
    assert listener.heard == []


async def test_the_way_of_an_event_is_in_the_log(caplog):
    caplog.set_level(logging.DEBUG, LOGGER)
    cls, consumer = made()
    async with subscribed(consumer, "tea") as client:
        await cls.broadcast(group="tea", payload="not for you")
        await cls.broadcast(payload="Milk?")
        assert await client.text() == "Milk?"
        await cls.broadcast(group="coffee", payload="Lemon?")
    name = cls.__qualname__
    said = without_ids(caplog)
    wanted = [
        "A client has connected to /: graphql-transport-ws",
        "A client was accepted",
        f"Subscribed to {name} (id …), joined the group 'tea'",
        f"Broadcast of {name} to the group 'tea', subscribers in this process: 1",
        f"An event of {name} has come for the group 'tea', subscribers here: 1",
        f"An event of {name} was skipped by `publish` (id …): SKIP or None",
        f"Broadcast of {name} to all subscribers of the class, subscribers in this process: 1",
        f"An event of {name} has come for all subscribers, subscribers here: 1",
        f"Broadcast of {name} to the group 'coffee', subscribers in this process: 0",
        f"Nobody here has joined 'coffee' of {name}; subscribers here: 1, in the group 'tea'",
        f"The subscription to {name} has ended (id …)",
    ]
    assert [each for each in said if each in wanted] == wanted
    assert said[-1] == "A client has disconnected: 1000"


async def test_a_subscriber_without_groups_is_in_the_log(caplog):
    caplog.set_level(logging.DEBUG, LOGGER)
    cls, consumer = made()
    async with subscribed(consumer, None):
        pass
    assert (
        f"Subscribed to {cls.__qualname__} (id …), joined no group: it gets broadcasts without "
        "a group"
    ) in without_ids(caplog)


async def test_what_a_filter_keeps_back_is_in_the_log(caplog):
    caplog.set_level(logging.DEBUG, LOGGER)
    cls, consumer = made(filter_event=lambda payload, info, room=None: payload != "secret")
    async with subscribed(consumer, "tea") as client:
        await cls.broadcast(group="tea", payload="secret")
        await cls.broadcast(group="tea", payload="Milk?")
        assert await client.text() == "Milk?"
    said = f"An event of {cls.__qualname__} was kept back by `filter_event` (id …)"
    assert without_ids(caplog).count(said) == 1


async def test_what_is_kept_from_clients_that_are_alike_is_in_the_log(caplog):
    caplog.set_level(logging.DEBUG, LOGGER)
    cls, consumer = made(
        context_id=lambda root, info, room=None: "all",
        filter_event=lambda payload, info, room=None: payload != "secret",
    )
    async with subscribed(consumer, "tea") as client:
        await cls.broadcast(group="tea", payload="secret")
        await cls.broadcast(group="tea", payload="not for you")
        await cls.broadcast(group="tea", payload="Milk?")
        assert await client.text() == "Milk?"
    name = cls.__qualname__
    assert f"An event of {name} was kept back by `filter_event` (id …)" in without_ids(caplog)
    assert any("skipped by `publish` (id 'shared by 1')" in each for each in caplog.messages)
    assert f"The subscription to {name} has ended (id …)" in without_ids(caplog)

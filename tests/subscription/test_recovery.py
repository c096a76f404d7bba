"""Clients that come back with a cursor: each event once and in order, or they are told."""

from __future__ import annotations

import asyncio
import itertools
import math
import os
import threading
import time
import uuid
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY

import graphene
import msgpack
import pytest
from django.core.exceptions import SynchronousOnlyOperation
from hypothesis import given
from hypothesis import strategies as st

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import (
    COMPLETE,
    BasePermission,
    GraphqlWsConsumer,
    Subscription,
    statistics,
)
from channels_graphql_ws.operations import session
from channels_graphql_ws.pubsub import arrivals, channel_reader, numbering
from channels_graphql_ws.pubsub.history.interfaces import UNKNOWN, Position
from channels_graphql_ws.pubsub.history.memory import MemoryHistory
from channels_graphql_ws.pubsub.history.of_layer import history_of
from channels_graphql_ws.pubsub.layers import channel_layer
from channels_graphql_ws.pubsub.notification import Notification
from channels_graphql_ws.subscription import cursor as cursor_module
from channels_graphql_ws.subscription.cursor import LONGEST, CursorCodec
from channels_graphql_ws.subscription.declaration import gap_policy, history_of_class
from channels_graphql_ws.subscription.groups import layer_group as group_of
from channels_graphql_ws.subscription.queue import drops
from channels_graphql_ws.subscription.replays import Replays
from channels_graphql_ws.testing import FaultyChannelLayer, GraphqlWsClient, GraphqlWsTransport
from channels_graphql_ws.websocket import outbox
from support import tick, wait_until

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])


class Kept(Subscription):
    """Events of rooms, the last ten of which are kept."""

    class Arguments:
        room = graphene.String(required=True)

    class Meta:
        abstract = True

    text = graphene.String()
    history_size = 10

    def subscribe(self, info, room):
        if room == "secret":
            raise PermissionError("not for you")
        return [room]

    def publish(self, info, room):
        return COMPLETE if self == "end" else {"text": self}


class OnText(Kept):
    pass


class OnShared(Kept):
    def context_id(self, info, room):
        return "all"


class OnFirst(Kept):
    def initial(self, info, room):
        return {"text": "snapshot"}


class OnFiltered(Kept):
    def filter_event(self, info, room):
        return self != "hidden"


class OnSharedFirst(OnFirst):
    def context_id(self, info, room):
        return "all"

    def filter_event(self, info, room):
        return self != "hidden"


taken: set[str] = set()
"""Events to which the right has been taken away."""


class MayRead(BasePermission):
    def has_permission(self, source, info):
        return source not in taken


class OnGuarded(Kept):
    """Takes the right to an event away while `publish` waits."""

    permission_classes = (MayRead,)

    async def publish(self, info, room):
        await tick()
        if self == "revoked":
            taken.add(self)
        return {"text": self}


class OnGuardedShared(OnGuarded):
    def context_id(self, info, room):
        return "all"


class OnPlain(Subscription):
    """No history."""

    text = graphene.String()

    def publish(self, info):
        return {"text": self}


class OnPlainShared(OnPlain):
    def context_id(self, info):
        return "all"


class OnMended(Subscription):
    """Sends the present state in the place of what was lost."""

    text = graphene.String()

    def publish(self, info):
        return {"text": self}

    async def on_gap(self, info):
        return COMPLETE if self.missed == 3 else {"text": f"{self.missed} {self.reason}"}


class OnMendedShared(OnMended):
    def context_id(self, info):
        return "all"

    def on_gap(self, info):
        return COMPLETE if self.missed == 3 else {"text": f"{self.missed} {self.reason}"}


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    text = OnText.Field()
    shared = OnShared.Field()
    first = OnFirst.Field()
    filtered = OnFiltered.Field()
    shared_first = OnSharedFirst.Field()
    plain = OnPlain.Field()
    plain_shared = OnPlainShared.Field()
    plain_mended = OnMended.Field()
    plain_mended_shared = OnMendedShared.Field()
    guarded = OnGuarded.Field()
    guarded_shared = OnGuardedShared.Field()


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Root)
    confirm_subscriptions = True


class Client:
    """A client that keeps what it gets, the confirmation first, and knows its last cursor."""

    def __init__(self, subprotocol: str = NEW, **options: Any) -> None:
        application = type("Mine", (Consumer,), options).as_asgi()
        self.transport = GraphqlWsTransport(application, "/", subprotocol=subprotocol)
        self.client = GraphqlWsClient(self.transport, subprotocol=subprotocol)
        self.start = "subscribe" if subprotocol == NEW else "start"
        self.payloads: list[Any] = []

    async def subscribe(self, field: str, room: str, cursor: Any = None) -> Client:
        await self.client.connect_and_init()
        arguments = "" if field.startswith("plain") else f'(room: "{room}")'
        payload: dict[str, Any] = {"query": f"subscription {{ x: {field}{arguments} {{ text }} }}"}
        if cursor is not None:
            payload["extensions"] = {"cursor": cursor}
        await self.transport.send({"type": self.start, "id": "1", "payload": payload})
        await self.gets(1)
        return self

    async def gets(self, number: int) -> list[Any]:
        """The texts of the next few events."""
        texts = []
        for _ in range(number):
            message = await self.transport.receive()
            assert message["type"] in {"next", "data"}, message
            self.payloads.append(message["payload"])
            data = message["payload"]["data"]
            texts.append(data and data["x"]["text"])
        return texts

    async def gets_nothing(self) -> None:
        assert await self.client.settle() == []

    @property
    def cursor(self) -> str:
        cursor: str = self.payloads[-1]["extensions"]["cursor"]
        return cursor

    @property
    def told(self) -> list[Any]:
        """What each message said of recovery."""
        return [payload.get("extensions", {}).get("recovered") for payload in self.payloads]

    async def leave(self) -> str:
        await self.client.finalize()
        return self.cursor


@pytest.fixture
def room() -> str:
    return uuid.uuid4().hex


async def say(cls: type[Subscription], room: str, *texts: str) -> None:
    for text in texts:
        await cls.broadcast(group=room, payload=text)


FIELDS = pytest.mark.parametrize(("field", "cls"), [("text", OnText), ("shared", OnShared)])
FIRSTS = pytest.mark.parametrize(
    ("field", "cls"), [("first", OnFirst), ("sharedFirst", OnSharedFirst)]
)


@BOTH
@FIELDS
async def test_a_client_that_comes_back_gets_what_it_has_missed_and_goes_on(
    subprotocol: str, field: str, cls: type[Subscription], room: str
) -> None:
    first = await Client(subprotocol).subscribe(field, room)
    await say(cls, room, "1", "2")
    assert await first.gets(2) == ["1", "2"]
    cursor = await first.leave()
    await say(cls, room, "3", "4")
    second = await Client(subprotocol).subscribe(field, room, cursor)
    await say(cls, room, "5")
    assert await second.gets(3) == ["3", "4", "5"]
    # Said with the confirmation, and with the first event.
    assert second.told == [True, True, None, None]
    cursor = await second.leave()
    third = await Client(subprotocol).subscribe(field, room, cursor)
    await say(cls, room, "6")
    assert await third.gets(1) == ["6"]
    assert third.told == [True, True]
    await third.leave()


@FIELDS
async def test_the_confirmation_is_a_cursor_to_come_back_with(
    field: str, cls: type[Subscription], room: str
) -> None:
    first = await Client().subscribe(field, room)
    cursor = await first.leave()
    await say(cls, room, "1")
    second = await Client().subscribe(field, room, cursor)
    assert await second.gets(1) == ["1"]
    await second.leave()


@FIELDS
@pytest.mark.parametrize(("age", "recovered"), [(200, True), (301, False)])
async def test_a_history_may_have_come_and_gone_since_there_was_none(
    monkeypatch: pytest.MonkeyPatch,
    field: str,
    cls: type[Subscription],
    room: str,
    age: int,
    recovered: bool,
) -> None:
    assert history_of_class(cls) == (10, 300)
    with monkeypatch.context() as patch:
        patch.setattr(cursor_module, "time", SimpleNamespace(time=lambda: time.time() - age))
        cursor = await (await Client().subscribe(field, room)).leave()
    back = await Client().subscribe(field, room, cursor)
    assert back.told == [recovered]
    await back.leave()


@FIELDS
async def test_before_the_first_event_a_history_may_have_been_lost_with_it(
    faulty_channel_layer: FaultyChannelLayer,
    room: str,
    field: str,
    cls: type[Subscription],
) -> None:
    cursor = await (await Client().subscribe(field, room)).leave()
    await say(cls, room, "lost")
    restart(faulty_channel_layer)
    back = await Client().subscribe(field, room, cursor)
    assert back.told == [False]
    cursor = await back.leave()
    # Of the run that it was told of, nothing is missing.
    await say(cls, room, "1")
    again = await Client().subscribe(field, room, cursor)
    assert await again.gets(1) == ["1"]
    assert again.told == [True, True]
    await again.leave()


@FIELDS
async def test_a_client_that_is_there_is_told_that_a_first_event_may_be_lost(
    faulty_channel_layer: FaultyChannelLayer,
    room: str,
    settings: Any,
    field: str,
    cls: type[Subscription],
) -> None:
    settings.CHANNELS_GRAPHQL_WS = {"HISTORY_CHECK_EVERY": 0.01}
    client = await Client().subscribe(field, room)
    with full(faulty_channel_layer):
        await say(cls, room, "lost")
        restart(faulty_channel_layer)
    # Once, though it is so for both of its groups.
    assert await client.gets(1) == [None]
    assert gaps(client)[-1] == {"missed": None, "reason": "layer"}
    await say(cls, room, "1")
    assert await client.gets(1) == ["1"]
    assert gaps(client)[-1] is None
    await client.leave()


def restart(layer: FaultyChannelLayer) -> None:
    """Let what keeps the history begin anew, and empty."""
    history: Any = history_of(layer)
    fresh = MemoryHistory()
    history._groups, history._run = fresh._groups, fresh._run


@contextmanager
def full(layer: FaultyChannelLayer) -> Iterator[None]:
    """Let a channel layer drop what is broadcast meanwhile."""
    layer.is_full = True
    yield
    layer.is_full = False


async def test_a_history_of_a_project_that_names_no_run_is_believed(
    faulty_channel_layer: FaultyChannelLayer, room: str
) -> None:
    history: Any = history_of(faulty_channel_layer)

    async def nothing(groups: Any) -> Any:
        return [None] * len(groups)

    async def no_page(group: str, offset: int) -> None:
        return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "heads", nothing)
        patch.setattr(history, "since", no_page)
        cursor = await (await Client().subscribe("text", room)).leave()
        back = await Client().subscribe("text", room, cursor)
        assert back.told == [True]
        await back.leave()
    # One that does name it was another one.
    back = await Client().subscribe("text", room, cursor)
    assert back.told == [False]
    await back.leave()


@FIELDS
async def test_one_that_is_there_gets_what_others_have_missed_only_once(
    field: str, cls: type[Subscription], room: str
) -> None:
    stays, leaves = [await Client().subscribe(field, room) for _ in range(2)]
    cursor = await leaves.leave()
    await say(cls, room, "1", "2")
    assert await stays.gets(2) == ["1", "2"]
    back = await Client().subscribe(field, room, cursor)
    await say(cls, room, "3")
    assert await back.gets(3) == ["1", "2", "3"]
    assert await stays.gets(1) == ["3"]
    await stays.gets_nothing()
    await back.gets_nothing()
    # Both are at the same place, whatever way they came.
    groups = [group_of(cls, "GQLWS", name) for name in (None, room)]
    places = [CursorCodec(groups).decode(client.cursor) or {} for client in (back, stays)]
    assert places[0][groups[1]] == places[1][groups[1]] == Position(ANY, 3)
    for client in (stays, back):
        await client.leave()


@FIELDS
async def test_what_is_kept_no_more_is_told_and_the_stream_goes_on(
    field: str, cls: type[Subscription], room: str
) -> None:
    first = await Client().subscribe(field, room)
    cursor = await first.leave()
    await say(cls, room, *map(str, range(12)))
    second = await Client().subscribe(field, room, cursor)
    assert await second.gets(1) == [None]
    assert second.payloads[-1]["data"] is None
    await say(cls, room, "new")
    assert await second.gets(1) == ["new"]
    assert second.told == [False, False, None]
    await second.leave()


@FIRSTS
async def test_a_snapshot_takes_the_place_of_what_cannot_be_replayed(
    field: str, cls: type[Subscription], room: str
) -> None:
    first = await Client().subscribe(field, room)
    assert await first.gets(1) == ["snapshot"]
    cursor = await first.leave()
    await say(cls, room, "1", "hidden", "2")
    second = await Client().subscribe(field, room, cursor)
    expected = ["1", "hidden", "2"] if field == "first" else ["1", "2"]
    assert await second.gets(len(expected)) == expected
    cursor = await second.leave()
    await say(cls, room, *map(str, range(12)))
    third = await Client().subscribe(field, room, cursor)
    assert await third.gets(1) == ["snapshot"]
    assert third.told == [False, False]
    await third.leave()


async def test_what_a_filter_hides_stays_hidden_when_it_is_replayed(room: str) -> None:
    first = await Client().subscribe("filtered", room)
    cursor = await first.leave()
    await say(OnFiltered, room, "1", "hidden", "2")
    second = await Client().subscribe("filtered", room, cursor)
    assert await second.gets(2) == ["1", "2"]
    await second.gets_nothing()
    await second.leave()


async def test_an_end_that_was_missed_is_an_end(room: str) -> None:
    first = await Client().subscribe("text", room)
    cursor = await first.leave()
    await say(OnText, room, "1", "end", "2")
    second = await Client().subscribe("text", room, cursor)
    assert await second.gets(1) == ["1"]
    assert (await second.transport.receive())["type"] == "complete"
    await second.client.finalize()


async def test_a_cursor_opens_no_group_that_subscribe_refuses() -> None:
    first = await Client().subscribe("text", "open")
    cursor = await first.leave()
    await say(OnText, "secret", "1")
    second = Client()
    await second.client.connect_and_init()
    payload = {
        "query": 'subscription { x: text(room: "secret") { text } }',
        "extensions": {"cursor": cursor},
    }
    await second.transport.send({"type": "subscribe", "id": "1", "payload": payload})
    assert (await second.transport.receive())["type"] == "error"
    await second.client.finalize()


async def test_a_cursor_of_other_groups_replays_nothing(room: str) -> None:
    first = await Client().subscribe("text", room)
    cursor = await first.leave()
    other = uuid.uuid4().hex
    await say(OnText, other, "1")
    second = await Client().subscribe("text", other, cursor)
    assert await second.gets(1) == [None]
    await second.gets_nothing()
    await second.leave()


@pytest.mark.parametrize(
    "cursor",
    ["", "nonsense", "x" * 1_000_000, 7, {"a": 1}, ["x"], True, "gqFh", "жук", "AAAA"],
    ids=repr,
)
async def test_nonsense_in_the_place_of_a_cursor_is_told_politely(cursor: Any, room: str) -> None:
    first = await Client(max_message_size=2_000_000).subscribe("text", room, cursor)
    assert await first.gets(1) == [None]
    await say(OnText, room, "1")
    assert await first.gets(1) == ["1"]
    assert first.told == [False, False, None]
    await first.leave()


def forged(cursor: str, change: Any) -> str:
    """Return a cursor with other places, as a client may make it: it cannot sign them."""
    content = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    places: Any = msgpack.packb([change(*each) for each in msgpack.unpackb(content[12:])])
    return urlsafe_b64encode(content[:12] + places).decode()


@FIELDS
async def test_no_client_goes_back_to_what_came_before_it_subscribed(
    field: str, cls: type[Subscription], room: str
) -> None:
    stays = await Client().subscribe(field, room)
    await say(cls, room, "secret")
    late = await Client().subscribe(field, room)
    await say(cls, room, "1")
    assert await late.gets(1) == ["1"]
    cursor = await late.leave()
    for change in (lambda epoch, _: [epoch, 0], lambda _, __: [UNKNOWN, int(time.time())]):
        back = await Client().subscribe(field, room, forged(cursor, change))
        assert await back.gets(1) == [None]
        assert back.told == [False, False]
        await back.gets_nothing()
        await back.leave()
    await stays.leave()


@pytest.mark.parametrize("place", [["", math.inf], ["", -1], [0, 0], [[[]], 0], ["", 0, 0], 0])
async def test_a_forged_cursor_is_told_politely(
    place: Any, room: str, caplog: pytest.LogCaptureFixture
) -> None:
    cursor = await (await Client().subscribe("text", room)).leave()
    cursor = forged(cursor, lambda *_: place)
    first = await Client().subscribe("text", room, cursor)
    assert await first.gets(1) == [None]
    await say(OnText, room, "1")
    assert await first.gets(1) == ["1"]
    assert first.told == [False, False, None]
    assert not caplog.records
    await first.leave()


def test_a_cursor_outlives_a_new_secret_key_while_the_old_one_is_a_fallback(settings: Any) -> None:
    places = {"a": Position("e", 7)}
    cursor = CursorCodec(["a"]).encode(places)
    settings.SECRET_KEY_FALLBACKS = ["older", settings.SECRET_KEY]
    settings.SECRET_KEY = "new"  # noqa: S105 (no secret)
    codec = CursorCodec(["a"])
    assert codec.decode(cursor) == places
    assert codec.encode(places) != cursor
    settings.SECRET_KEY_FALLBACKS = ["older"]
    assert codec.decode(cursor) is None


def test_a_project_without_a_secret_key_has_cursors(settings: Any) -> None:
    settings.SECRET_KEY = ""
    places = {"a": Position("e", 7)}
    cursor = CursorCodec(["a"]).encode(places)
    assert CursorCodec(["a"]).decode(cursor) == places
    assert CursorCodec(["b"]).decode(cursor) is None


async def test_a_place_in_the_future_or_before_the_first_event_is_told(room: str) -> None:
    first = await Client().subscribe("text", room)
    await say(OnText, room, "1")
    await first.gets(1)
    groups = [group_of(OnText, "GQLWS", name) for name in (None, room)]
    codec = CursorCodec(groups)
    places = codec.decode(await first.leave())
    assert places is not None
    for offset, told in ((5, False), (0, True)):
        moved = {group: Position(place.epoch, offset) for group, place in places.items()}
        moved[groups[0]] = places[groups[0]]
        second = await Client().subscribe("text", room, codec.encode(moved))
        assert await second.gets(1) == (["1"] if told else [None])
        assert second.told[0] is told
        await second.leave()


async def test_a_class_without_a_history_says_no_word_of_one(room: str) -> None:
    first = await Client().subscribe("plain", room, "a cursor of another time")
    await OnPlain.broadcast(payload="1")
    assert await first.gets(1) == ["1"]
    assert first.payloads[-1] == {"data": {"x": {"text": "1"}}}
    await first.client.finalize()


async def test_events_of_several_groups_are_replayed_in_the_order_of_their_time(
    room: str,
) -> None:
    first = await Client().subscribe("text", room)
    cursor = await first.leave()
    history: Any = history_of(channel_layer())
    ticks = itertools.count(history._clock())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "_clock", lambda: next(ticks))
        for number in range(6):
            group = room if number % 2 else None
            await OnText.broadcast(group=group, payload=str(number))
    second = await Client().subscribe("text", room, cursor)
    assert await second.gets(6) == ["0", "1", "2", "3", "4", "5"]
    await second.leave()


async def test_what_a_layer_loses_is_mended_before_the_client_notices(
    faulty_channel_layer: FaultyChannelLayer, room: str
) -> None:
    client = await Client().subscribe("text", room)
    await say(OnText, room, "1")
    faulty_channel_layer.is_full = True
    await say(OnText, room, "2", "3")
    faulty_channel_layer.is_full = False
    await say(OnText, room, "4")
    assert await client.gets(4) == ["1", "2", "3", "4"]
    assert all("gap" not in payload["extensions"] for payload in client.payloads)
    await client.leave()


async def test_a_last_event_that_was_lost_is_found_soon(
    faulty_channel_layer: FaultyChannelLayer, room: str, settings: Any
) -> None:
    settings.CHANNELS_GRAPHQL_WS = {"HISTORY_CHECK_EVERY": 0.01}
    client = await Client().subscribe("text", room)
    faulty_channel_layer.is_full = True
    await say(OnText, room, "1")
    assert await client.gets(1) == ["1"]
    faulty_channel_layer.is_full = False
    await client.leave()


def gaps(client: Client) -> list[Any]:
    return [payload.get("extensions", {}).get("gap") for payload in client.payloads]


@pytest.mark.parametrize("field", ["plain", "text", "shared"])
async def test_what_nothing_can_mend_is_told_with_the_next_event(
    faulty_channel_layer: FaultyChannelLayer, room: str, field: str
) -> None:
    client = await Client().subscribe(field, room)
    cls = {"plain": OnPlain, "text": OnText, "shared": OnShared}[field]
    group = None if field == "plain" else room
    await cls.broadcast(group=group, payload="1")
    await client.gets(1)
    faulty_channel_layer.is_full = True
    for _ in range(3):
        await cls.broadcast(group=group, payload="lost")
    faulty_channel_layer.is_full = False
    if field != "plain":
        history: Any = history_of(faulty_channel_layer)
        for kept in history._groups.values():
            kept.entries.clear()
    await cls.broadcast(group=group, payload="2")
    assert (await client.gets(1))[0] == "2"
    assert gaps(client) == [None, None, {"missed": 3, "reason": "layer"}]
    await client.client.finalize()


async def test_a_gap_of_unknown_size_is_told_when_the_history_was_lost(
    faulty_channel_layer: FaultyChannelLayer, room: str
) -> None:
    client = await Client().subscribe("text", room)
    await say(OnText, room, "1")
    await client.gets(1)
    history: Any = history_of(faulty_channel_layer)
    history._groups.clear()
    await say(OnText, room, "2")
    assert await client.gets(1) == ["2"]
    assert gaps(client)[-1] == {"missed": None, "reason": "layer"}
    await client.leave()


@pytest.fixture
def announced_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "ANNOUNCE_EVERY", 0.01)


async def lose_the_last(layer: FaultyChannelLayer, cls: type[Subscription], room: str) -> None:
    """Broadcast two events that the layer loses, and nothing after them."""
    group = None if cls in {OnPlain, OnPlainShared} else room
    layer.is_full = True
    for _ in range(2):
        await cls.broadcast(group=group, payload="lost")
    layer.is_full = False


def is_missed(number: int) -> bool:
    return statistics().hubs[0].missed == number


COMPILED = pytest.mark.skipif(
    os.environ.get("CHANNELS_GRAPHQL_WS_TEST_COMPILE") == "0",
    reason="graphql-core resolves by the `publish` that the field was made with",
)
PLAIN = pytest.mark.parametrize(
    ("field", "cls"), [("plain", OnPlain), ("plainShared", OnPlainShared)]
)


@PLAIN
@pytest.mark.usefixtures("announced_soon")
async def test_lost_events_with_none_behind_them_are_told_soon(
    faulty_channel_layer: FaultyChannelLayer, room: str, field: str, cls: type[Subscription]
) -> None:
    client = await Client().subscribe(field, room)
    await cls.broadcast(payload="1")
    await client.gets(1)
    await lose_the_last(faulty_channel_layer, cls, room)
    assert await client.gets(1) == [None]
    assert client.payloads[-1] == {
        "data": None,
        "extensions": {"gap": {"missed": 2, "reason": "layer"}},
    }
    await cls.broadcast(payload="2")
    assert await client.gets(1) == ["2"]
    assert gaps(client)[-1] is None
    assert statistics().hubs[0].received == 2
    await client.client.finalize()


@PLAIN
@pytest.mark.usefixtures("announced_soon")
@pytest.mark.parametrize("policy", ["ignore", "end", "close"])
async def test_lost_events_with_none_behind_them_are_what_the_policy_says(
    faulty_channel_layer: FaultyChannelLayer,
    room: str,
    field: str,
    cls: type[Subscription],
    policy: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = await Client(gap_policy=policy).subscribe(field, room)
    await cls.broadcast(payload="1")
    await client.gets(1)
    await lose_the_last(faulty_channel_layer, cls, room)
    if policy == "ignore":
        await wait_until(lambda: "has lost events" in caplog.text)
        await client.gets_nothing()
        await client.client.finalize()
    elif policy == "end":
        [error] = (await client.transport.receive())["payload"]["errors"]
        assert error["extensions"] == {"code": "EVENTS_LOST"}
        assert (await client.transport.receive())["type"] == "complete"
        await client.client.finalize()
    else:
        await client.client.wait_disconnect(assert_code=1012)


@PLAIN
@COMPILED
@pytest.mark.usefixtures("announced_soon")
async def test_a_busy_subscription_tells_of_a_lost_end_once(
    faulty_channel_layer: FaultyChannelLayer, room: str, field: str, cls: type[Subscription]
) -> None:
    gate, publish = asyncio.Event(), cls._meta.publish

    async def slow(payload: Any, info: Any) -> Any:
        await gate.wait()
        return publish(payload, info)

    object.__setattr__(cls._meta, "publish", slow)
    try:
        client = await Client().subscribe(field, room)
        for number in range(2):
            await cls.broadcast(payload=str(number))
        for number in (2, 4):
            await lose_the_last(faulty_channel_layer, cls, room)
            await wait_until(partial(is_missed, number))
        gate.set()
        assert await client.gets(3) == ["0", None, "1"]
        await client.gets_nothing()
    finally:
        object.__setattr__(cls._meta, "publish", publish)
    assert [gap for gap in gaps(client) if gap] == [{"missed": 4, "reason": "layer"}]
    await client.client.finalize()


@PLAIN
async def test_a_lost_first_event_of_a_sender_is_told_with_the_second(
    faulty_channel_layer: FaultyChannelLayer,
    room: str,
    field: str,
    cls: type[Subscription],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(arrivals, "SLACK", 0.0)
    client = await Client().subscribe(field, room)
    await tick()
    await lose(faulty_channel_layer, cls, 1)
    await cls.broadcast(payload="2")
    assert await client.gets(1) == ["2"]
    assert gaps(client)[-1] == {"missed": 1, "reason": "layer"}
    await client.client.finalize()


@PLAIN
@COMPILED
@pytest.mark.usefixtures("announced_soon")
async def test_a_subscription_that_has_ended_is_told_nothing_more(
    faulty_channel_layer: FaultyChannelLayer, room: str, field: str, cls: type[Subscription]
) -> None:
    gate, publish = asyncio.Event(), cls._meta.publish

    async def slow(payload: Any, info: Any) -> Any:
        await gate.wait()
        return publish(payload, info)

    object.__setattr__(cls._meta, "publish", slow)
    try:
        client = await Client().subscribe(field, room)
        await cls.broadcast(payload="1")
        await wait_until(lambda: statistics().hubs[0].received == 1)
        await cls.unsubscribe()
        await lose(faulty_channel_layer, cls, 1)
        await wait_until(partial(is_missed, 1))
        gate.set()
        assert await client.gets(1) == ["1"]
    finally:
        object.__setattr__(cls._meta, "publish", publish)
    assert (await client.transport.receive())["type"] == "complete"
    await client.client.finalize()


MENDED = pytest.mark.parametrize(
    ("field", "cls"), [("plainMended", OnMended), ("plainMendedShared", OnMendedShared)]
)


async def lose(layer: FaultyChannelLayer, cls: type[Subscription], number: int) -> None:
    layer.is_full = True
    for _ in range(number):
        await cls.broadcast(payload="lost")
    layer.is_full = False


@MENDED
async def test_what_a_hook_returns_takes_the_place_of_what_was_lost(
    faulty_channel_layer: FaultyChannelLayer, room: str, field: str, cls: type[Subscription]
) -> None:
    clients = [await Client().subscribe(field, room) for _ in range(2)]
    await cls.broadcast(payload="1")
    await lose(faulty_channel_layer, cls, 2)
    await cls.broadcast(payload="2")
    for client in clients:
        assert await client.gets(3) == ["1", "2 layer", "2"]
        assert gaps(client) == [None] * 4
        await client.client.finalize()


@MENDED
@pytest.mark.usefixtures("announced_soon")
async def test_a_hook_is_asked_where_no_event_follows_the_lost_ones(
    faulty_channel_layer: FaultyChannelLayer, room: str, field: str, cls: type[Subscription]
) -> None:
    client = await Client().subscribe(field, room)
    await cls.broadcast(payload="1")
    await client.gets(1)
    await lose(faulty_channel_layer, cls, 2)
    assert await client.gets(1) == ["2 layer"]
    await client.gets_nothing()
    await client.client.finalize()


@MENDED
async def test_a_hook_may_end_a_subscription_that_has_lost_events(
    faulty_channel_layer: FaultyChannelLayer, room: str, field: str, cls: type[Subscription]
) -> None:
    client = await Client().subscribe(field, room)
    await cls.broadcast(payload="1")
    await client.gets(1)
    await lose(faulty_channel_layer, cls, 3)
    await cls.broadcast(payload="2")
    assert (await client.transport.receive())["type"] == "complete"
    await client.client.finalize()


def test_a_class_has_a_policy_or_a_hook_for_gaps() -> None:
    with pytest.raises(ValueError, match="'tell', and there is an `on_gap` hook"):

        class OnBoth(OnMended):
            gap_policy = "tell"


async def test_a_history_that_vanished_is_told_without_an_event(
    faulty_channel_layer: FaultyChannelLayer, room: str, settings: Any
) -> None:
    settings.CHANNELS_GRAPHQL_WS = {"HISTORY_CHECK_EVERY": 0.01}
    client = await Client().subscribe("text", room)
    await say(OnText, room, "1")
    await client.gets(1)
    history: Any = history_of(faulty_channel_layer)
    history._groups.clear()
    assert await client.gets(1) == [None]
    assert gaps(client)[-1] == {"missed": None, "reason": "layer"}
    await client.leave()


@FIELDS
async def test_a_history_that_comes_back_repeats_nothing(
    faulty_channel_layer: FaultyChannelLayer,
    room: str,
    settings: Any,
    field: str,
    cls: type[Subscription],
) -> None:
    settings.CHANNELS_GRAPHQL_WS = {"HISTORY_CHECK_EVERY": 0.01}
    client = await Client().subscribe(field, room)
    await say(cls, room, "1")
    assert await client.gets(1) == ["1"]
    history: Any = history_of(faulty_channel_layer)
    kept = dict(history._groups)
    history._groups.clear()
    assert await client.gets(1) == [None]
    history._groups.update(kept)
    await say(cls, room, "2")
    assert await client.gets(1) == ["2"]
    await client.gets_nothing()
    await client.leave()


@pytest.mark.parametrize("where", ["class", "consumer"])
@pytest.mark.parametrize("field", ["plain", "shared"])
@pytest.mark.parametrize("policy", ["ignore", "end", "close"])
async def test_a_gap_is_what_class_or_consumer_say(
    faulty_channel_layer: FaultyChannelLayer,
    room: str,
    field: str,
    policy: str,
    where: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cls: type[Subscription] = OnPlain if field == "plain" else OnShared
    options = {"gap_policy": policy} if where == "consumer" else {}
    if where == "class":
        monkeypatch.setattr(cls, "gap_policy", policy)
    client = await Client(**options).subscribe(field, room)
    group = None if field == "plain" else room
    await cls.broadcast(group=group, payload="1")
    await client.gets(1)
    faulty_channel_layer.is_full = True
    await cls.broadcast(group=group, payload="lost")
    faulty_channel_layer.is_full = False
    if field == "shared":
        history: Any = history_of(faulty_channel_layer)
        for kept in history._groups.values():
            kept.entries.clear()
    await cls.broadcast(group=group, payload="2")
    if policy == "ignore":
        assert await client.gets(1) == ["2"]
        assert gaps(client)[-1] is None
        await client.client.finalize()
    elif policy == "end":
        message = await client.transport.receive()
        [error] = message["payload"]["errors"]
        assert error["extensions"] == {"code": "EVENTS_LOST"}
        assert (await client.transport.receive())["type"] == "complete"
        await client.client.finalize()
    else:
        await client.client.wait_disconnect(assert_code=1012)


@COMPILED
@pytest.mark.parametrize("field", ["text", "shared"])
async def test_a_slow_client_is_told_what_its_queue_has_dropped(
    field: str, room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls: type[Subscription] = OnText if field == "text" else OnShared
    monkeypatch.setattr(cls, "notification_queue_limit", 2)
    gate, publish = asyncio.Event(), cls._meta.publish

    async def slow(payload: Any, info: Any, room: str) -> Any:
        await gate.wait()
        return publish(payload, info, room)

    object.__setattr__(cls._meta, "publish", slow)
    try:
        client = await Client().subscribe(field, room)
        before = drops.count
        await say(cls, room, *map(str, range(6)))
        await wait_until(lambda: drops.count == before + 3)
        gate.set()
        assert await client.gets(3) == ["0", "4", "5"]
    finally:
        object.__setattr__(cls._meta, "publish", publish)
    assert gaps(client) == [None, None, {"missed": 3, "reason": "slow"}, None]
    await client.leave()


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.tuples(
            st.text(min_size=1, max_size=8).filter(lambda epoch: not epoch.endswith(".")),
            st.integers(0, 2**63 - 1),
        ),
        min_size=1,
    )
)
def test_a_cursor_says_where_it_was_made(places: dict[str, tuple[str, int]]) -> None:
    expected = {group: Position(*place) for group, place in places.items()}
    codec = CursorCodec(list(places))
    assert CursorCodec(list(reversed(places))).decode(codec.encode(expected)) == expected
    assert CursorCodec([*places, "another"]).decode(codec.encode(expected)) is None


@given(st.text(max_size=100) | st.binary(max_size=60))
def test_no_text_breaks_the_reading_of_a_cursor(text: Any) -> None:
    codec = CursorCodec(["a"])
    assert codec.decode(text) is None or isinstance(text, str)
    assert codec.decode("A" * (LONGEST + 1)) is None
    for empty in (UNKNOWN, "run."):
        assert codec.decode(codec.encode({"a": Position(empty, 0)})) == {"a": Position(empty, ANY)}


def test_a_gap_policy_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="gap_policy is 'shout'; it must be one of 'tell'"):

        class OnWrong(Kept):
            gap_policy = "shout"


def test_names_of_options_may_be_fields_of_a_users_class() -> None:
    class OnMine(Subscription):
        history_size = graphene.Int()
        history_ttl = graphene.Int()
        gap_policy = graphene.String()

        def publish(self, info):
            return self

    assert history_of_class(OnMine) is None
    assert gap_policy(OnMine) is None


@pytest.mark.parametrize("field", ["text", "shared"])
async def test_what_is_broadcast_while_a_client_subscribes_comes_once_and_with_its_place(
    faulty_channel_layer: FaultyChannelLayer, room: str, field: str
) -> None:
    cls = OnText if field == "text" else OnShared
    history: Any = history_of(faulty_channel_layer)
    may_answer, heads = asyncio.Event(), history.heads

    async def slow_heads(groups: Any) -> Any:
        await may_answer.wait()
        return await heads(groups)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "heads", slow_heads)
        client = Client()
        subscribing = asyncio.create_task(client.subscribe(field, room))
        group = group_of(cls, "GQLWS", room)
        await wait_until(lambda: faulty_channel_layer.groups.get(group))
        await say(cls, room, "1", "2")
        may_answer.set()
        await subscribing
    assert await client.gets(2) == ["1", "2"]
    assert all("cursor" in payload["extensions"] for payload in client.payloads)
    await client.gets_nothing()
    cursor = await client.leave()
    again = await Client().subscribe(field, room, cursor)
    await again.gets_nothing()
    await again.leave()


@FIELDS
async def test_what_is_broadcast_while_the_missed_is_fetched_comes_once(
    faulty_channel_layer: FaultyChannelLayer, room: str, field: str, cls: type[Subscription]
) -> None:
    first = await Client().subscribe(field, room)
    cursor = await first.leave()
    await say(cls, room, "1")
    history: Any = history_of(faulty_channel_layer)
    is_asked, may_answer, since = asyncio.Event(), asyncio.Event(), history.since

    async def slow_since(group: str, offset: int) -> Any:
        is_asked.set()
        await may_answer.wait()
        return await since(group, offset)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "since", slow_since)
        client = Client()
        subscribing = asyncio.create_task(client.subscribe(field, room, cursor))
        await is_asked.wait()
        await say(cls, room, "2", "3")
        may_answer.set()
        await subscribing
    await say(cls, room, "4")
    assert await client.gets(4) == ["1", "2", "3", "4"]
    await client.gets_nothing()
    await client.leave()


@COMPILED
@FIELDS
async def test_what_a_slow_client_has_missed_is_executed_when_it_reads(
    room: str, field: str, cls: type[Subscription], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "FULL_AT", 2)
    first = await Client().subscribe(field, room)
    cursor = await first.leave()
    await say(cls, room, "1", "2", "3")
    gate, publish = asyncio.Event(), cls._meta.publish
    sends: list[Any] = []
    executed: list[Any] = []
    gate.set()

    async def send_slowly(event: Any) -> None:
        sends.append(event)
        await gate.wait()

    def counted(payload: Any, info: Any, room: str) -> Any:
        executed.append(payload)
        return publish(payload, info, room)

    object.__setattr__(cls._meta, "publish", counted)
    try:
        socket = AsgiSocket(Consumer.as_asgi(), NEW, on_send=send_slowly)
        await socket.acknowledged()
        gate.clear()
        sends.clear()
        query = f'subscription {{ x: {field}(room: "{room}") {{ text }} }}'
        socket.start("1", query, extensions={"cursor": cursor})
        await wait_until(lambda: len(executed) == 2)
        await tick(5)
        # The confirmation is on its way, and two events wait behind it.
        assert (len(sends), executed) == (1, ["1", "2"])
        gate.set()
        await wait_until(lambda: len(socket.results("1")) == 4)
        await socket.drop()
    finally:
        object.__setattr__(cls._meta, "publish", publish)
    assert [each["data"] for each in socket.results("1")[1:]] == [
        {"x": {"text": "1"}},
        {"x": {"text": "2"}},
        {"x": {"text": "3"}},
    ]


class SlowReader:
    """A WebSocket whose client takes nothing until it is told to."""

    def __init__(self, **options: Any) -> None:
        self.reads = asyncio.Event()
        self.reads.set()
        self.socket = AsgiSocket(Consumer.as_asgi(**options), NEW, on_send=self._take)

    async def _take(self, event: Any) -> None:
        await self.reads.wait()


async def come_back(
    field: str, room: str, cursor: Any, ids: Iterable[str], **options: Any
) -> SlowReader:
    """Subscribe once for each id with one cursor, and read nothing of what comes."""
    client = SlowReader(**options)
    await client.socket.acknowledged()
    client.reads.clear()
    query = f'subscription {{ x: {field}(room: "{room}") {{ text }} }}'
    for id in ids:
        client.socket.start(id, query, extensions={"cursor": cursor})
    return client


def has_results(client: SlowReader, id: str, number: int) -> bool:
    return len(client.socket.results(id)) >= number


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> list[Replays]:
    """What counts the events to be replayed, of each client that has come."""
    made: list[Replays] = []

    class Noted(Replays):
        def __init__(self, limit: int | None) -> None:
            super().__init__(limit)
            made.append(self)

    monkeypatch.setattr(session, "Replays", Noted)
    return made


@COMPILED
@FIELDS
async def test_many_that_come_back_at_once_do_not_fill_the_memory(
    room: str,
    field: str,
    cls: type[Subscription],
    monkeypatch: pytest.MonkeyPatch,
    account: list[Replays],
) -> None:
    """A cursor of fifty bytes asks for all that is kept, and a client may send a hundred."""
    monkeypatch.setattr(outbox, "FULL_AT", 2)
    first = await Client().subscribe(field, room)
    cursor = await first.leave()
    missed = [f"{number} {'x' * 1_000}" for number in range(9)]
    await say(cls, room, *missed)
    ids = [str(number) for number in range(20)]
    client = await come_back(field, room, cursor, ids, max_queued_bytes=20_000)
    [replays] = account[1:]
    await wait_until(lambda: replays.size > 20_000)
    await tick(200)
    # The one that came last was fetched when there was room.
    assert replays.size < 20_000 + 9 * 2_000
    # What is said meanwhile comes behind.
    await say(cls, room, "latest")
    client.reads.set()
    for id in ids:
        await wait_until(partial(has_results, client, id, 11))
        results = client.socket.results(id)
        assert [each["data"] and each["data"]["x"]["text"] for each in results[1:]] == [
            *missed,
            "latest",
        ]
        assert results[0]["extensions"]["recovered"] is True
    assert replays.size == 0
    await client.socket.drop()


@COMPILED
@FIELDS
async def test_who_leaves_while_others_wait_for_their_turn_makes_room(
    room: str,
    field: str,
    cls: type[Subscription],
    monkeypatch: pytest.MonkeyPatch,
    account: list[Replays],
) -> None:
    monkeypatch.setattr(outbox, "FULL_AT", 2)
    first = await Client().subscribe(field, room)
    cursor = await first.leave()
    await say(cls, room, *["x" * 1_000] * 9)
    client = await come_back(field, room, cursor, "abc", max_queued_bytes=5_000)
    [replays] = account[1:]
    await wait_until(lambda: replays.size > 5_000)
    # The first is under way, the second waits for its turn.
    client.socket.stop("b")
    client.socket.stop("a")
    client.reads.set()
    await wait_until(lambda: len(client.socket.results("c")) == 10)
    await wait_until(lambda: replays.size == 0)
    await client.socket.drop()


@COMPILED
@FIELDS
async def test_what_waits_for_a_client_that_goes_is_forgotten(
    room: str,
    field: str,
    cls: type[Subscription],
    monkeypatch: pytest.MonkeyPatch,
    account: list[Replays],
) -> None:
    monkeypatch.setattr(outbox, "FULL_AT", 2)
    first = await Client().subscribe(field, room)
    cursor = await first.leave()
    await say(cls, room, *["x" * 1_000] * 9)
    client = await come_back(field, room, cursor, "ab", max_queued_bytes=None)
    [replays] = account[1:]
    # Without a limit, both were fetched.
    await wait_until(lambda: replays.size > 15_000)
    await client.socket.drop()
    assert replays.size == 0


async def test_a_history_that_cannot_be_read_refuses_a_subscription_and_no_running_one(
    faulty_channel_layer: FaultyChannelLayer,
    room: str,
    settings: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.CHANNELS_GRAPHQL_WS = {"HISTORY_CHECK_EVERY": 0.01}
    client = await Client().subscribe("text", room)
    history: Any = history_of(faulty_channel_layer)

    async def fail(groups: Any) -> Any:
        raise OSError("no Redis")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "heads", fail)
        await wait_until(lambda: "The history cannot be read" in caplog.text)
        refused = Client()
        await refused.client.connect_and_init()
        query = f'subscription {{ x: text(room: "{room}2") {{ text }} }}'
        await refused.transport.send({"type": "subscribe", "id": "1", "payload": {"query": query}})
        assert (await refused.transport.receive())["type"] == "error"
        await refused.client.finalize()
    await say(OnText, room, "1")
    assert await client.gets(1) == ["1"]
    await client.leave()


async def test_an_event_that_cannot_be_decoded_any_more_costs_only_itself(
    room: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = await Client().subscribe("text", room)
    cursor = await client.leave()
    await say(OnText, room, "1")
    history: Any = history_of(channel_layer())
    history.append_now(group_of(OnText, "GQLWS", room), b"\xc1", 10, 60)
    await say(OnText, room, "2")
    again = await Client().subscribe("text", room, cursor)
    assert await again.gets(2) == ["1", "2"]
    assert "Lost a broadcast to group" in caplog.text
    await again.leave()


async def test_a_payload_that_needs_the_database_is_decoded_in_a_thread(
    room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await Client().subscribe("text", room)
    cursor = await client.leave()
    await say(OnText, room, "1")
    first = [True]
    init = Notification.__init__

    def once(self: Notification, *arguments: Any, **options: Any) -> None:
        if first and threading.current_thread() is threading.main_thread():
            first.clear()
            raise SynchronousOnlyOperation
        init(self, *arguments, **options)

    monkeypatch.setattr(Notification, "__init__", once)
    again = await Client().subscribe("text", room, cursor)
    assert await again.gets(1) == ["1"]
    assert first == []
    await again.leave()


async def test_a_history_that_fails_once_when_a_client_comes_is_asked_again(
    faulty_channel_layer: FaultyChannelLayer, room: str
) -> None:
    history: Any = history_of(faulty_channel_layer)
    heads, failures = history.heads, iter([OSError("closed by server")])

    async def once(groups: Any) -> Any:
        for failure in failures:
            raise failure
        return await heads(groups)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "heads", once)
        client = await Client().subscribe("text", room)
    await say(OnText, room, "1")
    assert await client.gets(1) == ["1"]
    await client.leave()


async def test_a_history_that_does_not_answer_refuses_a_subscription_in_time(
    faulty_channel_layer: FaultyChannelLayer,
    room: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(channel_reader, "CALL_TIMEOUT", 0.01)
    history: Any = history_of(faulty_channel_layer)

    async def hang(groups: Any) -> Any:
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(history, "heads", hang)
        refused = Client()
        await refused.client.connect_and_init()
        query = f'subscription {{ x: text(room: "{room}") {{ text }} }}'
        await refused.transport.send({"type": "subscribe", "id": "1", "payload": {"query": query}})
        message = await refused.transport.receive()
    assert message["payload"][0]["extensions"] == {"code": "SERVICE_UNAVAILABLE"}
    assert "did not give its history within 0.01 seconds" in caplog.text
    await refused.client.finalize()


@pytest.mark.parametrize(
    ("field", "cls"), [("guarded", OnGuarded), ("guardedShared", OnGuardedShared)]
)
async def test_what_was_missed_is_kept_from_a_client_without_the_right(
    field: str, cls: type[Subscription], room: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(globals(), "taken", {"hidden"})
    first = await Client().subscribe(field, room)
    await say(cls, room, "1")
    assert await first.gets(1) == ["1"]
    cursor = await first.leave()
    await say(cls, room, "hidden", "revoked", "2")
    second = await Client().subscribe(field, room, cursor)
    assert await second.gets(1) == ["2"]
    await second.leave()

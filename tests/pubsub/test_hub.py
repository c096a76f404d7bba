"""The hub: one contract over every kind of channel layer, then what is its own."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import uuid
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

from channels_graphql_ws.concurrency.database import AsyncConnections
from channels_graphql_ws.exceptions import ChannelLayerError, PayloadDecodeError
from channels_graphql_ws.pubsub import hub
from channels_graphql_ws.pubsub import local as hubs
from channels_graphql_ws.pubsub import publisher as broadcast
from channels_graphql_ws.pubsub.history.interfaces import Page, Position
from channels_graphql_ws.pubsub.history.memory import MemoryHistory
from channels_graphql_ws.pubsub.history.of_layer import history_of
from channels_graphql_ws.pubsub.hub import Hub, hub_of
from channels_graphql_ws.pubsub.layer_traits import traits_of
from channels_graphql_ws.pubsub.notification import Notification
from channels_graphql_ws.pubsub.numbering import announcements_on
from channels_graphql_ws.pubsub.outgoing import Outgoing
from channels_graphql_ws.serializer import Serializer
from support import GUARD, FakeLayer, FakeListener, tick, wait_until

END = FakeListener.END
secret: ContextVar[str] = ContextVar("secret")


class Subclass(InMemoryChannelLayer):
    """Another class may behave in other ways, so its messages do pass it."""


LAYERS = [
    "fake",
    "memory",
    "subclass",
    pytest.param("redis", marks=pytest.mark.redis),
    pytest.param("pubsub", marks=pytest.mark.redis),
]


@pytest.fixture(params=LAYERS)
async def layer(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    match request.param:
        case "fake":
            yield FakeLayer()
        case "memory":
            yield InMemoryChannelLayer()
        case "subclass":
            yield Subclass()
        case name:
            url = request.getfixturevalue("redis_url")
            options: dict[str, Any] = {"hosts": [url], "prefix": uuid.uuid4().hex}
            if name == "pubsub":
                layer = RedisPubSubChannelLayer(**options)
            else:
                # A burst may come faster than a busy machine reads it.
                layer = RedisChannelLayer(**options, capacity=10_000)
            yield layer
            await close(layer)


async def close(layer: Any) -> None:
    """Close the connections to Redis, each on the event loop to which it belongs."""
    for loop, of_loop in list(layer._layers.items()):
        if loop is asyncio.get_running_loop():
            await of_loop.flush()
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(of_loop.flush(), loop))


@pytest.fixture
async def ear(layer: Any) -> AsyncIterator[Hub]:
    """The hub of that layer, with a user."""
    ear = hub_of(layer)
    ear.acquire()
    yield ear
    await ear.release()
    assert ear.counts() == {"groups": 0, "listeners": 0}


@pytest.fixture
async def local() -> AsyncIterator[Hub]:
    """A hub to which messages come without a channel layer."""
    ear = hub_of(InMemoryChannelLayer())
    ear.acquire()
    yield ear
    await ear.release()


def outgoing(group: str, payload: object) -> Outgoing:
    data = Serializer.serialize(payload)
    return Outgoing({"type": "broadcast", "group": group, "payload": data}, "a test")


def ending(group: str) -> Outgoing:
    return Outgoing({"type": "unsubscribe", "group": group}, "a test")


def send(layer: Any, group: str, payload: object) -> asyncio.Future[None]:
    return broadcast.send_soon(layer, outgoing(group, payload))


async def subscribed(ear: Hub, *groups: str) -> FakeListener:
    listener = FakeListener()
    if ear.listen(listener, groups):
        await ear.joined(groups)
    return listener


async def test_a_listener_hears_its_groups_in_order_and_no_others(layer: Any, ear: Hub) -> None:
    one = await subscribed(ear, "A", "B")
    two = await subscribed(ear, "B", "C")
    for number, group in enumerate("ABCDAB"):
        await send(layer, group, number)
    await wait_until(lambda: len(one.heard) == 4 and len(two.heard) == 3)
    assert one.heard == [0, 1, 4, 5]
    assert two.heard == [1, 2, 5]
    ear.leave(one, ("A", "B"))
    ear.leave(two, ("B", "C"))


async def test_who_left_hears_nothing_more_while_the_others_do(layer: Any, ear: Hub) -> None:
    gone, stays = await subscribed(ear, "A"), await subscribed(ear, "A")
    ear.leave(gone, ("A",))
    await send(layer, "A", 1)
    await wait_until(lambda: stays.heard)
    assert gone.heard == []
    ear.leave(stays, ("A",))


async def test_who_leaves_and_joins_again_at_once_hears(layer: Any, ear: Hub) -> None:
    for _ in range(3):
        listener = await subscribed(ear, "A")
        ear.leave(listener, ("A",))
    listener = await subscribed(ear, "A")
    await send(layer, "A", 1)
    await wait_until(lambda: listener.heard)
    assert listener.heard == [1]
    ear.leave(listener, ("A",))


async def test_two_first_listeners_at_once_both_hear(layer: Any, ear: Hub) -> None:
    listeners = await asyncio.gather(*(subscribed(ear, "A") for _ in range(10)))
    await send(layer, "A", 1)
    await wait_until(lambda: all(one.heard for one in listeners))
    assert [one.heard for one in listeners] == [[1]] * 10
    for one in listeners:
        ear.leave(one, ("A",))


async def test_the_end_comes_behind_what_was_sent_before(layer: Any, ear: Hub) -> None:
    listener = await subscribed(ear, "A")
    for number in range(3):
        send(layer, "A", number)
    await broadcast.send_soon(layer, ending("A"))
    await wait_until(lambda: END in listener.heard)
    assert listener.heard == [0, 1, 2, END]
    ear.leave(listener, ("A",))


async def test_undecodable_bytes_cost_one_notification_and_not_the_stream(
    layer: Any, ear: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    listener, other = await subscribed(ear, "A"), await subscribed(ear, "A")
    await send(layer, "A", 1)
    bad = Outgoing({"type": "broadcast", "group": "A", "payload": b"\xc1"}, "a test")
    await broadcast.send_soon(layer, bad)
    await send(layer, "A", 2)
    await wait_until(lambda: len(other.heard) == 2)
    assert listener.heard == [1, 2]
    assert ear.undecodable == 1
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert ["Lost a broadcast to group A" in record.message for record in errors] == [True]
    for one in (listener, other):
        ear.leave(one, ("A",))


async def test_a_broadcast_from_a_thread_without_a_loop_is_heard(layer: Any, ear: Hub) -> None:
    listener = await subscribed(ear, "A")
    await asyncio.to_thread(broadcast.send_now, layer, outgoing("A", 1))
    await asyncio.to_thread(broadcast.send_now, layer, outgoing("A", 2))
    await wait_until(lambda: len(listener.heard) == 2)
    assert listener.heard == [1, 2]
    ear.leave(listener, ("A",))


async def test_a_broadcast_from_another_event_loop_is_heard(layer: Any, ear: Hub) -> None:
    if type(layer) is Subclass:
        pytest.skip("belongs to one event loop")
    listener = await subscribed(ear, "A")

    async def elsewhere() -> None:
        await send(layer, "A", 1)

    await asyncio.to_thread(asyncio.run, elsewhere())
    await wait_until(lambda: listener.heard)
    assert listener.heard == [1]
    ear.leave(listener, ("A",))


@pytest.mark.parametrize("awaited", [True, False])
async def test_a_burst_reaches_ten_listeners_complete_and_in_order(
    layer: Any, ear: Hub, awaited: bool
) -> None:
    # Redis does not have to be measured here: this is about what is ours.
    count = 5_000 if isinstance(layer, FakeLayer | InMemoryChannelLayer) else 500
    listeners = [await subscribed(ear, "A") for _ in range(10)]
    for number in range(count):
        sent = send(layer, "A", number)
        if awaited:
            await sent
    del sent
    gc.collect()
    await wait_until(lambda: all(len(one.heard) == count for one in listeners))
    assert all(one.heard == list(range(count)) for one in listeners)
    for one in listeners:
        ear.leave(one, ("A",))


@pytest.mark.parametrize("limit", ["INBOX_LIMIT", "INBOX_BYTES"])
async def test_what_the_inbox_has_no_room_for_comes_to_the_queues_of_listeners_in_order(
    local: Hub, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    of_three = 3 * len(outgoing("g", 0).message["payload"])
    monkeypatch.setattr(hub, limit, 3 if limit == "INBOX_LIMIT" else of_three)
    listeners = [await subscribed(local, "g") for _ in range(3)]
    for number in range(10):
        local.deliver_soon(outgoing("g", number).message)
    # Three wait in the inbox, and one is just being handed out.
    assert [listener.queued for listener in listeners] == [6] * 3
    await wait_until(lambda: all(len(listener.heard) == 10 for listener in listeners))
    assert [listener.heard for listener in listeners] == [list(range(10))] * 3


async def test_one_message_that_is_large_makes_room_for_itself(
    local: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "INBOX_BYTES", 1_000)
    listener = await subscribed(local, "g")
    payloads = [*range(5), "x" * 2_000, *range(5)]
    for payload in payloads:
        local.deliver_soon(outgoing("g", payload).message)
    # All before the large one, which is just being handed out.
    assert listener.queued == 5
    await wait_until(lambda: len(listener.heard) == len(payloads))
    assert listener.heard == payloads
    assert local._inbox.size == 0


def notifications() -> list[Notification]:
    return [each for each in gc.get_objects() if type(each) is Notification]


async def test_a_notification_that_everybody_has_heard_is_not_kept(local: Hub) -> None:
    before = notifications()
    listener = await subscribed(local, "g")
    local.deliver_soon(outgoing("g", "payload").message)
    assert len(notifications()) == len(before) + 1
    await wait_until(lambda: listener.heard)
    await tick()
    assert len(notifications()) == len(before)


async def test_a_burst_from_a_thread_is_complete_and_in_order(layer: Any, ear: Hub) -> None:
    count = 5_000 if isinstance(layer, InMemoryChannelLayer) else 500
    listener = await subscribed(ear, "A")

    def burst() -> None:
        for number in range(count):
            broadcast.send_now(layer, outgoing("A", number))

    await asyncio.to_thread(burst)
    await wait_until(lambda: len(listener.heard) == count)
    assert listener.heard == list(range(count))
    ear.leave(listener, ("A",))


async def test_one_event_loop_has_one_hub_on_a_layer_while_it_is_used() -> None:
    layer = FakeLayer()
    first = hub_of(layer)
    first.acquire()
    assert hub_of(layer) is first
    assert hub_of(FakeLayer()) is not first
    first.acquire()
    await first.release()
    assert hub_of(layer) is first
    await first.release()
    assert hub_of(layer) is not first


async def test_the_last_user_of_a_hub_takes_it_out_of_all_groups() -> None:
    layer = FakeLayer()
    ear = hub_of(layer)
    ear.acquire()
    await subscribed(ear, "A", "B")
    assert set(layer.groups) == {"A", "B", announcements_on(traits_of(layer), 0)}
    await ear.release()
    assert layer.groups == {}
    assert hubs.receivers(layer) == ()


@pytest.mark.redis
async def test_the_last_user_of_a_hub_ends_its_subscriptions_in_redis(redis_url: str) -> None:
    layer = RedisPubSubChannelLayer(hosts=[redis_url], prefix=uuid.uuid4().hex)
    ear = hub_of(layer)
    ear.acquire()
    await subscribed(ear, "A", "B")
    of_loop = layer._get_layer()
    # The groups, the channel, and the group of announcements.
    await wait_until(lambda: len(of_loop._shards[0]._subscribed_to) == 4)
    await ear.release()
    assert (of_loop.channels, of_loop.groups) == ({}, {})
    assert of_loop._shards[0]._subscribed_to == set()
    await close(layer)


async def test_the_hub_of_an_event_loop_that_was_closed_is_forgotten() -> None:
    layer = InMemoryChannelLayer()

    async def abandon() -> None:
        hub_of(layer).acquire()

    await asyncio.to_thread(asyncio.run, abandon())
    assert len(hubs.receivers(layer)) == 1
    hub_of(layer)
    assert hubs.receivers(layer) == ()


async def test_a_broadcast_to_an_event_loop_that_was_closed_harms_nobody(local: Hub) -> None:
    layer = local.layer

    async def abandon() -> None:
        # Not by `hub_of`, which would forget it.
        hubs.add_receiver(layer, Hub(layer))

    await asyncio.to_thread(asyncio.run, abandon())
    listener = await subscribed(local, "A")
    await send(layer, "A", 1)
    await wait_until(lambda: listener.heard)


async def test_listeners_on_two_event_loops_hear_the_same_broadcast(local: Hub) -> None:
    here = await subscribed(local, "A")
    ready, heard = threading.Event(), threading.Event()
    there = FakeListener()

    async def elsewhere() -> None:
        ear = hub_of(local.layer)
        ear.acquire()
        ear.listen(there, ("A",))
        ready.set()
        await wait_until(lambda: there.heard)
        heard.set()
        ear.leave(there, ("A",))
        await ear.release()

    thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
    thread.start()
    await wait_until(ready.is_set)
    await send(local.layer, "A", 1)
    await wait_until(heard.is_set)
    thread.join(GUARD)
    assert here.heard == there.heard == [1]


def test_each_listener_gets_a_payload_of_its_own() -> None:
    notification = Notification(Serializer.serialize({"list": []}))
    notification.payload()["list"].append("changed by a `publish`")
    assert notification.payload() == {"list": []}


def test_a_notification_of_foreign_bytes_is_refused() -> None:
    with pytest.raises(PayloadDecodeError):
        Notification(b"\xc1")


async def test_a_message_of_an_unknown_type_is_ignored_with_a_warning(
    local: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    listener = await subscribed(local, "A")
    local.deliver({"type": "dance", "group": "A"})
    local.deliver({"group": "A"})
    local.deliver({"type": "broadcast", "group": "nobody listens to it", "payload": b""})
    local.deliver_soon({"type": "broadcast", "group": "nobody listens to it", "payload": b""})
    local.deliver({})
    await tick(3)
    assert listener.heard == []
    assert [record.message for record in caplog.records] == [
        "Ignored a channel-layer message of unknown type 'dance'",
        "Ignored a channel-layer message of unknown type None",
    ]


async def test_a_broadcast_without_a_payload_is_lost_with_an_error(
    local: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    await subscribed(local, "A")
    local.deliver({"type": "broadcast", "group": "A"})
    assert local.undecodable == 1
    assert "Lost a broadcast to group A" in caplog.text


@pytest.mark.parametrize("error", [RuntimeError("a mistake"), asyncio.CancelledError()])
async def test_a_listener_that_fails_does_not_cost_the_others_their_turns(
    local: Hub, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(FakeListener):
        def run_next(self) -> bool:
            raise error

    local.listen(Failing(), ("A",))
    listener = await subscribed(local, "A")
    await send(local.layer, "A", 1)
    await wait_until(lambda: listener.heard)
    assert "Lost a turn" in caplog.text


async def test_a_listener_that_can_not_take_a_notification_does_not_cost_the_others_theirs(
    local: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(FakeListener):
        def offer(self, notification: Any) -> bool:
            raise RuntimeError("a mistake")

    local.listen(Failing(), ("A",))
    listener = await subscribed(local, "A")
    local.deliver({"type": "broadcast", "group": "A", "payload": Serializer.serialize(1)})
    assert listener.heard == [1]
    assert "a mistake" in caplog.text


async def test_nor_does_it_while_the_inbox_is_full(
    local: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Failing(FakeListener):
        def offer(self, notification: Any) -> bool:
            raise RuntimeError("a mistake")

    monkeypatch.setattr(hub, "INBOX_LIMIT", 1)
    local.listen(Failing(), ("A",))
    listener = await subscribed(local, "A")
    for number in range(4):
        local.deliver_soon(outgoing("A", number).message)
    await wait_until(lambda: len(listener.heard) == 4)
    assert listener.heard == [0, 1, 2, 3]
    assert "Lost a notification" in caplog.text


async def test_a_hub_that_gets_no_thread_for_old_connections_goes_on(
    local: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def close_expired(_self: AsyncConnections) -> None:
        monkeypatch.undo()
        raise RuntimeError("can't start new thread")

    listener = await subscribed(local, "A")
    monkeypatch.setattr(AsyncConnections, "close_expired", close_expired)
    with pytest.raises(RuntimeError, match="thread"):
        local.deliver({"type": "broadcast", "group": "A", "payload": Serializer.serialize(1)})
    await tick()
    assert listener.heard == [1]


async def test_a_hub_that_needs_no_channel_layer_never_has_to_be_waited_for(local: Hub) -> None:
    assert not local.listen(FakeListener(), ("A",))
    await local.joined(("A",))


async def test_the_event_loop_breathes_during_a_fan_out(local: Hub) -> None:
    listeners = [await subscribed(local, "A") for _ in range(hub.RUNS_AT_ONCE * 4)]
    await send(local.layer, "A", 1)
    breaths = 0
    while not all(one.heard for one in listeners):
        await tick()
        breaths += 1
    assert breaths >= 3


async def test_slow_turns_let_the_event_loop_breathe_earlier(
    local: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "SECONDS_AT_ONCE", -1.0)  # As if each had taken too long.
    listeners = [await subscribed(local, "A") for _ in range(hub.RUNS_AT_ONCE)]
    await send(local.layer, "A", 1)
    breaths = 0
    while not all(one.heard for one in listeners):
        await tick()
        breaths += 1
    assert breaths >= hub.RUNS_AT_ONCE / hub.RUNS_BETWEEN_CLOCK_READS - 1


@pytest.mark.parametrize("come_at_once", [True, False])
async def test_slow_turns_of_many_messages_let_it_breathe_earlier(
    local: Hub, come_at_once: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(hub, "monotonic", lambda: clock.now)

    class Slow(FakeListener):
        def run_next(self) -> bool:
            clock.now += hub.SECONDS_AT_ONCE / 2
            return super().run_next()

    local.listen(listener := Slow(), ("A",))
    message = {"type": "broadcast", "group": "A", "payload": Serializer.serialize(1)}
    for _ in range(hub.RUNS_AT_ONCE):
        (local.deliver if come_at_once else local.deliver_soon)(message)
    assert len(listener.heard) <= hub.RUNS_BETWEEN_CLOCK_READS
    while len(listener.heard) < hub.RUNS_AT_ONCE:
        known = len(listener.heard)
        await tick()
        assert len(listener.heard) - known <= hub.RUNS_BETWEEN_CLOCK_READS


async def test_a_message_on_its_own_is_seen_to_in_the_turn_that_brings_it(
    local: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "monotonic", lambda: 0.0)  # As if none took any time.
    listener = await subscribed(local, "A")
    for number in range(hub.RUNS_AT_ONCE):
        await send(local.layer, "A", number)
        assert listener.heard[-1] == number


async def test_many_messages_at_once_do_not_keep_the_event_loop_from_breathing(local: Hub) -> None:
    listeners = [await subscribed(local, group) for group in map(str, range(200))]
    for group in range(200):
        send(local.layer, str(group), 1)
    most = before = 0
    while not all(one.heard for one in listeners):
        await tick()
        heard = sum(len(one.heard) for one in listeners)
        most, before = max(most, heard - before), heard
    assert most <= hub.RUNS_AT_ONCE * 2


async def test_what_takes_its_turn_is_in_no_task(layer: Any, ear: Hub) -> None:
    tasks: list[Any] = []

    class Looking(FakeListener):
        def run_next(self) -> bool:
            tasks.append(asyncio.current_task())
            return super().run_next()

    listener = Looking()
    if ear.listen(listener, ("A",)):
        await ear.joined(("A",))
    await send(layer, "A", 1)
    await wait_until(lambda: listener.heard)
    assert tasks == [None]
    ear.leave(listener, ("A",))


async def test_a_listener_can_be_given_a_turn(local: Hub) -> None:
    listener = FakeListener()
    listener.offer(Notification(Serializer.serialize(1)))
    local.call(listener)
    await wait_until(lambda: listener.heard)


async def test_what_a_sender_has_in_its_context_is_not_seen_by_listeners(local: Hub) -> None:
    seen: list[Any] = []

    class Looking(FakeListener):
        def run_next(self) -> bool:
            seen.append(secret.get(None))
            return super().run_next()

    local.listen(Looking(), ("A",))
    token = secret.set("of the sender")
    await send(local.layer, "A", 1)
    secret.reset(token)
    await wait_until(lambda: seen)
    assert seen == [None]


async def test_what_a_thread_has_in_its_context_is_not_seen_by_listeners(local: Hub) -> None:
    seen: list[Any] = []

    class Looking(FakeListener):
        def run_next(self) -> bool:
            seen.append(secret.get(None))
            return super().run_next()

    def thread() -> None:
        secret.set("of the sender")
        broadcast.send_now(local.layer, outgoing("A", 1))

    local.listen(Looking(), ("A",))
    await asyncio.to_thread(thread)
    await wait_until(lambda: seen)
    assert seen == [None]


async def test_leaving_what_was_never_joined_is_harmless(local: Hub) -> None:
    local.leave(FakeListener(), ("A", "B"))
    assert local.counts() == {"groups": 0, "listeners": 0}


async def test_a_listener_of_several_groups_counts_once(local: Hub) -> None:
    await subscribed(local, "A", "B")
    assert local.counts() == {"groups": 2, "listeners": 1}


async def test_a_layer_that_refuses_is_told_to_who_joins_and_nothing_is_left() -> None:
    layer = FakeLayer()
    layer.errors["group_add"] = OSError("no Redis")
    ear = hub_of(layer)
    ear.acquire()
    listener = FakeListener()
    assert ear.listen(listener, ("A",))
    with pytest.raises(ChannelLayerError, match="no Redis"):
        await ear.joined(("A",))
    ear.leave(listener, ("A",))
    assert ear.counts() == {"groups": 0, "listeners": 0}
    await ear.release()
    assert layer.groups == {}


async def test_a_message_with_a_place_is_delivered_where_nobody_follows_the_history(
    local: Hub,
) -> None:
    listener = await subscribed(local, "A")
    data = Serializer.serialize(1)
    place = {"epoch": "e", "offset": 7}
    local.deliver({"type": "broadcast", "group": "A", "payload": data, **place})
    await wait_until(lambda: listener.heard)
    assert listener.heard == [1]
    local.leave(listener, ("A",))


async def test_doubles_are_dropped_and_losses_are_seen(local: Hub) -> None:
    listener = await subscribed(local, "A")
    for number in (1, 2, 2, 5):
        data = Serializer.serialize(number)
        sender = {"sender": "s", "serial": number}
        local.deliver({"type": "broadcast", "group": "A", "payload": data, **sender})
    await wait_until(lambda: len(listener.heard) == 3)
    assert listener.heard == [1, 2, 5]
    assert (local._arrivals.doubled, local._arrivals.missed) == (1, 2)
    local.leave(listener, ("A",))


async def test_what_was_overtaken_is_not_delivered_and_told_as_a_gap(local: Hub) -> None:
    listener = await subscribed(local, "A")
    for number in (2, 1, 3):
        data = Serializer.serialize(number)
        sender = {"sender": "s", "serial": number}
        local.deliver({"type": "broadcast", "group": "A", "payload": data, **sender})
    await wait_until(lambda: len(listener.heard) == 3)
    assert listener.heard == [2, ("lost", None), 3]
    local.leave(listener, ("A",))


async def test_a_durable_event_of_two_senders_is_delivered_once(local: Hub) -> None:
    listener = await subscribed(local, "A")
    senders = [("s", 1, "a"), ("t", 1, "a"), ("s", 2, "b"), ("t", 4, "b"), ("t", 5, "c")]
    for sender, serial, id in senders:
        numbered = {"sender": sender, "serial": serial, "id": id}
        data = Serializer.serialize(id)
        local.deliver({"type": "broadcast", "group": "A", "payload": data, **numbered})
    await wait_until(lambda: len(listener.heard) == 4)
    # What was lost before the one that was dropped is told all the same.
    assert listener.heard == ["a", "b", ("lost", 2), "c"]
    local.leave(listener, ("A",))


async def test_the_groups_of_others_are_those_in_which_somebody_listens_to_this_one_too(
    local: Hub,
) -> None:
    both, other = await subscribed(local, "all", "A", "B"), await subscribed(local, "C")
    local.name_groups({"C": "chat", "A": "news", "B": "sports"})
    assert local.names_of_others("all", 3) == ["news", "sports"]
    assert local.names_of_others("all", 1) == ["news"]
    local.leave(both, ("all", "A", "B"))
    local.leave(other, ("C",))


class SlowHistory(MemoryHistory):
    """Answers when it may."""

    def __init__(self, layer: object) -> None:
        super().__init__()
        del layer
        self.may_answer = asyncio.Event()
        self.asked = 0
        self.answering = 0

    async def heads(self, groups: Sequence[str]) -> list[Position | None]:
        await self._allowed()
        return await super().heads(groups)

    async def since(self, group: str, offset: int) -> Page | None:
        await self._allowed()
        return await super().since(group, offset)

    async def _allowed(self) -> None:
        self.asked += 1
        self.answering += 1
        try:
            await self.may_answer.wait()
        finally:
            self.answering -= 1


class LateHistory(SlowHistory):
    """Answers when it may, and what was so when it was asked."""

    async def heads(self, groups: Sequence[str]) -> list[Position | None]:
        found = await MemoryHistory.heads(self, groups)
        await self._allowed()
        return found


SLOW_HISTORY = f"{__name__}.SlowHistory"


async def test_a_group_that_is_left_while_its_history_is_looked_at_disturbs_no_other(
    settings: Any,
) -> None:
    settings.CHANNELS_GRAPHQL_WS = {"HISTORY": SLOW_HISTORY, "HISTORY_CHECK_EVERY": 0.001}
    layer = FakeLayer()
    ear, history = hub_of(layer), history_of(layer)
    assert isinstance(history, SlowHistory)
    ear.acquire()
    ear.tracked.track(("A", "B"), 60)
    listener = await subscribed(ear, "A", "B")
    await wait_until(lambda: history.asked)
    ear.leave(listener, ("A",))
    history.may_answer.set()
    await wait_until(lambda: ear.tracked.track(("B",), 60)["B"])
    ear.leave(listener, ("B",))
    await ear.release()


async def test_a_first_event_that_comes_while_the_history_is_looked_at_is_not_lost(
    settings: Any,
) -> None:
    late_history = f"{__name__}.LateHistory"
    settings.CHANNELS_GRAPHQL_WS = {"HISTORY": late_history, "HISTORY_CHECK_EVERY": 0.001}
    layer = FakeLayer()
    ear, history = hub_of(layer), history_of(layer)
    assert isinstance(history, LateHistory)
    ear.acquire()
    ear.tracked.track(("A",), 60)
    listener = await subscribed(ear, "A")
    history.may_answer.set()
    await ear.tracked.places(("A",))
    history.may_answer.clear()
    await wait_until(lambda: history.answering)
    payload = Serializer.serialize(1)
    epoch, offset = history.append_now("A", payload, 10, 60)
    message = {"type": "broadcast", "group": "A", "payload": payload}
    ear.deliver({**message, "epoch": epoch, "offset": offset})
    history.may_answer.set()
    asked = history.asked
    await wait_until(lambda: history.asked > asked)
    assert ear.statistics().missed == 0
    ear.leave(listener, ("A",))
    await ear.release()


async def test_the_last_user_of_a_hub_waits_until_nothing_more_is_asked_of_the_history(
    settings: Any,
) -> None:
    settings.CHANNELS_GRAPHQL_WS = {"HISTORY": SLOW_HISTORY}
    layer = FakeLayer()
    ear, history = hub_of(layer), history_of(layer)
    assert isinstance(history, SlowHistory)
    ear.acquire()
    ear.tracked.track(("A",), 60)
    listener = await subscribed(ear, "A")
    message = {"type": "broadcast", "group": "A", "payload": Serializer.serialize(1), "epoch": "e"}
    for offset in (1, 3):
        ear.deliver({**message, "offset": offset})
    await wait_until(lambda: history.answering)
    ear.leave(listener, ("A",))
    await ear.release()
    assert history.answering == 0


async def test_all_listeners_are_revoked_whatever_one_of_them_raises(
    layer: Any, ear: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, other = await subscribed(ear, "A"), await subscribed(ear, "A")
    monkeypatch.setattr(broken, "revoke", lambda: 1 / 0)
    message = {"type": "unsubscribe", "group": "A", "revokes": True}
    await broadcast.send_soon(layer, Outgoing(message, "a test"))
    await wait_until(lambda: other.heard)
    assert other.heard == [FakeListener.REVOKED]
    assert "whose rights have ended" in caplog.text
    for each in (broken, other):
        ear.leave(each, ("A",))

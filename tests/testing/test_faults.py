"""`FaultyChannelLayer`: by itself, and as a user's test sees what an application makes of it."""

from __future__ import annotations

import asyncio
import threading

import pytest
from channels.exceptions import ChannelFull
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer

import http_schema
from channels_graphql_ws import ChannelLayerError, GraphqlWsConsumer
from channels_graphql_ws.testing import FaultyChannelLayer, GraphqlWebsocketCommunicator
from http_schema import OnEvent
from support import tick, wait_until

EVENTS = 'subscription { onEvent(group: "a") { event } }'
MESSAGE = {"type": "x"}


class Consumer(GraphqlWsConsumer):
    schema = http_schema.schema
    confirm_subscriptions = True


@pytest.fixture
async def client(faulty_channel_layer):
    async with GraphqlWebsocketCommunicator(Consumer.as_asgi(), "/") as client:
        yield client


@pytest.fixture
def layer():
    return FaultyChannelLayer()


def subscribed(client):
    return client.subscribe(EVENTS, wait_confirmation=True)


async def expect_event(events, text):
    await OnEvent.broadcast(group="a", payload=text)
    assert (await anext(events)).data == {"onEvent": {"event": text}}


async def test_without_trouble_events_pass_through_it(client, faulty_channel_layer):
    async with subscribed(client) as events:
        await expect_event(events, "x")
    assert faulty_channel_layer.calls["group_send"] == 1


async def test_who_can_not_join_is_told_and_may_try_again(client, faulty_channel_layer, caplog):
    faulty_channel_layer.fail("group_add", error=OSError("no Redis"))
    (refused,) = [result async for result in client.subscribe(EVENTS)]
    assert refused.errors[0].extensions == {"code": "SERVICE_UNAVAILABLE"}
    assert "no Redis" in caplog.text
    faulty_channel_layer.heal("group_add")
    async with subscribed(client) as events:
        await expect_event(events, "x")


async def test_a_broadcast_that_fails_raises_and_costs_no_subscription(
    client, faulty_channel_layer
):
    async with subscribed(client) as events:
        faulty_channel_layer.fail("group_send", times=1)
        with pytest.raises(ChannelLayerError, match="out of order"):
            await OnEvent.broadcast(group="a", payload="lost")
        await expect_event(events, "x")


async def test_a_layer_that_is_full_drops_without_a_word(client, faulty_channel_layer):
    async with subscribed(client) as events:
        faulty_channel_layer.is_full = True
        await OnEvent.broadcast(group="a", payload="lost")
        faulty_channel_layer.is_full = False
        await expect_event(events, "x")
    assert [each["type"] for each in faulty_channel_layer.dropped] == ["broadcast"]


async def test_a_subscription_is_confirmed_when_a_slow_layer_has_let_it_in(
    client, faulty_channel_layer
):
    faulty_channel_layer.hold("group_add")
    begun = asyncio.create_task(subscribed(client).__aenter__())
    await wait_until(lambda: faulty_channel_layer.calls["group_add"] == 2)
    await tick(20)
    assert not begun.done()
    faulty_channel_layer.release("group_add")
    async with await begun as events:
        await expect_event(events, "x")


@pytest.mark.parametrize("empty", [True, False])
async def test_events_come_again_after_an_outage(client, faulty_channel_layer, empty):
    async with subscribed(client) as events:
        faulty_channel_layer.stop()
        with pytest.raises(ChannelLayerError):
            await OnEvent.broadcast(group="a", payload="lost")
        joins = faulty_channel_layer.calls["group_add"]
        faulty_channel_layer.start(empty=empty)
        await wait_until(lambda: faulty_channel_layer.calls["group_add"] >= joins + 2)
        await wait_until(lambda: len(faulty_channel_layer.groups) >= 2)
        await expect_event(events, "x")


async def test_one_read_that_breaks_is_made_up_for(client, faulty_channel_layer, caplog):
    async with subscribed(client) as events:
        reads = faulty_channel_layer.calls["receive"]
        faulty_channel_layer.fail("receive", times=1)
        await wait_until(lambda: faulty_channel_layer.calls["receive"] > reads)
        await expect_event(events, "x")
    assert "Cannot read from the channel layer" in caplog.text


async def test_a_held_call_goes_on_when_it_is_released_from_a_thread(layer):
    layer.hold()
    sending = asyncio.create_task(layer.send("c", MESSAGE))
    joining = asyncio.create_task(layer.group_add("g", "c"))
    cancelled = asyncio.create_task(layer.group_discard("g", "c"))
    await tick()
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert not sending.done()
    thread = threading.Thread(target=layer.release)
    thread.start()
    await asyncio.gather(sending, joining)
    thread.join()
    assert await layer.receive("c") == MESSAGE


async def test_reads_are_interrupted_as_often_as_is_said(layer):
    reads = [asyncio.create_task(layer.receive(f"c{number}")) for number in range(3)]
    await tick()
    layer.fail("receive", error=OSError("gone"), times=2)
    layer.fail("send")
    await wait_until(lambda: sum(each.done() for each in reads) == 2)
    assert {type(each.exception()) for each in reads if each.done()} == {OSError}
    waiting = next(each for each in reads if not each.done())
    layer.fail("receive")
    layer.fail("receive")
    with pytest.raises(ConnectionError):
        await waiting


async def test_a_read_that_is_cancelled_is_no_error(layer):
    reading = asyncio.create_task(layer.receive("c"))
    await tick(2)
    reading.cancel()
    await asyncio.wait([reading])
    assert reading.cancelled()


async def test_a_full_layer_raises_for_a_channel(layer):
    layer.is_full = True
    with pytest.raises(ChannelFull):
        await layer.send("c", MESSAGE)
    assert layer.dropped == [MESSAGE]


async def test_its_capacity_counts_as_it_does_in_redis():
    layer = FaultyChannelLayer(capacity=1)
    await layer.group_add("g", "c")
    for number in range(2):
        await layer.group_send("g", {"type": "x", "number": number})
    assert [each["number"] for each in layer.dropped] == [1]
    assert layer.calls["send"] == 0
    await layer.group_discard("g", "c")
    assert layer.groups == {}


async def test_what_was_forgotten_is_lost(layer):
    await layer.group_add("g", await layer.new_channel())
    layer.forget()
    await layer.group_send("g", MESSAGE)
    assert (layer.groups, layer.channels) == ({}, {})


@pytest.mark.parametrize("method", ["fail", "heal", "hold", "release"])
def test_a_method_that_no_layer_has_is_a_mistake(layer, method):
    with pytest.raises(ValueError, match=r"\['group_ad'\] are none of \['group_add'"):
        getattr(layer, method)("group_ad")


async def test_it_gives_the_alias_back_and_lets_go_who_waits(layer):
    before = get_channel_layer()
    assert type(before) is InMemoryChannelLayer
    with layer.installed(), layer.installed("another"):
        assert get_channel_layer() is get_channel_layer("another") is layer
        layer.hold("send")
        sending = asyncio.create_task(layer.send("c", MESSAGE))
        await tick()
    await sending
    assert get_channel_layer() is before
    assert "another" not in channel_layers.backends


def test_a_test_without_an_event_loop_may_use_it(faulty_channel_layer):
    faulty_channel_layer.fail("group_send", times=1)
    with pytest.raises(ChannelLayerError):
        OnEvent.broadcast(payload=1)
    OnEvent.broadcast(payload=2)
    assert faulty_channel_layer.calls["group_send"] == 2

"""What a process tells of itself."""

from __future__ import annotations

import asyncio
from typing import Any

import graphene

from asgi_socket import NEW, AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer, Subscription, WebSocketStatistics, statistics
from channels_graphql_ws.testing import FaultyChannelLayer, GraphqlWsClient, GraphqlWsTransport
from support import tick, wait_until


class OnText(Subscription):
    text = graphene.String()
    history_size = 10

    def publish(self, info):
        return {"text": self}


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    text = OnText.Field()


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Root)
    confirm_subscriptions = True


async def subscribed() -> GraphqlWsClient:
    client = GraphqlWsClient(GraphqlWsTransport(Consumer.as_asgi(), "/"))
    await client.connect_and_init()
    await client.subscribe("subscription { text { text } }")
    return client


async def test_a_process_without_subscribers_has_no_hub_and_is_healthy() -> None:
    assert statistics().hubs == ()
    assert statistics().is_healthy


async def test_what_a_process_receives_is_counted(
    faulty_channel_layer: FaultyChannelLayer,
) -> None:
    before = statistics().publisher
    clients = [await subscribed() for _ in range(2)]
    await OnText.broadcast(payload="1")
    faulty_channel_layer.is_full = True
    await OnText.broadcast(payload="2")
    faulty_channel_layer.is_full = False
    await OnText.broadcast(payload="3")
    for client in clients:
        assert [(await client.transport.receive())["type"] for _ in range(3)] == ["next"] * 3
    counted = await asyncio.to_thread(statistics)
    [hub] = counted.hubs
    assert (hub.groups, hub.subscribers, hub.received, hub.waiting) == (1, 2, 3, 0)
    assert hub.mended >= 1
    assert (hub.missed, hub.undecodable) == (0, 0)
    assert hub.membership is not None
    assert (hub.membership.wanted, hub.membership.joined) == (1, 1)
    assert hub.layer is not None
    assert counted.is_healthy
    assert counted.publisher.sent - before.sent == 3
    assert counted.publisher.waiting == 0
    for client in clients:
        await client.finalize()


async def test_websockets_are_counted() -> None:
    hanging = asyncio.Event()
    sent = asyncio.Event()

    async def on_send(event: dict[str, Any]) -> None:
        if "slow" in event.get("text", ""):
            sent.set()
            await hanging.wait()

    nothing = WebSocketStatistics(0, 0, 0, 0, 0)
    assert statistics().websockets == nothing
    client = await subscribed()
    socket = AsgiSocket(Consumer.as_asgi(), NEW, on_send=on_send)
    await socket.acknowledged()
    socket.start("slow", "subscription { text { text } }")
    await sent.wait()
    for number in range(3):
        socket.say("ping", payload={"n": number})
    await wait_until(lambda: statistics().websockets.unsent_messages)
    await tick(5)
    counted = await asyncio.to_thread(lambda: statistics().websockets)
    assert counted.unsent_bytes > 3 * len('{"type":"pong"}')
    assert counted == WebSocketStatistics(2, 2, 2, 3, counted.unsent_bytes)
    hanging.set()
    await socket.drop()
    await client.finalize()
    await wait_until(lambda: statistics().websockets == nothing)


async def test_the_in_memory_layer_has_no_membership() -> None:
    client = await subscribed()
    await OnText.broadcast(payload="1")
    [hub] = statistics().hubs
    assert hub.membership is hub.layer is None
    assert statistics().is_healthy
    await client.finalize()


async def test_a_layer_that_falls_silent_makes_a_process_unhealthy(
    faulty_channel_layer: FaultyChannelLayer,
) -> None:
    client = await subscribed()
    [before] = statistics().hubs
    assert before.layer is not None
    assert before.layer.silent_for == 0
    hub: Any = next(iter(_hubs()))
    hub._membership._watch._is_amiss = True
    counted = statistics()
    assert not counted.is_healthy
    hub._membership._watch._is_amiss = False
    await client.finalize()


def _hubs() -> list[Any]:
    from channels_graphql_ws.pubsub.hub import hubs_of_process  # noqa: PLC0415 (of one test)

    return list(hubs_of_process())

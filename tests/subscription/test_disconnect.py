"""`Subscription.disconnect`: the connections of a group are closed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import graphene
import pytest
from asgiref.sync import iscoroutinefunction, sync_to_async

from asgi_socket import NEW, AsgiSocket
from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer, Subscription
from channels_graphql_ws.pubsub.hub import hub_of
from channels_graphql_ws.pubsub.layers import channel_layer
from channels_graphql_ws.pubsub.outgoing import Outgoing
from channels_graphql_ws.subscription.single import REVOKED
from channels_graphql_ws.testing import GraphqlHttpClient, GraphqlWsClient, GraphqlWsTransport
from support import tick, wait_until


class Event(Subscription):
    """Goes to a room."""

    number = graphene.Int()
    alike: Any = None

    class Arguments:
        room = graphene.String(required=True)

    @staticmethod
    def subscribe(root: Any, info: Any, room: str) -> list[str]:
        return [room]

    @classmethod
    def context_id(cls, root: Any, info: Any, room: str) -> Any:
        return cls.alike

    @staticmethod
    def publish(payload: Any, info: Any, room: str) -> Any:
        return {"number": payload}


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Hooked(GraphqlWsConsumer):
    """Sees each result."""

    async def on_next(self, op_id: Any, payload: Any) -> Any:
        return payload


SCHEMA = graphene.Schema(
    query=Query, subscription=type("Root", (graphene.ObjectType,), {"event": Event.Field()})
)

EVENTS = 'subscription { event(room: "tea") { number } }'

Connect = Callable[..., Any]


@pytest.fixture(params=[None, "alike"], ids=["single", "shared"])
def alike(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Event, "alike", request.param)


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    clients: list[GraphqlWsClient] = []

    async def connect(room: str, base: Any = GraphqlWsConsumer) -> GraphqlWsClient:
        application = base.as_asgi(schema=SCHEMA, confirm_subscriptions=True)
        client = GraphqlWsClient(GraphqlWsTransport(application, "/"))
        clients.append(client)
        await client.connect_and_init()
        await client.subscribe(f'subscription {{ event(room: "{room}") {{ number }} }}')
        return client

    yield connect
    for client in clients:
        await client.finalize()


async def closed(client: GraphqlWsClient) -> None:
    assert (await client.wait_disconnect(assert_code=4403))["reason"] == REVOKED


async def stays(client: GraphqlWsClient) -> None:
    await Event.broadcast(payload=1)
    assert (await client.receive())["data"] == {"event": {"number": 1}}


@pytest.mark.usefixtures("alike")
@pytest.mark.parametrize("base", [GraphqlWsConsumer, Hooked])
async def test_the_connections_of_a_group_are_closed_and_no_others(
    connect: Connect, base: Any
) -> None:
    gone = [await connect("a", base) for _ in range(2)]
    other = await connect("b", base)
    Event.disconnect(group="a")
    Event.broadcast(group="a", payload=2)
    for each in gone:
        await closed(each)
    await stays(other)
    await Event.disconnect_async()
    await closed(other)


async def test_it_can_be_called_without_an_event_loop(connect: Connect) -> None:
    one, other = await connect("a"), await connect("b")
    await sync_to_async(Event.disconnect_sync)(group="a")
    await closed(one)
    await sync_to_async(Event.disconnect)()
    await closed(other)


async def test_a_stream_ends_with_an_error() -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=SCHEMA, confirm_subscriptions=True)
    client = GraphqlHttpClient(application)
    query = 'subscription { event(room: "a") { number } }'
    async with client.subscribe(query) as results:
        await anext(results)
        await Event.disconnect(group="a")
        Event.broadcast(group="a", payload=2)
        (result,) = [each async for each in results]
    (error,) = result.errors or ()
    assert (error.message, error.extensions) == (REVOKED, {"code": "RIGHTS_ENDED"})


def test_the_log_and_frameworks_know_it() -> None:
    assert iscoroutinefunction(Event.disconnect_async)
    message = {"type": "unsubscribe", "revokes": True}
    assert Outgoing(message, "Event").about == "Event.disconnect(group=None)"


@pytest.mark.usefixtures("alike")
async def test_a_slow_client_does_not_get_what_was_waiting_for_it() -> None:
    may_go_on = asyncio.Event()
    may_go_on.set()
    consumer = GraphqlWsConsumer.as_asgi(schema=SCHEMA)
    slow = AsgiSocket(consumer, NEW, on_send=lambda _event: may_go_on.wait())
    await slow.acknowledged()
    slow.start("1", EVENTS)
    await wait_until(lambda: hub_of(channel_layer("default")).counts()["groups"])
    await tick(10)
    may_go_on.clear()
    for number in range(3):
        await Event.broadcast(group="tea", payload=number)
    await tick(10)
    await Event.disconnect(group="tea")
    await tick(10)
    may_go_on.set()
    await wait_until(lambda: slow.closes)
    # The first one was on its way already.
    assert slow.results("1") == [{"data": {"event": {"number": 0}}}]
    assert slow.closes == [(4403, REVOKED)]
    await slow.drop()


async def test_a_stream_that_is_not_read_ends_without_what_was_waiting() -> None:
    client = GraphqlHttpClient(GraphqlHttpConsumer.as_asgi(schema=SCHEMA))
    async with client.subscribe(EVENTS) as results:
        Event.broadcast(group="tea", payload=1)
        Event.broadcast(group="tea", payload=2)
        await Event.disconnect(group="tea")
        await tick(10)
        (result,) = [each async for each in results]
    assert [each.message for each in result.errors or ()] == [REVOKED]

"""Execution as clients see it: through the consumer, in both subprotocols."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, TypeAlias
from weakref import WeakSet

import graphene
import pytest

from asgi_socket import NEW, AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.execution import documents
from channels_graphql_ws.execution.documents import load
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from engine_fakes import schema_of
from support import tick, wait_until

pytestmark = pytest.mark.usefixtures("executor")

Connect: TypeAlias = Callable[..., Awaitable[GraphqlWsClient]]

mark: ContextVar[str] = ContextVar("mark", default="nothing")
gate = {"open": asyncio.Event()}


class OnEvent(Subscription):
    """Keeps the latest; takes its time while the gate is closed."""

    notification_queue_limit = 1
    number = graphene.Int()

    @staticmethod
    async def publish(payload, info):
        await gate["open"].wait()
        return {"number": payload}


class OnCall(Subscription):
    """Notes how often it was begun and ended."""

    class Arguments:
        name = graphene.String(required=True)

    ok = graphene.Boolean()
    begun: list[str] = []
    ended: list[str] = []

    @classmethod
    async def subscribe(cls, root, info, name):
        cls.begun.append(name)
        await tick()
        return [name]

    @staticmethod
    def publish(payload, info, name):
        if payload == "bad":
            raise ValueError("boom")
        return {"ok": True}

    @classmethod
    async def unsubscribed(cls, root, info, name):
        await tick()
        cls.ended.append(name)
        if name == "fails":
            raise ValueError("boom")


class Query(graphene.ObjectType):
    """Says what it finds."""

    ok = graphene.Boolean(default_value=True)
    bad = graphene.Boolean()
    mark = graphene.String(set=graphene.String())

    @staticmethod
    def resolve_bad(root, info):
        raise ValueError("boom")

    @staticmethod
    async def resolve_mark(root, info, set):
        before = mark.get()
        mark.set(set)
        await tick(3)
        assert mark.get() == set
        return before


class Mutation(graphene.ObjectType):
    """Broadcasts from a resolver that is no coroutine."""

    send = graphene.Int(to=graphene.Int())
    call = graphene.Int()
    end = graphene.Int()

    @staticmethod
    def resolve_send(root, info, to):
        for number in range(to):
            OnEvent.broadcast(payload=number)

    @staticmethod
    def resolve_call(root, info):
        OnCall.broadcast(payload="good")

    @staticmethod
    def resolve_end(root, info):
        OnCall.unsubscribe()


class Root(graphene.ObjectType):
    """Where subscriptions are mounted."""

    on_event = OnEvent.Field()
    on_call = OnCall.Field()


SCHEMA = graphene.Schema(query=Query, mutation=Mutation, subscription=Root)
CALL = 'subscription { onCall(name: "it") { ok } }'


class Consumer(GraphqlWsConsumer):
    """As it comes."""

    schema = SCHEMA
    strict_ordering = True
    confirm_subscriptions = True


class Threaded(Consumer):
    """With synchronous code in threads."""

    resolve_sync_in_threads = True


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    gate["open"] = asyncio.Event()
    gate["open"].set()
    monkeypatch.setattr(OnCall, "begun", [])
    monkeypatch.setattr(OnCall, "ended", [])


@pytest.fixture(params=["graphql-transport-ws", "graphql-ws"])
def subprotocol(request) -> str:
    return str(request.param)


async def opened(consumer: type[GraphqlWsConsumer], subprotocol: str) -> GraphqlWsClient:
    wire = GraphqlWsTransport(consumer.as_asgi(), "/", subprotocol=subprotocol)
    client = GraphqlWsClient(wire, subprotocol)
    await client.connect_and_init()
    return client


@pytest.fixture
async def connect(subprotocol) -> AsyncIterator[Connect]:
    clients: list[GraphqlWsClient] = []

    async def connected(consumer: type[GraphqlWsConsumer] = Consumer) -> GraphqlWsClient:
        clients.append(await opened(consumer, subprotocol))
        return clients[-1]

    yield connected
    for client in clients:
        await client.finalize()


async def results(client: GraphqlWsClient, id: Any, last: Any) -> list[Any]:
    """Give the data of a subscription until the one whose data is `last`."""
    seen: list[Any] = []
    while not seen or seen[-1] != last:
        message = await client.receive_next(id)
        seen.append(message["data"])
    return seen


@pytest.mark.parametrize("consumer", [Consumer, Threaded])
async def test_with_a_limit_of_one_the_first_and_the_latest_arrive(connect, consumer):
    client = await connect(consumer)
    id = await client.subscribe("subscription { onEvent { number } }")
    gate["open"].clear()
    await client.execute("mutation { send(to: 100) }")
    gate["open"].set()
    seen = [data["onEvent"]["number"] for data in await results(client, id, number(99))]
    assert seen[0] == 0
    assert len(seen) < 100
    assert await client.settle() == []


def number(value: int) -> Any:
    return {"onEvent": {"number": value}}


async def client_completes(client: GraphqlWsClient, id: Any) -> None:
    await client.complete(id)
    await client.receive_complete(id)
    await client.complete(id)


async def server_unsubscribes(client: GraphqlWsClient, id: Any) -> None:
    await client.execute("mutation { end end2: end }")
    await client.receive_complete(id)


async def client_closes(client: GraphqlWsClient, id: Any) -> None:
    await client.finalize()


async def protocol_is_broken(client: GraphqlWsClient, id: Any) -> None:
    await client.send_raw_text("[")
    await client.wait_disconnect()


@pytest.mark.parametrize("consumer", [Consumer, Threaded])
@pytest.mark.parametrize(
    "way_out",
    [
        client_completes,
        server_unsubscribes,
        client_closes,
        protocol_is_broken,
    ],
)
async def test_unsubscribed_is_called_once_on_every_way_out(connect, consumer, way_out):
    client = await connect(consumer)
    id = await client.subscribe(CALL)
    await way_out(client, id)
    await wait_until(lambda: OnCall.ended)
    await client.finalize()
    assert (OnCall.begun, OnCall.ended) == (["it"], ["it"])


async def test_a_hook_that_fails_costs_neither_the_complete_nor_the_others(connect):
    client = await connect()
    failing = await client.subscribe('subscription { onCall(name: "fails") { ok } }')
    other = await client.subscribe(CALL)
    await client.complete(failing)
    await client.receive_complete(failing)
    await client.execute("mutation { call }")
    assert await client.receive_next(other) == {"data": {"onCall": {"ok": True}}}
    await client.finalize()
    assert OnCall.ended == ["fails", "it"]


async def test_an_error_of_a_resolver_comes_beside_the_data_and_then_complete(connect):
    client = await connect()
    id = await client.start("{ ok bad }")
    message = await client.transport.receive()
    assert message["payload"] == {
        "data": {"ok": True, "bad": None},
        "errors": [{"message": "boom", "path": ["bad"], "locations": [{"line": 1, "column": 6}]}],
    }
    await client.receive_complete(id)


async def test_one_bad_event_is_one_result_and_the_next_is_good(connect):
    client = await connect()
    id = await client.subscribe(CALL)
    await OnCall.broadcast_async(payload="bad")
    await OnCall.broadcast_async(payload="good")
    bad = (await client.transport.receive())["payload"]
    assert bad["data"] == {"onCall": None}
    assert [error["message"] for error in bad["errors"]] == ["boom"]
    assert await client.receive_next(id) == {"data": {"onCall": {"ok": True}}}


async def test_what_one_operation_sets_in_a_context_variable_no_other_sees(connect):
    client = await connect()
    for name in ("a", "b"):
        result = await client.execute(f'{{ mark(set: "{name}") }}')
        assert result == {"data": {"mark": "nothing"}}


@pytest.mark.parametrize("consumer", [Consumer, Threaded])
async def test_middleware_is_called_for_events_and_not_while_subscribing(connect, consumer):
    calls: list[str] = []

    def noting(next, root, info, **arguments):
        calls.append(info.field_name)
        return next(root, info, **arguments)

    class Noting(consumer):
        middleware = [noting]

    client = await connect(Noting)
    id = await client.subscribe(CALL)
    assert calls == []
    await OnCall.broadcast_async(payload="good")
    await client.receive_next(id)
    assert calls == ["onCall", "ok"]


async def test_connections_share_documents_and_no_document_keeps_one_alive(
    monkeypatch, subprotocol, executor
):
    parsed: list[str] = []
    consumers: WeakSet[Any] = WeakSet()

    def spy(schema, text, rules):
        parsed.append(text)
        return load(schema, text, rules)

    class Watched(Consumer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            consumers.add(self)

    class AnotherClass(Watched):
        pass

    monkeypatch.setattr(documents, "load", spy)
    query = f"{{ ok other: ok }} # {subprotocol} {executor}"
    for consumer in (Watched, Watched, AnotherClass):
        client = await opened(consumer, subprotocol)
        await client.execute(query)
        await client.subscribe(CALL + f"# {subprotocol} {executor}")
        await client.finalize()
        del client
    assert len(parsed) == 2
    await tick(3)
    gc.collect()
    assert not consumers


class OnNumber(Subscription):
    """Sends numbers, all of them."""

    number = graphene.Int()

    @staticmethod
    def publish(payload, info):
        return {"number": payload}


async def test_a_burst_that_nobody_awaits_arrives_whole_and_in_order():
    consumer = type("Bursts", (GraphqlWsConsumer,), {"schema": schema_of(OnNumber)})
    sockets = [AsgiSocket(consumer.as_asgi(), NEW) for _ in range(3)]
    for socket in sockets:
        await socket.acknowledged()
        socket.start("1", "subscription { event { number } }")
    await tick(10)
    size = 3 * GraphqlWsConsumer.subscription_notification_queue_limit
    for number in range(size):
        OnNumber.broadcast(payload=number)
    late = AsgiSocket(consumer.as_asgi(), NEW)
    await late.acknowledged()
    late.start("1", "subscription { event { number } }")
    await wait_until(lambda: all(len(socket.sent) >= size + 2 for socket in sockets))
    for socket in sockets:
        numbers = [result["data"]["event"]["number"] for result in socket.results("1")]
        assert numbers == list(range(size))
        await socket.drop()
    await late.drop()
    assert len(late.results("1")) < size

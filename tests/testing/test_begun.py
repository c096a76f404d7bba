"""Clients in this process wait until a subscription is live, whatever that takes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import graphene
import pytest
from channels.auth import AuthMiddlewareStack
from channels.layers import InMemoryChannelLayer, channel_layers

from channels_graphql_ws import (
    GraphqlHttpConsumer,
    GraphqlWsConsumer,
    GraphqlWsResponseError,
    Subscription,
)
from channels_graphql_ws.testing import (
    GraphqlHttpClient,
    GraphqlWebsocketCommunicator,
    GraphqlWsClient,
    GraphqlWsTransport,
    SyncGraphqlHttpClient,
)
from support import GUARD, tick

NEW, LEGACY = "graphql-transport-ws", "graphql-ws"
BOTH = pytest.mark.parametrize("protocol", [NEW, LEGACY])
QUERY = "subscription ($room: String) { onTalk(room: $room) { text } }"

gate = threading.Event()


class OnTalk(Subscription):
    class Arguments:
        room = graphene.String()

    text = graphene.String()

    @staticmethod
    def subscribe(root, info, room=None):
        if room == "closed":
            raise PermissionError("Closed.")
        if room == "thread":
            # The test cannot go on before this has: it waits in another thread.
            assert gate.wait(GUARD)
            return ["tea"]
        return slowly() if room == "slow" else ["tea"]

    @staticmethod
    def publish(payload, info, room=None):
        return {"text": payload}


async def slowly() -> list[str]:
    await tick(20)
    return ["tea"]


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Subscriptions(graphene.ObjectType):
    on_talk = OnTalk.Field()
    count = graphene.Int()

    async def subscribe_count(root, info):  # noqa: N805 (root, not self)
        await tick(3)
        yield 1


schema = graphene.Schema(query=Query, subscription=Subscriptions)


class Consumer(GraphqlWsConsumer):
    schema = schema


class Confirming(Consumer):
    confirm_subscriptions = True


class HttpConsumer(GraphqlHttpConsumer):
    schema = schema


@pytest.fixture(autouse=True)
def opened_by_a_timer() -> Iterator[None]:
    """Open the gate of a hook that runs in a thread, after the client has begun to wait."""
    gate.clear()
    timer = threading.Timer(0.05, gate.set)
    timer.start()
    yield
    timer.join()


@pytest.fixture
def slow_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel layer whose every call takes some turns, and that is not local."""

    class Slow(InMemoryChannelLayer):
        async def group_add(self, group: str, channel: str) -> None:
            await tick(10)
            await super().group_add(group, channel)

    monkeypatch.setitem(channel_layers.backends, "default", Slow())


WAYS = pytest.mark.parametrize(
    ("room", "options"),
    [("slow", {}), ("thread", {"resolve_sync_in_threads": True}), ("tea", {})],
)


def connect(
    protocol: str = NEW, cls: Any = Consumer, **options: Any
) -> GraphqlWebsocketCommunicator:
    return GraphqlWebsocketCommunicator(cls.as_asgi(**options), "/g/", protocol=protocol)


@BOTH
@WAYS
@pytest.mark.usefixtures("slow_layer")
async def test_what_is_broadcast_in_the_block_arrives(
    protocol: str, room: str, options: dict[str, Any]
) -> None:
    async with (
        connect(protocol, **options) as client,
        client.subscribe(QUERY, {"room": room}) as events,
    ):
        OnTalk.broadcast(group="tea", payload="one")
        assert (await anext(events)).data == {"onTalk": {"text": "one"}}


@BOTH
@WAYS
@pytest.mark.usefixtures("slow_layer")
async def test_so_it_does_with_the_client_of_single_messages(
    protocol: str, room: str, options: dict[str, Any]
) -> None:
    wire = GraphqlWsTransport(Consumer.as_asgi(**options), "/g/", subprotocol=protocol)
    client = GraphqlWsClient(wire, protocol)
    await client.connect_and_init()
    op_id = await client.subscribe(QUERY, variables={"room": room}, wait_confirmation=False)
    await OnTalk.broadcast(group="tea", payload="one")
    assert await client.receive_next(op_id) == {"data": {"onTalk": {"text": "one"}}}
    await client.finalize()


@WAYS
@pytest.mark.usefixtures("slow_layer")
async def test_so_it_does_over_http(room: str, options: dict[str, Any]) -> None:
    client = GraphqlHttpClient(HttpConsumer.as_asgi(**options), "/g/")
    async with client.subscribe(QUERY, {"room": room}) as events:
        OnTalk.broadcast(group="tea", payload="one")
        assert (await anext(events)).data == {"onTalk": {"text": "one"}}


@pytest.mark.usefixtures("slow_layer")
def test_so_it_does_without_an_event_loop() -> None:
    client = SyncGraphqlHttpClient(HttpConsumer.as_asgi(), "/g/")
    with client.subscribe(QUERY, {"room": "slow"}) as events:
        OnTalk.broadcast(group="tea", payload="one")
        assert next(events).data == {"onTalk": {"text": "one"}}


async def test_a_generator_that_has_begun_is_live() -> None:
    async with connect() as client, client.subscribe("subscription { count }") as events:
        assert [result.data async for result in events] == [{"count": 1}]


REFUSED = [
    (QUERY, {"room": "closed"}, "Closed."),
    ("subscription { nothing }", None, "Cannot query field 'nothing'"),
    ("subscription {", None, "Syntax Error"),
]


@BOTH
@pytest.mark.parametrize(("query", "variables", "text"), REFUSED)
@pytest.mark.parametrize("waits", [True, False])
@pytest.mark.parametrize("cls", [Consumer, Confirming])
async def test_a_refusal_is_the_first_result_and_no_confirmation(
    protocol: str, query: str, variables: Any, text: str, waits: bool, cls: Any
) -> None:
    async with connect(protocol, cls) as client:
        events = client.subscribe(query, variables, wait_confirmation=waits)
        result = await anext(events)
        assert text in result.errors[0].message
        await events.aclose()


@BOTH
@pytest.mark.parametrize(("query", "variables", "text"), REFUSED)
async def test_the_client_of_single_messages_raises_a_refusal(
    protocol: str, query: str, variables: Any, text: str
) -> None:
    wire = GraphqlWsTransport(Confirming.as_asgi(), "/g/", subprotocol=protocol)
    client = GraphqlWsClient(wire, protocol)
    await client.connect_and_init()
    with pytest.raises(GraphqlWsResponseError, match=text):
        await client.subscribe(query, variables=variables)
    op_id = await client.subscribe(query, variables=variables, wait_confirmation=False)
    with pytest.raises(GraphqlWsResponseError, match=text):
        await client.receive(wait_id=op_id)
    await client.finalize()


@BOTH
async def test_a_confirmation_is_taken_and_events_behind_it_are_kept(protocol: str) -> None:
    async with (
        connect(protocol, Confirming) as client,
        client.subscribe(QUERY, {"room": "slow"}, wait_confirmation=True) as events,
    ):
        OnTalk.broadcast(group="tea", payload="one")
        assert (await anext(events)).data == {"onTalk": {"text": "one"}}


@BOTH
async def test_a_confirmation_that_does_not_come_is_told_at_once(protocol: str) -> None:
    async with connect(protocol) as client:
        with pytest.raises(AssertionError, match="set `confirm_subscriptions`"):
            await anext(client.subscribe(QUERY, {"room": "tea"}, wait_confirmation=True))


async def test_a_wait_for_a_result_says_what_was_waited_for_and_why_it_may_not_come() -> None:
    async with connect() as client, client.subscribe(QUERY, {"room": "tea"}) as events:
        client.transport.TIMEOUT = 0
        with pytest.raises(TimeoutError) as caught:
            await anext(events)
        client.transport.TIMEOUT = GraphqlWsTransport.TIMEOUT
    text = str(caught.value)
    assert "a result of the subscription" in text
    assert "0" in text
    assert "did `publish` or `filter_event` not skip it?" in text


async def test_a_wait_for_the_beginning_says_what_may_hold_it_up() -> None:
    client = connect()
    async with client:
        client.transport.TIMEOUT = 0
        with pytest.raises(
            TimeoutError, match=r"the subscription to begin.* `subscribe` hook end"
        ):
            await anext(client.subscribe(QUERY, {"room": "slow"}))
        client.transport.TIMEOUT = GraphqlWsTransport.TIMEOUT


async def test_a_connection_that_ends_meanwhile_ends_the_wait() -> None:
    wire = GraphqlWsTransport(Consumer.as_asgi(max_message_size=300), "/g/")
    client = GraphqlWsClient(wire)
    await client.connect_and_init()
    await client.subscribe(QUERY + " " * 300, wait_confirmation=False)
    assert (await client.wait_disconnect())["code"] == 4400
    await client.finalize()


async def foreign(scope: Any, receive: Any, send: Any) -> None:
    """Stand for an application that is not ours: it tells nobody of its operations."""
    await receive()
    await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
    answers = {"connection_init": "connection_ack", "ping": "pong"}
    while (event := await receive())["type"] == "websocket.receive":
        message = json.loads(event["text"])
        if message["type"] == "subscribe":
            answer = {"type": "next", "id": message["id"], "payload": {"data": {"a": 1}}}
        else:
            answer = {**message, "type": answers.get(message["type"], "complete")}
        await send({"type": "websocket.send", "text": json.dumps(answer)})


async def test_an_application_that_is_not_ours_is_asked_by_a_ping() -> None:
    async with GraphqlWebsocketCommunicator(foreign, "/") as communicator:
        assert (await anext(communicator.subscribe("subscription { a }"))).data == {"a": 1}
    client = GraphqlWsClient(GraphqlWsTransport(foreign, "/"))
    await client.connect_and_init()
    op_id = await client.subscribe("subscription { a }", wait_confirmation=False)
    assert await client.receive_next(op_id) == {"data": {"a": 1}}
    await client.finalize()


async def raw(protocol: str, cls: Any = Consumer) -> GraphqlWsClient:
    wire = GraphqlWsTransport(cls.as_asgi(), "/g/", subprotocol=protocol)
    return GraphqlWsClient(wire, protocol)


@pytest.mark.parametrize(
    ("protocol", "start", "data", "stop"),
    [(NEW, "subscribe", "next", "complete"), (LEGACY, "start", "data", "stop")],
)
async def test_messages_may_be_sent_as_the_predecessors_client_did(
    protocol: str, start: str, data: str, stop: str
) -> None:
    client = await raw(protocol, Confirming)
    await client.connect_and_init(connect_only=True)
    assert await client.send(msg_type="connection_init", payload={}, msg_id=None) is None
    await client.receive(assert_type="connection_ack")
    op_id = await client.send(msg_type=start, payload={"query": QUERY})
    await client.receive(assert_id=op_id, assert_type=data)
    assert await client.send(msg_id=op_id, msg_type=stop) == op_id
    await client.receive(assert_id=op_id, assert_type="complete")
    await client.finalize()


@pytest.mark.parametrize(("protocol", "word"), [(NEW, "start"), (LEGACY, "subscribe")])
async def test_a_word_of_the_other_subprotocol_is_told_with_what_to_do(
    protocol: str, word: str
) -> None:
    client = await raw(protocol)
    await client.connect_and_init()
    other = LEGACY if protocol == NEW else NEW
    with pytest.raises(
        ValueError, match=rf"{word!r} is a word of {other!r}.*subprotocol={other!r}"
    ):
        await client.send(msg_type=word, payload={"query": QUERY})
    # What neither has is for the server to judge.
    await client.send(msg_type="nonsense")
    await client.finalize()


async def test_the_payload_of_the_init_may_be_given_when_connecting() -> None:
    class Greeting(Consumer):
        async def on_connect(self, payload: Any) -> Any:
            return {"hello": payload["name"]}

    client = await raw(NEW, Greeting)
    await client.connect_and_init(payload={"name": "Ann"})
    assert client.connection_ack_payload == {"hello": "Ann"}
    await client.finalize()


async def test_a_database_that_the_test_has_not_asked_for_is_told_with_the_reason() -> None:
    async def looking_up(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise RuntimeError('Database access not allowed, use the "django_db" mark')

    client = connect()
    client.transport._application = AuthMiddlewareStack(looking_up)
    with pytest.raises(RuntimeError) as caught:
        await client.gql_init()
    assert "AuthMiddlewareStack" in caught.value.__notes__[0]

"""`GraphqlWebsocketCommunicator`, against a consumer and against applications that misbehave."""

from __future__ import annotations

import asyncio
import json

import graphene
import pytest
from graphql import ExecutionResult, GraphQLError

from channels_graphql_ws import ConnectionClosedError, GraphqlWsConsumer, RemoteProtocolError
from channels_graphql_ws.pubsub.hub import hub_of
from channels_graphql_ws.pubsub.layers import channel_layer
from channels_graphql_ws.subscription.declaration import Subscription
from channels_graphql_ws.testing import GraphqlWebsocketCommunicator
from support import tick, wait_until

ROOMS = "subscription ($room: String) { onTalk(room: $room) { text } }"
ended: list[str] = []


class OnTalk(Subscription):
    class Arguments:
        room = graphene.String()

    text = graphene.String()

    @staticmethod
    def subscribe(root, info, room=None):
        if room == "closed":
            raise GraphQLError("Closed.")
        return [room or "tea"]

    @staticmethod
    def publish(payload, info, room=None):
        if payload == "bad":
            raise GraphQLError("Bad.", extensions={"code": "BAD"})
        return {"text": payload}

    @staticmethod
    def unsubscribed(root, info, room=None):
        ended.append(room)


class Query(graphene.ObjectType):
    hello = graphene.String(name=graphene.String(default_value="you"))
    broken = graphene.String()
    place = graphene.String()
    asked = graphene.JSONString()

    @staticmethod
    def resolve_hello(root, info, name):
        return f"Hello {name}!"

    @staticmethod
    def resolve_broken(root, info):
        raise GraphQLError("Broken.", extensions={"code": 7})

    @staticmethod
    def resolve_place(root, info):
        context = info.context
        return f"{context.META['REMOTE_ADDR']} at {context.build_absolute_uri('/a')}"

    @staticmethod
    def resolve_asked(root, info):
        context = info.context
        return [context.headers.get("x-own"), dict(context.connection_params or {})]


class Subscriptions(graphene.ObjectType):
    on_talk = OnTalk.Field()
    count = graphene.Int()

    async def subscribe_count(root, info):  # noqa: N805 (root, not self)
        try:
            for number in range(1, 4):
                yield number
        finally:
            ended.append("count")


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Subscriptions)

    async def on_connect(self, payload):
        if payload and payload.get("token") == "bad":
            raise GraphQLError("Not you.")
        return {"welcome": True}


@pytest.fixture(params=["graphql-transport-ws", "graphql-ws"])
def protocol(request):
    ended.clear()
    return request.param


def connect(protocol="graphql-transport-ws", application=None, **arguments):
    arguments["protocol"] = protocol
    return GraphqlWebsocketCommunicator(application or Consumer.as_asgi(), "/g/", **arguments)


def listeners():
    return hub_of(channel_layer()).counts()["listeners"]


def told(text):
    return ExecutionResult({"onTalk": {"text": text}})


async def test_the_acknowledgement_can_be_read(protocol):
    async with connect(protocol) as client:
        assert client.connection_ack_payload == {"welcome": True}


async def test_one_may_connect_and_disconnect_by_hand_and_again(protocol):
    client = connect(protocol)
    for _ in range(2):
        assert await client.gql_init() == {"welcome": True}
        assert (await client.execute("{ hello }")).data == {"hello": "Hello you!"}
        await client.disconnect()
    await client.disconnect()


@pytest.mark.parametrize("headers", [{"X-Own": "mine"}, [(b"x-own", b"mine")]])
async def test_headers_and_connection_params_arrive(protocol, headers):
    async with connect(protocol, headers=headers, connection_params={"a": 1}) as client:
        result = await client.execute("{ asked }")
    assert json.loads(result.data["asked"]) == ["mine", {"a": 1}]


async def test_a_rejection_can_be_read():
    client = connect(connection_params={"token": "bad"})
    with pytest.raises(ConnectionClosedError) as caught:
        await client.gql_init()
    assert (caught.value.code, caught.value.reason) == (4403, "Forbidden")


async def test_a_rejection_of_the_legacy_protocol_can_be_read():
    with pytest.raises(ConnectionClosedError, match="Not you"):
        await connect("graphql-ws", connection_params={"token": "bad"}).gql_init()


async def test_who_is_not_connected_can_not_ask():
    client = connect()
    with pytest.raises(ConnectionClosedError, match="not connected"):
        await client.execute("{ hello }")
    async with client:
        pass
    with pytest.raises(ConnectionClosedError, match="has disconnected"):
        await client.execute("{ hello }")


async def test_a_query_gives_a_result(protocol):
    async with connect(protocol) as client:
        query = "query A($n: String) { hello(name: $n) } query B { broken }"
        result = await client.execute(query, {"n": "me"}, "A")
        assert result == ExecutionResult({"hello": "Hello me!"})


async def test_errors_are_rebuilt(protocol):
    async with connect(protocol) as client:
        result = await client.execute("{ broken }")
    (error,) = result.errors
    assert isinstance(error, GraphQLError)
    assert error.message == "Broken."
    assert error.path == ["broken"]
    assert error.extensions == {"code": 7}
    assert [(each.line, each.column) for each in error.locations] == [(1, 3)]
    assert result.data == {"broken": None}


async def test_a_document_that_is_wrong_is_a_result_with_errors(protocol):
    async with connect(protocol) as client:
        result = await client.execute("{ nothing }")
    assert result.data is None
    assert "Cannot query field 'nothing'" in result.errors[0].message


async def test_queries_run_at_the_same_time(protocol):
    async with connect(protocol) as client:
        names = [f"n{number}" for number in range(5)]
        results = await asyncio.gather(
            *(client.execute(f'{{ hello(name: "{name}") }}') for name in names)
        )
    assert [each.data["hello"] for each in results] == [f"Hello {name}!" for name in names]


async def test_the_events_of_a_generator_are_iterated_to_the_end(protocol):
    async with connect(protocol) as client:
        events = [result.data["count"] async for result in client.subscribe("subscription{count}")]
    assert events == [1, 2, 3]


async def test_a_broadcast_arrives_once_the_subscription_is_entered(protocol):
    async with connect(protocol) as client, client.subscribe(ROOMS, {"room": "a"}) as events:
        await OnTalk.broadcast(group="a", payload="one")
        assert await anext(events) == told("one")
        await OnTalk.broadcast(group="a", payload="two")
        await OnTalk.broadcast(group="a", payload="three")
        assert await events.take(2) == [told("two"), told("three")]


async def test_several_subscriptions_are_told_apart(protocol):
    async with (
        connect(protocol) as client,
        client.subscribe(ROOMS, {"room": "a"}) as a,
        client.subscribe(ROOMS, {"room": "b"}) as b,
    ):
        await OnTalk.broadcast(group="b", payload="to b")
        await OnTalk.broadcast(group="a", payload="to a")
        assert await anext(a) == told("to a")
        assert await anext(b) == told("to b")
        assert (await client.execute("{ hello }")).errors is None


async def test_an_event_with_errors_does_not_end_the_subscription(protocol):
    async with connect(protocol) as client, client.subscribe(ROOMS, {"room": "a"}) as events:
        await OnTalk.broadcast(group="a", payload="bad")
        await OnTalk.broadcast(group="a", payload="good")
        failed, good = await events.take(2)
    assert failed.errors[0].extensions == {"code": "BAD"}
    assert good == told("good")


async def test_who_leaves_the_subscription_is_unsubscribed(protocol):
    async with connect(protocol) as client:
        async with client.subscribe(ROOMS, {"room": "a"}):
            assert listeners() == 1
        await wait_until(lambda: ended == ["a"])
        assert listeners() == 0


async def test_who_breaks_off_the_iteration_is_unsubscribed(protocol):
    async with connect(protocol) as client:
        async for result in client.subscribe("subscription { count }"):
            assert result.data == {"count": 1}
            break
        async with client.subscribe(ROOMS, {"room": "a"}) as events:
            await OnTalk.broadcast(group="a", payload="one")
            async for _ in events:
                break
        await wait_until(lambda: sorted(ended) == ["a", "count"])


async def test_a_subscription_that_the_server_ends_has_no_more_results(protocol):
    async with connect(protocol) as client, client.subscribe(ROOMS, {"room": "a"}) as events:
        await OnTalk.unsubscribe(group="a")
        with pytest.raises(AssertionError, match="Expected 1 results"):
            await events.take(1)


async def test_a_refused_subscription_is_a_result_with_errors(protocol):
    async with connect(protocol) as client:
        async for result in client.subscribe(ROOMS, {"room": "closed"}):
            assert [error.message for error in result.errors] == ["Closed."]
            break


async def test_a_refused_subscription_has_no_more_results():
    async with connect() as client:
        results = [each async for each in client.subscribe(ROOMS, {"room": "closed"})]
    assert [each.errors[0].message for each in results] == ["Closed."]


async def test_who_has_waited_in_vain_may_wait_again(protocol):
    async with connect(protocol) as client, client.subscribe(ROOMS, {"room": "a"}) as events:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await anext(events)
        await OnTalk.broadcast(group="a", payload="late")
        assert await anext(events) == told("late")
    assert ended == ["a"]


async def test_the_confirmation_is_waited_for_and_dropped(protocol):
    class Confirming(Consumer):
        confirm_subscriptions = True

    async with (
        connect(protocol, Confirming.as_asgi()) as client,
        client.subscribe(ROOMS, {"room": "a"}, wait_confirmation=True) as events,
    ):
        await OnTalk.broadcast(group="a", payload="one")
        assert await anext(events) == told("one")


async def test_who_waits_for_a_result_is_told_of_the_disconnect(protocol):
    client = connect(protocol)
    await client.gql_init()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(_failing(anext(client.subscribe(ROOMS))))
        await wait_until(lambda: listeners() == 1)
        await tick(3)
        await client.disconnect()
    assert "has disconnected" in str(waiting.result())


async def _failing(awaitable):
    with pytest.raises(ConnectionClosedError) as caught:
        await awaitable
    return caught.value


def misbehaving(*answers):
    """Acknowledge; answer what comes first with `answers`: messages, events, an exception."""

    async def application(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]})
        await receive()
        await send({"type": "websocket.send", "text": '{"type": "connection_ack"}'})
        id = json.loads((await receive())["text"]).get("id")
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
            is_event = answer["type"].startswith("websocket.")
            text = json.dumps({"id": id, **answer})
            await send(answer if is_event else {"type": "websocket.send", "text": text})
        await receive()

    return application


CLOSE = {"type": "websocket.close", "code": 4400, "reason": "No."}


async def test_an_exception_of_the_application_surfaces():
    client = connect(application=misbehaving(KeyError("lost")))
    await client.gql_init()
    with pytest.raises(KeyError, match="lost"):
        await client.execute("{ hello }")
    with pytest.raises(KeyError, match="lost"):
        await client.execute("{ hello }")
    with pytest.raises(KeyError, match="lost"):
        await client.disconnect()


async def test_an_exception_of_the_application_surfaces_in_an_iteration():
    answers = {"type": "next", "payload": {}}, TimeoutError("lost")
    client = connect(application=misbehaving(*answers))
    await client.gql_init()
    events = client.subscribe("subscription { count }", wait_confirmation=True)
    for _ in range(2):
        with pytest.raises(TimeoutError, match="lost"):
            await anext(events)
    await events.aclose()
    with pytest.raises(TimeoutError, match="lost"):
        await client.disconnect()


async def test_a_connection_that_the_application_closes_is_told_with_its_code():
    async with connect(application=misbehaving(CLOSE)) as client:
        events = client.subscribe("subscription { count }")
        with pytest.raises(ConnectionClosedError) as caught:
            await anext(events)
        assert caught.value.code == 4400
        closed = await client.wait_disconnect(assert_code=4400)
        assert (closed["code"], closed["reason"]) == (4400, "No.")


async def test_the_close_of_the_application_can_be_waited_for():
    async with connect(application=misbehaving(CLOSE)) as client, asyncio.TaskGroup() as group:
        closing = group.create_task(client.wait_disconnect())
        await tick()
        await client.transport.send_text("{}")
    assert closing.result()["code"] == 4400
    with pytest.raises(ConnectionClosedError):
        await client.wait_disconnect()


async def test_a_query_without_a_result_is_an_error():
    async with connect(application=misbehaving({"type": "complete"})) as client:
        with pytest.raises(RemoteProtocolError, match="completed without a result"):
            await client.execute("{ hello }")


async def test_a_result_that_is_none_is_an_error():
    async with connect(application=misbehaving({"type": "next", "payload": [1]})) as client:
        with pytest.raises(RemoteProtocolError, match=r"Expected a result, .* sent \[1\]"):
            await client.execute("{ hello }")


async def test_an_error_may_be_an_object_in_the_legacy_protocol():
    answer = {"type": "error", "payload": {"errors": [{"message": "Old."}]}}
    async with connect("graphql-ws", misbehaving(answer)) as client:
        result = await client.execute("{ hello }")
    assert [error.message for error in result.errors] == ["Old."]


async def test_an_application_that_does_not_answer_is_not_waited_for_for_ever():
    client = connect(application=misbehaving({"type": "pong"}))
    client.transport.TIMEOUT = 0.01
    async with client:
        with pytest.raises(TimeoutError):
            await client.execute("{ hello }")


async def test_a_resolver_sees_the_host_and_the_client_of_django_s_own_test_clients(settings):
    settings.ALLOWED_HOSTS = ["testserver"]
    app = Consumer.as_asgi()
    async with GraphqlWebsocketCommunicator(app, "/graphql/") as client:
        result = await client.execute("{ place }")
    assert result.errors is None
    assert result.data == {"place": "127.0.0.1 at http://testserver/a"}

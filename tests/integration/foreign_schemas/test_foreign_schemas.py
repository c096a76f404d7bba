"""Schemas of Strawberry and of Ariadne, served by our consumers over everything they speak."""

from __future__ import annotations

import pytest
from channels.layers import get_channel_layer
from graphql import ExecutionResult

from channels_graphql_ws import GraphqlProtocolTypeRouter, GraphqlWsConsumer
from channels_graphql_ws.subscription.runs import LOST, runs_of_loop
from channels_graphql_ws.testing import (
    GraphqlHttpClient,
    GraphqlWebsocketCommunicator,
    GraphqlWsClient,
    GraphqlWsTransport,
    SyncGraphqlHttpClient,
)

pytestmark = pytest.mark.foreign_schemas

COUNT = "subscription ($to: Int!) { count(to: $to) { number text } }"
COUNTED = [
    ExecutionResult({"count": {"number": number, "text": f"No. {number}"}}) for number in (0, 1)
]
HEARD = 'subscription { heard(group: "tea") }'


@pytest.fixture(params=["graphql-transport-ws", "graphql-ws"])
async def socket(request, schema):
    class Consumer(GraphqlWsConsumer):
        pass

    Consumer.schema = schema
    client = GraphqlWebsocketCommunicator(
        Consumer.as_asgi(), "/", protocol=request.param, connection_params={"token": "t"}
    )
    async with client:
        yield client


@pytest.fixture(params=[False, True, None], ids=["on the loop", "in threads", "found out"])
def application(request, schema):
    return GraphqlProtocolTypeRouter(
        schema,
        middleware_stack=None,
        mask_errors=False,
        resolve_sync_in_threads=request.param,
    )


@pytest.fixture
def http(application):
    return GraphqlHttpClient(application)


async def test_queries_and_mutations_are_executed_over_websocket(socket):
    result = await socket.execute("query ($n: String!) { hello(name: $n) token }", {"n": "you"})
    assert result == ExecutionResult({"hello": "Hello you!", "token": "t"})
    result = await socket.execute("mutation { add(one: 1, other: 2) }")
    assert result == ExecutionResult({"add": 3})


async def test_an_error_is_that_of_one_field_over_websocket(socket):
    result = await socket.execute("{ hello broken }")
    assert result.data == {"hello": "Hello world!", "broken": None}
    assert [(each.message, each.path) for each in result.errors] == [("It is broken", ["broken"])]


async def test_a_generator_is_a_subscription_over_websocket(socket):
    assert [each async for each in socket.subscribe(COUNT, {"to": 2})] == COUNTED


async def test_a_generator_that_fails_ends_its_subscription(socket):
    results = [each async for each in socket.subscribe(COUNT, {"to": 3})]
    assert results[:2] == COUNTED
    assert "I cannot count so far" in results[-1].errors[0].message


async def test_a_generator_may_survive_its_connection(schema):
    consumer = type("Consumer", (GraphqlWsConsumer,), {"schema": schema})
    client = GraphqlWsClient(GraphqlWsTransport(consumer.as_asgi(), "/"))
    async with client, client.subscription("subscription { kept }") as events:
        first = await anext(events)
        await client.finalize()
    client = GraphqlWsClient(GraphqlWsTransport(consumer.as_asgi(), "/"))
    async with client, client.subscription("subscription { kept }", cursor=first.cursor) as events:
        rest = [each async for each in events]
    assert [each["kept"] for each in (first, *rest)] == ["to", "be"]
    assert [each.recovered for each in rest] == [True]
    for run in list(runs_of_loop().runs.values()):
        await run.close_soon(LOST)


async def test_other_channels_code_feeds_a_subscription(socket):
    async with socket.subscribe(HEARD) as events:
        assert (await anext(events)).data == {"heard": "live"}
        await get_channel_layer().group_send("tea", {"type": "chat.message", "text": "Milk?"})
        assert (await anext(events)).data == {"heard": "Milk?"}


async def test_queries_and_mutations_are_executed_over_http(http):
    for method in ("POST", "GET"):
        result = await http.execute("{ hello }", method=method)
        assert result == ExecutionResult({"hello": "Hello world!"})
    assert (await http.execute("mutation { add(one: 1, other: 2) }")).data == {"add": 3}
    assert [each.message for each in (await http.execute("{ broken }")).errors] == ["It is broken"]


async def test_a_generator_is_an_event_stream(http):
    assert [each async for each in http.subscribe(COUNT, {"to": 2})] == COUNTED


async def test_what_does_not_validate_is_told(http, socket):
    message = "Cannot query field 'nonsense' on type 'Query'."
    for client in (http, socket):
        result = await client.execute("{ nonsense }")
        assert [each.message for each in result.errors] == [message]


def test_the_synchronous_client_serves_too(application):
    client = SyncGraphqlHttpClient(application)
    assert client.execute("{ hello }").data == {"hello": "Hello world!"}
    assert client.subscribe(COUNT, {"to": 2}).take(2) == COUNTED

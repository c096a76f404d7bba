"""The Python client against the servers of npm."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from enum import Enum
from typing import Any

import pytest

from channels_graphql_ws.client import (
    ConnectionClosedError,
    ConnectionRejectedError,
    ErrorDetails,
    GraphqlHttpTransport,
    GraphqlOperationError,
    GraphqlSseTransport,
    GraphqlWsClient,
    GraphqlWsTransport,
    Retry,
)
from support import GUARD

pytestmark = pytest.mark.node

AT_ONCE = Retry(wait=lambda _: 0.01)


class Color(Enum):
    RED = 1


def transport_for(kind: str, port: int) -> GraphqlWsTransport | str:
    url = f"127.0.0.1:{port}/graphql/"
    match kind:
        case "ws":
            return f"ws://{url}"
        case "sse single":
            return GraphqlSseTransport(f"http://{url}")
        case "sse":
            return GraphqlHttpTransport(f"http://{url}", only_streams=True)
        case _:
            return GraphqlHttpTransport(f"http://{url}")


@pytest.fixture(params=["ws", "sse", "sse single", "yoga", "apollo"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def client(kind: str, port_of: Any) -> AsyncIterator[GraphqlWsClient]:
    port = port_of(kind.split(maxsplit=1)[0])
    async with GraphqlWsClient(transport_for(kind, port), retry=AT_ONCE) as client:
        yield client


subscribes = pytest.mark.parametrize("kind", ["ws", "sse", "sse single", "yoga"], indirect=True)
"""Apollo Server has subscriptions by other packages only."""


async def test_a_query_is_answered(client):
    assert await client.query("{ hello }") == {"hello": "Hello, you"}


async def test_variables_arrive(client):
    document = "query Q($name: String, $color: Color!, $points: [Point!]!) { hello(name: $name) \
        color(color: $color) sum(points: $points) }"
    variables = {"name": "Ann", "color": Color.RED, "points": ({"x": 1, "y": 2}, {"x": 3})}
    assert await client.query(document, variables) == {
        "hello": "Hello, Ann",
        "color": "RED",
        "sum": 6,
    }


async def test_a_mutation_is_executed_once(client):
    before = await client.query("mutation { add(number: 0) }", into=int)
    assert await client.query("mutation { add(number: 3) }", into=int) == before + 3


async def test_many_queries_at_once_are_answered(client):
    names = [str(number) for number in range(100)]
    asking = [
        client.query("query Q($n: String) { hello(name: $n) }", {"n": each}, into=str)
        for each in names
    ]
    assert await asyncio.gather(*asking) == [f"Hello, {each}" for each in names]


async def test_a_document_that_is_not_valid_is_an_error_with_its_place(client):
    with pytest.raises(GraphqlOperationError) as caught:
        await client.query("{ nothing }")
    (error,) = caught.value.errors
    assert error.message.startswith('Cannot query field "nothing" on type "Query"')
    assert error.locations == ({"line": 1, "column": 3},)


async def test_an_error_of_a_field_comes_with_the_data(client):
    result = await client.result("{ hello broken }")
    assert result.data == {"hello": "Hello, you", "broken": None}
    (error,) = result.errors
    assert isinstance(error, ErrorDetails)
    assert (error.message, error.path) == ("It is broken", ("broken",))


async def test_an_answer_that_does_not_come_is_given_up(client):
    with pytest.raises(TimeoutError, match=r"Waited 0.3 s for an answer of .*127\.0\.0\.1"):
        await client.query("{ never }", timeout=0.3)
    assert await client.query("{ hello }") == {"hello": "Hello, you"}


@subscribes
async def test_events_arrive_in_order_to_the_end(client):
    events = client.subscription("subscription S($to: Int!) { count(to: $to) }", {"to": 500})
    assert [event["count"] async for event in events] == list(range(1, 501))


@subscribes
async def test_a_subscription_that_is_left_ends_on_the_server(client):
    before = await stopped(client)
    async for event in client.subscription("subscription { forever }"):
        if event["forever"] == 2:
            break

    async with asyncio.timeout(GUARD):
        while await stopped(client) == before:  # noqa: ASYNC110 (the server is asked)
            await asyncio.sleep(0.01)  # noqa: TID251 (so that it gets some rest)


async def stopped(client: GraphqlWsClient) -> str:
    """Return what was stopped on the server so far."""
    return await client.query('{ hello(name: "stopped") }', into=str)


@subscribes
async def test_a_subscription_that_is_not_valid_is_an_error(client):
    with pytest.raises(GraphqlOperationError, match="Cannot query field"):
        await anext(client.subscription("subscription { nothing }"))


@pytest.mark.parametrize("kind", ["ws", "yoga"], indirect=True)
async def test_a_subscription_that_breaks_says_so(client):
    """`graphql-sse` says nothing, and leaves the stream open."""
    events = client.subscription("subscription { broken }")
    assert (await anext(events))["broken"] == 1
    with pytest.raises(GraphqlOperationError, match="It is broken"):
        await anext(events)


@subscribes
async def test_many_subscriptions_at_once_get_what_is_theirs(client):
    async def collect(to: int) -> int:
        document = "subscription S($to: Int!) { count(to: $to) }"
        return len([event async for event in client.subscription(document, {"to": to})])

    assert await asyncio.gather(*(collect(to) for to in range(1, 21))) == list(range(1, 21))


@pytest.mark.parametrize("kind", ["yoga", "apollo"])
async def test_batches_are_answered(kind, port_of):
    port = port_of(kind)
    transport = GraphqlHttpTransport(f"http://127.0.0.1:{port}/graphql/", batch_interval=0.01)
    async with GraphqlWsClient(transport) as client:
        answers = await asyncio.gather(*(client.query("{ hello }") for _ in range(5)))
    assert answers == [{"hello": "Hello, you"}] * 5


@pytest.mark.parametrize("kind", ["yoga"])
async def test_files_are_uploaded(client):
    document = "mutation Up($file: File!) { size(file: $file) }"
    assert await client.query(document, {"file": io.BytesIO(b"12345")}, into=int) == 5


@pytest.mark.parametrize("kind", ["yoga"])
async def test_queries_by_get_are_answered(kind, port_of):
    port = port_of(kind)
    transport = GraphqlHttpTransport(
        f"http://127.0.0.1:{port}/graphql/", headers={"X-Who": "me"}, queries_by_get=True
    )
    async with GraphqlWsClient(transport) as client:
        assert await client.query('{ header(name: "X-Who") }', into=str) == "me"


async def test_connection_parameters_arrive_and_may_be_refused(port_of):
    port = port_of("ws")
    url = f"ws://127.0.0.1:{port}/graphql/"
    async with GraphqlWsClient(url, connection_params={"token": "good"}, lazy=False) as client:
        assert client.connection_ack_payload == {"welcome": {"token": "good"}}
    refused = GraphqlWsClient(
        url, connection_params={"token": "bad"}, retry=Retry(attempts=1, wait=lambda _: 0)
    )
    with pytest.raises(ConnectionClosedError, match="4403: Forbidden"):
        async with refused:
            await refused.query("{ hello }")


async def test_a_path_that_the_server_does_not_have_is_a_rejection(port_of):
    port = port_of("ws")
    async with GraphqlWsClient(f"ws://127.0.0.1:{port}/nowhere/") as client:
        with pytest.raises(ConnectionRejectedError, match="HTTP 400"):
            await client.query("{ hello }")


@subscribes
async def test_a_subscription_outlives_its_server(kind, start):
    server = start(kind.split()[0])
    async with GraphqlWsClient(transport_for(kind, server.port), retry=AT_ONCE) as client:
        events = client.subscription("subscription { forever }")
        assert [(await anext(events))["forever"] for _ in range(2)] == [1, 2]
        server.stop()
        start(kind.split()[0], server.port)
        event = await anext(events)
        assert (event["forever"], event.gap.reason) == (1, "reconnected")
        await events.aclose()

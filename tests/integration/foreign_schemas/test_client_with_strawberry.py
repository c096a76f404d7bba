"""The Python client against servers of Strawberry: its consumers for WebSocket and HTTP."""

from __future__ import annotations

import asyncio
import importlib
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest

from channels_graphql_ws.client import (
    GraphqlOperationError,
    GraphqlWsClient,
    GraphqlWsClientSync,
)
from node_process import serving

pytestmark = pytest.mark.foreign_schemas

COUNT = "subscription C($to: Int!) { count(to: $to) { number text } }"


@pytest.fixture
def strawberry() -> Any:
    """The schema of the tests, and Strawberry's consumers."""
    pytest.importorskip("strawberry")
    return importlib.import_module("strawberry.channels"), importlib.import_module(
        "strawberry_schema"
    )


@pytest.fixture
async def ws_url(strawberry: Any) -> AsyncIterator[str]:
    channels, kit = strawberry
    async with serving(channels.GraphQLWSConsumer.as_asgi(schema=kit.schema)) as port:
        yield f"ws://127.0.0.1:{port}/graphql/"


@pytest.fixture
async def http_url(strawberry: Any) -> AsyncIterator[str]:
    channels, kit = strawberry
    consumer = channels.GraphQLHTTPConsumer.as_asgi(
        schema=kit.schema,
        multipart_uploads_enabled=True,
        subscription_protocols=["graphql-sse"],
    )
    async with serving(consumer) as port:
        yield f"http://127.0.0.1:{port}/graphql/"


@pytest.fixture(params=["websocket", "http"])
async def client(
    request: pytest.FixtureRequest, ws_url: str, http_url: str
) -> AsyncIterator[GraphqlWsClient]:
    async with GraphqlWsClient(http_url if request.param == "http" else ws_url) as client:
        yield client


async def test_queries_and_mutations_are_answered(client):
    assert await client.query("query H($n: String!) { hello(name: $n) }", {"n": "Ann"}) == {
        "hello": "Hello Ann!"
    }
    document = "mutation A($one: Int!) { add(one: $one, other: 2) }"
    assert await client.query(document, {"one": 1}, into=int) == 3


async def test_many_queries_at_once_are_answered(client):
    asking = [
        client.query("query H($n: String!) { hello(name: $n) }", {"n": str(number)}, into=str)
        for number in range(50)
    ]
    assert await asyncio.gather(*asking) == [f"Hello {number}!" for number in range(50)]


async def test_errors_have_their_path_or_place(client):
    result = await client.result("{ broken }")
    assert (result.data, result.errors[0].path) == ({"broken": None}, ("broken",))
    with pytest.raises(GraphqlOperationError, match="Cannot query field 'nothing'"):
        await client.query("{ nothing }")


async def test_events_arrive_to_the_end(ws_url):
    for protocol in ("graphql-transport-ws", "graphql-ws"):
        async with GraphqlWsClient(ws_url, subprotocols=[protocol]) as client:
            events = [each["count"] async for each in client.subscription(COUNT, {"to": 2})]
        assert events == [{"number": n, "text": f"No. {n}"} for n in range(2)]


async def test_a_subscription_that_breaks_says_so(ws_url):
    async with GraphqlWsClient(ws_url) as client:
        events = client.subscription(COUNT, {"to": 3})
        assert [(await anext(events))["count"]["number"] for _ in range(3)] == [0, 1, 2]
        last = await anext(events)
        assert last.errors[0]["message"] == "I cannot count so far"


async def test_a_client_without_an_event_loop_gets_the_same(ws_url, http_url):
    def ask(url: str) -> Any:
        with GraphqlWsClientSync(url) as client:
            return client.query("{ hello }", into=str)

    for url in (ws_url, http_url):
        assert await asyncio.to_thread(ask, url) == "Hello world!"


async def test_events_arrive_over_http_too(http_url):
    async with GraphqlWsClient(http_url) as client:
        events = [each["count"]["number"] async for each in client.subscription(COUNT, {"to": 2})]
    assert events == [0, 1]


async def test_uploads_reach_a_server_that_takes_forms(http_url):
    async with GraphqlWsClient(http_url) as client:
        with pytest.raises(GraphqlOperationError, match="Unknown type 'Upload'"):
            await client.query("mutation($f: Upload!) { x(f: $f) }", {"f": io.BytesIO(b"x")})

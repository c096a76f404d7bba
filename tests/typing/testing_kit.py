"""What type checkers know of the kit for tests: checked by mypy and pyright, never run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, assert_type

from graphql import ExecutionResult, GraphQLError

from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer
from channels_graphql_ws.testing import (
    FaultyChannelLayer,
    GraphqlHttpClient,
    GraphqlHttpResult,
    GraphqlWebsocketCommunicator,
    LiveServer,
    SyncGraphqlHttpClient,
    alogin_headers,
    login_headers,
)


async def a_test_subscribes(consumer: type[GraphqlWsConsumer], user: object) -> None:
    """Results have types, over WebSocket."""
    async with GraphqlWebsocketCommunicator(
        consumer.as_asgi(),
        "/graphql/",
        headers=login_headers(user),
        protocol="graphql-ws",
        connection_params={"token": "x"},
    ) as client:
        assert_type(client.connection_ack_payload, Any)
        assert_type(await client.execute("{ hello }", {"n": 1}, "A"), ExecutionResult)
        async for result in client.subscribe("subscription { onTick }"):
            assert_type(result, ExecutionResult)
        async with client.subscribe("subscription { a }", wait_confirmation=True) as events:
            assert_type(await anext(events), ExecutionResult)
            assert_type(await events.take(2), list[ExecutionResult])
        assert_type(await client.wait_disconnect(assert_code=4400), dict[str, Any])


async def a_test_posts(consumer: type[GraphqlHttpConsumer], user: object) -> None:
    """And over HTTP."""
    client = GraphqlHttpClient(consumer.as_asgi(), headers={"X-Own": "x"}, csrf=False)
    await client.force_login(user)
    result = await client.execute(
        "{ hello }", {"n": 1}, files={"file": b"x"}, headers=await alogin_headers(user)
    )
    assert_type(result, GraphqlHttpResult)
    assert_type(result.status, int)
    assert_type(result.headers["X-Own"], str)
    assert_type(result.errors, list[GraphQLError] | None)
    async for event in client.subscribe("subscription { a }", headers=[(b"a", b"b")]):
        assert_type(event, ExecutionResult)


def a_test_without_an_event_loop(consumer: type[GraphqlHttpConsumer], user: object) -> None:
    """The same, and it waits."""
    client = SyncGraphqlHttpClient(consumer.as_asgi(), headers={"X-Own": "x"}, csrf=False)
    client.force_login(user)
    assert_type(client.execute(None, parameters={"documentId": "x"}), GraphqlHttpResult)
    results = client.execute_batch(["{ hello }", {"query": "{ hello }"}])
    assert_type(results, list[GraphqlHttpResult])
    with client.subscribe("subscription { a }") as events:
        assert_type(next(events), ExecutionResult)
        assert_type(events.take(2), list[ExecutionResult])


async def a_test_serves(consumer: type[GraphqlHttpConsumer]) -> None:
    """A server, and a layer in trouble."""
    with FaultyChannelLayer(capacity=1).installed() as layer:
        layer.fail("group_add", error=OSError(), times=1)
        assert_type(layer.calls["group_add"], int)
    async with LiveServer(consumer, server="daphne") as server:
        assert_type(server.ws_url, str)
        assert_type(server.port, int)


async def a_test_uses_the_plugin(
    graphql_ws_client: Callable[..., GraphqlWebsocketCommunicator],
    graphql_http_client: Callable[..., GraphqlHttpClient],
) -> None:
    """As the fixtures are to be annotated."""
    async with graphql_ws_client() as client:
        assert_type(client, GraphqlWebsocketCommunicator)
    await graphql_http_client(path="/api/").execute("{ hello }", method="GET")

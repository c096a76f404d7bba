"""The pytest plugin: its fixtures, and that it costs nothing."""

from __future__ import annotations

import sys

import aiohttp

import http_schema
from channels_graphql_ws import GraphqlHttpConsumer, GraphqlProtocolTypeRouter, GraphqlWsConsumer
from channels_graphql_ws.testing import LiveServer
from http_schema import OnEvent
from support import GUARD

project = GraphqlProtocolTypeRouter(http_schema.schema, middleware_stack=None)


class Ws(GraphqlWsConsumer):
    schema = http_schema.schema


class Http(GraphqlHttpConsumer):
    schema = http_schema.schema


async def test_a_websocket_client_is_made_of_a_consumer(graphql_ws_client):
    async with (
        graphql_ws_client(Ws, protocol="graphql-ws") as client,
        client.subscribe("subscription { onEvent { event } }") as events,
    ):
        await OnEvent.broadcast(payload="x")
        assert (await anext(events)).data == {"onEvent": {"event": "x"}}


async def test_an_http_client_is_made_of_a_consumer(graphql_http_client):
    result = await graphql_http_client(Http).execute("{ hello }")
    assert result.data == {"hello": "Hello world!"}


def test_a_synchronous_client_is_made_of_a_consumer(graphql_sync_http_client):
    assert graphql_sync_http_client(Http).execute("{ hello }").data == {"hello": "Hello world!"}


async def test_an_application_is_taken_as_it_is(graphql_http_client):
    result = await graphql_http_client(Http.as_asgi(), "/g/").execute("{ hello }")
    assert result.errors is None


async def test_without_an_application_it_is_the_projects(
    graphql_http_client, graphql_ws_client, settings
):
    settings.ASGI_APPLICATION = f"{__name__}.project"
    assert (await graphql_http_client().execute("{ hello }")).errors is None
    async with (
        LiveServer() as server,
        aiohttp.request("POST", server.http_url, json={"query": "{ hello }"}) as response,
    ):
        assert response.status == 200
    async with graphql_ws_client() as client:
        assert (await client.execute("{ hello }")).errors is None


def test_it_imports_nothing_of_the_package_and_needs_no_plugin_for_async_tests(pytester):
    pytester.makepyfile(
        """
        import asyncio
        import sys

        def test_nothing_is_imported():
            names = ("channels_graphql_ws", "channels", "django", "graphene")
            assert not [name for name in names if name in sys.modules]

        def test_a_fixture_works(graphql_ws_client):
            from django.conf import settings
            settings.configure(CHANNEL_LAYERS={}, SECRET_KEY="x")
            import graphene
            from channels_graphql_ws import GraphqlWsConsumer

            class Query(graphene.ObjectType):
                hello = graphene.String(default_value="Hello!")

            class Consumer(GraphqlWsConsumer):
                schema = graphene.Schema(query=Query)

            async def ask():
                async with graphql_ws_client(Consumer) as client:
                    return await client.execute("{ hello }")

            assert asyncio.run(ask()).data == {"hello": "Hello!"}
        """
    )
    command = [sys.executable, "-m", "pytest", "-p", "pytest_channels_graphql_ws"]
    without = ("django", "asyncio", "randomly", "timeout", "anyio", "cov", "xdist", "aiohttp")
    for name in without:
        command += ["-p", f"no:{name}"]
    done = pytester.run(*command, timeout=3 * GUARD)
    done.assert_outcomes(passed=2)

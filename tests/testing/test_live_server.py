"""`LiveServer`: real sockets, with both servers; and what it says where it cannot serve."""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from contextlib import ExitStack

import aiohttp
import graphene
import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.test import override_settings
from django.urls import path

import http_schema
from channels_graphql_ws import (
    ConnectionClosedError,
    GraphqlHttpConsumer,
    GraphqlProtocolTypeRouter,
    GraphqlView,
    GraphqlWsClient,
    GraphqlWsTransportAiohttp,
)
from channels_graphql_ws.testing import LiveServer, login_headers
from http_schema import OnEvent
from support import GUARD, wait_until

EVENTS = 'subscription { onEvent(group: "a") { event } }'
MESSAGE = {"data": {"onEvent": {"event": "x"}}}

pytestmark = [
    pytest.mark.servers,
    # Of the oldest Uvicorn that we allow.
    pytest.mark.filterwarnings("ignore:remove second argument of ws_handler:DeprecationWarning"),
]
each_server = pytest.mark.parametrize("name", ["uvicorn", "daphne"])


@pytest.fixture(autouse=True)
def nobody_has_unsubscribed():
    http_schema.calls.clear()


def router(**options):
    return GraphqlProtocolTypeRouter(http_schema.schema, middleware_stack=None, **options)


async def connected(server, **options):
    client = GraphqlWsClient(GraphqlWsTransportAiohttp(server.ws_url, **options))
    await client.connect_and_init()
    return client


async def asked_over_http(server, query="{ hello }", **options):
    async with (
        aiohttp.ClientSession(**options) as session,
        session.post(server.http_url, json={"query": query}) as response,
    ):
        return await response.json(content_type=None)


@each_server
async def test_http_and_websocket_are_served(name):
    async with LiveServer(router(), server=name) as server:
        assert server.url == f"http://127.0.0.1:{server.port}"
        assert (await asked_over_http(server))["data"] == {"hello": "Hello world!"}
        client = await connected(server)
        events = await client.subscribe(EVENTS, wait_confirmation=False)
        await client.execute("{ hello }")
        # From the test, over the in-memory layer: it is the same process.
        await OnEvent.broadcast(group="a", payload="x")
        assert await client.receive(wait_id=events) == MESSAGE
        await client.finalize()
    assert http_schema.calls == ["a"]
    with pytest.raises(aiohttp.ClientConnectorError):
        await asked_over_http(server)


@each_server
async def test_servers_may_run_beside_and_after_each_other(name):
    for _ in range(2):
        async with LiveServer(router(), server=name) as one, LiveServer(router()) as other:
            assert one.port != other.port
            for server in (one, other):
                assert (await asked_over_http(server))["data"] == {"hello": "Hello world!"}


@each_server
async def test_who_is_still_connected_is_sent_away(name):
    async with LiveServer(router(), server=name) as server:
        client = await connected(server)
        await client.subscribe(EVENTS, wait_confirmation=False)
        await client.execute("{ hello }")
    with pytest.raises(ConnectionClosedError):
        await client.receive()
    await wait_until(lambda: http_schema.calls == ["a"])
    await client.finalize()


@each_server
async def test_a_stream_does_not_keep_a_server_from_stopping(name):
    headers = {"Accept": "text/event-stream"}
    async with aiohttp.ClientSession() as session:
        async with LiveServer(router(), server=name) as server:
            response = await session.post(server.http_url, json={"query": EVENTS}, headers=headers)
            await response.content.readuntil(b"\n\n")
            reading = asyncio.ensure_future(response.content.read())
        await asyncio.wait([reading])
        reading.exception()
    assert http_schema.calls == ["a"]


@each_server
def test_a_test_without_an_event_loop_may_use_it(name):
    with LiveServer(router(), server=name) as server:
        result = asyncio.run(asked_over_http(server))
        assert result["data"] == {"hello": "Hello world!"}
    assert not [each for each in threading.enumerate() if each.name == "live-server"]


def test_a_server_that_nobody_asks_stops(graphql_live_server):
    for name in ("uvicorn", "daphne"):
        graphql_live_server(router(), server=name)


def test_the_path_is_that_of_the_application():
    server = LiveServer(router(), "api/graphql/")
    assert server.http_url == "http://127.0.0.1:0/api/graphql/"
    assert server.ws_url == "ws://127.0.0.1:0/api/graphql/"


class Urls:
    urlpatterns = (path("graphql/", GraphqlView.as_view(schema=http_schema.schema)),)


async def test_django_takes_its_address_for_allowed():
    with override_settings(ROOT_URLCONF=Urls, MIDDLEWARE=[], ALLOWED_HOSTS=["example.com"]):
        async with LiveServer(get_asgi_application()) as server:
            assert settings.ALLOWED_HOSTS == ["example.com", "127.0.0.1"]
            assert (await asked_over_http(server))["data"] == {"hello": "Hello world!"}
        assert settings.ALLOWED_HOSTS == ["example.com"]


async def test_a_page_of_its_own_origin_may_connect():
    with override_settings(ALLOWED_HOSTS=["example.com"]):
        async with LiveServer(router()) as server:
            client = await connected(server, headers={"Origin": server.url})
            await client.finalize()


class Query(graphene.ObjectType):
    me = graphene.String()
    users = graphene.List(graphene.String)

    @staticmethod
    def resolve_me(root, info):
        return info.context.user.get_username()

    @staticmethod
    async def resolve_users(root, info):
        return [user.get_username() async for user in User.objects.all()]


@each_server
@pytest.mark.django_db(transaction=True)
def test_what_the_test_has_committed_is_seen(name, graphql_live_server):
    headers = login_headers(User.objects.create_user("ada"))
    application = GraphqlProtocolTypeRouter(
        graphene.Schema(query=Query), resolve_sync_in_threads=True
    )
    server = graphql_live_server(application, server=name)
    cookie = {"Cookie": headers[0][1].decode()}
    result = asyncio.run(asked_over_http(server, "{ me users }", headers=cookie))
    assert result == {"data": {"me": "ada", "users": ["ada"]}}


def test_the_fixture_takes_consumers_and_stops_its_servers(graphql_live_server):
    class Consumer(GraphqlHttpConsumer):
        schema = http_schema.schema

    server = graphql_live_server(Consumer)
    result = asyncio.run(asked_over_http(server))
    assert result["data"] == {"hello": "Hello world!"}


def absent(monkeypatch, *names):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "channels_graphql_ws.testing.servers.find_spec",
        lambda name: None if name in names else found(name),
    )


def test_without_a_server_it_says_what_to_install(monkeypatch):
    absent(monkeypatch, "uvicorn", "daphne")
    with pytest.raises(RuntimeError, match=r"needs uvicorn or daphne.*channels-graphql-ws\[uvi"):
        LiveServer(router())
    with pytest.raises(RuntimeError, match=r"needs daphne.*channels-graphql-ws\[daphne\]"):
        LiveServer(router(), server="daphne")


def test_uvicorn_without_websockets_says_what_to_install(monkeypatch):
    absent(monkeypatch, "websockets", "wsproto")
    with pytest.raises(RuntimeError, match="Uvicorn serves no WebSockets"):
        LiveServer(router())


def test_a_server_that_nobody_knows_is_a_mistake():
    with pytest.raises(ValueError, match=r"'gunicorn' is none of \['uvicorn', 'daphne'\]"):
        LiveServer(router(), server="gunicorn")


async def test_an_application_that_does_not_start_up_is_an_error():
    async def application(scope, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    allowed = list(settings.ALLOWED_HOSTS)
    with ExitStack() as stack, pytest.raises(RuntimeError, match="did not start"):
        stack.enter_context(LiveServer(application, server="uvicorn"))
    assert allowed == settings.ALLOWED_HOSTS


async def test_an_application_that_does_not_end_is_cancelled(monkeypatch):
    monkeypatch.setattr("channels_graphql_ws.testing.servers.STOP_AFTER", 0)
    cancelled = threading.Event()

    async def application(scope, receive, send):
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with aiohttp.ClientSession() as session:
        async with LiveServer(application, server="daphne") as server:
            response = await session.get(server.url)
            await response.content.readexactly(1)
        response.close()
    assert cancelled.wait(GUARD)

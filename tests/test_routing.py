"""The one-line router: addresses, options, users, and who may connect."""

from __future__ import annotations

import asyncio
import re
import signal

import graphene
import pytest
from asgiref.testing import ApplicationCommunicator
from django.contrib.auth.models import User
from django.test import AsyncClient, override_settings

import http_schema
from channels_graphql_ws import GraphqlWsConsumer, shutdown
from channels_graphql_ws.client.transport import ConnectionRejectedError
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from channels_graphql_ws.operations.option_values import with_options
from channels_graphql_ws.routing import GraphqlProtocolTypeRouter, is_allowed
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from http_client import ask, post
from support import GUARD


async def django(_scope, _receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"Django"})


@pytest.fixture(autouse=True)
def sessions_without_a_database():
    with override_settings(
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
        ALLOWED_HOSTS=["testserver", ".example.com"],
    ):
        yield


@pytest.fixture(autouse=True)
def wish(monkeypatch):
    """What routers wish of signals, which no other test is to hear of."""
    wish = shutdown._SignalSettings()
    monkeypatch.setattr(shutdown, "_signal_settings", wish)
    return wish


def router(schema=http_schema.schema, **options):
    # Users are looked up in the database, which most tests have none of.
    defaults = {"django_application": django, "middleware_stack": None}
    return GraphqlProtocolTypeRouter(schema, **{**defaults, **options})


def websocket(application, path="/graphql/", **headers):
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    return GraphqlWsClient(GraphqlWsTransport(application, path, {"headers": encoded}))


@pytest.mark.parametrize("path", ["/graphql", "/graphql/"])
async def test_graphql_is_served_over_http(path):
    answer = await post(router(), {"query": "{ hello }"}, path=path)
    assert answer.json == {"data": {"hello": "Hello world!"}}


@pytest.mark.parametrize("path", ["/", "/graphql/more", "/other/graphql/", "/graphql//"])
async def test_all_else_is_djangos(path):
    assert (await ask(router(), "GET", path)).body == b"Django"


async def test_without_django_all_else_is_not_found():
    answer = await ask(router(django_application=None), "GET", "/other")
    assert (answer.status, answer.body) == (404, b"Not found\n")


async def test_graphql_is_served_over_websocket():
    client = websocket(router())
    await client.connect_and_init()
    assert await client.execute("{ hello }") == {"data": {"hello": "Hello world!"}}
    await client.finalize()


async def test_a_websocket_elsewhere_is_refused():
    with pytest.raises(ConnectionRejectedError):
        await websocket(router(), "/other/").connect_and_init()


async def test_the_address_may_be_another_with_arguments():
    application = router(url_pattern=r"^api/(?P<tenant>\w+)/$")
    answer = await post(application, {"query": "{ asked }"}, path="/api/t/", headers={"X-Own": ""})
    assert '"path_params": {"tenant": "t"}' in answer.json["data"]["asked"]
    assert (await ask(application, "GET", "/graphql/")).body == b"Django"


async def test_http_may_be_left_to_django():
    application = router(http_consumer=None)
    assert (await post(application, {"query": "{ hello }"})).body == b"Django"
    client = websocket(application)
    await client.connect_and_init()
    await client.finalize()


async def test_servers_that_ask_for_a_lifespan_get_a_no_where_that_is_wanted():
    with pytest.raises(ValueError, match="lifespan"):
        await router(shutdown_timeout=None)({"type": "lifespan"}, None, None)


async def test_the_router_shuts_down_with_the_server(wish):
    application = router(shutdown_timeout=3)
    assert (wish.timeout, wish.signals) == (3, (signal.SIGTERM,))
    client = websocket(application)
    await client.connect_and_init()
    handlers = {number: signal.getsignal(number) for number in shutdown.SIGNALS}
    said, told = [{"type": "lifespan.shutdown"}, {"type": "lifespan.startup"}], []

    async def receive():
        return said.pop()

    async def send(message):
        told.append(message["type"])

    try:
        await application({"type": "lifespan"}, receive, send)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        shutdown._listeners.clear()
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert (await client.wait_disconnect())["code"] == 1012


async def test_options_reach_the_consumers_that_have_them():
    def shout(next_, root, info, **arguments):
        return next_(root, info, **arguments).upper()

    application = router(middleware=[shout], max_batch_size=2, answer_complete=False)
    answer = await post(application, [{"query": "{ hello }"}])
    assert answer.json == [{"data": {"hello": "HELLO WORLD!"}}]
    client = websocket(application)
    await client.connect_and_init()
    assert await client.execute("{ hello }") == {"data": {"hello": "HELLO WORLD!"}}
    await client.finalize()


async def test_the_classes_may_be_ones_own():
    class Http(GraphqlHttpConsumer):
        max_batch_size = 3

        def process_result(self, request, result):
            return {"data": "mine"}

    class Ws(GraphqlWsConsumer):
        async def on_connect(self, payload):
            return {"hello": "you"}

    application = router(http_consumer=Http, websocket_consumer=Ws)
    assert (await post(application, [{"query": "{ hello }"}])).json == [{"data": "mine"}]
    client = websocket(application)
    await client.connect_and_init()
    await client.finalize()


@pytest.mark.parametrize(
    ("name", "hint"),
    [("max_batchsize", ", did you mean 'max_batch_size'?"), ("on_connect", ""), ("zzz", "")],
)
def test_an_unknown_option_is_refused(name, hint):
    with pytest.raises(TypeError) as caught:
        router(**{name: 1})
    message = f"GraphqlProtocolTypeRouter has no option {name!r}"
    assert str(caught.value).startswith(message)
    assert hint in str(caught.value)


def test_all_attributes_of_the_consumers_are_options():
    for cls in (GraphqlHttpConsumer, GraphqlWsConsumer):
        own = [
            name
            for base in cls.__mro__
            if base.__module__.startswith("channels_graphql_ws")
            for name in base.__annotations__
            if not name.startswith("_") and hasattr(cls, name)
        ]
        assert "group_name_prefix" in own
        router(**{name: getattr(cls, name) for name in own if name != "schema"})


@pytest.mark.parametrize(
    ("name", "consumer"),
    [
        ("websocket_consumer", None),
        ("websocket_consumer", GraphqlHttpConsumer),
        ("http_consumer", GraphqlWsConsumer),
        ("http_consumer", GraphqlHttpConsumer.as_asgi),
    ],
)
def test_a_consumer_of_another_kind_is_refused(name, consumer):
    with pytest.raises(TypeError, match=rf"^{name} is .*, it has to be a subclass of Graphql"):
        router(**{name: consumer})


def test_a_pattern_that_is_none_is_refused():
    with pytest.raises(re.error):
        router(url_pattern="graphql(")


def test_what_is_no_schema_is_refused():
    with pytest.raises(TypeError, match="is not a schema"):
        router(schema="type Query { a: Int }")


def test_a_class_without_options_is_itself():
    assert with_options(GraphqlHttpConsumer, {}) is GraphqlHttpConsumer


def test_an_option_that_is_a_function_becomes_no_method():
    cls = with_options(GraphqlHttpConsumer, {"middleware": len})
    assert cls().middleware is len


class Query(graphene.ObjectType):
    me = graphene.String()

    @staticmethod
    def resolve_me(_root, info):
        return info.context.user.get_username()


@pytest.mark.django_db(transaction=True)
async def test_the_user_is_the_same_over_http_and_websocket():
    user = await User.objects.acreate_user("ada")
    browser = AsyncClient()
    await browser.aforce_login(user)
    cookie = f"sessionid={browser.cookies['sessionid'].value}"
    application = GraphqlProtocolTypeRouter(graphene.Schema(query=Query))
    answer = await post(application, {"query": "{ me }"}, headers={"Cookie": cookie})
    assert answer.json == {"data": {"me": "ada"}}
    client = websocket(application, cookie=cookie)
    await client.connect_and_init()
    assert await client.execute("{ me }") == {"data": {"me": "ada"}}
    await client.finalize()


async def test_users_may_be_left_out():
    application = router(graphene.Schema(query=Query), mask_errors=False)
    answer = await post(application, {"query": "{ me }"})
    assert "AuthMiddlewareStack" in answer.json["errors"][0]["message"]


async def test_a_page_of_another_site_is_refused_before_the_accept(caplog):
    scope = {
        "type": "websocket",
        "path": "/graphql/",
        "headers": [(b"origin", b"https://evil.org"), (b"cookie", b"sessionid=x")],
        "subprotocols": ["graphql-transport-ws"],
    }
    communicator = ApplicationCommunicator(router(), scope)
    await communicator.send_input({"type": "websocket.connect"})
    async with asyncio.timeout(GUARD):
        assert await communicator.receive_output() == {"type": "websocket.close"}
        await communicator.wait()
    assert "Refused a WebSocket of the origin https://evil.org" in caplog.text


@pytest.mark.parametrize("headers", [{}, {"origin": "http://testserver"}])
async def test_a_page_of_our_own_and_a_program_may_connect(headers):
    client = websocket(router(), **headers)
    await client.connect_and_init()
    await client.finalize()


async def test_the_check_can_be_switched_off():
    client = websocket(router(check_origin=False), origin="https://evil.org")
    await client.connect_and_init()
    await client.finalize()


@pytest.mark.parametrize(
    ("origin", "hosts", "trusted", "allowed"),
    [
        ("https://a.org", ["a.org"], [], True),
        ("http://A.org:8000", ["a.org"], [], True),
        ("https://b.a.org", ["a.org"], [], False),
        ("https://b.a.org", [".a.org"], [], True),
        ("https://a.org.evil.org", ["a.org"], [], False),
        ("https://evila.org", [".a.org"], [], False),
        ("https://evil.org", [], ["https://a.org"], False),
        ("https://a.org", [], ["https://a.org"], True),
        ("http://a.org", [], ["https://a.org"], False),
        ("https://a.org:8443", [], ["https://a.org"], False),
        ("https://a.org:8443", [], ["https://a.org:8443"], True),
        ("https://b.a.org", [], ["https://*.a.org"], True),
        ("https://evila.org", [], ["https://*.a.org"], False),
        ("https://evil.org", ["*"], [], False),
        ("https://ours.org:8000", ["*"], [], True),
        ("https://ours.org", ["*"], [], False),
        ("http://[::1]:8000", ["[::1]"], [], True),
        ("null", ["*", "null"], [], False),
        ("file://", ["a.org"], [], False),
        ("https://[evil", ["a.org"], [], False),
        ("https://", ["a.org"], [], False),
        ("", ["a.org"], [], False),
    ],
)
def test_an_origin_is_allowed_by_the_settings(origin, hosts, trusted, allowed):
    with override_settings(ALLOWED_HOSTS=hosts, CSRF_TRUSTED_ORIGINS=trusted):
        assert is_allowed(origin, "Ours.org:8000") is allowed


@pytest.mark.parametrize("debug", [False, True])
def test_in_development_pages_of_this_machine_are_allowed(debug):
    with override_settings(ALLOWED_HOSTS=[], DEBUG=debug):
        for origin in ("http://localhost:3000", "http://127.0.0.1:3000", "http://[::1]"):
            assert is_allowed(origin, "localhost:8000") is debug
        assert not is_allowed("https://evil.org", "localhost:8000")

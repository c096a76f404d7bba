"""The one-line router: addresses, options, users, and who may connect."""

from __future__ import annotations

import re
import signal

import graphene
import pytest
from channels.routing import ProtocolTypeRouter, URLRouter
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.core.handlers.wsgi import WSGIHandler
from django.test import AsyncClient, override_settings
from django.urls import re_path

import http_schema
from asgi_socket import AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer, shutdown
from channels_graphql_ws.client.transport import ConnectionRejectedError
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from channels_graphql_ws.operations.option_values import with_options
from channels_graphql_ws.routing import GraphqlProtocolTypeRouter, OriginCheck
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from http_client import ask, post


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
    cls = with_options(GraphqlHttpConsumer, {"mask_errors": callable})
    assert cls().mask_errors is callable


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
    headers = [(b"origin", b"https://evil.org"), (b"cookie", b"sessionid=x")]
    socket = AsgiSocket(router(), scope={"headers": headers})
    await socket.ended()
    assert socket.sent == [{"type": "websocket.close"}]
    assert "Refused a WebSocket of the origin https://evil.org: it was compared" in caplog.text


@pytest.mark.parametrize("headers", [{}, {"origin": "http://testserver"}])
async def test_a_page_of_our_own_and_a_program_may_connect(headers):
    client = websocket(router(), **headers)
    await client.connect_and_init()
    await client.finalize()


async def test_the_check_can_be_switched_off():
    client = websocket(router(check_origin=False), origin="https://evil.org")
    await client.connect_and_init()
    await client.finalize()


@pytest.mark.parametrize("debug", [False, True])
async def test_a_refused_page_is_told_why_while_one_develops(debug, caplog):
    headers = [(b"origin", b"http://localhost:5173"), (b"host", b"testserver")]
    with override_settings(DEBUG=debug):
        socket = AsgiSocket(
            router(),
            scope={"headers": headers, "extensions": {"websocket.http.response": {}}},
        )
        await socket.ended()
    assert "add it to CSRF_TRUSTED_ORIGINS or `allowed_origins`" in caplog.text
    if debug:
        start, body = socket.sent
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 403)
        assert b"the origin http://localhost:5173: it was compared with" in body["body"]
    else:
        assert socket.sent == [{"type": "websocket.close"}]


async def test_allowed_origins_are_those_of_http_and_websocket():
    spa = "http://localhost:5173"
    application = router(allowed_origins=[spa])
    client = websocket(application, origin=spa)
    await client.connect_and_init()
    await client.finalize()
    answer = await post(application, {"query": "{ hello }"}, headers={"Origin": spa})
    assert answer.headers["access-control-allow-origin"] == spa


@pytest.mark.parametrize(
    ("options", "origin", "is_let_in"),
    [
        ({}, "https://evil.org", False),
        ({}, "http://testserver:81", False),
        ({}, "http://testserver", True),
        ({"allowed_origins": ["https://spa.org"]}, "https://spa.org", True),
        ({"allowed_origins": ["*"]}, "https://evil.org", True),
        ({"safety": "compatible"}, "https://evil.org", True),
        ({"safety": "compatible", "allowed_origins": ()}, "https://evil.org", False),
    ],
)
async def test_a_consumer_that_is_mounted_by_hand_checks_too(options, origin, is_let_in):
    application = GraphqlWsConsumer.as_asgi(schema=http_schema.schema, **options)
    headers = [(b"origin", origin.encode()), (b"host", b"testserver")]
    socket = AsgiSocket(application, scope={"headers": headers})
    await socket.acknowledged() if is_let_in else await socket.ended()
    assert (socket.sent[0]["type"] == "websocket.accept") is is_let_in
    if is_let_in:
        await socket.drop()


@pytest.mark.parametrize("origin", ["https://evil.org", "http://testserver"])
async def test_another_consumer_may_be_checked(origin):
    served = []

    async def chat(scope, receive, send):
        served.append(scope["type"])

    socket = AsgiSocket(
        OriginCheck(chat, allowed_origins=["http://testserver"]),
        scope={"headers": [(b"origin", origin.encode())]},
    )
    await socket.ended()
    assert served == (["websocket"] if origin == "http://testserver" else [])
    assert (socket.sent == [{"type": "websocket.close"}]) is (served == [])


def test_the_origins_of_the_check_are_checked():
    with pytest.raises(TypeError, match=r"^allowed_origins is .*, it must be a list"):
        OriginCheck(django, allowed_origins="https://a.org")


async def test_large_headers_are_refused_before_cookies_are_parsed():
    def stack(_application):
        async def parse_cookies(scope, receive, send):
            pytest.fail("the middleware was called")

        return parse_cookies

    application = router(middleware_stack=stack)
    cookie = "a=" + "\\" * 30_000
    answer = await post(application, {"query": "{ hello }"}, headers={"Cookie": cookie})
    assert (answer.status, answer.message) == (431, "The header Cookie has too many backslashes")
    socket = AsgiSocket(application, scope={"headers": [(b"cookie", cookie.encode())]})
    await socket.ended()
    assert socket.sent == [{"type": "websocket.close"}]


async def test_a_server_that_can_say_more_than_403_does():
    socket = AsgiSocket(
        router(),
        scope={"path": "/other/", "extensions": {"websocket.http.response": {}}},
    )
    await socket.ended()
    assert [each.get("status") for each in socket.sent] == [404, None]
    assert socket.sent[1]["body"] == b"Not Found\n"


@override_settings(DEBUG=True)
async def test_a_wrong_path_is_told_the_right_one_while_one_develops(caplog):
    answer = await ask(router(django_application=None), "GET", "/graphiql/")
    assert "at /graphiql/: there is nothing, GraphQL is at paths that match" in str(answer.body)
    socket = AsgiSocket(router(), scope={"path": "/ws/"})
    await socket.ended()
    assert "at /ws/: there is nothing, GraphQL is at paths that match '^graphql/?$'" in caplog.text


async def chat(_scope, _receive, send):
    await send({"type": "websocket.accept"})


def chat_router():
    return URLRouter([re_path("^chat/$", chat)])


@pytest.mark.parametrize(
    "others",
    [
        {"websocket_application": chat_router()},
        {"django_application": ProtocolTypeRouter({"http": django, "websocket": chat_router()})},
    ],
)
async def test_other_websockets_go_where_they_are_served(others):
    application = router(**others)
    socket = AsgiSocket(application, scope={"path": "/chat/"})
    await socket.ended()
    assert socket.sent == [{"type": "websocket.accept"}]
    assert (await ask(application, "GET", "/")).body == b"Django"
    socket = AsgiSocket(application, scope={"path": "/nowhere/"})
    await socket.ended()
    assert socket.sent == [{"type": "websocket.close"}]
    client = websocket(application)
    await client.connect_and_init()
    await client.finalize()


async def test_other_protocols_go_there_too():
    served = []

    async def worker(scope, receive, send):
        served.append(scope["type"])

    inner = ProtocolTypeRouter({"http": django, "channel": worker, "lifespan": worker})
    application = router(django_application=inner, shutdown_timeout=None)
    for protocol in ("channel", "lifespan"):
        await application({"type": protocol}, None, None)
    assert served == ["channel", "lifespan"]


async def test_two_schemas_have_two_addresses():
    class Other(graphene.ObjectType):
        other = graphene.String(default_value="schema")

    inner = router(graphene.Schema(query=Other), url_pattern="^other/$")
    application = router(url_pattern="^first/$", django_application=inner)
    for path, query, data in (
        ("/first/", "{ hello }", {"hello": "Hello world!"}),
        ("/other/", "{ other }", {"other": "schema"}),
    ):
        answer = await post(application, {"query": query}, path=path)
        assert answer.json == {"data": data}
        client = websocket(application, path)
        await client.connect_and_init()
        assert await client.execute(query) == {"data": data}
        await client.finalize()
    assert (await ask(application, "GET", "/")).body == b"Django"


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ("/app", "/app/graphql/"),
        ("/app/", "/app/graphql/"),
        # Daphne behind a proxy that takes the root path away.
        ("/app", "/graphql/"),
        ("/graphql", "/graphql/"),
        ("/graph", "/graphql/"),
        ("/app", "/app"),
    ],
)
async def test_the_application_may_be_below_another_path(root, path):
    application = router(url_pattern="^(graphql/)?$")
    answer = await post(application, {"query": "{ hello }"}, path=path, root_path=root)
    assert answer.json == {"data": {"hello": "Hello world!"}}
    socket = AsgiSocket(application, scope={"path": path, "root_path": root})
    await socket.acknowledged()
    await socket.drop()
    assert (await ask(application, "GET", "/app/other", root_path="/app")).body == b"Django"


async def test_the_router_may_stand_in_another_one():
    application = URLRouter([re_path("^api/", router())])
    answer = await post(application, {"query": "{ hello }"}, path="/api/graphql/")
    assert answer.json == {"data": {"hello": "Hello world!"}}


class Ws(GraphqlWsConsumer):
    schema = http_schema.schema


class Http(GraphqlHttpConsumer):
    schema = http_schema.schema


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({"schema": Ws}, TypeError, "pass the schema first, and the class as websocket_consumer="),
        (
            {"schema": Http},
            TypeError,
            "pass the schema first, and the class as http_consumer=Http",
        ),
        ({"schema": Ws.as_asgi()}, TypeError, "and the class as websocket_consumer=Ws"),
        ({"schema": Http.as_asgi()}, TypeError, "and the class as http_consumer=Http"),
        ({"schema": Query}, TypeError, "pass `graphene.Schema(query=Query)`"),
        ({"schema": http_schema}, TypeError, "is a module; pass the schema that is in it"),
        (
            {"schema": "chat.schema"},
            TypeError,
            "'chat.schema' is not a schema; it is a text; import",
        ),
        ({"schema": None}, TypeError, "None is not a schema"),
        ({"websocket_consumer": Ws.as_asgi()}, TypeError, "; pass Ws, without `.as_asgi()`"),
        ({"http_consumer": Http.as_asgi()}, TypeError, "; pass Http, without `.as_asgi()`"),
        ({"http_consumer": Http.as_asgi}, TypeError, "; pass Http, without `.as_asgi()`"),
        ({"django_application": get_asgi_application}, TypeError, "call it, `get_asgi_applic"),
        ({"django_application": WSGIHandler}, TypeError, "it must be an ASGI application"),
        ({"websocket_application": []}, TypeError, "websocket_application is [], it must be"),
        ({"url_pattern": re.compile("^a$")}, TypeError, "it must be a regular expression, a str"),
        ({"url_pattern": "/graphql/"}, ValueError, "paths are matched without their first slash"),
        ({"url_pattern": "^/graphql/$"}, ValueError, "which matches nothing"),
        ({"url_pattern": "<str:t>/graphql/"}, ValueError, "which is a route of `path()`"),
        ({"middleware_stack": []}, TypeError, "it must be a function that takes an ASGI"),
        ({"check_origin": ["https://a.org"]}, TypeError, "name origins as `allowed_origins`"),
        ({"allowed_origins": "https://a.org"}, TypeError, "it must be a list of origins"),
        ({"shutdown_timeout": -1}, ValueError, "it must be a number of seconds ≥ 0, or `None`"),
        ({"shutdown_timeout": "10"}, ValueError, "it must be a number of seconds ≥ 0, or `None`"),
    ],
)
def test_an_argument_that_cannot_be_is_explained(arguments, error, text):
    with pytest.raises(error, match=re.escape(text)):
        router(**arguments)

"""The Django view: the same answers, through Django's own handlers."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import graphene
import pytest
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIHandler
from django.http import UnreadablePostError
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory, override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

import http_schema
from channels_graphql_ws import shut_down
from channels_graphql_ws.client_log import LINES
from channels_graphql_ws.http import view as views
from channels_graphql_ws.http.view import GraphqlView, SyncGraphqlView
from channels_graphql_ws.operations import holding
from http_client import EVENTS, PARTS, Gate, exchange, listeners, multipart, posted, streaming
from http_schema import OnEvent
from support import tick, wait_until

JSON = "application/json"
SUBSCRIPTION = 'subscription { onEvent(group: "a") { event } }'
STORE = "mutation ($file: Upload!) { store(file: $file) { stored } }"


# Django 5.2.0's client makes underscores of the hyphens in the names of headers.
_probe = AsyncRequestFactory().get("/", headers={"X-Probe": "1"})
pytestmark = pytest.mark.skipif(
    b"x-probe" not in dict(_probe.scope["headers"]), reason="Django's client loses headers"
)


class View(GraphqlView):
    schema = http_schema.schema
    multipart_uploads_enabled = True
    max_batch_size = 2
    max_body_size = 5_000
    max_upload_size = 5_000


class Urls:
    urlpatterns = (
        path("graphql/", csrf_exempt(View.as_view(graphiql=True))),
        path("checked/", View.as_view(graphiql=True)),
        path("<slug:tenant>/graphql/", csrf_exempt(View.as_view(single_connection_enabled=True))),
        path(
            "impatient/",
            csrf_exempt(View.as_view(send_heartbeat_every=0.001, stalled_reader_timeout=0.005)),
        ),
    )


SESSIONS = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


@pytest.fixture(autouse=True)
def site():
    http_schema.calls.clear()
    http_schema.gates["g"] = Gate()
    with override_settings(
        ROOT_URLCONF=Urls,
        ALLOWED_HOSTS=["testserver"],
        MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    ):
        yield
    http_schema.gates.clear()


@pytest.fixture
def gate():
    return http_schema.gates["g"]


def application():
    handler = ASGIHandler()

    async def serve(scope, receive, send):
        scope["headers"].append((b"host", b"testserver"))
        await handler(scope, receive, send)

    return serve


async def posting(content, where="/graphql/", client=None, **headers):
    client = client or AsyncClient()
    return await client.post(
        where, json.dumps(content), content_type=JSON, headers={"Accept": JSON, **headers}
    )


async def test_a_query_is_answered():
    response = await posting({"query": "{ hello }"})
    assert response.status_code == 200
    assert response.json() == {"data": {"hello": "Hello world!"}}


async def test_a_query_comes_by_get():
    response = await AsyncClient().get("/graphql/", {"query": "{ hello }"})
    assert response.json() == {"data": {"hello": "Hello world!"}}


async def test_a_batch_is_answered():
    response = await posting([{"query": "{ hello }"}] * 2)
    assert len(response.json()) == 2


async def test_other_methods_are_refused():
    assert (await AsyncClient().patch("/graphql/")).status_code == 405
    assert (await AsyncClient().put("/graphql/")).status_code == 405


async def test_a_resolver_sets_status_headers_and_cookies():
    response = await posting({"query": "{ respond }"})
    assert response.status_code == 418
    assert response["X-Tea"] == "Earl Grey"
    assert response.cookies["cup"]["httponly"]


async def test_how_long_an_answer_is_is_not_up_to_a_resolver():
    class Mine(View):
        def get_context(self, context):
            context.response["Content-Length"] = "3"
            context.response["X-Tea"] = "Earl Grey"
            return context

    class MyUrls:
        urlpatterns = (path("graphql/", csrf_exempt(Mine.as_view())),)

    body, headers = posted({"query": "{ hello }"})
    with override_settings(ROOT_URLCONF=MyUrls):
        async with exchange(application(), headers=headers) as one:
            await one.send(body)
            answer = await one.answer()
    assert answer.json == {"data": {"hello": "Hello world!"}}
    assert "content-length" not in answer.headers
    assert answer.headers["x-tea"] == "Earl Grey"


async def test_a_resolver_finds_the_request():
    response = await posting({"query": "{ asked }"}, "/t/graphql/", **{"X-Own": "mine"})
    request = json.loads(response.json()["data"]["asked"])
    assert request["path_params"] == {"tenant": "t"}
    assert request["header"] == "mine"
    assert request["path"] == "/t/graphql/"


async def test_works_under_wsgi_too():
    def ask():
        client = Client()
        post = {"content_type": JSON, "headers": {"X-Own": "1", "Accept": f"{EVENTS}, {JSON}"}}
        query = client.post("/graphql/?x=1", json.dumps({"query": "{ asked }"}), **post)
        subscription = client.post("/graphql/", json.dumps({"query": SUBSCRIPTION}), **post)
        return query.json(), subscription.status_code

    query, subscription = await asyncio.to_thread(ask)
    found = json.loads(query["data"]["asked"])
    assert (found["query_params"], found["method"]) == ({"x": "1"}, "POST")
    assert subscription == 406


async def test_djangos_check_against_forged_requests_holds():
    client = AsyncClient(enforce_csrf_checks=True)
    assert (await posting({"query": "{ hello }"}, "/checked/", client)).status_code == 403
    page = await client.get("/checked/", headers={"Accept": "text/html"})
    token = client.cookies["csrftoken"].value
    assert page.status_code == 200
    assert b'"token": "' in page.content
    answer = await posting({"query": "{ hello }"}, "/checked/", client, **{"X-CSRFToken": token})
    assert answer.status_code == 200


@pytest.mark.django_db(transaction=True)
async def test_a_resolver_finds_user_and_session():
    class Mine(View):
        def get_context(self, context):
            found.append((context.user, context.session))
            return context

    class MyUrls:
        urlpatterns = (path("graphql/", csrf_exempt(Mine.as_view())),)

    found = []
    user = await User.objects.acreate_user("ada")
    with override_settings(ROOT_URLCONF=MyUrls, MIDDLEWARE=SESSIONS):
        client = AsyncClient()
        await posting({"query": "{ hello }"}, client=client)
        await client.aforce_login(user)
        await posting({"query": "{ hello }"}, client=client)
    (guest, _), (known, session) = found
    assert not guest.is_authenticated
    assert known == user
    assert session["_auth_user_id"] == str(user.pk)


def form(content=b"content"):
    operations = {"query": STORE, "variables": {"file": None}}
    return multipart(
        [
            ("operations", None, json.dumps(operations).encode()),
            ("map", None, b'{"0": ["variables.file"]}'),
            ("0", "a.txt", content),
        ]
    )


async def uploading(body, headers):
    content_type = headers["Content-Type"]
    own = {"X-CSRFToken": headers["X-CSRFToken"]} if "X-CSRFToken" in headers else {}
    return await AsyncClient().generic("POST", "/graphql/", body, content_type, headers=own)


async def test_a_file_arrives():
    response = await uploading(*form())
    assert response.json() == {"data": {"store": {"stored": ["a.txt: content"]}}}
    assert http_schema.Store.kept[0].closed


@pytest.mark.parametrize("in_memory", [10, 10_000])
async def test_files_count_until_the_form_is_answered(in_memory, gate):
    query = "query ($gate: String!) { wait(gate: $gate) }"
    operations = json.dumps({"query": query, "variables": {"gate": "g"}}).encode()
    parts = [
        ("operations", None, operations),
        ("map", None, b'{"0": []}'),
        ("0", "a", b"x" * 4_400),
    ]
    with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=in_memory):
        waiting = asyncio.create_task(uploading(*multipart(parts)))
        await gate.entered.wait()
        in_files = holding._sizes["uploads", None]
        in_all = sum(holding._sizes.values()) // 2
        assert in_files == (4_400 if in_memory == 10 else 0)
        assert in_all >= 4_400
        gate.opened.set()
        assert (await waiting).json() == {"data": {"wait": "g"}}
    assert not holding._sizes


async def test_a_form_that_any_page_may_have_sent_is_refused():
    body, headers = form()
    del headers["X-CSRFToken"]
    assert (await uploading(body, headers)).status_code == 403


async def test_a_body_that_is_too_large_is_refused():
    response = await posting({"query": "{ hello }" + " " * 6_000})
    assert response.status_code == 413
    assert (await uploading(*form(b"x" * 6_000))).status_code == 413


async def test_a_body_of_unknown_length_that_is_too_large_is_refused():
    async with exchange(application(), headers={"Content-Type": JSON}) as one:
        await one.send(b"[" * 6_000)
        assert (await one.answer()).status == 413


async def test_djangos_own_limits_hold():
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=10):
        response = await posting({"query": "{ hello }"})
        assert response.status_code == 413
    body, headers = multipart([(f"f{number}", None, b"x") for number in range(10)])
    with override_settings(DATA_UPLOAD_MAX_NUMBER_FIELDS=5):
        response = await uploading(body, headers)
    assert response.status_code == 400
    assert response.json()["errors"][0]["message"].startswith("The form is malformed: ")


async def test_a_body_that_can_not_be_read_is_of_nobody():
    class Cut:
        def read(self, _size=None):
            raise UnreadablePostError("cut off")

        def seekable(self):
            return False

        def close(self):
            pass

    request = RequestFactory().post("/graphql/", b"{}", content_type=JSON)
    request._stream = Cut()
    response = await View.as_view()(request)
    assert response.status_code == 400


@pytest.mark.parametrize(("server", "lines"), [("example.com", LINES), ("testserver", LINES + 5)])
@override_settings(ALLOWED_HOSTS=["*"])
def test_lines_of_the_log_are_few_where_each_request_has_a_loop(server, lines, caplog):
    view = SyncGraphqlView.as_view(schema=http_schema.schema)
    for number in range(LINES + 5):
        origin = {"Origin": f"https://evil-{number}.org"}
        request = RequestFactory(SERVER_NAME=server).post("/", b"{}", JSON, headers=origin)
        assert view(request).status_code == 403
    assert len(caplog.records) == lines


@asynccontextmanager
async def subscribed(accept=EVENTS):
    async with streaming(application(), SUBSCRIPTION, accept=accept) as one:
        await one.chunk()
        yield one


async def test_a_subscription_is_a_stream_of_events():
    async with subscribed() as one:
        assert one.status == 200
        assert one.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert one.headers["x-accel-buffering"] == "no"
        await OnEvent.broadcast(group="a", payload="x")
        await one.until(b'{"data":{"onEvent":{"event":"x"}}}')
        await OnEvent.unsubscribe(group="a")
        assert (await one.rest()).endswith(b"event: complete\ndata: \n\n")
        await one.finished()
    assert http_schema.calls == ["a"]
    assert listeners() == 0


async def test_apollo_gets_a_multipart_response():
    async with subscribed(PARTS) as one:
        assert one.headers["content-type"].startswith("multipart/mixed;")
        await one.leave()


async def test_a_client_that_goes_away_is_cleaned_up_after():
    async with subscribed() as one:
        assert listeners() == 1
        await one.leave()
    await wait_until(lambda: http_schema.calls == ["a"])
    await wait_until(lambda: not listeners())
    await tick(5)


async def test_a_query_of_a_client_that_has_gone_is_cancelled(gate):
    body, headers = posted({"query": '{ wait(gate: "g") }'})
    async with exchange(application(), headers=headers) as one:
        await one.send(body)
        await gate.entered.wait()
        await one.leave()
    assert gate.cancelled


async def test_a_mutation_of_a_client_that_has_gone_comes_to_its_end(gate):
    body, headers = posted({"query": 'mutation { mutate(gate: "g") { ok } }'})
    async with exchange(application(), headers=headers) as one:
        await one.send(body)
        await gate.entered.wait()
        leaving = asyncio.ensure_future(one.leave())
        await tick(10)
        assert not leaving.done()
        gate.opened.set()
        await leaving
    assert gate.passed


async def test_a_stream_ends_when_the_server_shuts_down():
    async with subscribed() as one:
        leaving = asyncio.ensure_future(shut_down())
        assert b"complete" not in await one.rest()
        await one.finished()
        await leaving
    assert http_schema.calls == ["a"]
    assert listeners() == 0


async def test_a_stream_that_nobody_comes_to_read_is_ended():
    client = AsyncClient()
    body, _ = posted({"query": SUBSCRIPTION})
    response = await client.generic("POST", "/graphql/", body, JSON, headers={"Accept": EVENTS})
    assert listeners() == 1
    await asyncio.to_thread(response.close)
    await wait_until(lambda: not listeners() and http_schema.calls == ["a"])


async def test_a_stream_that_django_drops_before_it_is_iterated_ends():
    view = GraphqlView.as_view(schema=http_schema.schema)
    body = json.dumps({"query": SUBSCRIPTION})
    request = AsyncRequestFactory().post("/", body, JSON, headers={"Accept": EVENTS})
    response = await view(request)
    assert response.streaming
    assert listeners() == 1
    # As when the client goes in this moment.
    del response
    await wait_until(lambda: not listeners() and not views._closing)


async def test_a_client_that_reads_nothing_is_given_up():
    body, _ = posted({"query": SUBSCRIPTION})
    response = await AsyncClient().generic(
        "POST", "/impatient/", body, JSON, headers={"Accept": EVENTS}
    )
    await wait_until(lambda: http_schema.calls == ["a"] and not listeners())
    await asyncio.to_thread(response.close)
    await tick(5)


async def test_many_operations_share_a_reserved_stream():
    client = AsyncClient()
    where = "/t/graphql/"
    token = (await client.put(where)).content.decode()
    name = "X-GraphQL-Event-Stream-Token"
    request = {"query": "{ hello }", "extensions": {"operationId": "1"}}
    assert (await posting(request, where, client, **{name: token})).status_code == 202
    async with exchange(application(), "GET", where, {name: token, "Accept": EVENTS}) as one:
        await one.send()
        await one.start()
        await one.until(b'"id":"1","payload":{"data"')
        response = await client.delete(f"{where}?operationId=1", headers={name: token})
        assert response.status_code == 200
        await one.leave()
    await tick(5)


def test_an_unknown_option_is_refused_with_a_hint():
    with pytest.raises(TypeError, match="no option 'grahpiql', did you mean 'graphiql'"):
        View.as_view(grahpiql=False)


def test_a_view_without_a_schema_is_refused():
    with pytest.raises(TypeError, match="is not a schema"):
        GraphqlView.as_view()


async def test_the_page_knows_whether_its_server_may_have_websockets():
    browser = {"Accept": "text/html"}
    page = await asyncio.to_thread(lambda: Client().get("/graphql/", headers=browser))
    assert b'"isWsgi": true' in page.content
    page = await AsyncClient().get("/graphql/", headers=browser)
    assert b'"isWsgi": false' in page.content


def tenants(get_response):
    def middleware(request):
        request.tenant = "acme"
        request.user = "nobody"
        request._added = 1  # As `_messages` of Django's own middleware.
        response = get_response(request)
        left = ("tenant", "flag", "_private", "channel_name", "META")
        response["X-Left"] = ",".join(str(vars(request).get(name))[:6] for name in left)
        response["X-User"] = str(request.user)
        return response

    return middleware


class Tenant(graphene.ObjectType):
    tenant = graphene.String()
    has = graphene.Boolean()
    added = graphene.Boolean()
    set = graphene.String()

    @staticmethod
    def resolve_tenant(root, info):
        return info.context.tenant

    @staticmethod
    def resolve_set(root, info):
        context = info.context
        context.user = "ada"
        context.tenant = context["flag"] = "set"
        context._private = context.gone = context["other"] = "private"
        context[7] = context.META = context.channel_name = "own"
        del context.tenant
        assert context.tenant == context.channels_scope["django_request"].tenant == "acme"
        context.tenant = "again"
        del context.gone, context["other"], context.META
        with pytest.raises(KeyError):
            del context["other"]
        return f"{context.tenant} {context.user} {context.method}"

    @staticmethod
    def resolve_has(root, info):
        return "tenant" in info.context and "other" not in info.context

    @staticmethod
    def resolve_added(root, info):
        return hasattr(info.context, "_added")


async def test_what_middleware_puts_on_the_request_is_there(settings):
    view = GraphqlView.as_view(schema=graphene.Schema(query=Tenant))
    settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": [path("tenant/", csrf_exempt(view))]})
    settings.MIDDLEWARE = [f"{__name__}.tenants"]

    answer = await AsyncClient().post(
        "/tenant/", {"query": "{ tenant has added }"}, content_type=JSON
    )
    assert answer.json() == {"data": {"tenant": "acme", "has": True, "added": True}}


@pytest.mark.parametrize("is_sync", [False, True])
async def test_what_a_resolver_sets_is_there_for_middleware_and_for_no_other_operation(
    settings, is_sync
):
    cls = SyncGraphqlView if is_sync else GraphqlView
    view = cls.as_view(schema=graphene.Schema(query=Tenant), max_batch_size=2)
    settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": [path("tenant/", csrf_exempt(view))]})
    settings.MIDDLEWARE = [f"{__name__}.tenants"]

    batch = [{"query": "{ set }"}, {"query": "{ tenant has }"}]
    answer = await AsyncClient().post("/tenant/", batch, content_type=JSON)
    [one, other] = [each["data"] for each in answer.json()]
    assert one == {"set": "again ada POST"}
    assert other == {"tenant": "acme", "has": True}
    assert answer["X-Left"] == "again,set,privat,None,{'REQU"
    assert answer["X-User"] == "ada"

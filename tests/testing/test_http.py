"""`GraphqlHttpClient`: against the consumer, the router, the view, and what misbehaves."""

from __future__ import annotations

import asyncio
import io
import json

import pytest
from django.contrib.auth.models import User
from django.core.asgi import get_asgi_application
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings
from django.urls import path
from graphql import ExecutionResult, GraphQLError

import http_schema
from channels_graphql_ws import (
    ConnectionClosedError,
    GraphqlHttpConsumer,
    GraphqlProtocolTypeRouter,
    GraphqlView,
    RemoteProtocolError,
)
from channels_graphql_ws.testing import (
    GraphqlHttpClient,
    GraphqlWebsocketCommunicator,
    alogin_headers,
    login_headers,
)
from http_client import listeners
from http_schema import OnEvent
from support import wait_until

STORE = "mutation ($file: Upload!, $more: [Upload]) { store(file: $file, more: $more) { stored } }"
EVENTS = 'subscription { onEvent(group: "a") { event } }'
OPTIONS = {"schema": http_schema.schema, "multipart_uploads_enabled": True}


class Urls:
    urlpatterns = (path("graphql/", GraphqlView.as_view(**OPTIONS)),)


@pytest.fixture(autouse=True)
def site():
    http_schema.calls.clear()
    with override_settings(
        ROOT_URLCONF=Urls,
        ALLOWED_HOSTS=["testserver"],
        MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
        SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    ):
        yield


def consumer():
    return GraphqlHttpConsumer.as_asgi(**OPTIONS)


def router():
    return GraphqlProtocolTypeRouter(**OPTIONS, middleware_stack=None)


@pytest.fixture(params=[consumer, router, get_asgi_application])
def client(request):
    return GraphqlHttpClient(request.param())


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_query_gives_a_result(client, method):
    query = "query A($n: String) { hello(name: $n) } query B { broken }"
    result = await client.execute(query, {"n": "me"}, "A", method=method)
    assert result == ExecutionResult({"hello": "Hello me!"})
    assert (result.status, result.headers["CONTENT-TYPE"]) == (
        200,
        "application/json; charset=utf-8",
    )
    assert result.content == {"data": {"hello": "Hello me!"}}


async def test_errors_are_rebuilt(client):
    result = await client.execute("{ broken }", headers={"Accept": "application/json"})
    (error,) = result.errors
    assert isinstance(error, GraphQLError)
    assert (error.message, error.path) == ("It is broken.", ["broken"])
    assert [(each.line, each.column) for each in error.locations] == [(1, 3)]


async def test_a_request_that_is_refused_is_a_result_with_errors(client):
    result = await client.execute("mutation { x }", method="GET", headers=[(b"accept", b"a/b")])
    assert (result.status, result.data) == (406, None)
    assert result.errors[0].locations is None


async def test_files_are_uploaded(client):
    named = io.BytesIO(b"in a file")
    named.name = "/some/where/b.txt"
    result = await client.execute(
        STORE,
        {"more": [None, None]},
        files={
            "file": b"bytes",
            "more.0": SimpleUploadedFile("a.txt", b"a file", "text/plain"),
            "more.1": named,
        },
    )
    assert result.data == {
        "store": {"stored": ["file: bytes", "a.txt: a file", "b.txt: in a file"]}
    }


async def test_a_file_may_be_the_only_variable(client):
    result = await client.execute(
        STORE.replace(", $more: [Upload]", "").replace(", more: $more", ""), files={"file": b"x"}
    )
    assert result.data == {"store": {"stored": ["file: x"]}}


async def test_operations_are_sent_in_one_batch():
    client = GraphqlHttpClient(GraphqlHttpConsumer.as_asgi(**OPTIONS, max_batch_size=2))
    one, broken = await client.execute_batch(["{ hello }", {"query": "{ broken }"}])
    assert (one.status, one.data) == (200, {"hello": "Hello world!"})
    assert broken.errors[0].message == "It is broken."
    with pytest.raises(RemoteProtocolError, match="a JSON array, the application answered 400"):
        await client.execute_batch(["{ hello }"] * 3)


async def test_other_parameters_are_sent_and_the_query_may_be_missing(client):
    result = await client.execute(None, parameters={"documentId": "x"})
    assert (result.status, result.errors[0].message) == (400, '"query" is missing')


async def test_what_is_no_json_is_an_error():
    client = GraphqlHttpClient(get_asgi_application(), "/elsewhere/")
    with pytest.raises(RemoteProtocolError, match=r"Expected a JSON object, .* answered 404: "):
        await client.execute("{ hello }")


async def test_the_path_may_have_a_query_string_and_the_client_headers():
    client = GraphqlHttpClient(consumer(), "/g/a%20b/?x=1", {"X-Own": "mine", "Cookie": "a=b"})
    for method in ("POST", "GET"):
        content = json.loads((await client.execute("{ asked }", method=method)).data["asked"])
        assert (content["path"], content["header"]) == ("/g/a b/", "mine")
        assert content["query_params"]["x"] == "1"
        assert content["cookies"]["a"] == "b"


async def test_cookies_are_kept():
    client = GraphqlHttpClient(consumer(), headers={"X-Own": ""}, csrf=False)
    assert not client.cookies
    result = await client.execute("{ respond }")
    assert (result.status, result.headers["x-tea"]) == (418, "Earl Grey")
    content = json.loads((await client.execute("{ asked }")).data["asked"])
    assert content["cookies"] == {"cup": "full", "spoon": "silver"}


async def test_without_the_token_djangos_check_refuses():
    client = GraphqlHttpClient(get_asgi_application(), csrf=False)
    with pytest.raises(RemoteProtocolError, match="answered 403"):
        await client.execute("{ hello }")


@pytest.mark.django_db(transaction=True)
async def test_a_user_is_logged_in():
    user = await User.objects.acreate_user("ada")
    application = GraphqlProtocolTypeRouter(http_schema.schema)
    client = GraphqlHttpClient(application, headers={"X-Own": ""})
    await client.force_login(user)
    content = json.loads((await client.execute("{ asked }")).data["asked"])
    assert "sessionid" in content["cookies"]


class Me(GraphqlHttpConsumer):
    async def get_context(self, context):
        context.response.headers["X-User"] = context.user.get_username()
        return context


@pytest.mark.django_db(transaction=True)
def test_headers_carry_a_session():
    user = User.objects.create_user("ada")
    application = GraphqlProtocolTypeRouter(http_schema.schema, http_consumer=Me)
    headers = login_headers(user)

    async def ask():
        result = await GraphqlHttpClient(application, headers=headers).execute("{ hello }")
        assert result.headers["X-User"] == "ada"
        for each in (headers, await alogin_headers(user)):
            async with GraphqlWebsocketCommunicator(application, "/graphql/", each) as client:
                assert (await client.execute("{ hello }")).errors is None

    asyncio.run(ask())


async def test_events_are_iterated_to_the_end(client):
    async with client.subscribe(EVENTS) as events:
        for text in ("one", "two"):
            await OnEvent.broadcast(group="a", payload=text)
        assert await events.take(2) == [
            ExecutionResult({"onEvent": {"event": text}}) for text in ("one", "two")
        ]
        await OnEvent.unsubscribe(group="a")
        assert [event async for event in events] == []
    assert listeners() == 0


async def test_who_leaves_is_unsubscribed(client):
    async with client.subscribe(EVENTS) as first, client.subscribe(EVENTS) as second:
        await OnEvent.broadcast(group="a", payload="x")
        assert await anext(first) == await anext(second)
        assert listeners() == 2
    assert http_schema.calls == ["a", "a"]


async def test_who_has_waited_in_vain_may_wait_again(client):
    async with client.subscribe(EVENTS) as events:
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    await events.take(1)
        await OnEvent.broadcast(group="a", payload="late")
        assert (await anext(events)).data == {"onEvent": {"event": "late"}}


async def test_who_breaks_off_the_iteration_is_unsubscribed(client):
    async def broadcast():
        await wait_until(listeners)
        await OnEvent.broadcast(group="a", payload="one")

    known = asyncio.all_tasks()
    async with asyncio.TaskGroup() as group:
        group.create_task(broadcast())
        async for _ in client.subscribe(EVENTS):
            break
    await wait_until(lambda: http_schema.calls == ["a"])
    assert listeners() == 0
    # Django hops to a thread before it has ended.
    await wait_until(lambda: asyncio.all_tasks() <= known)


async def test_what_can_not_be_executed_is_a_result(client):
    query = "subscription ($r: Boolean) { onEvent(refuse: $r) { event } }"
    (result,) = [result async for result in client.subscribe(query, {"r": True})]
    assert [error.message for error in result.errors] == ["Not you."]


async def test_an_answer_that_is_no_stream_is_an_error():
    client = GraphqlHttpClient(GraphqlHttpConsumer.as_asgi(**OPTIONS, event_streams_enabled=False))
    with pytest.raises(RemoteProtocolError, match=r"Expected a stream of events, .* answered 406"):
        await anext(client.subscribe(EVENTS))


async def test_events_are_understood_however_they_are_cut():
    async def application(scope, receive, send):
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        stream = (
            b':hi\r\n\r\nid: 1\nevent:next\r\ndata: {"data":\r\ndata:{"a": 1}}\r\n\r\nevent: x\n\n'
        )
        for byte in stream:
            body = bytes([byte])
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body"})

    results = [result async for result in GraphqlHttpClient(application).subscribe("…")]
    assert results == [ExecutionResult({"a": 1})]


async def test_an_exception_of_the_application_surfaces():
    async def application(scope, receive, send):
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        await GraphqlHttpClient(application).execute("{ hello }")


async def test_an_exception_behind_the_answer_surfaces_too():
    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"{}"})
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        await GraphqlHttpClient(application).execute("{ hello }")


async def test_an_exception_in_a_stream_surfaces():
    async def application(scope, receive, send):
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        raise TimeoutError("lost")

    events = GraphqlHttpClient(application).subscribe("…")
    for _ in range(2):
        with pytest.raises(TimeoutError, match="lost"):
            await anext(events)
    with pytest.raises(TimeoutError, match="lost"):
        await events.aclose()


async def test_an_application_that_ends_without_an_answer_is_an_error():
    async def application(scope, receive, send):
        pass

    with pytest.raises(ConnectionClosedError):
        await GraphqlHttpClient(application).execute("{ hello }")


async def test_an_application_that_does_not_answer_is_not_waited_for_for_ever():
    class Impatient(GraphqlHttpClient):
        TIMEOUT = 0.01

    async def application(scope, receive, send):
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        await Impatient(application).execute("{ hello }")

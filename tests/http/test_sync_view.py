"""The synchronous Django view: what may be different, as it runs in another thread."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import graphene
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

import http_schema
from channels_graphql_ws import BasePermission, ProtectedField, SyncGraphqlView, shut_down
from http_client import EVENTS, Gate, exchange, listeners, posted, streaming
from http_schema import OnEvent
from support import tick, wait_until

JSON = "application/json"
WHERE = "/graphql/"
SUBSCRIPTION = 'subscription { onEvent(group: "a") { event } }'


class Staff(BasePermission):
    def has_permission(self, source: Any, info: Any) -> bool:
        return bool(info.context.headers.get("X-Staff"))


class StaffLater(BasePermission):
    async def has_permission(self, source: Any, info: Any) -> bool:
        await tick()
        return bool(info.context.headers.get("X-Staff"))


class Guarded(graphene.ObjectType):
    secret = ProtectedField(graphene.String, permission_classes=[Staff])
    later = ProtectedField(graphene.String, permission_classes=[StaffLater & Staff])

    @staticmethod
    def resolve_secret(_root: Any, _info: Any) -> str:
        return "s"

    resolve_later = resolve_secret


class Urls:
    urlpatterns = (
        path(
            "guarded/",
            csrf_exempt(SyncGraphqlView.as_view(schema=graphene.Schema(query=Guarded))),
        ),
        path(
            "graphql/",
            csrf_exempt(
                SyncGraphqlView.as_view(schema=http_schema.schema, graphiql=True, max_batch_size=2)
            ),
        ),
        path("checked/", SyncGraphqlView.as_view(schema=http_schema.schema, graphiql=True)),
    )


@pytest.fixture(autouse=True)
def site() -> Any:
    http_schema.calls.clear()
    http_schema.gates["g"] = Gate()
    with override_settings(
        ROOT_URLCONF=Urls,
        ALLOWED_HOSTS=["testserver"],
        MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
    ):
        yield
    http_schema.gates.clear()


def application() -> Any:
    handler = ASGIHandler()

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        scope["headers"].append((b"host", b"testserver"))
        await handler(scope, receive, send)

    return serve


def ask(client: Any, content: Any, where: str = WHERE) -> Any:
    return client.post(where, json.dumps(content), content_type=JSON, headers={"Accept": JSON})


ANSWERS = [
    ({"query": "{ hello }"}, {"data": {"hello": "Hello world!"}}),
    ([{"query": "{ hello }"}] * 2, [{"data": {"hello": "Hello world!"}}] * 2),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("content", "expected"), ANSWERS)
def test_it_answers_under_wsgi(content: Any, expected: Any) -> None:
    assert ask(Client(), content).json() == expected


@pytest.mark.parametrize(("content", "expected"), ANSWERS)
async def test_it_answers_under_asgi(content: Any, expected: Any) -> None:
    assert (await ask(AsyncClient(), content)).json() == expected


@pytest.mark.django_db
@pytest.mark.parametrize("field", ["secret", "later"])
def test_permissions_are_asked_under_wsgi(field: str) -> None:
    query = {"query": f"{{ {field} }}"}
    assert ask(Client(headers={"X-Staff": "1"}), query, "/guarded/").json() == {
        "data": {field: "s"}
    }
    refused = ask(Client(), query, "/guarded/").json()
    assert refused["data"] == {field: None}
    assert refused["errors"][0]["extensions"] == {"code": "FORBIDDEN"}


@pytest.mark.django_db
def test_a_resolver_sets_status_headers_and_cookies() -> None:
    response = ask(Client(), {"query": "{ respond }"})
    assert response.status_code == 418
    assert response["X-Tea"] == "Earl Grey"
    assert response.cookies["cup"]["httponly"]


@pytest.mark.django_db
def test_djangos_check_against_forged_requests_holds() -> None:
    client = Client(enforce_csrf_checks=True)
    assert ask(client, {"query": "{ hello }"}, "/checked/").status_code == 403
    page = client.get("/checked/", headers={"Accept": "text/html"})
    assert client.cookies["csrftoken"].value
    assert page["Content-Type"].startswith("text/html")


@pytest.mark.django_db
def test_a_subscription_under_wsgi_is_refused() -> None:
    response = Client().post(
        WHERE, json.dumps({"query": SUBSCRIPTION}), content_type=JSON, headers={"Accept": EVENTS}
    )
    assert response.status_code >= 400
    assert response.json()["errors"]


async def test_a_subscription_is_a_stream_of_events() -> None:
    async with streaming(application(), SUBSCRIPTION) as one:
        await one.chunk()
        await wait_until(lambda: listeners() == 1)
        assert one.headers["content-type"] == "text/event-stream; charset=utf-8"
        for text in ("x", "y"):
            await OnEvent.broadcast(group="a", payload=text)
            await one.until(f'{{"data":{{"onEvent":{{"event":"{text}"}}}}}}'.encode())
        await OnEvent.unsubscribe(group="a")
        assert (await one.rest()).endswith(b"event: complete\ndata: \n\n")
        await one.finished()
    assert http_schema.calls == ["a"]
    assert listeners() == 0


async def test_a_client_that_goes_away_is_cleaned_up_after() -> None:
    async with streaming(application(), SUBSCRIPTION) as one:
        await one.chunk()
        await wait_until(lambda: listeners() == 1)
        await one.leave()
    await wait_until(lambda: http_schema.calls == ["a"] and not listeners())


async def test_a_stream_ends_when_the_server_shuts_down() -> None:
    async with streaming(application(), SUBSCRIPTION) as one:
        await one.chunk()
        await wait_until(lambda: listeners() == 1)
        leaving = asyncio.ensure_future(shut_down())
        assert b"complete" not in await one.rest()
        await one.finished()
        await leaving
    assert http_schema.calls == ["a"]


async def test_a_mutation_of_a_client_that_has_gone_comes_to_its_end() -> None:
    gate = http_schema.gates["g"]
    body, headers = posted({"query": 'mutation { mutate(gate: "g") { ok } }'})
    async with exchange(application(), headers=headers) as one:
        await one.send(body)
        await gate.entered.wait()
        leaving = asyncio.ensure_future(one.leave())
        await tick(10)
        gate.opened.set()
        await leaving
    assert gate.passed

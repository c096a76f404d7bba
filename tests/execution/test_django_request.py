"""`info.context` in place of a request: for code that was written for Django's own."""

from __future__ import annotations

import json
from copy import copy
from typing import Any

import graphene
import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from django.contrib.auth import alogin, alogout, login, logout
from django.contrib.auth.models import User
from django.contrib.sites.shortcuts import get_current_site
from django.test import AsyncRequestFactory
from django.utils.datastructures import MultiValueDictKeyError

from channels_graphql_ws import (
    GraphqlHttpConsumer,
    GraphqlView,
    GraphqlWsConsumer,
    OperationContext,
    SharedContextError,
)
from channels_graphql_ws.execution.context import SharedContext
from channels_graphql_ws.testing import (
    GraphqlHttpClient,
    GraphqlWsClient,
    GraphqlWsTransport,
    alogin_headers,
)

HEADERS = [(b"host", b"testserver"), (b"cookie", b"color=red"), (b"x-test", b"7")]
SEEN = {
    "url": "http://testserver/here",
    "host": "testserver",
    "site": "testserver",
    "test": ["7", "7", None, True, "7"],
    "cookie": "red",
    "secure": False,
}


def seen(context: Any) -> str:
    """Return what code for requests reads."""
    headers = context.headers
    values = {
        "url": context.build_absolute_uri("/here"),
        "host": context.get_host(),
        "site": get_current_site(context).domain,
        "test": [
            headers["X-Test"],
            headers.get("x-TEST"),
            headers.get("X-None"),
            "X-Test" in headers and 7 not in headers,
            context.META["HTTP_X_TEST"],
        ],
        "cookie": context.COOKIES["color"],
        "secure": context.is_secure(),
    }
    assert context.method in ("GET", "POST")
    assert context.scheme == "http"
    assert context.content_type in ("", "application/json")
    assert context.accepts("application/json")
    assert context.path == context["path"]
    return json.dumps(values)


class Query(graphene.ObjectType):
    """Reads its context."""

    seen = graphene.String()
    who = graphene.String()

    @staticmethod
    def resolve_seen(root: Any, info: Any) -> str:
        return seen(info.context)

    @staticmethod
    def resolve_who(root: Any, info: Any) -> str:
        return str(info.context.user.get_username())


class Mutation(graphene.ObjectType):
    """Logs in and out as any view of Django does."""

    login = graphene.Boolean()
    alogin = graphene.Boolean()
    logout = graphene.Boolean()
    alogout = graphene.Boolean()

    @staticmethod
    async def resolve_login(root: Any, info: Any) -> bool:
        await sync_to_async(login)(info.context, await User.objects.aget())
        return True

    @staticmethod
    async def resolve_alogin(root: Any, info: Any) -> bool:
        await alogin(info.context, await User.objects.aget())
        return True

    @staticmethod
    async def resolve_logout(root: Any, info: Any) -> bool:
        await sync_to_async(logout)(info.context)
        return True

    @staticmethod
    async def resolve_alogout(root: Any, info: Any) -> bool:
        await alogout(info.context)
        return True


SCHEMA = graphene.Schema(query=Query, mutation=Mutation)

WAYS = pytest.mark.parametrize("prefix", ["", "a"])


async def test_over_websocket() -> None:
    transport = GraphqlWsTransport(
        GraphqlWsConsumer.as_asgi(schema=SCHEMA), "/graphql/", {"headers": HEADERS}
    )
    client = GraphqlWsClient(transport)
    await client.connect_and_init()
    answer: Any = await client.execute("{ seen }")
    assert json.loads(answer["data"]["seen"]) == SEEN
    await client.finalize()


async def test_over_http() -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=SCHEMA, mask_errors=False)
    client = GraphqlHttpClient(application, headers=HEADERS)
    result = await client.execute("{ seen }")
    assert result.errors is None, result.errors
    assert json.loads((result.data or {})["seen"]) == SEEN


async def test_in_a_view_it_is_the_request_of_the_view() -> None:
    factory = AsyncRequestFactory()
    factory.cookies["color"] = "red"
    headers, content = {"x-test": "7"}, {"query": "{ seen }"}
    request = factory.post("/graphql/", content, content_type="application/json", headers=headers)
    view = GraphqlView.as_view(schema=SCHEMA, mask_errors=False)
    assert json.loads(json.loads((await view(request)).content)["data"]["seen"]) == SEEN


def test_a_secure_websocket_is_a_secure_request() -> None:
    scope = {"type": "websocket", "scheme": "wss", "headers": [(b"host", b"testserver")]}
    context = OperationContext({"channels_scope": scope})
    assert context.is_secure()
    assert context.build_absolute_uri("/") == "https://testserver/"
    assert copy(context).META is not None
    assert "META" in context
    assert "META" not in OperationContext({})
    with pytest.raises(AttributeError, match="META"):
        _ = OperationContext({}).META


def test_the_form_of_a_request_without_one_is_empty() -> None:
    context = OperationContext({"channels_scope": {"type": "http", "headers": []}})
    assert context.POST.get("username") is None
    assert not context.POST
    with pytest.raises(MultiValueDictKeyError, match="values come as arguments"):
        context.POST["username"]
    with pytest.raises(AttributeError, match="POST"):
        _ = OperationContext({}).POST


async def test_in_a_view_all_of_its_request_is_there() -> None:
    request = AsyncRequestFactory().post("/", {"a": "b"})
    context = OperationContext({"channels_scope": {"django_request": request, "type": "http"}})
    assert context.POST["a"] == "b"
    assert context.resolver_match is None
    assert "multipart/form-data" in context.get_preferred_type(["multipart/form-data"])
    with pytest.raises(AttributeError, match=r"has no such key$"):
        _ = context.htmx


def test_the_error_names_the_view_for_what_middleware_sets() -> None:
    with pytest.raises(AttributeError, match="is there in `GraphqlView`"):
        _ = OperationContext({"channels_scope": {"headers": []}}).htmx


def test_what_is_set_hides_the_request() -> None:
    context = OperationContext({"channels_scope": {"headers": []}, "method": "own"})
    assert context.method == "own"
    context.META = {"own": True}
    assert context.META == {"own": True}


def test_a_shared_execution_has_no_request() -> None:
    with pytest.raises(SharedContextError):
        _ = SharedContext({}).META


@pytest.mark.django_db(transaction=True)
@WAYS
async def test_login_and_logout_over_http_begin_and_end_a_session(prefix: str) -> None:
    await User.objects.acreate_user("ada")
    application = AuthMiddlewareStack(
        GraphqlHttpConsumer.as_asgi(schema=SCHEMA, mask_errors=False)
    )
    client = GraphqlHttpClient(application)
    for mutation, who in ((f"{prefix}login", "ada"), (f"{prefix}logout", "")):
        result = await client.execute(f"mutation {{ {mutation} }}")
        assert result.errors is None, result.errors
        assert (await client.execute("{ who }")).data == {"who": who}


@pytest.mark.django_db(transaction=True)
@WAYS
async def test_over_websocket_they_count_for_the_connection(prefix: str) -> None:
    user = await User.objects.acreate_user("ada")
    application = AuthMiddlewareStack(GraphqlWsConsumer.as_asgi(schema=SCHEMA))
    headers = await alogin_headers(user)
    client = GraphqlWsClient(GraphqlWsTransport(application, "/", {"headers": headers}))
    await client.connect_and_init()
    for mutation, who in ((f"{prefix}logout", ""), (f"{prefix}login", "ada")):
        await client.execute(f"mutation {{ {mutation} }}")
        answer: Any = await client.execute("{ who }")
        assert answer["data"] == {"who": who}
    await client.finalize()

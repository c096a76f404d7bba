"""The audits of `graphql-http`, and the client of `graphql-sse` in both of its modes."""

from __future__ import annotations

from typing import Any

import graphene
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.test import override_settings
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from channels_graphql_ws import Subscription
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from channels_graphql_ws.http.view import GraphqlView
from http_client import listeners
from support import wait_until

pytestmark = [pytest.mark.node, pytest.mark.servers]


class OnTick(Subscription):
    class Arguments:
        group = graphene.String(required=True)

    number = graphene.Int(required=True)

    @staticmethod
    def subscribe(_root: Any, _info: Any, group: str) -> list[str]:
        return [group]

    @staticmethod
    def publish(payload: int, _info: Any, group: str) -> OnTick:
        del group
        return OnTick(number=payload)


class Query(graphene.ObjectType):
    hello = graphene.String()

    @staticmethod
    def resolve_hello(_root: Any, _info: Any) -> str:
        return "world"


class Mutation(graphene.ObjectType):
    say = graphene.String(text=graphene.String())

    @staticmethod
    def resolve_say(_root: Any, _info: Any, text: str) -> str:
        return text


class Root(graphene.ObjectType):
    on_tick = OnTick.Field(required=True)


OPTIONS: dict[str, Any] = {
    "schema": graphene.Schema(query=Query, mutation=Mutation, subscription=Root),
    "single_connection_enabled": True,
    # Four audits ask for the name of a type.
    "introspection": True,
}


class Urls:
    urlpatterns = (path("graphql/", csrf_exempt(GraphqlView.as_view(**OPTIONS))),)


@pytest.fixture(params=["consumer", "view"])
def application(request):
    with override_settings(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["127.0.0.1"]):
        if request.param == "consumer":
            yield GraphqlHttpConsumer.as_asgi(**OPTIONS)
        else:
            yield ASGIHandler()


async def test_all_audits_of_graphql_over_http_are_passed(application, serve, start_node):
    async with serve(application) as url:
        script = await start_node("audits.mjs", url)
        results = await script.lines()
    assert [each for each in results if each["status"] != "ok"] == []
    assert len(results) == 61


@pytest.mark.parametrize("mode", ["distinct", "single"])
async def test_the_client_of_graphql_sse_works(application, serve, start_node, mode):
    async with serve(application) as url:
        script = await start_node("events.mjs", url, mode)
        assert await script.line() == {"next": {"data": {"hello": "world"}}}
        assert await script.line() == {"query": [{"data": {"hello": "world"}}]}
        assert await script.line() == {"next": {"data": {"say": "tea"}}}
        assert await script.line() == {"mutation": [{"data": {"say": "tea"}}]}
        assert "Cannot query field" in str(await script.line())
        assert "Cannot query field" in str(await script.line())

        await wait_until(lambda: listeners() == 1)
        for number in (1, 2):
            await OnTick.broadcast(group="one", payload=number)
            assert await script.line() == {"next": {"data": {"onTick": {"number": number}}}}
        await OnTick.unsubscribe(group="one")
        assert await script.line() == {"completed": True}

        await wait_until(lambda: listeners() == 2)
        script.go_on()
        assert await script.line() == {"stopped": True}
        await wait_until(lambda: listeners() == 1)
        await OnTick.broadcast(group="two", payload=3)
        await OnTick.broadcast(group="three", payload=4)
        assert await script.line() == {"next": {"data": {"onTick": {"number": 4}}}}
        await OnTick.unsubscribe(group="three")

        await wait_until(lambda: listeners() == 1)
        script.go_on()
        assert await script.line() == {"disposed": True}
        await wait_until(lambda: listeners() == 0)
        assert await script.lines() == []

"""The setting GRAPHENE: defaults for the router, the HTTP consumer and the views."""

from __future__ import annotations

from typing import Any

import graphene
import pytest
from django.test import override_settings
from graphene_django.debug import DjangoDebug, DjangoDebugMiddleware

from channels_graphql_ws import (
    GraphqlHttpConsumer,
    GraphqlProtocolTypeRouter,
    GraphqlView,
    GraphqlWsConsumer,
)
from channels_graphql_ws.operations.engine import engine_of
from channels_graphql_ws.testing import GraphqlHttpClient, GraphqlWebsocketCommunicator


class Query(graphene.ObjectType):
    hello = graphene.String(default_value="Hello!")


class Debugged(Query):
    debug = graphene.Field(DjangoDebug, name="_debug")


schema = graphene.Schema(query=Query)
debugged = graphene.Schema(query=Debugged)


class Shouting:
    """Middleware as a class, as graphene-django's own is."""

    def resolve(self, next: Any, root: Any, info: Any, **arguments: Any) -> Any:
        return f"{next(root, info, **arguments).upper()}"


def named(name: str) -> str:
    return f"{__name__}.{name}"


async def over_http(application: Any) -> Any:
    return (await GraphqlHttpClient(application).execute("{ hello }")).data


async def over_websocket(application: Any) -> Any:
    async with GraphqlWebsocketCommunicator(application, "/graphql/") as socket:
        return (await socket.execute("{ hello }")).data


@pytest.mark.parametrize("ask", [over_http, over_websocket])
async def test_the_router_serves_the_schema_with_the_middleware(ask: Any) -> None:
    graphene_ = {"SCHEMA": named("schema"), "MIDDLEWARE": [named("Shouting")]}
    with override_settings(GRAPHENE=graphene_):
        router = GraphqlProtocolTypeRouter(middleware_stack=None)
        assert await ask(router) == {"hello": "HELLO!"}
        plain = GraphqlProtocolTypeRouter(middleware_stack=None, uses_graphene_settings=False)
        assert await ask(plain) == {"hello": "Hello!"}
        own = GraphqlProtocolTypeRouter(middleware_stack=None, middleware=[])
        assert await ask(own) == {"hello": "Hello!"}


async def test_a_consumer_that_is_mounted_by_itself_takes_the_schema_only() -> None:
    graphene_ = {"SCHEMA": schema, "MIDDLEWARE": [Shouting]}
    with override_settings(GRAPHENE=graphene_):
        assert await over_http(GraphqlHttpConsumer.as_asgi()) == {"hello": "HELLO!"}
        assert await over_websocket(GraphqlWsConsumer.as_asgi()) == {"hello": "Hello!"}


def test_the_same_setting_makes_the_same_engine() -> None:
    with override_settings(GRAPHENE={"SCHEMA": schema, "MIDDLEWARE": [Shouting]}):
        first = engine_of(GraphqlHttpConsumer())
        assert engine_of(GraphqlHttpConsumer()) is first


def test_without_a_schema_anywhere_the_text_names_the_setting() -> None:
    with pytest.raises(TypeError, match="name it in the setting GRAPHENE"):
        GraphqlView.as_view()


@pytest.mark.parametrize(
    ("debug", "served", "has_panel"),
    [(True, debugged, True), (True, schema, False), (False, debugged, False)],
)
def test_the_debug_panel_has_its_middleware_while_debugging(
    debug: bool, served: Any, has_panel: bool
) -> None:
    class View(GraphqlView):
        schema = served

    with override_settings(DEBUG=debug):
        middleware = engine_of(View()).settings.middleware or []
    assert any(isinstance(each, DjangoDebugMiddleware) for each in middleware) is has_panel

"""The setting GRAPHENE: defaults for the router, the HTTP consumer and the views."""

from __future__ import annotations

from inspect import isawaitable
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
    Subscription,
)
from channels_graphql_ws.operations.engine import engine_of
from channels_graphql_ws.testing import GraphqlHttpClient, GraphqlWebsocketCommunicator


class Query(graphene.ObjectType):
    hello = graphene.String(default_value="Hello!")


class Debugged(Query):
    debug = graphene.Field(DjangoDebug, name="_debug")


class OnSaid(Subscription):
    text = graphene.String()

    def publish(self: Any, info: Any) -> Any:
        return {"text": self}


class Subscriptions(graphene.ObjectType):
    said = OnSaid.Field()


schema = graphene.Schema(query=Query)
live = graphene.Schema(query=Query, subscription=Subscriptions)
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


class Counting:
    """Notes of one client what must not count for others."""

    def __init__(self) -> None:
        self.number = 0

    def resolve(self, next: Any, root: Any, info: Any, **arguments: Any) -> Any:
        self.number += 1
        value = next(root, info, **arguments)
        return f"{value} {self.number}" if isinstance(value, str) else value


class CountingLater(Counting):
    """The same as a coroutine function."""

    async def resolve(self, next: Any, root: Any, info: Any, **arguments: Any) -> Any:
        number = self.number = self.number + 1
        value = next(root, info, **arguments)
        return f"{await value if isawaitable(value) else value} {number}"


class Spoken:
    """Has no `resolve`."""

    def __call__(self, next: Any, root: Any, info: Any, **arguments: Any) -> Any:
        return f"{next(root, info, **arguments)} spoken"


async def two_fields(application: Any) -> Any:
    answer = await GraphqlHttpClient(application).execute("{ a: hello b: hello }")
    return list((answer.data or {}).values())


@pytest.mark.parametrize("middleware", [Counting, CountingLater])
async def test_each_operation_has_objects_of_its_own(middleware: Any) -> None:
    with override_settings(GRAPHENE={"SCHEMA": schema, "MIDDLEWARE": [middleware]}):
        application = GraphqlHttpConsumer.as_asgi()
        for _ in range(2):
            assert await two_fields(application) == ["Hello! 1", "Hello! 2"]


async def test_events_have_that_of_their_subscription() -> None:
    with override_settings(GRAPHENE={"SCHEMA": live, "MIDDLEWARE": [Counting]}):
        application = GraphqlProtocolTypeRouter(middleware_stack=None)
        async with GraphqlWebsocketCommunicator(application, "/graphql/") as socket:
            for _ in range(2):
                async with socket.subscribe("subscription { said { text } }") as events:
                    texts = []
                    for _ in range(2):
                        await OnSaid.broadcast(payload="a")
                        texts.append(((await anext(events)).data or {})["said"]["text"])
                    # `said` counts, too.
                    assert texts == ["a 2", "a 4"]


async def test_an_object_without_resolve_and_a_context_of_another_kind_have_one_for_all() -> None:
    class Own(GraphqlHttpConsumer):
        def get_context(self, context: Any) -> Any:
            return {}

    with override_settings(GRAPHENE={"SCHEMA": schema, "MIDDLEWARE": [Spoken, Counting]}):
        application = Own.as_asgi()
        assert await two_fields(application) == ["Hello! spoken 1", "Hello! spoken 2"]
        assert await two_fields(application) == ["Hello! spoken 3", "Hello! spoken 4"]


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
        middleware: Any = engine_of(View()).settings.middleware or []
    classes = [each.cls for each in middleware]
    assert classes == ([DjangoDebugMiddleware] if has_panel else [])


@pytest.mark.parametrize(
    ("graphene_", "text"),
    [
        ({"SCHEMA": named("shcema")}, r"GRAPHENE\['SCHEMA'\] names '.*\.shcema', which cannot"),
        (
            {"SCHEMA": schema, "MIDDLEWARE": ["no.such.Middleware"]},
            r"GRAPHENE\['MIDDLEWARE'\] names 'no.such.Middleware', which cannot be imported: No m",
        ),
    ],
)
def test_what_cannot_be_imported_is_named_with_its_setting(graphene_: Any, text: str) -> None:
    with override_settings(GRAPHENE=graphene_), pytest.raises(ImportError, match=text):
        GraphqlProtocolTypeRouter(middleware_stack=None)

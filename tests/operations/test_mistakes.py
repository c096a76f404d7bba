"""Mistakes in what is mounted say what is wrong, and what to do."""

from __future__ import annotations

import importlib
from types import ModuleType

import graphene
import pytest
from asgiref.sync import sync_to_async
from channels.routing import URLRouter
from django.http import HttpRequest
from django.test import AsyncClient, Client
from django.urls import path

from channels_graphql_ws import (
    GraphqlHttpConsumer,
    GraphqlProtocolTypeRouter,
    GraphqlView,
    GraphqlWsConsumer,
    Subscription,
)
from channels_graphql_ws.operations.mounting import check_arguments
from channels_graphql_ws.routing import OriginCheck
from channels_graphql_ws.spelling import collecting
from channels_graphql_ws.testing import (
    GraphqlHttpClient,
    GraphqlWebsocketCommunicator,
    LiveServer,
    SyncGraphqlHttpClient,
)


class OnEvent(Subscription):
    text = graphene.String()

    @staticmethod
    def publish(payload, info):
        return {"text": payload}


class Query(graphene.ObjectType):
    ok = graphene.Boolean(default_value=True)


class Subscriptions(graphene.ObjectType):
    on_event = OnEvent.Field()


SCHEMA = graphene.Schema(query=Query, subscription=Subscriptions)


def middleware(next_, root, info, **arguments):
    return next_(root, info, **arguments)


class Middleware:
    def resolve(self, next_, root, info, **arguments):
        return next_(root, info, **arguments)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"middleware": middleware},
            r"must be a list of functions.*`middleware = \[middleware\]`",
        ),
        ({"middleware": [Middleware]}, r"Middleware is a class: pass an object of it"),
        ({"validation_rules": 3}, r"must be a list of classes.*`validation_rules = \[3\]`"),
        ({"confirm_subscriptions": "no"}, r"is 'no', it must be `True` or `False`"),
        ({"subprotocols": "graphql-ws"}, r"must be a list of names: .*\['graphql-ws'\]`"),
        ({"on_connect": middleware}, "no option 'on_connect': it is a hook, override it"),
        ({"root_value": 3}, r"no option 'root_value': override `get_root_value\(context\)`"),
        ({"path": "graphql/"}, "no option 'path': the address is `url_pattern`"),
        ({"validation_rules": [len]}, "validation_rules has <built-in function len> in it"),
        ({"gap_policy": "tel"}, "gap_policy is 'tel'; it must be one of 'tell', 'end'"),
        ({"batch": True}, "no option 'batch': `max_batch_size` says how many"),
    ],
)
def test_a_wrong_option_says_what_to_pass(options, said):
    with pytest.raises((TypeError, ValueError), match=said):
        GraphqlProtocolTypeRouter(SCHEMA, **options)


def test_lists_may_be_anything_that_is_iterated_over():
    GraphqlWsConsumer.as_asgi(
        schema=SCHEMA, middleware=(Middleware(), middleware), subprotocols=("graphql-ws",)
    )


@pytest.mark.parametrize("cls", [GraphqlWsConsumer, GraphqlHttpConsumer])
def test_options_by_position_are_refused(cls):
    with pytest.raises(TypeError, match=r"takes its options by name, such as .*schema=schema"):
        cls.as_asgi(SCHEMA)


async def test_as_asgi_that_is_not_called_says_so():
    class Consumer(GraphqlWsConsumer):
        schema = SCHEMA

    router = URLRouter([path("graphql/", Consumer.as_asgi)])
    with pytest.raises(TypeError, match=r"Consumer\.as_asgi` is not called: mount"):
        await GraphqlWebsocketCommunicator(router, "/graphql/").gql_init()


def test_a_consumer_in_a_urlconf_says_where_it_belongs():
    view = GraphqlHttpConsumer.as_asgi(schema=SCHEMA)
    with pytest.raises(TypeError, match=r"is an ASGI application, and not a view: .*asgi\.py"):
        view(HttpRequest()).send(None)


def test_a_view_in_a_url_router_says_where_it_belongs():
    router = URLRouter([path("graphql/", GraphqlView.as_view(schema=SCHEMA))])
    with pytest.raises(TypeError, match="GraphqlView is a view, and not an ASGI application"):
        SyncGraphqlHttpClient(router).execute("{ ok }")


@pytest.mark.parametrize("place", ["query", "mutation"])
def test_a_subscription_in_another_root_type_is_refused(place):
    class Wrong(graphene.ObjectType):
        on_event = OnEvent.Field()

    roots = {"query": Query, "subscription": Subscriptions, place: Wrong}
    with pytest.raises(TypeError, match=r"Wrong\.on_event is a subscription.*in Subscriptions"):
        GraphqlProtocolTypeRouter(graphene.Schema(**roots))
    del roots["subscription"]
    with pytest.raises(TypeError, match="in a class that is the schema's `subscription`"):
        GraphqlProtocolTypeRouter(graphene.Schema(**roots))


def test_a_subscription_class_as_the_type_of_a_field_is_refused():
    class Wrong(graphene.ObjectType):
        on_event = graphene.Field(OnEvent)

    with pytest.raises(TypeError, match=r"mount the subscription with `on_event = OnEvent\.Field"):
        GraphqlProtocolTypeRouter(graphene.Schema(query=Query, subscription=Wrong))


def test_a_subscription_class_is_not_the_root_type():
    with pytest.raises(TypeError, match=r"OnEvent is a subscription, and not the root type"):
        GraphqlWsConsumer.as_asgi(schema=graphene.Schema(query=Query, subscription=OnEvent))


def test_of_a_root_type_that_is_none_no_fields_are_looked_at():
    with collecting() as refused:
        GraphqlWsConsumer.as_asgi(schema=graphene.Schema(query=Query, subscription=OnEvent))
    assert [str(error).split(":")[0] for _, error in refused] == [
        "OnEvent is a subscription, and not the root type of them"
    ]


@pytest.mark.parametrize(
    "mounted",
    [
        graphene.List(OnEvent),
        graphene.NonNull(OnEvent),
        graphene.Field(graphene.List(graphene.NonNull(OnEvent))),
    ],
)
def test_a_list_of_a_subscription_class_is_refused(mounted):
    root = type("Root", (graphene.ObjectType,), {"on_event": mounted})
    with pytest.raises(TypeError, match=r"`on_event = OnEvent\.Field\(\)`"):
        GraphqlWsConsumer.as_asgi(schema=graphene.Schema(query=Query, subscription=root))


def test_a_generator_may_yield_objects_of_a_subscription_class():
    class Right(graphene.ObjectType):
        on_event = graphene.Field(OnEvent)

        @staticmethod
        async def subscribe_on_event(root, info):
            yield OnEvent(text="Milk?")

    GraphqlProtocolTypeRouter(graphene.Schema(query=Query, subscription=Right))


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_a_context_that_is_not_returned_is_told(is_async, caplog):
    class Consumer(GraphqlWsConsumer):
        schema = SCHEMA

        if is_async:

            async def get_context(self, context):
                context.tenant = 1
        else:

            def get_context(self, context):
                context.tenant = 1

    async with GraphqlWebsocketCommunicator(Consumer.as_asgi(), "/") as client:
        (error,) = (await client.execute("{ ok }")).errors
    assert "`get_context` returned None: return the context" in error.message
    assert "`get_context` returned None" in caplog.text


async def test_an_init_that_forgets_its_base_says_so():
    class Consumer(GraphqlWsConsumer):
        schema = SCHEMA

        def __init__(self):
            self.started = True

    with pytest.raises(TypeError, match=r"Consumer\.__init__ must call `super\(\)\.__init__"):
        await GraphqlWebsocketCommunicator(Consumer.as_asgi(), "/").gql_init()


@pytest.mark.parametrize("name", ["on_connection_init", "on_init"])
def test_a_hook_of_another_package_lets_nobody_in_by_mistake(name):
    with pytest.raises(TypeError, match=f"there is no '{name}', did you mean 'on_connect'"):
        type("Consumer", (GraphqlWsConsumer,), {name: lambda self, payload: None})
    # A view has no connections.
    type("Consumer", (GraphqlHttpConsumer,), {name: lambda self, payload: None})
    type("Consumer", (GraphqlWsConsumer,), {name: 3, "own_names": [name]})


async def test_a_habit_from_djangos_requests_says_what_is_here():
    class Asking(graphene.ObjectType):
        address = graphene.String()

        @staticmethod
        def resolve_address(root, info):
            return info.context.POST["address"]

    application = GraphqlWsConsumer.as_asgi(schema=graphene.Schema(query=Asking))
    async with GraphqlWebsocketCommunicator(application, "/") as client:
        (error,) = (await client.execute("{ address }")).errors
    assert "It is not a Django request: values come as arguments" in error.message


async def test_a_schema_is_no_application():
    said = r"is not an ASGI application: .*TypeRouter\(schema\)"
    with pytest.raises(TypeError, match=said):
        await GraphqlWebsocketCommunicator(SCHEMA, "/graphql/").gql_init()
    with pytest.raises(TypeError, match=said):
        await GraphqlHttpClient(SCHEMA).execute("{ ok }")
    with pytest.raises(TypeError, match=said):
        LiveServer(SCHEMA)


@pytest.mark.parametrize("name", ["broadcast", "broadcast_async", "broadcast_sync", "unsubscribe"])
def test_arguments_of_a_broadcast_have_names(name):
    call = getattr(OnEvent, name)
    with pytest.raises(TypeError, match=rf"\.{name} takes its arguments by name.*\(group="):
        call("tea")
    with pytest.raises(TypeError, match="no argument 'groups', did you mean 'group'"):
        call(groups=["tea"])
    with pytest.raises(TypeError, match=r"no argument 'data': it takes group, .*on_commit, using"):
        call(group="tea", data="Milk?")
    with pytest.raises(TypeError, match="group must be a string or None, not 7"):
        call(group=7)


class Chat(GraphqlWsConsumer):
    schema = SCHEMA


@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("Chat", Chat.as_asgi()),
        ("GraphqlHttpConsumer", GraphqlHttpConsumer.as_asgi(schema=SCHEMA)),
        ("GraphqlProtocolTypeRouter", GraphqlProtocolTypeRouter(SCHEMA)),
    ],
)
async def test_what_belongs_into_asgi_py_says_so_in_a_urlconf(name, view, settings):
    settings.ROOT_URLCONF = ModuleType("urls")
    settings.ROOT_URLCONF.urlpatterns = [path("graphql/", view)]
    settings.MIDDLEWARE = []
    said = f"{name} is an ASGI application, and not a view: route it in asgi.py"
    with pytest.raises(TypeError, match=said):
        await AsyncClient().get("/graphql/")
    with pytest.raises(TypeError, match=said):
        await sync_to_async(Client().get)("/graphql/")


@pytest.mark.parametrize("cls", [Chat, GraphqlHttpConsumer])
def test_a_class_in_a_urlconf_says_where_it_belongs(cls):
    with pytest.raises(TypeError, match=f"{cls.__name__} is an ASGI application, and not a view"):
        cls(HttpRequest())


@pytest.mark.parametrize("view", [GraphqlView.as_view(schema=SCHEMA), GraphqlView])
async def test_a_view_among_websockets_names_the_consumer(view):
    router = URLRouter([path("graphql/", view)])
    said = r"GraphqlView is a view, and not .* mount `GraphqlWsConsumer\.as_asgi\(schema=schema\)`"
    with pytest.raises(TypeError, match=said):
        await GraphqlWebsocketCommunicator(router, "/graphql/").gql_init()


def test_a_view_without_as_view_says_so():
    with pytest.raises(TypeError, match=r"GraphqlView is a class: route `GraphqlView\.as_view\("):
        GraphqlView(HttpRequest())
    with pytest.raises(TypeError, match="has no option 'shema'"):
        GraphqlView.as_view(shema=SCHEMA)


def test_the_router_takes_what_strawberrys_takes_by_position():
    application = GraphqlProtocolTypeRouter(SCHEMA, None, r"^api/$")
    result = SyncGraphqlHttpClient(application, "/api/").execute("{ ok }")
    assert result.data == {"ok": True}


@pytest.mark.parametrize(
    "application", [Chat.as_asgi(), GraphqlProtocolTypeRouter(SCHEMA), OriginCheck(Chat.as_asgi())]
)
async def test_servers_may_call_what_serves_websockets_by_name(application):
    async with GraphqlWebsocketCommunicator(by_name(application), "/graphql/") as client:
        assert (await client.execute("{ ok }")).data == {"ok": True}


async def test_servers_may_call_what_serves_http_by_name():
    application = GraphqlHttpConsumer.as_asgi(schema=SCHEMA)
    assert (await GraphqlHttpClient(by_name(application)).execute("{ ok }")).data == {"ok": True}


def by_name(application):
    async def called_as_by_daphne(scope, receive, send):
        await application(scope=scope, receive=receive, send=send)

    return called_as_by_daphne


class OwnSerializer:
    """One that an application has written for the predecessor."""


@pytest.mark.parametrize("name", ["graphql_ws_consumer", "serializer", "subscription"])
@pytest.mark.parametrize("cls", [Chat, GraphqlHttpConsumer])
def test_a_serializer_that_is_replaced_in_vain_is_refused(name, cls, monkeypatch):
    module = importlib.import_module(f"channels_graphql_ws.{name}")
    monkeypatch.setattr(module, "Serializer", OwnSerializer, raising=False)
    said = rf"`channels_graphql_ws\.{name}\.Serializer` is replaced by .*OwnSerializer.*no effect"
    with pytest.raises(TypeError, match=said):
        cls.as_asgi(schema=SCHEMA)


def test_arguments_of_another_kind_are_the_class_s_own_affair() -> None:
    check_arguments(GraphqlHttpConsumer, ["something of a subclass"])

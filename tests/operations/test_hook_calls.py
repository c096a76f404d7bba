"""Synchronous hooks of consumers and views may use the ORM."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import graphene
import pytest
from django.contrib.auth.models import Group
from django.http import HttpResponse

from asgi_socket import AsgiSocket
from channels_graphql_ws import (
    GraphqlHttpConsumer,
    GraphqlProtocolTypeRouter,
    GraphqlWsConsumer,
    Subscription,
)
from channels_graphql_ws.client_log import LINES
from channels_graphql_ws.concurrency.threads import in_thread
from channels_graphql_ws.graphiql import GraphiqlConfig
from channels_graphql_ws.operations.hook_calls import call_hook
from channels_graphql_ws.testing import GraphqlHttpClient
from file_database import file_database
from http_client import exchange
from support import tick, wait_until

called: list[str] = []


@pytest.fixture(autouse=True)
def database(tmp_path, django_db_blocker):
    called.clear()
    with file_database(tmp_path / "groups", django_db_blocker, "contenttypes", "auth"):
        Group.objects.create(name="readers")
        yield


def look(name: str) -> None:
    """Use the ORM."""
    called.append(f"{name} {Group.objects.get().name}")


class OnEvent(Subscription):
    ok = graphene.Boolean()

    @staticmethod
    def publish(payload: Any, info: Any) -> Any:
        return {"ok": True}


class Query(graphene.ObjectType):
    name = graphene.String()
    broken = graphene.String()

    @staticmethod
    def resolve_name(root: Any, info: Any) -> str:
        return Group.objects.get().name

    @staticmethod
    def resolve_broken(root: Any, info: Any) -> str:
        raise ValueError("broken")


class Subscriptions(graphene.ObjectType):
    on_event = OnEvent.Field()


schema = graphene.Schema(query=Query, subscription=Subscriptions)


class Socket(GraphqlWsConsumer):
    """Each hook uses the ORM."""

    def on_connect(self, payload: Any) -> Any:
        look("on_connect")

    def on_operation(self, op_id: Any, payload: Any) -> Any:
        look("on_operation")

    def get_context(self, context: Any) -> Any:
        look("get_context")
        return context

    def get_root_value(self, context: Any) -> Any:
        look("get_root_value")

    def on_next(self, op_id: Any, result: Any) -> Any:
        look("on_next")

    def on_error(self, op_id: Any, errors: Any) -> Any:
        look("on_error")

    def on_complete(self, op_id: Any) -> None:
        look("on_complete")

    def on_ping(self, payload: Any) -> Any:
        look("on_ping")

    def on_pong(self, payload: Any) -> None:
        look("on_pong")

    def on_disconnect(self, code: Any) -> None:
        look("on_disconnect")


def names() -> list[str]:
    return [each.split()[0] for each in called]


@pytest.mark.parametrize("way", ["router", "switch"])
async def test_each_hook_of_a_websocket(way):
    if way == "router":
        application = GraphqlProtocolTypeRouter(
            schema, websocket_consumer=Socket, middleware_stack=None
        )
    else:
        application = Socket.as_asgi(schema=schema, resolve_sync_in_threads=True)
    socket = AsgiSocket(application)
    await socket.acknowledged()
    socket.start("1", "{ name }")
    await wait_until(lambda: "complete:1" in socket.words)
    assert names() == [
        "on_connect",
        "on_operation",
        "get_context",
        "get_root_value",
        "on_next",
        "on_complete",
    ]
    assert socket.results("1")[0] == {"data": {"name": "readers"}}
    called.clear()
    socket.start("2", "{ unknown }")
    socket.say("ping")
    socket.say("pong")
    await wait_until(lambda: len(called) == 4)
    await socket.drop()
    assert sorted(names()) == ["on_disconnect", "on_error", "on_operation", "on_ping", "on_pong"]


@pytest.mark.parametrize("way", ["bare", "says no"])
async def test_a_bare_consumer_stays_on_the_event_loop_and_names_the_switch(way, caplog):
    class Bare(GraphqlWsConsumer):
        if way == "says no":
            resolve_sync_in_threads = False

    if way == "says no":
        application = GraphqlProtocolTypeRouter(
            schema, websocket_consumer=Bare, middleware_stack=None
        )
    else:
        application = Bare.as_asgi(schema=schema)
    socket = AsgiSocket(application)
    await socket.acknowledged()
    socket.start("1", "{ name }")
    await wait_until(lambda: "complete:1" in socket.words)
    [error] = socket.results("1")[0]["errors"]
    assert ("resolve_sync_in_threads = True" in error["message"]) is (way == "bare")
    [record] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "resolve_sync_in_threads = True" in record.getMessage()
    await socket.drop()


async def test_a_hook_that_needs_a_thread_is_told_so(caplog):
    class Bare(GraphqlWsConsumer):
        def get_context(self, context: Any) -> Any:
            look("get_context")

    socket = AsgiSocket(Bare.as_asgi(schema=schema))
    await socket.acknowledged()
    socket.start("1", "{ name }")
    await wait_until(lambda: socket.results("1"))
    [[error]] = socket.results("1")
    assert error["message"].startswith("SynchronousOnlyOperation: ")
    assert "resolve_sync_in_threads = True" in error["message"]
    assert "resolve_sync_in_threads = True" in caplog.text
    await socket.drop()


class Http(GraphqlHttpConsumer):
    """Each hook uses the ORM."""

    def on_operation(self, op_id: Any, payload: Any) -> Any:
        look("on_operation")

    def get_context(self, context: Any) -> Any:
        look("get_context")
        return context

    def get_root_value(self, context: Any) -> Any:
        look("get_root_value")

    def process_result(self, request: Any, result: Any) -> Any:
        look("process_result")
        return result


async def test_each_hook_over_http():
    result = await GraphqlHttpClient(Http.as_asgi(schema=schema)).execute("{ name }")
    assert result.data == {"name": "readers"}
    assert names() == ["on_operation", "get_context", "get_root_value", "process_result"]


async def test_hooks_of_the_page():
    class Page(GraphqlHttpConsumer):
        def render_graphiql(self, request: Any) -> Any:
            look("render_graphiql")
            return HttpResponse("mine") if "mine" in request.query_params else None

        def graphiql_config(self, request: Any) -> Any:
            look("graphiql_config")
            return GraphiqlConfig()

    application = Page.as_asgi(schema=schema, graphiql=True)
    for where in ("/graphql/?mine=1", "/graphql/"):
        async with exchange(application, "GET", where, headers={"Accept": "text/html"}) as one:
            await one.send()
            assert (await one.answer()).status == 200
    assert names() == ["render_graphiql", "render_graphiql", "graphiql_config"]


async def test_an_awaitable_that_a_synchronous_hook_returns_is_awaited():
    class Later(GraphqlHttpConsumer):
        def get_context(self, context: Any) -> Any:
            look("get_context")

            async def later() -> Any:
                context.number = await Group.objects.acount()
                return context

            return later()

    result = await GraphqlHttpClient(Later.as_asgi(schema=schema)).execute("{ name }")
    assert result.data == {"name": "readers"}
    await in_thread(Group.objects.count)


@pytest.mark.parametrize("value", ["yes", 1])
def test_the_switch_is_true_false_or_none(value):
    with pytest.raises(TypeError, match="it must be `True`, `False` or `None`"):
        GraphqlHttpConsumer.as_asgi(schema=schema, resolve_sync_in_threads=value)


async def test_the_log_is_told_of_a_few_hooks_of_those_that_hang(caplog) -> None:
    gate = asyncio.Event()

    class Hanging(GraphqlWsConsumer):
        schema = graphene.Schema(query=Query)
        warn_operation_timeout = 0

        async def hang(self) -> None:
            await gate.wait()

    consumer = Hanging()
    calls = [asyncio.ensure_future(call_hook(consumer, "hang")) for _ in range(LINES + 5)]
    await tick(5)
    gate.set()
    await asyncio.gather(*calls)
    told = [each for each in caplog.records if "has not returned" in each.getMessage()]
    assert len(told) == LINES

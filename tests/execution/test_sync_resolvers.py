"""Synchronous user code in threads: where it runs, and what it may do there."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import threading
import types
from functools import partial
from types import SimpleNamespace
from typing import Any

import graphene
import pytest
from graphene.types.resolver import attr_resolver, dict_or_attr_resolver
from graphql import GraphQLString, MiddlewareManager, OperationType

from channels_graphql_ws import Subscription
from channels_graphql_ws.concurrency.threads import _ThreadCall, in_thread
from channels_graphql_ws.execution.sync_resolvers import Hop, Hops
from engine_fakes import Rig, here, schema_of
from support import GUARD, tick, wait_until

pytestmark = pytest.mark.usefixtures("executor")

INFO: Any = SimpleNamespace(
    field_name="name",
    variable_values={},
    return_type=GraphQLString,
    operation=SimpleNamespace(operation=OperationType.QUERY),
)


def hop(resolve: Any, root: Any, info: Any, **arguments: Any) -> Any:
    return Hop(resolve)(root, info, **arguments)


async def test_a_call_is_made_in_another_thread():
    assert await in_thread(here) != here()


async def test_even_a_coroutine_function_may_be_called_there():
    async def answer() -> int:
        return here()

    coroutine = await in_thread(answer)
    assert await coroutine == here()


async def test_a_resolver_that_is_called_on_the_event_loop_goes_to_a_thread():
    def resolve(root, info, **arguments):
        return here(), root, arguments

    thread, root, arguments = await hop(resolve, "root", INFO, a=1)
    assert thread != here()
    assert (root, arguments) == ("root", {"a": 1})


def test_where_there_is_no_event_loop_a_resolver_is_called_at_once():
    assert hop(lambda root, info: here(), None, INFO) == here()


async def test_a_coroutine_function_stays_on_the_event_loop():
    async def resolve(root, info):
        return here()

    assert await hop(resolve, None, INFO) == here()


async def test_an_awaitable_that_comes_out_of_a_thread_is_awaited_on_the_event_loop():
    async def answer() -> int:
        return here()

    assert await hop(lambda root, info: answer(), None, INFO) == here()


async def test_what_a_thread_raises_is_raised_here():
    def resolve(root, info):
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        await hop(resolve, None, INFO)


class Lazy:
    """An object with a value that is there, and one that has to be worked out."""

    def __init__(self) -> None:
        self.there = "there"

    @property
    def worked_out(self) -> int:
        return here()


async def test_a_value_that_is_there_is_read_without_leaving_the_event_loop():
    read = partial(dict_or_attr_resolver, "there", None)
    assert hop(read, Lazy(), INFO) == "there"
    assert hop(read, {"there": 1}, INFO) == 1
    assert hop(read, {}, INFO) is None


async def test_a_value_that_has_to_be_worked_out_is_not():
    read = partial(attr_resolver, "worked_out", None)
    assert await hop(read, Lazy(), INFO) != here()


def test_a_resolver_is_wrapped_once():
    def resolve(root, info):
        return "x"

    def twice(next, root, info):
        return next(root, info) * 2

    hops = Hops(MiddlewareManager(twice))
    wrapped = hops.get_field_resolver(resolve)
    assert hops.get_field_resolver(resolve) is wrapped
    assert wrapped(None, INFO) == "xx"
    assert Hops(None).get_field_resolver(resolve)(None, INFO) == "x"


async def test_the_middleware_of_the_user_is_called_in_a_thread_too():
    def where(next, root, info):
        return here(), next(root, info)

    wrapped = Hops(MiddlewareManager(where)).get_field_resolver(lambda root, info: here())
    middleware, resolver = await wrapped(None, INFO)
    assert middleware == resolver != here()


async def test_a_publish_that_blocks_stalls_nobody_else():
    gate = threading.Event()

    class Blocking(Subscription):
        ok = graphene.Boolean()

        @staticmethod
        def publish(payload, info):
            if info.context.id == "slow":
                gate.wait(GUARD)
            return {"ok": True}

    server = Rig(schema_of(Blocking), resolve_sync_in_threads=True)
    slow, quick = [await server.subscribe(id=id) for id in ("slow", "quick")]
    for _ in range(3):
        server.hub.broadcast()
    await quick.hears(3)
    assert slow.results == []
    gate.set()
    await slow.hears(3)


async def test_a_query_that_blocks_stalls_nobody_else():
    gate = threading.Event()

    class Blocking(graphene.ObjectType):
        wait = graphene.Boolean()
        ok = graphene.Boolean(default_value=True)

        @staticmethod
        def resolve_wait(root, info):
            return gate.wait(GUARD)

    server = Rig(schema_of(query=Blocking), resolve_sync_in_threads=True)
    _, slow = server.begin("{ wait }")
    task = asyncio.create_task(slow)
    await tick()
    assert await server.answer("{ ok }") == {"data": {"ok": True}}
    gate.set()
    await task


async def test_events_of_a_publish_that_blocks_keep_their_order():
    class Uneven(Subscription):
        number = graphene.Int()

        @staticmethod
        def publish(payload, info):
            threading.Event().wait(0.001 * (payload % 3))
            return {"number": payload}

    server = Rig(schema_of(Uneven), resolve_sync_in_threads=True)
    client = await server.subscribe("subscription { event { number } }")
    for number in range(20):
        server.hub.broadcast(number)
    await client.hears(20)
    assert client.data == [{"number": number} for number in range(20)]


async def test_what_is_stopped_does_not_wait_for_its_thread():
    gate = threading.Event()
    entered = threading.Event()
    ended: list[str] = []

    class Blocking(Subscription):
        ok = graphene.Boolean()

        @staticmethod
        def publish(payload, info):
            entered.set()
            gate.wait(GUARD)
            return {"ok": True}

        @staticmethod
        def unsubscribed(root, info):
            ended.append("unsubscribed")

    server = Rig(schema_of(Blocking), resolve_sync_in_threads=True)
    client = await server.subscribe()
    server.hub.broadcast()
    server.hub.broadcast()
    await wait_until(entered.is_set)
    await server.end(client)
    assert ended == ["unsubscribed"]
    gate.set()
    await in_thread(here)
    assert client.results == []


async def nothing_to_await():
    raise AssertionError("nobody waits for it")


async def test_what_a_thread_gives_to_nobody_is_closed():
    # A coroutine that is dropped instead would warn, and warnings are errors here.
    entered, leave = threading.Event(), threading.Event()
    given = []

    def call():
        entered.set()
        leave.wait(GUARD)
        given.append(nothing_to_await())
        return given[0]

    task = asyncio.create_task(in_thread(call))
    await wait_until(entered.is_set)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    leave.set()
    await wait_until(lambda: given and inspect.getcoroutinestate(given[0]) == inspect.CORO_CLOSED)


async def test_what_is_abandoned_after_the_call_is_closed_too():
    loop = asyncio.get_running_loop()
    call = _ThreadCall(nothing_to_await, types.CoroutineType.close, loop)
    coroutine = call.run()
    call.abandon()
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED

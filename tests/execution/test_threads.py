"""Synchronous user code in threads: where it runs, and what it may do there."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import graphene
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connections
from django.db.backends.signals import connection_created
from graphene.types.resolver import attr_resolver, dict_or_attr_resolver
from graphql import MiddlewareManager

from channels_graphql_ws import Subscription
from channels_graphql_ws.execution import threads
from channels_graphql_ws.execution.threads import Hops, hop, in_thread
from executing import Rig, schema_of
from support import GUARD, tick, wait_until

INFO: Any = SimpleNamespace(field_name="name")


def here() -> int:
    return threading.get_ident()


# -------------------------------------------------------------------------------- hops


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


# --------------------------------------------------------------------------------- ORM


class Thing(graphene.ObjectType):
    """A row of the database, read by resolvers of both kinds."""

    name = graphene.String()
    again = graphene.Field(lambda: Thing)
    later = graphene.Field(lambda: Thing)

    @staticmethod
    def resolve_name(root, info):
        return Group.objects.get().name

    @staticmethod
    def resolve_again(root, info):
        Group.objects.get()
        return Thing()

    @staticmethod
    async def resolve_later(root, info):
        await tick()
        return Thing()


class Read(graphene.ObjectType):
    """Queries that use the ORM without further ado."""

    thing = graphene.Field(Thing)

    @staticmethod
    def resolve_thing(root, info):
        Group.objects.get()
        return Thing()


class Write(graphene.ObjectType):
    """A mutation that uses the ORM without further ado."""

    add = graphene.String()

    @staticmethod
    def resolve_add(root, info):
        return Group.objects.create(name="readers").name


class OnThing(Subscription):
    """Hooks that use the ORM without further ado."""

    Output = Thing

    @staticmethod
    def subscribe(root, info):
        return [Group.objects.get().name]

    @staticmethod
    def publish(payload, info):
        Group.objects.get()
        return Thing()

    @staticmethod
    def unsubscribed(root, info):
        Group.objects.create(name="left")


def looking(next, root, info, **arguments):
    """Middleware that uses the ORM without further ado."""
    Group.objects.exists()
    return next(root, info, **arguments)


@pytest.fixture
def database(tmp_path, django_db_blocker) -> Iterator[None]:
    """A database in a file, which every thread has a connection of its own to."""
    options = connections.settings["default"]
    name, shared = options["NAME"], connections["default"]
    options["NAME"] = str(tmp_path / "file.sqlite3")
    connections["default"] = connections.create_connection("default")
    with django_db_blocker.unblock():
        with connections["default"].schema_editor() as editor:
            editor.create_model(Group)
        yield
        connections["default"].close()
    options["NAME"] = name
    connections["default"] = shared


class Watch:
    """Counts the database connections that are open at the same time."""

    def __init__(self) -> None:
        self.seen: dict[Any, None] = {}
        self.most = 0
        self.opened = 0

    def created(self, connection: Any, **_: Any) -> None:
        self.seen[connection] = None
        self.opened += 1
        self.most = max(self.most, self.open)

    @property
    def open(self) -> int:
        return sum(one.connection is not None for one in list(self.seen))


@pytest.fixture
def watch(database: None) -> Iterator[Watch]:
    watch = Watch()
    connections["default"].close()
    connection_created.connect(watch.created)
    yield watch
    connection_created.disconnect(watch.created)


def rig() -> Rig:
    schema = schema_of(OnThing, query=Read, mutation=Write)
    return Rig(schema, sync_in_thread=True, middleware=[looking])


NESTED = "name again { name later { name again { name later { name } } } }"
VALUE = {
    "name": "readers",
    "again": {
        "name": "readers",
        "later": {
            "name": "readers",
            "again": {"name": "readers", "later": {"name": "readers"}},
        },
    },
}


async def test_the_orm_works_in_every_resolver_hook_and_middleware(watch):
    server = rig()
    assert await server.answer("mutation { add }") == {"data": {"add": "readers"}}
    assert await server.answer(f"{{ thing {{ {NESTED} }} }}") == {"data": {"thing": VALUE}}
    client = await server.subscribe(f"subscription {{ event {{ {NESTED} }} }}")
    server.hub.broadcast()
    await client.hears(1)
    assert client.results == [{"data": {"event": VALUE}}]
    await server.end(client)
    assert await in_thread(Group.objects.count) == 2


async def test_no_more_connections_are_open_than_threads_and_none_afterwards(watch):
    server = rig()
    await server.answer("mutation { add }")
    threads: set[int] = set()

    def noting(next, root, info, **arguments):
        threads.add(here())
        return next(root, info, **arguments)

    server = Rig(schema_of(query=Read), sync_in_thread=True, middleware=[noting])
    results = await asyncio.gather(
        *(server.answer("{ thing { later { name } } }", id=str(number)) for number in range(100))
    )
    assert results == [{"data": {"thing": {"later": {"name": "readers"}}}}] * 100
    assert 1 <= watch.most <= len(threads)
    assert watch.open == 0


async def test_on_the_event_loop_the_orm_is_refused_as_ever(database):
    result = await Rig(schema_of(query=Read)).answer("{ thing { name } }")
    assert "async context" in result["errors"][0]["message"]


# ---------------------------------------------------------------- the asynchronous ORM


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(threads, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(threads.freshness, "_visited_at", float("-inf"))
    return clock


@pytest.fixture
def visits(monkeypatch) -> list[int]:
    """The thread of each visit."""
    visits: list[int] = []
    monkeypatch.setattr(threads, "close_old_connections", lambda: visits.append(here()))
    return visits


async def in_the_orms_thread(call: Any) -> Any:
    return await sync_to_async(call)()


async def test_connections_of_the_asynchronous_orm_are_seen_to_before_it_is_used(clock, visits):
    class Async(graphene.ObjectType):
        visited = graphene.Boolean()

        @staticmethod
        async def resolve_visited(root, info):
            return await in_the_orms_thread(lambda: visits == [here()])

    assert await Rig(schema_of(query=Async)).answer("{ visited }") == {"data": {"visited": True}}


async def test_they_are_seen_to_once_in_a_while(clock, visits):
    class Plain(Subscription):
        ok = graphene.Boolean()

        @staticmethod
        def publish(payload, info):
            return {"ok": True}

    async def count() -> int:
        await in_the_orms_thread(here)
        return len(visits)

    server = Rig(schema_of(Plain))
    await server.subscribe()
    server.hub.broadcast()
    assert await count() == 1
    clock.now += threads.Freshness.interval
    server.hub.broadcast()
    server.hub.broadcast()
    assert await count() == 2


async def test_a_connection_that_has_had_its_time_is_closed(clock, watch):
    class Async(graphene.ObjectType):
        count = graphene.Int()

        @staticmethod
        async def resolve_count(root, info):
            return await Group.objects.acount()

    server = Rig(schema_of(query=Async))
    for _ in range(3):
        assert await server.answer("{ count }") == {"data": {"count": 0}}
    assert watch.opened == 1
    clock.now += threads.Freshness.interval
    await server.answer("{ count }")
    assert watch.opened == 2
    await in_the_orms_thread(connections.close_all)
    assert watch.open == 0


# ----------------------------------------------------------------------------- stalling


async def test_a_publish_that_blocks_stalls_nobody_else():
    gate = threading.Event()

    class Blocking(Subscription):
        ok = graphene.Boolean()

        @staticmethod
        def publish(payload, info):
            if info.context.id == "slow":
                gate.wait(GUARD)
            return {"ok": True}

    server = Rig(schema_of(Blocking), sync_in_thread=True)
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

    server = Rig(schema_of(query=Blocking), sync_in_thread=True)
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

    server = Rig(schema_of(Uneven), sync_in_thread=True)
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

    server = Rig(schema_of(Blocking), sync_in_thread=True)
    client = await server.subscribe()
    server.hub.broadcast()
    server.hub.broadcast()
    await wait_until(entered.is_set)
    await server.end(client)
    assert ended == ["unsubscribed"]
    gate.set()
    await in_thread(here)
    assert client.results == []

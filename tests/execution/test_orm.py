"""Django's ORM in user code: in threads, and from coroutines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import graphene
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connections
from django.db.backends.signals import connection_created

from asgi_socket import AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.concurrency import database as async_connections
from channels_graphql_ws.concurrency.threads import in_thread
from engine_fakes import Rig, here, schema_of
from file_database import file_database
from support import tick, wait_until

pytestmark = pytest.mark.usefixtures("executor")


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
    with file_database(tmp_path / "file.sqlite3", django_db_blocker, "contenttypes", "auth"):
        yield


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
    return Rig(schema, resolve_sync_in_threads=True, middleware=[looking])


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

    server = Rig(schema_of(query=Read), resolve_sync_in_threads=True, middleware=[noting])
    results = await asyncio.gather(
        *(server.answer("{ thing { later { name } } }", id=str(number)) for number in range(100))
    )
    assert results == [{"data": {"thing": {"later": {"name": "readers"}}}}] * 100
    assert 1 <= watch.most <= len(threads)
    assert watch.open == 0


async def test_on_the_event_loop_the_orm_is_refused_as_ever(database):
    result = await Rig(schema_of(query=Read)).answer("{ thing { name } }")
    assert "async context" in result["errors"][0]["message"]


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(async_connections, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(async_connections.async_connections, "_visited_at", float("-inf"))
    return clock


@pytest.fixture
def visits(monkeypatch) -> list[int]:
    """The thread of each visit."""
    visits: list[int] = []
    monkeypatch.setattr(async_connections, "close_old_connections", lambda: visits.append(here()))
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

    class Server(GraphqlWsConsumer):
        schema = schema_of(Plain)

    socket = AsgiSocket(Server.as_asgi())
    await socket.acknowledged()
    socket.start("s", "subscription { event { ok } }")
    await wait_until(lambda: visits)
    assert await count() == 1
    clock.now += async_connections.AsyncConnections.interval
    await Plain.broadcast()
    await Plain.broadcast()
    await wait_until(lambda: len(socket.results("s")) == 2)
    assert await count() == 2
    await socket.drop()


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
    clock.now += async_connections.AsyncConnections.interval
    await server.answer("{ count }")
    assert watch.opened == 2
    await in_the_orms_thread(connections.close_all)
    assert watch.open == 0

"""Where the hooks of events run: in threads, until they were seen to need none."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from types import SimpleNamespace
from typing import Any

import graphene
import pytest

from channels_graphql_ws import SKIP, Subscription
from channels_graphql_ws.concurrency import placement as module
from channels_graphql_ws.concurrency.placement import CALLS_TO_WATCH, LONGEST_STALL
from channels_graphql_ws.concurrency.threads import in_thread
from channels_graphql_ws.subscription import event
from engine_fakes import Rig, here, schema_of
from file_database import file_database
from support import GUARD
from testapp.models import Author, Book

pytestmark = pytest.mark.usefixtures("executor")


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Calls take no time, so that a busy machine does not make a test fail."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(event, "perf_counter", lambda: clock.now)
    return clock


@pytest.fixture
def books(tmp_path, django_db_blocker):
    with file_database(tmp_path / "books", django_db_blocker, "contenttypes", "testapp"):
        Book.objects.create(title="Notes", author=Author.objects.create(name="Ada"))
        yield


class Numbers(Subscription):
    """Tells in which thread its hooks run."""

    number = graphene.Int()
    on_loop = graphene.Boolean()
    resolved_on_loop = graphene.Boolean()

    @staticmethod
    def publish(payload: Any, info: Any) -> Any:
        return {"number": payload, "on_loop": here() == info.context.loop}

    @staticmethod
    def resolve_resolved_on_loop(root: Any, info: Any) -> bool:
        return here() == info.context.loop


def rig(cls, mode=None, **options):
    rig = Rig(schema_of(cls), resolve_sync_in_threads=mode, **options)

    def context(request):
        made = make(request)
        made.loop = here()
        return made

    make = rig.session.operation_context
    rig.session.operation_context = context
    return rig


async def events(rig, query, count, first=0):
    client = await rig.subscribe(query)
    for number in range(first, first + count):
        rig.hub.broadcast(number)
        await client.hears(number - first + 1)
    await rig.end(client)
    return client.data


async def test_a_publish_that_needs_no_thread_moves_to_the_event_loop():
    class Once(Numbers):
        pass

    server = rig(Once)
    data = await events(server, "subscription { event { number onLoop } }", CALLS_TO_WATCH + 2)
    assert [each["number"] for each in data] == list(range(CALLS_TO_WATCH + 2))
    assert [each["onLoop"] for each in data] == [False] * CALLS_TO_WATCH + [True] * 2
    # The class has learned it, for later clients too.
    [again] = await events(server, "subscription { event { onLoop } }", 1)
    assert again == {"onLoop": True}


async def test_a_resolver_of_events_learns_for_itself():
    server = rig(Numbers)
    query = "subscription { event { onLoop resolvedOnLoop } }"
    data = await events(server, query, 2 * CALLS_TO_WATCH + 1)
    expected = [False] * CALLS_TO_WATCH * 2 + [True]
    assert [each["resolvedOnLoop"] for each in data] == expected


@pytest.mark.parametrize(("mode", "own", "on_loop"), [
    (True, None, False), (False, None, True), (None, True, False),
    (None, False, True), (False, True, False), (True, False, True),
])  # fmt: skip
async def test_the_class_or_the_consumer_may_say_it(mode, own, on_loop):
    class Said(Numbers):
        resolve_sync_in_threads = own

    query = "subscription { event { onLoop resolvedOnLoop } }"
    data = await events(rig(Said, mode), query, CALLS_TO_WATCH + 2)
    assert {each["onLoop"] for each in data} == {on_loop}
    assert {each["resolvedOnLoop"] for each in data} == {on_loop}


async def test_a_field_of_that_name_is_not_taken_for_it():
    class Field(Numbers):
        resolve_sync_in_threads = graphene.Boolean()

    query = "subscription { event { onLoop } }"
    assert await events(rig(Field, False), query, 1) == [{"onLoop": True}]


async def test_an_event_that_needs_the_database_after_all_is_executed_again(books, caplog):
    class Changing(Numbers):
        calls: list[Any] = []

        @staticmethod
        def publish(payload: Any, info: Any) -> Any:
            number = payload.pop("number")
            Changing.calls.append(number)
            if number > CALLS_TO_WATCH:
                # As people write it: nobody learns that it was refused.
                with contextlib.suppress(Exception):
                    number += Book.objects.count()
            return {"number": number, "on_loop": here() == info.context.loop}

    server = rig(Changing)
    client = await server.subscribe("subscription { event { number onLoop } }")
    for number in range(CALLS_TO_WATCH + 3):
        server.hub.broadcast({"number": number})
        await client.hears(number + 1)
    assert client.data[-3:] == [
        {"number": CALLS_TO_WATCH, "onLoop": True},
        {"number": CALLS_TO_WATCH + 2, "onLoop": False},
        {"number": CALLS_TO_WATCH + 3, "onLoop": False},
    ]
    assert Changing.calls.count(CALLS_TO_WATCH + 1) == 2
    [record] = caplog.records
    assert "Changing needs a thread: it runs in threads from now on" in record.getMessage()


async def test_a_resolver_that_needs_the_database_after_all_is_called_again(books, caplog):
    class Changing(Numbers):
        count = graphene.Int()
        last = 3 * CALLS_TO_WATCH

        @staticmethod
        def resolve_count(root: Any, info: Any) -> int:
            return Book.objects.count() if root["number"] == Changing.last else 0

    server = rig(Changing)
    data = await events(server, "subscription { event { count } }", Changing.last + 1)
    assert [each["count"] for each in data] == [0] * Changing.last + [1]
    assert "resolve_count' needs a thread" in caplog.text


async def test_what_an_event_has_begun_on_the_event_loop_ends_before_it_is_executed_again(books):
    class Later(Numbers):
        doubled = graphene.Int()
        ended: list[int] = []

        @staticmethod
        def publish(payload: Any, info: Any) -> Any:
            if payload > CALLS_TO_WATCH:
                with contextlib.suppress(Exception):
                    Book.objects.count()
            return {"number": payload}

        @staticmethod
        async def resolve_doubled(root: Any, info: Any) -> int:
            Later.ended.append(root["number"])
            return 2 * root["number"]

    server = rig(Later)
    data = await events(server, "subscription { event { doubled } }", CALLS_TO_WATCH + 3)
    assert [each["doubled"] for each in data] == [2 * n for n in range(CALLS_TO_WATCH + 3)]
    assert Later.ended.count(CALLS_TO_WATCH + 1) == 2


async def test_a_publish_that_stalls_the_event_loop_goes_back_to_threads(clock, caplog):
    class Stalling(Numbers):
        @staticmethod
        def publish(payload: Any, info: Any) -> Any:
            clock.now += LONGEST_STALL * 2 if payload == CALLS_TO_WATCH else 0
            return {"on_loop": here() == info.context.loop}

    data = await events(rig(Stalling), "subscription { event { onLoop } }", CALLS_TO_WATCH + 2)
    assert [each["onLoop"] for each in data[-2:]] == [True, False]
    [record] = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert "Stalling held up the event loop for 0.100 seconds" in record.getMessage()


async def test_an_event_that_is_skipped_on_the_event_loop_is_skipped():
    class Skipping(Numbers):
        @staticmethod
        def publish(payload: Any, info: Any) -> Any:
            return SKIP if payload % 2 else {"number": payload}

    server = rig(Skipping)
    client = await server.subscribe("subscription { event { number } }")
    for number in range(CALLS_TO_WATCH * 4 + 1):
        server.hub.broadcast(number)
    await client.hears(CALLS_TO_WATCH * 2 + 1)
    assert [each["number"] for each in client.data] == list(range(0, CALLS_TO_WATCH * 4 + 1, 2))


async def test_an_attribute_that_is_a_query_is_read_in_a_thread(books):
    class Writer(graphene.ObjectType):
        name = graphene.String()

    class Lazy(Subscription):
        author = graphene.Field(Writer)

        @staticmethod
        async def publish(payload: Any, info: Any) -> Any:
            return await Book.objects.aget()

    data = await events(rig(Lazy), "subscription { event { author { name } } }", 2)
    assert data == [{"author": {"name": "Ada"}}] * 2


async def test_a_filter_learns_for_itself_and_is_called_again_too(books):
    class Filtered(Numbers):
        where: list[bool] = []

        @staticmethod
        def filter_event(payload: Any, info: Any) -> bool:
            Filtered.where.append(here() == info.context.loop)
            return payload <= CALLS_TO_WATCH or Book.objects.exists()

    await events(rig(Filtered), "subscription { event { number } }", CALLS_TO_WATCH + 3)
    assert Filtered.where == [False] * CALLS_TO_WATCH + [True, True, False, False]


async def test_an_initial_value_may_use_the_database_where_publish_is_a_coroutine(books):
    class Mixed(Subscription):
        number = graphene.Int()

        @staticmethod
        def initial(root: Any, info: Any) -> Any:
            return {"number": Book.objects.count()}

        @staticmethod
        async def publish(payload: Any, info: Any) -> Any:
            return {"number": payload}

    server = rig(Mixed)
    client = await server.subscribe("subscription { event { number } }")
    await client.hears(1)
    server.hub.broadcast(2)
    await client.hears(2)
    assert [each["number"] for each in client.data] == [1, 2]


async def test_slow_queries_do_not_hold_up_events():
    gate = threading.Event()

    class Slow(graphene.ObjectType):
        wait = graphene.Boolean()

        @staticmethod
        def resolve_wait(root: Any, info: Any) -> bool:
            return gate.wait(GUARD)

    server = Rig(schema_of(Numbers, query=Slow), resolve_sync_in_threads=True)
    server.session.operation_context = lambda request: SimpleNamespace(loop=here())
    started = [server.begin("{ wait }", id=str(number)) for number in range(40)]
    tasks = [asyncio.create_task(rest) for _, rest in started]
    [data] = await events(server, "subscription { event { number } }", 1)
    assert data == {"number": 0}
    gate.set()
    await asyncio.gather(*tasks)
    await in_thread(here)

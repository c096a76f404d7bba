"""What one execution may cost: so many fields, whoever executes it and however they multiply."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import graphene
import pytest

from channels_graphql_ws import Subscription
from channels_graphql_ws.execution.limits import LIMIT_EXCEEDED
from channels_graphql_ws.execution.rules import Rules
from engine_fakes import Rig, schema_of

pytestmark = pytest.mark.usefixtures("executor")

called: list[str] = []


@pytest.fixture(autouse=True)
def _nobody_was_called() -> None:
    called.clear()


async def promise() -> dict[str, Any]:
    called.append("promised")
    return {}


async def nothing() -> None:
    """Return what stands in the place of an object."""


class Named(graphene.Interface):
    name = graphene.String()

    @classmethod
    def resolve_type(cls, instance, info):
        return Item


class Item(graphene.ObjectType):
    """Refers to itself in all ways, and to nothing."""

    class Meta:
        interfaces = (Named,)

    name = graphene.String()
    number = graphene.Int()
    item = graphene.Field(lambda: Item)
    named = graphene.Field(Named)
    items = graphene.List(lambda: Item, count=graphene.Int(default_value=2))
    must = graphene.List(
        graphene.NonNull(lambda: Item), count=graphene.Int(default_value=2), required=True
    )
    generated = graphene.List(lambda: Item, count=graphene.Int(default_value=2))
    rows = graphene.List(graphene.List(lambda: Item))
    later = graphene.List(lambda: Item, count=graphene.Int(default_value=2))
    awaited = graphene.String()
    promised = graphene.List(lambda: Item, count=graphene.Int(required=True))
    expected = graphene.String()
    boom = graphene.String()
    fails = graphene.String(text=graphene.String(required=True))
    takes = graphene.String(values=graphene.List(graphene.Int))
    numbers = graphene.List(graphene.Int, count=graphene.Int(required=True))
    yielded = graphene.List(graphene.Int, count=graphene.Int(required=True))
    tables = graphene.List(graphene.List(graphene.Int), count=graphene.Int(required=True))
    holes = graphene.List(lambda: Item, count=graphene.Int(default_value=2))
    named_holes = graphene.List(Named, count=graphene.Int(default_value=2))
    later_holes = graphene.List(lambda: Item, count=graphene.Int(default_value=2))
    rows_of_holes = graphene.List(graphene.List(lambda: Item), required=True)

    def resolve_name(self, info):
        called.append("name")
        return "n"

    def resolve_fails(self, info, text):
        raise ValueError(f"Nothing is known of {text}")

    def resolve_item(self, info):
        return {}

    def resolve_named(self, info):
        return {}

    def resolve_items(self, info, count):
        return [{}] * count

    def resolve_must(self, info, count):
        return [{}] * count

    def resolve_generated(self, info, count):
        return ({} for _ in range(count))

    def resolve_rows(self, info):
        return [[{}, {}], [{}, {}]]

    async def resolve_later(self, info, count):
        await asyncio.sleep(0)  # noqa: TID251 (others take their turn)
        return [{}] * count

    async def resolve_awaited(self, info):
        called.append("awaited")
        return "a"

    def resolve_promised(self, info, count):
        return [promise() for _ in range(count)]

    def resolve_expected(self, info):
        future = asyncio.get_running_loop().create_future()
        future.set_result("e")
        return future

    def resolve_boom(self, info):
        raise ValueError("Boom")

    def resolve_numbers(self, info, count):
        return [1] * count

    def resolve_yielded(self, info, count):
        return iter([1] * count)

    def resolve_tables(self, info, count):
        return [[]] * count

    def resolve_holes(self, info, count):
        return [None] * count

    def resolve_named_holes(self, info, count):
        return (None,) * count

    def resolve_later_holes(self, info, count):
        return (nothing() for _ in range(count))

    def resolve_rows_of_holes(self, info):
        return [[None, {}, None], None, [nothing()]]

    def resolve_takes(self, info, values):
        return str(len(values))


class Mutation(graphene.ObjectType):
    item = graphene.Field(Item)

    def resolve_item(self, info):
        return {}


class OnItem(Subscription):
    """Events with as many items as is broadcast."""

    items = graphene.List(Item)

    @staticmethod
    def publish(payload, info):
        return {"items": [{}] * payload}


SCHEMA = schema_of(OnItem, query=Item, mutation=Mutation)


def rig(limit: int | None, **settings: Any) -> Rig:
    return Rig(SCHEMA, rules=Rules(max_fields_executed=limit), **settings)


def is_exceeded(result: Any, limit: int) -> bool:
    expected = {
        "message": f"The operation executes more than {limit} fields (`max_fields_executed`).",
        "extensions": {
            "code": LIMIT_EXCEEDED,
            "limit": "max_fields_executed",
            "allowed": limit,
        },
    }
    return result == {"data": None, "errors": [expected]}


# What has to be awaited counts as so many fields more.
WAIT = 3

# An operation, and the fields that it executes.
COUNTED = [
    ("{ name }", 1),
    ("{ name a: name __typename }", 3),
    ("{ item { name } }", 2),
    ("{ item { item { name number } } }", 4),
    ("{ item { items(count: 0) { name } } }", 2),
    ("{ items { name } }", 3),
    ("{ items(count: 0) { name } }", 1),
    ("{ items(count: 300) { name number } }", 601),
    ("{ must { name } }", 3),
    ("{ must(count: 300) { must { name } } }", 1 + 300 * 3),
    ("{ generated(count: 40) { name } }", 41),
    ("{ rows { name number } }", 9),
    ("{ later(count: 50) { name } }", 51 + WAIT),
    ("{ items { items { items { name } } } }", 1 + 2 + 4 + 8),
    ("{ items { named { name } } }", 5),
    ("{ named { ... on Item { items { name } } } }", 4),
    ("{ items { ...F } } fragment F on Item { a: name ...G } fragment G on Item { b: name }", 5),
    ("{ items { awaited } }", 3 + 2 * WAIT),
    ("{ items { later { name } } }", 1 + 2 + 4 + 2 * WAIT),
    ("mutation { item { name } }", 2),
    ("mutation { a: item { name } b: item { items { name } } }", 6),
    ("{ takes(values: [1, 2, 3, 4, 5, 6, 7, 8]) }", 3),
    ("{ items { takes(values: [1, 2, 3, 4]) } }", 5),
    ("mutation { a: item { items(count: 0) { name } } b: item { name } }", 4),
    ("{ items(count: 40) { ...@skip(if: true) { name } } }", 41),
    ("{ items(count: 40) { name @include(if: false) } }", 41),
    ("{ items(count: 40) { items(count: 40) { ...@skip(if: true) { name } } } }", 1 + 40 + 1600),
    ("query($is: Boolean = true) { items(count: 40) { name @skip(if: $is) } }", 41),
    ("{ numbers(count: 31) }", 1),
    ("{ numbers(count: 64) }", 1 + 2),
    ("{ numbers(count: 3000) }", 1 + 93),
    ("{ yielded(count: 3000) }", 1 + 93),
    ("{ tables(count: 320) }", 1 + 10),
    ("{ items(count: 40) { numbers(count: 100) } }", 1 + 40 * 4),
    ("{ holes { name } }", 1 + 2),
    ("{ holes(count: 300) { name number } }", 1 + 300),
    ("{ namedHoles { name } }", 1 + 2),
    ("{ namedHoles(count: 300) { name } }", 1 + 300),
    ("{ laterHoles { name } }", 1 + 2 + 2 * WAIT),
    ("{ laterHoles(count: 300) { name } }", 1 + 300 + 300 * WAIT),
    ("{ rowsOfHoles { name } }", 1 + 2 + 1 + 1 + WAIT),
    ("{ promised(count: 40) { name } }", 1 + 40 + 40 * WAIT),
    ("{ boom }", 21),
    ("{ items { boom } }", 43),
]

# Synchronous resolvers below what is awaited: each of them waits for a thread.
IN_THREADS = {
    "{ later(count: 50) { name } }": 50,
    "{ items { later { name } } }": 4,
    "{ promised(count: 40) { name } }": 40,
}


@pytest.mark.parametrize(("query", "count"), COUNTED)
@pytest.mark.parametrize("in_threads", [False, True])
async def test_the_fields_of_each_object_count(query, count, in_threads):
    if in_threads:
        count += IN_THREADS.get(query, 0) * WAIT
    free = await rig(None, resolve_sync_in_threads=in_threads).answer(query)
    assert free["data"] is not None
    just = await rig(count, resolve_sync_in_threads=in_threads).answer(query)
    assert just == free
    result = await rig(count - 1, resolve_sync_in_threads=in_threads).answer(query)
    assert is_exceeded(result, count - 1)


@pytest.mark.parametrize(("query", "count"), COUNTED)
async def test_pauses_change_nothing_of_what_counts(monkeypatch, query, count):
    for module in ("budget", "breathing"):
        monkeypatch.setattr(f"channels_graphql_ws.execution.{module}.WINDOW", 0.0)
    free = await rig(None).answer(query)
    just = await rig(count).answer(query)
    assert just == free
    assert is_exceeded(await rig(count - 1).answer(query), count - 1)


async def test_nothing_is_executed_where_nothing_may_be():
    assert is_exceeded(await rig(0).answer("{ name }"), 0)
    assert called == []


async def test_a_mutation_of_too_many_fields_is_not_begun():
    query = "mutation { a: item { name } b: item { name } }"
    assert is_exceeded(await rig(1).answer(query), 1)
    assert called == []


async def test_what_is_given_up_is_not_executed_to_its_end():
    assert is_exceeded(await rig(1_000).answer("{ items(count: 100000) { name } }"), 1_000)
    assert len(called) < 3_000


@pytest.mark.parametrize(
    "query",
    [
        "{ items(count: 300) { awaited } }",
        "{ a: items(count: 30) { awaited } b: items(count: 300) { name } c: awaited }",
        "{ later(count: 300) { awaited later { awaited later { awaited } } } }",
        "{ must(count: 100) { must(count: 100) { awaited } } awaited }",
        "{ a: promised(count: 50) { name awaited } b: items(count: 300) { name } }",
        "{ a: promised(count: 300) { name } b: items(count: 300) { name } }",
        "{ a: items(count: 30) { expected awaited } b: items(count: 300) { name } }",
        "{ items { awaited boom } later { boom } a: items(count: 300) { name } }",
    ],
)
async def test_nobody_waits_for_what_is_given_up_and_nothing_is_left(query):
    assert is_exceeded(await rig(100).answer(query), 100)


async def test_types_that_refer_to_themselves_do_not_multiply_beyond_it():
    query = "{ items { " * 1 + "items { " * 20 + "name" + " }" * 21 + " }"
    assert is_exceeded(await rig(5_000).answer(query), 5_000)


async def test_errors_count_as_they_cost():
    query = "{ items(count: 20) { " + "boom " * 50 + "} }"
    # Each is told with the place of each of the fields that were merged.
    limit = 1 + 20 * (1 + 20 + 49 + len(query) // 100)
    result = await rig(limit).answer(query)
    assert len(result["errors"]) == 20
    assert is_exceeded(await rig(limit - 1).answer(query), limit - 1)


async def test_the_text_of_an_error_counts_as_a_client_may_have_chosen_it():
    query = "query ($t: String!) {" + " ".join(f"f{n}: fails(text: $t)" for n in range(400)) + "}"
    server = rig(100_000)
    assert len((await server.answer(query, t="x" * 1_000))["errors"]) == 400
    tracemalloc.start()
    try:
        assert is_exceeded(await server.answer(query, t="x" * 1_000_000), 100_000)
        # A megabyte, of which four hundred copies would be kept.
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


async def test_lines_count_where_an_error_has_many_places():
    query = "{ items(count: 20) { boom boom } " + "\n" * 10_000 + "}"
    assert is_exceeded(await rig(1_000).answer(query), 1_000)


async def test_an_event_has_a_budget_of_its_own_and_the_subscription_goes_on():
    server = rig(10)
    client = await server.subscribe("subscription { event { items { name } } }")
    for count in (8, 9, 8):
        server.hub.broadcast(count)
    results = await client.hears(3)
    assert [len(result["data"]["event"]["items"]) for result in results[::2]] == [8, 8]
    assert is_exceeded(results[1], 10)
    await server.end(client)

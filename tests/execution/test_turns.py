"""Very many asynchronous resolvers begin in turns, and others run in between."""

from __future__ import annotations

import asyncio
import gc
from contextvars import ContextVar
from typing import Any

import graphene
import pytest
from aiodataloader import DataLoader

from channels_graphql_ws import Subscription
from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.execution.budget import NO_LIMITS, Meter
from channels_graphql_ws.execution.turns import OBJECTS_AT_ONCE, in_turns
from engine_fakes import Rig, cancel, schema_of
from support import tick

pytestmark = pytest.mark.usefixtures("executor")

MANY = 3 * OBJECTS_AT_ONCE + 10

happened: list[str] = []
loaded: list[int] = []
number_of: ContextVar[int] = ContextVar("number_of", default=-1)


class Loader(DataLoader[int, int]):
    """Notes how many keys come together."""

    async def batch_load_fn(self, keys: list[int]) -> list[int]:
        loaded.append(len(keys))
        await tick()
        return [-key for key in keys]


class Item(graphene.ObjectType):
    number = graphene.Int()
    negated = graphene.Int()
    seen = graphene.Int()
    odd = graphene.Int()
    must_be_odd = graphene.Int(required=True)
    stuck = graphene.Int()
    itself = graphene.Field(lambda: Item)
    items = graphene.List(lambda: Item, count=graphene.Int(required=True))
    later = graphene.List(lambda: Item, count=graphene.Int(required=True))
    promised = graphene.List(graphene.Int, count=graphene.Int(required=True))

    async def resolve_number(self, info):
        happened.append("began")
        await tick()
        return self["number"]

    async def resolve_negated(self, info):
        return await self["loader"].load(self["number"])

    async def resolve_seen(self, info):
        before = number_of.get()
        number_of.set(self["number"])
        return before

    async def resolve_odd(self, info):
        await tick()
        if self["number"] % 2 == 0:
            raise ValueError("Even")
        return self["number"]

    resolve_must_be_odd = resolve_odd

    async def resolve_stuck(self, info):
        happened.append("began")
        try:
            await asyncio.Event().wait()
        finally:
            happened.append("ended")

    async def resolve_itself(self, info):
        return self

    def resolve_items(self, info, count):
        return items(count)

    async def resolve_later(self, info, count):
        return items(count)

    def resolve_promised(self, info, count):
        return [promise(number) for number in range(count)]


def items(count: int) -> list[dict[str, Any]]:
    loader = Loader()
    return [{"number": number, "loader": loader} for number in range(count)]


async def promise(number: int) -> int:
    happened.append("began")
    return number


class Query(Item):
    pass


class OnItem(Subscription):
    items = graphene.List(Item)

    @staticmethod
    def publish(payload, info):
        return {"items": items(payload)}


SCHEMA = schema_of(OnItem, query=Query)


@pytest.fixture(autouse=True)
def _nothing_happened() -> None:
    happened.clear()
    loaded.clear()


async def others() -> None:
    """Note each time that others may run."""
    while True:
        happened.append("others")
        await tick()


@pytest.fixture
async def _others() -> Any:
    task = asyncio.create_task(others())
    yield
    await cancel(task)


def most_at_once() -> int:
    """How many began while nobody else could run."""
    return max(turn.count("began") for turn in ",".join(happened).split("others"))


NUMBERS = [{"number": number} for number in range(MANY)]
QUERIES = {
    "objects": (f"{{ items(count: {MANY}) {{ number }} }}", {"items": NUMBERS}),
    "objects of a list that is awaited": (
        f"{{ later(count: {MANY}) {{ number }} }}",
        {"later": NUMBERS},
    ),
    "awaited items": (
        f"{{ promised(count: {MANY}) }}",
        {"promised": list(range(MANY))},
    ),
    "awaited objects with awaited fields": (
        f"{{ items(count: {MANY}) {{ itself {{ number }} }} }}",
        {"items": [{"itself": each} for each in NUMBERS]},
    ),
    "several fields": (
        f"{{ items(count: {MANY}) {{ number a: number }} }}",
        {"items": [{"number": number, "a": number} for number in range(MANY)]},
    ),
    "lists in lists": (
        "{ items(count: 60) { items(count: 50) { number } } }",
        {"items": [{"items": NUMBERS[:50]}] * 60},
    ),
}


@pytest.mark.usefixtures("_others")
@pytest.mark.parametrize("case", QUERIES)
async def test_others_run_while_very_many_begin(case):
    query, expected = QUERIES[case]
    assert await Rig(SCHEMA).answer(query) == {"data": expected}
    assert happened.count("began") >= 3_000
    # Parts of two turns may meet in one iteration of the event loop.
    assert most_at_once() <= 3 * OBJECTS_AT_ONCE // 2 * (2 if case == "several fields" else 1)


@pytest.mark.usefixtures("_others")
async def test_others_run_while_many_fields_of_many_objects_begin(executor):
    fields = " ".join(f"a{n}: number" for n in range(20))
    query = f"{{ items(count: {OBJECTS_AT_ONCE + 1}) {{ {fields} }} }}"
    result = await Rig(SCHEMA).answer(query)
    assert result["data"]["items"][7] == {f"a{n}": 7 for n in range(20)}
    if executor == "compiled":
        assert most_at_once() <= 2 * OBJECTS_AT_ONCE


@pytest.mark.usefixtures("_others")
async def test_others_run_while_very_many_objects_of_an_event_begin():
    server = Rig(SCHEMA)
    client = await server.subscribe("subscription { event { items { number } } }")
    server.hub.broadcast(MANY)
    [result] = await client.hears(1)
    assert result == {"data": {"event": {"items": NUMBERS}}}
    assert most_at_once() <= 3 * OBJECTS_AT_ONCE // 2
    await server.end(client)


@pytest.mark.parametrize("count", [2, 100, OBJECTS_AT_ONCE])
async def test_a_loader_gets_the_keys_of_a_list_in_one_call(count):
    result = await Rig(SCHEMA).answer(f"{{ items(count: {count}) {{ negated }} }}")
    assert result["data"]["items"] == [{"negated": -number} for number in range(count)]
    assert loaded == [count]


async def test_a_loader_gets_the_keys_of_lists_in_a_list_in_one_call():
    result = await Rig(SCHEMA).answer("{ items(count: 30) { later(count: 30) { negated } } }")
    assert result["data"]["items"][3]["later"][5] == {"negated": -5}
    assert loaded == [30] * 30  # Each list has a loader of its own.


async def test_each_item_has_context_variables_of_its_own():
    query = f"{{ items(count: {MANY}) {{ seen }} }}"
    result = await Rig(SCHEMA).answer(query)
    assert result["data"]["items"] == [{"seen": -1}] * MANY
    assert number_of.get() == -1


async def test_errors_make_nulls_where_they_are():
    count = OBJECTS_AT_ONCE + 2
    query = f"{{ later(count: {count}) {{ odd }} }}"
    result = await Rig(SCHEMA).answer(query)
    odd = [{"odd": number if number % 2 else None} for number in range(count)]
    assert result["data"]["later"] == odd
    paths = [error["path"] for error in result["errors"]]
    assert paths == [["later", number, "odd"] for number in range(0, count, 2)]


async def test_errors_make_nulls_of_the_objects_that_they_are_in():
    count = OBJECTS_AT_ONCE + 2
    result = await Rig(SCHEMA).answer(f"{{ items(count: {count}) {{ mustBeOdd }} }}")
    assert result["data"]["items"][:4] == [None, {"mustBeOdd": 1}, None, {"mustBeOdd": 3}]
    assert len(result["errors"]) == count // 2


@pytest.mark.parametrize("ticks", [1, 3, 5, 40])
@pytest.mark.parametrize("fields", ["stuck", "a: stuck b: stuck", "itself { stuck }"])
async def test_all_that_began_ends_with_the_operation(fields, ticks):
    """Nothing is left that was never awaited: that would be a warning, and so an error."""
    client, rest = Rig(SCHEMA).begin(f"{{ items(count: {MANY}) {{ {fields} }} }}")
    before = asyncio.all_tasks()
    task = asyncio.create_task(rest)
    while "began" not in happened:
        await tick()
    for _ in range(ticks):
        await tick()
    await cancel(task)
    assert happened.count("began") == happened.count("ended")
    assert asyncio.all_tasks() == before
    assert client.heard == []
    del rest, task
    gc.collect()


async def test_who_is_cancelled_twice_ends_all_the_same():
    meter = Meter(NO_LIMITS)
    turns = [promise(number) for number in range(5)]
    task = asyncio.create_task(in_turns(turns, 2, meter, asyncio.Event().wait))
    await tick()
    task.cancel()
    await tick()
    await cancel(task)
    assert task.cancelled()
    assert meter.is_exceeded
    assert happened.count("began") == 5


@pytest.mark.parametrize("ticks", [1, 2, 5])
@pytest.mark.parametrize("fields", ["stuck", "a: stuck b: stuck", "itself { stuck }"])
async def test_nothing_is_left_of_a_list_that_was_not_complete(fields, ticks):
    """The same for what has not begun, as the list is too long to be executed at once."""
    _, rest = Rig(SCHEMA).begin(f"{{ items(count: {3 * MANY}) {{ {fields} }} }}")
    task = asyncio.create_task(rest)
    for _ in range(ticks):
        await tick()
    eager.cancel(task)  # As connections do.
    await asyncio.wait([task])
    assert happened.count("began") == happened.count("ended")
    assert task.cancelled()
    del rest, task
    gc.collect()


async def test_of_nothing_there_is_nothing_to_wait_for():
    assert await in_turns([], 2, Meter(NO_LIMITS), asyncio.Event().wait) == []


async def test_an_error_is_raised():
    turns = [promise(1), later_error(), promise(2)]
    with pytest.raises(ValueError, match="Late"):
        await in_turns(turns, 2, Meter(NO_LIMITS), tick)
    assert happened.count("began") == 2


async def later_error() -> None:
    await tick()
    raise ValueError("Late")

"""Whenever an execution is cancelled, nothing is left of it that nobody awaits."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any

import graphene
import pytest

from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.execution import breathing, budget, metered, pending
from channels_graphql_ws.execution.budget import NO_LIMITS, Meter
from channels_graphql_ws.execution.compiler import awaiting, completion, plans
from channels_graphql_ws.execution.turns import together
from differential.side_by_side import warned
from engine_fakes import Rig, cancel, schema_of
from support import tick

ITEMS = 12

AT_MOST = 500
"""Iterations of the event loop until all that an operation selects is awaited, at most."""

FEW = 30
"""Those until all is awaited that there is room for, and the rest waits."""

begun: list[object] = []
ended: list[object] = []


async def stuck() -> None:
    begun.append(None)
    try:
        await asyncio.Event().wait()
    finally:
        ended.append(None)


class Item(graphene.ObjectType):
    stuck = graphene.Int()
    itself = graphene.Field(lambda: Item)
    items = graphene.List(lambda: Item)
    promised = graphene.List(graphene.Int)

    async def resolve_stuck(self, info):
        await stuck()

    async def resolve_itself(self, info):
        return {}

    async def resolve_items(self, info):
        return [{}, {}]

    def resolve_promised(self, info):
        return [stuck(), stuck()]


class Found(graphene.Interface):
    stuck = graphene.Int()


class Asked(graphene.ObjectType):
    class Meta:
        interfaces = (Found,)

    async def resolve_stuck(self, info):
        await stuck()

    @classmethod
    async def is_type_of(cls, root, info):
        return True


async def item() -> dict[str, object]:
    return {}


class Query(graphene.ObjectType):
    item = graphene.Field(Item)
    items = graphene.List(Item)
    required = graphene.List(graphene.NonNull(Item))
    queued = graphene.List(Item)
    later = graphene.List(Item)
    promised = graphene.List(Item)
    promised_in_tuple = graphene.List(Item)
    promised_later = graphene.List(Item)
    failing = graphene.List(Item)
    found = graphene.List(Found)
    asked = graphene.List(Asked)

    def resolve_item(self, info):
        return {}

    def resolve_items(self, info):
        return [{} for _ in range(ITEMS)]

    resolve_required = resolve_items

    def resolve_queued(self, info):
        return deque({} for _ in range(ITEMS))

    async def resolve_later(self, info):
        return [{} for _ in range(ITEMS)]

    def resolve_promised(self, info):
        return [item() for _ in range(ITEMS)]

    def resolve_promised_in_tuple(self, info):
        return tuple(item() for _ in range(ITEMS))

    async def resolve_promised_later(self, info):
        return [item() for _ in range(ITEMS)]

    def resolve_failing(self, info):
        return [ValueError("now"), item(), failing(ValueError("later"))]

    def resolve_found(self, info):
        return [Asked()] * ITEMS

    resolve_asked = resolve_found


class Mutation(graphene.ObjectType):
    item = graphene.Field(Item)
    items = graphene.List(Item)

    async def resolve_item(self, info):
        return {}

    def resolve_items(self, info):
        return [{} for _ in range(ITEMS)]


SCHEMA = schema_of(query=Query, mutation=Mutation)


def aliases(field: str, count: int = 2) -> str:
    return " ".join(f"a{number}: {field}" for number in range(count))


WIDE = 150

# How many fields come to wait for ever.
QUERIES = {
    "{ items { stuck } }": ITEMS,
    f"{{ items {{ {aliases('stuck')} }} }}": 2 * ITEMS,
    "{ items { itself { stuck } } }": ITEMS,
    "{ items { items { itself { stuck } } } }": 2 * ITEMS,
    "{ items { promised } }": 2 * ITEMS,
    "{ required { stuck } }": ITEMS,
    f"{{ queued {{ {aliases('stuck')} }} }}": 2 * ITEMS,
    f"{{ later {{ {aliases('itself { stuck }')} }} }}": 2 * ITEMS,
    "{ promised { stuck } }": ITEMS,
    "{ promisedInTuple { promised } }": 2 * ITEMS,
    f"{{ promisedLater {{ {aliases('stuck')} }} }}": 2 * ITEMS,
    f"{{ item {{ {aliases('stuck', WIDE)} }} }}": WIDE,
    "{ a: item { stuck b: itself { stuck } } b: item { promised } }": 4,
    # The other fields of a mutation have their turn later.
    "mutation { a: item { stuck } b: item { stuck } c: items { stuck } }": 1,
    "mutation { a: items { promised } b: item { promised } }": 2 * ITEMS,
}
# Objects below these are not awaited by graphql-core.
COMPILED = {"{ found { stuck } }": ITEMS, "{ asked { stuck } }": ITEMS}


class Clock:
    """Whatever is done, it is time for a pause."""

    def __init__(self) -> None:
        self._seconds = count()

    def __call__(self) -> float:
        return float(next(self._seconds))


@pytest.fixture(params=["at once", "in turns", "for want of room"])
def pace(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Tell how an execution goes on."""
    pace: str = request.param
    if pace == "at once":
        return pace
    clock = Clock()
    monkeypatch.setattr(budget, "monotonic", clock)
    monkeypatch.setattr(breathing, "monotonic", clock)
    monkeypatch.setattr(budget, "FIRST_LOOK", 4)
    monkeypatch.setattr(completion, "VALUES_AT_ONCE", 5)
    monkeypatch.setattr(metered, "VALUES_AT_ONCE", 5)
    monkeypatch.setattr(plans, "FIELDS_AT_ONCE", 5 * (1 + plans.FIELDS_FOR_A_CALL))
    monkeypatch.setattr(awaiting, "OBJECTS_AT_ONCE", 4)
    monkeypatch.setattr(metered, "OBJECTS_AT_ONCE", 4)
    if pace == "for want of room":
        monkeypatch.setattr(pending, "MOST_PENDING", 4)
    return pace


@pytest.mark.parametrize("how", [asyncio.Task.cancel, eager.cancel])
@pytest.mark.parametrize("query", [*QUERIES, *COMPILED])
async def test_nothing_is_left_whenever_an_execution_is_cancelled(executor, query, how, pace):
    if executor != "compiled" and query in COMPILED:
        pytest.skip("graphql-core does not wait for fields below a type that it waits for")
    rig = Rig(SCHEMA)
    left: dict[int, list[str]] = {}
    # A task that is cancelled before its first step has no chance, so only connections do that.
    first = 0 if how is eager.cancel else 1
    for ticks in range(first, FEW if pace == "for want of room" else AT_MOST):
        waits, left[ticks] = await cancelled_after(ticks, rig, query, how)
        if waits == (QUERIES | COMPILED)[query]:
            break
    else:
        assert pace == "for want of room", "all has come to wait"
    assert {ticks: some for ticks, some in left.items() if some} == {}


async def cancelled_after(
    ticks: int, rig: Rig, query: str, how: Callable[[Any], object]
) -> tuple[int, list[str]]:
    """Cancel after so many iterations; return what has come to wait, and what is left of it."""
    begun.clear()
    ended.clear()
    tasks = asyncio.all_tasks()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client, rest = rig.begin(query)
        task = asyncio.create_task(rest)
        await tick(ticks)
        waits = len(begun)
        how(task)
        await asyncio.wait([task])
        assert task.cancelled()
        assert asyncio.all_tasks() == tasks
        del client, rest, task
        gc.collect(0)
        names = warned(caught)
    assert len(ended) == len(begun)
    return waits, names


@pytest.mark.parametrize("kind", [list, tuple])
async def test_the_items_of_a_value_are_dropped_that_is_not_to_be_completed(kind):
    items = [stuck(), 1]
    task = asyncio.create_task(awaiting.kept(kind(items), asyncio.Event().wait()))
    await tick()
    await cancel(task)
    with pytest.raises(RuntimeError, match="cannot reuse"):
        await items[0]


async def test_a_value_stays_as_it_is_that_is_not_to_be_completed():
    value = stuck()
    task = asyncio.create_task(awaiting.kept({"field": value}, asyncio.Event().wait()))
    await tick()
    await cancel(task)
    assert task.cancelled()
    # Whoever else knows it may await it.
    await cancel(asyncio.create_task(value))


async def test_items_that_fail_are_nulls(executor):
    result = await Rig(SCHEMA).answer("{ failing { itself { __typename } } }")
    assert result["data"] == {"failing": [None, {"itself": {"__typename": "Item"}}, None]}
    texts = [(error["message"], error["path"]) for error in result["errors"]]
    assert sorted(texts) == [("later", ["failing", 2]), ("now", ["failing", 0])]


async def test_an_error_is_raised_while_others_go_on():
    meter = Meter(NO_LIMITS)
    begun.clear()
    with pytest.raises(ValueError, match="mine"):
        await together([stuck(), failing(ValueError("mine")), failing(ValueError("late"))], meter)
    [task] = asyncio.all_tasks() - {asyncio.current_task()}
    assert begun == [None]
    meter.end_wait()
    await cancel(task)


async def test_what_cancels_itself_is_an_error():
    meter = Meter(NO_LIMITS)
    with pytest.raises(asyncio.CancelledError, match="mine"):
        await together([failing(asyncio.CancelledError("mine")), item()], meter)
    assert not meter.is_exceeded


async def failing(error: BaseException) -> None:
    raise error

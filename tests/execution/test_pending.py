"""One execution awaits only so much at the same time; what asks together goes on together."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from contextvars import ContextVar

import graphene
import pytest
from aiodataloader import DataLoader

from channels_graphql_ws.execution import pending
from channels_graphql_ws.execution.pending import MOST_ADDED, Pending
from channels_graphql_ws.execution.turns import OBJECTS_AT_ONCE
from engine_fakes import Rig, cancel, schema_of
from support import tick, wait_until

pytestmark = pytest.mark.usefixtures("executor")

OBJECTS = 100
MOST = 3 * OBJECTS

running: list[int] = []
loaded: list[int] = []
seen: ContextVar[str] = ContextVar("seen", default="nothing")


class Loader(DataLoader[int, int]):
    """Notes how many keys come together, and takes its time."""

    cache = False

    async def batch_load_fn(self, keys: list[int]) -> list[int]:
        loaded.append(len(keys))
        for _ in range(20):
            await tick()
        return keys


class Item(graphene.ObjectType):
    slow = graphene.Int()
    stuck = graphene.Int()
    loaded = graphene.Int()
    synchronous = graphene.Int()
    before = graphene.String()
    itself = graphene.Field(lambda: Item)

    async def resolve_slow(self, info):
        running.append(running[-1] + 1)
        for _ in range(20):
            await tick()
        running.append(running[-1] - 1)
        return 1

    async def resolve_stuck(self, info):
        running.append(running[-1] + 1)
        try:
            await asyncio.Event().wait()
        finally:
            running.append(running[-1] - 1)

    async def resolve_loaded(self, info):
        return await self["loader"].load(self["number"])

    def resolve_synchronous(self, info):
        return self["number"]

    async def resolve_before(self, info):
        before = seen.get()
        seen.set("something")
        return before

    async def resolve_itself(self, info):
        return self


class Found(graphene.Interface):
    """Which type it is of has to be waited for."""

    made = graphene.Int()


async def one():
    return 1


class Wide(graphene.ObjectType):
    """Counts how many of its fields are resolved in each iteration of the event loop."""

    made = graphene.Int()

    def resolve_made(self, info):
        made[iterations[-1]] += 1
        return one()


class Asked(Wide):
    """Whether it is of its type has to be waited for."""

    class Meta:
        interfaces = (Found,)

    @classmethod
    async def is_type_of(cls, root, info):
        return True


class Holder(graphene.ObjectType):
    wide = graphene.Field(Wide)

    async def resolve_wide(self, info):
        return Wide()


made: Counter[int] = Counter()
iterations: list[int] = [0]


class Query(graphene.ObjectType):
    items = graphene.List(Item, count=graphene.Int(default_value=OBJECTS))
    holders = graphene.List(Holder)
    wides = graphene.List(Wide)
    found = graphene.List(Found)
    asked = graphene.List(Asked)

    def resolve_holders(self, info):
        return [Holder()] * OBJECTS

    def resolve_wides(self, info):
        return [Holder().resolve_wide(info) for _ in range(OBJECTS)]

    def resolve_found(self, info):
        return [{}] * OBJECTS

    def resolve_asked(self, info):
        return [Asked()] * OBJECTS

    async def resolve_items(self, info, count):
        loader = Loader()
        return [{"number": number, "loader": loader} for number in range(count)]


class Mutation(graphene.ObjectType):
    item = graphene.Field(Item)

    async def resolve_item(self, info):
        return {}


SCHEMA = schema_of(query=Query, mutation=Mutation)


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "MOST_PENDING", MOST)
    running[:] = [0]
    loaded.clear()


def aliases(field: str, count: int = 20) -> str:
    return " ".join(f"a{number}: {field}" for number in range(count))


async def asking(values: Pending, count: int) -> list[asyncio.Task[None]]:
    """Let so many ask for room, and others run until it is clear who has got it."""

    async def ask():
        await values.room()

    tasks = [asyncio.create_task(ask()) for _ in range(count)]
    await others()
    return tasks


async def others() -> None:
    for _ in range(5):
        await tick()


async def test_who_asks_goes_on_at_once_while_there_is_room():
    values = Pending()
    values.count = MOST - 1
    assert [task.done() for task in await asking(values, 3)] == [True] * 3


async def test_all_who_wait_go_on_together_when_there_is_room():
    values = Pending()
    values.count = MOST + 1
    tasks = await asking(values, 3)
    await cancel(tasks.pop())
    values.done()
    await others()
    assert [task.done() for task in tasks] == [False, False]
    values.done()
    values.done()
    await others()
    assert [task.done() for task in tasks] == [True, True]


@pytest.mark.parametrize("counts", [(MOST - 1, MOST), (MOST, MOST - 1)])
async def test_all_who_ask_together_go_on_together(counts):
    values, went_on = Pending(), []

    async def one(number, count):
        values.count = count
        await values.room()
        went_on.append((number, iterations))

    iterations = 0
    tasks = [asyncio.create_task(one(*each)) for each in enumerate(counts)]
    while len(went_on) < len(tasks):
        await tick()
        iterations += 1
    (_, first), (_, second) = went_on
    assert first == second


async def test_an_execution_awaits_only_so_much(executor):
    # Objects begin together that are as many as all of these.
    count = OBJECTS_AT_ONCE // 2
    query = f"{{ items(count: {count}) {{ {aliases('slow')} }} }}"
    result = await Rig(SCHEMA).answer(query)
    assert result["data"]["items"] == [{f"a{number}": 1 for number in range(20)}] * count
    if executor == "compiled":
        assert max(running) <= MOST + 3 * OBJECTS_AT_ONCE


@pytest.mark.parametrize("field", ["loaded", "itself { loaded }", "itself { itself { loaded } }"])
async def test_a_loader_gets_the_keys_of_each_field_in_one_call(executor, field):
    result = await Rig(SCHEMA).answer(
        f"{{ items(count: {OBJECTS_AT_ONCE}) {{ {aliases(field, 6)} }} }}"
    )
    assert len(result["data"]["items"]) == OBJECTS_AT_ONCE
    if executor == "compiled":
        # Those of two fields may come together.
        assert {keys % OBJECTS_AT_ONCE for keys in loaded} == {0}


async def test_a_long_list_begins_when_there_is_room(executor):
    count = 6 * OBJECTS_AT_ONCE
    result = await Rig(SCHEMA).answer(f"{{ items(count: {count}) {{ slow }} }}")
    assert result["data"]["items"] == [{"slow": 1}] * count
    if executor == "compiled":
        assert max(running) <= MOST + 3 * OBJECTS_AT_ONCE


@pytest.mark.parametrize(
    "query", ["holders {{ wide {{ {} }} }}", "wides {{ {} }}", "found {{ {} }}", "asked {{ {} }}"]
)
async def test_others_run_before_all_awaited_objects_are_executed(executor, query):
    if executor != "compiled" and ("found" in query or "asked" in query):
        pytest.skip("graphql-core does not wait for fields below a type that it waits for")
    made.clear()

    async def count_iterations():
        while True:
            await tick()
            iterations.append(iterations[-1] + 1)

    counting = asyncio.create_task(count_iterations())
    wide = 120
    result = await Rig(SCHEMA).answer("{ " + query.format(aliases("made", wide)) + " }")
    await cancel(counting)
    assert "errors" not in result
    [objects] = result["data"].values()
    assert [each.get("wide", each) for each in objects] == [
        {f"a{number}": 1 for number in range(wide)}
    ] * OBJECTS
    assert sum(made.values()) == wide * OBJECTS
    assert max(made.values()) <= MOST_ADDED + wide


async def test_synchronous_resolvers_below_come_to_their_end():
    server = Rig(SCHEMA, resolve_sync_in_threads=True)
    result = await server.answer(f"{{ items {{ {aliases('itself { synchronous }')} }} }}")
    fields = [{f"a{key}": {"synchronous": n} for key in range(20)} for n in range(9)]
    assert result["data"]["items"][:9] == fields


@pytest.mark.parametrize("ticks", [3, 10, 30])
async def test_nothing_is_left_of_what_waits_for_room(ticks):
    """Nothing that was never awaited: that would be a warning, and so an error."""
    tasks = asyncio.all_tasks()
    _, rest = Rig(SCHEMA).begin(f"{{ items {{ {aliases('stuck')} }} }}")
    task = asyncio.create_task(rest)
    for _ in range(ticks):
        await tick()
    await cancel(task)
    await wait_until(lambda: asyncio.all_tasks() == tasks)
    assert running[-1] == 0
    del rest, task
    gc.collect()


@pytest.mark.parametrize(
    "query",
    [
        "{ items(count: 2) { before } }",
        "{ items(count: 2) { itself { itself { before } } } }",
        "{ items(count: 2) { a: itself { before } b: itself { itself { before } } } }",
        "mutation { a: item { before } b: item { before } }",
        "mutation { a: item { itself { before } } b: item { itself { itself { before } } } }",
    ],
)
async def test_nobody_sees_the_context_variables_of_others(query):
    result = await Rig(SCHEMA).answer(query)
    assert "something" not in str(result)
    assert "nothing" in str(result)
    assert "errors" not in result
    assert seen.get() == "nothing"

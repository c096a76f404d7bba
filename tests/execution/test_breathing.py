"""Long executions on an event loop let others run every few milliseconds."""

from __future__ import annotations

import asyncio
import gc
import itertools
from collections.abc import Iterator
from typing import Any
from weakref import ref

import graphene
import pytest

from channels_graphql_ws import Subscription
from channels_graphql_ws.concurrency import fairness
from channels_graphql_ws.execution import breathing, budget, pieces
from channels_graphql_ws.execution.breathing import breathe
from engine_fakes import Rig, schema_of
from support import tick

happened: list[str] = []


class Item(graphene.ObjectType):
    number = graphene.Int()
    items = graphene.List(lambda: Item, count=graphene.Int(required=True))
    generated = graphene.List(lambda: Item, count=graphene.Int(required=True))
    numbers = graphene.List(graphene.Int, count=graphene.Int(required=True))
    boom = graphene.NonNull(graphene.String)

    def resolve_number(self, info):
        happened.append("executed")
        return self["number"]

    def resolve_items(self, info, count):
        return [{"number": number} for number in range(count)]

    def resolve_generated(self, info, count):
        yield from ({"number": number} for number in range(count))
        if count == 500:
            raise ValueError("No more")

    def resolve_numbers(self, info, count):
        return list(range(count))

    def resolve_boom(self, info):
        if self["number"] == 300:
            raise ValueError("Boom")
        return "b"


class Query(graphene.ObjectType):
    item = graphene.Field(Item)

    def resolve_item(self, info):
        return {"number": 0}


class Mutation(graphene.ObjectType):
    one = graphene.Field(Item)
    two = graphene.Field(Item)

    def resolve_one(self, info):
        happened.append("one")
        return {"number": 1}

    def resolve_two(self, info):
        happened.append("two")
        return {"number": 2}


class OnItem(Subscription):
    items = graphene.List(Item)

    @staticmethod
    def publish(payload, info):
        return {"items": [{"number": number} for number in range(payload)]}


SCHEMA = schema_of(OnItem, query=Query, mutation=Mutation)


@pytest.fixture(autouse=True)
def _time_flies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each look at the clock takes a millisecond, so that it is often time for a pause."""
    now = [0.0]

    def monotonic() -> float:
        now[0] += 0.001
        return now[0]

    for module in (breathing, budget, pieces):
        monkeypatch.setattr(module, "monotonic", monotonic)
    happened.clear()
    yield
    happened.clear()


async def others() -> None:
    """Note each time that others may run."""
    while True:
        happened.append("others")
        await tick()


@pytest.fixture
async def _others() -> Any:
    task = asyncio.create_task(others())
    yield
    task.cancel()


def longest_run() -> int:
    """How many fields were executed while nobody else could run."""
    runs = ",".join(happened).split("others")
    return max(run.count("executed") for run in runs)


ITEMS = "items(count: 1000) { number }"
ANSWER = [{"number": number} for number in range(1_000)]
QUERIES = {
    "a list": (f"{{ item {{ {ITEMS} }} }}", {"items": ANSWER}),
    "a generator": (
        "{ item { generated(count: 1000) { number } } }",
        {"generated": ANSWER},
    ),
    "lists under aliases": (
        f"{{ item {{ a: {ITEMS} b: {ITEMS} }} }}",
        {"a": ANSWER, "b": ANSWER},
    ),
    "lists in lists": (
        "{ item { items(count: 30) { items(count: 40) { number } } } }",
        {"items": [{"items": ANSWER[:40]}] * 30},
    ),
    "many short lists": (
        "{ item {" + "".join(f"a{n}: items(count: 5) {{ number }} " for n in range(300)) + "} }",
        {f"a{n}": ANSWER[:5] for n in range(300)},
    ),
}


@pytest.mark.usefixtures("executor", "_others")
@pytest.mark.parametrize("case", QUERIES)
async def test_others_run_while_a_long_query_is_executed(case):
    query, expected = QUERIES[case]
    assert await Rig(SCHEMA).answer(query) == {"data": {"item": expected}}
    assert happened.count("executed") >= 1_000
    assert longest_run() < 300


@pytest.mark.usefixtures("_others")
async def test_others_run_while_many_fields_of_an_object_are_executed():
    fields = "".join(f"a{number}: number " for number in range(1_000))
    answer = await Rig(SCHEMA, compile_operations=True).answer(f"{{ item {{ {fields} }} }}")
    item = answer["data"]["item"]
    assert list(item.items()) == [(f"a{number}", 0) for number in range(1_000)]
    assert longest_run() < 300


@pytest.mark.usefixtures("executor")
async def test_a_short_query_is_executed_at_once():
    client, rest = Rig(SCHEMA).begin("{ item { items(count: 8) { number } } }")
    assert rest is None
    assert client.heard[-1] == ("completed", None)


@pytest.mark.usefixtures("executor", "_others")
async def test_scalars_of_a_long_list_are_no_exception():
    await Rig(SCHEMA).answer("{ item { numbers(count: 20000) } }")
    assert happened.count("others") > 3


@pytest.mark.usefixtures("executor")
async def test_long_queries_take_turns():
    order: list[int] = []

    async def ask(number: int) -> None:
        query = "{ item { items(count: 1000) { number } } }"
        client, rest = Rig(SCHEMA).begin(query)
        happened.append(f"began {number}")
        await rest
        order.append(number)
        assert client.heard[-1] == ("completed", None)

    await asyncio.gather(*(ask(number) for number in range(4)))
    assert sorted(order) == [0, 1, 2, 3]
    # The last one had begun before the first had ended.
    assert happened.index("began 3") < len(happened) // 2


@pytest.mark.usefixtures("executor", "_others")
async def test_what_is_wrong_after_a_pause_is_told_with_its_path():
    result = await Rig(SCHEMA).answer("{ item { items(count: 1000) { boom number } } }")
    [error] = result["errors"]
    assert error["path"] == ["item", "items", 300, "boom"]
    assert result["data"]["item"]["items"][299:302] == [
        {"boom": "b", "number": 299},
        None,
        {"boom": "b", "number": 301},
    ]


@pytest.mark.usefixtures("executor", "_others")
async def test_a_generator_that_fails_makes_a_null_of_the_list():
    result = await Rig(SCHEMA).answer("{ item { generated(count: 500) { number } } }")
    assert result["data"] == {"item": {"generated": None}}
    assert result["errors"][0]["path"] == ["item", "generated"]
    assert happened.count("executed") == 500


@pytest.mark.usefixtures("executor", "_others")
async def test_a_mutation_is_complete_before_the_next_begins():
    query = f"mutation {{ one {{ {ITEMS} }} two {{ {ITEMS} }} }}"
    result = await Rig(SCHEMA).answer(query)
    assert result == {"data": {"one": {"items": ANSWER}, "two": {"items": ANSWER}}}
    done = [each for each in happened if each != "others"]
    assert done == ["one", *["executed"] * 1_000, "two", *["executed"] * 1_000]


@pytest.mark.usefixtures("executor", "_others")
async def test_a_mutation_of_one_field_pauses():
    await Rig(SCHEMA).answer(f"mutation {{ one {{ {ITEMS} }} }}")
    assert longest_run() < 300


@pytest.mark.usefixtures("executor", "_others")
async def test_others_run_while_a_long_event_is_executed():
    server = Rig(SCHEMA)
    client = await server.subscribe("subscription { event { items { number } } }")
    server.hub.broadcast(1_000)
    server.hub.broadcast(1)
    results = await client.hears(2)
    assert [len(result["data"]["event"]["items"]) for result in results] == [1_000, 1]
    assert longest_run() < 300
    await server.end(client)


@pytest.mark.usefixtures("executor")
async def test_in_a_thread_there_is_no_pause():
    server = Rig(SCHEMA, resolve_sync_in_threads=True)
    answer = await server.answer(f"{{ item {{ {ITEMS} }} }}")
    assert answer == {"data": {"item": {"items": ANSWER}}}


async def test_who_waits_for_a_pause_may_give_up():
    waiting = [asyncio.create_task(breathe()) for _ in range(3)]
    await tick()
    waiting[0].cancel()
    waiting[1].cancel()
    await asyncio.wait(waiting)
    assert [task.cancelled() for task in waiting[1:]] == [True, False]
    alone = asyncio.create_task(breathe())
    await tick()
    alone.cancel()
    await asyncio.wait([alone])
    await breathe()


def test_no_event_loop_is_kept():
    loop = asyncio.new_event_loop()
    loop.run_until_complete(breathe())
    loop.close()
    gone = ref(loop)
    del loop
    gc.collect()
    assert gone() is None


async def test_one_at_a_time_goes_on_in_each_iteration():
    went_on: list[str] = []

    async def long(name: str) -> None:
        for _ in range(3):
            await breathe()
            went_on.append(name)

    tasks = [asyncio.create_task(long(name)) for name in "ab"]
    turns: list[int] = []
    while not all(task.done() for task in tasks):
        await tick()
        turns.append(len(went_on))
    assert went_on == ["a", "b"] * 3
    assert all(later - earlier <= 1 for earlier, later in itertools.pairwise(turns))


async def test_the_part_that_came_last_goes_on_first_and_others_are_served_in_between():
    went_on: list[str] = []
    execution = breathing.Execution()

    async def part(name: str, of: breathing.Execution | None) -> None:
        await breathe(of)
        went_on.append(name)

    tasks = [asyncio.create_task(part(name, execution)) for name in "abc"]
    tasks.append(asyncio.create_task(part("other", None)))
    await asyncio.wait(tasks)
    assert sorted(went_on) == ["a", "b", "c", "other"]
    assert went_on[0] == "other"  # Nothing more of it comes to wait.
    assert went_on[1:] == ["c", "b", "a"]


async def test_an_execution_whose_parts_come_in_every_iteration_goes_on_all_the_same():
    execution = breathing.Execution()
    went_on: list[int] = []

    async def part(number: int) -> None:
        await breathe(execution)
        went_on.append(number)

    tasks: list[asyncio.Task[None]] = []
    while not went_on:
        tasks.append(asyncio.create_task(part(len(tasks))))
        await tick()
    assert len(tasks) < 3 * breathing.MOST_DELAYS
    await asyncio.wait(tasks)
    assert len(went_on) == len(tasks)


def shares(key: str | None, room: Any = lambda: None) -> None:
    fairness.share_as(fairness.Sharer(lambda: key, room))


WINDOWS = 20


class Long:
    """An execution of an owner that needs many windows, and may wait for something else."""

    def __init__(self, owner: str | None, went_on: list[Long], waits_after: int = WINDOWS) -> None:
        self.may_go_on = asyncio.Event()
        self._owner = owner
        self._went_on = went_on
        self._waits_after = waits_after
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        shares(self._owner)
        execution = breathing.Execution()
        for window in range(WINDOWS):
            if window == self._waits_after:
                await self.may_go_on.wait()
            await breathe(execution)
            self._went_on.append(self)


async def test_the_oldest_executions_of_an_owner_go_on_and_the_others_are_kept():
    went_on: list[Long] = []
    ones = [Long("one", went_on) for _ in range(breathing.MOST_AT_A_TIME + 2)]
    others = [Long(owner, went_on) for owner in ("other", None, None)]
    await asyncio.wait([each.task for each in [*ones, *others]])
    *oldest, late, last = ones
    assert went_on.index(late) > max(went_on.index(each) for each in others)
    assert went_on[: went_on.index(late)].count(oldest[0]) == WINDOWS
    assert went_on[: went_on.index(last)].count(oldest[1]) == WINDOWS
    assert all(went_on.count(each) == WINDOWS for each in [*ones, *others])


async def test_an_execution_that_waits_for_something_else_keeps_nobody_waiting():
    went_on: list[Long] = []
    oldest = [Long("one", went_on, waits_after=1) for _ in range(breathing.MOST_AT_A_TIME)]
    cancelled, late = Long("one", went_on), Long("one", went_on)
    await tick()
    cancelled.task.cancel()
    await asyncio.wait([late.task])
    assert [went_on.count(each) for each in oldest] == [1] * len(oldest)
    for each in oldest:
        each.may_go_on.set()
    await asyncio.wait([each.task for each in oldest])


async def test_the_next_execution_begins_when_few_enough_are_under_way():
    loop = asyncio.get_running_loop()
    owned = breathing._Owned()
    under_way = [breathing.Execution() for _ in range(breathing.MOST_UNDER_WAY + 1)]
    for each in under_way:
        owned.add(each)
    gives_up, waits = [asyncio.create_task(owned.has_room()) for _ in range(2)]
    await tick()
    owned.discard(under_way.pop(), loop)
    await tick(3)
    assert not gives_up.done()
    # In the same iteration.
    gives_up.cancel()
    owned.discard(under_way.pop(), loop)
    await waits


async def test_an_execution_waits_while_clients_of_its_owner_do_not_read():
    has_room = asyncio.Event()
    shares("one", lambda: None if has_room.is_set() else has_room.wait())
    execution = asyncio.create_task(breathe(breathing.Execution()))
    # What is complete is not kept: to send it may make room.
    await breathe()
    assert not execution.done()
    has_room.set()
    await execution


async def test_lists_in_lists_leave_few_tasks_at_a_time():
    most = 0

    async def count() -> None:
        nonlocal most
        while True:
            most = max(most, len(asyncio.all_tasks()))
            await tick()

    counting = asyncio.create_task(count())
    query = "{ item " + "{ items(count: 6) " * 5 + "{ number }" + " }" * 5 + " }"
    answer = await Rig(SCHEMA).answer(query)
    counting.cancel()
    assert "errors" not in answer
    assert most < 300

"""What counts the awaited fields of one user or address, by itself."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import graphene
import graphql
import pytest

from channels_graphql_ws.concurrency import fairness
from channels_graphql_ws.execution import breathing, budget, crowds
from channels_graphql_ws.execution.budget import NO_LIMITS, Meter
from channels_graphql_ws.execution.metered import metered
from engine_fakes import Rig, schema_of
from support import tick, wait_until


class Item(graphene.ObjectType):
    name = graphene.String(default_value="n")
    slow = graphene.String()

    @staticmethod
    async def resolve_slow(root: Any, info: Any) -> str:
        return "s"


async def promise() -> dict[str, Any]:
    return {}


class Query(graphene.ObjectType):
    items = graphene.List(Item, count=graphene.Int(required=True))
    promised = graphene.List(Item)

    @staticmethod
    def resolve_items(root: Any, info: Any, count: int) -> Any:
        return [{}] * count

    @staticmethod
    def resolve_promised(root: Any, info: Any) -> Any:
        return [promise(), promise()]


SCHEMA = schema_of(query=Query)


def full() -> crowds.Waiting:
    """Await as much as may be."""
    waiting = crowds.begin_to_wait()
    assert waiting is not None
    waiting.count(crowds.MOST_AWAITED)
    assert len(crowds.full_crowds) == 1
    return waiting


def expect_room(has_room: bool) -> Any:
    room = crowds.room_in_crowd()
    assert (room is None) is has_room
    return room


async def test_it_is_counted_until_it_is_over_and_once() -> None:
    fairness.own()
    waiting = full()
    room = asyncio.ensure_future(expect_room(has_room=False))
    await tick()
    waiting.end()
    waiting.end()
    waiting.count(crowds.MOST_AWAITED)
    expect_room(has_room=True)
    await room


async def test_there_is_room_when_all_is_little_enough() -> None:
    fairness.own()
    first, second = full(), full()
    first.end()
    expect_room(has_room=False).close()
    second.end()
    expect_room(has_room=True)


async def test_what_was_forgotten_is_not_counted() -> None:
    fairness.own()
    waiting = full()
    room = asyncio.ensure_future(expect_room(has_room=False))
    await tick()
    del waiting
    await room
    expect_room(has_room=True)


async def test_what_nobody_waits_for_any_more_counts_until_all_of_it_is_over() -> None:
    fairness.own()
    waiting = full()
    gates = [asyncio.Event(), asyncio.Event()]
    tasks = [asyncio.create_task(gate.wait()) for gate in gates]
    waiting.end_after(tasks)
    del waiting
    for gate, task in zip(gates, tasks, strict=True):
        expect_room(has_room=False).close()
        gate.set()
        await task
    await tick()
    expect_room(has_room=True)


async def test_there_is_room_for_one_who_has_awaited_nothing() -> None:
    fairness.own()
    waiting = full()
    fairness.own()
    expect_room(has_room=True)
    waiting.end()


async def test_nothing_is_counted_of_whom_nobody_knows() -> None:
    assert crowds.begin_to_wait() is None
    expect_room(has_room=True)


async def test_in_a_thread_it_is_counted_as_soon_as_somebody_waits_for_it() -> None:
    fairness.own()
    meter = Meter(NO_LIMITS)

    def resolve() -> None:
        for _ in range(crowds.MOST_AWAITED):
            meter.take_wait()

    await asyncio.to_thread(resolve)
    assert not crowds.full_crowds
    meter.note_wait()
    assert len(crowds.full_crowds) == 1
    meter.end_wait()
    expect_room(has_room=True)


async def test_the_oldest_goes_on_and_the_others_behind_it_part_by_part() -> None:
    fairness.own()
    first, second = full(), full()
    assert first.room() is None
    went: list[int] = []

    async def part(number: int) -> None:
        room = second.room()
        assert room is not None
        await room
        went.append(number)

    numbers = range(2 * crowds.PARTS_AT_ONCE)
    tasks = [asyncio.create_task(part(number)) for number in numbers]
    await tick(3)
    tasks[1].cancel()
    assert went == []
    first.end()
    await tick(2)
    assert 0 < len(went) <= crowds.PARTS_AT_ONCE
    await asyncio.gather(*tasks, return_exceptions=True)
    assert went == [number for number in numbers if number != 1]
    assert second.room() is None
    second.end()
    assert second.room() is None


async def test_the_younger_wait_until_it_is_their_turn_or_there_is_room_for_all() -> None:
    fairness.own()
    first, second, third = full(), full(), full()
    part = asyncio.ensure_future(third.room())  # type: ignore[arg-type]
    await tick()
    second.end()
    await tick(5)
    assert not part.done()
    first.end()
    await part
    third.end()


async def test_all_go_on_when_there_is_room() -> None:
    fairness.own()
    first, second, third = (crowds.begin_to_wait() for _ in range(3))
    assert first is not None
    assert second is not None
    assert third is not None
    first.count(crowds.MUCH)
    second.count(crowds.MUCH)
    third.count(crowds.MOST_AWAITED - 2 * crowds.MUCH)
    part = asyncio.ensure_future(second.room())  # type: ignore[arg-type]
    await tick()
    third.end()
    await part
    first.end()
    second.end()


async def test_a_part_that_is_cancelled_when_it_is_let_go_is_cancelled() -> None:
    fairness.own()
    first, second = full(), full()
    part = asyncio.ensure_future(second.room())  # type: ignore[arg-type]
    await tick()
    part.cancel()
    second.end()
    with pytest.raises(asyncio.CancelledError):
        await part
    first.end()


async def test_one_that_awaits_little_waits_for_nobody_and_nobody_for_it() -> None:
    fairness.own()
    little, much = crowds.begin_to_wait(), full()
    assert little is not None
    little.count(crowds.MUCH - 1)
    assert little.room() is None
    assert much.room() is None
    little.end()
    much.end()


async def test_one_that_may_come_to_await_more_waits_however_little_it_awaits() -> None:
    fairness.own()
    little, much = crowds.begin_to_wait(), full()
    assert little is not None
    little.count(1)
    part = asyncio.ensure_future(little.room(grows=True))  # type: ignore[arg-type]
    await tick(3)
    assert not part.done()
    # The oldest of those goes on.
    assert much.room(grows=True) is None
    much.end()
    await part
    assert little.room(grows=True) is None
    little.end()


async def test_without_others_the_first_that_grows_goes_on() -> None:
    fairness.own()
    many = [crowds.begin_to_wait() for _ in range(crowds.MOST_AWAITED)]
    for each in many:
        assert each is not None
        each.count(1)
    first, second = many[0], many[1]
    assert first is not None
    assert second is not None
    assert first.room(grows=True) is None
    part = asyncio.ensure_future(second.room(grows=True))  # type: ignore[arg-type]
    await tick(3)
    assert not part.done()
    first.end()
    await part
    for each in many:
        assert each is not None
        each.end()


async def test_parts_go_on_before_others_begin_and_at_the_latest_at_the_end() -> None:
    fairness.own()
    first, second = full(), full()
    begins = asyncio.create_task(expect_room(has_room=False))
    part = asyncio.ensure_future(second.room())  # type: ignore[arg-type]
    await tick()
    second.end()
    await part
    assert not begins.done()
    first.end()
    await begins


def test_an_event_loop_that_is_closed_takes_it_along() -> None:
    async def begin() -> crowds.Waiting:
        fairness.own()
        return full()

    waiting = asyncio.run(begin())
    del waiting
    gc.collect()
    assert crowds.full_crowds == set()


@pytest.mark.usefixtures("executor")
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("{ items(count: 2) { slow } }", {"items": [{"slow": "s"}] * 2}),
        ("{ promised { slow } }", {"promised": [{"slow": "s"}] * 2}),
        ("{ items(count: 300) { slow } }", {"items": [{"slow": "s"}] * 300}),
    ],
)
async def test_an_execution_goes_on_behind_older_ones(
    query: str, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "FEW", 0)
    monkeypatch.setattr(crowds, "MUCH", 1)
    monkeypatch.setattr(budget, "WINDOW", 0.0)
    monkeypatch.setattr(breathing, "WINDOW", 0.0)
    fairness.own()
    older = full()
    answer = asyncio.create_task(Rig(SCHEMA).answer(query))
    await wait_until(lambda: any(crowd._parts for crowd in crowds.full_crowds))
    await tick(20)
    assert not answer.done()
    older.end()
    assert await answer == {"data": expected}
    assert not crowds.full_crowds


@pytest.mark.usefixtures("executor")
async def test_one_object_that_was_awaited_is_not_gone_into_while_there_is_no_room() -> None:
    fairness.own()
    older = full()
    answer = asyncio.create_task(Rig(SCHEMA).answer("{ promised { slow } }"))
    await wait_until(lambda: any(crowd._parts for crowd in crowds.full_crowds))
    await tick(20)
    assert not answer.done()
    older.end()
    assert await answer == {"data": {"promised": [{"slow": "s"}] * 2}}
    assert not crowds.full_crowds


async def test_what_is_not_in_the_schema_is_passed_over_as_by_graphql_core() -> None:
    document = graphql.parse("{ unknown items(count: 1) { name unknown } }")
    context = metered(NO_LIMITS)
    result: Any = graphql.execute(SCHEMA, document, execution_context_class=context)
    assert result.data == {"items": [{"name": "n"}]}

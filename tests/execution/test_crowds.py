"""What counts the awaited fields of one user or address, by itself."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from channels_graphql_ws.concurrency import fairness
from channels_graphql_ws.execution import crowds
from channels_graphql_ws.execution.budget import NO_LIMITS, Meter
from support import tick


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

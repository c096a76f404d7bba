"""Calls that come at the same time go to one thread together."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import itertools
import threading
import weakref
from contextvars import ContextVar

import pytest

from channels_graphql_ws.concurrency.threads import Workers
from channels_graphql_ws.execution import batches
from channels_graphql_ws.execution.batches import in_batch, taken
from engine_fakes import here
from support import GUARD, tick, wait_until

OWNER = object()


async def test_calls_of_one_kind_are_one_trip_to_a_thread():
    entered = []

    def call(number):
        entered.append(number)
        return here()

    threads = await asyncio.gather(
        *(in_batch(lambda number=number: call(number), OWNER, call) for number in range(100))
    )
    assert len(set(threads)) == 1
    assert threads[0] != here()
    assert entered == list(range(100))
    assert not batches._gathering
    assert not batches._running


async def test_calls_of_different_kinds_do_not_wait_for_each_other():
    together = threading.Barrier(2)
    kinds = object(), object()
    await asyncio.gather(*(in_batch(lambda: together.wait(GUARD), OWNER, kind) for kind in kinds))


async def test_each_call_has_its_own_result_and_its_own_variables():
    number = ContextVar[int]("number")

    def divide():
        return 12 // number.get()

    async def one(value):
        number.set(value)
        return await in_batch(divide, OWNER, divide)

    results = await asyncio.gather(*map(one, (3, 0, 4)), return_exceptions=True)
    assert results[::2] == [4, 3]
    assert isinstance(results[1], ZeroDivisionError)


async def test_an_awaitable_is_awaited_on_the_event_loop():
    async def answer():
        return here()

    assert await in_batch(answer, OWNER, answer) == here()


async def test_no_coroutine_can_raise_stop_iteration():
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        await in_batch(lambda: next(iter(())), OWNER, None)


async def test_where_there_is_no_thread_to_be_had_all_are_told():
    workers = Workers("closed", 1)
    workers.pool.shutdown()
    calls = (in_batch(here, OWNER, here, workers) for _ in range(2))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError, RuntimeError]


async def test_what_nobody_waits_for_any_more_is_not_called():
    called = []
    kept, dropped = [
        asyncio.create_task(in_batch(lambda name=name: called.append(name), OWNER, called))
        for name in ("kept", "dropped")
    ]
    await tick()
    dropped.cancel()
    await kept
    assert called == ["kept"]


async def nothing_to_await():
    raise AssertionError("nobody waits for it")


@pytest.mark.parametrize("others", [0, 1])
async def test_what_comes_too_late_is_closed(others):
    entered, leave = threading.Event(), threading.Event()
    given = []

    def call():
        entered.set()
        leave.wait(GUARD)
        given.append(nothing_to_await())
        return given[0]

    task = asyncio.create_task(in_batch(call, OWNER, call))
    rest = [asyncio.create_task(in_batch(here, OWNER, call)) for _ in range(others)]
    await wait_until(entered.is_set)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    leave.set()
    await asyncio.gather(*rest)
    await wait_until(lambda: given and inspect.getcoroutinestate(given[0]) == inspect.CORO_CLOSED)
    await wait_until(lambda: not batches._running)


def test_of_what_has_no_end_only_so_much_is_taken(monkeypatch):
    monkeypatch.setattr(batches, "MOST_TAKEN", 3)
    assert taken(iter("ab")) == ["a", "b"]
    endless = taken(itertools.count())
    assert list(itertools.islice(endless, 5)) == [0, 1, 2, 3, 4]


async def handed_over(values):
    """Call for each of the values at the same time; return how many results came at a time."""
    came = []
    calls = [in_batch(lambda value=value: value, OWNER, values) for value in values]

    async def one(call):
        came.append(await call)
        return came[-1]

    began = [asyncio.create_task(one(call)) for call in calls]
    counts = []
    while len(came) < len(values):
        before = len(came)
        await tick()
        counts.append(len(came) - before)
    assert await asyncio.gather(*began) == values
    await wait_until(lambda: not batches._running)
    return [count for count in counts if count]


async def test_others_run_while_very_many_results_are_handed_over():
    counts = await handed_over(list(range(3_000)))
    assert max(counts) <= batches.VALUES_AT_ONCE


async def test_few_results_are_handed_over_at_once():
    assert await handed_over([*range(batches.FEW)]) == [batches.FEW]


async def test_objects_come_together_for_what_loads_their_fields():
    values = [object() if number % 2 else number for number in range(batches.CALLS_AT_ONCE)]
    counts = await handed_over(values)
    assert counts[0] == len(values) // 2
    assert max(counts[1:]) <= batches.VALUES_AT_ONCE


async def test_very_many_calls_go_to_a_thread_in_parts():
    made, handed = [], []

    def call():
        made.append(len(handed))

    async def one():
        await in_batch(call, OWNER, call)
        handed.append(True)

    await asyncio.gather(*(one() for _ in range(2_500)))
    assert made == [0] * 1_000 + [1_000] * 1_000 + [2_000] * 500


async def begun(count, came):
    """Let so many call, and return their tasks when the first results have come."""

    async def one(number):
        came.append(await in_batch(lambda: number, OWNER, came))

    tasks = [asyncio.create_task(one(number)) for number in range(count)]
    await wait_until(lambda: came)
    return tasks


async def test_a_batch_ends_when_nobody_waits_for_its_other_results():
    came = []
    tasks = await begun(2_500, came)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await wait_until(lambda: not batches._running)
    assert len(came) <= batches.CALLS_AT_ONCE


async def test_nobody_waits_for_a_batch_that_was_cancelled():
    came = []
    tasks = await begun(2_500, came)
    for running in tuple(batches._running):
        running.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} == {type(None), asyncio.CancelledError}
    assert len(came) <= batches.CALLS_AT_ONCE


async def test_who_leaves_early_takes_no_result_away_from_others():
    """The results come in parts; those of who has left are in each of them."""
    came = []

    async def one(number):
        came.append(await in_batch(lambda: number, OWNER, came))

    tasks = [asyncio.create_task(one(number)) for number in range(900)]
    await tick()
    for task in tasks[::2]:
        task.cancel()
    await wait_until(lambda: came)
    # All but the last of those that are left.
    for task in tasks[1:-1]:
        task.cancel()
    await tasks[-1]
    assert came[-1] == 899


@pytest.mark.parametrize("failure", [None, ValueError("late")])
async def test_who_is_cancelled_when_the_result_is_there_leaves_nothing(failure):
    given = []

    def call():
        given.append(nothing_to_await())
        if failure is not None:
            given[0].close()
            raise failure
        return given[0]

    async def first():
        await in_batch(here, OWNER, call)
        second.cancel()

    running = asyncio.create_task(first())
    second = asyncio.create_task(in_batch(call, OWNER, call))
    await asyncio.wait([running, second])
    assert second.cancelled()
    assert inspect.getcoroutinestate(given[0]) == inspect.CORO_CLOSED


async def test_what_was_raised_is_not_kept():
    gc.collect()
    gc.disable()

    def call():
        raise KeptError

    async def one():
        try:
            await in_batch(call, OWNER, call)
        except KeptError as error:
            return weakref.ref(error)

    try:
        errors = [await one(), *await asyncio.gather(one(), one())]
        await wait_until(lambda: not any(error() for error in errors))
    finally:
        gc.enable()


class KeptError(Exception):
    """Can be looked after."""

"""Threads of our own, and what becomes of them in a forked process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable

import pytest

from channels_graphql_ws.concurrency.threads import (
    Workers,
    in_thread,
    sync_in_callers_thread,
)
from support import GUARD, tick, wait_until


def _name() -> str:
    return threading.current_thread().name


def test_the_threads_are_named_after_their_purpose_and_kept():
    workers = Workers("testing", 1)
    with workers.pool as pool:
        assert workers.pool is pool
        assert pool.submit(_name).result().startswith("channels-graphql-ws-testing")


def test_their_number_may_change_while_they_work() -> None:
    workers = Workers("testing", 1)
    workers.limit(2)
    with workers.pool as pool:
        workers.limit(3)
        together = threading.Barrier(3)
        calls = [pool.submit(together.wait, GUARD) for _ in range(3)]
        assert sorted(call.result() for call in calls) == [0, 1, 2]


async def test_connections_share_as_many_threads_as_there_are_now() -> None:
    workers = Workers("testing", 4, 2)
    assert workers.queue.places == 4
    workers.limit(2)
    queue = workers.queue
    assert (queue.places, workers.queue) == (2, queue)


def test_a_forked_process_makes_threads_of_its_own(monkeypatch: pytest.MonkeyPatch):
    workers = Workers("testing", 1)
    with workers.pool as of_the_parent:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with workers.pool as of_the_child:
            assert of_the_child is not of_the_parent


async def test_a_call_that_raises_stop_iteration_is_told_so() -> None:
    with pytest.raises(RuntimeError, match="raised StopIteration"):
        await in_thread(lambda: next(iter(())))


async def test_it_is_noted_what_a_call_has_computed_even_if_nobody_waits_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noted: list[float] = []
    workers = Workers("testing", 1)
    begun, may_end = threading.Event(), threading.Event()
    shares = workers.queue._shares
    monkeypatch.setattr(
        type(shares), "note", lambda _self, _owner, computed, _late: noted.append(computed)
    )

    def wait() -> None:
        begun.set()
        assert may_end.wait(GUARD)

    with workers.pool:
        assert await in_thread(_name, workers)
        assert len(noted) == 1
        call = asyncio.create_task(in_thread(wait, workers))
        await wait_until(begun.is_set)
        call.cancel()
        await asyncio.wait([call])
        may_end.set()
        await wait_until(lambda: len(noted) == 2)
    assert min(noted) >= 0


async def test_a_call_that_has_to_wait_when_there_is_a_thread_leaves_it_to_others() -> None:
    workers = Workers("testing", 1)
    order: list[str] = []
    has_room = asyncio.Event()

    def starting() -> Awaitable[object] | None:
        return None if has_room.is_set() else has_room.wait()

    with workers.pool:
        late = asyncio.create_task(
            in_thread(lambda: order.append("late"), workers, starting=starting)
        )
        await tick(3)
        await in_thread(lambda: order.append("other"), workers)
        has_room.set()
        await late
    assert order == ["other", "late"]


async def test_a_call_in_the_callers_thread_waits_as_well() -> None:
    has_room = asyncio.Event()
    done: list[str] = []
    sync_in_callers_thread.set(True)
    call = in_thread(
        lambda: done.append("late"),
        starting=lambda: None if has_room.is_set() else has_room.wait(),
    )
    task = asyncio.create_task(call)
    await tick(5)
    assert not done
    has_room.set()
    await task
    assert done == ["late"]

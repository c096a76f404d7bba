"""One of the threads that compute has its turn at a time, and none waits for one that blocks."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import graphene
import pytest

from channels_graphql_ws.concurrency import threads
from channels_graphql_ws.concurrency.computing import ComputingTurns, turns_for
from channels_graphql_ws.concurrency.threads import Workers, in_thread
from channels_graphql_ws.execution import batches, budget
from channels_graphql_ws.execution.rules import Rules
from engine_fakes import Rig, schema_of
from support import GUARD, wait_until

FOR_EVER = GUARD
"""Seconds that a turn lasts where a test is over long before."""


class Thread:
    """A thread that takes turns when a test says so."""

    def __init__(self, turns: ComputingTurns) -> None:
        self._turns = turns
        self._commands: list[Callable[[], None]] = []
        self._is_told = threading.Semaphore(0)
        self.done = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while self._is_told.acquire(timeout=GUARD) and self._commands:
            self._commands.pop(0)()
            self.done += 1

    def _tell(self, command: Callable[[], None]) -> None:
        self._commands.append(command)
        self._is_told.release()

    def take(self) -> None:
        self._tell(self._turns.take)

    def end(self) -> None:
        self._tell(self._turns.end)

    async def has_done(self, count: int) -> None:
        await wait_until(lambda: self.done == count)

    def finish(self) -> None:
        self._is_told.release()
        self._thread.join(GUARD)


@pytest.fixture
def started() -> Iterator[Callable[[ComputingTurns], Thread]]:
    all_of_them: list[Thread] = []

    def start(turns: ComputingTurns) -> Thread:
        all_of_them.append(Thread(turns))
        return all_of_them[-1]

    yield start
    for each in all_of_them:
        each.finish()


async def test_one_thread_has_its_turn_until_it_ends_it(started) -> None:
    turns = ComputingTurns(FOR_EVER)
    one, other = started(turns), started(turns)
    one.take()
    await one.has_done(1)
    other.take()
    await wait_until(lambda: turns.is_awaited)
    assert other.done == 0
    one.end()
    await other.has_done(1)
    assert not turns.is_awaited


async def test_one_that_goes_on_lets_those_before_it_that_wait(started) -> None:
    turns = ComputingTurns(FOR_EVER)
    one, other = started(turns), started(turns)
    one.take()
    await one.has_done(1)
    other.take()
    await wait_until(lambda: turns.is_awaited)
    one.take()
    await other.has_done(1)
    await wait_until(lambda: turns.is_awaited)
    assert one.done == 1
    other.end()
    await one.has_done(2)


def test_one_that_is_alone_goes_on() -> None:
    turns = ComputingTurns(FOR_EVER)
    for _ in range(3):
        turns.take()
    assert not turns.is_awaited


async def test_nobody_waits_for_one_that_blocks(started) -> None:
    turns = ComputingTurns(0.0)
    blocked, one, other = started(turns), started(turns), started(turns)
    blocked.take()
    await blocked.has_done(1)
    one.take()
    await one.has_done(1)
    # Its turn is over: it ends nobody else's.
    turns.longest = FOR_EVER
    blocked.end()
    await blocked.has_done(2)
    other.take()
    await wait_until(lambda: turns.is_awaited)
    assert other.done == 0
    one.end()
    await other.has_done(1)


def test_without_the_lock_of_python_nobody_waits() -> None:
    turns = turns_for(has_lock=False)
    for _ in range(2):
        turns.take()
    turns.end()
    assert isinstance(turns_for(has_lock=True), ComputingTurns)


def are_free_in_a_fork(turns: ComputingTurns) -> bool:
    pid = os.fork()
    if pid == 0:  # pragma: no cover (in the child)
        os._exit(0 if not turns.is_awaited and not turns._begun.locked() else 1)
    return os.waitpid(pid, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_forked_process_has_turns_of_its_own(started) -> None:
    turns = ComputingTurns(FOR_EVER)
    one, other = started(turns), started(turns)
    one.take()
    await one.has_done(1)
    other.take()
    await wait_until(lambda: turns.is_awaited)
    assert are_free_in_a_fork(turns)
    one.end()
    await other.has_done(1)


class Recorder:
    """Notes which threads take turns, and which end them."""

    def __init__(self) -> None:
        self.taken: list[int] = []
        self.ended: list[int] = []

    def take(self) -> None:
        self.taken.append(threading.get_ident())

    def end(self) -> None:
        self.ended.append(threading.get_ident())


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """Record turns, where each look at the clock finds that it is time for one."""
    recorder = Recorder()
    for module in (threads, budget, batches):
        monkeypatch.setattr(module, "turns", recorder)
    for module in (budget, batches):
        monkeypatch.setattr(module, "WINDOW", 0.0)
    return recorder


async def test_a_call_in_a_thread_ends_its_turn(recorder: Recorder) -> None:
    def fail() -> None:
        raise LookupError("no")

    workers = Workers("testing", 1)
    with workers.pool:
        ran_in = await in_thread(threading.get_ident, workers)
        with pytest.raises(LookupError):
            await in_thread(fail, workers)
    assert recorder.ended == [ran_in, ran_in]


class Item(graphene.ObjectType):
    """Refers to many like itself."""

    name = graphene.String()
    items = graphene.List(lambda: Item, count=graphene.Int(required=True))
    later = graphene.List(lambda: Item, count=graphene.Int(required=True))

    @staticmethod
    def resolve_name(root: Any, info: Any) -> str:
        return "n"

    @staticmethod
    def resolve_items(root: Any, info: Any, count: int) -> list[dict[str, Any]]:
        return [{}] * count

    @staticmethod
    async def resolve_later(root: Any, info: Any, count: int) -> list[dict[str, Any]]:
        return [{}] * count


SCHEMA = schema_of(query=Item)


def rig(*, in_threads: bool) -> Rig:
    return Rig(SCHEMA, rules=Rules(), resolve_sync_in_threads=in_threads)


MANY = "{ items(count: 200) { name } }"


@pytest.mark.usefixtures("executor")
async def test_an_execution_in_a_thread_takes_turns(recorder: Recorder) -> None:
    answer = await rig(in_threads=True).answer(MANY)
    assert len(answer["data"]["items"]) == 200
    assert recorder.taken
    assert set(recorder.taken) == set(recorder.ended)
    assert threading.get_ident() not in recorder.taken


@pytest.mark.usefixtures("executor")
async def test_an_execution_on_the_event_loop_waits_for_no_thread(recorder: Recorder) -> None:
    assert "errors" not in await rig(in_threads=False).answer(MANY)
    assert recorder.taken == []


async def test_resolvers_of_a_list_that_go_to_a_thread_together_take_turns(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = "{ later(count: 5) { name } }"
    assert "errors" not in await rig(in_threads=True).answer(query)
    assert len(recorder.taken) == 5
    recorder.taken.clear()
    monkeypatch.setattr(batches, "WINDOW", GUARD)
    assert "errors" not in await rig(in_threads=True).answer(query)
    assert recorder.taken == []

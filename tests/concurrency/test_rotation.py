"""Who has had enough of the event loop for now goes on in turn, and so do their owners."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from weakref import ref

from channels_graphql_ws.concurrency.rotation import REQUESTS_AT_ONCE, next_turn, turn_to_begin
from support import tick


class Line:
    """Notes in which iteration of the event loop each goes on."""

    def __init__(self) -> None:
        self.iteration = 0
        self.gone: list[tuple[str, int]] = []
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str, turns: int = 1) -> None:
        """Let some wait, one after the other: the first letter of a name is its owner."""
        for name in names:
            self.tasks[name] = asyncio.create_task(self._wait(name, turns))
        await tick()

    async def _wait(self, name: str, turns: int) -> None:
        for _ in range(turns):
            await next_turn(None if name[0] == "?" else name[0])
            self.gone.append((name, self.iteration))

    async def all_gone(self) -> list[str]:
        """Wait until all have had their turns; return in which order."""
        while not all(each.done() for each in self.tasks.values()):
            await tick()
            self.iteration += 1
        return [name for name, _ in self.gone]


async def test_owners_take_turns_and_so_do_the_members_of_each() -> None:
    line = Line()
    # Before the first one there is nobody: it goes on in the next iteration, as others may.
    await line.come("x1", "a1", "a2", "a3", "b1", "c1", "c2")
    assert await line.all_gone() == ["x1", "a1", "b1", "c1", "a2", "c2", "a3"]


async def test_of_all_that_wait_one_goes_on_in_an_iteration() -> None:
    line = Line()
    await line.come("a1", "b1", "c1", "a2")
    await line.all_gone()
    iterations = [iteration for _, iteration in line.gone]
    assert len(set(iterations)) == len(iterations)


async def test_who_comes_again_stands_behind_the_others() -> None:
    line = Line()
    await line.come("a1", "a2", turns=10)
    await line.come("b1", turns=3)
    order = await line.all_gone()
    assert order[: order.index("b1") + 6].count("b1") == 3


async def test_who_is_not_known_shares_with_nobody() -> None:
    line = Line()
    await line.come("x1", "a1", "a2", "?", "?2")
    assert await line.all_gone() == ["x1", "a1", "?", "?2", "a2"]


async def test_who_is_cancelled_keeps_nobody_waiting() -> None:
    line = Line()
    await line.come("a1", "a2", "b1", "b2")
    for name in ("a1", "a2", "b1"):
        line.tasks[name].cancel()
    assert await line.all_gone() == ["b2"]
    # Nor does it matter when all are.
    await line.come("a3")
    line.tasks["a3"].cancel()
    await tick(3)
    await line.come("a4")
    assert await line.all_gone() == ["b2", "a4"]


def test_a_line_ends_with_its_event_loop() -> None:
    loop = asyncio.new_event_loop()
    loop.run_until_complete(next_turn("a"))
    loop.close()
    gone = ref(loop)
    del loop
    gc.collect()
    assert gone() is None


class Gate:
    """Notes in which iteration of the event loop requests begin."""

    def __init__(self) -> None:
        self.iteration = 0
        self.begun: list[tuple[str, int]] = []
        self.tasks: list[asyncio.Task[None]] = []

    def come(self, *names: str) -> list[asyncio.Task[None]]:
        """Let some come in this iteration: the first letter of a name is its owner."""
        tasks = [asyncio.create_task(self._begin(name)) for name in names]
        self.tasks += tasks
        return tasks

    async def _begin(self, name: str) -> None:
        turn = turn_to_begin(lambda: None if name[0] == "?" else name[0])
        if turn is not None:
            await turn
        self.begun.append((name, self.iteration))

    async def next(self) -> None:
        self.iteration += 1
        await tick()

    async def all_begun(self) -> list[str]:
        while not all(each.done() for each in self.tasks):
            await self.next()
        return [name for name, _ in self.begun]


async def test_a_few_requests_begin_at_once() -> None:
    gate = Gate()
    gate.come(*(f"a{number}" for number in range(REQUESTS_AT_ONCE)))
    await gate.next()
    assert len(gate.begun) == REQUESTS_AT_ONCE
    # In the next iteration there is room again.
    gate.come("a", "b")
    await gate.next()
    assert len(gate.begun) == REQUESTS_AT_ONCE + 2


async def test_of_thousands_of_requests_a_few_begin_in_each_iteration() -> None:
    gate = Gate()
    gate.come(*(f"a{number}" for number in range(10 * REQUESTS_AT_ONCE)))
    await gate.all_begun()
    counts = Counter(iteration for _, iteration in gate.begun)
    assert max(counts.values()) == REQUESTS_AT_ONCE
    assert len(counts) == 10


async def test_another_owner_does_not_wait_for_all_of_them() -> None:
    gate = Gate()
    gate.come(*(f"a{number}" for number in range(10 * REQUESTS_AT_ONCE)))
    await gate.next()
    gate.come("b", "?")
    order = await gate.all_begun()
    assert max(order.index("b"), order.index("?")) < 3 * REQUESTS_AT_ONCE


async def test_a_request_whose_client_has_gone_takes_no_place() -> None:
    gate = Gate()
    first = gate.come(*(f"a{number}" for number in range(REQUESTS_AT_ONCE)))
    gone = gate.come(*(f"b{number}" for number in range(REQUESTS_AT_ONCE)))
    await gate.next()
    for task in gone:
        task.cancel()
    last = gate.come("c")
    await tick(5)
    assert [task.cancelled() for task in gone] == [True] * len(gone)
    assert all(task.done() for task in (*first, *last))
    # The gate is at rest, and opens anew.
    gate.come("d")
    await tick()
    assert gate.begun[-1][0] == "d"


async def test_nobody_overtakes_those_who_wait() -> None:
    gate = Gate()
    gate.come(*(f"a{number}" for number in range(3 * REQUESTS_AT_ONCE)))
    await gate.next()
    gate.come(*(f"a late {number}" for number in range(REQUESTS_AT_ONCE)))
    order = await gate.all_begun()
    assert [name for name in order if "late" in name] == order[-REQUESTS_AT_ONCE:]

"""Who has had enough of the event loop for now goes on in turn, and so do their owners."""

from __future__ import annotations

import asyncio
import gc
from weakref import ref

from channels_graphql_ws.concurrency.rotation import next_turn
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

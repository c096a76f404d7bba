"""Very many go on in waves, and others run in between."""

from __future__ import annotations

import asyncio

from channels_graphql_ws.execution.waves import ITERATIONS, Waves
from engine_fakes import cancel
from support import tick


async def test_others_run_between_two_waves():
    waves, came = Waves(3), []

    async def one(number):
        await waves.next()
        came.append(number)

    tasks = [asyncio.create_task(one(number)) for number in range(7)]
    await tick()
    await cancel(tasks[1])
    seen, counts = 0, []
    while not all(task.done() for task in tasks):
        await tick()
        if len(came) > seen:
            counts.append(len(came) - seen)
            seen = len(came)
    assert counts == [2, 3, 1]
    assert came == [0, 2, 3, 4, 5, 6]


async def test_who_waits_again_has_another_wave():
    waves = Waves(3)
    for _ in range(2):
        task = asyncio.create_task(waves.next())
        for _ in range(ITERATIONS):
            await tick()
            assert not task.done()
        await task

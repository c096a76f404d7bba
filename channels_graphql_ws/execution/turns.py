"""Await very many at once, and let the event loop go on to others while they begin."""

from __future__ import annotations

from asyncio import FIRST_EXCEPTION, CancelledError, Future, gather, sleep, wait
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from channels_graphql_ws.execution.breathing import breathe
from channels_graphql_ws.execution.budget import Meter

OBJECTS_AT_ONCE: Final = 1_000
"""Objects whose fields begin to be awaited in one iteration of the event loop. A data loader
gets the keys of so many in one call, at least."""

DROPPED_AT_ONCE: Final = 64
"""Of what has not begun when an operation is cancelled, so much is ended at a time."""

_LEVELS: Final = 4
"""Tasks inside each other that graphql-core makes of the field of an object in a list."""


async def in_turns(
    awaitables: Sequence[Awaitable[Any]],
    step: int,
    meter: Meter,
    give_way: Callable[[], Awaitable[object]],
) -> list[Any]:
    """Await many concurrently, as `gather` does; only some of them begin at a time.

    Args:
        awaitables: what to await. All of it is begun, whatever happens.
        step: how many begin together.
        meter: of the execution, which is given up if this is cancelled.
        give_way: lets others run, between one turn and the next.
    """
    turns: list[Future[list[Any]]] = [gather(*awaitables[:step])]
    begun = step
    try:
        while begun < len(awaitables):
            await give_way()
            turns.append(gather(*awaitables[begun : begun + step]))
            begun += step
        # Unlike `gather` it cancels nothing that has not taken its first step.
        await wait(turns, return_when=FIRST_EXCEPTION)
    except CancelledError:
        await drop(awaitables[begun:], meter, turns)
        raise
    return [value for values in await gather(*turns) for value in values]


async def drop(
    awaitables: Sequence[Awaitable[Any]], meter: Meter, begun: Sequence[Future[Any]] = ()
) -> None:
    """End what was to be awaited, when nobody waits for the result any more.

    Args:
        awaitables: what has not begun.
        meter: of the execution; it is given up.
        begun: what has.
    """
    meter.give_up()
    steps = range(0, len(awaitables), DROPPED_AT_ONCE)
    left = [awaitables[start : start + DROPPED_AT_ONCE] for start in steps]
    running, ended = list(begun), list[Future[Any]]()
    try:
        await _first_steps()
        while left or running:
            await breathe()
            if not running:
                running.append(gather(*left.pop()))
                await _first_steps()
            ended.append(running.pop())
            ended[-1].cancel()
    except CancelledError:
        # Cancelled once more: all is ended at once.
        running += [gather(*some) for some in left]
        try:
            await _first_steps()
        finally:
            for turn in running:
                turn.cancel()
        raise
    await gather(*ended, return_exceptions=True)


async def _first_steps() -> None:
    """Let what has begun take its first steps.

    What has not could not await, or close, what it is to await.
    """
    for _ in range(_LEVELS):
        await sleep(0)

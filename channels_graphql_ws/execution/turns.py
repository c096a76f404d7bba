"""Await very many at once, and let the event loop go on to others while they begin."""

from __future__ import annotations

from asyncio import CancelledError, Future, gather, sleep
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from channels_graphql_ws.execution.budget import Meter

OBJECTS_AT_ONCE: Final = 1_000
"""Objects whose fields begin to be awaited in one iteration of the event loop. A data loader
gets the keys of so many in one call, at least."""


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
    except CancelledError:
        meter.give_up()
        await _cancelled([*turns, gather(*awaitables[begun:])])
        raise
    return [value for values in await gather(*turns) for value in values]


async def _cancelled(turns: list[Future[list[Any]]]) -> None:
    """Cancel what has begun, and wait for its end."""
    try:
        # What has not taken its first step could not await, or close, what it is to await.
        await sleep(0)
        await sleep(0)
    finally:
        for turn in turns:
            turn.cancel()
    await gather(*turns, return_exceptions=True)

"""Await very many at once, and let the event loop go on to others while they begin."""

from __future__ import annotations

from asyncio import (
    FIRST_EXCEPTION,
    CancelledError,
    Future,
    ensure_future,
    gather,
    get_running_loop,
    sleep,
    wait,
)
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from channels_graphql_ws.execution.breathing import breathe
from channels_graphql_ws.execution.budget import Meter

OBJECTS_AT_ONCE: Final = 1_000
"""Objects whose fields begin to be awaited in one iteration of the event loop. A data loader
gets the keys of so many in one call, at least."""

DROPPED_AT_ONCE: Final = 64
"""Of what has not begun when an operation is cancelled, so much is ended at a time."""


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
    values: list[Any] = []
    tasks: deque[Future[Any]] = deque()
    begun = 0
    try:
        while begun < len(awaitables):
            if begun:
                await give_way()
            # What is over is kept as its value, which takes less.
            while tasks and _has_value(tasks[0]):
                values.append(tasks.popleft().result())
            tasks.extend(map(ensure_future, awaitables[begun : begun + step]))
            begun += step
        # Unlike `gather` it cancels nothing that has not taken its first step.
        if tasks:
            await wait(tasks, return_when=FIRST_EXCEPTION)
    except CancelledError:
        await drop(awaitables[begun:], meter, tuple(tasks))
        raise
    if all(map(_has_value, tasks)):
        values.extend(task.result() for task in tasks)
        return values
    return values + await together(tasks, meter)


async def together(awaitables: Iterable[Awaitable[Any]], meter: Meter) -> list[Any]:
    """Await all at once, as `gather` does; if one fails, the others still count.

    Unlike `gather` it cancels nothing that has not taken its first step.

    Args:
        awaitables: what to await; at least one.
        meter: of the execution, which is given up if this is cancelled.
    """
    tasks = [ensure_future(each) for each in awaitables]
    try:
        failed = await _over(tasks)
    except CancelledError:
        await drop((), meter, tasks)
        raise
    if failed is None:
        return [task.result() for task in tasks]
    meter.leave_behind(tasks)
    try:
        return [failed.result()]
    finally:
        # The error knows this frame, and would be known by it: a cycle.
        del failed, tasks


def _over(tasks: Sequence[Future[Any]]) -> Future[Future[Any] | None]:
    """Return a future whose result is the first task that fails, or `None` when all are over."""
    over: Future[Future[Any] | None] = get_running_loop().create_future()
    left = len(tasks)

    def one_over(task: Future[Any]) -> None:
        nonlocal left
        left -= 1
        # To ask for the exception is to have seen it: it is not logged.
        has_failed = task.cancelled() or task.exception() is not None
        if (has_failed or not left) and not over.done():
            over.set_result(task if has_failed else None)

    for task in tasks:
        task.add_done_callback(one_over)
    return over


def _has_value(task: Future[Any]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None


async def drop(
    awaitables: Sequence[Awaitable[Any]], meter: Meter, begun: Sequence[Future[Any]] = ()
) -> None:
    """End what was to be awaited, when nobody waits for the result any more.

    Nothing is cancelled before its first step: it could not await, or close, what it is to await.

    Args:
        awaitables: what has not begun.
        meter: of the execution; it is given up.
        begun: what has.
    """
    meter.give_up()
    running, left, ended = list(begun), list(awaitables), list[Future[Any]]()
    try:
        await sleep(0)
        while left or running:
            if ended:
                await breathe()
            if not running:
                running += map(ensure_future, left[-DROPPED_AT_ONCE:])
                del left[-DROPPED_AT_ONCE:]
                await sleep(0)
            some = running[-DROPPED_AT_ONCE:]
            del running[-DROPPED_AT_ONCE:]
            _cancel(some)
            ended += some
    except CancelledError:
        # Cancelled once more: all is ended at once.
        running += map(ensure_future, left)
        try:
            await sleep(0)
        finally:
            _cancel(running)
        raise
    await gather(*ended, return_exceptions=True)


def _cancel(futures: Sequence[Future[Any]]) -> None:
    for each in futures:
        each.cancel()

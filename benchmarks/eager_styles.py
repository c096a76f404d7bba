"""Compare two ways to write what runs at once and waits only where it has to.

`channels_graphql_ws.concurrency.eager` drives generators that yield whatever may be awaitable.
The same could be written with coroutines that await `maybe(…)` and a driver for them. This prints
the CPU time of both for the shapes that an event takes; `python benchmarks/eager_styles.py`.
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import process_time_ns
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.eager import Eager, is_awaitable

ROUNDS = 15
CALLS = 20_000
VALUE = {"text": "hello"}


@types.coroutine
def maybe(value: Any) -> Any:
    """Hand what is awaitable to the driver: user code must not be half-run outside of a task."""
    if is_awaitable(value):
        value = yield value
    return value


def start(steps: Coroutine[Any, Any, Any]) -> Any:
    """Drive a coroutine as `eager.start` drives a generator."""
    try:
        step = steps.send(None)
    except StopIteration as stop:
        return stop.value
    return finish(steps, step)


async def finish(steps: Coroutine[Any, Any, Any], step: Any) -> Any:
    """Take the remaining steps in the task that awaits this."""
    while True:
        try:
            value = await step
        except BaseException as error:  # noqa: BLE001 (cancellation, too, is for the steps)
            try:
                step = steps.throw(error)
            except StopIteration as stop:
                return stop.value
            continue
        try:
            step = steps.send(value)
        except StopIteration as stop:
            return stop.value


def plain_generator() -> Eager[Any]:
    """One hook whose value is there."""
    return (yield VALUE)


async def plain_coroutine() -> Any:
    """One hook whose value is there."""
    return await maybe(VALUE)


def nested_generator() -> Eager[Any]:
    """A hook below two callers, as in an event."""
    return (yield from inner_generator())


def inner_generator() -> Eager[Any]:
    """A caller."""
    return (yield from plain_generator())


async def nested_coroutine() -> Any:
    """A hook below two callers, as in an event."""
    return await inner_coroutine()


async def inner_coroutine() -> Any:
    """A caller."""
    return await plain_coroutine()


async def hook() -> Any:
    """A hook of a user's that waits for nothing."""
    return VALUE


def waiting_generator() -> Eager[Any]:
    """One hook that has to be awaited."""
    return (yield hook())


async def waiting_coroutine() -> Any:
    """One hook that has to be awaited."""
    return await maybe(hook())


def _at_once(driver: Callable[[Any], Any], make: Callable[[], Any]) -> int:
    begin = process_time_ns()
    for _ in range(CALLS):
        driver(make())
    return process_time_ns() - begin


async def _awaited(driver: Callable[[Any], Any], make: Callable[[], Any]) -> int:
    begin = process_time_ns()
    for _ in range(CALLS):
        await driver(make())
    return process_time_ns() - begin


async def main() -> None:
    """Print nanoseconds per call, the best of all rounds, which alternate."""
    shapes = {
        "a value that is there": (plain_generator, plain_coroutine),
        "the same below two callers": (nested_generator, nested_coroutine),
        "a hook that is awaited": (waiting_generator, waiting_coroutine),
    }
    for name, makers in shapes.items():
        best = [float("inf")] * 2
        for _ in range(ROUNDS):
            for index, (driver, make) in enumerate(zip((eager.start, start), makers, strict=True)):
                is_awaited = make in (waiting_generator, waiting_coroutine)
                spent = await _awaited(driver, make) if is_awaited else _at_once(driver, make)
                best[index] = min(best[index], spent / CALLS)
        generator, coroutine = best
        ratio = coroutine / generator
        print(
            f"{name:30} generator {generator:6.0f} ns, coroutine {coroutine:6.0f} ns: {ratio:.2f}"
        )


if __name__ == "__main__":
    asyncio.run(main())

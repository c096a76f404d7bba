"""What the tests share: waiting without sleeping, ports, fakes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

GUARD = 20.0
"""Seconds after which a wait has failed: a guard, never an assertion."""

_EAGER_TURNS = 100


async def tick(turns: int = 1) -> None:
    """Let everything that is ready to run take its turn."""
    for _ in range(turns):
        await asyncio.sleep(0)  # noqa: TID251 (the one way to give up a turn)


async def wait_until(condition: Callable[[], object], *, guard: float = GUARD) -> None:
    """Return as soon as `condition` holds; raise TimeoutError if it never does.

    What happens on this loop is seen within a few turns. Afterwards it must be another thread or
    process that is waited for: the loop stops turning at full speed and lets them work.
    """
    turns = 0
    async with asyncio.timeout(guard):
        while not condition():
            turns += 1
            if turns < _EAGER_TURNS:
                await tick()
            else:
                await asyncio.sleep(0.001)  # noqa: TID251 (a pause, see above)


async def leftover_tasks(known: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    """Return the tasks that live on beside the `known` ones and the current one.

    A task which was cancelled or has had its last answer needs a turn or two to end: it gets them.
    """
    left = _tasks_beside(known)
    for _ in range(5):
        if not left:
            break
        await tick()
        left = _tasks_beside(known)
    return left


def _tasks_beside(known: set[asyncio.Task[object]]) -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - known - {asyncio.current_task()}


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])

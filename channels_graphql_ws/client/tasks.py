"""Tasks of the client."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


def begin_soon(coroutine: Coroutine[Any, Any, _Result]) -> asyncio.Task[_Result]:
    """Return a task that begins when its maker waits, and never before.

    Whoever makes a task keeps it, and what it needs, in the next lines. With
    `asyncio.eager_task_factory` one of `create_task` has run by then, perhaps to its end.
    """
    return asyncio.Task(coroutine, loop=asyncio.get_running_loop())

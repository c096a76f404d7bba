"""Pytest plugin: a test that leaves a task behind fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from support import leftover_tasks


@pytest.fixture(autouse=True)
def no_task_left_behind(request: pytest.FixtureRequest) -> None:
    """Fail an async test after which a task of its loop still lives."""
    if request.node.get_closest_marker("asyncio"):
        request.getfixturevalue("_no_task_left_behind")


@pytest.fixture
async def _no_task_left_behind() -> AsyncIterator[None]:
    known = asyncio.all_tasks()
    yield
    left = await leftover_tasks(known)
    # The other tests shall not suffer, and the message shall say where the task stands.
    shown = "".join(f"\n  {task!r}" for task in left)
    for task in left:
        task.cancel()
    assert not left, f"tasks left behind:{shown}"

"""A time limit that costs nothing where there is nothing to wait for."""

from __future__ import annotations

import asyncio

import pytest

from channels_graphql_ws.concurrency.deadline import within
from support import tick


async def test_what_is_there_already_needs_no_time():
    async def ready() -> str:
        return "here"

    assert await within(0, ready()) == "here"


async def test_what_is_there_already_may_raise():
    async def broken() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        await within(0, broken())


@pytest.mark.parametrize("seconds", [60, None])
async def test_what_comes_later_is_waited_for(seconds):
    queue: asyncio.Queue[int] = asyncio.Queue()

    async def both() -> list[int]:
        return [await queue.get(), await queue.get()]

    waiting = asyncio.ensure_future(within(seconds, both()))
    for number in (1, 2):
        await tick(2)
        queue.put_nowait(number)
    assert await waiting == [1, 2]


async def test_what_is_no_coroutine_is_waited_for_too():
    future = asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(within(60, future))
    await tick()
    future.set_result(1)
    assert await waiting == 1


async def test_what_does_not_come_is_cancelled():
    ended = []

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")

    with pytest.raises(TimeoutError):
        await within(0, never())
    assert ended == ["cancelled"]


async def test_a_cancellation_reaches_what_is_waited_for():
    async def stubborn() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "I have heard it"
        return ""

    waiting = asyncio.ensure_future(within(60, stubborn()))
    await tick()
    waiting.cancel()
    assert await waiting == "I have heard it"

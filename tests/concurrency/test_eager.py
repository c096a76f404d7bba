"""Eager code runs at once, and waits only where it has to."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest

from channels_graphql_ws.concurrency.eager import (
    Eager,
    cancel,
    is_awaitable,
    is_cancellation,
    start,
)
from support import tick, wait_until


async def later(value: Any) -> Any:
    await tick()
    return value


async def failing(error: Exception) -> None:
    await tick()
    raise error


def collecting(*values: Any) -> Eager[list[Any]]:
    got = []
    for value in values:
        answer = yield value
        got.append(answer)
    return got


def test_steps_that_wait_for_nothing_give_their_result_at_once() -> None:
    assert start(collecting(1, None, "two")) == [1, None, "two"]


def test_steps_without_a_step_give_their_result_at_once() -> None:
    assert start(collecting()) == []


async def test_steps_that_wait_give_a_coroutine_for_the_rest() -> None:
    rest = start(collecting(1, later(2), 3, later(4)))

    assert isinstance(rest, Coroutine)
    assert await rest == [1, 2, 3, 4]


async def test_steps_run_up_to_the_first_wait_before_anybody_awaits() -> None:
    seen: list[str] = []

    def steps() -> Eager[None]:
        seen.append("before")
        yield later(None)
        seen.append("after")

    rest = start(steps())
    assert seen == ["before"]
    assert isinstance(rest, Coroutine)
    await rest
    assert seen == ["before", "after"]


def test_an_exception_of_a_step_at_once_surfaces_at_the_call() -> None:
    def steps() -> Eager[None]:
        yield None
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        start(steps())


async def test_an_exception_of_what_is_awaited_is_raised_where_it_is_awaited() -> None:
    def steps() -> Eager[str]:
        try:
            yield failing(LookupError("mine"))
        except LookupError as error:
            return f"caught {error}"
        return "not reached"

    rest = start(steps())

    assert isinstance(rest, Coroutine)
    assert await rest == "caught mine"


async def test_steps_go_on_after_an_exception_they_caught() -> None:
    def steps() -> Eager[Any]:
        try:
            yield failing(LookupError())
        except LookupError:
            got = yield later("more")
            return got, (yield "now")

    rest = start(steps())

    assert isinstance(rest, Coroutine)
    assert await rest == ("more", "now")


async def test_an_exception_that_nobody_catches_surfaces_at_the_await() -> None:
    rest = start(collecting(failing(LookupError("mine"))))

    assert isinstance(rest, Coroutine)
    with pytest.raises(LookupError, match="mine"):
        await rest


async def test_a_cancelled_task_runs_the_finally_of_its_steps() -> None:
    seen: list[str] = []

    def steps() -> Eager[None]:
        try:
            yield asyncio.Event().wait()
        finally:
            seen.append((yield later("cleaned")))

    rest = start(steps())
    assert isinstance(rest, Coroutine)
    task = asyncio.create_task(rest)
    await tick()
    task.cancel()
    await asyncio.wait([task])

    assert seen == ["cleaned"]
    assert task.cancelled()


async def test_a_failure_is_not_kept_alive_by_what_it_passed_through() -> None:
    class WeakError(Exception):
        pass

    async def broken() -> None:
        raise WeakError

    async def failed() -> weakref.ref[WeakError]:
        rest = start(collecting(broken()))
        assert isinstance(rest, Coroutine)
        try:
            await rest
        except WeakError as error:
            return weakref.ref(error)
        raise AssertionError("it must fail")

    gc.disable()
    try:
        kept = await failed()
        assert kept() is None
    finally:
        gc.enable()


def test_a_future_a_coroutine_and_whatever_has_await_can_be_awaited() -> None:
    class Own:
        def __await__(self) -> Any:
            return iter(())

    coroutine = later(1)
    assert is_awaitable(coroutine)
    coroutine.close()
    assert is_awaitable(Own())


def test_a_value_can_not_be_awaited_even_if_its_attributes_say_otherwise() -> None:
    class Row:
        def __init__(self) -> None:
            self.__await__ = None

    assert not is_awaitable(Row())
    assert not is_awaitable(None)
    assert not is_awaitable({"__await__": 1})


async def test_a_task_is_not_cancelled_before_its_first_steps() -> None:
    # A coroutine that is dropped before it was awaited warns, and warnings are errors here.
    reached: list[str] = []

    async def inner() -> None:
        reached.append("inner")
        await asyncio.Event().wait()

    async def outer() -> None:
        reached.append("outer")
        await asyncio.gather(inner())

    task = asyncio.create_task(outer())
    cancel(task)
    await asyncio.wait([task])
    assert task.cancelled()
    assert reached == ["outer", "inner"]


async def test_a_task_that_is_cancelled_is_told_from_what_it_waited_for() -> None:
    seen: list[bool] = []

    async def wait() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError as error:
            seen.append(is_cancellation(error))

    task = asyncio.create_task(wait())
    asyncio.get_running_loop().call_soon(task.cancel)
    await task
    assert seen == [True]
    assert not is_cancellation(asyncio.CancelledError())
    assert not is_cancellation(ValueError())


async def test_outside_of_a_task_nothing_is_cancelled() -> None:
    seen: list[bool] = []

    def call() -> None:
        seen.append(is_cancellation(asyncio.CancelledError()))

    asyncio.get_running_loop().call_soon(call)
    await wait_until(lambda: seen)
    assert seen == [False]

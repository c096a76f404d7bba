"""What code in a thread may do with the event loop that it is lent."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from django.utils.functional import SimpleLazyObject

from channels_graphql_ws.concurrency.thread_loop import ThreadLoop, lend_to_loaders, lent
from channels_graphql_ws.concurrency.threads import in_thread
from channels_graphql_ws.dict_as_object import DictAsObject
from support import tick, wait_until


async def test_what_is_scheduled_waits_until_the_call_has_ended():
    order = []

    def call():
        loop = asyncio.get_event_loop()
        loop.call_soon(order.append, "scheduled")
        loop.call_soon(order.append, "never").cancel()
        order.append("called")

    await in_thread(call)
    await wait_until(lambda: len(order) == 2)
    assert order == ["called", "scheduled"]


async def test_a_future_is_awaited_on_the_event_loop():
    def call():
        loop = asyncio.get_event_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, "result")
        return future

    assert await (await in_thread(call)) == "result"


async def test_a_coroutine_runs_on_the_event_loop_while_the_thread_waits():
    async def ask(answer):
        await tick()
        return asyncio.get_running_loop(), answer

    async def fail():
        raise LookupError("gone")

    def call():
        done = asyncio.ensure_future(ask(1))
        assert done.done()
        failed = asyncio.ensure_future(fail())
        return (
            done.result(),
            failed.exception(),
            asyncio.get_event_loop().run_until_complete(ask(2)),
        )

    (loop, first), error, (_, second) = await in_thread(call)
    assert loop is asyncio.get_running_loop()
    assert (first, second) == (1, 2)
    assert isinstance(error, LookupError)


async def test_timers_are_those_of_the_event_loop():
    called = []

    def call():
        loop = asyncio.get_event_loop()
        loop.call_later(0, called.append, "later")
        loop.call_later(0, called.append, "never").cancel()
        return loop.call_at(loop.time(), called.append, "at")

    await in_thread(call)
    await wait_until(lambda: len(called) == 2)
    assert sorted(called) == ["at", "later"]


async def test_another_thread_may_be_asked():
    future = await in_thread(lambda: asyncio.get_event_loop().run_in_executor(None, lambda: 1))
    assert await future == 1


async def test_it_is_not_running_so_that_code_may_wait():
    def call():
        loop = asyncio.get_event_loop()
        return loop.is_running(), loop.is_closed(), loop.get_debug()

    assert await in_thread(call) == (False, False, asyncio.get_running_loop().get_debug())


async def test_errors_go_to_the_handler_of_the_event_loop():
    problems = []
    asyncio.get_running_loop().set_exception_handler(lambda _, problem: problems.append(problem))
    await in_thread(lambda: asyncio.get_event_loop().call_exception_handler({"message": "x"}))
    await wait_until(lambda: problems)


async def test_on_the_event_loop_itself_nothing_waits():
    loop = ThreadLoop(asyncio.get_running_loop())
    called = []
    loop.call_soon(called.append, 1)
    task = loop.create_task(tick())
    await task
    await wait_until(lambda: called)


async def test_the_event_loop_of_the_thread_is_there_again_afterwards():
    def call():
        mine = asyncio.new_event_loop()
        try:
            asyncio.set_event_loop(mine)
            with lent(mine):
                assert asyncio.get_event_loop() is not mine
            assert asyncio.get_event_loop() is mine
        finally:
            asyncio.set_event_loop(None)
            mine.close()

    await asyncio.to_thread(call)


async def test_without_one_there_is_none_afterwards():
    def call():
        with lent(loop):
            pass
        with pytest.raises(RuntimeError):
            asyncio.get_event_loop()

    loop = asyncio.get_running_loop()
    await asyncio.to_thread(call)


class Loader:
    def __init__(self, loop):
        self.loop = loop

    def load(self, key):
        return self.loop.create_future()


class Slotted:
    __slots__ = ()


class Pair(NamedTuple):
    one: object
    other: object


async def test_loaders_that_were_made_on_the_event_loop_may_be_used_in_threads():
    loop, other = asyncio.get_running_loop(), asyncio.new_event_loop()
    other.close()
    loaders = [Loader(loop) for _ in range(4)]
    foreign, no_loader = Loader(other), SimpleNamespace(loop=loop)
    lazy = SimpleLazyObject(lambda: 1 / 0)
    held = {
        "direct": loaders[0],
        "in a mapping": {"loader": loaders[1]},
        "in an object": SimpleNamespace(loader=loaders[2]),
        "in a pair": Pair(loaders[3], lazy),
        "others": [foreign, no_loader],
        "foreign": foreign,
        "no loader": no_loader,
        "lazy": lazy,
        "slotted": Slotted(),
    }
    lend_to_loaders(DictAsObject(held), loop)
    assert all(isinstance(each.loop, ThreadLoop) for each in loaders)
    assert foreign.loop is other
    assert no_loader.loop is loop

"""Documents are parsed one of each owner at a time, owners round-robin."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from channels_graphql_ws.concurrency.threads import Workers
from channels_graphql_ws.execution.parser_queue import ParserQueue, QueueFullError, Sender
from support import GUARD, tick, wait_until


class Work:
    """Work that a test holds up, and that notes who is at it."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.gates: dict[str, threading.Event] = {}

    def __call__(self, name: str) -> Callable[[], str]:
        gate = self.gates[name] = threading.Event()

        def work() -> str:
            self.begun.append(name)
            assert gate.wait(GUARD)
            return name

        return work

    def finish(self, *names: str) -> None:
        for name in names:
            self.gates[name].set()


@pytest.fixture
def work() -> Iterator[Work]:
    works = Work()
    yield works
    works.finish(*works.gates)


@pytest.fixture
def queue() -> ParserQueue[Any]:
    return ParserQueue(Workers("test", 2), 2, 100)


def run(
    queue: ParserQueue[Any],
    owner: str,
    key: str,
    work: Any,
    *,
    is_large: bool = True,
    member: str | None = None,
    most: int | None = None,
) -> asyncio.Task[Any]:
    parsing = queue.run(Sender(owner, member, most), key, work, is_large=is_large)
    return asyncio.ensure_future(parsing)


async def give_up(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def test_a_client_has_one_thread_and_others_have_the_other(queue, work):
    mine = [run(queue, "me", f"mine {n}", work(f"mine {n}")) for n in range(3)]
    await wait_until(lambda: work.begun == ["mine 0"])
    yours = run(queue, "you", "yours", work("yours"))
    await wait_until(lambda: work.begun == ["mine 0", "yours"])
    work.finish("yours")
    assert await yours == "yours"
    await tick(5)
    assert work.begun == ["mine 0", "yours"]
    work.finish("mine 0", "mine 1", "mine 2")
    assert await asyncio.gather(*mine) == ["mine 0", "mine 1", "mine 2"]


async def test_clients_take_turns(work):
    queue: ParserQueue[Any] = ParserQueue(Workers("test", 1), 1, 100)
    names = ("a1", "a2", "a3", "b1", "b2", "c1")
    tasks = [run(queue, name[0], name, work(name)) for name in names]
    await tick()
    work.finish(*names)
    await asyncio.gather(*tasks)
    assert work.begun == ["a1", "b1", "c1", "a2", "b2", "a3"]
    assert len(queue) == 0


async def test_so_many_large_ones_may_wait_and_no_more(queue, work):
    tasks = [run(queue, "me", name, work(name), most=3) for name in "abcd"]
    await tick()
    with pytest.raises(QueueFullError) as caught:
        await run(queue, "me", "e", work("e"), most=3)
    assert caught.value.allowed == 3
    # Small ones do not count, nor do those of others, nor one that waits already.
    tasks += [
        run(queue, "me", "small", work("small"), most=3, is_large=False),
        run(queue, "you", "yours", work("yours"), most=3),
        run(queue, "me", "d", work("never"), most=3),
        run(queue, "me", "a", work("never"), most=3),
    ]
    await tick()
    work.finish("a", "b", "c", "d", "small", "yours")
    assert (await asyncio.gather(*tasks))[-2:] == ["d", "a"]
    assert "never" not in work.begun


async def test_so_many_large_ones_of_all_clients_may_wait(work):
    queue: ParserQueue[Any] = ParserQueue(Workers("test", 1), 1, 8)
    names = ("a", *(f"{owner}{n}" for owner in "bcde" for n in range(2)))
    tasks = [run(queue, name[0], name, work(name), most=5) for name in names]
    await tick()
    with pytest.raises(QueueFullError) as caught:
        await run(queue, "b", "one more", work("never"), most=5)
    assert caught.value.allowed == 2
    tasks += [
        run(queue, "f", "f1", work("f1"), most=5),
        run(queue, "b", "small", work("small"), is_large=False),
    ]
    await tick()
    # Who has none that waits may have one, and no more.
    with pytest.raises(QueueFullError) as caught:
        await run(queue, "f", "f2", work("never"), most=5)
    assert caught.value.allowed == 8
    work.finish(*names, "f1", "small")
    await asyncio.gather(*tasks)
    # Their places are free again.
    tasks = [run(queue, name[0], name, work(name), most=5) for name in names]
    await tick()
    work.finish(*names)
    await asyncio.gather(*tasks)


async def test_connections_of_one_owner_take_its_turns_in_turn(work):
    queue: ParserQueue[Any] = ParserQueue(Workers("test", 1), 1, 100)
    begins = run(queue, "a", "begins", work("begins"), member="1")
    names = ("a 1 x", "a 1 y", "a 1 z", "a 2 x", "a 2 y", "a 3 x", "b 1 x", "b 1 y")
    tasks = [run(queue, n[0], n, work(n), member=n[2]) for n in names]
    await tick()
    work.finish("begins", *names)
    await asyncio.gather(begins, *tasks)
    assert work.begun == [
        *("begins", "b 1 x", "a 1 x", "b 1 y"),
        *("a 2 x", "a 3 x", "a 1 y", "a 2 y", "a 1 z"),
    ]
    assert len(queue) == 0


async def test_an_owner_with_many_connections_has_one_thread(queue, work):
    mine = [run(queue, "me", f"{n}", work(f"{n}"), member=f"{n}") for n in range(3)]
    await wait_until(lambda: work.begun == ["0"])
    yours = run(queue, "you", "yours", work("yours"))
    await wait_until(lambda: work.begun == ["0", "yours"])
    work.finish("yours")
    await yours
    await tick(5)
    assert work.begun == ["0", "yours"]
    work.finish("0", "1", "2")
    await asyncio.gather(*mine)


async def test_so_many_large_ones_of_an_owner_may_wait_whatever_each_connection_may(work):
    queue: ParserQueue[Any] = ParserQueue(Workers("test", 1), 1, 12)
    tasks = [run(queue, "me", n, work(n), member=n, most=9) for n in "abcd"]
    await tick()
    with pytest.raises(QueueFullError) as caught:
        await run(queue, "me", "e", work("never"), member="e", most=9)
    assert caught.value.allowed == 3
    # One that waits already for others of it is no other.
    tasks.append(run(queue, "me", "d", work("never"), member="a", most=9))
    await tick()
    work.finish("a", "b", "c", "d")
    await asyncio.gather(*tasks)
    assert "never" not in work.begun


async def test_a_document_that_nobody_waits_for_any_more_is_not_parsed(queue, work):
    first, given_up, last = (run(queue, "me", name, work(name)) for name in "abc")
    await tick()
    await give_up(given_up)
    assert len(queue) == 1
    work.finish("a", "c")
    assert await asyncio.gather(first, last) == ["a", "c"]
    assert work.begun == ["a", "c"]


async def test_the_last_document_of_a_client_may_be_given_up(queue, work):
    first, last = (run(queue, "me", name, work(name)) for name in "ab")
    await tick()
    await give_up(last)
    assert len(queue) == 0
    work.finish("a")
    await first


async def test_what_has_begun_ends_though_nobody_waits(queue, work):
    def fail() -> str:
        work("failing")()
        raise ValueError("Nobody reads this")

    failing = run(queue, "me", "a", fail)
    await wait_until(lambda: work.begun == ["failing"])
    await give_up(failing)
    work.finish("failing")
    following = run(queue, "me", "b", work("b"))
    await tick()
    work.finish("b")
    assert await following == "b"


async def test_one_who_gives_up_takes_nothing_from_others(queue, work):
    blocking = run(queue, "me", "a", work("a"))
    shared = work("b")
    mine, yours = (run(queue, "me", "b", shared) for _ in range(2))
    await tick()
    await give_up(mine)
    work.finish("a", "b")
    assert await asyncio.gather(blocking, yours) == ["a", "b"]


async def test_a_document_of_two_clients_waits_in_both_places(work):
    queue: ParserQueue[Any] = ParserQueue(Workers("test", 1), 1, 100)
    tasks = [run(queue, "me", name, work(name)) for name in ("one", "two", "shared")]
    # It is the first of the other client, and comes before the second of this one.
    yours = run(queue, "you", "shared", work("never"))
    await tick()
    work.finish("one", "two", "shared")
    await asyncio.gather(*tasks)
    assert await yours == "shared"
    assert work.begun == ["one", "shared", "two"]
    assert len(queue) == 0


async def test_a_failure_is_raised_where_it_is_waited_for(queue):
    def fail() -> str:
        raise LookupError("no")

    for _ in range(2):
        with pytest.raises(LookupError, match="no"):
            await run(queue, "me", "a", fail)


def parsed_in_a_fork(queue: ParserQueue[Any]) -> bool:
    pid = os.fork()
    if pid == 0:  # pragma: no cover (in the child)
        asyncio.events._set_running_loop(None)
        parsing = queue.run(Sender("a"), "a", lambda: "done", is_large=True)
        os._exit(0 if asyncio.new_event_loop().run_until_complete(parsing) == "done" else 1)
    return os.waitpid(pid, 0)[1] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
async def test_a_forked_process_has_a_queue_of_its_own(queue, work):
    tasks = [run(queue, client, client, work(client)) for client in "abc"]
    await tick()
    assert parsed_in_a_fork(queue)
    assert len(queue) == 1
    work.finish("a", "b", "c")
    await asyncio.gather(*tasks)

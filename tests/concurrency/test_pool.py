"""A pool of threads: as few as it can do with, and none that waits in vain."""

from __future__ import annotations

import gc
import threading
import weakref
from concurrent.futures import CancelledError

import pytest

from channels_graphql_ws.concurrency import pool as module
from channels_graphql_ws.concurrency.pool import Pool
from support import GUARD


@pytest.fixture
def pool():
    with Pool("pool-under-test", 3) as pool:
        yield pool


def test_calls_one_after_another_need_one_thread(pool):
    threads = {pool.submit(threading.current_thread).result(GUARD) for _ in range(20)}
    assert [thread.name for thread in threads] == ["pool-under-test_0"]


def test_a_slow_call_holds_up_no_other_while_a_thread_can_be_had(pool):
    for _ in range(200):
        together = threading.Barrier(3)
        for each in [pool.submit(together.wait, GUARD) for _ in range(3)]:
            each.result(GUARD)


def test_more_calls_than_threads_wait_in_order(pool):
    gate, order = threading.Event(), []
    busy = [pool.submit(gate.wait, GUARD) for _ in range(3)]
    waiting = [pool.submit(order.append, number) for number in range(10)]
    cancelled = pool.submit(order.append, "never")
    assert cancelled.cancel()
    gate.set()
    for each in (*busy, *waiting):
        each.result(GUARD)
    assert sorted(order) == list(range(10))


def test_an_error_belongs_to_whoever_waits(pool):
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result(GUARD)


def test_an_idle_thread_keeps_nothing_alive(pool):
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    pool.submit(lambda held: None, thing).result(GUARD)
    del thing
    # Its thread has nothing left of it when it takes the next call.
    pool.submit(gc.collect).result(GUARD)
    pool.submit(gc.collect).result(GUARD)
    assert gone() is None


def test_after_the_end_no_call_is_taken():
    pool = Pool("ended", 1)
    gate = threading.Event()
    running, dropped = pool.submit(gate.wait, GUARD), pool.submit(int)
    pool.shutdown(wait=False, cancel_futures=True)
    gate.set()
    assert running.result(GUARD)
    with pytest.raises(CancelledError):
        dropped.result(GUARD)
    with pytest.raises(RuntimeError, match="is shut down"):
        pool.submit(int)
    pool.shutdown()


def test_at_exit_calls_come_to_their_end(monkeypatch):
    pool = Pool("exiting", 1)
    monkeypatch.setattr(module, "_pools", [pool])
    gate, ended = threading.Event(), []
    pool.submit(lambda: gate.wait(GUARD) and ended.append(1))
    pool.submit(ended.append, 2)
    threading.Thread(target=gate.set).start()
    module._at_exit()
    assert ended == [1, 2]


def test_at_exit_a_call_that_hangs_is_given_up_and_told(monkeypatch, caplog):
    pool = Pool("hanging", 1)
    monkeypatch.setattr(module, "_pools", [pool])
    monkeypatch.setattr(module, "EXIT_TIMEOUT", 0.0)
    gate, begun = threading.Event(), threading.Event()

    def a_hook_that_hangs() -> None:
        begun.set()
        gate.wait(GUARD)

    future = pool.submit(a_hook_that_hangs)
    begun.wait(GUARD)
    module._at_exit()
    assert not future.done()
    assert "in a_hook_that_hangs" in caplog.text
    gate.set()
    future.result(GUARD)

"""Timeouts that share a timer: each ends in its time, whatever becomes of the others."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any
from weakref import ref

import pytest

from channels_graphql_ws.concurrency.timeouts import AT_ONCE, start_timeout, stop_timeout

seen: ContextVar[str] = ContextVar("seen", default="nothing")


class Timer:
    """What the event loop calls at a time."""

    def __init__(self, when: float, call: Callable[[], None]) -> None:
        self.when, self.call, self.is_cancelled = when, call, False

    def cancel(self) -> None:
        self.is_cancelled = True


class Loop:
    """An event loop whose time goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self._timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_at(
        self, when: float, call: Callable[..., None], *args: Any, context: Context
    ) -> Timer:
        timer = Timer(when, lambda: context.run(call, *args))
        self._timers.append(timer)
        return timer

    def run_until(self, when: float) -> None:
        self.now = when
        due = [timer for timer in self._timers if timer.when <= when]
        self._timers = [timer for timer in self._timers if timer not in due]
        for timer in due:
            if not timer.is_cancelled:
                timer.call()

    @property
    def timers(self) -> list[float]:
        return [timer.when for timer in self._timers if not timer.is_cancelled]


class Owner:
    """Remembers when its timeouts have ended."""

    def __init__(self, name: str, log: list[tuple[str, float]], loop: Loop) -> None:
        self.name, self.log, self.loop = name, log, loop
        self.then: Callable[[], None] | None = None

    def expired(self) -> None:
        self.log.append((self.name, self.loop.now))
        if self.then is not None:
            self.then()


@pytest.fixture
def loop() -> Any:
    return Loop()


@pytest.fixture
def log() -> list[tuple[str, float]]:
    return []


def test_each_ends_in_its_time_with_one_timer_for_all(loop, log):
    first, second = Owner("first", log, loop), Owner("second", log, loop)
    start_timeout(loop, 10, Owner.expired, first)
    loop.run_until(4)
    start_timeout(loop, 10, Owner.expired, second)
    assert loop.timers == [10]
    loop.run_until(10)
    assert log == [("first", 10)]
    assert loop.timers == [14]
    loop.run_until(14)
    assert log == [("first", 10), ("second", 14)]
    assert loop.timers == []


def test_one_that_is_stopped_does_not_end_and_the_last_takes_the_timer_along(loop, log):
    first, second = Owner("first", log, loop), Owner("second", log, loop)
    start_timeout(loop, 10, Owner.expired, first)
    start_timeout(loop, 10, Owner.expired, second)
    stop_timeout(loop, 10, Owner.expired, first)
    stop_timeout(loop, 10, Owner.expired, first)
    assert loop.timers == [10]
    stop_timeout(loop, 10, Owner.expired, second)
    assert loop.timers == []
    start_timeout(loop, 10, Owner.expired, second)
    loop.run_until(10)
    assert log == [("second", 10)]


def test_one_that_is_started_again_begins_anew(loop, log):
    first, second = Owner("first", log, loop), Owner("second", log, loop)
    start_timeout(loop, 10, Owner.expired, first)
    start_timeout(loop, 10, Owner.expired, second)
    loop.run_until(5)
    start_timeout(loop, 10, Owner.expired, first)
    loop.run_until(10)
    assert log == [("second", 10)]
    loop.run_until(15)
    assert log == [("second", 10), ("first", 15)]


def test_durations_and_functions_do_not_disturb_each_other(loop, log):
    owner = Owner("owner", log, loop)
    start_timeout(loop, 10, Owner.expired, owner)
    start_timeout(loop, 3, Owner.expired, owner)
    start_timeout(loop, 10, lambda each: log.append((f"{each.name}'s other", loop.now)), owner)
    stop_timeout(loop, 7, Owner.expired, owner)
    loop.run_until(3)
    loop.run_until(10)
    assert log == [("owner", 3), ("owner", 10), ("owner's other", 10)]


def test_a_loop_that_has_none_has_nothing_to_stop(loop):
    stop_timeout(loop, 10, Owner.expired, object())


def test_one_that_fails_holds_no_other_up(loop, log, caplog):
    first, second = Owner("first", log, loop), Owner("second", log, loop)
    first.then = lambda: first.log.remove(("nobody", 0))
    start_timeout(loop, 10, Owner.expired, first)
    start_timeout(loop, 10, Owner.expired, second)
    loop.run_until(10)
    assert log == [("first", 10), ("second", 10)]
    assert "A timeout failed" in caplog.text


def test_one_that_ends_may_stop_another_and_start_itself_again(loop, log):
    first, second = Owner("first", log, loop), Owner("second", log, loop)

    def then() -> None:
        stop_timeout(loop, 10, Owner.expired, second)
        start_timeout(loop, 10, Owner.expired, first)

    first.then = then
    start_timeout(loop, 10, Owner.expired, first)
    start_timeout(loop, 10, Owner.expired, second)
    loop.run_until(10)
    loop.run_until(20)
    assert log == [("first", 10), ("first", 20)]
    assert loop.timers == [30]


def test_many_that_end_at_once_leave_room_for_others(loop, log):
    for number in range(2 * AT_ONCE + 1):
        start_timeout(loop, 10, Owner.expired, Owner(str(number), log, loop))
    counts = []
    for _ in range(3):
        loop.run_until(10)
        counts.append(len(log))
    assert counts == [AT_ONCE, 2 * AT_ONCE, 2 * AT_ONCE + 1]
    assert [int(name) for name, _ in log] == list(range(2 * AT_ONCE + 1))


def test_each_has_a_context_of_its_own(loop):
    found = []

    def look(_: object) -> None:
        found.append(seen.get())
        seen.set("another's")

    seen.set("the starter's")
    for owner in "ab":
        start_timeout(loop, 10, look, owner)
    loop.run_until(10)
    assert found == ["nothing", "nothing"]


def test_nothing_is_kept_of_a_loop_that_is_given_up():
    loop: Any = Loop()
    owner = Owner("owner", [], loop)
    start_timeout(loop, 10, Owner.expired, owner)
    gone = ref(loop), ref(owner)
    del loop, owner
    gc.collect()
    assert [each() for each in gone] == [None, None]

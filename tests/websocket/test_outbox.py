"""What is on its way to one client: in order, at once where possible, bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any

import pytest

from channels_graphql_ws.operations.unsent import LARGE as COUNTED
from channels_graphql_ws.operations.unsent import Unsent
from channels_graphql_ws.websocket.outbox import FULL_AT, MEBIBYTE, Outbox
from support import GUARD, tick, wait_until


def event(frame: str) -> dict[str, str]:
    return {"type": "websocket.send", "text": frame}


class Socket:
    """Takes frames at once, until it is told to be slow or broken."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.takes_frames = asyncio.Event()
        self.takes_frames.set()
        self.breaks_with: Exception | None = None
        self.is_gone = False
        self.tasks: list[asyncio.Task[Any] | None] = []

    async def send(self, event: dict[str, str]) -> None:
        self.tasks.append(asyncio.current_task())
        if not self.takes_frames.is_set():
            await self.takes_frames.wait()
        if self.breaks_with is not None:
            raise self.breaks_with
        self.sent.append(event["text"])

    async def give_up(self) -> None:
        if self.is_gone:
            raise OSError("gone")
        self.sent.append("given up")


class Owner:
    """Makes tasks, and counts them."""

    def __init__(self, socket: Socket | None = None) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.give_up = (socket or Socket()).give_up
        self.stalls = 0
        self.cut_offs = 0

    def stalled(self) -> None:
        self.stalls += 1

    def cut_off_later(self) -> None:
        self.cut_offs += 1

    def call_later(self, _seconds: float, call: Callable[..., None], *args: Any) -> Any:
        """Keep the timer, for the test to let it run out."""
        self.timer = asyncio.get_running_loop().call_later(GUARD * 10, call, *args)
        self.run_out = partial(call, *args)
        return self.timer

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self.tasks.append(task)
        return task


class Case:
    """An outbox in front of a socket."""

    def __init__(self, **options: Any) -> None:
        self.socket = Socket()
        self.owner = Owner(self.socket)
        self.outbox = Outbox(self.owner, **options)

    def put(self, *frames: str) -> None:
        for frame in frames:
            self.outbox.put(self.socket.send, event(frame))

    def fill(self) -> None:
        """Let one frame hang in the socket, and as many wait as may."""
        self.socket.takes_frames.clear()
        self.put(*map(str, range(FULL_AT + 1)))

    def close(self, **options: bool) -> None:
        self.outbox.close(partial(self.socket.send, event("close")), **options)


@pytest.fixture
async def case() -> Case:
    return Case()


async def test_a_frame_goes_straight_to_a_socket_that_takes_it_and_needs_no_task(
    case: Case,
) -> None:
    case.put("a", "b")
    assert case.socket.sent == ["a", "b"]
    assert case.owner.tasks == []


async def test_frames_wait_in_order_for_a_slow_socket_and_share_one_task(case: Case) -> None:
    case.socket.takes_frames.clear()
    case.put("a", "b", "c")
    assert case.socket.sent == []
    case.socket.takes_frames.set()
    await wait_until(lambda: len(case.socket.sent) == 3)
    assert case.socket.sent == ["a", "b", "c"]
    assert len(case.owner.tasks) == 1


async def test_a_socket_that_was_slow_once_is_written_to_directly_again(case: Case) -> None:
    case.socket.takes_frames.clear()
    case.put("a")
    case.socket.takes_frames.set()
    await case.owner.tasks[0]
    case.put("b")
    assert case.socket.sent == ["a", "b"]
    assert len(case.owner.tasks) == 1


async def test_a_send_may_wait_several_times_and_see_errors_of_what_it_waits_for(
    case: Case,
) -> None:
    first, second = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def send(_frame: str) -> None:
        await first.wait()
        try:
            await second
        except ValueError:
            case.socket.sent.append("saw the error")

    case.outbox.put(send, event("a"))
    first.set()
    await tick(2)
    second.set_exception(ValueError())
    await case.owner.tasks[0]
    assert case.socket.sent == ["saw the error"]


async def test_there_is_no_room_once_enough_frames_wait_and_room_again_when_half_are_gone(
    case: Case,
) -> None:
    case.fill()
    assert case.outbox.is_full
    waiting = [asyncio.create_task(case.outbox.has_room()) for _ in range(2)]
    await tick(3)
    assert not any(task.done() for task in waiting)
    case.socket.takes_frames.set()
    await asyncio.gather(*waiting)
    assert not case.outbox.is_full


async def test_an_outbox_with_room_does_not_make_anybody_wait(case: Case) -> None:
    await case.outbox.has_room()


@pytest.mark.parametrize("is_slow", [False, True])
@pytest.mark.parametrize(("error", "is_gone"), [(OSError, False), (ValueError, True)])
async def test_after_a_send_that_raised_nothing_more_is_sent_and_nobody_waits(
    case: Case, is_slow: bool, error: type[Exception], is_gone: bool
) -> None:
    case.socket.breaks_with = error("gone")
    case.socket.is_gone = is_gone
    if is_slow:
        case.fill()
        waiting = asyncio.create_task(case.outbox.has_room())
        await tick()
        case.socket.takes_frames.set()
        await waiting
    else:
        case.put("a")
    assert not case.outbox.is_full
    case.socket.breaks_with = None
    case.put("b")
    case.close()
    await asyncio.gather(*case.owner.tasks)
    assert case.socket.sent == []


@pytest.mark.parametrize("is_slow", [False, True])
async def test_who_is_there_but_can_not_be_sent_a_frame_is_closed(
    case: Case, is_slow: bool, caplog: pytest.LogCaptureFixture
) -> None:
    case.socket.breaks_with = ValueError("too large")
    if is_slow:
        case.fill()
        case.socket.takes_frames.set()
    else:
        case.put("a")
    case.put("b")
    await wait_until(lambda: case.socket.sent)
    await case.outbox.closed(GUARD)
    assert case.socket.sent == ["given up"]
    assert caplog.messages == [
        "Closed a connection: a message could not be sent: ValueError('too large')"
    ]


async def test_a_client_that_has_gone_from_daphne_is_no_reason_for_a_warning(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    gone = type("Disconnected", (RuntimeError,), {"__module__": "autobahn.exception"})
    case.socket.breaks_with = gone("Attempt to send on a closed protocol")
    case.put("a", "b")
    await asyncio.gather(*case.owner.tasks)
    assert (case.socket.sent, caplog.messages) == ([], [])


async def test_a_close_that_fails_is_not_tried_again(case: Case) -> None:
    case.socket.breaks_with = ValueError("gone")
    case.close()
    await asyncio.gather(*case.owner.tasks)
    assert case.socket.sent == []


async def test_what_was_not_sent_when_the_socket_closed_is_forgotten(case: Case) -> None:
    case.fill()
    waiting = asyncio.create_task(case.outbox.has_room())
    await tick()
    case.outbox.abandon()
    await waiting
    case.put("late")
    case.socket.takes_frames.set()
    await asyncio.gather(*case.owner.tasks, return_exceptions=True)
    assert case.socket.sent == []


async def test_what_waits_can_be_dropped_but_not_a_close(case: Case) -> None:
    case.socket.takes_frames.clear()
    case.put("a", "b", "c")
    case.outbox.drop()
    assert (len(case.outbox), case.outbox.size) == (0, 0)
    case.close()
    case.outbox.drop()
    case.socket.takes_frames.set()
    await wait_until(lambda: len(case.socket.sent) == 2)
    assert case.socket.sent == ["a", "close"]


async def test_abandoning_an_outbox_with_nothing_in_it_is_harmless(case: Case) -> None:
    case.outbox.abandon()
    case.put("late")
    assert case.socket.sent == []


async def test_the_close_comes_behind_everything_and_is_the_last(case: Case) -> None:
    case.socket.takes_frames.clear()
    case.put("a", "b")
    case.close()
    case.close()
    case.put("late")
    case.socket.takes_frames.set()
    await case.outbox.closed(20)
    assert case.socket.sent == ["a", "b", "close"]


async def test_a_full_outbox_that_closes_makes_nobody_wait(case: Case) -> None:
    case.fill()
    waiting = asyncio.create_task(case.outbox.has_room())
    await tick()
    case.close()
    await waiting
    case.outbox.abandon()


async def test_a_close_at_once_overtakes_a_send_that_never_returns(case: Case) -> None:
    case.fill()
    hanging = case.owner.tasks[0]
    await tick()
    never, case.socket.takes_frames = case.socket.takes_frames, asyncio.Event()
    case.socket.takes_frames.set()
    case.close(at_once=True)
    await case.outbox.closed(20)
    await asyncio.gather(hanging, return_exceptions=True)
    assert case.socket.sent == ["close"]
    assert hanging.cancelled()
    assert not never.is_set()


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_close_has_a_task_of_its_own_as_timeouts_of_servers_need_one(
    case: Case, at_once: bool
) -> None:
    asyncio.get_running_loop().call_soon(partial(case.close, at_once=at_once))
    await tick(2)
    assert case.socket.tasks == case.owner.tasks


async def test_waiting_for_the_last_frame_ends_when_there_is_none_or_time_is_up(
    case: Case,
) -> None:
    await case.outbox.closed(20)
    case.socket.takes_frames.clear()
    case.close()
    await case.outbox.closed(0.001)
    assert case.socket.sent == []
    case.outbox.abandon()


async def test_a_cancelled_send_takes_its_cancellation() -> None:
    """What a server does when it is cancelled must not be lost half-way."""
    owner, seen = Owner(), list[str]()
    outbox = Outbox(owner)

    async def send(_frame: str) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            seen.append("cleaned up")

    outbox.put(send, event("a"))
    await tick()
    outbox.abandon()
    await asyncio.gather(*owner.tasks, return_exceptions=True)
    assert seen == ["cleaned up"]


async def test_a_send_that_does_not_let_itself_be_cancelled_does_not_stop_the_close() -> None:
    owner, sent = Owner(), list[str]()
    outbox = Outbox(owner)

    async def stubborn(_frame: str) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            sent.append("stubborn")

    async def close() -> None:
        sent.append("close")

    outbox.put(stubborn, event("a"))
    await tick()
    outbox.close(close, at_once=True)
    await asyncio.gather(*owner.tasks)
    assert sent == ["stubborn", "close"]


class PlainAwaitable:
    """What PEP 492 asks for, and no more: an iterator that is no generator."""

    def __init__(self, future: asyncio.Future[None], then: Callable[[], None]) -> None:
        self._waiting = iter(future)
        self._then = then

    def __await__(self) -> PlainAwaitable:
        return self

    def __iter__(self) -> PlainAwaitable:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._waiting)
        except StopIteration:
            self._then()
            raise


async def test_what_a_server_gives_to_await_need_not_be_a_generator() -> None:
    owner, sent = Owner(), list[str]()
    taken = asyncio.get_running_loop().create_future()
    outbox = Outbox(owner)
    outbox.put(lambda frame: PlainAwaitable(taken, lambda: sent.append(frame["text"])), event("1"))
    outbox.put(lambda frame: PlainAwaitable(taken, lambda: sent.append(frame["text"])), event("2"))
    taken.set_result(None)
    await wait_until(lambda: sent == ["1", "2"])
    await asyncio.gather(*owner.tasks)


async def test_such_an_awaitable_may_be_cancelled() -> None:
    owner = Owner()
    outbox = Outbox(owner)
    never = asyncio.get_running_loop().create_future()
    outbox.put(lambda _: PlainAwaitable(never, lambda: None), event("1"))
    await tick()
    outbox.abandon()
    await asyncio.wait(owner.tasks)
    assert owner.tasks[0].cancelled()


async def put_outside_of_tasks(
    case: Case, send: Callable[[str], Awaitable[None]], frames: str
) -> None:
    for frame in frames:
        asyncio.get_running_loop().call_soon(case.outbox.put, send, event(frame))
    await tick(3)
    await asyncio.gather(*case.owner.tasks, return_exceptions=True)


async def test_a_send_that_needs_a_task_gets_one(case: Case) -> None:
    """Middleware may put a timeout around `send`, which Python has for tasks only."""

    async def send(frame: str) -> None:
        async with asyncio.timeout(GUARD):
            await case.socket.send(frame)

    await put_outside_of_tasks(case, send, "abc")
    case.close()
    await asyncio.gather(*case.owner.tasks)
    assert case.socket.sent == ["a", "b", "c", "close"]


async def test_a_send_that_fails_in_a_task_as_well_is_given_up(case: Case) -> None:
    case.socket.breaks_with = ValueError("too large")
    await put_outside_of_tasks(case, case.socket.send, "a")
    await wait_until(lambda: case.socket.sent)
    assert case.socket.sent == ["given up"]


async def test_a_client_that_has_gone_is_not_sent_to_again(case: Case) -> None:
    case.socket.breaks_with = OSError("gone")
    await put_outside_of_tasks(case, case.socket.send, "a")
    assert (len(case.socket.tasks), case.owner.tasks) == (1, [])


@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_send_that_was_cancelled_from_inside_is_one_that_failed(
    case: Case, is_slow: bool
) -> None:
    async def send(_frame: str) -> None:
        if is_slow:
            await tick()
        raise asyncio.CancelledError

    case.outbox.put(send, event("a"))
    case.put("b")
    await wait_until(lambda: case.socket.sent)
    assert case.socket.sent == ["given up"]


LARGE = "x" * 1_000


async def test_what_waits_is_counted_in_bytes_but_for_the_frame_that_is_being_sent() -> None:
    case = Case(max_size=3_000)
    case.socket.takes_frames.clear()
    case.put("x" * 10_000)
    assert not case.outbox.is_full
    assert case.outbox.size == 0
    case.put(LARGE, LARGE)
    assert 2_000 <= case.outbox.size < 3_000
    assert not case.outbox.is_full
    case.put(LARGE)
    assert case.outbox.is_full
    case.socket.takes_frames.set()
    async with asyncio.timeout(GUARD):
        await case.outbox.has_room()
    # Half of it must be gone: who waits shall not be woken for each frame.
    assert case.outbox.size <= 1_500
    await wait_until(lambda: case.outbox.size == len(case.outbox) == 0)


async def test_letters_that_take_more_bytes_count_more() -> None:
    case = Case(max_size=3_000)
    case.socket.takes_frames.clear()
    case.put("first", "\N{GRINNING FACE}" * 1_000)
    assert case.outbox.is_full
    case.outbox.abandon()


async def test_one_frame_may_be_larger_than_all_that_may_wait() -> None:
    case = Case(max_size=100)
    case.socket.takes_frames.clear()
    case.put("first", LARGE)
    case.socket.takes_frames.set()
    await wait_until(lambda: case.socket.sent == ["first", LARGE])


async def test_a_client_that_takes_nothing_for_too_long_is_given_up() -> None:
    case = Case(timeout=20)
    case.socket.takes_frames.clear()
    case.put("a")
    assert case.owner.cut_offs == 0
    case.owner.run_out()
    assert (case.owner.stalls, case.owner.cut_offs) == (1, 1)
    case.outbox.abandon()


async def test_a_client_that_takes_a_frame_now_and_then_is_waited_for() -> None:
    case = Case(timeout=20)
    case.socket.takes_frames.clear()
    case.put("a", "b")
    case.socket.takes_frames.set()
    await wait_until(lambda: case.outbox.taken == 2)
    case.socket.takes_frames.clear()
    case.put("c")
    case.owner.run_out()
    assert case.owner.stalls == 0
    case.owner.run_out()
    assert case.owner.stalls == 1
    case.outbox.abandon()


async def test_nobody_looks_after_a_client_that_has_gone() -> None:
    case = Case(timeout=20)
    case.socket.takes_frames.clear()
    case.put("a")
    case.outbox.abandon()
    assert case.owner.timer.cancelled()


async def test_nobody_looks_after_a_client_that_has_taken_everything() -> None:
    case = Case(timeout=20)
    case.socket.takes_frames.clear()
    case.put("a")
    case.socket.takes_frames.set()
    await case.owner.tasks[0]
    timer = case.owner.timer
    case.owner.run_out()
    assert (case.owner.stalls, case.owner.timer) == (0, timer)
    timer.cancel()


async def test_a_large_frame_may_take_its_time() -> None:
    case = Case(timeout=20)
    case.socket.takes_frames.clear()
    case.put("x" * 3 * MEBIBYTE)
    for _ in range(3):
        case.owner.run_out()
        assert case.owner.stalls == 0
    case.owner.run_out()
    assert case.owner.stalls == 1
    case.outbox.abandon()


async def test_a_close_behind_what_nobody_reads_comes_first_in_the_end() -> None:
    case = Case(timeout=20)
    case.socket.takes_frames.clear()
    case.put("a", "b")
    closed = asyncio.Event()

    async def close() -> None:
        closed.set()

    case.outbox.close(close)
    await tick()
    assert not closed.is_set()
    case.owner.run_out()
    async with asyncio.timeout(GUARD):
        await closed.wait()
    assert case.socket.sent == []


async def test_a_close_that_nobody_takes_is_the_servers_to_end() -> None:
    case = Case(timeout=20)
    case.socket.takes_frames.clear()
    case.put("a")
    case.close()
    await tick()
    case.owner.run_out()
    await tick(3)
    # Now it is the close that hangs.
    assert case.owner.cut_offs == 1
    case.owner.run_out()
    assert (case.owner.stalls, case.owner.cut_offs) == (0, 2)
    case.outbox.abandon()


PAGE = "x" * (COUNTED + 1)


def counting(**options: Any) -> tuple[Case, Unsent]:
    unsent = Unsent(None, {})
    return Case(unsent=unsent, **options), unsent


async def gone(case: Case) -> None:
    case.outbox.abandon()
    await asyncio.wait(case.owner.tasks)


async def test_large_frames_are_counted_until_the_server_takes_the_next_one() -> None:
    case, unsent = counting()
    case.put("small")
    assert unsent.size == 0
    case.put(PAGE)
    assert unsent.size > COUNTED
    assert case.outbox.is_uncertain
    case.put("small")
    assert unsent.size == 0
    assert not case.outbox.is_uncertain


async def test_large_frames_that_wait_are_counted_and_small_ones_are_not() -> None:
    case, unsent = counting()
    case.socket.takes_frames.clear()
    case.put(PAGE, "small", PAGE)
    assert 2 * COUNTED < unsent.size < 3 * COUNTED
    case.put("small")
    case.socket.takes_frames.set()
    await wait_until(lambda: len(case.socket.sent) == 4)
    await wait_until(lambda: unsent.size == 0)


@pytest.mark.parametrize("how", ["drop", "close", "break"])
async def test_large_frames_that_are_forgotten_are_not_counted_but_for_the_one_being_sent(
    how: str,
) -> None:
    case, unsent = counting()
    case.socket.takes_frames.clear()
    case.put(PAGE, PAGE, PAGE)
    await tick()
    if how == "drop":
        case.outbox.drop()
    elif how == "close":
        case.close(at_once=True)
    else:
        case.socket.breaks_with = OSError("gone")
        case.socket.takes_frames.set()
        await tick(3)
    # It may still be in the server's buffers.
    assert COUNTED < unsent.size < 2 * COUNTED
    case.outbox.abandon()
    unsent.close()
    assert unsent.size == 0


async def test_a_close_behind_a_large_frame_in_the_buffers_of_the_server_is_watched() -> None:
    case, _ = counting(timeout=GUARD)
    case.put(PAGE)
    case.socket.takes_frames.clear()
    case.close()
    case.owner.run_out()
    assert (case.owner.stalls, case.owner.cut_offs) == (0, 1)
    await gone(case)


async def test_a_close_is_watched_once() -> None:
    case, _ = counting(timeout=GUARD)
    case.put(PAGE)
    case.socket.takes_frames.clear()
    case.put("small")
    timer = case.owner.timer
    case.close()
    assert case.owner.timer is timer
    await gone(case)


async def test_a_large_frame_in_the_buffers_of_the_server_gives_the_next_one_its_time() -> None:
    case, _ = counting(timeout=GUARD)
    case.put("x" * (3 * MEBIBYTE))
    case.socket.takes_frames.clear()
    case.put("small")
    for _ in range(3):
        case.owner.run_out()
        assert case.owner.stalls == 0
    case.owner.run_out()
    assert case.owner.stalls == 1
    await gone(case)


@pytest.mark.parametrize(("mebibytes", "patience"), [(0, 0), (1, 1), (3, 1), (16, 2)])
async def test_a_client_has_less_time_while_others_wait_for_it(
    mebibytes: int, patience: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case, _ = counting(timeout=GUARD)
    monkeypatch.setattr(Unsent, "is_contended", True)
    case.socket.takes_frames.clear()
    case.put("x" * (mebibytes * MEBIBYTE + 1))
    for _ in range(patience):
        case.owner.run_out()
        assert case.owner.stalls == 0
    case.owner.run_out()
    assert case.owner.stalls == 1
    await gone(case)

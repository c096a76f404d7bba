"""One client: effects carried out, order kept, timers and tasks brought to an end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextvars import Context, ContextVar
from functools import partial
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest
from graphql import OperationType

from channels_graphql_ws.execution.masking import NO_MASK, Mask
from channels_graphql_ws.execution.request import Refusal
from channels_graphql_ws.operations.server_transport import LINGER
from channels_graphql_ws.operations.unsent import LARGE
from channels_graphql_ws.websocket import admission, ordering, tasks
from channels_graphql_ws.websocket.admission import BEGUN_AT_ONCE
from channels_graphql_ws.websocket.connection import ENDED_AT_ONCE, STOPPING_LIMIT, Connection
from channels_graphql_ws.websocket.interfaces import Acceptance, ConnectionSettings
from channels_graphql_ws.websocket.ordering import INBOX_BYTES, INBOX_LIMIT, StrictOrder
from channels_graphql_ws.websocket.outbox import FULL_AT
from channels_graphql_ws.websocket.protocol import ProtocolSettings, ServerProtocol
from channels_graphql_ws.websocket.subprotocols import GRAPHQL_TRANSPORT_WS, GRAPHQL_WS
from fake_transport import FakeTransport
from support import GUARD, Iterations, tick, wait_until

QUERY, MUTATION, SUBSCRIPTION = (
    OperationType.QUERY,
    OperationType.MUTATION,
    OperationType.SUBSCRIPTION,
)
RESULT = '{"data":null}'
LOGGER = "channels_graphql_ws.graphql_ws_consumer"

Work = Callable[[Any], Iterator[Any]]


class FakeWebSocket:
    """Takes what is sent; hangs while `takes_frames` is not set."""

    def __init__(self) -> None:
        self.frames: list[Any] = []
        self.closed: list[tuple[int, str]] = []
        self.under_it: Any = None
        self.limits: list[tuple[int | None, int | None]] = []
        self.takes_frames = asyncio.Event()
        self.takes_frames.set()

    def event_sender(self) -> Any:
        return self.send

    async def send(self, event: dict[str, str]) -> None:
        if not self.takes_frames.is_set():
            await self.takes_frames.wait()
        assert event["type"] == "websocket.send"
        self.frames.append(json.loads(event["text"]))

    async def send_close(self, code: int, reason: str) -> None:
        self.closed.append((code, reason))

    def transport(self) -> Any:
        return self.under_it

    def limit_messages(self, now: int | None, later: int | None) -> None:
        self.limits.append((now, later))

    @property
    def words(self) -> list[str]:
        """What was said, in short: `ack`, `next:1`, `complete:1`."""
        types = ((frame["type"], frame.get("id")) for frame in self.frames)
        return [type if id is None else f"{type}:{id}" for type, id in types]


class FakeCohort:
    """Counts how often it is ended; its `unsubscribed` may take a while."""

    def __init__(self, unsubscribed: asyncio.Event | None = None) -> None:
        self.ended = 0
        self._unsubscribed = unsubscribed

    def end(self) -> Iterator[Any]:
        self.ended += 1
        yield None if self._unsubscribed is None else self._unsubscribed.wait()


class FakeApplication:
    """Does for each query what `operations` says."""

    def __init__(self) -> None:
        self.operations: dict[str, Work] = {}
        self.answer: Any = None
        self.ping_payload: Any = None
        self.payloads: list[Any] = []

    def accept_client(self, payload: Any) -> Iterator[Any]:
        self.payloads.append(payload)
        answer = self.answer
        if isinstance(answer, Exception):
            raise answer
        return Acceptance((yield answer), is_another=False)

    def refused(self, reason: object, code: int | None, error: Exception | None = None) -> None:
        """Tell nobody."""

    def name_of(self, hook: str) -> str:
        return f"the {hook} of this test"

    @property
    def has_new_user(self) -> bool:
        return False

    def format_error(self, error: Exception) -> dict[str, Any]:
        return {"message": str(error)}

    @property
    def mask(self) -> Mask:
        return NO_MASK

    def ping_payload_now(self) -> Any:
        return self.ping_payload

    def pinged(self, payload: Any) -> Any:
        self.payloads.append(payload)
        return self.answer

    def ponged(self, payload: Any) -> Any:
        self.payloads.append(payload)
        return self.answer

    def execute(self, client: Any) -> Iterator[Any]:
        return self.operations[client.request.query](client)


class FakeClock:
    """The event loop with a time that stands still until it is told to go on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._now = 0.0
        self.timers: list[asyncio.TimerHandle] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def time(self) -> float:
        return self._now

    def call_later(
        self, seconds: float, call: Callable[..., None], *args: Any
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + seconds, call, *args)

    def call_at(
        self, when: float, call: Callable[..., None], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, call, args, self._loop, context)
        self.timers.append(timer)
        return timer

    @property
    def pending(self) -> list[asyncio.TimerHandle]:
        return [timer for timer in self.timers if not timer.cancelled()]

    def advance(self, seconds: float) -> None:
        """Let time pass, and what is due by then happen in its order."""
        end = self._now + seconds
        while due := [timer for timer in self.pending if timer.when() <= end]:
            timer = min(due, key=asyncio.TimerHandle.when)
            self.timers.remove(timer)
            self._now = timer.when()
            timer._run()
        self._now = end


class Case:
    """A connection between a fake socket and a fake application."""

    def __init__(
        self, *, legacy: bool = False, pings_at_once: bool = True, **settings: Any
    ) -> None:
        self.socket, self.application = FakeWebSocket(), FakeApplication()
        self.clock = FakeClock()
        options = ConnectionSettings(**settings)
        self.connection = Connection(
            ServerProtocol(GRAPHQL_WS if legacy else GRAPHQL_TRANSPORT_WS, options.protocol),
            self.socket,
            self.application,
            options,
            pings_at_once=pings_at_once,
        )
        self.connection._loop = self.clock  # type: ignore[assignment]
        self.start_word, self.stop_word = (
            ("start", "stop") if legacy else ("subscribe", "complete")
        )

    def say(self, type: str, **more: Any) -> Awaitable[None] | None:
        return self.connection.received(json.dumps({"type": type, **more}))

    def init(self) -> None:
        self.say("connection_init")

    def start(self, id: str, query: str) -> Awaitable[None] | None:
        return self.say(self.start_word, id=id, payload={"query": query})

    def stop(self, id: str) -> None:
        self.say(self.stop_word, id=id)


def at_once(client: Any) -> Iterator[Any]:
    """Answer a query without waiting."""
    client.began(QUERY)
    client.next(RESULT)
    client.completed()
    yield


def waiting_for(event: asyncio.Event, type: OperationType = QUERY) -> Work:
    """Answer a query or mutation when `event` comes."""

    def work(client: Any) -> Iterator[Any]:
        client.began(type)
        client.starting()
        yield event.wait()
        client.next(RESULT)
        client.completed()

    return work


def subscribing(cohort: FakeCohort, joined: asyncio.Event | None = None) -> Work:
    """Subscribe, confirm, and be live."""

    def work(client: Any) -> Iterator[Any]:
        client.began(SUBSCRIPTION)
        client.subscribed(cohort)
        if joined is not None:
            yield joined.wait()
        client.confirmed(RESULT)
        yield

    return work


@pytest.fixture
async def case() -> Case:
    return Case()


async def test_the_acknowledgement_carries_what_the_application_gives(case: Case) -> None:
    case.application.answer = {"hello": "you"}
    case.say("connection_init", payload={"token": "t"})
    assert case.application.payloads == [{"token": "t"}]
    assert case.socket.frames == [{"type": "connection_ack", "payload": {"hello": "you"}}]


@pytest.mark.parametrize(
    ("legacy", "before"), [(False, 1_000), (True, 100_000)], ids=["new", "legacy"]
)
async def test_the_server_is_told_how_large_a_message_may_be(legacy: bool, before: int) -> None:
    limits = ProtocolSettings(max_message_size=100_000, max_message_size_before_ack=1_000)
    case = Case(legacy=legacy, protocol=limits)
    case.connection.opened()
    assert case.socket.limits == [(before, 100_000)]
    case.init()
    assert case.socket.limits == [(before, 100_000), (100_000, 100_000)]


async def test_an_application_that_takes_its_time_is_waited_for(case: Case) -> None:
    case.application.answer = asyncio.get_running_loop().create_future()
    case.init()
    await tick(3)
    assert case.socket.words == []
    case.application.answer.set_result(None)
    await wait_until(lambda: case.socket.words == ["connection_ack"])
    await case.connection.disconnected()


async def test_a_client_that_is_refused_is_closed_with_4403(case: Case) -> None:
    case.application.answer = ValueError("no")
    case.init()
    await case.connection.closed()
    assert case.socket.frames == []
    assert case.socket.closed == [(4403, "Forbidden")]
    await case.connection.disconnected()


async def test_a_client_that_is_refused_late_is_told_in_the_legacy_dialect() -> None:
    case = Case(legacy=True)
    case.application.answer = asyncio.get_running_loop().create_future()
    case.init()
    case.application.answer.set_exception(ValueError("no"))
    await wait_until(lambda: case.socket.closed)
    assert case.socket.frames == [{"type": "connection_error", "payload": {"message": "no"}}]
    assert case.socket.closed == [(4000, "Forbidden")]
    await case.connection.disconnected()


async def test_a_decision_on_a_client_that_has_gone_is_cancelled(case: Case) -> None:
    case.application.answer = asyncio.get_running_loop().create_future()
    case.init()
    await case.connection.disconnected()
    assert case.application.answer.cancelled()
    assert case.socket.frames == []


async def test_a_message_that_is_decoded_already_is_taken_too(case: Case) -> None:
    case.connection.received_json({"type": "connection_init"})
    assert case.socket.words == ["connection_ack"]


@pytest.mark.parametrize("legacy", [False, True])
async def test_a_silent_client_is_closed_when_the_init_timeout_is_over(legacy: bool) -> None:
    case = Case(legacy=legacy, connection_init_wait_timeout=3)
    case.connection.opened()
    case.clock.advance(2.9)
    assert case.clock.pending
    case.clock.advance(0.2)
    await case.connection.closed()
    assert case.socket.closed == [(4408, "Connection initialisation timeout")]


async def test_the_init_timeout_ends_with_the_init_however_long_it_is_decided_on() -> None:
    case = Case(connection_init_wait_timeout=3)
    case.application.answer = asyncio.get_running_loop().create_future()
    case.connection.opened()
    case.init()
    case.clock.advance(100)
    await tick(3)
    assert case.socket.closed == []
    await case.connection.disconnected()


@pytest.mark.parametrize("seconds", [0, None])
@pytest.mark.parametrize("legacy", [False, True])
async def test_there_is_no_init_timeout_where_it_is_off(
    legacy: bool, seconds: float | None
) -> None:
    case = Case(legacy=legacy, connection_init_wait_timeout=seconds)
    case.connection.opened()
    assert case.clock.pending == []


@pytest.mark.parametrize("legacy", [False, True])
async def test_a_decision_that_takes_too_long_is_a_no_and_the_log_names_the_hook(
    caplog: pytest.LogCaptureFixture, legacy: bool
) -> None:
    case = Case(legacy=legacy, on_connect_timeout=30)
    case.application.answer = asyncio.get_running_loop().create_future()
    case.init()
    case.clock.advance(29)
    assert case.socket.closed == []
    case.clock.advance(2)
    await case.connection.closed()
    assert case.socket.closed == [(4408, "Connection initialisation timeout")]
    assert "the on_connect of this test took longer than 30 seconds" in caplog.text
    assert case.application.answer.cancelled()


async def test_a_decision_on_a_client_that_was_closed_meanwhile_is_not_complained_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The hook may log out the very user whose client it is asked about."""

    class LoggingOut(FakeApplication):
        def accept_client(self, payload: Any) -> Iterator[Any]:
            case.connection.revoke("Logged out")
            yield asyncio.Event().wait()

    case = Case(on_connect_timeout=30, disconnect_timeout=0)
    case.connection._admission._application = LoggingOut()
    case.init()
    case.clock.advance(31)
    await case.connection.closed()
    assert case.socket.closed == [(4403, "Logged out")]
    assert "took longer" not in caplog.text
    await case.connection.disconnected()


@pytest.mark.parametrize("is_late", [False, True])
async def test_a_decision_in_time_leaves_no_timer(is_late: bool) -> None:
    case = Case(on_connect_timeout=30, connection_init_wait_timeout=10)
    if is_late:
        case.application.answer = asyncio.get_running_loop().create_future()
    case.connection.opened()
    case.init()
    if is_late:
        case.application.answer.set_result(None)
        await wait_until(lambda: case.socket.words)
    assert case.clock.pending == []
    assert case.socket.words == ["connection_ack"]
    await case.connection.disconnected()


@pytest.mark.parametrize("legacy", [False, True])
async def test_an_operation_that_takes_too_long_is_cancelled_and_answered(legacy: bool) -> None:
    case = Case(legacy=legacy, operation_timeout=5)
    done = asyncio.Event()
    case.application.operations = {
        "q": waiting_for(done),
        "m": waiting_for(done, MUTATION),
        "s": subscribing(FakeCohort()),
        "late": subscribing(FakeCohort(), done),
        "at once": at_once,
    }
    case.init()
    for query in case.application.operations:
        case.start(query, query)
    case.clock.advance(6)
    await wait_until(lambda: "error:m" in case.socket.words)
    error = {"message": "The operation took too long"}
    errors = {
        frame["id"]: frame["payload"] for frame in case.socket.frames if frame["type"] == "error"
    }
    refusal = {"errors": [error]} if legacy else [error]
    assert errors == {"q": refusal, "m": refusal}
    # Their ids are free, and subscriptions have no such limit.
    case.start("q", "at once")
    assert case.socket.words[-1] == "complete:q"
    assert case.clock.pending == []
    await case.connection.disconnected()


async def test_an_operation_in_time_leaves_no_timer() -> None:
    case = Case(operation_timeout=5)
    done = asyncio.Event()
    case.application.operations["q"] = waiting_for(done)
    case.init()
    case.start("1", "q")
    case.start("2", "q")
    case.stop("2")
    done.set()
    await wait_until(lambda: "complete:1" in case.socket.words)
    await wait_until(lambda: not case.connection._tasks)
    assert case.clock.pending == []


async def test_a_connection_without_operations_is_closed_when_it_was_idle_for_long() -> None:
    case = Case(idle_timeout=60)
    done = asyncio.Event()
    case.application.operations = {"q": waiting_for(done), "at once": at_once}
    case.connection.opened()
    case.init()
    case.clock.advance(50)
    case.start("1", "at once")
    case.clock.advance(50)
    case.start("2", "q")
    # While something is under way, it is not idle.
    case.clock.advance(500)
    assert case.socket.closed == []
    done.set()
    await wait_until(lambda: "complete:2" in case.socket.words)
    case.clock.advance(59)
    assert case.socket.closed == []
    case.clock.advance(2)
    await case.connection.closed()
    assert case.socket.closed == [(1000, "Idle")]


async def test_a_connection_that_is_too_old_is_closed_when_what_is_under_way_has_ended() -> None:
    case = Case(max_connection_age=100, idle_timeout=1_000)
    done = asyncio.Event()
    case.application.operations = {"q": waiting_for(done), "s": subscribing(FakeCohort())}
    case.connection.opened()
    case.init()
    case.start("1", "q")
    case.start("2", "s")
    case.clock.advance(89)
    await tick(3)
    assert not case.connection._protocol._takes_operations or case.socket.closed == []
    case.clock.advance(12)
    await tick(3)
    assert case.socket.closed == []
    done.set()
    await wait_until(lambda: case.socket.closed)
    assert case.socket.words[-2:] == ["next:1", "complete:1"]
    assert case.socket.closed == [(1012, "Service restart")]
    await case.connection.disconnected()
    assert case.clock.pending == []


async def test_a_connection_may_be_idle_for_as_long_as_it_may_live() -> None:
    case = Case(max_connection_age=100)
    case.application.operations["q"] = at_once
    case.connection.opened()
    case.init()
    case.start("1", "q")
    case.clock.advance(89)
    await tick(3)
    assert case.socket.closed == []
    case.clock.advance(12)
    await wait_until(lambda: case.socket.closed)
    assert case.socket.closed == [(1012, "Service restart")]
    await case.connection.disconnected()


async def test_keep_alives_that_nobody_has_asked_for_do_not_come_with_the_acknowledgement() -> (
    None
):
    case = Case(legacy=True, send_ping_every=25, pings_at_once=False)
    case.init()
    assert case.socket.words == ["connection_ack"]
    case.clock.advance(25)
    assert case.socket.words == ["connection_ack", "ka"]
    await case.connection.disconnected()


@pytest.mark.parametrize("has_read", [False, True])
async def test_a_slow_reader_whose_pongs_are_not_read_is_not_taken_for_dead(
    has_read: bool,
) -> None:
    case, live = Case(send_ping_every=10, pong_timeout=15), list[Any]()

    def subscribe(client: Any) -> Iterator[Any]:
        live.append(client)
        return subscribing(FakeCohort())(client)

    case.application.operations["s"] = subscribe
    case.init()
    case.start("1", "s")
    case.clock.advance(10)
    assert case.socket.words[-1] == "ping"
    # Later, so that it has longer to read than to answer.
    case.clock.advance(2)
    case.socket.takes_frames.clear()
    while not case.connection.is_full:
        live[0].next(RESULT)
    # The next event waits for its turn.
    waiting = asyncio.ensure_future(_await(live[0].ready()))
    await tick()
    case.clock.advance(12)
    if has_read:
        case.socket.takes_frames.set()
        await waiting
    case.clock.advance(2)
    await tick(3)
    assert case.socket.closed == []
    await case.connection.disconnected()
    await waiting


async def test_pings_that_a_server_takes_later_are_no_sign_of_life() -> None:
    case = Case(send_ping_every=10, pong_timeout=15)
    case.init()
    case.socket.takes_frames.clear()
    case.clock.advance(10)
    case.socket.takes_frames.set()
    await wait_until(lambda: case.socket.words[-1] == "ping")
    case.clock.advance(15)
    await wait_until(lambda: case.socket.closed)
    assert case.socket.closed == [(4408, "Pong timeout")]
    await case.connection.disconnected()


async def test_pings_come_in_their_interval_and_the_first_after_one() -> None:
    case = Case(send_ping_every=10)
    case.init()
    assert case.socket.words == ["connection_ack"]
    for _ in range(3):
        case.clock.advance(10)
        case.say("pong")
    assert case.socket.words == ["connection_ack", "ping", "ping", "ping"]
    await case.connection.disconnected()
    assert case.clock.pending == []


async def test_the_legacy_dialect_has_its_first_keep_alive_with_the_acknowledgement() -> None:
    case = Case(legacy=True, send_ping_every=10)
    case.init()
    assert case.socket.words == ["connection_ack", "ka"]
    case.clock.advance(20)
    assert case.socket.words == ["connection_ack", "ka", "ka", "ka"]
    assert case.socket.closed == []
    await case.connection.disconnected()


async def test_a_second_legacy_init_starts_no_second_series_of_pings() -> None:
    case = Case(legacy=True, send_ping_every=10)
    case.init()
    case.init()
    case.clock.advance(10)
    assert case.socket.words == ["connection_ack", "ka", "connection_ack", "ka"]
    await case.connection.disconnected()
    assert case.clock.pending == []


async def test_a_dead_peer_is_closed_when_nothing_comes_after_a_ping() -> None:
    case = Case(send_ping_every=10, pong_timeout=25)
    cohort = FakeCohort()
    case.application.operations["s"] = subscribing(cohort)
    case.init()
    case.start("1", "s")
    case.clock.advance(34)
    assert case.socket.closed == []
    case.clock.advance(2)
    await case.connection.closed()
    assert case.socket.closed == [(4408, "Pong timeout")]
    assert cohort.ended == 1
    assert case.clock.pending == []


async def test_any_message_shows_that_a_peer_is_alive() -> None:
    case = Case(send_ping_every=10, pong_timeout=15)
    case.init()
    for _ in range(5):
        case.clock.advance(10)
        case.say("ping")
    assert case.socket.closed == []
    await case.connection.disconnected()


async def test_a_peer_may_stay_silent_for_ever_where_no_pong_is_expected() -> None:
    case = Case(send_ping_every=10, pong_timeout=None)
    case.init()
    case.clock.advance(1_000)
    assert case.socket.closed == []
    await case.connection.disconnected()


async def test_the_close_of_a_dead_peer_does_not_wait_for_what_it_never_read() -> None:
    case = Case(send_ping_every=10, pong_timeout=15)
    case.init()
    case.socket.takes_frames.clear()
    case.clock.advance(30)
    await case.connection.closed()
    assert case.socket.closed == [(4408, "Messages were not read in time")]
    await case.connection.disconnected()


async def stalled_case() -> Case:
    case = Case(send_ping_every=10, pong_timeout=15)
    case.socket.under_it = FakeTransport()
    case.init()
    case.socket.takes_frames.clear()
    case.clock.advance(30)
    await case.connection.closed()
    assert case.socket.closed == [(4408, "Messages were not read in time")]
    return case


async def test_the_socket_of_a_client_that_takes_nothing_is_ended_if_the_server_keeps_it() -> None:
    case = await stalled_case()
    case.clock.advance(LINGER - 6)
    assert case.socket.under_it.aborted == 0
    case.clock.advance(6)
    assert case.socket.under_it.aborted == 1
    await case.connection.disconnected()


async def test_a_socket_that_the_server_has_ended_in_time_is_left_alone() -> None:
    case = await stalled_case()
    await case.connection.disconnected()
    assert case.clock.pending == []
    case.clock.advance(2 * LINGER)
    assert case.socket.under_it.aborted == 0


async def test_a_close_that_is_not_taken_is_noticed_once() -> None:
    case = await stalled_case()
    pending = len(case.clock.pending)
    case.connection.cut_off_later()
    assert len(case.clock.pending) == pending
    await case.connection.disconnected()


async def test_what_the_server_keeps_of_a_connection_that_is_over_still_counts() -> None:
    case = Case()
    case.socket.under_it = FakeTransport()
    case.socket.under_it.buffered = 2 * LARGE
    case.init()
    unsent = case.connection._unsent
    unsent.hold(2 * LARGE)
    await case.connection.disconnected()
    assert unsent.size == 2 * LARGE
    unsent.close()


async def test_a_client_that_does_not_read_is_sent_no_more_pings() -> None:
    case = Case(send_ping_every=1, pong_timeout=None)
    case.init()
    case.socket.takes_frames.clear()
    case.clock.advance(10 * FULL_AT)
    case.socket.takes_frames.set()
    await wait_until(lambda: case.connection._outbox.flushing is None)
    # The acknowledgement, the ping that hung, and those that waited.
    assert len(case.socket.frames) == 2 + FULL_AT
    await case.connection.disconnected()


async def test_a_client_that_was_refused_gets_no_pings() -> None:
    case = Case(legacy=True, send_ping_every=10)
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    case.application.answer = answer
    case.init()
    case.say("connection_terminate")
    answer.set_result(None)
    await case.connection.closed()
    await tick(5)
    assert case.socket.words == []
    assert case.clock.pending == []
    await case.connection.disconnected()


async def test_what_needs_no_waiting_is_answered_in_the_turn_of_the_question(
    case: Case,
) -> None:
    case.application.operations["q"] = at_once
    tasks = asyncio.all_tasks()
    case.init()
    case.start("1", "q")
    assert case.socket.words == ["connection_ack", "next:1", "complete:1"]
    assert asyncio.all_tasks() == tasks


async def test_operations_do_not_wait_for_each_other(case: Case) -> None:
    case.application.operations = {"q": at_once, "slow": waiting_for(asyncio.Event())}
    case.init()
    case.start("1", "slow")
    case.start("2", "q")
    assert case.socket.words == ["connection_ack", "next:2", "complete:2"]
    await case.connection.disconnected()


async def test_a_complete_cancels_a_running_query_and_is_not_answered(case: Case) -> None:
    never = asyncio.Event()
    case.application.operations["slow"] = waiting_for(never)
    case.init()
    case.start("1", "slow")
    case.stop("1")
    case.stop("1")
    await wait_until(lambda: not case.connection._tasks)
    never.set()
    await tick(3)
    assert case.socket.words == ["connection_ack"]


async def test_a_complete_of_a_live_subscription_ends_it_and_is_answered_once(
    case: Case,
) -> None:
    cohort = FakeCohort()
    case.application.operations["s"] = subscribing(cohort)
    case.init()
    case.start("1", "s")
    case.stop("1")
    case.stop("1")
    assert case.socket.words == ["connection_ack", "next:1", "complete:1"]
    assert cohort.ended == 1


async def test_a_complete_while_subscribing_waits_ends_the_subscription(case: Case) -> None:
    cohort, joined = FakeCohort(), asyncio.Event()
    case.application.operations["s"] = subscribing(cohort, joined)
    case.init()
    case.start("1", "s")
    case.stop("1")
    await wait_until(lambda: case.socket.words[-1] == "complete:1")
    assert case.socket.words == ["connection_ack", "complete:1"]
    assert cohort.ended == 1
    assert not joined.is_set()


async def test_a_client_that_counts_on_confirmations_gets_one_in_front_of_the_complete() -> None:
    case = Case(confirm_subscriptions=True)
    cohort, joined = FakeCohort(), asyncio.Event()
    case.application.operations["s"] = subscribing(cohort, joined)
    case.init()
    case.start("1", "s")
    case.stop("1")
    await tick(5)
    assert case.socket.words == ["connection_ack"]
    joined.set()
    await wait_until(lambda: case.socket.words[-1] == "complete:1")
    assert case.socket.words == ["connection_ack", "next:1", "complete:1"]
    assert cohort.ended == 1


@pytest.mark.parametrize("type", [QUERY, MUTATION, SUBSCRIPTION])
async def test_only_a_subscription_goes_on_for_its_confirmation_once_its_kind_is_known(
    type: OperationType,
) -> None:
    """The client stops it while, for example, the `on_operation` hook is waiting."""
    case = Case(confirm_subscriptions=True)
    known, went_on = asyncio.Event(), list[OperationType]()

    def work(client: Any) -> Iterator[Any]:
        yield known.wait()
        yield client.began(type)
        went_on.append(type)
        if type is SUBSCRIPTION:
            client.confirmed(RESULT)

    case.application.operations["unknown"] = work
    case.init()
    case.start("1", "unknown")
    case.stop("1")
    await tick(3)
    known.set()
    await wait_until(lambda: not case.connection._tasks)
    is_subscription = type is SUBSCRIPTION
    assert went_on == ([SUBSCRIPTION] if is_subscription else [])
    answers = ["next:1", "complete:1"] if is_subscription else []
    assert case.socket.words == ["connection_ack", *answers]


async def test_an_operation_that_is_stopped_just_before_it_begins_never_begins(
    case: Case,
) -> None:
    known, begun = asyncio.Event(), list[str]()

    def work(client: Any) -> Iterator[Any]:
        client.began(QUERY)
        yield known.wait()
        yield client.starting()
        begun.append("query")

    case.application.operations["q"] = work
    case.init()
    case.start("1", "q")
    await tick()
    # The cancellation takes a moment to arrive.
    known.set()
    case.stop("1")
    await wait_until(lambda: not case.connection._tasks)
    assert begun == []


async def test_the_place_of_a_subscription_is_free_when_its_complete_arrives() -> None:
    case = Case(max_operations_per_connection=1)
    unsubscribed = asyncio.Event()
    cohorts = [FakeCohort(unsubscribed) for _ in range(3)]
    case.application.operations = {str(n): subscribing(each) for n, each in enumerate(cohorts)}
    case.init()
    for number in range(3):
        case.start("1", str(number))
        case.stop("1")
    assert [cohort.ended for cohort in cohorts] == [1, 1, 1]
    unsubscribed.set()
    await wait_until(lambda: not case.connection._tasks)
    assert "error:1" not in case.socket.words


async def test_no_more_is_read_while_very_many_operations_are_ending(case: Case) -> None:
    unsubscribed = asyncio.Event()
    case.application.operations["s"] = subscribing(FakeCohort(unsubscribed))
    case.init()
    for _ in range(STOPPING_LIMIT):
        assert case.start("1", "s") is None
        waiting = case.say(case.stop_word, id="1")
    assert waiting is not None
    reading = asyncio.ensure_future(waiting)
    await tick(3)
    assert not reading.done()
    unsubscribed.set()
    await reading
    await case.connection.disconnected()


async def test_an_operation_that_fails_frees_its_id(case: Case) -> None:
    def failing(client: Any) -> Iterator[Any]:
        client.failed([{"message": "no"}], Refusal.DOCUMENT)
        yield

    case.application.operations = {"bad": failing, "q": at_once}
    case.init()
    case.start("1", "bad")
    case.start("1", "q")
    assert case.socket.words == ["connection_ack", "error:1", "next:1", "complete:1"]


async def test_an_operation_has_its_own_context_variables(case: Case) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="nobody's")
    seen: list[str] = []

    def work(client: Any) -> Iterator[Any]:
        variable.set(client.request.id)
        yield tick()
        seen.append(variable.get())
        client.completed()

    case.application.operations["q"] = work
    case.init()
    case.start("1", "q")
    case.start("2", "q")
    await wait_until(lambda: len(seen) == 2)
    assert seen == ["1", "2"]
    assert variable.get() == "nobody's"
    await case.connection.disconnected()


async def test_a_failure_that_is_nobodys_fault_closes_with_4500_and_is_logged(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(client: Any) -> Iterator[Any]:
        yield tick()
        raise LookupError("broken")

    case.application.operations["broken"] = broken
    case.init()
    case.start("1", "broken")
    await wait_until(lambda: case.socket.closed)
    assert case.socket.closed == [(4500, "Internal server error")]
    assert [record.getMessage() for record in caplog.records] == [
        "A task of a connection failed",
        "Closing a connection: 4500 'Internal server error'",
    ]
    await case.connection.disconnected()


async def test_a_task_that_fails_long_after_the_disconnect_is_still_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "CANCEL_TIMEOUT", 0)
    gate = asyncio.Event()

    def stubborn(client: Any) -> Iterator[Any]:
        while not gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                yield gate.wait()
        raise LookupError("broken")

    case = Case(disconnect_timeout=0)
    case.application.operations["stubborn"] = stubborn
    case.init()
    case.start("1", "stubborn")
    await tick(3)
    await case.connection.disconnected()
    gate.set()
    await wait_until(lambda: "A task of a connection failed" in caplog.messages)
    assert case.socket.closed == []


async def test_a_normal_close_is_not_worth_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    case = Case(legacy=True)
    case.say("connection_terminate")
    await case.connection.closed()
    assert case.socket.closed == [(1000, "")]
    assert caplog.records == []


async def test_results_wait_and_nothing_is_read_while_a_client_does_not_read(
    case: Case,
) -> None:
    subscribed: list[Any] = []

    def subscribe(client: Any) -> Iterator[Any]:
        subscribed.append(client)
        yield

    case.application.operations = {"q": at_once, "s": subscribe}
    case.init()
    case.start("s", "s")
    [client] = subscribed
    assert client.ready() is None
    case.socket.takes_frames.clear()
    waiting = None
    for number in range(FULL_AT):
        waiting = case.start(str(number), "q")
        if waiting is not None:
            break
    assert waiting is not None
    ready = client.ready()
    assert ready is not None
    case.socket.takes_frames.set()
    await asyncio.gather(waiting, ready)
    assert client.ready() is None
    await case.connection.disconnected()


async def test_a_strict_client_that_does_not_read_is_not_read_from_either() -> None:
    case = Case(strict_ordering=True)
    case.application.operations["q"] = at_once
    case.init()
    case.socket.takes_frames.clear()
    waiting = [case.start(str(number), "q") for number in range(FULL_AT)]
    waits = [each for each in waiting if each is not None]
    assert waits
    case.socket.takes_frames.set()
    await asyncio.gather(*waits)
    await case.connection.disconnected()


async def test_a_strict_connection_looks_at_one_message_after_the_other() -> None:
    case = Case(strict_ordering=True)
    slow = asyncio.Event()
    case.application.operations = {"q": at_once, "slow": waiting_for(slow)}
    case.init()
    case.start("1", "slow")
    case.start("2", "q")
    case.say("ping")
    await tick(3)
    assert case.socket.words == ["connection_ack"]
    slow.set()
    await wait_until(lambda: case.socket.words[-1] == "pong")
    assert case.socket.words[1:] == ["next:1", "complete:1", "next:2", "complete:2", "pong"]
    await case.connection.disconnected()


async def test_strict_order_does_not_shield_what_comes_before_the_acknowledgement() -> None:
    case = Case(strict_ordering=True)
    case.application.answer = asyncio.get_running_loop().create_future()
    case.init()
    case.start("1", "never executed")
    await case.connection.closed()
    assert case.socket.closed == [(4401, "Unauthorized")]
    await case.connection.disconnected()


async def test_a_refusal_that_can_not_be_described_is_one_all_the_same() -> None:
    def broken(_error: Exception) -> dict[str, Any]:
        raise LookupError("format_error")

    case = Case(legacy=True)
    case.application.answer = ValueError("no")
    case.application.format_error = broken  # type: ignore[method-assign]
    case.init()
    await case.connection.closed()
    assert case.socket.frames == [
        {"type": "connection_error", "payload": {"message": "Internal server error"}}
    ]
    await case.connection.disconnected()


async def test_notifications_wait_for_the_turn_of_a_strict_connection_to_end() -> None:
    case = Case(strict_ordering=True)
    slow = asyncio.Event()
    case.application.operations["slow"] = waiting_for(slow, MUTATION)
    case.init()
    case.start("1", "slow")
    ready = case.connection.ready()
    assert ready is not None
    notification = asyncio.create_task(_await(ready))
    await tick(3)
    assert not notification.done()
    slow.set()
    await notification
    assert case.socket.words == ["connection_ack", "next:1", "complete:1"]
    await case.connection.disconnected()


async def test_a_strict_turn_ends_when_everything_that_came_of_it_has_ended() -> None:
    case = Case(strict_ordering=True, confirm_subscriptions=True)
    unsubscribed, joined = asyncio.Event(), asyncio.Event()
    cohort = FakeCohort(unsubscribed)
    case.application.operations = {"s": subscribing(cohort, joined), "q": at_once}
    case.init()
    case.start("1", "s")
    case.stop("1")
    case.start("2", "q")
    joined.set()
    await wait_until(lambda: cohort.ended)
    await tick(3)
    assert case.socket.words == ["connection_ack", "next:1"]
    unsubscribed.set()
    await wait_until(lambda: case.socket.words[-1] == "complete:2")
    assert case.socket.words[2:] == ["complete:1", "next:2", "complete:2"]
    await case.connection.disconnected()


async def test_no_more_is_read_when_too_much_waits_for_its_turn() -> None:
    case = Case(strict_ordering=True)
    slow = asyncio.Event()
    case.application.operations = {"slow": waiting_for(slow), "q": at_once}
    case.init()
    case.start("slow", "slow")
    waiting = [case.start(str(number), "q") for number in range(INBOX_LIMIT)]
    assert waiting[:-1] == [None] * (INBOX_LIMIT - 1)
    last = waiting[-1]
    assert last is not None
    slow.set()
    await last
    await wait_until(lambda: len(case.socket.frames) == 1 + 2 * (INBOX_LIMIT + 1))
    await case.connection.disconnected()


async def test_what_waits_for_its_turn_is_bounded_in_bytes_too() -> None:
    case = Case(strict_ordering=True)
    slow = asyncio.Event()
    case.application.operations = {"slow": waiting_for(slow), "q" * INBOX_BYTES: at_once}
    case.init()
    case.start("slow", "slow")
    last = case.start("1", "q" * INBOX_BYTES)
    assert last is not None
    slow.set()
    await last
    await wait_until(lambda: case.socket.words[-1] == "complete:1")
    await case.connection.disconnected()


async def test_a_disconnect_ends_a_strict_operation_that_hangs() -> None:
    case = Case(strict_ordering=True)
    case.application.operations = {"slow": waiting_for(asyncio.Event()), "q": at_once}
    case.init()
    case.start("1", "slow")
    case.start("2", "q")
    await case.connection.disconnected()
    assert case.socket.words == ["connection_ack"]
    assert not case.connection._tasks


async def test_a_strict_connection_does_nothing_behind_an_invalid_message() -> None:
    case = Case(strict_ordering=True)
    case.application.operations = {"slow": waiting_for(asyncio.Event()), "q": at_once}
    case.init()
    case.connection.received("not JSON")
    case.start("2", "q")
    await case.connection.closed()
    assert case.socket.words == ["connection_ack"]
    assert [code for code, _ in case.socket.closed] == [4400]
    await case.connection.disconnected()


async def test_at_a_disconnect_a_mutation_finishes_and_a_query_is_cancelled(
    case: Case,
) -> None:
    finish, done = asyncio.Event(), list[str]()

    def work(type: OperationType) -> Work:
        def steps(client: Any) -> Iterator[Any]:
            client.began(type)
            client.starting()
            yield finish.wait()
            done.append(type.value)

        return steps

    case.application.operations = {"q": work(QUERY), "m": work(MUTATION)}
    case.init()
    case.start("1", "q")
    case.start("2", "m")
    ending = asyncio.create_task(case.connection.disconnected())
    await tick(5)
    assert not ending.done()
    finish.set()
    await ending
    assert done == ["mutation"]


@pytest.mark.parametrize("type", [QUERY, MUTATION, SUBSCRIPTION])
@pytest.mark.parametrize("name", ["ada", "bob"])
async def test_an_operation_that_waits_while_somebody_logs_in_is_not_executed(
    case: Case, type: OperationType, name: str
) -> None:
    scope, waiting, executed = {"user": SimpleNamespace(pk="ada")}, asyncio.Event(), list[str]()

    def work(client: Any) -> Iterator[Any]:
        client.scope = scope
        client.began(type)
        client.starting()
        client.postponed()
        yield waiting.wait()
        while (room := client.starting()) is not None:
            yield room
        executed.append(scope["user"].pk)

    case.application.operations = {"work": work}
    case.init()
    case.start("1", "work")
    # The same user may be another object, with other permissions.
    scope["user"] = SimpleNamespace(pk=name)
    waiting.set()
    await wait_until(lambda: not case.connection._tasks)
    assert executed == (["ada"] if name == "ada" else [])
    frames = [each for each in case.socket.frames if each.get("id") == "1"]
    codes = [each["payload"][0]["extensions"]["code"] for each in frames]
    assert codes == ([] if name == "ada" else ["IDENTITY_CHANGED"])


MANY = 100


def many(work: Callable[[int], Work], **settings: Any) -> Case:
    """Return a connection with many operations that wait."""
    case = Case(**settings)
    case.connection._loop = asyncio.get_running_loop()
    case.init()
    for number in range(MANY):
        case.application.operations[str(number)] = work(number)
        case.start(str(number), str(number))
    return case


class Ahead:
    """A client of the legacy protocol that is decided on while its operations wait.

    Attributes:
        case: its connection.
        begun: the operations, each with the iteration of the event loop in which it began.
    """

    def __init__(self, count: int, work: Work = at_once, **settings: Any) -> None:
        self.case = case = Case(legacy=True, **settings)
        self.begun: list[tuple[str, int]] = []
        self._iterations = Iterations()
        self._work = work
        case.connection._loop = asyncio.get_running_loop()
        self.decision = case.application.answer = asyncio.get_running_loop().create_future()
        case.init()
        for number in range(count):
            self.start(str(number))

    def start(self, id: str, work: Work | None = None) -> Awaitable[None] | None:
        """Send an operation."""

        def steps(client: Any) -> Iterator[Any]:
            self.note(id)
            return (work or self._work)(client)

        self.case.application.operations[id] = steps
        return self.case.start(id, id)

    async def accept(self) -> None:
        """Let the client in; return when the first of its operations have begun."""
        self.decision.set_result(None)
        await wait_until(lambda: self.begun)

    def note(self, id: str) -> None:
        """An operation has begun."""
        self.begun.append((id, self._iterations.number))

    @property
    def ids(self) -> list[str]:
        """The operations that have begun, in their order."""
        return [id for id, _ in self.begun]

    @property
    def most_at_once(self) -> int:
        """How many have begun in one iteration of the event loop."""
        return max(Counter(iteration for _, iteration in self.begun).values())


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long operations take to begin plays no part."""
    monkeypatch.setattr(admission, "SLICE", inf)


@pytest.mark.usefixtures("unhurried")
async def test_of_many_operations_that_came_before_the_acknowledgement_a_few_begin_at_a_time() -> (
    None
):
    ahead = Ahead(MANY)
    await ahead.accept()
    assert len(ahead.begun) == BEGUN_AT_ONCE
    await wait_until(lambda: len(ahead.begun) == MANY)
    assert ahead.most_at_once == BEGUN_AT_ONCE
    assert ahead.ids == [str(number) for number in range(MANY)]
    await tick()
    assert not ahead.case.connection._tasks
    await ahead.case.connection.disconnected()


async def test_of_operations_that_take_long_to_begin_one_begins_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(admission, "SLICE", -1)
    ahead = Ahead(5)
    await ahead.accept()
    await wait_until(lambda: len(ahead.begun) == 5)
    assert ahead.most_at_once == 1
    await ahead.case.connection.disconnected()


@pytest.mark.usefixtures("unhurried")
async def test_as_few_operations_as_most_clients_have_begin_with_the_acknowledgement() -> None:
    ahead = Ahead(BEGUN_AT_ONCE)
    await ahead.accept()
    assert len(ahead.begun) == BEGUN_AT_ONCE
    assert ahead.most_at_once == BEGUN_AT_ONCE
    assert ahead.start("later") is None
    assert ahead.ids[-1] == "later"
    await ahead.case.connection.disconnected()


@pytest.mark.usefixtures("unhurried")
async def test_what_comes_after_the_acknowledgement_is_taken_after_what_came_before_it() -> None:
    ahead = Ahead(2 * BEGUN_AT_ONCE, waiting_for(asyncio.Event()))
    last = str(2 * BEGUN_AT_ONCE - 1)
    await ahead.accept()
    frames = [
        ahead.start("later"),
        ahead.case.say("stop", id=last),
        ahead.case.say("connection_init"),
    ]
    assert len(ahead.begun) == BEGUN_AT_ONCE
    for waiting in frames:
        assert waiting is not None
        await waiting
    assert ahead.ids[-2:] == [last, "later"]
    assert len(ahead.case.application.payloads) == 2
    await ahead.case.connection.disconnected()


@pytest.mark.usefixtures("unhurried")
async def test_while_the_client_does_not_read_no_more_of_what_it_sent_ahead_begins() -> None:
    def talkative(client: Any) -> Iterator[Any]:
        client.began(QUERY)
        for _ in range(FULL_AT):
            client.next(RESULT)
        client.completed()
        yield

    def silencing(client: Any) -> Iterator[Any]:
        yield from at_once(client)
        ahead.case.socket.takes_frames.clear()

    ahead = Ahead(2 * BEGUN_AT_ONCE - 1)
    ahead.start("last", silencing)
    ahead.case.socket.takes_frames.clear()
    await ahead.accept()
    waiting = ahead.start("later", talkative)
    assert waiting is not None
    taking = asyncio.create_task(_await(waiting))
    for _ in range(FULL_AT):
        ahead.case.connection._send("{}")
    await tick(10)
    assert len(ahead.begun) == BEGUN_AT_ONCE
    ahead.case.socket.takes_frames.set()
    await wait_until(lambda: ahead.ids[-2:] == ["last", "later"])
    await tick(10)
    # As after any other message.
    assert not taking.done()
    ahead.case.socket.takes_frames.set()
    await taking
    await ahead.case.connection.disconnected()


@pytest.mark.usefixtures("unhurried")
async def test_of_what_a_client_sent_ahead_no_more_begins_when_it_has_gone() -> None:
    ahead = Ahead(2 * BEGUN_AT_ONCE, waiting_for(asyncio.Event()))
    await ahead.accept()
    waiting = ahead.start("later")
    assert waiting is not None
    await ahead.case.connection.disconnected()
    await waiting
    assert len(ahead.begun) == BEGUN_AT_ONCE
    assert not ahead.case.connection._tasks


@pytest.mark.usefixtures("unhurried")
async def test_of_what_a_client_sent_ahead_no_more_begins_when_the_server_goes() -> None:
    ahead = Ahead(2 * BEGUN_AT_ONCE)
    await ahead.accept()
    await ahead.case.connection.drain(GUARD)
    assert len(ahead.begun) == BEGUN_AT_ONCE
    assert ahead.case.socket.closed == [(1012, "Service restart")]
    await ahead.case.connection.disconnected()


async def test_many_operations_that_wait_for_a_second_decision_go_on_bit_by_bit() -> None:
    may_begin = asyncio.Event()

    def work(client: Any) -> Iterator[Any]:
        yield may_begin.wait()
        yield client.began(QUERY)
        ahead.note(client.request.query)
        client.completed()

    ahead = Ahead(0)
    case, ids = ahead.case, [str(number) for number in range(MANY)]
    case.application.operations = dict.fromkeys(ids, work)
    ahead.decision.set_result(None)
    await wait_until(lambda: case.socket.words == ["connection_ack"])
    for id in ids:
        case.start(id, id)
    case.application.answer = decision = asyncio.get_running_loop().create_future()
    case.init()
    ahead.start("held", at_once)
    may_begin.set()
    await tick(5)
    # It is ended while it waits.
    case.stop(ids[-2])
    await tick(5)
    assert ahead.begun == []
    decision.set_result(None)
    await wait_until(lambda: ahead.ids == [*ids[:-2], ids[-1], "held"])
    assert ahead.most_at_once == BEGUN_AT_ONCE
    await case.connection.disconnected()


class CountingOwner:
    """A connection with strict order.

    Attributes:
        taken: messages, each with the iteration of the event loop in which it was.
    """

    def __init__(self) -> None:
        self.taken: list[tuple[int, int]] = []
        self.tasks: list[asyncio.Task[None]] = []
        self._iterations = Iterations()

    def carry_out(self, effects: list[Any]) -> None:
        self.taken += [(each, self._iterations.number) for each in effects]

    def spawn(self, coroutine: Any) -> asyncio.Task[None]:
        self.tasks.append(asyncio.create_task(coroutine))
        return self.tasks[-1]


async def released(count: int) -> tuple[StrictOrder, CountingOwner]:
    """Return the order of a connection where messages have waited for the first one's end."""
    owner = CountingOwner()
    order = StrictOrder(owner)

    def begin() -> list[Any]:
        order.began(asyncio.create_task(tick(3)))
        return []

    order.put(begin, "")
    for number in range(count):
        order.put(partial(list[Any], [number]), "")
    assert owner.taken == []
    return order, owner


async def test_messages_that_have_waited_for_another_are_taken_while_others_can_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ordering, "SLICE", inf)
    order, owner = await released(5)
    await wait_until(lambda: order.in_progress is None)
    assert [number for number, _ in owner.taken] == [0, 1, 2, 3, 4]
    assert len({iteration for _, iteration in owner.taken}) == 1


async def test_between_messages_that_have_waited_and_take_long_others_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ordering, "SLICE", -1)
    order, owner = await released(5)
    await wait_until(lambda: owner.taken)
    assert order.in_progress is not None, "more would be taken, and events be sent"
    order.put(partial(list[Any], [5]), "")
    await wait_until(lambda: order.in_progress is None)
    assert [number for number, _ in owner.taken] == [0, 1, 2, 3, 4, 5]
    assert len({iteration for _, iteration in owner.taken}) == 6
    await asyncio.wait(owner.tasks)


async def test_what_has_waited_is_forgotten_with_the_connection_in_between_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ordering, "SLICE", -1)
    order, owner = await released(5)
    await wait_until(lambda: owner.taken)
    order.end()
    await asyncio.wait(owner.tasks)
    assert [number for number, _ in owner.taken] == [0]


async def test_many_operations_are_ended_bit_by_bit_and_none_begins_meanwhile() -> None:
    ended: Counter[int] = Counter()
    begun: list[int] = []
    finish, iterations = asyncio.Event(), [0]

    def work(number: int) -> Work:
        def steps(client: Any) -> Iterator[Any]:
            client.began(QUERY if number % 2 else MUTATION)
            try:
                yield finish.wait()
                while (waiting := client.starting()) is not None:
                    yield waiting
                begun.append(number)
            finally:
                ended[iterations[-1]] += 1

        return steps

    async def count_iterations() -> None:
        while True:
            await tick()
            iterations.append(iterations[-1] + 1)

    case = many(work)
    counting = asyncio.create_task(count_iterations())
    await tick(3)
    ending = asyncio.create_task(case.connection.disconnected())
    await tick()
    finish.set()
    await ending
    counting.cancel()
    assert begun == []
    assert sum(ended.values()) == MANY
    assert max(ended.values()) <= 2 * ENDED_AT_ONCE
    assert not case.connection._tasks


async def test_of_many_operations_those_without_a_task_are_ended_at_once() -> None:
    live = [FakeCohort() for _ in range(MANY)]
    joining = asyncio.Event()
    case = many(lambda number: subscribing(live[number], joining if number % 3 else None))
    ending = asyncio.create_task(case.connection.disconnected())
    await tick()
    assert {each.ended for each in live[::3]} == {1}
    assert not all(each.ended for each in live)
    await ending
    assert {each.ended for each in live} == {1}


async def test_a_mutation_among_many_comes_to_its_own_end() -> None:
    finish = asyncio.Event()
    done: list[int] = []

    def work(number: int) -> Work:
        def steps(client: Any) -> Iterator[Any]:
            client.began(QUERY if number else MUTATION)
            client.starting()
            yield finish.wait()
            done.append(number)

        return steps

    case = many(work)
    ending = asyncio.create_task(case.connection.disconnected())
    await wait_until(lambda: len(case.connection._tasks._tasks or ()) <= 2)
    finish.set()
    await ending
    assert done == [0]


@pytest.mark.parametrize("settings", [{"disconnect_timeout": 0}, {}])
async def test_all_of_many_operations_are_ended_when_time_is_up(settings: Any) -> None:
    live = [FakeCohort() for _ in range(MANY)]
    case = many(lambda number: subscribing(live[number], asyncio.Event()), **settings)
    ending = asyncio.create_task(case.connection.disconnected())
    await tick(2)
    if not settings:
        # The shutdown deadline has passed.
        ending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await ending
    assert {each.ended for each in live} == {1}
    assert not case.connection._tasks


async def test_all_tasks_are_cancelled_even_if_that_is_cancelled() -> None:
    owned = tasks.ConnectionTasks(asyncio.get_running_loop(), Case().connection)
    spawned = [owned.spawn(_for_ever()) for _ in range(MANY)]
    await tick()
    cancelling = asyncio.create_task(owned.cancel())
    await tick()
    cancelling.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await cancelling
    await wait_until(lambda: not owned)
    assert all(task.cancelled() for task in spawned)


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def test_a_mutation_that_hangs_is_cancelled_when_time_is_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    case = Case(disconnect_timeout=0.01)
    case.connection._loop = asyncio.get_running_loop()
    case.application.operations["m"] = waiting_for(asyncio.Event(), MUTATION)
    case.init()
    case.start("1", "m")
    await case.connection.disconnected()
    assert not case.connection._tasks
    assert caplog.messages == ["Cancelling 2 tasks of a client that has gone"]


async def test_a_hook_that_hangs_is_cancelled_when_time_is_up(case: Case) -> None:
    case = Case(disconnect_timeout=0)
    cohort = FakeCohort(asyncio.Event())
    case.application.operations["s"] = subscribing(cohort)
    case.init()
    case.start("1", "s")
    await case.connection.disconnected()
    assert cohort.ended == 1
    assert not case.connection._tasks


@pytest.mark.parametrize("hook_hangs", [False, True])
async def test_a_subscription_that_still_joins_is_ended_even_when_the_ending_is_cancelled(
    hook_hangs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "CANCEL_TIMEOUT", 0.01)
    case = Case()
    cohort = FakeCohort(asyncio.Event() if hook_hangs else None)
    joined: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def join() -> None:
        try:
            await joined
        except asyncio.CancelledError:
            await tick(10)
            raise

    def work(client: Any) -> Iterator[Any]:
        client.began(SUBSCRIPTION)
        client.subscribed(cohort)
        yield join()

    case.application.operations["s"] = work
    case.init()
    case.start("1", "s")
    ending = asyncio.create_task(case.connection.disconnected())
    await tick(3)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert cohort.ended == 1
    assert not case.connection._tasks


async def test_a_subscription_is_ended_once_when_the_client_goes_while_it_stops_it(
    case: Case,
) -> None:
    unsubscribed = asyncio.Event()
    cohort = FakeCohort(unsubscribed)
    case.application.operations["s"] = subscribing(cohort)
    case.init()
    case.start("1", "s")
    case.stop("1")
    await tick(2)
    unsubscribed.set()
    await case.connection.disconnected()
    assert case.socket.words == ["connection_ack", "next:1"]


async def test_nothing_is_taken_or_said_after_the_disconnect(case: Case) -> None:
    case.application.operations["q"] = at_once
    case.init()
    await case.connection.disconnected()
    case.start("1", "q")
    case.connection.crashed()
    assert case.socket.words == ["connection_ack"]
    assert case.socket.closed == []


async def test_what_is_not_known_any_more_is_not_cancelled_again(case: Case) -> None:
    """An operation may come to its end between the protocol's decision and its effect."""
    case.application.operations["s"] = subscribing(FakeCohort())
    case.init()
    case.start("1", "s")
    for client in list(case.connection._operations.values()):
        case.connection.forget(client)
    case.stop("1")
    assert case.socket.words == ["connection_ack", "next:1"]


async def _await(awaitable: Awaitable[None]) -> None:
    await awaitable


@pytest.fixture(autouse=True)
def _log_warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, LOGGER)


async def test_who_has_gone_already_has_left(case: Case) -> None:
    case.init()
    await case.connection.disconnected()
    await case.connection.drain(1)
    assert case.socket.closed == []

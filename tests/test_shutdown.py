"""Graceful shutdown: what clients are told, what may end, and who hears of signals when."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Iterator
from typing import Any
from weakref import ref

import pytest

from asgi_socket import LEGACY, NEW, AsgiSocket, Event
from channels_graphql_ws import (
    ConnectionClosedError,
    GraphqlLifespan,
    shut_down,
    shut_down_on_signals,
    shutdown,
)
from channels_graphql_ws.pubsub.hub import hub_of
from channels_graphql_ws.pubsub.layers import channel_layer
from channels_graphql_ws.shutdown import Connections, connections_of_loop, remaining
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from news_schema import HELLO, NEWS, SLOW_NEWS, TELL, Stage, consumer_class
from support import tick, wait_until

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
MUTATION = 'mutation { tellAndWait(text: "hi") }'
RESTART = (1012, "Service restart")

SIGNAL = signal.SIGURG
"""One that nobody sends, and that does nothing where nobody listens."""


@pytest.fixture(autouse=True)
def no_trace() -> Iterator[None]:
    """Leave no signal handler, and no wish for one."""
    before = {number: signal.getsignal(number) for number in (SIGNAL, *shutdown.SIGNALS)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
    shutdown._listeners.clear()
    shutdown._signal_settings.signals = ()


class Drainable:
    """Leaves when it may, or fails to."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.may_leave = asyncio.Event()
        self.timeouts: list[float] = []
        self._failure = failure

    async def drain(self, timeout: float) -> None:
        self.timeouts.append(timeout)
        if self._failure is not None:
            raise self._failure
        await self.may_leave.wait()


async def live(
    subprotocol: str = NEW, stage: Stage | None = None, **attributes: Any
) -> AsgiSocket:
    """A client with a subscription."""
    cls = consumer_class(confirm_subscriptions=True, **attributes)
    socket = AsgiSocket(cls.as_asgi(), subprotocol, scope=(stage or Stage()).scope)
    await socket.acknowledged()
    socket.start("s", NEWS)
    await wait_until(lambda: socket.results("s"))
    return socket


async def test_all_are_asked_to_leave_and_waited_for() -> None:
    connections, some = Connections(), [Drainable() for _ in range(100)]
    for each in some:
        connections.add(each)
    leaving = asyncio.ensure_future(connections.drain(7))
    await wait_until(lambda: all(each.timeouts for each in some))
    assert connections.is_draining
    assert max(each.timeouts for each in some) == [7]
    assert not leaving.done()
    for each in some:
        each.may_leave.set()
    await leaving


async def test_one_that_fails_keeps_nobody_from_leaving(caplog: Any) -> None:
    connections, broken, well = Connections(), Drainable(OSError("broken")), Drainable()
    connections.add(broken)
    connections.add(well)
    well.may_leave.set()
    await connections.drain(1)
    assert well.timeouts == [1]
    assert "could not be told of the shutdown" in caplog.text


async def test_who_has_gone_is_not_asked() -> None:
    connections, one = Connections(), Drainable()
    connections.add(one)
    connections.discard(one)
    assert len(connections) == 0
    await connections.drain(1)
    assert one.timeouts == []


@BOTH
async def test_clients_are_closed_with_1012_and_no_complete_so_that_they_come_again(
    subprotocol: str,
) -> None:
    stage = Stage()
    socket = await live(subprotocol, stage)
    await shut_down()
    await socket.ended()
    assert socket.closes == [RESTART]
    assert "complete:s" not in socket.words
    assert stage.passed[-1] == "unsubscribed"


async def test_many_clients_are_sent_away_bit_by_bit_and_in_the_same_time() -> None:
    connections, many = Connections(), [Drainable() for _ in range(200)]
    for one in many:
        one.may_leave.set()
        connections.add(one)
    await connections.drain(10)
    left = {seconds for one in many for seconds in one.timeouts}
    # There were pauses, and who leaves late has no more time than the others.
    assert len(left) == 4
    assert max(left) == 10


async def test_no_hook_takes_longer_than_the_shutdown() -> None:
    loop = asyncio.get_running_loop()
    connections = connections_of_loop()
    assert [remaining(30), remaining(None)] == [30, None]
    await shut_down(timeout=2)
    left = remaining(None)
    assert left is not None
    assert 0 < left <= 2 + shutdown.CLOSE_TIMEOUT
    assert remaining(1) == 1
    connections.ends_at = loop.time() - 1
    assert remaining(30) == 0


@BOTH
async def test_a_hook_that_hangs_does_not_keep_the_process_from_ending(
    subprotocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutdown, "CLOSE_TIMEOUT", 0.01)
    monkeypatch.setattr("channels_graphql_ws.websocket.connection.CLOSE_TIMEOUT", 0.01)

    async def hang(self: Any, code: Any) -> None:
        await asyncio.Event().wait()

    stage = Stage("unsubscribed")
    socket = await live(subprotocol, stage, on_disconnect=hang)
    await shut_down(timeout=0.01)
    await socket.ended()
    assert socket.closes == [RESTART]


async def test_what_does_not_leave_is_given_up_at_the_deadline_which_is_one_for_all_calls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutdown, "CLOSE_TIMEOUT", 0.01)
    connections, stuck = Connections(), Drainable()
    connections.add(stuck)
    await connections.drain(0.01)
    # The server tells of its end once more.
    deadline = connections.ends_at
    await connections.drain(3600)
    assert connections.ends_at == deadline


@BOTH
async def test_clients_of_a_channel_layer_that_is_given_up_are_closed_with_1012(
    subprotocol: str,
) -> None:
    socket, other = await live(subprotocol), AsgiSocket(consumer_class().as_asgi())
    other.init()
    await wait_until(lambda: len(connections_of_loop()) == 2)
    hub_of(channel_layer())._send_away()
    await socket.ended()
    assert socket.closes == [RESTART]
    assert "complete:s" not in socket.words
    # Only those leave that depend on the layer, and nobody is kept out.
    assert other.closes == []
    await other.drop()


@BOTH
async def test_subscriptions_are_completed_first_where_that_is_wanted(subprotocol: str) -> None:
    socket = await live(subprotocol, complete_at_shutdown=True)
    await shut_down()
    await socket.ended()
    assert socket.words[-1] == "complete:s"
    assert socket.closes == [RESTART]


@BOTH
async def test_a_mutation_comes_to_its_end_and_events_until_then_arrive(subprotocol: str) -> None:
    stage = Stage("mutation")
    socket = await live(subprotocol, stage)
    socket.start("m", MUTATION)
    await wait_until(lambda: "mutation" in stage.passed)
    leaving = asyncio.ensure_future(shut_down())
    await tick(5)
    assert socket.closes == []
    socket.start("late", HELLO)
    socket.start("m2", TELL)
    stage.let_go("mutation")
    await leaving
    await socket.ended()
    next_ = "next" if subprotocol == NEW else "data"
    assert socket.words[-2:] == [f"{next_}:m", "complete:m"]
    assert {"data": {"news": {"text": "hi"}}} in socket.results("s")
    assert socket.results("late") == socket.results("m2") == []
    assert socket.closes == [RESTART]


async def test_a_mutation_that_takes_too_long_goes_on_without_its_client() -> None:
    stage = Stage("mutation")
    socket = await live(stage=stage)
    socket.start("m", MUTATION)
    await wait_until(lambda: "mutation" in stage.passed)
    leaving = asyncio.ensure_future(shut_down(timeout=0.01))
    await wait_until(lambda: socket.closes)
    stage.let_go("mutation")
    await leaving
    await socket.ended()
    assert "mutation done" in stage.passed
    assert socket.results("m") == []


async def test_a_client_that_goes_by_itself_is_not_waited_for() -> None:
    stage = Stage("query")
    socket = await live(stage=stage)
    socket.start("q", "{ wait }")
    await wait_until(lambda: "query" in stage.passed)
    leaving = asyncio.ensure_future(shut_down())
    await tick(3)
    await socket.drop()
    await leaving
    assert socket.closes == []


async def test_a_client_that_is_being_decided_on_is_closed_at_once() -> None:
    gate = asyncio.Event()

    async def on_connect(self: Any, payload: Any) -> None:
        await gate.wait()

    socket = AsgiSocket(consumer_class(on_connect=on_connect).as_asgi())
    socket.init()
    await wait_until(lambda: len(connections_of_loop()) == 1)
    await shut_down()
    await socket.ended()
    assert socket.closes == [RESTART]


async def test_who_comes_meanwhile_is_told_to_come_again() -> None:
    await shut_down()
    socket = AsgiSocket(consumer_class().as_asgi())
    await socket.ended()
    assert [event["type"] for event in socket.sent] == ["websocket.accept", "websocket.close"]
    assert socket.sent[0]["subprotocol"] == NEW
    assert socket.closes == [RESTART]


async def test_shutting_down_twice_does_no_harm() -> None:
    stage = Stage("mutation")
    socket = await live(stage=stage)
    socket.start("m", MUTATION)
    await wait_until(lambda: "mutation" in stage.passed)
    both = asyncio.gather(shut_down(), shut_down())
    await tick(5)
    stage.let_go("mutation")
    await both
    await socket.ended()
    assert socket.closes == [RESTART]


async def test_a_server_that_lets_no_application_say_1012_says_4012() -> None:
    """Daphne, whose WebSockets take 1000 and 3000 to 4999."""

    async def on_send(event: Event) -> None:
        if event["type"] == "websocket.close" and event["code"] == 1012:
            raise ValueError("invalid close code 1012 (must be 1000 or from [3000, 4999])")

    socket = AsgiSocket(consumer_class().as_asgi(), on_send=on_send)
    await socket.acknowledged()
    await shut_down()
    await socket.ended()
    assert socket.closes == [(4012, "Service restart")]


async def test_nobody_is_left_in_the_book_of_guests() -> None:
    socket = await live()
    assert len(connections_of_loop()) == 1
    await socket.drop()
    assert len(connections_of_loop()) == 0


async def test_our_own_client_says_that_the_server_restarts() -> None:
    client = GraphqlWsClient(GraphqlWsTransport(consumer_class().as_asgi(), "graphql/"))
    await client.connect_and_init()
    subscription = await client.subscribe(NEWS, wait_confirmation=False)
    await shut_down()
    with pytest.raises(ConnectionClosedError, match="1012: Service restart") as caught:
        await client.receive_next(subscription)
    assert (caught.value.code, caught.value.reason) == RESTART
    await client.finalize()


async def test_a_server_that_cancels_us_while_a_client_is_there_is_going_down() -> None:
    stage = Stage("mutation")
    codes: list[Any] = []
    socket = await live(stage=stage, on_disconnect=lambda _self, code: codes.append(code))
    socket.start("m", MUTATION)
    await wait_until(lambda: "mutation" in stage.passed)
    socket.task.cancel()
    await tick(5)
    stage.let_go("mutation")
    await socket.ended()
    assert socket.words[-1] == "complete:m"
    assert socket.closes == [RESTART]
    assert codes == [1012]


async def test_a_connection_that_was_never_accepted_is_just_cancelled() -> None:
    socket = AsgiSocket(consumer_class().as_asgi(), on_send=lambda _: asyncio.Event().wait())
    await tick(3)
    socket.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await socket.ended()


async def test_who_cancels_twice_waits_for_nothing_more() -> None:
    stage = Stage("subscribe")
    cls = consumer_class()
    socket = AsgiSocket(cls.as_asgi(), scope=stage.scope)
    await socket.acknowledged()
    socket.start("s", SLOW_NEWS)
    await wait_until(lambda: "subscribe" in stage.passed)
    for _ in range(2):
        socket.task.cancel()
        await tick(5)
    with pytest.raises(asyncio.CancelledError):
        await socket.ended()
    assert stage.passed == ["subscribe"]


class Server:
    """Has listened to the signal before us."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        signal.signal(SIGNAL, self._hear)

    def _hear(self, number: int, _frame: Any) -> None:
        self.heard.append(number)


class ServerOfLoop:
    """Listens with the event loop, as Granian and Hypercorn do."""

    def __init__(self) -> None:
        self.heard: list[int] = []
        asyncio.get_running_loop().add_signal_handler(SIGNAL, self.heard.append, SIGNAL)


@pytest.fixture(params=[Server, ServerOfLoop])
async def listening(request: pytest.FixtureRequest) -> Any:
    """A server that hears of signals, in both ways that there are."""
    yield request.param()
    asyncio.get_running_loop().remove_signal_handler(SIGNAL)


async def test_the_server_hears_a_signal_when_clients_have_been_told(listening: Any) -> None:
    server = listening
    stage = Stage("mutation")
    shut_down_on_signals(signals=(SIGNAL,))
    socket = await live(stage=stage)
    socket.start("m", MUTATION)
    await wait_until(lambda: "mutation" in stage.passed)
    signal.raise_signal(SIGNAL)
    await wait_until(lambda: connections_of_loop().is_draining)
    assert server.heard == []
    stage.let_go("mutation")
    await socket.ended()
    await wait_until(lambda: server.heard)
    assert server.heard == [SIGNAL]
    assert socket.closes == [RESTART]


async def test_a_second_signal_goes_to_the_server_at_once(listening: Any) -> None:
    server = listening
    connection = Drainable()
    shut_down_on_signals(signals=(SIGNAL,))
    connections_of_loop().add(connection)
    signal.raise_signal(SIGNAL)
    await wait_until(lambda: connection.timeouts)
    signal.raise_signal(SIGNAL)
    await tick(3)
    assert server.heard == [SIGNAL]
    connection.may_leave.set()
    await wait_until(lambda: len(server.heard) == 2)


def test_a_wish_without_an_event_loop_counts_from_the_first_connection_on() -> None:
    server = Server()
    shut_down_on_signals(3, (SIGNAL,))
    assert signal.getsignal(SIGNAL) == server._hear

    async def serve() -> None:
        connection = Drainable()
        connection.may_leave.set()
        connections_of_loop().add(connection)
        signal.raise_signal(SIGNAL)
        await wait_until(lambda: server.heard)
        assert connection.timeouts == [3]

    asyncio.run(serve())
    # Nobody is there any more who could be told: it is the server's alone.
    signal.raise_signal(SIGNAL)
    assert server.heard == [SIGNAL, SIGNAL]


def test_one_event_loop_after_another_listens_and_none_is_kept() -> None:
    server = Server()
    shut_down_on_signals(signals=(SIGNAL,))
    loops = []

    async def serve() -> None:
        connections_of_loop().add(Drainable())
        loops.append(ref(asyncio.get_running_loop()))

    for _ in range(3):
        asyncio.run(serve())
    assert shutdown._listeners[SIGNAL]._previous == server._hear
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3


def test_no_event_loop_is_kept_whose_server_listened_with_it() -> None:
    loops = []

    async def serve() -> None:
        server = ServerOfLoop()
        shut_down_on_signals(signals=(SIGNAL,))
        signal.raise_signal(SIGNAL)
        await wait_until(lambda: server.heard)
        loops.append(ref(asyncio.get_running_loop()))

    for _ in range(3):
        asyncio.run(serve())
    gc.collect()
    assert [loop() for loop in loops] == [None] * 3


async def test_without_anybody_before_us_the_signal_does_what_it_does() -> None:
    signal.signal(SIGNAL, signal.SIG_DFL)
    shut_down_on_signals(signals=(SIGNAL,))
    assert signal.getsignal(SIGNAL) != signal.SIG_DFL
    signal.raise_signal(SIGNAL)
    await wait_until(lambda: signal.getsignal(SIGNAL) == signal.SIG_DFL)


async def test_a_signal_that_is_ignored_stays_so() -> None:
    signal.signal(SIGNAL, signal.SIG_IGN)
    shut_down_on_signals(signals=(SIGNAL,))
    assert signal.getsignal(SIGNAL) == signal.SIG_IGN


def test_the_event_loop_of_another_thread_leaves_signals_alone() -> None:
    server = Server()

    async def serve() -> None:
        shut_down_on_signals(signals=(SIGNAL,))

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    thread.join()
    assert signal.getsignal(SIGNAL) == server._hear


async def test_the_lifespan_listens_at_the_start_and_shuts_down_at_the_end() -> None:
    server = Server()
    told: list[str] = []
    said: asyncio.Queue[Any] = asyncio.Queue()

    async def send(message: Any) -> None:
        told.append(message["type"])

    lifespan = GraphqlLifespan(timeout=4, signals=(SIGNAL,))
    serving = asyncio.ensure_future(lifespan({"type": "lifespan"}, said.get, send))
    said.put_nowait({"type": "lifespan.startup"})
    await wait_until(lambda: told)
    assert signal.getsignal(SIGNAL) != server._hear
    connection = Drainable()
    connections_of_loop().add(connection)
    said.put_nowait({"type": "lifespan.shutdown"})
    await wait_until(lambda: connection.timeouts)
    assert told == ["lifespan.startup.complete"]
    connection.may_leave.set()
    await serving
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert connection.timeouts == [4]

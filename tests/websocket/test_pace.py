"""One client is read slowly enough for the others, and is refused nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws.websocket import consumer
from channels_graphql_ws.websocket import pace as module
from channels_graphql_ws.websocket.pace import BURST_SECONDS, Pace
from news_schema import HELLO, NEWS, consumer_class
from support import Iterations, tick, wait_until

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])


class Clock:
    """A time that only the test lets pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.slept: list[float] = []
        monkeypatch.setattr(module, "monotonic", lambda: self.now)
        monkeypatch.setattr(module, "sleep", self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


async def send(pace: Pace, tokens: float, count: int) -> float:
    for _ in range(count):
        tokens -= 1
        if tokens < 0:
            tokens = await pace.give_way(tokens)
    return tokens


async def test_a_silent_client_may_send_a_burst_and_then_its_rate(clock: Clock) -> None:
    pace = Pace(10)
    tokens = await send(pace, pace.most, 10 * BURST_SECONDS)
    assert clock.slept == []
    tokens = await send(pace, tokens, 20)
    assert clock.now == pytest.approx(2)
    # What it has not sent it may send later, up to a burst.
    clock.now += 1_000
    clock.slept.clear()
    tokens = await send(pace, tokens, 10 * BURST_SECONDS)
    assert sum(clock.slept) == 0
    await send(pace, tokens, 10)
    assert sum(clock.slept) == pytest.approx(1, abs=0.2)


async def test_without_a_rate_nobody_is_too_fast(clock: Clock) -> None:
    pace = Pace(None)
    tokens = await send(pace, pace.most, 100_000)
    assert clock.slept == []
    assert await pace.give_way(tokens) == tokens
    assert clock.slept == []


@BOTH
async def test_who_sends_bursts_over_many_sockets_has_one_turn_for_one_of_another(
    subprotocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consumer, "SLICE", 0.0)
    cls = consumer_class()
    # Two addresses, the first of them with many sockets.
    clients = [("8.8.8.8", port) for port in range(10)] + [("9.9.9.9", 1)]
    sockets = [
        AsgiSocket(cls.as_asgi(), subprotocol, scope={"client": client}) for client in clients
    ]
    for socket in sockets:
        await socket.acknowledged()
    for socket in sockets:
        for number in range(20):
            socket.start(str(number), HELLO)
    other = sockets.pop()
    await wait_until(lambda: "complete:19" in other.words)
    assert sum(word.startswith("complete:") for each in sockets for word in each.words) < 50
    await wait_until(lambda: all("complete:19" in each.words for each in sockets))
    for socket in (*sockets, other):
        await socket.drop()


@BOTH
@pytest.mark.parametrize("receives_itself", [False, True])
async def test_a_burst_of_one_client_gives_way_to_the_others(
    subprotocol: str, receives_itself: bool
) -> None:
    """Both have sent all of it before the server looks at the first message."""

    async def receive_json(self: Any, content: Any, **kwargs: Any) -> None:
        await super(cls, self).receive_json(content, **kwargs)

    cls = consumer_class(**({"receive_json": receive_json} if receives_itself else {}))
    busy = AsgiSocket(cls.as_asgi(), subprotocol)
    other = AsgiSocket(cls.as_asgi(), subprotocol)
    await busy.acknowledged()
    await other.acknowledged()
    for number in range(2_000):
        busy.start(str(number), HELLO)
    other.start("1", HELLO)
    await wait_until(lambda: "complete:1" in other.words)
    assert len(busy.sent) < 2_000
    await wait_until(lambda: len(busy.sent) == 2 + 4_000)
    await busy.drop()
    await other.drop()


@BOTH
@pytest.mark.parametrize("what", ["queries", "pairs"])
async def test_a_thousand_at_once_are_all_answered_though_the_client_is_too_fast(
    subprotocol: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = list[float]()

    async def sleep_less(seconds: float) -> None:
        slept.append(seconds)
        await tick()

    monkeypatch.setattr(module, "sleep", sleep_less)
    cls = consumer_class(max_messages_per_second=100, max_operations_per_connection=20)
    socket = AsgiSocket(cls.as_asgi(), subprotocol)
    await socket.acknowledged()
    for number in range(1_000):
        socket.start(str(number), NEWS if what == "pairs" else HELLO)
        if what == "pairs":
            socket.stop(str(number))
    answers = 1_000 if what == "pairs" else 2_000
    await wait_until(lambda: len(socket.sent) == 2 + answers)
    assert sum(word.startswith("complete:") for word in socket.words) == 1_000
    assert not any(word.startswith("error") for word in socket.words)
    assert not socket.closes
    assert max(slept) > 0
    await socket.drop()


@BOTH
@pytest.mark.parametrize(("seconds", "at_once"), [(0, 20), (100, 5), (500, 1)])
async def test_messages_whose_work_comes_later_are_taken_a_few_at_a_time(
    subprotocol: str, seconds: float, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []

    async def on_operation(self: Any, op_id: Any, payload: Any) -> None:
        begun.append(iterations.number)

    monkeypatch.setattr(consumer, "SLICE", 450)
    monkeypatch.setattr(consumer, "AT_LEAST", seconds)
    cls = consumer_class(on_operation=on_operation, max_messages_per_second=None)
    socket = AsgiSocket(cls.as_asgi(), subprotocol)
    await socket.acknowledged()
    # It has counted the messages of before, too.
    socket.say("ping")
    await tick(5)
    iterations = Iterations()
    for number in range(20):
        socket.start(str(number), HELLO)
    await wait_until(lambda: len(begun) == 20)
    assert max(Counter(begun).values()) == at_once
    await socket.drop()

"""Events of those who have had much of a hub's time, while others wait for theirs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from types import SimpleNamespace
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer

from channels_graphql_ws.pubsub import hub, late_events
from channels_graphql_ws.pubsub.hub import Hub, hub_of
from channels_graphql_ws.serializer import Serializer
from support import FakeListener, tick, wait_until

END = FakeListener.END

clock = SimpleNamespace(now=0.0)


class Listener(FakeListener):
    """Takes its time for each event."""

    def __init__(self, owner: Hashable, seconds: float = 0.0) -> None:
        super().__init__(owner)
        self.seconds = seconds

    def run_next(self) -> bool:
        clock.now += self.seconds
        order.append(self)
        return super().run_next()


order: list[Listener] = []
"""Whose turn it was."""


@pytest.fixture
async def ear(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    """A hub that is behind from its second step on."""
    monkeypatch.setattr(hub, "monotonic", lambda: clock.now)
    monkeypatch.setattr(hub, "STEPS_AT_ONCE", 1)
    order.clear()
    ear = hub_of(InMemoryChannelLayer())
    ear.acquire()
    yield ear
    await wait_until(lambda: not ear._is_running)
    late = ear._late
    assert (late.count, late.places, late.size, bool(late)) == (0, 0, 0, False)
    assert not late._spent
    assert not late._owners
    assert not late._owners_of_waiting
    assert not late._waiting
    await ear.release()


def heavy(count: int = 5, owner: Hashable = "heavy") -> list[Listener]:
    return [Listener(owner, hub.SECONDS_AT_ONCE) for _ in range(count)]


def send(ear: Hub, group: str, *payloads: Any) -> None:
    for payload in payloads:
        data = Serializer.serialize(payload)
        ear.deliver_soon({"type": "broadcast", "group": group, "payload": data})


async def heard(listeners: list[Listener], *what: Any) -> None:
    await wait_until(lambda: all(len(each.heard) >= len(what) for each in listeners))
    assert [each.heard for each in listeners] == [list(what)] * len(listeners)


@pytest.fixture(params=["known", "not known"])
def owner(request: pytest.FixtureRequest) -> Hashable:
    return "heavy" if request.param == "known" else None


async def test_who_has_had_much_waits_for_the_others_and_hears_everything(
    ear: Hub, owner: Hashable
) -> None:
    slow, quick = heavy(owner=owner), Listener("quick")
    for listener in slow:
        ear.listen(listener, ("A",))
    ear.listen(quick, ("B",))
    send(ear, "A", *range(100))
    await wait_until(lambda: len(slow[0].heard) >= 15)
    before = len(order)
    send(ear, "B", 1)
    await heard([quick], 1)
    # It was the turn of few before.
    assert order.index(quick) - before < 10
    await heard(slow, *range(100))


async def test_those_who_were_offered_an_event_before_it_was_behind_wait_as_well(ear: Hub) -> None:
    slow, quick = heavy(100), Listener("quick")
    for listener in slow:
        ear.listen(listener, ("A",))
    ear.listen(quick, ("B",))
    send(ear, "A", 1)
    send(ear, "B", 1)
    await heard([quick], 1)
    assert order.index(quick) < 50
    await heard(slow, 1)


async def test_owners_who_have_had_much_take_turns(ear: Hub) -> None:
    first, second = heavy(20, "first"), heavy(1, "second")
    for listener in (*first, *second):
        ear.listen(listener, ("A",))
    send(ear, "A", *range(20))
    await heard(second, *range(20))
    # The one has as many turns as the twenty of the other.
    assert len(order) < 20 + 20 + 40
    await heard(first, *range(20))


async def test_who_is_ready_again_waits_as_well(ear: Hub) -> None:
    [slow], quick = heavy(1), Listener("quick")
    ear.listen(slow, ("A",))
    ear.listen(quick, ("B",))
    # As what has waited for something does.
    for number in range(50):
        slow.offer(SimpleNamespace(payload=lambda number=number: number))
    ear.call(slow)
    await wait_until(lambda: len(slow.heard) > 20)
    send(ear, "B", 1)
    before = len(order)
    await heard([quick], 1)
    assert order.index(quick) - before < 10
    await heard([slow], *range(50))


async def test_the_end_comes_behind_what_waits(ear: Hub) -> None:
    slow, other = heavy(), Listener("other")
    for listener in slow:
        ear.listen(listener, ("A",))
    ear.listen(other, ("B",))
    send(ear, "A", *range(30))
    await wait_until(lambda: len(slow[0].heard) >= 10 and ear._late.count)
    ear.deliver_soon({"type": "unsubscribe", "group": "A"})
    await heard(slow, *range(30), END)


@pytest.mark.parametrize("limit", ["INBOX_LIMIT", "INBOX_BYTES", "MOST_PLACES"])
async def test_what_is_too_much_comes_to_the_queues(
    ear: Hub, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = heavy()
    for listener in slow:
        ear.listen(listener, ("A",))
    send(ear, "A", *range(10))
    await wait_until(lambda: len(slow[0].heard) >= 5)
    monkeypatch.setattr(hub, limit, 4)
    send(ear, "A", *range(10, 30))
    await tick(5)
    assert ear._late.count <= 4
    assert slow[0].queued > 10
    await heard(slow, *range(30))


class Costly(Listener):
    """Takes its time for an offer."""

    def offer(self, notification: Any) -> bool:
        # The end is `None`, and comes to all at once.
        if notification is not None:
            clock.now += hub.SECONDS_AT_ONCE
            offers[-1] += 1
        return super().offer(notification)


offers: list[int] = []
"""How many there were in each step."""


async def steps_until(done: Callable[[], bool]) -> None:
    """Wait, and count the offers of each iteration of the event loop."""
    for _ in range(100_000):
        if done():
            return
        offers.append(0)
        await tick()
    raise AssertionError("never")


@pytest.mark.parametrize("end", ["unsubscribe", "too many", "too many, and an inbox that is full"])
async def test_many_that_wait_are_offered_their_events_over_many_steps(
    ear: Hub, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    offers[:] = [0]
    listeners = [Costly("heavy") for _ in range(3 * late_events.OFFERS_AT_ONCE)]
    for listener in listeners:
        ear.listen(listener, ("A",))
    ear._late.charge(listeners[0], 1000.0, clock.now + 1.0)
    send(ear, "A", *range(7))
    await steps_until(lambda: ear._late.count >= 5)
    events = list(range(7))
    if end == "unsubscribe":
        ear.deliver_soon({"type": "unsubscribe", "group": "A"})
        events.append(END)
    else:
        monkeypatch.setattr(hub, "MOST_PLACES", 1)
        if end != "too many":
            monkeypatch.setattr(hub, "INBOX_LIMIT", 2)
        send(ear, "A", *range(7, 14))
        events += range(7, 14)
    offers[:] = []
    await steps_until(lambda: all(len(each.heard) == len(events) for each in listeners))
    assert all(each.heard == events for each in listeners)
    assert max(offers) <= late_events.OFFERS_AT_ONCE + 1


async def test_a_listener_that_fails_costs_the_others_nothing(
    ear: Hub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Listener):
        def offer(self, notification: Any) -> bool:
            raise asyncio.CancelledError if len(self.heard) else RuntimeError("no")

    class Breaking(Listener):
        def run_next(self) -> bool:
            super().run_next()
            raise RuntimeError("broken")

    slow = heavy(2)
    failing, breaking = Failing("heavy"), Breaking("heavy")
    for listener in (slow[0], failing, breaking, slow[1]):
        ear.listen(listener, ("A",))
    send(ear, "A", *range(20))
    await wait_until(lambda: ear._late.count > 0)
    monkeypatch.setattr(hub, "INBOX_LIMIT", 2)
    send(ear, "A", 20)
    await heard(slow, *range(21))
    assert "Lost a turn of" in caplog.text
    assert "Lost a notification of" in caplog.text


async def test_what_somebody_has_had_counts_less_with_time(ear: Hub) -> None:
    late = late_events.LateEvents()
    [listener] = heavy(1)
    late.charge(listener, 2 * late_events.ALLOWANCE, 10.0)
    assert late.is_late(listener)
    for second in range(1, 3):
        late.charge(listener, 0.0, 10.0 + 2 * second * late_events.PERIOD)
    assert not late.is_late(listener)
    for second in range(3, 12):
        late.charge(Listener("other"), 0.0, 10.0 + 2 * second * late_events.PERIOD)
    assert "heavy" not in late._spent


async def test_who_joins_a_listener_does_not_change_its_order(ear: Hub) -> None:
    slow = heavy(2)
    for listener in slow:
        ear.listen(listener, ("A",))
    send(ear, "A", *range(20))
    await wait_until(lambda: len(slow[0].heard) >= 5 and ear._late.count)
    slow[0].owner = "another"
    clock.now += 2 * late_events.PERIOD
    send(ear, "A", *range(20, 30))
    await heard(slow, *range(30))

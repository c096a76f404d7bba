"""The queue of a subscription, its turns and its end."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import graphene
import pytest

from channels_graphql_ws import Subscription
from channels_graphql_ws.subscription.event import EventExecution
from channels_graphql_ws.subscription.queue import drops
from engine_fakes import FakeClient, Gate, Rig, cancel, notification, schema_of
from support import tick, wait_until

pytestmark = pytest.mark.usefixtures("executor")

NUMBERS = "subscription { event { number } }"


class Event(Subscription):
    """Sends numbers, and does on the way what a test wants it to."""

    number = graphene.Int()
    meanwhile: Any = None
    at_the_end: Any = None
    ended: list[Any]

    @classmethod
    def publish(cls, payload, info):
        if cls.meanwhile is None:
            return {"number": payload}
        return cls.meanwhile(payload)

    @classmethod
    def unsubscribed(cls, root, info):
        cls.ended.append((root, info.context.id))
        return cls.at_the_end and cls.at_the_end()


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(Event, "meanwhile", None)
    monkeypatch.setattr(Event, "at_the_end", None)
    monkeypatch.setattr(Event, "ended", [], raising=False)
    monkeypatch.setattr(drops, "count", 0)


@pytest.fixture
def rig() -> Rig:
    return Rig(schema_of(Event), subscription_notification_queue_limit=5)


def numbers(client: FakeClient) -> list[int]:
    return [data["number"] for data in client.data]


async def test_notifications_are_sent_at_once_and_without_a_task(rig):
    client = await rig.subscribe(NUMBERS)
    known = asyncio.all_tasks()
    for number in range(3):
        rig.hub.broadcast(number)
    assert numbers(client) == [0, 1, 2]
    assert asyncio.all_tasks() == known


async def test_notifications_keep_their_order_however_long_each_takes(rig):
    async def uneven(payload):
        await tick(payload % 4)
        return {"number": payload}

    Event.meanwhile = uneven
    client = await rig.subscribe(NUMBERS)
    for number in range(5):
        rig.hub.broadcast(number)
    await client.hears(5)
    assert numbers(client) == [0, 1, 2, 3, 4]


async def test_they_are_executed_one_at_a_time(rig):
    Event.meanwhile = gate = Gate()
    client = await rig.subscribe(NUMBERS)
    rig.hub.broadcast(1)
    rig.hub.broadcast(2)
    await tick(5)
    assert gate.entered == [1]
    gate.open.set()
    await client.hears(2)


async def test_a_slow_subscription_delays_no_other(rig):
    gate = Gate()
    Event.meanwhile = lambda payload: gate(payload) if payload == 1 else {"number": payload}
    slow = await rig.subscribe(NUMBERS, id="slow")
    rig.hub.broadcast(1)
    quick = await rig.subscribe(NUMBERS, id="quick")
    rig.hub.broadcast(2)
    assert (numbers(slow), numbers(quick)) == ([], [2])
    gate.open.set()
    await slow.hears(2)


async def test_a_client_that_is_not_ready_is_waited_for(rig):
    client = await rig.subscribe(NUMBERS)
    client.waiting = ready = asyncio.get_running_loop().create_future()
    rig.hub.broadcast(1)
    rig.hub.broadcast(2)
    await tick(3)
    assert client.results == []
    client.waiting = None
    ready.set_result(None)
    await client.hears(2)
    assert numbers(client) == [1, 2]


async def test_a_client_that_was_not_ready_may_meet_a_publish_that_waits(rig):
    Event.meanwhile = gate = Gate()
    gate.open.set()
    client = await rig.subscribe(NUMBERS)
    client.waiting = tick()
    rig.hub.broadcast(1)
    await client.hears(1)


async def test_a_turn_is_announced_once(rig):
    Event.meanwhile = gate = Gate()
    client = await rig.subscribe(NUMBERS)
    assert client.cohort.offer(notification(1))
    assert not client.cohort.offer(notification(2))
    assert not client.cohort.finish()
    gate.open.set()
    assert not client.cohort.run_next()
    await client.hears(2)
    await wait_until(lambda: client.heard[-1] == ("completed", None))


async def test_the_oldest_gives_way_and_the_one_being_executed_does_not_count(rig):
    Event.meanwhile = gate = Gate()
    client = await rig.subscribe(NUMBERS)
    for number in range(10):
        rig.hub.broadcast(number)
    gate.open.set()
    await client.hears(6)
    assert numbers(client) == [0, 5, 6, 7, 8, 9]
    assert client.cohort.dropped == drops.count == 4


async def test_a_limit_of_one_means_the_first_and_the_latest_and_is_no_warning(caplog):
    rig = Rig(schema_of(Event), subscription_notification_queue_limit=1)
    Event.meanwhile = gate = Gate()
    client = await rig.subscribe(NUMBERS)
    for number in range(100):
        rig.hub.broadcast(number)
    gate.open.set()
    await client.hears(2)
    assert numbers(client) == [0, 99]
    assert caplog.records == []
    assert drops.count == 98


def test_the_default_is_to_drop_the_oldest():
    assert Subscription.notification_queue_policy == "drop_oldest"


async def test_the_newest_gives_way_if_the_class_wants_it(rig, monkeypatch):
    monkeypatch.setattr(Event, "notification_queue_policy", "drop_newest")
    Event.meanwhile = gate = Gate()
    client = await rig.subscribe(NUMBERS)
    for number in range(10):
        rig.hub.broadcast(number)
    gate.open.set()
    await client.hears(6)
    assert numbers(client) == [0, 1, 2, 3, 4, 5]


@pytest.fixture
def closing(monkeypatch) -> None:
    """End a subscription whose queue is full."""
    monkeypatch.setattr(Event, "notification_queue_policy", "close")


TOO_SLOW = {
    "data": None,
    "errors": [
        {
            "message": "Too many notifications wait for this subscription: it is ended.",
            "extensions": {"code": "SLOW_CONSUMER"},
        }
    ],
}


@pytest.mark.usefixtures("closing")
async def test_a_subscription_that_is_too_slow_ends_with_an_error(rig):
    Event.meanwhile = gate = Gate()
    client = await rig.subscribe(NUMBERS)
    for number in range(10):
        rig.hub.broadcast(number)
    assert client.heard == []
    gate.open.set()
    await wait_until(lambda: client.heard and client.heard[-1] == ("completed", None))
    # The one under way is delivered, those that waited are not.
    first, error = client.results
    assert first == {"data": {"event": {"number": 0}}}
    assert error == TOO_SLOW
    assert client.cohort.dropped == 6
    assert len(Event.ended) == 1
    assert not rig.hub.all_listeners()


@pytest.mark.usefixtures("closing")
async def test_a_client_that_does_not_read_is_told_when_it_reads_again(rig):
    client = await rig.subscribe(NUMBERS)
    client.waiting = ready = asyncio.get_running_loop().create_future()
    for number in range(100):
        rig.hub.broadcast(number)
    await tick(3)
    assert client.heard == []
    client.waiting = None
    ready.set_result(None)
    await wait_until(lambda: client.heard and client.heard[-1] == ("completed", None))
    assert client.results == [{"data": {"event": {"number": 0}}}, TOO_SLOW]


@pytest.mark.usefixtures("closing")
async def test_too_slow_before_it_is_live_it_ends_then(rig):
    rig.hub.joining = asyncio.get_running_loop().create_future()
    client, rest = rig.begin(NUMBERS)
    task = asyncio.create_task(rest)
    for number in range(6):
        rig.hub.broadcast(number)
    rig.hub.joining.set_result(None)
    await task
    await wait_until(lambda: client.heard == [("next", TOO_SLOW), ("completed", None)])


@pytest.mark.usefixtures("closing")
async def test_the_users_words_are_used_for_being_too_slow(rig):
    rig.session.formatter = lambda error: {"message": "slow", **(error.extensions or {})}
    Event.meanwhile = gate = Gate()
    client = await rig.subscribe(NUMBERS)
    for number in range(7):
        rig.hub.broadcast(number)
    gate.open.set()
    await client.hears(2)
    assert client.results[1]["errors"] == [{"message": "slow", "code": "SLOW_CONSUMER"}]


@pytest.mark.usefixtures("closing")
async def test_a_client_that_leaves_while_too_slow_is_told_nothing(rig):
    Event.meanwhile = gate = Gate()
    client = await rig.subscribe(NUMBERS)
    for number in range(10):
        rig.hub.broadcast(number)
    await rig.end(client)
    gate.open.set()
    await tick(5)
    assert client.heard == []
    assert len(Event.ended) == 1


async def test_alike_notifications_are_coalesced_while_they_wait_and_not_before():
    asked = []

    class Coalesced(Subscription):
        number = graphene.Int()
        notification_queue_policy = "coalesce"
        gate = Gate()

        @staticmethod
        def coalesce(payload):
            asked.append(payload)
            return payload % 10

        @classmethod
        async def publish(cls, payload, info):
            return await cls.gate(payload)

    rig = Rig(schema_of(Coalesced), subscription_notification_queue_limit=5)
    client = await rig.subscribe(NUMBERS)
    for number in (1, 11, 2, 21, 12, 31):
        rig.hub.broadcast(number)
    assert asked == [11, 2, 21, 12, 31]
    Coalesced.gate.open.set()
    await client.hears(3)
    rig.hub.broadcast(41)
    await client.hears(4)
    assert numbers(client) == [1, 31, 12, 41]
    assert len(asked) == 5
    await rig.end(client)


async def test_an_event_that_breaks_execution_itself_is_lost_alone(rig, caplog, monkeypatch):
    def broken(plan, payload):
        raise LookupError

    client = await rig.subscribe(NUMBERS, id="77")
    with monkeypatch.context() as patched:
        patched.setattr(EventExecution, "start_here", broken)
        rig.hub.broadcast(1)
    rig.hub.broadcast(2)
    lost, found = client.results
    assert lost == {"data": None, "errors": [{"message": "Internal server error"}]}
    assert found == {"data": {"event": {"number": 2}}}
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert isinstance(record.exc_info[1], LookupError)
    assert "77" in record.message


def stray_at_once(payload):
    raise asyncio.CancelledError


async def stray_later(payload):
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    await future


@pytest.mark.parametrize("stray", [stray_at_once, stray_later])
async def test_something_cancelled_in_publish_costs_one_event(rig, caplog, stray):
    Event.meanwhile = lambda payload: stray(payload) if payload == 1 else {"number": payload}
    client = await rig.subscribe(NUMBERS)
    rig.hub.broadcast(1)
    rig.hub.broadcast(2)
    await client.hears(2)
    lost, found = client.results
    assert lost == {"data": None, "errors": [{"message": "Internal server error"}]}
    assert found == {"data": {"event": {"number": 2}}}
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


async def test_a_formatter_that_fails_costs_the_words(rig, caplog):
    def broken(payload):
        raise ValueError("secret")

    Event.meanwhile = broken
    rig.session.formatter = lambda error: {}["missing"]
    client = await rig.subscribe(NUMBERS)
    rig.hub.broadcast(1)
    assert client.results[0]["errors"] == [{"message": "Internal server error"}]


async def test_the_end_leaves_the_groups_and_calls_the_hook_once(rig):
    client = await rig.subscribe(NUMBERS, id="77")
    await rig.end(client)
    await rig.end(client)
    assert Event.ended == [(None, "77")]
    assert not rig.hub.all_listeners()
    assert client.heard == []


async def test_groups_are_left_before_the_hook_is_called(rig):
    seen = []
    Event.at_the_end = lambda: seen.append(rig.hub.all_listeners())
    await rig.end(await rig.subscribe(NUMBERS))
    assert seen == [set()]


async def test_a_class_without_the_hook_needs_none():
    class Bare(Subscription):
        number = graphene.Int()

        @staticmethod
        def publish(payload, info):
            return {"number": payload}

    rig = Rig(schema_of(Bare))
    client = await rig.subscribe(NUMBERS)
    await rig.end(client)
    assert not rig.hub.all_listeners()


async def test_the_server_ends_behind_what_was_broadcast_before(rig):
    Event.meanwhile = gate = Gate()
    client = await rig.subscribe(NUMBERS)
    rig.hub.broadcast(1)
    rig.hub.broadcast(2)
    rig.hub.unsubscribe()
    rig.hub.unsubscribe()
    rig.hub.broadcast(3)
    gate.open.set()
    await wait_until(lambda: client.heard and client.heard[-1] == ("completed", None))
    assert numbers(client) == [1, 2]
    assert len(Event.ended) == 1


async def test_the_server_ends_an_idle_subscription_at_once(rig):
    client = await rig.subscribe(NUMBERS)
    rig.hub.unsubscribe()
    assert client.heard == [("completed", None)]
    assert len(Event.ended) == 1
    assert not rig.hub.all_listeners()
    rig.hub.broadcast(1)
    assert client.heard == [("completed", None)]


async def test_the_hook_is_called_before_complete_is_said(rig):
    Event.at_the_end = finish = asyncio.Event().wait
    event = finish.__self__
    client = await rig.subscribe(NUMBERS)
    rig.hub.unsubscribe()
    await tick(3)
    assert (client.heard, len(Event.ended)) == ([], 1)
    event.set()
    await wait_until(lambda: client.heard == [("completed", None)])


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_hook_that_fails_is_logged_and_complete_is_said(rig, caplog, asynchronous):
    def fail():
        raise ValueError("boom")

    async def fail_later():
        await tick()
        raise ValueError("boom")

    Event.at_the_end = fail_later if asynchronous else fail
    client = await rig.subscribe(NUMBERS, id="77")
    rig.hub.unsubscribe()
    await wait_until(lambda: client.heard == [("completed", None)])
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert "77" in record.message


async def test_something_cancelled_in_the_hook_is_a_failure_too(rig, caplog):
    def stray():
        raise asyncio.CancelledError

    Event.at_the_end = stray
    client = await rig.subscribe(NUMBERS)
    rig.hub.unsubscribe()
    assert client.heard == [("completed", None)]
    assert len(caplog.records) == 1


async def test_a_publish_under_way_is_stopped_and_waited_for(rig):
    stopped = []

    async def endless(payload):
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await tick(3)
            stopped.append(len(Event.ended))

    Event.meanwhile = endless
    client = await rig.subscribe(NUMBERS)
    rig.hub.broadcast(1)
    rig.hub.broadcast(2)
    await tick()
    await rig.end(client)
    assert stopped == [0]
    assert len(Event.ended) == 1
    assert client.heard == []


async def test_a_publish_that_will_not_be_stopped_is_not_heard(rig):
    async def stubborn(payload):
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return {"number": payload}

    Event.meanwhile = stubborn
    client = await rig.subscribe(NUMBERS)
    rig.hub.broadcast(1)
    await tick()
    await rig.end(client)
    assert client.heard == []
    assert len(Event.ended) == 1


async def test_a_publish_that_never_ends_keeps_nobody_from_the_hook(rig):
    gate = asyncio.get_running_loop().create_future()

    async def stubborn(payload):
        try:
            await gate
        except asyncio.CancelledError:
            await asyncio.get_running_loop().create_future()

    Event.meanwhile = stubborn
    client = await rig.subscribe(NUMBERS)
    rig.hub.broadcast(1)
    await tick()
    ending = asyncio.create_task(rig.end(client))
    await tick(3)
    assert Event.ended == []
    await cancel(ending)
    assert len(Event.ended) == 1
    await cancel(client.cohort._task)


async def test_two_who_end_it_at_the_same_time_both_wait_for_the_end(rig):
    Event.at_the_end = finish = asyncio.Event().wait
    client = await rig.subscribe(NUMBERS)
    rig.hub.unsubscribe()
    await tick()
    other = asyncio.create_task(rig.end(client))
    await tick(3)
    assert not other.done()
    finish.__self__.set()
    await other
    assert len(Event.ended) == 1
    assert client.heard == [("completed", None)]


async def test_a_hook_that_is_cancelled_is_not_called_again(rig):
    Event.at_the_end = asyncio.Event().wait
    client = await rig.subscribe(NUMBERS)
    ending = asyncio.create_task(rig.end(client))
    await tick()
    await cancel(ending)
    assert ending.cancelled()
    await rig.end(client)
    assert len(Event.ended) == 1


async def test_what_ended_before_it_was_live_stays_silent(rig):
    rig.hub.joining = asyncio.get_running_loop().create_future()
    client, rest = rig.begin(NUMBERS)
    task = asyncio.create_task(rest)
    rig.hub.broadcast(1)
    await tick()
    await rig.end(client)
    rig.hub.joining.set_result(None)
    await task
    await tick(3)
    assert client.heard == []
    assert len(Event.ended) == 1


async def test_what_comes_before_it_is_live_is_executed_then(rig):
    rig.hub.joining = asyncio.get_running_loop().create_future()
    client, rest = rig.begin(NUMBERS)
    task = asyncio.create_task(rest)
    rig.hub.broadcast(1)
    rig.hub.unsubscribe()
    await tick()
    assert client.heard == []
    rig.hub.joining.set_result(None)
    await task
    await wait_until(lambda: client.heard and client.heard[-1] == ("completed", None))
    assert numbers(client) == [1]


async def test_a_turn_that_comes_too_late_does_nothing(rig):
    client = await rig.subscribe(NUMBERS)
    assert client.cohort.offer(notification(1))
    await rig.end(client)
    assert not client.cohort.run_next()
    assert not client.cohort.offer(notification(2))
    assert client.heard == []


async def test_an_unsubscribed_hook_that_hangs_ends_with_the_patience_of_who_waits(rig):
    Event.at_the_end = asyncio.Event().wait
    client = await rig.subscribe(NUMBERS)
    known = asyncio.all_tasks()
    rig.hub.unsubscribe()
    await tick()
    assert len(Event.ended) == 1
    ending = asyncio.create_task(rig.end(client))
    await tick()
    await cancel(ending)
    assert asyncio.all_tasks() == known


async def test_a_turn_that_breaks_costs_no_other(rig):
    def cancelled(result):
        raise asyncio.CancelledError

    client = await rig.subscribe(NUMBERS)
    client.cohort.offer(notification(1))
    client.cohort.offer(notification(2))
    client.next = cancelled
    with pytest.raises(asyncio.CancelledError):
        client.cohort.run_next()
    del client.next
    await client.hears(1)
    client.cohort.offer(notification(3))
    client.cohort.run_next()
    assert numbers(client) == [2, 3]


async def test_a_turn_that_breaks_behind_the_end_is_none(rig):
    def broken():
        raise RuntimeError("a mistake")

    client = await rig.subscribe(NUMBERS)
    client.completed = broken
    with pytest.raises(RuntimeError):
        rig.hub.unsubscribe()
    assert not client.cohort.run_next()

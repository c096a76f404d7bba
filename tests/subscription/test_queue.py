"""What waits for a subscription, and what gives way."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import tracemalloc
from types import SimpleNamespace
from typing import Any

import pytest

from channels_graphql_ws import Subscription
from channels_graphql_ws.subscription import queue as queue_module
from channels_graphql_ws.subscription.continuity import LostEvents
from channels_graphql_ws.subscription.queue import (
    DropLog,
    NotificationQueue,
    QueuedBytes,
    queue_for,
)
from engine_fakes import notification

pytestmark = pytest.mark.usefixtures("executor")


@pytest.fixture(autouse=True)
def log(monkeypatch) -> DropLog:
    """A log of drops that has warned of nothing yet."""
    log = DropLog()
    monkeypatch.setattr(queue_module, "drops", log)
    return log


def made(
    policy: Any, limit: int = 3, queued: QueuedBytes | None = None, **options: Any
) -> NotificationQueue:
    """Make the queue of a class with that policy."""

    class OnNews(Subscription, publish=lambda payload, info: payload, **options):
        notification_queue_policy = policy

    return queue_for(OnNews, limit, queued)


def put(queue: NotificationQueue, *payloads: Any) -> list[bool]:
    return [queue.put(notification(payload)) for payload in payloads]


def taken(queue: NotificationQueue) -> list[Any]:
    """Take all there is."""
    payloads = []
    while (each := queue.take()) is not None:
        payloads.append(each.payload())
    return payloads


def room(payload: Any) -> Any:
    return payload["room"]


def key_of_first(payload: Any) -> Any:
    return payload[0]


POLICIES = ["drop_oldest", "drop_newest", "close", "coalesce"]


@pytest.fixture(params=POLICIES)
def queue(request) -> NotificationQueue:
    """A queue of each policy, with room for three, where nothing is alike."""
    return made(request.param, coalesce=lambda payload: None)


def test_notifications_keep_their_order(queue):
    assert put(queue, 1, 2, 3) == [True] * 3
    assert taken(queue) == [1, 2, 3]


def test_an_empty_queue_gives_nothing_and_may_be_filled_again(queue):
    assert queue.take() is None
    put(queue, 1)
    assert taken(queue) == [1]
    assert queue.take() is None
    put(queue, 2)
    assert taken(queue) == [2]


def test_a_queue_that_is_cleared_is_empty_and_of_use(queue):
    queue.clear()
    put(queue, 1, 2)
    queue.clear()
    assert taken(queue) == []
    put(queue, 3)
    assert taken(queue) == [3]


def test_nothing_is_dropped_while_there_is_room(queue, log, caplog):
    for number in range(100):
        put(queue, number, number)
        queue.take()
        queue.take()
    assert (queue.dropped, log.count, caplog.records) == (0, 0, [])


@pytest.mark.parametrize(
    ("policy", "kept"), [("drop_oldest", [8, 9, 10]), ("drop_newest", [1, 2, 3])]
)
def test_a_full_queue_keeps_the_newest_or_the_oldest(policy, kept, log):
    queue = made(policy)
    assert put(queue, *range(1, 11)) == [True] * 10
    assert queue.dropped == log.count == 7
    assert taken(queue) == kept


def test_a_full_queue_that_closes_forgets_all_and_says_so(log):
    queue = made("close")
    assert put(queue, 1, 2, 3, 4) == [True, True, True, False]
    assert queue.dropped == log.count == 4
    assert taken(queue) == []


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("drop_oldest", "dropped, the oldest first"),
        ("drop_newest", "dropped, the newest first"),
        ("close", "it is ended"),
        ("coalesce", "dropped, the oldest first"),
    ],
)
def test_the_log_says_what_happens_to_a_full_queue(policy, words, caplog):
    put(made(policy, coalesce=lambda payload: None), 1, 2, 3, 4)
    [record] = caplog.records
    assert (record.levelno, record.name) == (logging.WARNING, "channels_graphql_ws.broadcast")
    assert "OnNews cannot keep up" in record.message
    assert words in record.message
    assert "limit 3" in record.message


@pytest.mark.parametrize("policy", POLICIES)
def test_with_a_limit_of_one_only_an_end_is_worth_a_warning(policy, caplog):
    queue = made(policy, 1, coalesce=lambda payload: None)
    put(queue, 1, 2)
    assert queue.dropped == (2 if policy == "close" else 1)
    assert len(caplog.records) == (policy == "close")


def test_drops_are_warned_of_once_in_a_while(monkeypatch, caplog):
    now = 1000.0
    monkeypatch.setattr(queue_module, "time", SimpleNamespace(monotonic=lambda: now))
    queue = made("drop_oldest")
    put(queue, *range(8))
    now += DropLog.interval
    put(queue, 8)
    first, second = caplog.records
    assert "limit 3, 1 dropped" in first.message
    assert "6 dropped" in second.message


def test_the_newest_takes_the_place_of_the_older_with_the_same_key(log):
    queue = made("coalesce", coalesce=room)
    first, second, third = ({"room": name, "n": n} for n, name in enumerate("aba"))
    assert put(queue, first, second, third) == [True] * 3
    assert taken(queue) == [third, second]
    assert (queue.dropped, log.count) == (0, 0)


def test_only_what_waits_is_replaced():
    queue = made("coalesce", coalesce=room)
    put(queue, {"room": "a", "n": 1})
    queue.take()
    put(queue, {"room": "a", "n": 2})
    assert taken(queue) == [{"room": "a", "n": 2}]


def test_many_with_few_keys_need_little_room(log):
    queue = made("coalesce", coalesce=key_of_first)
    put(queue, *([number % 3, number] for number in range(1000)))
    assert taken(queue) == [[0, 999], [1, 997], [2, 998]]
    assert log.count == 0


def test_without_a_key_nothing_is_replaced():
    queue = made("coalesce", coalesce=lambda payload: payload or None)
    put(queue, 0, 0, 5)
    assert taken(queue) == [0, 0, 5]


def test_too_many_keys_and_the_oldest_is_dropped_and_its_key_forgotten():
    queue = made("coalesce", coalesce=key_of_first)
    put(queue, ["a", 1], ["b", 1], ["c", 1], ["d", 1], ["a", 2])
    assert queue.dropped == 2
    assert taken(queue) == [["c", 1], ["d", 1], ["a", 2]]


def unhashable(payload: Any) -> Any:
    return [payload]


def failing(payload: Any) -> Any:
    raise LookupError("no key")


def cancelled(payload: Any) -> Any:
    raise asyncio.CancelledError


@pytest.mark.parametrize("hook", [unhashable, failing, cancelled])
def test_a_hook_that_fails_is_logged_and_nothing_is_lost(hook, caplog):
    queue = made("coalesce", coalesce=lambda payload: hook(payload) if payload else "key")
    put(queue, 1, 1, 0)
    put(queue, 0)
    assert taken(queue) == [1, 1, 0]
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "`coalesce` of" in caplog.messages[0]
    assert caplog.records[0].exc_info


def test_the_hook_is_asked_once_for_all_subscriptions_and_its_failure_logged_once(caplog):
    asked = []

    def hook(payload):
        asked.append(payload)
        return failing(payload)

    first = made("coalesce", coalesce=hook)
    second = made("coalesce", coalesce=hook)
    news = notification("tea")
    for queue in (first, second, first):
        queue.put(news)
    assert asked == ["tea"]
    assert len(caplog.records) == 1


def test_classes_do_not_share_their_keys():
    by_room = made("coalesce", coalesce=room)
    alone = made("coalesce", coalesce=lambda payload: None)
    for n in (1, 2):
        news = notification({"room": "a", "n": n})
        by_room.put(news)
        alone.put(news)
    assert len(taken(by_room)) == 1
    assert len(taken(alone)) == 2


def test_the_hook_has_the_payload_for_itself():
    queue = made("coalesce", coalesce=lambda payload: payload.pop("room"))
    put(queue, {"room": "a", "n": 1})
    assert taken(queue) == [{"room": "a", "n": 1}]


def test_a_notice_of_lost_events_is_not_coalesced_and_no_hook_is_asked() -> None:
    queue = made("coalesce", coalesce=room)
    for number in range(2):
        assert queue.put(LostEvents(1, number))
    put(queue, {"room": "a"}, {"room": "a"})
    assert taken(queue) == [None, None, {"room": "a"}]


# Bytes: what waits for one client, in all queues of its subscriptions.


KILOBYTE = "x" * 1_000
"""A payload of a little more than a kilobyte."""


def sized(policy: Any, queued: QueuedBytes) -> NotificationQueue:
    """Make a queue where nothing is alike, and bytes alone decide."""
    return made(policy, 1_000, queued, coalesce=lambda payload: None)


@pytest.mark.parametrize(
    ("policy", "kept"),
    [("drop_oldest", "678"), ("drop_newest", "012"), ("close", ""), ("coalesce", "678")],
)
def test_the_policy_decides_when_the_bytes_are_too_many(policy: Any, kept: str) -> None:
    queue = sized(policy, QueuedBytes(3_500))
    goes_on = put(queue, *(f"{number}{KILOBYTE}" for number in range(3)))
    assert goes_on == [True] * 3
    rest = [f"{number}{KILOBYTE}" for number in range(3, 9)]
    if policy == "close":
        assert put(queue, rest[0]) == [False]
        assert queue.dropped == 4
        assert taken(queue) == []
        return
    assert put(queue, *rest) == [True] * 6
    assert [payload[0] for payload in taken(queue)] == list(kept)
    assert queue.dropped == 6
    assert queue.missed == (0 if policy == "coalesce" else 6)


@pytest.mark.parametrize("policy", POLICIES)
def test_one_that_is_alone_may_be_larger(policy: Any) -> None:
    queued = QueuedBytes(100)
    queue = sized(policy, queued)
    assert put(queue, KILOBYTE) == [True]
    assert taken(queue) == [KILOBYTE]
    assert queued.size == 0


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "coalesce"])
def test_the_queues_of_one_client_share_what_may_wait(policy: Any) -> None:
    queued = QueuedBytes(10_500)
    queues = [sized(policy, queued) for _ in range(100)]
    for number in range(20):
        for queue in queues:
            put(queue, f"{number}{KILOBYTE}")
            assert queued.size <= 10_500
    assert sum(len(queue) for queue in queues) == 10


@pytest.mark.parametrize("policy", POLICIES)
def test_what_is_taken_dropped_or_forgotten_makes_room(policy: Any) -> None:
    chance = random.Random(policy)  # noqa: S311 (of a test)
    queued = QueuedBytes(20_000)
    queues = [
        made(policy, chance.choice([1, 3, 100]), queued, coalesce=key_of_first) for _ in range(5)
    ]
    for _ in range(2_000):
        queue = chance.choice(queues)
        match chance.randrange(10):
            case 0:
                queue.clear()
            case 1 | 2 | 3:
                queue.take()
            case _:
                put(queue, chance.choice("abcd") * chance.choice([1, 100, 9_000]))
        assert 0 <= queued.size <= 20_000
    for queue in queues:
        taken(queue)
    assert queued.size == 0


def test_what_waits_takes_no_more_than_its_bytes() -> None:
    """Of payloads with small parts, the objects take twenty times as much."""
    queue = sized("drop_oldest", QueuedBytes(2**20))
    payload = [[]] * 10_000
    gc.collect()
    tracemalloc.start()
    try:
        put(queue, *[payload] * 50)
        assert len(queue) == 50
        assert tracemalloc.get_traced_memory()[0] < 2**20
    finally:
        tracemalloc.stop()


@pytest.fixture
def small_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process where little may wait for all clients together."""
    monkeypatch.setattr(queue_module, "MOST_BYTES", queue_module.total.size + 50_000)
    monkeypatch.setattr(queue_module, "SHARE", 3_500)


@pytest.mark.usefixtures("small_process")
@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "coalesce"])
def test_what_waits_for_all_clients_of_a_process_is_bounded(policy: Any) -> None:
    before = queue_module.total.size
    clients = [sized(policy, QueuedBytes(20_000)) for _ in range(30)]
    for number in range(40):
        for queue in clients:
            put(queue, f"{number}{KILOBYTE}")
    # The first have taken all there was; the others have their share nevertheless.
    assert all(len(queue) >= 3 for queue in clients)
    assert queue_module.total.size - before <= 50_000 + 30 * 3_500
    for queue in clients:
        queue.clear()
    assert queue_module.total.size == before

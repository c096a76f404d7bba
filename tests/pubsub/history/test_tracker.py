"""The events of a group, once and in order, whatever happens on the way to this process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from channels_graphql_ws.pubsub import channel_reader
from channels_graphql_ws.pubsub.history import tracker as tracker_module
from channels_graphql_ws.pubsub.history.interfaces import UNKNOWN, Page, Position
from channels_graphql_ws.pubsub.history.memory import MemoryHistory
from channels_graphql_ws.pubsub.history.tracker import Tracker
from channels_graphql_ws.pubsub.origin import Origin
from support import wait_until

MISSED = "missed"


class SlowHistory(MemoryHistory):
    """Answers when it may, or fails."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.errors = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def since(self, group: str, offset: int) -> Page | None:
        self.asked += 1
        await self.may_answer.wait()
        if self.errors:
            self.errors -= 1
            raise OSError("no Redis")
        return await super().since(group, offset)


class Process:
    """A process that listens to one group, and what its subscribers get."""

    def __init__(self, ttl: float = 60) -> None:
        self.history = SlowHistory()
        self.got: list[Any] = []
        self.losses: list[int | None] = []
        self.tracker = Tracker(
            "G",
            self.history,
            ttl,
            self._deliver,
            lambda _, missed: self.losses.append(missed),
            lambda _, missed: self.got.append((MISSED, missed)),
        )

    def _deliver(self, message: Any, origin: Origin) -> None:
        if origin.follows_gap:
            self.got.append((MISSED, origin.missed))
        self.got.append(message["payload"])

    def append(self, payload: Any, size: int = 100) -> dict[str, Any]:
        """Put an event into the history; return its message, which may be lost."""
        epoch, offset = self.history.append_now("G", payload, size, 60)
        return {
            "type": "broadcast",
            "group": "G",
            "payload": payload,
            "epoch": epoch,
            "offset": offset,
        }

    async def settled(self) -> None:
        await wait_until(lambda: self.tracker._mending is None)


@pytest.fixture
async def process(monkeypatch: pytest.MonkeyPatch) -> Process:
    monkeypatch.setattr(channel_reader, "LONGEST_PAUSE", 0.0)
    return Process()


async def test_events_that_come_in_order_are_delivered_at_once(process: Process) -> None:
    for payload in (b"a", b"b", b"c"):
        process.tracker.take(process.append(payload))
    assert process.got == [b"a", b"b", b"c"]
    assert process.history.asked == 0


async def test_what_was_lost_on_the_way_comes_from_the_history(process: Process) -> None:
    messages = [process.append(payload) for payload in (b"a", b"b", b"c", b"d")]
    process.tracker.take(messages[0])
    process.tracker.take(messages[3])
    await process.settled()
    assert process.got == [b"a", b"b", b"c", b"d"]
    assert process.losses == []
    assert process.tracker.mended == 3


async def test_two_senders_that_overtake_each_other_are_put_in_order(process: Process) -> None:
    messages = [process.append(payload) for payload in (b"a", b"b", b"c")]
    for number in (0, 2, 1, 0):
        process.tracker.take(messages[number])
    await process.settled()
    assert process.got == [b"a", b"b", b"c"]
    process.tracker.take(messages[1])
    assert process.tracker.doubled >= 2


async def test_what_comes_while_the_history_is_asked_waits_its_turn(process: Process) -> None:
    first, _, third = (process.append(payload) for payload in (b"a", b"b", b"c"))
    process.tracker.take(first)
    process.history.may_answer.clear()
    process.tracker.take(third)
    process.tracker.take(process.append(b"d"))
    late = process.append(b"e")
    process.tracker.take(process.append(b"f"))
    process.history.may_answer.set()
    await process.settled()
    process.tracker.take(late)
    assert process.got == [b"a", b"b", b"c", b"d", b"e", b"f"]


async def test_events_that_the_history_has_no_more_are_told_as_a_gap(process: Process) -> None:
    process.tracker.take(process.append(b"a"))
    for payload in (b"b", b"c", b"d"):
        process.append(payload, size=2)
    process.tracker.take(process.append(b"e", size=2))
    await process.settled()
    assert process.got == [b"a", (MISSED, 2), b"d", b"e"]
    assert process.losses == [2]


async def test_a_history_that_was_lost_is_told_as_a_gap_and_goes_on(process: Process) -> None:
    process.tracker.take(process.append(b"a"))
    process.history._groups.clear()
    process.append(b"b")
    process.tracker.take(process.append(b"c"))
    await process.settled()
    assert process.got == [b"a", (MISSED, None), b"b", b"c"]
    assert process.losses == [None]


async def test_a_history_that_has_expired_has_lost_nothing() -> None:
    process = Process(ttl=0)
    process.tracker.take(process.append(b"a"))
    process.history._groups.clear()
    process.tracker.take(process.append(b"b"))
    assert process.got == [b"a", b"b"]
    assert process.losses == []


async def test_a_lost_last_event_is_found_by_the_head(process: Process) -> None:
    process.tracker.take(process.append(b"a"))
    process.append(b"b")
    [head] = await process.history.heads(["G"])
    process.tracker.check(head)
    process.tracker.check(head)
    await process.settled()
    process.tracker.check(head)
    assert process.got == [b"a", b"b"]
    assert process.history.asked == 1


async def test_a_head_of_another_life_brings_its_events(process: Process) -> None:
    process.tracker.take(process.append(b"a"))
    process.history._groups.clear()
    process.append(b"b")
    [head] = await process.history.heads(["G"])
    process.tracker.check(head)
    await process.settled()
    assert process.got == [b"a", (MISSED, None), b"b"]


async def test_a_head_without_events_in_its_new_life_is_waited_for(process: Process) -> None:
    process.tracker.take(process.append(b"a"))
    process.tracker.check(Position("new", 0))
    assert process.tracker.place == Position("new", 0)


async def test_counting_begins_at_the_head_or_at_what_came_before_it_was_known() -> None:
    fresh = Process()
    fresh.tracker.start(None)
    assert fresh.tracker.first == Position(UNKNOWN, 0)
    fresh.tracker.take(fresh.append(b"a"))
    assert fresh.got == [b"a"]
    at_head = Process()
    at_head.append(b"a")
    [head] = await at_head.history.heads(["G"])
    assert head is not None
    at_head.tracker.start(head)
    assert at_head.tracker.first == head
    overtaken = Process()
    overtaken.append(b"a")
    message = overtaken.append(b"b")
    [head] = await overtaken.history.heads(["G"])
    overtaken.tracker.take(message)
    assert head is not None
    overtaken.tracker.start(head)
    assert overtaken.tracker.first == Position(head.epoch, 1)


async def test_a_history_that_is_gone_is_told_at_once(process: Process) -> None:
    process.tracker.check(None)
    process.tracker.take(process.append(b"a"))
    process.tracker.check(None)
    process.tracker.check(None)
    assert process.got == [b"a", (MISSED, None)]
    assert process.losses == [None]
    # Another life begins, of which nothing is missing.
    process.history._groups.clear()
    process.tracker.take(process.append(b"b"))
    assert process.got[-1] == b"b"
    assert process.losses == [None]


async def test_a_first_event_that_came_while_the_head_was_asked_for_is_no_loss(
    process: Process,
) -> None:
    [empty] = await process.history.heads(["G"])
    process.tracker.take(process.append(b"a"))
    process.tracker.start(empty)
    assert process.got == [b"a"]
    assert process.losses == []


async def test_another_run_may_have_lost_a_first_event_or_one_after_a_long_time() -> None:
    process = Process(ttl=0)
    process.tracker.check(Position("one.", 0))
    process.tracker.check(Position("two.", 0))
    assert process.got == [(MISSED, None)]
    process.tracker.check(Position("two.", 0))
    process.tracker.take({"payload": b"a", "epoch": "two.x", "offset": 1})
    # By itself it has expired, and nobody knows what came then.
    process.tracker.check(Position("two.", 0))
    assert process.got[1:] == [b"a"]
    process.tracker.check(Position("three.", 0))
    assert process.got[2:] == [(MISSED, None)]
    process.tracker.take({"payload": b"b", "epoch": "four.x", "offset": 1})
    assert process.got[3:] == [(MISSED, None), b"b"]
    assert process.losses == [None, None, None]


async def test_a_run_that_is_not_known_is_taken_for_the_same() -> None:
    process = Process(ttl=0)
    process.tracker.check(Position("one.", 0))
    process.tracker.check(None)
    process.tracker.take({"payload": b"a", "epoch": "x", "offset": 1})
    assert process.got == [b"a"]


async def test_a_history_that_may_have_expired_is_no_loss() -> None:
    process = Process(ttl=0.5)
    process.tracker.take(process.append(b"a"))
    process.tracker.check(None)
    assert process.got == [b"a"]


async def test_a_head_that_is_unknown_tells_nothing_new(process: Process) -> None:
    process.tracker.take(process.append(b"a"))
    process.tracker.start(None)
    assert process.got == [b"a"]


async def test_a_history_that_fails_once_is_asked_again(process: Process) -> None:
    process.tracker.take(process.append(b"a"))
    process.append(b"b")
    process.history.errors = 2
    process.tracker.take(process.append(b"c"))
    await process.settled()
    assert process.got == [b"a", b"b", b"c"]


async def test_a_history_that_cannot_be_read_leaves_a_gap(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    process.tracker.take(process.append(b"a"))
    process.append(b"b")
    process.history.errors = tracker_module.ATTEMPTS
    process.tracker.take(process.append(b"c"))
    await process.settled()
    assert process.got == [b"a", (MISSED, 1), b"c"]
    assert "The history of group G cannot be read: OSError('no Redis')" in caplog.text


async def test_a_lost_history_that_cannot_be_read_leaves_a_gap_of_unknown_size(
    process: Process,
) -> None:
    process.tracker.take(process.append(b"a"))
    process.history._groups.clear()
    process.append(b"b")
    process.history.errors = tracker_module.ATTEMPTS
    process.tracker.take(process.append(b"c"))
    await process.settled()
    assert process.got == [b"a", (MISSED, None), b"c"]


async def test_a_tail_that_cannot_be_read_is_asked_for_at_the_next_look(process: Process) -> None:
    process.tracker.take(process.append(b"a"))
    process.append(b"b")
    [head] = await process.history.heads(["G"])
    process.history.errors = tracker_module.ATTEMPTS
    process.tracker.check(head)
    await process.settled()
    assert process.got == [b"a"]
    process.tracker.check(head)
    await process.settled()
    assert process.got == [b"a", b"b"]


async def test_a_history_that_is_lost_while_it_is_asked_is_noticed(process: Process) -> None:
    process.tracker.take(process.append(b"a"))
    process.append(b"b")
    process.history.may_answer.clear()
    third = process.append(b"c")
    process.tracker.take(third)
    process.history._groups.clear()
    process.append(b"d")
    process.history.may_answer.set()
    await process.settled()
    [head] = await process.history.heads(["G"])
    process.tracker.check(head)
    await process.settled()
    assert process.got[0] == b"a"
    assert process.got[-1] == b"d"
    assert (MISSED, None) in process.got


async def test_a_history_that_is_seen_to_be_gone_while_it_is_asked_is_told_once(
    process: Process,
) -> None:
    process.tracker.take(process.append(b"a"))
    process.append(b"b")
    process.history.may_answer.clear()
    process.tracker.take(process.append(b"c"))
    process.history._groups.clear()
    process.tracker.check(None)
    assert process.losses == []
    process.history.may_answer.set()
    await process.settled()
    assert process.losses == [1]
    assert process.got == [b"a", (MISSED, 1), b"c"]


async def test_an_end_asks_for_nothing_more(process: Process) -> None:
    process.tracker.take(process.append(b"a"))
    process.append(b"b")
    process.history.may_answer.clear()
    process.tracker.take(process.append(b"c"))
    await process.tracker.close()
    await process.tracker.close()
    assert process.got == [b"a"]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "lose", "late", "double", "check"]), st.integers(0, 9)
    ),
    max_size=40,
)


@given(STEPS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_whatever_the_layer_does_events_are_complete_and_in_order(steps: Any) -> None:
    process = Process()
    process.tracker.start(None)
    sent: list[bytes] = []
    messages: list[dict[str, Any]] = []
    late: list[dict[str, Any]] = []
    for what, number in steps:
        if what in {"send", "lose", "late"}:
            payload = b"%d" % len(sent)
            sent.append(payload)
            message = process.append(payload)
            messages.append(message)
            if what == "send":
                process.tracker.take(message)
            elif what == "late":
                late.append(message)
        elif what == "double" and messages:
            process.tracker.take(messages[number % len(messages)])
        elif late:
            process.tracker.take(late.pop(number % len(late)))
        if what == "check":
            [head] = await process.history.heads(["G"])
            process.tracker.check(head)
        if number % 3 == 0:
            await process.settled()
    await process.settled()
    [head] = await process.history.heads(["G"])
    process.tracker.check(head)
    await process.settled()
    assert process.got == sent

"""Membership in groups: what a channel layer may do to a process, and what comes of it."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Mapping
from contextvars import copy_context
from typing import Any

import pytest

from channels_graphql_ws.concurrency.fairness import belong_to
from channels_graphql_ws.exceptions import ChannelLayerError, ChannelLayerUnavailableError
from channels_graphql_ws.pubsub import channel_reader, layer_slots, layer_watch, membership
from channels_graphql_ws.pubsub.layer_traits import LayerWarning, ProvingTraits
from channels_graphql_ws.pubsub.membership import Membership
from support import GUARD, FakeLayer, tick, wait_until


class Process:
    """What a membership serves: the groups that are wanted, and what was heard."""

    def __init__(self, layer: FakeLayer) -> None:
        self.layer = layer
        self.wanted: dict[str, None] = {}
        self.heard: list[Mapping[str, Any]] = []
        self.membership = Membership(layer, self.wanted, self.deliver)

    def deliver(self, message: Mapping[str, Any]) -> None:
        if message.get("fails"):
            raise RuntimeError("a message that nobody expected")
        self.heard.append(message)

    def want(self, *groups: str) -> bool:
        self.wanted.update(dict.fromkeys(groups))
        return self.membership.adjust(groups)

    def leave(self, *groups: str) -> bool:
        for group in groups:
            del self.wanted[group]
        return self.membership.adjust(groups)

    async def join(self, *groups: str) -> None:
        self.want(*groups)
        await self.membership.settled(groups)

    async def hears(self, group: str) -> bool:
        """Tell if a message to the group arrives, given that others do."""
        count = len(self.heard)
        await self.layer.group_send(group, {"to": group})
        await self.layer.group_send(FENCE, {"to": FENCE})
        await wait_until(lambda: {"to": FENCE} in self.heard[count:])
        return {"to": group} in self.heard[count:]


class Doubtful(ProvingTraits):
    warnings = (LayerWarning("W011", "It holds too little"), LayerWarning("W016", "It forgets"))


FENCE = "fence"


@pytest.fixture
async def layer(monkeypatch: pytest.MonkeyPatch) -> FakeLayer:
    monkeypatch.setattr(channel_reader, "LONGEST_PAUSE", 0.001)
    return FakeLayer()


@pytest.fixture
async def process(layer: FakeLayer) -> AsyncIterator[Process]:
    process = Process(layer)
    yield process
    layer.errors.clear()
    await process.membership.close()


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look after the groups all the time."""
    monkeypatch.setattr(layer_watch, "CHECK_EVERY", 0.002)


async def test_one_channel_is_made_and_each_group_is_joined_once(process: Process) -> None:
    assert process.want("A", "B")
    await asyncio.gather(*(process.join("A", "B", FENCE) for _ in range(10)))
    assert process.layer.calls["new_channel"] == 1
    assert process.layer.calls["group_add"] == 3
    assert not process.want("A")
    assert await process.hears("A")


async def test_a_layer_that_is_set_up_badly_is_told_of_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "_warned", set())
    monkeypatch.setattr(membership, "traits_of", Doubtful)
    for _ in range(2):
        process = Process(FakeLayer())
        await process.join("A")
        await process.membership.close()
    assert [record.message for record in caplog.records] == ["It holds too little", "It forgets"]


async def test_what_is_settled_already_takes_no_time(process: Process) -> None:
    await process.join("A")
    await process.membership.settled(["A", "nobody wants it"])
    assert process.layer.calls["group_add"] == 1


async def test_a_group_that_nobody_wants_any_more_is_left(process: Process) -> None:
    await process.join("A", "B")
    assert process.leave("A")
    await process.membership.settled(["A"])
    assert set(process.layer.groups) == {"B"}


@pytest.mark.parametrize("slow", ["group_add", "group_discard"])
async def test_a_group_left_and_joined_again_over_a_slow_layer_is_joined(
    process: Process, slow: str
) -> None:
    await process.join("A", FENCE)
    process.layer.hold(slow)
    process.leave("A")
    await tick(5)
    assert process.want("A")
    await tick(5)
    process.layer.release(slow)
    await process.membership.settled(["A"])
    assert await process.hears("A")


async def test_who_leaves_while_the_layer_still_joins_is_out_in_the_end(process: Process) -> None:
    process.layer.hold("group_add")
    process.want("A")
    await wait_until(lambda: process.layer.calls["group_add"])
    process.leave("A")
    process.layer.release("group_add")
    await process.membership.settled(["A"])
    assert process.layer.groups == {}
    assert process.layer.calls["group_discard"] == 1


async def test_a_second_joiner_waits_for_the_join_which_the_first_one_began(
    process: Process,
) -> None:
    process.layer.hold("group_add")
    process.want("A")
    second = asyncio.create_task(process.join("A"))
    await wait_until(lambda: process.layer.calls["group_add"])
    await tick(5)
    assert not second.done()
    process.layer.release("group_add")
    await second
    assert process.layer.calls["group_add"] == 1


async def test_a_joiner_that_is_cancelled_does_not_stop_the_join_of_another(
    process: Process,
) -> None:
    process.layer.hold("group_add")
    first, second = (asyncio.create_task(process.join("A")) for _ in range(2))
    await wait_until(lambda: process.layer.calls["group_add"])
    first.cancel()
    await asyncio.wait([first])
    assert first.cancelled()
    process.layer.release("group_add")
    await second
    assert set(process.layer.groups) == {"A"}


async def test_many_groups_are_joined_a_few_at_a_time(process: Process) -> None:
    groups = [f"group {number}" for number in range(layer_slots.AT_ONCE * 3)]
    process.layer.hold("group_add")
    process.want(*groups)
    await wait_until(lambda: process.layer.calls["group_add"] == layer_slots.AT_ONCE)
    await tick(layer_slots.AT_ONCE)
    assert process.layer.calls["group_add"] == layer_slots.AT_ONCE
    process.layer.release("group_add")
    await process.membership.settled(groups)
    assert set(process.layer.groups) == set(groups)
    assert process.layer.most_at_once == layer_slots.AT_ONCE


async def test_the_groups_of_one_client_are_joined_in_turn_with_those_of_others(
    process: Process,
) -> None:
    def want(owner: str, *groups: str) -> None:
        belong_to(lambda: owner)
        process.want(*groups)

    many = [f"group {number}" for number in range(layer_slots.AT_ONCE * 3)]
    process.layer.hold("group_add")
    copy_context().run(want, "a", *many)
    share = layer_slots.AT_ONCE // layer_slots.PARTS
    await wait_until(lambda: process.layer.calls["group_add"] == share)
    await tick(layer_slots.AT_ONCE)
    assert process.layer.calls["group_add"] == share
    copy_context().run(want, "b", "other")
    await wait_until(lambda: process.layer.calls["group_add"] == share + 1)
    process.layer.release("group_add")
    await process.membership.settled(["other"])
    assert len(process.layer.groups) < len(many)
    await process.membership.settled(many)


async def test_a_group_left_before_it_was_its_turn_is_never_joined(process: Process) -> None:
    process.layer.hold("group_add")
    process.want(*(f"group {number}" for number in range(layer_slots.AT_ONCE)))
    process.want("late")
    await wait_until(lambda: process.layer.calls["group_add"] == layer_slots.AT_ONCE)
    process.leave("late")
    process.layer.release("group_add")
    await process.membership.settled(["late"])
    assert process.layer.calls["group_add"] == layer_slots.AT_ONCE
    assert process.layer.calls["group_discard"] == 0


async def test_a_group_joined_again_before_it_was_its_turn_to_be_left_is_never_left(
    process: Process,
) -> None:
    groups = [f"group {number}" for number in range(layer_slots.AT_ONCE)]
    await process.join(*groups, "late")
    process.layer.hold("group_discard")
    process.leave(*groups)
    process.leave("late")
    await wait_until(lambda: process.layer.calls["group_discard"] == layer_slots.AT_ONCE)
    process.want("late")
    process.layer.release("group_discard")
    await process.membership.settled(["late"])
    assert set(process.layer.groups) == {"late"}
    assert process.layer.calls["group_discard"] == layer_slots.AT_ONCE


@pytest.mark.parametrize("method", ["group_add", "new_channel"])
async def test_a_refusal_is_told_to_all_who_wait_to_join(process: Process, method: str) -> None:
    process.layer.errors[method] = OSError("no Redis")
    joins = (process.join("A") for _ in range(3))
    results = await asyncio.gather(*joins, return_exceptions=True)
    assert [type(result) for result in results] == [ChannelLayerUnavailableError] * 3
    assert "Cannot join a group: OSError('no Redis')" in str(results[0])


async def test_a_refusal_before_anybody_waited_is_told_all_the_same(process: Process) -> None:
    process.layer.errors["group_add"] = OSError("no Redis")
    process.want("A")
    await wait_until(lambda: process.layer.calls["group_add"])
    await tick(10)
    with pytest.raises(ChannelLayerError):
        await process.membership.settled(["A"])


async def test_a_refusal_which_nobody_waits_for_makes_no_noise(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    process.layer.errors["group_add"] = OSError("no Redis")
    process.want("A")
    await wait_until(lambda: process.layer.calls["group_add"])
    await tick(10)
    gc.collect()
    assert caplog.records == []


async def test_a_join_that_takes_too_long_is_not_tried_twice(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The channel is made before the time is short.
    await process.join("B")
    monkeypatch.setattr(membership, "CALL_TIMEOUT", 0.001)
    process.layer.hold("group_add")
    with pytest.raises(ChannelLayerError, match="did not join a group within"):
        await process.join("A")
    assert process.layer.calls["group_add"] == 2
    process.layer.release("group_add")


async def test_a_group_that_was_refused_can_be_joined_later(process: Process) -> None:
    process.layer.errors["group_add"] = OSError("no Redis")
    with pytest.raises(ChannelLayerError):
        await process.join("A")
    process.leave("A")
    process.layer.errors.clear()
    await process.join("A", FENCE)
    assert await process.hears("A")


async def test_a_layer_that_does_not_let_go_of_us_is_worth_a_warning_only(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    await process.join("A")
    process.layer.errors["group_discard"] = OSError("no Redis")
    process.leave("A")
    await process.membership.settled(["A"])
    assert [record.message for record in caplog.records] == [
        "Cannot leave group A: OSError('no Redis')"
    ]


def channel_of(process: Process) -> str:
    reader = process.membership._reader
    assert reader is not None
    return reader.channel


async def test_reading_goes_on_after_any_exception(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    await process.join("A", FENCE)
    for error in (OSError("gone"), ValueError("bad bytes"), RuntimeError("two loops")):
        process.layer.put(channel_of(process), error)
    assert await process.hears("A")
    messages = [record.message for record in caplog.records]
    assert messages[0].startswith("Cannot read from the channel layer, events may be lost: OSE")


class RedisTimeoutError(Exception):
    """As redis-py has it: no subclass of Python's own."""


RedisTimeoutError.__name__ = "TimeoutError"


@pytest.mark.parametrize("error", [TimeoutError(), RedisTimeoutError("Timeout reading from …")])
async def test_a_read_that_times_out_on_an_idle_connection_is_no_news(
    process: Process, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    await process.join("A", FENCE)
    for _ in range(5):
        process.layer.put(channel_of(process), error)
    assert await process.hears("A")
    assert process.layer.calls["group_add"] == 2
    assert caplog.records == []


@pytest.mark.parametrize("message", [{"fails": True}, None, 3, [], "text"])
async def test_a_message_that_can_not_be_taken_costs_only_itself(
    process: Process, message: object, caplog: pytest.LogCaptureFixture
) -> None:
    await process.join("A", FENCE)
    process.layer.put(channel_of(process), message)
    assert await process.hears("A")
    assert [record.message for record in caplog.records] == [
        "A message of the channel layer was lost"
    ]


async def test_after_a_read_has_failed_all_groups_are_joined_again(process: Process) -> None:
    await process.join("A", FENCE)
    process.layer.forget()
    process.layer.put(channel_of(process), OSError("the connection was reset"))
    await wait_until(lambda: set(process.layer.groups) >= {"A", FENCE})
    assert await process.hears("A")


async def test_reading_goes_on_while_the_groups_are_joined_again(process: Process) -> None:
    await process.join("A", FENCE)
    process.layer.hold("group_add")
    process.layer.put(channel_of(process), OSError("the connection was reset"))
    await wait_until(lambda: process.layer.calls["group_add"] == 4)
    assert await process.hears("A")
    process.layer.release("group_add")


async def test_the_membership_is_renewed_before_it_expires(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(layer_watch, "SHORTEST_RENEWAL", 0.0)
    process = Process(FakeLayer(group_expiry=0.06))
    await process.join("A")
    await wait_until(lambda: process.layer.calls["group_add"] >= 6)
    assert "lost our groups" not in caplog.text
    await process.membership.close()


@pytest.mark.usefixtures("watchful")
async def test_groups_that_a_layer_lost_without_a_word_are_joined_again(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    await process.join("A", FENCE)
    await wait_until(lambda: process.layer.calls["group_send"] >= 2)
    process.layer.forget()
    await wait_until(lambda: set(process.layer.groups) >= {"A", FENCE})
    assert await process.hears("A")
    assert "The channel layer has lost our groups" in caplog.text


async def test_as_long_as_the_canary_comes_back_nothing_is_joined_again(
    process: Process, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # Long enough for a canary to come back on a busy machine.
    monkeypatch.setattr(layer_watch, "CHECK_EVERY", 0.1)
    await process.join("A")
    await wait_until(lambda: process.layer.calls["group_send"] >= 4)
    # The group, that of the canary, and the group once more, as it was there before.
    assert process.layer.calls["group_add"] == 3
    assert caplog.records == []
    assert process.heard == []


@pytest.mark.usefixtures("watchful")
async def test_a_layer_that_was_away_is_joined_again_however_long_it_took(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    await process.join("A", FENCE)
    for method in ("group_add", "group_send"):
        process.layer.errors[method] = OSError("no Redis")
    process.layer.forget()
    await wait_until(lambda: caplog.text.count("cannot be renewed") >= 3)
    assert "The channel layer does not answer: OSError('no Redis')" in caplog.text
    process.layer.errors.clear()
    await wait_until(lambda: set(process.layer.groups) >= {"A", FENCE})
    assert await process.hears("A")


@pytest.mark.usefixtures("watchful")
async def test_who_comes_while_the_layer_is_away_costs_the_others_nothing(
    process: Process,
) -> None:
    await process.join("A", FENCE)
    process.layer.errors["group_add"] = OSError("no Redis")
    process.layer.forget()
    process.layer.put(channel_of(process), OSError("the connection was reset"))
    await wait_until(lambda: process.layer.calls["group_add"] >= 8)
    with pytest.raises(ChannelLayerError):
        await process.join("B")
    process.leave("B")
    process.layer.errors.clear()
    await wait_until(lambda: set(process.layer.groups) >= {"A", FENCE})
    assert "B" not in process.layer.groups


@pytest.mark.usefixtures("watchful")
async def test_a_group_left_while_the_layer_is_away_is_not_joined_again(
    process: Process,
) -> None:
    await process.join("A", "B", FENCE)
    process.layer.errors["group_add"] = OSError("no Redis")
    process.layer.forget()
    process.layer.put(channel_of(process), OSError("the connection was reset"))
    await wait_until(lambda: process.layer.calls["group_add"] >= 8)
    process.leave("B")
    process.layer.errors.clear()
    await wait_until(lambda: set(process.layer.groups) >= {"A", FENCE})
    await process.membership.settled(["B"])
    assert not await process.hears("B")


@pytest.mark.usefixtures("watchful")
async def test_nothing_is_left_at_the_layer_after_the_end(process: Process) -> None:
    await process.join("A", "B")
    await wait_until(lambda: process.layer.calls["group_send"])
    await process.membership.close()
    assert process.layer.groups == {}


async def test_what_was_never_opened_is_closed_without_a_call(process: Process) -> None:
    await process.membership.close()
    assert process.layer.calls == {}


async def test_a_join_under_way_at_the_end_is_undone(process: Process) -> None:
    process.layer.hold("group_add")
    process.want("A")
    await wait_until(lambda: process.layer.calls["group_add"])
    closing = asyncio.create_task(process.membership.close())
    await tick(5)
    process.layer.release("group_add")
    await closing
    assert process.layer.groups == {}


async def test_a_layer_that_does_not_answer_can_not_keep_us_from_ending(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "CLOSE_TIMEOUT", 0.001)
    await process.join("A")
    process.layer.hold("group_discard")
    async with asyncio.timeout(GUARD):
        await process.membership.close()


async def test_who_waits_to_join_at_the_end_waits_no_longer(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "CLOSE_TIMEOUT", 0.001)
    process.layer.hold("group_add")
    joining = asyncio.create_task(process.join("A"))
    await wait_until(lambda: process.layer.calls["group_add"])
    await process.membership.close()
    async with asyncio.timeout(GUARD):
        await joining


class Stubborn(FakeLayer):
    """Swallows cancellations, as redis-py does while it connects."""

    swallows = 3

    async def receive(self, channel: str) -> dict[str, Any]:
        while True:
            try:
                return await super().receive(channel)
            except asyncio.CancelledError:
                self.swallows -= 1
                if self.swallows < 0:
                    raise


async def test_a_layer_that_swallows_a_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(channel_reader, "CANCEL_AGAIN_AFTER", 0.001)
    process = Process(Stubborn())
    await process.join("A")
    await process.membership.close()
    assert caplog.records == []


async def test_a_layer_that_can_not_be_cancelled_is_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(channel_reader, "CANCEL_AGAIN_AFTER", 0.001)
    monkeypatch.setattr(channel_reader, "CANCELLATIONS", 3)
    layer = Stubborn()
    process = Process(layer)
    await process.join("A")
    await process.membership.close()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "cannot be cancelled" in caplog.text
    layer.swallows = 0
    assert process.membership._reader is not None
    process.membership._reader._task.cancel()

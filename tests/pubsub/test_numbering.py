"""The numbers of broadcasts, and how the last ones are told when nothing follows them."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from typing import Any

import pytest

from channels_graphql_ws.pubsub import numbering
from channels_graphql_ws.pubsub.layer_traits import LayerTraits
from channels_graphql_ws.pubsub.numbering import (
    ANNOUNCE_EVERY,
    Numbering,
    all_announcements,
    numbering_of,
)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Layer:
    """A channel layer that nobody sends to."""


class Slotted:
    """One that cannot be referred to weakly."""

    __slots__ = ()


class Sender:
    """A sender, and what it has announced."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.numbering = Numbering(self.clock)

    def send(self, group: str) -> dict[str, Any]:
        message: dict[str, Any] = {"type": "broadcast", "group": group}
        self.numbering.number(message)
        return message

    def interval(self) -> list[tuple[str, int, float]]:
        """Let time pass until the next announcement; return what it tells."""
        self.clock.now += self.numbering.seconds_left()
        return [
            (group, serial, age)
            for message in self.numbering.announcements()
            for group, serial, age in message["serials"]
        ]


@pytest.fixture
def sender() -> Sender:
    return Sender()


def test_each_group_is_numbered_and_the_time_since_the_last_number_is_told(
    sender: Sender,
) -> None:
    first = sender.send("a")
    sender.clock.now += 3
    other, second = sender.send("b"), sender.send("a")
    assert [each["serial"] for each in (first, other, second)] == [1, 1, 2]
    assert "pause" not in first
    assert second["pause"] == 3
    assert first["sender"] == second["sender"] == sender.numbering.sender


def test_the_last_number_is_announced_less_and_less_often_and_then_no_more(
    sender: Sender,
) -> None:
    sender.send("a")
    told = []
    while not sender.numbering.is_idle:
        told += [round(age / ANNOUNCE_EVERY) for _, _, age in sender.interval()]
    # The first interval is the one in which it was sent.
    assert told == [2, 3, 5, 9, 17, 33]


def test_only_silent_groups_are_announced(sender: Sender) -> None:
    sender.send("silent")
    assert sender.interval() == []
    sender.send("busy")
    assert [group for group, _, _ in sender.interval()] == ["silent"]
    sender.send("busy")
    told = sender.interval()
    assert [(group, serial) for group, serial, _ in told] == [("silent", 1)]
    assert ("busy", 2) in [(group, serial) for group, serial, _ in sender.interval()]


def test_intervals_in_which_nobody_came_to_announce_are_made_up_for(sender: Sender) -> None:
    sender.send("a")
    sender.clock.now += 3 * ANNOUNCE_EVERY
    assert len(sender.interval()) == 1
    sender.clock.now += 1000
    sender.interval()
    assert sender.numbering.is_idle


def test_many_groups_are_announced_bit_by_bit(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbering, "GROUPS_AT_ONCE", 4)
    monkeypatch.setattr(numbering, "GROUPS_IN_MESSAGE", 3)
    for number in range(6):
        sender.send(f"{number}")
    sender.interval()
    sender.clock.now += sender.numbering.seconds_left()
    messages = sender.numbering.announcements()
    assert [len(message["serials"]) for message in messages] == [3, 1]
    told = [group for message in messages for group, _, _ in message["serials"]]
    rest = [group for group, _, _ in sender.interval()]
    assert sorted(told + rest[:2]) == ["0", "1", "2", "3", "4", "5"]


def test_who_ends_tells_of_the_newest_once(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbering, "GROUPS_AT_ONCE", 2)
    for group in ("old", "middle", "new", "old"):
        sender.send(group)
        sender.interval()
    sender.send("new")
    [message] = sender.numbering.newest()
    assert [(group, serial) for group, serial, _ in message["serials"]] == [("new", 2), ("old", 2)]


def test_too_many_groups_begin_a_new_sender(
    sender: Sender, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbering, "MOST_GROUPS", 2)
    sent = [sender.send(group) for group in "abacb"]
    assert [each["serial"] for each in sent] == [1, 1, 2, 1, 1]
    assert sent[0]["sender"] == sent[2]["sender"] != sent[3]["sender"]


def test_there_is_a_group_of_announcements_on_each_host() -> None:
    traits = LayerTraits(object())
    traits.shards = 2
    traits.shard_of = lambda group: ord(group[-1]) % 2  # type: ignore[method-assign]
    assert [traits.shard_of(group) for group in all_announcements(traits)] == [0, 1]


async def test_event_loops_at_a_time_have_their_own_numbers_and_a_later_one_goes_on() -> None:
    layer = Layer()
    here = asyncio.get_running_loop()
    mine = numbering_of(here, layer, 0)
    assert numbering_of(here, layer, 1) is not mine
    short = asyncio.new_event_loop()
    its = numbering_of(short, layer, 0)
    assert its is not mine
    short.close()
    later = asyncio.new_event_loop()
    assert numbering_of(later, layer, 0) is its
    later.close()
    del later, short
    gc.collect()
    assert numbering_of(asyncio.get_running_loop(), layer, 0) is its
    slotted = Slotted()
    assert numbering_of(here, slotted, 0) is not mine


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_a_forked_worker_uses_no_numbers_of_its_parent() -> None:
    layer, loop = Layer(), asyncio.new_event_loop()
    loop.close()
    name = numbering_of(loop, layer, 0).sender
    read, write = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover (another process)
        os.write(write, numbering_of(loop, layer, 0).sender.encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100).decode() != name
    assert numbering_of(loop, layer, 0).sender == name
    os.close(read)
    os.close(write)

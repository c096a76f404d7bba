"""Joins that are proven by a message which came through the very group."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable
from typing import Any

import pytest

from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.pubsub import channel_reader, join_proof, layer_traits
from channels_graphql_ws.pubsub.join_proof import PROBE_GROUP
from channels_graphql_ws.pubsub.layer_traits import LayerTraits
from channels_graphql_ws.pubsub.membership import Membership
from support import FakeLayer, tick, wait_until


class LazyLayer(FakeLayer):
    """A layer whose `group_add` returns before the channel is in the group."""

    proves_joins = False

    def __init__(self) -> None:
        super().__init__()
        self.pending: list[tuple[str, str]] = []
        self.probes: Counter[str] = Counter()
        self.works = True

    async def group_add(self, group: str, channel: str) -> None:
        self.calls["group_add"] += 1
        self.pending.append((group, channel))
        await tick()

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if message.get("group") == PROBE_GROUP:
            self.probes[group] += 1
        await super().group_send(group, message)

    def take_effect(self) -> None:
        for group, channel in self.pending:
            self.groups[group].add(channel)
        self.pending.clear()


class OrderedTraits(LayerTraits):
    """As of the pub/sub layer of Redis: joins take effect in their order."""

    def lane_of(self, group: str) -> Hashable:
        return 0


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(join_proof, "FIRST_PROBE_AFTER", 0.001)
    monkeypatch.setattr(join_proof, "LONGEST_PROBE_AFTER", 0.001)


@pytest.fixture
async def layer() -> LazyLayer:
    return LazyLayer()


@pytest.fixture
def ordered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_traits, "LayerTraits", OrderedTraits)


def membership(layer: LazyLayer, *groups: str, **options: Any) -> tuple[Membership, list[Any]]:
    heard: list[Any] = []
    return Membership(layer, dict.fromkeys(groups), heard.append, **options), heard


async def test_nobody_is_told_that_a_group_is_joined_before_messages_come_through_it(
    layer: LazyLayer,
) -> None:
    member, heard = membership(layer, "A", "B")
    joining = asyncio.create_task(member.settled(["A", "B"]))
    await wait_until(lambda: min(layer.probes["A"], layer.probes["B"]) >= 2)
    assert not joining.done()
    layer.take_effect()
    await joining
    assert member.statistics().joined == 2
    # Probes are no news for those who listen.
    assert heard == []
    await member.close()


async def test_a_group_that_never_works_is_an_error_and_not_a_silence(
    layer: LazyLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(join_proof, "CALL_TIMEOUT", 0.02)
    member, _ = membership(layer, "A")
    with pytest.raises(ChannelLayerError, match=r"No message came through a group within 0\.02"):
        await member.settled(["A"])
    # It may have taken effect all the same, so it is left.
    await member.close()
    assert layer.calls["group_discard"] == 1


@pytest.mark.usefixtures("ordered")
async def test_one_probe_proves_all_groups_that_were_joined_before_it(layer: LazyLayer) -> None:
    groups = [f"group {number}" for number in range(20)]
    member, _ = membership(layer, *groups)
    layer.hold("group_send")
    joining = asyncio.create_task(member.settled(groups))
    await wait_until(lambda: len(layer.pending) == 20)
    await tick(5)
    layer.take_effect()
    layer.release("group_send")
    await joining
    # The first was sent when the first group was joined, and the last for all of them.
    assert sum(layer.probes.values()) <= 3
    await member.close()


@pytest.mark.usefixtures("ordered")
async def test_what_was_joined_after_the_probed_group_is_not_proven_by_it(
    layer: LazyLayer,
) -> None:
    wanted = {"A": None}
    member = Membership(layer, wanted, lambda _: None)
    layer.take_effect()
    first = asyncio.create_task(member.settled(["A"]))
    await wait_until(lambda: layer.probes["A"])
    wanted["B"] = None
    second = asyncio.create_task(member.settled(["B"]))
    layer.take_effect()
    await wait_until(lambda: ("B", "specific.fake!1") in layer.pending)
    await first
    await tick(20)
    assert not second.done()
    layer.take_effect()
    await second
    await member.close()


async def test_a_probe_that_cannot_be_sent_is_sent_again(layer: LazyLayer) -> None:
    member, _ = membership(layer, "A")
    layer.errors["group_send"] = OSError("busy")
    joining = asyncio.create_task(member.settled(["A"]))
    await wait_until(lambda: layer.calls["group_send"] >= 3)
    layer.take_effect()
    layer.errors.clear()
    await joining
    await member.close()


async def test_a_probe_of_another_process_is_no_news(layer: LazyLayer) -> None:
    member, heard = membership(layer, "A")
    joining = asyncio.create_task(member.settled(["A"]))
    await wait_until(lambda: layer.probes["A"])
    layer.take_effect()
    await joining
    for probe in layer.sent[:1]:
        await layer.group_send("A", {**probe, "channel": "of another process"})
    await layer.group_send("A", {"type": "chat"})
    await wait_until(lambda: heard)
    assert heard == [{"type": "chat"}]
    await member.close()


@pytest.mark.usefixtures("ordered")
async def test_no_probe_goes_through_a_group_of_other_code(layer: LazyLayer) -> None:
    member, _ = membership(layer, "chat", is_foreign=True)
    joining = asyncio.create_task(member.settled(["chat"]))
    await wait_until(lambda: len(layer.probes) == 1 and sum(layer.probes.values()) >= 2)
    assert not joining.done()
    layer.take_effect()
    await joining
    assert layer.probes["chat"] == 0
    # The fence has done its work.
    await wait_until(lambda: set(layer.groups) == {"chat"})
    await member.close()


@pytest.mark.usefixtures("ordered")
async def test_a_fence_that_cannot_be_left_is_harmless(layer: LazyLayer) -> None:
    member, _ = membership(layer, "chat", is_foreign=True)
    layer.errors["group_discard"] = OSError("busy")
    joining = asyncio.create_task(member.settled(["chat"]))
    await wait_until(lambda: len(layer.pending) >= 2)
    layer.take_effect()
    await joining
    await wait_until(lambda: layer.calls["group_discard"])
    await member.close()


async def test_a_foreign_group_of_a_layer_without_order_is_believed(layer: LazyLayer) -> None:
    member, _ = membership(layer, "chat", is_foreign=True)
    await member.settled(["chat"])
    assert layer.probes == {}
    await member.close()


async def test_an_end_leaves_no_probe_under_way(
    layer: LazyLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel_reader, "CANCEL_AGAIN_AFTER", 0.001)
    member, _ = membership(layer, "A")
    joining = asyncio.create_task(member.settled(["A"]))
    await wait_until(lambda: layer.probes["A"])
    monkeypatch.setattr("channels_graphql_ws.pubsub.membership.CLOSE_TIMEOUT", 0.001)
    await member.close()
    await joining

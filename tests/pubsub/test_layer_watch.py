"""What is done about a channel layer that loses groups, falls silent or is full."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from channels.exceptions import ChannelFull

from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.pubsub import channel_reader, layer_watch, membership
from channels_graphql_ws.pubsub.channel_reader import ChannelReader, asked, within
from channels_graphql_ws.pubsub.hub import Hub, hub_of
from channels_graphql_ws.pubsub.layer_traits import LayerTraits, ProvingTraits
from channels_graphql_ws.pubsub.layer_watch import LayerWatch, watch_of
from channels_graphql_ws.pubsub.membership import Membership
from support import FakeLayer, tick, wait_until


class TwoHosts(ProvingTraits):
    """Groups on two hosts, by their last letter; remembers what it was asked to mend."""

    shards = 2

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.done: list[Any] = layer.__dict__.setdefault("mended", [])

    def shard_of(self, group: str) -> int:
        return ord(group[-1]) % 2

    async def cut_connections(self, shards: Iterable[int]) -> None:
        self.done.append(sorted(shards))

    async def start_over(self) -> None:
        self.done.append("all")


class FakeMember:
    """A membership whose groups are lost or regained as a test says."""

    def __init__(self, *groups: str) -> None:
        self.wanted = list(groups)
        self.doubts: list[set[int]] = []
        self.renewed: list[list[str]] = []
        self.rejoins = 0
        self.error: Exception | None = None
        self.was_given_up = 0

    def doubt(self, shards: Iterable[int]) -> None:
        self.doubts.append(set(shards))

    async def rejoin(self) -> None:
        self.rejoins += 1
        if self.error is not None:
            raise self.error

    async def renew(self, groups: Iterable[str]) -> None:
        self.renewed.append(list(groups))
        if self.error is not None:
            raise self.error

    def groups(self) -> list[str]:
        return list(self.wanted)

    def given_up(self) -> None:
        self.was_given_up += 1


class Swallowing(FakeLayer):
    """Takes messages to some groups and passes them to nobody, without an error."""

    swallows: Any = staticmethod(lambda group: False)
    is_full = False

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.calls["group_send"] += 1
        await tick()
        if not self.swallows(group):
            await super().group_send(group, message)

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        if self.is_full:
            raise ChannelFull(channel)
        self.put(channel, message)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(layer_watch, "CHECK_EVERY", 0.005)
    monkeypatch.setattr(channel_reader, "LONGEST_PAUSE", 0.005)


@pytest.fixture
async def layer() -> Swallowing:
    return Swallowing()


@pytest.fixture
async def watch(layer: Swallowing, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[LayerWatch]:
    monkeypatch.setattr(layer_watch, "traits_of", TwoHosts)
    watch = watch_of(layer)
    watch.acquire()
    yield watch
    layer.swallows = lambda group: False
    await watch.release()
    assert layer.groups == {}


@pytest.fixture
def member(watch: LayerWatch) -> FakeMember:
    member = FakeMember("a", "b")
    watch.add(member)
    return member


async def test_there_is_a_canary_for_each_host(layer: Swallowing, watch: LayerWatch) -> None:
    await wait_until(lambda: len(layer.groups) == 2)
    assert {ord(group[-1]) % 2 for group in layer.groups} == {0, 1}
    await wait_until(lambda: layer.calls["group_send"] >= 6)
    assert watch.is_healthy
    assert watch.statistics().silent_for == 0


async def test_only_the_groups_of_the_host_that_lost_them_are_joined_again(
    layer: Swallowing, watch: LayerWatch, member: FakeMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Long enough that no canary is late on a busy machine.
    monkeypatch.setattr(layer_watch, "CHECK_EVERY", 0.1)
    await wait_until(lambda: len(layer.groups) == 2)
    [lost] = [group for group in layer.groups if ord(group[-1]) % 2 == 1]
    del layer.groups[lost]
    # Before it, there was what might have been lost until the canaries' groups were joined.
    await wait_until(lambda: {1} in member.doubts)
    assert {0} not in member.doubts
    await wait_until(lambda: watch.is_healthy)
    assert watch.statistics().lost_groups == 1


async def test_what_was_joined_before_the_canary_is_joined_once_more(
    layer: Swallowing, watch: LayerWatch, member: FakeMember, caplog: pytest.LogCaptureFixture
) -> None:
    # A Redis that came back empty before that gives the canary back, and has lost the groups.
    await wait_until(lambda: layer.calls["group_send"] >= 6)
    assert member.doubts == [{0, 1}]
    assert member.rejoins == 1
    assert watch.statistics().lost_groups == 0
    assert caplog.records == []


@pytest.mark.parametrize("warns", [True, False])
async def test_an_event_loop_that_stood_still_has_lost_no_groups(
    layer: Swallowing,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    warns: bool,
) -> None:
    monkeypatch.setattr(layer_watch, "CHECK_EVERY", 4.0)
    monkeypatch.setattr(layer_watch, "STOOD_STILL", 49.0 if warns else 50.0)
    watch, member, clock = LayerWatch(layer), FakeMember("a"), FakeClock()
    monkeypatch.setattr(watch, "_loop", clock)
    watch.add(member)
    watch.acquire()
    layer.hold("group_send")
    await clock.passes(4.0)
    await clock.passes(4.0 + 50.0)
    # The canary, on its way all the time, comes back only now.
    layer.release("group_send")
    await wait_until(lambda: layer.calls["receive"] == 2)
    await clock.passes(4.0)
    await clock.is_waited_for()
    assert watch.statistics().lost_groups == 0
    assert watch.is_healthy
    assert ("The event loop stood still" in caplog.text) is warns
    await watch.release()


@pytest.mark.parametrize("forgets", [True, False])
async def test_the_canary_stays_in_its_group_for_as_long_as_it_comes_back(
    layer: Swallowing, monkeypatch: pytest.MonkeyPatch, forgets: bool
) -> None:
    monkeypatch.setattr(layer_watch, "CHECK_EVERY", 20.0)
    monkeypatch.setattr(ProvingTraits, "forgets_members", forgets)
    watch, clock = LayerWatch(layer), FakeClock()
    monkeypatch.setattr(watch, "_loop", clock)
    watch.acquire()
    joins = []
    for checks in range(1, 9):
        await clock.passes(20.0)
        # The next read is begun when the canary was taken.
        await wait_until(lambda: layer.calls["receive"] == checks + 1)  # noqa: B023
        await clock.is_waited_for()
        # A renewal takes no time, but some steps.
        await tick(50)
        joins.append(layer.calls["group_add"])
    # `RENEW_EVERY` is a minute: joined in the 1st round, and three rounds later each time.
    assert joins == ([1, 1, 1, 2, 2, 2, 3, 3] if forgets else [1] * 8)
    assert watch.statistics().lost_groups == 0
    await watch.release()


class FakeClock:
    """An event loop on which time passes when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.alarm: Any = None
        self.create_task = asyncio.get_running_loop().create_task

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Any) -> Any:
        del seconds
        self.alarm = callback
        return SimpleNamespace(cancel=lambda: None)

    async def is_waited_for(self) -> None:
        await wait_until(lambda: self.alarm)

    async def passes(self, seconds: float) -> None:
        """Let time pass at once, with all that it ends."""
        await self.is_waited_for()
        self.now += seconds
        alarm, self.alarm = self.alarm, None
        alarm()


async def test_a_connection_that_swallows_is_made_anew_then_all_and_then_clients_leave(
    layer: Swallowing, watch: LayerWatch, member: FakeMember, caplog: pytest.LogCaptureFixture
) -> None:
    await wait_until(lambda: len(layer.groups) == 2)
    layer.swallows = lambda group: ord(group[-1]) % 2 == 0
    await wait_until(lambda: member.was_given_up)
    assert layer.__dict__["mended"][:3] == [[0], "all", [0]]
    assert not watch.is_healthy
    assert watch.statistics().silent_for > 0
    assert watch.statistics().reconnects >= 3
    assert "Nothing comes through the channel layer any more" in caplog.text
    rejoins = member.rejoins
    await wait_until(lambda: member.rejoins > rejoins + 2)
    # They are sent away once, and may come back.
    assert member.was_given_up == 1
    layer.swallows = lambda group: False
    await wait_until(lambda: watch.is_healthy)
    assert "The channel layer carries messages again" in caplog.text


async def test_a_layer_that_does_not_answer_cannot_stop_the_watch(
    layer: Swallowing,
    watch: LayerWatch,
    member: FakeMember,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layer_watch, "CALL_TIMEOUT", 0.005)
    await wait_until(lambda: len(layer.groups) == 2)
    layer.hold("group_send")
    await wait_until(lambda: len(layer.__dict__["mended"]) >= 2)
    layer.release("group_send")
    await wait_until(lambda: watch.is_healthy)


async def test_a_layer_that_is_away_and_says_so_is_waited_for(
    layer: Swallowing, watch: LayerWatch, member: FakeMember
) -> None:
    layer.errors["group_send"] = OSError("no Redis")
    await wait_until(lambda: member.rejoins >= 8)
    assert layer.__dict__["mended"] == []
    assert member.was_given_up == 0
    assert not watch.is_healthy
    del layer.errors["group_send"]
    await wait_until(lambda: watch.is_healthy)


async def test_a_full_channel_is_no_loss_of_groups(
    layer: Swallowing, watch: LayerWatch, member: FakeMember, caplog: pytest.LogCaptureFixture
) -> None:
    await wait_until(lambda: len(layer.groups) == 2)
    layer.swallows, layer.is_full = (lambda group: True), True
    await wait_until(lambda: watch.statistics().overloads)
    rejoins = member.rejoins
    await wait_until(lambda: watch.statistics().overloads >= 4)
    assert member.rejoins == rejoins
    assert not watch.is_healthy
    assert "drops messages, as more come than this process reads" in caplog.text
    layer.swallows, layer.is_full = (lambda group: False), False


async def test_where_other_messages_come_through_nobody_is_sent_away(
    layer: Swallowing, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, member = LayerWatch(layer), FakeMember("a")
    watch.acquire()
    watch.add(member)
    await wait_until(lambda: len(layer.groups) == 1)
    layer.swallows = lambda group: True
    for _ in range(12):
        rejoins = member.rejoins
        watch.is_heard = True
        await wait_until(lambda: member.rejoins > rejoins)  # noqa: B023 (it is waited for here)
    assert watch.statistics().reconnects < 3
    layer.swallows = lambda group: False
    await wait_until(lambda: watch.is_healthy)
    await watch.release()


async def test_what_a_layer_without_room_for_a_question_raises_is_no_overload(
    layer: Swallowing,
    watch: LayerWatch,
    member: FakeMember,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(channel: str, message: Any) -> None:
        raise OSError("no Redis")

    monkeypatch.setattr(layer, "send", refuse)
    await wait_until(lambda: len(layer.groups) == 2)
    layer.swallows = lambda group: True
    await wait_until(lambda: watch.statistics().lost_groups)
    assert watch.statistics().overloads == 0


async def test_groups_that_cannot_be_joined_again_stay_in_doubt(
    watch: LayerWatch, member: FakeMember, caplog: pytest.LogCaptureFixture
) -> None:
    member.error = ChannelLayerError("not yet")
    watch.doubt()
    await wait_until(lambda: member.rejoins >= 3)
    assert "The membership in groups cannot be renewed: not yet" in caplog.text
    assert not watch.is_healthy
    member.error = None
    await wait_until(lambda: watch.is_healthy)


async def test_a_mistake_in_the_watch_does_not_end_it(
    watch: LayerWatch, member: FakeMember, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(shards: object) -> None:
        raise RuntimeError("a mistake")

    member.doubt = fail  # type: ignore[method-assign]
    watch.doubt()
    await wait_until(lambda: "could not be looked after" in caplog.text)
    del member.doubt  # type: ignore[method-assign]
    rejoins = member.rejoins
    watch.doubt()
    await wait_until(lambda: member.rejoins > rejoins)


async def test_steps_that_fail_are_followed_by_others(
    layer: Swallowing,
    watch: LayerWatch,
    member: FakeMember,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail(self: object, *arguments: object) -> None:
        raise OSError("it cannot be closed")

    monkeypatch.setattr(TwoHosts, "cut_connections", fail)
    monkeypatch.setattr(TwoHosts, "start_over", fail)
    layer.swallows = lambda group: True
    await wait_until(lambda: member.was_given_up)


async def test_a_layer_of_an_unknown_kind_is_mended_by_joining_again_alone(
    layer: Swallowing,
) -> None:
    watch, member = LayerWatch(layer), FakeMember("a")
    layer.proves_joins = False
    watch.acquire()
    watch.add(member)
    await wait_until(lambda: len(layer.groups) == 1)
    layer.swallows = lambda group: True
    await wait_until(lambda: member.was_given_up)
    layer.swallows = lambda group: False
    await wait_until(lambda: watch.is_healthy)
    await watch.release()


async def test_a_message_of_others_is_no_canary(layer: Swallowing, watch: LayerWatch) -> None:
    await wait_until(lambda: len(layer.groups) == 2)
    for group in layer.groups:
        await layer.group_send(group, {"type": "chat"})
    assert watch.is_healthy


async def test_memberships_are_renewed_a_few_at_a_time(
    layer: FakeLayer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # What the watch finds out by itself comes too late here.
    monkeypatch.setattr(layer_watch, "CHECK_EVERY", 1000)
    monkeypatch.setattr(layer_watch, "RENEW_EVERY", 0.01)
    monkeypatch.setattr(layer_watch, "SHORTEST_RENEWAL", 0.0)
    monkeypatch.setattr(layer_watch, "RENEWALS_AT_ONCE", 2)
    monkeypatch.setattr(layer_watch, "RENEWALS_PER_SECOND", 10_000)
    watch, member = LayerWatch(layer), FakeMember("a", "b", "c")
    watch.acquire()
    watch.add(member)
    await wait_until(lambda: len(member.renewed) >= 2)
    assert member.renewed[:2] == [["a", "b"], ["c"]]
    member.error = ChannelLayerError("gone")
    await wait_until(lambda: "cannot be renewed: gone" in caplog.text)
    await wait_until(lambda: not watch.is_healthy)
    watch.discard(member)
    watch.discard(member)
    await watch.release()


async def test_many_memberships_of_one_group_each_take_no_longer_than_one_of_many(
    layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    monkeypatch.setattr(layer_watch.asyncio, "sleep", pause)
    watch, full = LayerWatch(layer), [f"{n}" for n in range(layer_watch.RENEWALS_AT_ONCE)]
    await watch._renew(FakeMember("a"), ["a"], 3.2)
    await watch._renew(FakeMember(*full), full, 3.2)
    assert pauses == [pytest.approx(3.2 / len(full)), pytest.approx(3.2)]


async def test_a_membership_that_no_layer_forgets_is_not_renewed(layer: FakeLayer) -> None:
    class Remembering(LayerTraits):
        forgets_members = False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layer_watch, "traits_of", Remembering)
        watch = LayerWatch(layer)
    watch.acquire()
    assert watch._renewing is None
    await watch.release()


async def test_a_group_is_renewed_whose_key_was_lost(
    layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_watch, "CHECK_EVERY", 1000)
    monkeypatch.setattr(layer_watch, "RENEW_EVERY", 0.01)
    monkeypatch.setattr(layer_watch, "SHORTEST_RENEWAL", 0.0)
    wanted = {"A": None, "B": None}
    member = Membership(layer, wanted, lambda _: None)
    await member.settled(wanted)
    del layer.groups["A"]
    await wait_until(lambda: "A" in layer.groups)
    assert member.statistics().renewals > 0
    await member.close()


async def test_a_watch_of_a_closed_event_loop_is_forgotten(layer: FakeLayer) -> None:
    def elsewhere() -> None:
        async def watch() -> None:
            watch_of(layer)

        asyncio.run(watch())

    await asyncio.to_thread(elsewhere)
    watch_of(layer)
    assert [key[0] for key in layer_watch._watches if key[1] == id(layer)] == [
        asyncio.get_running_loop()
    ]
    layer_watch._watches.clear()


async def test_clients_are_sent_away_once_nothing_comes_through(layer: FakeLayer) -> None:
    class Connection:
        drained = 0

        async def drain(self, timeout: float) -> None:
            self.drained += 1

    hub: Hub = hub_of(layer)
    connection, gone = Connection(), Connection()
    hub.acquire(connection)
    hub.acquire(gone)
    await hub.release(gone)
    hub._send_away()
    await wait_until(lambda: connection.drained)
    assert gone.drained == 0
    await hub.release(connection)


async def test_a_client_is_told_in_time_that_its_group_cannot_be_joined(
    layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "JOIN_TIMEOUT", 0.01)
    member = Membership(layer, {"A": None}, lambda _: None)
    layer.hold("group_add")
    with pytest.raises(ChannelLayerError, match=r"Cannot join a group within 0\.01 seconds"):
        await member.settled(["A"])
    layer.release("group_add")
    await member.settled(["A"])
    await member.close()


async def test_a_doubt_while_a_group_is_joined_has_it_joined_once_more(layer: FakeLayer) -> None:
    member = Membership(layer, {"A": None}, lambda _: None)
    layer.hold("group_add")
    joining = asyncio.create_task(member.settled(["A"]))
    await wait_until(lambda: layer.calls["group_add"])
    member.doubt([0])
    layer.release("group_add")
    await joining
    assert layer.calls["group_add"] == 2
    await member.close()


async def test_a_reader_asks_anew_for_a_channel_that_its_layer_has_forgotten(
    layer: FakeLayer,
) -> None:
    heard: list[Any] = []
    reader = ChannelReader(layer, "mine", heard.append)
    await wait_until(lambda: layer.calls["receive"] == 1)
    await tick(3)
    reader.restart()
    await wait_until(lambda: layer.calls["receive"] == 2)
    layer.put("mine", {"type": "a"})
    await wait_until(lambda: heard)
    assert channel_reader.readers_of(layer) == [reader]
    await reader.close()
    assert channel_reader.readers_of(layer) == []


async def test_a_reader_that_pauses_after_an_error_asks_anew_as_well(
    layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    failed = asyncio.Event()
    monkeypatch.setattr(channel_reader, "pause_after", lambda _: 600.0)
    layer.put("mine", OSError("connection lost"))
    reader = ChannelReader(layer, "mine", heard.append, failed.set)
    await failed.wait()
    await tick(3)
    reader.restart()
    reader.restart()
    layer.put("mine", {"type": "a"})
    await wait_until(lambda: heard)
    await reader.close()


async def test_a_message_that_is_being_taken_is_not_interrupted_by_asking_anew(
    layer: FakeLayer,
) -> None:
    heard: list[Any] = []
    goes_on = asyncio.Event()

    async def take(message: Any) -> None:
        heard.append("begun")
        await goes_on.wait()
        heard.append(message["type"])

    reader = ChannelReader(layer, "mine", take)
    reader.restart()
    layer.put("mine", {"type": "a"})
    await wait_until(lambda: heard)
    reader.restart()
    goes_on.set()
    layer.put("mine", {"type": "b"})
    await wait_until(lambda: heard == ["begun", "a", "begun", "b"])
    await reader.close()


async def test_a_call_that_swallows_its_cancellation_is_not_waited_for() -> None:
    ending = asyncio.Event()

    async def stubborn() -> None:
        try:
            await ending.wait()
        except asyncio.CancelledError:
            await ending.wait()
            raise OSError("late") from None

    with pytest.raises(ChannelLayerError, match=r"did not answer within 0\.001 seconds"):
        await within(0.001, stubborn(), "answer")
    assert len(channel_reader._abandoned) == 1
    ending.set()
    await wait_until(lambda: not channel_reader._abandoned)


async def test_who_waits_for_a_call_may_be_cancelled() -> None:
    waiting = asyncio.create_task(within(20, asyncio.Event().wait(), "answer"))
    await tick(2)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    await wait_until(lambda: not channel_reader._abandoned)


async def test_what_does_not_answer_in_time_is_asked_no_third_time() -> None:
    errors = [OSError("idle for too long"), ChannelLayerError("too slow")]

    async def fail() -> None:
        raise errors.pop(0)

    with pytest.raises(ChannelLayerError, match=r"^too slow$"):
        await asked(fail, "answer")
    assert errors == []


async def test_a_call_that_fails_while_its_caller_is_cancelled_leaves_no_error_to_nobody() -> None:
    loop, unseen = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: unseen.append(context))

    async def fail(callers: list[asyncio.Future[None]]) -> None:
        await tick()
        # It comes between the failure and the moment in which that is noticed.
        loop.call_soon(callers.pop().cancel)
        raise OSError("no Redis")

    callers: list[asyncio.Future[None]] = []
    callers.append(asyncio.ensure_future(channel_reader.within(1, fail(callers), "answer")))
    [ended], _ = await asyncio.wait(callers)
    assert ended.cancelled()
    del ended
    gc.collect()
    await tick()
    assert unseen == []

"""Broadcasts on their way to a channel layer that is slow, hangs or is away."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import pytest
from asgiref.sync import async_to_sync

from channels_graphql_ws.exceptions import ChannelLayerError, ChannelLayerUnavailableError
from channels_graphql_ws.pubsub import numbering, publisher, pump
from channels_graphql_ws.pubsub import outgoing as outgoing_module
from channels_graphql_ws.pubsub.history.interfaces import Position
from channels_graphql_ws.pubsub.history.memory import MemoryHistory
from channels_graphql_ws.pubsub.layer_traits import ProvingTraits
from channels_graphql_ws.pubsub.numbering import ANNOUNCEMENT
from channels_graphql_ws.pubsub.outgoing import SENT, FailureLog, Outgoing, SendOfAll
from channels_graphql_ws.pubsub.pump import publisher_statistics
from channels_graphql_ws.settings import project_settings
from support import GUARD, FakeLayer, tick, wait_until


class TwoHosts(ProvingTraits):
    """Groups on two hosts, by their last letter."""

    shards = 2

    def shard_of(self, group: str) -> int:
        return ord(group[-1]) % 2


class Hanging(FakeLayer):
    """Hangs for some groups, and may swallow cancellations as redis-py does."""

    def __init__(self) -> None:
        super().__init__()
        self.hangs = True
        self.swallows = 0

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        while self.hangs and group == "a":
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.swallows -= 1
                if self.swallows < 0:
                    raise
        await super().group_send(group, message)


@pytest.fixture(autouse=True)
def failures(monkeypatch: pytest.MonkeyPatch) -> FailureLog:
    fresh = FailureLog()
    monkeypatch.setattr(outgoing_module, "failures", fresh)
    return fresh


@pytest.fixture
def soon(settings: Any) -> None:
    settings.CHANNELS_GRAPHQL_WS = {"BROADCAST_TIMEOUT": 0.02}


@pytest.fixture
async def layer(monkeypatch: pytest.MonkeyPatch) -> Hanging:
    monkeypatch.setattr(pump, "traits_of", TwoHosts)
    return Hanging()


def send(layer: Any, group: str, payload: bytes = b"") -> asyncio.Future[None]:
    message = {"type": "broadcast", "group": group, "payload": payload}
    return publisher.send_soon(layer, Outgoing(message, "OnEvent", group))


TOO_LATE = r"OnEvent.broadcast\(group='a'\): the channel layer did not take it within 0\.02 sec"


@pytest.mark.usefixtures("soon")
async def test_who_awaits_a_broadcast_that_hangs_is_told_in_time(layer: Hanging) -> None:
    with pytest.raises(ChannelLayerError, match=TOO_LATE) as caught:
        await send(layer, "a")
    assert isinstance(caught.value.__cause__, TimeoutError)
    layer.hangs = False
    await send(layer, "a")
    assert len(layer.sent) == 1


@pytest.mark.usefixtures("soon")
def test_plain_code_that_broadcasts_while_a_layer_hangs_goes_on_in_time() -> None:
    class Layer:
        async def group_send(self, group: str, message: Any) -> None:
            await asyncio.Event().wait()

    message = {"type": "broadcast", "group": "a"}
    with pytest.raises(ChannelLayerError, match="did not take it"):
        publisher.send_now(Layer(), Outgoing(message, "OnEvent", "a"))


@pytest.mark.usefixtures("soon")
async def test_what_nobody_awaits_and_hangs_is_logged(
    layer: Hanging, caplog: pytest.LogCaptureFixture
) -> None:
    send(layer, "a")
    await wait_until(lambda: caplog.records)
    assert "OnEvent.broadcast(group='a') failed and nobody awaited it" in caplog.text


@pytest.mark.usefixtures("soon")
async def test_what_waits_behind_a_send_that_hangs_does_not_wait_as_long_again(
    layer: Hanging,
) -> None:
    before = publisher_statistics()
    pending = [send(layer, "a") for _ in range(50)]
    assert publisher_statistics().waiting == 50
    errors = await asyncio.gather(*pending, return_exceptions=True)
    assert {type(error) for error in errors} == {ChannelLayerUnavailableError}
    after = publisher_statistics()
    assert after.timed_out - before.timed_out == 50
    assert (after.waiting, after.waiting_bytes) == (0, 0)


@pytest.mark.usefixtures("soon")
async def test_one_host_that_hangs_does_not_keep_the_others_waiting(layer: Hanging) -> None:
    hanging = send(layer, "a")
    await asyncio.gather(*(send(layer, "b") for _ in range(10)))
    assert not hanging.done()
    assert len(layer.sent) == 10
    with pytest.raises(ChannelLayerError):
        await hanging


@pytest.mark.usefixtures("soon")
async def test_a_send_that_swallows_its_cancellation_is_cancelled_again(
    layer: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "CANCEL_AGAIN_AFTER", 0.001)
    layer.swallows = 3
    with pytest.raises(ChannelLayerError, match=TOO_LATE):
        await send(layer, "a")


@pytest.mark.usefixtures("soon")
async def test_what_a_layer_took_while_the_event_loop_stood_still_is_sent(
    layer: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer and the end of the time are looked at in the same turn."""
    monkeypatch.setattr(pump, "STOOD_STILL", 0.01)
    monkeypatch.setattr(pump, "AFTER_STANDSTILL", GUARD)
    layer.hangs = False
    layer.hold("group_send")
    sent, behind = send(layer, "a"), send(layer, "a")
    await wait_until(lambda: layer.calls["group_send"])
    # As what comes from a socket: what waits for it goes on a turn later.
    asyncio.get_running_loop().call_soon(layer.release, "group_send")
    end = time.monotonic() + 0.05
    while time.monotonic() < end:
        pass  # The event loop stands still.
    await asyncio.gather(sent, behind)
    assert len(layer.sent) == 2


@pytest.mark.usefixtures("soon")
async def test_a_layer_that_hangs_has_no_more_than_a_moment_after_a_standstill(
    layer: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "STOOD_STILL", 0.0)
    monkeypatch.setattr(pump, "AFTER_STANDSTILL", 0.001)
    pending = [send(layer, "a") for _ in range(3)]
    errors = await asyncio.gather(*pending, return_exceptions=True)
    assert {type(error) for error in errors} == {ChannelLayerUnavailableError}


async def test_without_a_limit_a_broadcast_waits_as_long_as_it_takes(
    layer: Hanging, settings: Any
) -> None:
    settings.CHANNELS_GRAPHQL_WS = {"BROADCAST_TIMEOUT": None}
    layer.hangs = False
    layer.hold("group_send")
    sent = send(layer, "a")
    await wait_until(lambda: layer.calls["group_send"])
    await tick(10)
    assert not sent.done()
    layer.release("group_send")
    await sent


@pytest.mark.usefixtures("soon")
async def test_many_that_are_sent_in_time_may_take_longer_together(layer: Hanging) -> None:
    layer.hangs = False
    sent = [send(layer, "a") for _ in range(2_000)]
    await asyncio.gather(*sent)
    assert len(layer.sent) == 2_000


@pytest.mark.parametrize(("limit", "value"), [("MOST_MESSAGES", 3), ("MOST_BYTES", 2)])
async def test_no_more_waits_than_may_and_what_is_dropped_is_told_once(
    layer: Hanging,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    limit: str,
    value: int,
) -> None:
    monkeypatch.setattr(pump, limit, value)
    layer.hangs = False
    layer.hold("group_send")
    kept = [send(layer, "a", b"x") for _ in range(3)]
    dropped = [send(layer, "a", b"x") for _ in range(5)]
    assert all(one.done() for one in dropped)
    with pytest.raises(ChannelLayerError, match="was dropped: 3 broadcasts wait"):
        await dropped[0]
    del dropped
    gc.collect()
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "Broadcasts are dropped" in caplog.text
    layer.release("group_send")
    await asyncio.gather(*kept)
    await send(layer, "a", b"x")
    # The next time there is no room is told again.
    layer.hold("group_send")
    for _ in range(5):
        send(layer, "a", b"x")
    assert len(caplog.records) == 2
    layer.release("group_send")
    await wait_until(lambda: len(layer.sent) == 7)


async def test_an_error_of_our_own_stays_what_it_is(layer: Hanging) -> None:
    layer.errors["group_send"] = ours = ChannelLayerError("ours")
    with pytest.raises(ChannelLayerError) as caught:
        await send(layer, "b")
    assert caught.value is ours


async def test_of_failures_that_nobody_awaits_the_log_has_the_first_and_a_count(
    failures: FailureLog, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        failures.add(OSError("no Redis"), "OnEvent.broadcast(group='a')")
    failures.add(OSError("no Redis"), "OnOther.broadcast(group='a')")
    assert [record.message for record in caplog.records] == [
        "OnEvent.broadcast(group='a') failed and nobody awaited it",
        "OnOther.broadcast(group='a') failed and nobody awaited it",
    ]
    monkeypatch.setattr(failures, "interval", 0.0)
    monkeypatch.setattr(failures, "most_kept", 1)
    failures.add(OSError("no Redis"), "OnEvent.broadcast(group='b')")
    assert "(and 4 more since the last such line)" in caplog.text
    assert failures.count == 7


async def test_several_messages_are_awaited_as_one(layer: Hanging) -> None:
    layer.hangs = False
    layer.hold("group_send")
    both = SendOfAll([send(layer, "a"), send(layer, "b")], "OnEvent")
    await tick(5)
    assert not both.done()
    layer.release("group_send")
    await both
    assert len(layer.sent) == 2


async def test_of_several_messages_one_that_fails_is_told(
    layer: Hanging, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    parts: list[asyncio.Future[None]] = [loop.create_future() for _ in range(3)]
    all_of_them = SendOfAll(parts, "OnEvent.broadcast()")
    parts[0].cancel()
    parts[1].set_exception(OSError("no Redis"))
    parts[2].set_result(None)
    with pytest.raises(OSError, match="no Redis"):
        await all_of_them
    ignored: list[asyncio.Future[None]] = [loop.create_future()]
    SendOfAll(ignored, "OnEvent.broadcast()")
    ignored[0].set_exception(OSError("no Redis"))
    await wait_until(lambda: "failed and nobody awaited it" in caplog.text)


@pytest.mark.filterwarnings("ignore:async_to_sync was passed a non-async-marked callable")
def test_what_plain_code_has_sent_may_be_awaited() -> None:
    def broadcast() -> Any:
        return SENT

    async_to_sync(broadcast)()


def test_the_setting_is_read_again_when_it_changes(settings: Any) -> None:
    assert project_settings.get("BROADCAST_TIMEOUT") == 5
    settings.CHANNELS_GRAPHQL_WS = {"BROADCAST_TIMEOUT": 1}
    assert project_settings.get("BROADCAST_TIMEOUT") == 1
    settings.USE_TZ = True
    assert project_settings.get("BROADCAST_TIMEOUT") == 1


async def test_broadcasts_are_numbered_within_their_group(
    layer: Hanging, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numbering, "MOST_GROUPS", 2)
    for group in ("b", "d", "b", "f", "b"):
        await send(layer, group)
    numbers = [message["serial"] for message in layer.sent]
    senders = [message["sender"] for message in layer.sent]
    # Counting begins anew, as another sender, rather than without end.
    assert numbers == [1, 1, 2, 1, 1]
    assert senders[0] == senders[2] != senders[3]


async def test_what_is_sent_again_keeps_its_number_and_place(layer: Hanging) -> None:
    numbered = {"type": "broadcast", "group": "b", "sender": "s", "serial": 7, "payload": b""}
    await publisher.send_soon(layer, Outgoing(dict(numbered), "OnEvent"))
    assert layer.sent == [numbered]
    placed = {"type": "broadcast", "group": "b", "epoch": "e", "offset": 3, "payload": b""}
    await publisher.send_soon(layer, Outgoing(dict(placed), "OnEvent", keep=(10, 60.0)))
    assert layer.sent[1] == placed


async def test_what_may_have_been_sent_before_is_not_numbered(layer: Hanging) -> None:
    message = {"type": "broadcast", "group": "b", "payload": b"", "id": "one"}
    await publisher.send_soon(layer, Outgoing(message, "OnEvent", is_numbered=False))
    assert layer.sent == [message]
    assert "serial" not in message


class OwnHistory:
    """A history of a project, which knows nothing of ids."""

    def __init__(self, layer: object) -> None:
        del layer

    async def append(self, group: str, payload: bytes, size: int, ttl: float) -> Position:
        return Position("own", size)


@pytest.mark.parametrize("own", [True, False])
async def test_a_durable_event_is_kept_by_any_history(
    layer: Hanging, settings: Any, own: bool
) -> None:
    history = OwnHistory if own else MemoryHistory
    settings.CHANNELS_GRAPHQL_WS = {"HISTORY": f"{__name__}.of_{history.__name__}"}
    kept = MemoryHistory()
    globals().update(of_OwnHistory=OwnHistory, of_MemoryHistory=lambda _: kept)
    for _ in range(2):
        message = {"type": "broadcast", "group": "b", "payload": b"", "id": "one"}
        await publisher.send_soon(layer, Outgoing(message, "OnEvent", keep=(10, 60.0)))
    assert [message["offset"] for message in layer.sent] == ([10, 10] if own else [1, 1])


@pytest.fixture
def announced_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbering, "ANNOUNCE_EVERY", 0.002)
    monkeypatch.setattr(numbering, "DISTANCES", (1, 2))


def announcements(layer: Hanging) -> list[Any]:
    return [message for message in layer.sent if message["type"] == ANNOUNCEMENT]


@pytest.mark.usefixtures("announced_soon")
async def test_the_last_number_is_announced_when_nothing_follows_it(
    layer: Hanging,
) -> None:
    before = publisher_statistics().sent
    await send(layer, "b")
    await wait_until(lambda: announcements(layer))
    for message in announcements(layer):
        [[group, serial, _]] = message["serials"]
        assert (group, serial, message["sender"]) == ("b", 1, layer.sent[0]["sender"])
    # They are nobody's broadcasts.
    assert publisher_statistics().sent == before + 1
    await send(layer, "b")
    await wait_until(lambda: announcements(layer)[-1]["serials"][0][1] == 2)


@pytest.mark.usefixtures("announced_soon", "soon")
async def test_announcements_that_fail_are_nobodys_failure(
    layer: Hanging, failures: FailureLog, caplog: pytest.LogCaptureFixture
) -> None:
    before = publisher_statistics()
    await send(layer, "b")
    layer.errors["group_send"] = OSError("no Redis")
    calls = layer.calls["group_send"]
    await wait_until(lambda: layer.calls["group_send"] >= calls + 1)
    await tick(5)
    gc.collect()
    assert publisher_statistics().failed == before.failed
    assert failures.count == 0
    assert caplog.text == ""


async def test_an_announcement_that_finds_no_room_is_given_up_without_a_word(
    layer: Hanging, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pump, "MOST_MESSAGES", 1)
    lane = pump.pump_of(asyncio.get_running_loop(), layer, publisher.send_elsewhere).lanes[0]
    waiting = send(layer, "b")
    message = {"type": ANNOUNCEMENT, "group": "g", "sender": "s", "serials": [], "pause": 0.0}
    refused = lane.put(asyncio.get_running_loop(), Outgoing(message, "Numbers"))
    assert isinstance(refused.exception(), ChannelLayerError)
    await waiting
    assert "dropped" not in caplog.text


async def test_who_ends_announces_at_once_and_has_no_timer_left(layer: Hanging) -> None:
    loop = asyncio.get_running_loop()
    pump.announce_and_rest(loop, layer)
    await send(layer, "b")
    pump.announce_and_rest(loop, layer)
    await wait_until(lambda: announcements(layer))
    [lane] = [lane for lane in pump._pumps[loop][id(layer)].lanes if lane._numbering._last]
    assert lane._announcing is None
    pump.announce_and_rest(loop, layer)
    await tick(5)
    assert len(announcements(layer)) == 1
    await send(layer, "b")
    assert lane._announcing is not None


def test_announcements_under_way_do_not_hold_up_the_end_of_an_event_loop() -> None:
    layers: list[Hanging] = []

    async def end() -> None:
        layer = Hanging()
        layers.append(layer)
        await send(layer, "b")
        layer.hold("group_send")
        pump.announce_and_rest(asyncio.get_running_loop(), layer)
        await tick(3)

    asyncio.run(end())
    assert announcements(layers[0]) == []


async def test_a_number_tells_how_long_it_waited_to_be_sent(layer: Hanging) -> None:
    await send(layer, "b")
    layer.hold("group_send")
    first, second = send(layer, "d"), send(layer, "b")
    await tick(5)
    loop = asyncio.get_running_loop()
    now = loop.time
    loop.time = lambda: now() + 100  # type: ignore[method-assign]
    try:
        layer.release("group_send")
        await first
        await asyncio.wait([second])
    finally:
        loop.time = now  # type: ignore[method-assign]
    assert layer.sent[-1]["pause"] >= 100


async def test_the_end_of_subscriptions_is_not_numbered(layer: Hanging) -> None:
    message = {"type": "unsubscribe", "group": "b"}
    await publisher.send_soon(layer, Outgoing(message, "OnEvent"))
    assert layer.sent == [{"type": "unsubscribe", "group": "b"}]

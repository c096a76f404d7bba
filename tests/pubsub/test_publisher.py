"""Broadcasting from anywhere: names, order, failures, threads, forks, the end of a loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from channels.layers import BaseChannelLayer, InMemoryChannelLayer
from hypothesis import given
from hypothesis import strategies as st

from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.pubsub import layers, local, pump, sender_thread
from channels_graphql_ws.pubsub import outgoing as outgoing_module
from channels_graphql_ws.pubsub import publisher as broadcast
from channels_graphql_ws.pubsub.outgoing import Outgoing
from channels_graphql_ws.pubsub.publisher import group_name
from support import GUARD, FakeLayer, tick, wait_until


class Ledger:
    """A channel layer for any thread: keeps what is sent, can fail, can be held."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.loops: set[asyncio.AbstractEventLoop] = set()
        self.error: Exception | None = None
        self.may_send = threading.Event()
        self.may_send.set()

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.loops.add(asyncio.get_running_loop())
        await wait_until(self.may_send.is_set)
        if self.error is not None:
            raise self.error
        self.sent.append(message["payload"])


class Subclass(InMemoryChannelLayer):
    """An in-memory layer whose messages do pass it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Any] = []

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        self.sent.append(message["payload"])


class Receiver:
    """Hears what is broadcast inside this process."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.heard: list[Any] = []

    def deliver(self, message: Mapping[str, Any]) -> None:
        assert asyncio.get_running_loop() is self.loop
        self.heard.append(message["payload"])


def outgoing(payload: object = None, group: str = "G") -> Outgoing:
    message = {"type": "broadcast", "group": group, "payload": payload}
    return Outgoing(message, "OnEvent", "room")


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process in which nobody has listened so far, and nothing was sent."""
    monkeypatch.setattr(local, "_process", local._Process())
    monkeypatch.setattr(sender_thread, "sender", sender := sender_thread.SenderThread())
    monkeypatch.setattr(outgoing_module, "failures", outgoing_module.FailureLog())
    known = threading.enumerate()
    yield
    if sender._loop is not None:
        sender._loop.call_soon_threadsafe(sender._loop.stop)
        for thread in threading.enumerate():
            if thread not in known and thread.name == "channels-graphql-ws-sender":
                thread.join(GUARD)
        sender._loop.close()


@given(st.text(alphabet=st.characters(), max_size=50))
def test_any_text_makes_a_name_which_channel_layers_take(group: str) -> None:
    name = group_name("GQLWS", "module.Class", group)
    assert len(name) < BaseChannelLayer.MAX_NAME_LENGTH
    assert BaseChannelLayer.group_name_regex.match(name)


@pytest.mark.parametrize("group", ["комната", "部屋", "🚀", "\ud800", "x" * 10_000, "", "a\0b"])
def test_a_long_or_strange_name_is_as_good_as_any(group: str) -> None:
    name = group_name("p" * 34, "module.Class", group)
    assert len(name) < BaseChannelLayer.MAX_NAME_LENGTH
    assert BaseChannelLayer.group_name_regex.match(name)
    assert name != group_name("p" * 34, "module.Class", group + "x")


def test_names_do_not_run_into_each_other() -> None:
    parts = [("A", "BC"), ("AB", "C"), ("ABC", None), ("ABC", ""), ("A", None)]
    assert len({group_name("P", topic, group) for topic, group in parts}) == len(parts)


def test_every_process_makes_the_same_names() -> None:
    code = (
        "from channels_graphql_ws.pubsub.publisher import group_name;"
        "print(group_name('GQLWS', 'm.C', 'комната'))"
    )
    names = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert names == {group_name("GQLWS", "m.C", "комната")}


@pytest.mark.parametrize("prefix", ["", "p" * 35, "with space", "жук", "a/b", "line\n"])
def test_a_prefix_that_channel_layers_refuse_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="group_name_prefix"):
        group_name(prefix, "module.Class", "group")


def test_without_a_channel_layer_the_error_names_the_setting(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {}
    with pytest.raises(ChannelLayerError, match=r"not configured.*'default'.*CHANNEL_LAYERS"):
        layers.channel_layer()


def test_a_configured_channel_layer_is_given() -> None:
    assert isinstance(layers.channel_layer(), InMemoryChannelLayer)


async def test_what_is_not_awaited_is_sent_in_order_and_survives_the_garbage_collector() -> None:
    layer = FakeLayer()
    for number in range(200):
        broadcast.send_soon(layer, outgoing(number))
        gc.collect(0)
    gc.collect()
    await wait_until(lambda: len(layer.sent) == 200)
    assert [message["payload"] for message in layer.sent] == list(range(200))
    assert layer.most_at_once == 1


async def test_awaited_and_un_awaited_broadcasts_keep_one_order() -> None:
    layer = Ledger()
    for number in range(0, 10, 2):
        broadcast.send_soon(layer, outgoing(number))
        await broadcast.send_soon(layer, outgoing(number + 1))
        assert layer.sent == list(range(number + 2))


async def test_tasks_that_broadcast_at_the_same_time_do_not_disturb_each_other() -> None:
    layer = Ledger()

    async def send(numbers: range) -> None:
        for number in numbers:
            await broadcast.send_soon(layer, outgoing(number))

    await asyncio.gather(*(send(range(start, start + 10)) for start in range(0, 100, 10)))
    assert sorted(layer.sent) == list(range(100))


async def test_two_layers_do_not_wait_for_each_other() -> None:
    slow, fast = Ledger(), Ledger()
    slow.may_send.clear()
    held = broadcast.send_soon(slow, outgoing(1))
    await broadcast.send_soon(fast, outgoing(2))
    assert not held.done()
    slow.may_send.set()
    await held


async def test_a_layer_in_the_place_of_one_that_is_gone_gets_its_own_messages() -> None:
    gone, layer = Ledger(), Ledger()
    # As if the new one had the id that the old one had.
    pumps = pump._pumps.setdefault(asyncio.get_running_loop(), {})
    pumps[id(layer)] = pump.Pump(asyncio.get_running_loop(), gone, broadcast.send_elsewhere)
    await broadcast.send_soon(layer, outgoing(1))
    assert (gone.sent, layer.sent) == ([], [1])


async def test_a_failure_that_nobody_awaits_is_logged_once_with_what_it_was(
    caplog: pytest.LogCaptureFixture,
) -> None:
    layer = Ledger()
    layer.error = OSError("no Redis")
    broadcast.send_soon(layer, outgoing(1))
    await wait_until(lambda: caplog.records)
    await tick(5)
    gc.collect()
    [record] = caplog.records
    assert record.message == "OnEvent.broadcast(group='room') failed and nobody awaited it"
    assert "no Redis" in caplog.text


@pytest.mark.parametrize("how", ["await", "gather", "wait_for"])
async def test_a_failure_that_somebody_awaits_is_raised_and_not_logged(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    layer = Ledger()
    layer.error = OSError("no Redis")
    sent = broadcast.send_soon(layer, outgoing(1))
    waiting: Any = sent
    if how == "gather":
        waiting = asyncio.gather(sent)
    elif how == "wait_for":
        waiting = asyncio.wait_for(sent, GUARD)
    with pytest.raises(ChannelLayerError, match="no Redis") as caught:
        await waiting
    assert caught.value.__cause__ is layer.error
    del sent, waiting
    gc.collect()
    assert caplog.records == []


async def test_after_a_failure_the_next_broadcast_is_sent() -> None:
    layer = Ledger()
    layer.error = OSError("no Redis")
    with pytest.raises(ChannelLayerError, match="no Redis"):
        await broadcast.send_soon(layer, outgoing(1))
    layer.error = None
    await broadcast.send_soon(layer, outgoing(2))
    assert layer.sent == [2]


@pytest.mark.parametrize("error", [None, OSError("no Redis")])
async def test_who_stops_waiting_does_not_stop_the_broadcast(
    error: Exception | None, caplog: pytest.LogCaptureFixture
) -> None:
    layer = Ledger()
    layer.error = error
    layer.may_send.clear()
    first = broadcast.send_soon(layer, outgoing(1))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(first, 0.001)
    layer.may_send.set()
    second = broadcast.send_soon(layer, outgoing(2))
    await asyncio.wait([second])
    assert layer.sent == ([] if error else [1, 2])
    assert caplog.records == []
    if error:
        failure = second.exception()
        assert isinstance(failure, ChannelLayerError)
        assert failure.__cause__ is error


def run_and_end(layer: Any, count: int, *, turns: int = 0) -> None:
    """Broadcast on an event loop which ends with all that is still to be done."""

    async def view() -> None:
        for number in range(count):
            broadcast.send_soon(layer, outgoing(number))
        await tick(turns)

    asyncio.run(view())


def test_what_an_event_loop_leaves_unsent_when_it_ends_is_sent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    layer = Ledger()
    run_and_end(layer, 5)
    assert layer.sent == [0, 1, 2, 3, 4]
    assert caplog.records == []


def test_a_broadcast_that_is_interrupted_half_way_is_sent_again_and_first(
    caplog: pytest.LogCaptureFixture,
) -> None:
    layer = Ledger()
    layer.may_send.clear()
    threading.Timer(0.05, layer.may_send.set).start()
    run_and_end(layer, 3, turns=3)
    assert layer.sent == [0, 1, 2]
    assert caplog.records == []


async def test_what_is_left_for_listeners_of_another_loop_is_sent_there() -> None:
    ours = asyncio.get_running_loop()

    class OfOneLoop(Subclass):
        async def group_send(self, group: str, message: dict[str, Any]) -> None:
            if asyncio.get_running_loop() is not ours:
                await asyncio.Event().wait()
            await super().group_send(group, message)

    layer = OfOneLoop()
    local.add_receiver(layer, Receiver())

    def elsewhere() -> None:
        run_and_end(layer, 3)

    await asyncio.to_thread(elsewhere)
    await wait_until(lambda: len(layer.sent) == 3)


def test_what_is_left_unsent_without_a_limit_of_time_is_sent(settings: Any) -> None:
    settings.CHANNELS_GRAPHQL_WS = {"BROADCAST_TIMEOUT": None}
    layer = Ledger()
    layer.may_send.clear()
    threading.Timer(0.05, layer.may_send.set).start()
    run_and_end(layer, 3, turns=3)
    assert layer.sent == [0, 1, 2]


def test_what_can_not_be_sent_when_the_loop_ends_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    layer = Ledger()
    layer.error = OSError("no Redis")
    run_and_end(layer, 1)
    [record] = caplog.records
    assert record.message == "OnEvent.broadcast(group='room') failed and nobody awaited it"
    assert "no Redis" in caplog.text


def test_what_can_not_be_sent_in_time_when_the_loop_ends_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "EVACUATION_TIMEOUT", 0.001)
    layer = Ledger()
    layer.may_send.clear()
    run_and_end(layer, 1)
    assert "it takes too long" in caplog.text
    layer.may_send.set()
    broadcast.send_now(layer, outgoing("fence"))
    assert layer.sent == [0, "fence"]


def test_plain_code_sends_before_it_goes_on() -> None:
    layer = Ledger()
    for number in range(100):
        broadcast.send_now(layer, outgoing(number))
        assert layer.sent[-1] == number
    assert layer.sent == list(range(100))


def test_all_plain_code_of_a_process_sends_on_one_event_loop() -> None:
    layer = Ledger()
    threads = [
        threading.Thread(target=broadcast.send_now, args=(layer, outgoing(number)))
        for number in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GUARD)
    assert sorted(layer.sent) == list(range(10))
    assert len(layer.loops) == 1


def test_plain_code_is_told_of_a_failure(caplog: pytest.LogCaptureFixture) -> None:
    layer = Ledger()
    layer.error = OSError("no Redis")
    with pytest.raises(ChannelLayerError, match="no Redis"):
        broadcast.send_now(layer, outgoing(1))
    assert caplog.records == []


@pytest.mark.parametrize("kind", [Ledger, InMemoryChannelLayer])
async def test_waiting_where_an_event_loop_runs_is_refused(kind: type) -> None:
    with pytest.raises(RuntimeError, match=r"OnEvent.* would block the event loop.*_async"):
        broadcast.send_now(kind(), outgoing(1))


FORK = """
import os, sys
from channels_graphql_ws.pubsub import publisher as broadcast
from channels_graphql_ws.pubsub.outgoing import Outgoing

class Layer:
    async def group_send(self, group, message):
        os.write(1, message["text"].encode() + b"\\n")

def send(text):
    broadcast.send_now(Layer(), Outgoing({"group": "G", "text": text}, "a test"))

send("parent before")
for number in range(3):
    child = os.fork()
    if child == 0:
        send(f"worker {number}")
        send(f"worker {number} again")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
send("parent after")
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_workers_send_and_so_does_their_parent() -> None:
    run = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "ignore::DeprecationWarning", "-c", FORK],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    workers = [f"worker {n}{again}" for n in range(3) for again in ("", " again")]
    assert run.stdout.splitlines() == ["parent before", *workers, "parent after"]
    assert run.stderr == ""


FORK_WITH_RECEIVERS = """
import os
from channels_graphql_ws.pubsub import local, sender_thread

class Receiver:
    loop = None

layer, receiver = object(), Receiver()
local.add_receiver(layer, receiver)
senders = sender_thread.sender
child = os.fork()
if child == 0:
    same = sender_thread.sender is senders
    print(local.receivers(layer), local._process.serves, same, flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(local.receivers(layer) == (receiver,), local._process.serves)
"""


def test_a_forked_worker_knows_nothing_of_those_who_listen_in_its_parent() -> None:
    run = subprocess.run(
        [sys.executable, "-c", FORK_WITH_RECEIVERS],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.stdout.splitlines() == ["() False False", "True True"]


async def test_the_in_memory_layer_is_passed_by() -> None:
    layer, receivers = InMemoryChannelLayer(), [Receiver(), Receiver()]
    for receiver in receivers:
        local.add_receiver(layer, receiver)
    sent = broadcast.send_soon(layer, outgoing(1))
    assert [receiver.heard for receiver in receivers] == [[], []]
    await sent
    assert [receiver.heard for receiver in receivers] == [[1], [1]]
    assert layer.channels == {}


async def test_who_does_not_listen_any_more_hears_nothing() -> None:
    layer, gone, stays = InMemoryChannelLayer(), Receiver(), Receiver()
    for receiver in (gone, stays):
        local.add_receiver(layer, receiver)
    local.remove_receiver(layer, gone)
    await broadcast.send_soon(layer, outgoing(1))
    assert (gone.heard, stays.heard) == ([], [1])
    local.remove_receiver(layer, stays)
    assert local.receivers(layer) == ()


async def test_a_local_broadcast_reaches_its_goal_though_nobody_waits_any_more() -> None:
    layer, receiver = InMemoryChannelLayer(), Receiver()
    local.add_receiver(layer, receiver)
    broadcast.send_soon(layer, outgoing(1)).cancel()
    await tick()
    assert receiver.heard == [1]


async def test_a_local_broadcast_may_be_awaited_again_and_in_every_way() -> None:
    layer, receiver = InMemoryChannelLayer(), Receiver()
    local.add_receiver(layer, receiver)
    sent = broadcast.send_soon(layer, outgoing(1))
    await sent
    await sent
    await asyncio.gather(*(broadcast.send_soon(layer, outgoing(n)) for n in (2, 3)))
    await asyncio.wait_for(broadcast.send_soon(layer, outgoing(4)), GUARD)
    await asyncio.shield(broadcast.send_soon(layer, outgoing(5)))
    assert receiver.heard == [1, 2, 3, 4, 5]


async def test_a_local_broadcast_that_was_cancelled_says_so() -> None:
    sent = broadcast.send_soon(InMemoryChannelLayer(), outgoing(1))
    sent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sent


async def test_a_local_broadcast_of_another_event_loop_can_not_be_awaited() -> None:
    sent = broadcast.send_soon(InMemoryChannelLayer(), outgoing(1))

    async def elsewhere() -> None:
        with pytest.raises(RuntimeError, match="attached to a different loop"):
            await sent

    thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
    thread.start()
    thread.join(GUARD)  # This event loop stands still meanwhile.
    assert not sent.done()
    await sent


@pytest.mark.parametrize("kind", [InMemoryChannelLayer, Subclass])
async def test_a_thread_reaches_those_who_listen_on_an_event_loop(kind: type) -> None:
    layer, receiver = kind(), Receiver()
    local.add_receiver(layer, receiver)
    await asyncio.to_thread(broadcast.send_now, layer, outgoing(1))
    # The subclass does not deliver; it was asked to, on the loop of those who listen.
    await wait_until(lambda: receiver.heard or getattr(layer, "sent", None))


@pytest.mark.parametrize("kind", [InMemoryChannelLayer, Subclass])
def test_an_event_loop_that_was_closed_is_no_obstacle(kind: type) -> None:
    closed = asyncio.new_event_loop()
    closed.close()
    layer = kind()
    local.add_receiver(layer, Receiver(closed))
    broadcast.send_now(layer, outgoing(1))


def test_a_subclass_of_the_in_memory_layer_is_asked_though_nobody_listens() -> None:
    layer = Subclass()
    broadcast.send_now(layer, outgoing(1))
    assert layer.sent == [1]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.message for r in caplog.records if r.levelno == logging.WARNING]


def test_an_in_memory_broadcast_where_no_client_ever_was_warns_once_with_the_fix(
    caplog: pytest.LogCaptureFixture,
) -> None:
    layer = InMemoryChannelLayer()
    for _ in range(3):
        broadcast.send_now(layer, outgoing(1))
        run_and_end(layer, 1)
    [warning] = warnings(caplog)
    assert warning.startswith("OnEvent.broadcast(group='room') reached no client")
    assert "channels_redis.pubsub.RedisPubSubChannelLayer" in warning


async def test_a_process_that_serves_clients_is_not_warned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    layer, receiver = InMemoryChannelLayer(), Receiver()
    local.add_receiver(layer, receiver)
    local.remove_receiver(layer, receiver)
    await broadcast.send_soon(layer, outgoing(1))
    assert caplog.records == []


async def test_a_process_that_will_serve_clients_is_not_warned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    local.serving()
    await broadcast.send_soon(InMemoryChannelLayer(), outgoing(1))
    assert caplog.records == []


def test_a_layer_that_connects_processes_is_not_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broadcast.send_now(Ledger(), outgoing(1))
    assert caplog.records == []

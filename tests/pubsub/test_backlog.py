"""Payloads that need the database are decoded in a thread, and keep their place in the order."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import InMemoryChannelLayer
from django.utils.asyncio import async_unsafe

from channels_graphql_ws.concurrency.threads import sync_in_callers_thread
from channels_graphql_ws.pubsub import publisher
from channels_graphql_ws.pubsub.hub import Hub, hub_of
from channels_graphql_ws.pubsub.publisher import Outgoing
from channels_graphql_ws.serializer import Serializer, register, unregister
from support import GUARD, FakeListener, tick, wait_until
from testapp.models import Author, Demanding

END = FakeListener.END


class Row:
    """Stands for a model that makes a query when it is built."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.names: list[str] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Row) and self.number == other.number

    def __hash__(self) -> int:
        return self.number


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Let rows be built once this is set."""
    gate = threading.Event()

    @async_unsafe
    def query(number: int) -> Row:
        assert gate.wait(GUARD)
        if number < 0:
            raise LookupError(f"no row {number}")
        return Row(number)

    register(Row, name="row", encode=lambda row: row.number, decode=query)
    yield gate
    gate.set()
    unregister(Row)


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = hub_of(InMemoryChannelLayer())
    hub.acquire()
    yield hub
    await hub.release()


def send(hub: Hub, group: str, payload: object) -> None:
    data = Serializer.serialize(payload)
    message = {"type": "broadcast", "group": group, "payload": data}
    publisher.send_soon(hub.layer, Outgoing(message, "a test"))


def end(hub: Hub, group: str) -> None:
    message = {"type": "unsubscribe", "group": group}
    publisher.send_soon(hub.layer, Outgoing(message, "a test"))


def listening(hub: Hub, *groups: str) -> FakeListener:
    listener = FakeListener()
    hub.listen(listener, groups)
    return listener


async def test_who_waits_for_a_thread_gets_everything_in_order_and_others_do_not_wait(
    hub: Hub, gate: threading.Event
) -> None:
    one, both, other = listening(hub, "A"), listening(hub, "A", "B"), listening(hub, "C")
    for group, payload in [("A", 0), ("A", Row(1)), ("B", 2), ("C", 3), ("A", Row(4)), ("B", 5)]:
        send(hub, group, payload)
    end(hub, "A")
    await wait_until(lambda: other.heard == [3])
    assert (one.heard, both.heard) == ([0], [0])
    gate.set()
    await wait_until(lambda: one.heard[-1] == END)
    assert one.heard == [0, Row(1), Row(4), END]
    assert both.heard == [0, Row(1), 2, Row(4), 5, END]


async def test_what_comes_behind_a_message_that_waits_waits_too(
    hub: Hub, gate: threading.Event
) -> None:
    one, other, witness = listening(hub, "A", "B"), listening(hub, "B", "C"), listening(hub, "D")
    for group, payload in [("A", Row(1)), ("B", 2), ("C", 3), ("D", 4)]:
        send(hub, group, payload)
    await wait_until(lambda: witness.heard == [4])
    assert other.heard == []
    gate.set()
    await wait_until(lambda: len(other.heard) == 2)
    assert (one.heard, other.heard) == ([Row(1), 2], [2, 3])


async def test_payloads_for_different_listeners_are_decoded_one_after_another(
    hub: Hub, gate: threading.Event
) -> None:
    one, other = listening(hub, "A"), listening(hub, "B")
    for group, payload in [("A", Row(1)), ("B", Row(2)), ("A", Row(3))]:
        send(hub, group, payload)
    gate.set()
    await wait_until(lambda: one.heard == [Row(1), Row(3)] and other.heard == [Row(2)])


async def test_each_listener_gets_an_object_of_its_own(hub: Hub, gate: threading.Event) -> None:
    listeners = [listening(hub, "A") for _ in range(3)]
    gate.set()
    send(hub, "A", [Row(1)])
    await wait_until(lambda: all(each.heard for each in listeners))
    for each in listeners:
        each.heard[0][0].names.append("mine")
    assert [each.heard[0][0].names for each in listeners] == [["mine"]] * 3


async def test_a_payload_that_cannot_be_built_is_lost_with_an_error_and_no_other_is(
    hub: Hub, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    listener = listening(hub, "A")
    gate.set()
    for payload in (Row(-1), Row(2), 3):
        send(hub, "A", payload)
    await wait_until(lambda: len(listener.heard) == 2)
    assert listener.heard == [Row(2), 3]
    assert hub.undecodable == 1
    assert "Lost a broadcast to group A: Malformed payload: LookupError: no row -1" in caplog.text


async def test_a_listener_that_leaves_meanwhile_gets_nothing_more(
    hub: Hub, gate: threading.Event
) -> None:
    leaving, staying = listening(hub, "A"), listening(hub, "A")
    send(hub, "A", Row(1))
    await tick(3)
    hub.leave(leaving, ["A"])
    gate.set()
    await wait_until(lambda: staying.heard == [Row(1)])
    assert leaving.heard == []


async def test_a_hub_that_nobody_uses_any_more_drops_what_waits(gate: threading.Event) -> None:
    hub = hub_of(InMemoryChannelLayer())
    hub.acquire()
    listener = listening(hub, "A")
    for payload in (Row(1), 2):
        send(hub, "A", payload)
    await tick(3)
    await hub.release()
    gate.set()
    await tick(5)
    assert listener.heard == []


async def test_payloads_that_need_no_database_are_decoded_at_once_again_afterwards(
    hub: Hub, gate: threading.Event
) -> None:
    listener: Any = listening(hub, "A")
    gate.set()
    send(hub, "A", Row(1))
    await wait_until(lambda: listener.heard == [Row(1)])
    send(hub, "A", 2)
    await tick(2)
    assert listener.heard == [Row(1), 2]


@pytest.mark.django_db(transaction=True)
async def test_a_model_that_reads_a_relation_when_it_is_made_arrives() -> None:
    # The thread whose connections are closed after each test.
    sync_in_callers_thread.set(True)
    hub = hub_of(InMemoryChannelLayer())
    hub.acquire()
    author = await Author.objects.acreate(name="Ann")
    listeners = [listening(hub, "A") for _ in range(2)]
    send(hub, "A", {"demanding": await sync_to_async(Demanding)(author=author)})
    await wait_until(lambda: all(each.heard for each in listeners))
    first, second = (each.heard[0]["demanding"] for each in listeners)
    assert (first.names, second.names) == (["Ann"], ["Ann"])
    assert first.names is not second.names
    await hub.release()

"""The load generator sees every notification that is lost, doubled, late or wrong."""

import asyncio
import json

import pytest
from load import Audience, DeliveryError, Subscriber, Tally

from support import tick

EVERYBODY = Audience("OnEvent", 1)


class FakeTransport(asyncio.Transport):
    def write(self, data):
        pass

    def is_closing(self):
        return False


def frame(message):
    text = json.dumps(message).encode()
    head = bytes([0x81, len(text)]) if len(text) < 126 else b"\x81\x7e" + len(text).to_bytes(2)
    return head + text


def event(seq, audience=EVERYBODY, id="1"):
    return frame(audience.message(id, seq))


async def subscribed(tally, number=0):
    """Give a client whose subscriptions are live."""
    client = Subscriber()
    client.connection_made(FakeTransport())
    client.opened.set_result(None)
    subscribing = asyncio.ensure_future(client.subscribe(tally, number))
    await tick()
    for id in range(1, 1 + tally.audience.per_connection):
        client.data_received(frame({"id": str(id), "type": "next", "payload": {"data": None}}))
    await subscribing
    return client


async def test_what_arrives_in_order_is_complete():
    tally = Tally(EVERYBODY)
    clients = [await subscribed(tally) for _ in range(2)]
    tally.expect(6)

    for client in clients:
        client.data_received(event(0))
        # Two frames at once, and one in two parts.
        client.data_received(event(1) + event(2)[:7])
        client.data_received(event(2)[7:])

    await tally.complete()


@pytest.mark.parametrize(
    "heard",
    [
        pytest.param([event(1)], id="lost"),
        pytest.param([event(0), event(0)], id="doubled"),
        pytest.param([event(0), event(2), event(1)], id="out of order"),
        pytest.param([event(0).replace(b"true", b"1   ")], id="wrong"),
        pytest.param([frame({"id": "2", **EVERYBODY.message("2", 0)})], id="of another one"),
    ],
)
async def test_what_is_lost_doubled_or_wrong_is_a_fault(heard):
    tally = Tally(EVERYBODY)
    first, second = [await subscribed(tally) for _ in range(2)]
    tally.expect(4)

    # What one has heard rightly makes no wrong frame of the other right.
    first.data_received(event(0))
    first.data_received(event(1))
    for each in heard:
        second.data_received(each)

    with pytest.raises(DeliveryError, match="expected"):
        await tally.complete()


async def test_a_connection_that_is_lost_is_a_fault():
    tally = Tally(EVERYBODY)
    client = await subscribed(tally)
    tally.expect(1)

    client.connection_lost(None)

    with pytest.raises(DeliveryError, match="lost"):
        await tally.complete()


async def test_a_selective_subscription_hears_its_own_events_only():
    tally = Tally(Audience("OnSelected", 10, "client", one_in=10))
    client = await subscribed(tally, number=3)
    tally.expect(2)

    client.data_received(event(3, tally.audience))
    client.data_received(event(13, tally.audience))

    await tally.complete()


async def test_each_subscription_of_a_connection_is_counted_by_itself():
    tally = Tally(Audience("OnRoom", 1, "room", per_connection=2))
    client = await subscribed(tally)
    tally.expect(4)

    for id, seq in (("2", 0), ("1", 0), ("1", 1), ("2", 1)):
        client.data_received(event(seq, tally.audience, id))

    await tally.complete()

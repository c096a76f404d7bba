"""What a client is sent that has not read for a while, for each policy of the queue."""

from __future__ import annotations

import asyncio
from typing import Any

import graphene
import pytest

from asgi_socket import LEGACY, NEW, AsgiSocket, Event
from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.websocket import outbox
from support import wait_until

LIMIT = 5
MANY = 300
TAKEN = outbox.FULL_AT + 2
"""What does not wait in the queue: one on the socket, some behind it, one to come."""


class Numbers(Subscription):
    """Sends numbers."""

    number = graphene.Int()
    notification_queue_limit = LIMIT
    ended = 0

    @staticmethod
    def publish(payload, info):
        return {"number": payload}

    @staticmethod
    def coalesce(payload):
        return payload % 3

    @classmethod
    def unsubscribed(cls, root, info):
        cls.ended += 1


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    numbers = Numbers.Field()


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Root)
    confirm_subscriptions = True


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(Numbers, "ended", 0)


class Reader:
    """A client that can be kept from reading."""

    def __init__(self, subprotocol: str) -> None:
        self.reads = asyncio.Event()
        self.reads.set()
        self.socket = AsgiSocket(Consumer.as_asgi(), subprotocol, on_send=self._on_send)

    async def _on_send(self, event: Event) -> None:
        await self.reads.wait()

    async def subscribe(self) -> None:
        await self.socket.acknowledged()
        self.socket.start("s", "subscription { numbers { number } }")
        await wait_until(lambda: self.socket.results("s"))

    @property
    def payloads(self) -> list[Any]:
        """What came behind the confirmation; `None` is the end."""
        return self.socket.results("s")[1:]

    @property
    def numbers(self) -> list[int]:
        return [each["data"]["numbers"]["number"] for each in self.payloads]


async def after_a_while_without_reading(subprotocol: str) -> Reader:
    """Give a client that reads again, when another one has read all."""
    slow, quick = Reader(subprotocol), Reader(subprotocol)
    for reader in (slow, quick):
        await reader.subscribe()
    slow.reads.clear()
    for number in range(MANY):
        await Numbers.broadcast_async(payload=number)
        await wait_until(lambda number=number: len(quick.payloads) == number + 1)
    assert quick.numbers == list(range(MANY))
    assert slow.payloads == []
    slow.reads.set()
    await quick.socket.drop()
    return slow


LAST = list(range(MANY - LIMIT, MANY))
NEXT = list(range(TAKEN, TAKEN + LIMIT))
# The first of each key has kept its place, so the order of keys is that of 66, 67, 68.
ONE_OF_EACH = [297, 298, 299]


@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
@pytest.mark.parametrize(
    ("policy", "queued"),
    [("drop_oldest", LAST), ("drop_newest", NEXT), ("coalesce", ONE_OF_EACH)],
)
async def test_the_policy_decides_what_a_slow_client_misses(
    subprotocol, policy, queued, monkeypatch
):
    monkeypatch.setattr(Numbers, "notification_queue_policy", policy)
    slow = await after_a_while_without_reading(subprotocol)
    expected = [*range(TAKEN), *queued]
    await wait_until(lambda: len(slow.payloads) >= len(expected))
    assert slow.numbers == expected
    await Numbers.broadcast_async(payload=MANY)
    await wait_until(lambda: slow.numbers == [*expected, MANY])
    await slow.socket.drop()


@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_a_subscription_that_is_closed_says_why_and_may_be_asked_for_again(
    subprotocol, monkeypatch
):
    monkeypatch.setattr(Numbers, "notification_queue_policy", "close")
    slow = await after_a_while_without_reading(subprotocol)
    await wait_until(lambda: slow.socket.words[-1] == "complete:s")
    *events, error, _complete = slow.payloads
    assert [each["data"]["numbers"]["number"] for each in events] == list(range(TAKEN))
    assert error["data"] is None
    assert error["errors"][0]["extensions"] == {"code": "SLOW_CONSUMER"}
    assert Numbers.ended == 2
    slow.socket.start("again", "subscription { numbers { number } }")
    await wait_until(lambda: slow.socket.results("again"))
    await Numbers.broadcast_async(payload=7)
    await wait_until(lambda: len(slow.socket.results("again")) == 2)
    assert len(slow.payloads) == TAKEN + 2
    await slow.socket.drop()

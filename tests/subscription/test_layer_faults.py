"""Whatever a channel layer does to broadcasts: each comes once and in order, or a gap is told."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

import graphene
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.pubsub import arrivals
from channels_graphql_ws.testing import FaultyChannelLayer
from support import wait_until

_rooms = itertools.count()


class OnPlain(Subscription):
    """Numbers without a history."""

    class Arguments:
        room = graphene.String(required=True)

    number = graphene.Int()

    def subscribe(self, info, room):
        return [room]

    def publish(self, info, room):
        return {"number": self}


class OnKept(Subscription):
    """Numbers, all of which are kept."""

    class Arguments:
        room = graphene.String(required=True)

    number = graphene.Int()
    history_size = 1_000

    def subscribe(self, info, room):
        return [room]

    def publish(self, info, room):
        return {"number": self}


class OnShared(OnKept):
    """Those, executed once for all clients."""

    def context_id(self, info, room):
        return "all"


CLASSES = {"kept": OnKept, "plain": OnPlain, "shared": OnShared}


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Subscriptions(graphene.ObjectType):
    kept = OnKept.Field()
    plain = OnPlain.Field()
    shared = OnShared.Field()


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Subscriptions)
    confirm_subscriptions = True


class UnsteadyLayer(FaultyChannelLayer):
    """Loses, doubles or holds back the next broadcast, as its `fate` says."""

    def __init__(self) -> None:
        super().__init__()
        self.fate = "passes"
        self._late: list[tuple[str, Any]] = []

    async def group_send(self, group: str, message: Any) -> None:
        fate, self.fate = self.fate, "passes"
        if fate == "late":
            self._late.append((group, message))
        elif fate != "lost":
            for _ in range(2 if fate == "doubled" else 1):
                await super().group_send(group, message)
            while self._late:
                await super().group_send(*self._late.pop())


@dataclass
class Reader:
    """A client with one subscription, over all its connections."""

    field: str
    subprotocol: str
    socket: AsgiSocket | None = None
    cursor: str | None = None
    first: int = 0
    numbers: list[int] = field(default_factory=list)
    has_gap: bool = False

    async def come(self, room: str, said: int) -> None:
        """Subscribe: as one that was there before if there is a cursor, else from now on."""
        if self.socket is not None:
            return
        if self.cursor is None:
            self.first, self.numbers, self.has_gap = said, [], False
        socket = self.socket = AsgiSocket(Consumer.as_asgi(), self.subprotocol)
        await socket.acknowledged()
        extensions = {"cursor": self.cursor} if self.cursor else {}
        query = f'subscription {{ x: {self.field}(room: "{room}") {{ number }} }}'
        socket.start("1", query, extensions=extensions)
        await wait_until(lambda: socket.results("1"))

    async def leave(self) -> None:
        """Drop the connection, and keep what came."""
        socket, self.socket = self.socket, None
        if socket is None:
            return
        await socket.drop()
        for result in socket.results("1"):
            assert "errors" not in result
            extensions = result.get("extensions", {})
            assert extensions.get("recovered") is not False
            self.cursor = extensions.get("cursor")
            self.has_gap |= "gap" in extensions
            if result["data"] is not None:
                self.numbers.append(result["data"]["x"]["number"])

    async def gets(self, number: int) -> None:
        socket, data = self.socket, {"x": {"number": number}}
        assert socket is not None
        await wait_until(lambda: any(each["data"] == data for each in socket.results("1")))

    def check(self, said: int) -> None:
        """See that all of it came once and in order, or that a gap was told."""
        # What was on its way when the client came may still be delivered to it.
        expected = list(range(min([self.first, *self.numbers[:1]]), said))
        assert self.numbers == sorted(set(self.numbers))
        if self.field == "plain" and self.has_gap:
            assert set(self.numbers) <= set(expected)
        else:
            assert self.numbers == expected
            assert not self.has_gap


Plan = list[tuple[str, Any]]
FATES = ("passes", "passes", "lost", "doubled", "late")

plans = st.lists(
    st.tuples(st.just("say"), st.sampled_from(FATES))
    | st.tuples(st.just("leave"), st.integers(0, 2))
    | st.tuples(st.just("come"), st.integers(0, 2)),
    max_size=20,
)


async def _play(name: str, subprotocol: str, plan: Plan) -> None:
    room, said = f"room{next(_rooms)}", itertools.count()
    number = 0
    with UnsteadyLayer().installed() as layer:
        readers = [Reader(name, subprotocol) for _ in range(3)]
        for reader in readers[:2]:
            await reader.come(room, number)
        # The second of the last two comes behind whatever the layer has held back.
        last: Plan = [("come", 0), ("come", 1), ("come", 2), ("say", "passes"), ("say", "passes")]
        for word, what in plan + last:
            if word == "say":
                layer.fate = what
                await CLASSES[name].broadcast(group=room, payload=next(said))
                number += 1
            elif word == "leave":
                await readers[what].leave()
            else:
                await readers[what].come(room, number)
        for reader in readers:
            await reader.gets(number - 1)
            await reader.leave()
            reader.check(number)


@settings(
    max_examples=25,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from(sorted(CLASSES)), st.sampled_from([NEW, LEGACY]), plans)
@example("plain", NEW, [("say", "late")])
@example("plain", NEW, [("say", "passes"), ("say", "late"), ("say", "passes")])
@example("plain", LEGACY, [("say", "lost"), ("leave", 0), ("say", "doubled")])
@example("shared", NEW, [("say", "late"), ("leave", 0), ("say", "lost"), ("come", 0)])
async def test_a_client_gets_each_event_once_and_in_order_or_is_told_of_a_gap(
    monkeypatch: pytest.MonkeyPatch, name: str, subprotocol: str, plan: Plan
) -> None:
    # What a sender had begun to send just before a client came may be missing untold.
    monkeypatch.setattr(arrivals, "SLACK", 0.0)
    await _play(name, subprotocol, plan)

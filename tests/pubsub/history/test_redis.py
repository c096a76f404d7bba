"""The history in Redis, as far as no Redis is needed to see it: keys, answers, hosts."""

from __future__ import annotations

from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

from channels_graphql_ws.pubsub.history.interfaces import Entry, Position
from channels_graphql_ws.pubsub.history.memory import MemoryHistory
from channels_graphql_ws.pubsub.history.of_layer import history_of
from channels_graphql_ws.pubsub.history.redis import RedisHistory


class FakeRedis:
    """Gives the answers that a Redis would, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    async def eval(self, script: str, *arguments: Any) -> Any:
        self.asked.append(arguments)
        return self.answers.pop(0)

    def pipeline(self, *, transaction: bool) -> FakeRedis:
        return self

    def hmget(self, *arguments: Any) -> None:
        self.asked.append(arguments)

    def xrange(self, stream: str, *, min: str) -> None:
        self.asked.append((stream, min))

    async def execute(self) -> Any:
        return self.answers.pop(0)


KEYS = ("p:history:{G}:events", "p:history:{G}:head")


async def test_both_keys_of_a_group_are_in_one_slot_of_a_cluster() -> None:
    redis = FakeRedis([b"e1", 3])
    place = await RedisHistory(lambda _: redis, "p").append("G", b"payload", 10, 0.5)
    assert place == Position("e1", 3)
    [(number, stream, head, payload, size, ttl, _)] = redis.asked
    assert (number, stream, head) == (2, *KEYS)
    assert (payload, size, ttl) == (b"payload", 10, 500)


@pytest.mark.parametrize("decodes", [True, False])
async def test_a_client_that_decodes_is_as_good_as_one_that_does_not(decodes: bool) -> None:
    fields = {"p": b"\xff", "t": "17"} if decodes else {b"p": b"\xff", b"t": b"17"}
    id_, epoch = ("4-0", "e1") if decodes else (b"4-0", b"e1")
    redis = FakeRedis([[epoch, "4"], [(id_, fields)]])
    page = await RedisHistory(lambda _: redis, "p").since("G", 3)
    assert page == (Position("e1", 4), [Entry(4, b"\xff", 17)])
    assert redis.asked == [(KEYS[1], "epoch", "offset"), (KEYS[0], "4-0")]


async def test_heads_are_asked_for_once_for_each_host() -> None:
    one, two = FakeRedis([[b"e1", b"1"], [None, None]]), FakeRedis([[b"e2", b"2"]])
    history = RedisHistory(lambda group: two if group == "B" else one, "p")
    assert await history.heads(["A", "B", "C"]) == [Position("e1", 1), Position("e2", 2), None]


async def test_a_group_without_events_has_no_history() -> None:
    redis = FakeRedis([[None, None], []])
    assert await RedisHistory(lambda _: redis, "p").since("G", 0) is None


@pytest.mark.parametrize("kind", [RedisChannelLayer, RedisPubSubChannelLayer])
async def test_the_connections_are_those_of_the_channel_layer(kind: Any) -> None:
    layer = kind(hosts=["redis://127.0.0.1:1/0"], prefix="mine")
    history = history_of(layer)
    assert isinstance(history, RedisHistory)
    assert history._keys("G")[0].startswith("mine:")
    client = history._client_of("G")
    assert client.connection_pool.connection_kwargs["port"] == 1
    assert client is history._client_of("H")


async def test_the_in_memory_layer_keeps_its_history_in_this_process(settings: Any) -> None:
    # There is nothing else that could be kept in order with it.
    settings.CHANNELS_GRAPHQL_WS = {"HISTORY": "no.such.module"}
    assert isinstance(history_of(InMemoryChannelLayer()), MemoryHistory)


async def test_a_subclass_of_the_in_memory_layer_may_have_another_history() -> None:
    assert isinstance(history_of(type("Mine", (InMemoryChannelLayer,), {})()), MemoryHistory)

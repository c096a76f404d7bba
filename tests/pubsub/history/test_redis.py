"""The history in Redis, as far as no Redis is needed to see it: keys, answers, hosts."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from channels_graphql_ws.pubsub.history import redis as redis_history
from channels_graphql_ws.pubsub.history.interfaces import Entry, Position
from channels_graphql_ws.pubsub.history.memory import MemoryHistory
from channels_graphql_ws.pubsub.history.of_layer import history_of
from channels_graphql_ws.pubsub.history.redis import RedisHistory
from support import wait_until


class FakeRedis:
    """Gives the answers that a Redis would, and keeps what it was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[Any] = []

    async def eval(self, script: str, *arguments: Any) -> Any:
        self.asked.append(arguments)
        return self._answer()

    def pipeline(self, *, transaction: bool) -> FakePipeline:
        return FakePipeline(self)

    def _answer(self) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class MovedError(Exception):
    """What redis-py raises when another node of a cluster has a key."""


MOVED = [
    MovedError("14371 127.0.0.1:7001"),
    # Release 5 has no error of its own for it.
    ResponseError("MOVED 14371 127.0.0.1:7001"),
    ResponseError("Command # 1 (HMGET k epoch) of pipeline caused error: MOVED 14371 [::1]:7001"),
    ResponseError("Command # 2 (HMGET k epoch) of pipeline caused error: ('MOVED 2508 a.b:1',)"),
]


class FakePipeline:
    """Asks when it is executed; all answers are one."""

    def __init__(self, redis: FakeRedis) -> None:
        self._redis = redis

    def eval(self, script: str, *arguments: Any) -> None:
        self._redis.asked.append(arguments)

    async def execute(self) -> Any:
        return self._redis._answer()


KEYS = ("p:history:{G}:events", "p:history:{G}:head")


async def test_the_key_of_a_durable_event_is_in_the_slot_of_its_group() -> None:
    client = FakeRedis([b"e", b"3"], [b"e", b"3"])
    history = RedisHistory(lambda group: client, "p")
    assert await history.append_once("G", b"x", 10, 60, "one") == ("e", 3)
    await history.append_once("G", b"x", 10, 9_000, "one")
    [(keys, *sent), (*_, longer)] = client.asked
    assert (keys, tuple(sent[:3])) == (3, (*KEYS, f"{KEYS[0]}:one"))
    # The id is known for longer than the first history is kept, and as long as the second.
    assert (sent[-1], longer) == (600_000, 9_000_000)


async def test_both_keys_of_a_group_are_in_one_slot_of_a_cluster() -> None:
    redis = FakeRedis([b"e1", 3])
    place = await RedisHistory(lambda _: redis, "p").append("G", b"payload", 10, 0.5)
    assert place == Position("e1", 3)
    [(number, stream, head, payload, size, ttl, _)] = redis.asked
    assert (number, stream, head) == (2, *KEYS)
    assert (payload, size, ttl) == (b"payload", 10, 500)


@pytest.mark.parametrize("decodes", [True, False])
async def test_a_client_that_decodes_is_as_good_as_one_that_does_not(decodes: bool) -> None:
    fields = ["p", b"\xff", "t", "17"] if decodes else [b"p", b"\xff", b"t", b"17"]
    id_, epoch = ("4-0", "e1") if decodes else (b"4-0", b"e1")
    redis = FakeRedis([epoch, "4", [[id_, fields]]])
    page = await RedisHistory(lambda _: redis, "p").since("G", 3)
    assert page == (Position("e1", 4), [Entry(4, b"\xff", 17)])
    assert redis.asked == [(2, *KEYS, "4-0")]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeRedis:
    cluster = FakeRedis()
    monkeypatch.setattr(redis_history, "_cluster_of", lambda _: cluster)
    return cluster


@pytest.mark.parametrize("error", MOVED, ids=["own", "text", "pipeline", "tuple"])
async def test_a_node_of_a_cluster_that_has_no_such_key_is_asked_once(
    cluster: FakeRedis, error: Exception
) -> None:
    node = FakeRedis(error)
    history = RedisHistory(lambda _: node, "p")
    cluster.answers = [[b"e1", 1], [b"e1", b"1", []], [b"e1", b"1"], [b"r.", 0]]
    assert await history.append("G", b"1", 10, 60) == Position("e1", 1)
    assert await history.since("G", 1) == (Position("e1", 1), [])
    assert await history.heads(["G", "H"]) == [Position("e1", 1), Position("r.", 0)]
    assert len(node.asked) == 1


async def test_a_cluster_is_found_when_heads_are_asked_for_too(cluster: FakeRedis) -> None:
    node = FakeRedis(MovedError("14371 127.0.0.1:7001"), MovedError("again"))
    history = RedisHistory(lambda _: node, "p")
    cluster.answers = [[b"e1", b"1"], [b"e1", 2]]
    assert await history.heads(["G"]) == [Position("e1", 1)]
    assert await history.append("G", b"2", 10, 60) == Position("e1", 2)
    # Two calls at a time may both find out.
    assert history._cluster_behind(node, MovedError("late")) is cluster


@pytest.mark.parametrize("kind", [OSError, ResponseError])
async def test_other_errors_of_redis_are_raised(cluster: FakeRedis, kind: type[Exception]) -> None:
    history = RedisHistory(lambda _: FakeRedis(kind("no Redis")), "p")
    with pytest.raises(kind, match="no Redis"):
        await history.append("G", b"1", 10, 60)
    with pytest.raises(kind, match="no Redis"):
        await history.heads(["G"])


async def test_a_cluster_is_reached_as_one_of_its_nodes_is() -> None:
    node = Redis.from_url("rediss://me:secret@127.0.0.1:1/0", ssl_ca_certs="ours.crt")
    known = redis_history._cluster_of(node).connection_kwargs
    assert known["username"] == "me"
    assert known["password"] == "secret"  # noqa: S105 (it is none)
    assert known["ssl_ca_certs"] == "ours.crt"


async def test_heads_are_asked_for_once_for_each_host() -> None:
    one, two = FakeRedis([[b"e1", b"1"], [b"r.", 0]]), FakeRedis([[b"e2", b"2"]])
    history = RedisHistory(lambda group: two if group == "B" else one, "p")
    assert await history.heads(["A", "B", "C"]) == [
        Position("e1", 1),
        Position("e2", 2),
        Position("r.", 0),
    ]


class BusyRedis(FakeRedis):
    """Counts the calls that wait for an answer, and answers when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = self.most = 0
        self.may_answer = asyncio.Event()

    async def eval(self, script: str, *arguments: Any) -> Any:
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        await self.may_answer.wait()
        self.waiting -= 1
        return [b"e1", 1] if b"payload" in arguments else [b"e1", 1, []]


async def test_readers_wait_for_a_connection_and_writers_do_not() -> None:
    redis = BusyRedis()
    history = RedisHistory(lambda _: redis, "p")
    reads = [asyncio.ensure_future(history.since("G", 0)) for _ in range(500)]
    await wait_until(lambda: redis.waiting == redis_history.READS_AT_ONCE)
    write = asyncio.ensure_future(history.append("G", b"payload", 10, 1))
    await wait_until(lambda: redis.waiting == redis_history.READS_AT_ONCE + 1)
    redis.may_answer.set()
    *pages, place = await asyncio.gather(*reads, write)
    assert {page.head for page in pages} == {place}
    assert redis.most == redis_history.READS_AT_ONCE + 1


async def test_a_group_without_events_has_an_empty_history() -> None:
    redis = FakeRedis([b"r.", 0, []])
    assert await RedisHistory(lambda _: redis, "p").since("G", 0) == (Position("r.", 0), [])


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

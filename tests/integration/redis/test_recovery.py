"""Recovery over a real Redis: each event once and in order, whatever happens on the way."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import graphene
import pytest
from channels.layers import channel_layers
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from redis.asyncio import Redis

from channels_graphql_ws import ChannelLayerError, GraphqlWsConsumer, Subscription
from channels_graphql_ws.pubsub import channel_reader, layer_watch
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from redis_server import RedisServer
from support import GUARD

pytestmark = pytest.mark.redis

KINDS = {"core": RedisChannelLayer, "pubsub": RedisPubSubChannelLayer}
BOTH = pytest.mark.parametrize("kind", KINDS)
SHARING = pytest.mark.parametrize("field", ["number", "shared"])


class OnNumber(Subscription):
    value = graphene.Int()
    history_size = 1_000
    notification_queue_limit = 10_000

    def publish(self, info):
        return {"value": self}


class OnShared(OnNumber):
    def context_id(self, info):
        return "all"


CLASSES = {"number": OnNumber, "shared": OnShared}


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    number = OnNumber.Field()
    shared = OnShared.Field()


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Root)
    confirm_subscriptions = True


class Client:
    """A client that keeps what it gets, and comes back where it was."""

    def __init__(self, field: str) -> None:
        self._field = field
        self.values: list[int] = []
        self.told: list[Any] = []
        self.cursor: str | None = None
        self.is_recovered = True

    async def come(self) -> None:
        self._transport = GraphqlWsTransport(Consumer.as_asgi(), "/")
        self._client = GraphqlWsClient(self._transport)
        await self._client.connect_and_init()
        payload: dict[str, Any] = {"query": f"subscription {{ x: {self._field} {{ value }} }}"}
        if self.cursor is not None:
            payload["extensions"] = {"cursor": self.cursor}
        await self._transport.send({"type": "subscribe", "id": "1", "payload": payload})
        await self._take()

    async def gets(self, number: int) -> None:
        while len(self.values) < number:
            await self._take()

    async def come_at_last(self) -> None:
        """Come again until Redis can be reached."""
        while True:
            try:
                return await self.come()
            except ChannelLayerError:
                await self.go()

    async def _take(self) -> None:
        message = await self._transport.receive()
        payload = message["payload"]
        if message["type"] == "error":
            raise ChannelLayerError(payload)
        extensions = payload["extensions"]
        self.cursor = extensions["cursor"]
        self.is_recovered = extensions.get("recovered", self.is_recovered)
        self.told += [name for name in ("recovered", "gap") if name in extensions]
        if payload["data"] is not None:
            self.values.append(payload["data"]["x"]["value"])

    async def go(self) -> None:
        await self._client.finalize()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.CHANNELS_GRAPHQL_WS = {"HISTORY_CHECK_EVERY": 0.2}
    monkeypatch.setattr(layer_watch, "CHECK_EVERY", 1.0)
    monkeypatch.setattr(channel_reader, "LONGEST_PAUSE", 0.3)


@contextlib.asynccontextmanager
async def layer_of(kind: str, url: str, **options: Any) -> AsyncIterator[Any]:
    layer = KINDS[kind](hosts=[url], prefix=uuid.uuid4().hex, **options)
    before = channel_layers.set("default", layer)
    try:
        yield layer
    finally:
        if before is None:
            channel_layers.backends.pop("default", None)
        else:
            channel_layers.set("default", before)
        await layer._layers[asyncio.get_running_loop()].flush()


async def say(field: str, *numbers: int) -> None:
    """Broadcast until it was taken: an error is no proof that it was not."""
    for number in numbers:
        await CLASSES[field].broadcast(payload=number)


async def cut_connections(url: str) -> None:
    """Have Redis close the connections of everybody else."""
    async with Redis.from_url(url) as redis:
        for kind in ("normal", "pubsub"):
            await redis.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")


@BOTH
@SHARING
async def test_a_client_that_comes_back_has_each_event_once_and_in_order(
    redis_url: str, kind: str, field: str
) -> None:
    async with layer_of(kind, redis_url):
        client = Client(field)
        await client.come()
        await say(field, *range(5))
        await client.gets(5)
        for step in range(1, 4):
            await client.go()
            await say(field, *range(step * 10, step * 10 + 5))
            await client.come()
            await client.gets(5 + 5 * step)
        assert client.values == [*range(5), *range(10, 15), *range(20, 25), *range(30, 35)]
        await client.go()


@BOTH
async def test_a_burst_beyond_the_capacity_of_the_layer_loses_nothing(
    redis_url: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing is out of order. A watch that looks each second takes a busy machine for one whose
    # connections have fallen silent, and cuts them while broadcasts are under way.
    monkeypatch.setattr(layer_watch, "CHECK_EVERY", GUARD)
    options = {"capacity": 5} if kind == "core" else {}
    async with layer_of(kind, redis_url, **options):
        client = Client("number")
        await client.come()
        for number in range(300):
            OnNumber.broadcast(payload=number)
        await client.gets(300)
        assert client.values == list(range(300))
        assert "gap" not in client.told
        await client.go()


@BOTH
async def test_connections_that_are_cut_lose_nothing(redis_outage: RedisServer, kind: str) -> None:
    async with layer_of(kind, redis_outage.url):
        client = Client("number")
        await client.come()
        sent: list[int] = []
        for number in range(60):
            if number % 15 == 7:
                await cut_connections(redis_outage.url)
            try:
                await say("number", number)
            except ChannelLayerError:
                # It may have been kept, or not: say something else.
                continue
            sent.append(number)
        await say("number", 1_000)
        while 1_000 not in client.values:
            await client.gets(len(client.values) + 1)
        assert sorted(set(client.values)) == client.values
        assert set(sent) <= set(client.values)
        assert "gap" not in client.told
        await client.go()


@BOTH
async def test_a_redis_that_comes_back_empty_is_told(redis_outage: RedisServer, kind: str) -> None:
    async with layer_of(kind, redis_outage.url):
        client = Client("number")
        await client.come()
        await say("number", 1)
        await client.gets(1)
        await client.go()
        redis_outage.stop()
        redis_outage.start()
        async with asyncio.timeout(GUARD):
            while True:
                with contextlib.suppress(ChannelLayerError):
                    await say("number", 2)
                    break
        await client.come()
        assert client.told == ["recovered"]
        await client.go()


@pytest.fixture
def redis_with_disk(redis_outage: RedisServer, tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that has, when it is started anew, what was there at its last `SAVE`."""
    with RedisServer("--dir", str(tmp_path)) as server:
        yield server


@BOTH
async def test_a_redis_that_comes_back_without_its_last_events_is_told(
    redis_with_disk: RedisServer, kind: str
) -> None:
    async with layer_of(kind, redis_with_disk.url):
        there, away = Client("number"), Client("number")
        await there.come()
        await away.come()
        await say("number", 1, 2)
        await away.gets(2)
        await away.go()
        async with Redis.from_url(redis_with_disk.url) as redis:
            await redis.execute_command("SAVE")
        await say("number", 3, 4)
        await there.gets(4)
        redis_with_disk.stop()
        redis_with_disk.start()
        async with asyncio.timeout(GUARD):
            await away.come_at_last()
            assert away.told == ["recovered"]
            assert not away.is_recovered
            for number in (5, 6, 7):
                while True:
                    with contextlib.suppress(ChannelLayerError):
                        await say("number", number)
                        break
            while 7 not in there.values:
                await there.gets(len(there.values) + 1)
        # An event may come, or the client is told; the numbers of 3 and 4 are not used again.
        assert there.values[:4] == [1, 2, 3, 4]
        assert sorted(set(there.values)) == there.values
        assert "gap" in there.told
        await there.go()
        await away.go()

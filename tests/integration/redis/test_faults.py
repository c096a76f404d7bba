"""What the way to a real Redis may do, and what subscribers notice of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from redis.asyncio import Redis

from channels_graphql_ws.pubsub import channel_reader, layer_watch
from channels_graphql_ws.pubsub import publisher as broadcast
from channels_graphql_ws.pubsub.hub import Hub, hub_of
from channels_graphql_ws.pubsub.outgoing import Outgoing
from channels_graphql_ws.serializer import Serializer
from redis_server import RedisServer
from support import GUARD, FakeListener, wait_until
from tcp_proxy import TcpProxy

pytestmark = pytest.mark.redis

KINDS = {"core": RedisChannelLayer, "pubsub": RedisPubSubChannelLayer}
BOTH = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def wait_for_redis(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Look often for what is lost, and let each call take its time; or as much as a test says."""

    def wait(seconds: float) -> None:
        for module in ("layer_watch", "membership", "join_proof"):
            monkeypatch.setattr(f"channels_graphql_ws.pubsub.{module}.CALL_TIMEOUT", seconds)

    monkeypatch.setattr(layer_watch, "CHECK_EVERY", 0.3)
    monkeypatch.setattr(channel_reader, "LONGEST_PAUSE", 0.3)
    wait(GUARD)
    return wait


@contextlib.asynccontextmanager
async def listening(
    kind: str, *urls: str, groups: tuple[str, ...] = ("group",), **options: Any
) -> AsyncIterator[tuple[Any, Hub, FakeListener]]:
    """Listen to groups over a layer of our own."""
    layer = KINDS[kind](hosts=list(urls), prefix=uuid.uuid4().hex, **options)
    hub, listener = hub_of(layer), FakeListener()
    hub.acquire()
    try:
        if hub.listen(listener, groups):
            await hub.joined(groups)
        yield layer, hub, listener
    finally:
        hub.leave(listener, groups)
        await hub.release()
        await layer._layers[asyncio.get_running_loop()].flush()


@contextlib.asynccontextmanager
async def sender(kind: str, layer: Any, *urls: str) -> AsyncIterator[Any]:
    """Another process's layer, which finds Redis on another way."""
    other = KINDS[kind](hosts=list(urls), prefix=layer.prefix)
    yield other
    await other._layers[asyncio.get_running_loop()].flush()


async def send(layer: Any, payload: object, group: str = "group") -> None:
    data = Serializer.serialize(payload)
    message = {"type": "broadcast", "group": group, "payload": data}
    await broadcast.send_soon(layer, Outgoing(message, "a test"))


async def is_heard(layer: Any, listener: FakeListener, group: str = "group") -> None:
    """Send until something arrives."""
    listener.heard.clear()
    async with asyncio.timeout(GUARD):
        while not listener.heard:
            # While its connections are made anew, the layer may raise.
            with contextlib.suppress(Exception):
                await send(layer, "still here", group)
            with contextlib.suppress(TimeoutError):
                await wait_until(lambda: listener.heard, guard=0.1)


@BOTH
async def test_what_is_sent_after_the_confirmation_arrives_over_a_slow_way(
    redis_outage: RedisServer, kind: str
) -> None:
    proxy = TcpProxy(redis_outage.port)
    async with proxy.started():
        proxy.delay = 0.1
        async with (
            listening(kind, proxy.url) as (layer, _, listener),
            sender(kind, layer, redis_outage.url) as other,
        ):
            for number in range(5):
                await send(other, number)
            await wait_until(lambda: len(listener.heard) == 5)
        proxy.delay = 0.0


@BOTH
async def test_a_connection_that_swallows_is_made_anew(
    redis_outage: RedisServer,
    kind: str,
    wait_for_redis: Callable[[float], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    proxy = TcpProxy(redis_outage.port)
    async with (
        proxy.started(),
        listening(kind, proxy.url) as (layer, _, listener),
        sender(kind, layer, redis_outage.url) as other,
    ):
        await is_heard(other, listener)
        wait_for_redis(2.0)
        proxy.swallow()
        await is_heard(other, listener)
        assert "has lost our groups" in caplog.text


@BOTH
async def test_a_group_whose_key_is_gone_is_joined_again(
    redis_outage: RedisServer, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_watch, "RENEW_EVERY", 0.3)
    async with (
        listening(kind, redis_outage.url) as (layer, _, listener),
        Redis.from_url(redis_outage.url) as redis,
    ):
        for key in await redis.keys("*group:group"):
            await redis.delete(key)
        await is_heard(layer, listener)


@BOTH
async def test_one_of_two_hosts_that_comes_back_empty_has_its_groups_joined_again(
    redis_outage: RedisServer, redis_url: str, kind: str
) -> None:
    groups = tuple(f"group-{number}" for number in range(8))
    async with listening(kind, redis_outage.url, redis_url, groups=groups) as (layer, _, listener):
        redis_outage.stop()
        redis_outage.start()
        for group in groups:
            await is_heard(layer, listener, group)


async def test_a_pubsub_layer_whose_receiver_has_died_starts_over(
    redis_outage: RedisServer, wait_for_redis: Callable[[float], None]
) -> None:
    async with listening("pubsub", redis_outage.url) as (layer, _, listener):
        await is_heard(layer, listener)
        wait_for_redis(2.0)
        # An ETIMEDOUT of the socket ends it for good.
        layer._get_layer()._shards[0]._receive_task.cancel()
        await is_heard(layer, listener)

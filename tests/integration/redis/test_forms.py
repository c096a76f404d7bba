"""Broadcasts and histories in each form of Redis: password, TLS, Sentinel, Cluster, Valkey."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer
from redis.asyncio import Redis

from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.pubsub import channel_reader, layer_watch, publisher
from channels_graphql_ws.pubsub.history.interfaces import Position
from channels_graphql_ws.pubsub.history.of_layer import history_of
from channels_graphql_ws.pubsub.hub import Hub, hub_of
from channels_graphql_ws.pubsub.layer_traits import traits_of
from channels_graphql_ws.pubsub.outgoing import Outgoing
from channels_graphql_ws.pubsub.redis_cluster import refuses_cluster
from channels_graphql_ws.serializer import Serializer
from redis_server import RedisServer
from support import FakeListener, wait_until

pytestmark = pytest.mark.redis

BOTH = pytest.mark.parametrize("kind", [RedisChannelLayer, RedisPubSubChannelLayer])


@asynccontextmanager
async def subscribed(kind: Any, host: Any) -> AsyncIterator[tuple[Any, Hub, FakeListener]]:
    """A process that listens to a group, on a channel layer of its own."""
    layer = kind(hosts=[host], prefix=uuid.uuid4().hex)
    hub, listener = hub_of(layer), FakeListener()
    hub.acquire()
    try:
        hub.listen(listener, ["G"])
        await hub.joined(["G"])
        yield layer, hub, listener
    finally:
        hub.leave(listener, ["G"])
        await hub.release()
        for client in list(getattr(history_of(layer), "_clusters", {}).values()):
            await client.aclose()
        sentinels = getattr(
            traits_of(layer).redis_client(0).connection_pool, "sentinel_manager", None
        )
        with suppress(Exception):
            # Redis may be gone; its connections are closed all the same.
            await layer.flush()
        # A layer closes its connections to the master, and leaves those to the Sentinels open.
        for sentinel in sentinels.sentinels if sentinels is not None else ():
            await sentinel.aclose()


async def send(layer: Any, payload: object) -> None:
    data = Serializer.serialize(payload)
    message = {"type": "broadcast", "group": "G", "payload": data}
    await publisher.send_soon(layer, Outgoing(message, "a test"))


async def check_all(kind: Any, host: Any) -> None:
    """See that broadcasts arrive, and that a history is kept."""
    async with subscribed(kind, host) as (layer, _, listener):
        for number in range(10):
            await send(layer, number)
        await wait_until(lambda: listener.heard == list(range(10)))
        history = history_of(layer)
        places = [await history.append("G", b"%d" % number, 10, 60) for number in range(3)]
        page = await history.since("G", 1)
        assert page is not None
        assert [entry.payload for entry in page.entries] == [b"1", b"2"]
        head, empty = await history.heads(["G", "H"])
        assert (head, empty.offset) == (Position(places[0].epoch, 3), 0)


@BOTH
async def test_a_valkey(kind: Any, valkey_url: str) -> None:
    async with Redis.from_url(valkey_url) as client:
        assert (await client.info())["server_name"] == "valkey"
    await check_all(kind, valkey_url)


@BOTH
async def test_a_redis_with_a_password(kind: Any) -> None:
    with RedisServer("--requirepass", "a secret: 1/2") as server:
        await check_all(kind, f"redis://:a%20secret%3A%201%2F2@127.0.0.1:{server.port}/0")
        await check_all(
            kind, {"host": "127.0.0.1", "port": server.port, "password": "a secret: 1/2"}
        )


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for this machine and its key."""
    openssl = shutil.which("openssl")
    assert openssl is not None, "openssl is needed"
    path, key = tmp_path / "server.crt", tmp_path / "server.key"
    command = (
        f"{openssl} req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 "
        f"-addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {path}"
    )
    subprocess.run(command.split(), check=True, capture_output=True)
    return path, key


@BOTH
async def test_a_redis_behind_tls(kind: Any, certificate: tuple[Path, Path]) -> None:
    path, key = map(str, certificate)
    # A word that comes later wins: nothing but TLS is spoken.
    options = ["--port", "0", "--tls-port", "{port}", "--tls-auth-clients", "no"]
    files = ["--tls-cert-file", path, "--tls-key-file", key, "--tls-ca-cert-file", path]
    with RedisServer(*options, *files) as server:
        await check_all(
            kind, {"address": f"rediss://127.0.0.1:{server.port}/0", "ssl_ca_certs": path}
        )


class Watched:
    """A master, its replica, and a Sentinel that makes the replica the master if need be."""

    def __init__(self, stack: ExitStack, tmp_path: Path) -> None:
        self.master = stack.enter_context(RedisServer())
        self.replica = stack.enter_context(
            RedisServer("--replicaof", f"127.0.0.1 {self.master.port}")
        )
        configuration = tmp_path / "sentinel.conf"
        configuration.write_text(
            f"sentinel monitor mymaster 127.0.0.1 {self.master.port} 1\n"
            "sentinel down-after-milliseconds mymaster 3000\n"
            "sentinel failover-timeout mymaster 2000\n"
        )
        self._sentinel = stack.enter_context(
            RedisServer(str(configuration), "--sentinel", ready="+monitor master")
        )

    @property
    def host(self) -> dict[str, Any]:
        return {"sentinels": [("127.0.0.1", self._sentinel.port)], "master_name": "mymaster"}

    async def knows_the_replica(self) -> None:
        async with Redis(port=self._sentinel.port) as sentinel:
            replicas: list[Any] = []
            while not replicas:
                await asyncio.sleep(0.05)  # noqa: TID251 (another process is waited for)
                replicas = await sentinel.execute_command("SENTINEL", "replicas", "mymaster")


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with ExitStack() as stack:
        yield Watched(stack, tmp_path)


@BOTH
async def test_a_redis_that_is_watched_by_sentinels(kind: Any, watched: Watched) -> None:
    await check_all(kind, watched.host)


@BOTH
async def test_events_flow_again_after_a_sentinel_has_chosen_another_master(
    kind: Any, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_watch, "CHECK_EVERY", 0.2)
    monkeypatch.setattr(channel_reader, "LONGEST_PAUSE", 0.2)
    await watched.knows_the_replica()
    async with subscribed(kind, watched.host) as (layer, _, listener):
        await send(layer, "before")
        await wait_until(lambda: listener.heard == ["before"])
        watched.master.stop()
        async with asyncio.timeout(90):
            while "after" not in listener.heard:
                with suppress(ChannelLayerError):
                    await send(layer, "after")
                await asyncio.sleep(0.1)  # noqa: TID251 (another process is waited for)


@pytest.fixture
async def cluster() -> AsyncIterator[list[RedisServer]]:
    """Three masters that share the slots."""
    options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"]
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                RedisServer(*options, "--cluster-config-file", f"nodes-{uuid.uuid4().hex}.conf")
            )
            for _ in range(3)
        ]
        bounds = [0, 5_461, 10_923, 16_384]
        for index, node in enumerate(nodes):
            async with Redis(port=node.port) as redis:
                slots = ("CLUSTER", "ADDSLOTSRANGE", bounds[index], bounds[index + 1] - 1)
                await redis.execute_command(*slots)
                await redis.execute_command("CLUSTER", "MEET", "127.0.0.1", nodes[0].port)
        for node in nodes:
            await _is_complete(node)
        yield nodes


async def _is_complete(node: RedisServer) -> None:
    async with asyncio.timeout(60), Redis(port=node.port) as redis:
        info = ""
        while "cluster_state:ok" not in info or "cluster_known_nodes:3" not in info:
            await asyncio.sleep(0.05)  # noqa: TID251 (another process is waited for)
            info = str(await redis.execute_command("CLUSTER", "INFO"))


async def test_a_cluster_carries_the_pubsub_layer_and_a_check_refuses_the_core_layer(
    cluster: list[RedisServer], redis_url: str
) -> None:
    for node in cluster:
        await check_all(RedisPubSubChannelLayer, node.url)
    url = cluster[0].url
    layers = [
        RedisChannelLayer([url]),
        RedisPubSubChannelLayer([url]),
        RedisChannelLayer([redis_url]),
    ]
    refused = [await asyncio.to_thread(refuses_cluster, layer) for layer in layers]
    assert refused == [True, False, False]

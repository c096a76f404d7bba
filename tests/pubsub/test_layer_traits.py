"""What is known of the channel layers that people use; nothing here connects to Redis."""

from __future__ import annotations

import asyncio
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from channels.layers import InMemoryChannelLayer
from channels_redis.core import RedisChannelLayer
from channels_redis.pubsub import RedisPubSubChannelLayer

from channels_graphql_ws.pubsub.layer_traits import traits_of, unheld_channel
from support import tick

HOSTS = ["redis://127.0.0.1:1/0", "redis://127.0.0.1:2/0"]
KINDS = pytest.mark.parametrize("kind", [RedisChannelLayer, RedisPubSubChannelLayer])


class Pool:
    """A pool of connections that remembers how it was closed."""

    closed: list[bool]

    def __init__(self) -> None:
        self.closed = []

    async def disconnect(self, *, inuse_connections: bool) -> None:
        self.closed.append(inuse_connections)
        raise OSError("it was not open")


class Client:
    def __init__(self) -> None:
        self.connection_pool = Pool()


@pytest.mark.parametrize(
    ("make", "proves", "forgets", "has_capacity"),
    [
        (InMemoryChannelLayer, True, True, True),
        (lambda: RedisChannelLayer(hosts=HOSTS), True, True, True),
        (lambda: type("Mine", (RedisChannelLayer,), {})(hosts=HOSTS), True, True, True),
        (lambda: RedisPubSubChannelLayer(hosts=HOSTS), False, False, False),
        (object, False, True, True),
    ],
    ids=["memory", "core", "subclass", "pubsub", "unknown"],
)
async def test_what_a_layer_promises(
    make: Any, proves: bool, forgets: bool, has_capacity: bool
) -> None:
    traits = traits_of(make())
    assert (traits.proves_joins, traits.forgets_members) == (proves, forgets)
    assert traits.has_capacity == has_capacity


@KINDS
async def test_groups_are_found_on_each_of_the_hosts(kind: Any) -> None:
    traits = traits_of(kind(hosts=HOSTS))
    assert traits.shards == 2
    for shard in (0, 1):
        group = traits.group_on(shard, "a canary")
        assert traits.shard_of(group) == shard
        assert group == traits.group_on(shard, "a canary")


@KINDS
async def test_one_host_serves_all_groups(kind: Any) -> None:
    traits = traits_of(kind(hosts=HOSTS[:1]))
    assert {traits.shard_of(f"group-{number}") for number in range(20)} == {0}


async def test_joins_of_one_host_keep_their_order_with_pubsub_and_of_one_group_elsewhere() -> None:
    pubsub = traits_of(RedisPubSubChannelLayer(hosts=HOSTS))
    group = pubsub.group_on(1, "a")
    assert pubsub.lane_of(group) == 1
    assert traits_of(object()).lane_of(group) == group


async def test_the_connections_of_the_core_layer_are_closed_used_ones_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    layer, clients = RedisChannelLayer(hosts=HOSTS), [Client(), Client()]
    monkeypatch.setattr(layer, "connection", clients.__getitem__)
    await traits_of(layer).cut_connections([1])
    assert [client.connection_pool.closed for client in clients] == [[], [True]]


async def test_the_connections_of_the_pubsub_layer_are_closed_used_ones_too() -> None:
    layer, client = RedisPubSubChannelLayer(hosts=HOSTS), Client()
    shards = layer._get_layer()._shards
    shards[0]._redis = client
    # Of the other host nothing was asked yet.
    await traits_of(layer).cut_connections([0, 1])
    assert client.connection_pool.closed == [True]
    shards[0]._redis = None


async def test_the_pubsub_layer_can_start_over_and_others_keep_what_they_have() -> None:
    layer = RedisPubSubChannelLayer(hosts=HOSTS)
    layer._get_layer().channels["mine"] = asyncio.Queue()
    await traits_of(layer).start_over()
    assert layer._get_layer().channels == {}
    other = InMemoryChannelLayer()
    other.channels["mine"] = asyncio.Queue()
    await traits_of(other).start_over()
    await traits_of(object()).cut_connections([0])
    assert "mine" in other.channels


class PostgresChannelLayer:
    """What is used of the layer of `channels_postgres`."""

    group_expiry = 0
    is_away = False

    def __init__(self) -> None:
        self.listener_task_is_running: asyncio.Event | None = None
        self.stops = asyncio.Event()
        self.listens = 0

    async def listen_to_all_channels(self) -> None:
        if self.is_away:
            raise OSError("no PostgreSQL")
        self.listens += 1
        assert self.listener_task_is_running is not None
        self.listener_task_is_running.set()
        await self.stops.wait()


@pytest.fixture
def postgres(monkeypatch: pytest.MonkeyPatch) -> PostgresChannelLayer:
    module = SimpleNamespace(PostgresChannelLayer=PostgresChannelLayer)
    monkeypatch.setitem(sys.modules, "channels_postgres.core", module)
    return PostgresChannelLayer()


async def test_members_in_postgresql_are_renewed_only_if_their_time_ends(
    postgres: PostgresChannelLayer,
) -> None:
    traits = traits_of(postgres)
    assert (traits.proves_joins, traits.has_capacity) == (False, False)
    assert not traits.forgets_members
    postgres.group_expiry = 300
    assert traits_of(postgres).forgets_members


async def test_a_postgresql_that_was_cut_off_is_listened_to_anew(
    postgres: PostgresChannelLayer,
) -> None:
    traits = traits_of(postgres)
    # Nobody has read from it yet.
    await traits.start_over()
    assert postgres.listens == 0
    postgres.listener_task_is_running = asyncio.Event()
    postgres.listener_task_is_running.set()
    await traits.start_over()
    assert postgres.listens == 1
    assert postgres.listener_task_is_running.is_set()
    postgres.is_away = True
    with pytest.raises(OSError, match="no PostgreSQL"):
        await traits.start_over()
    assert not postgres.listener_task_is_running.is_set()
    postgres.stops.set()
    await tick(3)


def test_a_layer_of_an_unknown_kind_has_no_redis_behind_it() -> None:
    with pytest.raises(NotImplementedError):
        traits_of(object()).redis_client(0)


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({}, ["capacity of 100 loses events", "group_expiry of 86400 seconds writes"]),
        ({"capacity": 10_000, "group_expiry": 59}, ["group_expiry of 59 seconds loses events"]),
        ({"capacity": 101, "group_expiry": 60}, []),
        ({"capacity": 10_000, "group_expiry": 3_600}, []),
    ],
)
async def test_a_core_layer_is_worth_a_warning_if_it_holds_little_or_keeps_the_dead(
    options: dict[str, Any], texts: list[str]
) -> None:
    warnings = traits_of(RedisChannelLayer(hosts=HOSTS, **options)).warnings
    assert len(warnings) == len(texts)
    for warning, text in zip(warnings, texts, strict=True):
        assert text in warning.text


async def test_other_layers_are_not_worth_a_warning() -> None:
    assert traits_of(RedisPubSubChannelLayer(hosts=HOSTS)).warnings == ()
    assert traits_of(InMemoryChannelLayer()).warnings == ()


@pytest.mark.parametrize("hosts", [1, 2, 7])
def test_the_channels_of_a_process_are_read_from_one_place_with_core(hosts: int) -> None:
    layer = RedisChannelLayer(hosts=HOSTS[:1] * hosts)
    names = {unheld_channel(layer) for _ in range(20)}
    assert len(names) == 20
    for name in names:
        read_as = layer.non_local_name(name)
        assert read_as.endswith(f"{layer.client_prefix}!")
        assert layer.consistent_hash(name) == layer.consistent_hash(read_as)
        assert layer.valid_channel_names([name])


def test_other_layers_get_names_of_their_own() -> None:
    names = [unheld_channel(layer) for layer in (InMemoryChannelLayer(), object(), object())]
    assert len(set(names)) == 3
    assert not any("!" in name for name in names)

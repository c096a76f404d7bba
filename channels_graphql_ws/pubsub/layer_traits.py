"""What is known of a kind of channel layer beyond what Channels specifies."""

# ruff: noqa: SLF001 (channels_redis has no public names for its connections)

from __future__ import annotations

import asyncio
import hashlib
import sys
from collections.abc import Hashable, Iterable
from itertools import count
from secrets import token_hex
from typing import Any, NamedTuple

DEFAULT_CAPACITY = 100
"""Messages that a channel of Channels' layers holds, unless they are told otherwise."""

SHORTEST_GROUP_EXPIRY = 60
"""Seconds: what a busy process, or one whose clock is off, needs to keep its memberships."""

LONGEST_GROUP_EXPIRY = 3_600
"""Seconds that members which were killed may stay without a warning."""


class LayerWarning(NamedTuple):
    """What should be said of the way a channel layer is set up.

    Attributes:
        number: of the system check that says it, such as `W011`.
        text: a sentence without its full stop.
    """

    number: str
    text: str


class LayerTraits:
    """A channel layer of an unknown kind: nothing but the specification holds.

    Attributes:
        proves_joins: whether `group_add` returns only when the channel is a member.
        forgets_members: whether a membership ends by itself unless it is renewed.
        has_redis: whether there is a Redis behind it, see `redis_client`.
        has_capacity: whether a channel may be full, so that messages are dropped.
        shards: how many hosts the groups are spread over.
    """

    proves_joins = False
    forgets_members = True
    has_redis = False
    has_capacity = True
    shards = 1

    def __init__(self, layer: Any) -> None:
        self.layer = layer

    def shard_of(self, group: str) -> int:
        """Return the number of the host that serves a group."""
        del group
        return 0

    def lane_of(self, group: str) -> Hashable:
        """Return what groups have in common whose joins take effect in their order."""
        return group

    def connections(self, shard: int) -> int | None:
        """Return how many connections to that host there may be; `None`: not known."""
        del shard
        return None

    @property
    def warnings(self) -> tuple[LayerWarning, ...]:
        """What should be said of the way the channel layer is set up."""
        return ()

    def group_on(self, shard: int, text: str) -> str:
        """Make the name of a group that is served by that host."""
        names = (
            f"GQLWS-{hashlib.sha256(f'{text} {number}'.encode()).hexdigest()}"
            for number in count()
        )
        return next(name for name in names if self.shard_of(name) == shard)

    async def cut_connections(self, shards: Iterable[int]) -> None:
        """Close the connections to those hosts; they are made anew when needed."""

    async def start_over(self) -> None:
        """Forget all channels and groups of this event loop, where that is possible."""

    def redis_client(self, shard: int) -> Any:
        """Return the client of redis-py for a host, on the running event loop.

        It is the layer's own, so that all it was told holds: TLS, passwords, Sentinel.
        """
        raise NotImplementedError(shard)


class ProvingTraits(LayerTraits):
    """A channel layer whose `group_add` does what it says before it returns."""

    proves_joins = True


class RedisTraits(ProvingTraits):
    """`channels_redis.core`: groups are sorted sets, spread over the hosts."""

    has_redis = True

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.shards = layer.ring_size

    @property
    def warnings(self) -> tuple[LayerWarning, ...]:
        """What should be said of the way the channel layer is set up."""
        found = (("W011", self._of_capacity()), ("W016", self._of_group_expiry()))
        return tuple(LayerWarning(number, text) for number, text in found if text is not None)

    def _of_capacity(self) -> str | None:
        if self.layer.capacity > DEFAULT_CAPACITY:
            return None
        return (
            f"A RedisChannelLayer with a capacity of {self.layer.capacity} loses events when more "
            "are broadcast at a time than that, also one after another: take "
            "channels_redis.pubsub.RedisPubSubChannelLayer, or set `capacity` to 10_000"
        )

    def _of_group_expiry(self) -> str | None:
        expiry = self.layer.group_expiry
        if expiry > LONGEST_GROUP_EXPIRY:
            return (
                f"A RedisChannelLayer with a group_expiry of {expiry} seconds writes each "
                "broadcast for that long to processes that were killed, too: take "
                "channels_redis.pubsub.RedisPubSubChannelLayer, or set `group_expiry` to 300. "
                "Memberships of subscriptions are renewed; other consumers on this layer would "
                "need one of their own"
            )
        if expiry < SHORTEST_GROUP_EXPIRY:
            return (
                f"A RedisChannelLayer with a group_expiry of {expiry} seconds loses events when "
                "a process is busy for that long or its clock is off: set `group_expiry` to 300"
            )
        return None

    def redis_client(self, shard: int) -> Any:
        """Return the client of redis-py for a host, on the running event loop."""
        return self.layer.connection(shard)

    def connections(self, shard: int) -> int | None:
        """Return how many connections the pool has: beyond them, any call fails."""
        most: int = self.redis_client(shard).connection_pool.max_connections
        return most

    def shard_of(self, group: str) -> int:
        """Return the number of the host that serves a group."""
        shard: int = self.layer.consistent_hash(group)
        return shard

    async def cut_connections(self, shards: Iterable[int]) -> None:
        """Close the connections; `close_pools` would do so on the loops of other threads, too."""
        await _cut(self.layer.connection(shard) for shard in shards)


class RedisPubSubTraits(LayerTraits):
    """`channels_redis.pubsub`: `group_add` writes SUBSCRIBE and does not wait for Redis.

    Redis takes the commands of a connection in their order, and redis-py subscribes to all
    at once when it connects again. So a message that comes through one group proves all
    groups that were joined before it on that host.
    """

    forgets_members = False
    has_redis = True
    has_capacity = False

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        self.shards = len(self._of_loop()._shards)

    def redis_client(self, shard: int) -> Any:
        """Return the client of redis-py for a host, on the running event loop."""
        connection = self._of_loop()._shards[shard]
        connection._ensure_redis()
        return connection._redis

    def shard_of(self, group: str) -> int:
        """Return the number of the host that serves a group."""
        if self.shards == 1:
            return 0
        of_loop = self._of_loop()
        return int(
            of_loop._shards.index(of_loop._get_shard(of_loop._get_group_channel_name(group)))
        )

    def lane_of(self, group: str) -> Hashable:
        """Return what groups have in common whose joins take effect in their order."""
        return self.shard_of(group)

    async def cut_connections(self, shards: Iterable[int]) -> None:
        """Close the connections: redis-py subscribes again when it reads from a new one."""
        connections = self._of_loop()._shards
        clients = [connections[shard]._redis for shard in shards]
        await _cut(client for client in clients if client is not None)

    async def start_over(self) -> None:
        """Forget all channels and groups of this event loop."""
        await self.layer.flush()

    def _of_loop(self) -> Any:
        return self.layer._get_layer()


class PostgresTraits(LayerTraits):
    """`channels_postgres`: a group's members are rows, and one LISTEN serves a process."""

    has_capacity = False

    def __init__(self, layer: Any) -> None:
        super().__init__(layer)
        # With 0, its default, a membership does not end; each renewal would be one more row.
        self.forgets_members = layer.group_expiry > 0
        self._listening: asyncio.Task[None] | None = None

    async def start_over(self) -> None:
        """Listen anew: the layer takes a LISTEN whose connection was cut for one that listens."""
        listens = self.layer.listener_task_is_running
        if listens is not None:
            listens.clear()
            self._listening = asyncio.create_task(self.layer.listen_to_all_channels())
            waiting = asyncio.create_task(listens.wait())
            # It ends early if the database cannot be reached.
            await asyncio.wait([self._listening, waiting], return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if self._listening.done():
                self._listening.result()


async def _cut(clients: Iterable[Any]) -> None:
    pools = [client.connection_pool.disconnect(inuse_connections=True) for client in clients]
    await asyncio.gather(*pools, return_exceptions=True)


_KINDS: tuple[tuple[str, str, type[LayerTraits]], ...] = (
    ("channels_redis.core", "RedisChannelLayer", RedisTraits),
    ("channels_redis.pubsub", "RedisPubSubChannelLayer", RedisPubSubTraits),
    ("channels.layers", "InMemoryChannelLayer", ProvingTraits),
    ("channels_postgres.core", "PostgresChannelLayer", PostgresTraits),
)


def warnings_of(layer: Any) -> tuple[LayerWarning, ...]:
    """Return what should be said of the way a layer is set up, without an event loop."""
    return RedisTraits(layer).warnings if is_redis_core(layer) else ()


def is_redis_core(layer: Any) -> bool:
    """Return whether a layer is that of `channels_redis.core`."""
    module, name, _ = _KINDS[0]
    base = getattr(sys.modules.get(module), name, None)
    return base is not None and isinstance(layer, base)


def unheld_channel(layer: Any) -> str:
    """Return the name of a channel that the layer holds nothing for until it is read from.

    Channels' `new_channel` may ask Redis, and its pub/sub layer keeps a queue and a subscription
    until somebody has read from the channel and ends that.

    `channels_redis.core` reads all channels of a process over one connection, which it knows by
    a part of their name; each other one takes a connection from its pool as long as it is read.
    """
    if not is_redis_core(layer):
        return f"specific.{token_hex(16)}"
    of_process = f"specific.{layer.client_prefix}!"
    # With several hosts, its `send` looks for the whole name, and its `receive` for this part.
    host = layer.consistent_hash(of_process)
    names = (f"{of_process}{token_hex(16)}" for _ in count())
    return next(name for name in names if layer.consistent_hash(name) == host)


def traits_of(layer: Any) -> LayerTraits:
    """Return what is known of a channel layer; of a subclass, what is known of its base."""
    for module, name, kind in _KINDS:
        # A layer whose module was never imported is not one of its kind.
        base = getattr(sys.modules.get(module), name, None)
        if base is not None and isinstance(layer, base):
            return kind(layer)
    return ProvingTraits(layer) if getattr(layer, "proves_joins", False) else LayerTraits(layer)

"""The history of groups in Redis or Valkey: a stream for each group."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from channels_graphql_ws.pubsub.history.interfaces import Entry, Page, Position

_RUN: Final = """
local info = redis.pcall('INFO', 'server')
local run = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
local named = string.sub(run, 1, 12) .. '.'
"""
"""Name the present run of this Redis; empty where its rights forbid to ask.

One that was started anew from its disk, or has taken over from another, may lack what was
written last, and would give its numbers to other events. So a history ends with the run.
"""

_APPEND: Final = f"""{_RUN}
local known = redis.call('HMGET', KEYS[2], 'epoch', 'run')
local epoch = known[1]
if not epoch or known[2] ~= run or redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('DEL', KEYS[1], KEYS[2])
    epoch = named .. ARGV[4]
    redis.call('HSET', KEYS[2], 'epoch', epoch, 'run', run)
end
if KEYS[3] then
    local known = redis.call('HMGET', KEYS[3], 'epoch', 'offset')
    if known[1] == epoch then
        return known
    end
end
local offset = redis.call('HINCRBY', KEYS[2], 'offset', 1)
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local stamp = string.format('%.0f', ms)
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], offset .. '-0', 'p', ARGV[1], 't', stamp)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
if KEYS[3] then
    redis.call('HSET', KEYS[3], 'epoch', epoch, 'offset', offset)
    redis.call('PEXPIRE', KEYS[3], ARGV[5])
end
return {{epoch, offset}}
"""
"""Number and keep an event in one step. A history half of which is gone begins anew. A third key
remembers the place of a durable event: if that is sent again, it is not numbered again."""

IDS_KEPT_FOR: Final = 600_000
"""Milliseconds, at least, in which a durable event that is sent again gets its place again."""

_SINCE: Final = f"""{_RUN}
local head = redis.call('HMGET', KEYS[2], 'epoch', 'offset', 'run')
if not head[1] or head[3] ~= run then
    return {{named, 0, {{}}}}
end
return {{head[1], head[2], redis.call('XRANGE', KEYS[1], ARGV[1], '+')}}
"""
"""Read the place of the last event, and the events behind an offset, in one step."""

_HEAD: Final = f"""{_RUN}
local head = redis.call('HMGET', KEYS[1], 'epoch', 'offset', 'run')
if not head[1] or head[3] ~= run then
    return {{named, 0}}
end
return {{head[1], head[2]}}
"""
"""Read the place of the last event."""

_SHARED: Final = frozenset(
    {"host", "port", "username", "password", "socket_timeout", "socket_connect_timeout"}
)
"""Arguments of connections that hold for all nodes of a cluster."""

READS_AT_ONCE: Final = 16
"""Reads from one host at a time; others wait. Each takes a connection, redis-py has a hundred of
them by default and raises where one more is wanted, and after a crash all clients come at once."""

_BEFORE_MOVED: Final = ("error: ", "error: ('")
"""What redis-py 5 says before the word MOVED, of a command in a pipeline."""

ClientOf = Callable[[str], Any]
"""Returns the client of redis-py for the host that serves a group, on the running loop."""


class RedisHistory:
    """Keeps events in the Redis hosts of a channel layer.

    Args:
        client_of: finds the host of a group.
        prefix: of all keys.
    """

    def __init__(self, client_of: ClientOf, prefix: str) -> None:
        self._client_of = client_of
        # By the client of one of its nodes, which belongs to an event loop.
        self._clusters: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()
        self._reading: WeakKeyDictionary[Any, asyncio.Semaphore] = WeakKeyDictionary()
        self._prefix = prefix

    async def append(self, group: str, payload: bytes, size: int, ttl: float) -> Position:
        """Number an event and keep it."""
        return await self._append(group, payload, size, ttl)

    async def append_once(
        self, group: str, payload: bytes, size: int, ttl: float, id: str
    ) -> Position:
        """Do as `append` does, but once for each id."""
        return await self._append(group, payload, size, ttl, id)

    async def _append(
        self, group: str, payload: bytes, size: int, ttl: float, id: str | None = None
    ) -> Position:
        kept_for = max(1, int(ttl * 1_000))
        epoch, offset = await self._eval(
            _APPEND,
            group,
            payload,
            size,
            kept_for,
            secrets.token_hex(4),
            *(() if id is None else (max(kept_for, IDS_KEPT_FOR),)),
            id=id,
        )
        return Position(_text(epoch), int(offset))

    async def since(self, group: str, offset: int) -> Page | None:
        """Return the events behind an offset."""
        async with self._slots(self._client_of(group)):
            found = await self._eval(_SINCE, group, f"{offset + 1}-0")
        epoch, head, entries = found
        return Page(Position(_text(epoch), int(head)), [_entry(*each) for each in entries])

    async def heads(self, groups: Sequence[str]) -> list[Position | None]:
        """Return the place of the last event of each group."""
        found: dict[str, Position | None] = {}
        for client, served in self._by_client(groups):
            async with self._slots(client):
                heads = await self._read_heads(client, served)
            for group, head in zip(served, heads, strict=True):
                found[group] = Position(_text(head[0]), int(head[1]))
        return [found[group] for group in groups]

    def _slots(self, client: Any) -> asyncio.Semaphore:
        """Return what limits the reads of a client, which belongs to one event loop."""
        slots = self._reading.get(client)
        if slots is None:
            slots = self._reading[client] = asyncio.Semaphore(READS_AT_ONCE)
        return slots

    async def _read_heads(self, client: Any, groups: Sequence[str]) -> Sequence[Any]:
        keys = [self._keys(group)[1] for group in groups]
        cluster = self._clusters.get(client)
        if cluster is None:
            pipe = client.pipeline(transaction=False)
            for key in keys:
                pipe.eval(_HEAD, 1, key)
            try:
                heads: Sequence[Any] = await pipe.execute()
            except Exception as error:  # noqa: BLE001 (all but one kind is raised again)
                cluster = self._cluster_behind(client, error)
            else:
                return heads
        return await asyncio.gather(*(cluster.eval(_HEAD, 1, key) for key in keys))

    async def _eval(self, script: str, group: str, *arguments: Any, id: str | None = None) -> Any:
        """Run a script on the keys of a group, in a cluster on the node that has them."""
        client, keys = self._client_of(group), self._keys(group)
        if id is not None:
            keys = (*keys, f"{keys[0]}:{id}")
        cluster = self._clusters.get(client)
        if cluster is None:
            try:
                return await client.eval(script, len(keys), *keys, *arguments)
            except Exception as error:  # noqa: BLE001 (all but one kind is raised again)
                cluster = self._cluster_behind(client, error)
        return await cluster.eval(script, len(keys), *keys, *arguments)

    def _cluster_behind(self, client: Any, error: Exception) -> Any:
        """Return a client of the whole cluster if an error says that there is one.

        Raises:
            Exception: it says something else.
        """
        if not _has_moved(error):
            raise error
        cluster = self._clusters.get(client)
        if cluster is None:
            cluster = self._clusters[client] = _cluster_of(client)
        return cluster

    def _by_client(self, groups: Iterable[str]) -> list[tuple[Any, list[str]]]:
        served: dict[int, tuple[Any, list[str]]] = {}
        for group in groups:
            client = self._client_of(group)
            served.setdefault(id(client), (client, []))[1].append(group)
        return list(served.values())

    def _keys(self, group: str) -> tuple[str, ...]:
        # Both in one slot of a cluster.
        key = f"{self._prefix}:history:{{{group}}}"
        return f"{key}:events", f"{key}:head"


def _has_moved(error: Exception) -> bool:
    """Return whether an error says that another node of a cluster has the key."""
    # redis-py is here only where its channel layers are: its classes cannot be imported.
    kind = type(error).__name__
    if kind == "ResponseError":
        # Release 5 has no error of its own for it.
        before, moved, _ = str(error).rpartition("MOVED ")
        return bool(moved) and (not before or before.endswith(_BEFORE_MOVED))
    return kind == "MovedError"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _cluster_of(client: Any) -> Any:
    """Return a client of a cluster that connects as the client of one of its nodes does."""
    from redis.asyncio.cluster import RedisCluster  # noqa: PLC0415 (redis-py is optional)

    pool = client.connection_pool
    known = {
        name: value
        for name, value in pool.connection_kwargs.items()
        if name in _SHARED or name.startswith("ssl_")
    }
    return RedisCluster(ssl="SSL" in pool.connection_class.__name__, **known)


def _entry(id: Any, fields: Sequence[Any]) -> Entry:
    # A client may have been told to decode what it reads, but for the payload.
    known = {_text(name): value for name, value in zip(fields[::2], fields[1::2], strict=True)}
    return Entry(int(_text(id).partition("-")[0]), known["p"], int(_text(known["t"])))

"""The history of groups in Redis or Valkey: a stream for each group."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from channels_graphql_ws.pubsub.history.interfaces import Entry, Page, Position

_APPEND = """
local epoch = redis.call('HGET', KEYS[2], 'epoch')
if not epoch or redis.call('EXISTS', KEYS[1]) == 0 then
    redis.call('DEL', KEYS[1], KEYS[2])
    epoch = ARGV[4]
    redis.call('HSET', KEYS[2], 'epoch', epoch)
end
local offset = redis.call('HINCRBY', KEYS[2], 'offset', 1)
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local stamp = string.format('%.0f', ms)
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[2], offset .. '-0', 'p', ARGV[1], 't', stamp)
redis.call('PEXPIRE', KEYS[1], ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return {epoch, offset}
"""
"""Number and keep an event in one step. A history half of which is gone begins anew."""

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
        self._prefix = prefix

    async def append(self, group: str, payload: bytes, size: int, ttl: float) -> Position:
        """Number an event and keep it."""
        epoch, offset = await self._client_of(group).eval(
            _APPEND,
            2,
            *self._keys(group),
            payload,
            size,
            max(1, int(ttl * 1_000)),
            secrets.token_hex(4),
        )
        return Position(_text(epoch), int(offset))

    async def since(self, group: str, offset: int) -> Page | None:
        """Return the events behind an offset; `None` if there is no history."""
        stream, meta = self._keys(group)
        pipe = self._client_of(group).pipeline(transaction=True)
        pipe.hmget(meta, "epoch", "offset")
        pipe.xrange(stream, min=f"{offset + 1}-0")
        (epoch, head), entries = await pipe.execute()
        if epoch is None:
            return None
        return Page(Position(_text(epoch), int(head)), [_entry(*each) for each in entries])

    async def heads(self, groups: Sequence[str]) -> list[Position | None]:
        """Return the place of the last event of each group; `None` where there is none."""
        found: dict[str, Position | None] = {}
        for client, served in self._by_client(groups):
            pipe = client.pipeline(transaction=False)
            for group in served:
                pipe.hmget(self._keys(group)[1], "epoch", "offset")
            for group, (epoch, head) in zip(served, await pipe.execute(), strict=True):
                found[group] = None if epoch is None else Position(_text(epoch), int(head))
        return [found[group] for group in groups]

    def _by_client(self, groups: Iterable[str]) -> list[tuple[Any, list[str]]]:
        served: dict[int, tuple[Any, list[str]]] = {}
        for group in groups:
            client = self._client_of(group)
            served.setdefault(id(client), (client, []))[1].append(group)
        return list(served.values())

    def _keys(self, group: str) -> tuple[str, str]:
        # Both in one slot of a cluster.
        key = f"{self._prefix}:history:{{{group}}}"
        return f"{key}:events", f"{key}:head"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _entry(id: Any, fields: Any) -> Entry:
    # A client may have been told to decode what it reads, but for the payload.
    known = {_text(name): value for name, value in fields.items()}
    return Entry(int(_text(id).partition("-")[0]), known["p"], int(_text(known["t"])))

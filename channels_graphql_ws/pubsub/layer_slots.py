"""How many calls of a channel layer there may be at a time, by all who join groups."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

from channels_graphql_ws.concurrency.fairness import FairQueue
from channels_graphql_ws.pubsub.layer_traits import traits_of

AT_ONCE: Final = 32
"""Calls to one host at a time: Redis gets a connection for each."""

PART_OF_POOL: Final = 3
"""That part of a host's connections is used at most: others need some, too."""

PARTS: Final = 8
"""One user or address has one of so many parts of the calls at most: a layer may see to them one
after the other, and others would wait for all of its calls."""


class LayerSlots:
    """The calls that there may be at a time: users and addresses take turns.

    Who joins and leaves hundreds of groups has the next one when all others have had one.

    Args:
        count: how many.

    Attributes:
        count: the same.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._queue = FairQueue(count, max(1, count // PARTS))
        # What is for no client, such as the renewal of memberships, may have all.
        self._nobody = cycle([object() for _ in range(PARTS)])

    @asynccontextmanager
    async def hold(self, owner: Hashable | None) -> AsyncGenerator[None]:
        """Wait for one, and have it during the block.

        Args:
            owner: for whom: see `fairness.current_key`.
        """
        place = await self._queue.enter(next(self._nobody) if owner is None else owner)
        try:
            yield
        finally:
            place.leave()


_Slots: TypeAlias = dict[tuple[int, int, bool], LayerSlots]
"""By the id of the layer, the host, and whether it is for groups of other Channels code."""

_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, _Slots] = WeakKeyDictionary()


def slots_of(layer: object, shard: int = 0, *, is_foreign: bool = False) -> LayerSlots:
    """Return what to hold during a call of a channel layer, on the running event loop.

    All who use the layer share it, however many they are: redis-py refuses what its pool has
    no connection for. Groups of other Channels code, which clients may choose, have slots of
    their own, so that those of subscriptions do not wait for them.
    """
    of_loop = _slots.setdefault(asyncio.get_running_loop(), {})
    key = id(layer), shard, is_foreign
    slots = of_loop.get(key)
    if slots is None:
        connections = traits_of(layer).connections(shard)
        most = AT_ONCE if connections is None else min(AT_ONCE, connections // PART_OF_POOL)
        slots = of_loop[key] = LayerSlots(max(1, most))
    return slots

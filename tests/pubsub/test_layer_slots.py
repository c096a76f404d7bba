"""How many calls of a channel layer there may be at a time; nothing here connects to Redis."""

from __future__ import annotations

import pytest
from channels_redis.core import RedisChannelLayer

from channels_graphql_ws.pubsub.layer_slots import AT_ONCE, slots_of


@pytest.mark.parametrize(
    ("connections", "slots"), [(1_000, AT_ONCE), (100, AT_ONCE), (12, 4), (2, 1)]
)
async def test_a_part_of_the_connections_of_redis_is_used(connections: int, slots: int) -> None:
    host = {"address": "redis://127.0.0.1:1", "max_connections": connections}
    assert slots_of(RedisChannelLayer(hosts=[host])).count == slots


async def test_all_who_use_a_host_share_its_slots_but_not_with_groups_of_others() -> None:
    one, other = object(), object()
    assert slots_of(one, 1) is slots_of(one, 1)
    kinds = [slots_of(one), slots_of(one, 1), slots_of(one, is_foreign=True), slots_of(other)]
    assert len(set(map(id, kinds))) == 4
    assert {slots.count for slots in kinds} == {AT_ONCE}

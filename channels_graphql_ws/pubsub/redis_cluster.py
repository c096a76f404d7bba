"""Tell whether a channel layer that cannot use a Redis Cluster was given one."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from asgiref.sync import async_to_sync

from channels_graphql_ws.pubsub.layer_traits import is_redis_core

ASK_TIMEOUT: Final = 2.0
"""Seconds that Redis has to answer a check."""


def refuses_cluster(layer: Any) -> bool:
    """Ask a host of `channels_redis.core` whether it is in a Cluster; `False` without an answer.

    Its scripts and reads use several keys at a time, which a Cluster refuses.
    """
    if not is_redis_core(layer):
        return False
    try:
        return async_to_sync(_is_in_cluster)(layer)
    except Exception:  # noqa: BLE001 (where a check runs, Redis may be out of reach)
        return False


async def _is_in_cluster(layer: Any) -> bool:
    client = layer.connection(0)
    try:
        async with asyncio.timeout(ASK_TIMEOUT):
            return bool((await client.info("cluster")).get("cluster_enabled"))
    finally:
        await client.connection_pool.disconnect()

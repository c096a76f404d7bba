"""Operators ask another process over a real Redis, and end a connection of it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from channels.layers import get_channel_layer

from channels_graphql_ws.operations.questions import ask_for_connections, end_connection
from live_processes import LAYERS, Processes
from support import GUARD

pytestmark = [pytest.mark.redis, pytest.mark.servers]

QUERY = 'subscription { onNews(room: "1") { text } }'


@pytest.mark.parametrize("layer", LAYERS)
async def test_a_process_that_serves_nobody_lists_and_ends_connections_of_another(
    redis_url: str, layer: str, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LIVE_LIST", "1")
    async with Processes(redis_url, layer) as processes:
        client = await processes.client(await processes.server())
        await client.subscribe(QUERY)
        settings.CHANNEL_LAYERS = processes.channel_layers
        try:
            found = await ask_for_connections(seconds=GUARD, processes=1)
            ((listed,),) = [each.listed for each in found.processes]
            assert listed.subscriptions == {"OnNews": 1}
            assert (await end_connection(listed.id, seconds=GUARD)).ended == 1
            assert (await client.wait_disconnect())["code"] == 4403
        finally:
            await _closed(get_channel_layer())


async def _closed(layer: Any) -> None:
    if hasattr(layer, "close_pools"):
        await layer.close_pools()
    else:
        await layer._layers[asyncio.get_running_loop()].flush()

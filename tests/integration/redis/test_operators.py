"""Operators ask another process over a real Redis, and end a connection of it."""

from __future__ import annotations

import asyncio
from typing import Any

import graphene
import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer

from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.operations.questions import (
    ask_for_connections,
    end_connection,
    in_plain_code,
)
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
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


class OnOwn(Subscription):
    """Subscribed to in the process that shows the page."""

    text = graphene.String()

    @staticmethod
    def publish(payload: Any, _info: Any) -> Any:
        return {"text": payload}


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Subscriptions(graphene.ObjectType):
    on_own = OnOwn.Field()


SCHEMA = graphene.Schema(query=Query, subscription=Subscriptions)


@pytest.mark.parametrize("layer", LAYERS)
async def test_plain_code_of_a_process_that_serves_clients_asks_without_disturbing_them(
    redis_url: str,
    layer: str,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("LIVE_LIST", "1")
    async with Processes(redis_url, layer) as processes:
        elsewhere = await processes.client(await processes.server())
        await elsewhere.subscribe(QUERY)
        settings.CHANNEL_LAYERS = processes.channel_layers
        consumer = GraphqlWsConsumer.as_asgi(schema=SCHEMA, confirm_subscriptions=True)
        client = GraphqlWsClient(GraphqlWsTransport(consumer, "/"))
        await client.connect_and_init()
        await client.subscribe("subscription { onOwn { text } }")
        try:
            found = await sync_to_async(in_plain_code, thread_sensitive=False)(
                lambda: ask_for_connections(seconds=GUARD, processes=2)
            )
            listed = [each.subscriptions for known in found.processes for each in known.listed]
            assert sorted(map(str, listed)) == ["{'OnNews': 1}", "{'OnOwn': 1}"]
            await OnOwn.broadcast(payload="hi")
            assert (await client.receive())["data"] == {"onOwn": {"text": "hi"}}
            assert "events may be lost" not in caplog.text
        finally:
            await client.finalize()
            await _closed(get_channel_layer())


async def _closed(layer: Any) -> None:
    if hasattr(layer, "close_pools"):
        await layer.close_pools()
    else:
        await layer._layers[asyncio.get_running_loop()].flush()

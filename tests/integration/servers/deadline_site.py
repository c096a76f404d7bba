"""A site whose clients keep it busy as long as they can, and which ends within two seconds."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import graphene
import live_site
from django.core.asgi import get_asgi_application

from channels_graphql_ws import GraphqlProtocolTypeRouter, GraphqlWsConsumer, shutdown
from channels_graphql_ws.concurrency import pool

shutdown.CLOSE_TIMEOUT = pool.EXIT_TIMEOUT = 1.0


class Subscriptions(live_site.Subscriptions):
    """What the other site has, and more than anybody reads."""

    flood = graphene.String()

    @staticmethod
    async def subscribe_flood(root: Any, info: Any) -> AsyncIterator[str]:
        # Daphne would write all of it to memory.
        for _ in range(60):
            yield "x" * 500_000
        await asyncio.Event().wait()


class Mutation(live_site.Mutation):
    """What the other site has, and one that keeps a thread."""

    doze = graphene.Boolean()

    @staticmethod
    def resolve_doze(root: Any, info: Any) -> bool:
        return threading.Event().wait()


class Consumer(GraphqlWsConsumer):
    """Takes leave of some clients for ever."""

    hangs = False

    async def on_connect(self, payload: Any) -> None:
        """See who it is."""
        self.hangs = bool(payload and payload.get("hangs"))

    async def on_disconnect(self, code: int) -> None:
        """Hang, if the client wants it."""
        if self.hangs:
            await asyncio.Event().wait()


application = GraphqlProtocolTypeRouter(
    graphene.Schema(query=live_site.Query, mutation=Mutation, subscription=Subscriptions),
    django_application=get_asgi_application(),
    websocket_consumer=Consumer,
    middleware_stack=None,
    shutdown_timeout=1,
)

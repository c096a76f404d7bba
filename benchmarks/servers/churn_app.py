"""An application that can be left at every moment, and tells over HTTP what is left of it."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from servers.django_setup import configure

configure()

import channels.layers  # noqa: E402 (Django must be configured first)
import channels.routing  # noqa: E402
import graphene  # noqa: E402

import channels_graphql_ws  # noqa: E402
from channels_graphql_ws.pubsub import hub  # noqa: E402

WATCHED = ("asyncio", "_asyncio", "channels", "graphql.execution", "servers", "uvicorn", "uvloop")

hooks: Counter[str] = Counter()
records: list[str] = []


class _Recorder(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if len(records) < 100:
            records.append(f"{record.levelname} {record.name}: {self.format(record)}")


logging.getLogger().addHandler(_Recorder(logging.WARNING))


class Ticks(channels_graphql_ws.Subscription):
    """One that is joined and counts its members."""

    text = graphene.String(required=True)

    class Arguments:
        """The group to join."""

        room = graphene.String(required=True)

    @staticmethod
    def subscribe(root: object, info: graphene.ResolveInfo, room: str) -> list[str]:
        """Join a group."""
        hooks["subscribed"] += 1
        return [room]

    @staticmethod
    def publish(payload: str, info: graphene.ResolveInfo, room: str) -> dict[str, str]:
        """Hand on a text that may be very long."""
        return {"text": payload}

    @staticmethod
    async def unsubscribed(root: object, info: graphene.ResolveInfo, room: str) -> None:
        """Count, not in one go."""
        await asyncio.sleep(0)
        hooks["unsubscribed"] += 1


class Endless(channels_graphql_ws.Subscription):
    """One whose `subscribe` never returns."""

    text = graphene.String()

    @staticmethod
    async def subscribe(root: object, info: graphene.ResolveInfo) -> None:
        """Wait for ever."""
        hooks["endless"] += 1
        await asyncio.Event().wait()

    @staticmethod
    def publish(payload: object, info: graphene.ResolveInfo) -> None:
        """Be never called."""


class Spill(graphene.Mutation):
    """Broadcast a text that fills every buffer on its way."""

    class Arguments:
        """The group, and the number of characters."""

        room = graphene.String(required=True)
        size = graphene.Int(required=True)

    ok = graphene.Boolean(required=True)

    @staticmethod
    async def mutate(
        root: object, info: graphene.ResolveInfo, room: str, size: int
    ) -> dict[str, bool]:
        """Broadcast."""
        await Ticks.broadcast_async(group=room, payload="x" * size)
        return {"ok": True}


class Query(graphene.ObjectType):
    """GraphQL asks for one field at least."""

    version = graphene.String()


class Mutation(graphene.ObjectType):
    """What makes the server send."""

    spill = Spill.Field()


class Subscription(graphene.ObjectType):
    """What can be subscribed to."""

    ticks = Ticks.Field()
    endless = Endless.Field()


class Consumer(channels_graphql_ws.GraphqlWsConsumer):
    """Decides for ever about who asks it to."""

    schema = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscription)
    confirm_subscriptions = True

    async def on_connect(self, payload: Any) -> None:
        """Wait for ever, if the client says so."""
        if payload and payload.get("wait"):
            hooks["deciding"] += 1
            await asyncio.Event().wait()


async def inspect(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer every HTTP request with what is alive in this process."""
    body = json.dumps(_inventory()).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _inventory() -> dict[str, Any]:
    layer: Any = channels.layers.get_channel_layer()
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "objects": _alive(),
        "tasks": len(asyncio.all_tasks()),
        "hub": hub.hub_of(layer).counts(),
        "layer": {"groups": len(layer.groups), "channels": len(layer.channels)},
        "hooks": dict(hooks),
        "records": records,
        "rss_kib": pages * os.sysconf("SC_PAGE_SIZE") // 1024,
    }


def _alive() -> dict[str, int]:
    """Count the objects of the classes that belong to connections, tasks and timers."""
    names = (f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    watched = Counter(name for name in names if name.startswith(WATCHED) or "coroutine" in name)
    return dict(watched)


application = channels.routing.ProtocolTypeRouter(
    {"http": inspect, "websocket": Consumer.as_asgi()},
)

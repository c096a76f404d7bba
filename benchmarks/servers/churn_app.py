"""An application that can be left at every moment, and tells over HTTP what is left of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from servers.django_setup import configure

configure()

import channels.layers  # noqa: E402 (Django must be configured first)
import channels.routing  # noqa: E402
import graphene  # noqa: E402

import channels_graphql_ws  # noqa: E402
from servers.inventory import Records, answering, process_inventory  # noqa: E402

hooks: Counter[str] = Counter()
records = Records()


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


def _inventory() -> dict[str, Any]:
    layer: Any = channels.layers.get_channel_layer()
    return {
        **process_inventory(layer, records),
        "layer": {"groups": len(layer.groups), "channels": len(layer.channels)},
        "hooks": dict(hooks),
    }


application = channels.routing.ProtocolTypeRouter(
    {"http": answering(_inventory), "websocket": Consumer.as_asgi()},
)

"""The GraphQL application, one source for this package and for its predecessor.

Which of the two is imported depends on the environment of the process; both have the same public
names, so what is measured differs in nothing but the package.
"""

from __future__ import annotations

import asyncio
from typing import Any

from servers.django_setup import configure

configure()

import channels.routing  # noqa: E402 (Django must be configured first)
import graphene  # noqa: E402

import channels_graphql_ws  # noqa: E402
from servers.events import bursts, event  # noqa: E402


class OnEvent(channels_graphql_ws.Subscription):
    """An event of four scalars, for everybody who subscribed."""

    seq = graphene.Int(required=True)
    text = graphene.String(required=True)
    flag = graphene.Boolean(required=True)
    ratio = graphene.Float(required=True)

    @staticmethod
    def publish(payload: dict[str, Any], info: graphene.ResolveInfo) -> dict[str, Any]:
        """Hand the payload on as it is."""
        return payload


class Fire(graphene.Mutation):
    """Broadcast `count` events, `burst` of them back to back, with a pause behind each burst."""

    class Arguments:
        """The first sequence number, how many, how many at a time, and the pause in seconds."""

        first = graphene.Int(required=True)
        count = graphene.Int(required=True)
        burst = graphene.Int(required=True)
        pause = graphene.Float(required=True)

    ok = graphene.Boolean(required=True)

    @staticmethod
    async def mutate(
        root: object,
        info: graphene.ResolveInfo,
        first: int,
        count: int,
        burst: int,
        pause: float,
    ) -> dict[str, bool]:
        """Broadcast; the pause lets every subscriber have one burst before the next."""
        for sequence in bursts(first, count, burst):
            for seq in sequence:
                await OnEvent.broadcast_async(payload=event(seq))
            await asyncio.sleep(pause)
        return {"ok": True}


class Query(graphene.ObjectType):
    """GraphQL asks for one field at least."""

    version = graphene.String()


class Mutation(graphene.ObjectType):
    """How the load generator makes the server broadcast."""

    fire = Fire.Field()


class Subscription(graphene.ObjectType):
    """What the load generator subscribes to."""

    on_event = OnEvent.Field()


class Consumer(channels_graphql_ws.GraphqlWsConsumer):
    """As a user would write it; a firing mutation is slow on purpose."""

    schema = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscription)
    warn_operation_timeout = None


application = channels.routing.ProtocolTypeRouter(
    {"websocket": Consumer.as_asgi()},
)

"""This package."""

from __future__ import annotations

import asyncio

import graphene

from adapters import graphene_schema
from adapters.graphene_schema import OnEvent, Query
from channels_graphql_ws import (
    GraphqlHttpConsumer,
    GraphqlProtocolTypeRouter,
    GraphqlWsConsumer,
    Upload,
)
from channels_graphql_ws.testing import GraphqlWebsocketCommunicator

DISTRIBUTION = "channels-graphql-ws"
PACKAGE = "channels_graphql_ws"
SUBPROTOCOL = "graphql-transport-ws"
state = graphene_schema.state
EVENT = "subscription { onEvent { value } }"
COUNT = "subscription { count }"


class Subscriptions(graphene_schema.Subscriptions):
    """Generators, too."""

    count = graphene.Int()

    async def subscribe_count(root, info):
        """Count to two."""
        for number in (1, 2):
            await asyncio.sleep(0)
            yield number


class Measure(graphene.Mutation):
    """Takes a file."""

    class Arguments:
        """The file."""

        file = Upload(required=True)

    size = graphene.Int()

    def mutate(self, info, file):
        """Return its size."""
        return Measure(size=file.size)


class Mutation(graphene.ObjectType):
    """What may be changed."""

    measure = Measure.Field()


schema = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscriptions)


def websocket(**options):
    """Return the consumer, mounted by hand."""
    return GraphqlWsConsumer.as_asgi(schema=schema, **options)


def http(**options):
    """Return the HTTP consumer, mounted by hand."""
    return GraphqlHttpConsumer.as_asgi(schema=schema, **options)


def router():
    """Return the router, with Django's users."""
    return GraphqlProtocolTypeRouter(schema)


OPTIONS = {
    "pings": {"send_ping_every": 0.1, "pong_timeout": 0.2},
    "confirmation": {"confirm_subscriptions": True},
    "depth": {"max_depth": 3},
    "introspection": {"introspection": False},
    "masking": {"mask_errors": True},
    "streams": {},
    "batching": {"max_batch_size": 5},
    "uploads": {"multipart_uploads_enabled": True},
    "graphiql": {"graphiql": True},
}

broadcast = OnEvent.broadcast


async def ask_with_the_test_kit() -> object:
    """Ask by the client for tests."""
    async with GraphqlWebsocketCommunicator(websocket(), "/graphql/") as client:
        return (await client.execute("{ hello }")).data

"""Strawberry's Channels integration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from types import SimpleNamespace

import strawberry
from channels.routing import ProtocolTypeRouter
from strawberry.channels import (
    GraphQLHTTPConsumer,
    GraphQLProtocolTypeRouter,
    GraphQLWSConsumer,
)
from strawberry.channels.testing import GraphQLWebsocketCommunicator
from strawberry.extensions import DisableIntrospection, MaskErrors, QueryDepthLimiter
from strawberry.file_uploads import Upload
from strawberry.schema.config import StrawberryConfig
from strawberry.subscriptions import GRAPHQL_SSE_PROTOCOL, MULTIPART_SUBSCRIPTION_PROTOCOL

DISTRIBUTION = "strawberry-graphql"
PACKAGE = "strawberry"
SUBPROTOCOL = "graphql-transport-ws"
state = SimpleNamespace(subscribed=False, unsubscribed=0)
EVENT = None
COUNT = "subscription { count }"


@strawberry.type
class Node:
    """As deep as anybody likes."""

    @strawberry.field
    def node(self) -> Node:
        """Return another one."""
        return Node()


@strawberry.type
class Query:
    """What the probes ask for."""

    @strawberry.field
    def hello(self) -> str:
        """Answer."""
        return "world"

    @strawberry.field
    def secret(self) -> str:
        """Fail with a text that is not for clients."""
        raise ValueError("the password is swordfish")

    @strawberry.field
    def node(self) -> Node:
        """Return the first one."""
        return Node()


@strawberry.type
class Mutation:
    """What may be changed."""

    @strawberry.mutation
    async def measure(self, file: Upload) -> int:
        """Return the size of a file."""
        return len(await asyncio.to_thread(file.read))


@strawberry.type
class Subscription:
    """What may be subscribed to."""

    @strawberry.subscription
    async def count(self) -> AsyncGenerator[int]:
        """Count to two."""
        for number in (1, 2):
            await asyncio.sleep(0)
            yield number


def _schema(extensions=(), **config):
    return strawberry.Schema(
        Query, Mutation, Subscription, extensions=extensions, config=StrawberryConfig(**config)
    )


def websocket(*, extensions=(), **options):
    """Return the consumer, mounted by hand."""
    return GraphQLWSConsumer.as_asgi(schema=_schema(extensions), **options)


def http(*, extensions=(), batching=False, **options):
    """Return the HTTP consumer, mounted by hand."""
    config = {"batching_config": {"max_operations": 5}} if batching else {}
    return GraphQLHTTPConsumer.as_asgi(schema=_schema(extensions, **config), **options)


def router() -> ProtocolTypeRouter:
    """Return the router."""
    return GraphQLProtocolTypeRouter(_schema(), url_pattern="^graphql")


OPTIONS = {
    "pings": {"keep_alive": True, "keep_alive_interval": 0.1},
    "depth": {"extensions": [QueryDepthLimiter(max_depth=3)]},
    "introspection": {"extensions": [DisableIntrospection()]},
    "masking": {"extensions": [MaskErrors()]},
    "streams": {"subscription_protocols": (GRAPHQL_SSE_PROTOCOL, MULTIPART_SUBSCRIPTION_PROTOCOL)},
    "batching": {"batching": True},
    "uploads": {"multipart_uploads_enabled": True},
    "graphiql": {"graphql_ide": "graphiql"},
}

broadcast = None


async def ask_with_the_test_kit() -> object:
    """Ask by the client for tests; it has subscriptions only."""
    async with GraphQLWebsocketCommunicator(websocket(), "/graphql/") as client:
        async for result in client.subscribe("{ hello }"):
            return result.data
    return None

"""django-channels-graphql-ws, both 0.9.1 and 1.0.0rc7."""

from __future__ import annotations

from importlib.metadata import version

import graphene

import channels_graphql_ws
from adapters import graphene_schema
from adapters.graphene_schema import OnEvent, Query, Subscriptions

DISTRIBUTION = "django-channels-graphql-ws"
PACKAGE = "channels_graphql_ws"
# 0.9.1 has the legacy one only.
SUBPROTOCOL = "graphql-ws" if version(DISTRIBUTION).startswith("0") else "graphql-transport-ws"
state = graphene_schema.state
EVENT = "subscription { onEvent { value } }"
COUNT = None

SCHEMA = graphene.Schema(query=Query, subscription=Subscriptions)


def websocket(**options):
    """Return the consumer, with options as attributes."""
    members = {"schema": SCHEMA, **options}
    return type("Consumer", (channels_graphql_ws.GraphqlWsConsumer,), members).as_asgi()


http = None
router = None

OPTIONS = {
    "pings": {"send_ping_every": 0.1, "send_keepalive_every": 0.1},
    "confirmation": {"confirm_subscriptions": True},
}

broadcast = OnEvent.broadcast


async def ask_with_the_test_kit() -> object:
    """Ask by the client for tests."""
    from channels_graphql_ws import testing

    transport = testing.GraphqlWsTransport(application=websocket(), path="graphql/")
    client = testing.GraphqlWsClient(transport)
    await client.connect_and_init()
    found = await client.execute("{ hello }")
    await client.finalize()
    return found.get("data", found)

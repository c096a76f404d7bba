"""What ours and both versions of the predecessor serve: their schemas are Graphene's."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace

import graphene

from channels_graphql_ws import Subscription

state = SimpleNamespace(subscribed=False, unsubscribed=0)


class Node(graphene.ObjectType):
    """As deep as anybody likes."""

    node = graphene.Field(lambda: Node)

    def resolve_node(self, info):
        """Return another one."""
        return Node()


class Query(graphene.ObjectType):
    """What the probes ask for."""

    hello = graphene.String()
    secret = graphene.String()
    node = graphene.Field(Node)

    def resolve_hello(self, info):
        """Answer."""
        return "world"

    def resolve_secret(self, info):
        """Fail with a text that is not for clients."""
        raise ValueError("the password is swordfish")

    def resolve_node(self, info):
        """Return the first one."""
        return Node()


class OnEvent(Subscription):
    """Shows what was broadcast, and of which type it was."""

    value = graphene.String()

    @staticmethod
    def subscribe(root, info):
        """Join no group but that of the class."""
        state.subscribed = True

    @staticmethod
    def unsubscribed(root, info, *args, **kwds):
        """Count."""
        state.unsubscribed += 1

    @staticmethod
    def publish(payload, info):
        """Say what came."""
        return OnEvent(value=described(payload))


class Subscriptions(graphene.ObjectType):
    """What may be subscribed to."""

    on_event = OnEvent.Field()


def described(value: object) -> str:
    """Return the type and the content of a payload."""
    if isinstance(value, dict):
        return f"dict {sorted((k, described(v)) for k, v in value.items())}"
    if hasattr(value, "_meta"):
        return f"{type(value).__name__} {value.model}"
    if isinstance(value, set):
        return f"set {sorted(value)}"
    return f"{type(value).__name__} {value}"


RICH = {"price": Decimal("1.50"), "tags": {1, 2}}
RICH_DESCRIBED = described(RICH)

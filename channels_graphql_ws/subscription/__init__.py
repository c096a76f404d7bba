"""Declared subscriptions; the predecessor's module of this name."""

from channels_graphql_ws.subscription.declaration import (
    QueuePolicy,
    Subscription,
    SubscriptionOptions,
)
from channels_graphql_ws.subscription.field import COMPLETE, SKIP

__all__ = ["COMPLETE", "SKIP", "QueuePolicy", "Subscription", "SubscriptionOptions"]

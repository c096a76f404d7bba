"""Names that people use of other packages, where something is different here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DISTRIBUTION: Final = "channels-graphql-ws"
OLD_DISTRIBUTION: Final = "django-channels-graphql-ws"

ATTRIBUTES: Final[Mapping[str, str]] = {
    "GraphqlWsConsumer.SKIP": "use `Subscription.SKIP`, or `from channels_graphql_ws import SKIP`",
    "subscription.Serializer": (
        "payloads are not encoded by it: `register` the type in `channels_graphql_ws.serializer`, "
        "or broadcast what a function of yours returns"
    ),
}
"""Attributes by the last two parts of the expression that reads or sets them."""

NOTED: Final[Mapping[str, str]] = {
    "context._asdict": (
        "it returns what is set on the context, as in 1.0; where the scope is meant, as in 0.x, "
        "write `info.context.channels_scope`"
    ),
}
"""Attributes, as in `ATTRIBUTES`, that are right or wrong by what the code expects."""

MODULES: Final[Mapping[str, str]] = {
    "graphene_subscriptions": (
        "graphene-subscriptions: declare a `Subscription` class for each observable; see "
        "docs/migrating/graphene-subscriptions"
    ),
    "strawberry.channels": (
        "Strawberry's integration: its classes have counterparts here; see "
        "docs/migrating/strawberry"
    ),
}
"""Packages whose place this one takes."""

NEWLY_CALLED: Final = ("on_complete", "on_disconnect", "on_error", "on_next", "on_ping", "on_pong")
"""Hooks that releases before 1.0 of the predecessor did not call."""

NOT_CALLED: Final[Mapping[str, str]] = {
    "broadcast": "override `filter_event` or `publish` of the Subscription class",
    "unsubscribe": "override `unsubscribed` of the Subscription class",
}
"""Handlers of channel-layer messages that the predecessor's consumer has, and ours has not."""

"""`Subscription`: declare hooks, mount with `Field()`, `broadcast()`, `unsubscribe()`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import graphene
from graphql import GraphQLResolveInfo

from channels_graphql_ws.concurrency.eager import is_awaitable

if TYPE_CHECKING:
    from channels_graphql_ws.subscription.declaration import Subscription

Hook: TypeAlias = Callable[..., Any]


@final
class _Skip:
    """The type of `SKIP`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "SKIP"


SKIP: Final = _Skip()
"""Return it from `publish` to keep this notification from this client."""


@final
class _Complete:
    """The type of `COMPLETE`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "COMPLETE"


COMPLETE: Final = _Complete()
"""Return it from `publish` or `initial` to end this client's subscription."""


class Delivery:
    """What becomes of the notification that is being executed.

    Attributes:
        skipped: it is not to be sent.
        completes: it is the end of the subscription. Nothing takes that back.
        is_initial: it is none at all, but what `initial` has to give.
    """

    __slots__ = ("_none_skips", "completes", "is_initial", "skipped")

    def __init__(self, *, none_skips: bool) -> None:
        """Take what the class says of `None`."""
        self._none_skips = none_skips
        self.skipped = False
        self.completes = False
        self.is_initial = False

    def take_sentinel(self, result: object) -> bool:
        """Tell if what `publish` gave is nothing to resolve, but says what is to become of it."""
        if result is SKIP or result is COMPLETE or (result is None and self._none_skips):
            self.skipped = True
            self.completes = result is COMPLETE
            return True
        return False


current_delivery: ContextVar[Delivery | None] = ContextVar("current_delivery", default=None)
"""Set while an event is executed; `publish` may say here that it is to be skipped."""


class Source:
    """What a mounted field has for its `subscribe`: it names its Subscription class.

    Args:
        subscription_class: the class.
        resolver: the one that calls its `publish`.
    """

    def __init__(self, subscription_class: type[Subscription], resolver: Hook) -> None:
        self.subscription_class = subscription_class
        self.resolver = resolver

    def __call__(self, _root: object, info: GraphQLResolveInfo, **_arguments: object) -> Any:
        """Tell graphql-core's own `subscribe` that it can not serve this field."""
        raise RuntimeError(
            f"Subscription {info.field_name!r} is fed by broadcasts: it is served by "
            "`GraphqlWsConsumer`, and not by `schema.subscribe()`"
        )


class SubscriptionField(graphene.Field):
    """What `Subscription.Field()` returns: mounts the class on the root type of a schema."""

    def __init__(self, subscription_class: type[Subscription], **options: Any) -> None:
        resolver = _publisher(subscription_class)
        super().__init__(
            subscription_class._meta.output,
            args=subscription_class._meta.arguments,
            resolver=resolver,
            **options,
        )
        self._source = Source(subscription_class, resolver)

    def wrap_subscribe(self, parent_subscribe: Hook | None) -> Hook:
        """Let a `subscribe_…` method of the root type not get in the way."""
        del parent_subscribe
        return self._source


def _publisher(subscription_class: type[Subscription]) -> Hook:
    """Make the resolver of a mounted field: it turns a payload into what to resolve."""
    meta = subscription_class._meta
    publish: Any = meta.publish
    none_skips = meta.none_skips

    def checked(result: Any) -> Any:
        delivery = current_delivery.get() or Delivery(none_skips=none_skips)
        return None if delivery.take_sentinel(result) else result

    async def awaited(result: Awaitable[Any]) -> Any:
        return checked(await result)

    def resolve(payload: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        result = publish(payload, info, **arguments)
        return awaited(result) if is_awaitable(result) else checked(result)

    def resolve_with_initial(payload: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        delivery = current_delivery.get()
        if delivery is None or not delivery.is_initial:
            return resolve(payload, info, **arguments)
        result = meta.initial(None, info, **arguments)
        return awaited(result) if is_awaitable(result) else checked(result)

    return resolve_with_initial if subscription_class._meta.initial else resolve

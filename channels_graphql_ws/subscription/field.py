"""The field of a mounted `Subscription` class, and the verdict of its resolver on an event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, final

import graphene
from graphql import GraphQLResolveInfo, OperationDefinitionNode

from channels_graphql_ws.concurrency.eager import is_awaitable
from channels_graphql_ws.concurrency.threads import runs_on_loop
from channels_graphql_ws.subscription.fitting import Fitting

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
    """What becomes of the event that is being executed.

    Attributes:
        operation: the operation that the client has subscribed with.
        skipped: the event is not to be sent.
        completes: the event ends the subscription. Nothing takes that back.
        fitting: what `publish` of the class has returned; `None` for a generator.
        hook: the name of the hook that returns what to resolve: "publish", or another one
            for an event that is not a broadcast.
    """

    __slots__ = ("_none_skips", "completes", "fitting", "hook", "operation", "skipped")

    def __init__(
        self,
        operation: OperationDefinitionNode,
        *,
        none_skips: bool,
        fitting: Fitting | None = None,
    ) -> None:
        """Take the operation, what `None` means to the class, and what it has returned."""
        self.operation = operation
        self._none_skips = none_skips
        self.fitting = fitting
        self.skipped = False
        self.completes = False
        self.hook = "publish"

    def look_at(self, result: object) -> None:
        """Look at what `publish` has returned, if there was nothing of its type before."""
        fitting = self.fitting
        if fitting is not None and type(result) not in fitting.known:
            fitting.look_at(result)

    def take_sentinel(self, result: object) -> bool:
        """Record SKIP, COMPLETE or a skipping None; return whether it was one."""
        if result is SKIP or result is COMPLETE or (result is None and self._none_skips):
            fitting = self.fitting
            if result is None and fitting is not None and NoneType not in fitting.known:
                fitting.look_at_none()
            self.skipped = True
            self.completes = result is COMPLETE
            return True
        return False


current_delivery: ContextVar[Delivery | None] = ContextVar("current_delivery", default=None)
"""Set while an event is executed: by it, `publish` says that the event is to be skipped."""


class Source:
    """The `subscribe` of a mounted field: it names its Subscription class.

    Args:
        subscription_class: the class.
        resolver: calls `publish` of the class.
    """

    def __init__(self, subscription_class: type[Subscription], resolver: Hook) -> None:
        self.subscription_class = subscription_class
        self.resolver = resolver

    def __call__(self, _root: object, info: GraphQLResolveInfo, **_arguments: object) -> Any:
        """Refuse graphql-core's own `subscribe`, which cannot serve this field."""
        raise _not_served(info, "`schema.subscribe()`")


def _not_served(info: GraphQLResolveInfo, by: str) -> RuntimeError:
    return RuntimeError(
        f"Subscription {info.field_name!r} is fed by broadcasts: it is served by consumers and "
        f"views of channels_graphql_ws, such as `GraphqlWsConsumer`, and not by {by}"
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
        self.subscription_class = subscription_class
        self._source = Source(subscription_class, resolver)

    def wrap_subscribe(self, parent_subscribe: Hook | None) -> Hook:
        """Return the source, whatever `subscribe_…` method the root type has."""
        del parent_subscribe
        return self._source


def _publisher(subscription_class: type[Subscription]) -> Hook:
    """Return the resolver of a mounted field: it turns a payload into what to resolve."""
    meta = subscription_class._meta
    publish: Any = meta.publish
    initial: Any = meta.initial
    on_gap: Any = meta.on_gap

    def resolve(payload: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        delivery = current_delivery.get()
        # `subscribe`, which may refuse, was called for nothing but the operation under way.
        if delivery is None or delivery.operation is not info.operation:
            raise _not_served(info, "`schema.execute()` or another view")
        if delivery.hook == "publish":
            result = publish(payload, info, **arguments)
        elif delivery.hook == "initial":
            result = initial(None, info, **arguments)
        else:
            result = on_gap(payload, info, **arguments)
        return _awaited(delivery, result) if is_awaitable(result) else _kept(delivery, result)

    resolver: Any = resolve
    # Its hook decides where it is called, see `EventExecution`.
    resolver.is_async = runs_on_loop(publish)
    return resolver  # type: ignore[no-any-return]


def _kept(delivery: Delivery, result: Any) -> Any:
    if delivery.take_sentinel(result):
        return None
    delivery.look_at(result)
    return result


async def _awaited(delivery: Delivery, result: Awaitable[Any]) -> Any:
    return _kept(delivery, await result)

"""Run synchronous resolvers in threads, where Django's ORM may be used and code may block."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from django.db.models import QuerySet
from graphene.types.resolver import attr_resolver, dict_or_attr_resolver, dict_resolver
from graphql import (
    GraphQLResolveInfo,
    MiddlewareManager,
    OperationType,
    TypeNameMetaFieldDef,
    is_list_type,
    is_non_null_type,
)
from graphql.pyutils import is_iterable

from channels_graphql_ws.concurrency.eager import is_awaitable
from channels_graphql_ws.concurrency.placement import Placement, on_event_loop
from channels_graphql_ws.concurrency.threads import EVENTS, runs_on_loop
from channels_graphql_ws.execution.batches import BatchedCall, in_batch, is_at_hand, taken

_READERS: Final = (attr_resolver, dict_resolver, dict_or_attr_resolver)

_SUBSCRIPTION: Final = OperationType.SUBSCRIPTION


class Hops(MiddlewareManager):
    """Sends synchronous resolvers and middleware to threads when they meet the event loop.

    An execution that starts in a thread stays there, until something has to be awaited. What
    follows is continued on the event loop, from where each resolver has to be sent back.

    Args:
        own: the user's middleware.
        learns: resolvers of events may move to the event loop, see `Placement`.

    Attributes:
        reads_directly: nothing is around resolvers that only read an attribute or an item.
    """

    is_stable = True
    """The same resolver always gets the same wrapper."""

    def __init__(self, own: MiddlewareManager | None, *, learns: bool = False) -> None:
        super().__init__()
        self.reads_directly = own is None
        self._own = own
        self._learns = learns
        self._hops: dict[Callable[..., Any], Hop | None] = {}

    def get_field_resolver(self, field_resolver: Callable[..., Any]) -> Callable[..., Any]:
        """Return what calls the resolver, and the middleware around it, where each belongs."""
        return self._hop(field_resolver) or field_resolver

    def get_compiled_resolver(self, field_resolver: Callable[..., Any]) -> Callable[..., Any]:
        """Do the same for an execution that can complete lazy values by itself."""
        hop = self._hop(field_resolver)
        return field_resolver if hop is None else hop.resolve if hop.is_async else hop.call

    def blocks(self, field_resolver: Callable[..., Any]) -> bool:
        """Return whether the resolver, or middleware around it, is code that may block."""
        hop = self._hop(field_resolver)
        if hop is None:
            return not getattr(field_resolver, "is_async", True)
        return not (hop.is_async or hop.reads)

    def _hop(self, resolver: Callable[..., Any]) -> Hop | None:
        """Return what to call for a resolver, `None` for one that needs nothing around it."""
        if resolver not in self._hops:
            self._hops[resolver] = self._made(resolver)
        return self._hops[resolver]

    def _made(self, resolver: Callable[..., Any]) -> Hop | None:
        hop = None
        # A Subscription class decides itself where its `publish` runs.
        if resolver is not TypeNameMetaFieldDef.resolve and not hasattr(resolver, "is_async"):
            hop = Hop(resolver, learns=self._learns)
        for around in self._steps():
            hop = Hop(around(hop or resolver), learns=self._learns)
        return hop

    def _steps(self) -> list[Callable[[Any], Any]]:
        own = self._own
        if own is None:
            return []
        if type(own).get_field_resolver is not MiddlewareManager.get_field_resolver:
            return [own.get_field_resolver]
        # Each by itself: a synchronous one may be inside of one that is not.
        return [MiddlewareManager(each).get_field_resolver for each in own.middlewares]


class Hop:
    """Calls a resolver: at once in a thread, and from the event loop by way of a thread.

    Args:
        resolve: the resolver.
        learns: in events it may move to the event loop.

    Attributes:
        is_async: it only makes a coroutine.
        reads: it only reads an attribute or an item.
    """

    __slots__ = ("_placement", "is_async", "reads", "resolve")

    def __init__(self, resolve: Callable[..., Any], *, learns: bool = False) -> None:
        self.resolve = resolve
        self.is_async = runs_on_loop(resolve)
        self.reads = isinstance(resolve, partial) and resolve.func in _READERS
        self._placement = Placement(f"Resolver {_name(resolve)!r}") if learns else None

    def __call__(self, root: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        """Resolve for graphql-core, which cannot complete lazy values on the event loop."""
        if self.is_async:
            return self._resolved(root, info, arguments)
        value = self.call(root, info, **arguments)
        return iterated(value, info) if is_awaitable(value) else value

    def call(self, root: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
        """Resolve; return what can be awaited on the event loop if that takes a thread."""
        if not on_event_loop() or (self.reads and _is_there(self.resolve, root)):
            return self.resolve(root, info, **arguments)
        placement = self._placement
        if placement is None or info.operation.operation is not _SUBSCRIPTION:
            call = partial(_evaluated, info, self.resolve, root, info, **arguments)
            return BatchedCall(call, info.variable_values, self)
        call = partial(self.resolve, root, info, **arguments)
        if placement.on_loop:
            result, is_done = placement.tried(call)
            if is_done:
                return result
        call = partial(_evaluated, info, placement.watched, call)
        return BatchedCall(call, info.variable_values, self, EVENTS)

    async def _resolved(self, root: Any, info: GraphQLResolveInfo, arguments: Any) -> Any:
        return await iterated(self.resolve(root, info, **arguments), info)


async def iterated(awaitable: Any, info: GraphQLResolveInfo) -> Any:
    """Return the value as a list where one is wanted, and iterate where that may be done.

    A QuerySet has an asynchronous form for the event loop; a generator may use the ORM.
    """
    value = await awaitable
    if type(value) is list or not _is_list(info.return_type):
        return value
    if is_at_hand(value) or not is_iterable(value):
        return value
    if isinstance(value, QuerySet):
        return [item async for item in value]
    return await in_batch(partial(taken, value), info.variable_values, value)


def evaluated(value: Any, info: GraphQLResolveInfo) -> Any:
    """Return what a list field is completed from; to be called in a thread.

    A QuerySet or a generator does its work when somebody iterates over it.
    """
    if is_at_hand(value) or is_awaitable(value) or not _is_list(info.return_type):
        return value
    return taken(value) if is_iterable(value) else value


def _evaluated(
    info: GraphQLResolveInfo, resolve: Callable[..., Any], /, *args: Any, **arguments: Any
) -> Any:
    return evaluated(resolve(*args, **arguments), info)


def _is_list(type_: Any) -> bool:
    return is_list_type(type_.of_type if is_non_null_type(type_) else type_)


def _name(resolve: Any) -> str:
    function = resolve.func if isinstance(resolve, partial) else resolve
    return str(getattr(function, "__qualname__", function))


def _is_there(resolve: Any, root: Any) -> bool:
    """Return whether one of Graphene's resolvers finds the value without running any code."""
    return isinstance(root, dict) or resolve.args[0] in getattr(root, "__dict__", ())

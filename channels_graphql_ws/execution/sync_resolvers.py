"""Run synchronous resolvers in threads, where Django's ORM may be used."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from inspect import iscoroutinefunction
from typing import Any

from graphene.types.resolver import attr_resolver, dict_or_attr_resolver, dict_resolver
from graphql import GraphQLResolveInfo, MiddlewareManager

from channels_graphql_ws.concurrency.eager import is_awaitable
from channels_graphql_ws.concurrency.threads import in_thread

_READERS = (attr_resolver, dict_resolver, dict_or_attr_resolver)


def hop(resolve: Callable[..., Any], root: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
    """Middleware: leave the event loop for a resolver that is called on it.

    An execution starts in a thread, where this calls straight through. What follows an
    asynchronous resolver is continued on the event loop, and has to be sent back.
    """
    if not _on_event_loop() or iscoroutinefunction(resolve) or _only_reads(resolve, root):
        return resolve(root, info, **arguments)
    return _hopped(partial(resolve, root, info, **arguments))


async def _hopped(call: Callable[[], Any]) -> Any:
    result = await in_thread(call)
    # An `async def` behind a middleware has only been called there: it runs here.
    return await result if is_awaitable(result) else result


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _only_reads(resolve: Callable[..., Any], root: Any) -> bool:
    """Tell if one of Graphene's resolvers will find the value without running any code."""
    if not isinstance(resolve, partial) or resolve.func not in _READERS:
        return False
    return isinstance(root, dict) or resolve.args[0] in getattr(root, "__dict__", ())


class Hops(MiddlewareManager):
    """Puts a hop around each resolver, and one around all of the user's middleware."""

    is_stable = True
    """It always gives the same for a resolver."""

    def __init__(self, own: MiddlewareManager | None) -> None:
        super().__init__()
        self._own = own
        self._hopping: dict[Callable[..., Any], Callable[..., Any]] = {}

    def get_field_resolver(self, field_resolver: Callable[..., Any]) -> Callable[..., Any]:
        """Give what calls the resolver where it belongs, always the same."""
        hopping = self._hopping.get(field_resolver)
        if hopping is None:
            hopping = partial(hop, field_resolver)
            if self._own is not None:
                hopping = partial(hop, self._own.get_field_resolver(hopping))
            self._hopping[field_resolver] = hopping
        return hopping

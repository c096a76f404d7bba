"""Run synchronous resolvers in threads, where Django's ORM may be used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from channels.db import database_sync_to_async
from graphene.types.resolver import attr_resolver, dict_or_attr_resolver, dict_resolver
from graphql import GraphQLResolveInfo, MiddlewareManager, default_field_resolver

from ..steps import is_awaitable

_READERS = (attr_resolver, dict_resolver, dict_or_attr_resolver, default_field_resolver)


def in_thread(call: Callable[[], Any]) -> Awaitable[Any]:
    """Call in a thread, with database connections closed that have had their time.

    The threads are not asgiref's single "thread-sensitive" one: a slow call of one
    client must not keep another's waiting.
    """
    in_a_thread: Awaitable[Any] = database_sync_to_async(call, thread_sensitive=False)()
    return in_a_thread


def hop(resolve: Callable[..., Any], root: Any, info: GraphQLResolveInfo, **arguments: Any) -> Any:
    """Middleware: leave the event loop for a resolver that is called on it.

    An execution starts in a thread, where this calls straight through. What follows an
    asynchronous resolver is continued on the event loop, and has to be sent back.
    """
    if not _on_event_loop() or _only_reads(resolve, root, info):
        return resolve(root, info, **arguments)
    return _hopped(partial(resolve, root, info, **arguments))


async def _hopped(call: Callable[[], Any]) -> Any:
    result = await in_thread(call)
    # An `async def` resolver has only been called there: it runs here.
    return await result if is_awaitable(result) else result


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _only_reads(resolve: Callable[..., Any], root: Any, info: GraphQLResolveInfo) -> bool:
    """Tell if a default resolver will find the value without running any code."""
    if not isinstance(resolve, partial) or resolve.func not in _READERS:
        return False
    name = resolve.args[0] if resolve.args else info.field_name
    return isinstance(root, dict) or name in getattr(root, "__dict__", ())


def with_hops(middleware: MiddlewareManager | None) -> MiddlewareManager:
    """Put a hop around the resolver and one around all of the user's middleware."""
    own = middleware.middlewares if middleware else ()
    return MiddlewareManager(hop, *own, hop)

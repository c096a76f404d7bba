"""Run synchronous resolvers in threads, where Django's ORM may be used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context, ContextVar
from functools import partial
from inspect import iscoroutine, iscoroutinefunction
from typing import Any

from channels.db import database_sync_to_async
from graphene.types.resolver import attr_resolver, dict_or_attr_resolver, dict_resolver
from graphql import GraphQLResolveInfo, MiddlewareManager

from ..steps import is_awaitable
from ..workers import Workers

THREADS = 32
"""Threads for synchronous resolvers and hooks, for the whole process. A database that can
not take as many connections wants fewer."""

_resolvers = Workers("resolvers", THREADS)

sync_in_callers_thread: ContextVar[bool] = ContextVar("sync_in_callers_thread", default=False)
"""Use the thread that asgiref has for synchronous code, and not those. Tests do so that wait
for us in a thread with a transaction: from no other thread it could be seen."""


def context_of_nobody() -> Context:
    """Give a context without any variable of a client: with no more than where threads are."""
    context = Context()
    context.run(sync_in_callers_thread.set, sync_in_callers_thread.get())
    return context


_READERS = (attr_resolver, dict_resolver, dict_or_attr_resolver)


async def in_thread(call: Callable[[], Any]) -> Any:
    """Call in a thread, with database connections closed that have had their time.

    The threads are not asgiref's single "thread-sensitive" one, where a slow call of one
    client would keep all others waiting; they are our own, and `THREADS` at most.
    """
    errand = _Errand(call)
    try:
        return await _in_a_thread(errand)
    except asyncio.CancelledError:
        errand.abandon()
        raise


class _Errand:
    """A call in a thread. A coroutine that it gives when nobody waits is closed."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._result: Any = None
        self._is_abandoned = False

    def run(self) -> Any:
        """Call, in a thread."""
        self._result = self._call()
        # Looked at after the result is in its place, as `abandon` does it the other way
        # round: one of the two sees both.
        if self._is_abandoned:
            self._drop()
        return self._result

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._is_abandoned = True
        self._drop()

    def _drop(self) -> None:
        if iscoroutine(self._result):
            self._result.close()


def _in_a_thread(errand: _Errand) -> Awaitable[Any]:
    run: Any
    if sync_in_callers_thread.get():
        run = database_sync_to_async(errand.run)
    else:
        pool = _resolvers.pool
        run = database_sync_to_async(errand.run, thread_sensitive=False, executor=pool)
    running: Awaitable[Any] = run()
    return running


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

"""What to do about code that used Django's ORM on the event loop."""

from __future__ import annotations

import traceback
from inspect import CO_ASYNC_GENERATOR, CO_COROUTINE
from typing import Final

from django.core.exceptions import SynchronousOnlyOperation

from channels_graphql_ws.concurrency.placement import causes

_SWITCH: Final = (
    "Set `resolve_sync_in_threads = True` on the consumer, or write this code `async def`."
)

_IN_COROUTINE: Final = (
    "`{name}` is `async def`, where Django refuses its synchronous ORM: use the asynchronous "
    "methods, `select_related()` for a foreign key, or `sync_to_async`. Or write it `def`: with "
    "`resolve_sync_in_threads = True` on the consumer, that runs in a thread."
)

_NOT_THE_USERS: Final = frozenset(
    {"asgiref", "asyncio", "channels", "channels_graphql_ws", "django", "graphene", "graphql"}
)
"""Packages whose coroutines nobody here writes anew."""


def hint_for(error: BaseException | None) -> str:
    """Return what to do if an error says that the ORM was used on the event loop.

    Returns:
        A sentence with a space before it; empty if the error says something else.
    """
    for each in causes(error):
        if isinstance(each, SynchronousOnlyOperation):
            name = _coroutine(each)
            return f" {_SWITCH if name is None else _IN_COROUTINE.format(name=name)}"
    return ""


def _coroutine(error: BaseException) -> str | None:
    """Return the name of the user's innermost coroutine that an error went through, if any."""
    found = None
    for frame, _ in traceback.walk_tb(error.__traceback__):
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        is_coroutine = frame.f_code.co_flags & (CO_COROUTINE | CO_ASYNC_GENERATOR)
        if is_coroutine and package not in _NOT_THE_USERS:
            found = frame.f_code.co_name
    return found

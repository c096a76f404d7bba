"""Call hooks of consumers and views where their code belongs."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from channels_graphql_ws.concurrency.eager import is_awaitable
from channels_graphql_ws.concurrency.threads import in_thread, runs_on_loop
from channels_graphql_ws.operations.overrides import overridden


def call_hook(endpoint: Any, name: str, /, *arguments: Any, **options: Any) -> Any:
    """Call a hook: a synchronous one of the user's in a thread, unless the endpoint says no.

    Returns:
        What the hook returned, or an awaitable for it.
    """
    hook = getattr(endpoint, name)
    if (
        endpoint.resolve_sync_in_threads is False
        or not overridden(endpoint, name)
        or runs_on_loop(hook)
    ):
        return hook(*arguments, **options)
    return _called(partial(hook, *arguments, **options))


async def _called(call: Callable[[], Any]) -> Any:
    result = await in_thread(call)
    # What is awaitable belongs on the event loop.
    return await result if is_awaitable(result) else result

"""Call hooks of consumers and views where their code belongs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency.eager import is_awaitable
from channels_graphql_ws.concurrency.threads import in_thread, runs_on_loop
from channels_graphql_ws.operations.overrides import overridden

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")


def name_of(endpoint: object, name: str) -> str:
    """Return what to call a hook in the log."""
    return f"`{name}` of {type(endpoint).__qualname__}"


def call_hook(endpoint: Any, name: str, /, *arguments: Any, **options: Any) -> Any:
    """Call a hook: a synchronous one of the user's in a thread, unless the endpoint says no.

    One that takes longer than `warn_operation_timeout` is named in the log.

    Returns:
        What the hook returned, or an awaitable for it.
    """
    answer = _call(endpoint, name, arguments, options)
    if not is_awaitable(answer):
        return answer
    return _watched(answer, endpoint, name)


def call_hook_in_time(endpoint: Any, name: str, /, *arguments: Any) -> Any:
    """Call a hook as `call_hook` does, and give it up after `event_timeout`.

    Returns:
        What the hook returned, or an awaitable for it, which may raise a `TimeoutError`.
    """
    answer = call_hook(endpoint, name, *arguments)
    return _in_time(answer, endpoint.event_timeout) if is_awaitable(answer) else answer


async def _in_time(answer: Awaitable[Any], seconds: float | None) -> Any:
    async with asyncio.timeout(seconds):
        return await answer


async def _watched(answer: Awaitable[Any], endpoint: Any, name: str) -> Any:
    seconds: float | None = endpoint.warn_operation_timeout
    if seconds is None:
        return await answer
    timer = asyncio.get_running_loop().call_later(seconds, _warn, endpoint, name, seconds)
    try:
        return await answer
    finally:
        timer.cancel()


def _warn(endpoint: Any, name: str, seconds: float) -> None:
    text = "%s has not returned for %g seconds: its client is waiting"
    log.warning(text, name_of(endpoint, name), seconds)


def _call(endpoint: Any, name: str, arguments: Any, options: Any) -> Any:
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

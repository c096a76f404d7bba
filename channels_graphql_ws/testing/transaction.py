"""Coroutines of a Django `TestCase`: the application sees what the test has in its transaction."""

from __future__ import annotations

from typing import Any

from asgiref.sync import AsyncToSync, sync_to_async

from channels_graphql_ws.concurrency.database import keep_transactions
from channels_graphql_ws.concurrency.threads import sync_in_callers_thread

_asgiref: Any = AsyncToSync


def in_transaction_of_test(application: Any) -> Any:
    """Return an ASGI application whose synchronous code is in the transaction of the test.

    A coroutine of a `TestCase` is run by `async_to_sync`, which lends the thread of the test to
    `sync_to_async` meanwhile. Another thread would have a database connection of its own, which
    does not see what the test has written. Other tests get the application as it is.
    """
    if getattr(_asgiref.executors, "current", None) is None:
        return application

    async def run(scope: Any, receive: Any, send: Any) -> None:
        if await sync_to_async(_keep_connections)():
            sync_in_callers_thread.set(True)
        await application(scope, receive, send)

    return run


def _keep_connections() -> bool:
    """Let nobody close the connections of a `TestCase`; return whether one runs in this thread."""
    return any(map(_is_of_test_case, keep_transactions()))


def _is_of_test_case(connection: Any) -> bool:
    return any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)

"""Coroutines of a Django `TestCase`: the application sees what the test has in its transaction."""

from __future__ import annotations

from functools import partial
from typing import Any

from asgiref.sync import AsyncToSync, sync_to_async
from django.db import connections

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
    kept = [each for each in connections.all(initialized_only=True) if _is_of_test_case(each)]
    for connection in kept:
        vars(connection)["close_if_unusable_or_obsolete"] = partial(_close, connection)
    return bool(kept)


def _is_of_test_case(connection: Any) -> bool:
    return any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


def _close(connection: Any) -> None:
    """Do as Django does, unless the connection has the transaction of a test."""
    if not _is_of_test_case(connection):
        type(connection).close_if_unusable_or_obsolete(connection)

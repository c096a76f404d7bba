"""Close expired database connections (CONN_MAX_AGE), and none with a transaction under way."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from asgiref.sync import SyncToAsync
from django.core import mail
from django.db import connections

View = TypeVar("View", bound=Callable[..., Any])


def close_old_connections() -> None:
    """Close the connections of this thread that have expired or are broken.

    Django's own function, which Channels calls before and after each call in a thread, takes a
    transaction under way for an autocommit that was not restored, and closes that connection,
    too. In a thread of somebody else's, such as that of a request with ATOMIC_REQUESTS or of a
    test case, this would lose what was written.
    """
    for connection in connections.all(initialized_only=True):
        if _may_be_closed(connection):
            connection.close_if_unusable_or_obsolete()


def _may_be_closed(connection: Any) -> bool:
    """Return whether a connection has no transaction, and can be closed at all.

    SQLite keeps a database in memory. To look at it would be refused in a test without leave to
    use the database, which only happens to have a thread of a test before it.
    """
    if connection.in_atomic_block:
        return False
    return not (connection.vendor == "sqlite" and connection.is_in_memory_db())


class _EachAlias(set[str]):
    """Aliases of databases, all of them, whichever the settings name."""

    def __contains__(self, alias: object) -> bool:
        return True


def without_atomic_requests(view: View) -> View:
    """Mark an asynchronous view: Django refuses such views where ATOMIC_REQUESTS is on."""
    vars(view)["_non_atomic_requests"] = _EachAlias()
    return view


def keep_transactions() -> list[Any]:
    """Let nobody close connections of this thread while they have a transaction under way.

    Whatever is called by Channels' `database_sync_to_async` would do it.

    Returns:
        The connections that have one now.
    """
    kept = [each for each in connections.all(initialized_only=True) if each.in_atomic_block]
    for connection in kept:
        vars(connection)["close_if_unusable_or_obsolete"] = partial(_close, connection)
    return kept


def _close(connection: Any) -> None:
    """Do as Django does, unless there is a transaction."""
    if not connection.in_atomic_block:
        type(connection).close_if_unusable_or_obsolete(connection)


def _close_all() -> None:
    """Close the connections of this thread, whatever CONN_MAX_AGE says."""
    for connection in connections.all(initialized_only=True):
        if _may_be_closed(connection):
            connection.close()


class DatabaseCall(SyncToAsync[Any, Any]):
    """Calls a function in a thread, between two looks for connections to close."""

    def thread_handler(self, loop: Any, *args: Any, **kwargs: Any) -> Any:
        """Call it (asgiref)."""
        close_old_connections()
        try:
            handle: Any = super().thread_handler
            return handle(loop, *args, **kwargs)
        finally:
            # A test runner cannot destroy a database that threads keep connections to.
            is_own_thread = not self._thread_sensitive
            (_close_all if is_own_thread and hasattr(mail, "outbox") else close_old_connections)()


class AsyncConnections:
    """Closes expired database connections in the thread where coroutines use them.

    Django's asynchronous ORM works in asgiref's one thread-sensitive thread. Channels visits
    that thread before every message and waits for it; this visits it once per `interval` and
    does not wait: what a coroutine asks of that thread afterwards comes behind the visit.
    """

    interval = 1.0
    """Seconds between two visits: the longest that a broken connection may stay in use."""

    def __init__(self) -> None:
        self._visited_at = float("-inf")

    def close_expired(self) -> None:
        """Visit the thread if it is time; called before user code runs."""
        now = time.monotonic()
        if now - self._visited_at >= self.interval:
            self._visited_at = now
            SyncToAsync.single_thread_executor.submit(close_old_connections)

    def visit_soon(self) -> None:
        """Visit the thread before user code runs again: a connection may be broken."""
        self._visited_at = float("-inf")


async_connections = AsyncConnections()
"""For the connections which this process has in that thread."""

"""Close expired database connections that coroutines use (CONN_MAX_AGE)."""

from __future__ import annotations

import time

from asgiref.sync import SyncToAsync
from django.db import close_old_connections


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

"""Database connections of asynchronous code: closed when they have had their time."""

from __future__ import annotations

import time

from asgiref.sync import SyncToAsync
from django.db import close_old_connections


class AsyncConnections:
    """Closes database connections that have had their time, where coroutines use them.

    Django's asynchronous ORM works in asgiref's one "thread-sensitive" thread. Channels
    visits it before every message and waits for that; we do it once in a while, and what
    a coroutine asks of that thread afterwards comes behind it by itself.
    """

    interval = 1.0
    """Seconds between two visits: so long a broken connection may stay in use."""

    def __init__(self) -> None:
        self._visited_at = float("-inf")

    def close_expired(self) -> None:
        """Call this before user code runs; it does not wait."""
        now = time.monotonic()
        if now - self._visited_at >= self.interval:
            self._visited_at = now
            SyncToAsync.single_thread_executor.submit(close_old_connections)


async_connections = AsyncConnections()
"""That of the connections which this process has in that thread."""

"""Detect a server that is silent even when it is pinged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class KeepAlive:
    """Pings a server that has been silent, and reports it dead if it stays so.

    Every message of the server counts as a sign of life. There is one timer for a connection,
    whatever arrives on it.

    Args:
        interval: seconds of silence before a ping.
        timeout: seconds of silence after it before the server is dead.
        received: counts what the server has sent so far.
        ping: sends a ping.
        dead: called once, with the seconds of silence.
    """

    def __init__(
        self,
        interval: float,
        timeout: float,
        *,
        received: Callable[[], int],
        ping: Callable[[], None],
        dead: Callable[[float], None],
    ) -> None:
        self._interval = interval
        self._timeout = timeout
        self._ping = ping
        self._dead = dead
        self._received = received
        self._seen = received()
        self._is_waiting = False
        self._timer = asyncio.get_running_loop().call_later(interval, self._look)

    def stop(self) -> None:
        """Stop watching."""
        self._timer.cancel()

    def _look(self) -> None:
        seen, self._seen = self._seen, self._received()
        is_silent = seen == self._seen
        if is_silent and self._is_waiting:
            self._dead(self._interval + self._timeout)
            return
        self._is_waiting = is_silent
        if is_silent:
            self._ping()
        delay = self._timeout if is_silent else self._interval
        self._timer = asyncio.get_running_loop().call_later(delay, self._look)

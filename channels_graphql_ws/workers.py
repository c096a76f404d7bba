"""Threads of our own: made when they are needed, and made anew after a fork."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor


class Workers:
    """A pool of threads for one purpose, so that it can not use up those of another.

    Args:
        purpose: for the names of the threads.
        count: how many there may be.
    """

    def __init__(self, purpose: str, count: int) -> None:
        self._purpose = purpose
        self._count = count
        self._made: tuple[int, ThreadPoolExecutor] | None = None

    @property
    def pool(self) -> ThreadPoolExecutor:
        """The pool of this process: threads do not survive a fork."""
        process = os.getpid()
        if self._made is None or self._made[0] != process:
            name = f"channels-graphql-ws-{self._purpose}"
            self._made = process, ThreadPoolExecutor(self._count, thread_name_prefix=name)
        return self._made[1]

"""Let those go on that wait for room, one after the other."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import deque
from contextlib import suppress


class Turnstile:
    """Lets those that wait go on while there is room, in their order.

    Belongs to one event loop.
    """

    __slots__ = ("_coming",)

    def __init__(self) -> None:
        # Most never have anybody wait.
        self._coming: deque[asyncio.Future[None]] | None = None

    @property
    @abstractmethod
    def is_full(self) -> bool:
        """Whether nobody should go on."""

    async def has_room(self) -> None:
        """Wait until one more may go on."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._coming is None:
            self._coming = deque()
        self._coming.append(future)
        try:
            await future
        finally:
            # Who gives up must leave nothing behind.
            with suppress(ValueError):
                self._coming.remove(future)

    def let_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the next ones go on, if there is room.

        One in an iteration: how much room it takes is seen when it has begun.
        """
        while self._coming and not self.is_full:
            future = self._coming.popleft()
            if not future.done():
                future.set_result(None)
                loop.call_soon(loop.call_soon, self.let_in, loop)
                return

"""Let those go on that wait for room, one after the other."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import OrderedDict


class Turnstile:
    """Lets those that wait go on while there is room, in their order.

    Belongs to one event loop.
    """

    __slots__ = ("_coming",)

    def __init__(self) -> None:
        # Most never have anybody wait. A dictionary: thousands may give up in one iteration.
        self._coming: OrderedDict[asyncio.Future[None], None] | None = None

    @property
    @abstractmethod
    def is_full(self) -> bool:
        """Whether nobody should go on."""

    async def has_room(self) -> None:
        """Wait until one more may go on."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._coming is None:
            self._coming = OrderedDict()
        self._coming[future] = None
        try:
            await future
        finally:
            # Who gives up must leave nothing behind.
            self._coming.pop(future, None)

    def let_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the next ones go on, if there is room.

        One in an iteration: how much room it takes is seen when it has begun.
        """
        if not self.is_full and self._let_one_in():
            loop.call_soon(loop.call_soon, self.let_in, loop)

    def _let_one_in(self) -> bool:
        """Let the next one go on; return whether there is one."""
        while self._coming:
            future, _ = self._coming.popitem(last=False)
            if not future.done():
                future.set_result(None)
                return True
        return False

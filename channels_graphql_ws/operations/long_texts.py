"""Decode long JSON texts one after the other, with pauses between those of one owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Hashable
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakKeyDictionary, WeakValueDictionary

from channels_graphql_ws.execution.breathing import WINDOW, breathe

PAUSE_FACTOR: Final = 2
"""How many times as long as decoding took the pause after it is: of each second others have two
thirds."""

LONGEST_PAUSE: Final = 0.25
"""Seconds of a pause, however long decoding took."""


class _Owned(asyncio.Lock):
    """Long texts of one owner: who has the lock decodes the next one."""

    def __init__(self) -> None:
        super().__init__()
        self._pause = asyncio.Event()
        self._pause.set()

    async def wait(self) -> None:
        """Wait until the pause is over."""
        await self._pause.wait()

    def pause(self, seconds: float) -> None:
        """Begin a pause, which keeps this alive."""
        self._pause.clear()
        asyncio.get_running_loop().call_later(seconds, self.go_on)

    def go_on(self) -> None:
        """End the pause."""
        self._pause.set()


@asynccontextmanager
async def decoding_in_turn(owner: Hashable) -> AsyncGenerator[None]:
    """Wait until a long text may be decoded, which is done in the block, without awaiting.

    No two are decoded in one iteration of the event loop. Those of one owner wait for a pause in
    between, by how long the one before has taken, so that whatever an owner sends, and over how
    many connections, others are served most of the time. Nothing is refused here: the caller
    bounds what waits.

    Args:
        owner: the user, or else the address; `None`: not known.
    """
    loop = asyncio.get_running_loop()
    # A lock that nobody else has, where it is not known who would wait for it.
    owned = _Owned() if owner is None else _owned_of(loop).setdefault(owner, _Owned())
    async with owned:
        await owned.wait()
        await breathe()
        began = loop.time()
        try:
            yield
        finally:
            if pause := pause_after(loop.time() - began):
                owned.pause(pause)


def pause_after(seconds: float) -> float:
    """Return for how many seconds an owner pauses whose text has taken so many."""
    # Others are kept waiting for as long whatever is executed.
    return min(PAUSE_FACTOR * seconds, LONGEST_PAUSE) if seconds > WINDOW else 0.0


def _owned_of(loop: asyncio.AbstractEventLoop) -> WeakValueDictionary[Hashable, _Owned]:
    return _owned.setdefault(loop, WeakValueDictionary())


_owned: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[Hashable, _Owned]] = (
    WeakKeyDictionary()
)

"""Ask an ASGI server for the next event, but not while it is told to close."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final, TypeAlias

Receive: TypeAlias = Callable[[], Awaitable[Mapping[str, Any]]]

PAUSE_LIMIT = 5.0
"""Seconds without asking; a server may need it to get to the end of the closing."""


END_LIMIT: Final = 30.0
"""Seconds after a close of ours in which a server says that the socket is closed. Hypercorn does
not, where it has refused a handshake itself."""

_GONE: Final = {"type": "websocket.disconnect", "code": 1006}


class Receiver:
    """Asks for events, on behalf of the task that has made it.

    Granian sends no close while it is asked for the next frame, as it always is. A timer
    or a hook that wants to close would have to wait until the client says something.

    Args:
        receive: the server's.
    """

    __slots__ = ("_deadline", "_pause", "_receive", "_task", "_waits")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._task: asyncio.Task[Any] | None = asyncio.current_task()
        self._waits = False
        self._pause: asyncio.Event | None = None
        self._deadline: float | None = None

    async def __call__(self) -> Any:
        """Wait for the next event."""
        assert self._task is not None, "ASGI servers call applications in tasks"
        while True:
            if self._pause is not None:
                await self._pause_is_over(self._pause)
            self._waits = True
            try:
                if self._deadline is None:
                    return await self._receive()
                return await self._last(self._deadline)
            except asyncio.CancelledError:
                # It was not us, or not only.
                if self._waits or self._task.cancelling() > 1:
                    raise
            finally:
                if not self._waits:
                    self._task.uncancel()
                self._waits = False

    def expect_end(self) -> None:
        """Wait no longer than some time for what still comes: the socket is about to be closed.

        To be called in a pause.
        """
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().time() + END_LIMIT

    async def _last(self, deadline: float) -> Any:
        try:
            async with asyncio.timeout_at(deadline):
                return await self._receive()
        except TimeoutError:
            return dict(_GONE)

    @contextmanager
    def paused(self) -> Generator[None]:
        """Do not ask as long as the block takes; what was asked is called off."""
        pause = self._pause = asyncio.Event()
        if self._waits and self._task is not None:
            self._waits = False
            self._task.cancel()
        try:
            yield
        finally:
            pause.set()

    @staticmethod
    async def _pause_is_over(pause: asyncio.Event) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSE_LIMIT):
                await pause.wait()

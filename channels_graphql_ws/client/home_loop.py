"""The event loop that an open client belongs to."""

from __future__ import annotations

import asyncio

from channels_graphql_ws.exceptions import GraphqlWsClientError


class HomeLoop:
    """Remembers the event loop on which a connection was opened.

    Sockets, tasks and futures belong to one event loop. On another one they are not served,
    so that a call would wait in vain.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_here(self) -> bool:
        """Whether the running event loop is that one."""
        return self._loop is asyncio.get_running_loop()

    def settle(self) -> None:
        """Belong to the running event loop from now on."""
        self._loop = asyncio.get_running_loop()

    def check(self) -> None:
        """Check that nothing is open on another event loop.

        Raises:
            GraphqlWsClientError: the text says what to do.
        """
        if self.is_here:
            return
        is_closed = self._loop is not None and self._loop.is_closed()
        where = "an event loop that has been closed" if is_closed else "another event loop"
        raise GraphqlWsClientError(
            f"The client was opened on {where}, and works on that one only: open it "
            "with `async with` inside each asyncio.run(), test or thread, or use "
            "GraphqlWsClientSync, which may be called from anywhere"
        )

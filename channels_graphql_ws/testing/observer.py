"""Learn from an application in this process which operations it has dealt with."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from channels_graphql_ws.operations.session import OBSERVER

ANY: Final = object()
"""In place of an id: the next operation, whichever it is."""


class OperationObserver:
    """The observer of one connection or request.

    Attributes:
        is_attached: the application tells of its operations. One that is not ours does not.
    """

    def __init__(self) -> None:
        self.is_attached = False
        self._settled: set[object] = set()
        self._waiting: dict[object, asyncio.Future[None]] = {}

    def observe(self, scope: dict[str, Any]) -> dict[str, Any]:
        """Return a scope whose application tells this observer."""
        return {**scope, "extensions": {**scope.get("extensions", {}), OBSERVER: self}}

    def attached(self) -> None:
        """Note that the application tells of its operations."""
        self.is_attached = True

    def settled(self, id: object) -> None:
        """Note that an operation is done; wake those that wait for it."""
        for each in (id, ANY):
            self._settled.add(each)
            waiting = self._waiting.get(each)
            if waiting is not None and not waiting.done():
                waiting.set_result(None)

    def until_settled(self, id: object) -> asyncio.Future[None]:
        """Return a future that is done when an operation is dealt with."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if id in self._settled:
            future.set_result(None)
        else:
            self._waiting[id] = future
        return future

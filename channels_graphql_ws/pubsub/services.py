"""Services that run on an event loop as long as it has hubs."""

from __future__ import annotations

from typing import Protocol


class Service(Protocol):
    """Runs on each event loop that has a hub, see `services`."""

    def acquire(self) -> None:
        """Note that a hub of the running event loop is in use; the first one starts it."""
        ...

    async def release(self) -> None:
        """Undo `acquire`; the last one ends it, and returns soon."""
        ...


services: list[Service] = []
"""Those of this process, which apps of a higher layer add."""

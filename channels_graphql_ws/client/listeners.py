"""Events of a connection and their listeners."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

log = logging.getLogger("channels_graphql_ws.client")


class ConnectionState(Enum):
    """Where a client stands with its server."""

    CLOSED = "closed"
    """There is no connection; the next operation makes one."""
    CONNECTING = "connecting"
    """The socket is being opened, or the acknowledgement is awaited."""
    ACKNOWLEDGED = "acknowledged"
    """Operations run."""
    RETRYING = "retrying"
    """The connection was lost; another attempt follows."""


@dataclass(frozen=True, slots=True)
class ConnectionEvent:
    """Something that happened to a connection.

    Attributes:
        type: "connecting", "connected" (the socket is open), "acknowledged", "closed",
            "retrying", "error" (no attempt follows), "ping", "pong" or "message" (each one that
            the server sends).
        attempt: which attempt in a row, from 0 on.
        error: why the connection was closed, or is given up.
        delay: seconds until the next attempt, with "retrying".
        payload: what the server sent along, with "acknowledged", "ping" and "pong"; all of it
            with "message".
    """

    type: str
    attempt: int = 0
    error: Exception | None = None
    delay: float | None = None
    payload: Any = None


Listener: TypeAlias = Callable[[ConnectionEvent], object]

EVENT_TYPES = frozenset(
    {
        "acknowledged",
        "closed",
        "connected",
        "connecting",
        "error",
        "message",
        "ping",
        "pong",
        "retrying",
    }
)


class Listeners:
    """Functions that are called when something happens to a connection."""

    def __init__(self) -> None:
        self._by_type: dict[str, list[Listener]] = {}

    def add(self, type: str, listener: Listener) -> Callable[[], None]:
        """Add a listener; return what removes it.

        Raises:
            ValueError: no event has this name.
            TypeError: the listener cannot be called.
        """
        if not callable(listener):
            raise TypeError(f"A listener must be a function, not {listener!r}")
        if type not in EVENT_TYPES:
            known = ", ".join(sorted(EVENT_TYPES))
            raise ValueError(f"There is no event {type!r}, there are {known}")
        listeners = self._by_type.setdefault(type, [])
        listeners.append(listener)

        def remove() -> None:
            if listener in listeners:
                listeners.remove(listener)

        return remove

    def tell(self, event: ConnectionEvent) -> None:
        """Call the listeners of an event; what one raises is logged."""
        for listener in tuple(self._by_type.get(event.type, ())):
            try:
                listener(event)
            except Exception:
                log.exception("A listener of the event %r failed", event.type)

"""The transport below ASGI's `send`: ends at once a socket whose client does not read.

ASGI has no word for that. A server that is asked to close a socket sends what it has first, and
Uvicorn and Hypercorn keep that, 16 MB for example, until TCP gives up: never, for a client that
stays and reads nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, Protocol, TypeAlias, cast

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.operations.unsent import LARGE, Unsent

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

LINGER: Final = 10.0
"""Seconds that a socket may take to end by itself. Uvicorn and websockets have the same figure."""

MOST_WRAPPERS: Final = 16
"""How many wrappers of middleware are looked through."""

Send: TypeAlias = Callable[[Any], Any]


class ServerTransport(Protocol):
    """A transport of asyncio, or of uvloop."""

    def abort(self) -> None:
        """Close at once, and forget what is not sent."""
        ...

    def get_write_buffer_size(self) -> int:
        """Return how many bytes are not sent."""
        ...


def transport_of(send: Send, scope: Mapping[str, Any]) -> ServerTransport | None:
    """Return the transport that a server's `send` writes to, where it can be found.

    Uvicorn's functions are methods of what has the transport. Wrappers are looked through, and
    the layers of Hypercorn, if they keep the function as a `real_send`, as Channels' sessions do,
    as a `send` or a `_send`, be it an attribute or a variable of a closure, or are a `partial`.

    Args:
        send: the server's, perhaps in wrappers of middleware.
        scope: of the connection or request.

    Returns:
        `None` for servers that have no transport of asyncio, behind other wrappers, and for
        HTTP/2, where it may be the one of a proxy, and of many clients.
    """
    if scope.get("http_version", "1.1") not in _OF_ITS_OWN:
        return None
    try:
        for owner in owners_of(send):
            for each in (owner, getattr(owner, "writer", None)):
                transport = getattr(each, "transport", None)
                if _is_transport(transport):
                    return cast("ServerTransport", transport)
    # Wrappers are the user's, and so is what their attributes do.
    except Exception as error:  # noqa: BLE001
        log.debug("Cannot look for the transport of a client: %r", error)
    return None


_OF_ITS_OWN: Final = ("1.0", "1.1")
"""Versions of HTTP in which a client has a connection of its own."""


def _is_transport(transport: Any) -> bool:
    # Those of uvloop are no subclasses of asyncio's.
    return all(callable(getattr(transport, name, None)) for name in _METHODS)


_METHODS: Final = ("abort", "get_write_buffer_size", "is_closing", "pause_reading", "write")

_NAMES: Final = ("real_send", "send", "_send")


def owners_of(send: Send) -> Iterator[Any]:
    """Yield what the functions below `send` are methods of, where they are; its own is first.

    Raises:
        Exception: whatever attributes of the user's wrappers raise.
    """
    found: Any = send
    for _ in range(MOST_WRAPPERS):
        yield getattr(found, "__self__", None)
        found = _wrapped(found)


def _wrapped(send: Any) -> Any:
    """Return what a wrapper calls, `None` if there is no telling."""
    if isinstance(send, partial):
        return send.func
    code = getattr(send, "__code__", None)
    if code is not None and not hasattr(send, "__self__"):
        cells = zip(code.co_freevars, send.__closure__ or (), strict=True)
        known = {name: cell.cell_contents for name, cell in cells if name in _NAMES}
    else:
        known = getattr(getattr(send, "__self__", send), "__dict__", {})
    return next((known[name] for name in _NAMES if name in known), None)


def abort(transport: ServerTransport) -> None:
    """Close a socket at once, if it is still open: what is not sent is forgotten."""
    try:
        transport.abort()
    except Exception as error:  # noqa: BLE001 (the server's, or a user's)
        log.debug("Cannot abort the transport of a client: %r", error)


def let_go(unsent: Unsent, transport: ServerTransport | None) -> None:
    """Count no more what a connection has not sent that is over, once the server has let it go.

    A client that says goodbye and reads no more makes the server wait as well: after 10 seconds
    its socket is ended.

    Args:
        unsent: of the connection, which may send nothing any more.
        transport: of the connection; `None`: there is no telling what the server keeps.
    """
    if transport is None or not unsent.size:
        unsent.close()
        return
    # One that encrypts does not tell what it has given to the one below it.
    if transport.get_write_buffer_size() > LARGE:
        unsent.abandon()
    else:
        unsent.close()
    asyncio.get_running_loop().call_later(LINGER, _end, unsent, transport)


def _end(unsent: Unsent, transport: ServerTransport) -> None:
    abort(transport)
    unsent.close()

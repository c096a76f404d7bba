"""The server's own limit of a message: told ours, it inflates no more of what is compressed.

ASGI has no word for that, and a server inflates what a client has compressed before the
application sees any of it: 16 KB become the 16 MiB that Uvicorn and Hypercorn let through, and
what is read at once many such messages.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Hashable
from contextvars import Context
from typing import Any, Final
from weakref import ref

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.operations.amplified import amplification
from channels_graphql_ws.operations.server_transport import Send, owners_of
from channels_graphql_ws.operations.sizes import least

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

AT_ONCE: Final = 1
"""Messages of the largest size that are inflated in one iteration of the event loop.

No more is read then until the application has taken them; a client that sends more is closed."""

LEAST_AT_ONCE: Final = 4_194_304
"""Bytes that may be inflated in one iteration in any case: clients of the legacy protocol send all
of their operations ahead of the acknowledgement."""

PIECE: Final = 1_024
"""Bytes that wsproto is given at once. They become a megabyte at most."""

QUEUED: Final = 1
"""Messages that wait for the application, where the server would have several."""


class ServerLimit:
    """How large a message a server lets through to one WebSocket.

    Only what belongs to this one connection is changed, and nothing beyond what the server had.

    Args:
        send: the server's, perhaps in wrappers of middleware, which are looked through as for
            the transport.
        owner: returns whose connection it is: the user, or else the address; `None`: not known.
    """

    __slots__ = ("_inflation", "_send", "_sizes")

    def __init__(self, send: Send, owner: Callable[[], Hashable]) -> None:
        self._send = send
        self._sizes: dict[tuple[int, str], tuple[Any, str, int | None]] = {}
        self._inflation = Inflation(owner)

    def set(self, now: int | None, later: int | None) -> None:
        """Let through no larger messages from now on.

        It is to be called again once the WebSocket is accepted: wsproto has no extensions before.

        Args:
            now: bytes; `None`: whatever the server lets through by itself.
            later: the same, once the client is acknowledged.
        """
        self._inflation.limit = now
        try:
            for owner in owners_of(self._send):
                self._set(owner, now, later)
        # Wrappers are the user's, and implementations the server's.
        except Exception as error:  # noqa: BLE001
            log.debug("Cannot tell the server how large a message may be: %r", error)

    def _set(self, owner: Any, limit: int | None, later: int | None) -> None:
        if _is_of(owner, "websockets.legacy."):
            # What it is told now counts from the message after the next one.
            self._lower(owner, "max_size", later)
            self._lower(owner, "max_queue", None if later is None else QUEUED)
            return
        for name in ("conn", "connection"):
            connection: Any = getattr(owner, name, None)
            if _is_of(connection, "websockets."):
                self._lower(connection, "max_size", limit)
                self._lower(connection, "max_message_size", limit)
                self._inflate_less(connection.extensions)
            elif _is_of(connection, "wsproto."):
                self._lower(getattr(owner, "buffer", None), "max_length", limit)
                # Uvicorn has the handshake around it.
                accepted = getattr(connection, "connection", connection)
                self._inflate_less(getattr(getattr(accepted, "_proto", None), "extensions", ()))

    def _lower(self, owner: Any, name: str, limit: int | None) -> None:
        """Set a number to a limit, or to what it was before if that is less."""
        if not hasattr(owner, name):
            return
        own = self._sizes.setdefault((id(owner), name), (owner, name, getattr(owner, name)))[2]
        setattr(owner, name, least(own, limit))

    def _inflate_less(self, extensions: Any) -> None:
        for extension in extensions:
            # Once: it is in the attributes of the extension itself then.
            if type(extension).__name__ != "PerMessageDeflate":
                continue
            known = vars(extension)
            if hasattr(extension, "decode") and "decode" not in known:
                extension.decode = self._inflation.of_websockets(extension)
            name = "frame_inbound_payload_data"
            if hasattr(extension, name) and name not in known:
                setattr(extension, name, self._inflation.of_wsproto(extension))


def _is_of(owner: Any, package: str) -> bool:
    """Return whether an object is of a class of a package, or of a subclass."""
    modules = (f"{each.__module__}." for each in type(owner).__mro__)
    return any(each.startswith(package) for each in modules)


class Inflation:
    """Bounds what is inflated for one client.

    What stands for a method of an extension does not keep it alive: they would be a cycle.

    Args:
        owner: see `ServerLimit`.

    Attributes:
        limit: bytes of a message; `None`: there is no bound.
    """

    __slots__ = ("_is_counting", "_owner", "_size", "limit")

    def __init__(self, owner: Callable[[], Hashable]) -> None:
        self._owner = owner
        self.limit: int | None = None
        self._size = 0
        self._is_counting = False

    def _room(self, limit: int) -> int:
        """Return how many bytes may still be inflated in this iteration of the event loop."""
        return max(AT_ONCE * limit, LEAST_AT_ONCE) - self._size

    def _count(self, size: int) -> None:
        self._size += size
        if not self._is_counting:
            self._is_counting = True
            asyncio.get_running_loop().call_soon(self._forget, context=Context())

    def _forget(self) -> None:
        self._size, self._is_counting = 0, False

    def of_websockets(self, extension: Any) -> Any:
        """Return what stands for `PerMessageDeflate.decode` of websockets."""
        decode, of = type(extension).decode, ref(extension)

        def bounded(frame: Any, *, max_size: int | None = None) -> Any:
            limit = self.limit
            if limit is None:
                return decode(of(), frame, max_size=max_size)
            wire, owner = len(frame.data), self._owner
            most = min(limit, self._room(limit), amplification.most(wire, owner))
            # For zlib, 0 is no limit.
            most = max(most if max_size is None else min(most, max_size), 1)
            try:
                decoded = decode(of(), frame, max_size=most)
            except Exception:
                # As much was inflated as was allowed.
                amplification.count(wire, most, owner)
                raise
            if decoded is not frame:
                size = len(decoded.data)
                self._count(size)
                amplification.count(wire, size, owner)
            return decoded

        return bounded

    def of_wsproto(self, extension: Any) -> Any:
        """Return what stands for `PerMessageDeflate.frame_inbound_payload_data` of wsproto."""
        inflate, of = type(extension).frame_inbound_payload_data, ref(extension)
        too_large = sys.modules[type(extension).__module__].CloseReason.MESSAGE_TOO_BIG

        def bounded(proto: Any, data: bytes) -> Any:
            limit = self.limit
            if limit is None:
                return inflate(of(), proto, data)
            pieces: list[bytes] = []
            owner = self._owner
            for start in range(0, len(data) or 1, PIECE):
                piece = data[start : start + PIECE]
                inflated = inflate(of(), proto, piece)
                # It is not compressed.
                if inflated is piece:
                    return data
                # It is the code of an error.
                if not isinstance(inflated, bytes):
                    return inflated
                pieces.append(inflated)
                size, wire = len(inflated), len(piece)
                self._count(size)
                is_too_large = size > amplification.most(wire, owner)
                amplification.count(wire, size, owner)
                if is_too_large or self._room(limit) < 0:
                    return too_large
            return b"".join(pieces)

        return bounded

"""What the messages of requests take in memory until they are answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from http import HTTPStatus
from threading import Lock
from typing import Final

from channels_graphql_ws.http.errors import HttpError
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.http.responses import RETRY
from channels_graphql_ws.operations.sizes import memory_of_json

MOST_BYTES: Final = 16_777_216
"""About how many bytes the messages of one owner may take in memory. One may take more."""

SMALL: Final = 4_096
"""Bytes of a body that is not counted."""

_in_flight: Counter[Hashable] = Counter()
"""About how many bytes the messages of each owner take."""

# Under WSGI each request has a thread of its own.
_lock: Final = Lock()


class HeldMessage:
    """The message of one request, as far as it is counted."""

    __slots__ = ("_owner", "_size")

    def __init__(self) -> None:
        self._owner: Hashable = None
        self._size = 0

    def hold(self, request: HttpRequest, owner: Callable[[], Hashable]) -> None:
        """Count a message, before it is decoded.

        Args:
            request: its body has been read.
            owner: returns whose message it is: the user, or else the address; `None`: not known.

        Raises:
            HttpError: the owner has too much in flight already.
        """
        size = _size_of(request)
        whose = owner() if size > SMALL else None
        if whose is None:
            return
        with _lock:
            if _in_flight[whose] and _in_flight[whose] + size > MOST_BYTES:
                raise HttpError(
                    "Other large requests of this client are not answered yet: try again later",
                    HTTPStatus.SERVICE_UNAVAILABLE,
                    RETRY,
                )
            _in_flight[whose] += size
        self._owner, self._size = whose, size

    def release(self) -> None:
        """Count it no more; harmless when repeated."""
        size, self._size = self._size, 0
        if not size:
            return
        with _lock:
            _in_flight[self._owner] -= size
            if not _in_flight[self._owner]:
                del _in_flight[self._owner]


def _size_of(request: HttpRequest) -> int:
    """Return about how many bytes a message takes when it is decoded."""
    if request.form_data is None:
        body = request.body
        # Brackets and commas are what they are in any encoding of this kind.
        return memory_of_json(body.decode("latin-1")) if len(body) > SMALL else 0
    fields = (request.form_data.fields.get(name) for name in ("operations", "map"))
    return sum(memory_of_json(text) for text in fields if isinstance(text, str))

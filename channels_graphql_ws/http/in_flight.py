"""What the messages of requests take in memory until they are answered."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from http import HTTPStatus
from threading import Lock
from typing import Final

from channels_graphql_ws.http.errors import RETRY, HttpError
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.operations.sizes import (
    has_too_many_containers,
    memory_of_json,
    most_containers,
)

MOST_BYTES: Final = 16_777_216
"""About how many bytes the messages of one owner may take in memory. One may take more."""

MOST_OF_UNKNOWN: Final = 134_217_728
"""The same for all clients together that have neither a user nor an address of their own."""

MOST_OF_ALL: Final = 268_435_456
"""About how many bytes all messages may take, but for `SHARE` of each owner. One may take more."""

SHARE: Final = 1_048_576
"""About how many bytes the messages of one owner may take, whatever those of others do."""

SMALL: Final = 4_096
"""Bytes of a message that is not counted."""

_UNKNOWN: Final = object()
"""Owns the messages of clients that have neither a user nor an address of their own."""

_ALL: Final = object()

_in_flight: Counter[Hashable] = Counter()
"""About how many bytes the messages of each owner take, and all of them."""

# Under WSGI each request has a thread of its own.
_lock: Final = Lock()


class HeldMessage:
    """The message of one request, as far as it is counted.

    Args:
        request: of which it is the body, or the query string.

    Attributes:
        operations: how many there are in it.
    """

    __slots__ = ("_owner", "_request", "_size", "operations")

    def __init__(self, request: HttpRequest) -> None:
        self.operations = 1
        self._request = request
        self._owner: Hashable = None
        self._size = 0

    def hold(self, owner: Callable[[], Hashable], limit: int | None) -> None:
        """Count the message, before it is decoded; its body has been read.

        Args:
            owner: returns whose message it is: the user, or else the address; `None`: not known.
            limit: the most bytes that a body may have; `None`: any number.

        Raises:
            HttpError: it has too many objects and arrays for that, or the owner, or the process,
                has too much in flight already.
        """
        request = self._request
        if request.form_data is None and len(_source(request)) <= SMALL:
            return
        texts = _texts_of(request)
        if any(has_too_many_containers(text, limit) for text in texts):
            raise HttpError(
                f"The request has more objects and arrays than the {most_containers(limit)} "
                "that `max_body_size` allows",
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        size = sum(map(memory_of_json, texts))
        if size <= SMALL:
            return
        whose = owner()
        if whose is None:
            whose = _UNKNOWN
        with _lock:
            if (problem := _problem(whose, size)) is not None:
                raise HttpError(problem, HTTPStatus.SERVICE_UNAVAILABLE, RETRY)
            _in_flight[whose] += size
            _in_flight[_ALL] += size
        self._owner, self._size = whose, size

    @property
    def size_of_operation(self) -> int:
        """About how many bytes one of its operations takes."""
        size = self._size or sum(map(memory_of_json, _texts_of(self._request)))
        return size // self.operations

    def release(self) -> None:
        """Count it no more; harmless when repeated."""
        size, self._size = self._size, 0
        if not size:
            return
        with _lock:
            for key in (self._owner, _ALL):
                _in_flight[key] -= size
                if not _in_flight[key]:
                    del _in_flight[key]


def _problem(owner: Hashable, size: int) -> str | None:
    """Return why a message cannot be held now; `None` if it can."""
    own = _in_flight[owner]
    most = MOST_OF_UNKNOWN if owner is _UNKNOWN else MOST_BYTES
    if own and own + size > most:
        return "Other large requests of this client are still under way: try again later"
    of_all = _in_flight[_ALL]
    if of_all and of_all + size > MOST_OF_ALL and own + size > SHARE:
        return "Large requests of other clients are still under way: try again later"
    return None


def _source(request: HttpRequest) -> bytes:
    return request.query_string if request.method == "GET" else request.body


def _texts_of(request: HttpRequest) -> list[str]:
    """Return the texts of a message that are, or may be, JSON.

    Those of a body are not decoded from UTF-8: brackets and commas are what they are.

    Raises:
        HttpError: the parameters of a query string are not UTF-8, or too many.
    """
    if request.method == "GET":
        return list(request.parameters.values())
    if request.form_data is None:
        return [request.body.decode("latin-1")]
    fields = (request.form_data.fields.get(name) for name in ("operations", "map"))
    return [text for text in fields if isinstance(text, str)]

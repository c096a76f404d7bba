"""What the messages of requests take in memory until they are answered."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from http import HTTPStatus
from typing import Final

from channels_graphql_ws.execution.documents import Document
from channels_graphql_ws.execution.errors import FullError
from channels_graphql_ws.http.errors import RETRY, HttpError
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.operations.holding import SHARE_OF_REQUEST, SMALL, Holding
from channels_graphql_ws.operations.sizes import (
    has_too_many_containers,
    memory_of_json,
    most_containers,
)

SHORT: Final = 512
"""Bytes of a body or a query string that is not looked at: it takes little in any case."""

MOST_BYTES: Final = 16_777_216
"""About how many bytes the messages of one owner may take in memory. One may take more."""


class HeldMessage:
    """The message of one request, as far as it is counted.

    Args:
        request: of which it is the body, or the query string.

    Attributes:
        operations: how many there are in it.
    """

    __slots__ = ("_holding", "_request", "operations")

    def __init__(self, request: HttpRequest) -> None:
        self.operations = 1
        self._request = request
        self._holding = Holding("requests", MOST_BYTES)

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
        if request.form_data is None and len(_source(request)) <= SHORT:
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
        try:
            self._holding.add(size, owner, always=size <= SHARE_OF_REQUEST)
        except FullError as error:
            raise HttpError(error.message, HTTPStatus.SERVICE_UNAVAILABLE, RETRY) from None

    def keep(self, document: Document, owner: Callable[[], Hashable]) -> None:
        """Count the document of an operation.

        Args:
            document: what is executed.
            owner: as for `hold`.

        Raises:
            FullError: the owner, or the process, has too much in flight already.
        """
        always = self._holding.memory + document.memory <= SHARE_OF_REQUEST
        self._holding.add_document(document, owner, always=always)

    @property
    def size_of_operation(self) -> int:
        """About how many bytes one of its operations takes."""
        size = self._holding.size or sum(map(memory_of_json, _texts_of(self._request)))
        return size // self.operations

    def release(self) -> None:
        """Count it no more; harmless when repeated."""
        self._holding.release()


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

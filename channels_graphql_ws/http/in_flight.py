"""What the messages of requests take, from their first bytes until they are answered."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from http import HTTPStatus
from sys import getsizeof
from typing import Final

from django.core.files.uploadedfile import InMemoryUploadedFile, TemporaryUploadedFile

from channels_graphql_ws.execution.documents import Document
from channels_graphql_ws.execution.errors import FullError
from channels_graphql_ws.http.errors import RETRY, HttpError
from channels_graphql_ws.http.request import FormData, HttpRequest
from channels_graphql_ws.operations.holding import (
    SHARE_OF_REQUEST,
    SMALL,
    Holding,
    StoredUpload,
)
from channels_graphql_ws.operations.sizes import (
    has_too_many_containers,
    memory_of_json,
    most_containers,
)

SHORT: Final = 512
"""Bytes of a body or a query string that is not looked at: it takes little in any case."""

MOST_BYTES: Final = 16_777_216
"""About how many bytes the messages of one owner may take in memory. One may take more."""


STEP: Final = SHARE_OF_REQUEST
"""Bytes of a body that are not counted while the rest of it is received: at first those that any
request may have, then those that have come since."""

_LATER: Final = {**RETRY, "Connection": "close"}
"""Headers of an answer to a request of which nothing more is read."""


class HeldMessage:
    """The message of one request, as far as it is counted.

    Args:
        request: of which it is the body, or the query string.

    Attributes:
        operations: how many there are in it.
    """

    __slots__ = ("_holding", "_request", "_stored", "operations")

    def __init__(self, request: HttpRequest) -> None:
        self.operations = 1
        self._request = request
        self._holding = Holding("requests", MOST_BYTES)
        self._stored: StoredUpload | None = None

    def receive(self, length: int, owner: Callable[[], Hashable], *, is_stored: bool) -> None:
        """Count what has come of the body, while the rest of it is received.

        It counts as what comes, and not as what the client announces: nobody takes the room of
        others at its address without sending it.

        Args:
            length: bytes that have come so far.
            owner: as for `hold`.
            is_stored: whether they are on the disk, and not in memory.

        Raises:
            HttpError: the owner, or the process, has too much in flight already.
        """
        try:
            self._holding.resize(0 if is_stored else length, owner)
            if is_stored:
                self._store(length, owner)
        except FullError as error:
            raise _unavailable(error, _LATER) from None

    def hold(self, owner: Callable[[], Hashable], limit: int | None) -> None:
        """Count the message, before it is decoded; its body has been read.

        It takes the place of what was counted as it was received.

        Args:
            owner: returns whose message it is: the user, or else the address; `None`: not known.
            limit: the most bytes that a body may have; `None`: any number.

        Raises:
            HttpError: it has too many objects and arrays for that, or the owner, or the process,
                has too much in flight already.
        """
        request = self._request
        form = request.form_data
        if form is None and len(_source(request)) <= SHORT:
            return
        texts = _texts_of(request)
        if any(has_too_many_containers(text, limit) for text in texts):
            raise HttpError(
                f"The request has more objects and arrays than the {most_containers(limit)} "
                "that `max_body_size` allows",
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            )
        size = sum(map(memory_of_json, texts))
        try:
            if form is not None:
                size += _memory_of_form(form)
                self._store(_stored_of_form(form), owner)
            if size > SMALL or self._holding.size:
                self._holding.resize(size, owner, always=size <= SHARE_OF_REQUEST)
        except FullError as error:
            raise _unavailable(error, RETRY) from None

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
        if self._stored is not None:
            self._stored.release()

    def _store(self, size: int, owner: Callable[[], Hashable]) -> None:
        """Count what an upload takes on the disk.

        Raises:
            FullError: the owner, or the process, has too much there already.
        """
        longest: int | None = self._request.consumer.max_upload_size
        if longest is None:
            return
        if self._stored is None:
            self._stored = StoredUpload(longest)
        self._stored.resize(size, owner)


def _unavailable(error: FullError, headers: Mapping[str, str]) -> HttpError:
    return HttpError(error.message, HTTPStatus.SERVICE_UNAVAILABLE, headers)


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


def _memory_of_form(form: FormData) -> int:
    """Return how many bytes the texts of a form take, and its files that are in memory."""
    texts = sum(getsizeof(text) for _, each in form.fields.lists() for text in each)
    return texts + sum(
        file.size or 0
        for _, files in form.files.lists()
        for file in files
        if isinstance(file, InMemoryUploadedFile)
    )


def _stored_of_form(form: FormData) -> int:
    """Return how many bytes the files of a form take on the disk."""
    return sum(
        file.size or 0
        for _, files in form.files.lists()
        for file in files
        if isinstance(file, TemporaryUploadedFile)
    )

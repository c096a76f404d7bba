"""`info.context.request`: one HTTP request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict, parse_cookie
from django.utils.datastructures import CaseInsensitiveMapping, MultiValueDict

from channels_graphql_ws.execution.headers import headers_of
from channels_graphql_ws.http import negotiation, parsing

TOKEN_HEADER = "X-GraphQL-Event-Stream-Token"  # noqa: S105 (its name, not a token)

_HUGE = 10**18
"""Stands for any longer body: Python does not read a number of thousands of digits."""


@dataclass(frozen=True, slots=True)
class FormData:
    """The fields and files of a form."""

    fields: QueryDict
    files: MultiValueDict[str, UploadedFile[Any]]


class HttpRequest:
    """One request.

    Attributes:
        consumer: the `GraphqlHttpConsumer` or `GraphqlView` that serves it.
        scope: the ASGI scope, with `user` and `session` where there are any.
        method: "GET", "POST", …
        path: without the query string.
        query_string: the part behind the question mark.
        body: empty if it was a form.
        form_data: the fields and files of a form, otherwise `None`.
    """

    def __init__(self, scope: Mapping[str, Any], consumer: Any) -> None:
        self.consumer = consumer
        self.scope = scope
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query_string: bytes = scope.get("query_string", b"")
        self.body = b""
        self.form_data: FormData | None = None
        self._headers: Mapping[str, str] | None = None
        self._on_close: list[Callable[[], object]] = []

    @property
    def headers_by_name(self) -> Mapping[str, str]:
        """The headers by lower-case name; the values of a repeated one are joined."""
        if self._headers is None:
            self._headers = headers_of(self.scope)
        return self._headers

    @cached_property
    def headers(self) -> Mapping[str, str]:
        """The same, with names in any case."""
        named = self.headers_by_name.items()
        return CaseInsensitiveMapping({name.title(): value for name, value in named})

    @property
    def content_type(self) -> str:
        """The header `Content-Type`, empty if there is none."""
        return self.headers_by_name.get("content-type", "")

    @cached_property
    def media_type(self) -> negotiation.Range:
        """The content type and its parameters."""
        return negotiation.parse(self.content_type)

    @cached_property
    def query_params(self) -> QueryDict:
        """The parameters of the query string."""
        return QueryDict(self.query_string)

    @cached_property
    def parameters(self) -> dict[str, str]:
        """The same as strings; of a repeated parameter, the last.

        Raises:
            HttpError: they are not UTF-8, or too many.
        """
        return parsing.parameters_of(self.query_string)

    @cached_property
    def path_params(self) -> Mapping[str, Any]:
        """The arguments of the route."""
        arguments: Mapping[str, Any] = self.scope.get("url_route", {}).get("kwargs", {})
        return arguments

    @cached_property
    def cookies(self) -> dict[str, str]:
        """The cookies by name."""
        return parse_cookie(self.headers_by_name.get("cookie", ""))

    @property
    def stream_token(self) -> str | None:
        """The token of a reserved event stream, `None` if there is none."""
        return self.headers_by_name.get(TOKEN_HEADER.lower()) or self.parameters.get("token")

    @property
    def content_length(self) -> int | None:
        """The length of the body in bytes, `None` if the client does not say it."""
        text = self.headers_by_name.get("content-length", "")
        if not (text.isascii() and text.isdigit()):
            return None
        return int(text) if len(text) < len(str(_HUGE)) else _HUGE

    def __deepcopy__(self, memo: object) -> HttpRequest:
        """Return the same: a copy of `info.context` belongs to the same request."""
        return self

    def take_form(self, fields: QueryDict, files: MultiValueDict[str, UploadedFile[Any]]) -> None:
        """Keep a form; its files are closed with the request."""
        self.form_data = FormData(fields, files)
        self._on_close += [file.close for _, each in files.lists() for file in each]

    def close(self) -> None:
        """Close, and thereby delete, temporary files."""
        while self._on_close:
            self._on_close.pop()()

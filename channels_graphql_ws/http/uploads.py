"""Uploads: Django's parser and upload handlers, and the scalar `Upload`."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NoReturn

import graphene
from django.conf import settings
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.core.files import File
from django.core.files.uploadhandler import load_handler
from django.http.multipartparser import MultiPartParser, MultiPartParserError
from graphql import GraphQLError, ValueNode

from channels_graphql_ws.http import parsing
from channels_graphql_ws.http.errors import HttpError
from channels_graphql_ws.http.request import HttpRequest

CSRF_HEADERS = (
    "X-CSRFToken",
    "X-Requested-With",
    "GraphQL-Require-Preflight",
    "Apollo-Require-Preflight",
)
"""One of these must come with a form.

Unlike JSON, a form can be posted from any site, with cookies and without a CORS preflight. A
header of this kind makes browsers ask first."""


class Upload(graphene.Scalar):
    """A file that comes with the request.

    The resolver gets the `UploadedFile` of Django's upload handlers, which is closed when the
    operation has ended.
    """

    @staticmethod
    def parse_value(value: Any) -> File[Any]:
        """Take the file that was put into the variables."""
        if not isinstance(value, File):
            raise GraphQLError(
                "An upload must be a file of a multipart request, see the "
                "GraphQL multipart request specification."
            )
        return value

    @staticmethod
    def parse_literal(ast: ValueNode, _variables: Any = None) -> NoReturn:
        """Refuse a literal: a document cannot contain a file."""
        raise GraphQLError("An upload must be given by a variable.", ast)

    @staticmethod
    def serialize(_value: object) -> NoReturn:
        """Refuse a result: it cannot contain a file."""
        raise GraphQLError("An upload cannot be part of a result.")


def check_csrf(headers: Mapping[str, str]) -> None:
    """Refuse a form that any page may have sent.

    Raises:
        HttpError: it does not have any of `CSRF_HEADERS`.
    """
    if not any(name.lower() in headers for name in CSRF_HEADERS):
        raise HttpError(
            f"A form needs one of the headers {', '.join(CSRF_HEADERS)}, "
            "which protect against forged requests",
            HTTPStatus.FORBIDDEN,
        )


def parse_form(request: HttpRequest, body: Any, length: int) -> None:
    """Parse a form with Django's upload handlers. May read and write files.

    Raises:
        HttpError: it is not a form, or has more than Django's settings allow.
    """
    meta = {"CONTENT_TYPE": request.content_type, "CONTENT_LENGTH": length}
    handlers = [load_handler(path, request) for path in settings.FILE_UPLOAD_HANDLERS]
    try:
        parser = MultiPartParser(meta, body, handlers, "utf-8")
    # An encoding that Python does not know (RFC 2231) is one or the other, by release.
    except (MultiPartParserError, ValueError, LookupError) as error:
        raise HttpError(f"The form is malformed: {error}") from None
    try:
        fields, files = parser.parse()
    except RequestDataTooBig as error:
        raise HttpError(str(error), HTTPStatus.REQUEST_ENTITY_TOO_LARGE) from None
    except (MultiPartParserError, SuspiciousOperation) as error:
        raise HttpError(f"The form is malformed: {error}") from None
    request.take_form(fields, files)


def operations_of_form(request: HttpRequest) -> Any:
    """Return the content of the field `operations`, with the files in their places.

    Raises:
        HttpError: the fields are missing, or do not fit.
    """
    form = request.form_data
    assert form is not None, "the form has been parsed before"
    for name in ("operations", "map"):
        if not isinstance(form.fields.get(name), str):
            raise HttpError(f'The form has no field "{name}"')
    return parsing.with_files(
        _json_of_field(form.fields, "operations"),
        _json_of_field(form.fields, "map"),
        {name: files[-1] for name, files in form.files.lists() if files},
    )


def _json_of_field(fields: Mapping[str, Any], name: str) -> Any:
    try:
        return parsing.json_of(fields[name].encode())
    except HttpError as error:
        raise HttpError(error.message.replace("The body", f'"{name}"', 1)) from None

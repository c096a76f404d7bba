"""Refusals of requests: a status, and a sentence that names the cause."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from channels_graphql_ws.exceptions import GraphqlWsError

RETRY: Final = {"Retry-After": "1"}
"""Headers of an answer that will be another one soon."""


class HttpError(GraphqlWsError):
    """The request cannot be served, and the client is told why.

    Attributes:
        status: the HTTP status code.
        message: a sentence for the client.
        headers: of the answer.
    """

    def __init__(
        self,
        message: str,
        status: int = HTTPStatus.BAD_REQUEST,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


class ClientGoneError(GraphqlWsError):
    """The client has gone, and there is nothing to answer any more."""


def too_large(limit: int) -> HttpError:
    """Refuse a body."""
    return HttpError(
        f"The body is longer than {limit} bytes",
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        # What is still to come is not read.
        {"Connection": "close"},
    )


def too_slow(seconds: float) -> HttpError:
    """Refuse a body that does not come."""
    return HttpError(
        f"The body did not arrive within {seconds:g} seconds",
        HTTPStatus.REQUEST_TIMEOUT,
        {"Connection": "close"},
    )


def method_not_allowed(message: str, allowed: str) -> HttpError:
    """Refuse a method; `allowed` names the others."""
    return HttpError(message, HTTPStatus.METHOD_NOT_ALLOWED, {"Allow": allowed})

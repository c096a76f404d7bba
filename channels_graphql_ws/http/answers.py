"""What is sent back: statuses, bodies, refusals."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus

from django.http import HttpResponse

from ..json_text import dumps
from .negotiation import MediaType
from .operation import HttpOperation, Outcome
from .refusals import RequestRefusedError
from .stream import Stream

_STATUSES = {
    Outcome.EXECUTED: HTTPStatus.OK,
    Outcome.MALFORMED: HTTPStatus.BAD_REQUEST,
    Outcome.INVALID: HTTPStatus.BAD_REQUEST,
    Outcome.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Outcome.TIMED_OUT: HTTPStatus.GATEWAY_TIMEOUT,
    Outcome.FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
}

# What a client of `application/json` understands only with the status 200.
_WELL_FORMED = frozenset({Outcome.EXECUTED, Outcome.INVALID, Outcome.FORBIDDEN})


class StreamAnswer:
    """An answer that goes on; whoever sends it has to `close` it.

    Args:
        response: status, headers and cookies.
        stream: the body.
        end: ends what feeds the stream.
    """

    def __init__(
        self, response: HttpResponse, stream: Stream, end: Callable[[], Awaitable[None]]
    ) -> None:
        self.response = response
        self.stream = stream
        self._end = end
        self._is_closed = False
        response.headers["Content-Type"] = stream.format.content_type
        for name, value in stream.format.headers.items():
            response.headers.setdefault(name, value)
        stream.open()

    async def close(self) -> None:
        """End the stream and what feeds it, once."""
        if not self._is_closed:
            self._is_closed = True
            self.stream.close()
            await self._end()


def answer(
    response: HttpResponse, operation: HttpOperation, result: str, form: MediaType
) -> HttpResponse:
    """Answer with the result of one operation."""
    if operation.unsuitable is not None:
        status = operation.unsuitable.status
        set_headers(response, operation.unsuitable.headers)
    else:
        status = status_of(operation.outcome, form)
    return _with_body(response, result, form, status)


def batch_answer(response: HttpResponse, results: Sequence[str], form: MediaType) -> HttpResponse:
    """Answer with the results of a batch, in its order."""
    return _with_body(response, f"[{','.join(results)}]", form, HTTPStatus.OK)


def status_of(outcome: Outcome, form: MediaType) -> int:
    """Give the status of an answer (GraphQL over HTTP, Status Codes)."""
    if form is MediaType.JSON and outcome in _WELL_FORMED:
        return HTTPStatus.OK
    return _STATUSES[outcome]


def refusal(
    response: HttpResponse, error: RequestRefusedError, form: MediaType | None
) -> HttpResponse:
    """Answer that a request can not be served, and why."""
    body = dumps({"errors": [{"message": error.message}]})
    set_headers(response, error.headers)
    return _with_body(response, body, form or MediaType.JSON, error.status)


def set_headers(response: HttpResponse, headers: Mapping[str, str]) -> None:
    """Set headers of an answer."""
    for name, value in headers.items():
        response.headers[name] = value


def _with_body(response: HttpResponse, body: str, form: MediaType, status: int) -> HttpResponse:
    # A resolver that has set a status knows better.
    if "status_code" not in vars(response):
        response.status_code = int(status)
    response.headers["Content-Type"] = f"{form}; charset=utf-8"
    response.content = body.encode()
    return response

"""Answers: statuses, bodies, refusals, and responses that go on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse

from channels_graphql_ws.http.errors import RETRY, HttpError
from channels_graphql_ws.http.negotiation import MediaType
from channels_graphql_ws.http.operation import HttpOperation, Outcome
from channels_graphql_ws.http.stream import ResponseStream
from channels_graphql_ws.json_text import dumps
from channels_graphql_ws.operations.listing import ListedConnection, listed_connection
from channels_graphql_ws.shutdown import CLOSE_TIMEOUT, connections_of_loop, remaining
from channels_graphql_ws.signals import ConnectionSignals

_STATUSES = {
    Outcome.EXECUTED: HTTPStatus.OK,
    Outcome.MALFORMED: HTTPStatus.BAD_REQUEST,
    Outcome.INVALID: HTTPStatus.BAD_REQUEST,
    Outcome.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Outcome.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    Outcome.TIMED_OUT: HTTPStatus.GATEWAY_TIMEOUT,
    Outcome.FAILED: HTTPStatus.INTERNAL_SERVER_ERROR,
}

# Clients of `application/json` understand these only with the status 200.
_WELL_FORMED = frozenset({Outcome.EXECUTED, Outcome.INVALID, Outcome.FORBIDDEN})


class StreamingResponse:
    """An answer that goes on, and has to be closed with `close`.

    Args:
        response: status, headers and cookies.
        stream: the body.
        end: ends what feeds the stream.
        operations: returns the operations that feed it.
        signals: those about the stream.
        scope: of the request that the stream began with.
        completes_at_shutdown: send `complete` for each of them when the server shuts down.
    """

    def __init__(
        self,
        response: HttpResponse,
        stream: ResponseStream,
        end: Callable[[], Awaitable[None]],
        operations: Callable[[], Collection[HttpOperation]],
        signals: ConnectionSignals,
        scope: Mapping[str, Any],
        *,
        completes_at_shutdown: bool = False,
    ) -> None:
        self.response = response
        self.stream = stream
        self._end = end
        self._operations = operations
        self._signals = signals
        self._scope = scope
        self._completes = completes_at_shutdown
        self._is_closed = False
        self._gone = asyncio.Event()
        response.headers["Content-Type"] = stream.format.content_type
        for name, value in stream.format.headers.items():
            response.headers.setdefault(name, value)
        stream.open()
        connections_of_loop().add(self)

    async def close(self) -> None:
        """End the stream and what feeds it, once."""
        if not self._is_closed:
            self._is_closed = True
            self.stream.close()
            try:
                await self._end()
            finally:
                connections_of_loop().discard(self)
                self._gone.set()

    def listed(self) -> ListedConnection:
        """Return what operators are told of it. May be called from any thread."""
        operations = list(self._operations())
        return listed_connection(
            self._signals.id,
            "event stream",
            self._scope,
            [live for each in operations if (live := each.live) is not None],
            operations=len(operations),
            unsent_bytes=self.stream.size,
        )

    def revoke(self, reason: str) -> None:
        """End the stream, with an error for each of its operations."""
        for operation in list(self._operations()):
            operation.revoke(reason)
        self.stream.finish()

    async def drain(self, timeout: float) -> None:
        """`finish` the stream, and wait until it is read."""
        await self.finish(timeout)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._gone.wait(), remaining(CLOSE_TIMEOUT))

    async def finish(self, timeout: float) -> None:
        """End the stream as soon as only subscriptions feed it.

        Args:
            timeout: seconds to wait for queries and mutations.
        """
        tasks = [each.task for each in self._operations() if each.is_request and each.task]
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)
        if self._completes:
            for operation in list(self._operations()):
                operation.completed()
        self.stream.finish()


def answer(
    response: HttpResponse, operation: HttpOperation, result: str, form: MediaType
) -> HttpResponse:
    """Answer with the result of one operation."""
    if operation.unsuitable is not None:
        status = operation.unsuitable.status
        set_headers(response, operation.unsuitable.headers)
    else:
        status = status_of(operation.outcome, form)
        if operation.outcome is Outcome.UNAVAILABLE:
            set_headers(response, RETRY)
    return _with_body(response, result, form, status)


def batch_answer(response: HttpResponse, results: Sequence[str], form: MediaType) -> HttpResponse:
    """Answer with the results of a batch, in its order."""
    return _with_body(response, f"[{','.join(results)}]", form, HTTPStatus.OK)


def status_of(outcome: Outcome, form: MediaType) -> int:
    """Return the status of an answer (GraphQL over HTTP, Status Codes)."""
    if form is MediaType.JSON and outcome in _WELL_FORMED:
        return HTTPStatus.OK
    return _STATUSES[outcome]


def refusal(response: HttpResponse, error: HttpError, form: MediaType | None) -> HttpResponse:
    """Answer that a request cannot be served, and why."""
    body = dumps({"errors": [{"message": error.message}]})
    set_headers(response, error.headers)
    return _with_body(response, body, form or MediaType.JSON, error.status)


def set_headers(response: HttpResponse, headers: Mapping[str, str]) -> None:
    """Set headers of an answer."""
    for name, value in headers.items():
        response.headers[name] = value


def _with_body(response: HttpResponse, body: str, form: MediaType, status: int) -> HttpResponse:
    # A status that a resolver has set stays.
    if "status_code" not in vars(response):
        response.status_code = int(status)
    response.headers["Content-Type"] = f"{form}; charset=utf-8"
    response.content = body.encode()
    return response

"""Handshakes that are refused: pages of other sites, headers that are too large."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias

from channels_graphql_ws.execution.headers import problem_of_headers
from channels_graphql_ws.operations.defaults import is_debug
from channels_graphql_ws.operations.origins import Server

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

Send: TypeAlias = Callable[[Any], Awaitable[None]]


class Refusal(NamedTuple):
    """Why a handshake is refused.

    Attributes:
        status: the HTTP status.
        reason: for the log, and for developers; follows "Refused a WebSocket".
    """

    status: int
    reason: str


def problem_of_size(scope: Mapping[str, Any]) -> Refusal | None:
    """Return the refusal of headers that would take long to read."""
    problem = problem_of_headers(scope)
    if problem is None:
        return None
    return Refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"handshake: {problem}")


def problem_of_origin(
    scope: Mapping[str, Any], allowed_origins: Sequence[str] | None
) -> Refusal | None:
    """Return the refusal of the page of another site, see the option `allowed_origins`."""
    server = Server(scope)
    origin = server.origin
    if origin is None or server.trust(origin, allowed_origins) is not None:
        return None
    return Refusal(HTTPStatus.FORBIDDEN, server.explain(origin, allowed_origins))


async def refuse(refusal: Refusal, scope: Mapping[str, Any], send: Send) -> None:
    """Refuse a handshake that has not been accepted yet, and log why.

    Servers make a 403 of a close. Those that can send another answer (ASGI, WebSocket Denial
    Response) do so where the status is another, and with DEBUG.
    """
    log.warning("Refused a WebSocket %s", refusal.reason)
    has_answer = "websocket.http.response" in (scope.get("extensions") or {})
    if has_answer and (is_debug() or refusal.status != HTTPStatus.FORBIDDEN):
        headers = [(b"content-type", b"text/plain; charset=utf-8")]
        start = {"status": int(refusal.status), "headers": headers}
        await send({"type": "websocket.http.response.start", **start})
        text = refusal.reason if is_debug() else HTTPStatus(refusal.status).phrase
        body = f"{text}\n".encode()
        await send({"type": "websocket.http.response.body", "body": body})
    else:
        await send({"type": "websocket.close"})

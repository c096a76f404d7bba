"""What clients are told of an exception, and what the log is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseFailure
from graphql import ExecutionResult, GraphQLError

from channels_graphql_ws.concurrency.database import async_connections
from channels_graphql_ws.concurrency.placement import needs_sync
from channels_graphql_ws.exceptions import ConnectionRejectionError
from channels_graphql_ws.execution.masking import HIDDEN, NO_MASK, Mask
from channels_graphql_ws.execution.request import Refusal
from channels_graphql_ws.json_text import culprit, encodable, is_encodable

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

Formatter: TypeAlias = Callable[[Exception], Mapping[str, Any]]

SWITCH: Final = (
    "Set `resolve_sync_in_threads = True` on the consumer, or write this code `async def`."
)
"""What to do where Django's ORM is refused on the event loop."""

INTERNAL_ERROR: Final = {"message": "Internal server error"}
"""All that a client is told of a mistake in our own code."""

TIMED_OUT: Final = {"message": "The operation took too long"}
"""What a client is told of an operation that `operation_timeout` has ended."""


def format_error(error: Exception) -> dict[str, Any]:
    """Return an exception as GraphQL has errors (specification, 7.1.2).

    A `GraphQLError` keeps its own form. Of any other exception the class is told, too.
    """
    hint = f" {SWITCH}" if needs_sync(error) else ""
    if isinstance(error, GraphQLError):
        formatted = dict(error.formatted)
        return {**formatted, "message": f"{error.message}{hint}"} if hint else formatted
    name = type(error).__name__
    return {"message": f"{name}: {error}{hint}", "extensions": {"code": name}}


def describe(error: Exception, format: Formatter) -> dict[str, Any]:
    """Return what a client is told of an error: what `format` returns, as far as it is JSON."""
    try:
        description = dict(format(error))
    # `format` may be the user's, and so may be what the error brings along.
    except Exception:
        log.exception("An error could not be formatted: %r", error)
        return dict(INTERNAL_ERROR)
    if is_encodable(description):
        return description
    told: dict[str, Any] = encodable(description)
    log.warning(
        "An error is sent without a part that has no JSON form, %s",
        culprit(description),
        exc_info=error,
    )
    has_lost_message = "message" in description and "message" not in told
    return {**told, **INTERNAL_ERROR} if has_lost_message else told


def too_slow() -> ExecutionResult:
    """Give what a client is told before the end if its queue was full, see `ClosingQueue`."""
    text = "Too many notifications wait for this subscription: it is ended."
    return ExecutionResult(None, [GraphQLError(text, extensions={"code": "SLOW_CONSUMER"})])


def timed_out(seconds: float) -> ExecutionResult:
    """Return what a client is told in the place of an event that took too long."""
    text = f"This event took longer than {seconds:g} seconds."
    return ExecutionResult(None, [GraphQLError(text, extensions={"code": "EVENT_TIMEOUT"})])


def missed_events() -> ExecutionResult:
    """Return what a client is told before the end if events were lost and its class ends then."""
    text = "Events of this subscription were lost: it is ended."
    return ExecutionResult(None, [GraphQLError(text, extensions={"code": "EVENTS_LOST"})])


def log_errors(
    errors: Iterable[Exception] | None, what: str, id: object, mask: Mask = NO_MASK
) -> None:
    """Log, with the traceback, what broke in the user's code and not in the request."""
    for error in errors or ():
        cause = error.original_error if isinstance(error, GraphQLError) else error
        if cause is not None and not isinstance(cause, GraphQLError):
            hidden = HIDDEN if mask.hides(error) else ""
            hint = f" {SWITCH}" if needs_sync(cause) else ""
            text = "An error in %s (id %s)%s: %s%s"
            log.warning(text, what, id, hidden, error, hint, exc_info=cause)
            if isinstance(cause, DatabaseFailure):
                async_connections.visit_soon()


_ON_PURPOSE: Final = (ConnectionRejectionError, GraphQLError, PermissionDenied)
"""What hooks raise to refuse. Anything else may be a mistake in them."""


def log_refusal(what: str, error: Exception, mask: Mask) -> None:
    """Log that a hook refused by raising; with the traceback, unless it did so on purpose."""
    hidden = HIDDEN if mask.hides(error) else ""
    if needs_sync(error):
        log.warning("%s%s: %r %s", what, hidden, error, SWITCH, exc_info=error)
    elif isinstance(error, _ON_PURPOSE):
        log.info("%s: %r", what, error)
    else:
        log.warning("%s%s: %r", what, hidden, error, exc_info=error)


class RequestError(Exception):
    """The request can not be executed; `errors` tell the client why."""

    refusal = Refusal.DOCUMENT

    def __init__(self, *errors: GraphQLError) -> None:
        super().__init__(*errors)
        self.errors = errors


class NoDocumentError(RequestError):
    """The client has sent no document, and there is none in its place."""

    refusal = Refusal.REQUEST

    def __init__(self) -> None:
        super().__init__(
            GraphQLError('"query" is missing, and `on_operation` gave no document instead')
        )


class TooManyError(RequestError):
    """There is no room for one operation more."""

    refusal = Refusal.OPERATION

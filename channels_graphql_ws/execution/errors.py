"""What clients are told of an exception, and what the log is told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from django.core.exceptions import PermissionDenied
from django.db import Error as DatabaseFailure
from graphql import ExecutionResult, GraphQLError, Lexer, Source, TokenKind

from channels_graphql_ws.client_log import ClientLog, Sentence, shown
from channels_graphql_ws.concurrency.database import async_connections
from channels_graphql_ws.exceptions import ConnectionRejectionError
from channels_graphql_ws.execution.masking import HIDDEN, NO_MASK, Mask, failure, unavailable
from channels_graphql_ws.execution.misplaced import hint_for
from channels_graphql_ws.execution.request import Refusal
from channels_graphql_ws.execution.unfit import is_unfit
from channels_graphql_ws.json_text import culprit, encodable, is_encodable
from channels_graphql_ws.tracebacks import LONGEST_TEXT

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

Formatter: TypeAlias = Callable[[Exception], Mapping[str, Any]]

INTERNAL_ERROR: Final = {"message": "Internal server error"}
"""All that a client is told of a mistake in our own code."""

TIMED_OUT: Final = {"message": "The operation took too long"}
"""What a client is told of an operation that `operation_timeout` has ended."""


def format_error(error: Exception) -> dict[str, Any]:
    """Return an exception as GraphQL has errors (specification, 7.1.2).

    A `GraphQLError` keeps its own form. Of any other exception the class is told, too.
    """
    hint = hint_for(error)
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
    """Return what a client is told before the end if its queue was full, see `ClosingQueue`."""
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


MOST_LOGGED: Final = 10
"""Errors of one result that are logged; the others are counted, and have no traceback."""


def forget_tracebacks(error: GraphQLError) -> None:
    """Let go of what an error has gone through.

    A resolver that failed deep inside keeps a thousand frames, with all that is in them.
    """
    each: BaseException | None = error
    while each is not None and each.__traceback__ is not None:
        each.__traceback__ = None
        each = getattr(each, "original_error", None) or each.__cause__ or each.__context__


def log_errors(
    errors: Iterable[Exception] | None, what: str, id: object, mask: Mask = NO_MASK
) -> None:
    """Log, with the traceback, what broke in the user's code and not in the request.

    Where it broke is a path in the result: what is in the document may be secret, and as long as
    its sender likes.
    """
    unexpected = [error for error in errors or () if _cause(error) is not None]
    for error in unexpected[:MOST_LOGGED]:
        hidden = Sentence(HIDDEN if mask.hides(error) else "")
        path = error.path if isinstance(error, GraphQLError) else None
        place = Sentence(f" at {shown('.'.join(map(str, path)))}" if path else "")
        cause = _cause(error)
        hint = Sentence(hint_for(cause))
        text = "An error in %s (id %s)%s%s: %r%s"
        # An outage is many errors, and their tracebacks say no more than their texts.
        trace = cause if unavailable(error) is None else None
        log.warning(text, what, id, place, hidden, cause, hint, exc_info=trace)
    if any(isinstance(_cause(error), DatabaseFailure) for error in unexpected):
        async_connections.visit_soon()
    more = len(unexpected) - MOST_LOGGED
    if more > 0:
        log.warning("%s more errors in %s (id %s)", more, what, id)


def _cause(error: Exception) -> Exception | None:
    """Return the exception of the user's code; `None` if it was raised for clients."""
    if not isinstance(error, GraphQLError):
        return error
    cause = error.original_error
    return failure(error) if isinstance(cause, GraphQLError) and not is_unfit(cause) else cause


_ON_PURPOSE: Final = (ConnectionRejectionError, GraphQLError, PermissionDenied)
"""What hooks raise to refuse. Anything else may be a mistake in them."""


def log_refusal(what: str, error: Exception, mask: Mask, *values: object) -> None:
    """Log that a hook refused by raising; with the traceback, unless it did so on purpose.

    Args:
        what: was refused, as a text for a log.
        error: what the hook raised.
        mask: decides what clients are told.
        values: of the text.
    """
    text = f"{what}%s: %r%s"
    misplaced = hint_for(error)
    if isinstance(error, _ON_PURPOSE) and not misplaced:
        log.info(text, *values, Sentence(), error, Sentence())
    else:
        hidden = Sentence(HIDDEN if mask.hides(error) else "")
        hint = Sentence(misplaced)
        log.warning(text, *values, hidden, error, hint, exc_info=error)


def without_values(document: str) -> str:
    """Return the beginning of a document for the log: its strings may be secrets."""
    lexer, parts, at = Lexer(Source(document)), [], 0
    try:
        while (token := lexer.advance()).kind is not TokenKind.EOF and at < LONGEST_TEXT:
            if token.kind in (TokenKind.STRING, TokenKind.BLOCK_STRING):
                parts.append(f'{document[at : token.start]}"…"')
            else:
                parts.append(document[at : token.end])
            at = token.end
    # `parse_document` of the user's own may take what GraphQL does not.
    except GraphQLError:
        parts.append("…")
    return "".join(parts)


class RequestError(Exception):
    """The request cannot be executed; `errors` tell the client why."""

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
    """The limit of operations is reached."""

    refusal = Refusal.OPERATION


class FullError(RequestError):
    """What is under way takes as much memory as it may."""

    refusal = Refusal.UNAVAILABLE

    def __init__(self, text: str) -> None:
        message = f"{text}: try again later"
        super().__init__(GraphQLError(message, extensions={"code": "LIMIT_EXCEEDED"}))
        self.message = message

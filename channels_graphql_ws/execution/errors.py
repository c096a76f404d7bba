"""What clients are told of an exception, and what the log is told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from graphql import ExecutionResult, GraphQLError

from ..json_text import dumps

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

Formatter: TypeAlias = Callable[[Exception], Mapping[str, Any]]


def format_error(error: Exception) -> dict[str, Any]:
    """Turn an exception into what GraphQL calls an error (specification, 7.1.2).

    A `GraphQLError` speaks for itself. Of anything else the class is told, too.
    """
    if isinstance(error, GraphQLError):
        return dict(error.formatted)
    name = type(error).__name__
    return {"message": f"{name}: {error}", "extensions": {"code": name}}


def encode_result(result: ExecutionResult, format: Formatter) -> str:
    """Turn a result into JSON text; one without a JSON form becomes an error."""
    content: dict[str, Any] = {"data": result.data}
    if result.errors:
        content["errors"] = [dict(format(error)) for error in result.errors]
    if result.extensions:
        content["extensions"] = result.extensions
    try:
        return dumps(content)
    except (TypeError, ValueError, RecursionError) as error:
        log.exception("A result has no JSON form")
        problem = GraphQLError(f"The result has no JSON form: {error}")
        return dumps({"data": None, "errors": [dict(problem.formatted)]})


def log_errors(errors: Iterable[Exception] | None, what: str, id: object) -> None:
    """Log, with the traceback, what broke in the user's code and not in the request."""
    for error in errors or ():
        cause = error.original_error if isinstance(error, GraphQLError) else error
        if cause is not None and not isinstance(cause, GraphQLError):
            log.warning("An error in %s (id %s): %s", what, id, error, exc_info=cause)

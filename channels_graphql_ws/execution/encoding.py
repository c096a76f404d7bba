"""Turn results into the JSON text that clients get."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Final

from graphql import ExecutionResult, GraphQLError

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.execution.compiler.introspection import KnownResult, LastingResult
from channels_graphql_ws.execution.errors import Formatter, describe
from channels_graphql_ws.execution.heavy import HeavyDict, HeavyResult
from channels_graphql_ws.execution.limits import exceeded
from channels_graphql_ws.execution.pieces import HeavyEncoding, TooLargeError, encode
from channels_graphql_ws.execution.unfit import unfit
from channels_graphql_ws.json_text import culprit, dumps, encodable, is_encodable

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

_FAILURES: Final = TooLargeError, TypeError, ValueError, RecursionError


def encode_answer(
    result: ExecutionResult, format: Formatter, limit: int | None = None
) -> str | Awaitable[str]:
    """Return the JSON text of the result of a query or mutation, at once unless it is long.

    One that was not executed at all, for example because of its variables, has no `data`
    (GraphQL specification, Response).

    Args:
        result: of the operation.
        format: turns an error into what clients are told.
        limit: bytes that the text may have, `None` for any number.
    """
    if type(result) is ExecutionResult and not result.errors:
        return encode_result(result, format, limit)
    if isinstance(result, HeavyResult):
        content = _content(result, format)
        try:
            text = HeavyEncoding(content, limit).text_or_rest()
        except _FAILURES as error:
            return _failed(error, content, format, limit)
        if isinstance(text, str):
            return _kept(result, text)
        return _later(result, text, content, format, limit)
    errors = result.errors or ()
    was_executed = result.data is not None or any(error.path is not None for error in errors)
    if was_executed or not errors:
        return encode_result(result, format, limit)
    return dumps({"errors": [describe(error, format) for error in errors]})


async def _later(
    result: HeavyResult,
    text: Awaitable[str],
    content: dict[str, Any],
    format: Formatter,
    limit: int | None,
) -> str:
    try:
        return _kept(result, await text)
    except _FAILURES as error:
        return _failed(error, content, format, limit)


def encode_result(result: ExecutionResult, format: Formatter, limit: int | None = None) -> str:
    """Return the JSON text of a result; data without a JSON form become an error.

    Args:
        result: of an operation or an event.
        format: turns an error into what clients are told.
        limit: bytes that the text may have, `None` for any number.
    """
    if isinstance(result, KnownResult):
        return result.text
    content = _content(result, format)
    try:
        if isinstance(result, HeavyResult):
            return _kept(result, HeavyEncoding(content, limit).text())
        return encode(content, limit)
    except _FAILURES as error:
        return _failed(error, content, format, limit)


def _content(result: ExecutionResult, format: Formatter) -> dict[str, Any]:
    data = result.data
    if isinstance(result, HeavyResult) and type(data) is dict:
        data = HeavyDict(data)
    content: dict[str, Any] = {"data": data}
    if result.errors:
        content["errors"] = [describe(error, format) for error in result.errors]
    if result.extensions:
        content["extensions"] = result.extensions
    return content


def _kept(result: HeavyResult, text: str) -> str:
    if isinstance(result, LastingResult):
        result.keep(text)
    return text


def _failed(
    error: Exception, content: dict[str, Any], format: Formatter, limit: int | None
) -> str:
    """Return what is told in place of a text that is too large, or cannot be."""
    if not isinstance(error, TooLargeError):
        where = culprit(content)
        log.error("A result has no JSON form: %s", where, exc_info=error)
        try:
            return encode(_without_lost_parts(content, where, format), limit)
        except TooLargeError:
            pass
    problem = exceeded("max_result_size", limit or 0, f"The result has more than {limit} bytes")
    return dumps({"data": None, "errors": [describe(problem, format)]})


def _without_lost_parts(content: dict[str, Any], where: str, format: Formatter) -> dict[str, Any]:
    """Return a result without data that have no JSON form, and without such extensions."""
    if not is_encodable(content["data"]):
        problem = unfit(GraphQLError(f"The result has no JSON form: {where}"))
        content["data"] = None
        content["errors"] = [*content.get("errors", ()), describe(problem, format)]
    told: dict[str, Any] = encodable(content)
    return told

"""The user's own way to execute queries and mutations, `execute_operation`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import ExecutionResult, GraphQLError

from .. import steps
from ..steps import Steps


def guarded(execute: Callable[..., Any]) -> Callable[..., Any]:
    """Give the same, whose errors of GraphQL are a result; it may give an awaitable."""
    return lambda **arguments: steps.run(_result(execute, arguments))


def _result(execute: Callable[..., Any], arguments: dict[str, Any]) -> Steps[ExecutionResult]:
    try:
        result: Any = execute(**arguments)
        while steps.is_awaitable(result):
            result = yield result
    except GraphQLError as error:
        return ExecutionResult(None, [error])
    if not isinstance(result, ExecutionResult):
        raise TypeError(
            f"`execute_operation` gave {type(result).__name__!r}, it has to give a "
            "`graphql.ExecutionResult`"
        )
    return result

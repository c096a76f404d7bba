"""What comes out of an operation: `GraphqlResult`, and results as types of the program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from channels_graphql_ws.client.errors import ErrorDetails, error_details


@dataclass(frozen=True, slots=True)
class GraphqlResult:
    """The answer to a query or a mutation (GraphQL specification, Response).

    Attributes:
        data: what could be resolved, `None` if nothing.
        errors: what went wrong, empty if all is well.
        extensions: the `extensions` of the result, empty without them.
    """

    data: Any
    errors: tuple[ErrorDetails, ...]
    extensions: Mapping[str, Any]


def result_of(message: Mapping[str, Any]) -> GraphqlResult:
    """Read the result that a message brings."""
    payload = message["payload"]
    errors = error_details(message) if payload.get("errors") else ()
    return GraphqlResult(payload.get("data"), errors, payload.get("extensions") or {})

"""What `on_operation` may have executed instead of the client's request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from graphql import GraphQLSchema

from channels_graphql_ws.execution.request import Subscribe
from channels_graphql_ws.operations.option_values import core_schema

_KINDS: Final[Mapping[str, tuple[type, ...]]] = {
    "query": (str,),
    "variables": (Mapping, type(None)),
    "operation_name": (str, type(None)),
    "schema": (object,),
}


def replaced(
    request: Subscribe, schema: GraphQLSchema, changes: Any
) -> tuple[Subscribe, GraphQLSchema]:
    """Return request and schema as the hook wants them.

    Args:
        request: what the client asked for.
        schema: of the consumer.
        changes: what the hook returned. Anything but a mapping changes nothing: hooks
            may return what they like, and always could.

    Raises:
        TypeError: a key or the type of a value makes no sense.
    """
    if not isinstance(changes, Mapping):
        return request, schema
    for name, value in changes.items():
        if name not in _KINDS:
            raise TypeError(f"`on_operation` returned {name!r}, it must be one of {list(_KINDS)}")
        if not isinstance(value, _KINDS[name]):
            raise TypeError(f"`on_operation` returned {value!r} for {name!r}")
    fields: dict[str, Any] = {name: changes[name] for name in changes if name != "schema"}
    if "variables" in fields:
        fields["variables"] = dict(fields["variables"] or {})
    if "operation_name" in fields:
        # As where a client sends it.
        fields["operation_name"] = fields["operation_name"] or None
    return replace(request, **fields), core_schema(changes.get("schema", schema))

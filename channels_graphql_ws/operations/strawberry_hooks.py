"""Hooks of Strawberry's views and consumers that are not called here, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from channels_graphql_ws.spelling import is_bound, is_function, takes

_RESPONSE: Final = "set status, headers and cookies of `info.context.response`"
_BODY: Final = "override `decode_json`, or replace what was asked for in `on_operation`"

_HOOKS: Final[Mapping[str, str]] = {
    "create_websocket_response": "override `accept(subprotocol, headers)`",
    "is_request_allowed": "raise in `on_operation(op_id, payload)` to refuse",
    "pick_websocket_subprotocol": "set `subprotocols`, the preferred one first",
}

_HTTP_HOOKS: Final[Mapping[str, str]] = {
    "create_response": _RESPONSE,
    "create_streaming_response": _RESPONSE,
    "execute_single": "override `on_operation` or `execute_operation`",
    "get_sub_response": _RESPONSE,
    "parse_http_body": _BODY,
    "parse_json": _BODY,
    "parse_multipart": _BODY,
    "parse_query_params": _BODY,
    "process_errors": "override `_format_error(error)`, or read the log",
    "should_render_graphql_ide": "set `graphiql`",
}
"""Where there is only a WebSocket, these are likely names of a user's own."""

_CLASSES: Final = frozenset(
    {
        "graphql_transport_ws_handler_class",
        "graphql_ws_handler_class",
        "request_adapter_class",
        "stream_transport_classes_by_protocol",
        "websocket_adapter_class",
    }
)
"""Attributes that name classes of Strawberry's inside."""

_EXECUTES: Final = (
    "schema",
    "document",
    "root_value",
    "context_value",
    "variable_values",
    "operation_name",
    "middleware",
)


def problem_of(cls: type[Any], base: type[Any], name: str) -> str | None:
    """Return what is wrong with an attribute that Strawberry has a meaning for.

    Args:
        cls: the user's class.
        base: the library's class that it derives from.
        name: what the user's class adds, or overrides.
    """
    if name in _CLASSES:
        return f"`{name}` of Strawberry is not used: hooks and options take its place."
    if not is_function(vars(cls).get(name)):
        return None
    if name == "execute_operation":
        takes_all = takes(getattr(cls, name), not is_bound(cls, name), _EXECUTES)
        problem = "`execute_operation` gets the arguments of `graphql.execute` by name."
        return None if takes_all else problem
    hooks = {**_HOOKS, **_HTTP_HOOKS} if hasattr(base, "render_graphiql") else _HOOKS
    return f"`{name}` of Strawberry is not called: {hooks[name]}." if name in hooks else None

"""Write down what an execution does, so that two of them can be compared with `==`."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from typing import Any

from graphql import GraphQLResolveInfo

from channels_graphql_ws.execution.heavy import HeavyDict, HeavyList

Note = tuple[Any, ...]


def canonical(value: Any) -> Any:
    """Give something comparable that keeps types, and the order of keys."""
    if isinstance(value, Mapping):
        return (_kind(value), [(key, canonical(each)) for key, each in value.items()])
    if isinstance(value, (list, tuple)):
        return (_kind(value), [canonical(each) for each in value])
    if isinstance(value, (str, int, float, type(None))):
        return (type(value).__name__, repr(value))
    if dataclasses.is_dataclass(value):
        return (type(value).__name__, repr(value))
    return type(value).__name__


def _kind(value: Any) -> str:
    # Marks of what the encoder takes in pieces; what they hold is the same.
    unmarked = {HeavyDict: dict, HeavyList: list}
    return unmarked.get(type(value), type(value)).__name__


def of_info(info: GraphQLResolveInfo, context: Any, root: Any) -> Note:
    """Write down every field of an `info`; what both executions share is told by its `id`."""
    path: Any = info.path
    typenames = []
    while path is not None:
        typenames.append((path.key, path.typename))
        path = path.prev
    return (
        ("field_name", info.field_name),
        ("field_nodes", type(info.field_nodes).__name__, [id(node) for node in info.field_nodes]),
        ("return_type", str(info.return_type), id(info.return_type)),
        ("parent_type", str(info.parent_type), id(info.parent_type)),
        ("path", info.path.as_list(), typenames),
        ("schema", id(info.schema)),
        ("fragments", {name: id(node) for name, node in info.fragments.items()}),
        ("root_value", info.root_value is root),
        ("operation", id(info.operation)),
        ("variable_values", canonical(info.variable_values)),
        ("context", info.context is context),
        ("is_awaitable", info.is_awaitable(_Awaitable()), info.is_awaitable(1)),
    )


class _Awaitable:
    def __await__(self) -> Any:
        raise AssertionError("it is only looked at")


def of_error(error: Any) -> Note:
    """Write down every part of a GraphQL error."""
    return (
        type(error).__name__,
        ("message", error.message),
        ("path", error.path),
        ("locations", canonical(error.locations)),
        ("extensions", canonical(error.extensions)),
        ("nodes", [id(node) for node in error.nodes or ()]),
        ("positions", error.positions),
        ("source", id(error.source) if error.source else None),
        ("original", of_exception(error.original_error)),
    )


def of_exception(error: BaseException | None) -> Note | None:
    """Write down an exception of any kind."""
    if error is None:
        return None
    return (type(error).__name__, canonical(error.args), error.__traceback__ is not None)


class Complaints:
    """What the event loop has to say about tasks and futures nobody looked after."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.heard.append(str(context.get("message")))

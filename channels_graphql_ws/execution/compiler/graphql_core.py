"""What graphql-core does not list as public, in one place, and how to tell that it is there."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Final

from graphql import (
    ExecutionContext,
    ExecutionResult,
    GraphQLAbstractType,
    GraphQLError,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLSchema,
    MiddlewareManager,
)
from graphql.pyutils import Path
from graphql.pyutils import is_awaitable as _is_awaitable

from channels_graphql_ws.execution.sync_resolvers import Hops
from channels_graphql_ws.execution.unfit import unfit, unfit_if_of_library

_execute: Any = import_module("graphql.execution.execute")

make: Final[Callable[..., Any]] = tuple.__new__
"""Make a `Path` or `GraphQLResolveInfo` of a tuple, without the keyword arguments which
take most of the time. `is_known` has made sure of the order."""

_INFO = (
    "field_name",
    "field_nodes",
    "return_type",
    "parent_type",
    "path",
    "schema",
    "fragments",
    "root_value",
    "operation",
    "variable_values",
    "context",
    "is_awaitable",
)

ROOT_VALUE: Final = _INFO.index("root_value")
"""The place in a `GraphQLResolveInfo` of what differs from event to event."""

_NEEDED = ("build_response", "complete_leaf_value", "ensure_valid_runtime_type")


CollectedErrors: Final[Callable[[], Any]] = _execute.CollectedErrors
"""Collects errors, without those below a position that is null already."""

build_response: Final[Callable[..., ExecutionResult]] = ExecutionContext.build_response
"""Put data and errors, in order, into a result."""

is_awaitable: Final[Callable[[Any], bool]] = _is_awaitable
"""What `info.is_awaitable` is."""


def is_known() -> bool:
    """Return whether this graphql-core is one that the compiler knows."""
    return (
        GraphQLResolveInfo._fields == _INFO
        and Path._fields == ("prev", "key", "typename")
        and all(hasattr(ExecutionContext, name) for name in _NEEDED)
    )


def complete_leaf(type_: Any, value: Any) -> Any:
    """Serialize a value of a scalar or enum type.

    Raises:
        Exception: it cannot be serialized, or the result is undefined.
    """
    try:
        return ExecutionContext.complete_leaf_value(type_, value)
    except GraphQLError as error:
        unfit_if_of_library(error)
        raise


def invalid_return_type(type_: GraphQLObjectType, value: Any, nodes: Any) -> GraphQLError:
    """Make the error for a value that is not of its type."""
    return unfit(_execute.invalid_return_type_error(type_, value, nodes))


def runtime_type(
    schema: GraphQLSchema,
    name: Any,
    abstract: GraphQLAbstractType,
    value: Any,
    info: GraphQLResolveInfo,
) -> GraphQLObjectType:
    """Return the type that a value of an interface or union is said to have.

    Raises:
        GraphQLError: there is no such type, or it is not one of the possible ones.
    """
    context: Any = SimpleNamespace(schema=schema)
    try:
        return ExecutionContext.ensure_valid_runtime_type(
            context, name, abstract, info.field_nodes, info, value
        )
    except GraphQLError as error:
        unfit_if_of_library(error)
        raise


def wrapped(
    resolve: Callable[..., Any], middleware: MiddlewareManager | None
) -> Callable[..., Any]:
    """Return what to call for a resolver."""
    if middleware is None:
        return resolve
    if isinstance(middleware, Hops):
        return middleware.get_compiled_resolver(resolve)
    return middleware.get_field_resolver(resolve)


def is_stable(middleware: MiddlewareManager) -> bool:
    """Return whether this always returns the same for a resolver, so that it is asked once.

    A subclass that decides for itself may say so of itself: `is_stable = True`.
    """
    own = type(middleware).get_field_resolver is not MiddlewareManager.get_field_resolver
    return not own or getattr(middleware, "is_stable", False) is True

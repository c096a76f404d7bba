"""Permission classes of fields: a decorator of resolvers, and a `Field` of ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, wraps
from typing import Any, Final, TypeVar

import graphene
from asgiref.sync import markcoroutinefunction
from graphql import GraphQLSchema, OperationDefinitionNode, OperationType

from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.eager import Eager
from channels_graphql_ws.concurrency.placement import on_event_loop
from channels_graphql_ws.concurrency.threads import EVENTS, OPERATIONS, in_thread, runs_on_loop
from channels_graphql_ws.execution.documents import Document
from channels_graphql_ws.execution.errors import log_refusal
from channels_graphql_ws.execution.masking import NO_MASK
from channels_graphql_ws.execution.permissions import (
    BasePermission,
    Permissions,
    call_of,
    checked_permissions,
    denial,
)
from channels_graphql_ws.execution.selected import selects
from channels_graphql_ws.execution.sync_resolvers import evaluated, iterated

Resolver = TypeVar("Resolver", bound=Callable[..., Any])

_COROUTINE_MARKS: Final = ("_is_coroutine", "_is_coroutine_mark")
"""Attributes that `wraps` copies, and that say something of the function inside."""

_MARK: Final = "_channels_graphql_ws_permissions"


def protected(
    *permissions: type[BasePermission] | Sequence[type[BasePermission]],
) -> Callable[[Resolver], Resolver]:
    """Protect a resolver: who lacks a permission gets an error in place of the field.

    For methods `resolve_…`, `mutate`, and `subscribe_…`. The permissions are asked in this order
    before the resolver is called, with the object whose field it is as `source`. What selects a
    protected field is executed for each client alone.

    Args:
        permissions: permission classes, one by one or as a list.

    Raises:
        TypeError: there are none, or one of them is not a permission class.
    """
    given: Any = permissions
    if len(permissions) == 1 and isinstance(permissions[0], list | tuple):
        given = permissions[0]
    checked = _checked("@protected(…)", given)

    def decorate(resolver: Any) -> Any:
        if isinstance(resolver, staticmethod):
            return staticmethod(guarded(resolver.__func__, checked))
        return guarded(resolver, checked)

    return decorate


class ProtectedField(graphene.Field):
    """A field that only those can read who have the permissions, whatever resolves it.

    Args:
        type_: as of `graphene.Field`, which takes the other arguments, too.
        permission_classes: see `protected`, which takes them one by one, too.

    Raises:
        TypeError: there are none, or one of them is not a permission class.
    """

    def __init__(
        self,
        type_: Any,
        *args: Any,
        permission_classes: Sequence[type[BasePermission]],
        **options: Any,
    ) -> None:
        super().__init__(type_, *args, **options)
        self._permissions = _checked("ProtectedField: `permission_classes`", permission_classes)

    @property
    def permission_classes(self) -> Permissions:
        """What is asked."""
        return self._permissions

    def wrap_resolve(self, parent_resolver: Any) -> Any:
        """Return the resolver, with the permissions before it."""
        return guarded(super().wrap_resolve(parent_resolver), self._permissions)

    def wrap_subscribe(self, parent_subscribe: Any) -> Any:
        """Return the method that yields events, if any, with the permissions before it."""
        subscribe = super().wrap_subscribe(parent_subscribe)
        return None if subscribe is None else guarded(subscribe, self.permission_classes)


def _checked(where: str, given: object) -> Permissions:
    permissions = checked_permissions(where, given)
    if not permissions:
        raise TypeError(f"{where} has no permission classes, and would protect nothing: name one")
    return permissions


def guarded(resolver: Callable[..., Any], permissions: Permissions) -> Callable[..., Any]:
    """Return a resolver that asks permissions first."""

    def resolve(root: Any, info: Any, **arguments: Any) -> Any:
        return eager.start(_resolved(resolver, permissions, root, info, arguments))

    if not isinstance(resolver, partial):
        resolve = wraps(resolver)(resolve)
    guard: Any = resolve
    for mark in _COROUTINE_MARKS:
        vars(guard).pop(mark, None)
    setattr(guard, _MARK, permissions)
    if runs_on_loop(resolver) and all(map(_is_async, permissions)):
        markcoroutinefunction(guard)
    return guard  # type: ignore[no-any-return]


def _is_async(permission: type[BasePermission]) -> bool:
    if permission.operands:
        return all(map(_is_async, permission.operands))
    return runs_on_loop(permission.has_permission)


def _resolved(
    resolver: Callable[..., Any],
    permissions: Permissions,
    root: Any,
    info: Any,
    arguments: dict[str, Any],
) -> Eager[Any]:
    # What has begun in a thread goes back there, once a permission has waited on the event loop.
    begun_in_thread = not on_event_loop()

    def ask(permission: type[BasePermission]) -> Any:
        call = call_of(permission, root, info, arguments)
        return _called(call, permission.has_permission, info, returns=begun_in_thread)

    denied = yield from denial(permissions, ask)
    if denied is not None:
        if denied.cause is not None:
            text = "Permission %s of field %r was denied"
            names = denied.permission.__qualname__, info.field_name
            log_refusal(text, denied.exception, NO_MASK, *names)
        raise denied.error

    def resolve() -> Any:
        value = resolver(root, info, **arguments)
        return evaluated(value, info) if begun_in_thread else value

    value = _called(resolve, resolver, info, returns=begun_in_thread)
    if eager.is_awaitable(value):
        value = yield iterated(value, info) if begun_in_thread else value
    return value


def _called(call: Callable[[], Any], function: Any, info: Any, *, returns: bool) -> Any:
    """Call, in a thread if that is where the call belongs; the result may be awaitable."""
    if not returns or runs_on_loop(function) or not on_event_loop():
        return call()
    is_event = info.operation.operation is OperationType.SUBSCRIPTION
    return in_thread(call, EVENTS if is_event else OPERATIONS)


def is_protected(resolver: Any) -> bool:
    """Return whether a resolver, or what a partial function has in it, asks permissions."""
    if isinstance(resolver, partial):
        return any(map(is_protected, (resolver.func, *resolver.args)))
    return getattr(resolver, _MARK, None) is not None


def permissions_of_resolver(resolver: Any) -> Permissions:
    """Return what is asked before a resolver is called, the outermost decorator first."""
    found: list[type[BasePermission]] = []
    while resolver is not None:
        found.extend(getattr(resolver, _MARK, ()))
        resolver = getattr(resolver, "__wrapped__", None)
    return tuple(dict.fromkeys(found))


def selects_protected(
    schema: GraphQLSchema, document: Document, operation: OperationDefinitionNode
) -> bool:
    """Return whether an operation selects a field that not everybody may read."""
    key = "selects what is protected", id(operation)
    known: bool | None = document.compiled.get(key)
    if known is None:
        known = document.compiled[key] = selects(schema, document.ast, operation, is_protected)
    return known

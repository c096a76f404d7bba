"""`permission_classes` of Subscription classes, also where they were set later."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from channels_graphql_ws.execution.permissions import (
    BasePermission,
    Permissions,
    checked_permissions,
)
from channels_graphql_ws.spelling import refuse
from channels_graphql_ws.subscription.names import is_field

if TYPE_CHECKING:
    from channels_graphql_ws.subscription.declaration import Subscription, SubscriptionOptions

NAME: Final = "permission_classes"


def declared_permissions(cls: type[Subscription], meta: SubscriptionOptions) -> Permissions:
    """Return the permissions of a class that is being made.

    Raises:
        TypeError: they are none, see `checked_permissions`.
    """
    if NAME in meta.own_names:
        return ()
    try:
        return _checked(cls, _given(cls), meta)
    except TypeError as error:
        refuse(error)
        # The errors are collected, and the class exists: it must not be open to all.
        return (_denied_to_all(error),)


def permissions_of(cls: type[Subscription]) -> Permissions:
    """Return the permissions of a class, as it or its bases name them now.

    Where they are none, one that is denied to all.
    """
    meta: Any = cls._meta
    if not _may_have_changed(cls):
        return meta.permissions  # type: ignore[no-any-return]
    try:
        return _checked(cls, cls.permission_classes, meta)
    except TypeError as error:
        return (_denied_to_all(error),)


def check_permissions(cls: type[Subscription]) -> None:
    """Refuse permissions of a class that is mounted, whenever they were set.

    Raises:
        TypeError: they are none, see `checked_permissions`.
    """
    if _may_have_changed(cls):
        try:
            _checked(cls, cls.permission_classes, cls._meta)
        except TypeError as error:
            refuse(error)


def _may_have_changed(cls: type[Subscription]) -> bool:
    meta: Any = cls._meta
    # Graphene has put the default value of a field of that name there.
    if NAME in meta.own_names or NAME in meta.fields:
        return False
    given: Any = cls.permission_classes
    return not isinstance(given, list | tuple) or tuple(given) != meta.permissions


def _given(cls: type[Subscription]) -> Any:
    """Return what a class or the next of its bases names; a field of that name is a field."""
    named = (each for each in cls.__mro__ if NAME in vars(each) and not _has_field(each))
    return vars(next(named))[NAME]


def _has_field(cls: type[Any]) -> bool:
    fields = getattr(vars(cls).get("_meta"), "fields", None) or ()
    return NAME in fields or is_field(vars(cls)[NAME])


def _checked(cls: type[Subscription], given: object, meta: SubscriptionOptions) -> Permissions:
    where = f"Subscription {cls.__qualname__!r}: `{NAME}`"
    return checked_permissions(where, given, meta.arguments or ())


def _denied_to_all(error: TypeError) -> type[BasePermission]:
    class Misdeclared(BasePermission):
        """Denied: nobody knows who should have it."""

        def has_permission(self, *_: Any, **__: Any) -> bool:
            raise TypeError(str(error))

    return Misdeclared

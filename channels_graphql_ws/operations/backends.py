"""Whom Django's authentication backends would not let in any more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model, load_backend
from django.db.models.manager import BaseManager


def refused(logins: Iterable[tuple[str, Any]]) -> set[tuple[str, Any]]:
    """Return those that are logged out at their next request to a Django view.

    Django asks the backend, whose `get_user` takes the default manager of the user model: that
    may hide rows, of deleted accounts for example. Then it asks `user_can_authenticate`. A
    backend with a `get_user` of its own is not asked: that may look at a request.

    Args:
        logins: the paths of backends, and users as the database has them now.

    Returns:
        The paths, and the primary keys of the users.
    """
    users = {(path, user.pk): user for path, user in logins}
    asked = {path: backend for path in {path for path, _ in users} if (backend := _backend(path))}
    of_backends = {each: user for each, user in users.items() if each[0] in asked}
    shown = _shown({pk for _, pk in of_backends})
    return {
        (path, pk)
        for (path, pk), user in of_backends.items()
        if pk not in shown or not asked[path].user_can_authenticate(user)
    }


def _backend(path: str) -> Any:
    """Return a backend that takes users from the database as Django's own does, or `None`."""
    # One that is not in the settings could not be known by now: they are read once.
    if path not in settings.AUTHENTICATION_BACKENDS:
        return None
    # It is a module of models, which may be imported when the apps are ready.
    from django.contrib.auth.backends import ModelBackend  # noqa: PLC0415

    backend = load_backend(path)
    is_djangos = getattr(type(backend), "get_user", None) is ModelBackend.get_user
    return backend if is_djangos else None


def _shown(keys: set[Any]) -> set[Any]:
    """Return the keys that the default manager of the user model shows."""
    manager = get_user_model()._default_manager  # noqa: SLF001 (Django documents it)
    shows_all = type(manager).get_queryset is BaseManager.get_queryset
    if shows_all or not keys:
        return keys
    return set(manager.filter(pk__in=keys).values_list("pk", flat=True))

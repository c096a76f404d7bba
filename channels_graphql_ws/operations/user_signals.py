"""Django's signals about users: a logout, a new password, a deleted account."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import connections, transaction
from django.db.models.signals import post_delete, post_save

from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.execution.context import OperationContext
from channels_graphql_ws.operations.revocation import (
    password_of,
    revoke,
    session_key,
    user_key,
)
from channels_graphql_ws.pubsub.outgoing import failures
from channels_graphql_ws.settings import project_settings

_FIELDS: Final = frozenset({"password", "is_active"})
"""Columns of users that decide on their rights."""


def connect() -> None:
    """Listen to the signals; harmless when repeated."""
    user_logged_in.connect(_logged_in, dispatch_uid=__name__)
    user_logged_out.connect(_logged_out, dispatch_uid=__name__)
    # Of this model only: other models are saved more often.
    model = settings.AUTH_USER_MODEL
    post_save.connect(_saved, sender=model, dispatch_uid=__name__)
    post_delete.connect(_deleted, sender=model, dispatch_uid=__name__)


def _logged_in(request: Any, user: Any, **_: Any) -> None:
    if isinstance(request, OperationContext):
        request.channels_scope["user"] = user


def _logged_out(request: Any, **_: Any) -> None:
    if isinstance(request, OperationContext):
        # It is a model's module, which may be imported when the apps are ready.
        from django.contrib.auth.models import AnonymousUser  # noqa: PLC0415

        scope = request.channels_scope
        scope["user"] = AnonymousUser()
        if scope["type"] == "websocket":
            # It is answered first: the connection itself ends the others.
            return
    # That of `channels.auth` has no request.
    key = getattr(getattr(request, "session", None), "session_key", None)
    if key is not None:
        _revoke(session_key(key))


def _saved(
    instance: Any,
    using: str,
    *,
    created: bool,
    raw: bool,
    update_fields: Collection[str] | None,
    **_: Any,
) -> None:
    if created or raw or (update_fields is not None and _FIELDS.isdisjoint(update_fields)):
        return
    password = password_of(instance) if getattr(instance, "is_active", True) else None
    _at_commit(using, user_key(instance), password)


def _deleted(instance: Any, using: str, **_: Any) -> None:
    _at_commit(using, user_key(instance))


def _at_commit(using: str, key: str, password: str | None = None) -> None:
    if connections[using].in_atomic_block:
        transaction.on_commit(partial(_revoke, key, password), using=using)
    else:
        _revoke(key, password)


def _revoke(key: str, password: str | None = None) -> None:
    """Revoke; a channel layer that is away fails no logout, and no save of a user."""
    if not project_settings.get("END_CONNECTIONS_OF_USERS"):
        return
    try:
        revoke(key, password)
    except ChannelLayerError as error:
        failures.add(error, "disconnect_user()")

"""Django's signals about users: a logout, a new password, a deleted account, permissions."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any, Final

from django.apps import apps
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessions
from django.db import connections, router, transaction
from django.db.models import Model
from django.db.models.signals import class_prepared, m2m_changed, post_delete, post_save
from django.db.models.utils import make_model_tuple

from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.execution.context import OperationContext
from channels_graphql_ws.operations.revocation import (
    FLAGS,
    password_of,
    revoke,
    session_key,
    tell_permissions,
    user_key,
)
from channels_graphql_ws.pubsub.outgoing import failures
from channels_graphql_ws.settings import project_settings

_FIELDS: Final = frozenset({"password", "is_active"})
"""Columns of users that decide on their rights."""

_RELATIONS: Final = ("{user}_groups", "{user}_user_permissions", "auth.Group_permissions")
"""Models that Django makes for relations. Signals of one that is never made never come."""

_ONCE: Final[Any] = {"dispatch_uid": __name__, "weak": False}
"""How to connect: with a weak reference, Django would keep one more finalizer each time."""


def connect() -> None:
    """Listen to the signals; harmless when repeated."""
    user_logged_in.connect(_logged_in, **_ONCE)
    user_logged_out.connect(_logged_out, **_ONCE)
    # Of these models only: others are saved more often.
    model = settings.AUTH_USER_MODEL
    apps.lazy_model_operation(_connect_family, make_model_tuple(model))
    class_prepared.connect(_connect_relative, **_ONCE)
    for relation in _RELATIONS:
        sender = relation.format(user=model)
        m2m_changed.connect(_relation_changed, sender=sender, **_ONCE)
    for each in ("auth.Group", "auth.Permission"):
        post_delete.connect(_group_deleted, sender=each, **_ONCE)


def _connect_family(model: type[Model]) -> None:
    """Listen to what happens to users under the name of any model that is theirs.

    Django's signals come from the class of the instance: of a proxy, or of a child with a table of
    its own, if the user was saved as that.
    """
    post_save.connect(_saved, sender=model, **_ONCE)
    # With the row of a child its parent's is deleted, which is told of by itself, or is kept.
    if model._meta.concrete_model is _user_model():
        post_delete.connect(_deleted, sender=model, **_ONCE)
    for child in model.__subclasses__():
        _connect_family(child)


def _connect_relative(sender: type[Model], **_: Any) -> None:
    """Listen to a model that is made later, if it is one of users."""
    # A user model that is not there yet has no children either.
    if (user := _user_model()) is not None and issubclass(sender, user):
        _connect_family(sender)


def _user_model() -> type[Model] | None:
    app_label, name = make_model_tuple(settings.AUTH_USER_MODEL)
    return apps.all_models[app_label].get(name)


def _logged_in(request: Any, user: Any, **_: Any) -> None:
    if isinstance(request, OperationContext):
        request.channels_scope["user"] = user


def _logged_out(request: Any, **_: Any) -> None:
    if isinstance(request, OperationContext):
        # It is a model's module, which may be imported when the apps are ready.
        from django.contrib.auth.models import AnonymousUser  # noqa: PLC0415

        # It is answered first: the connection or the request itself ends the others.
        request.channels_scope["user"] = AnonymousUser()
        return
    # That of `channels.auth` has no request.
    session = getattr(request, "session", None)
    key = getattr(session, "session_key", None)
    if key is not None:
        end_session(key)
    if key is not None and isinstance(session, SessionBase):
        _tell_of_deletion(session, key)


def _tell_of_deletion(session: SessionBase, key: str) -> None:
    """End what belongs to a session once more when it is gone from its store.

    Django's signal comes before: who connects meanwhile finds the session there.
    """
    own, delete, adelete = vars(session), session.delete, session.adelete

    def tell() -> None:
        own.pop("delete", None)
        own.pop("adelete", None)
        if isinstance(session, DatabaseSessions):
            _at_commit(router.db_for_write(session.model), lambda: end_session(key))
        else:
            end_session(key)

    def delete_and_tell(session_key: str | None = None) -> None:
        delete(session_key)
        tell()

    async def adelete_and_tell(session_key: str | None = None) -> None:
        await adelete(session_key)
        tell()

    own.update(delete=delete_and_tell, adelete=adelete_and_tell)


def end_session(key: str) -> None:
    """End what belongs to a session which is logged out, on all processes.

    Args:
        key: `session.session_key`.
    """
    _tell(lambda: revoke(session_key(key)))


def end_session_at_commit(session: object, key: str) -> None:
    """End it once more when a transaction of this thread that deletes it is committed.

    Until then, who connects finds the session in its table.

    Args:
        session: was logged out.
        key: its key before.
    """
    if not isinstance(session, DatabaseSessions):
        return
    using = router.db_for_write(session.model)
    if connections[using].in_atomic_block:
        transaction.on_commit(partial(end_session, key), using=using)


def _saved(
    instance: Any,
    using: str,
    *,
    created: bool,
    raw: bool,
    update_fields: Collection[str] | None,
    **_: Any,
) -> None:
    if created or raw:
        return
    key = user_key(instance)
    if update_fields is None or not _FIELDS.isdisjoint(update_fields):
        password = password_of(instance) if getattr(instance, "is_active", True) else None
        _at_commit(using, lambda: revoke(key, password))
    saved = {each for each in FLAGS if update_fields is None or each in update_fields}
    values = {name: value for name, value in vars(instance).items() if name in saved}
    if values:
        _at_commit(using, lambda: tell_permissions([key], values))


def _deleted(instance: Any, using: str, **_: Any) -> None:
    # Once it is deleted, it has no key any more.
    key = user_key(instance)
    _at_commit(using, lambda: revoke(key))


def _relation_changed(
    instance: Any, action: str, using: str, *, model: Any, pk_set: Any, **_: Any
) -> None:
    if not action.startswith("post_"):
        return
    users: list[str] | None = None
    if isinstance(instance, get_user_model()):
        users = [user_key(instance)]
    elif pk_set is not None and issubclass(get_user_model(), model):
        users = [f"user {each}" for each in pk_set]
    _at_commit(using, lambda: tell_permissions(users, {}))


def _group_deleted(using: str, **_: Any) -> None:
    _at_commit(using, lambda: tell_permissions(None, {}))


def _at_commit(using: str, tell: Callable[[], object]) -> None:
    if connections[using].in_atomic_block:
        transaction.on_commit(partial(_tell, tell), using=using)
    else:
        _tell(tell)


def _tell(tell: Callable[[], object]) -> None:
    """Tell; a channel layer that is away fails no logout, and no save of a user."""
    if not project_settings.get("END_CONNECTIONS_OF_USERS"):
        return
    try:
        tell()
    except ChannelLayerError as error:
        failures.add(error, "disconnect_user()")

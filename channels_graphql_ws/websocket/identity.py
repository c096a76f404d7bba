"""The identity of a client: what `on_connect` accepted, and what it is still deciding on."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, TypeAlias

from django.utils.functional import LazyObject, empty

Scope: TypeAlias = dict[str, Any]

Key: TypeAlias = tuple[Any, Any]
"""What tells identities apart: that of the user, and that of the session."""

_MISSING: Final = object()


class Identity:
    """The scope and the payload of `connection_init` that an operation belongs to.

    Attributes:
        connection: the scope that the connection began with: tells connections apart.
    """

    __slots__ = ("connection", "connection_params", "scope")

    def __init__(
        self, connection: object, scope: Scope, connection_params: Mapping[str, Any]
    ) -> None:
        self.connection = connection
        self.scope = scope
        self.connection_params = connection_params


_seen: ContextVar[Identity | None] = ContextVar("identity", default=None)


class Identities:
    """The identity of a connection, and the one that `on_connect` is deciding on.

    The hook works on a copy of the scope. What it changes there counts when it has accepted,
    and never for operations that began under another identity.

    Args:
        scope: the ASGI scope of the connection.

    Attributes:
        user: of the accepted scope, as far as it has been looked at: an operation may have put
            another one there.
    """

    __slots__ = ("__weakref__", "accepted", "is_first", "user")

    def __init__(self, scope: Scope) -> None:
        self.accepted = Identity(scope, scope, {})
        self.user: Any = None
        self.is_first = True

    @property
    def seen(self) -> Identity:
        """The identity that the running code belongs to.

        In `on_connect` the one it decides on, in an operation that of the operation.
        """
        seen, accepted = _seen.get(), self.accepted
        return accepted if seen is None or seen.connection is not accepted.connection else seen

    def propose(self, connection_params: Mapping[str, Any]) -> Handshake:
        """Begin a handshake, and have the running code see what it proposes."""
        handshake = Handshake(self.accepted, connection_params, is_first=self.is_first)
        _seen.set(handshake.identity)
        return handshake

    def accept(self, handshake: Handshake) -> bool:
        """Make the proposed identity the accepted one.

        Returns:
            Whether it is another one than was accepted before.
        """
        is_another = handshake.is_another()
        if not is_another:
            handshake.merge()
        self.accepted, self.is_first = handshake.identity, False
        self.user = self.accepted.scope.get("user")
        return is_another

    def accept_at_once(self, connection_params: Mapping[str, Any]) -> None:
        """Take a new payload where there is no hook that could refuse it."""
        accepted = self.accepted
        if connection_params or accepted.connection_params:
            self.accepted = Identity(accepted.connection, accepted.scope, connection_params)
        self.user, self.is_first = accepted.scope.get("user"), False

    def has_changed(self, began_as: Any) -> bool:
        """Take the user that the accepted scope has by now, another object than before.

        If it is somebody else, operations that begin from now on get another scope. What still
        runs keeps the scope that it has, with the user of before.

        Args:
            began_as: the user when the operation was executed that has come to its end.

        Returns:
            Whether an operation has logged the user out, or somebody in.
        """
        accepted, before = self.accepted, self.user
        scope = accepted.scope
        user = self.user = scope.get("user")
        if _user_key(before) is None:
            # Hooks may find out who it is with the first operation. That is not a login.
            before = began_as
        if not is_another_user(before, user):
            return False
        accepted.scope = dict(scope)
        scope["user"] = before
        return True


class Handshake:
    """One `connection_init` that is being decided on."""

    __slots__ = ("_accepted", "_before", "_key", "identity")

    def __init__(
        self, accepted: Identity, connection_params: Mapping[str, Any], *, is_first: bool
    ) -> None:
        self._accepted = accepted
        self._before = dict(accepted.scope)
        # Now, as `login` changes the session itself.
        self._key = None if is_first else _key(self._before)
        self.identity = Identity(accepted.connection, dict(self._before), connection_params)

    def is_another(self) -> bool:
        """Return whether the hook has put another user or session into the scope than before."""
        if self._key is None:
            return False
        (user, session), (new_user, new_session) = self._key, _key(self.identity.scope)
        return user != new_user or (None not in (session, new_session) and session != new_session)

    def merge(self) -> None:
        """Make the changes in the accepted scope, which operations share."""
        scope, before, changed = self._accepted.scope, self._before, self.identity.scope
        for name, value in changed.items():
            if before.get(name, _MISSING) is not value:
                scope[name] = value
        for name in before.keys() - changed.keys():
            scope.pop(name, None)
        self.identity.scope = scope

    def reject(self) -> None:
        """Leave everything as it was; code that the hook has started sees that."""
        self.identity.scope = self._accepted.scope
        self.identity.connection_params = self._accepted.connection_params


def is_another_user(before: Any, user: Any) -> bool:
    """Return whether a user, or nobody, is somebody else than before, without a query."""
    return user is not before and _user_key(before) != _user_key(user)


def _key(scope: Scope) -> Key:
    return _user_key(scope.get("user")), _session_key(scope.get("session"))


def _user_key(user: Any) -> Any:
    """Return what a user is known by, `None` for nobody."""
    if _is_unread(user):
        return id(user)
    for name in ("pk", "id"):
        if hasattr(user, name):
            key = getattr(user, name)
            return None if key is None else (_model(user), key)
    return user


def _model(user: Any) -> Any:
    # Of a wrapped user, too: `type` would return the wrapper's.
    cls = user.__class__
    meta = getattr(cls, "_meta", None)
    return getattr(meta, "concrete_model", cls)


def _session_key(session: Any) -> Any:
    return None if _is_unread(session) else getattr(session, "session_key", None)


def _is_unread(value: Any) -> bool:
    """Return whether to look at it would have it read from the database."""
    return isinstance(value, LazyObject) and value.__dict__.get("_wrapped") is empty

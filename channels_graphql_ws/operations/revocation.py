"""End what users may no longer have: on all processes, over the channel layer.

Each process listens to one group while somebody who is logged in is connected. A message
names a session, or a user; it goes the way of broadcasts, so no event that is broadcast after
it comes before it. Operators ask processes through the same group, see `questions`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from copy import copy
from datetime import datetime
from typing import Any, Final, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from django.contrib.auth import get_user_model

from channels_graphql_ws.concurrency.fairness import note_end_of_rights
from channels_graphql_ws.concurrency.threads import context_of_nobody
from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.operations import answers
from channels_graphql_ws.pubsub import local
from channels_graphql_ws.pubsub.hub import Hub
from channels_graphql_ws.pubsub.layers import destinations, is_local
from channels_graphql_ws.pubsub.notification import Notification
from channels_graphql_ws.pubsub.outgoing import SENT, Outgoing, Sent
from channels_graphql_ws.pubsub.publisher import group_name
from channels_graphql_ws.serializer import Serializer
from channels_graphql_ws.shutdown import Drainable
from channels_graphql_ws.subscription.sending import Addressed, send

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

REVOKED: Final = "The session or the rights of this user have ended"
"""The reason of the close."""

EXPIRED: Final = "The rights of this client have expired"
"""The same after `expires_at`."""

_TOPIC: Final = "channels_graphql_ws.revocation"


FLAGS: Final = ("is_staff", "is_superuser")
"""Columns of users that decide on their permissions."""


class Revocable(Drainable, Protocol):
    """A connection, or an event stream."""

    def revoke(self, reason: str) -> None:
        """End it now: its client may no longer have what it gets."""
        ...


class Rights(NamedTuple):
    """Whose rights a connection has.

    Attributes:
        user: the user, see `user_key`.
        session: the key of the session, `None` without one.
        password: the fingerprint of the password, `None` if the user did not log in by session.
    """

    user: str
    session: str | None
    password: str | None

    @property
    def keys(self) -> tuple[str, ...]:
        """What messages may name."""
        return (self.user,) if self.session is None else (self.user, session_key(self.session))


_LATEST: Final = 300_000_000_000
"""Seconds since 1970: behind the last year that `datetime` has. Nobody means a later time, but
today in milliseconds is one, and such a token would never expire."""

NOBODY: Final = Rights("nobody", None, None)
"""Of connections without a user, where operators ask for them, too. Nothing ends these rights."""


def user_key(user: Any) -> str:
    """Return what a user is known by, an instance of the user model."""
    return f"user {user.pk}"


def session_key(key: str) -> str:
    """Return what a session is known by; the channel layer has no use for its key."""
    return f"session {hashlib.sha256(key.encode()).hexdigest()}"


def password_of(user: Any) -> str | None:
    """Return the fingerprint of a user's password, `None` if it has none."""
    hash_of = getattr(user, "get_session_auth_hash", None)
    return None if hash_of is None else hashlib.sha256(hash_of().encode()).hexdigest()


def rights_of(scope: Mapping[str, Any]) -> Rights | None:
    """Return whose rights a scope gives; `None` for nobody, or if that would take a query."""
    try:
        user = scope["user"]
        if not user.is_authenticated:
            return None
        session = getattr(scope.get("session"), "session_key", None)
        return Rights(user_key(user), session, password_of(user) if session else None)
    except KeyError:
        return None
    # Another kind of user, or one whose attributes would take a query on the event loop.
    except Exception as error:  # noqa: BLE001
        log.debug("A logout will not end this connection, its user cannot be told: %r", error)
        return None


def seconds_until(expires_at: datetime | float) -> float:
    """Return how many seconds there are left; negative ones if it is over.

    Args:
        expires_at: a date and time, or seconds since 1970, as `exp` of a JWT.

    Raises:
        TypeError: it is neither, or has milliseconds in the place of seconds.
    """
    given: Any = expires_at
    at = given.timestamp() if isinstance(given, datetime) else given
    is_number = isinstance(at, int | float) and not isinstance(at, bool)
    # Nor is it less if it is not a number (NaN).
    if not (is_number and at < _LATEST):
        raise TypeError(
            f"expires_at is {expires_at!r}, it must be a datetime or seconds since 1970, not "
            "milliseconds; `None` never expires"
        )
    return at - time.time()


class Holder(NamedTuple):
    """What is known of a connection.

    Attributes:
        rights: the rights that it has.
        scope: its scope, with the user.
    """

    rights: Rights
    scope: dict[str, Any]


def refresh(scope: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Put a user into a scope that has read no permissions yet.

    Another object: what a thread is reading for the old one does not end up in the new one.

    Args:
        scope: has the user of before.
        values: attributes that have changed.
    """
    if not isinstance(scope.get("user"), get_user_model()):
        return
    user = copy(scope["user"])
    for name in [each for each in vars(user) if each.endswith(_CACHES)]:
        delattr(user, name)
    for name, value in values.items():
        setattr(user, name, value)
    scope["user"] = user


_CACHES: Final = ("_perm_cache", "_perms_cache", "_prefetched_objects_cache")
"""Ends of the names under which a user object keeps the permissions that were read."""


def forget_permissions(scope: dict[str, Any]) -> None:
    """Have the permissions of the user read anew, if they were read before changes are told."""
    known = getattr(scope.get("user"), "__dict__", {})
    # A lazy user that was not read yet is not read here.
    user = known.get("_wrapped")
    read = known if user is None else getattr(user, "__dict__", ())
    if any(name.endswith(_CACHES) for name in read):
        refresh(scope, {})


class Revocations:
    """What one hub is told about rights, and the sessions it can end. See `revocations_of`."""

    def __init__(self, hub: Hub, group: str) -> None:
        self._hub = hub
        self._groups = [group]
        self._known: dict[str, dict[Revocable, Holder]] = {}
        self._joining: asyncio.Task[None] | None = None

    @property
    def joining(self) -> asyncio.Task[None] | None:
        """Return what to wait for until all messages come; `None` if they do."""
        return None if self._joining is None or self._joining.done() else self._joining

    def add(self, connection: Revocable, rights: Rights, scope: dict[str, Any]) -> None:
        """End a connection when its rights do, and refresh its user."""
        if not self._known and self._hub.listen(self, self._groups):
            context = context_of_nobody()
            self._joining = self._hub.loop.create_task(self._join(), context=context)
        forget_permissions(scope)
        for key in rights.keys:
            self._known.setdefault(key, {})[connection] = Holder(rights, scope)

    async def _join(self) -> None:
        # If the channel layer refuses, nobody knows better.
        with suppress(ChannelLayerError):
            await self._hub.joined(self._groups)
        # What was changed before is not told.
        for connections in self._known.values():
            for holder in connections.values():
                forget_permissions(holder.scope)

    def discard(self, connection: Revocable, rights: Rights) -> None:
        """Undo `add`; harmless when repeated."""
        for key in rights.keys:
            connections = self._known.get(key, {})
            holder = connections.get(connection)
            # The rights that it has now may have some keys in common with those of before.
            if holder is not None and holder.rights == rights:
                del connections[connection]
            if not connections and self._known.pop(key, None) is not None and not self._known:
                self._hub.leave(self, self._groups)

    def offer(self, notification: Notification) -> bool:
        """Take a message: what it ends, it ends before any later event is looked at."""
        message: Mapping[str, Any] = notification.payload()
        if message["key"] == _PERMISSIONS:
            self._refresh(message["users"], message["values"])
            return False
        if message["key"] == answers.QUESTION:
            answers.answer(self._hub.layer, message)
            return False
        password = message.get("password")
        for connection, holder in list(self._known.get(message["key"], {}).items()):
            if password is None or holder.rights.password not in (None, password):
                connection.revoke(REVOKED)
        return False

    def _refresh(self, users: Collection[str] | None, values: Mapping[str, Any]) -> None:
        for key in self._known if users is None else users:
            for holder in self._known.get(key, {}).values():
                if key == holder.rights.user:
                    refresh(holder.scope, values)

    def finish(self) -> bool:
        """Ignore the end of subscriptions."""
        return False

    def revoke(self) -> None:
        """Ignore the end of rights to subscriptions."""

    def lost(self, missed: int | None, serial: int) -> bool:
        """Log it: a connection whose rights have ended may go on."""
        del serial
        log.warning(
            "The channel layer has lost %s messages about users whose rights have ended: "
            "connections of theirs may be open still",
            "an unknown number of" if missed is None else missed,
        )
        return False

    @property
    def owner(self) -> None:
        """Belong to nobody."""

    def run_next(self) -> bool:
        """Have nothing to execute."""
        return False


_of_hubs: WeakKeyDictionary[Hub, dict[str, Revocations]] = WeakKeyDictionary()


def revocations_of(hub: Hub, prefix: str) -> Revocations:
    """Return what ends connections of a hub whose groups begin with a prefix."""
    known = _of_hubs.setdefault(hub, {})
    group = group_name(prefix, _TOPIC, None)
    if group not in known:
        known[group] = Revocations(hub, group)
    return known[group]


def disconnect_user(user: Any) -> asyncio.Future[None] | Sent:
    """End all WebSockets and event streams of a user, on all processes.

    WebSockets are closed with 4403; streams get an error, and end. To be called from anywhere,
    as `Subscription.broadcast` is.

    Args:
        user: the user, or its primary key.

    Returns:
        What may be awaited, done when the channel layer has it.

    Raises:
        ChannelLayerError: no channel layer is configured, or it failed.
    """
    return revoke(user_key(user) if hasattr(user, "pk") else f"user {user}")


def disconnect_session(key: str) -> asyncio.Future[None] | Sent:
    """End all WebSockets and event streams of a session, see `disconnect_user`.

    Args:
        key: `session.session_key`.

    Raises:
        ChannelLayerError: no channel layer is configured, or it failed.
    """
    return revoke(session_key(key))


def revoke(key: str, password: str | None = None) -> asyncio.Future[None] | Sent:
    """Tell all processes whose rights have ended.

    Args:
        key: whose.
        password: that of those who logged in by session and may stay; `None`: nobody may.

    Raises:
        ChannelLayerError: no channel layer is configured, or it failed.
    """
    note_end_of_rights()
    messages = revocation(key, password)
    return send(messages) if messages else SENT


def revocation(key: str, password: str | None = None) -> list[Addressed]:
    """Return the messages that `revoke` sends."""
    return messages_to_all({"key": key, "password": password})


def tell_permissions(
    users: Collection[str] | None, values: Mapping[str, Any]
) -> asyncio.Future[None] | Sent:
    """Tell all processes that users have other permissions.

    Args:
        users: see `user_key`; `None`: nobody knows which.
        values: their attributes that have changed.

    Raises:
        ChannelLayerError: no channel layer is configured, or it failed.
    """
    messages = messages_to_all({"key": _PERMISSIONS, "users": users, "values": values})
    return send(messages) if messages else SENT


_PERMISSIONS: Final = "permissions"
"""The key of a message that ends nothing."""


def messages_to_all(content: Mapping[str, Any]) -> list[Addressed]:
    """Return the messages that take something to all processes that listen.

    Args:
        content: its `key` says what it is.

    Raises:
        ChannelLayerError: no channel layer is configured.
    """
    data = Serializer.serialize(content)
    return [
        (layer, Outgoing(_message(prefix, data), "disconnect_user"))
        for layer, prefix in destinations()
        # Nobody is connected, or to another process, which this layer does not reach.
        if not is_local(layer) or local.receivers(layer)
    ]


def _message(prefix: str, data: bytes) -> dict[str, Any]:
    group = group_name(prefix, _TOPIC, None)
    return {"type": "broadcast", "payload": data, "group": group}

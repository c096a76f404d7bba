"""Find users and sessions that have ended without a signal, and end what is theirs.

An account that was closed by `QuerySet.update()`, a row that was deleted in SQL, a session that is
gone from its store: all connections of an event loop are looked up together, every
`revalidate_every` seconds, and those that begin an operation before it. While one look-up is under
way, others wait and share the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, SESSION_KEY, get_user_model
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.cache import SessionStore as CacheSessions
from django.contrib.sessions.backends.db import SessionStore as DatabaseSessions
from django.core.cache import caches
from django.db import connections, router
from django.utils import timezone

from channels_graphql_ws.concurrency.database import DatabaseCall
from channels_graphql_ws.concurrency.threads import context_of_nobody, in_thread
from channels_graphql_ws.operations.backends import refused
from channels_graphql_ws.operations.revocation import (
    FLAGS,
    REVOKED,
    Revocable,
    Rights,
    password_of,
    refresh,
    rights_of,
)
from channels_graphql_ws.settings import project_settings

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

PATIENCE: Final = 5.0
"""Seconds that operations wait for a look-up. Then they go on, as nobody knows better."""

SETTING: Final = "END_CONNECTIONS_OF_USERS"
"""The key of the project's setting that switches all of it off."""

MOST_KEYS: Final = 500
"""Most sessions that one query asks for."""


Login: TypeAlias = tuple[type[Any], str]
"""The class and the key of a session."""


Flags: TypeAlias = tuple[tuple[str, Any], ...]
"""Names and values of `is_staff` and `is_superuser`."""


class Claim(NamedTuple):
    """What a connection says of its user, to be looked up.

    Attributes:
        user: the primary key.
        password: the fingerprint of the password, `None` if the user did not log in by session.
        is_active: whether the account was open; some backends let in others, too.
        session: the session that the user came by, if any.
        flags: what decides on the user's permissions. Others of it are no refutation.
        backend: the path of the backend that the user logged in by, `None` without a session.
    """

    user: Any
    password: str | None
    is_active: bool
    session: Login | None
    flags: Flags = ()
    backend: str | None = None


def claim_of(scope: Mapping[str, Any], rights: Rights) -> Claim | None:
    """Return what there is to look up; `None` for a user that no database knows."""
    try:
        user: Any = scope["user"]
        if not isinstance(user, get_user_model()) or user._state.adding:
            return None
        session: Any = scope.get("session")
        # One that was not read is not what the user came by, and would be read here.
        is_login = session is not None and session.accessed and SESSION_KEY in session
        by = (session.__class__, str(rights.session)) if is_login and rights.session else None
        is_active = bool(getattr(user, "is_active", True))
        backend = session.get(BACKEND_SESSION_KEY) if session is not None and by else None
        return Claim(user.pk, rights.password, is_active, by, _flags_of(user), backend)
    # Another kind of user, or of session.
    except Exception as error:  # noqa: BLE001
        log.debug("A user is not looked up again: %r", error)
        return None


def _flags_of(user: Any) -> Flags:
    return tuple((name, getattr(user, name)) for name in FLAGS if hasattr(user, name))


Found: TypeAlias = dict[Claim, Flags | None]
"""What has been found out about claims that hold no longer, see `look_up`."""


class Watched:
    """A connection whose rights are looked up.

    Attributes:
        connection: what ends with them; `None`: they are looked up once.
        claim: what is looked up.
        scope: has the user.
        checked_at: when that was done last, on the clock of the event loop.
        has_ended: the rights have.
    """

    __slots__ = ("checked_at", "claim", "connection", "has_ended", "scope")

    def __init__(
        self, connection: Revocable | None, claim: Claim, scope: dict[str, Any] | None = None
    ) -> None:
        self.connection = connection
        self.claim = claim
        self.scope: dict[str, Any] = {} if scope is None else scope
        self.checked_at = float("-inf")
        self.has_ended = False

    def take(self, flags: Flags) -> None:
        """Take flags that the user has now: they may have changed since it was read."""
        self.claim = self.claim._replace(flags=flags)
        refresh(self.scope, dict(flags))


class Revalidation:
    """Looks up the rights of connections of one event loop; see `revalidation_of`.

    Args:
        every: seconds between two look-ups of all.
    """

    def __init__(self, every: float) -> None:
        self._every = every
        self._loop = asyncio.get_running_loop()
        self._watched: dict[Watched, None] = {}
        self._wanted: dict[Watched, None] = {}
        self._answered: asyncio.Future[None] | None = None
        self._running: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[Found] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_blind = False

    def add(self, watched: Watched) -> None:
        """Look a connection up, from now on."""
        self._watched[watched] = None
        if self._timer is None:
            self._set_timer()

    def discard(self, watched: Watched) -> None:
        """Undo `add`; harmless when repeated."""
        self._watched.pop(watched, None)
        if not self._watched and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def before_operation(self, watched: Watched, trust: float) -> asyncio.Future[None] | None:
        """Return what to wait for before an operation, if there is need to.

        Args:
            watched: whose operation it is.
            trust: seconds that a look-up counts.
        """
        if self._loop.time() - watched.checked_at < trust:
            return None
        self._wanted[watched] = None
        # Who is cancelled waits for nothing, and the others still do.
        return asyncio.shield(self._begin())

    async def holds(self, claim: Claim, scope: Any) -> bool:
        """Look a claim up, once."""
        watched = Watched(None, claim, scope)
        self._wanted[watched] = None
        await asyncio.shield(self._begin())
        return not watched.has_ended

    def _set_timer(self) -> None:
        self._timer = self._loop.call_later(self._every, self._tick, context=context_of_nobody())

    def _tick(self) -> None:
        self._set_timer()
        self._wanted.update(self._watched)
        self._begin()

    def _begin(self) -> asyncio.Future[None]:
        if self._answered is None:
            self._answered = self._loop.create_future()
        if self._running is None:
            self._running = self._loop.create_task(self._run(), context=context_of_nobody())
        return self._answered

    async def _run(self) -> None:
        try:
            while self._answered is not None:
                wanted, self._wanted = self._wanted, {}
                answered, self._answered = self._answered, None
                try:
                    self._end(wanted, await self._answers({each.claim for each in wanted}))
                finally:
                    answered.set_result(None)
        finally:
            self._running = None

    def _end(self, wanted: Iterable[Watched], found: Found) -> None:
        now = self._loop.time()
        for each in wanted:
            each.checked_at = now
            flags = found.get(each.claim, each.claim.flags)
            each.has_ended = flags is None
            if flags is not None and flags != each.claim.flags:
                each.take(flags)
            # It may be another client's by now, or closed.
            if each.has_ended and each in self._watched and each.connection is not None:
                each.connection.revoke(REVOKED)

    async def _answers(self, claims: Collection[Claim]) -> Found:
        """Return the claims that hold no longer; none while nobody answers."""
        if self._asking is not None and not self._asking.done():
            # It hangs: another thread would, too.
            return {}
        self._asking = task = self._loop.create_task(refuted(claims))
        task.add_done_callback(_retrieve)
        await asyncio.wait([task], timeout=PATIENCE)
        error = task.exception() if task.done() else TimeoutError(f"no answer in {PATIENCE} s")
        if error is None:
            self._is_blind = False
            return task.result()
        if not self._is_blind:
            self._is_blind = True
            text = "Users and sessions cannot be looked up, connections stay until they can: %r"
            log.warning(text, error)
        return {}


def _retrieve(task: asyncio.Task[Any]) -> None:
    # One that comes too late is of no interest, and must not be told of as never retrieved.
    if not task.cancelled():
        task.exception()


_of_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[float, Revalidation]]
_of_loops = WeakKeyDictionary()


def revalidation_of(every: float) -> Revalidation:
    """Return what looks up rights every so many seconds, on this event loop."""
    known = _of_loops.setdefault(asyncio.get_running_loop(), {})
    if every not in known:
        known[every] = Revalidation(every)
    return known[every]


async def have_ended(scope: Any, every: float | None) -> bool:
    """Return whether the rights that a scope gives have ended since they were read.

    Its user is refreshed if the permissions have changed meanwhile.

    Args:
        scope: has the user.
        every: seconds between two look-ups of connections; 0 or `None`: nothing is looked up.
    """
    rights = rights_of(scope) if every and project_settings.get(SETTING) else None
    claim = None if rights is None else claim_of(scope, rights)
    return claim is not None and not await revalidation_of(every or 0.0).holds(claim, scope)


async def refuted(claims: Collection[Claim]) -> Found:
    """Return the claims that hold no longer, see `look_up`."""
    if not is_in_memory():
        claims = await in_thread(partial(look_up, claims))
    # Coroutines have their database connection in one thread. If what they see there is not
    # committed, as in a test case of Django, no other thread sees it.
    found: Found = await DatabaseCall(look_up)(claims) if claims else {}
    return found


def is_in_memory() -> bool:
    """Return whether users are in an SQLite database in memory, as in tests.

    There, one thread that reads makes others that write fail.
    """
    database: Any = connections[router.db_for_read(get_user_model())]
    return database.vendor == "sqlite" and bool(database.is_in_memory_db())


def look_up(claims: Collection[Claim]) -> Found:
    """Return the claims that hold no longer; to be called in a thread.

    Returns:
        For each of them `None`, or the flags that the user has now, if that is all.
    """
    users = get_user_model()._base_manager.in_bulk(  # noqa: SLF001 (Django documents it)
        {each.user for each in claims}
    )
    living = _living_sessions(each.session for each in claims if each.session is not None)
    logins = [(each.backend, users[each.user]) for each in claims if each.user in users]
    out = refused((path, user) for path, user in logins if path is not None)
    found: Found = {}
    for each in claims:
        user = users.get(each.user)
        is_out = (each.backend, each.user) in out or each.session not in living
        if is_out or not _may_stay(each, user):
            found[each] = None
        elif (flags := _flags_of(user)) != each.flags:
            found[each] = flags
    return found


def _may_stay(claim: Claim, user: Any) -> bool:
    if user is None or (claim.is_active and not getattr(user, "is_active", True)):
        return False
    return claim.password is None or claim.password == password_of(user)


def _living_sessions(sessions: Iterable[Login]) -> set[Login | None]:
    keys: dict[type[Any], set[str]] = {}
    for store, key in sessions:
        keys.setdefault(store, set()).add(key)
    living: set[Login | None] = {None}
    for store, known in keys.items():
        living.update((store, key) for key in _living_keys(store, known))
    return living


def _living_keys(store: type[Any], keys: Collection[str]) -> Iterable[str]:
    if issubclass(store, DatabaseSessions):
        return _keys_in_database(store, sorted(keys))
    if issubclass(store, CacheSessions):
        prefix = store.cache_key_prefix
        found = caches[settings.SESSION_CACHE_ALIAS].get_many([prefix + key for key in keys])
        return [key for key in keys if prefix + key in found]
    return [key for key in keys if _is_kept(store(key))]


def _keys_in_database(store: type[DatabaseSessions], keys: list[str]) -> Iterator[str]:
    rows = store.get_model_class().objects.filter(expire_date__gt=timezone.now())
    for start in range(0, len(keys), MOST_KEYS):
        part = keys[start : start + MOST_KEYS]
        yield from rows.filter(session_key__in=part).values_list("session_key", flat=True)


def _is_kept(session: SessionBase) -> bool:
    # One that is gone forgets its key.
    session.load()
    return session.session_key is not None

"""What goes on in this process, connection by connection: for operators."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import asdict, dataclass
from heapq import nlargest
from secrets import token_hex
from typing import Any, Final, Protocol, runtime_checkable

from channels_graphql_ws.json_text import dumps, loads
from channels_graphql_ws.operations.places import user_id_of
from channels_graphql_ws.shutdown import connections_with_loops

ENDED: Final = "An operator has ended this connection"
"""The reason of the close."""

MOST_LISTED: Final = 1_000
"""Connections that one process lists at most."""

MOST_BYTES: Final = 262_144
"""Bytes of the connections that one process lists."""

MOST_NAMES: Final = 10
"""Subscriptions that are named for one connection."""

LONGEST: Final = 100
"""Characters of one text."""

_AT_ONCE: Final = 100
"""Connections that are looked at before the event loop goes on to other callbacks."""


class ListedSubscription(Protocol):
    """A subscription, as far as operators are told of it."""

    @property
    def name(self) -> str:
        """What to call it in the log."""
        ...

    @property
    def queued(self) -> int:
        """How many events wait for the client. May be called from any thread."""
        ...


@dataclass(frozen=True, slots=True)
class ListedConnection:
    """What operators are told of a WebSocket or an event stream: nothing that was sent over it.

    Attributes:
        id: tells connections apart, in the log and in signals, too.
        kind: "WebSocket" or "event stream".
        user: the name of who is logged in; empty if nobody is, or if it takes a query.
        user_id: the primary key of the user, as text; empty likewise.
        path: that of the URL.
        operations: under way, subscriptions among them.
        subscriptions: how many of each name.
        queued: events that wait in queues of its subscriptions.
        unsent_bytes: of messages that the client has not read.
    """

    id: str
    kind: str
    user: str
    user_id: str
    path: str
    operations: int
    subscriptions: Mapping[str, int]
    queued: int
    unsent_bytes: int

    def matches(self, search: str) -> bool:
        """Return whether a text is its id or its user's, or part of the user's name."""
        return search in (self.id, self.user_id) or search.lower() in self.user.lower()


@dataclass(frozen=True, slots=True)
class ListedProcess:
    """What one process has answered.

    Attributes:
        id: tells processes apart.
        name: host and process id.
        connections: that are open.
        users: who is logged in, each once.
        subscriptions: under way.
        queued: events that wait in queues of subscriptions.
        unsent_bytes: of messages that clients have not read.
        matching: connections that were asked for.
        listed: those of them that have most waiting.
        ended: connections that were ended.
    """

    id: str
    name: str
    connections: int = 0
    users: int = 0
    subscriptions: int = 0
    queued: int = 0
    unsent_bytes: int = 0
    matching: int = 0
    listed: tuple[ListedConnection, ...] = ()
    ended: int = 0

    @property
    def more(self) -> int:
        """Connections that were asked for and are not listed."""
        return self.matching - len(self.listed)

    def encoded(self) -> str:
        """Return it as JSON text."""
        return dumps(asdict(self))

    @classmethod
    def decoded(cls, text: str) -> ListedProcess:
        """Return what `encoded` has made.

        Raises:
            TypeError, ValueError: it is something else, perhaps of another release.
        """
        content = loads(text)
        listed = tuple(ListedConnection(**each) for each in content.pop("listed"))
        return cls(**content, listed=listed)


@runtime_checkable
class Listable(Protocol):
    """A connection or an event stream."""

    def listed(self) -> ListedConnection:
        """Return what operators are told. May be called from any thread."""
        ...

    def revoke(self, reason: str) -> None:
        """End it now."""
        ...


def listed_connection(
    id: str,
    kind: str,
    scope: Mapping[str, Any],
    subscriptions: Iterable[ListedSubscription],
    *,
    operations: int,
    unsent_bytes: int,
) -> ListedConnection:
    """Return what operators are told of one connection.

    Args:
        id: tells connections apart.
        kind: "WebSocket" or "event stream".
        scope: of the connection or request.
        subscriptions: under way.
        operations: how many are under way.
        unsent_bytes: of messages that the client has not read.
    """
    under_way = list(subscriptions)
    names = Counter(_short(each.name) for each in under_way)
    user_id = user_id_of(scope)
    return ListedConnection(
        id=id,
        kind=kind,
        user="" if user_id is None else _name_of(scope["user"]),
        user_id="" if user_id is None else _short(user_id),
        path=_short(scope.get("path", "")),
        operations=operations,
        subscriptions=dict(names.most_common(MOST_NAMES)),
        queued=sum(each.queued for each in under_way),
        unsent_bytes=unsent_bytes,
    )


async def list_process(search: str = "", limit: int = MOST_LISTED) -> ListedProcess:
    """Return what goes on in this process, on all of its event loops.

    Args:
        search: which connections are asked for, see `ListedConnection.matches`.
        limit: how many of them are listed at most.
    """
    found: list[ListedConnection] = []
    for number, (_, each) in enumerate(connections_with_loops(), 1):
        if isinstance(each, Listable):
            found.append(each.listed())
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    matching = [each for each in found if each.matches(search)]
    first = nlargest(
        min(limit, MOST_LISTED), matching, key=lambda each: (each.queued, each.unsent_bytes)
    )
    return ListedProcess(
        *process_names(),
        connections=len(found),
        users=len({each.user_id for each in found} - {""}),
        subscriptions=sum(sum(each.subscriptions.values()) for each in found),
        queued=sum(each.queued for each in found),
        unsent_bytes=sum(each.unsent_bytes for each in found),
        matching=len(matching),
        listed=tuple(_bounded(first)),
    )


async def end_in_process(id: str) -> ListedProcess:
    """End the connection of an id, if it belongs to this process; return whether it does."""
    ended = 0
    for number, (loop, each) in enumerate(connections_with_loops(), 1):
        if isinstance(each, Listable) and each.listed().id == id:
            # A loop that is closed by now has ended it.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(each.revoke, ENDED, context=Context())
            ended += 1
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return ListedProcess(*process_names(), ended=ended)


_ids: dict[int, str] = {}
"""What this process is known by; a forked one has another."""


def process_names() -> tuple[str, str]:
    """Return what tells this process from all others, and what to call it."""
    pid = os.getpid()
    return _ids.setdefault(pid, token_hex(8)), f"{_short(socket.gethostname())}:{pid}"


def _bounded(connections: Iterable[ListedConnection]) -> Iterable[ListedConnection]:
    left = MOST_BYTES
    for each in connections:
        left -= len(dumps(asdict(each)).encode(errors="surrogatepass"))
        if left < 0:
            return
        yield each


def _name_of(user: Any) -> str:
    try:
        return _short(user.get_username())
    except Exception:  # noqa: BLE001 (another kind of user, or a query on the event loop)
        return ""


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"

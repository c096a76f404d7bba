"""Where durable broadcasts go: into an outbox, if the app with one is installed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from django.core.exceptions import ImproperlyConfigured

from channels_graphql_ws.pubsub.outgoing import Sent
from channels_graphql_ws.subscription.sending import Addressed

if TYPE_CHECKING:
    from channels_graphql_ws.subscription.declaration import Subscription

APP: Final = "channels_graphql_ws.outbox"
"""The app that brings an outbox."""


class Way(Protocol):
    """Sends broadcasts in one of the ways that there are, see `sending`."""

    def send(self, outgoing: Sequence[Addressed]) -> asyncio.Future[None] | Sent:
        """Send; what is returned may be awaited."""
        ...

    def send_async(self, outgoing: Sequence[Addressed]) -> Coroutine[Any, Any, None]:
        """Send when awaited."""
        ...

    def send_sync(self, outgoing: Sequence[Addressed]) -> None:
        """Send from plain code."""
        ...


class Outbox(Protocol):
    """Makes what sends a durable broadcast."""

    def __call__(self, cls: type[Subscription], group: str | None, using: str | None) -> Way:
        """Return it, for the transaction of a database."""
        ...


class _Installed:
    outbox: Outbox | None = None


installed: Final = _Installed()
"""The outbox of this process, if the app is installed."""


@dataclass(frozen=True, slots=True)
class OutboxStatistics:
    """Rows in the outbox of one database, of all processes, when this process last counted them.

    Attributes:
        database: its alias.
        waiting: events that are still to be sent.
        given_up: events that could not be sent, and are kept with their error.
        oldest_seconds: for how long the oldest of those that wait has done so; 0 without any.
    """

    database: str
    waiting: int
    given_up: int
    oldest_seconds: float


counted: Final[dict[str, OutboxStatistics]] = {}
"""By the alias of the database; only while this process looks into it, and can read it."""


def durable_sender(
    cls: type[Subscription], group: str | None, using: str | None, *, on_commit: bool | None
) -> Way:
    """Return what sends a durable broadcast.

    Args:
        cls: the class.
        group: the group as the caller names it.
        using: the alias of the database with the transaction.
        on_commit: what the caller said about the commit, if anything.

    Raises:
        ImproperlyConfigured: the app with the outbox is not installed.
        TypeError: the caller does not want to wait for the commit.
        ConnectionDoesNotExist: there is no such database.
    """
    if installed.outbox is None:
        raise ImproperlyConfigured(
            f"{cls.__qualname__}.broadcast(…, durable=True) needs an outbox: add {APP!r} to "
            "INSTALLED_APPS, and run `python manage.py migrate`"
        )
    if on_commit is False:
        raise TypeError(
            f"{cls.__qualname__}.broadcast: a durable event is sent with the commit, so "
            "`on_commit=False` contradicts it: leave that out, or say `durable=False`"
        )
    return installed.outbox(cls, group, using)

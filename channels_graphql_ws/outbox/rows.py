"""Claim rows of the outbox, and note what became of them; to be called in threads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from typing import Any, Final
from uuid import uuid4

from django.db import DatabaseError, connections, router, transaction
from django.db.models import Count, Min, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from channels_graphql_ws.client_log import ClientLog, Sentence
from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.outbox.models import OutboxEvent
from channels_graphql_ws.settings import project_settings
from channels_graphql_ws.subscription.declaration import Subscription, addressed_events
from channels_graphql_ws.subscription.durable import OutboxStatistics
from channels_graphql_ws.subscription.groups import topic_of
from channels_graphql_ws.subscription.known import subscription_classes
from channels_graphql_ws.subscription.sending import Addressed

log = ClientLog("channels_graphql_ws.broadcast")

BATCH: Final = 100
"""Rows that a process claims at a time."""

LEASE: Final = timedelta(seconds=30)
"""How long a process has to send what it has claimed, before another one does."""

MOST_ATTEMPTS: Final = 10
"""Attempts to send a row which cannot be sent as it is, until it is given up: about four minutes,
in which a process with newer or older code may know the class."""

LONGEST_PAUSE: Final = 60
"""Seconds, at most, between two attempts to send a row."""

LONGEST_ERROR: Final = 1_000
"""Characters of an error that a row keeps."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A row that this process is to send.

    Attributes:
        row: the row.
        addressed: its messages, with their channel layers; none if there is an error.
        error: why it cannot be sent.
    """

    row: OutboxEvent
    addressed: Sequence[Addressed] = ()
    error: Exception | None = None


def databases() -> list[str]:
    """Return the aliases of the databases that may hold rows for this process."""
    named = project_settings.get("OUTBOX_DATABASES")
    if named is not None:
        return [
            alias for alias in named if alias in connections.settings and not _is_in_memory(alias)
        ]
    return [
        alias
        for alias in connections
        if not _is_in_memory(alias)
        # What mirrors another database in tests is a replica elsewhere.
        and not connections.settings[alias]["TEST"]["MIRROR"]
        and router.allow_migrate_model(alias, OutboxEvent)
    ]


def _is_in_memory(alias: str) -> bool:
    """Return whether no other process can have written there."""
    connection: Any = connections[alias]
    return connection.vendor == "sqlite" and bool(connection.is_in_memory_db())


def lacks_table(alias: str) -> bool:
    """Return whether a database answers, and has no outbox."""
    try:
        tables = connections[alias].introspection.table_names()
    except DatabaseError:
        return False
    return OutboxEvent._meta.db_table not in tables


def claim(alias: str) -> list[Claimed]:
    """Claim rows that are due, the oldest ones, so that no other process sends them now."""
    rows = OutboxEvent.objects.using(alias)
    due = rows.filter(due_at__lte=Now())
    ids = list(due.order_by("pk").values_list("pk", flat=True)[:BATCH])
    if not ids:
        return []
    name = uuid4().hex
    with transaction.atomic(using=alias):
        chosen = due.filter(pk__in=ids)
        if connections[alias].features.has_select_for_update_skip_locked:
            locked = chosen.select_for_update(skip_locked=True)
            chosen = due.filter(pk__in=list(locked.values_list("pk", flat=True)))
        # Where rows cannot be locked, one UPDATE decides: who comes second finds none due.
        chosen.update(claim=name, due_at=Now() + LEASE)
    return [_claimed(row) for row in rows.filter(claim=name, due_at__isnull=False).order_by("pk")]


def _claimed(row: OutboxEvent) -> Claimed:
    try:
        cls = _class_of(row.subscription)
        addressed = addressed_events(cls, row.group_name, bytes(row.payload))
    except Exception as error:  # noqa: BLE001 (whatever a module of the project raises)
        return Claimed(row, error=error)
    for _, each in addressed:
        each.message["id"] = row.event
        # Each attempt that fails would count as an event that was lost.
        each.is_numbered = False
    return Claimed(row, addressed)


def _class_of(topic: str) -> type[Subscription]:
    """Return the class of a row.

    Raises:
        LookupError: there is none.
        Exception: its module cannot be imported.
    """
    module, name = topic.split(":")[:2]
    found = _known_class(topic)
    if found is None:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            raise LookupError(f"there is no module {error.name!r}") from error
        found = _known_class(topic)
    if found is None:
        raise LookupError(f"there is no Subscription class {module}.{name}")
    return found


def _known_class(topic: str) -> type[Subscription] | None:
    """Return the class that has this topic, or else the one of that module and name."""
    path = topic.split(":")[:2]
    known = subscription_classes()
    namesakes = [cls for cls in known if [cls.__module__, cls.__qualname__] == path]
    same = [cls for cls in namesakes if ":".join(topic_of(cls)) == topic]
    return next(iter(same or namesakes), None)


def settle(alias: str, claimed: Sequence[Claimed], failures: Mapping[int, BaseException]) -> None:
    """Delete the rows that were sent, and note why others were not.

    Args:
        alias: of the database.
        claimed: what `claim` has returned.
        failures: the errors of those that were not sent, by their primary keys.
    """
    rows = OutboxEvent.objects.using(alias)
    rows.filter(pk__in=[each.row.pk for each in claimed if each.row.pk not in failures]).delete()
    for each in claimed:
        if each.row.pk in failures:
            _note_failure(alias, each.row, failures[each.row.pk])


def _note_failure(alias: str, row: OutboxEvent, error: BaseException) -> None:
    attempts = row.attempts + 1
    retry_for = timedelta(seconds=project_settings.get("OUTBOX_RETRY_FOR"))
    is_away = isinstance(error, ChannelLayerError)
    gives_up = (not is_away and attempts >= MOST_ATTEMPTS) or (
        timezone.now() - row.created_at > retry_for
    )
    pause = timedelta(seconds=min(LONGEST_PAUSE, 2 ** min(attempts - 1, 10)))
    # Not if it was claimed by another process meanwhile.
    OutboxEvent.objects.using(alias).filter(pk=row.pk, claim=row.claim).update(
        due_at=None if gives_up else Now() + pause, attempts=attempts, error=_storable(error)
    )
    if gives_up:
        log.error(
            "Gave up %s after %s attempts: %r. It is kept: see `manage.py graphql_outbox`",
            Sentence(row),
            attempts,
            error,
        )
    elif row.attempts == 0:
        log.warning("Could not send %s: %r. It is tried again", Sentence(row), error)


def _storable(error: BaseException) -> str:
    """Return the text of an error as every database takes it."""
    text = f"{type(error).__name__}: {error}".replace("\0", "")
    return text.encode("ascii", "backslashreplace").decode()[:LONGEST_ERROR]


def retry(rows: QuerySet[OutboxEvent]) -> int:
    """Have rows sent by a serving process, also those that were given up; return their number."""
    return rows.update(due_at=Now(), claim="", attempts=0)


def count(alias: str) -> OutboxStatistics:
    """Return how many rows there are."""
    waits = Q(due_at__isnull=False)
    found = OutboxEvent.objects.using(alias).aggregate(
        waiting=Count("pk", filter=waits),
        given_up=Count("pk", filter=~waits),
        oldest=Min("created_at", filter=waits),
    )
    oldest = found["oldest"]
    age = 0.0 if oldest is None else (timezone.now() - oldest).total_seconds()
    return OutboxStatistics(alias, found["waiting"], found["given_up"], max(0.0, age))


def delete_old(alias: str) -> None:
    """Delete rows that were given up long ago."""
    kept_for = timedelta(seconds=project_settings.get("OUTBOX_KEEP_FAILED"))
    old = OutboxEvent.objects.using(alias).filter(
        due_at__isnull=True, created_at__lt=timezone.now() - kept_for
    )
    count, _ = old.delete()
    if count:
        log.warning(
            "Deleted %s rows of the outbox in the database %r: they were given up, and older than "
            "OUTBOX_KEEP_FAILED",
            count,
            alias,
        )

"""Write durable broadcasts into the outbox, and send them with the commit."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from asgiref.sync import sync_to_async
from channels.layers import InMemoryChannelLayer
from django.core.exceptions import ImproperlyConfigured
from django.db import (
    DEFAULT_DB_ALIAS,
    OperationalError,
    ProgrammingError,
    connections,
    transaction,
)
from django.db.models.functions import Now

from channels_graphql_ws.client_log import ClientLog, Sentence
from channels_graphql_ws.operations.mounting import mounted
from channels_graphql_ws.outbox.models import OutboxEvent
from channels_graphql_ws.pubsub import local, publisher
from channels_graphql_ws.pubsub.outgoing import SENT, Sent
from channels_graphql_ws.settings import NAME, project_settings
from channels_graphql_ws.subscription.groups import topic_of
from channels_graphql_ws.subscription.sending import Addressed, send, send_in_task

if TYPE_CHECKING:
    from channels_graphql_ws.subscription.declaration import Subscription

log = ClientLog("channels_graphql_ws.broadcast")

GRACE: Final = timedelta(seconds=1)
"""What the process that wrote a row has to send it, before another one does."""


class DurableSender:
    """Writes an event in the transaction under way, and sends it when that is committed.

    Args:
        cls: the class.
        group: the group as the caller names it.
        using: the alias of the database; `None` for the default one.

    Raises:
        ConnectionDoesNotExist: there is no such database.
        ImproperlyConfigured: no process looks into the outbox of that database.
    """

    __slots__ = ("_cls", "_group", "_using")

    def __init__(self, cls: type[Subscription], group: str | None, using: str | None) -> None:
        self._cls = cls
        self._group = group
        self._using = DEFAULT_DB_ALIAS if using is None else using
        # Now, and not in a task that nobody may await.
        connections[self._using]
        looked_at = project_settings.get("OUTBOX_DATABASES")
        if looked_at is not None and self._using not in looked_at:
            raise ImproperlyConfigured(
                f"Nobody looks into the outbox of the database {self._using!r}: add it to "
                f"{NAME}['OUTBOX_DATABASES']"
            )

    def send(self, outgoing: Sequence[Addressed]) -> asyncio.Future[None] | Sent:
        """Write the row; in a coroutine, what is returned has to be awaited."""
        loop = publisher.running_loop()
        if loop is None or self._is_in_transaction():
            self._write(outgoing)
            return SENT
        return send_in_task(loop, partial(self.send_async, outgoing), outgoing[0][1].about)

    async def send_async(self, outgoing: Sequence[Addressed]) -> None:
        """Write the row where Django has the connection of a coroutine."""
        if self._is_in_transaction():
            self._write(outgoing)
        else:
            await sync_to_async(self._write, thread_sensitive=True)(outgoing)

    def send_sync(self, outgoing: Sequence[Addressed]) -> None:
        """Write the row.

        Raises:
            SynchronousOnlyOperation: an event loop runs in this thread.
        """
        self._write(outgoing)

    def _is_in_transaction(self) -> bool:
        """Return whether a transaction of this thread is under way.

        In a coroutine, this takes DJANGO_ALLOW_ASYNC_UNSAFE, as in notebooks.
        """
        return connections[self._using].in_atomic_block

    def _write(self, outgoing: Sequence[Addressed]) -> None:
        message = outgoing[0][1].message
        group = None if self._group is None else str.__str__(self._group)
        row = OutboxEvent(
            event=uuid4().hex,
            subscription=":".join(topic_of(self._cls)),
            group=json.dumps(group),
            payload=message["payload"],
            due_at=Now() + GRACE,
        )
        try:
            row.save(using=self._using, force_insert=True)
        except (OperationalError, ProgrammingError) as error:
            error.add_note(
                "A durable broadcast is written into the outbox. If its table is missing: "
                f"python manage.py migrate --database {self._using}"
            )
            raise
        for _, each in outgoing:
            each.message["id"] = row.event
        connection = connections[self._using]
        # Where transactions are begun by hand, nobody tells of the commit: others will find it.
        if connection.in_atomic_block or connection.get_autocommit():
            committed = partial(_send_committed, outgoing, row.pk, self._using)
            transaction.on_commit(committed, using=self._using)


def _send_committed(outgoing: Sequence[Addressed], pk: int, using: str) -> None:
    """Send after the commit, which is done: a failure is not one of the transaction."""
    if _reaches_nobody(outgoing):
        return
    for _, each in outgoing:
        each.restart()
    about = outgoing[0][1].about
    try:
        sent = send(outgoing)
    except Exception as error:  # noqa: BLE001 (whatever a layer raises)
        _log_failure(about, error)
        return
    if isinstance(sent, asyncio.Future):
        sent.add_done_callback(partial(_sent_on_loop, about, pk, using))
    else:
        _delete(about, pk, using)


def _reaches_nobody(outgoing: Sequence[Addressed]) -> bool:
    """Return whether only a serving process can send this."""
    stays = all(isinstance(layer, InMemoryChannelLayer) for layer, _ in outgoing)
    return stays and not (mounted or local.is_serving())


def _sent_on_loop(about: str, pk: int, using: str, sent: asyncio.Future[None]) -> None:
    """Delete the row of what an event loop has sent."""
    if sent.cancelled():
        return
    if (error := sent.exception()) is not None:
        _log_failure(about, error)
        return
    delete = partial(sync_to_async(_delete, thread_sensitive=True), about, pk, using)
    send_in_task(sent.get_loop(), delete, about)


def _delete(about: str, pk: int, using: str) -> None:
    try:
        OutboxEvent.objects.using(using).filter(pk=pk).delete()
    except Exception as error:  # noqa: BLE001 (whatever a database raises)
        log.warning(
            "%s was sent, but row %s of the outbox cannot be deleted: %r. It is sent again, and "
            "receivers drop it",
            Sentence(about),
            pk,
            error,
        )


def _log_failure(about: str, error: BaseException) -> None:
    log.warning(
        "%s was not sent with its commit: %r. It stays in the outbox, and a serving process "
        "sends it",
        Sentence(about),
        error,
    )

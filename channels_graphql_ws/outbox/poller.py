"""Looks into the outbox, in each serving process, for what its writer could not send."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from contextvars import Context
from functools import partial
from time import monotonic
from typing import Final
from weakref import WeakKeyDictionary

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency.threads import Workers, in_thread, sync_in_callers_thread
from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.outbox import rows
from channels_graphql_ws.outbox.rows import Claimed
from channels_graphql_ws.pubsub import publisher
from channels_graphql_ws.settings import project_settings
from channels_graphql_ws.subscription.durable import counted

log = ClientLog("channels_graphql_ws.broadcast")

WORKERS: Final = Workers("outbox", 1)
"""A thread of its own: resolvers that use up theirs do not hold up the outbox."""

SEND_TIMEOUT: Final = 20.0
"""Seconds until what the channel layer has not taken counts as not sent; less than the lease."""

STOP_TIMEOUT: Final = 2.0
"""Seconds that a look under way may take to its end when the process stops serving."""

LONGEST_PAUSE: Final = 30.0
"""Seconds, at most, between two looks into a database that cannot be read."""

MIGRATED_PAUSE: Final = 60.0
"""Seconds between two looks whether a database has an outbox by now."""

CLEAN_EVERY: Final = 3_600.0
"""Seconds between two looks for rows that are too old."""

COUNT_EVERY: Final = 15.0
"""Seconds, at least, between two counts of the rows, for `statistics()`."""


async def send(claimed: Sequence[Claimed]) -> dict[int, BaseException]:
    """Send rows in their order; return the errors of those that failed, by primary key."""
    failures: dict[int, BaseException] = {
        each.row.pk: each.error for each in claimed if each.error is not None
    }
    sent = {
        publisher.send_soon(layer, outgoing): each.row.pk
        for each in claimed
        for layer, outgoing in each.addressed
    }
    if sent:
        await asyncio.wait(sent, timeout=SEND_TIMEOUT)
    for future, pk in sent.items():
        if not future.done():
            failures[pk] = ChannelLayerError(f"it took more than {SEND_TIMEOUT:g} seconds")
        elif (error := future.exception()) is not None:
            failures[pk] = error
    return failures


class Database:
    """The outbox of one database, as one process looks at it."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._failures = 0
        self._look_at = float("-inf")
        self._clean_at = float("-inf")
        self._count_at = float("-inf")

    async def look(self) -> bool:
        """Send what is due, up to some rows; return whether there may be more.

        While the database is away this is tried more and more rarely, and logged once.
        """
        if monotonic() < self._look_at:
            return False
        try:
            more = await self._send_some()
            await self._count()
        except Exception as error:  # noqa: BLE001 (whatever a database raises)
            await self._note_failure(error)
            return False
        if self._failures:
            self._failures = 0
            log.warning("The outbox of the database %r can be read again", self._alias)
        return more

    async def _send_some(self) -> bool:
        if monotonic() >= self._clean_at:
            self._clean_at = monotonic() + CLEAN_EVERY
            await in_thread(partial(rows.delete_old, self._alias), WORKERS)
        claimed: list[Claimed] = await in_thread(partial(rows.claim, self._alias), WORKERS)
        if not claimed:
            return False
        failures = await send(claimed)
        await in_thread(partial(rows.settle, self._alias, claimed, failures), WORKERS)
        return len(claimed) == rows.BATCH and not failures

    async def _count(self) -> None:
        if monotonic() < self._count_at:
            return
        counted[self._alias] = await in_thread(partial(rows.count, self._alias), WORKERS)
        self._count_at = monotonic() + COUNT_EVERY

    async def _note_failure(self, error: Exception) -> None:
        # What was counted is not known to be true any more.
        counted.pop(self._alias, None)
        self._count_at = float("-inf")
        self._failures += 1
        self._clean_at = float("-inf")
        self._look_at = monotonic() + min(LONGEST_PAUSE, 2.0 ** min(self._failures - 1, 10))
        if self._failures > 1:
            return
        if isinstance(error, DatabaseError) and await self._lacks_table():
            # Nobody has to keep an outbox in each database.
            self._failures = 0
            self._look_at = monotonic() + MIGRATED_PAUSE
            return
        log.warning(
            "The outbox of the database %r cannot be read: %r. It is tried again",
            self._alias,
            error,
        )

    async def _lacks_table(self) -> bool:
        lacks: bool = await in_thread(partial(rows.lacks_table, self._alias), WORKERS)
        if lacks and self._alias == DEFAULT_DB_ALIAS:
            log.warning("There is no table for the outbox: run `python manage.py migrate`")
        return lacks


class _Loop:
    """What runs on one event loop."""

    def __init__(self) -> None:
        self.users = 0
        self.stopping = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Poller:
    """Looks into the outbox every `OUTBOX_LOOK_EVERY` seconds, while an event loop has hubs.

    Where several event loops have some, one of them looks.
    """

    def __init__(self) -> None:
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Loop] = WeakKeyDictionary()
        self._looked_at = float("-inf")

    def acquire(self) -> None:
        """Note that a hub of the running event loop is in use; the first one starts this."""
        loop = asyncio.get_running_loop()
        of_loop = self._loops.setdefault(loop, _Loop())
        of_loop.users += 1
        # A test that lends its thread has a transaction there, which nobody else sees.
        if of_loop.users > 1 or sync_in_callers_thread.get():
            return
        if project_settings.get("OUTBOX_LOOK_EVERY") is None:
            return
        databases = [Database(alias) for alias in rows.databases()]
        if databases:
            running = self._run(databases, of_loop.stopping)
            of_loop.task = loop.create_task(running, context=Context())

    async def release(self) -> None:
        """Undo `acquire`; the last one ends it, but lets a look under way end for a while."""
        loop = asyncio.get_running_loop()
        of_loop = self._loops[loop]
        of_loop.users -= 1
        if of_loop.users:
            return
        del self._loops[loop]
        of_loop.stopping.set()
        if of_loop.task is not None:
            await asyncio.wait([of_loop.task], timeout=STOP_TIMEOUT)
            of_loop.task.cancel()
        if not self._loops:
            counted.clear()

    async def _run(self, databases: Sequence[Database], stopping: asyncio.Event) -> None:
        while not await self._has_stopped(stopping):
            for database in databases:
                while await database.look() and not stopping.is_set():
                    pass
        await in_thread(connections.close_all, WORKERS)

    async def _has_stopped(self, stopping: asyncio.Event) -> bool:
        """Wait until it is time to look; return whether it is time to stop."""
        while not stopping.is_set():
            every = float(project_settings.get("OUTBOX_LOOK_EVERY") or 1.0)
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), every)
            now = monotonic()
            if now - self._looked_at >= 0.9 * every:
                self._looked_at = now
                break
        return stopping.is_set()


poller: Final = Poller()
"""That of this process."""

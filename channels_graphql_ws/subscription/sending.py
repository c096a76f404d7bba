"""Send broadcasts: now, or when the database transaction under way is committed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeAlias

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, connections, transaction

from channels_graphql_ws.pubsub import publisher
from channels_graphql_ws.pubsub.layers import GroupSender
from channels_graphql_ws.pubsub.outgoing import (
    SENT,
    Outgoing,
    PendingSend,
    SendOfAll,
    Sent,
    failures,
)

Addressed: TypeAlias = tuple[GroupSender, Outgoing]
"""A message, and the channel layer for it."""

SendAll: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


def send(outgoing: Sequence[Addressed]) -> asyncio.Future[None] | Sent:
    """Send behind what this event loop has sent; without one, return when it is sent."""
    loop = publisher.running_loop()
    if loop is None:
        send_sync(outgoing)
        return SENT
    sent = [publisher.send_on(loop, layer, each) for layer, each in outgoing]
    return sent[0] if len(sent) == 1 else SendOfAll(sent, outgoing[0][1].about)


async def send_async(outgoing: Sequence[Addressed]) -> None:
    """Send, and return when it is sent."""
    for layer, each in outgoing:
        await publisher.send_soon(layer, each)


def send_sync(outgoing: Sequence[Addressed]) -> None:
    """Send from plain code, and return when it is sent.

    Raises:
        RuntimeError: an event loop runs in this thread.
    """
    for layer, each in outgoing:
        publisher.send_now(layer, each)


class AtCommit:
    """Sends when a transaction is committed, never if it is rolled back; else at once.

    Args:
        using: the alias of the database; `None` for the default one.

    Raises:
        ConnectionDoesNotExist: there is no such database.
    """

    __slots__ = ("_using",)

    def __init__(self, using: str | None) -> None:
        self._using = DEFAULT_DB_ALIAS if using is None else using
        # Now, and not in a task that nobody may await.
        connections[self._using]

    def send(self, outgoing: Sequence[Addressed]) -> asyncio.Future[None] | Sent:
        """Do as the function `send` does, from the commit on."""
        if self._is_put_off(outgoing):
            return SENT
        loop = publisher.running_loop()
        if loop is None:
            return send(outgoing)
        return send_in_task(loop, partial(self.send_async, outgoing), outgoing[0][1].about)

    async def send_async(self, outgoing: Sequence[Addressed]) -> None:
        """Do as the function `send_async` does, from the commit on.

        Raises:
            RuntimeError: the code that has called it has ended, with its thread.
        """
        # In a coroutine, Django's connection is that of the thread for synchronous code.
        put_off = sync_to_async(self._is_put_off, thread_sensitive=True)
        try:
            is_put_off = self._is_put_off(outgoing) or await put_off(outgoing)
        except RuntimeError as error:
            raise RuntimeError(
                "Whether a transaction was under way cannot be told any more, as the request or "
                "program has ended: await broadcasts in coroutines, or pass `on_commit=False`"
            ) from error
        if not is_put_off:
            await send_async(outgoing)

    def send_sync(self, outgoing: Sequence[Addressed]) -> None:
        """Do as the function `send_sync` does, from the commit on."""
        if not self._is_put_off(outgoing):
            send_sync(outgoing)

    def _is_put_off(self, outgoing: Sequence[Addressed]) -> bool:
        """Return whether a transaction of this thread sends it, should it be committed."""
        if not connections[self._using].in_atomic_block:
            return False
        transaction.on_commit(partial(_send_committed, outgoing), using=self._using)
        return True


def send_in_task(loop: asyncio.AbstractEventLoop, send_all: SendAll, about: str) -> PendingSend:
    """Send in a task of this event loop; a failure that nobody awaits is logged.

    Args:
        loop: the event loop that runs.
        send_all: sends.
        about: what is sent, for the log.
    """
    pending = PendingSend(loop=loop)
    task = loop.create_task(_send_soon(send_all, pending, about))
    _running.add(task)
    task.add_done_callback(_running.discard)
    return pending


async def _send_soon(send_all: SendAll, pending: PendingSend, about: str) -> None:
    try:
        await send_all()
    except asyncio.CancelledError:
        pending.cancel()
        error = RuntimeError("The event loop has ended: await broadcasts of the last moment")
        failures.add(error, about)
        raise
    # The caller that awaits it is told, or else the log.
    except Exception as error:  # noqa: BLE001 (whatever a layer or a database raises)
        pending.fail(error, about)
    else:
        pending.sent()


_running: set[asyncio.Task[None]] = set()
"""Held here, or the garbage collector may end one half-way."""


def _send_committed(outgoing: Sequence[Addressed]) -> None:
    """Send after the commit, which is done: a failure is not one of the transaction."""
    for _, each in outgoing:
        each.restart()
    try:
        send(outgoing)
    except Exception as error:  # noqa: BLE001 (whatever a layer raises)
        failures.add(error, outgoing[0][1].about)


class AtOnce:
    """Sends without a look at transactions."""

    send = staticmethod(send)
    send_async = staticmethod(send_async)
    send_sync = staticmethod(send_sync)


_AT_ONCE = AtOnce()


def sender(using: str | None, *, on_commit: bool) -> AtCommit | AtOnce:
    """Return what sends a broadcast.

    Args:
        using: the alias of the database whose transaction counts.
        on_commit: whether to wait for the commit.

    Raises:
        TypeError: a database was named, but nothing waits for its commit.
        ConnectionDoesNotExist: there is no such database.
    """
    if on_commit:
        return AtCommit(using)
    if using is not None:
        raise TypeError(f"using={using!r} names a database to wait for: add `on_commit=True`")
    return _AT_ONCE

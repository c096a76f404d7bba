"""Log errors of events once: one mistake in `publish` meets every client of its class."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextvars import Context
from typing import Final
from weakref import WeakKeyDictionary

from django.core.exceptions import PermissionDenied
from graphql import GraphQLError

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.execution.errors import log_errors
from channels_graphql_ws.execution.permissions import Denial
from channels_graphql_ws.subscription.event import EventExecution
from channels_graphql_ws.subscription.patience import HookTimeoutError

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

COUNTED_AFTER: Final = 1.0
"""Seconds after which the log is told how often an error came again."""

MOST_KINDS: Final = 16
"""Kinds of errors of one class that are remembered."""


class _Storm:
    """An error of one event of a class, and how often it came since it was logged."""

    __slots__ = ("_kind", "_more", "_name", "began_at", "serial")

    def __init__(self, name: str, serial: int | None, kind: str, at: float) -> None:
        self._name = name
        self._kind = kind
        self.serial = serial
        self.began_at = at
        self._more = 0

    def has(self, serial: int | None, now: float) -> bool:
        """Return whether an error belongs to it."""
        # What is not a broadcast, such as `initial`, belongs together if it comes together.
        is_soon = serial is not None or now - self.began_at < COUNTED_AFTER
        return serial == self.serial and is_soon

    def add(self, loop: asyncio.AbstractEventLoop) -> None:
        """Count an error; the log is told soon."""
        if not self._more:
            loop.call_later(COUNTED_AFTER, self.tell, context=Context())
        self._more += 1

    def tell(self) -> None:
        """Tell the log how often the error came again, and count anew."""
        more, self._more = self._more, 0
        if more:
            log.warning(
                "The same error in %s (%s) came %s more times, for other clients",
                self._name,
                self._kind,
                more,
            )


class ErrorLog:
    """Logs an error of a broadcast once for each class, and how often it came again."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._time = loop.time
        self._storms: WeakKeyDictionary[object, dict[type[BaseException], _Storm]]
        self._storms = WeakKeyDictionary()

    def errors(
        self,
        errors: Iterable[Exception] | None,
        execution: EventExecution,
        id: object,
        serial: int | None,
    ) -> None:
        """Log what broke in the user's code, see `log_errors`.

        Args:
            errors: those of one result.
            execution: the subscription.
            id: that of the operation.
            serial: the number of the broadcast, `None` if the event is not a broadcast.
        """
        for error in errors or ():
            cause = error.original_error if isinstance(error, GraphQLError) else error
            if cause is not None and self._is_new(type(cause), execution, serial):
                log_errors([error], execution.name, id)

    def lost(
        self, error: BaseException, execution: EventExecution, id: object, serial: int | None
    ) -> None:
        """Log that an event was lost by a mistake that is not in a hook or resolver."""
        if self._is_new(type(error), execution, serial):
            name = execution.name
            log.error("Lost a notification of %s (id %s)", name, id, exc_info=error)

    def denied(
        self, denied: Denial, execution: EventExecution, id: object, serial: int | None
    ) -> None:
        """Log that a permission raised, which keeps an event from a client."""
        cause = denied.cause
        if cause is None or isinstance(cause, HookTimeoutError | GraphQLError | PermissionDenied):
            # The log was told, or it is a way to say no.
            return
        if self._is_new(type(cause), execution, serial):
            text = "Permission %s raised, which keeps events of %s from a client (id %s): %r"
            name = denied.permission.__qualname__
            log.warning(text, name, execution.name, id, cause, exc_info=cause)

    def _is_new(
        self, kind: type[BaseException], execution: EventExecution, serial: int | None
    ) -> bool:
        """Return whether this is to be logged; count it if it is not."""
        storms = self._storms.setdefault(execution.source, {})
        now, storm = self._time(), storms.get(kind)
        if storm is not None and storm.has(serial, now):
            storm.add(asyncio.get_running_loop())
            return False
        if storm is not None:
            storm.tell()
        elif len(storms) >= MOST_KINDS:
            storms.clear()
        storms[kind] = _Storm(execution.name, serial, kind.__name__, now)
        return True


_logs: WeakKeyDictionary[asyncio.AbstractEventLoop, ErrorLog] = WeakKeyDictionary()


def error_log() -> ErrorLog:
    """Return the log of the running event loop."""
    loop = asyncio.get_running_loop()
    known = _logs.get(loop)
    if known is None:
        known = _logs[loop] = ErrorLog(loop)
    return known

"""Where synchronous code runs: in a thread, until it was seen to need none."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from threading import get_ident
from time import perf_counter
from typing import Any, Final, TypeVar

from django.core.exceptions import SynchronousOnlyOperation
from django.db import connections

from channels_graphql_ws.concurrency.garbage import collections

T = TypeVar("T")

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

CALLS_TO_WATCH: Final = 3
"""Calls in a row that must touch no database and block nobody, before the code leaves threads."""

LONGEST_CALL: Final = 0.005
"""Seconds that a call may take in a thread to count as one that blocks nobody."""

LONGEST_STALL: Final = 0.05
"""Seconds that a call may take on the event loop; after a longer one the code stays in threads."""


def on_event_loop() -> bool:
    """Return whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Return an error and what it came from, GraphQL's own wrappers included."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        original = getattr(error, "original_error", None)
        error = original or error.__cause__ or error.__context__


def needs_sync(error: BaseException | None) -> bool:
    """Return whether an error says that Django's ORM was used on an event loop."""
    return any(isinstance(each, SynchronousOnlyOperation) for each in causes(error))


def needs_thread(error: BaseException) -> bool:
    """Return whether code failed only because an event loop runs in its thread.

    So do the ORM, `async_to_sync`, `asyncio.run()`, `loop.run_until_complete()` and the forms of
    `broadcast` that end in `_sync`; all but the first raise a plain RuntimeError.
    """
    return any(
        isinstance(each, SynchronousOnlyOperation)
        or (type(each) is RuntimeError and "event loop" in str(each))
        for each in causes(error)
    )


class Placement:
    """Where the synchronous code of one purpose runs.

    It begins in threads. When `CALLS_TO_WATCH` calls in a row have touched no database and have
    blocked nobody, it moves to the event loop, which is several times as fast. Code that needs a
    thread after all, or stalls the event loop, goes back to threads for good.

    Args:
        name: what to call it in the log.
        on_loop: whether it may run on the event loop: `None` finds out.

    Attributes:
        on_loop: whether it runs on the event loop now.
    """

    __slots__ = ("_clean_calls", "_counted_in", "_is_decided", "_name", "on_loop")

    def __init__(self, name: str, *, on_loop: bool | None = None) -> None:
        self._name = name
        if on_loop is not False:
            # Any call may meet a collection of garbage, which is no fault of its code.
            collections.watch()
        self.on_loop = bool(on_loop)
        self._is_decided = on_loop is not None
        self._clean_calls = 0
        self._counted_in: int | None = None

    def watched(self, call: Callable[[], T]) -> T:
        """Call in this thread, and learn from it whether that needs a thread."""
        if self._is_decided:
            return call()
        with _database_use() as used:
            started = perf_counter()
            try:
                return call()
            finally:
                self._learn(perf_counter() - started, used_database=bool(used))

    def tried(self, call: Callable[[], T]) -> tuple[T | None, bool]:
        """Call on the event loop; return the result, and whether that could be done there."""
        refused, started = self.refusals(), perf_counter()
        try:
            result = call()
        except Exception as error:
            if not needs_thread(error):
                raise
        else:
            if self.refusals() == refused:
                return result, True
        finally:
            self.took(perf_counter() - started)
        self.stay_in_threads("needs a thread")
        return None, False

    def refusals(self) -> int:
        """Return how often Django has refused the ORM in this thread.

        The number tells of those, too, that code has caught and passed over.
        """
        thread = get_ident()
        if self._counted_in != thread:
            self._counted_in = thread
            _count_refusals()
        return _refusals.count

    def stay_in_threads(self, reason: str) -> None:
        """Go back to threads for good, with one line in the log."""
        if self.on_loop:
            self.on_loop = False
            self._is_decided = True
            log.warning("%s %s: it runs in threads from now on", self._name, reason)

    def took(self, seconds: float) -> None:
        """Take how long a call has held up the event loop."""
        if seconds <= LONGEST_STALL:
            return
        now = perf_counter()
        if seconds - collections.seconds(now - seconds, now) > LONGEST_STALL:
            self.stay_in_threads(f"held up the event loop for {seconds:.3f} seconds")

    def _learn(self, seconds: float, *, used_database: bool) -> None:
        # Another thread may have decided meanwhile.
        if self._is_decided:
            return
        if used_database:
            self._is_decided = True
        elif seconds > LONGEST_CALL:
            self._clean_calls = 0
        else:
            self._clean_calls += 1
            if self._clean_calls >= CALLS_TO_WATCH:
                self._is_decided = self.on_loop = True


class _Refusals(threading.local):
    """How often Django has refused the ORM in this thread."""

    count = 0


_refusals = _Refusals()


def _count_refusals() -> None:
    """Count from now on how often Django refuses the ORM in this thread."""
    for connection in connections.all():
        for name in ("chunked_cursor", "cursor", "ensure_connection"):
            # Test cases put guards of their own there.
            if name not in vars(connection):
                setattr(connection, name, partial(_counted, connection, name))


def _counted(connection: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    try:
        return getattr(type(connection), name)(connection, *args, **kwargs)
    except SynchronousOnlyOperation:
        _refusals.count += 1
        raise


@contextmanager
def _database_use() -> Generator[list[None]]:
    """Return a list that is not empty any more when this thread has used a database."""
    used: list[None] = []

    def note(execute: Callable[..., Any], *arguments: Any) -> Any:
        used.append(None)
        return execute(*arguments)

    with ExitStack() as stack:
        for connection in connections.all():
            stack.enter_context(connection.execute_wrapper(note))
        yield used

"""Coroutines for tests without an event loop; what is synchronous stays in the test's thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Any, Self, TypeVar

from asgiref.sync import AsyncToSync
from django.db import connections

from channels_graphql_ws.concurrency.threads import sync_in_callers_thread

Result = TypeVar("Result")

_asgiref: Any = AsyncToSync  # it has types that know of no executor but its own


class Portal(Executor):
    """An event loop in a thread of its own, which lives in a `with`.

    What an application does by `sync_to_async`, or in threads of this package, is done in
    the thread that made the portal, while that waits here: the database connection is the
    one of the test, with its transaction. asgiref's `async_to_sync` does the same, but for
    one call only, while a subscription lives on between calls.
    """

    def __init__(self) -> None:
        """Start the event loop.

        Raises:
            RuntimeError: one runs in this thread already.
        """
        refuse_event_loop()
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._stop = asyncio.Event()
        started: Future[asyncio.AbstractEventLoop] = Future()
        self._ended: Future[None] = Future()
        target = partial(self._run_loop, started)
        name = "channels-graphql-ws-test"
        self._thread = threading.Thread(target=target, name=name, daemon=True)
        self._thread.start()
        self._loop = started.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the event loop, and what still runs on it."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._work_until(self._ended)
        # It has said that it ends, and may not have come to it yet.
        self._thread.join()

    def run(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        """Wait for a coroutine."""
        done = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        self._work_until(done)
        return done.result()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Have something done in the thread of the test (`concurrent.futures.Executor`)."""
        future: Future[Any] = Future()
        self._calls.put(partial(_run_call, future, partial(fn, *args, **kwargs)))
        return future

    def _run_loop(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        try:
            asyncio.run(self._live(started))
        finally:
            self._ended.set_result(None)

    async def _live(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        loop = asyncio.get_running_loop()
        _asgiref.loop_thread_executors[loop] = self
        started.set_result(loop)
        try:
            await self._stop.wait()
        finally:
            del _asgiref.loop_thread_executors[loop]

    def _work_until(self, done: Future[Any]) -> None:
        # `None` is not a call, it only ends the wait.
        done.add_done_callback(lambda _: self._calls.put(None))
        while not done.done():
            if call := self._calls.get():
                call()


def ported(application: Any) -> Any:
    """Return an ASGI application whose synchronous code runs in the thread of the test."""

    async def run(scope: Any, receive: Any, send: Any) -> None:
        # It begins in a context of its own. What is in there counts more for asgiref than what
        # the event loop has, and more than the threads which Django has for each request.
        _asgiref.executors.current = _asgiref.loop_thread_executors[asyncio.get_running_loop()]
        sync_in_callers_thread.set(True)
        await application(scope, receive, send)

    return run


def refuse_event_loop() -> None:
    """Check that no event loop runs in this thread.

    Raises:
        RuntimeError: one does.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("An event loop runs in this thread: use GraphqlHttpClient, and await it")


def _run_call(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        with _connections_kept():
            future.set_result(call())
    except BaseException as error:  # noqa: BLE001 (it belongs to the caller)
        future.set_exception(error)


@contextmanager
def _connections_kept() -> Generator[None]:
    """Let nobody close the database connections of the test, as Django's own clients do it."""
    kept = connections.all(initialized_only=True)
    for connection in kept:
        vars(connection)["close_if_unusable_or_obsolete"] = _nothing
    try:
        yield
    finally:
        for connection in kept:
            vars(connection).pop("close_if_unusable_or_obsolete", None)


def _nothing() -> None:
    pass

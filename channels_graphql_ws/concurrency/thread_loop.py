"""The event loop, lent to code in a thread: `asyncio.get_event_loop()` finds it there.

Data loaders make futures and schedule a batch with `call_soon`; Promises make tasks of
coroutines. In a thread without an event loop both fail, and with the real one they would not be
thread-safe.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from channels_graphql_ws.concurrency.variables import adopt, run_adopted

T = TypeVar("T")


class _Calls(threading.local):
    """What code in this thread has scheduled."""

    scheduled: list[Callable[[], object]] | None = None


_calls = _Calls()


# Of its many methods, most are for servers: what is not here raises NotImplementedError.
_EventLoop: Any = object if TYPE_CHECKING else asyncio.AbstractEventLoop


class ThreadLoop(_EventLoop):
    """The event loop as code in a thread may use it; harmless on the event loop itself.

    What a thread schedules waits until its call ends: a batch has all keys that the call asked
    for. A coroutine that a thread makes a task of runs at once, and the thread waits for it:
    what follows from it stays in the thread, where the ORM works.

    Args:
        loop: the real one.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedule a callback for when the call in this thread has ended."""
        context = context or copy_context()
        handle = asyncio.Handle(callback, args, self, context)

        def call() -> None:
            if not handle.cancelled():
                run_adopted(context, callback, *args)

        self._schedule(call)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule a callback, `delay` seconds from now."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Schedule a callback for a time of the event loop's clock."""
        context = context or copy_context()
        handle = asyncio.TimerHandle(when, callback, args, self, context)

        def call() -> None:
            if not handle.cancelled():
                run_adopted(context, callback, *args)

        self._schedule(partial(self._loop.call_at, when, call))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: the handle is not one of the real event loop (asyncio)."""

    def time(self) -> float:
        """Return the time of the event loop's clock, in seconds."""
        return self._loop.time()

    def create_future(self) -> asyncio.Future[Any]:
        """Return a future of the real event loop."""
        return self._loop.create_future()

    def create_task(self, coro: Coroutine[Any, Any, T], **options: Any) -> Any:
        """Run a coroutine on the event loop; in a thread, wait for it and return what is done."""
        if _calls.scheduled is None:
            return self._loop.create_task(coro, **options)
        done: asyncio.Future[T] = self._loop.create_future()
        try:
            done.set_result(self.run_until_complete(coro))
        except Exception as error:  # noqa: BLE001 (the caller that awaits the future gets it)
            done.set_exception(error)
        return done

    def run_until_complete(self, future: Awaitable[T]) -> T:
        """Wait in the thread until the event loop has the result."""

        async def wait() -> T:
            adopt()
            return await future

        running: Future[T] = asyncio.run_coroutine_threadsafe(wait(), self._loop)
        return running.result()

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Call a function in another thread; a future of the real event loop."""
        return self._loop.run_in_executor(executor, func, *args)

    def is_running(self) -> bool:
        """Return `False`: code that asks may wait with `run_until_complete`."""
        return False

    def is_closed(self) -> bool:
        """Return whether the real event loop is closed."""
        return self._loop.is_closed()

    def get_debug(self) -> bool:
        """Return whether the real event loop is in debug mode."""
        return self._loop.get_debug()

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report an error to the handler of the real event loop."""
        self._loop.call_soon_threadsafe(self._loop.call_exception_handler, context)

    def _schedule(self, call: Callable[[], object]) -> None:
        if _calls.scheduled is None:
            self._loop.call_soon_threadsafe(call)
        else:
            _calls.scheduled.append(call)


@contextmanager
def lent(loop: asyncio.AbstractEventLoop) -> Generator[None]:
    """Make `loop` the current event loop of this thread, though not a running one."""
    before, scheduled_before = _current(), _calls.scheduled
    asyncio.set_event_loop(ThreadLoop(loop))
    scheduled = _calls.scheduled = []
    try:
        yield
    finally:
        _calls.scheduled = scheduled_before
        _restore(before)
        if scheduled:
            loop.call_soon_threadsafe(_start, loop, scheduled)


def lend_to_loaders(holder: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Let threads use the data loaders that were made on the event loop.

    A loader keeps the event loop of the place where it was made (aiodataloader).

    Args:
        holder: a mapping, or an object with attributes, such as an `info.context`; and what it
            holds may hold loaders in turn.
        loop: the event loop that they may have.
    """
    for value in _held(holder):
        for each in (value, *_held(value)):
            lend_to_loader(each, loop)


def lend_to_loader(value: Any, loop: asyncio.AbstractEventLoop) -> None:
    """Let threads use a data loader that was made on the event loop; leave others alone."""
    # By its own attributes: a lazy object would begin to work if it was asked.
    own = getattr(value, "__dict__", {})
    if own.get("loop") is loop and hasattr(type(value), "load"):
        own["loop"] = ThreadLoop(loop)


def _held(holder: Any) -> list[Any]:
    if issubclass(type(holder), Mapping):
        return list(holder.values())
    as_dict = getattr(type(holder), "_asdict", None)
    if as_dict is not None:
        return list(as_dict(holder).values())
    return list(getattr(holder, "__dict__", {}).values())


def _start(loop: asyncio.AbstractEventLoop, calls: list[Callable[[], object]]) -> None:
    for call in calls:
        loop.call_soon(call)


def _current() -> dict[str, Any]:
    """Return what asyncio knows of the event loop of this thread.

    To ask it in public would make an event loop in the main thread, up to Python 3.13.
    """
    policy: Any = getattr(asyncio.events, "_event_loop_policy", None)
    local: Any = getattr(policy, "_local", None)
    return {} if local is None else dict(vars(local))


def _restore(before: dict[str, Any]) -> None:
    asyncio.set_event_loop(None)
    policy: Any = getattr(asyncio.events, "_event_loop_policy", None)
    local: Any = getattr(policy, "_local", None)
    # A policy that is not one of asyncio's may keep it elsewhere.
    if local is not None:  # pragma: no branch (no test installs such a policy)
        vars(local).clear()
        vars(local).update(before)

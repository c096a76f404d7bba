"""A pool of threads that uses as few of them as it can, and never lets a call wait in vain."""

from __future__ import annotations

import atexit
import logging
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar
from weakref import WeakSet

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

EXIT_TIMEOUT = 5.0
"""Seconds that calls may take when the process ends: one that hangs must not keep it."""

T = TypeVar("T")

_Item: TypeAlias = tuple[Future[Any], Callable[[], Any]]


class Pool(Executor):
    """Runs calls in threads.

    Of the threads that are idle, the one that was busy last is taken: few have a connection to
    the database then. `ThreadPoolExecutor` takes any, and up to Python 3.11 it may count a busy
    thread as idle, and let a call wait behind a slow one while it could start a thread.

    Args:
        name: begins the names of the threads.
        count: the most threads that there may be.
    """

    def __init__(self, name: str, count: int) -> None:
        self._name = name
        self.count = count
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._idle: list[SimpleQueue[_Item | None]] = []
        self._waiting: deque[_Item] = deque()
        self._is_shut_down = False
        _pools.add(self)

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Call in a thread.

        Raises:
            RuntimeError: the pool is shut down.
        """
        future: Future[T] = Future()
        item: _Item = future, partial(fn, *args, **kwargs)
        with self._lock:
            if self._is_shut_down:
                raise RuntimeError("This pool of threads is shut down")
            if self._idle:
                self._idle.pop().put(item)
            elif len(self._threads) < self.count:
                self._start_thread(item)
            else:
                self._waiting.append(item)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 (as the base class has it)
        """Take no more calls; see `concurrent.futures.Executor`."""
        with self._lock:
            self._is_shut_down = True
            dropped = [future for future, _ in self._waiting] if cancel_futures else []
            if cancel_futures:
                self._waiting.clear()
            while self._idle:
                self._idle.pop().put(None)
        for future in dropped:
            future.cancel()
        if wait:
            for thread in self._threads:
                thread.join()

    def join(self, ends_at: float) -> list[threading.Thread]:
        """Wait for the threads; return those that go on.

        Args:
            ends_at: until when to wait, by `time.monotonic`.
        """
        for thread in self._threads:
            thread.join(max(0.0, ends_at - time.monotonic()))
        return [thread for thread in self._threads if thread.is_alive()]

    def _start_thread(self, item: _Item) -> None:
        name = f"{self._name}_{len(self._threads)}"
        inbox: SimpleQueue[_Item | None] = SimpleQueue()
        inbox.put(item)
        # A daemon: the interpreter waits for the calls, by `_at_exit`, and not for the threads.
        thread = threading.Thread(target=self._work, args=(inbox,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self, inbox: SimpleQueue[_Item | None]) -> None:
        while (item := inbox.get()) is not None:
            answer = _called(item)
            # Idle before the caller has the result, and may have the next call.
            self._next(inbox)
            answer()
            # An idle thread keeps nothing alive.
            del item, answer

    def _next(self, inbox: SimpleQueue[_Item | None]) -> None:
        with self._lock:
            if self._waiting:
                inbox.put(self._waiting.popleft())
            elif self._is_shut_down:
                inbox.put(None)
            else:
                self._idle.append(inbox)


def _called(item: _Item) -> Callable[[], object]:
    """Call; return what hands the result over."""
    future, call = item
    if not future.set_running_or_notify_cancel():
        return _nothing
    try:
        return partial(future.set_result, call())
    except BaseException as error:  # noqa: BLE001 (the caller that waits for it gets it)
        return partial(future.set_exception, error)


def _nothing() -> None:
    """Hand nothing over: the call was cancelled."""


_pools: WeakSet[Pool] = WeakSet()


@atexit.register
def _at_exit() -> None:
    """Let calls come to their end, within `EXIT_TIMEOUT`: a mutation may be half-way."""
    ends_at = time.monotonic() + EXIT_TIMEOUT
    pools = list(_pools)
    for pool in pools:
        pool.shutdown(wait=False)
    for pool in pools:
        for thread in pool.join(ends_at):
            frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 (documented)
            stack = "".join(traceback.format_stack(frame)) if frame is not None else "unknown\n"
            log.error("The process ends while a call goes on in a thread:\n%s", stack)

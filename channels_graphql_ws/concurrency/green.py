"""Native threads in a process whose threads are greenlets (gevent, eventlet).

After `monkey.patch_all()` a thread is a greenlet, and all greenlets share one event loop as
asyncio sees it: a loop that stays in one of them looks, in all others, like a running loop,
and Django refuses its ORM. So an event loop of ours needs a thread of the operating system.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol


class NativeThreads(Protocol):
    """Threads of the operating system, beside greenlets."""

    def start(self, target: Callable[[], object]) -> None:
        """Call in a thread that ends with the process."""
        ...

    def new_lock(self) -> Any:
        """Make a lock that blocks a whole thread, and not a greenlet."""
        ...

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Make an event loop that waits as a thread does."""
        ...

    def wait_in_thread(self, call: Callable[[], Any]) -> Any:
        """Call in a thread, and let other greenlets run meanwhile."""
        ...


class _Gevent:  # pragma: no cover (needs gevent: tox run -e green)
    def __init__(self, module: Any) -> None:
        self._monkey = module

    def start(self, target: Callable[[], object]) -> None:
        start: Any = self._monkey.get_original("_thread", "start_new_thread")
        start(target, ())

    def new_lock(self) -> Any:
        return self._monkey.get_original("_thread", "allocate_lock")()

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        # That of gevent loses track of what it waits for.
        return asyncio.SelectorEventLoop(
            self._monkey.get_original("selectors", "DefaultSelector")()
        )

    def wait_in_thread(self, call: Callable[[], Any]) -> Any:
        return import_module("gevent").get_hub().threadpool.apply(call)


class _Eventlet:  # pragma: no cover (needs eventlet: tox run -e green)
    def __init__(self, patcher: Any) -> None:
        self._thread = patcher.original("_thread")

    def start(self, target: Callable[[], object]) -> None:
        self._thread.start_new_thread(target, ())

    def new_lock(self) -> Any:
        return self._thread.allocate_lock()

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return asyncio.new_event_loop()

    def wait_in_thread(self, call: Callable[[], Any]) -> Any:
        return import_module("eventlet.tpool").execute(call)


def native_threads() -> NativeThreads | None:
    """Return how to get native threads where threads are greenlets, else `None`."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None and monkey.is_module_patched("threading"):
        return _Gevent(monkey)
    patcher = sys.modules.get("eventlet.patcher")
    if patcher is not None and patcher.is_monkey_patched("thread"):
        return _Eventlet(patcher)
    return None

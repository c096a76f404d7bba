"""Where threads are greenlets, an event loop of ours gets a thread of the operating system."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from channels_graphql_ws.concurrency.green import native_threads
from channels_graphql_ws.pubsub import sender_thread
from channels_graphql_ws.pubsub.sender_thread import SenderThread
from support import GUARD


class Native:
    """Ordinary threads, in the place of those beside greenlets; keeps what was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.loop = asyncio.new_event_loop()
        self.threads: list[threading.Thread] = []

    def start(self, target: Callable[[], object]) -> None:
        self.asked.append("start")
        self.threads.append(threading.Thread(target=target))
        self.threads[-1].start()

    def new_lock(self) -> Any:
        return threading.Lock()

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return self.loop

    def wait_in_thread(self, call: Callable[[], Any]) -> Any:
        self.asked.append("wait")
        return call()

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        for thread in self.threads:
            thread.join(GUARD)
        self.loop.close()


def test_green_threads_send_through_a_native_one(monkeypatch: pytest.MonkeyPatch) -> None:
    native, loops = Native(), []
    monkeypatch.setattr(sender_thread, "native_threads", lambda: native)
    sender = SenderThread()

    async def send() -> None:
        loops.append(asyncio.get_running_loop())

    async def fail() -> None:
        raise OSError("no Redis")

    sender.run(send)
    with pytest.raises(OSError, match="no Redis"):
        sender.run(fail)
    sender.run(send)
    native.close()
    assert loops == [native.loop, native.loop]
    assert native.asked == ["start", "wait", "wait", "wait"]


@pytest.mark.parametrize(
    ("module", "question"),
    [("gevent.monkey", "is_module_patched"), ("eventlet.patcher", "is_monkey_patched")],
)
def test_a_library_that_has_patched_nothing_is_no_reason(
    monkeypatch: pytest.MonkeyPatch, module: str, question: str
) -> None:
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{question: lambda name: False}))
    assert native_threads() is None


@pytest.mark.parametrize(
    ("module", "question"),
    [("gevent.monkey", "is_module_patched"), ("eventlet.patcher", "is_monkey_patched")],
)
def test_a_library_that_has_patched_threads_lends_native_ones(
    monkeypatch: pytest.MonkeyPatch, module: str, question: str
) -> None:
    library = SimpleNamespace(**{question: lambda name: True}, original=lambda name: None)
    monkeypatch.setitem(sys.modules, module, library)
    assert native_threads() is not None

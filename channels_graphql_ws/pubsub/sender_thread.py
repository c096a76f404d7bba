"""An event loop in a thread of its own, for code that has none to send with."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any

from channels_graphql_ws.concurrency.green import NativeThreads, native_threads


class SenderThread:
    """Runs coroutines on one event loop of its own.

    A loop for each call would open and close a connection to Redis for each call.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, coroutine: Coroutine[Any, Any, None]) -> Future[None]:
        """Run a coroutine, behind those that were submitted before."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop())

    def run(self, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run a coroutine, and wait for its end.

        Raises:
            Exception: what the coroutine raises.
        """
        green = native_threads()
        if green is None:
            self.submit(make()).result()
        else:
            self._run_green(make, green)

    def loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop; the first call starts it."""
        with self._lock:
            if self._loop is None:
                self._loop = self._started()
            return self._loop

    def _started(self) -> asyncio.AbstractEventLoop:
        green = native_threads()
        if green is not None:
            loop = green.new_event_loop()
            green.start(loop.run_forever)
            return loop
        loop = asyncio.new_event_loop()
        name = "channels-graphql-ws-sender"
        threading.Thread(target=loop.run_forever, name=name, daemon=True).start()
        return loop

    def _run_green(
        self, make: Callable[[], Coroutine[Any, Any, None]], green: NativeThreads
    ) -> None:
        """Wait where threads are greenlets: those of `concurrent.futures` would block them all."""
        loop, done = self.loop(), green.new_lock()
        errors: list[BaseException] = []
        done.acquire()

        async def run() -> None:
            try:
                await make()
            except BaseException as error:  # noqa: BLE001 (it is raised where it is waited for)
                errors.append(error)
            finally:
                done.release()

        tasks: list[asyncio.Task[None]] = []
        loop.call_soon_threadsafe(lambda: tasks.append(loop.create_task(run())))
        green.wait_in_thread(done.acquire)
        if errors:
            raise errors[0]


sender = SenderThread()
_parents_sender: SenderThread | None = None


def current_sender() -> SenderThread:
    """Return the sender of this process."""
    return sender


def _start_anew() -> None:  # pragma: no cover (runs in a forked child, which is not measured)
    """Forget, in a forked worker, threads and event loops: they stayed in the parent."""
    # It has to stand in this module: another one would rebind a name of its own.
    global sender, _parents_sender  # noqa: PLW0603
    # Kept: to close its event loop would disturb the parent, they share its descriptors.
    _parents_sender = sender
    sender = SenderThread()


if hasattr(os, "register_at_fork"):  # pragma: no branch (Windows does not fork)
    os.register_at_fork(after_in_child=_start_anew)

"""Graceful shutdown: let operations finish, then close with 1012.

ASGI servers tell applications little of their end. Those that know `lifespan` say it when
the connections are gone, and may wait for event streams for ever; Hypercorn and, if it has
no idle connection of HTTP, Daphne cancel what they run. So the signal itself is listened to,
see `shut_down_on_signals`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import signal
import threading
from collections.abc import Iterable
from math import inf
from typing import Any, Protocol, overload
from weakref import WeakKeyDictionary, ref

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

DEFAULT_TIMEOUT = 10.0
"""Seconds that operations may take to their end."""

CLOSE_TIMEOUT = 5.0
"""Seconds that a client may take to be told, and what belongs to it to end."""

TRAILING_TIMEOUT = 2.0
"""Seconds that receivers of signals may take at the end."""

CLOSED_PER_SECOND = 1_000
"""Clients that are sent away in a second, unless the time is too short for that: they come
again as they go, and a deploy of ten thousand must not come back as one wave."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""The signals by which servers are told to end."""

_TURNS_AT_ONCE = 64

_WRITING_TURNS = 5


class Drainable(Protocol):
    """A connection, or an answer that goes on."""

    async def drain(self, timeout: float) -> None:
        """End it, as soon as nothing but subscriptions is under way.

        Args:
            timeout: seconds to wait for the rest.
        """
        ...


async def drain_all(connections: Iterable[Drainable], timeout: float) -> None:
    """End connections; what is not over by then goes on without its client.

    Args:
        connections: what to end.
        timeout: seconds that queries and mutations may take.
    """
    # In any order, and not all at once: they come again as they go.
    leaving = list(connections)
    random.shuffle(leaving)
    pause = min(1 / CLOSED_PER_SECOND, timeout / 2 / max(1, len(leaving))) * _TURNS_AT_ONCE
    loop, left = asyncio.get_running_loop(), timeout
    ends_at = loop.time() + timeout
    tasks: list[asyncio.Task[None]] = []
    for number, connection in enumerate(leaving, 1):
        tasks.append(asyncio.create_task(connection.drain(left)))
        if number % _TURNS_AT_ONCE == 0:
            # Other clients are still being served meanwhile.
            await asyncio.sleep(pause)
            left = max(0.0, ends_at - loop.time())
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(result, Exception):
            log.error("A client could not be told of the shutdown", exc_info=result)


class Connections:
    """All that goes on on one event loop. See `connections_of_loop`."""

    def __init__(self) -> None:
        self.is_draining = False
        """Whether nobody else may come in."""
        self.ends_at = inf
        """When all has to be over, by the clock of the event loop."""
        self.trailing: set[asyncio.Task[None]] = set()
        """What is still to be told of connections, to receivers of signals for example."""
        self._connections: set[Drainable] = set()
        self._listens = False

    def __len__(self) -> int:
        return len(self._connections)

    def all(self) -> list[Drainable]:
        """Return what goes on now. May be called from any thread."""
        return list(self._connections)

    def add(self, connection: Drainable) -> None:
        """Remember a connection until `discard`."""
        self._connections.add(connection)
        if not self._listens and _signal_settings.signals:
            self.listen_for_signals(_signal_settings.timeout, _signal_settings.signals)

    def discard(self, connection: Drainable) -> None:
        """A connection has gone; harmless for one that is not known."""
        self._connections.discard(connection)

    def finishes(self, task: asyncio.Task[None]) -> None:
        """Keep a task that a shutdown waits for, but not long."""
        self.trailing.add(task)
        task.add_done_callback(self.trailing.discard)

    async def finish(self) -> None:
        """Wait for the tasks that `finishes` has got, `TRAILING_TIMEOUT` seconds at most."""
        if self.trailing:
            await asyncio.wait(self.trailing, timeout=remaining(TRAILING_TIMEOUT))

    async def drain(self, timeout: float) -> None:
        """Refuse new connections, and end all that there are; return by the deadline.

        A second call has the deadline of the first: servers tell of their end more than once.
        """
        self.is_draining = True
        ends_at = asyncio.get_running_loop().time() + timeout + CLOSE_TIMEOUT
        self.ends_at = min(self.ends_at, ends_at)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(self.ends_at):
                await drain_all(list(self._connections), timeout)
        await self.finish()

    def listen_for_signals(self, timeout: float, signals: Iterable[signal.Signals]) -> None:
        """Leave when the process gets one of these signals, and pass it on then."""
        self._listens = True
        # Only the main thread can handle signals; elsewhere a server does not run.
        if threading.current_thread() is threading.main_thread():
            for number in signals:
                listener = _listeners.setdefault(number, _SignalListener(number))
                listener.listen(timeout)


class _HeldBack:
    """Stands in an event loop for the callback that a server has given it for a signal.

    The event loop would call that at once (`loop.add_signal_handler`), and Granian drops all
    clients then. asyncio keeps callbacks in a private dict and has no public way to ask for
    them; other event loops (uvloop) show none.
    """

    def __init__(self, handle: asyncio.Handle) -> None:
        self._handle = handle

    def __call__(self) -> None:
        """Do nothing yet: the listener gets the signal, too."""

    def pass_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let the event loop call what it would have called."""
        loop.call_soon_threadsafe(self._handle._run)  # noqa: SLF001 (see above)

    @classmethod
    def take(
        cls, number: signal.Signals, loop: asyncio.AbstractEventLoop
    ) -> ref[_HeldBack] | None:
        """Take the place of a callback; `None` if there is none to be seen."""
        handle = getattr(loop, "_signal_handlers", {}).get(number)
        if not isinstance(handle, asyncio.Handle):
            return None
        held = cls(handle)
        # Only the event loop keeps it, so that neither keeps the other alive from here.
        loop.add_signal_handler(number, held)
        return ref(held)


class _SignalListener:
    """Receives a signal before its former handler, which is called afterwards.

    Under event loops other than asyncio's own, a server that uses `loop.add_signal_handler`
    receives it at once, too.
    """

    def __init__(self, number: signal.Signals) -> None:
        self._number = number
        self._previous: Any = None
        self._held_back: ref[_HeldBack] | None = None
        self._frame: Any = None
        self._timeout = DEFAULT_TIMEOUT
        self._has_begun = False
        # Nothing here may keep a finished event loop alive.
        self._loop: ref[asyncio.AbstractEventLoop] | None = None
        self._task: asyncio.Task[None] | None = None

    def listen(self, timeout: float) -> None:
        """Listen for the running event loop, which takes the place of the one before.

        Not where the signal is ignored, or belongs to something beside Python.
        """
        current = signal.getsignal(self._number)
        if current in (None, signal.SIG_IGN):
            return
        self._timeout = timeout
        self._loop = ref(asyncio.get_running_loop())
        self._has_begun = False
        if current != self._received:
            self._previous = current
            self._held_back = _HeldBack.take(self._number, asyncio.get_running_loop())
            signal.signal(self._number, self._received)

    def _living_loop(self) -> asyncio.AbstractEventLoop | None:
        return self._loop() if self._loop is not None else None

    def _received(self, _number: int, frame: Any) -> None:
        self._frame = frame
        loop = self._living_loop()
        # A second signal goes to the server at once.
        if self._has_begun or loop is None or not loop.is_running():
            self._pass_on()
            return
        self._has_begun = True
        loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        connections = connections_of_loop()
        log.info("Got %s: telling %s clients to come again", self._number.name, len(connections))
        self._task = asyncio.ensure_future(connections.drain(self._timeout))
        self._task.add_done_callback(lambda _: self._pass_on())

    def _pass_on(self) -> None:
        self._task, frame, self._frame = None, self._frame, None
        loop = self._living_loop()
        held_back = self._held_back() if self._held_back is not None else None
        if loop is not None and held_back is not None:
            held_back.pass_on(loop)
        if callable(self._previous):
            self._previous(self._number, frame)
            return
        signal.signal(self._number, signal.SIG_DFL)
        signal.raise_signal(self._number)


_listeners: dict[signal.Signals, _SignalListener] = {}


class _SignalSettings:
    """The signals that are listened to from the first connection on."""

    timeout = DEFAULT_TIMEOUT
    signals: tuple[signal.Signals, ...] = ()


_signal_settings = _SignalSettings()

_connections: WeakKeyDictionary[asyncio.AbstractEventLoop, Connections] = WeakKeyDictionary()


def connections_of_loop() -> Connections:
    """Return the connections of the running event loop."""
    loop = asyncio.get_running_loop()
    connections = _connections.get(loop)
    if connections is None:
        connections = _connections[loop] = Connections()
    return connections


def connections_of_process() -> list[Drainable]:
    """Return what goes on on all event loops. May be called from any thread."""
    return [each for _, each in connections_with_loops()]


def connections_with_loops() -> list[tuple[asyncio.AbstractEventLoop, Drainable]]:
    """Return the same, each with its event loop."""
    # A list in one step: other threads may begin to serve meanwhile.
    loops = [loop for reference in _connections.keyrefs() if (loop := reference()) is not None]
    return [(loop, each) for loop in loops for each in _connections[loop].all()]


@overload
def remaining(seconds: float) -> float: ...


@overload
def remaining(seconds: float | None) -> float | None: ...


def remaining(seconds: float | None) -> float | None:
    """Return how long something may take: no longer than the shutdown, once it has begun.

    Args:
        seconds: how long it may take otherwise, `None` for ever.
    """
    ends_at = connections_of_loop().ends_at
    if ends_at == inf:
        return seconds
    left = max(0.0, ends_at - asyncio.get_running_loop().time())
    return left if seconds is None else min(seconds, left)


async def yield_to_server() -> None:
    """Yield so that a server which writes later (Daphne) can do so."""
    for _ in range(_WRITING_TURNS):
        await asyncio.sleep(0)


async def shut_down(timeout: float = DEFAULT_TIMEOUT) -> None:
    """Close all WebSockets and streams of this event loop, and let nobody else in.

    Clients are told to connect again: WebSockets are closed with 1012, streams end. First,
    queries and mutations that are under way may come to their end.

    Args:
        timeout: seconds that they may take. What is not over then goes on without its
            client.
    """
    await connections_of_loop().drain(timeout)


def shut_down_on_signals(
    timeout: float = DEFAULT_TIMEOUT, signals: Iterable[signal.Signals] = SIGNALS
) -> None:
    """Have the process call `shut_down` when it is told to end, and only then end.

    Call it once, where the ASGI application is made. The server's own handler
    is called afterwards; a second signal goes there at once.

    Args:
        timeout: seconds that queries and mutations may take.
        signals: those that tell the process to end.
    """
    _signal_settings.timeout, _signal_settings.signals = timeout, tuple(signals)
    with contextlib.suppress(RuntimeError):  # No event loop yet: at the first connection.
        connections_of_loop().listen_for_signals(timeout, _signal_settings.signals)


class GraphqlLifespan:
    """Shuts down with the server: mount it under `lifespan` of a `ProtocolTypeRouter`.

    Args:
        timeout: seconds that queries and mutations may take, see `shut_down`.
        signals: those that tell the process to end, see `shut_down_on_signals`; an empty
            tuple leaves them alone.
    """

    def __init__(
        self, timeout: float = DEFAULT_TIMEOUT, signals: Iterable[signal.Signals] = SIGNALS
    ) -> None:
        self._timeout = timeout
        self._signals = tuple(signals)

    async def __call__(self, _scope: Any, receive: Any, send: Any) -> None:
        """Answer what the server says of its life (ASGI, lifespan)."""
        while (await receive())["type"] == "lifespan.startup":
            connections_of_loop().listen_for_signals(self._timeout, self._signals)
            await send({"type": "lifespan.startup.complete"})
        await shut_down(self._timeout)
        await send({"type": "lifespan.shutdown.complete"})

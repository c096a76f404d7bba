"""Name a group, wrap a payload, and send it: from a coroutine, or from plain code."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, wait
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from channels.layers import InMemoryChannelLayer

from channels_graphql_ws.pubsub import local
from channels_graphql_ws.pubsub.layers import GroupSender, is_local
from channels_graphql_ws.pubsub.local import Message

log = logging.getLogger("channels_graphql_ws.broadcast")

EVACUATION_TIMEOUT = 5.0
"""Seconds that what an event loop leaves unsent may take when it is shut down."""

_LONGEST_IN_LOG = 100

_PREFIX = re.compile(r"[a-zA-Z\d\-_.]{1,34}")


@dataclass(slots=True)
class Outgoing:
    """One message on its way to a group."""

    message: dict[str, Any]
    sender: str
    """The class that it is about."""
    addressee: str | None = None
    """The group, as whoever sends calls it."""

    @property
    def about(self) -> str:
        """What to call it in the log, where few ever come."""
        return f"{self.sender}.{self.message['type']}(group={_shortened(self.addressee)!r})"

    @property
    def group(self) -> str:
        """The group's name on the channel layer."""
        group: str = self.message["group"]
        return group


def _shortened(group: str | None) -> str | None:
    """Cut a long name of a group to what a log line can bear."""
    return (
        group if group is None or len(group) <= _LONGEST_IN_LOG else f"{group[:_LONGEST_IN_LOG]}…"
    )


def group_name(prefix: str, topic: str, group: str | None) -> str:
    """Make a name that every process makes alike and every channel layer takes.

    Args:
        prefix: up to 34 ASCII letters, digits, hyphens, underscores and periods.
        topic: what the group belongs to: module and name of the class.
        group: any text of any length; `None` is the group of the whole topic.

    Raises:
        ValueError: the prefix does not fit a channel layer's rules.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(
            f"group_name_prefix {prefix!r} must be 1 to 34 ASCII letters, digits, "
            "hyphens, underscores or periods"
        )
    # The separator keeps ("ab", "c") apart from ("a", "bc"); a topic never has it.
    text = topic if group is None else f"{topic}\0{group}"
    return f"{prefix}-{hashlib.sha256(text.encode(errors='surrogatepass')).hexdigest()}"


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Give the event loop of this thread, if it has one; this costs a system call."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


class PendingSend(asyncio.Future[None]):
    """A broadcast on its way. Await it to learn that it was sent, or leave it alone."""

    is_watched = False

    def __await__(self) -> Generator[Any, None, None]:
        self.is_watched = True
        return super().__await__()

    __iter__ = __await__

    def add_done_callback(
        self, fn: Callable[[Any], object], /, *, context: Context | None = None
    ) -> None:
        """See `asyncio.Future`; whoever does this hears of a failure."""
        self.is_watched = True
        super().add_done_callback(fn, context=context)

    def fail(self, error: Exception, about: str) -> None:
        """Tell whoever waits; if nobody does, tell the log."""
        self.set_exception(error)
        if not self.is_watched:
            self.exception()  # Marks it as seen: asyncio would log it again, unnamed.
            log.error("%s failed and nobody awaited it", about, exc_info=error)


class LocalSend(asyncio.Future[None]):
    """A broadcast that needs no channel layer: it can not fail, and takes one turn.

    What hands it over is on the event loop before whoever waits for it. So waiting takes
    no callback, and no second turn.
    """

    __slots__ = ()

    def __await__(self) -> Generator[Any, None, None]:
        if not self.done():
            yield
        if not self.done():
            return (yield from super().__await__())
        return self.result()

    __iter__ = __await__


class _Pump:
    """Sends the messages of one event loop to one layer, one after another.

    A task for each message would let them overtake each other, and would overrun the
    hundred places which a channel of a layer has.
    """

    def __init__(self, layer: GroupSender) -> None:
        self._layer = layer
        self._queue: deque[tuple[Outgoing, PendingSend]] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, loop: asyncio.AbstractEventLoop, outgoing: Outgoing) -> PendingSend:
        pending = PendingSend(loop=loop)
        self._queue.append((outgoing, pending))
        if self._task is None:
            self._start(loop)
        return pending

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        # Held here, or the garbage collector may end it half-way.
        self._task = loop.create_task(self._run(), context=Context())
        self._task.add_done_callback(self._ended)

    async def _run(self) -> None:
        while self._queue:
            await self._send(*self._queue[0])
            # Not before: what is interrupted is sent once more rather than not at all.
            self._queue.popleft()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            self._evacuate()
        elif self._queue:
            self._start(task.get_loop())

    def _evacuate(self) -> None:
        """Send the rest elsewhere: the event loop is being shut down.

        That of an async view is, under WSGI, as soon as the view has returned, and that
        of a management command just before the process ends. So it is waited for.
        """
        moved: list[tuple[Outgoing, Future[None]]] = []
        while self._queue:
            outgoing, pending = self._queue.popleft()
            pending.cancel()
            moved.append((outgoing, _send_elsewhere(self._layer, outgoing)))
        done, _ = wait([sent for _, sent in moved], EVACUATION_TIMEOUT)
        for outgoing, sent in moved:
            error = sent.exception() if sent in done else TimeoutError("it takes too long")
            if error is not None:
                log.error("%s failed and nobody awaited it", outgoing.about, exc_info=error)

    async def _send(self, outgoing: Outgoing, pending: PendingSend) -> None:
        try:
            await self._layer.group_send(outgoing.group, outgoing.message)
        except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
            if not pending.done():
                pending.fail(error, outgoing.about)
        else:
            if not pending.done():
                pending.set_result(None)


_pumps: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, _Pump]] = WeakKeyDictionary()


def send_soon(layer: GroupSender, outgoing: Outgoing) -> asyncio.Future[None]:
    """Put a message on its way, behind those that this event loop sent before it.

    Returns:
        A future to wait for, or to leave alone: a failure is logged then.

    Raises:
        RuntimeError: no event loop runs in this thread.
    """
    return send_on(asyncio.get_running_loop(), layer, outgoing)


def send_on(
    loop: asyncio.AbstractEventLoop, layer: GroupSender, outgoing: Outgoing
) -> asyncio.Future[None]:
    """Do as `send_soon` does, for who knows the event loop that runs."""
    local.warn_if_unheard(layer, lambda: outgoing.about)
    if not is_local(layer):
        return _pump(loop, layer).put(loop, outgoing)
    sent = LocalSend(loop=loop)
    # In its turn: what clients have sent before this call is seen to before it. And in an
    # empty context: that of the sender is of no concern to those who listen.
    loop.call_soon(_deliver, layer, outgoing.message, sent, context=Context())
    return sent


def _deliver(layer: object, message: Message, sent: LocalSend) -> None:
    if not sent.done():
        sent.set_result(None)
    local.hand_over(layer, message, sent.get_loop())


def _pump(loop: asyncio.AbstractEventLoop, layer: GroupSender) -> _Pump:
    pumps = _pumps.setdefault(loop, {})
    pump = pumps.get(id(layer))
    if pump is None or pump._layer is not layer:  # noqa: SLF001 (an id may be used again)
        pump = pumps[id(layer)] = _Pump(layer)
    return pump


class _SenderThread:
    """An event loop in a thread of its own, for code that has none.

    A loop for each call would open and close a connection to Redis for each call.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    def loop(self) -> asyncio.AbstractEventLoop:
        """Give that event loop; the first call starts it."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                name = "channels-graphql-ws-sender"
                threading.Thread(target=self._loop.run_forever, name=name, daemon=True).start()
            return self._loop


_sender = _SenderThread()


def _start_anew() -> None:
    """Forget, in a forked worker, threads and event loops: they stayed in the parent."""
    global _sender, _parents_sender  # noqa: PLW0603
    # Kept: to close its event loop would disturb the parent, they share its descriptors.
    _parents_sender = _sender
    _sender = _SenderThread()


_parents_sender: _SenderThread | None = None

if hasattr(os, "register_at_fork"):  # pragma: no branch (Windows does not fork)
    os.register_at_fork(after_in_child=_start_anew)


def send_now(layer: GroupSender, outgoing: Outgoing) -> None:
    """Send a message from plain code and return when the channel layer has it.

    Raises:
        RuntimeError: an event loop runs in this thread; waiting would block it.
    """
    if running_loop() is not None:
        raise RuntimeError(
            f"{outgoing.about} would block the event loop that runs in this thread: "
            "use `broadcast()`/`unsubscribe()` or the forms that end in `_async`"
        )
    local.warn_if_unheard(layer, lambda: outgoing.about)
    if is_local(layer):
        local.hand_over(layer, outgoing.message)
        return
    _send_elsewhere(layer, outgoing).result()


def _send_elsewhere(layer: GroupSender, outgoing: Outgoing) -> Future[None]:
    """Send on another event loop, behind what was sent there before."""
    listening = local.receivers(layer)
    if listening and isinstance(layer, InMemoryChannelLayer):
        # Its queues belong to the event loop of those who listen: only there they wake up.
        # That loop may be waiting for this thread, so nobody may wait for it.
        sent: Future[None] = Future()
        sent.set_result(None)
        with suppress(RuntimeError):  # A closed loop has nobody left to miss it.
            listening[0].loop.call_soon_threadsafe(send_soon, layer, outgoing)
        return sent

    async def send() -> None:
        await send_soon(layer, outgoing)

    return asyncio.run_coroutine_threadsafe(send(), _sender.loop())

"""Name a group, wrap a payload, and send it: from a coroutine, or from plain code."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from channels.layers import InMemoryChannelLayer, get_channel_layer

from .exceptions import ChannelLayerError

log = logging.getLogger("channels_graphql_ws.broadcast")

Message: TypeAlias = Mapping[str, Any]
"""`{"type": "broadcast", "group": …, "payload": bytes}`, or of type `unsubscribe`."""

EVACUATION_TIMEOUT = 5.0
"""Seconds that what an event loop leaves unsent may take when it is shut down."""

_LONGEST_IN_LOG = 100

_PREFIX = re.compile(r"[a-zA-Z\d\-_.]{1,34}")


class GroupSender(Protocol):
    """What is needed of a channel layer to broadcast."""

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send a message to all channels of a group."""
        ...


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


# ---------------------------------------------------------------------- names


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


def channel_layer(alias: str = "default") -> Any:
    """Give the channel layer of that alias.

    Raises:
        ChannelLayerError: there is none; the text names the setting.
    """
    layer: Any = get_channel_layer(alias)
    if layer is None:
        raise ChannelLayerError(
            f"Channel layer is not configured! Add {alias!r} to CHANNEL_LAYERS in the "
            "Django settings, for one process for example "
            '{"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}'
        )
    return layer


# ------------------------------------------------------------ inside a process


class Receiver(Protocol):
    """Who listens in this process: the hub of one event loop."""

    loop: asyncio.AbstractEventLoop

    def hear(self, message: Message) -> None:
        """Take a message; called in a callback of the receiver's own event loop."""
        ...


class _Process:
    """What this process knows of those who listen in it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        # Replaced and not changed, so that they can be read without the lock.
        self.receivers: dict[int, tuple[Receiver, ...]] = {}
        self.serves = False
        self.warned = False


_process = _Process()


def serving() -> None:
    """Say that this process serves clients, or soon will."""
    _process.serves = True


def add_receiver(layer: object, receiver: Receiver) -> None:
    """Let `receiver` hear what is broadcast inside this process."""
    serving()
    with _process.lock:
        _process.receivers[id(layer)] = (*receivers(layer), receiver)


def remove_receiver(layer: object, receiver: Receiver) -> None:
    """Undo `add_receiver`."""
    with _process.lock:
        remaining = tuple(other for other in receivers(layer) if other is not receiver)
        if remaining:
            _process.receivers[id(layer)] = remaining
        else:
            del _process.receivers[id(layer)]


def receivers(layer: object) -> tuple[Receiver, ...]:
    """Give those who listen on that layer in this process, on any event loop."""
    return _process.receivers.get(id(layer), ())


def is_local(layer: object) -> bool:
    """Tell if this layer only serves this process, so that messages need not pass it.

    It scans all of its channels and groups on each receive, holds 100 messages, and
    belongs to one event loop. A subclass may have been made to behave in other ways.
    """
    return type(layer) is InMemoryChannelLayer


def _hand_over(
    layer: object, message: Message, here: asyncio.AbstractEventLoop | None = None
) -> None:
    """Give a message to all receivers in this process, each on its own event loop."""
    for receiver in receivers(layer):
        if receiver.loop is here:
            receiver.hear(message)
        else:
            # A loop that is closed has nobody left who could miss the message.
            with suppress(RuntimeError):
                receiver.loop.call_soon_threadsafe(receiver.hear, message, context=Context())


def _warn_if_unheard(layer: object, outgoing: Outgoing) -> None:
    """Warn, once, of a channel layer that does not reach the process with the clients."""
    if _process.warned or not isinstance(layer, InMemoryChannelLayer):
        return
    _process.warned = True
    log.warning(
        "%s reaches nobody: the in-memory channel layer ends at the border of a process, and "
        "this one has never served a client. Configure a layer that connects processes in "
        "CHANNEL_LAYERS, for example channels_redis.pubsub.RedisPubSubChannelLayer",
        outgoing.about,
    )


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Give the event loop of this thread, if it has one; this costs a system call."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


# --------------------------------------------------------- with a running loop


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
    if not _process.serves:
        _warn_if_unheard(layer, outgoing)
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
    _hand_over(layer, message, sent.get_loop())


def _pump(loop: asyncio.AbstractEventLoop, layer: GroupSender) -> _Pump:
    pumps = _pumps.setdefault(loop, {})
    pump = pumps.get(id(layer))
    if pump is None or pump._layer is not layer:  # noqa: SLF001 (an id may be used again)
        pump = pumps[id(layer)] = _Pump(layer)
    return pump


# ------------------------------------------------------- without a running loop


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
    global _process, _sender, _parents_sender  # noqa: PLW0603
    _process = _Process()
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
    if not _process.serves:
        _warn_if_unheard(layer, outgoing)
    if is_local(layer):
        _hand_over(layer, outgoing.message)
        return
    _send_elsewhere(layer, outgoing).result()


def _send_elsewhere(layer: GroupSender, outgoing: Outgoing) -> Future[None]:
    """Send on another event loop, behind what was sent there before."""
    listening = receivers(layer)
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

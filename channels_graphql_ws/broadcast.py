"""Name a group, wrap a payload, and send it: from a coroutine, or from plain code."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from weakref import WeakKeyDictionary

from channels.layers import InMemoryChannelLayer, get_channel_layer

from .exceptions import ChannelLayerError

log = logging.getLogger(__name__)

Message: TypeAlias = Mapping[str, Any]
"""`{"type": "broadcast", "group": …, "payload": bytes}`, or of type `unsubscribe`."""

_PREFIX = re.compile(r"[a-zA-Z\d\-_.]{1,34}")


class GroupSender(Protocol):
    """What is needed of a channel layer to broadcast."""

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send a message to all channels of a group."""
        ...


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message on its way to a group."""

    message: dict[str, Any]
    about: str
    """What to call it in the log: the class, what is done, and the readable group."""

    @property
    def group(self) -> str:
        """The group's name on the channel layer."""
        group: str = self.message["group"]
        return group


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
        """Take a message; called on the receiver's own event loop."""
        ...


_receivers: dict[int, list[Receiver]] = {}
_receivers_lock = threading.Lock()


def add_receiver(layer: object, receiver: Receiver) -> None:
    """Let `receiver` hear what is broadcast inside this process."""
    with _receivers_lock:
        _receivers.setdefault(id(layer), []).append(receiver)


def remove_receiver(layer: object, receiver: Receiver) -> None:
    """Undo `add_receiver`."""
    with _receivers_lock:
        remaining = [other for other in _receivers[id(layer)] if other is not receiver]
        if remaining:
            _receivers[id(layer)] = remaining
        else:
            del _receivers[id(layer)]


def receivers(layer: object) -> list[Receiver]:
    """Give those who listen on that layer in this process, on any event loop."""
    with _receivers_lock:
        return list(_receivers.get(id(layer), ()))


def is_local(layer: object) -> bool:
    """Tell if this layer only serves this process, so that messages need not pass it.

    It scans all of its channels and groups on each receive, holds 100 messages, and
    belongs to one event loop. A subclass may have been made to behave in other ways.
    """
    return type(layer) is InMemoryChannelLayer


def _hand_over(layer: object, outgoing: Outgoing) -> None:
    """Give a message to all receivers in this process, each on its own event loop."""
    for receiver in receivers(layer):
        if receiver.loop is _running_loop():
            receiver.hear(outgoing.message)
        else:
            # A loop that is closed has nobody left who could miss the message.
            with suppress(RuntimeError):
                receiver.loop.call_soon_threadsafe(receiver.hear, outgoing.message)


def _running_loop() -> asyncio.AbstractEventLoop | None:
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


class _Pump:
    """Sends the messages of one event loop to one layer, one after another.

    A task for each message would let them overtake each other, and would overrun the
    hundred places which a channel of a layer has.
    """

    def __init__(self, layer: GroupSender) -> None:
        self._layer = layer
        self._queue: deque[tuple[Outgoing, PendingSend]] = deque()
        self._task: asyncio.Task[None] | None = None

    def put(self, outgoing: Outgoing) -> PendingSend:
        loop = asyncio.get_running_loop()
        pending = PendingSend(loop=loop)
        self._queue.append((outgoing, pending))
        if self._task is None:
            # Held here, or the garbage collector may end it half-way.
            self._task = loop.create_task(self._run())
        return pending

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._send(*self._queue.popleft())
        finally:
            self._task = None
            while self._queue:  # Only when cancelled: the loop is being shut down.
                self._queue.popleft()[1].cancel()

    async def _send(self, outgoing: Outgoing, pending: PendingSend) -> None:
        try:
            await self._layer.group_send(outgoing.group, outgoing.message)
        except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
            if not pending.done():
                pending.fail(error, outgoing.about)
        except asyncio.CancelledError:
            pending.cancel()
            raise
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
    loop = asyncio.get_running_loop()
    if not is_local(layer):
        return _pump(loop, layer).put(outgoing)
    pending = PendingSend(loop=loop)
    # In its turn: what clients have sent before this call is seen to before it.
    loop.call_soon(_deliver, layer, outgoing, pending)
    return pending


def _deliver(layer: object, outgoing: Outgoing, pending: PendingSend) -> None:
    _hand_over(layer, outgoing)
    if not pending.done():
        pending.set_result(None)


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

    def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run `work` on that loop and wait until it is done."""

        async def call() -> None:
            await work()

        asyncio.run_coroutine_threadsafe(call(), self._running()).result()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                name = "channels-graphql-ws-sender"
                threading.Thread(target=self._loop.run_forever, name=name, daemon=True).start()
            return self._loop


_sender = _SenderThread()


def _forget_sender() -> None:
    """Start anew in a forked worker: threads do not survive a fork."""
    global _sender  # noqa: PLW0603
    _sender = _SenderThread()


if hasattr(os, "register_at_fork"):  # pragma: no branch (Windows does not fork)
    os.register_at_fork(after_in_child=_forget_sender)


def send_now(layer: GroupSender, outgoing: Outgoing) -> None:
    """Send a message from plain code and return when the channel layer has it.

    Raises:
        RuntimeError: an event loop runs in this thread; waiting would block it.
    """
    if _running_loop() is not None:
        raise RuntimeError(
            f"{outgoing.about} would block the event loop that runs in this thread: "
            "use `broadcast()`/`unsubscribe()` or the forms that end in `_async`"
        )
    if is_local(layer):
        _hand_over(layer, outgoing)
    elif isinstance(layer, InMemoryChannelLayer):
        _send_on_loops_of_receivers(layer, outgoing)
    else:
        _sender.run(lambda: layer.group_send(outgoing.group, outgoing.message))


def _send_on_loops_of_receivers(layer: GroupSender, outgoing: Outgoing) -> None:
    """Send where the layer's queues can be woken: they belong to an event loop."""
    for loop in _distinct(receiver.loop for receiver in receivers(layer)):
        with suppress(RuntimeError):  # A closed loop has nobody left to miss it.
            loop.call_soon_threadsafe(send_soon, layer, outgoing)


def _distinct(
    loops: Iterator[asyncio.AbstractEventLoop],
) -> list[asyncio.AbstractEventLoop]:
    return list(dict.fromkeys(loops))

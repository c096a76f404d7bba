"""The hubs of this process, for channel layers that do not leave it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import Context
from typing import Any, Protocol, TypeAlias

from channels.layers import InMemoryChannelLayer

from channels_graphql_ws.client_log import ClientLog, Sentence

log = ClientLog("channels_graphql_ws.broadcast")

Message: TypeAlias = Mapping[Any, Any]
"""`{"type": "broadcast", "group": …, "payload": bytes}`, or of type `unsubscribe`."""


class Receiver(Protocol):
    """The hub of one event loop, which receives for this process."""

    loop: asyncio.AbstractEventLoop

    def deliver(self, message: Message) -> None:
        """Take a message; called in a callback of the receiver's own event loop."""
        ...


class _Process:
    """The hubs of this process, and whether it serves clients at all."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        # Replaced and not changed, so that they can be read without the lock.
        self.receivers: dict[int, tuple[Receiver, ...]] = {}
        self.serves = False
        self.warned = False


_process = _Process()


def _start_anew() -> None:  # pragma: no cover (runs in a forked child, which is not measured)
    """Forget, in a forked worker, the hubs: their event loops stayed in the parent."""
    # It has to stand in this module: another one would rebind a name of its own.
    global _process  # noqa: PLW0603
    _process = _Process()


if hasattr(os, "register_at_fork"):  # pragma: no branch (Windows does not fork)
    os.register_at_fork(after_in_child=_start_anew)


def serving() -> None:
    """Note that this process serves clients, or soon will."""
    _process.serves = True


def is_serving() -> bool:
    """Return whether this process serves clients, or soon will."""
    return _process.serves


def not_serving() -> None:
    """Undo `serving`: what serves was imported, and that was all."""
    _process.serves = False


def add_receiver(layer: object, receiver: Receiver) -> None:
    """Deliver what is broadcast inside this process to a receiver."""
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
    """Return the receivers of that layer in this process, on any event loop."""
    return _process.receivers.get(id(layer), ())


def hand_over(
    layer: object, message: Message, here: asyncio.AbstractEventLoop | None = None
) -> None:
    """Deliver a message to all receivers in this process, each on its own event loop."""
    for receiver in receivers(layer):
        if receiver.loop is here:
            receiver.deliver(message)
        else:
            # Nobody is left on a closed loop to miss the message.
            with suppress(RuntimeError):
                receiver.loop.call_soon_threadsafe(receiver.deliver, message, context=Context())


def warn_if_unheard(layer: object, about: Callable[[], str]) -> None:
    """Warn, once, of a channel layer that does not reach the process with the clients.

    Args:
        layer: what is about to carry a message.
        about: returns what to call the message in the log.
    """
    if _process.serves or _process.warned or not isinstance(layer, InMemoryChannelLayer):
        return
    _process.warned = True
    log.warning(
        "%s reached no client: InMemoryChannelLayer does not cross processes, and this one has "
        "never served a client. Configure a layer that connects processes in CHANNEL_LAYERS, for "
        "example channels_redis.pubsub.RedisPubSubChannelLayer",
        Sentence(about()),
    )

"""Name a group, and send a message to it: from a coroutine, or from plain code."""

from __future__ import annotations

import asyncio
import hashlib
import re
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context

from channels.layers import InMemoryChannelLayer

from channels_graphql_ws.pubsub import local
from channels_graphql_ws.pubsub.history.of_layer import history_in_process
from channels_graphql_ws.pubsub.layers import GroupSender, is_local
from channels_graphql_ws.pubsub.local import Message
from channels_graphql_ws.pubsub.outgoing import LocalSend, Outgoing
from channels_graphql_ws.pubsub.pump import pump_of
from channels_graphql_ws.pubsub.sender_thread import current_sender

_PREFIX = re.compile(r"[a-zA-Z\d\-_.]{1,34}")


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
    """Return the event loop of this thread, if it has one; this costs a system call."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


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
    """Do as `send_soon` does, given the event loop that runs."""
    local.warn_if_unheard(layer, lambda: outgoing.about)
    if not is_local(layer):
        return pump_of(loop, layer, send_elsewhere).put(loop, outgoing)
    sent = LocalSend(loop=loop)
    # Behind what clients have sent before this call. And in an empty context: that of the
    # sender does not concern the listeners.
    loop.call_soon(_deliver, layer, outgoing, sent, context=Context())
    return sent


def _deliver(layer: object, outgoing: Outgoing, sent: LocalSend) -> None:
    if not sent.done():
        sent.set_result(None)
    local.hand_over(layer, _kept(layer, outgoing), sent.get_loop())


def _kept(layer: object, outgoing: Outgoing) -> Message:
    """Put an event that does not leave this process into its history, if it has one."""
    message = outgoing.message
    if outgoing.keep is not None:
        size, ttl = outgoing.keep
        history = history_in_process(layer)
        id = message.get("id")
        place = history.append_now(outgoing.group, message["payload"], size, ttl, id)
        message["epoch"], message["offset"] = place
    return message


def send_now(layer: GroupSender, outgoing: Outgoing) -> None:
    """Send a message from plain code and return when the channel layer has it.

    Raises:
        ChannelLayerError: the channel layer failed, or took too long.
        RuntimeError: an event loop runs in this thread; waiting would block it.
    """
    if running_loop() is not None:
        raise RuntimeError(
            f"{outgoing.about} would block the event loop that runs in this thread: "
            "use `broadcast()`/`unsubscribe()` or the forms that end in `_async`"
        )
    local.warn_if_unheard(layer, lambda: outgoing.about)
    if is_local(layer):
        local.hand_over(layer, _kept(layer, outgoing))
    elif not _sent_where_heard(layer, outgoing):
        current_sender().run(lambda: _send(layer, outgoing))


def send_elsewhere(layer: GroupSender, outgoing: Outgoing) -> Future[None]:
    """Send on another event loop, behind what was sent there before."""
    if not _sent_where_heard(layer, outgoing):
        return current_sender().submit(_send(layer, outgoing))
    sent: Future[None] = Future()
    sent.set_result(None)
    return sent


def _sent_where_heard(layer: GroupSender, outgoing: Outgoing) -> bool:
    """Send on the event loop of the listeners, if nothing else would wake them."""
    listening = local.receivers(layer)
    if not listening or not isinstance(layer, InMemoryChannelLayer):
        return False
    # The queues of this layer belong to that loop. It may be waiting for this thread, so
    # nobody may wait for it. A closed loop has nobody left to miss the message.
    with suppress(RuntimeError):
        listening[0].loop.call_soon_threadsafe(send_soon, layer, outgoing)
    return True


async def _send(layer: GroupSender, outgoing: Outgoing) -> None:
    await send_soon(layer, outgoing)

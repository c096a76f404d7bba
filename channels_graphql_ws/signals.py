"""Django signals about clients: who is connected, subscribed, refused, and what was dropped.

Receivers are called in the order of what happened to a connection, and nobody waits for them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from secrets import token_hex
from typing import Any, Final, NamedTuple

import asgiref.sync
from django.dispatch import Signal

from channels_graphql_ws.client_log import ClientLog, log_fields
from channels_graphql_ws.concurrency.eager import is_cancellation
from channels_graphql_ws.concurrency.threads import Workers, context_of_nobody, in_thread
from channels_graphql_ws.shutdown import connections_of_loop

__all__ = ["connected", "disconnected", "dropped", "refused", "subscribed", "unsubscribed"]

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

TIMEOUT: Final = 10.0
"""Seconds that the receivers of a signal may take until the next one is sent."""

MOST_WAITING: Final = 2_000
"""Signals of one connection that may wait for receivers."""

LONGEST_REASON: Final = 500
"""Characters of a reason."""

RECEIVERS: Final = Workers("signals", 8)
"""For synchronous receivers: one that hangs uses up no thread of operations or events."""


class ClientSignal(Signal):
    """A signal about a client.

    Attributes:
        blocks: whether a receiver is synchronous, and so belongs into a thread.
    """

    blocks = False

    def connect(self, receiver: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Connect a receiver, a function or a coroutine function (Django)."""
        super().connect(receiver, *args, **kwargs)
        if not asgiref.sync.iscoroutinefunction(receiver):  # pyright: ignore[reportDeprecated]
            self.blocks = True

    async def call(self, sender: type[Any], arguments: Mapping[str, Any]) -> None:
        """Call the receivers; Django logs what they raise."""
        if self.blocks:
            await in_thread(partial(self.send_robust, sender, **arguments), RECEIVERS)
        else:
            await self.asend_robust(sender, **arguments)


connected = ClientSignal()
"""A client was let in: its WebSocket is acknowledged, or its event stream begins.

Arguments, besides `sender`, the class of the consumer or view: `connection`, a text that tells
connections apart, and `scope`, with the user.
"""

disconnected = ClientSignal()
"""What was connected has ended. Arguments: `connection`, `scope`, and `code` and `reason` of the
close, `None` and empty where there were none."""

subscribed = ClientSignal()
"""A client is subscribed. Arguments: `connection`, `scope`, `operation_id`, `operation_name`,
`subscription` (the class, `None` for a generator), `field` (its name in the log), `context`
(`info.context`) and `groups`, as `subscribe` has named them."""

unsubscribed = ClientSignal()
"""A subscription has ended, whatever has ended it. Arguments: those of `subscribed`."""

dropped = ClientSignal()
"""The queue of a client that is too slow has dropped events. Arguments: those of `subscribed`,
and `number`."""

refused = ClientSignal()
"""A client was refused. Arguments: `connection`, `scope`, `what` ("handshake", "connection",
"operation" or "request"), `reason`, `code` (of the close, or the HTTP status; `None` for an
operation), `error` (the exception, if there was one), `operation_id` and `operation_name`."""


class _Waiting(NamedTuple):
    """A signal that is to be sent."""

    signal: ClientSignal
    arguments: dict[str, Any]


class ConnectionSignals:
    """Sends the signals about one connection, in order: it does not wait for receivers.

    Args:
        sender: the class of the consumer or view, as it was written.
    """

    __slots__ = ("_id", "_is_closed", "_is_open", "_left_out", "_sender", "_waiting")

    def __init__(self, sender: type[Any]) -> None:
        self._sender = sender
        self._id: str | None = None
        self._is_open = self._is_closed = False
        self._waiting: deque[_Waiting] | None = None
        self._left_out = 0

    @property
    def id(self) -> str:
        """What the connection is known by."""
        if self._id is None:
            self._id = token_hex(8)
        return self._id

    def opened(self, scope: Mapping[str, Any]) -> None:
        """Send `connected`, once, unless the connection has ended already."""
        if not (self._is_open or self._is_closed):
            self._is_open = True
            self.send(connected, scope)

    def closed(self, scope: Mapping[str, Any], code: int | None, reason: str = "") -> None:
        """Send `disconnected`, once, if the connection was let in."""
        was_open, self._is_open, self._is_closed = self._is_open, False, True
        if was_open:
            self.send(disconnected, scope, code=code, reason=reason)

    def refuse(self, scope: Mapping[str, Any], what: str, reason: object, **more: Any) -> None:
        """Send `refused`.

        Args:
            scope: that of the connection or request.
            what: was refused.
            reason: a text, or the exception that a hook has raised.
            more: the other arguments of the signal, where they are known.
        """
        if refused.receivers:
            known = dict.fromkeys(("code", "error", "operation_id", "operation_name"))
            self.send(refused, scope, what=what, reason=_text(reason), **{**known, **more})

    def send(self, signal: ClientSignal, scope: Mapping[str, Any], **arguments: Any) -> None:
        """Send a signal as soon as the ones before it are sent; nothing without a receiver."""
        if not signal.receivers:
            return
        sent = _Waiting(signal, {"connection": self.id, "scope": scope, **arguments})
        if self._waiting is None:
            self._waiting = deque([sent])
            loop, context = asyncio.get_running_loop(), context_of_nobody()
            context.run(log_fields.set, log_fields.get())
            task = loop.create_task(self._send_all(), context=context)
            connections_of_loop().finishes(task)
        # The end of a connection is told in any case.
        elif len(self._waiting) < MOST_WAITING or signal is disconnected:
            self._waiting.append(sent)
        else:
            self._left_out += 1
            log.warning(
                "Receivers of signals are too slow: %s about one connection were left out",
                self._left_out,
            )

    async def _send_all(self) -> None:
        waiting = self._waiting
        assert waiting is not None, "there is a signal to send"
        while waiting:
            signal, arguments = waiting.popleft()
            await self._send(signal, arguments)
        self._waiting = None

    async def _send(self, signal: ClientSignal, arguments: Mapping[str, Any]) -> None:
        limit = asyncio.timeout(TIMEOUT)
        try:
            async with limit:
                await signal.call(self._sender, arguments)
        except TimeoutError:
            name = _NAMES[signal]
            log.warning("Receivers of the signal %s take longer than %g seconds", name, TIMEOUT)
        # One that was cancelled from inside, which `send_robust` does not catch.
        except (Exception, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
            log.exception("A receiver of the signal %s failed", _NAMES[signal])


_NAMES: Final[Mapping[ClientSignal, str]] = {
    connected: "connected",
    disconnected: "disconnected",
    subscribed: "subscribed",
    unsubscribed: "unsubscribed",
    dropped: "dropped",
    refused: "refused",
}


def _text(reason: object) -> str:
    try:
        text = str(reason) or type(reason).__name__
    except Exception:  # noqa: BLE001 (an exception of the user's)
        text = type(reason).__name__
    return text[:LONGEST_REASON]

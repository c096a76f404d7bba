"""`listen_to_channel`: messages that other Channels code sends to listeners."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from copy import deepcopy
from typing import Any, Protocol, TypeAlias

from channels.exceptions import ChannelFull

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency.fairness import current_key
from channels_graphql_ws.exceptions import ChannelLayerError, ChannelLayerUnavailableError
from channels_graphql_ws.pubsub.channel_reader import CALL_TIMEOUT, ChannelReader, within
from channels_graphql_ws.pubsub.layer_slots import slots_of
from channels_graphql_ws.pubsub.layers import ChannelLayer, DirectLayer
from channels_graphql_ws.pubsub.membership import Membership

log = ClientLog("channels_graphql_ws.broadcast")

WARN_EVERY = 10.0
"""Seconds between two warnings that messages are dropped."""


PROBE = "channels_graphql_ws.probe"
"""The type of a message that a connection sends to itself, to prove that it receives."""

PROBES = 5
"""So many are sent, until it is given up."""

FIRST_PROBE_AFTER = 0.2
"""Seconds until a probe that has not come back is sent again; doubled each time.

Where a layer reads the channels of a process one after the other, many probes keep others waiting.
"""


class Messages:
    """The messages of one type that came for one listener, in their order.

    Args:
        type: the `type` of the messages to listen to.
        timeout: seconds without a message after which the iteration ends.
        limit: messages that may wait; the oldest gives way to a new one.
    """

    def __init__(self, type: str, timeout: float | None, limit: int) -> None:
        self.dropped = 0
        """Messages that gave way to newer ones."""
        self._type = type
        self._timeout = timeout
        self._limit = max(1, limit)
        self._waiting: deque[dict[str, Any]] = deque()
        self._news = asyncio.Event()
        self._is_over = False
        self._warned_at = float("-inf")

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return self

    async def __anext__(self) -> dict[str, Any]:
        if not self._waiting:
            with suppress(TimeoutError):
                await self._wait()
        if self._is_over or not self._waiting:
            raise StopAsyncIteration
        return self._waiting.popleft()

    def wants(self, message: dict[str, Any]) -> bool:
        """Return whether this is a message to listen to."""
        return message.get("type") == self._type

    def put(self, message: dict[str, Any]) -> None:
        """Take a message that is wanted."""
        if len(self._waiting) >= self._limit:
            self._waiting.popleft()
            self._drop()
        self._waiting.append(message)
        self._news.set()

    def end(self) -> None:
        """End the iteration."""
        self._is_over = True
        self._news.set()

    async def _wait(self) -> None:
        async with asyncio.timeout(self._timeout):
            while not self._waiting and not self._is_over:
                self._news.clear()
                await self._news.wait()

    def _drop(self) -> None:
        self.dropped += 1
        now = time.monotonic()
        if now - self._warned_at < WARN_EVERY:
            return
        self._warned_at = now
        log.warning(
            "A listener to %r cannot keep up: messages are dropped, the oldest first "
            "(queue limit %s, %s dropped so far)",
            self._type,
            self._limit,
            self.dropped,
        )


class _Channel(Protocol):
    """Where messages come from."""

    def add(self, messages: Messages) -> None:
        """Wake the listeners; several calls are one."""
        ...

    async def opened(self) -> None:
        """Wait until what is sent from now on is received."""
        ...

    def remove(self, messages: Messages) -> asyncio.Task[None] | None:
        """Undo `add`; return the task that closes the channel after the last one."""
        ...


def _dispatch_next(message: dict[str, Any], listeners: Iterable[Messages]) -> bool:
    """Pass a message to its listeners; return whether there are any."""
    wanting = [messages for messages in listeners if messages.wants(message)]
    for messages in wanting:
        # A listener that changes it must not change it for the others.
        messages.put(deepcopy(message))
    return bool(wanting)


_Key: TypeAlias = tuple[asyncio.AbstractEventLoop, int, str]
"""Event loop, id of the layer, group."""


class _GroupChannel:
    """This process's own channel for one group, and the group's listeners.

    A message does not tell through which group it came. So there is a channel for each.
    """

    def __init__(self, layer: ChannelLayer, group: str, key: _Key) -> None:
        self._group = group
        self._key = key
        self._listeners: dict[Messages, None] = {}
        self._membership = Membership(layer, (group,), self._deliver, is_foreign=True)

    def add(self, messages: Messages) -> None:
        self._listeners[messages] = None
        self._membership.adjust((self._group,))

    async def opened(self) -> None:
        await self._membership.settled((self._group,))

    def remove(self, messages: Messages) -> asyncio.Task[None] | None:
        self._listeners.pop(messages, None)
        if self._listeners:
            return None
        # Before it is closed: a new listener needs another one.
        _channels.pop(self._key, None)
        return _close_soon(self._membership.close())

    def _deliver(self, message: Any) -> None:
        _dispatch_next(message, self._listeners)


_channels: dict[_Key, _GroupChannel] = {}
_closing: set[asyncio.Task[None]] = set()
"""Held here, or the garbage collector may end one half-way."""


def _channel_of(layer: ChannelLayer, group: str) -> _GroupChannel:
    """Return the channel of a group in the running event loop; it lives while it is used."""
    for stale in [key for key in _channels if key[0].is_closed()]:
        del _channels[stale]
    key = asyncio.get_running_loop(), id(layer), group
    channel = _channels.get(key)
    if channel is None:
        channel = _channels[key] = _GroupChannel(layer, group, key)
    return channel


def _close_soon(close: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Close in a task of its own: the caller may be cancelled, this may not.

    It takes at most some seconds: `Membership` sees to that.
    """
    task = asyncio.get_running_loop().create_task(close, context=Context())
    _closing.add(task)
    task.add_done_callback(_closing.discard)
    return task


Dispatch: TypeAlias = Callable[[dict[str, Any], bool], Awaitable[bool]]
"""Is called with a message, and whether somebody listens to it; `False` means: no more."""


class OwnChannel:
    """The channel of one connection, read from its first listener on.

    Args:
        layer: the channel layer.
        name: the name of the channel.
        is_closed: listeners receive nothing but the end, at once.
    """

    __slots__ = ("_dispatch", "_is_closed", "_listeners", "_name", "_news", "_reader", "layer")

    def __init__(self, layer: DirectLayer, name: str, *, is_closed: bool = False) -> None:
        self.layer = layer
        self._name = name
        self._listeners: dict[Messages, None] = {}
        self._dispatch: Dispatch | None = None
        self._reader: ChannelReader | None = None
        # Few connections ever wait for it.
        self._news: asyncio.Event | None = None
        self._is_closed = is_closed

    def dispatch_to(self, dispatch: Dispatch) -> None:
        """Have this called with each message."""
        self._dispatch = dispatch
        self._start()

    def add(self, messages: Messages) -> None:
        """Add a listener."""
        if self._is_closed:
            messages.end()
            return
        self._listeners[messages] = None
        self._start()

    async def opened(self) -> None:
        """Wait until a message to ourselves comes: some layers keep nothing for later.

        Raises:
            ChannelLayerUnavailableError: none comes, or the channel layer fails.
        """
        news = self._news = self._news or asyncio.Event()
        number = 0
        while not (news.is_set() or self._is_closed):
            if number == PROBES:
                raise ChannelLayerUnavailableError(f"Cannot read from the channel {self._name}")
            # One that is full is read, or not: the next probe will tell.
            with suppress(ChannelFull):
                await self._probe()
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_PROBE_AFTER * 2**number):
                    await news.wait()
            number += 1

    async def _probe(self) -> None:
        try:
            await within(CALL_TIMEOUT, self._send_probe(), "take a message")
        except (ChannelFull, ChannelLayerError):
            raise
        except Exception as error:
            text = f"Cannot send to the channel {self._name}: {error!r}"
            raise ChannelLayerUnavailableError(text) from error

    async def _send_probe(self) -> None:
        async with slots_of(self.layer, is_foreign=True).hold(current_key()):
            await self.layer.send(self._name, {"type": PROBE})

    def remove(self, messages: Messages) -> None:
        """Undo `add`.

        Reading goes on: InMemoryChannelLayer breaks if one reader is cancelled while
        another begins.
        """
        self._listeners.pop(messages, None)

    async def close(self) -> None:
        """Read no more, and end all listening."""
        self._is_closed = True
        self._tell()
        for messages in self._listeners:
            messages.end()
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    def _tell(self) -> None:
        if self._news is not None:
            self._news.set()

    def _start(self) -> None:
        if self._reader is None:
            self._reader = ChannelReader(self.layer, self._name, self._take)

    def _take(self, message: dict[str, Any]) -> Awaitable[None] | None:
        if message["type"] == PROBE:
            self._tell()
            return None
        is_heard = _dispatch_next(message, self._listeners)
        return None if self._dispatch is None else self._pass_on(self._dispatch, message, is_heard)

    async def _pass_on(self, dispatch: Dispatch, message: dict[str, Any], is_heard: bool) -> None:  # noqa: FBT001 (as `Dispatch` has it)
        if not await dispatch(message, is_heard):
            self._dispatch = None


@asynccontextmanager
async def listen(
    own: OwnChannel,
    type: str,
    *,
    timeout: float | None,
    groups: Iterable[str],
    queue_limit: int,
    prefix: str = "",
) -> AsyncGenerator[AsyncIterator[dict[str, Any]]]:
    """Listen to groups or, without any, to a connection's own channel.

    Inside of the `async with`, nothing is missed that is sent. Whatever way it is left,
    the groups are left, too.

    Raises:
        ChannelLayerError: the channel layer refused to let us join a group.
        TypeError: `groups` is a single string.
    """
    if isinstance(groups, str):
        raise TypeError(f"groups must be several strings, not the one string {groups!r}")
    messages = Messages(type, timeout, queue_limit)
    distinct = dict.fromkeys(f"{prefix}{group}" for group in groups)
    channels: list[_Channel] = [_channel_of(own.layer, group) for group in distinct] or [own]
    for channel in channels:
        channel.add(messages)
    try:
        for channel in channels:
            await channel.opened()
        yield messages
    finally:
        messages.end()
        closing = [task for channel in channels if (task := channel.remove(messages))]
        if closing:
            await asyncio.wait(closing)

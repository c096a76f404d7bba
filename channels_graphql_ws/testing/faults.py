"""`FaultyChannelLayer`: a channel layer that fails, waits and forgets when a test says so."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection, Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self

from channels.exceptions import ChannelFull
from channels.layers import InMemoryChannelLayer, channel_layers

_is_for_group: ContextVar[bool] = ContextVar("is_for_group", default=False)

METHODS = frozenset({"new_channel", "receive", "send", "group_add", "group_discard", "group_send"})


class FaultyChannelLayer(InMemoryChannelLayer):
    """Does what Redis does when it is in trouble, and without trouble what it does otherwise.

    Broadcasts pass through it, as they do through Redis: past Channels' in-memory layer they
    are handed over directly. It may be told what to do from any thread.

    Args:
        options: of Channels' in-memory layer: `capacity`, `expiry`, `group_expiry`.

    Attributes:
        is_full: a group's messages are dropped without a word, and those to a channel raise
            `ChannelFull`, as in `channels_redis.core`.
        calls: how often each method was called.
        dropped: messages that were lost while it was full.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.is_full = False
        self.calls: Counter[str] = Counter()
        self.dropped: list[dict[str, Any]] = []
        self._errors: dict[str, Exception] = {}
        self._times: dict[str, int] = {}
        self._held: dict[str, list[asyncio.Future[None]]] = {}
        self._reads: dict[asyncio.Task[Any], Exception | None] = {}

    def fail(
        self, *methods: str, error: Exception | None = None, times: int | None = None
    ) -> None:
        """Let methods raise until `heal`. A waiting `receive` is interrupted.

        Args:
            methods: `group_add`, `group_discard`, `group_send`, `send`, `receive` or
                `new_channel`; without any, all of them.
            error: what they raise, otherwise a `ConnectionError`.
            times: so often, and no more.
        """
        raised = error or ConnectionError("The channel layer is out of order")
        for method in _checked(methods):
            self.heal(method)
            self._errors[method] = raised
            if times is not None:
                self._times[method] = times
        if "receive" in _checked(methods):
            self._interrupt()

    def heal(self, *methods: str) -> None:
        """End what `fail` has begun; without methods, for all of them."""
        for method in _checked(methods):
            self._errors.pop(method, None)
            self._times.pop(method, None)

    def hold(self, *methods: str) -> None:
        """Let calls of methods wait until `release`; without methods, of all but `receive`."""
        for method in _checked(methods or METHODS - {"receive"}):
            self._held.setdefault(method, [])

    def release(self, *methods: str) -> None:
        """Let calls go on, those that wait and those that come; without methods, all."""
        for method in _checked(methods):
            for waiting in self._held.pop(method, ()):
                waiting.get_loop().call_soon_threadsafe(_let_go, waiting)

    def forget(self) -> None:
        """Lose all groups and messages, as a Redis does that comes back empty.

        Nobody is told, so that it is noticed within some seconds. `stop` and `start` are the
        whole story, and are noticed at once.
        """
        self.channels.clear()
        self.groups.clear()

    def stop(self) -> None:
        """Be gone: every call raises a `ConnectionError`."""
        self.fail()

    def start(self, *, empty: bool = True) -> None:
        """Be there again; `empty` as after a restart without a file, or with all groups."""
        if empty:
            self.forget()
        self.heal()

    @contextmanager
    def installed(self, alias: str = "default") -> Generator[Self]:
        """Be the channel layer of that alias, in the place of what CHANNEL_LAYERS says."""
        before = channel_layers.set(alias, self)
        try:
            yield self
        finally:
            # What waits for us is let go, or it would never end.
            self.heal()
            self.release()
            if before is None:
                channel_layers.backends.pop(alias, None)
            else:
                channel_layers.set(alias, before)

    async def new_channel(self, prefix: str = "specific.") -> str:
        """Make a channel name."""
        await self._called("new_channel")
        name: str = await super().new_channel(prefix)
        return name

    async def receive(self, channel: str) -> Any:
        """Wait for the next message on a channel."""
        await self._called("receive")
        reading = asyncio.ensure_future(super().receive(channel))
        self._reads[reading] = None
        try:
            return await reading
        except asyncio.CancelledError:
            error = self._reads[reading]
            if error is None:
                raise
            raise error from None
        finally:
            del self._reads[reading]

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        """Send a message to a channel."""
        if not _is_for_group.get():
            await self._called("send")
        try:
            if self.is_full:
                raise ChannelFull(channel)
            await super().send(channel, message)
        except ChannelFull:
            self.dropped.append(message)
            raise

    async def group_add(self, group: str, channel: str) -> None:
        """Make a channel a member of a group."""
        await self._called("group_add")
        await super().group_add(group, channel)

    async def group_discard(self, group: str, channel: str) -> None:
        """Undo `group_add`."""
        await self._called("group_discard")
        await super().group_discard(group, channel)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        """Send a message to all members of a group."""
        await self._called("group_send")
        # It calls our `send`, whose troubles are its own; what is full it drops in silence.
        token = _is_for_group.set(True)
        try:
            await super().group_send(group, message)
        finally:
            _is_for_group.reset(token)

    async def _called(self, method: str) -> None:
        self.calls[method] += 1
        if method in self._held:
            waiting = asyncio.get_running_loop().create_future()
            self._held[method].append(waiting)
            await waiting
        if error := self._error(method):
            raise error

    def _error(self, method: str) -> Exception | None:
        """Return the error that a call raises now; it counts as raised."""
        error = self._errors.get(method)
        if error is not None and method in self._times:
            self._times[method] -= 1
            if not self._times[method]:
                self.heal(method)
        return error

    def _interrupt(self) -> None:
        for reading, error in list(self._reads.items()):
            if error is None and (error := self._error("receive")):
                self._reads[reading] = error
                reading.get_loop().call_soon_threadsafe(reading.cancel)


def _checked(methods: Collection[str]) -> Collection[str]:
    """Return the methods that are meant.

    Raises:
        ValueError: a channel layer has no such method.
    """
    if unknown := sorted(set(methods) - METHODS):
        raise ValueError(f"{unknown} are none of {sorted(METHODS)}")
    return methods or METHODS


def _let_go(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)

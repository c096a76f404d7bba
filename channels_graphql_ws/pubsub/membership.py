"""One process's channel on a channel layer, and the groups that it is a member of."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Collection, Coroutine, Iterable
from contextvars import Context
from typing import Any

from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.pubsub.layers import ChannelLayer
from channels_graphql_ws.pubsub.local import Message

log = logging.getLogger("channels_graphql_ws.broadcast")

LONGEST_PAUSE = 5.0
"""Seconds between two attempts to use a channel layer that is out of order."""

CHECK_EVERY = 4.0
"""Seconds between two looks whether the channel layer still knows our groups. Less than
the five after which redis-py 8 gives up an idle read, with what might just arrive."""

AT_ONCE = 32
"""Groups that are joined or left at the same time: Redis gets a connection for each."""

SHORTEST_RENEWAL = 0.1
"""Seconds between two renewals, however soon a membership expires."""

CLOSE_TIMEOUT = 5.0
"""Seconds that leaving all groups may take; a membership expires by itself."""

CANCELLATIONS = 100
"""Attempts to end a task of ours before it is given up."""

CANCEL_AGAIN_AFTER = 0.05
"""Seconds between two of them."""

CANARY = "channels_graphql_ws.canary"


class Membership:
    """Keeps what the channel layer believes equal to what this process wants.

    Whoever wants something changes `wanted` first and then says which groups to
    `adjust`. One task per group, and only while there is something to do, makes the
    layer follow; as it looks at `wanted` anew after each step, a group that is left and
    joined again at once, over a slow layer, ends up joined.

    Args:
        layer: the channel layer.
        wanted: the groups to be a member of; is looked at, never changed.
        hear: is called with each message that arrives, and must not wait.
    """

    def __init__(
        self, layer: ChannelLayer, wanted: Collection[str], deliver: Callable[[Message], None]
    ) -> None:
        self._layer = layer
        self._wanted = wanted
        self._deliver = deliver
        self._loop = asyncio.get_running_loop()
        self._channel: str | None = None
        self._opening = asyncio.Lock()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._joined: set[str] = set()
        self._adjusting: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._watcher: asyncio.Task[None] | None = None
        self._in_doubt = False
        self._wake_watcher = asyncio.Event()
        self._canary: str | None = None
        self._canary_is_back = True
        # A member is dropped `group_expiry` seconds after it joined, without a word.
        expiry: float = getattr(layer, "group_expiry", 86_400)
        self._renew_every = max(SHORTEST_RENEWAL, expiry / 3)

    def adjust(self, groups: Iterable[str]) -> bool:
        """Make the layer follow what is wanted; tell if that takes any time."""
        busy = False
        for group in groups:
            if group in self._adjusting:
                busy = True
            elif (group in self._wanted) != (group in self._joined):
                self._adjusting[group] = self._spawn(self._adjust(group))
                busy = True
        return busy

    async def settled(self, groups: Collection[str]) -> None:
        """Wait until the layer has followed.

        Raises:
            ChannelLayerError: it refused to let us join one of the groups.
        """
        # An attempt may have failed before anybody waited for it: this is one more.
        self.adjust(groups)
        tasks = [self._adjusting[group] for group in groups if group in self._adjusting]
        if not tasks:
            return
        # Who waits may be cancelled, what is under way goes on.
        await asyncio.wait(tasks)
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                raise ChannelLayerError(f"Can not join a group: {error!r}") from error

    async def close(self) -> None:
        """Leave all groups, stop reading, and wait until all of that is done."""
        await cancel([self._watcher] if self._watcher else [])
        self._wanted = ()
        self.adjust(self._joined | self._adjusting.keys())
        leaving = list(self._adjusting.values())
        if self._canary is not None:
            leaving.append(self._spawn(self._leave(self._canary)))
        if leaving:
            await asyncio.wait(leaving, timeout=CLOSE_TIMEOUT)
        await cancel(list(self._tasks))

    async def _adjust(self, group: str) -> None:
        try:
            async with self._slots:
                while (group in self._wanted) != (group in self._joined):
                    if group in self._wanted:
                        await self._join(group)
                    else:
                        await self._leave(group)
        finally:
            del self._adjusting[group]

    async def _join(self, group: str) -> None:
        channel = await self._opened()
        # Before the await: one that is cancelled or fails may have happened.
        self._joined.add(group)
        try:
            await self._layer.group_add(group, channel)
        except Exception:
            self._joined.discard(group)
            raise

    async def _leave(self, group: str) -> None:
        channel = await self._opened()
        self._joined.discard(group)
        try:
            await self._layer.group_discard(group, channel)
        except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
            # Nobody listens to it here, and the membership expires by itself.
            log.warning("Can not leave group %s: %r", group, error)

    async def _opened(self) -> str:
        """Give the channel; the first call makes it and starts to read."""
        async with self._opening:
            return self._channel or await self._open()

    async def _open(self) -> str:
        channel = self._channel = await self._layer.new_channel()
        self._spawn(self._read(channel))
        self._watcher = self._spawn(self._watch(channel))
        return channel

    async def _read(self, channel: str) -> None:
        """Hand over what arrives. Nothing that a layer raises may end this."""
        failures = 0
        while True:
            try:
                message = await self._layer.receive(channel)
            except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
                failures += 1
                await self._recover(error, failures)
            else:
                failures = 0
                self._take(message)

    def _take(self, message: Message) -> None:
        try:
            if message.get("type") == CANARY:
                self._canary_is_back = True
            else:
                self._deliver(message)
        # Anybody may write to a channel layer, and a process must not go deaf from it.
        except Exception:
            log.exception("A message of the channel layer was lost")

    async def _recover(self, error: Exception, failures: int) -> None:
        """Wait a little before the next read."""
        # A read that times out on an idle connection is no news, and redis-py has an error
        # of its own for it. If it is more than that, the canary will tell.
        if any(kind.__name__ == "TimeoutError" for kind in type(error).__mro__):
            log.debug("A read from the channel layer timed out: %r", error)
            await asyncio.sleep(_pause(failures - 1))
            return
        log.warning("Can not read from the channel layer, events may be lost: %r", error)
        self._in_doubt = True
        self._wake_watcher.set()
        await asyncio.sleep(_pause(failures))

    async def _watch(self, channel: str) -> None:
        """Renew the membership in time, and rejoin when it may not hold any more.

        A layer may reconnect to a Redis that came back empty without a word to us. So a
        canary is sent through a group of our own: if it does not come back, no group
        holds any more.
        """
        renewed = self._loop.time()
        while True:
            await self._wait_for_doubt()
            if not self._in_doubt and not self._canary_is_back:
                log.warning("The channel layer has lost our groups, events may be lost: rejoining")
                self._in_doubt = True
            if self._in_doubt or self._loop.time() - renewed >= self._renew_every:
                # Before the await: what happens meanwhile is cause for another round.
                self._in_doubt = False
                await self._rejoin()
                renewed = self._loop.time()
                self._canary = None
            await self._release_canary(channel)

    async def _wait_for_doubt(self) -> None:
        """Wait until there is cause for doubt, but not longer than between two looks."""
        seconds = min(self._renew_every, CHECK_EVERY)
        timer = self._loop.call_later(seconds, self._wake_watcher.set)
        try:
            await self._wake_watcher.wait()
        finally:
            timer.cancel()
            self._wake_watcher.clear()

    async def _release_canary(self, channel: str) -> None:
        """Send the canary. If that fails, it is not back the next time either."""
        self._canary_is_back = False
        is_new, group = self._canary is None, _canary_group(channel)
        self._canary = group
        try:
            if is_new:
                await self._layer.group_add(group, channel)
            await self._layer.group_send(group, {"type": CANARY})
        except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
            log.warning("The channel layer does not answer: %r", error)

    async def _rejoin(self) -> None:
        """Join all groups again, however often that takes."""
        failures = 0
        while not await self._rejoined():
            failures += 1
            await asyncio.sleep(_pause(failures))

    async def _rejoined(self) -> bool:
        groups = list(self._wanted)
        self._joined.difference_update(set(groups) - self._adjusting.keys())
        try:
            await self.settled(groups)
        except ChannelLayerError as error:
            log.warning("The membership in groups can not be renewed: %s", error)
            return False
        return True

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # Seen: who waits for it has been told.


async def cancel(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel, and see that it is done: redis-py may swallow it while it connects."""
    pending = set(tasks)
    for _ in range(CANCELLATIONS):
        if not pending:
            return
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_AFTER)
    log.warning("Gave up on %s tasks that can not be cancelled", len(pending))


def _pause(failures: int) -> float:
    """Give the seconds to wait after so many failures in a row."""
    return min(LONGEST_PAUSE, 0.05 * 2.0 ** min(failures, 10)) if failures else 0.0


def _canary_group(channel: str) -> str:
    return f"GQLWS-canary-{hashlib.sha256(channel.encode()).hexdigest()}"

"""One channel of this process on a channel layer, and the groups that it is a member of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Hashable, Iterable
from contextlib import AbstractAsyncContextManager
from contextvars import Context
from dataclasses import dataclass
from typing import Any

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency.fairness import current_key
from channels_graphql_ws.exceptions import ChannelLayerError, ChannelLayerUnavailableError
from channels_graphql_ws.pubsub.channel_reader import CALL_TIMEOUT, ChannelReader, cancel, within
from channels_graphql_ws.pubsub.join_failures import join_failures
from channels_graphql_ws.pubsub.join_proof import JoinProof
from channels_graphql_ws.pubsub.layer_slots import slots_of
from channels_graphql_ws.pubsub.layer_traits import LayerTraits, LayerWarning, traits_of
from channels_graphql_ws.pubsub.layer_watch import LayerStatistics, LayerWatch, watch_of
from channels_graphql_ws.pubsub.layers import ChannelLayer
from channels_graphql_ws.pubsub.local import Message

log = ClientLog("channels_graphql_ws.broadcast")

JOIN_TIMEOUT = 5.0
"""Seconds that a client waits until its groups are joined."""

CLOSE_TIMEOUT = 5.0
"""Seconds that leaving all groups may take; a membership expires by itself."""


@dataclass(frozen=True, slots=True)
class MembershipStatistics:
    """What a membership holds.

    Attributes:
        wanted: groups that somebody listens to.
        joined: those of them that the channel layer certainly has us in.
        adjusting: groups that are being joined or left right now.
        renewals: how often groups were joined again, to keep a membership or to regain one.
    """

    wanted: int
    joined: int
    adjusting: int
    renewals: int


class Membership:
    """Keeps what the channel layer believes equal to what this process wants.

    The caller changes `wanted` first and then says which groups to `adjust`. One task per
    group, and only while there is something to do, makes the layer follow; as it looks at
    `wanted` anew after each step, a group that is left and joined again at once, over a slow
    layer, ends up joined.

    Args:
        layer: the channel layer.
        wanted: the groups to be a member of; read, never changed.
        deliver: is called with each message that arrives, and must not wait.
        is_foreign: the groups belong to other Channels code, so none of our messages may go there.
        given_up: is called when the channel layer stays silent whatever is tried.
        always: further groups to be a member of once there is a channel.
    """

    def __init__(
        self,
        layer: ChannelLayer,
        wanted: Collection[str],
        deliver: Callable[[Message], None],
        *,
        is_foreign: bool = False,
        given_up: Callable[[], None] = lambda: None,
        always: Callable[[LayerTraits], Collection[str]] = lambda _: (),
    ) -> None:
        self._layer = layer
        self._wanted = wanted
        self._deliver = deliver
        self._is_foreign = is_foreign
        self.given_up = given_up
        self._loop = asyncio.get_running_loop()
        self._traits = traits_of(layer)
        self._always = always(self._traits)
        self._reader: ChannelReader | None = None
        self._proof: JoinProof | None = None
        self._watch: LayerWatch | None = None
        self._opening = asyncio.Lock()
        # Groups that the layer may have us in, and those which certainly deliver.
        self._joined: set[str] = set()
        self._proven: set[str] = set()
        self._proven_at: dict[str, float] = {}
        # What was joined before the last doubt proves nothing.
        self._doubts = 0
        self._renewals = 0
        self._adjusting: dict[str, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def statistics(self) -> MembershipStatistics:
        """Count what the membership holds."""
        return MembershipStatistics(
            wanted=len(self._wanted),
            joined=len(self._proven) - sum(group in self._proven for group in self._always),
            adjusting=len(self._adjusting),
            renewals=self._renewals,
        )

    def layer_statistics(self) -> LayerStatistics | None:
        """Return what is known of the channel layer; `None` until a group is joined."""
        return None if self._watch is None else self._watch.statistics()

    def adjust(self, groups: Iterable[str]) -> bool:
        """Make the layer follow what is wanted; return whether that takes any time."""
        busy = False
        for group in groups:
            if group in self._adjusting:
                busy = True
            elif self._is_wrong(group):
                self._start(group)
                busy = True
        return busy

    async def settled(self, groups: Collection[str]) -> None:
        """Wait until the layer has followed.

        Raises:
            ChannelLayerError: one of the groups could not be joined, or not in time.
        """
        # An attempt may have failed before anybody waited for it: this is one more.
        self.adjust(groups)
        tasks = [self._adjusting[group] for group in groups if group in self._adjusting]
        if not tasks:
            return
        # The waiting may be cancelled; what is under way goes on.
        _, late = await asyncio.wait(tasks, timeout=JOIN_TIMEOUT)
        if late:
            join_failures.add(self._layer)
            raise ChannelLayerUnavailableError(
                f"Cannot join a group within {JOIN_TIMEOUT:g} seconds"
            )
        for task in tasks:
            error = None if task.cancelled() else task.exception()
            if error is not None:
                join_failures.add(self._layer, error)
                # A name that no group can have is a mistake, and stays one.
                is_mistake = isinstance(error, TypeError)
                kind = ChannelLayerError if is_mistake else ChannelLayerUnavailableError
                raise kind(f"Cannot join a group: {error!r}") from error

    def doubt(self, shards: Collection[int]) -> None:
        """Take no group of these hosts for joined until it was joined again."""
        self._doubts += 1
        self._proven = {
            group for group in self._proven if self._traits.shard_of(group) not in shards
        }
        self._proven_at = {
            group: at for group, at in self._proven_at.items() if group in self._proven
        }

    async def rejoin(self) -> None:
        """Join the groups again that are in doubt.

        Raises:
            ChannelLayerError: one of them could not be joined, or not in time.
        """
        wanted = [*self._wanted, *self._always]
        groups = [group for group in wanted if group not in self._proven]
        self._renewals += len(groups)
        await self.settled(groups)

    async def renew(self, groups: Collection[str]) -> None:
        """Join groups again whose membership is about to end; nobody waits for that.

        Raises:
            ChannelLayerError: one of them could not be joined, or not in time.
        """
        still_joined = [
            group for group in groups if group in self._proven and group not in self._adjusting
        ]
        self._proven.difference_update(still_joined)
        self._renewals += len(still_joined)
        await self.settled(still_joined)

    def groups(self) -> list[str]:
        """Return the groups that are joined."""
        return list(self._proven)

    def joined_for(self, group: str) -> float:
        """Return for how many seconds a group has certainly been joined; 0 if it is not."""
        at = self._proven_at.get(group)
        return 0.0 if at is None else self._loop.time() - at

    async def close(self) -> None:
        """Leave all groups, stop reading, and wait until all of that is done."""
        self._wanted = self._always = ()
        if self._watch is not None:
            self._watch.discard(self)
        self.adjust(self._joined | self._adjusting.keys())
        leaving = list(self._adjusting.values())
        if leaving:
            await asyncio.wait(leaving, timeout=CLOSE_TIMEOUT)
        await cancel(list(self._tasks))
        if self._proof is not None:
            await self._proof.close()
        if self._reader is not None:
            await self._reader.close()
        if self._watch is not None:
            await self._watch.release()

    def _is_wrong(self, group: str) -> bool:
        """Return whether the layer has to follow."""
        if self._is_wanted(group):
            return group not in self._proven
        return group in self._joined

    def _is_wanted(self, group: str) -> bool:
        return group in self._wanted or group in self._always

    def _start(self, group: str) -> None:
        task = self._spawn(self._adjust(group, current_key()))
        if not task.done():  # pragma: no branch (an eager task may be: Python 3.12)
            self._adjusting[group] = task

    async def _adjust(self, group: str, owner: Hashable | None) -> None:
        try:
            shard = self._traits.shard_of(group)
            slots = slots_of(self._layer, shard, is_foreign=self._is_foreign)
            while self._is_wrong(group):
                if self._is_wanted(group):
                    await self._join(group, slots.hold(owner))
                else:
                    await self._leave(group, slots.hold(owner))
        finally:
            self._adjusting.pop(group, None)

    async def _join(self, group: str, slot: AbstractAsyncContextManager[None]) -> None:
        doubts = self._doubts
        async with slot:
            if not self._is_wanted(group):
                return
            channel, proof = await self._opened()
            # Before the await: one that is cancelled or fails may have happened.
            self._joined.add(group)
            await self._add(group, channel)
        if not self._traits.proves_joins:
            await proof.of(group)
        if doubts == self._doubts:
            self._proven.add(group)
            join_failures.forget(self._layer)
            self._proven_at.setdefault(group, self._loop.time())

    async def _add(self, group: str, channel: str) -> None:
        call = self._layer.group_add(group, channel)
        try:
            await within(CALL_TIMEOUT, call, "join a group")
        except ChannelLayerError:
            raise
        except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
            # A connection that lay idle while Redis was started anew fails once.
            log.debug("A group could not be joined, trying again: %r", error)
            again = self._layer.group_add(group, channel)
            await within(CALL_TIMEOUT, again, "join a group")

    async def _leave(self, group: str, slot: AbstractAsyncContextManager[None]) -> None:
        async with slot:
            if self._is_wanted(group):
                return
            channel, _ = await self._opened()
            self._joined.discard(group)
            self._proven.discard(group)
            self._proven_at.pop(group, None)
            try:
                call = self._layer.group_discard(group, channel)
                await within(CALL_TIMEOUT, call, "leave a group")
            except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
                # Nobody listens to it here, and the membership expires by itself.
                log.warning("Cannot leave group %s: %r", group, error)

    async def _opened(self) -> tuple[str, JoinProof]:
        """Return the channel; the first call makes it and starts to read."""
        async with self._opening:
            if self._reader is None or self._proof is None:
                _warn_once(self._traits.warnings)
                call = self._layer.new_channel()
                channel = await within(CALL_TIMEOUT, call, "make a channel")
                self._watch = watch_of(self._layer)
                self._watch.acquire()
                self._watch.add(self)
                self._proof = JoinProof(self._traits, channel, through_fences=self._is_foreign)
                failed = self._watch.doubt
                self._reader = ChannelReader(self._layer, channel, self._take, failed)
                for group in self._always:
                    self._start(group)
            return self._reader.channel, self._proof

    def _take(self, message: Message) -> None:
        if self._watch is not None:  # pragma: no branch (it is there when there is a channel)
            self._watch.is_heard = True
        if self._proof is None or not self._proof.take(message):
            self._deliver(message)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine, context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # Marks it as seen: the caller has been told.


_warned: set[str] = set()


def _warn_once(warnings: Iterable[LayerWarning]) -> None:
    """Tell the log how a channel layer is set up, once in this process."""
    for _, text in warnings:
        if text not in _warned:
            _warned.add(text)
            log.warning("%s", text)

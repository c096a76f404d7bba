"""Watches a channel layer: notices lost groups and silent connections, and mends them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextvars import Context
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

from channels.exceptions import ChannelFull

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.pubsub.channel_reader import (
    CALL_TIMEOUT,
    ChannelReader,
    cancel,
    pause_after,
    readers_of,
    within,
)
from channels_graphql_ws.pubsub.layer_traits import traits_of
from channels_graphql_ws.pubsub.layers import ChannelLayer

log = ClientLog("channels_graphql_ws.broadcast")

CHECK_EVERY = 4.0
"""Seconds between two canaries. Less than the five after which redis-py 8 gives up an idle
read, with what might just arrive."""

STOOD_STILL = 1.0
"""Seconds by which the event loop may be late without a warning."""

RENEW_EVERY = 60.0
"""Seconds after which a membership is renewed: a group's key may be evicted from Redis."""

SHORTEST_RENEWAL = 0.1
"""Seconds between two renewals, however soon a membership expires."""

RENEWALS_AT_ONCE = 32
"""Groups that are renewed at the same time."""

RENEWALS_PER_SECOND = 200.0
"""Groups that are renewed in a second, unless they would expire before it is their time."""

CANARY = "channels_graphql_ws.canary"

CUT_AFTER = 2
"""Canaries in a row that do not come back until the connections are made anew."""

START_OVER_AFTER = 3
"""The same, until all channels and groups of the event loop are made anew."""

GIVE_UP_AFTER = 5
"""The same, until clients are sent elsewhere."""


class Member(Protocol):
    """A membership, as far as its watch needs it."""

    def doubt(self, shards: Collection[int]) -> None:
        """Take no group of these hosts for joined until it was joined again."""
        ...

    async def rejoin(self) -> None:
        """Join the groups again that are in doubt."""
        ...

    async def renew(self, groups: Collection[str]) -> None:
        """Join these groups again."""
        ...

    def groups(self) -> list[str]:
        """Return the groups that are joined."""
        ...

    def given_up(self) -> None:
        """Send the clients elsewhere: nothing comes through the channel layer any more."""
        ...


class _Canary(Enum):
    """What became of the last message to ourselves through a group on one host."""

    BACK = "it came back"
    SENT = "it has not come back yet"
    SILENT = "the layer did not answer when it was sent"
    REFUSED = "the layer raised when it was sent"


@dataclass(frozen=True, slots=True)
class LayerStatistics:
    """What a watch knows of its channel layer.

    Attributes:
        is_healthy: whether what was sent through the layer came back.
        silent_for: seconds since the last canary came back; 0 while all do.
        lost_groups: how often groups had to be joined again.
        reconnects: how often connections were cut because they fell silent.
        overloads: how often our channel was found full.
    """

    is_healthy: bool
    silent_for: float
    lost_groups: int
    reconnects: int
    overloads: int


class LayerWatch:
    """Watches one channel layer on one event loop, for all memberships there.

    A canary is sent through a group of our own on each host. If it does not come back, the
    groups there are joined again: a layer may reconnect, without a word, to a Redis that came
    back empty. If that does not help, connections are made anew, gently, then thoroughly; and
    if nothing helps, clients are sent elsewhere.
    """

    def __init__(self, layer: ChannelLayer) -> None:
        self._layer = layer
        self._traits = traits_of(layer)
        self._loop = asyncio.get_running_loop()
        self._users = 0
        self._members: dict[Member, None] = {}
        self._task: asyncio.Task[None] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._reader: ChannelReader | None = None
        self._canaries: dict[int, _Canary] = {}
        self._canary_groups: dict[int, str] = {}
        self._joined: dict[int, float] = {}
        """Hosts whose canary group is joined, and the times when it was."""
        self._unguarded: set[int] = set()
        """Hosts where groups may have been lost before the canary's group was joined."""
        self._releasing: set[asyncio.Task[None]] = set()
        self.is_heard = True
        """Set by memberships with each message: where others come, the canary was only dropped."""
        self._strikes = 0
        self._is_amiss = False
        self._doubted: set[int] = set()
        """Hosts whose groups may be lost."""
        self._is_given_up = False
        self._opening = asyncio.Lock()
        self._wake = asyncio.Event()
        self._back_at = self._loop.time()
        self._lost_groups = self._reconnects = self._overloads = 0
        # A member is dropped `group_expiry` seconds after it joined, without a word.
        # With 0 it stays for ever on some layers, and none could be renewed that soon.
        expiry: float = getattr(layer, "group_expiry", 0) or 86_400
        self._renew_every = max(SHORTEST_RENEWAL, min(RENEW_EVERY, expiry / 3))

    @property
    def is_healthy(self) -> bool:
        """Return whether what is sent through the channel layer arrives."""
        return not self._doubted and not self._is_amiss

    def statistics(self) -> LayerStatistics:
        """Return what is known of the channel layer."""
        silent_for = 0.0 if self.is_healthy else self._loop.time() - self._back_at
        return LayerStatistics(
            is_healthy=self.is_healthy,
            silent_for=silent_for,
            lost_groups=self._lost_groups,
            reconnects=self._reconnects,
            overloads=self._overloads,
        )

    def acquire(self) -> None:
        """Watch until as many calls of `release`."""
        self._users += 1
        if self._task is None:
            self._task = self._loop.create_task(self._run(), context=Context())
            if self._traits.forgets_members:
                self._renewing = self._loop.create_task(self._renew_for_ever(), context=Context())

    async def release(self) -> None:
        """End with the last user."""
        self._users -= 1
        if self._users:
            return
        _watches.pop((self._loop, id(self._layer)), None)
        tasks = [self._task, self._renewing, *self._releasing]
        await cancel([task for task in tasks if task is not None])
        if self._reader is not None:
            for group in self._canary_groups.values():
                call = self._layer.group_discard(group, self._reader.channel)
                await _quietly(call, "leave a group")
            await self._reader.close()

    def add(self, member: Member) -> None:
        """Look after a membership."""
        self._members[member] = None

    def discard(self, member: Member) -> None:
        """Look no more after a membership; harmless for an unknown one."""
        self._members.pop(member, None)

    def doubt(self) -> None:
        """Have all groups joined again soon: something was lost, or may have been."""
        self._doubted.update(range(self._traits.shards))
        self._wake.set()

    async def _run(self) -> None:
        failures = 0
        while True:
            await self._wait_in_time(pause_after(failures) if failures else CHECK_EVERY)
            try:
                await self._look()
            except Exception:
                # A watch that ended would be the very silence that it has to find.
                log.exception("The channel layer could not be looked after")
            self._release_canaries()
            failures = failures + 1 if self._doubted else 0

    async def _wait_in_time(self, seconds: float) -> None:
        """Wait; once more if the event loop stood still: what came meanwhile was not read."""
        began = self._loop.time()
        await self._wait(seconds)
        late = self._loop.time() - began - seconds
        if late <= seconds:
            return
        if late > STOOD_STILL:
            log.warning("The event loop stood still for about %.1f seconds", late)
        await self._wait(seconds)

    async def _wait(self, seconds: float) -> None:
        """Wait until there is cause for doubt, but not longer than that."""
        timer = self._loop.call_later(seconds, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            timer.cancel()
            self._wake.clear()

    async def _look(self) -> None:
        """Judge by the canaries, and repair what is wrong."""
        missing = [shard for shard, state in self._canaries.items() if state is not _Canary.BACK]
        is_heard, self.is_heard = self.is_heard and self._traits.shards == 1, False
        if missing and await self._is_full():
            self._is_amiss = True
            return
        if missing:
            await self._miss(missing, is_heard=is_heard)
        elif not self._doubted:
            self._recovered()
        if self._doubted or self._unguarded:
            await self._rejoin()

    async def _miss(self, missing: list[int], *, is_heard: bool) -> None:
        """Take the next step against hosts that did not send the canary back."""
        if not self._is_amiss:
            self._lost_groups += 1
            log.warning("The channel layer has lost our groups, events may be lost: rejoining")
        self._is_amiss = True
        self._doubted.update(missing)
        if is_heard or all(self._canaries[shard] is _Canary.REFUSED for shard in missing):
            # It is busy, or away and says so: there is nothing to be mended here.
            return
        self._strikes += 1
        if self._strikes >= GIVE_UP_AFTER:
            self._give_up()
        if self._strikes % START_OVER_AFTER == 0:
            await self._start_over()
        elif self._strikes >= CUT_AFTER:
            await self._cut(missing)

    async def _cut(self, shards: list[int]) -> None:
        self._reconnects += 1
        log.warning("A connection to the channel layer has fallen silent: making it anew")
        await _quietly(self._traits.cut_connections(shards), "close its connections")

    async def _start_over(self) -> None:
        self._reconnects += 1
        log.warning("The channel layer stays silent: making channels and groups anew")
        await _quietly(self._traits.start_over(), "start over")
        for reader in readers_of(self._layer):
            reader.restart()
        for _ in range(3):
            # The readers ask for their channels first: a group takes only one that is there.
            await asyncio.sleep(0)

    def _give_up(self) -> None:
        if self._is_given_up:
            return
        self._is_given_up = True
        log.error("Nothing comes through the channel layer any more: sending clients elsewhere")
        for member in list(self._members):
            member.given_up()

    def _recovered(self) -> None:
        if self._is_given_up:
            log.warning("The channel layer carries messages again")
        self._strikes, self._is_given_up, self._is_amiss = 0, False, False
        self._back_at = self._loop.time()

    async def _is_full(self) -> bool:
        """Return whether canaries are lost as nothing more fits: the groups are still there."""
        send: Any = getattr(self._layer, "send", None)
        was_sent = _Canary.SENT in self._canaries.values()
        if self._reader is None or send is None or not was_sent or not self._traits.has_capacity:
            return False
        try:
            message = {"type": CANARY}
            await within(CALL_TIMEOUT, send(self._reader.channel, message), "answer")
        except ChannelFull:
            self._overloads += 1
            log.warning(
                "The channel layer drops messages, as more come than this process reads: events "
                "are lost. Raise `capacity` of the channel layer, or take "
                "channels_redis.pubsub.RedisPubSubChannelLayer"
            )
            return True
        except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
            log.debug("The channel layer does not answer: %r", error)
        return False

    async def _rejoin(self) -> None:
        """Have the groups in doubt joined again; they stay in doubt if one of them fails."""
        for shard in self._doubted:
            self._joined.pop(shard, None)
        shards = self._doubted | self._unguarded
        self._doubted, self._unguarded = set(), set()
        members = list(self._members)
        for member in members:
            member.doubt(shards)
        results = await asyncio.gather(
            *(member.rejoin() for member in members), return_exceptions=True
        )
        for error in results:
            if isinstance(error, Exception):
                self._doubted.update(shards)
                log.warning("The membership in groups cannot be renewed: %s", error)
                break

    def _release_canaries(self) -> None:
        """Send a message to ourselves through a group on each host."""
        if self._releasing:
            # Those of the last time are still on their way.
            return
        for shard in range(self._traits.shards):
            self._canaries[shard] = _Canary.SENT
            self._track(self._loop.create_task(self._release(shard), context=Context()))

    def _track(self, task: asyncio.Task[None]) -> None:
        self._releasing.add(task)
        task.add_done_callback(self._releasing.discard)

    async def _release(self, shard: int) -> None:
        try:
            channel = await self._channel()
            group = self._canary_groups.get(shard)
            if group is None:
                group = self._traits.group_on(shard, f"canary {channel}")
                self._canary_groups[shard] = group
            if shard not in self._joined:
                await self._join(shard, group, channel)
                # Of what was joined earlier, the canary says nothing.
                self._unguarded.update([shard] * self._traits.forgets_members)
            message = {"type": CANARY, "shard": shard}
            await within(CALL_TIMEOUT, self._layer.group_send(group, message), "answer")
        except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
            is_silent = isinstance(error, ChannelLayerError)
            self._canaries[shard] = _Canary.SILENT if is_silent else _Canary.REFUSED
            log.warning("The channel layer does not answer: %r", error)

    async def _join(self, shard: int, group: str, channel: str) -> None:
        await within(CALL_TIMEOUT, self._layer.group_add(group, channel), "join a group")
        self._joined[shard] = self._loop.time()

    async def _channel(self) -> str:
        async with self._opening:
            if self._reader is None:
                channel = await within(CALL_TIMEOUT, self._layer.new_channel(), "make a channel")
                self._reader = ChannelReader(self._layer, channel, self._take, self.doubt)
            return self._reader.channel

    def _take(self, message: Any) -> None:
        if message.get("type") == CANARY and "shard" in message:
            self._canaries[message["shard"]] = _Canary.BACK
            self._keep_joined(message["shard"])

    def _keep_joined(self, shard: int) -> None:
        """Renew the membership in a canary's group if it is time.

        Only when the canary has come back: a group that Redis has lost must not be joined
        again before that was seen.
        """
        joined_at = self._joined.get(shard)
        is_due = joined_at is not None and self._loop.time() - joined_at >= self._renew_every
        if is_due and self._reader is not None and self._traits.forgets_members:
            group, channel = self._canary_groups[shard], self._reader.channel
            renewal = _quietly(self._join(shard, group, channel), "renew a membership")
            self._track(self._loop.create_task(renewal, context=Context()))

    async def _renew_for_ever(self) -> None:
        """Renew all memberships in time, a few at a time."""
        every = self._renew_every
        while True:
            await asyncio.sleep(every)
            due = [(member, member.groups()) for member in self._members]
            number = sum(len(groups) for _, groups in due)
            pause = RENEWALS_AT_ONCE / max(RENEWALS_PER_SECOND, number / every)
            for member, groups in due:
                await self._renew(member, groups, pause)

    async def _renew(self, member: Member, groups: list[str], pause: float) -> None:
        for start in range(0, len(groups), RENEWALS_AT_ONCE):
            part = groups[start : start + RENEWALS_AT_ONCE]
            try:
                await member.renew(part)
            except ChannelLayerError as error:
                log.warning("The membership in groups cannot be renewed: %s", error)
                self.doubt()
            # Thousands of memberships may have one group each.
            await asyncio.sleep(pause * len(part) / RENEWALS_AT_ONCE)


async def _quietly(call: Any, what: str) -> None:
    """Try something that may fail: another step follows."""
    try:
        await within(CALL_TIMEOUT, call, what)
    except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
        log.warning("The channel layer does not answer: %r", error)


_watches: dict[tuple[asyncio.AbstractEventLoop, int], LayerWatch] = {}


def watch_of(layer: ChannelLayer) -> LayerWatch:
    """Return the watch of a channel layer on the running event loop; acquire it."""
    for stale in [key for key in list(_watches) if key[0].is_closed()]:
        _watches.pop(stale, None)
    return _watches.setdefault((asyncio.get_running_loop(), id(layer)), LayerWatch(layer))

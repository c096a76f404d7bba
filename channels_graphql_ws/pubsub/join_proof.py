"""Proof that a group was joined, for channel layers whose `group_add` proves nothing."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Hashable
from typing import Any, NamedTuple

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.exceptions import ChannelLayerUnavailableError
from channels_graphql_ws.pubsub.channel_reader import CALL_TIMEOUT, cancel, within
from channels_graphql_ws.pubsub.layer_traits import LayerTraits

log = ClientLog("channels_graphql_ws.broadcast")

PROBE_GROUP = "GQLWS-probe"
"""The group that a probe names. Nobody is in it, so that a consumer of the predecessor, which
may be in the group that the probe goes through, takes it for an `unsubscribe` of nobody."""

FIRST_PROBE_AFTER = 0.02
"""Seconds until a probe that has not come back is sent again; doubled each time."""

LONGEST_PROBE_AFTER = 1.0


class _Joined(NamedTuple):
    group: str
    number: int
    proven: asyncio.Future[None]


class JoinProof:
    """Sends probes through groups that were joined, and waits until they come back.

    Groups of one lane take effect in their order (see `LayerTraits.lane_of`): one probe,
    through the last of them, proves all. So a round of joins costs one message for each lane.

    Args:
        traits: what is known of the channel layer.
        channel: the channel that was added to the groups.
        through_fences: send no probe through the groups themselves: others listen to them,
            whose handlers do not know of probes.
    """

    def __init__(self, traits: LayerTraits, channel: str, *, through_fences: bool = False) -> None:
        self._traits = traits
        self._layer = traits.layer
        self._channel = channel
        self._through_fences = through_fences
        self._numbers = itertools.count(1)
        self._waiting: dict[Hashable, list[_Joined]] = {}
        self._rounds: set[asyncio.Task[None]] = set()

    async def of(self, group: str) -> None:
        """Return when the group, which was just added, certainly reaches the channel.

        Raises:
            ChannelLayerUnavailableError: no probe came back in time.
        """
        lane = self._traits.lane_of(group)
        if self._through_fences and lane == group:
            # A layer of an unknown kind keeps no order that a fence could lean on.
            return
        loop = asyncio.get_running_loop()
        joined = _Joined(group, next(self._numbers), loop.create_future())
        waiting = self._waiting.get(lane)
        if waiting is not None:
            waiting.append(joined)
        else:
            waiting = self._waiting[lane] = [joined]
            task = loop.create_task(self._probe(lane, waiting))
            self._rounds.add(task)
            task.add_done_callback(self._rounds.discard)
        await asyncio.wait([joined.proven], timeout=CALL_TIMEOUT)
        if not joined.proven.done():
            waiting.remove(joined)
            raise ChannelLayerUnavailableError(
                f"No message came through a group within {CALL_TIMEOUT:g} seconds after it was "
                "joined"
            )

    def take(self, message: Any) -> bool:
        """Return whether a message is a probe, of any sender."""
        if message.get("group") != PROBE_GROUP:
            return False
        if message.get("channel") == self._channel:
            self._came_back(message["lane"], message["number"])
        return True

    async def close(self) -> None:
        """Send no more probes."""
        await cancel(list(self._rounds))

    def _came_back(self, lane: Hashable, number: int) -> None:
        waiting = self._waiting.get(lane, [])
        for joined in [joined for joined in waiting if joined.number <= number]:
            waiting.remove(joined)
            joined.proven.set_result(None)

    async def _probe(self, lane: Hashable, waiting: list[_Joined]) -> None:
        """Send probes through the last group of a lane until nobody waits for one."""
        again_after, probed = FIRST_PROBE_AFTER, 0
        try:
            while waiting:
                last = waiting[-1]
                if last.number != probed:
                    again_after, probed = FIRST_PROBE_AFTER, last.number
                await self._send(lane, last)
                await asyncio.wait([last.proven], timeout=again_after)
                if self._through_fences and last.proven.done():
                    await self._leave_fence(lane, last)
                again_after = min(LONGEST_PROBE_AFTER, again_after * 2)
        finally:
            del self._waiting[lane]

    async def _send(self, lane: Hashable, joined: _Joined) -> None:
        group = joined.group
        probe = {
            "type": "unsubscribe",
            "group": PROBE_GROUP,
            "channel": self._channel,
            "lane": lane,
            "number": joined.number,
        }
        try:
            if self._through_fences:
                group = self._fence(lane, joined.number)
                await within(CALL_TIMEOUT, self._layer.group_add(group, self._channel), "join")
            await within(CALL_TIMEOUT, self._layer.group_send(group, probe), "send a probe")
        except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
            # It is sent again; the caller is told when the time is over.
            log.debug("A probe could not be sent: %r", error)

    async def _leave_fence(self, lane: Hashable, joined: _Joined) -> None:
        fence = self._fence(lane, joined.number)
        try:
            await within(CALL_TIMEOUT, self._layer.group_discard(fence, self._channel), "leave")
        except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
            log.debug("A fence could not be left: %r", error)

    def _fence(self, lane: Hashable, number: int) -> str:
        assert isinstance(lane, int)
        return self._traits.group_on(lane, f"fence {self._channel} {number}")

"""The groups of a hub that have a history, each with its tracker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.pubsub.channel_reader import CALL_TIMEOUT, asked, cancel, within
from channels_graphql_ws.pubsub.history.interfaces import Position
from channels_graphql_ws.pubsub.history.of_layer import history_of
from channels_graphql_ws.pubsub.history.tracker import Deliver, Tracker
from channels_graphql_ws.pubsub.layers import ChannelLayer
from channels_graphql_ws.pubsub.local import Message
from channels_graphql_ws.settings import project_settings

log = ClientLog("channels_graphql_ws.broadcast")


class TrackedGroups:
    """Follows the history of groups from before anybody listens until nobody does.

    Args:
        layer: its history is followed.
        deliver: is called with each message, and where it comes from.
        lost: is called with a group and the number of events that no history has any more.
        tell_gap: is called with the same when there is no event to carry the gap.
    """

    def __init__(
        self,
        layer: ChannelLayer,
        deliver: Deliver,
        lost: Callable[[str, int | None], None],
        tell_gap: Callable[[str, int | None], object],
    ) -> None:
        self._layer = layer
        self._deliver = deliver
        self._lost = lost
        self._tell_gap = tell_gap
        self._loop = asyncio.get_running_loop()
        self._trackers: dict[str, Tracker] = {}
        self._checking: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()

    def track(self, groups: Sequence[str], ttl: float) -> dict[str, Position | None]:
        """Follow the history of groups until `forget`.

        Args:
            groups: names of groups on the channel layer.
            ttl: seconds without an event after which their history expires.

        Returns:
            The places of the last events that came here; `None` where that is not known yet.

        Raises:
            ChannelLayerError: there is no place to keep a history.
        """
        history = history_of(self._layer)
        for group in groups:
            if group not in self._trackers:
                self._trackers[group] = Tracker(
                    group, history, ttl, self._deliver, self._lost, self._tell_gap
                )
        if self._checking is None:
            self._checking = self._loop.create_task(self._check_heads(), context=Context())
        return {group: self._trackers[group].place for group in groups}

    async def places(self, groups: Sequence[str]) -> dict[str, Position]:
        """Return the places to count from, once the groups are joined.

        Raises:
            ChannelLayerError: the history did not answer in time.
        """
        trackers = {group: self._trackers[group] for group in groups}
        unknown = [group for group, tracker in trackers.items() if tracker.place is None]
        if unknown:
            history = history_of(self._layer)
            heads = await asked(lambda: history.heads(unknown), "give its history")
            for group, head in zip(unknown, heads, strict=True):
                trackers[group].start(head)
        return {group: tracker.first for group, tracker in trackers.items()}

    def take(self, group: str, message: Message) -> bool:
        """Take a message with a place in a history, and those that waited for it.

        Returns:
            Whether the group is tracked.
        """
        tracker = self._trackers.get(group)
        if tracker is None:
            return False
        tracker.take(message)
        return True

    def forget(self, group: str) -> None:
        """Follow the history of a group no longer; harmless where it is not followed."""
        tracker = self._trackers.pop(group, None)
        if tracker is not None:
            closing = self._loop.create_task(tracker.close(), context=Context())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Ask no history for anything more."""
        checking, self._checking = self._checking, None
        if checking is not None:
            await cancel([checking])
        if self._closing:
            await asyncio.wait(self._closing)

    @property
    def doubled(self) -> int:
        """Messages that came twice. May be read from any thread."""
        return sum(tracker.doubled for tracker in list(self._trackers.values()))

    @property
    def mended(self) -> int:
        """Messages that only the history still had. May be read from any thread."""
        return sum(tracker.mended for tracker in list(self._trackers.values()))

    async def _check_heads(self) -> None:
        """Look now and then whether the last event of a group was lost."""
        history = history_of(self._layer)
        while True:
            await asyncio.sleep(project_settings.get("HISTORY_CHECK_EVERY"))
            groups = list(self._trackers)
            before = [tracker.place for tracker in self._trackers.values()]
            try:
                heads = await within(CALL_TIMEOUT, history.heads(groups), "give its history")
            except Exception as error:  # noqa: BLE001 (whatever a history may raise)
                log.warning("The history cannot be read: %r", error)
                continue
            for group, head, place in zip(groups, heads, before, strict=True):
                tracker = self._trackers.get(group)
                # Groups may have been left meanwhile, and first events may have come.
                is_late = head is None or head.is_empty
                if tracker is not None and not (is_late and tracker.place != place):
                    tracker.check(head)

"""Where a client goes on that comes back with a cursor."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from django.core.exceptions import SynchronousOnlyOperation

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency.threads import in_thread
from channels_graphql_ws.exceptions import PayloadDecodeError
from channels_graphql_ws.pubsub.channel_reader import asked
from channels_graphql_ws.pubsub.history.interfaces import UNKNOWN, Entry, Page, Position
from channels_graphql_ws.pubsub.history.of_layer import history_of
from channels_graphql_ws.pubsub.hub import Hub
from channels_graphql_ws.pubsub.notification import Notification
from channels_graphql_ws.pubsub.origin import Origin
from channels_graphql_ws.subscription.cursor import CursorCodec

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

CERTAIN_PART: Final = 0.9
"""How much of its time to live a history certainly lasts, by clocks that differ a little, and
though an event may have been on its way when a cursor was made."""


class Restored(NamedTuple):
    """Where a subscription begins.

    Attributes:
        places: the client's place in the history of each group.
        recovered: whether all that it had missed is there; `None`: it did not ask.
        missed: what it had missed, to be executed before anything else.
    """

    places: dict[str, Position]
    recovered: bool | None
    missed: Sequence[Notification]


class Recovery:
    """Begins before the groups are joined, and ends when they are.

    Args:
        hub: where the subscription will listen.
        groups: its groups.
        ttl: seconds after which their history expires.
        cursor: what the client has sent, `None` if it has sent none.

    Raises:
        ChannelLayerError: there is no place to keep a history.
    """

    def __init__(self, hub: Hub, groups: Sequence[str], ttl: float, cursor: object) -> None:
        self._hub = hub
        self._groups = groups
        self._cursor = cursor
        self.is_asked = cursor is not None
        """Whether the client wants what it has missed."""
        self._certain_for = ttl * CERTAIN_PART
        self._tracked = hub.tracked.track(groups, ttl)
        self.places: dict[str, Position] = {}
        """Where a client goes on that did not come back, once that is known."""

    async def restored(self) -> Restored:
        """Return where to begin, once the groups are joined.

        Raises:
            ChannelLayerError: the history did not answer in time.
        """
        started = await self._hub.tracked.places(self._groups)
        places = {group: self._tracked[group] or started[group] for group in self._groups}
        self.places = places
        if self._cursor is None:
            return Restored(places, None, ())
        wanted = CursorCodec(self._groups).decode(self._cursor)
        pages = {} if wanted is None else await self._pages(wanted)
        if wanted is None or not all(self._is_complete(pages[g], wanted[g]) for g in wanted):
            return Restored(places, recovered=False, missed=())
        return Restored(wanted, recovered=True, missed=await _notifications(pages))

    def _is_complete(self, page: Page | None, place: Position) -> bool:
        """Return whether nothing is missing behind a place."""
        if not place.is_empty:
            return page is not None and page.is_complete_after(place)
        # There was no event at that time. Since then no history can have expired, and none was
        # lost, as what keeps them still runs; or all that came since would have gone with it.
        if time.time() - place.offset >= self._certain_for:
            return False
        if page is None:
            return place.epoch == UNKNOWN
        return page.head.run == place.run and page.is_complete_after(Position(page.head.epoch, 0))

    async def _pages(self, wanted: dict[str, Position]) -> dict[str, Page | None]:
        history = history_of(self._hub.layer)

        async def ask() -> list[Page | None]:
            offsets = {g: 0 if at.is_empty else at.offset for g, at in wanted.items()}
            since = (history.since(group, offsets[group]) for group in self._groups)
            return list(await asyncio.gather(*since))

        pages = await asked(ask, "give its history")
        return dict(zip(self._groups, pages, strict=True))


async def _notifications(pages: dict[str, Page | None]) -> list[Notification]:
    """Make notifications of what several groups have, in the order of their time."""
    merged = heapq.merge(
        *(
            [(entry.time, entry.offset, group, page.head.epoch, entry) for entry in page.entries]
            for group, page in pages.items()
            if page is not None
        ),
        key=lambda each: each[:2],
    )
    made = [await _notification(group, epoch, entry) for _, _, group, epoch, entry in merged]
    return [notification for notification in made if notification is not None]


async def _notification(group: str, epoch: str, entry: Entry) -> Notification | None:
    try:
        try:
            notification = Notification(entry.payload)
        except SynchronousOnlyOperation:
            notification = await in_thread(
                partial(Notification.decoded_in_thread, entry.payload, 0)
            )
    except PayloadDecodeError as error:
        log.error("Lost a broadcast to group %s: %s", group, error)  # noqa: TRY400 (no traceback)
        return None
    # It may be the last of a thousand.
    notification.waits()
    notification.origin = Origin(group, Position(epoch, entry.offset))
    return notification

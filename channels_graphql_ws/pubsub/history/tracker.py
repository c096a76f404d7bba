"""The place of this process in the history of one group: mends what a channel layer loses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.pubsub.channel_reader import CALL_TIMEOUT, pause_after, within
from channels_graphql_ws.pubsub.history.interfaces import UNKNOWN, History, Page, Position
from channels_graphql_ws.pubsub.local import Message
from channels_graphql_ws.pubsub.origin import Origin

log = ClientLog("channels_graphql_ws.broadcast")

ATTEMPTS = 5
"""Attempts to ask the history for what is missing, until it is given up."""

Deliver = Callable[[Message, Origin], None]

SLACK = 1.0
"""Seconds by which an event may come later than its history begins to expire."""


class Tracker:
    """Delivers the events of one group once and in order, whatever the channel layer does.

    Args:
        group: the group's name on the channel layer.
        history: where its events are kept.
        ttl: seconds without an event after which the history expires.
        deliver: is called with each message and where it comes from.
        lost: is called with the number of events that no history has any more.
        tell_gap: is called with the same when there is no event to carry the gap.

    Attributes:
        place: that of the last event which came, `None` if it is not known yet.
        mended: events that the channel layer had lost and the history had not.
    """

    def __init__(
        self,
        group: str,
        history: History,
        ttl: float,
        deliver: Deliver,
        lost: Callable[[str, int | None], None],
        tell_gap: Callable[[str, int | None], object] = lambda *_: None,
    ) -> None:
        self.place: Position | None = None
        self.mended = 0
        self.doubled = 0
        self._first: Position | None = None
        self._group = group
        self._history = history
        self._ttl = ttl
        self._deliver = deliver
        self._lost = lost
        self._tell_gap = tell_gap
        self._loop = asyncio.get_running_loop()
        self._heard_at = self._loop.time()
        self._is_silent = True
        self._held: list[Message] = []
        self._mending: asyncio.Task[None] | None = None
        # Reported with the next event.
        self._missed: int | None = 0

    def take(self, message: Message) -> None:
        """Take a message with a place; deliver it, or hold it until those before it are there."""
        if self._mending is not None:
            self._held.append(message)
            return
        place = Position(str(message["epoch"]), int(message["offset"]))
        now = self.place
        if now is None:
            # Nothing that came before the first subscriber counts as lost.
            now = self.place = Position(place.epoch, place.offset - 1)
            self._first = self._first or now
        elif place.epoch != now.epoch:
            now = self._begin_anew(place.epoch, now)
        if place.offset == now.offset + 1:
            self._pass_on(message, place)
        elif place.offset <= now.offset:
            self.doubled += 1
        else:
            self._held.append(message)
            self._mend()

    def check(self, head: Position | None) -> None:
        """Compare with the head of the history: the last event may have been lost."""
        now = self.place
        if now is None:
            self.place = self._first = head or Position(UNKNOWN, 0)
        elif head is None or head.is_empty:
            self._check_gone(now, head or Position(UNKNOWN, 0))
        elif head != now and self._mending is None:
            if head.epoch != now.epoch:
                now = self._begin_anew(head.epoch, now)
            if head.offset > now.offset:
                self._mend()

    def _check_gone(self, now: Position, empty: Position) -> None:
        """Learn that there is no history, which has expired, was lost, or has not begun."""
        if self._mending is not None:
            return
        # One that nothing came from may be older than we know.
        may_have_expired = now.is_empty or self._is_silent or self._has_expired(SLACK)
        # An event that was the first, or came after that time, is lost with the run.
        if may_have_expired and not empty.has_outlived(now):
            return
        self.place, self._missed = empty, 0
        self._lost(self._group, None)
        self._tell_gap(self._group, None)

    def _has_expired(self, slack: float = 0.0) -> bool:
        return self._loop.time() - self._heard_at >= self._ttl - slack

    def start(self, head: Position | None) -> None:
        """Learn the head when the group was joined."""
        # Since it was asked for, the first event may have come.
        if self.place is None or (head is not None and not head.is_empty):
            self.check(head)

    @property
    def first(self) -> Position:
        """Return the place to count from."""
        return self._first or self.place or Position(UNKNOWN, 0)

    async def close(self) -> None:
        """Ask for nothing more."""
        if self._mending is not None:
            self._mending.cancel()
            await asyncio.wait([self._mending])

    def _begin_anew(self, epoch: str, before: Position) -> Position:
        """Go on in a new life of the history: what the old one had last may be lost."""
        begun = Position(epoch, 0)
        may_have_expired = before.is_empty or self._has_expired()
        if begun.has_outlived(before) or not may_have_expired:
            self._missed = None
            self._lost(self._group, None)
        self.place = begun
        return begun

    def _pass_on(self, message: Message, place: Position) -> None:
        self.place, missed, self._missed = place, self._missed, 0
        self._heard_at, self._is_silent = self._loop.time(), False
        self._deliver(message, Origin(self._group, place, missed))

    def _mend(self) -> None:
        self._mending = self._loop.create_task(self._ask(), context=Context())

    async def _ask(self) -> None:
        """Fetch what is missing, deliver it, and then what was held meanwhile."""
        page = None
        try:
            page = await self._fetched()
        except Exception as error:  # noqa: BLE001 (whatever a history may raise)
            log.warning("The history of group %s cannot be read: %r", self._group, error)
        finally:
            self._mending = None
        held, self._held = self._held, []
        if page is not None and self.place is not None and page.head.epoch == self.place.epoch:
            self._deliver_page(page, self.place)
        elif held:
            # The history cannot be read, or has begun anew: nothing fills the hole.
            self._skip_to(held[0])
        for message in held:
            self.take(message)

    async def _fetched(self) -> Page | None:
        for failures in range(1, ATTEMPTS):
            try:
                return await self._since()
            except Exception as error:  # noqa: BLE001 (whatever a history may raise)
                log.debug("The history of group %s cannot be read: %r", self._group, error)
                await asyncio.sleep(pause_after(failures))
        return await self._since()

    async def _since(self) -> Page | None:
        assert self.place is not None, "only from a known place there is a hole"
        call = self._history.since(self._group, self.place.offset)
        return await within(CALL_TIMEOUT, call, "give its history")

    def _deliver_page(self, page: Page, now: Position) -> None:
        for entry in page.entries:
            missing = entry.offset - now.offset - 1
            if missing > 0 and self._missed is not None:
                self._missed += missing
                self._lost(self._group, missing)
            now = Position(now.epoch, entry.offset)
            self.mended += 1
            message = {"type": "broadcast", "group": self._group, "payload": entry.payload}
            self._pass_on(message, now)

    def _skip_to(self, message: Message) -> None:
        """Leave a hole that cannot be mended, and say so."""
        place = Position(str(message["epoch"]), int(message["offset"]) - 1)
        before, self.place = self.place, place
        is_countable = before is not None and before.epoch == place.epoch
        if self._missed is not None and before is not None:
            self._missed = place.offset - before.offset if is_countable else None
        self._lost(self._group, self._missed)

"""Sends the messages of one event loop to one channel layer, in order and in time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from contextvars import Context
from dataclasses import dataclass
from math import inf
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from channels_graphql_ws.client_log import ClientLog, Sentence
from channels_graphql_ws.exceptions import ChannelLayerError, ChannelLayerUnavailableError
from channels_graphql_ws.pubsub.history.of_layer import history_of
from channels_graphql_ws.pubsub.layer_traits import traits_of
from channels_graphql_ws.pubsub.layers import GroupSender
from channels_graphql_ws.pubsub.numbering import Numbering, announcements_on, numbering_of
from channels_graphql_ws.pubsub.outgoing import Outgoing, PendingSend
from channels_graphql_ws.settings import project_settings

log = ClientLog("channels_graphql_ws.broadcast")

EVACUATION_TIMEOUT = 5.0
"""Seconds that what an event loop leaves unsent may take when it is shut down."""

MOST_MESSAGES = 50_000
"""Messages that may wait for one host; those behind them fail."""

MOST_BYTES = 64 * 1024 * 1024
"""Bytes of payloads that may wait for one host."""

CANCEL_AGAIN_AFTER = 0.05
"""Seconds until a send that swallows its cancellation is cancelled again."""

STOOD_STILL = 0.5
"""Seconds by which a timer is late if the event loop stood still: code blocked it, or the whole
process was paused."""

AFTER_STANDSTILL = 1.0
"""Seconds that a layer then has once more: its answer may have come meanwhile, and nobody has
looked at it."""

SendElsewhere = Callable[[GroupSender, Outgoing], "Future[None]"]
"""Sends on another event loop, when this one ends."""


class _Waiting(NamedTuple):
    outgoing: Outgoing
    pending: PendingSend
    since: float


class _Counters:
    """What became of broadcasts of this process."""

    def __init__(self) -> None:
        self.sent = self.failed = self.timed_out = self.refused = 0


_counters = _Counters()


class Lane:
    """The messages for one host, one after another.

    A task for each message would let them overtake each other, and would overrun the
    hundred places which a channel of a layer has. A host that hangs has a lane of its own,
    so that others are not kept waiting.
    """

    def __init__(
        self,
        layer: GroupSender,
        elsewhere: SendElsewhere,
        numbering: Numbering,
        announcements: str,
    ) -> None:
        self.layer = layer
        self.bytes_waiting = 0
        self._elsewhere = elsewhere
        self._numbering = numbering
        self._announcements = announcements
        self._announcing: asyncio.TimerHandle | None = None
        self._queue: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = inf
        self._has_more_time = False
        self._seconds = inf
        self._is_hung = False
        self._is_full = False

    @property
    def broadcasts(self) -> int:
        """How many broadcasts wait."""
        return sum(waiting.outgoing.counts for waiting in self._queue.copy())

    def put(self, loop: asyncio.AbstractEventLoop, outgoing: Outgoing) -> PendingSend:
        """Queue a message behind those that wait."""
        pending = PendingSend(loop=loop)
        if len(self._queue) >= MOST_MESSAGES or self.bytes_waiting > MOST_BYTES:
            self._refuse(pending, outgoing)
            return pending
        message = outgoing.message
        # A message that is sent again keeps its number: who got it before drops it.
        is_new = message.get("type") == "broadcast" and "serial" not in message
        if is_new and outgoing.keep is None and outgoing.is_numbered:
            self._numbering.number(message)
            if self._announcing is None:
                self._announce_later(loop)
        self.bytes_waiting += outgoing.size
        self._queue.append(_Waiting(outgoing, pending, loop.time()))
        if self._task is None:
            self._start(loop)
        return pending

    def _announce_later(self, loop: asyncio.AbstractEventLoop) -> None:
        left = self._numbering.seconds_left()
        self._announcing = loop.call_later(left, self._announce, loop, context=Context())

    def _announce(self, loop: asyncio.AbstractEventLoop) -> None:
        """Announce the last numbers of silent groups, behind all that waits."""
        self._announcing = None
        self._put_all(loop, self._numbering.announcements())
        if not self._numbering.is_idle:
            self._announce_later(loop)

    def announce_and_rest(self, loop: asyncio.AbstractEventLoop) -> None:
        """Announce the last numbers now, and no more of them until the next broadcast."""
        if self._announcing is not None:
            self._announcing.cancel()
            self._announcing = None
            self._put_all(loop, self._numbering.newest())

    def _put_all(
        self, loop: asyncio.AbstractEventLoop, announcements: Iterable[Mapping[str, Any]]
    ) -> None:
        for announcement in announcements:
            message = {**announcement, "group": self._announcements}
            # What is lost is announced again.
            self.put(loop, Outgoing(message, "Numbers")).add_done_callback(_ignore)

    def _refuse(self, pending: PendingSend, outgoing: Outgoing) -> None:
        """Refuse at once, and log it once until there is room again."""
        _counters.refused += outgoing.counts
        error = ChannelLayerUnavailableError(
            f"{outgoing.about} was dropped: {len(self._queue)} broadcasts wait for the channel "
            "layer already. It is slow or away, or takes less than is sent: await broadcasts"
        )
        pending.set_exception(error)
        pending.exception()  # Marks it as seen; a caller that awaits it is told all the same.
        if not self._is_full and outgoing.counts:
            self._is_full = True
            log.error("Broadcasts are dropped: %s", error)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        # Held here, or the garbage collector may end it half-way.
        self._task = loop.create_task(self._run(), context=Context())
        self._task.add_done_callback(self._ended)

    async def _run(self) -> None:
        seconds = project_settings.get("BROADCAST_TIMEOUT")
        self._seconds = inf if seconds is None else float(seconds)
        loop = asyncio.get_running_loop()
        group_send = self.layer.group_send
        while self._queue:
            waiting = self._queue[0]
            now = loop.time()
            # Behind a host that hangs, the time spent waiting counts.
            self._deadline = (waiting.since if self._is_hung else now) + self._seconds
            if self._deadline <= now:
                self._drop(waiting)
                continue
            self._has_more_time = False
            if self._timer is None and self._deadline != inf:
                self._timer = loop.call_at(self._deadline, self._look, loop)
            outgoing = waiting.outgoing
            try:
                if outgoing.keep is not None:
                    await keep(self.layer, outgoing)
                outgoing.has_waited(now - waiting.since)
                await group_send(outgoing.message["group"], outgoing.message)
            except asyncio.CancelledError:
                if not self._is_expired(loop):
                    # Not yet removed: what is interrupted is sent once more.
                    raise
                assert self._task is not None, "a message is sent by our own task"
                self._task.uncancel()
                self._is_hung = True
                self._drop(waiting)
            except Exception as error:  # noqa: BLE001 (whatever a layer may raise)
                self._take()
                _counters.failed += outgoing.counts
                waiting.pending.fail(_of_our_tree(error, outgoing), outgoing.about)
            else:
                self._is_hung = False
                self._take()
                _counters.sent += outgoing.counts
                if not waiting.pending.done():
                    waiting.pending.set_result(None)
        self._deadline = inf
        self._is_full = False
        self._stop_timer()

    def _is_expired(self, loop: asyncio.AbstractEventLoop) -> bool:
        return loop.time() >= self._deadline

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Cancel what is being sent if its time is over; else look again when it will be."""
        self._timer = None
        if self._task is None:  # pragma: no cover (a timer in the same iteration as the end)
            return
        now = loop.time()
        if now >= self._deadline + STOOD_STILL and not self._has_more_time:
            self._has_more_time = True
            self._deadline = now + AFTER_STANDSTILL
        again_at = self._deadline
        if now >= self._deadline:
            self._task.cancel()
            # redis-py may swallow it while it connects.
            again_at = now + CANCEL_AGAIN_AFTER
        self._timer = loop.call_at(again_at, self._look, loop)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drop(self, waiting: _Waiting) -> None:
        self._take()
        seconds = self._seconds
        _counters.timed_out += waiting.outgoing.counts
        error = ChannelLayerUnavailableError(
            f"{waiting.outgoing.about}: the channel layer did not take it within "
            f"{seconds:g} seconds"
        )
        error.__cause__ = TimeoutError(f"more than {seconds:g} seconds")
        waiting.pending.fail(error, waiting.outgoing.about)

    def _take(self) -> None:
        self.bytes_waiting -= self._queue.popleft().outgoing.size

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            self._evacuate()
        elif self._queue:
            self._start(task.get_loop())

    def _evacuate(self) -> None:
        """Send the rest elsewhere: the event loop is being shut down.

        That of an async view is, under WSGI, as soon as the view has returned, and that
        of a management command just before the process ends. So it is waited for.
        """
        self._stop_timer()
        moved: list[tuple[Outgoing, Future[None]]] = []
        while self._queue:
            outgoing, pending, _ = self._queue.popleft()
            pending.cancel()
            if not outgoing.counts:
                continue
            moved.append((outgoing, self._elsewhere(self.layer, outgoing)))
        done, _ = wait([sent for _, sent in moved], EVACUATION_TIMEOUT)
        for outgoing, sent in moved:
            error = sent.exception() if sent in done else TimeoutError("it takes too long")
            if error is not None:
                about = Sentence(outgoing.about)
                log.error("%s failed and nobody awaited it", about, exc_info=error)


async def keep(layer: GroupSender, outgoing: Outgoing) -> None:
    """Put an event into the history of its group, which numbers it, before it is sent."""
    message = outgoing.message
    if outgoing.keep is None or "offset" in message:
        return
    size, ttl = outgoing.keep
    history = history_of(layer)
    append_once = getattr(history, "append_once", None)
    if "id" in message and append_once is not None:
        place = await append_once(outgoing.group, message["payload"], size, ttl, message["id"])
    else:
        place = await history.append(outgoing.group, message["payload"], size, ttl)
    message["epoch"], message["offset"] = place


def _ignore(pending: asyncio.Future[None]) -> None:
    """Mark the failure of a message of our own as seen."""
    if not pending.cancelled():
        pending.exception()


def _of_our_tree(error: Exception, outgoing: Outgoing) -> ChannelLayerError:
    """Return an error that callers can catch, whatever the channel layer is made of."""
    if isinstance(error, ChannelLayerError):
        return error
    ours = ChannelLayerUnavailableError(f"{outgoing.about}: the channel layer failed: {error!r}")
    ours.__cause__ = error
    return ours


class Pump:
    """The lanes of one channel layer on one event loop, one for each host."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, layer: GroupSender, elsewhere: SendElsewhere
    ) -> None:
        self.layer = layer
        self._traits = traits_of(layer)
        self.lanes = [
            Lane(
                layer,
                elsewhere,
                numbering_of(loop, layer, shard),
                announcements_on(self._traits, shard),
            )
            for shard in range(self._traits.shards)
        ]

    def put(self, loop: asyncio.AbstractEventLoop, outgoing: Outgoing) -> PendingSend:
        """Queue a message in the lane of its host."""
        lanes = self.lanes
        shard = 0 if len(lanes) == 1 else self._traits.shard_of(outgoing.group)
        return lanes[shard].put(loop, outgoing)


@dataclass(frozen=True, slots=True)
class PublisherStatistics:
    """Broadcasts on their way to channel layers; those that do not leave the process are none.

    Attributes:
        sent: broadcasts that a layer took.
        failed: those that it refused.
        timed_out: those that it did not take in time.
        refused: those that were dropped at once, as too many waited.
        waiting: those that wait now.
        waiting_bytes: the size of their payloads.
    """

    sent: int
    failed: int
    timed_out: int
    refused: int
    waiting: int
    waiting_bytes: int


_pumps: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[int, Pump]] = WeakKeyDictionary()


def pump_of(loop: asyncio.AbstractEventLoop, layer: GroupSender, elsewhere: SendElsewhere) -> Pump:
    """Return what sends to a layer from an event loop, which must be the running one."""
    pumps = _pumps.setdefault(loop, {})
    pump = pumps.get(id(layer))
    # An id may be used again.
    if pump is None or pump.layer is not layer:
        pump = pumps[id(layer)] = Pump(loop, layer, elsewhere)
    return pump


def announce_and_rest(loop: asyncio.AbstractEventLoop, layer: GroupSender) -> None:
    """Announce the last numbers of this event loop: nobody uses it any more."""
    pump = _pumps.get(loop, {}).get(id(layer))
    if pump is not None and pump.layer is layer:
        for lane in pump.lanes:
            lane.announce_and_rest(loop)


def publisher_statistics() -> PublisherStatistics:
    """Count what the event loops of this process send, and what those sent that are gone."""
    lanes = [
        lane
        for pumps in list(_pumps.values())
        for pump in list(pumps.values())
        for lane in pump.lanes
    ]
    return PublisherStatistics(
        sent=_counters.sent,
        failed=_counters.failed,
        timed_out=_counters.timed_out,
        refused=_counters.refused,
        waiting=sum(lane.broadcasts for lane in lanes),
        waiting_bytes=sum(lane.bytes_waiting for lane in lanes),
    )

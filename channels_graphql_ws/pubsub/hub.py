"""Per-event-loop hub: delivers each broadcast to its local subscribers.

However many clients subscribe, a process has one channel on the channel layer, joins
a group once, and decodes a broadcast once to see that it is sound. With the in-memory
layer not even that: broadcasts come straight from `broadcast`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Any, Final, Protocol, cast

from django.core.exceptions import SynchronousOnlyOperation

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency.database import async_connections
from channels_graphql_ws.concurrency.threads import context_of_nobody
from channels_graphql_ws.exceptions import PayloadDecodeError
from channels_graphql_ws.pubsub.arrivals import DOUBLE, OVERTAKEN, Arrivals
from channels_graphql_ws.pubsub.backlog import Backlog
from channels_graphql_ws.pubsub.history.interfaces import Position
from channels_graphql_ws.pubsub.history.tracked_groups import TrackedGroups
from channels_graphql_ws.pubsub.inbox import Entry, Inbox
from channels_graphql_ws.pubsub.late_events import MOST_PLACES, Late, LateEvents
from channels_graphql_ws.pubsub.layer_watch import LayerStatistics
from channels_graphql_ws.pubsub.layers import ChannelLayer, forget_cached, is_local
from channels_graphql_ws.pubsub.local import Message, add_receiver, remove_receiver
from channels_graphql_ws.pubsub.membership import Membership, MembershipStatistics
from channels_graphql_ws.pubsub.notification import Notification
from channels_graphql_ws.pubsub.numbering import ANNOUNCEMENT, all_announcements
from channels_graphql_ws.pubsub.origin import ORIGIN, Origin
from channels_graphql_ws.pubsub.pump import announce_and_rest
from channels_graphql_ws.pubsub.services import services
from channels_graphql_ws.shutdown import Drainable, drain_all
from channels_graphql_ws.tally import latencies
from channels_graphql_ws.tracing import HEADER, Tracer, tracing

log = ClientLog("channels_graphql_ws.broadcast")
# The way of each event, which is not limited to some lines a minute.
steps = logging.getLogger("channels_graphql_ws.broadcast")

RUNS_AT_ONCE = 32
"""Events that are executed before the event loop goes on to other callbacks."""

SECONDS_AT_ONCE = 0.002
"""How long that may take: a `publish` may be slow, and an event for many be shared."""

RUNS_BETWEEN_CLOCK_READS = 4
"""Listeners that run between two looks at the clock, which are not for free."""

STEPS_AT_ONCE: Final = 50
"""Steps after which a hub that never comes to rest is behind: those who have had much of its time
wait for the others from then on."""

BLOCKS_AFTER = 0.5
"""Seconds without another step of the event loop that are worth a warning."""

WARN_EVERY = 10.0
"""Seconds between two such warnings."""

SEND_AWAY_TIMEOUT = 10.0
"""Seconds that operations may take to their end when clients are sent to another process."""

GAP: Final = object()
"""The type of a message within the hub: events were lost, and none follows that could say so."""

TOLD = "told"
"""In a message within the hub: listeners that need not be told once more."""

INBOX_LIMIT = 10_000
"""Messages that may wait for those before them. Further ones come to the queues of the
subscriptions, which drop what is too much, and say so."""

INBOX_BYTES = 64 * 1024 * 1024
"""Bytes of payloads that may wait there."""


class Listener(Protocol):
    """What the hub needs to know of a subscriber."""

    @property
    def owner(self) -> Hashable:
        """Whose it is: the user, or else the address; `None`: not known, or of many."""
        ...

    def offer(self, notification: Notification) -> bool:
        """Take a notification without waiting; return whether to run this listener."""
        ...

    def finish(self) -> bool:
        """End behind what was offered so far; return whether to run this listener."""
        ...

    def revoke(self) -> None:
        """End now: its clients may no longer have what it gets."""
        ...

    def lost(self, missed: int | None, serial: int) -> bool:
        """Learn that so many events were lost; return whether `run_next` is to be called."""
        ...

    def run_next(self) -> bool:
        """Execute one notification; return whether to run this listener again."""
        ...


@dataclass(frozen=True, slots=True)
class HubStatistics:
    """What one hub has received, and what waits in it.

    Attributes:
        groups: groups that somebody listens to.
        subscribers: subscriptions that are executed for themselves, and shared executions.
        received: messages that came for them.
        waiting: those that nobody was offered yet.
        undecodable: those that could not be decoded.
        missed: messages that the channel layer has lost for good.
        doubled: messages that came twice, or behind later ones, and were dropped.
        mended: messages that the channel layer had lost and a history had not.
        membership: the groups on the channel layer; `None` for the in-memory layer.
        layer: what is known of the channel layer; `None` for the in-memory layer, and until
            the first group is joined.
    """

    groups: int
    subscribers: int
    received: int
    waiting: int
    undecodable: int
    missed: int
    doubled: int
    mended: int
    membership: MembershipStatistics | None
    layer: LayerStatistics | None


def _size(message: Message) -> int:
    """Return the bytes of a message's payload."""
    payload = message.get("payload")
    # Anybody may write to a channel layer.
    return len(payload) if isinstance(payload, bytes) else 0


class Hub:
    """The listeners of one event loop on one channel layer. See `hub_of`."""

    def __init__(self, layer: ChannelLayer) -> None:
        self.layer = layer
        self.loop = asyncio.get_running_loop()
        # With the number of messages that had come before they began to listen.
        self._listeners: dict[str, dict[Listener, int]] = {}
        self._inbox = Inbox(self._listeners)
        self._ready: deque[Listener] = deque()
        # Listeners that the current notification has not been offered to yet.
        self._pending: deque[Listener] = deque()
        self._notification: Any = None
        self._late = LateEvents()
        self._steps = 0
        """Since there was nothing to do."""
        self._is_running = False
        self._runs_left, self._seconds_spent = RUNS_AT_ONCE, 0.0
        # Listeners run in a context of their own: that of a caller is of no concern here.
        self._context = context_of_nobody()
        self._backlog = Backlog(self)
        self._users = 0
        # What `subscribe` has called groups, for the log.
        self._names: dict[str, str] = {}
        self._membership: Membership | None = None
        if not is_local(layer):
            self._membership = Membership(
                layer,
                self._listeners,
                self.deliver_soon,
                given_up=self._send_away,
                always=all_announcements,
            )
        joined_for = None if self._membership is None else self._membership.joined_for
        self._arrivals = Arrivals() if joined_for is None else Arrivals(joined_for)
        self.tracked = TrackedGroups(
            layer, self._deliver_tracked, self._arrivals.lost, self._tell_tracked_gap
        )
        """The groups whose history is followed."""
        self._connections: dict[Drainable, None] = {}
        self._sending_away: asyncio.Task[None] | None = None
        self._notices = 0
        self._told: set[Listener] | None = None
        self._warned_of_block_at = float("-inf")
        self.received = 0
        """Messages so far: the serial number of the last one."""
        self.undecodable = 0
        """Those of them that could not be decoded."""

    def acquire(self, connection: Drainable | None = None) -> None:
        """Keep the hub alive until as many calls of `release`.

        Args:
            connection: what is sent away if nothing comes through the layer any more.
        """
        self._users += 1
        if connection is not None:
            self._connections[connection] = None
        if self._users == 1:
            _hubs.setdefault((self.loop, id(self.layer)), self)
            add_receiver(self.layer, self)
            forget_cached()
            for service in services:
                service.acquire()

    async def release(self, connection: Drainable | None = None) -> None:
        """Release the hub; the last user closes its membership."""
        if connection is not None:
            self._connections.pop(connection, None)
        self._users -= 1
        if self._users:
            return
        _hubs.pop((self.loop, id(self.layer)), None)
        remove_receiver(self.layer, self)
        announce_and_rest(self.loop, self.layer)
        for service in services:
            await service.release()
        await self._backlog.close()
        await self.tracked.close()
        if self._membership is not None:
            await self._membership.close()

    async def joined(self, groups: Collection[str]) -> None:
        """Wait until this process is a member of the groups.

        Raises:
            ChannelLayerError: the channel layer refused.
        """
        if self._membership is not None:
            await self._membership.settled(groups)

    def listen(self, listener: Listener, groups: Sequence[str]) -> bool:
        """Subscribe `listener` to `groups`; return whether to wait for `joined`."""
        for group in groups:
            self._listeners.setdefault(group, {}).setdefault(listener, self.received)
        return self._membership is not None and self._membership.adjust(groups)

    def name_groups(self, names: Mapping[str, str]) -> None:
        """Remember what users call groups that somebody listens to.

        Args:
            names: by the names of groups on the channel layer.
        """
        self._names.update(names)

    def count(self, group: str) -> int:
        """Return how many listen to a group. May be called from any thread."""
        return len(self._listeners.get(group, ()))

    def names_of_others(self, group: str, limit: int) -> list[str]:
        """Return the public names of all groups of a group's listeners.

        Args:
            group: the name of a group on the channel layer.
            limit: how many names are wanted.
        """
        members = self._listeners.get(group, {})
        found: list[str] = []
        # Copies: another thread may ask.
        for other, name in list(self._names.items()):
            if any(each in members for each in list(self._listeners.get(other, ()))[:1]):
                found.append(name)
                if len(found) == limit:
                    break
        return found

    def leave(self, listener: Listener, groups: Sequence[str]) -> None:
        """Undo `listen`; harmless where it was not done."""
        for group in groups:
            members = self._listeners.get(group, {})
            members.pop(listener, None)
            if not members:
                self._forget(group)
        if self._membership is not None:
            self._membership.adjust(groups)

    def _send_away(self) -> None:
        """Close the connections: another process may still get what this one does not."""
        going = drain_all(list(self._connections), SEND_AWAY_TIMEOUT)
        self._sending_away = self.loop.create_task(going, context=self._context.copy())

    def _take_numbered(self, group: str, message: Message) -> bool:
        """Take a message with a place in a history; return whether anybody has to run for it."""
        before = self.received
        if self.tracked.take(group, message):
            return self.received != before
        place = Position(str(message["epoch"]), int(message["offset"]))
        return self._accept({**message, ORIGIN: Origin(group, place)})

    def _deliver_tracked(self, message: Message, origin: Origin) -> None:
        """Take what a tracker has put in order."""
        self._accept({**message, ORIGIN: origin})
        # Its own task, or a message from the layer, has brought it: run in a while.
        self._go_on()

    def _tell_tracked_gap(self, group: str, missed: int | None) -> None:
        """Tell of a history that is gone; once those who listen to several that went with it."""
        if self._told is None:
            self._told = set()
            self.loop.call_soon(self._forget_told)
        if self._tell_gap(group, missed, self._told):  # pragma: no branch (it is always told)
            self._go_on()

    def _forget_told(self) -> None:
        self._told = None

    def _forget(self, group: str) -> None:
        """Keep nothing of a group that nobody listens to any more."""
        self._listeners.pop(group, None)
        self._names.pop(group, None)
        self._arrivals.forget(group)
        self.tracked.forget(group)

    def first_listener(self, group: str) -> Listener | None:
        """Return one listener of a group, if there are any. May be called from any thread."""
        try:
            return next(iter(self._listeners.get(group, ())), None)
        except RuntimeError:  # pragma: no cover (somebody has joined it between two steps)
            return None

    def statistics(self) -> HubStatistics:
        """Return what the hub has counted. May be called from any thread."""
        counts, membership = self.counts(), self._membership
        return HubStatistics(
            groups=counts["groups"],
            subscribers=counts["listeners"],
            received=self.received - self._notices,
            waiting=len(self._inbox),
            undecodable=self.undecodable,
            missed=self._arrivals.missed,
            doubled=self._arrivals.doubled + self.tracked.doubled,
            mended=self.tracked.mended,
            membership=None if membership is None else membership.statistics(),
            layer=None if membership is None else membership.layer_statistics(),
        )

    def all_listeners(self) -> list[Listener]:
        """Return the listeners, each once. May be called from any thread."""
        groups = list(self._listeners.values())
        return list(dict.fromkeys(one for members in groups for one in list(members)))

    def counts(self) -> dict[str, int]:
        """Count what the hub holds: for tests, benchmarks and the curious."""
        return {"groups": len(self._listeners), "listeners": len(self.all_listeners())}

    def deliver(self, message: Message) -> None:
        """Take a message for the present listeners of its group, and run them.

        To be called in a callback of the event loop. A message is handed to those who
        listen when those before it are seen to: a burst of thousands would overrun the
        queue of each of them before the first has run.
        """
        if self._take(message) and not self._is_running:
            self._run()

    def deliver_soon(self, message: Message) -> None:
        """Deliver soon, outside of the caller's task, which listeners must not see."""
        if self._take(message):
            self._go_on()

    def _take(self, message: Message) -> bool:
        """Take a message; return whether its group has listeners."""
        group = message.get("group", "")
        if not self._listeners.get(group):
            return message.get("type") == ANNOUNCEMENT and self._take_announcement(message)
        sender = message.get("sender")
        if sender is not None:
            pause = message.get("pause", inf)
            missed = self._arrivals.check(group, sender, message["serial"], pause)
            if missed != 0:
                if missed == DOUBLE:
                    return False
                if missed == OVERTAKEN:
                    return self._tell_gap(group, None)
                message = {**message, ORIGIN: Origin(group, None, missed)}
        elif "offset" in message:
            return self._take_numbered(group, message)
        return self._accept(message)

    def _take_announcement(self, message: Message) -> bool:
        """Learn the last numbers of a sender; return whether anybody has to run for that."""
        calls = False
        sender, pause = message["sender"], message["pause"]
        for group, serial, age in message["serials"]:
            if self._listeners.get(group):
                missed = self._arrivals.announced(group, sender, serial, age + pause)
                calls = (missed != 0 and self._tell_gap(group, missed)) or calls
        return calls

    def _tell_gap(self, group: str, missed: int | None, told: set[Listener] | None = None) -> bool:
        """Tell all listeners of a group that events were lost, without waiting for the next.

        Args:
            group: name on the channel layer.
            missed: how many; `None` if nobody knows.
            told: listeners that know already; those that are told now are added.
        """
        self._notices += 1
        notice = {"type": GAP, "group": group, ORIGIN: Origin(group, None, missed)}
        return self._accept(notice if told is None else {**notice, TOLD: told})

    def _accept(self, message: Message) -> bool:
        """Let a message in; return whether anybody has to run for it."""
        if "id" in message and self._arrivals.is_known(message["group"], message["id"]):
            return self._drop_resent(message)
        self.received += 1
        self._inbox.put(Entry(self.received, message, _size(message)))
        if not self._is_running:
            self._dispatch_next()
        while len(self._inbox) > INBOX_LIMIT or self._inbox.size > INBOX_BYTES:
            if self._late.is_due:
                # The next steps have nothing else to do, and then there is room.
                break
            self._dispatch_next()
        return True

    def _drop_resent(self, message: Message) -> bool:
        """Drop a durable event that came before, but tell what was lost before it."""
        origin = message.get(ORIGIN)
        if origin is None or not origin.follows_gap:
            return False
        return self._tell_gap(message["group"], origin.missed)

    def _dispatch_next(self) -> None:
        """Hand the next message to those that listened when it came."""
        while self._pending:
            # No time to run any: the inbox is full.
            listener = self._pending.popleft()
            try:
                if listener.offer(self._notification):
                    self._ready.append(listener)
            except (Exception, asyncio.CancelledError):  # As in `_run`.
                log.exception("Lost a notification of %r", listener)
        entry = self._inbox.pop(is_behind=self._is_behind)
        serial, message = entry.serial, entry.message
        members = self._listeners.get(message["group"], {})
        listeners = [listener for listener, since in members.items() if since < serial]
        if self._backlog.is_active and self._backlog.holds(listeners):
            self._backlog.put(serial, message, listeners)
            return
        kind = message.get("type")
        if self._late.count and kind != "broadcast" and self._late.flush(listeners):
            # It stands behind what has come before, which goes first.
            self._inbox.put_back(entry)
            return
        match kind:
            case "broadcast":
                self._notify(listeners, message, serial)
            case "unsubscribe" if message.get("revokes"):
                _revoke(listeners)
            case "unsubscribe":
                self._ready.extend([listener for listener in listeners if listener.finish()])
            case kind if kind is GAP:
                missed, told = message[ORIGIN].missed, message.get(TOLD, set())
                listeners = [one for one in listeners if one not in told]
                told.update(listeners)
                self._ready.extend([one for one in listeners if one.lost(missed, serial)])
            case other:
                log.warning("Ignored a channel-layer message of unknown type %r", other)

    def _notify(self, listeners: list[Listener], message: Message, serial: int) -> None:
        try:
            notification = self._backlog.take(serial) if self._backlog.is_active else None
            if notification is None:
                notification = Notification(message["payload"], serial)
        except SynchronousOnlyOperation:
            self._backlog.decode(serial, message, listeners, self._context)
            return
        except (PayloadDecodeError, KeyError) as error:
            self.lose(message, error)
            return
        if steps.isEnabledFor(logging.DEBUG):
            self._explain(listeners, message["group"])
        notification.origin = message.get(ORIGIN)
        if latencies.is_on:
            notification.sent_at = message.get("at")
        self._notification = notification
        if self._is_behind:
            listeners = self._keep_late(listeners, notification, _size(message))
        self._pending.extend(listeners)
        if tracing.tracer is not None and HEADER in message:
            self._trace(tracing.tracer, notification, message, listeners)

    def _keep_late(
        self, listeners: list[Listener], notification: Notification, size: int
    ) -> list[Listener]:
        """Keep an event for those who have had much; return the others."""
        late = self._late
        others = late.keep(listeners, notification, size)
        while late.count > INBOX_LIMIT or late.size > INBOX_BYTES or late.places > MOST_PLACES:
            late.shorten()
        return cast("list[Listener]", others)

    def _trace(
        self,
        tracer: Tracer,
        notification: Notification,
        message: Message,
        listeners: list[Listener],
    ) -> None:
        """Begin the span of an event in this process."""
        name = getattr(listeners[0], "name", "?") if listeners else "?"
        trace = tracer.event(message[HEADER], name, len(listeners))
        if trace is None:
            return
        origin = notification.origin or Origin(message["group"])
        notification.origin = origin._replace(trace=trace)
        # It is offered the event last, which is when its span ends, and it never runs.
        self._pending.append(cast("Listener", trace))

    def _explain(self, listeners: list[Listener], group: str) -> None:
        named = self._names.get(group)
        name = getattr(listeners[0], "name", "?") if listeners else "?"
        what = "all subscribers" if named is None else f"the group {named[:100]!r}"
        steps.debug(
            "An event of %s has come for %s, subscribers here: %s", name, what, len(listeners)
        )

    def lose(self, message: Message, error: Exception) -> None:
        """Count and log a broadcast that could not be decoded."""
        self.undecodable += 1
        log.error("Lost a broadcast to group %s: %s", message["group"], error)

    def resume(self, messages: list[tuple[int, Message]]) -> None:
        """Deliver what had to wait, before what has come since."""
        for serial, message in reversed(messages):
            self._inbox.put_back(Entry(serial, message, _size(message)))
        self._go_on()

    def call(self, listener: Listener) -> None:
        """Schedule a run of `listener`."""
        self._ready.append(listener)
        self._go_on()

    def _go_on(self) -> None:
        """Schedule the next step while listeners are ready."""
        if self._is_running:
            return
        if self._pending or self._ready or self._inbox or self._late:
            self._is_running = True
            self.loop.call_soon(self._run_refreshed, context=self._context)
        elif self._steps:
            self._steps = 0
            self._late.reset()

    @property
    def _is_behind(self) -> bool:
        return self._steps > STEPS_AT_ONCE

    def _run_refreshed(self) -> None:
        """Run: the event loop has served other callbacks since the last runs."""
        self._runs_left, self._seconds_spent = RUNS_AT_ONCE, 0.0
        self._steps += 1
        self._run()

    def _run(self) -> None:
        """Run ready listeners round-robin, up to the limit of one step of the event loop."""
        self._is_running = True
        pending, ready, inbox = self._pending, self._ready, self._inbox
        began, left, first = monotonic(), self._runs_left, self._runs_left
        until = began + SECONDS_AT_ONCE - self._seconds_spent
        listener: Listener | None = None
        try:
            async_connections.close_expired()
            if left and self._is_behind:
                listener, left = self._run_fairly(until), 0
            while left and (pending or ready or inbox):
                if left % RUNS_BETWEEN_CLOCK_READS == 0 and left != first and monotonic() > until:
                    break
                left -= 1
                if pending:
                    listener, is_offered = pending.popleft(), False
                elif ready:
                    listener, is_offered = ready.popleft(), True
                else:
                    self._dispatch_next()
                    continue
                try:
                    # What was offered just now runs while the processor's caches hold it.
                    runs = is_offered or listener.offer(self._notification)
                    if runs and listener.run_next():
                        ready.append(listener)
                # It is a mistake of ours, and must not cost the others their runs. Nobody
                # cancels what is no task: that comes from what something has waited for.
                except (Exception, asyncio.CancelledError):
                    log.exception("Lost a turn of %r", listener)
        finally:
            if not pending:
                self._notification = None  # It may be large.
            # Several messages may come, and each bring us here, before the event loop breathes.
            spent = monotonic() - began
            self._seconds_spent += spent
            if spent > BLOCKS_AFTER:
                self._warn_of_block(listener, spent)
            self._runs_left = left if self._seconds_spent < SECONDS_AT_ONCE else 0
            self._is_running = False
            self._go_on()

    def _run_fairly(self, until: float) -> Listener | None:
        """Run listeners until a time, so that those who have had much wait for the others.

        Returns:
            The last one.
        """
        late = self._late
        # One of those who wait comes in each step, however much there is for others.
        turn, last = (None if late.is_due else late.next()) or self._fair_turn(), None
        while turn is not None or self._inbox or late.is_due:
            if turn is not None:
                last = cast("Listener", turn[0])
                self._take_turn(last, turn[1])
            elif late.is_due:
                self._ready.extend(cast("list[Listener]", late.offer_due()))
            else:
                self._dispatch_next()
            if monotonic() > until:
                break
            turn = self._fair_turn()
        return last

    def _fair_turn(self) -> tuple[Late, Notification | None] | None:
        """Return who is to be run next, and what it is to be offered before."""
        pending, notification = self._pending, self._notification
        if self._late.is_due:
            return None
        if pending and self._late.is_late(pending[0]):
            # It came before this hub was behind, or its owner has had much since.
            others = self._keep_late(list(pending), notification, 0)
            pending.clear()
            pending.extend(others)
        if pending:
            return pending.popleft(), notification
        while self._ready:
            listener = self._ready.popleft()
            if not self._late.postpone(listener):
                return listener, None
        return None if self._inbox else self._late.next()

    def _take_turn(self, listener: Listener, notification: Notification | None) -> None:
        """Run a listener, and count the time that it takes."""
        began = monotonic()
        try:
            if (notification is None or listener.offer(notification)) and listener.run_next():
                self._ready.append(listener)
        except (Exception, asyncio.CancelledError):  # As in `_run`.
            log.exception("Lost a turn of %r", listener)
        now = monotonic()
        self._late.charge(listener, now - began, now)

    def _warn_of_block(self, listener: Listener | None, seconds: float) -> None:
        """Name in the log, now and then, what has kept the event loop from all else."""
        now = monotonic()
        if now - self._warned_of_block_at < WARN_EVERY:
            return
        self._warned_of_block_at = now
        log.warning(
            "An event of %r, or one executed just before it, has blocked the event loop for %.1f "
            "seconds: everything else in this process had to wait. Await what takes long, or use "
            "a thread",
            listener,
            seconds,
        )


_hubs: dict[tuple[asyncio.AbstractEventLoop, int], Hub] = {}
_hubs_lock = threading.Lock()


def _revoke(listeners: Sequence[Listener]) -> None:
    for listener in listeners:
        try:
            listener.revoke()
        except Exception:  # The others must end, too.
            log.exception("Could not end %r, whose rights have ended", listener)


def hubs_of_process() -> list[Hub]:
    """Return the hubs that are in use, on any event loop."""
    return list(_hubs.values())


def hub_of(layer: ChannelLayer) -> Hub:
    """Return the hub of the running event loop on that layer.

    A hub lives while somebody has acquired it: nothing is kept beyond that, as tests
    run each on an event loop of its own.
    """
    loop = asyncio.get_running_loop()
    known = _hubs.get((loop, id(layer)))
    if known is not None:
        return known
    with _hubs_lock:  # Event loops in other threads do the same.
        abandoned = [_hubs.pop(key) for key in list(_hubs) if key[0].is_closed()]
    for hub in abandoned:
        remove_receiver(hub.layer, hub)
    return Hub(layer)

"""Subscriptions of clients that are alike: executed once, encoded once, framed many times."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterator, Sequence
from functools import partial
from itertools import islice
from math import inf
from sys import getsizeof
from typing import Any, Final
from weakref import ref

from graphql import ExecutionResult

from channels_graphql_ws.client_log import ClientLog
from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.eager import Eager, is_awaitable
from channels_graphql_ws.concurrency.fairness import belong_to
from channels_graphql_ws.execution.encoding import encode_result
from channels_graphql_ws.execution.errors import (
    Formatter,
    format_error,
    missed_events,
    too_slow,
)
from channels_graphql_ws.execution.results import CursorText
from channels_graphql_ws.json_text import dumps
from channels_graphql_ws.pubsub.hub import Hub
from channels_graphql_ws.pubsub.notification import CoalesceKey, Notification
from channels_graphql_ws.signals import dropped
from channels_graphql_ws.subscription.continuity import (
    LAYER,
    SLOW,
    TELL,
    Continuity,
    Gap,
    LostEvents,
    OnGap,
)
from channels_graphql_ws.subscription.declaration import history_of_class
from channels_graphql_ws.subscription.error_log import error_log
from channels_graphql_ws.subscription.event import EventExecution
from channels_graphql_ws.subscription.hooks import (
    FILTERED,
    await_end,
    filtered,
    permitted,
    wind_down,
)
from channels_graphql_ws.subscription.queue import NotificationQueue, QueuedBytes
from channels_graphql_ws.subscription.recovery import Restored
from channels_graphql_ws.subscription.replays import Replay, Replays
from channels_graphql_ws.subscription.signals import Drops, SubscriptionSignals
from channels_graphql_ws.subscription.single import (
    HELD,
    RESTART,
    REVOKED,
    Member,
    encode_continued,
    first_event,
)
from channels_graphql_ws.subscription.subscriber import (
    Subscriber,
    executed_hook,
    finished,
    measure,
    started,
)
from channels_graphql_ws.subscription.trail import note_ended, note_filtered, note_skipped
from channels_graphql_ws.tally import latencies

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")

DELIVERIES_AT_ONCE: Final = 16
"""Clients that get a result in one run; see also `hub.RUNS_AT_ONCE`."""


MOST_OWNERS: Final = 2
"""Users or addresses of all members who may wait for each other: more do not, as one of them
could keep all others waiting. Two may be one who has logged in, and has not."""

DATA_FOR_TEXT: Final = 16
"""Bytes that data and errors take in memory for each byte of their text."""


class SharedResult:
    """The outcome of one notification, for all that share it.

    Where nothing went wrong, only its text is kept once that was needed: the data may take
    twenty times as many bytes.
    """

    __slots__ = (
        "_end",
        "_extensions",
        "_has_errors",
        "_limit",
        "_payload",
        "_result",
        "_size",
        "_text",
        "cursor",
        "gap",
        "notification",
    )

    def __init__(
        self,
        result: ExecutionResult,
        notification: Notification | LostEvents,
        cursor: str | None = None,
        gap: Gap | None = None,
        *,
        limit: int | None = None,
    ) -> None:
        self._limit = limit
        self.notification = notification
        self.cursor = cursor
        self.gap = gap
        # They are added to the text: it is made once, and they are not the same for all.
        own, result.extensions = result.extensions or {}, None
        self._extensions = own if cursor is None else {**own, "cursor": cursor}
        self._result: ExecutionResult | None = result
        self._has_errors = bool(result.errors)
        self._payload: list[Any] = []
        self._text: str | None = None
        self._end = 0
        """How much of the text comes before the extensions."""
        self._size: int | None = None

    @property
    def is_event(self) -> bool:
        """Return whether there is an event, and not only a gap to report."""
        return not isinstance(self.notification, LostEvents)

    @property
    def coalesce_key(self) -> CoalesceKey:
        """What the `coalesce` hook has given for the notification."""
        return self.notification.coalesce_key

    @coalesce_key.setter
    def coalesce_key(self, key: CoalesceKey) -> None:
        self.notification.coalesce_key = key

    @property
    def size(self) -> int:
        """About how many bytes the text takes (the data, if there are errors) and the payload."""
        if self._size is None:
            times = DATA_FOR_TEXT if self._has_errors else 1
            self._size = times * getsizeof(self.text(format_error)) + self.notification.size
        return self._size

    def waits(self) -> None:
        """Nothing: to know the size, the text is needed, and all that is kept is in that."""

    def text(self, format_error: Formatter) -> str:
        """Return the JSON text. Of errors, each client is told by its own consumer."""
        if self._text is not None:
            return self._text
        assert self._result is not None, "it is kept as long as there is no text"
        text = encode_result(self._result, format_error, self._limit)
        self._end = len(text) - 1
        text = self._extended(text, self._extensions)
        if not self._has_errors:
            self._text, self._result = text, None
        return text

    def text_for_one(self, continuity: Continuity, format_error: Formatter) -> str:
        """Return the JSON text for a client that is told more than the others."""
        more, text = continuity.extensions(None), self.text(format_error)
        return self._extended(text, {**self._extensions, **more}) if more else text

    def _extended(self, text: str, extensions: dict[str, Any]) -> str:
        """Return the text with these extensions, in place of those that it has."""
        if extensions:
            text = f'{text[: self._end]},"extensions":{dumps(extensions)}}}'
        return text if self.cursor is None else CursorText.of(text, self.cursor)

    def payload(self) -> Any:
        """Return a payload for all filters; never one that `publish` has seen."""
        if not self._payload:
            self._payload.append(self.notification.payload())
        return self._payload[0]


class SharedSubscriber(Subscriber):
    """The subscriptions of one process that are certain to get the same results.

    Args:
        plan: how a notification is executed; it knows of no client.
        hub: where to listen.
        groups: what to listen to.
        queue_limit: how many notifications may wait.
        queued: counts their bytes.
        closed: is called, more than once perhaps, when there can be no more members.
    """

    def __init__(
        self,
        plan: EventExecution,
        hub: Hub,
        groups: Sequence[str],
        queue_limit: int,
        queued: QueuedBytes,
        closed: Callable[[SharedSubscriber], None],
    ) -> None:
        super().__init__(plan, hub, queue_limit, queued)
        self.groups = groups
        self._closed = closed
        if history_of_class(plan.subscription_class) is not None:
            self._current = HELD
        plan.variables.run(belong_to, partial(_owner_of, ref(self)))
        self._members: dict[SharedMember, None] = {}
        self._owner: tuple[Hashable] | None = None
        """Whose executions it counts as, while the members are the same."""
        self._is_over = False
        self._result: SharedResult | None = None
        self._waiting: Iterator[SharedMember] | None = None
        """Receives the result."""

    @property
    def queued(self) -> int:
        """How many notifications wait, and results for slow members."""
        return super().queued + sum(member.queued for member in list(self._members))

    @property
    def members(self) -> int:
        """How many clients share it."""
        return len(self._members)

    @property
    def owner(self) -> Hashable:
        """The user or address of all members, or the two of them; `None` for more.

        What one of many does must not keep the others waiting.
        """
        if self._owner is None:
            owners: set[Hashable] = set()
            for member in self._members:
                owners.add(member.owner)
                if len(owners) > MOST_OWNERS:
                    break
            if len(owners) == 1:
                self._owner = (owners.pop(),)
            else:
                is_known = len(owners) <= MOST_OWNERS and None not in owners
                self._owner = (frozenset(owners) if is_known else None,)
        return self._owner[0]

    def join(self, seat: SharedMember) -> None:
        """Take one more member; it gets what is broadcast from now on."""
        seat.since = self._hub.received
        self._members[seat] = None
        self._owner = None

    def leave(self, seat: SharedMember) -> asyncio.Task[None] | None:
        """Remove a member; the last one takes over what is still under way."""
        self._members.pop(seat, None)
        self._owner = None
        if self._members or self._ended:
            return None
        self._ended = self._ending = True
        self._closed(self)
        self._forget_queue()
        self._hub.leave(self, self.groups)
        return self._task

    def finish(self) -> bool:
        """End behind what was offered so far; return whether to run."""
        # New members receive what is broadcast behind the end.
        self._closed(self)
        return super().finish()

    def revoke(self) -> None:
        """End the connections of all members."""
        for member in list(self._members):
            member.revoke()

    def _on_drop(self) -> Callable[[int], None] | None:
        return Drops(self._lost_for_all).add if dropped.receivers else None

    def _lost_for_all(self, number: int) -> None:
        for member in list(self._members):
            member.lost_by_all(number)

    def _begin(self) -> Coroutine[Any, Any, None] | None:
        rest = super()._begin() if self._waiting is None else None
        if self._waiting is not None:
            self._deliver(self._waiting)
        return rest

    def _advance(self) -> bool:
        """Go on with the deliveries, or with the next notification."""
        if self._waiting is not None:
            return True
        # A member that was told of the end may still have something to do before it.
        return not self._is_over and super()._advance()

    def _run(self) -> Eager[None]:
        event = self._current
        if isinstance(event, LostEvents):
            self._tell_of_gap(event)
            return
        if not isinstance(event, Notification):
            self._is_over = True
            self._dispatch_next(None)
            return
        if not self._note(event):
            return
        waiting = self._plan.room()
        if waiting is not None:
            yield waiting
        who = f"shared by {len(self._members)}"
        begun = started(self._plan, event, who)
        result = yield from finished(self._plan, begun, who, event.serial)
        if result is not None:
            self._plan.tally.failed += bool(result.errors)
            error_log().errors(result.errors, self._plan, who, event.serial)
            self._dispatch_next(self._continued(result, event), event.serial)
        elif self._plan.delivery.completes:
            self._dispatch_next(None, event.serial)
        else:
            self._plan.tally.skipped += 1
            note_skipped(self.name, who)

    def _tell_of_gap(self, notice: LostEvents) -> None:
        """Tell all members of a gap, without an event."""
        self._missed(notice.missed, LAYER)
        result = self._continued(ExecutionResult(None), notice)
        self._dispatch_next(result, notice.serial)

    def restore(self, restored: Restored) -> None:
        """Follow the history from where the first member has joined."""
        continuity = self._continuity = self._continuity or Continuity(self.groups)
        for group, place in restored.places.items():
            continuity.places.setdefault(group, place)
        # What came before the place was known has waited.
        if self._current is HELD and self._advance():
            self._hub.call(self)

    def _continued(
        self, result: ExecutionResult, event: Notification | LostEvents
    ) -> SharedResult:
        """Add what all members are told of their place and of gaps."""
        limit = self._plan.max_result_size
        continuity = self._continuity
        if continuity is None:
            return SharedResult(result, event, limit=limit)
        return SharedResult(result, event, continuity.cursor, continuity.take_gap(), limit=limit)

    def _dispatch_next(self, result: SharedResult | None, serial: float = inf) -> None:
        """Deliver the result, or the end, to all that were members when it was broadcast."""
        self._result = result
        self._waiting = iter([seat for seat in self._members if seat.since < serial])

    def _deliver(self, waiting: Iterator[SharedMember]) -> None:
        """Deliver to the next few members."""
        few = list(islice(waiting, DELIVERIES_AT_ONCE))
        sent = 0
        for seat in few:
            try:
                sent += seat.take(self._result)
            # It is a bug of this package, or a hook that was cancelled from inside, and must
            # not cost the others their result.
            except (Exception, asyncio.CancelledError):
                log.exception("Lost a notification of %s (shared)", self.name)
        self._plan.tally.sent += sent
        if len(few) < DELIVERIES_AT_ONCE:
            if latencies.is_on and self._result is not None:
                measure(self._result.notification)
            self._result = self._waiting = None


def _owner_of(subscriber: Callable[[], SharedSubscriber | None]) -> Hashable:
    """Return who alone waits for what is executed; `None` if there are others, or none."""
    shared = subscriber()
    return None if shared is None else shared.owner


class SharedMember:
    """One client's place in a shared subscriber.

    Results that its client cannot take yet wait here, in a queue of its own.
    """

    __slots__ = (
        "_backlog",
        "_busy",
        "_continuity",
        "_ended",
        "_filters",
        "_finishing",
        "_format_error",
        "_id",
        "_is_too_slow",
        "_member",
        "_plan",
        "_replay",
        "_signals",
        "_task",
        "listener",
        "on_gap",
        "since",
    )

    def __init__(
        self,
        subscriber: SharedSubscriber,
        plan: EventExecution,
        member: Member,
        backlog: NotificationQueue[SharedResult],
        *,
        format_error: Formatter,
        id: object,
    ) -> None:
        self.listener = subscriber
        self.on_gap: OnGap = TELL
        """What is done when events were lost."""
        self._continuity: Continuity | None = None
        self._replay: Replay | None = None
        self.since: float = inf
        """Serial of the last broadcast that came too early for this client."""
        self._plan = plan
        self._member = member
        self._backlog = backlog
        self._format_error = format_error
        self._id = id
        self._filters = plan.has_filter
        self._busy = True
        self._finishing = False
        self._is_too_slow = False
        self._ended = False
        self._task: asyncio.Task[None] | None = None
        self._signals: SubscriptionSignals | None = None
        subscriber.join(self)

    def tell(self, signals: SubscriptionSignals) -> None:
        """Tell receivers of signals what becomes of it; to be called before `open`."""
        self._signals = signals
        self._backlog.on_drop = signals.dropped

    def lost_by_all(self, number: int) -> None:
        """Tell receivers of signals what was dropped before it was executed."""
        if self._signals is not None:
            self._signals.lost(number)

    def revoke(self) -> None:
        """End the connection of the client."""
        self._member.revoke(REVOKED)

    def open(self) -> None:
        """Begin: with the `initial` hook if there is one, then with what came meanwhile."""
        if not self._ended:
            first = first_event(self._plan, self._continuity)
            if first is not None:
                self._start(self._send_first(first))
            elif self._replay or self._finishing or len(self._backlog):
                self._start(None)
            else:
                self._busy = False

    @property
    def name(self) -> str:
        """What to call it in the log."""
        return self._plan.name

    @property
    def owner(self) -> Hashable:
        """The user or address of the client, `None` if nobody knows."""
        return self._plan.owner

    @property
    def queued(self) -> int:
        """How many results wait for the client. May be called from any thread."""
        return len(self._backlog)

    def restore(self, places: Restored, restored: Restored, replays: Replays) -> None:
        """Begin where a client was, see `Recovery`; to be called before `open`.

        Args:
            places: where all members go on that are not replayed to.
            restored: where this one was.
            replays: counts what waits to be replayed to the client.
        """
        continuity = self._continuity = Continuity(self.listener.groups)
        continuity.places.update(restored.places)
        continuity.recovered = restored.recovered
        self._replay = replays.replay(restored.missed)
        self._plan.tally.recovered += len(restored.missed)
        self.listener.restore(places)

    def take(self, result: SharedResult | None) -> bool:
        """Send a result, `None` for the end, as soon as the client can take it.

        Returns:
            Whether it was sent at once.
        """
        if self._ended or self._finishing:
            return False
        if result is None:
            self._finishing = True
            if not self._busy:
                self._start(None)
        elif self._busy:
            self._finishing = self._is_too_slow = not self._backlog.put(result)
        elif self._filters or self._continuity is not None or result.gap is not None:
            self._start(self._send(result))
        else:
            text = result.text(self._format_error)
            if self._member.next_at_once(text):
                return True
            self._start(self._send_text(text))
        return False

    def end(self) -> Eager[None]:
        """Leave the subscriber, stop what is under way, and call `unsubscribed`, once."""
        if self._ended:
            yield from await_end(self._task)
            return
        self._ended = True
        self._backlog.clear()
        if self._replay is not None:
            self._replay.clear()
        note_ended(self._plan, self._id, self._signals)
        yield from wind_down(self._plan, self._id, self._task, self.listener.leave(self))

    def _start(self, first: Eager[None] | None) -> None:
        self._busy = True
        variables = self._plan.variables
        rest = variables.run(eager.start, self._work_off(first))
        if rest is not None:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(rest, context=variables)

    def _work_off(self, first: Eager[None] | None) -> Eager[None]:
        try:
            if first is not None:
                yield from first
            if self._replay:
                yield from self._send_missed()
            while not self._ended and (result := self._backlog.take()) is not None:
                yield from self._send(result)
            if self._finishing and not self._ended:
                if self._is_too_slow or self.listener.is_too_slow:
                    self._report(too_slow())
                yield from self.end()
                self._member.completed()
        finally:
            self._busy = False
            self._task = None

    def _send_missed(self) -> Eager[None]:
        """Execute for this client alone what it has missed."""
        while self._replay:
            event = self._replay.popleft()
            assert isinstance(event, Notification), "members are not told of gaps in this way"
            waiting = self._member.ready() or self._plan.room()
            if waiting is not None:
                yield waiting
            continuity = self._continuity
            if self._ended or continuity is None:  # pragma: no cover (it leaves while it waits)
                return
            continuity.advance(event.origin)
            result: ExecutionResult | None = None
            if self._filters:
                result = yield from filtered(self._plan, event, self._id, event.serial)
            if result is None:
                begun = started(self._plan, event, self._id)
                has_waited = is_awaitable(begun)
                result = yield from finished(self._plan, begun, self._id)
                if has_waited and result is not None and self._plan.permissions:
                    is_permitted = yield from permitted(self._plan, event, self._id)
                    result = result if is_permitted else None
            if result is not None and result is not FILTERED and not self._ended:
                self._report(result)

    def _is_over_by_gap(self, result: SharedResult) -> Eager[bool]:
        """Do about a gap what the class or the consumer says; return whether that is the end."""
        if self._backlog.missed:
            self._miss(self._backlog.missed, SLOW)
            self._backlog.missed = 0
        if result.gap is not None:
            self._miss(*result.gap)
        continuity = self._continuity
        if continuity is None or not continuity.has_gap or self.on_gap.policy == "tell":
            return False
        gap = continuity.take_gap()
        if self.on_gap.policy is None:
            yield from self._send_of_hook("on_gap", gap)
            return self._ended or self._finishing
        if self.on_gap.policy == "end":
            self._report(missed_events())
            self._finishing = True
            self._backlog.clear()
            return True
        if self.on_gap.policy == "close":
            self.on_gap.send_away()
            return True
        return False

    @property
    def _has_gap(self) -> bool:
        return self._continuity is not None and self._continuity.has_gap

    def _miss(self, number: int | None, reason: str) -> None:
        if self._continuity is None:
            self._continuity = Continuity()
        self._continuity.miss(number, reason)

    def _send(self, result: SharedResult) -> Eager[None]:
        waiting = self._member.ready()
        if waiting is not None:
            yield waiting
        if self._continuity is not None:
            if not self._continuity.is_new(result.notification.origin):
                return
            self._continuity.advance(result.notification.origin)
        is_over = yield from self._is_over_by_gap(result)
        if is_over or not (result.is_event or self._has_gap):
            return
        instead = None
        if self._filters and result.is_event:
            serial = result.notification.serial
            instead = yield from filtered(self._plan, result, self._id, serial)
        if instead is FILTERED:
            self._plan.tally.skipped += 1
            note_filtered(self._plan.name, self._id)
            return
        if self._ended:
            return
        if instead is not None:
            self._report(instead, result.notification.serial)
            return
        self._plan.tally.sent += 1
        if self._continuity is not None:
            self._member.next(result.text_for_one(self._continuity, self._format_error))
        else:
            self._member.next(result.text(self._format_error))

    def _send_text(self, text: str) -> Eager[None]:
        waiting = self._member.ready()
        if waiting is not None:
            yield waiting
        if not self._ended:
            self._plan.tally.sent += 1
            self._member.next(text)

    def _send_first(self, first: object) -> Eager[None]:
        if first is RESTART:
            self._report(ExecutionResult(None))
            return
        yield from self._send_of_hook("initial")

    def _send_of_hook(self, hook: str, payload: Any = None) -> Eager[None]:
        """Execute an event that another hook than `publish` returns, for this client alone."""
        waiting = self._plan.room()
        if waiting is not None:
            yield waiting
        result = yield from executed_hook(self._plan, hook, self._id, payload)
        if self._ended:
            return
        if result is not None:
            self._report(result)
        elif self._plan.delivery.completes:
            self._finishing = True

    def _report(self, result: ExecutionResult, serial: int | None = None) -> None:
        self._plan.tally.sent += 1
        self._plan.tally.failed += bool(result.errors)
        error_log().errors(result.errors, self._plan, self._id, serial)
        limit = self._plan.max_result_size
        continuity = self._continuity
        if continuity is None:
            self._member.next(encode_result(result, self._format_error, limit))
            return
        self._member.next(
            encode_continued(result, continuity, continuity.cursor, self._format_error, limit)
        )

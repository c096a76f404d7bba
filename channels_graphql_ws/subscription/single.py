"""One client's subscription to broadcasts: its runs and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

from graphql import ExecutionResult

from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.eager import Eager
from channels_graphql_ws.execution.crowds import full_crowds
from channels_graphql_ws.execution.encoding import encode_result
from channels_graphql_ws.execution.errors import (
    Formatter,
    missed_events,
    too_slow,
)
from channels_graphql_ws.execution.results import CursorText
from channels_graphql_ws.pubsub.hub import Hub
from channels_graphql_ws.pubsub.notification import Notification
from channels_graphql_ws.subscription.continuity import LAYER, TELL, Continuity, LostEvents, OnGap
from channels_graphql_ws.subscription.error_log import error_log
from channels_graphql_ws.subscription.event import EventExecution
from channels_graphql_ws.subscription.hooks import (
    FILTERED,
    await_end,
    filtered,
    permitted,
    wind_down,
)
from channels_graphql_ws.subscription.queue import QueuedBytes
from channels_graphql_ws.subscription.recovery import Restored
from channels_graphql_ws.subscription.replays import Replays
from channels_graphql_ws.subscription.signals import SubscriptionSignals
from channels_graphql_ws.subscription.subscriber import (
    END,
    Subscriber,
    executed_hook,
    failed,
    finished,
    measure,
    started,
)
from channels_graphql_ws.subscription.trail import note_ended, note_filtered, note_skipped
from channels_graphql_ws.tally import latencies

RESTART: Final = object()
"""Sentinel for a notification: the client is told that it was not recovered."""

HELD: Final = object()
"""Sentinel for a notification: what is offered has to wait for `open`."""

REVOKED: Final = "The rights of this user have ended"
"""What a client is told whose right to a subscription was taken away."""

_INITIAL: Final = object()
"""Sentinel for a notification: the first event, which no broadcast caused."""


class Member(Protocol):
    """Receives the results."""

    def ready(self) -> Awaitable[None] | None:
        """Return what to wait for before the next result, or `None`."""
        ...

    def next(self, result: str) -> None:
        """Send a result."""
        ...

    def next_at_once(self, result: str) -> bool:
        """Send a result by the fast path, if nothing prevents it; return whether it was sent."""
        ...

    def completed(self) -> None:
        """Say that there are no more results."""
        ...

    def revoke(self, reason: str) -> None:
        """End the connection or stream: the client may no longer have what it gets."""
        ...


def first_event(plan: EventExecution, continuity: Continuity | None) -> object | None:
    """Return the sentinel of what a subscription begins with, `None` for what was broadcast."""
    recovered = None if continuity is None else continuity.recovered
    if recovered is not True and plan.subscription_class._meta.initial is not None:
        return _INITIAL
    return RESTART if recovered is False else None


def encode_continued(
    result: ExecutionResult,
    continuity: Continuity,
    cursor: str | None,
    format: Formatter,
    limit: int | None = None,
) -> str:
    """Return a result as JSON text, with what the client is told of its place and of gaps."""
    extensions = continuity.extensions(cursor)
    if extensions:
        result.extensions = {**(result.extensions or {}), **extensions}
    text = encode_result(result, format, limit)
    return text if cursor is None else CursorText.of(text, cursor)


class SingleSubscriber(Subscriber):
    """The subscriber of one client that shares its events with no other."""

    __slots__ = ("_filters", "_format_error", "_id", "_member", "_signals", "groups", "on_gap")

    def __init__(
        self,
        plan: EventExecution,
        member: Member,
        hub: Hub,
        groups: Sequence[str],
        *,
        queue_limit: int,
        queued: QueuedBytes,
        format_error: Formatter,
        id: object,
    ) -> None:
        super().__init__(plan, hub, queue_limit, queued)
        self.on_gap: OnGap = TELL
        """What is done when events were lost."""
        self.groups = groups
        self._member = member
        self._format_error = format_error
        self._id = id
        self._filters = plan.has_filter
        self._signals: SubscriptionSignals | None = None
        self._current = HELD

    def tell(self, signals: SubscriptionSignals) -> None:
        """Tell receivers of signals what becomes of it; to be called before `open`."""
        self._signals = signals

    @property
    def listener(self) -> SingleSubscriber:
        """Listens to the groups."""
        return self

    def restore(self, restored: Restored, replays: Replays) -> None:
        """Begin where a client was, see `Recovery`; to be called before `open`.

        Args:
            restored: where that is.
            replays: counts what waits to be replayed to the client.
        """
        continuity = self._continuity = Continuity(self.groups)
        continuity.places.update(restored.places)
        continuity.recovered = restored.recovered
        self._replay = replays.replay(restored.missed)
        self._plan.tally.recovered += len(restored.missed)

    def open(self) -> None:
        """Begin: with the `initial` hook if there is one, then with what was offered so far."""
        if self._ended:
            return
        first = first_event(self._plan, self._continuity)
        if first is not None:
            self._current = first
            self._hub.call(self)
        elif self._advance():
            self._hub.call(self)

    def end(self) -> Eager[None]:
        """Leave the groups, stop what is under way, and call `unsubscribed`, once."""
        if self._ended:
            yield from await_end(self._task)
            return
        self._ended = self._ending = True
        self._forget_queue()
        self._hub.leave(self, self.groups)
        note_ended(self._plan, self._id, self._signals)
        yield from wind_down(self._plan, self._id, self._task)

    def revoke(self) -> None:
        """End the connection of the client."""
        self._member.revoke(REVOKED)

    def run_next(self) -> bool:
        """Run as `Subscriber` does, in fewer calls: most runs are no longer than a few calls."""
        if self._ended:
            return False
        try:
            waiting = self._member.ready()
            if waiting is None and full_crowds:
                waiting = self._plan.room()
            if waiting is not None:
                # A slow client may take its time, and so may its other executions.
                self._spawn(self._run_after(waiting))
                return False
            rest = self._plan.variables.run(self._run_at_once)
        except BaseException:
            self._ask_for_another()
            raise
        if rest is not None:
            self._spawn(rest)
            return False
        if self._queue is None and not self._ending and not self._replay:
            self._current = None
            return False
        return self._advance()

    async def _run_after(self, waiting: Awaitable[None]) -> None:
        await waiting
        rest = eager.start(self._traced_run())
        if rest is not None:
            await rest

    def _run_at_once(self) -> Coroutine[Any, Any, None] | None:
        """Run once, on the shortest way for what is most frequent."""
        event = self._current
        queue = self._queue
        if (
            self._filters
            or type(event) is not Notification
            or event.origin is not None
            or self._continuity is not None
            or (queue is not None and queue.missed)
        ):
            return eager.start(self._traced_run())
        plan = self._plan
        try:
            if plan.is_special:
                result = plan.start(event.payload(), event)
            else:
                result = plan.start_here(event.payload())
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 (see `started`)
            result = failed(error, plan, self._id, event.serial)
        except BaseException as error:  # noqa: BLE001 (see `eager.PASSED_ON`)
            result = failed(eager.survived(error), plan, self._id, event.serial)
        if eager.is_awaitable(result):
            return eager.start(self._finish_run(result))
        if not plan.delivery.skipped:
            self._report(result)
        elif plan.delivery.completes:
            return eager.start(self._complete())
        else:
            plan.tally.skipped += 1
            if event.is_traced:
                note_skipped(plan.name, self._id)
        return None

    def _run(self) -> Eager[None]:
        event = self._current
        if event is END:
            if self.is_too_slow:
                self._report(too_slow())
            yield from self._complete()
        elif event is RESTART:
            self._report(ExecutionResult(None))
        elif isinstance(event, LostEvents):
            self._missed(event.missed, LAYER)
            yield from self._tell_of_gap()
        elif not isinstance(event, Notification):
            result = yield from executed_hook(self._plan, "initial", self._id)
            yield from self._tell(result)
        elif not self._note(event) or (yield from self._is_over_by_gap()):
            return
        elif (instead := (yield from self._objection(event))) is None:
            yield from self._finish_run(started(self._plan, event, self._id))
        elif instead is not FILTERED:
            yield from self._tell(instead)
        else:
            self._plan.tally.skipped += 1
            note_filtered(self.name, self._id)

    def _objection(self, event: Notification) -> Eager[ExecutionResult | None]:
        if not self._filters:
            return None
        return (yield from filtered(self._plan, event, self._id, event.serial))

    def _finish_run(self, result: Any) -> Eager[None]:
        event = self._current
        has_waited = eager.is_awaitable(result)
        outcome = yield from finished(self._plan, result, self._id, self._serial)
        # The permission may have gone meanwhile.
        if has_waited and outcome is not None and self._plan.permissions:
            payload = event if isinstance(event, Notification) else None
            if not (yield from permitted(self._plan, payload, self._id, self._serial)):
                outcome = None
        yield from self._tell(outcome)

    def _tell(self, result: ExecutionResult | None) -> Eager[None]:
        # A `publish` may go on after it was cancelled, but nobody listens any more.
        if self._ended:
            return
        if result is not None:
            self._report(result)
        elif self._plan.delivery.completes:
            yield from self._complete()
        else:
            self._plan.tally.skipped += 1
            note_skipped(self.name, self._id)

    def _tell_of_gap(self) -> Eager[None]:
        """Act on a gap as the policy says, without an event."""
        is_over = yield from self._is_over_by_gap()
        continuity = self._continuity
        if not is_over and continuity is not None and continuity.has_gap:
            self._report(ExecutionResult(None))

    def _is_over_by_gap(self) -> Eager[bool]:
        """Do about a gap what the class or the consumer says; return whether that is the end."""
        continuity = self._continuity
        if continuity is None or not continuity.has_gap or self.on_gap.policy == "tell":
            return False
        gap = continuity.take_gap()
        if self.on_gap.policy is None:
            result = yield from executed_hook(self._plan, "on_gap", self._id, gap)
            yield from self._tell(result)
            return self._ended
        if self.on_gap.policy == "end":
            self._report(missed_events())
            yield from self._complete()
            return True
        if self.on_gap.policy == "close":
            self.on_gap.send_away()
            return True
        return False

    @property
    def _serial(self) -> int | None:
        """The number of the broadcast that is being executed."""
        event = self._current
        return event.serial if isinstance(event, Notification) else None

    def _report(self, result: ExecutionResult) -> None:
        self._plan.tally.sent += 1
        if latencies.is_on:
            measure(self._current)
        if result.errors:
            self._plan.tally.failed += 1
            error_log().errors(result.errors, self._plan, self._id, self._serial)
        limit = self._plan.max_result_size
        continuity = self._continuity
        if continuity is None:
            self._member.next(encode_result(result, self._format_error, limit))
            return
        self._member.next(
            encode_continued(result, continuity, continuity.cursor, self._format_error, limit)
        )

    def _complete(self) -> Eager[None]:
        yield from self.end()
        self._member.completed()

    def _on_drop(self) -> Callable[[int], None] | None:
        return None if self._signals is None else self._signals.dropped

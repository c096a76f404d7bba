"""Subscriptions of clients that are alike: executed once, encoded once, framed many times."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import islice
from math import inf
from typing import Any, Final

from graphql import ExecutionResult

from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.eager import Eager
from channels_graphql_ws.execution.errors import Formatter, encode_result, log_errors, too_slow
from channels_graphql_ws.pubsub.hub import Hub
from channels_graphql_ws.pubsub.notification import CoalesceKey, Notification
from channels_graphql_ws.subscription.event import EventExecution
from channels_graphql_ws.subscription.hooks import FILTERED, await_end, filtered, wind_down
from channels_graphql_ws.subscription.queue import NotificationQueue
from channels_graphql_ws.subscription.single import Member
from channels_graphql_ws.subscription.subscriber import (
    Subscriber,
    finished,
    first_executed,
    started,
)

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

DELIVERIES_AT_ONCE: Final = 16
"""Clients that get a result in one turn; see also `hub.RUNS_AT_ONCE`."""


class SharedResult:
    """What came of one notification, for all who share it."""

    __slots__ = ("_notification", "_payload", "_result", "_text")

    def __init__(self, result: ExecutionResult, notification: Notification) -> None:
        self._result = result
        self._notification = notification
        self._payload: list[Any] = []
        self._text: str | None = None

    @property
    def coalesce_key(self) -> CoalesceKey:
        """What the `coalesce` hook has given for the notification."""
        return self._notification.coalesce_key

    @coalesce_key.setter
    def coalesce_key(self, key: CoalesceKey) -> None:
        self._notification.coalesce_key = key

    def text(self, format_error: Formatter) -> str:
        """Give the JSON text. Of errors, each client is told by its own consumer."""
        if self._text is not None:
            return self._text
        text = encode_result(self._result, format_error)
        if not self._result.errors:
            self._text = text
        return text

    def payload(self) -> Any:
        """Give an object for all filters, which is none that `publish` has seen."""
        if not self._payload:
            self._payload.append(self._notification.payload())
        return self._payload[0]


class SharedSubscriber(Subscriber):
    """The subscriptions of one process that are certain to get the same results.

    Args:
        plan: how a notification is executed; it knows of no client.
        hub: where to listen.
        groups: what to listen to.
        queue_limit: how many notifications may wait.
        closed: is called, more than once perhaps, when there can be no more members.
    """

    def __init__(
        self,
        plan: EventExecution,
        hub: Hub,
        groups: Sequence[str],
        queue_limit: int,
        closed: Callable[[SharedSubscriber], None],
    ) -> None:
        super().__init__(plan, hub, queue_limit)
        self.groups = groups
        self._closed = closed
        self._members: dict[SharedMember, None] = {}
        self._is_over = False
        self._result: SharedResult | None = None
        self._waiting: Iterator[SharedMember] | None = None
        """Who is to get the result."""

    def join(self, seat: SharedMember) -> None:
        """Take one more member; it gets what is broadcast from now on."""
        seat.since = self._hub.heard
        self._members[seat] = None

    def leave(self, seat: SharedMember) -> asyncio.Task[None] | None:
        """Let a member go; the last one is given what is still under way."""
        self._members.pop(seat, None)
        if self._members or self._ended:
            return None
        self._ended = self._ending = True
        self._closed(self)
        self._forget_queue()
        self._hub.leave(self, self.groups)
        return self._task

    def finish(self) -> bool:
        """End behind what was offered so far; tell if this calls for a turn."""
        # Who comes now is to hear of what is broadcast behind the end.
        self._closed(self)
        return super().finish()

    def _begin(self) -> Coroutine[Any, Any, None] | None:
        rest = super()._begin() if self._waiting is None else None
        if self._waiting is not None:
            self._deliver(self._waiting)
        return rest

    def _advance(self) -> bool:
        """Go on with the deliveries, or with the next notification."""
        if self._waiting is not None:
            return True
        # Who has been told of the end may still have something to do before it.
        return not self._is_over and super()._advance()

    def _run(self) -> Eager[None]:
        event = self._current
        if not isinstance(event, Notification):
            self._is_over = True
            self._dispatch_next(None)
            return
        who = f"shared by {len(self._members)}"
        begun = started(self._plan, event, who)
        result = yield from finished(self._plan, begun, who)
        if result is not None:
            log_errors(result.errors, self.name, who)
            self._dispatch_next(SharedResult(result, event), event.serial)
        elif self._plan.delivery.completes:
            self._dispatch_next(None, event.serial)

    def _dispatch_next(self, result: SharedResult | None, serial: float = inf) -> None:
        """Let the result, or the end, go to all who were here when it was broadcast."""
        self._result = result
        self._waiting = iter([seat for seat in self._members if seat.since < serial])

    def _deliver(self, waiting: Iterator[SharedMember]) -> None:
        """See to the next few."""
        few = list(islice(waiting, DELIVERIES_AT_ONCE))
        for seat in few:
            try:
                seat.take(self._result)
            # It is a mistake of ours, or a hook that was cancelled from inside, and must
            # not cost the others their result.
            except (Exception, asyncio.CancelledError):
                log.exception("Lost a notification of %s (shared)", self.name)
        if len(few) < DELIVERIES_AT_ONCE:
            self._result = self._waiting = None


class SharedMember:
    """One client's place in a cohort.

    Results that its client can not take yet wait here, in a queue of its own.
    """

    __slots__ = (
        "_backlog",
        "_busy",
        "_ended",
        "_filters",
        "_finishing",
        "_format_error",
        "_id",
        "_is_too_slow",
        "_member",
        "_plan",
        "_task",
        "listener",
        "since",
    )

    def __init__(
        self,
        cohort: SharedSubscriber,
        plan: EventExecution,
        member: Member,
        backlog: NotificationQueue[SharedResult],
        *,
        format_error: Formatter,
        id: object,
    ) -> None:
        self.listener = cohort
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
        cohort.join(self)

    def open(self) -> None:
        """Begin: with the `initial` hook if there is one, then with what came meanwhile."""
        if not self._ended:
            has_initial = self._plan.subscription_class._meta.initial is not None
            self._start(self._send_initial() if has_initial else None)

    def take(self, result: SharedResult | None) -> None:
        """Send a result, `None` for the end, as soon as the client can take it."""
        if self._ended or self._finishing:
            return
        if result is None:
            self._finishing = True
            if not self._busy:
                self._start(None)
        elif self._busy:
            self._finishing = self._is_too_slow = not self._backlog.put(result)
        elif self._filters:
            self._start(self._send(result))
        else:
            text = result.text(self._format_error)
            if not self._member.next_at_once(text):
                self._start(self._send_text(text))

    def end(self) -> Eager[None]:
        """Leave the cohort, stop what is under way, and call `unsubscribed`, once."""
        if self._ended:
            yield from await_end(self._task)
            return
        self._ended = True
        self._backlog.clear()
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

    def _send(self, result: SharedResult) -> Eager[None]:
        waiting = self._member.ready()
        if waiting is not None:
            yield waiting
        instead = None
        if self._filters:
            instead = yield from filtered(self._plan, result)
        if self._ended or instead is FILTERED:
            return
        if instead is None:
            self._member.next(result.text(self._format_error))
        else:
            self._report(instead)

    def _send_text(self, text: str) -> Eager[None]:
        waiting = self._member.ready()
        if waiting is not None:
            yield waiting
        if not self._ended:
            self._member.next(text)

    def _send_initial(self) -> Eager[None]:
        result = yield from first_executed(self._plan, self._id)
        if self._ended:
            return
        if result is not None:
            self._report(result)
        elif self._plan.delivery.completes:
            self._finishing = True

    def _report(self, result: ExecutionResult) -> None:
        log_errors(result.errors, self._plan.name, self._id)
        self._member.next(encode_result(result, self._format_error))

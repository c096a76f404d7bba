"""One client's subscription to broadcasts: its turns and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, Final, Protocol

from graphql import ExecutionResult

from channels_graphql_ws.concurrency import eager as steps
from channels_graphql_ws.concurrency.eager import Steps
from channels_graphql_ws.execution.errors import Formatter, encode_result, log_errors, too_slow
from channels_graphql_ws.pubsub.hub import Hub
from channels_graphql_ws.pubsub.notification import Notification
from channels_graphql_ws.subscription.event import EventPlan
from channels_graphql_ws.subscription.hooks import REFUSED, await_end, objection, wind_down
from channels_graphql_ws.subscription.subscriber import (
    END,
    Turns,
    failed,
    finished,
    first_executed,
    started,
)

_HELD: Final = object()
"""In the place of a notification: what is offered has to wait for `open`."""

_INITIAL: Final = object()
"""In the place of a notification: the first event, which is no broadcast."""


class Member(Protocol):
    """Who gets the results."""

    def ready(self) -> Awaitable[None] | None:
        """Give something to wait for before the next result, if there is need to."""
        ...

    def next(self, result: str) -> None:
        """Send a result."""
        ...

    def next_at_once(self, result: str) -> bool:
        """Send a result on a short way, if nothing is in it; tell if that was done."""
        ...

    def completed(self) -> None:
        """Say that there are no more results."""
        ...


class Cohort(Turns):
    """A cohort of one: the subscription of a client that shares with nobody."""

    __slots__ = ("_filters", "_format_error", "_id", "_member", "groups")

    def __init__(
        self,
        plan: EventPlan,
        member: Member,
        hub: Hub,
        groups: Sequence[str],
        *,
        queue_limit: int,
        format_error: Formatter,
        id: object,
    ) -> None:
        super().__init__(plan, hub, queue_limit)
        self.groups = groups
        self._member = member
        self._format_error = format_error
        self._id = id
        self._filters = plan.has_filter
        self._current = _HELD

    @property
    def listener(self) -> Cohort:
        """Who listens to the groups."""
        return self

    def open(self) -> None:
        """Begin: with the `initial` hook if there is one, then with what was offered so far."""
        if self._ended:
            return
        if self._plan.subscription_class._meta.initial is not None:
            self._current = _INITIAL
            self._hub.call(self)
        elif self._advance():
            self._hub.call(self)

    def end(self) -> Steps[None]:
        """Leave the groups, stop what is under way, and call `unsubscribed`, once."""
        if self._ended:
            yield from await_end(self._task)
            return
        self._ended = self._ending = True
        self._forget_queue()
        self._hub.leave(self, self.groups)
        yield from wind_down(self._plan, self._id, self._task)

    def take_turn(self) -> bool:
        """Do as `Turns` does, in fewer calls: most turns take no longer than a few of these."""
        if self._ended:
            return False
        try:
            waiting = self._member.ready()
            if waiting is None:
                rest = self._plan.variables.run(self._turn_at_once)
            else:
                rest = self._turn_after(waiting)
        except BaseException:
            self._ask_for_another()
            raise
        if rest is not None:
            self._leave_to_task(rest)
            return False
        if self._queue is None and not self._ending:
            self._current = None
            return False
        return self._advance()

    async def _turn_after(self, waiting: Awaitable[None]) -> None:
        await waiting
        rest = steps.run(self._turn())
        if rest is not None:
            await rest

    def _turn_at_once(self) -> Coroutine[Any, Any, None] | None:
        """Take the turn, on the shortest way for what is most frequent."""
        event = self._current
        if self._filters or type(event) is not Notification:
            return steps.run(self._turn())
        plan = self._plan
        try:
            result = plan.start(event.payload())
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 (see `started`)
            result = failed(error, plan, self._id)
        if steps.is_awaitable(result):
            return steps.run(self._turn_of(result))
        if not plan.delivery.skipped:
            self._report(result)
        elif plan.delivery.completes:
            return steps.run(self._complete())
        return None

    def _turn(self) -> Steps[None]:
        event = self._current
        if event is END:
            if self.is_too_slow:
                self._report(too_slow())
            yield from self._complete()
        elif not isinstance(event, Notification):
            result = yield from first_executed(self._plan, self._id)
            yield from self._tell(result)
        elif (instead := (yield from self._objection(event))) is None:
            yield from self._turn_of(started(self._plan, event, self._id))
        elif instead is not REFUSED:
            yield from self._tell(instead)

    def _objection(self, event: Notification) -> Steps[ExecutionResult | None]:
        return (yield from objection(self._plan, event)) if self._filters else None

    def _turn_of(self, result: Any) -> Steps[None]:
        yield from self._tell((yield from finished(self._plan, result, self._id)))

    def _tell(self, result: ExecutionResult | None) -> Steps[None]:
        # A `publish` may go on after it was cancelled, but nobody listens any more.
        if self._ended:
            return
        if result is not None:
            self._report(result)
        elif self._plan.delivery.completes:
            yield from self._complete()

    def _report(self, result: ExecutionResult) -> None:
        if result.errors:
            log_errors(result.errors, self.name, self._id)
        self._member.next(encode_result(result, self._format_error))

    def _complete(self) -> Steps[None]:
        yield from self.end()
        self._member.completed()

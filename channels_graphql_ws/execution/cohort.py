"""One client's subscription to broadcasts: its turns and its end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, Final, Protocol

from .. import steps
from ..hub import Hub, Notification
from ..steps import Steps
from .ending import wind_down
from .errors import Formatter, encode_result, log_errors, too_slow
from .event import EventPlan
from .filtering import REFUSED, objection
from .turns import END, Turns, executed

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

    def completed(self) -> None:
        """Say that there are no more results."""
        ...


class Cohort(Turns):
    """A cohort of one: the subscription of a client that shares with nobody."""

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
        task = self._task
        if self._ended:
            if task is not None and task is not asyncio.current_task():
                yield asyncio.wait([task])
            return
        self._ended = self._ending = True
        self._queue.clear()
        self._hub.leave(self, self.groups)
        yield from wind_down(self._plan, self._id, task)

    def _begin(self) -> Coroutine[Any, Any, None] | None:
        waiting = self._member.ready()
        return super()._begin() if waiting is None else self._turn_after(waiting)

    async def _turn_after(self, waiting: Awaitable[None]) -> None:
        await waiting
        rest = steps.run(self._turn())
        if rest is not None:
            await rest

    def _turn(self) -> Steps[None]:
        event = self._current
        if event is END:
            if self.is_too_slow:
                self._member.next(encode_result(too_slow(), self._format_error))
            yield from self._complete()
            return
        notification = event if isinstance(event, Notification) else None
        result = None
        if notification is not None and self._plan.has_filter:
            result = yield from objection(self._plan, notification)
        if result is None:
            result = yield from executed(self._plan, notification, self._id)
        # A `publish` may go on after it was cancelled, but nobody listens any more.
        if self._ended or result is REFUSED:
            return
        if result is not None:
            log_errors(result.errors, self.name, self._id)
            self._member.next(encode_result(result, self._format_error))
        elif self._plan.has_completed:
            yield from self._complete()

    def _complete(self) -> Steps[None]:
        yield from self.end()
        self._member.completed()

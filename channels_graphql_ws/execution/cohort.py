"""The subscriptions that get the same answer: their queue, their turns, their end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, Final, Protocol

from .. import steps
from ..hub import Hub, Notification
from ..json_text import dumps
from ..steps import Steps
from .errors import (
    INTERNAL_ERROR,
    Formatter,
    encode_result,
    is_cancellation,
    log_errors,
    too_slow,
)
from .event import EventPlan
from .queue import queue_for

log = logging.getLogger(__name__)

_HELD: Final = object()
"""In the place of a notification: what is offered has to wait for `open`."""

_INITIAL: Final = object()
"""In the place of a notification: the first event, which is no broadcast."""

_END: Final = object()
"""In the place of a notification: there will be no more."""


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


class Cohort:
    """One client's subscription, so far: sharing among clients alike is to come.

    Notifications are executed one at a time, in the order in which they were offered.
    The one being executed does not count as queued.
    """

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
        self.groups = groups
        self._plan = plan
        self._member = member
        self._hub = hub
        self._format_error = format_error
        self._id = id
        self._queue = queue_for(plan.subscription_class, queue_limit)
        self._current: object | None = _HELD
        self._ending = False
        self._is_too_slow = False
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """What to call it in the log."""
        return self._plan.name

    @property
    def dropped(self) -> int:
        """How many notifications the queue has dropped."""
        return self._queue.dropped

    # --------------------------------------------------------------- what it hears

    def open(self) -> None:
        """Begin: with the `initial` hook if there is one, then with what was offered so far."""
        if self._ended:
            return
        if self._plan.subscription_class._meta.initial is not None:
            self._current = _INITIAL
            self._hub.call(self)
        elif self._advance():
            self._hub.call(self)

    def offer(self, notification: Notification) -> bool:
        """Take a notification without waiting; tell if this calls for a turn."""
        if self._ending:
            return False
        if self._current is None:
            self._current = notification
            return True
        if not self._queue.put(notification):
            self._ending = self._is_too_slow = True
        return False

    def finish(self) -> bool:
        """End behind what was offered so far; tell if this calls for a turn."""
        self._ending = True
        if self._current is not None:
            return False
        self._current = _END
        return True

    # ---------------------------------------------------------------- what it does

    def take_turn(self) -> bool:
        """Execute one notification; tell if this calls for another turn.

        What can be done at once is done at once. Only what has to wait, in the user's
        code or for a slow client, is left to a task.
        """
        if self._ended:
            return False
        waiting = self._member.ready()
        variables = self._plan.variables
        if waiting is None:
            rest = variables.run(steps.run, self._turn())
        else:
            rest = self._turn_after(waiting)
        if rest is None:
            return self._advance()
        self._task = asyncio.get_running_loop().create_task(self._finish(rest), context=variables)
        return False

    def end(self) -> Steps[None]:
        """Leave the groups, stop what is under way, and call `unsubscribed`, once."""
        task = self._task
        if task is asyncio.current_task():
            task = None
        if self._ended:
            if task is not None:
                yield asyncio.wait([task])
            return
        self._ended = self._ending = True
        self._queue.clear()
        self._hub.leave(self, self.groups)
        if task is not None:
            steps.cancel(task)
            try:
                yield asyncio.wait([task])
            except asyncio.CancelledError:
                # Patience is at its end with that task, but the hook is still owed.
                yield from self._call_unsubscribed()
                raise
        yield from self._call_unsubscribed()

    def _turn(self) -> Steps[None]:
        event = self._current
        if event is _END:
            if self._is_too_slow:
                self._member.next(encode_result(too_slow(), self._format_error))
            yield from self._complete()
            return
        try:
            if isinstance(event, Notification):
                result = yield from self._plan.run(event.payload())
            else:
                result = yield from self._plan.run_initial()
        # The stream has to outlive whatever one event may bring.
        except (Exception, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
            log.exception("Lost a notification of %s (id %s)", self.name, self._id)
            self._member.next(dumps({"data": None, "errors": [INTERNAL_ERROR]}))
            return
        # A `publish` may go on after it was cancelled, but nobody listens any more.
        if self._ended:
            return
        if result is not None:
            log_errors(result.errors, self.name, self._id)
            self._member.next(encode_result(result, self._format_error))
        elif self._plan.has_completed:
            yield from self._complete()

    def _complete(self) -> Steps[None]:
        yield from self.end()
        self._member.completed()

    async def _turn_after(self, waiting: Awaitable[None]) -> None:
        await waiting
        rest = steps.run(self._turn())
        if rest is not None:
            await rest

    async def _finish(self, rest: Coroutine[Any, Any, None]) -> None:
        try:
            await rest
        finally:
            self._task = None
            if not self._ended and self._advance():
                self._hub.call(self)

    def _advance(self) -> bool:
        """Take the next notification from the queue; tell if there is one."""
        self._current = self._queue.take()
        if self._current is None and self._ending and not self._ended:
            self._current = _END
        return self._current is not None

    def _call_unsubscribed(self) -> Steps[None]:
        hook = self._plan.subscription_class._meta.unsubscribed
        if hook is None:
            return
        try:
            result = self._plan.call(hook)
            while steps.is_awaitable(result):
                result = yield result
        # Whatever it raises, the client is still owed its `complete`.
        except (Exception, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
            log.exception("`unsubscribed` of %s failed (id %s)", self.name, self._id)

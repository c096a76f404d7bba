"""What all subscribers have in common: a queue, and one run after another."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final

from graphql import ExecutionResult, GraphQLError

from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.database import async_connections
from channels_graphql_ws.concurrency.eager import Eager, is_cancellation
from channels_graphql_ws.execution.errors import INTERNAL_ERROR, timed_out
from channels_graphql_ws.pubsub.hub import Hub
from channels_graphql_ws.pubsub.notification import Notification
from channels_graphql_ws.subscription.continuity import LAYER, SLOW, Continuity, LostEvents
from channels_graphql_ws.subscription.declaration import Subscription
from channels_graphql_ws.subscription.error_log import error_log
from channels_graphql_ws.subscription.event import EventExecution
from channels_graphql_ws.subscription.hooks import permitted
from channels_graphql_ws.subscription.patience import HookTimeoutError
from channels_graphql_ws.subscription.queue import NotificationQueue, QueuedBytes, queue_for
from channels_graphql_ws.tally import latencies

END: Final = object()
"""In the place of a notification: there will be no more."""


class Subscriber(ABC):
    """Takes notifications one at a time, in the order in which they were offered.

    The one being executed does not count as queued.

    Args:
        plan: how one is executed.
        hub: runs it.
        queue_limit: how many may wait.
        queued: counts the bytes of what waits.
    """

    __slots__ = (
        "__weakref__",
        "_continuity",
        "_current",
        "_ended",
        "_ending",
        "_hub",
        "_plan",
        "_queue",
        "_queue_limit",
        "_queued",
        "_replay",
        "_task",
        "is_too_slow",
    )

    def __init__(
        self, plan: EventExecution, hub: Hub, queue_limit: int, queued: QueuedBytes
    ) -> None:
        self._plan = plan
        self._hub = hub
        self._queue_limit = queue_limit
        self._queued = queued
        # Most subscriptions never need one.
        self._queue: NotificationQueue[Notification] | None = None
        self._current: object | None = None
        # Only where there is a history or was a gap.
        self._continuity: Continuity | None = None
        # What comes before the queue: missed events of a history, and notices of gaps.
        self._replay: deque[Notification | LostEvents] | None = None
        self._ending = False
        self.is_too_slow = False
        """The queue was full, and that is the end."""
        self._ended = False
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.name}>"

    @property
    def name(self) -> str:
        """What to call it in the log."""
        return self._plan.name

    @property
    def owner(self) -> Hashable:
        """The user or address of the client, `None` if nobody knows."""
        return self._plan.owner

    @property
    def dropped(self) -> int:
        """How many notifications the queue has dropped."""
        return 0 if self._queue is None else self._queue.dropped

    @property
    def queued(self) -> int:
        """How many notifications wait. May be called from any thread."""
        return 0 if self._queue is None else len(self._queue)

    @property
    def subscription_class(self) -> type[Subscription]:
        """The class that its clients have subscribed to."""
        return self._plan.subscription_class

    @property
    def is_ending(self) -> bool:
        """Return whether it takes no more notifications."""
        return self._ending

    def offer(self, notification: Notification) -> bool:
        """Take a notification without waiting; return whether to run."""
        if self._ending:
            return False
        if self._current is None:
            self._current = notification
            return True
        if self._queue is None:
            self._queue = queue_for(self._plan.subscription_class, self._queue_limit, self._queued)
            self._queue.on_drop = self._on_drop()
        if not self._queue.put(notification):
            self.is_too_slow = True
            self.finish()
        return False

    def finish(self) -> bool:
        """End behind what was offered so far; return whether to run."""
        self._ending = True
        if self._current is not None:
            return False
        self._current = END
        return True

    def lost(self, missed: int | None, serial: int) -> bool:
        """Learn of lost events behind which none came; return whether `run_next` is to be called.

        Args:
            missed: how many were lost, `None` if nobody knows.
            serial: the number that the hub gave to the notice.
        """
        if self._ending:
            return False
        if self._current is None:
            self._current = LostEvents(missed, serial)
            return True
        # Not into the queue, where it could be dropped, or drop an event.
        if self._replay is None:
            self._replay = deque()
        last = self._replay[-1] if self._replay else None
        if isinstance(last, LostEvents):
            last.add(missed)
        else:
            self._replay.append(LostEvents(missed, serial))
        return False

    def run_next(self) -> bool:
        """Execute one notification; return whether to run again.

        What can be done at once is done at once. Only what has to wait, in the user's
        code or for a slow client, is left to a task.
        """
        if self._ended:
            return False
        try:
            rest = self._begin()
        except BaseException:
            # Whatever has failed, it costs no more than this event.
            self._ask_for_another()
            raise
        if rest is None:
            return self._advance()
        self._spawn(rest)
        return False

    def _spawn(self, rest: Coroutine[Any, Any, None]) -> None:
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._go_on(rest), context=self._plan.variables)

    def _begin(self) -> Coroutine[Any, Any, None] | None:
        """Run once; return the rest of the run, if it has to wait."""
        return self._plan.variables.run(eager.start, self._traced_run())

    def _traced_run(self) -> Eager[None]:
        """Execute what is current, within its trace if it has one."""
        origin = getattr(self._current, "origin", None)
        if origin is None or origin.trace is None:
            return self._run()
        run: Eager[None] = origin.trace.around(self._run(), self.name)
        return run

    @abstractmethod
    def _run(self) -> Eager[None]:
        """Execute what is current."""

    async def _go_on(self, rest: Coroutine[Any, Any, None]) -> None:
        try:
            await rest
        finally:
            self._task = None
            self._ask_for_another()

    def _ask_for_another(self) -> None:
        if self._advance():
            self._hub.call(self)

    def _advance(self) -> bool:
        """Take the next notification from the queue; return whether there is one."""
        if self._replay:
            self._current = self._replay.popleft()
        else:
            self._current = None if self._queue is None else self._queue.take()
        if self._current is None and self._ending and not self._ended:
            self._current = END
        return self._current is not None

    def _note(self, event: Notification) -> bool:
        """Follow the history and gaps; return whether this event is to be executed."""
        origin, queue = event.origin, self._queue
        if queue is not None and queue.missed:
            self._missed(queue.missed, SLOW)
            queue.missed = 0
        if origin is None:
            return True
        if origin.follows_gap:
            self._missed(origin.missed, LAYER)
        continuity = self._continuity
        if continuity is not None and origin.place is not None:
            if not continuity.is_new(origin):
                return False
            continuity.advance(origin)
        return True

    def _missed(self, number: int | None, reason: str) -> None:
        """Remember that events were lost."""
        if reason == LAYER:
            self._plan.tally.missed += number or 1
        if self._continuity is None:
            self._continuity = Continuity()
        self._continuity.miss(number, reason)

    @abstractmethod
    def revoke(self) -> None:
        """End the connections of its clients, which may no longer have what it gets."""

    @abstractmethod
    def _on_drop(self) -> Callable[[int], None] | None:
        """Return what is to be told of dropped notifications, if anything is."""

    def _forget_queue(self) -> None:
        """Nobody is left for what waits."""
        if self._replay is not None:
            self._replay.clear()
            self._replay = None
        if self._queue is not None:
            self._queue.clear()
            self._queue.on_drop = None


def measure(event: object) -> None:
    """Count how long an event took from its broadcast to its client, if it was broadcast."""
    sent_at = getattr(event, "sent_at", None)
    if sent_at is not None:
        latencies.add(time.time() - sent_at)


# What follows lets a subscription outlive whatever one event may bring.


def started(plan: EventExecution, notification: Notification, id: object) -> Any:
    """Begin to execute a notification; see `EventExecution.start`."""
    async_connections.close_expired()
    try:
        return plan.start(notification.payload(), notification)
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
        return failed(error, plan, id, notification.serial)
    except BaseException as error:  # noqa: BLE001 (see `eager.PASSED_ON`)
        return failed(eager.survived(error), plan, id, notification.serial)


def finished(
    plan: EventExecution, result: Any, id: object, serial: int | None = None
) -> Eager[ExecutionResult | None]:
    """Wait for the result of what was started."""
    try:
        return (yield from plan.finish(result))
    except HookTimeoutError as error:
        return timed_out(error.seconds)
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
        return failed(error, plan, id, serial)


def executed_hook(
    plan: EventExecution, hook: str, id: object, payload: Any = None
) -> Eager[ExecutionResult | None]:
    """Execute an event that another hook than `publish` returns; see `run_hook`."""
    async_connections.close_expired()
    try:
        result = yield from plan.run_hook(hook, payload)
    except HookTimeoutError as error:
        result = timed_out(error.seconds)
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001
        result = failed(error, plan, id)
    if result is not None and plan.permissions and not (yield from permitted(plan, None, id)):
        return None
    return result


def failed(
    error: BaseException, plan: EventExecution, id: object, serial: int | None = None
) -> ExecutionResult:
    """Return what a client gets when an event broke and the client is not to blame."""
    if is_cancellation(error):
        try:
            raise error
        finally:
            # Its traceback knows this frame: a reference cycle for each event that is cancelled.
            del error
    error_log().lost(error, plan, id, serial)
    return ExecutionResult(None, [GraphQLError(INTERNAL_ERROR["message"])])

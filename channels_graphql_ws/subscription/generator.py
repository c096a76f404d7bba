"""A subscription that feeds itself: iterates over what a `subscribe_…` method gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

from graphql import ExecutionResult

from channels_graphql_ws.client_log import ClientLog, log_fields, logs_about
from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.database import async_connections
from channels_graphql_ws.concurrency.eager import Eager, is_cancellation
from channels_graphql_ws.execution.encoding import encode_result
from channels_graphql_ws.execution.errors import (
    INTERNAL_ERROR,
    Formatter,
    describe,
    log_errors,
    timed_out,
)
from channels_graphql_ws.execution.request import JsonObject, Refusal
from channels_graphql_ws.pubsub.hub import RUNS_AT_ONCE
from channels_graphql_ws.subscription.event import EventExecution
from channels_graphql_ws.subscription.patience import HookTimeoutError
from channels_graphql_ws.subscription.signals import SubscriptionSignals
from channels_graphql_ws.subscription.single import Member

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")


class GeneratorMember(Member, Protocol):
    """Receives the results, and is told when there can be no more."""

    def failed(self, errors: Sequence[JsonObject], refusal: Refusal) -> None:
        """Say that the stream has broken off."""
        ...


class GeneratorSubscription:
    """One client's subscription to an asynchronous iterator.

    A generator may wait wherever it likes, so it has a task for as long as it lives. It
    is asked for the next event when the one before it is executed, and the client has
    room for it: nothing is queued, and nothing is dropped.
    """

    def __init__(
        self,
        plan: EventExecution,
        member: GeneratorMember,
        source: Any,
        *,
        format_error: Formatter,
        id: object,
    ) -> None:
        """Take what the user's method has returned.

        Raises:
            TypeError: one cannot iterate over it asynchronously.
        """
        if not hasattr(source, "__aiter__"):
            raise TypeError(
                f"The `subscribe_…` method of {plan.name!r} must yield asynchronously, or "
                f"return an asynchronous iterator, and not {type(source).__name__!r}"
            )
        self._events: AsyncIterator[Any] = aiter(source)
        self._plan = plan
        self._member = member
        self._format_error = format_error
        self._id = id
        self._ended = False
        self._task: asyncio.Task[None] | None = None
        self._signals: SubscriptionSignals | None = None

    @property
    def name(self) -> str:
        """What to call it in the log."""
        return self._plan.name

    @property
    def queued(self) -> int:
        """Return 0: it is asked for an event when the client has room for it."""
        return 0

    def tell(self, signals: SubscriptionSignals) -> None:
        """Tell receivers of signals what becomes of it; to be called before `open`."""
        self._signals = signals

    def open(self) -> None:
        """Begin to iterate."""
        if not self._ended:
            loop = asyncio.get_running_loop()
            self._task = loop.create_task(self._run(), context=self._plan.variables)

    def end(self) -> Eager[None]:
        """Stop, and wait until the `finally` of the generator has run."""
        task, was_ended = self._task, self._ended
        self._end_signals()
        self._ended = True
        if task is None:
            if not was_ended:
                yield self._close()
            return
        if not was_ended:
            eager.cancel(task)
        try:
            yield asyncio.wait([task])
        except asyncio.CancelledError:
            # Patience is at its end, with what the generator does in its `finally`, too.
            task.cancel()
            yield asyncio.wait([task])
            raise

    async def _run(self) -> None:
        try:
            try:
                await self._iterate()
            finally:
                self._end_signals()
                # From here on, ending it only means waiting.
                self._ended = True
                await self._close()
        # The client is owed an answer, whatever the user's code may raise.
        except eager.PASSED_ON as error:
            if eager.ends_running_code(error):
                raise
            self._fail(error)
        except BaseException as error:  # noqa: BLE001 (see `eager.PASSED_ON`)
            self._fail(eager.survived(error))
        else:
            self._member.completed()

    def _end_signals(self) -> None:
        if not self._ended and self._signals is not None:
            self._signals.end()

    async def _iterate(self) -> None:
        events = 0
        async for payload in self._events:
            # A generator may go on after it was cancelled, but nobody listens any more.
            if self._ended:
                return
            waiting = self._member.ready() or self._plan.room()
            if waiting is not None:
                await waiting
            await self._execute(payload)
            events += 1
            if events % RUNS_AT_ONCE == 0:
                # One that never waits must not keep all others waiting.
                await asyncio.sleep(0)

    async def _execute(self, payload: Any) -> None:
        """Execute one event; an internal failure or one of middleware costs only this event."""
        async_connections.close_expired()
        try:
            result: Any = eager.start(self._plan.run(payload))
            if eager.is_awaitable(result):
                result = await result
        except HookTimeoutError as error:
            result = timed_out(error.seconds)
        except (Exception, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
            log.exception("Lost an event of %s (id %s)", self._plan.name, self._id)
            return
        # A `None` would be one to skip: only classes know of that.
        answer: ExecutionResult = result
        self._plan.tally.sent += 1
        self._plan.tally.failed += bool(answer.errors)
        log_errors(answer.errors, self._plan.name, self._id)
        limit = self._plan.max_result_size
        self._member.next(encode_result(answer, self._format_error, limit))

    async def _close(self) -> None:
        """Run what the generator has still to do; harmless if it has come to its end."""
        aclose = getattr(self._events, "aclose", None)
        if aclose is None:
            return
        try:
            await aclose()
        # The way it ends is decided already.
        except (Exception, asyncio.CancelledError) as error:
            if is_cancellation(error):
                raise
            with logs_about(self._plan.variables.get(log_fields)):
                log.exception("%s could not be closed (id %s)", self._plan.name, self._id)

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, Exception):
            log_errors([error], self._plan.name, self._id)
            description: JsonObject = describe(error, self._format_error)
        else:
            log.error("%s was cancelled from inside (id %s)", self._plan.name, self._id)
            description = INTERNAL_ERROR
        self._member.failed([description], Refusal.STREAM)

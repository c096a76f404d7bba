"""The end of one client's subscription."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from graphql import ExecutionResult, GraphQLError, located_error

from channels_graphql_ws.client_log import ClientLog, log_fields, logs_about
from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.eager import Eager, is_awaitable, is_cancellation
from channels_graphql_ws.execution.errors import INTERNAL_ERROR, timed_out
from channels_graphql_ws.execution.permissions import denial, verdict_of
from channels_graphql_ws.subscription.error_log import error_log
from channels_graphql_ws.subscription.event import EventExecution, Payload
from channels_graphql_ws.subscription.field import SKIP
from channels_graphql_ws.subscription.patience import HookTimeoutError

log = ClientLog("channels_graphql_ws.graphql_ws_consumer")


def wind_down(plan: EventExecution, id: object, *tasks: asyncio.Task[None] | None) -> Eager[None]:
    """Stop what is under way, wait for it, and call `unsubscribed`."""
    under_way = [task for task in tasks if task is not None]
    if under_way:  # Seldom, and to ask for the current task takes a while.
        current = asyncio.current_task()
        under_way = [task for task in under_way if task is not current]
    if under_way:
        for task in under_way:
            eager.cancel(task)
        try:
            yield asyncio.wait(under_way)
        except asyncio.CancelledError:
            # Patience is at its end with that task, but the hook is still owed.
            yield from _call_unsubscribed(plan, id)
            raise
    yield from _call_unsubscribed(plan, id)


def await_end(task: asyncio.Task[None] | None) -> Eager[None]:
    """Wait for an end that has begun; a cancellation ends the waiting, too."""
    if task is None or task is asyncio.current_task():
        return
    try:
        yield asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        yield asyncio.wait([task])
        raise


def _call_unsubscribed(plan: EventExecution, id: object) -> Eager[None]:
    hook = plan.subscription_class._meta.unsubscribed
    if hook is None:
        return
    try:
        yield from plan.call_once(hook, "The end of a subscription to")
    except HookTimeoutError:
        pass  # The log was told.
    # Whatever it raises, the client is still owed its `complete`.
    except (Exception, asyncio.CancelledError) as error:
        if is_cancellation(error):
            raise
        with logs_about(plan.variables.get(log_fields)):
            log.exception("`unsubscribed` of %s failed (id %s)", plan.name, id)


FILTERED: Final = ExecutionResult(None)
"""Returned when `filter_event` rejects the notification."""


def filtered(
    plan: EventExecution, event: Payload, id: object, serial: int | None = None
) -> Eager[ExecutionResult | None]:
    """Ask the `filter_event` hook and the permissions whether the client gets a notification.

    The permissions come last: nothing waits between their answer and what is sent.

    Returns:
        `None` if nothing is to be said against it, `FILTERED`, or an error to send instead.
    """
    verdict = None
    if plan.subscription_class._meta.filter_event is not None:
        verdict = yield from _of_filter(plan, event)
    if plan.permissions and verdict is not FILTERED:
        is_permitted = yield from permitted(plan, event, id, serial)
        return verdict if is_permitted else FILTERED
    return verdict


def permitted(
    plan: EventExecution, event: Payload | None, id: object, serial: int | None = None
) -> Eager[bool]:
    """Ask the permissions of the class about an event.

    Args:
        plan: knows the client.
        event: `None` for one that is not a broadcast.
        id: that of the operation, for the log.
        serial: the number of the broadcast.
    """
    payload = None if event is None else event.payload()
    denied = yield from denial(plan.permissions, partial(plan.call_permission, payload=payload))
    if denied is None:
        return True
    if denied.cause is not None:
        error_log().denied(denied, plan, id, serial)
    return False


def _of_filter(plan: EventExecution, event: Payload) -> Eager[ExecutionResult | None]:
    try:
        verdict = plan.call_filter(event)
        while is_awaitable(verdict):
            verdict = yield plan.watched(verdict, "filter_event")
        # As it says most often.
        if verdict is True:
            return None
        return None if verdict is not SKIP and verdict_of(verdict, "filter_event") else FILTERED
    except HookTimeoutError as error:
        return timed_out(error.seconds)
    except (Exception, asyncio.CancelledError) as error:
        if is_cancellation(error):
            raise
        return ExecutionResult(None, [_located(plan, error)])


def _located(plan: EventExecution, error: BaseException) -> GraphQLError:
    """Return the error of a client whose `filter_event` has failed."""
    info = plan.info
    problem = error if isinstance(error, Exception) else RuntimeError("It was cancelled")
    try:
        return located_error(problem, info.field_nodes, info.path.as_list())
    except Exception:  # The text of an error is the user's code, too.
        log.exception("`filter_event` of %s failed, and so did the text of its error", plan.name)
        return GraphQLError(INTERNAL_ERROR["message"])

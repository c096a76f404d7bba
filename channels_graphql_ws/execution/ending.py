"""The end of one client's subscription."""

from __future__ import annotations

import asyncio
import logging

from .. import steps
from ..steps import Steps, is_cancellation
from .event import EventPlan

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")


def wind_down(plan: EventPlan, id: object, *tasks: asyncio.Task[None] | None) -> Steps[None]:
    """Stop what is under way, wait for it, and call `unsubscribed`."""
    under_way = [task for task in tasks if task is not None]
    if under_way:  # Seldom, and to ask for the current task takes a while.
        current = asyncio.current_task()
        under_way = [task for task in under_way if task is not current]
    if under_way:
        for task in under_way:
            steps.cancel(task)
        try:
            yield asyncio.wait(under_way)
        except asyncio.CancelledError:
            # Patience is at its end with that task, but the hook is still owed.
            yield from _call_unsubscribed(plan, id)
            raise
    yield from _call_unsubscribed(plan, id)


def await_end(task: asyncio.Task[None] | None) -> Steps[None]:
    """Wait for an end that has begun; who has no more patience with it ends that, too."""
    if task is None or task is asyncio.current_task():
        return
    try:
        yield asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        yield asyncio.wait([task])
        raise


def _call_unsubscribed(plan: EventPlan, id: object) -> Steps[None]:
    hook = plan.subscription_class._meta.unsubscribed
    if hook is None:
        return
    try:
        result = plan.call(hook)
        while steps.is_awaitable(result):
            result = yield result
    # Whatever it raises, the client is still owed its `complete`.
    except (Exception, asyncio.CancelledError) as error:
        if is_cancellation(error):
            raise
        log.exception("`unsubscribed` of %s failed (id %s)", plan.name, id)

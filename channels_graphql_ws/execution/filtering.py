"""A client's own word on a notification: the `filter_event` hook."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Protocol

from graphql import ExecutionResult, located_error

from ..steps import Steps, is_awaitable, is_cancellation
from ..subscription import SKIP
from .event import EventPlan

REFUSED: Final = ExecutionResult(None)
"""The objection of who does not want the notification at all."""


class Payload(Protocol):
    """Something that has a payload."""

    def payload(self) -> Any:
        """Give it."""
        ...


def objection(plan: EventPlan, event: Payload) -> Steps[ExecutionResult | None]:
    """Ask the `filter_event` hook whether the client gets a notification.

    Returns:
        `None` if nothing is to be said against it, `REFUSED`, or an error to send instead.
    """
    try:
        verdict = plan.call(plan.subscription_class._meta.filter_event, event.payload())
        while is_awaitable(verdict):
            verdict = yield verdict
    except (Exception, asyncio.CancelledError) as error:
        if is_cancellation(error):
            raise
        info = plan.info
        problem = error if isinstance(error, Exception) else RuntimeError("It was cancelled")
        located = located_error(problem, info.field_nodes, info.path.as_list())
        return ExecutionResult(None, [located])
    return None if verdict and verdict is not SKIP else REFUSED

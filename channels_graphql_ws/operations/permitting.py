"""Ask permissions whether a client may subscribe."""

from __future__ import annotations

from typing import Any

from channels_graphql_ws.concurrency.eager import Eager
from channels_graphql_ws.execution.errors import log_refusal
from channels_graphql_ws.execution.masking import NO_MASK
from channels_graphql_ws.execution.permissions import BasePermission, Permissions, denial
from channels_graphql_ws.subscription.event import EventExecution


def ask_permissions(
    execution: EventExecution, permissions: Permissions, id: object
) -> Eager[None]:
    """Ask permissions whether the client may subscribe.

    Args:
        execution: knows the client.
        permissions: what is asked, in this order.
        id: that of the operation, for the log.

    Raises:
        GraphQLError: it may not.
    """

    def ask(permission: type[BasePermission]) -> Any:
        return execution.call_permission(permission, None)

    denied = yield from denial(permissions, ask)
    if denied is None:
        return
    if denied.cause is not None:
        text = "Permission %s of a subscription to %s (id %s) was denied"
        names = denied.permission.__qualname__, execution.name, id
        log_refusal(text, denied.exception, NO_MASK, *names)
    raise denied.error

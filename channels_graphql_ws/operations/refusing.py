"""Tell a client that its operation is not executed."""

from __future__ import annotations

from collections.abc import Sequence

from channels_graphql_ws.execution.request import JsonObject, Refusal
from channels_graphql_ws.operations.interfaces import Client
from channels_graphql_ws.tracing import tracing


def refuse(client: Client, errors: Sequence[JsonObject], refusal: Refusal) -> None:
    """Tell the client, and the trace of the operation if it has one."""
    if tracing.tracer is not None:
        tracing.tracer.refused(refusal.name.lower())
    client.failed(errors, refusal)

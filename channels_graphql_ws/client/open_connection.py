"""Operations over a connection that the program opens and reopens itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from channels_graphql_ws.client.operations import Operation
from channels_graphql_ws.client.router import Reader, Router
from channels_graphql_ws.client.transport import GraphqlWsTransport

Message: TypeAlias = dict[str, Any]


class OpenConnection:
    """Carries operations, see `Carrier`; a caller that waits for one reads the connection.

    Args:
        transport: the connection.
        router: takes the messages.
        reader: reads them for all waiting calls.
        send: sends a message.
        stop: lets the server know that an operation is not wanted any more.
    """

    def __init__(
        self,
        transport: GraphqlWsTransport,
        router: Router,
        reader: Reader,
        send: Callable[[Message], Awaitable[None]],
        stop: Callable[[str], asyncio.Task[None]],
    ) -> None:
        self._transport = transport
        self._router = router
        self._reader = reader
        self._send = send
        self._stop = stop

    async def submit(self, operation: Operation) -> None:
        """Start an operation."""
        message = operation.start_message(self._router.dialect.start_type)
        operation.sent_on = self
        self._router.operations[operation.id] = operation
        await self._send(message)

    def withdraw(self, operation: Operation) -> asyncio.Task[None] | None:
        """Stop an operation; return what tells the server, if it has to be told."""
        if self._router.operations.pop(operation.id, None) is None:
            return None
        return self._stop(operation.id)

    async def wait(self, waiter: asyncio.Future[Any]) -> None:
        """Wait for a future that a message resolves."""
        await self._reader.wait(waiter)

    def describe_wait(self) -> tuple[str, str]:
        """Return what an operation without an answer waits for, and what may be done."""
        return f"an answer of {self._transport.address}", "It is connected: does the resolver end?"

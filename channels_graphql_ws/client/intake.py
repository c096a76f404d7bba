"""Messages that have come in: kept until they are received, or handed over as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeAlias

from channels_graphql_ws.client.errors import MessagesLostError
from channels_graphql_ws.client.router import Mailbox
from channels_graphql_ws.exceptions import ConnectionClosedError, RemoteProtocolError

Message: TypeAlias = dict[str, Any]


class Intake:
    """What a transport has read.

    Args:
        limit: messages that may wait in the inbox.

    Attributes:
        inbox: messages that wait to be received.
    """

    def __init__(self, limit: int) -> None:
        self.inbox = Mailbox(limit)
        self._deliver: Callable[[Message], object] | None = None
        self._end: asyncio.Future[None] | None = None

    @property
    def is_forwarding(self) -> bool:
        """Whether messages are handed over as they come."""
        return self._deliver is not None

    def put(self, message: Message) -> bool:
        """Take a message; return whether others should run before the next one comes."""
        deliver = self._deliver
        if deliver is None:
            self.inbox.put(message)
            return False
        try:
            return bool(deliver(message))
        except Exception as error:  # noqa: BLE001 (of the code that takes the messages)
            self.report(error)
            return False

    def report(self, error: Exception) -> None:
        """Raise an error in the place of a message."""
        if self._end is not None and not self._end.done():
            self._deliver = None
            self._end.set_exception(error)
        else:
            self.inbox.put(error)

    def finish(self, closed: Exception) -> None:
        """Raise an error for callers that want more than there is."""
        self.inbox.fail(closed)
        if self._end is not None and not self._end.done():
            self._end.set_exception(closed)

    async def wait(self) -> None:
        """Wait until there is something in the inbox."""
        while not self.inbox:
            await self.inbox.waiter()

    async def forward(self, deliver: Callable[[Message], object]) -> None:
        """Hand messages over as they come, until an error is to be raised."""
        while self.inbox:
            deliver(self.inbox.take())
        self._deliver = deliver
        self._end = asyncio.get_running_loop().create_future()
        try:
            await self._end
        finally:
            self._deliver = self._end = None

    async def ended(self) -> ConnectionClosedError:
        """Drop messages until the connection has ended; return how it did."""
        while True:
            await self.wait()
            try:
                self.inbox.take()
            except ConnectionClosedError as closed:
                return closed
            except (RemoteProtocolError, MessagesLostError):
                continue

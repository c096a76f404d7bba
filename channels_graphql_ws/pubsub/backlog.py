"""What waits while a payload is decoded in a thread."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from contextvars import Context
from functools import partial
from typing import Protocol

from channels_graphql_ws.concurrency.threads import in_thread
from channels_graphql_ws.pubsub.local import Message
from channels_graphql_ws.pubsub.notification import Notification


class BacklogOwner(Protocol):
    """The hub, as its backlog sees it."""

    def resume(self, messages: list[tuple[int, Message]]) -> None:
        """Deliver messages, with their serial numbers, before those that came since."""
        ...

    def lose(self, message: Message, error: Exception) -> None:
        """Log that a broadcast could not be decoded."""
        ...


class Backlog:
    """Decodes one payload in a thread, and keeps what its listeners get behind it.

    Instances of a model whose `__init__` or `from_db` makes queries cannot be built on the
    event loop. The listeners of such a broadcast get all their messages in order; other
    listeners do not wait.

    Attributes:
        is_active: a payload is being decoded, or the notification has not been taken yet.
    """

    def __init__(self, owner: BacklogOwner) -> None:
        self.is_active = False
        self._owner = owner
        self._task: asyncio.Task[None] | None = None
        self._listeners: set[object] = set()
        self._waiting: deque[tuple[int, Message]] = deque()
        self._decoded: Notification | None = None

    def take(self, serial: int) -> Notification | None:
        """Return the notification with that number, if it is the one that was decoded."""
        decoded = self._decoded
        if decoded is None or decoded.serial != serial:
            return None
        self._decoded = None
        self.is_active = self._task is not None
        return decoded

    def holds(self, listeners: Collection[object]) -> bool:
        """Return whether a message for these listeners has to wait."""
        return not self._listeners.isdisjoint(listeners)

    def put(self, serial: int, message: Message, listeners: Collection[object]) -> None:
        """Let a message wait, and further ones for its listeners."""
        self._waiting.append((serial, message))
        self._listeners.update(listeners)

    def decode(
        self, serial: int, message: Message, listeners: Collection[object], context: Context
    ) -> None:
        """Decode the payload of a message in a thread; wait for the one before it, if any."""
        self.put(serial, message, listeners)
        if self._task is None:
            self.is_active = True
            running = self._decode(serial, message)
            self._task = asyncio.get_running_loop().create_task(running, context=context)

    async def close(self) -> None:
        """Stop waiting for the thread; what waits is dropped."""
        task = self._task
        self._reset()
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    async def _decode(self, serial: int, message: Message) -> None:
        decode = partial(Notification.decoded_in_thread, message["payload"], serial)
        try:
            self._decoded = await in_thread(decode)
        except Exception as error:  # noqa: BLE001 (a model's own code may raise anything)
            self._owner.lose(message, error)
            self._waiting.popleft()
        waiting = self._reset()
        self.is_active = self._decoded is not None
        self._owner.resume(waiting)

    def _reset(self) -> list[tuple[int, Message]]:
        waiting = list(self._waiting)
        self._task = None
        self.is_active = False
        self._waiting.clear()
        self._listeners.clear()
        return waiting

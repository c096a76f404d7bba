"""Route each message of the server to its operation, and read them for all."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from channels_graphql_ws.client.errors import MessagesLostError
from channels_graphql_ws.client.operations import Operation
from channels_graphql_ws.client.transport import OPERATION_LOST
from channels_graphql_ws.websocket.subprotocols import Subprotocol

Message: TypeAlias = dict[str, Any]
Waiting: TypeAlias = "asyncio.Future[None]"

MAX_UNREAD: Final = 16_384
"""Messages that may wait for `receive()`."""


log = logging.getLogger("channels_graphql_ws.client")


def log_dropped(item: Message | Exception) -> None:
    """Log a message that was dropped while waiting for another one."""
    if isinstance(item, dict):
        log.info("Dropped a message of type %r and id %r", item.get("type"), item.get("id"))


class Mailbox:
    """Messages that wait for `receive()`, in the order in which they came.

    Args:
        limit: how many may wait; then the oldest is dropped, which the next `take()` tells.
    """

    __slots__ = ("_failure", "_items", "_limit", "_lost", "_waiters")

    def __init__(self, limit: int = MAX_UNREAD) -> None:
        self._items: deque[Message | Exception] = deque()
        self._limit = limit
        self._lost = 0
        self._waiters: list[Waiting] = []
        self._failure: Exception | None = None

    def __bool__(self) -> bool:
        """Return whether `take()` has something to return or to raise."""
        return bool(self._items or self._lost or self._failure)

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self._items)

    def put(self, item: Message | Exception) -> None:
        """Add a message, or an exception to raise in its place."""
        if len(self._items) >= self._limit:
            self._items.popleft()
            self._lost += 1
        self._items.append(item)
        self._wake()

    def fail(self, error: Exception | None) -> None:
        """Raise an error from now on when no message is left; `None` ends that."""
        self._failure = error
        self._wake()

    def put_back(self, message: Message) -> None:
        """Return a message that was taken in vain to its place before all others."""
        self._items.appendleft(message)
        self._wake()

    def drop_all(self) -> None:
        """Drop what waits, and say so in the log."""
        for item in self._items:
            log_dropped(item)
        self._items.clear()

    def take(self) -> Message:
        """Return the oldest message, or raise what stands in its place.

        Raises:
            MessagesLostError: older ones were dropped.
        """
        if self._lost:
            lost, self._lost = self._lost, 0
            raise MessagesLostError(lost)
        if not self._items:
            assert self._failure is not None, "there is nothing to take"
            raise self._failure
        item = self._items.popleft()
        if isinstance(item, Exception):
            raise item
        return item

    def waiter(self) -> Waiting:
        """Return a future that is done as soon as there may be something to take."""
        waiter: Waiting = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        return waiter

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """A message that a call waits for."""

    message: asyncio.Future[Message]
    drops_others: bool


class Router:
    """Hands each message to the operation that it belongs to; `receive()` gets the rest.

    Args:
        dialect: whose words the server speaks.
        prefix: begins the ids of operations that `receive()` does not see. Late messages of ended
            operations are recognised by it and dropped.

    Attributes:
        received: messages so far.
        on_ping: called with each ping.
        on_pong: called with each pong.
        on_message: called with each message before anything else, if it is set.
        on_lost: called with an operation and an error when its transport has lost it alone.
        on_stray: called with each message that no operation understands or waits for.
    """

    def __init__(self, dialect: Subprotocol, prefix: str) -> None:
        self.dialect = dialect
        self.operations: dict[Any, Operation] = {}
        self.claims: dict[str, Mailbox] = {}
        """Ids whose messages one call of `execute()` waits for."""
        self.abandoned: set[Any] = set()
        """Ids of abandoned operations, until the server has ended them."""
        self._expected: dict[Any, deque[Expected]] = {}
        self.unclaimed = Mailbox()
        self.has_callers = False
        """Whether any call takes the unclaimed messages."""
        self._keeps_pongs = 0
        self._prefix = prefix
        self.on_ping: Callable[[Message], None] = ignore
        self.received = 0
        self._others = 0
        self.on_pong: Callable[[Message], None] = ignore
        self.on_message: Callable[[Message], None] | None = None
        self.on_lost: Callable[[Operation, Exception], None] = fail_operation
        self.on_stray: Callable[[Message], None] = ignore

    @contextmanager
    def keeping_pongs(self) -> Generator[None]:
        """Let pongs be among the unclaimed messages for a while."""
        self._keeps_pongs += 1
        try:
            yield
        finally:
            self._keeps_pongs -= 1

    def deliver(self, message: Message) -> bool:
        """Hand over a message; return whether others should run before the next one."""
        self.received += 1
        if self.on_message is not None:
            self.on_message(message)
        id = message.get("id")
        # Our ids are strings; looking up an unhashable value would raise.
        operation = self.operations.get(id) if type(id) is str else None
        if operation is None:
            self._deliver_to_callers(message, id)
            return False
        word = message.get("type")
        if word == self.dialect.next_type:
            if operation.next(message):
                del self.operations[id]
            return operation.is_pressed
        self._end(operation, word, message)
        return False

    def _end(self, operation: Operation, word: object, message: Message) -> None:
        """Take what ends an operation; another word means nothing to it."""
        if word == "complete":
            del self.operations[operation.id]
            operation.complete()
        elif word == "error":
            del self.operations[operation.id]
            operation.refused(message)
        elif word is OPERATION_LOST:
            self.on_lost(operation, message["error"])
        else:
            self.on_stray(message)

    def expect(self, id: Any, *, drops_others: bool = False) -> Expected:
        """Return a future for the next message with an id, which `receive()` then misses.

        Args:
            id: of an operation.
            drops_others: drop what waits to be received when the message comes.
        """
        expected = Expected(asyncio.get_running_loop().create_future(), drops_others)
        self._expected.setdefault(id, deque()).append(expected)
        return expected

    def forget(self, id: Any, expected: Expected) -> None:
        """Expect a message no more; one that has come in vain stays to be received."""
        if expected.message.done() and not expected.message.cancelled():
            if expected.message.exception() is None:
                self.unclaimed.put_back(expected.message.result())
            return
        waiting = self._expected.get(id, deque())
        if expected in waiting:
            waiting.remove(expected)
        if not waiting:
            self._expected.pop(id, None)

    def fail_operations(self, error: Exception) -> None:
        """End all operations with an error."""
        operations, self.operations = self.operations, {}
        for operation in operations.values():
            operation.fail(error)

    def lose_connection(self, error: Exception) -> None:
        """Raise an error in all calls that wait for messages of this connection."""
        if self.has_callers:
            self.unclaimed.put(error)
        for claim in self.claims.values():
            claim.fail(error)
        waiting, self._expected = self._expected, {}
        for expected in (each for group in waiting.values() for each in group):
            if not expected.message.done():
                expected.message.set_exception(error)

    @property
    def results(self) -> int:
        """How many of the messages so far belonged to an operation."""
        return self.received - self._others

    def _deliver_to_callers(self, message: Message, id: object) -> None:
        self._others += 1
        word = message.get("type")
        if word == "ping" and self.dialect.has_ping:
            self.on_ping(message)
        elif word in self.dialect.keep_alive_types:
            if word == "pong":
                self.on_pong(message)
                if self._keeps_pongs:
                    self.unclaimed.put(message)
        elif isinstance(id, str) and id.startswith(self._prefix):
            if id in self.claims:
                self.claims[id].put(message)
        elif id is not None and isinstance(id, str | int) and self._meet(id, message):
            pass
        else:
            self.unclaimed.put(message)
            self.on_stray(message)

    def _meet(self, id: str | int, message: Message) -> bool:
        """Hand a message to the first call that expects it; return whether it was consumed."""
        waiting = self._expected.get(id)
        while waiting:
            expected = waiting.popleft()
            if not waiting:
                del self._expected[id]
            if not expected.message.done():
                if expected.drops_others:
                    self.unclaimed.drop_all()
                expected.message.set_result(message)
                return True
        if id in self.abandoned:
            if message.get("type") in {"complete", "error"}:
                self.abandoned.discard(id)
            return True
        return False


def ignore(_: Message) -> None:
    """Do nothing with a message."""


def fail_operation(operation: Operation, error: Exception) -> None:
    """End an operation that its transport has lost and that is not sent again."""
    operation.fail(error)


@asynccontextmanager
async def interruptible_by(future: asyncio.Future[Any]) -> AsyncGenerator[None]:
    """Leave the body where it waits when a future is done."""
    is_inside = True

    def interrupt(_: object) -> None:
        if is_inside:
            scope.reschedule(0)

    scope = asyncio.timeout(None)
    try:
        async with scope:
            future.add_done_callback(interrupt)
            try:
                yield
            finally:
                is_inside = False
                future.remove_done_callback(interrupt)
    except TimeoutError:
        if not scope.expired():
            raise


class Reader:
    """Reads a transport for everything that waits for messages.

    It has no task of its own: one of the waiting calls reads for all, then the next one does. So
    a program that never closes its client leaves nothing behind.

    Args:
        receive: waits for the next message.
        deliver: called with each message, in order; what it returns is awaited, if anything.
    """

    def __init__(
        self,
        receive: Callable[[], Awaitable[Message]],
        deliver: Callable[[Message], Awaitable[None] | None],
    ) -> None:
        self._receive = receive
        self._deliver = deliver
        self._is_reading = False
        self._next: deque[Waiting] = deque()

    async def wait(self, waiter: asyncio.Future[Any]) -> None:
        """Wait for a future that some message resolves, and read unless another does."""
        while not waiter.done():
            if self._is_reading:
                await self._follow(waiter)
            else:
                await self._lead(waiter)

    async def _lead(self, waiter: asyncio.Future[Any]) -> None:
        self._is_reading = True
        try:
            async with interruptible_by(waiter):
                while not waiter.done():
                    message = await self._receive()
                    delivered = self._deliver(message)
                    if delivered is not None:
                        await delivered
        finally:
            self._is_reading = False
            self._pass_on()

    async def _follow(self, waiter: asyncio.Future[Any]) -> None:
        promoted: Waiting = asyncio.get_running_loop().create_future()
        self._next.append(promoted)
        try:
            await asyncio.wait((waiter, promoted), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if promoted.done() and not self._is_reading:
                self._pass_on()
            promoted.cancel()

    def _pass_on(self) -> None:
        while self._next:
            promoted = self._next.popleft()
            if not promoted.done():
                promoted.set_result(None)
                return

"""One operation of one client: what runs it, and its way back to the client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

from graphql import OperationType

from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.eager import Eager
from channels_graphql_ws.execution.breathing import room_to_begin
from channels_graphql_ws.execution.documents import Document
from channels_graphql_ws.execution.request import JsonObject, Refusal, Subscribe
from channels_graphql_ws.operations.holding import Holding
from channels_graphql_ws.operations.interfaces import ActiveSubscription
from channels_graphql_ws.operations.live_places import TakenPlaces
from channels_graphql_ws.websocket.identity import is_another_user
from channels_graphql_ws.websocket.protocol import Operation

# To read a member of an `Enum` takes as long as a call.
SUBSCRIPTION: Final = OperationType.SUBSCRIPTION

_NO_SCOPE: Final[Mapping[str, Any]] = {}

NOT_KNOWN: Final = object()
"""The user of an operation that was not executed yet."""


class OperationOwner(Protocol):
    """The connection, as far as an operation needs it."""

    def ready(self) -> Awaitable[None] | None:
        """Return something to wait for before the next event, if there is need."""
        ...

    def room(self) -> Awaitable[None] | None:
        """Return something to wait for while the client reads nothing."""
        ...

    def completed(self, operation: Operation) -> None:
        """Pass on to the protocol that an operation has no more results."""

    def failed(self, operation: Operation, errors: Sequence[JsonObject], refusal: Refusal) -> None:
        """Pass on to the protocol that an operation could not be executed."""

    def confirmed(self, operation: Operation, result: str) -> None:
        """Pass on to the protocol that a subscription is live."""

    def next(self, operation: Operation, result: str) -> None:
        """Pass a result on to the protocol."""

    def next_at_once(self, operation: Operation, result: str) -> bool:
        """Send a result if nothing has to be waited for; return whether it was sent."""
        ...

    def revoke(self, reason: str) -> None:
        """Close the connection: the client may no longer have what it gets."""

    def run(self, work: Eager[None]) -> object:
        """Take steps on behalf of an operation."""

    def keep(self, client: ClientOperation, document: Document) -> None:
        """Count a document as long as the operation lasts.

        Raises:
            FullError: there is too much already.
        """

    def take_place(self, client: ClientOperation) -> None:
        """Count one more subscription.

        Raises:
            TooManyError: the client, its user or its address has as many as it may have.
        """

    @property
    def is_clear(self) -> bool:
        """Whether the client is accepted, and reads what it is sent."""
        ...

    def admission(self) -> Awaitable[None] | None:
        """Return something to wait for while the application decides on the client."""
        ...

    def finished(self, client: ClientOperation) -> None:
        """An operation has come to its end by itself, and is answered."""

    def end_of_before(self, client: ClientOperation) -> None:
        """Refuse an operation that has waited while somebody was logged in or out."""


class ClientOperation:
    """One operation of one client: what runs it, and its way back to the client.

    Attributes:
        request: what the client asked for.
        scope: what the user is read from, if the application has one.
        user: whose operation it is, as far as the hooks of the endpoint have found out.
        places: where it is counted as a subscription, if it is.
    """

    __slots__ = (
        "_connection",
        "at_end",
        "holding",
        "is_cancelled",
        "is_started",
        "is_stopping",
        "live",
        "operation",
        "places",
        "request",
        "scope",
        "task",
        "timer",
        "type",
        "user",
    )

    def __init__(self, connection: OperationOwner, operation: Operation) -> None:
        self._connection = connection
        self.operation = operation
        self.request: Subscribe = operation.request
        self.scope: Mapping[str, Any] = _NO_SCOPE
        self.user: Any = NOT_KNOWN
        self.type: OperationType | None = None
        self.task: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.live: ActiveSubscription | None = None
        self.places: TakenPlaces | None = None
        self.holding: Holding | None = None
        self.is_cancelled = False
        self.is_started = False
        self.is_stopping = False
        self.at_end: Callable[[], Eager[None]] | None = None
        """Called when it is ended from outside."""

    def keep(self, document: Document) -> None:
        """Count a large document as long as the operation lasts.

        Raises:
            FullError: there is too much already.
        """
        self._connection.keep(self, document)

    def began(self, type: OperationType) -> Awaitable[None] | None:
        """Note the type of the operation; return something to wait for, if there is need.

        Raises:
            TooManyError: there are as many subscriptions as there may be.
        """
        if type is SUBSCRIPTION and not self.is_stopping:
            self._connection.take_place(self)
        self.type = type
        if self.is_stopping and type is not SUBSCRIPTION:
            # Only subscriptions go on, for their confirmation.
            self.cancel()
        if self._connection.is_clear and not self.is_cancelled:
            return None
        return self._admission()

    def starting(self) -> Awaitable[None] | None:
        """Return something to wait for before it is executed; `None`: it is, from now on."""
        user, waiting = self.scope.get("user"), None
        if self.user is NOT_KNOWN:
            self.user = user
        elif not self.is_stopping and is_another_user(self.user, user):
            # Somebody was logged in or out while it waited.
            self._connection.end_of_before(self)
        if not self._connection.is_clear or self.is_cancelled:
            waiting = self._admission()
            if waiting is None and self.type is not SUBSCRIPTION:
                # Its result would wait, and nobody knows how large it is.
                waiting = self._connection.room()
        if waiting is None and self.type is not SUBSCRIPTION:
            # For the same reason.
            waiting = room_to_begin()
        self.is_started = waiting is None
        return waiting

    def postponed(self) -> None:
        """It is not executed yet, after all: until then it may be ended as if it had not begun."""
        self.is_started = False

    @property
    def is_running(self) -> bool:
        """Whether it has a task that has not come to its end."""
        return self.task is not None and not self.task.done()

    @property
    def is_mutating(self) -> bool:
        """Whether it is a mutation that is executed, and should not be cancelled half-way."""
        return self.type is OperationType.MUTATION and self.is_started

    @property
    def has_changed_user(self) -> bool:
        """Whether it is a mutation while which somebody was logged in or out."""
        is_mutation = self.type is OperationType.MUTATION
        return is_mutation and is_another_user(self.user, self.scope.get("user"))

    def cancel(self) -> None:
        """Cancel what is under way, and begin nothing more."""
        self.is_cancelled = True
        if self.task is not None and not self.task.done():  # pragma: no branch (it is running)
            eager.cancel(self.task)

    def _admission(self) -> Awaitable[None] | None:
        if self.is_cancelled:
            return self._admitted(None)
        waiting = self._connection.admission()
        return None if waiting is None else self._admitted(waiting)

    async def _admitted(self, waiting: Awaitable[None] | None) -> None:
        if waiting is not None:
            await waiting
        # The cancellation takes a moment to arrive.
        if self.is_cancelled:
            await asyncio.Event().wait()

    def room(self) -> Awaitable[None] | None:
        """Return something to wait for before the result, while the client reads nothing."""
        return self._connection.room()

    def subscribed(self, live: ActiveSubscription) -> None:
        """A subscription came to be: it is to be ended, whatever happens."""
        self.live = live

    def settle_with(self, task: asyncio.Task[None]) -> None:
        """Forget a task when it has come to its end: a subscription goes on without one."""
        task.add_done_callback(self._settled)

    def _settled(self, _task: asyncio.Task[None]) -> None:
        self.task = None
        self._stop_timer()

    def ended(self) -> Iterable[Any]:
        """Return the steps to take when it is ended from outside."""
        at_end = self.at_end
        self._let_go()
        return () if at_end is None else at_end()

    def ready(self) -> Awaitable[None] | None:
        """Return something to wait for before the next result, if there is need."""
        return self._connection.ready()

    def confirmed(self, result: str) -> None:
        """Send the confirmation of a live subscription."""
        self._connection.confirmed(self.operation, result)

    def run(self, work: Eager[None]) -> None:
        """Take steps on behalf of the operation."""
        self._connection.run(work)

    def next(self, result: str) -> None:
        """Send a result."""
        self._connection.next(self.operation, result)

    def next_at_once(self, result: str) -> bool:
        """Send a result if nothing has to be waited for; return whether it was sent."""
        return self._connection.next_at_once(self.operation, result)

    def completed(self) -> None:
        """Send the end of the operation."""
        self._connection.completed(self.operation)
        self._over()

    def revoke(self, reason: str) -> None:
        """Close the connection: the client may no longer have what it gets."""
        self._connection.revoke(reason)

    def failed(self, errors: Sequence[JsonObject], refusal: Refusal) -> None:
        """Send the errors of an operation that could not be executed."""
        self._connection.failed(self.operation, errors, refusal)
        self._over()

    def _over(self) -> None:
        self._connection.finished(self)
        self._let_go()

    def _let_go(self) -> None:
        """Break the reference cycles, so that memory is freed at once.

        A task that was cancelled has the frames in its traceback, and those know us.
        """
        self.live = self.at_end = self.task = None
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

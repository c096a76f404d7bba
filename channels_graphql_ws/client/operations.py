"""Operations under way: one that is answered once, and one that goes on."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Generic, Protocol, TypeAlias, TypeVar

from channels_graphql_ws.client.documents import (
    DeclaredOperation,
    Document,
    choose_operation,
    document_text,
)
from channels_graphql_ws.client.errors import GraphqlOperationError, NoDataError
from channels_graphql_ws.client.option_values import checked_mapping
from channels_graphql_ws.client.variables import json_variables
from channels_graphql_ws.exceptions import GraphqlWsClientError, RemoteProtocolError

Message: TypeAlias = dict[str, Any]
Wait: TypeAlias = Callable[["asyncio.Future[None]"], Awaitable[Any]]
"""Waits for a future that a message resolves."""

Data = TypeVar("Data")


@dataclass(frozen=True, slots=True)
class OperationRequest:
    """What a server is asked for: one operation with its variables."""

    declared: DeclaredOperation
    payload: dict[str, Any]
    files: dict[str, Any]
    """Files by their path in the payload; only HTTP can carry them."""

    @classmethod
    def build(
        cls,
        document: Document,
        variables: Mapping[str, Any] | None,
        operation_name: str | None = None,
        extensions: Mapping[str, Any] | None = None,
    ) -> OperationRequest:
        """Build the request for an operation of a document.

        Raises:
            TypeError: the document or a variable is of a type that cannot be sent.
            ValueError: the operation name is missing or wrong, or a variable means nothing.
        """
        text = document_text(document)
        declared = choose_operation(text, operation_name)
        files: dict[str, Any] = {}
        payload: dict[str, Any] = {"query": text}
        if converted := json_variables(variables, files):
            payload["variables"] = converted
        if declared.name is not None:
            payload["operationName"] = declared.name
        if extensions:
            payload["extensions"] = dict(checked_mapping("extensions", extensions))
        return cls(declared, payload, files)

    @property
    def is_mutation(self) -> bool:
        """Whether it changes something, as far as the document says so."""
        return self.declared.kind == "mutation"


class Carrier(Protocol):
    """What carries operations to the server, and their messages back."""

    async def submit(self, operation: Operation) -> None:
        """Start an operation."""
        ...

    def withdraw(self, operation: Operation) -> asyncio.Task[None] | None:
        """Stop an operation; return what tells the server, if it has to be told."""
        ...

    def wait(self, waiter: asyncio.Future[Any]) -> Awaitable[Any]:
        """Wait for a future that a message resolves."""
        ...

    def describe_wait(self) -> tuple[str, str]:
        """Return what an operation without an answer waits for, and what may be done."""
        ...


class Operation(ABC):
    """An operation under way. See `Router`, which hands it the server's messages.

    Attributes:
        id: its id on the wire.
        request: what was asked for.
        sent_on: the connection on which the request was sent, `None` if it was not yet.
        replayable: whether it may be sent again on a new connection.
        failures: how often in a row it failed on its own, as operations over HTTP do.
    """

    __slots__ = ("failures", "id", "replayable", "request", "sent_on")

    def __init__(self, id: str, request: OperationRequest, *, replayable: bool) -> None:
        self.id = id
        self.request = request
        self.replayable = replayable
        self.sent_on: object | None = None
        self.failures = 0

    def payload(self) -> dict[str, Any]:
        """Return the payload that starts the operation."""
        return self.request.payload

    def start_message(self, start_type: str) -> Message:
        """Return the message that starts the operation, in the word of a dialect."""
        message = {"type": start_type, "id": self.id, "payload": self.payload()}
        if self.request.files:
            message["files"] = self.request.files
        return message

    @property
    def is_pressed(self) -> bool:
        """Whether the consumer should run before the next result is read."""
        return False

    @abstractmethod
    def next(self, message: Message) -> bool:
        """Take a result; return whether no more are wanted."""

    @abstractmethod
    def complete(self) -> None:
        """Take the end."""

    @abstractmethod
    def fail(self, error: Exception) -> None:
        """Take what ended the operation."""

    def refused(self, message: Message) -> None:
        """Take the server's `error`."""
        self.fail(GraphqlOperationError(message, str(self)))

    def close(self, error: Exception) -> None:
        """End because the client was closed."""
        self.fail(error)

    def __str__(self) -> str:
        """Return how errors name the operation."""
        return str(self.request.declared)


class SingleResult(Operation):
    """A query or a mutation: its answer is one result.

    Attributes:
        answer: the message with the result.
    """

    __slots__ = ("answer",)

    def __init__(
        self,
        id: str,
        request: OperationRequest,
        answer: asyncio.Future[Message],
        *,
        replayable: bool,
    ) -> None:
        super().__init__(id, request, replayable=replayable)
        self.answer = answer

    def next(self, message: Message) -> bool:
        """Take the one result."""
        payload = message.get("payload")
        if not isinstance(payload, dict):
            self.fail(_no_result(self, message))
        elif payload.get("hasNext"):
            self.fail(
                RemoteProtocolError(
                    f"{self} is answered in several parts (@defer, @stream); "
                    "use subscription(), which gives each part"
                )
            )
        elif not self.answer.done():
            self.answer.set_result(message)
        return True

    def complete(self) -> None:
        """Fail: an answer was due."""
        self.fail(RemoteProtocolError(f"{self} was completed without a result"))

    def fail(self, error: Exception) -> None:
        """Raise an error in the caller that waits for the answer."""
        if not self.answer.done():
            self.answer.set_exception(error)


@dataclass(frozen=True, slots=True)
class Gap:
    """Events of a subscription were lost, or may have been, before the one that says so.

    Attributes:
        missed: how many, `None` if unknown.
        reason: "queue full" (this program was too slow), "slow" or "layer" (the server lost
            them), "reconnected" (the connection was away, and the server keeps no history),
            "not recovered" (the server has a history, but no longer so much of it).
    """

    missed: int | None
    reason: str


@dataclass(slots=True)
class SubscriptionEvent(Generic[Data]):
    """What a subscription brings: `event["field"]` is short for `event.data["field"]`.

    Attributes:
        data: the data, `None` if the event only has errors or only tells of a gap.
        errors: as the server sent them, each an object; empty if there are none.
        extensions: of the result, empty if there are none.
        gap: set if events were lost before this one.
    """

    data: Data
    errors: Sequence[Any] = ()
    extensions: Mapping[str, Any] = field(default_factory=dict[str, Any])
    gap: Gap | None = None

    @property
    def cursor(self) -> str | None:
        """Where the subscription stands; `subscription(cursor=…)` goes on from there."""
        return self.extensions.get("cursor")

    @property
    def recovered(self) -> bool | None:
        """Whether the server had all events since the cursor; `None` if it was not asked."""
        return self.extensions.get("recovered")

    def __getitem__(self, name: str) -> Any:
        """Return a field of the data.

        Raises:
            NoDataError: the event has no data; the text says what it has instead.
        """
        if self.data is None:
            raise NoDataError(self._without_data())
        data: Any = self.data
        return data[name]

    def _without_data(self) -> str:
        if self.errors:
            return f"The event brings errors and no data: {self.errors!r}. Look at event.errors"
        if self.gap is not None:
            return (
                f"Events were lost ({self.gap.reason}), which this event tells and no more. "
                "Look at event.gap, and load anew what you need"
            )
        return "The event has no data. Look at event.data"


class LiveSubscription(Operation):
    """A subscription: its events wait in a bounded queue until they are taken.

    Args:
        id: its id on the wire.
        request: what is asked for.
        limit: events that may wait; then the oldest gives way.
        cursor: where an earlier subscription stood.
        confirms: the first result only confirms the subscription, and is not an event.

    Attributes:
        cursor: where the subscription stands; sent along when it is sent again.
    """

    __slots__ = (
        "_awaited",
        "_confirms",
        "_end",
        "_events",
        "_gap",
        "_has_begun",
        "_limit",
        "_waiter",
        "cursor",
    )

    def __init__(
        self,
        id: str,
        request: OperationRequest,
        *,
        limit: int,
        cursor: str | None = None,
        confirms: bool = False,
    ) -> None:
        super().__init__(id, request, replayable=True)
        self.cursor = cursor
        self._confirms = confirms
        self._limit = limit
        self._events: deque[SubscriptionEvent[Any]] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._end: Exception | None = None
        self._gap: Gap | None = None
        self._has_begun = False
        # Something is still to be learned from the first result on this connection.
        self._awaited = confirms or cursor is not None

    @property
    def is_over(self) -> bool:
        """Whether it has ended, though events may still wait."""
        return self._end is not None

    @property
    def is_confirmed(self) -> bool:
        """Whether the server has confirmed, or cannot any more."""
        return not (self._confirms and self._awaited) or self._end is not None

    def payload(self) -> dict[str, Any]:
        """Return the payload, with the cursor if there is one."""
        was_sent = self.sent_on is not None
        self._awaited = self._confirms or self.cursor is not None
        if self.cursor is None:
            # What was not confirmed yet had not begun, so nothing of it was lost.
            if was_sent and (self._has_begun or not self._confirms):
                self._gap = Gap(None, "reconnected")
            return self.request.payload
        # Cleared when the server reports that it has recovered.
        self._gap = Gap(None, "not recovered")
        given = self.request.payload.get("extensions", {})
        return {**self.request.payload, "extensions": {**given, "cursor": self.cursor}}

    def next(self, message: Message) -> bool:
        """Queue an event; a result that only confirms is dropped."""
        payload = message.get("payload")
        if type(payload) is not dict:
            self.fail(_no_result(self, message))
            return True
        get = payload.get
        # Not `SubscriptionEvent[Any]`, which takes as long as all the rest.
        event: SubscriptionEvent[Any] = SubscriptionEvent(
            get("data"), get("errors") or _NO_ERRORS, get("extensions") or _NO_EXTENSIONS
        )
        if event.errors or event.extensions:
            if type(event.errors) not in _LISTS or type(event.extensions) not in _OBJECTS:
                self.fail(_no_result(self, message))
                return True
            self._read_extensions(event)
        if self._awaited or self._gap is not None:
            if self._is_confirmation(event):
                return False
            event.gap, self._gap = _joined(self._gap, event.gap), None
        events = self._events
        if len(events) >= self._limit:
            self._drop_oldest(event)
        events.append(event)
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        return False

    @property
    def is_pressed(self) -> bool:
        """Whether the queue is nearly full only because its consumer has not run yet."""
        waiter = self._waiter
        return len(self._events) * 2 >= self._limit and waiter is not None and waiter.done()

    def complete(self) -> None:
        """End without an error."""
        self._finish(StopAsyncIteration())

    def close(self, error: Exception) -> None:
        """End without an error: closing the client ends its subscriptions."""
        del error
        self.complete()

    def fail(self, error: Exception) -> None:
        """End with an error, which is raised behind the events that wait."""
        self._finish(error)

    def take_now(self) -> SubscriptionEvent[Any] | None:
        """Return the event that waits longest, `None` if none does."""
        return self._events.popleft() if self._events else None

    async def take(self, wait: Wait) -> SubscriptionEvent[Any]:
        """Return the next event, waiting for it if there is none.

        Raises:
            StopAsyncIteration: the subscription is over.
            GraphqlWsClientError: another task waits for events of this subscription.
        """
        while (event := self.take_now()) is None:
            if self._end is not None:
                error, self._end = self._end, StopAsyncIteration()
                raise error.with_traceback(None)
            await self._wait(wait)
        return event

    async def confirmed(self, wait: Wait) -> None:
        """Wait until the server has confirmed, or cannot any more."""
        while not self.is_confirmed:
            await self._wait(wait)
        if self._end is not None and not isinstance(self._end, StopAsyncIteration):
            raise self._end.with_traceback(None)

    async def _wait(self, wait: Wait) -> None:
        if self._waiter is not None:
            raise GraphqlWsClientError(
                "Another task waits for the events of this subscription already; subscribe twice, "
                "or hand the events on"
            )
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await wait(self._waiter)
        finally:
            self._waiter = None

    def _read_extensions(self, event: SubscriptionEvent[Any]) -> None:
        cursor = event.extensions.get("cursor")
        if isinstance(cursor, str):
            self.cursor = cursor
        if event.extensions.get("recovered") is True:
            self._gap = None
        gap = event.extensions.get("gap")
        if isinstance(gap, dict):
            missed = gap.get("missed")
            event.gap = Gap(missed if isinstance(missed, int) else None, str(gap.get("reason")))

    def _is_confirmation(self, event: SubscriptionEvent[Any]) -> bool:
        """Take the first result on a connection; return whether it is not an event."""
        self._has_begun = True
        is_first, self._awaited = self._awaited, False
        if is_first and self._confirms and not event.errors:
            self._wake()
            return True
        return False

    def _drop_oldest(self, event: SubscriptionEvent[Any]) -> None:
        """Make room for an event; the one that is next then tells of the gap."""
        dropped = self._events.popleft()
        first = self._events[0] if self._events else event
        first.gap = _joined(_joined(dropped.gap, Gap(1, "queue full")), first.gap)

    def _finish(self, end: Exception) -> None:
        if self._end is None:
            self._end = end
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


_LISTS: Final = frozenset({list, tuple})
_OBJECTS: Final = frozenset({dict, MappingProxyType})
_NO_ERRORS: Final[Sequence[Any]] = ()
_NO_EXTENSIONS: Final[Mapping[str, Any]] = MappingProxyType({})


def _joined(first: Gap | None, second: Gap | None) -> Gap | None:
    """Return what two gaps are together."""
    if first is None or second is None:
        return first or second
    if first.missed is None or second.missed is None:
        return Gap(None, first.reason)
    return Gap(first.missed + second.missed, first.reason)


def _no_result(operation: Operation, message: Message) -> RemoteProtocolError:
    name = str(operation)
    return RemoteProtocolError(
        f"Expected a result of {name[0].lower()}{name[1:]}, the server sent {message!r}"
    )

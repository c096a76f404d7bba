"""What may be said when: a state machine without I/O, clock or event loop.

Every method takes one thing that happened and returns the effects which the
connection carries out, in order. The rules are those of GraphQL over WebSocket
(https://github.com/graphql/graphql-over-http, and the document of the npm package
`graphql-ws`); where the legacy protocol differs, the `Subprotocol` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar, TypeAlias

from channels_graphql_ws.exceptions import InvalidMessageError, UnknownMessageTypeError
from channels_graphql_ws.execution.request import JsonObject, OperationId, Refusal, Subscribe
from channels_graphql_ws.websocket import messages
from channels_graphql_ws.websocket.messages import CloseCode
from channels_graphql_ws.websocket.subprotocols import Subprotocol, complete_frame, parse

REASON_LIMIT = 123
"""Bytes of UTF-8 that fit a close frame beside its code (RFC 6455, section 5.5)."""

HELD_LIMIT = 1_000
"""Operations that the legacy protocol may send ahead of the acknowledgement.

Its client does so whenever it reconnects, with every operation that is still wanted.
"""

HELD_CHARACTERS = 1_000_000
"""Room for them, as nobody knows yet who this client is; a single one may be longer."""


SERVICE_RESTART = "Service restart"
"""The reason of a close that asks the client to connect again."""


class State(Enum):
    """How far the connection has come."""

    OPENED = auto()
    INITIALISING = auto()
    READY = auto()
    CLOSED = auto()


class Phase(Enum):
    """How far an operation has come."""

    LIVE = auto()
    STOPPING = auto()
    """The client has stopped it; at most our `complete` is still to be sent."""
    ENDED = auto()


# To read a member of an `Enum` takes as long as a call.
_INITIALISING, _READY, _CLOSED = State.INITIALISING, State.READY, State.CLOSED
_LIVE, _STOPPING, _ENDED = Phase.LIVE, Phase.STOPPING, Phase.ENDED


@dataclass(slots=True, eq=False)
class Operation:
    """One query, mutation or subscription, told apart from others of the same id."""

    request: Subscribe
    next_prefix: str
    phase: Phase = _LIVE

    @property
    def id(self) -> OperationId:
        """The client's name for it."""
        return self.request.id


@dataclass(slots=True)
class Send:
    """Send a text frame."""

    frame: str


@dataclass(frozen=True, slots=True)
class Close:
    """Close the socket and stop everything."""

    code: CloseCode
    reason: str


@dataclass(frozen=True, slots=True)
class Initialize:
    """Ask the application whether the client may come in."""

    payload: Any


@dataclass(slots=True)
class Execute:
    """Start an operation."""

    operation: Operation


@dataclass(slots=True)
class Cancel:
    """Stop an operation at the client's wish, then report `stopped`."""

    operation: Operation


@dataclass(frozen=True, slots=True)
class Pinged:
    """Ask the application for an answer to a ping, then report `ping_answered`."""

    payload: JsonObject | None


@dataclass(frozen=True, slots=True)
class Ponged:
    """Tell the application of a pong."""

    payload: JsonObject | None


Effect: TypeAlias = Send | Close | Initialize | Execute | Cancel | Pinged | Ponged


class ServerProtocol:
    """The server's side of one connection.

    Args:
        subprotocol: the dialect that was agreed on.
        max_message_size: longest message from the client, in characters.
        max_operations: operations that may be under way at once.
        answers_complete: answer the client's `complete` with one of our own.
        asks_about_pings: let the application answer pings.
        tells_of_pongs: let the application hear of pongs.
    """

    def __init__(
        self,
        subprotocol: Subprotocol,
        *,
        max_message_size: int | None = None,
        max_operations: int | None = None,
        answers_complete: bool = True,
        asks_about_pings: bool = False,
        tells_of_pongs: bool = False,
    ) -> None:
        self.subprotocol = subprotocol
        self.state = State.OPENED
        self._max_message_size = max_message_size
        self._max_operations = max_operations
        self._answers_complete = answers_complete
        self._operations: dict[OperationId, Operation] = {}
        # Stopped by the client, but not at their end: no two of them have the same id.
        self._stopping: dict[OperationId, Operation] = {}
        self._held: dict[OperationId, Subscribe] = {}
        self._held_characters = 0
        self._takes_operations = True
        self._frame_length = 0
        self._asks_about_pings = asks_about_pings
        self._tells_of_pongs = tells_of_pongs

    def received(self, frame: str | bytes | None) -> list[Effect]:
        """Take a frame as it came from the socket."""
        if self.state is _CLOSED:
            return []
        limit, length = self._max_message_size, 0 if frame is None else len(frame)
        if limit is not None and length > limit:
            return self._bad_request(f"Message is larger than {limit} characters")
        try:
            content = parse(frame)
        except InvalidMessageError as error:
            return self._bad_request(str(error))
        self._frame_length = length
        return self.received_json(content)

    def received_json(self, content: object) -> list[Effect]:
        """Take a frame that has been decoded by somebody else."""
        if self.state is _CLOSED:
            return []
        try:
            message = self.subprotocol.decode(content)
        except UnknownMessageTypeError as error:
            return self._unknown_type(error)
        except InvalidMessageError as error:
            return self._bad_request(str(error))
        return self._ANSWERS[type(message)](self, message)

    def accepted(self, payload: JsonObject | None) -> list[Effect]:
        """The application lets the client in; `payload` goes with our answer."""
        if self.state is not _INITIALISING:
            return []
        self.state = _READY
        effects = self._send(messages.ConnectionAck(payload))
        held, self._held = list(self._held.values()), {}
        self._held_characters = 0
        for message in held:
            effects += self._subscribe(message)
        return effects

    def rejected(self, error: JsonObject, reason: str = "Forbidden") -> list[Effect]:
        """The application does not let the client in."""
        if self.state is not _INITIALISING:
            return []
        farewell = self._send(messages.ConnectionError(error))
        return [*farewell, *self._close(self.subprotocol.rejection_code, reason)]

    @staticmethod
    def next(operation: Operation, result: str) -> str | None:
        """An operation has a result; `result` is its JSON text.

        Returns:
            The frame to send, `None` if there is nothing to be said any more. That is all
            that may come of it, and no other way is gone so often.
        """
        if operation.phase is not _LIVE:
            return None
        return f"{operation.next_prefix}{result}}}"

    @staticmethod
    def confirmed(operation: Operation, result: str) -> str | None:
        """A subscription is live; gives the frame to send, if there is one, as `next` does.

        Said to a client that has stopped it meanwhile, too: who asked for confirmations
        counts on one in front of every `complete`.
        """
        if operation.phase is _ENDED:
            return None
        return f"{operation.next_prefix}{result}}}"

    def completed(self, operation: Operation) -> list[Effect]:
        """An operation has no more results."""
        return self._end(operation, messages.Complete(operation.id))

    def failed(
        self, operation: Operation, errors: Sequence[JsonObject], refusal: Refusal
    ) -> list[Effect]:
        """An operation could not be executed."""
        return self._end(operation, messages.Error(operation.id, errors, refusal))

    def stopped(self, operation: Operation, *, was_subscription: bool) -> str | None:
        """What was to be cancelled has come to its end; gives a frame to send, or nothing."""
        if operation.phase is not _STOPPING:
            return None
        id = operation.request.id
        del self._stopping[id]
        operation.phase = _ENDED
        return complete_frame(id) if was_subscription and self._answers_complete else None

    def ping_answered(self, payload: JsonObject | None) -> list[Effect]:
        """The application has an answer to a ping."""
        return [] if self.state is _CLOSED else self._pong(payload)

    def ping_due(self, payload: JsonObject | None = None) -> list[Effect]:
        """It is time to show the client that we are there."""
        if self.state is not _READY:
            return []
        return self._send(messages.Ping(payload))

    def init_timed_out(self) -> list[Effect]:
        """No `connection_init` came in time."""
        if self.state is not State.OPENED:
            return []
        return self._close(CloseCode.TIMEOUT, "Connection initialisation timeout")

    def pong_timed_out(self) -> list[Effect]:
        """Nothing at all came since a ping."""
        if self.state is _CLOSED:
            return []
        return self._close(CloseCode.TIMEOUT, "Pong timeout")

    def crashed(self) -> list[Effect]:
        """Something broke that is not the client's fault."""
        if self.state is _CLOSED:
            return []
        return self._close(CloseCode.INTERNAL_ERROR, "Internal server error")

    def shutting_down(self) -> None:
        """The server is about to go: nothing more is begun.

        Who is not answered begins anew after the close; an `error` would be the end of it.
        """
        self._takes_operations = False

    def shut_down(self, *, completes: bool) -> list[Effect]:
        """The server goes; with `completes`, tell the client that it has had everything."""
        if self.state is _CLOSED:
            return []
        farewell = [messages.Complete(id) for id in self._operations] if completes else []
        effects = [effect for message in farewell for effect in self._send(message)]
        return [*effects, *self._close(CloseCode.SERVICE_RESTART, SERVICE_RESTART)]

    def socket_closed(self) -> None:
        """The client is gone: nothing may be said any more."""
        self._end_all()

    def _connection_init(self, message: messages.ConnectionInit) -> list[Effect]:
        again = self.state is _READY and self.subprotocol.allows_second_init
        if self.state is not State.OPENED and not again:
            return self._close(
                CloseCode.TOO_MANY_INITIALISATION_REQUESTS, "Too many initialisation requests"
            )
        self.state = _INITIALISING
        return [Initialize(message.payload)]

    def _subscribe(self, message: Subscribe) -> list[Effect]:
        if self.state is _INITIALISING and self.subprotocol.holds_until_ack:
            return self._hold(message)
        if self.state is not _READY:
            return self._close(CloseCode.UNAUTHORIZED, "Unauthorized")
        if not self._takes_operations:
            return []
        if message.id in self._operations:
            return self._duplicate(message.id)
        if self._max_operations is not None and len(self._operations) >= self._max_operations:
            return self._too_many(message.id)
        # From here on, a word about an older operation would be taken for one about this.
        older = self._stopping.pop(message.id, None)
        if older is not None:
            older.phase = _ENDED
        operation = Operation(message, self.subprotocol.next_prefix(message.id))
        self._operations[message.id] = operation
        return [Execute(operation)]

    def _too_many(self, id: OperationId) -> list[Effect]:
        error = {"message": f"More than {self._max_operations} operations on one connection"}
        return self._send(messages.Error(id, [error], Refusal.OPERATION))

    def _complete(self, message: messages.Complete) -> list[Effect]:
        if self._held.pop(message.id, None) is not None:
            return [Send(complete_frame(message.id))] if self._answers_complete else []
        # It may cross our own `complete` on the wire, so an unknown id is no error.
        operation = self._operations.pop(message.id, None)
        if operation is None:
            return []
        operation.phase = _STOPPING
        self._stopping[message.id] = operation
        return [Cancel(operation)]

    def _ping(self, message: messages.Ping) -> list[Effect]:
        if self._asks_about_pings:
            return [Pinged(message.payload)]
        return self._pong(message.payload)

    def _ponged(self, message: messages.Pong) -> list[Effect]:
        return [Ponged(message.payload)] if self._tells_of_pongs else []

    def _connection_terminate(self, _message: messages.ConnectionTerminate) -> list[Effect]:
        return self._close(CloseCode.NORMAL, "")

    def _pong(self, payload: JsonObject | None) -> list[Effect]:
        try:
            return self._send(messages.Pong(payload))
        # What can be read is not always shallow enough to be yield_to_server.
        except RecursionError:
            return self._bad_request("'payload' of 'ping' is nested too deeply")

    def _hold(self, message: Subscribe) -> list[Effect]:
        # A second `connection_init` finds operations of the first that are live.
        if message.id in self._held or message.id in self._operations:
            return self._duplicate(message.id)
        characters = self._held_characters + self._frame_length
        is_full = len(self._held) == HELD_LIMIT or characters > HELD_CHARACTERS
        if self._held and is_full:
            return self._bad_request("Too many operations before the acknowledgement")
        self._held[message.id] = message
        self._held_characters = characters
        return []

    def _duplicate(self, id: OperationId) -> list[Effect]:
        if not self.subprotocol.tolerates_duplicate_ids:
            return self._close(
                CloseCode.SUBSCRIBER_ALREADY_EXISTS, f"Subscriber for {id} already exists"
            )
        error = {"message": f"Subscription with msg_id={id} already exists!"}
        return self._send(messages.Error(id, [error], Refusal.DUPLICATE))

    def _unknown_type(self, error: UnknownMessageTypeError) -> list[Effect]:
        if not self.subprotocol.tolerates_unknown_types:
            return self._bad_request(str(error))
        # Word for word what clients of the legacy protocol have always been told.
        answer = {
            "message": f"Exception: Wrong message type '{error.type}'!",
            "extensions": {"code": "Exception"},
        }
        return self._send(messages.Error(error.id, [answer], Refusal.OPERATION))

    def _end(self, operation: Operation, message: messages.FromServer) -> list[Effect]:
        """Free the id where the decision falls, before anything is sent."""
        if operation.phase is not _LIVE:
            return []
        # An error that has no JSON form raises here: the operation may still end otherwise.
        effects = self._send(message)
        del self._operations[operation.id]
        operation.phase = _ENDED
        return effects

    def _send(self, message: messages.FromServer) -> list[Effect]:
        return [Send(frame) for frame in self.subprotocol.encode(message)]

    def _bad_request(self, reason: str) -> list[Effect]:
        return self._close(CloseCode.BAD_REQUEST, reason)

    def _close(self, code: CloseCode, reason: str) -> list[Effect]:
        self._end_all()
        return [Close(code, cut(reason))]

    def _end_all(self) -> None:
        self.state = _CLOSED
        for operation in (*self._operations.values(), *self._stopping.values()):
            operation.phase = _ENDED
        self._operations.clear()
        self._stopping.clear()
        self._held.clear()

    _ANSWERS: ClassVar[Mapping[type, Callable[[Any, Any], list[Effect]]]] = {
        Subscribe: _subscribe,
        messages.Complete: _complete,
        messages.Ping: _ping,
        messages.Pong: _ponged,
        messages.ConnectionInit: _connection_init,
        messages.ConnectionTerminate: _connection_terminate,
    }


def cut(reason: str) -> str:
    """Shorten a close reason to what a close frame can carry, on a character."""
    return reason.encode(errors="replace")[:REASON_LIMIT].decode(errors="ignore")

"""Decide what is sent and done: a state machine without I/O, clock or event loop.

Every method takes one thing that has happened, and returns the effects that the
connection carries out, in order. The rules are those of GraphQL over WebSocket
(https://github.com/graphql/graphql-over-http, and the document of the npm package
`graphql-ws`); where the legacy protocol differs, the `Subprotocol` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, ClassVar, Final, TypeAlias

from channels_graphql_ws.exceptions import InvalidMessageError, UnknownMessageTypeError
from channels_graphql_ws.execution.request import JsonObject, OperationId, Refusal, Subscribe
from channels_graphql_ws.json_text import dumps
from channels_graphql_ws.operations.sizes import (
    BYTES_FOR_CONTAINER,
    has_too_many_containers,
    is_longer,
    least,
    memory_of,
    memory_of_json,
    memory_of_operation,
    most_containers,
)
from channels_graphql_ws.websocket import messages
from channels_graphql_ws.websocket.messages import CloseCode
from channels_graphql_ws.websocket.subprotocols import Subprotocol, complete_frame, parse

REASON_LIMIT = 123
"""Bytes of UTF-8 that fit a close frame beside its code (RFC 6455, section 5.5)."""

HELD_LIMIT = 1_000
"""Operations that the legacy protocol may send ahead of the acknowledgement.

Its client does so whenever it reconnects, with every operation that is still wanted.
"""

HELD_BYTES = 2_097_152
"""Bytes that they may take, as the client is not accepted yet; a single one may be longer."""

LEAST_FOR_INIT: Final = 65_536
"""Bytes of memory, estimated, that the message `connection_init` may take in any case. Else it may
take twice the bytes that it may have: it is kept as long as the connection, of which there are
hundreds."""

LITTLE: Final = 1_048_576
"""Bytes of memory that operations may take besides a single one that is larger than all may be."""

EARLY_PINGS = 32
"""Pings that a client may send before it is acknowledged."""


TOO_MUCH_WAITS = "Other large messages of this client are waiting: try again later"
"""The reason of a close because of messages that wait to be decoded."""

SERVICE_RESTART = "Service restart"
"""The reason of a close that asks the client to connect again."""


class State(Enum):
    """The state of a connection."""

    OPENED = auto()
    INITIALISING = auto()
    READY = auto()
    CLOSED = auto()


class Phase(Enum):
    """The state of an operation."""

    LIVE = auto()
    STOPPING = auto()
    """The client has stopped it; at most our `complete` is still to be sent."""
    ENDED = auto()


# Reading a member of an `Enum` takes as long as a call.
_INITIALISING, _READY, _CLOSED = State.INITIALISING, State.READY, State.CLOSED
_LIVE, _STOPPING, _ENDED = Phase.LIVE, Phase.STOPPING, Phase.ENDED


@dataclass(slots=True, eq=False)
class Operation:
    """One query, mutation or subscription, told apart from others of the same id."""

    request: Subscribe
    next_prefix: str
    phase: Phase = _LIVE
    size: int = 0
    """About how many bytes its message takes in memory."""

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
    """Begin an operation."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtocolSettings:
    """Options that decide on messages: each field is the option of its name."""

    answer_complete: bool = True
    max_message_size: int | None = None
    max_message_size_before_ack: int | None = None
    max_operations_in_flight: int | None = None
    max_bytes_in_flight: int | None = None
    max_ping_size: int | None = None


_NO_LIMITS: Final = ProtocolSettings()


class ServerProtocol:
    """The server's side of one connection.

    Args:
        subprotocol: the dialect that was agreed on.
        settings: limits and options.
        asks_about_pings: let the application answer pings.
        tells_of_pongs: let the application know of pongs.
    """

    __slots__ = (
        "_asks_about_pings",
        "_early_pings",
        "_held",
        "_held_bytes",
        "_operations",
        "_settings",
        "_source",
        "_stopping",
        "_takes_operations",
        "_tells_of_pongs",
        "_was_accepted",
        "max_message_size",
        "size",
        "state",
        "subprotocol",
    )

    def __init__(
        self,
        subprotocol: Subprotocol,
        settings: ProtocolSettings = _NO_LIMITS,
        *,
        asks_about_pings: bool = False,
        tells_of_pongs: bool = False,
    ) -> None:
        self.subprotocol = subprotocol
        self.state = State.OPENED
        self.size = 0
        """About how many bytes the messages of all operations take that are under way."""
        limits = settings.max_message_size, settings.max_message_size_before_ack
        self.max_message_size = least(*limits)
        """How many bytes a message may have now: fewer before the acknowledgement."""
        self._settings = settings
        self._operations: dict[OperationId, Operation] = {}
        # Stopped by the client, but not at their end: no two of them have the same id.
        self._stopping: dict[OperationId, Operation] = {}
        self._held: dict[OperationId, tuple[Subscribe, int]] = {}
        self._held_bytes = 0
        self._takes_operations = True
        self._was_accepted = False
        self._early_pings = 0
        # The current message: its text, or its value if it was decoded elsewhere.
        self._source: object = None
        self._asks_about_pings = asks_about_pings
        self._tells_of_pongs = tells_of_pongs

    @property
    def limits_of_server(self) -> tuple[int | None, int | None]:
        """How many bytes a message may have that the server reads, now and later.

        Where a client need not wait for the acknowledgement, the server reads now what is taken
        after it.
        """
        later = self._settings.max_message_size
        return later if self.subprotocol.holds_until_ack else self.max_message_size, later

    def received(self, frame: str | bytes | None) -> list[Effect]:
        """Take a frame as it came from the socket."""
        if self.state is _CLOSED:
            return []
        limit = self.max_message_size
        # Most are much shorter.
        if frame and limit is not None and BYTES_FOR_CONTAINER * len(frame) > limit:
            problem = self.problem_of(frame)
            if problem is not None:
                return self._bad_request(problem)
        try:
            content = parse(frame)
        except InvalidMessageError as error:
            return self._bad_request(str(error))
        return self._take(content, frame)

    def problem_of(self, frame: str | bytes | None) -> str | None:
        """Return why a frame is too large to be decoded; `None` if it is not."""
        limit = self.max_message_size
        is_early = limit != self._settings.max_message_size
        when = " before the acknowledgement" if is_early else ""
        if is_longer(frame, limit):
            return f"Message is larger than {limit} bytes{when}"
        if isinstance(frame, str) and has_too_many_containers(frame, limit):
            return f"Message has more than {most_containers(limit)} objects and arrays{when}"
        return None

    def received_json(self, content: object) -> list[Effect]:
        """Take a message that was decoded elsewhere."""
        if self.state is _CLOSED:
            return []
        return self._take(content, content)

    def _take(self, content: object, source: object) -> list[Effect]:
        try:
            message = self.subprotocol.decode(content)
        except UnknownMessageTypeError as error:
            return self._unknown_type(error)
        except InvalidMessageError as error:
            return self._bad_request(str(error))
        self._source = source
        try:
            return self._ANSWERS[type(message)](self, message)
        finally:
            self._source = None

    def accepted(self, payload: JsonObject | None) -> list[Effect]:
        """The application lets the client in; `payload` goes with our answer.

        What was held begins with `next_held`, before anything more is received: there may be so
        much of it that other clients would have to wait.
        """
        if self.state is not _INITIALISING:
            return []
        self.state, self._was_accepted = _READY, True
        self.max_message_size = self._settings.max_message_size
        return self._send(messages.ConnectionAck(payload))

    @property
    def has_held(self) -> bool:
        """Whether operations that came before the acknowledgement are to begin now."""
        return self.state is _READY and bool(self._held)

    def next_held(self) -> list[Effect]:
        """Begin the first operation of those that came before the acknowledgement, if any."""
        if not self.has_held:
            return []
        message, size = self._held.pop(next(iter(self._held)))
        self._held_bytes -= size
        return self._begin(message, size)

    def rejected(self, error: JsonObject, reason: str = "Forbidden") -> list[Effect]:
        """The application does not let the client in."""
        if self.state is not _INITIALISING:
            return []
        answer = self._send(messages.ConnectionError(error))
        return [*answer, *self._close(self.subprotocol.rejection_code, reason)]

    @staticmethod
    def next(operation: Operation, result: str) -> str | None:
        """An operation has a result; `result` is its JSON text.

        Returns:
            The frame, not a list of effects: this is the hottest path. `None` if nothing
            may be said any more.
        """
        if operation.phase is not _LIVE:
            return None
        return f"{operation.next_prefix}{result}}}"

    @staticmethod
    def confirmed(operation: Operation, result: str) -> str | None:
        """A subscription is live; returns the frame to send, if any, as `next` does.

        Said to a client that has stopped it meanwhile, too: with confirmations, there is one
        in front of every `complete`.
        """
        if operation.phase is _ENDED:
            return None
        return f"{operation.next_prefix}{result}}}"

    def completed(self, operation: Operation) -> str | None:
        """An operation has no more results; returns the frame to send, if any, as `next` does."""
        if operation.phase is not _LIVE:
            return None
        self._end(operation)
        return self.subprotocol.complete_after(operation.next_prefix)

    def failed(
        self, operation: Operation, errors: Sequence[JsonObject], refusal: Refusal
    ) -> list[Effect]:
        """An operation could not be executed."""
        if operation.phase is not _LIVE:
            return []
        # An error that has no JSON form raises here: the operation may still end otherwise.
        effects = self._send(messages.Error(operation.id, errors, refusal))
        self._end(operation)
        return effects

    def stopped(self, operation: Operation, *, was_subscription: bool) -> str | None:
        """A stopped operation has come to its end; returns the frame to send, if any."""
        self.size -= operation.size
        operation.size = 0
        if operation.phase is not _STOPPING:
            return None
        del self._stopping[operation.request.id]
        operation.phase = _ENDED
        if not (was_subscription and self._settings.answer_complete):
            return None
        return self.subprotocol.complete_after(operation.next_prefix)

    def ping_answered(self, payload: JsonObject | None) -> list[Effect]:
        """The application has an answer to a ping."""
        return [] if self.state is _CLOSED else self._pong(payload)

    def ping_due(self, payload: JsonObject | None = None) -> list[Effect]:
        """A ping is due."""
        if self.state is not _READY:
            return []
        return self._send(messages.Ping(payload))

    def init_timed_out(self) -> list[Effect]:
        """No `connection_init` came in time."""
        if self.state is not State.OPENED:
            return []
        return self._close(CloseCode.TIMEOUT, "Connection initialisation timeout")

    def decision_timed_out(self) -> list[Effect]:
        """The application has not decided on the client in time."""
        if self.state is not _INITIALISING:
            return []
        return self._close(CloseCode.TIMEOUT, "Connection initialisation timeout")

    def full(self, error: JsonObject, reason: str) -> list[Effect]:
        """The application accepts the client, but a limit is reached."""
        if self.state is not _INITIALISING:
            return []
        answer = self._send(messages.ConnectionError(error))
        return [*answer, *self._close(CloseCode.TRY_AGAIN_LATER, reason)]

    def crowded(self) -> list[Effect]:
        """A large message has come while too much of its client's others waits to be read."""
        if self.state is _CLOSED:
            return []
        return self._close(CloseCode.TRY_AGAIN_LATER, TOO_MUCH_WAITS)

    def idled(self) -> list[Effect]:
        """Nothing was under way for too long."""
        return [] if self.state is _CLOSED else self._close(CloseCode.NORMAL, "Idle")

    def pong_timed_out(self) -> list[Effect]:
        """Nothing at all came since a ping."""
        if self.state is _CLOSED:
            return []
        return self._close(CloseCode.TIMEOUT, "Pong timeout")

    def stalled(self) -> list[Effect]:
        """The client has read nothing of what it was sent for too long."""
        if self.state is _CLOSED:
            return []
        return self._close(CloseCode.TIMEOUT, "Messages were not read in time")

    def revoked(self, reason: str) -> list[Effect]:
        """The client may no longer have what it gets."""
        if self.state is _CLOSED:
            return []
        return self._close(CloseCode.FORBIDDEN, reason)

    def crashed(self) -> list[Effect]:
        """Something broke that is not the client's fault."""
        if self.state is _CLOSED:
            return []
        return self._close(CloseCode.INTERNAL_ERROR, "Internal server error")

    def shutting_down(self) -> None:
        """The server is about to go: nothing more is begun.

        A client without an answer begins anew after the close; an `error` would be the end of it.
        """
        self._takes_operations = False

    def shut_down(self, *, completes: bool) -> list[Effect]:
        """The server goes; with `completes`, tell the client that it received everything."""
        if self.state is _CLOSED:
            return []
        last_words = [messages.Complete(id) for id in self._operations] if completes else []
        effects = [effect for message in last_words for effect in self._send(message)]
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
        if (problem := self._problem_of_init()) is not None:
            return self._bad_request(problem)
        self.state = _INITIALISING
        return [Initialize(message.payload)]

    def _problem_of_init(self) -> str | None:
        """Return why a `connection_init` is too large to be kept as long as the connection."""
        limit, source = self._settings.max_message_size_before_ack, self._source
        if limit is None:
            return None
        if isinstance(source, str) and is_longer(source, limit):
            return f"'connection_init' is larger than {limit} bytes"
        most = max(2 * limit, LEAST_FOR_INIT)
        size = memory_of_json(source) if isinstance(source, str) else memory_of(source, most)
        return f"'connection_init' takes more than {most} bytes of memory" if size > most else None

    def _subscribe(self, message: Subscribe) -> list[Effect]:
        is_held = self.state is _INITIALISING and self.subprotocol.holds_until_ack
        if self.state is not _READY and not is_held:
            return self._close(CloseCode.UNAUTHORIZED, "Unauthorized")
        source = self._source
        if isinstance(source, str):
            size = memory_of_operation(source, message.query)
        else:
            # With more, it may be the only one.
            size = memory_of(source, max(self._settings.max_bytes_in_flight or 0, HELD_BYTES))
        return self._hold(message, size) if is_held else self._begin(message, size)

    def _begin(self, message: Subscribe, size: int) -> list[Effect]:
        if not self._takes_operations:
            return []
        if message.id in self._operations:
            return self._duplicate(message.id)
        settings = self._settings
        most = settings.max_operations_in_flight
        if most is not None and len(self._operations) >= most:
            return self._too_many(message.id, "operations", "max_operations_in_flight", most)
        most = settings.max_bytes_in_flight
        # A single one may be as large as a message may be, beside small ones.
        if most is not None and self.size > LITTLE and self.size + size > most:
            return self._too_many(message.id, "bytes of operations", "max_bytes_in_flight", most)
        # From here on, a word about an older operation would be taken for one about this.
        older = self._stopping.pop(message.id, None)
        if older is not None:
            older.phase = _ENDED
        operation = Operation(message, self.subprotocol.next_prefix(message.id), size=size)
        self._operations[message.id] = operation
        self.size += size
        return [Execute(operation)]

    def _too_many(self, id: OperationId, what: str, option: str, most: int) -> list[Effect]:
        error = {
            "message": f"More than {most} {what} on one connection (`{option}`).",
            "extensions": {"code": "LIMIT_EXCEEDED", "limit": option, "allowed": most},
        }
        return self._send(messages.Error(id, [error], Refusal.OPERATION))

    def _complete(self, message: messages.Complete) -> list[Effect]:
        held = self._held.pop(message.id, None)
        if held is not None:
            self._held_bytes -= held[1]
            return [Send(complete_frame(message.id))] if self._settings.answer_complete else []
        # It may cross our own `complete` on the wire, so an unknown id is no error.
        operation = self._operations.pop(message.id, None)
        if operation is None:
            return []
        operation.phase = _STOPPING
        self._stopping[message.id] = operation
        return [Cancel(operation)]

    def _ping(self, message: messages.Ping) -> list[Effect]:
        if not self._was_accepted and self._settings.max_ping_size is not None:
            self._early_pings += 1
            if self._early_pings > EARLY_PINGS:
                return self._bad_request("Too many pings before the acknowledgement")
        if message.payload is not None and (problem := self._problem(message.payload, "ping")):
            return self._bad_request(problem)
        if self._asks_about_pings:
            return [Pinged(message.payload)]
        return self._pong(message.payload)

    def _ponged(self, message: messages.Pong) -> list[Effect]:
        if message.payload is not None and (problem := self._problem(message.payload, "pong")):
            return self._bad_request(problem)
        return [Ponged(message.payload)] if self._tells_of_pongs else []

    def _problem(self, payload: JsonObject, word: str) -> str | None:
        """Return what is wrong with the payload of a ping or pong: it must be small."""
        limit = self._settings.max_ping_size
        try:
            if is_longer(dumps(payload), limit):
                return f"'payload' of {word!r} is larger than {limit} bytes"
        # What can be read is not always shallow enough to be written.
        except RecursionError:
            return f"'payload' of {word!r} is nested too deeply"
        return None

    def _connection_terminate(self, _message: messages.ConnectionTerminate) -> list[Effect]:
        return self._close(CloseCode.NORMAL, "")

    def _pong(self, payload: JsonObject | None) -> list[Effect]:
        return self._send(messages.Pong(payload))

    def _hold(self, message: Subscribe, size: int) -> list[Effect]:
        # A second `connection_init` finds operations of the first that are live.
        if message.id in self._held or message.id in self._operations:
            return self._duplicate(message.id)
        is_full = len(self._held) == HELD_LIMIT or self._held_bytes + size > HELD_BYTES
        if self._held and is_full:
            return self._bad_request("Too many operations before the acknowledgement")
        self._held[message.id] = message, size
        self._held_bytes += size
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
            return self._bad_request(f"{error}{self.subprotocol.word_of_another(error.type)}")
        # Word for word what clients of the legacy protocol have always been told.
        answer = {
            "message": f"Exception: Wrong message type '{error.type}'!",
            "extensions": {"code": "Exception"},
        }
        return self._send(messages.Error(error.id, [answer], Refusal.OPERATION))

    def _end(self, operation: Operation) -> None:
        """Free the id where the decision falls, before anything is sent."""
        del self._operations[operation.request.id]
        operation.phase = _ENDED
        self.size -= operation.size
        operation.size = 0

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
            operation.size = 0
        self._operations.clear()
        self._stopping.clear()
        self._held.clear()
        self.size = self._held_bytes = 0

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

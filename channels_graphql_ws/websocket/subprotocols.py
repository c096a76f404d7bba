"""The dialects: JSON text ⇄ vocabulary, in both directions."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

from channels_graphql_ws.exceptions import InvalidMessageError, UnknownMessageTypeError
from channels_graphql_ws.execution.request import MAX_ID_LENGTH, OperationId, Refusal, Subscribe
from channels_graphql_ws.json_text import LongIntegerError, dumps, loads_from_client
from channels_graphql_ws.websocket import messages
from channels_graphql_ws.websocket.messages import CloseCode

_TOO_LARGE: Final = 10**MAX_ID_LENGTH
"""The smallest number of too many digits."""

Decoder: TypeAlias = Callable[[Mapping[str, Any]], messages.FromClient]
Encoder: TypeAlias = Callable[[Any], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subprotocol:
    """One dialect, as data.

    A message class without an encoder is one that the dialect has no word for.
    """

    name: str
    decoders: Mapping[str, Decoder]
    encoders: Mapping[type, Encoder]
    identified: frozenset[str]
    """The words that carry the id of an operation."""
    start_type: str
    """The client's word that starts an operation."""
    stop_type: str
    """The client's word that stops an operation."""
    next_type: str
    """The server's word for a result."""
    has_ping: bool
    """Either side may ping, and the other answers with a pong."""
    keep_alive_types: frozenset[str]
    """The server's words that only keep the connection alive."""
    accepts_integer_ids: bool
    """Take integers for ids and echo them."""
    expects_pong: bool
    """A peer that does not answer a ping is dead."""
    pings_at_once: bool
    """The first ping goes out with the acknowledgement."""
    allows_second_init: bool
    """A `connection_init` after the acknowledgement is decided and answered anew."""
    holds_until_ack: bool
    """Keep operations that follow `connection_init` closely until it is decided."""
    tolerates_unknown_types: bool
    """Answer an unknown `type` with an error and stay."""
    tolerates_duplicate_ids: bool
    """Answer an id that is in use with an error and stay."""
    rejection_code: CloseCode

    def decode(self, content: object) -> messages.FromClient:
        """Turn a decoded JSON value into a message.

        Raises:
            UnknownMessageTypeError: its `type` does not belong to this dialect.
            InvalidMessageError: it is not a message at all; the text says why.
        """
        if not isinstance(content, dict):
            raise InvalidMessageError("Message must be a JSON object")
        word = content.get("type")
        if not isinstance(word, str):
            raise InvalidMessageError("Message must have a string 'type'")
        if word not in self.decoders:
            raise UnknownMessageTypeError(word, self._lenient_id(content))
        if word in self.identified:
            id = content.get("id")
            if len(id) > MAX_ID_LENGTH if isinstance(id, str) else _has_too_many_digits(id):
                raise InvalidMessageError(
                    f"'id' of {word!r} is longer than {MAX_ID_LENGTH} characters"
                )
            if not (id and isinstance(id, str)) and self._lenient_id(content) is None:
                raise InvalidMessageError(f"'id' of {word!r} must be a non-empty string")
        return self.decoders[word](content)

    def encode(self, message: messages.FromServer) -> list[str]:
        """Turn a message into text frames: none where the dialect has no word."""
        encoder = self.encoders.get(type(message))
        return [] if encoder is None else encoder(message)

    def next_prefix(self, id: OperationId) -> str:
        """Everything of a `Next` in front of its payload; after it comes a `}`."""
        return f'{{"type":"{self.next_type}","id":{dumps(id)}{_PAYLOAD}'

    def complete_after(self, next_prefix: str) -> str:
        """Return the frame of a `Complete` for the operation of a `next_prefix`."""
        # The id is written there: to write it once more would take longer.
        id = next_prefix[len(self.next_type) + _BEFORE_ID : -len(_PAYLOAD)]
        return f'{{"type":"complete",{id}}}'

    def word_of_another(self, word: str) -> str:
        """Return what to add about an unknown word of a client, if another dialect has it."""
        for other in SUBPROTOCOLS:
            if word in other.decoders and other.name != self.name:
                return f": it belongs to the subprotocol {other.name!r}, this is {self.name!r}"
        return ""

    def _lenient_id(self, content: Mapping[str, Any]) -> OperationId | None:
        id = content.get("id")
        if isinstance(id, str) and id:
            return id
        # `True` is an `int` too, and equals 1.
        if self.accepts_integer_ids and type(id) is int:
            return id
        return None


_PAYLOAD: Final = ',"payload":'

_BEFORE_ID: Final = len('{"type":"",')


def _has_too_many_digits(id: object) -> bool:
    """Return whether an id is too large a number: Python reads 4,300 digits."""
    return isinstance(id, int) and abs(id) >= _TOO_LARGE


def parse(frame: str | bytes | None) -> object:
    """Read a frame as JSON.

    Raises:
        InvalidMessageError: it is not text, or not JSON.
    """
    if not isinstance(frame, str):
        raise InvalidMessageError("Message must be a text frame")
    try:
        return loads_from_client(frame)
    except LongIntegerError as error:
        raise InvalidMessageError(f"Message has {error}") from None
    except ValueError:
        raise InvalidMessageError("Message must be valid JSON") from None


def _optional_object(content: Mapping[str, Any], key: str, word: str) -> Any:
    value = content.get(key)
    return None if value is None else _object(value, key, word)


def _object(value: object, key: str, word: str) -> Any:
    if not isinstance(value, dict):
        raise InvalidMessageError(f"{key!r} of {word!r} must be an object or null")
    return value


def _connection_init(content: Mapping[str, Any]) -> messages.ConnectionInit:
    # The predecessor's client sends an empty string when it has nothing to say.
    if content.get("payload") == "":
        return messages.ConnectionInit("")
    return messages.ConnectionInit(_optional_object(content, "payload", content["type"]))


def _subscribe(content: Mapping[str, Any]) -> Subscribe:
    message = _subscribe_for_hook(content)
    if not message.has_query:
        raise InvalidMessageError(_no_query(content["type"]))
    # Nobody looks at it, and it may be large.
    message.payload = {}
    return message


def _subscribe_for_hook(content: Mapping[str, Any]) -> Subscribe:
    """Take an operation whose document may have to be looked up."""
    word, payload = content["type"], content.get("payload")
    if not isinstance(payload, dict):
        raise InvalidMessageError(f"{word!r} must have a 'payload' object")
    query = payload.get("query")
    if query is not None and not isinstance(query, str):
        raise InvalidMessageError(_no_query(word))
    operation_name = payload.get("operationName")
    if operation_name is not None and not isinstance(operation_name, str):
        raise InvalidMessageError(f"'operationName' of {word!r} must be a string or null")
    variables, extensions = payload.get("variables"), payload.get("extensions")
    return Subscribe(
        content["id"],
        query or "",
        {} if variables is None else _object(variables, "variables", word),
        # Some clients send an empty name for none.
        operation_name or None,
        None if extensions is None else _object(extensions, "extensions", word),
        payload,
        query is not None,
    )


def _no_query(word: str) -> str:
    return f"'payload' of {word!r} must have a string 'query'"


def _complete(content: Mapping[str, Any]) -> messages.Complete:
    return messages.Complete(content["id"])


def _ping(content: Mapping[str, Any]) -> messages.Ping:
    return messages.Ping(_optional_object(content, "payload", "ping"))


def _pong(content: Mapping[str, Any]) -> messages.Pong:
    return messages.Pong(_optional_object(content, "payload", "pong"))


def _connection_terminate(_: Mapping[str, Any]) -> messages.ConnectionTerminate:
    return messages.ConnectionTerminate()


def _word(type: str) -> Encoder:
    """Encode a message that is a word with an optional payload."""

    def encode(message: Any) -> list[str]:
        if message.payload is None:
            return [dumps({"type": type})]
        return [dumps({"type": type, "payload": message.payload})]

    return encode


def complete_frame(id: OperationId) -> str:
    """Return the frame of a `Complete`, the same in all dialects."""
    return f'{{"type":"complete","id":{dumps(id)}}}'


def _encode_complete(message: messages.Complete) -> list[str]:
    return [complete_frame(message.id)]


def _encode_error(message: messages.Error) -> list[str]:
    return [dumps({"type": "error", "id": message.id, "payload": list(message.errors)})]


def _encode_legacy_error(message: messages.Error) -> list[str]:
    """Send what failed in the operation itself as `data`, the rest as `error`."""
    id, errors = message.id, list(message.errors)
    if message.refusal in (Refusal.OPERATION, Refusal.INTERNAL):
        return [dumps({"type": "error", "id": id, "payload": {"errors": errors}})]
    data = dumps({"type": "data", "id": id, "payload": {"data": None, "errors": errors}})
    return [data, dumps({"type": "complete", "id": id})]


def _keep_alive(_: messages.Ping) -> list[str]:
    return [dumps({"type": "ka"})]


GRAPHQL_TRANSPORT_WS = Subprotocol(
    name="graphql-transport-ws",
    decoders={
        "connection_init": _connection_init,
        "subscribe": _subscribe,
        "complete": _complete,
        "ping": _ping,
        "pong": _pong,
    },
    encoders={
        messages.ConnectionAck: _word("connection_ack"),
        messages.Error: _encode_error,
        messages.Complete: _encode_complete,
        messages.Ping: _word("ping"),
        messages.Pong: _word("pong"),
    },
    identified=frozenset({"subscribe", "complete"}),
    start_type="subscribe",
    stop_type="complete",
    next_type="next",
    has_ping=True,
    keep_alive_types=frozenset({"ping", "pong"}),
    accepts_integer_ids=False,
    expects_pong=True,
    pings_at_once=False,
    allows_second_init=False,
    holds_until_ack=False,
    tolerates_unknown_types=False,
    tolerates_duplicate_ids=False,
    rejection_code=CloseCode.FORBIDDEN,
)
"""GraphQL over WebSocket, the protocol of the npm package `graphql-ws`."""

GRAPHQL_WS = Subprotocol(
    name="graphql-ws",
    decoders={
        "connection_init": _connection_init,
        "start": _subscribe,
        "stop": _complete,
        "connection_terminate": _connection_terminate,
    },
    encoders={
        messages.ConnectionAck: _word("connection_ack"),
        messages.ConnectionError: _word("connection_error"),
        messages.Error: _encode_legacy_error,
        messages.Complete: _encode_complete,
        messages.Ping: _keep_alive,
    },
    identified=frozenset({"start", "stop"}),
    start_type="start",
    stop_type="stop",
    next_type="data",
    has_ping=False,
    keep_alive_types=frozenset({"ka"}),
    accepts_integer_ids=True,
    expects_pong=False,
    pings_at_once=True,
    allows_second_init=True,
    holds_until_ack=True,
    tolerates_unknown_types=True,
    tolerates_duplicate_ids=True,
    rejection_code=CloseCode.LEGACY_REJECTED,
)
"""The legacy protocol of Apollo's npm package `subscriptions-transport-ws`."""

SUBPROTOCOLS = (GRAPHQL_TRANSPORT_WS, GRAPHQL_WS)
"""All dialects, the preferred one first."""


def for_hook(subprotocol: Subprotocol) -> Subprotocol:
    """Return the dialect for a server with `on_operation`.

    The hook gets all that the client sent, and may look the document up: `query` may be
    missing.
    """
    decoders = {
        word: _subscribe_for_hook if decoder is _subscribe else decoder
        for word, decoder in subprotocol.decoders.items()
    }
    return replace(subprotocol, decoders=decoders)


def choose(
    offered: Collection[str], allowed: Sequence[Subprotocol] = SUBPROTOCOLS
) -> Subprotocol | None:
    """Pick the first of the dialects allowed that the client offers."""
    for ours in allowed:
        if ours.name in offered:
            return ours
    return None


def named(names: Sequence[str], of: str) -> list[Subprotocol]:
    """Return the dialects of these names.

    Args:
        names: those that a consumer class allows.
        of: the class, for the error.

    Raises:
        ValueError: a name is not one of a subprotocol.
    """
    known = {each.name: each for each in SUBPROTOCOLS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"{of}.subprotocols: {unknown} are not among {list(known)}")
    return [known[name] for name in names]

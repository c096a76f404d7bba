"""What strangers' bytes go through, each with what must hold whatever they are.

A target takes any bytes, and raises only if the package is wrong. `tests/fuzz` feeds them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from typing import Any

from django.core.exceptions import SynchronousOnlyOperation

from channels_graphql_ws.client.event_stream import EventStreamParser
from channels_graphql_ws.exceptions import (
    PayloadDecodeError,
    PayloadTypeError,
    RemoteProtocolError,
)
from channels_graphql_ws.http import negotiation, parsing, uploads
from channels_graphql_ws.http.errors import HttpError
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.serializer import Serializer
from channels_graphql_ws.serializer.wire import HEADER
from channels_graphql_ws.subscription.cursor import CursorCodec
from channels_graphql_ws.websocket import protocol, subprotocols

Target = Callable[[bytes], None]

GROUPS = ("one", "two")
BOUNDARY = "edge"
_SETTINGS = protocol.ProtocolSettings(
    max_message_size=4_000,
    max_message_size_before_ack=500,
    max_operations_in_flight=3,
    max_bytes_in_flight=3_000,
    max_ping_size=50,
)


def frames(data: bytes) -> None:
    """Frames of a client: the first byte chooses the subprotocol, zero bytes divide them."""
    subprotocol = subprotocols.named(("graphql-transport-ws", "graphql-ws"), "a fuzzer")[
        bool(data[:1] and data[0] & 1)
    ]
    server = protocol.ServerProtocol(subprotocol, _SETTINGS)
    for number, frame in enumerate(data[1:].split(b"\0")):
        is_closed = server.state is protocol.State.CLOSED
        text = frame.decode(errors="surrogateescape") if number % 7 != 6 else frame
        effects = server.received(text)
        assert not (is_closed and effects), "something is said after the close"
        _answer(server, effects)
        # Who may send operations ahead has time for that.
        if number % 3 == 0 or not subprotocol.holds_until_ack:
            _answer(server, server.accepted({"welcome": True}))
            while server.has_held:
                _answer(server, server.next_held())


def _answer(server: protocol.ServerProtocol, effects: list[protocol.Effect]) -> None:
    """Do what a connection does at the wish of the protocol."""
    for effect in effects:
        match effect:
            case protocol.Send(frame):
                assert isinstance(json.loads(frame)["type"], str)
            case protocol.Close(code, reason):
                assert 1000 <= code < 5000
                assert len(reason.encode(errors="surrogateescape")) <= 123
            case protocol.Execute(operation):
                text = protocol.ServerProtocol.next(operation, '{"data":null}')
                assert text is None or json.loads(text)["payload"] == {"data": None}
                if operation.request.query != "stay":
                    frame = server.completed(operation)
                    assert frame is not None
                    assert json.loads(frame)["type"] == "complete"
            case protocol.Cancel(operation):
                server.stopped(operation, was_subscription=True)
            case protocol.Pinged(payload):
                _answer(server, server.ping_answered(payload))


def payload(data: bytes) -> None:
    """Bytes from a channel layer: they are refused, as is what cannot travel again."""
    with suppress(PayloadDecodeError, PayloadTypeError, SynchronousOnlyOperation):
        found = Serializer.deserialize(HEADER + data)
        again = Serializer.deserialize(Serializer.serialize(found))
        assert type(again) is type(found)
        Serializer.deserializer(HEADER + data)()


def body(data: bytes) -> None:
    """The body of a POST."""
    with suppress(HttpError):
        found = parsing.operations_of(parsing.json_of(data), max_batch_size=3, by_name=True)
        for each in found if isinstance(found, list) else [found]:
            assert isinstance(each.query, str)
            assert isinstance(each.variables, dict)


def query_string(data: bytes) -> None:
    """The query string of a GET."""
    with suppress(HttpError):
        assert isinstance(
            parsing.operation_of_parameters(parsing.parameters_of(data)).variables, dict
        )


def headers(data: bytes) -> None:
    """Headers, one in each line."""
    pairs = [tuple(line.split(b":", 1)) for line in data.split(b"\n") if b":" in line]
    lower = [(name.lower(), value) for name, value in pairs]
    scope = {"method": "GET", "path": "/", "query_string": data[:50], "headers": lower}
    request = HttpRequest(scope, None)
    assert request.content_length is None or request.content_length >= 0
    for value in (request.content_type, request.headers.get("Accept"), data.decode("latin-1")):
        negotiation.accept(value)
        negotiation.parse(value or "")
    assert isinstance(request.cookies, dict)
    with suppress(HttpError):
        assert request.stream_token is None or isinstance(request.stream_token, str)


def form(data: bytes) -> None:
    """A form with files. What divides its parts is written as `--edge`."""
    content_type = f"multipart/form-data; boundary={BOUNDARY}".encode()
    scope = {"method": "POST", "path": "/", "headers": [(b"content-type", content_type)]}
    request = HttpRequest(scope, None)
    try:
        with suppress(HttpError):
            uploads.parse_form(request, BytesIO(data), len(data))
            parsing.operations_of(uploads.operations_of_form(request), max_batch_size=3)
    finally:
        request.close()


def cursor(data: bytes) -> None:
    """What a client says where it was."""
    codec = CursorCodec(GROUPS)
    for each in (data.decode("latin-1"), data.decode(errors="surrogateescape"), data):
        places = codec.decode(each)
        if places is not None:
            assert set(places) == set(GROUPS)
            assert all(place.offset >= 0 for place in places.values())
            assert codec.decode(codec.encode(places)) == places


def events(data: bytes) -> None:
    """An event stream, in pieces: whichever they are, the events are the same."""
    assert _events_of([data]) == _events_of([bytes([each]) for each in data])


def _events_of(pieces: list[bytes]) -> list[Any] | None:
    parser = EventStreamParser(max_size=1_000_000)
    try:
        return [event for piece in pieces for event in parser.feed(piece)]
    except RemoteProtocolError:
        return None


TARGETS: dict[str, Target] = {
    each.__name__: each
    for each in (frames, payload, body, query_string, headers, form, cursor, events)
}

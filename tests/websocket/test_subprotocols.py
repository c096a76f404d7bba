"""The dialects: what each of them understands, refuses and says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels_graphql_ws.exceptions import InvalidMessageError, UnknownMessageTypeError
from channels_graphql_ws.execution import request
from channels_graphql_ws.execution.request import MAX_ID_LENGTH, Refusal
from channels_graphql_ws.websocket import messages
from channels_graphql_ws.websocket.subprotocols import (
    GRAPHQL_TRANSPORT_WS,
    GRAPHQL_WS,
    SUBPROTOCOLS,
    Subprotocol,
    choose,
    for_hook,
    parse,
)

START = {GRAPHQL_TRANSPORT_WS.name: "subscribe", GRAPHQL_WS.name: "start"}
STOP = {GRAPHQL_TRANSPORT_WS.name: "complete", GRAPHQL_WS.name: "stop"}


@pytest.fixture(params=SUBPROTOCOLS, ids=lambda each: each.name)
def dialect(request: pytest.FixtureRequest) -> Subprotocol:
    return request.param


def start(dialect: Subprotocol, **payload: Any) -> dict[str, Any]:
    return {"type": START[dialect.name], "id": "1", "payload": {"query": "{ a }", **payload}}


def encoded(dialect: Subprotocol, message: messages.FromServer) -> list[Any]:
    return [json.loads(frame) for frame in dialect.encode(message)]


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (["graphql-transport-ws"], GRAPHQL_TRANSPORT_WS),
        (["graphql-ws"], GRAPHQL_WS),
        (["graphql-ws", "graphql-transport-ws"], GRAPHQL_TRANSPORT_WS),
        (["soap", "graphql-ws"], GRAPHQL_WS),
        (["GraphQL-WS"], None),
        ([], None),
    ],
)
def test_the_newer_dialect_is_chosen_whenever_it_is_offered(
    offered: list[str], chosen: Subprotocol | None
) -> None:
    assert choose(offered) is chosen


def test_a_dialect_that_is_not_allowed_is_not_chosen() -> None:
    assert choose(["graphql-ws"], [GRAPHQL_TRANSPORT_WS]) is None


@pytest.mark.parametrize("frame", [b'{"type":"ping"}', b"\x00", None])
def test_a_frame_that_is_not_text_is_refused(frame: bytes | None) -> None:
    with pytest.raises(InvalidMessageError, match="text frame"):
        parse(frame)


@pytest.mark.parametrize("frame", ["", "hello", "{", "[" * 20_000, "[" * 20_000_000, "\ud800"])
def test_text_that_is_no_json_is_refused(frame: str) -> None:
    with pytest.raises(InvalidMessageError, match="valid JSON"):
        parse(frame)


def test_a_long_frame_with_an_integer_beyond_64_bits_is_refused() -> None:
    frame = f'[{2**70}, "{"x" * 300_000}"]'
    with pytest.raises(InvalidMessageError, match="Message has an integer of more than 64 bits"):
        parse(frame)


def test_a_frame_is_read_as_json() -> None:
    assert parse('{"type": "ping"}') == {"type": "ping"}


@pytest.mark.parametrize("content", [None, True, 1, "ping", [], [{"type": "ping"}]])
def test_what_is_no_object_is_refused(dialect: Subprotocol, content: Any) -> None:
    with pytest.raises(InvalidMessageError, match="must be a JSON object"):
        dialect.decode(content)


@pytest.mark.parametrize("content", [{}, {"type": None}, {"type": 1}, {"type": ["ping"]}])
def test_a_type_that_is_no_string_is_refused(dialect: Subprotocol, content: Any) -> None:
    with pytest.raises(InvalidMessageError, match="string 'type'"):
        dialect.decode(content)


@pytest.mark.parametrize("word", ["", "PING", "Connection_Init", "next", "data", "ka", "wrong"])
def test_an_unknown_type_is_told_apart(dialect: Subprotocol, word: str) -> None:
    with pytest.raises(UnknownMessageTypeError) as raised:
        dialect.decode({"type": word, "id": "7"})

    assert (raised.value.type, raised.value.id) == (word, "7")


@pytest.mark.parametrize("id", [None, "", [], {}, 1.5, True])
def test_an_unknown_type_with_an_odd_id_has_none(dialect: Subprotocol, id: Any) -> None:
    with pytest.raises(UnknownMessageTypeError) as raised:
        dialect.decode({"type": "wrong", "id": id})

    assert raised.value.id is None


@pytest.mark.parametrize(
    ("dialect", "word"),
    [
        *[(GRAPHQL_TRANSPORT_WS, word) for word in ("start", "stop", "connection_terminate")],
        *[(GRAPHQL_WS, word) for word in ("subscribe", "complete", "ping", "pong")],
    ],
    ids=lambda each: each.name if isinstance(each, Subprotocol) else each,
)
def test_the_words_of_the_other_dialect_are_unknown(dialect: Subprotocol, word: str) -> None:
    with pytest.raises(UnknownMessageTypeError):
        dialect.decode({"type": word, "id": "1", "payload": {"query": "{ a }"}})


@pytest.mark.parametrize("id", [None, "", [], {}, ["1"], 1.0, True, False])
@pytest.mark.parametrize("words", [START, STOP], ids=["start", "stop"])
def test_an_odd_id_is_refused(dialect: Subprotocol, words: dict[str, str], id: Any) -> None:
    message = {**start(dialect), "type": words[dialect.name], "id": id}

    with pytest.raises(InvalidMessageError, match=r"'id' of .* must be a non-empty string"):
        dialect.decode(message)


@pytest.mark.parametrize("words", [START, STOP], ids=["start", "stop"])
def test_a_long_id_is_refused(dialect: Subprotocol, words: dict[str, str]) -> None:
    message = {**start(dialect), "type": words[dialect.name], "id": "x" * MAX_ID_LENGTH}
    assert dialect.decode(message)
    message["id"] += "x"
    with pytest.raises(InvalidMessageError, match=r"'id' of .* is longer than 1000 characters"):
        dialect.decode(message)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_number_of_many_digits_is_a_long_id(sign: int) -> None:
    longest = sign * (10**MAX_ID_LENGTH - 1)
    message = {**start(GRAPHQL_WS), "id": longest}
    assert isinstance(GRAPHQL_WS.decode(message), request.Subscribe)
    message["id"] = longest + sign
    with pytest.raises(InvalidMessageError, match=r"'id' of .* is longer than 1000 characters"):
        GRAPHQL_WS.decode(message)


@pytest.mark.parametrize("words", [START, STOP], ids=["start", "stop"])
def test_a_missing_id_is_refused(dialect: Subprotocol, words: dict[str, str]) -> None:
    with pytest.raises(InvalidMessageError, match="'id' of"):
        dialect.decode({"type": words[dialect.name], "payload": {"query": "{ a }"}})


@pytest.mark.parametrize("id", [0, 1, -1, 2**70])
def test_only_the_legacy_dialect_takes_integer_ids(id: int) -> None:
    assert GRAPHQL_WS.decode({"type": "stop", "id": id}) == messages.Complete(id)
    with pytest.raises(InvalidMessageError):
        GRAPHQL_TRANSPORT_WS.decode({"type": "complete", "id": id})


@pytest.mark.parametrize("payload", [{}, {"payload": None}])
def test_an_init_without_payload_has_none(dialect: Subprotocol, payload: Any) -> None:
    assert dialect.decode({"type": "connection_init", **payload}) == messages.ConnectionInit()


@pytest.mark.parametrize("payload", [{"token": "x"}, {}, ""])
def test_an_init_has_the_payload_that_was_sent(dialect: Subprotocol, payload: Any) -> None:
    message = dialect.decode({"type": "connection_init", "payload": payload})

    assert message == messages.ConnectionInit(payload)


@pytest.mark.parametrize("payload", ["token", 0, False, []])
def test_the_payload_of_an_init_is_an_object(dialect: Subprotocol, payload: Any) -> None:
    with pytest.raises(InvalidMessageError, match="'payload' of 'connection_init'"):
        dialect.decode({"type": "connection_init", "payload": payload})


def test_an_operation_is_decoded_with_all_that_was_sent(dialect: Subprotocol) -> None:
    content = start(
        dialect, operationName="A", variables={"x": 1}, extensions={"trace": 1}, mine=True
    )

    assert dialect.decode(content) == request.Subscribe(
        id="1",
        query="{ a }",
        variables={"x": 1},
        operation_name="A",
        extensions={"trace": 1},
    )
    # Only the hook looks at all of it.
    assert for_hook(dialect).decode(content).payload == content["payload"]


@pytest.mark.parametrize(
    "rest",
    [
        {},
        dict.fromkeys(["operationName", "variables", "extensions"]),
        # As over HTTP.
        {"operationName": ""},
    ],
)
def test_all_of_an_operation_but_the_query_may_be_missing_or_null(
    dialect: Subprotocol, rest: Any
) -> None:
    content = start(dialect, **rest)

    message = dialect.decode(content)

    assert message == request.Subscribe(id="1", query="{ a }")


@pytest.mark.parametrize("payload", [None, "{ a }", ["{ a }"], 1])
def test_the_payload_of_an_operation_is_an_object(dialect: Subprotocol, payload: Any) -> None:
    with pytest.raises(InvalidMessageError, match="must have a 'payload' object"):
        dialect.decode({**start(dialect), "payload": payload})


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("query", None, "must have a string 'query'"),
        ("query", {"kind": "Document"}, "must have a string 'query'"),
        ("operationName", 1, "'operationName' of .* must be a string or null"),
        ("operationName", ["A"], "'operationName' of .* must be a string or null"),
        ("variables", [1], "'variables' of .* must be an object or null"),
        ("variables", '{"x": 1}', "'variables' of .* must be an object or null"),
        ("extensions", "x", "'extensions' of .* must be an object or null"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused(
    dialect: Subprotocol, key: str, value: Any, text: str
) -> None:
    with pytest.raises(InvalidMessageError, match=text):
        dialect.decode(start(dialect, **{key: value}))


@pytest.mark.parametrize("message", [messages.Ping, messages.Pong])
@pytest.mark.parametrize("payload", [None, {}, {"sent": 1}])
def test_a_ping_and_a_pong_have_their_payload(message: type, payload: Any) -> None:
    content = {"type": message.__name__.lower(), "payload": payload}

    assert GRAPHQL_TRANSPORT_WS.decode(content) == message(payload)


@pytest.mark.parametrize("word", ["ping", "pong"])
@pytest.mark.parametrize("payload", ["", 1, []])
def test_the_payload_of_a_ping_is_an_object(word: str, payload: Any) -> None:
    with pytest.raises(InvalidMessageError, match=f"'payload' of '{word}'"):
        GRAPHQL_TRANSPORT_WS.decode({"type": word, "payload": payload})


def test_the_legacy_client_says_that_it_is_about_to_leave() -> None:
    message = GRAPHQL_WS.decode({"type": "connection_terminate"})

    assert message == messages.ConnectionTerminate()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values) | st.dictionaries(st.text(), values),
    max_leaves=10,
)
WORDS = [*GRAPHQL_TRANSPORT_WS.decoders, *GRAPHQL_WS.decoders]


@given(
    content=json_values
    | st.fixed_dictionaries(
        {"type": st.sampled_from(WORDS) | json_values},
        optional={
            "id": json_values,
            "payload": json_values
            | st.fixed_dictionaries(
                {"query": json_values},
                optional=dict.fromkeys(["variables", "operationName"], json_values),
            ),
        },
    ),
    dialect=st.sampled_from(SUBPROTOCOLS),
)
def test_any_json_value_is_a_message_or_refused_with_a_text(
    content: Any, dialect: Subprotocol
) -> None:
    try:
        message = dialect.decode(content)
    except InvalidMessageError as error:
        message, text = None, str(error)
        assert text
    assert message is None or isinstance(message, messages.FromClient)


def test_an_acknowledgement_has_a_payload_only_if_there_is_one(dialect: Subprotocol) -> None:
    assert encoded(dialect, messages.ConnectionAck()) == [{"type": "connection_ack"}]
    assert encoded(dialect, messages.ConnectionAck({"a": 1})) == [
        {"type": "connection_ack", "payload": {"a": 1}}
    ]


def test_a_complete_has_the_id(dialect: Subprotocol) -> None:
    assert encoded(dialect, messages.Complete("1")) == [{"type": "complete", "id": "1"}]


def test_a_result_is_glued_behind_its_prefix() -> None:
    new = GRAPHQL_TRANSPORT_WS.next_prefix('"1"')
    legacy = GRAPHQL_WS.next_prefix(1)

    result = '{"data":null}'
    assert json.loads(f"{new}{result}}}") == {
        "type": "next",
        "id": '"1"',
        "payload": {"data": None},
    }
    assert json.loads(f"{legacy}{result}}}") == {
        "type": "data",
        "id": 1,
        "payload": {"data": None},
    }


def test_pings_and_pongs_are_repeated_with_their_payload() -> None:
    assert encoded(GRAPHQL_TRANSPORT_WS, messages.Ping()) == [{"type": "ping"}]
    assert encoded(GRAPHQL_TRANSPORT_WS, messages.Pong({"a": 1})) == [
        {"type": "pong", "payload": {"a": 1}}
    ]


def test_the_legacy_ping_is_a_keep_alive_without_payload() -> None:
    assert encoded(GRAPHQL_WS, messages.Ping({"a": 1})) == [{"type": "ka"}]


def test_only_the_legacy_dialect_has_a_word_for_a_refused_connection() -> None:
    refusal = messages.ConnectionError({"message": "no"})

    assert encoded(GRAPHQL_TRANSPORT_WS, refusal) == []
    assert encoded(GRAPHQL_WS, refusal) == [
        {"type": "connection_error", "payload": {"message": "no"}}
    ]


def test_the_legacy_dialect_has_no_word_for_a_pong() -> None:
    assert encoded(GRAPHQL_WS, messages.Pong()) == []


ERRORS: tuple[request.JsonObject, ...] = ({"message": "one"}, {"message": "two"})


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_is_one_error_with_a_list(refusal: Refusal) -> None:
    assert encoded(GRAPHQL_TRANSPORT_WS, messages.Error("1", ERRORS, refusal)) == [
        {"type": "error", "id": "1", "payload": list(ERRORS)}
    ]


DATA = {"type": "data", "id": "1", "payload": {"data": None, "errors": list(ERRORS)}}
COMPLETE = {"type": "complete", "id": "1"}


@pytest.mark.parametrize(
    ("refusal", "frames"),
    [
        (Refusal.OPERATION, [{"type": "error", "id": "1", "payload": {"errors": list(ERRORS)}}]),
        (Refusal.DOCUMENT, [DATA, COMPLETE]),
        (Refusal.DUPLICATE, [DATA, COMPLETE]),
        (Refusal.SUBSCRIBE, [DATA, COMPLETE]),
    ],
)
def test_the_legacy_dialect_words_refusals_differently(
    refusal: Refusal, frames: list[Any]
) -> None:
    assert encoded(GRAPHQL_WS, messages.Error("1", ERRORS, refusal)) == frames


def test_a_legacy_error_may_have_no_id() -> None:
    message = messages.Error(None, [{"message": "one"}], Refusal.OPERATION)

    assert encoded(GRAPHQL_WS, message) == [
        {"type": "error", "id": None, "payload": {"errors": [{"message": "one"}]}}
    ]

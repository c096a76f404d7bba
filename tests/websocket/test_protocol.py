"""What may be said when: each thing that happens has exactly these effects."""

from __future__ import annotations

import json
from typing import Any

import pytest

from channels_graphql_ws.execution.request import Refusal
from channels_graphql_ws.websocket import protocol as server_protocol
from channels_graphql_ws.websocket.messages import CloseCode
from channels_graphql_ws.websocket.protocol import (
    EARLY_PINGS,
    HELD_BYTES,
    HELD_LIMIT,
    REASON_LIMIT,
    Cancel,
    Close,
    Effect,
    Execute,
    Initialize,
    Operation,
    ProtocolSettings,
    Send,
    ServerProtocol,
    State,
    cut,
)
from channels_graphql_ws.websocket.subprotocols import (
    GRAPHQL_TRANSPORT_WS,
    GRAPHQL_WS,
    SUBPROTOCOLS,
)

NEW, LEGACY = GRAPHQL_TRANSPORT_WS, GRAPHQL_WS
BOTH = pytest.mark.parametrize("dialect", SUBPROTOCOLS, ids=lambda each: each.name)

INIT = '{"type":"connection_init"}'
ACK = Send('{"type":"connection_ack"}')
UNAUTHORIZED = [Close(CloseCode.UNAUTHORIZED, "Unauthorized")]
TOO_MANY_INITS = [
    Close(CloseCode.TOO_MANY_INITIALISATION_REQUESTS, "Too many initialisation requests")
]


def start(protocol: ServerProtocol, id: Any = "1", query: str = "{ a }") -> list[Effect]:
    word = "subscribe" if protocol.subprotocol is NEW else "start"
    message = {"type": word, "id": id, "payload": {"query": query}}
    return protocol.received(json.dumps(message))


def stop(protocol: ServerProtocol, id: Any = "1") -> list[Effect]:
    word = "complete" if protocol.subprotocol is NEW else "stop"
    return protocol.received(json.dumps({"type": word, "id": id}))


def protocol_of(dialect: Any, **options: Any) -> ServerProtocol:
    return ServerProtocol(dialect, ProtocolSettings(**options))


def ready(dialect: Any, **options: Any) -> ServerProtocol:
    protocol = protocol_of(dialect, **options)
    protocol.received(INIT)
    protocol.accepted(None)
    return protocol


def started(protocol: ServerProtocol, id: Any = "1") -> Operation:
    match start(protocol, id):
        case [Execute(operation)]:
            return operation
        case effects:
            raise AssertionError(effects)


def complete(id: Any = "1") -> Send:
    return Send(json.dumps({"type": "complete", "id": id}, separators=(",", ":")))


def result(protocol: ServerProtocol, text: str) -> Send:
    return Send(f'{{"type":"{protocol.subprotocol.next_type}","id":"1","payload":{text}}}')


@BOTH
def test_an_init_asks_the_application(dialect: Any) -> None:
    protocol = ServerProtocol(dialect)

    effects = protocol.received('{"type":"connection_init","payload":{"token":1}}')

    assert effects == [Initialize({"token": 1})]


@BOTH
def test_an_accepted_client_is_acknowledged(dialect: Any) -> None:
    protocol = ServerProtocol(dialect)
    protocol.received(INIT)

    assert protocol.accepted({"a": 1}) == [Send('{"type":"connection_ack","payload":{"a":1}}')]
    assert protocol.state is State.READY


def test_a_rejected_client_is_closed() -> None:
    protocol = ServerProtocol(NEW)
    protocol.received(INIT)

    assert protocol.rejected({"message": "no"}) == [Close(CloseCode.FORBIDDEN, "Forbidden")]


def test_a_rejected_legacy_client_is_told_why_and_closed() -> None:
    protocol = ServerProtocol(LEGACY)
    protocol.received(INIT)

    assert protocol.rejected({"message": "no"}, "Not today") == [
        Send('{"type":"connection_error","payload":{"message":"no"}}'),
        Close(CloseCode.LEGACY_REJECTED, "Not today"),
    ]


@BOTH
def test_a_decision_that_nobody_waits_for_has_no_effect(dialect: Any) -> None:
    protocol = ServerProtocol(dialect)

    assert protocol.accepted(None) == protocol.rejected({}) == []


@BOTH
def test_a_decision_after_the_close_has_no_effect(dialect: Any) -> None:
    protocol = ServerProtocol(dialect)
    protocol.received(INIT)
    protocol.socket_closed()

    assert protocol.accepted(None) == protocol.rejected({}) == []


@BOTH
def test_a_second_init_while_the_first_is_decided_closes(dialect: Any) -> None:
    protocol = ServerProtocol(dialect)
    protocol.received(INIT)

    assert protocol.received(INIT) == TOO_MANY_INITS
    assert protocol.accepted(None) == []


def test_a_second_init_after_the_acknowledgement_closes() -> None:
    assert ready(NEW).received(INIT) == TOO_MANY_INITS


def test_a_second_init_of_a_legacy_client_is_decided_anew() -> None:
    protocol = ready(LEGACY)

    assert protocol.received(INIT) == [Initialize(None)]
    assert protocol.accepted(None) == [ACK]


@BOTH
def test_an_operation_before_the_init_closes(dialect: Any) -> None:
    assert start(ServerProtocol(dialect)) == UNAUTHORIZED


def test_an_operation_before_the_acknowledgement_closes() -> None:
    protocol = ServerProtocol(NEW)
    protocol.received(INIT)

    assert start(protocol) == UNAUTHORIZED
    assert protocol.accepted(None) == []


def holding(*ids: Any) -> ServerProtocol:
    protocol = ServerProtocol(LEGACY)
    protocol.received(INIT)
    for id in ids:
        assert start(protocol, id) == []
    return protocol


def begun(protocol: ServerProtocol) -> list[Effect]:
    """Begin all that was held, as a connection does."""
    effects: list[Effect] = []
    while protocol.has_held:
        effects += protocol.next_held()
    return effects


def test_operations_of_a_legacy_client_wait_for_the_acknowledgement() -> None:
    protocol = holding("1", 2)
    assert not protocol.has_held
    assert protocol.next_held() == []

    assert protocol.accepted(None) == [ACK]
    match begun(protocol):
        case [Execute(first), Execute(second)]:
            assert (first.id, second.id) == ("1", 2)
        case effects:
            raise AssertionError(effects)
    assert protocol.next_held() == []


@pytest.mark.parametrize("end", ["socket_closed", "crashed", "idled"])
def test_of_what_was_held_nothing_begins_after_the_end(end: str) -> None:
    protocol = holding("1", "2", "3")
    protocol.accepted(None)
    protocol.next_held()
    getattr(protocol, end)()

    assert not protocol.has_held
    assert protocol.next_held() == []


def test_of_what_was_held_nothing_begins_when_the_server_goes() -> None:
    protocol = holding("1", "2")
    protocol.accepted(None)
    [begun_before] = protocol.next_held()
    protocol.shutting_down()

    assert begun(protocol) == []
    assert protocol.shut_down(completes=True) == [
        complete(),
        Close(CloseCode.SERVICE_RESTART, "Service restart"),
    ]
    assert isinstance(begun_before, Execute)


def test_a_held_operation_that_is_stopped_after_the_acknowledgement_does_not_begin() -> None:
    protocol = holding("1", "2")
    protocol.accepted(None)

    assert stop(protocol) == [complete()]
    [begins] = begun(protocol)
    assert isinstance(begins, Execute)
    assert begins.operation.id == "2"


def test_each_held_operation_is_one_of_the_operations_in_flight() -> None:
    protocol = protocol_of(LEGACY, max_operations_in_flight=1)
    protocol.received(INIT)
    start(protocol, "1")
    start(protocol, "2")
    protocol.accepted(None)

    [first, refusal, *_] = begun(protocol)
    assert isinstance(first, Execute)
    assert isinstance(refusal, Send)
    assert "More than 1 operations on one connection" in refusal.frame


def test_operations_of_a_rejected_legacy_client_are_forgotten() -> None:
    protocol = holding("1")

    assert not any(isinstance(effect, Execute) for effect in protocol.rejected({}))


def test_a_held_operation_that_is_stopped_is_answered_and_never_executed() -> None:
    protocol = holding("1")

    assert stop(protocol) == [complete()]
    assert stop(protocol) == []
    assert protocol.accepted(None) == [ACK]


def test_a_held_operation_that_is_stopped_is_not_answered_on_demand() -> None:
    protocol = protocol_of(LEGACY, answer_complete=False)
    protocol.received(INIT)
    start(protocol)

    assert stop(protocol) == []


DUPLICATE_ANSWER = [
    Send(
        '{"type":"data","id":"1","payload":{"data":null,'
        '"errors":[{"message":"Subscription with msg_id=1 already exists!"}]}}'
    ),
    complete(),
]


def test_the_id_of_a_held_operation_is_in_use() -> None:
    protocol = holding("1")

    assert start(protocol) == DUPLICATE_ANSWER


def test_the_id_of_a_live_operation_is_in_use_while_a_second_init_is_decided() -> None:
    protocol = ready(LEGACY)
    operation = started(protocol)
    protocol.received(INIT)

    assert start(protocol) == DUPLICATE_ANSWER
    assert stop(protocol) == [Cancel(operation)]


def test_only_so_many_operations_are_held() -> None:
    protocol = holding(*range(HELD_LIMIT))

    assert start(protocol, HELD_LIMIT) == [
        Close(CloseCode.BAD_REQUEST, "Too many operations before the acknowledgement")
    ]


def test_only_so_much_text_is_held() -> None:
    protocol = holding()
    assert start(protocol, "1", "x" * (HELD_BYTES // 2)) == []

    assert start(protocol, "2", "x" * (HELD_BYTES // 2)) == [
        Close(CloseCode.BAD_REQUEST, "Too many operations before the acknowledgement")
    ]


def test_one_operation_may_be_larger_than_the_room_for_several() -> None:
    protocol = holding()

    assert start(protocol, "1", "x" * HELD_BYTES) == []


def test_there_is_room_again_for_a_second_init() -> None:
    protocol = holding()
    start(protocol, "1", "x" * HELD_BYTES)
    protocol.accepted(None)
    assert len(begun(protocol)) == 1
    protocol.received(INIT)

    assert start(protocol, "2") == start(protocol, "3") == []


@BOTH
def test_an_operation_is_executed_with_what_the_client_sent(dialect: Any) -> None:
    operation = started(ready(dialect))

    assert (operation.id, operation.request.query) == ("1", "{ a }")


@BOTH
def test_results_are_sent_and_then_the_complete(dialect: Any) -> None:
    protocol = ready(dialect)
    operation = started(protocol)

    assert protocol.next(operation, '{"data":1}') == result(protocol, '{"data":1}').frame
    assert protocol.completed(operation) == complete().frame


def test_a_refused_operation_ends_with_its_error() -> None:
    protocol = ready(NEW)
    operation = started(protocol)

    assert protocol.failed(operation, [{"message": "no"}], Refusal.DOCUMENT) == [
        Send('{"type":"error","id":"1","payload":[{"message":"no"}]}')
    ]


@BOTH
def test_nothing_is_said_after_the_last_word(dialect: Any) -> None:
    protocol = ready(dialect)
    operation = started(protocol)
    protocol.completed(operation)

    assert protocol.next(operation, "1") is None
    assert protocol.confirmed(operation, "1") is None
    assert protocol.completed(operation) is None
    assert protocol.failed(operation, [], Refusal.DOCUMENT) == []
    assert protocol.stopped(operation, was_subscription=True) is None


@BOTH
def test_an_error_without_a_json_form_leaves_the_operation_to_end_otherwise(dialect: Any) -> None:
    protocol = ready(dialect)
    operation = started(protocol)

    with pytest.raises(TypeError):
        protocol.failed(operation, [{"extensions": object()}], Refusal.OPERATION)
    assert protocol.completed(operation) == complete().frame


@BOTH
def test_an_id_is_free_again_when_the_server_has_completed(dialect: Any) -> None:
    protocol = ready(dialect)
    protocol.completed(started(protocol))

    assert started(protocol).id == "1"


@BOTH
def test_an_id_is_free_again_when_the_operation_was_refused(dialect: Any) -> None:
    protocol = ready(dialect)
    protocol.failed(started(protocol), [{"message": "no"}], Refusal.SUBSCRIBE)

    assert started(protocol).id == "1"


@BOTH
def test_an_id_is_free_again_when_the_client_has_completed(dialect: Any) -> None:
    protocol = ready(dialect)
    started(protocol)
    stop(protocol)

    assert started(protocol).id == "1"


def test_an_id_that_is_in_use_closes() -> None:
    protocol = ready(NEW)
    operation = started(protocol)

    assert start(protocol) == [
        Close(CloseCode.SUBSCRIBER_ALREADY_EXISTS, "Subscriber for 1 already exists")
    ]
    assert protocol.next(operation, "1") is None


def test_an_id_that_is_in_use_is_an_error_for_a_legacy_client_who_stays() -> None:
    protocol = ready(LEGACY)
    operation = started(protocol)

    assert start(protocol) == DUPLICATE_ANSWER
    assert protocol.next(operation, "1") == result(protocol, "1").frame


def test_an_integer_and_its_text_are_two_ids() -> None:
    protocol = ready(LEGACY)

    assert (started(protocol, 1).id, started(protocol, "1").id) == (1, "1")


@BOTH
def test_a_complete_of_the_client_cancels(dialect: Any) -> None:
    protocol = ready(dialect)
    operation = started(protocol)

    assert stop(protocol) == [Cancel(operation)]
    assert stop(protocol) == []


@BOTH
def test_a_complete_for_an_unknown_id_is_ignored(dialect: Any) -> None:
    assert stop(ServerProtocol(dialect)) == stop(ready(dialect), "unknown") == []


@BOTH
def test_no_result_follows_a_complete_of_the_client(dialect: Any) -> None:
    protocol = ready(dialect)
    operation = started(protocol)
    stop(protocol)

    assert protocol.next(operation, "1") is None
    assert protocol.completed(operation) is None
    assert protocol.failed(operation, [], Refusal.SUBSCRIBE) == []


@BOTH
def test_the_end_of_a_stopped_subscription_is_answered_once(dialect: Any) -> None:
    protocol = ready(dialect)
    operation = started(protocol)
    stop(protocol)

    assert protocol.stopped(operation, was_subscription=True) == complete().frame
    assert protocol.stopped(operation, was_subscription=True) is None


@BOTH
def test_the_end_of_a_stopped_query_is_not_answered(dialect: Any) -> None:
    protocol = ready(dialect)
    operation = started(protocol)
    stop(protocol)

    assert protocol.stopped(operation, was_subscription=False) is None


@BOTH
def test_the_answer_to_a_complete_can_be_switched_off(dialect: Any) -> None:
    protocol = ready(dialect, answer_complete=False)
    operation = started(protocol)
    stop(protocol)

    assert protocol.stopped(operation, was_subscription=True) is None


@BOTH
def test_a_confirmation_is_sent_in_front_of_the_answer_to_a_complete(dialect: Any) -> None:
    protocol = ready(dialect)
    operation = started(protocol)
    stop(protocol)

    assert protocol.confirmed(operation, "1") == result(protocol, "1").frame
    assert protocol.stopped(operation, was_subscription=True) == complete().frame


@BOTH
def test_a_live_subscription_is_confirmed(dialect: Any) -> None:
    protocol = ready(dialect)

    assert protocol.confirmed(started(protocol), "1") == result(protocol, "1").frame


@BOTH
def test_a_stopped_operation_is_silent_as_soon_as_its_id_is_used_again(dialect: Any) -> None:
    protocol = ready(dialect)
    older = started(protocol)
    stop(protocol)
    newer = started(protocol)

    assert protocol.confirmed(older, "1") is None
    assert protocol.stopped(older, was_subscription=True) is None
    assert protocol.completed(newer) == complete().frame


@BOTH
def test_a_stopped_operation_is_silent_even_when_the_next_of_its_id_has_ended(
    dialect: Any,
) -> None:
    protocol = ready(dialect)
    older = started(protocol)
    stop(protocol)
    protocol.completed(started(protocol))

    assert protocol.confirmed(older, "1") is None
    assert protocol.stopped(older, was_subscription=True) is None


@BOTH
@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"{}", "Message must be a text frame"),
        (None, "Message must be a text frame"),
        ("{", "Message must be valid JSON"),
        ("[]", "Message must be a JSON object"),
        ("{}", "Message must have a string 'type'"),
        ('{"type":"connection_init","payload":1}', "'payload' of 'connection_init' must be"),
    ],
)
def test_a_bad_frame_closes_with_a_reason(dialect: Any, frame: Any, reason: str) -> None:
    match ready(dialect).received(frame):
        case [Close(CloseCode.BAD_REQUEST, text)]:
            assert text.startswith(reason)
        case effects:
            raise AssertionError(effects)


@BOTH
@pytest.mark.parametrize("frame", ["x" * 101, b"x" * 101])
def test_a_frame_that_is_too_large_closes(dialect: Any, frame: Any) -> None:
    protocol = ready(dialect, max_message_size=100)

    assert protocol.received(frame) == [
        Close(CloseCode.BAD_REQUEST, "Message is larger than 100 bytes")
    ]


@BOTH
def test_a_frame_of_the_largest_size_is_taken(dialect: Any) -> None:
    protocol = protocol_of(dialect, max_message_size=len(INIT))

    assert protocol.received(INIT) == [Initialize(None)]


def test_an_unknown_type_closes() -> None:
    assert ServerProtocol(NEW).received('{"type":"wrong"}') == [
        Close(CloseCode.BAD_REQUEST, "Unknown message type 'wrong'")
    ]


@pytest.mark.parametrize("word", ["start", "stop", "connection_terminate"])
def test_who_speaks_the_other_dialect_is_told_so(word: str) -> None:
    [close] = ServerProtocol(NEW).received(f'{{"type":"{word}"}}')

    assert isinstance(close, Close)
    told = f"Unknown message type '{word}': it belongs to the subprotocol 'graphql-ws', this is "
    assert close.reason.startswith(told)


@pytest.mark.parametrize(("id", "echoed"), [('"7"', '"7"'), ("7", "7"), ("[]", "null")])
def test_an_unknown_type_is_an_error_for_a_legacy_client_who_stays(id: str, echoed: str) -> None:
    protocol = ServerProtocol(LEGACY)

    assert protocol.received(f'{{"type":"wrong","id":{id}}}') == [
        Send(
            f'{{"type":"error","id":{echoed},"payload":{{"errors":[{{"message":'
            '"Exception: Wrong message type \'wrong\'!","extensions":{"code":"Exception"}}]}}'
        )
    ]
    assert protocol.received(INIT) == [Initialize(None)]


def test_a_ping_is_answered_with_its_payload_before_the_init_too() -> None:
    protocol = ServerProtocol(NEW)

    assert protocol.received('{"type":"ping"}') == [Send('{"type":"pong"}')]
    assert protocol.received('{"type":"ping","payload":{"a":1}}') == [
        Send('{"type":"pong","payload":{"a":1}}')
    ]


def test_a_ping_that_can_be_read_but_not_repeated_closes() -> None:
    payload: dict[str, Any] = {}
    for _ in range(1_000_000):
        payload = {"": payload}

    assert ready(NEW).received_json({"type": "ping", "payload": payload}) == [
        Close(CloseCode.BAD_REQUEST, "'payload' of 'ping' is nested too deeply")
    ]


def test_a_pong_that_nobody_asked_for_is_fine() -> None:
    assert ServerProtocol(NEW).received('{"type":"pong","payload":{"a":1}}') == []


@pytest.mark.parametrize(
    ("dialect", "frame"), [(NEW, '{"type":"ping"}'), (LEGACY, '{"type":"ka"}')]
)
def test_a_ping_is_sent_when_it_is_due(dialect: Any, frame: str) -> None:
    assert ready(dialect).ping_due() == [Send(frame)]


@BOTH
def test_no_ping_is_sent_before_the_acknowledgement(dialect: Any) -> None:
    assert ServerProtocol(dialect).ping_due() == []


@BOTH
def test_a_client_that_sends_no_init_in_time_is_closed(dialect: Any) -> None:
    assert ServerProtocol(dialect).init_timed_out() == [
        Close(CloseCode.TIMEOUT, "Connection initialisation timeout")
    ]


@BOTH
def test_the_time_for_the_init_does_not_run_while_it_is_decided(dialect: Any) -> None:
    protocol = ServerProtocol(dialect)
    protocol.received(INIT)

    assert protocol.init_timed_out() == []


@BOTH
def test_a_client_that_does_not_answer_pings_is_closed(dialect: Any) -> None:
    assert ready(dialect).pong_timed_out() == [Close(CloseCode.TIMEOUT, "Pong timeout")]


@BOTH
def test_a_client_that_is_not_decided_on_in_time_is_closed(dialect: Any) -> None:
    protocol = ServerProtocol(dialect)
    protocol.received(INIT)

    assert protocol.decision_timed_out() == [
        Close(CloseCode.TIMEOUT, "Connection initialisation timeout")
    ]


@BOTH
def test_the_time_for_the_decision_ends_with_it(dialect: Any) -> None:
    protocol = ready(dialect)

    assert protocol.decision_timed_out() == protocol.full({"message": "full"}, "full") == []


@BOTH
def test_a_client_whose_rights_have_ended_is_closed_once(dialect: Any) -> None:
    protocol = ready(dialect)

    assert protocol.revoked("Logged out") == [Close(CloseCode.FORBIDDEN, "Logged out")]
    assert protocol.revoked("Logged out") == []


@BOTH
def test_a_fault_of_ours_closes(dialect: Any) -> None:
    assert ready(dialect).crashed() == [Close(CloseCode.INTERNAL_ERROR, "Internal server error")]


def test_a_legacy_client_may_say_that_it_leaves() -> None:
    effects = ServerProtocol(LEGACY).received('{"type":"connection_terminate"}')

    assert effects == [Close(CloseCode.NORMAL, "")]


@BOTH
def test_nothing_follows_a_close(dialect: Any) -> None:
    protocol = ready(dialect)
    live, stopping = started(protocol), started(protocol, "2")
    stop(protocol, "2")
    protocol.crashed()

    assert protocol.received(INIT) == protocol.received_json({"type": "connection_init"}) == []
    assert start(protocol, "3") == stop(protocol) == protocol.received(b"") == []
    assert protocol.next(live, "1") is None
    assert protocol.completed(live) is None
    assert protocol.confirmed(stopping, "1") is None
    assert protocol.stopped(stopping, was_subscription=True) is None
    assert protocol.stopped(live, was_subscription=True) is None
    assert protocol.ping_due() == protocol.init_timed_out() == protocol.pong_timed_out() == []
    assert protocol.crashed() == []


@pytest.mark.parametrize(
    ("reason", "shortened"),
    [
        ("short", "short"),
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("ж" * 100, "ж" * 61),
        ("x" * 121 + "😀", "x" * 121),
        ("\ud800", "?"),
    ],
)
def test_a_reason_is_cut_at_123_bytes_on_a_character(reason: str, shortened: str) -> None:
    assert cut(reason) == shortened


def test_a_long_id_does_not_make_a_long_reason() -> None:
    protocol = ready(NEW)
    started(protocol, "ж" * 1000)

    match start(protocol, "ж" * 1000):
        case [Close(CloseCode.SUBSCRIBER_ALREADY_EXISTS, reason)]:
            assert reason.startswith("Subscriber for ж")
            assert len(reason.encode()) <= REASON_LIMIT
        case effects:
            raise AssertionError(effects)


@BOTH
def test_an_operation_beyond_the_limit_is_refused_and_leaves_the_others_alone(
    dialect: Any,
) -> None:
    protocol = ready(dialect, max_operations_in_flight=1)
    live = started(protocol)

    [refusal] = start(protocol, "2")

    assert "More than 1 operations on one connection" in refusal.frame
    assert protocol.next(live, "1") is not None
    protocol.completed(live)
    assert start(protocol, "2") != [refusal]


@BOTH
def test_a_message_before_the_acknowledgement_is_smaller(dialect: Any) -> None:
    limits = {"max_message_size": 1_000, "max_message_size_before_ack": 100}
    protocol = protocol_of(dialect, **limits)
    assert protocol.max_message_size == 100
    assert protocol.received("x" * 101) == [
        Close(CloseCode.BAD_REQUEST, "Message is larger than 100 bytes before the acknowledgement")
    ]
    protocol = ready(dialect, **limits)
    assert [type(effect) for effect in start(protocol, query="{ a }" + " " * 500)] == [Execute]
    protocol.received('{"type":"connection_init"}')
    assert protocol.max_message_size == 1_000


@pytest.mark.parametrize(
    ("limits", "before", "after"),
    [((10, None), 10, 10), ((None, 10), 10, None), ((5, 10), 5, 5), ((None, None), None, None)],
)
def test_the_smaller_of_both_limits_counts_before_the_acknowledgement(
    limits: Any, before: int | None, after: int | None
) -> None:
    sizes = dict(zip(["max_message_size", "max_message_size_before_ack"], limits, strict=True))
    protocol = protocol_of(NEW, **sizes)
    assert protocol.max_message_size == before
    protocol.received_json(json.loads(INIT))
    protocol.accepted(None)
    assert protocol.max_message_size == after


@BOTH
def test_a_limit_is_in_bytes_and_not_in_characters(dialect: Any) -> None:
    message = json.dumps({"type": "connection_init", "payload": {"a": "ж" * 100}})
    text = message.encode().decode("unicode_escape")
    assert len(text) < 200 < len(text.encode())
    protocol = protocol_of(dialect, max_message_size=200)
    assert protocol.received(text) == [
        Close(CloseCode.BAD_REQUEST, "Message is larger than 200 bytes")
    ]


@pytest.mark.parametrize("how", ["received", "received_json"])
def test_a_later_connection_init_is_kept_as_well_and_as_small(how: str) -> None:
    limits = {"max_message_size": 100_000, "max_message_size_before_ack": 1_000}

    def init(objects: int, **more: Any) -> list[Effect]:
        protocol = ready(LEGACY, **{**limits, **more})
        message = {"type": "connection_init", "payload": {"a": [{}] * objects}}
        text = json.dumps(message)
        return protocol.received(text) if how == "received" else protocol.received_json(message)

    assert isinstance(init(100)[0], Initialize)
    reason = (
        "is larger than 1000 bytes"
        if how == "received"
        else "takes more than 65536 bytes of memory"
    )
    assert init(1_000) == [Close(CloseCode.BAD_REQUEST, f"'connection_init' {reason}")]
    assert isinstance(init(1_000, max_message_size_before_ack=None)[0], Initialize)


@BOTH
@pytest.mark.parametrize("how", ["received", "received_json"])
def test_a_connection_init_takes_little_memory(dialect: Any, how: str) -> None:
    def init(**payload: Any) -> list[Effect]:
        limits = {"max_message_size": 1_000_000, "max_message_size_before_ack": 100_000}
        protocol = protocol_of(dialect, **limits)
        message = {"type": "connection_init", "payload": payload}
        text = json.dumps(message)
        return protocol.received(text) if how == "received" else protocol.received_json(message)

    assert isinstance(init(token="x" * 90_000)[0], Initialize)
    assert isinstance(init(roles=[{"name": "admin"}] * 100)[0], Initialize)
    assert init(roles=[{}] * 2_000) == [
        Close(CloseCode.BAD_REQUEST, "'connection_init' takes more than 200000 bytes of memory")
    ]


@BOTH
@pytest.mark.parametrize("is_ready", [True, False])
def test_what_takes_long_to_decode_is_refused(dialect: Any, is_ready: bool) -> None:
    limits = {"max_message_size": 1_000_000, "max_message_size_before_ack": 100_000}
    protocol = (ready if is_ready else protocol_of)(dialect, **limits)
    most = 62_500 if is_ready else 10_000

    def message(objects: int) -> str:
        return json.dumps({"type": "connection_init", "payload": {"a": [{}] * objects}})

    assert protocol.problem_of(message(most - 3)) is None
    when = "" if is_ready else " before the acknowledgement"
    assert protocol.received(message(most)) == [
        Close(CloseCode.BAD_REQUEST, f"Message has more than {most} objects and arrays{when}")
    ]


@BOTH
@pytest.mark.parametrize("how", ["received", "received_json"])
def test_messages_of_operations_under_way_take_so_much_memory_and_no_more(
    dialect: Any, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_protocol, "LITTLE", 2_000)
    protocol = ready(dialect, max_bytes_in_flight=11_000)

    def begin(id: str, size: int) -> list[Effect]:
        word = "subscribe" if dialect is NEW else "start"
        message = {"type": word, "id": id, "payload": {"query": "x" * size}}
        if how == "received_json":
            return protocol.received_json(message)
        return protocol.received(json.dumps(message))

    # A single one may be as large as a message may be, beside what is little.
    [little] = begin("0", 20)
    [large] = begin("1", 20_000)
    assert isinstance(large, Execute)
    assert isinstance(little, Execute)
    protocol.completed(little.operation)
    [refusal] = begin("2", 100)
    assert isinstance(refusal, Send)
    assert "max_bytes_in_flight" in refusal.frame
    assert '"code":"LIMIT_EXCEEDED"' in refusal.frame
    protocol.completed(large.operation)
    assert protocol.size == 0
    [small] = begin("2", 4_000)
    [other] = begin("3", 4_000)
    assert isinstance(small, Execute)
    assert isinstance(other, Execute)
    assert '"type":"error"' in begin("4", 4_000)[0].frame  # type: ignore[union-attr]
    # What is being stopped is still there.
    stop(protocol, "2")
    assert '"type":"error"' in begin("4", 4_000)[0].frame  # type: ignore[union-attr]
    protocol.stopped(small.operation, was_subscription=False)
    assert isinstance(begin("4", 4_000)[0], Execute)
    protocol.socket_closed()
    assert protocol.size == 0


def test_pings_and_pongs_are_small() -> None:
    for word in ("ping", "pong"):
        protocol = ready(NEW, max_ping_size=100)
        message = {"type": word, "payload": {"a": "ж" * 40}}
        assert isinstance(protocol.received(json.dumps(message)), list)
        assert protocol.state is State.READY
        message = {"type": word, "payload": {"a": "ж" * 50}}
        assert protocol.received(json.dumps(message)) == [
            Close(CloseCode.BAD_REQUEST, f"'payload' of '{word}' is larger than 100 bytes")
        ]


def test_pings_before_the_acknowledgement_are_few() -> None:
    protocol = protocol_of(NEW, max_ping_size=100)
    ping = '{"type":"ping"}'
    for _ in range(EARLY_PINGS):
        assert protocol.received(ping) == [Send('{"type":"pong"}')]
    assert protocol.received(ping) == [
        Close(CloseCode.BAD_REQUEST, "Too many pings before the acknowledgement")
    ]
    for unlimited in (protocol_of(NEW), ready(NEW, max_ping_size=100)):
        for _ in range(EARLY_PINGS + 1):
            assert unlimited.received(ping) == [Send('{"type":"pong"}')]


@BOTH
def test_a_client_that_does_not_read_is_closed(dialect: Any) -> None:
    protocol = ready(dialect)
    assert protocol.stalled() == [Close(CloseCode.TIMEOUT, "Messages were not read in time")]
    assert protocol.stalled() == []
    assert protocol.crowded() == []

"""protocol.md: "Anything else … closes 4400 with a reason"; what is behind it is not executed."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from conformance.peer import BRACKETS, LEGACY, NEW, Peers
from conformance.stage import Stage, consumer

only_new = pytest.mark.parametrize("subprotocol", [NEW])
only_legacy = pytest.mark.parametrize("subprotocol", [LEGACY])


async def assert_bad_request(peer: Any, caplog: pytest.LogCaptureFixture) -> str:
    """The close is 4400 with a reason, for one line in the log without a traceback."""
    code, reason = await peer.closed()
    assert code == 4400
    assert 0 < len(reason.encode()) <= 123
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.exc_info for record in records] == [None]
    return reason


@pytest.mark.parametrize("init", [False, True])
async def test_a_binary_frame_closes_4400(
    peers: Peers, stage: Stage, init: bool, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await peers.connect(consumer(stage), init=init)

    await peer.send_raw_bytes(b'{"type":"connection_init"}')

    assert await assert_bad_request(peer, caplog) == "Message must be a text frame"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{",
        '{"type":"connection_init"',
        "{'type':'ping'}",
        "NaN",
        '["\\ud800"',
        "\x00",
    ],
)
async def test_text_that_is_not_json_closes_4400(
    peers: Peers, stage: Stage, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.send_raw_text(text)

    assert await assert_bad_request(peer, caplog) == "Message must be valid JSON"


@pytest.mark.parametrize("text", ["null", "1", '"ping"', "[]", '[{"type":"ping"}]'])
async def test_json_that_is_no_object_closes_4400(
    peers: Peers, stage: Stage, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.send_raw_text(text)

    assert await assert_bad_request(peer, caplog) == "Message must be a JSON object"


@pytest.mark.parametrize("message", [{}, {"type": None}, {"type": 1}, {"type": {"a": 1}}])
async def test_a_missing_or_odd_type_closes_4400(
    peers: Peers, stage: Stage, message: Any, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.send_raw_message(message)

    assert await assert_bad_request(peer, caplog) == "Message must have a string 'type'"


@only_new
@pytest.mark.parametrize("init", [False, True])
@pytest.mark.parametrize(
    "word",
    ["wrong", "", "PING", "Subscribe", "next", "start", "stop", "connection_terminate", "ж" * 500],
)
async def test_an_unknown_type_closes_4400(
    peers: Peers, stage: Stage, init: bool, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await peers.connect(consumer(stage), init=init)

    await peer.say(word, id="1", payload={"query": "{ hello }"})

    assert (await assert_bad_request(peer, caplog)).startswith("Unknown message type")
    assert stage.executed == []


@only_legacy
@pytest.mark.parametrize("init", [False, True])
@pytest.mark.parametrize("word", ["WRONG", "ping", "pong", "subscribe", "complete", "START"])
async def test_an_unknown_type_is_one_error_for_a_legacy_client_and_the_connection_stays(
    peers: Peers, stage: Stage, init: bool, word: str
) -> None:
    peer = await peers.connect(consumer(stage), init=init)

    await peer.say(word, id="1", payload={"query": "{ hello }"})
    await peer.say(word)

    error = {
        "message": f"Exception: Wrong message type '{word}'!",
        "extensions": {"code": "Exception"},
    }
    assert await peer.hear(2) == [
        {"type": "error", "id": "1", "payload": {"errors": [error]}},
        {"type": "error", "id": None, "payload": {"errors": [error]}},
    ]
    assert stage.executed == []
    await peer.say("connection_init")
    assert await peer.heard() == {"type": "connection_ack"}


@pytest.mark.parametrize("word", ["start_word", "stop_word"])
async def test_an_id_that_each_event_would_have_to_repeat_closes_4400(
    peers: Peers, stage: Stage, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.say(getattr(peer, word), id="x" * 1_000_000, payload={"query": "{ hello }"})

    assert "is longer than 1000 characters" in await assert_bad_request(peer, caplog)
    assert stage.executed == []


ODD_IDS: list[Any] = ["", None, [], {}, ["1"], {"a": 1}, 1.5, True]


@pytest.mark.parametrize("word", ["start_word", "stop_word"])
@pytest.mark.parametrize("rest", [{}, *({"id": id} for id in ODD_IDS)], ids=repr)
async def test_a_missing_empty_or_odd_id_closes_4400(
    peers: Peers, stage: Stage, word: str, rest: Any, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.say(getattr(peer, word), payload={"query": "{ hello }"}, **rest)

    assert "must be a non-empty string" in await assert_bad_request(peer, caplog)
    assert stage.executed == []


@only_new
async def test_an_integer_id_closes_4400(
    peers: Peers, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.ask(1, "{ hello }")

    await assert_bad_request(peer, caplog)


@only_legacy
async def test_an_integer_id_of_a_legacy_client_is_echoed_as_an_integer(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.ask(7, "{ double(value: 2) }")

    assert await peer.hear(2) == [peer.next(7, {"double": 4}), {"type": "complete", "id": 7}]


@pytest.mark.parametrize(
    "payload",
    [
        None,
        "{ hello }",
        ["{ hello }"],
        {},
        {"query": None},
        {"query": 1},
        {"query": ["{ hello }"]},
        {"query": "{ hello }", "operationName": 1},
        {"query": "{ hello }", "variables": [1]},
        {"query": "{ hello }", "variables": "{}"},
        {"query": "{ hello }", "extensions": True},
    ],
    ids=repr,
)
async def test_an_operation_with_fields_of_wrong_types_closes_4400(
    peers: Peers, stage: Stage, payload: Any, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.say(peer.start_word, id="1", payload=payload)

    reason = await assert_bad_request(peer, caplog)
    assert repr(peer.start_word) in reason
    assert stage.executed == []


@pytest.mark.parametrize("payload", ["token", 1, False, []])
async def test_a_payload_of_connection_init_that_is_no_object_closes_4400(
    peers: Peers, stage: Stage, payload: Any, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await peers.connect(consumer(stage), init=False)

    await peer.say("connection_init", payload=payload)

    assert "'payload' of 'connection_init'" in await assert_bad_request(peer, caplog)


@only_new
@pytest.mark.parametrize("word", ["ping", "pong"])
@pytest.mark.parametrize("payload", ["x", 1, []])
async def test_a_payload_of_a_ping_or_pong_that_is_no_object_closes_4400(
    peers: Peers, stage: Stage, word: str, payload: Any, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.say(word, payload=payload)

    assert f"'payload' of '{word}'" in await assert_bad_request(peer, caplog)


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


async def test_a_message_nested_20000_levels_closes_4400(
    peers: Peers, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.send_raw_text(f'{{"type":"connection_init","payload":{{"a":{deep(20_000)}}}}}')

    assert await assert_bad_request(peer, caplog) == "Message must be valid JSON"


@pytest.mark.parametrize("limit", [1_000_000, None])
async def test_20_million_brackets_close_4400(
    peers: Peers, stage: Stage, limit: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await peers.connect(consumer(stage, max_message_size=limit))

    await peer.send_raw_text(BRACKETS)

    await assert_bad_request(peer, caplog)


async def test_a_message_that_is_too_large_closes_4400(
    peers: Peers, stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await peers.connect(consumer(stage, max_message_size=100))

    await peer.ask("1", f"{{ hello }} #{'x' * 100}")

    assert await assert_bad_request(peer, caplog) == "Message is larger than 100 bytes"
    assert stage.executed == []


@only_new
async def test_a_ping_nested_deeply_is_answered_or_closes_4400(peers: Peers, stage: Stage) -> None:
    peer = await peers.connect(consumer(stage))
    payload = f'{{"a":{deep(1_000)}}}'

    await peer.send_raw_text(f'{{"type":"ping","payload":{payload}}}')

    await peer.transport._running.next_event()
    last = peer.sent[-1]
    assert last.get("code") == 4400 or last["text"] == f'{{"type":"pong","payload":{payload}}}'


@pytest.mark.parametrize("levels", [500, 1_000])
async def test_variables_nested_deeply_are_an_error_and_the_connection_lives(
    peers: Peers, stage: Stage, levels: int
) -> None:
    peer = await peers.connect(consumer(stage))
    query = "query ($v: Int!) { double(value: $v) }"
    payload = f'{{"query":{json.dumps(query)},"variables":{{"v":{deep(levels)}}}}}'

    await peer.send_raw_text(f'{{"type":"{peer.start_word}","id":"1","payload":{payload}}}')

    [error] = (await peer.heard())["payload"]["errors"]
    # The first releases of graphql-core 3.2 run out of stack where the last ones count.
    assert error["message"].startswith(("Variable ", "The operation is nested too deeply"))
    assert await peer.heard() == {"type": "complete", "id": "1"}
    assert await peer.lives()


@pytest.mark.parametrize("levels", [500, 5_000, 50_000])
async def test_a_document_nested_deeply_is_an_error_and_the_connection_lives(
    peers: Peers, stage: Stage, levels: int
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.ask("1", f"{{ {'child { ' * levels} hello {'}' * levels} }}")

    [first, *_] = await peer.hear(len(peer.refused("1")))
    [error] = first["payload"] if peer.is_new else first["payload"]["errors"]
    assert "nested too deeply" in error["message"]
    assert await peer.lives()


async def test_behind_an_invalid_message_nothing_is_executed_any_more(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.send_raw_text("{")
    await peer.ask("1", "{ hello }")
    await peer.say("connection_init")

    assert (await peer.closed())[0] == 4400
    assert stage.executed == []
    assert [event["type"] for event in peer.sent].index("websocket.close") == len(peer.sent) - 1


@pytest.mark.parametrize("released", [False, True])
async def test_after_a_close_nothing_that_is_under_way_is_sent_any_more(
    peers: Peers, stage: Stage, released: bool
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", "{ hang }")
    await peer.ask("2", 'subscription { onEvent(publishGate: "publish") { text } }')
    await peer.ask("3", 'mutation { send(text: "a") }')
    await stage.arrival("query")
    await stage.arrival("publish")

    await peer.hear(2)
    await peer.send_raw_text("{")
    if released:
        stage.open_gate("query")
        stage.open_gate("publish")

    assert (await peer.closed())[0] == 4400
    assert peer.sent[-1]["type"] == "websocket.close"
    assert sorted(stage.cancelled) == ([] if released else ["publish", "query"])
    assert stage.unsubscribed == ["2"]


async def test_a_mutation_under_way_comes_to_its_end_after_a_close_and_is_not_answered(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", "mutation { hang }")
    await stage.arrival("mutation")

    await peer.send_raw_text("{")
    stage.open_gate("mutation")

    assert (await peer.closed())[0] == 4400
    assert peer.sent[-1]["type"] == "websocket.close"
    assert stage.cancelled == []

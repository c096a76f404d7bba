"""The calls that send and receive single messages, against transports in memory."""

from __future__ import annotations

import asyncio
import io
import logging
from typing import Any

import pytest

from channels_graphql_ws.client import client as client_module
from channels_graphql_ws.client.client import GraphqlWsClient
from channels_graphql_ws.client.errors import MessagesLostError
from channels_graphql_ws.exceptions import (
    ConnectionClosedError,
    GraphqlWsClientError,
    GraphqlWsResponseError,
    RemoteProtocolError,
)
from scripted_transport import (
    KEEP_ALIVE,
    LEGACY,
    NEW,
    RESULT,
    SAME_ID,
    START,
    STOP,
    AwareTransport,
    ScriptedTransport,
    acknowledging,
    result,
)
from support import tick, wait_until


@pytest.fixture(params=[NEW, LEGACY])
def subprotocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def transport() -> ScriptedTransport:
    return acknowledging()


@pytest.fixture
def client(transport: ScriptedTransport, subprotocol: str) -> GraphqlWsClient:
    return GraphqlWsClient(transport, subprotocol)


def test_the_response_error_is_importable_from_the_module_of_the_client():
    assert client_module.GraphqlWsResponseError is GraphqlWsResponseError


def test_the_default_subprotocol_is_the_new_one(transport):
    assert GraphqlWsClient(transport).subprotocol == NEW


def test_the_transport_is_the_one_given(client, transport):
    assert client.transport is transport


def test_something_that_is_no_transport_is_a_type_error():
    with pytest.raises(TypeError, match="must be a GraphqlWsTransport or a URL, not 7"):
        GraphqlWsClient(7)  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["ftp://x/", "x/graphql/", "WS://x/"])
def test_a_url_of_another_scheme_is_a_value_error_which_names_the_known(url):
    with pytest.raises(ValueError, match=f"must begin with ws://, wss://, .*, not '{url}'"):
        GraphqlWsClient(url)


def test_an_unknown_subprotocol_is_a_value_error_which_names_the_known(transport):
    with pytest.raises(ValueError, match="'graphql-transport-ws' or 'graphql-ws', not 'mqtt'"):
        GraphqlWsClient(transport, "mqtt")


async def test_a_client_is_connected_after_the_ack_and_not_before(client):
    assert not client.connected
    await client.connect_and_init()
    assert client.connected


async def test_the_init_has_no_payload_when_there_are_no_connection_params(client, transport):
    await client.connect_and_init()
    assert transport.sent == [{"type": "connection_init"}]


async def test_connection_params_are_the_payload_of_the_init(transport):
    client = GraphqlWsClient(transport, connection_params={"token": "abc"})
    await client.connect_and_init()
    assert transport.sent == [{"type": "connection_init", "payload": {"token": "abc"}}]


async def test_empty_connection_params_are_sent_as_an_empty_object(transport):
    await GraphqlWsClient(transport, connection_params={}).connect_and_init()
    assert transport.sent == [{"type": "connection_init", "payload": {}}]


async def test_the_payload_of_the_ack_is_readable(client, transport):
    transport.answer("connection_init", {"type": "connection_ack", "payload": {"v": 1}})
    assert client.connection_ack_payload is None
    await client.connect_and_init()
    assert client.connection_ack_payload == {"v": 1}


async def test_a_transport_that_takes_the_subprotocol_is_told(subprotocol):
    transport = acknowledging(AwareTransport())
    await GraphqlWsClient(transport, subprotocol).connect_and_init()
    assert transport.offered == (subprotocol, [subprotocol])


async def test_a_transport_with_the_old_signature_still_connects(client, transport):
    await client.connect_and_init()
    assert transport.connects == 1


async def test_keep_alives_before_the_ack_are_no_problem(client, transport, subprotocol):
    transport.answer(
        "connection_init", {"type": KEEP_ALIVE[subprotocol]}, {"type": "connection_ack"}
    )
    await client.connect_and_init()
    assert client.connected


async def test_a_close_in_place_of_the_ack_is_an_error_with_code_and_reason(client, transport):
    transport.answer("connection_init")
    transport.say(ConnectionClosedError("closed", 4403, "Forbidden"))
    with pytest.raises(ConnectionClosedError) as caught:
        await client.connect_and_init()
    assert (caught.value.code, caught.value.reason) == (4403, "Forbidden")
    assert not client.connected


async def test_a_connection_error_in_place_of_the_ack_says_what_the_server_said(transport):
    client = GraphqlWsClient(transport, LEGACY)
    refusal = {"type": "connection_error", "payload": {"message": "go away"}}
    transport.answer("connection_init", refusal)
    with pytest.raises(ConnectionClosedError, match="go away"):
        await client.connect_and_init()
    assert not client.connected


async def test_another_message_in_place_of_the_ack_is_a_protocol_error(client, transport):
    transport.answer("connection_init", {"type": "surprise"})
    with pytest.raises(RemoteProtocolError, match=r"Expected 'connection_ack'.*surprise"):
        await client.connect_and_init()


async def test_after_finalize_the_client_is_disconnected(client, transport):
    await client.connect_and_init()
    await client.finalize()
    assert not client.connected
    assert transport.disconnects == 1


async def test_finalize_closes_a_connection_which_was_never_acknowledged(client, transport):
    transport.answer("connection_init", {"type": "surprise"})
    with pytest.raises(RemoteProtocolError):
        await client.connect_and_init()
    await client.finalize()
    assert transport.disconnects == 1


async def test_finalize_without_a_connection_is_harmless(client, transport):
    await client.finalize()
    assert transport.disconnects == 0


async def test_wait_disconnect_returns_code_and_reason_and_disconnects(client, transport):
    await client.connect_and_init()
    closed = await client.wait_disconnect()
    assert (closed["code"], closed["reason"]) == (4400, "Bad")
    assert not client.connected
    await client.finalize()
    assert transport.disconnects == 0


async def test_a_lost_connection_surfaces_in_receive_and_ends_connected(client, transport):
    await client.connect_and_init()
    transport.say(ConnectionClosedError("lost", 1006))
    with pytest.raises(ConnectionClosedError, match="lost"):
        await client.receive()
    assert not client.connected
    await client.finalize()
    assert transport.disconnects == 1


async def test_start_sends_the_dedented_query_in_the_words_of_the_dialect(
    client, transport, subprotocol
):
    query = """
        query Q($n: Int) {
            field
        }
    """
    op_id = await client.start(query, variables={"n": 1}, operation_name="Q")
    assert transport.sent == [
        {
            "type": START[subprotocol],
            "id": op_id,
            "payload": {
                "query": "\nquery Q($n: Int) {\n    field\n}\n",
                "variables": {"n": 1},
                "operationName": "Q",
            },
        }
    ]


async def test_start_sends_empty_variables_and_no_name_by_default(client, transport):
    await client.start("{ a }")
    assert transport.sent[0]["payload"] == {
        "query": "{ a }",
        "variables": {},
        "operationName": None,
    }


async def test_automatic_ids_are_different_hexadecimal_texts(client):
    ids = [await client.start("{ a }"), await client.start("{ a }", msg_id=client.AUTO)]
    assert len(set(ids)) == 2
    assert all(len(id) == 32 and int(id, 16) for id in ids)


@pytest.mark.parametrize("explicit", ["mine", 7, None])
async def test_an_explicit_id_is_used_as_it_is(client, transport, explicit):
    assert await client.start("{ a }", msg_id=explicit) == explicit
    assert transport.sent[0]["id"] == explicit


async def test_complete_asks_the_server_to_stop(client, transport, subprotocol):
    await client.complete("a")
    assert transport.sent == [{"type": STOP[subprotocol], "id": "a"}]


async def test_receive_returns_the_payload_of_the_next_message(client, transport, subprotocol):
    transport.say(result(subprotocol, "a", data=1), {"type": "complete", "id": "a"})
    assert await client.receive() == {"data": 1}
    assert await client.receive() is None


async def test_a_raw_response_is_the_whole_message(client, transport, subprotocol):
    message = result(subprotocol, "a", data=1)
    transport.say(message)
    assert await client.receive(raw_response=True) == message


async def test_a_ping_is_answered_at_once_with_its_payload(transport):
    client = GraphqlWsClient(transport)
    transport.say({"type": "ping", "payload": {"n": 1}}, {"type": "ping"}, {"type": "pong"})
    transport.say(result(NEW, "a", data=1))
    assert await client.receive() == {"data": 1}
    assert transport.sent == [{"type": "pong", "payload": {"n": 1}}, {"type": "pong"}]


async def test_keep_alives_of_the_legacy_protocol_are_skipped_in_silence(transport):
    client = GraphqlWsClient(transport, LEGACY)
    transport.say({"type": "ka"}, result(LEGACY, "a", data=1))
    assert await client.receive() == {"data": 1}
    assert transport.sent == []


async def test_the_legacy_protocol_has_no_ping(transport):
    client = GraphqlWsClient(transport, LEGACY)
    transport.say({"type": "ping"})
    assert await client.receive(raw_response=True) == {"type": "ping"}
    assert transport.sent == []


async def test_what_was_said_before_the_close_is_read_though_the_pong_can_not_be_sent(
    transport, monkeypatch
):
    async def refuse(message: dict[str, Any]) -> None:
        raise ConnectionClosedError("gone")

    client = GraphqlWsClient(transport)
    transport.say({"type": "ping"}, result(NEW, "a", data=1))
    monkeypatch.setattr(transport, "send", refuse)
    assert await client.receive() == {"data": 1}


async def test_wait_id_skips_other_ids_and_messages_without_one(client, transport, subprotocol):
    transport.say({"type": "notice"}, result(subprotocol, "b", data=2))
    transport.say(result(subprotocol, "a", data=1))
    assert await client.receive(wait_id="a") == {"data": 1}


async def test_what_was_kept_is_looked_through_first(client, transport, subprotocol):
    transport.answer(
        START[subprotocol],
        *(result(subprotocol, id, data=id) for id in "bac"),
        result(subprotocol, SAME_ID, data=1),
        {"type": "complete", "id": SAME_ID},
    )
    await client.execute("{ a }")
    assert await client.receive(wait_id="a") == {"data": "a"}
    assert await client.receive() == {"data": "c"}
    assert not client._router.unclaimed


async def test_skipped_messages_are_logged(client, transport, subprotocol, caplog):
    caplog.set_level(logging.INFO, logger="channels_graphql_ws.client")
    transport.say(result(subprotocol, "b", data=2), result(subprotocol, "a", data=1))
    await client.receive(wait_id="a")
    assert [record.getMessage() for record in caplog.records] == [
        f"Dropped a message of type '{RESULT[subprotocol]}' and id 'b'"
    ]


async def test_a_wrong_id_is_a_protocol_error_that_shows_the_message(
    client, transport, subprotocol
):
    transport.say(result(subprotocol, "b", data=2))
    with pytest.raises(RemoteProtocolError, match=r"id 'a', the server sent.*'id': 'b'"):
        await client.receive(assert_id="a")


async def test_a_wrong_type_is_a_protocol_error_that_shows_the_message(client, transport):
    transport.say({"type": "complete", "id": "a"})
    with pytest.raises(RemoteProtocolError, match=r"type 'next', the server sent.*'complete'"):
        await client.receive(assert_type="next")


async def test_right_id_and_right_type_pass(client, transport, subprotocol):
    transport.say(result(subprotocol, "a", data=1))
    kind = RESULT[subprotocol]
    assert await client.receive(assert_id="a", assert_type=kind) == {"data": 1}


async def test_errors_in_the_payload_raise_a_response_error(client, transport, subprotocol):
    message = result(subprotocol, "a", data=None, errors=[{"message": "no"}])
    transport.say(message)
    with pytest.raises(GraphqlWsResponseError) as caught:
        await client.receive()
    assert caught.value.response == message
    assert str(caught.value) == f"Error in GraphQL response: {message}!"


async def test_a_message_of_type_error_raises_a_response_error(client, transport):
    message = {"type": "error", "id": "a", "payload": [{"message": "no"}]}
    transport.say(message)
    with pytest.raises(GraphqlWsResponseError) as caught:
        await client.receive(assert_type="next")
    assert caught.value.response == message


async def test_null_errors_are_no_errors(client, transport, subprotocol):
    transport.say(result(subprotocol, "a", data=1, errors=None))
    assert await client.receive() == {"data": 1, "errors": None}


async def test_a_connection_error_is_returned_not_raised(transport):
    client = GraphqlWsClient(transport, LEGACY)
    transport.say({"type": "connection_error", "payload": {"message": "no"}})
    assert await client.receive(assert_type="connection_error") == {"message": "no"}


async def test_receive_times_out_with_the_built_in_error(client, transport):
    transport.TIMEOUT = 0
    with pytest.raises(asyncio.TimeoutError):
        await client.receive()


async def test_pings_do_not_prolong_the_wait_beyond_its_time(transport, monkeypatch):
    async def endless_pings(timeout: float | None = None) -> dict[str, Any]:
        await tick()
        return {"type": "ping"}

    client = GraphqlWsClient(transport)
    monkeypatch.setattr(transport, "receive", endless_pings)
    with pytest.raises(TimeoutError):
        await client.receive(timeout=0)


async def test_a_message_after_a_timeout_is_not_lost(client, transport, subprotocol):
    with pytest.raises(TimeoutError):
        await client.receive(timeout=0)
    transport.say(result(subprotocol, "a", data=1))
    assert await client.receive() == {"data": 1}


async def test_receive_next_returns_a_result_of_the_operation(client, transport, subprotocol):
    transport.say(result(subprotocol, "a", data=1))
    assert await client.receive_next("a") == {"data": 1}


async def test_receive_next_refuses_a_complete(client, transport):
    transport.say({"type": "complete", "id": "a"})
    with pytest.raises(RemoteProtocolError):
        await client.receive_next("a")


async def test_receive_complete_takes_the_complete_of_the_operation(client, transport):
    transport.say({"type": "complete", "id": "a"})
    assert await client.receive_complete("a") is None


async def test_receive_complete_refuses_the_complete_of_another(client, transport):
    transport.say({"type": "complete", "id": "b"})
    with pytest.raises(RemoteProtocolError):
        await client.receive_complete("a")


async def test_execute_returns_the_payload_and_consumes_the_complete(
    client, transport, subprotocol
):
    transport.answer(
        START[subprotocol],
        result(subprotocol, SAME_ID, data={"a": 1}),
        {"type": "complete", "id": SAME_ID},
        {"type": "notice", "payload": "next in line"},
    )
    assert await client.execute("query Q { a }", {"x": 1}, operation_name="Q") == {
        "data": {"a": 1}
    }
    assert transport.sent[0]["payload"]["variables"] == {"x": 1}
    assert transport.sent[0]["payload"]["operationName"] == "Q"
    assert await client.receive() == "next in line"


async def test_execute_keeps_messages_of_other_operations_in_their_order(
    client, transport, subprotocol
):
    transport.answer(
        START[subprotocol],
        result(subprotocol, "other", data=1),
        result(subprotocol, SAME_ID, data=2),
        result(subprotocol, "other", data=3),
        {"type": "complete", "id": SAME_ID},
        result(subprotocol, "other", data=4),
    )
    assert await client.execute("{ a }") == {"data": 2}
    for number in (1, 3, 4):
        assert await client.receive_next("other") == {"data": number}


async def test_execute_raises_on_errors_and_has_consumed_the_complete(
    client, transport, subprotocol
):
    transport.answer(
        START[subprotocol],
        result(subprotocol, SAME_ID, data=None, errors=[{"message": "no"}]),
        {"type": "complete", "id": SAME_ID},
        {"type": "notice", "payload": "next in line"},
    )
    with pytest.raises(GraphqlWsResponseError):
        await client.execute("{ a }")
    assert await client.receive() == "next in line"


async def test_execute_raises_at_once_on_an_error_because_no_complete_follows(
    client, transport, subprotocol
):
    transport.answer(
        START[subprotocol],
        {"type": "error", "id": SAME_ID, "payload": [{"message": "no"}]},
        {"type": "notice", "payload": "next in line"},
    )
    with pytest.raises(GraphqlWsResponseError):
        await client.execute("{ a }")
    assert await client.receive() == "next in line"


async def test_a_complete_without_a_result_is_a_protocol_error(client, transport, subprotocol):
    transport.answer(START[subprotocol], {"type": "complete", "id": SAME_ID})
    with pytest.raises(RemoteProtocolError):
        await client.execute("{ a }")


async def test_a_second_result_is_a_protocol_error(client, transport, subprotocol):
    answer = result(subprotocol, SAME_ID, data=1)
    transport.answer(START[subprotocol], answer, answer)
    with pytest.raises(RemoteProtocolError, match="more than one result"):
        await client.execute("{ a }")


async def test_subscribe_waits_for_the_confirmation(client, transport, subprotocol):
    transport.answer(
        START[subprotocol],
        result(subprotocol, SAME_ID, data=None),
        result(subprotocol, SAME_ID, data="first event"),
    )
    op_id = await client.subscribe("subscription { a }", variables={"x": 1})
    assert transport.sent[0]["payload"]["variables"] == {"x": 1}
    assert await client.receive_next(op_id) == {"data": "first event"}


async def test_subscribe_without_a_confirmation_does_not_wait(client, transport):
    op_id = await client.subscribe("subscription { a }", wait_confirmation=False)
    assert transport.sent[0]["id"] == op_id


async def test_a_refused_subscription_raises(client, transport, subprotocol):
    transport.answer(START[subprotocol], {"type": "error", "id": SAME_ID, "payload": [{}]})
    with pytest.raises(GraphqlWsResponseError):
        await client.subscribe("subscription { a }")


async def test_wait_response_returns_the_first_payload_that_passes(client, transport, subprotocol):
    transport.say(*(result(subprotocol, "a", data=n) for n in range(5)))
    assert await client.wait_response(lambda payload: payload["data"] == 3) == {"data": 3}
    assert await client.receive() == {"data": 4}


async def test_wait_response_times_out(client, transport, subprotocol):
    transport.say(result(subprotocol, "a", data=1))
    with pytest.raises(asyncio.TimeoutError):
        await client.wait_response(lambda _: False, timeout=0)


async def test_the_time_of_wait_response_is_the_transports_by_default(client, transport):
    transport.TIMEOUT = 0
    with pytest.raises(asyncio.TimeoutError):
        await client.wait_response(lambda _: True)


def test_every_error_of_the_client_is_of_one_tree():
    errors = ConnectionClosedError, GraphqlWsResponseError, RemoteProtocolError
    assert all(issubclass(error, GraphqlWsClientError) for error in errors)


async def test_two_executions_at_once_each_get_their_own_answer(client, transport, subprotocol):
    first, second = (
        asyncio.create_task(client.execute(query)) for query in ("{ first }", "{ second }")
    )
    await wait_until(lambda: len(transport.sent) == 2)
    ids = {sent["payload"]["query"]: sent["id"] for sent in transport.sent}
    for query in ("{ second }", "{ first }"):
        transport.say(result(subprotocol, ids[query], data=query))
    for query in ("{ first }", "{ second }"):
        transport.say({"type": "complete", "id": ids[query]})
    assert await first == {"data": "{ first }"}
    assert await second == {"data": "{ second }"}


async def test_a_thousand_executions_at_once_are_answered(client, transport, subprotocol):
    transport.answer(
        START[subprotocol],
        result(subprotocol, SAME_ID, data=1),
        {"type": "complete", "id": SAME_ID},
    )
    answers = await asyncio.gather(*(client.execute("{ a }") for _ in range(1000)))
    assert answers == [{"data": 1}] * 1000


async def test_receive_waits_beside_an_execution_and_gets_what_is_left(
    client, transport, subprotocol
):
    receiving = asyncio.create_task(client.receive())
    executing = asyncio.create_task(client.execute("{ a }"))
    await wait_until(lambda: transport.sent)
    transport.say(result(subprotocol, "other", data=1))
    transport.say(result(subprotocol, transport.sent[0]["id"], data=2))
    transport.say({"type": "complete", "id": transport.sent[0]["id"]})
    assert await receiving == {"data": 1}
    assert await executing == {"data": 2}


async def test_who_reads_for_all_may_be_cancelled(client, transport, subprotocol):
    reading = asyncio.create_task(client.receive())
    await tick()
    waiting = [asyncio.create_task(client.receive()) for _ in range(3)]
    await tick()
    for gone in (waiting[0], reading):
        gone.cancel()
    await asyncio.wait([reading, waiting[0]])
    transport.say(result(subprotocol, "a", data=1), result(subprotocol, "a", data=2))
    answers = [await each for each in waiting[1:]]
    assert sorted(answer["data"] for answer in answers) == [1, 2]


async def test_two_may_wait_for_messages_of_different_ids(client, transport, subprotocol):
    first, second = (asyncio.create_task(client.receive(wait_id=id)) for id in ("a", "b"))
    await tick(3)
    transport.say(result(subprotocol, "b", data="b"), result(subprotocol, "a", data="a"))
    assert await first == {"data": "a"}
    assert await second == {"data": "b"}


async def test_two_may_wait_for_messages_of_one_id(client, transport, subprotocol):
    both = [asyncio.create_task(client.receive(wait_id="a")) for _ in range(2)]
    await tick(3)
    transport.say(result(subprotocol, "a", data=1), result(subprotocol, "a", data=2))
    assert [(await each)["data"] for each in both] == [1, 2]


async def test_what_came_for_one_who_has_just_been_cancelled_is_not_lost(
    client, transport, subprotocol
):
    waiting = asyncio.create_task(client.receive(wait_id="a"))
    other = asyncio.create_task(client.receive(wait_id="b"))
    await tick(3)
    client._router.deliver(result(subprotocol, "a", data=1))
    waiting.cancel()
    other.cancel()
    await asyncio.wait([waiting, other])
    assert await client.receive() == {"data": 1}
    assert client._router._expected == {}


async def test_who_cancels_an_execution_stops_it_and_its_late_answer_is_dropped(
    client, transport, subprotocol
):
    executing = asyncio.create_task(client.execute("{ a }"))
    await wait_until(lambda: transport.sent)
    executing.cancel()
    await asyncio.wait([executing])
    await wait_until(lambda: len(transport.sent) == 2)
    id = transport.sent[0]["id"]
    assert transport.sent[1] == {"type": STOP[subprotocol], "id": id}
    transport.say(result(subprotocol, id, data="late"), {"type": "complete", "id": id})
    transport.say(result(subprotocol, "other", data=1))
    assert await client.receive() == {"data": 1}


async def test_an_execution_that_takes_too_long_is_stopped_and_the_error_says_what_to_do(
    client, transport, subprotocol
):
    transport.TIMEOUT = 0.001
    with pytest.raises(TimeoutError, match=r"Waited 0.001 s for an answer .*See timeout"):
        await client.execute("{ a }")
    await wait_until(lambda: len(transport.sent) == 2)
    assert transport.sent[1]["type"] == STOP[subprotocol]


async def test_an_execution_that_cannot_be_sent_is_not_stopped(client, transport, monkeypatch):
    async def refuse(message: dict[str, Any]) -> None:
        raise ConnectionClosedError("gone")

    monkeypatch.setattr(transport, "send", refuse)
    with pytest.raises(ConnectionClosedError, match="gone"):
        await client.execute("{ a }")


async def test_a_stop_that_cannot_be_sent_any_more_does_no_harm(client, transport, monkeypatch):
    executing = asyncio.create_task(client.execute("{ a }"))
    await wait_until(lambda: transport.sent)

    async def refuse(message: dict[str, Any]) -> None:
        raise ConnectionClosedError("gone")

    monkeypatch.setattr(transport, "send", refuse)
    executing.cancel()
    await asyncio.wait([executing])
    await client.finalize()


async def test_a_confirmation_that_never_comes_is_an_error_which_names_the_option(
    client, transport, subprotocol
):
    transport.TIMEOUT = 0.001
    with pytest.raises(TimeoutError, match="wait_confirmation=False"):
        await client.subscribe("subscription { a }")
    await wait_until(lambda: len(transport.sent) == 2)
    assert transport.sent[1] == {"type": STOP[subprotocol], "id": transport.sent[0]["id"]}


async def test_events_of_a_subscription_that_was_given_up_are_not_received(
    client, transport, subprotocol
):
    transport.TIMEOUT = 0.001
    with pytest.raises(TimeoutError):
        await client.subscribe("subscription { a }")
    transport.TIMEOUT = 20
    id = transport.sent[0]["id"]
    transport.say(result(subprotocol, id, data="late"), {"type": "complete", "id": id})
    transport.say(result(subprotocol, "other", data=1))
    assert await client.receive() == {"data": 1}
    assert client._router.abandoned == set()


async def test_subscribe_keeps_messages_of_other_operations(client, transport, subprotocol):
    transport.answer(
        START[subprotocol],
        result(subprotocol, "other", data="before"),
        result(subprotocol, SAME_ID, data=None),
        result(subprotocol, "other", data="after"),
    )
    await client.subscribe("subscription { a }")
    assert await client.receive_next("other") == {"data": "before"}
    assert await client.receive_next("other") == {"data": "after"}


async def test_a_refused_connection_is_closed_and_its_code_can_still_be_asked_for(transport):
    client = GraphqlWsClient(transport)
    transport.answer("connection_init")
    transport.drop(4403, "Forbidden")
    with pytest.raises(ConnectionClosedError):
        await client.connect_and_init()
    assert transport.disconnects == 1
    closed = await client.wait_disconnect()
    assert (closed["code"], closed["reason"]) == (4403, "Forbidden")
    await client.finalize()
    assert transport.disconnects == 1


async def test_an_acknowledgement_that_never_comes_is_an_error_and_the_connection_is_closed(
    transport,
):
    client = GraphqlWsClient(transport)
    transport.answer("connection_init")
    transport.TIMEOUT = 0.001
    with pytest.raises(TimeoutError, match=r"for connection_ack.*is it a GraphQL server"):
        await client.connect_and_init()
    assert transport.disconnects == 1


async def test_a_ping_that_cannot_be_answered_before_the_ack_does_no_harm(transport, monkeypatch):
    client, send = GraphqlWsClient(transport), transport.send
    transport.answer("connection_init", {"type": "ping"}, {"type": "connection_ack"})

    async def refuse_pongs(message: dict[str, Any]) -> None:
        if message["type"] == "pong":
            raise ConnectionClosedError("gone")
        await send(message)

    monkeypatch.setattr(transport, "send", refuse_pongs)
    await client.connect_and_init()
    assert client.connected


@pytest.mark.parametrize("params", [lambda: {"token": "new"}, None])
async def test_connection_params_may_be_a_function_or_a_coroutine_function(transport, params):
    async def later() -> dict[str, Any]:
        await tick()
        return {"token": "new"}

    await GraphqlWsClient(transport, connection_params=params or later).connect_and_init()
    assert transport.sent == [{"type": "connection_init", "payload": {"token": "new"}}]


async def test_a_message_that_nobody_receives_in_time_is_told(transport):
    client = GraphqlWsClient(transport)
    await client.start("{ a }", msg_id="a")
    for number in range(20_000):
        client._router.deliver(result(NEW, "a", data=number))
    with pytest.raises(MessagesLostError, match="3616 messages were dropped") as caught:
        await client.receive()
    assert caught.value.count == 3616
    assert await client.receive() == {"data": 3616}


@pytest.mark.parametrize("id", [[], {}, 1.5, True, None])
async def test_an_id_of_no_operation_is_received_as_it_is(client, transport, subprotocol, id):
    message = result(subprotocol, id, data=1)
    transport.say(message)
    assert await client.receive(raw_response=True) == message


async def test_a_file_in_the_variables_is_refused_as_it_cannot_be_sent(client):
    with pytest.raises(TypeError, match=r"variables.picture is a file, .* http://"):
        await client.start("mutation { a }", variables={"picture": io.BytesIO(b"")})

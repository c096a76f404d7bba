"""The client, against transports that play the server's part in memory."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from channels_graphql_ws.client import client as client_module
from channels_graphql_ws.client.client import GraphqlWsClient
from channels_graphql_ws.client.transport import GraphqlWsTransport
from channels_graphql_ws.exceptions import (
    ConnectionClosedError,
    GraphqlWsClientError,
    GraphqlWsResponseError,
    RemoteProtocolError,
)
from support import tick

NEW = "graphql-transport-ws"
LEGACY = "graphql-ws"
SAME_ID = object()

RESULT = {NEW: "next", LEGACY: "data"}
START = {NEW: "subscribe", LEGACY: "start"}
STOP = {NEW: "complete", LEGACY: "stop"}
KEEP_ALIVE = {NEW: "ping", LEGACY: "ka"}


class ScriptedTransport(GraphqlWsTransport):
    """Answers messages as the test says; its `connect` has the predecessor's signature."""

    TIMEOUT = 20

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.connects = 0
        self.disconnects = 0
        self._script: dict[str, list[dict[str, Any]]] = {}
        self._inbox: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue()

    def answer(self, type: str, *messages: dict[str, Any]) -> None:
        self._script[type] = list(messages)

    def say(self, *messages: dict[str, Any] | Exception) -> None:
        for message in messages:
            self._inbox.put_nowait(message)

    async def connect(self, timeout: float | None = None) -> None:
        self.connects += 1

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        for template in self._script.get(message["type"], []):
            answer = dict(template)
            if answer.get("id") is SAME_ID:
                answer["id"] = message["id"]
            self.say(answer)

    async def receive(self, timeout: float | None = None) -> dict[str, Any]:
        async with asyncio.timeout(self.TIMEOUT if timeout is None else timeout):
            message = await self._inbox.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def disconnect(self, timeout: float | None = None) -> None:
        self.disconnects += 1

    async def wait_disconnect(self, timeout: float | None = None) -> dict[str, Any]:
        return {"type": "websocket.close", "code": 4400, "reason": "Bad"}


class AwareTransport(ScriptedTransport):
    """Its `connect` takes the subprotocol."""

    offered: str | None = None

    async def connect(self, timeout: float | None = None, subprotocol: str = "none") -> None:
        self.offered = subprotocol


@pytest.fixture(params=[NEW, LEGACY])
def subprotocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def transport() -> ScriptedTransport:
    transport = ScriptedTransport()
    transport.answer("connection_init", {"type": "connection_ack"})
    return transport


@pytest.fixture
def client(transport: ScriptedTransport, subprotocol: str) -> GraphqlWsClient:
    return GraphqlWsClient(transport, subprotocol)


def result(subprotocol: str, id: Any, **payload: Any) -> dict[str, Any]:
    return {"type": RESULT[subprotocol], "id": id, "payload": payload}


def test_the_response_error_is_importable_from_the_module_of_the_client():
    assert client_module.GraphqlWsResponseError is GraphqlWsResponseError


def test_the_default_subprotocol_is_the_new_one(transport):
    assert GraphqlWsClient(transport).subprotocol == NEW


def test_the_transport_is_the_one_given(client, transport):
    assert client.transport is transport


def test_something_that_is_no_transport_is_a_type_error():
    with pytest.raises(TypeError, match="must be a GraphqlWsTransport, not 'ws://"):
        GraphqlWsClient("ws://localhost")  # type: ignore[arg-type]


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
    transport = AwareTransport()
    transport.answer("connection_init", {"type": "connection_ack"})
    await GraphqlWsClient(transport, subprotocol).connect_and_init()
    assert transport.offered == subprotocol


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


async def test_skipped_messages_are_logged(client, transport, subprotocol, caplog):
    caplog.set_level(logging.INFO, logger="channels_graphql_ws.client")
    transport.say(result(subprotocol, "b", data=2), result(subprotocol, "a", data=1))
    await client.receive(wait_id="a")
    assert [record.getMessage() for record in caplog.records] == [
        f"Dropped a message of type '{RESULT[subprotocol]}' and id 'b' while waiting for id 'a'"
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


async def test_execute_drops_messages_of_other_operations(client, transport, subprotocol):
    transport.answer(
        START[subprotocol],
        result(subprotocol, "other", data=1),
        result(subprotocol, SAME_ID, data=2),
        result(subprotocol, "other", data=3),
        {"type": "complete", "id": SAME_ID},
        result(subprotocol, "other", data=4),
    )
    assert await client.execute("{ a }") == {"data": 2}
    assert await client.receive_next("other") == {"data": 4}


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
    with pytest.raises(RemoteProtocolError, match="type 'complete'"):
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

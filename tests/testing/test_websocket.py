"""What users' tests import, against small ASGI applications written by hand."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from channels_graphql_ws import testing
from channels_graphql_ws.client import aiohttp_transport, client, transport
from channels_graphql_ws.client.transport import ConnectionRejectedError, SubprotocolMismatchError
from channels_graphql_ws.exceptions import (
    ConnectionClosedError,
    GraphqlWsClientError,
    RemoteProtocolError,
)
from channels_graphql_ws.operations.session import OBSERVER
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from support import tick

NEW = "graphql-transport-ws"
LEGACY = "graphql-ws"
RESULT = {NEW: "next", LEGACY: "data"}

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]


class Application:
    """An ASGI application which accepts, then answers each message as `answers` says.

    The events it received are in `events`; it ends with the disconnect.
    """

    def __init__(self, **answers: list[Event]) -> None:
        self.answers = answers
        self.scopes: list[Event] = []
        self.events: list[Event] = []
        self.accepted: str | None = "first"
        self.greeting: list[Event] = []
        self.ended = 0

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        self.events.append(await receive())
        first = scope["subprotocols"][0]
        chosen = first if self.accepted == "first" else self.accepted
        await send({"type": "websocket.accept", "subprotocol": chosen})
        for event in self.greeting:
            await send(event)
        try:
            await self._answer(receive, send)
        finally:
            self.ended += 1

    async def _answer(self, receive: Receive, send: Send) -> None:
        while True:
            event = await receive()
            self.events.append(event)
            if event["type"] == "websocket.disconnect":
                return
            message = json.loads(event.get("text") or '{"type": "binary"}')
            for answer in self.answers.get(message["type"], []):
                await send(filled(answer, message))


def filled(answer: Event, message: Event) -> Event:
    """Give an answer the id and payload of the message where it has a mark for them."""
    if answer["type"].startswith("websocket."):
        return answer
    marks = {"<id>": message.get("id"), "<payload>": message.get("payload")}
    return text(
        {
            key: marks.get(value, value) if isinstance(value, str) else value
            for key, value in answer.items()
        }
    )


def text(message: Any) -> Event:
    return {"type": "websocket.send", "text": json.dumps(message)}


def close(code: int, reason: str | None = None) -> Event:
    return {"type": "websocket.close", "code": code, "reason": reason}


ACK: Event = {"type": "connection_ack"}
PONG: Event = {"type": "pong", "payload": "<payload>"}


@pytest.fixture(params=[NEW, LEGACY])
def subprotocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def app() -> Application:
    return Application(connection_init=[ACK], ping=[PONG])


@pytest.fixture
async def wire(app: Application) -> AsyncIterator[GraphqlWsTransport]:
    wire = GraphqlWsTransport(app, "/graphql/")
    yield wire
    await wire.disconnect()


@pytest.fixture
async def user(app: Application, subprotocol: str) -> AsyncIterator[GraphqlWsClient]:
    user = GraphqlWsClient(
        GraphqlWsTransport(app, "/graphql/", subprotocol=subprotocol), subprotocol
    )
    yield user
    await user.finalize()


def test_the_public_names_are_listed_and_sorted():
    assert testing.__all__ == sorted(testing.__all__)
    assert issubclass(GraphqlWsClient, client.GraphqlWsClient)
    assert issubclass(GraphqlWsTransport, transport.GraphqlWsTransport)


def test_it_works_where_daphne_is_not_installed_and_leaves_channels_testing_alone():
    program = f"""
import sys
sys.path[:] = {sys.path!r}
sys.modules["daphne"] = None
import asyncio
from channels_graphql_ws.testing import GraphqlWsTransport

async def app(scope, receive, send):
    await receive()
    await send({{"type": "websocket.accept", "subprotocol": scope["subprotocols"][0]}})
    await receive()

async def main():
    wire = GraphqlWsTransport(app, "graphql/")
    await wire.connect()
    await wire.disconnect()

asyncio.run(main())
print("channels.testing" in sys.modules)
"""
    command = [sys.executable, "-c", program]
    result = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
    assert result.stdout.strip() == "False"


async def test_the_application_gets_a_websocket_scope(app):
    headers = [(b"cookie", b"session=1")]
    wire = GraphqlWsTransport(app, "/graphql/caf%C3%A9/?a=1&b=%202", {"headers": headers})
    await wire.connect()
    await wire.disconnect()
    # What tells the kit of operations is the only thing that no server has.
    assert list(app.scopes[0].pop("extensions")) == [OBSERVER]
    assert app.scopes == [
        {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "scheme": "ws",
            "path": "/graphql/café/",
            "query_string": b"a=1&b=%202",
            "headers": headers,
            "client": ["127.0.0.1", 50_000],
            "server": ["testserver", 80],
            "subprotocols": [NEW],
        }
    ]
    assert app.events == [
        {"type": "websocket.connect"},
        {"type": "websocket.disconnect", "code": 1000},
    ]


async def test_a_path_without_a_leading_slash_is_accepted(app):
    wire = GraphqlWsTransport(application=app, path="graphql/")
    await wire.connect()
    await wire.disconnect()
    assert app.scopes[0]["path"] == "/graphql/"


async def test_the_specification_version_can_be_chosen(app):
    wire = GraphqlWsTransport(app, "/", communicator_kwds={"spec_version": "2.4"})
    await wire.connect()
    await wire.disconnect()
    assert app.scopes[0]["spec_version"] == "2.4"
    assert app.scopes[0]["asgi"]["spec_version"] == "2.4"


def test_an_unknown_keyword_is_a_type_error(app):
    with pytest.raises(TypeError, match="client_ip"):
        GraphqlWsTransport(app, "/", {"client_ip": "127.0.0.1"})


async def test_the_subprotocol_is_the_only_one_offered(app):
    wire = GraphqlWsTransport(app, "/", subprotocol=LEGACY)
    await wire.connect()
    await wire.disconnect()
    assert app.scopes[0]["subprotocols"] == [LEGACY]


async def test_the_transport_connects_again_with_a_scope_of_its_own(app, wire):
    for _ in range(2):
        await wire.connect()
        app.scopes[-1]["headers"].append((b"x", b"y"))
        await wire.disconnect()
    assert [len(scope["headers"]) for scope in app.scopes] == [1, 1]
    assert app.ended == 2


async def test_connecting_twice_is_an_error(wire):
    await wire.connect()
    with pytest.raises(GraphqlWsClientError, match="connected already"):
        await wire.connect()


async def test_a_refused_connection_is_a_runtime_error_with_the_code():
    async def refuse(scope, receive, send):
        await receive()
        await send(close(4403, "Forbidden"))
        assert await receive() == {"type": "websocket.disconnect", "code": 4403}

    wire = GraphqlWsTransport(refuse, "/")
    with pytest.raises(RuntimeError, match="with code 4403: Forbidden") as caught:
        await wire.connect()
    assert isinstance(caught.value, ConnectionRejectedError)
    assert (caught.value.code, caught.value.reason) == (4403, "Forbidden")


async def test_a_refusal_without_a_code_is_1000():
    async def refuse(scope, receive, send):
        await send({"type": "websocket.close"})

    with pytest.raises(ConnectionRejectedError) as caught:
        await GraphqlWsTransport(refuse, "/").connect()
    assert caught.value.code == 1000


async def test_accepting_only_to_close_is_a_rejection_with_code_and_reason(app, wire):
    app.accepted = None
    app.greeting = [close(4406, "Subprotocol not acceptable")]
    with pytest.raises(ConnectionRejectedError, match="4406: Subprotocol not acc") as caught:
        await wire.connect()
    assert caught.value.code == 4406
    assert app.ended == 1


@pytest.mark.parametrize("chosen", [None, "mqtt"])
async def test_another_subprotocol_is_a_mismatch_and_the_application_is_told(app, wire, chosen):
    app.accepted = chosen
    app.greeting = [text({"type": "hello"})]
    with pytest.raises(SubprotocolMismatchError) as caught:
        await wire.connect()
    assert caught.value.chosen == chosen
    assert app.events[-1] == {"type": "websocket.disconnect", "code": 1006}


async def test_another_first_event_is_a_protocol_error():
    async def talk(scope, receive, send):
        await send(text({"type": "hello"}))

    with pytest.raises(RemoteProtocolError, match="to accept or close"):
        await GraphqlWsTransport(talk, "/").connect()


async def test_an_exception_of_the_application_surfaces_in_connect():
    async def fail(scope, receive, send):
        raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        await GraphqlWsTransport(fail, "/").connect()


async def test_an_application_that_never_answers_times_out_and_is_cancelled():
    cancelled = asyncio.Event()

    async def hang(scope, receive, send):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    wire = GraphqlWsTransport(hang, "/")
    with pytest.raises(asyncio.TimeoutError):
        await wire.connect(timeout=0.001)
    assert cancelled.is_set()
    with pytest.raises(ConnectionClosedError, match="not connected"):
        await wire.receive()


async def test_messages_travel_in_both_directions_and_in_order(app, wire):
    app.answers["question"] = [{"type": "one"}, {"type": "two"}]
    await wire.connect()
    await wire.send({"type": "question", "ü": 1})
    assert await wire.receive() == {"type": "one"}
    assert await wire.receive() == {"type": "two"}
    assert json.loads(app.events[-1]["text"]) == {"type": "question", "ü": 1}


async def test_a_wait_that_times_out_leaves_the_application_alive(app, wire):
    await wire.connect()
    with pytest.raises(asyncio.TimeoutError):
        await wire.receive(timeout=0)
    await wire.send({"type": "ping", "payload": 1})
    assert await wire.receive() == {"type": "pong", "payload": 1}


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        (text([]), "not an object"),
        ({"type": "websocket.send", "text": "{"}, "not JSON"),
        ({"type": "websocket.send", "bytes": b"{}"}, "to send text"),
        ({"type": "websocket.send", "text": None, "bytes": b"{}"}, "to send text"),
    ],
)
async def test_a_frame_that_is_no_message_is_a_protocol_error(app, wire, event, fault):
    app.greeting = [event, text({"type": "fine"})]
    await wire.connect()
    with pytest.raises(RemoteProtocolError, match=fault):
        await wire.receive()
    assert await wire.receive() == {"type": "fine"}


async def test_an_exception_of_the_application_surfaces_behind_what_it_said():
    async def fail(scope, receive, send):
        await send({"type": "websocket.accept", "subprotocol": NEW})
        await send(text({"type": "last words"}))
        raise KeyError("broken")

    wire = GraphqlWsTransport(fail, "/")
    await wire.connect()
    assert await wire.receive() == {"type": "last words"}
    for _ in range(2):
        with pytest.raises(KeyError, match="broken"):
            await wire.receive()
    with pytest.raises(KeyError, match="broken"):
        await wire.send({"type": "anybody there?"})
    with pytest.raises(KeyError, match="broken"):
        await wire.disconnect()


async def test_an_application_that_just_ends_is_a_closed_connection():
    async def leave(scope, receive, send):
        await send({"type": "websocket.accept", "subprotocol": NEW})

    wire = GraphqlWsTransport(leave, "/")
    await wire.connect()
    with pytest.raises(ConnectionClosedError, match="ended without closing"):
        await wire.receive()
    await wire.disconnect()


async def test_who_sends_too_late_learns_of_a_close_that_nobody_has_read_and_may_read_on():
    async def fail(scope, receive, send):
        await send({"type": "websocket.accept", "subprotocol": NEW})
        await send(text({"type": "ping"}))
        await send(close(4500, "Internal server error"))

    wire = GraphqlWsTransport(fail, "/")
    await wire.connect()
    await tick()
    with pytest.raises(ConnectionClosedError, match="code 4500: Internal server error"):
        await wire.send({"type": "connection_init"})
    assert await wire.receive() == {"type": "ping"}
    with pytest.raises(ConnectionClosedError, match="code 4500: Internal server error"):
        await wire.receive()
    await wire.disconnect()


async def test_an_application_that_cancels_itself_is_a_closed_connection():
    async def cancel(scope, receive, send):
        await send({"type": "websocket.accept", "subprotocol": NEW})
        raise asyncio.CancelledError

    wire = GraphqlWsTransport(cancel, "/")
    await wire.connect()
    with pytest.raises(ConnectionClosedError, match="ended without closing"):
        await wire.receive()
    await wire.disconnect()


async def test_a_close_is_an_error_with_code_and_reason_every_time(app, wire):
    app.greeting = [text({"type": "last"}), close(4400, "Bad")]
    await wire.connect()
    assert await wire.receive() == {"type": "last"}
    for _ in range(2):
        with pytest.raises(ConnectionClosedError, match="4400: Bad") as caught:
            await wire.receive()
        assert (caught.value.code, caught.value.reason) == (4400, "Bad")


async def test_an_application_that_closes_is_told_that_the_connection_has_ended(app, wire):
    app.greeting = [close(4400)]
    await wire.connect()
    assert (await wire.wait_disconnect())["code"] == 4400
    assert app.events[-1] == {"type": "websocket.disconnect", "code": 4400}


async def test_a_message_after_the_close_is_a_protocol_error(app, wire):
    app.greeting = [close(4400), text({"type": "late"})]
    await wire.connect()
    with pytest.raises(ConnectionClosedError):
        await wire.receive()
    with pytest.raises(RemoteProtocolError, match=r"late.*after it had closed"):
        await wire.receive()


async def test_disconnect_can_say_how_the_connection_ended(app, wire):
    await wire.connect()
    await wire.disconnect(code=1006)
    assert app.events[-1] == {"type": "websocket.disconnect", "code": 1006}


async def test_disconnect_waits_for_the_application_to_end(app, wire):
    await wire.connect()
    await wire.disconnect()
    assert app.ended == 1


async def test_disconnecting_twice_is_harmless(wire):
    await wire.connect()
    await wire.disconnect()
    await wire.disconnect()


async def test_a_close_that_crosses_the_disconnect_is_no_error(app, wire):
    app.greeting = [close(4400), close(4401)]
    await wire.connect()
    await wire.disconnect()


async def test_an_application_that_goes_on_after_the_disconnect_is_cancelled_with_an_error():
    cancelled = asyncio.Event()

    async def stubborn(scope, receive, send):
        await send({"type": "websocket.accept", "subprotocol": NEW})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    wire = GraphqlWsTransport(stubborn, "/")
    await wire.connect()
    with pytest.raises(TimeoutError, match="still ran"):
        await wire.disconnect(timeout=0)
    assert cancelled.is_set()


async def test_wait_disconnect_returns_the_event_with_code_and_reason(app, wire):
    app.greeting = [close(4401, "Unauthorized")]
    await wire.connect()
    assert await wire.wait_disconnect() == {
        "type": "websocket.close",
        "code": 4401,
        "reason": "Unauthorized",
    }


async def test_a_close_without_code_and_reason_is_1000_without_reason(app, wire):
    app.greeting = [{"type": "websocket.close"}]
    await wire.connect()
    closed = await wire.wait_disconnect()
    assert (closed["code"], closed["reason"]) == (1000, "")


async def test_wait_disconnect_wants_the_close_to_come_first(app, wire):
    app.greeting = [text({"type": "hello"}), close(4400)]
    await wire.connect()
    with pytest.raises(RemoteProtocolError, match=r"to close, it sent.*hello"):
        await wire.wait_disconnect()


async def test_wait_disconnect_works_after_receive_has_met_the_close(app, wire):
    app.greeting = [close(4400)]
    await wire.connect()
    with pytest.raises(ConnectionClosedError):
        await wire.receive()
    assert (await wire.wait_disconnect())["code"] == 4400


async def test_wait_disconnect_times_out_and_leaves_the_application_alive(wire):
    await wire.connect()
    with pytest.raises(asyncio.TimeoutError):
        await wire.wait_disconnect(timeout=0)
    await wire.send({"type": "ping"})
    assert await wire.receive() == {"type": "pong", "payload": None}


async def test_the_client_is_connected_after_the_ack_and_not_after_finalize(user):
    await user.connect_and_init()
    assert user.connected
    await user.finalize()
    assert not user.connected


async def test_connect_only_sends_no_init_and_counts_as_connected(user, app):
    await user.connect_and_init(connect_only=True)
    assert user.connected
    await user.finalize()
    assert [event["type"] for event in app.events] == ["websocket.connect", "websocket.disconnect"]


async def test_a_raw_message_is_sent_as_it_is(user, app):
    app.answers["nonsense"] = [{"type": "heard"}]
    await user.connect_and_init()
    assert await user.send_raw_message({"type": "nonsense", "id": []}) is None
    await user.receive(assert_type="heard")
    assert json.loads(app.events[-1]["text"]) == {"type": "nonsense", "id": []}


async def test_a_raw_text_is_sent_as_it_is(user, app):
    app.answers["nonsense"] = [{"type": "heard"}]
    await user.connect_and_init()
    await user.send_raw_text(' {"type":"nonsense" }')
    await user.receive(assert_type="heard")
    assert app.events[-1] == {"type": "websocket.receive", "text": ' {"type":"nonsense" }'}


async def test_raw_bytes_are_sent_as_a_binary_frame(user, app):
    app.answers["binary"] = [{"type": "heard"}]
    await user.connect_and_init()
    await user.send_raw_bytes(b"\x00")
    await user.receive(assert_type="heard")
    assert app.events[-1] == {"type": "websocket.receive", "bytes": b"\x00"}


async def test_raw_frames_need_the_transport_of_this_module():
    other = GraphqlWsClient(aiohttp_transport.GraphqlWsTransportAiohttp("ws://127.0.0.1:9/"))
    with pytest.raises(TypeError, match="need the transport of"):
        await other.send_raw_text("{")
    with pytest.raises(TypeError, match="need the transport of"):
        await other.send_raw_bytes(b"{")


async def test_wait_disconnect_checks_the_code(user, app):
    app.greeting = [close(4400, "Bad")]
    await user.connect_and_init(connect_only=True)
    closed = await user.wait_disconnect(assert_code=4400)
    assert closed["reason"] == "Bad"
    assert not user.connected


async def test_wait_disconnect_fails_on_another_code_and_shows_the_event(user, app):
    app.greeting = [close(4400, "Bad")]
    await user.connect_and_init(connect_only=True)
    with pytest.raises(AssertionError, match=r"Expected close code 4401.*4400.*Bad"):
        await user.wait_disconnect(assert_code=4401)
    assert not user.connected


async def test_wait_disconnect_takes_any_code_by_default(user, app):
    app.greeting = [close(4400)]
    await user.connect_and_init(connect_only=True)
    await user.wait_disconnect()


async def test_finalize_after_wait_disconnect_is_harmless(user, app):
    app.greeting = [close(4400)]
    await user.connect_and_init(connect_only=True)
    await user.wait_disconnect()
    await user.finalize()
    assert not user.connected


async def test_assert_no_messages_passes_in_silence(user):
    await user.connect_and_init()
    await user.assert_no_messages(attempts=1, interval=0)


async def test_assert_no_messages_fails_with_the_text_and_the_message(user, app):
    app.greeting = [text({"type": "surprise", "id": "x"})]
    await user.connect_and_init(connect_only=True)
    with pytest.raises(AssertionError, match=r"(?s)Quiet, please!.*surprise"):
        await user.assert_no_messages("Quiet, please!")


async def test_assert_no_messages_has_a_text_of_its_own(user, app):
    app.greeting = [text({"type": "surprise"})]
    await user.connect_and_init(connect_only=True)
    with pytest.raises(AssertionError, match=r"(?s)where none was expected.*surprise"):
        await user.assert_no_messages()


async def test_keep_alives_do_not_count_as_messages(user, app, subprotocol):
    kinds = ["ping", "pong"] if subprotocol == NEW else ["ka"]
    app.greeting = [text({"type": kind}) for kind in kinds]
    await user.connect_and_init(connect_only=True)
    await user.assert_no_messages(attempts=1, interval=0.001)


async def test_assert_no_messages_waits_a_second_by_default():
    assert GraphqlWsClient.RECEIVE_NOTHING_ATTEMPTS == 10
    assert GraphqlWsClient.RECEIVE_NOTHING_INTERVAL == 0.1


async def test_the_default_wait_is_read_from_the_class_attributes(user, monkeypatch):
    await user.connect_and_init()
    monkeypatch.setattr(GraphqlWsClient, "RECEIVE_NOTHING_ATTEMPTS", 0)
    await user.assert_no_messages()


async def test_assert_no_messages_leaves_the_application_alive(user):
    await user.connect_and_init()
    await user.assert_no_messages(attempts=1, interval=0)
    await user.send_raw_message({"type": "connection_init"})
    await user.receive(assert_type="connection_ack")


async def test_assert_no_messages_works_after_the_server_has_closed(user, app):
    app.greeting = [close(4400)]
    await user.connect_and_init(connect_only=True)
    await user.assert_no_messages()
    await user.wait_disconnect(assert_code=4400)
    await user.assert_no_messages()


async def test_assert_no_messages_notices_a_message_after_the_close(user, app):
    app.greeting = [close(4400), text({"type": "late"})]
    await user.connect_and_init(connect_only=True)
    await user.assert_no_messages()
    with pytest.raises(RemoteProtocolError, match="late"):
        await user.assert_no_messages()


async def test_settle_returns_nothing_from_a_silent_server(app):
    user = GraphqlWsClient(GraphqlWsTransport(app, "/"))
    await user.connect_and_init()
    assert await user.settle() == []
    await user.finalize()


async def test_settle_returns_all_messages_up_to_its_own_pong(app):
    event = {"type": "next", "id": "a", "payload": {"data": 1}}
    late = {"type": "next", "id": "a", "payload": {"data": 2}}
    stray = [{"type": "pong"}, {"type": "ping"}]
    app.answers["ping"] = [*stray, event, {"type": "complete", "id": "a"}, PONG, late]
    user = GraphqlWsClient(GraphqlWsTransport(app, "/"))
    await user.connect_and_init()
    assert await user.settle() == [event, {"type": "complete", "id": "a"}]
    assert await user.receive() == {"data": 2}
    await user.finalize()


async def test_settle_in_the_legacy_protocol_is_a_query_whose_answer_is_left_out(app):
    event = {"type": "data", "id": "a", "payload": {"data": 1}}
    answer = {"type": "data", "id": "<id>", "payload": {"data": {"__typename": "Query"}}}
    complete = {"type": "complete", "id": "<id>"}
    late = {"type": "data", "id": "a", "payload": {"data": 2}}
    app.answers["start"] = [{"type": "ka"}, event, answer, event, complete, late]
    user = GraphqlWsClient(GraphqlWsTransport(app, "/", subprotocol=LEGACY), LEGACY)
    await user.connect_and_init()
    assert await user.settle() == [event, event]
    assert await user.receive() == {"data": 2}
    await user.finalize()


async def test_settle_times_out_if_nobody_answers(user, app):
    app.answers["ping"] = []
    await user.connect_and_init()
    user.transport.TIMEOUT = 0
    with pytest.raises(asyncio.TimeoutError):
        await user.settle()
    user.transport.TIMEOUT = GraphqlWsTransport.TIMEOUT


async def test_receive_error_of_the_new_protocol_returns_the_payload_and_no_data(app):
    other = {"type": "next", "id": "b", "payload": {}}
    app.greeting = [
        text(other),
        text({"type": "error", "id": "a", "payload": [{"message": "no"}]}),
    ]
    user = GraphqlWsClient(GraphqlWsTransport(app, "/"))
    await user.connect_and_init(connect_only=True)
    assert await user.receive_error("a") == ([{"message": "no"}], None)
    await user.finalize()


async def test_receive_error_of_the_legacy_protocol_returns_errors_and_data(app):
    payload = {"data": {"a": None}, "errors": [{"message": "no"}]}
    app.greeting = [text({"type": "data", "id": "a", "payload": payload})]
    user = GraphqlWsClient(GraphqlWsTransport(app, "/", subprotocol=LEGACY), LEGACY)
    await user.connect_and_init(connect_only=True)
    assert await user.receive_error("a") == ([{"message": "no"}], {"a": None})
    await user.finalize()


async def test_receive_error_fails_if_there_is_none(user, app, subprotocol):
    good = {"type": RESULT[subprotocol], "id": "a", "payload": {"data": 1}}
    app.greeting = [text(good)]
    await user.connect_and_init(connect_only=True)
    with pytest.raises(RemoteProtocolError, match="Expected an error"):
        await user.receive_error("a")


async def test_an_application_that_breaks_fails_the_test_which_waits_for_it():
    async def fail(scope, receive, send):
        await send({"type": "websocket.accept", "subprotocol": NEW})
        await receive()
        await tick()
        raise KeyError("broken")

    user = GraphqlWsClient(GraphqlWsTransport(fail, "/"))
    with pytest.raises(KeyError, match="broken"):
        await user.connect_and_init()
    with pytest.raises(KeyError, match="broken"):
        await user.assert_no_messages()
    with pytest.raises(KeyError, match="broken"):
        await user.finalize()

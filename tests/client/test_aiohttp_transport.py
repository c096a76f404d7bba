"""The transports, aiohttp's against a real server on 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, WSMsgType, web

from channels_graphql_ws.client import aiohttp_transport, session
from channels_graphql_ws.client.aiohttp_transport import GraphqlWsTransportAiohttp, seconds_of
from channels_graphql_ws.client.client import GraphqlWsClient
from channels_graphql_ws.client.errors import MessagesLostError
from channels_graphql_ws.client.transport import (
    ConnectionRejectedError,
    GraphqlWsTransport,
    SubprotocolMismatchError,
    closed_by_server,
    parse_message,
    pong_for,
)
from channels_graphql_ws.exceptions import (
    ConnectionClosedError,
    GraphqlWsClientError,
    GraphqlWsResponseError,
    RemoteProtocolError,
)
from support import GUARD, free_port, wait_until

NEW = "graphql-transport-ws"
LEGACY = "graphql-ws"

Play = Callable[[web.WebSocketResponse], Awaitable[None]]


class Server:
    """Plays the part `play` on every connection, and remembers what clients do."""

    def __init__(self, *protocols: str) -> None:
        self.protocols = protocols or (NEW, LEGACY)
        self.play: Play = self.listen
        self.requests: list[web.Request] = []
        self.heard: list[Any] = []
        self.close_codes: list[int | None] = []
        self.url = ""

    async def accept(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        socket = web.WebSocketResponse(protocols=self.protocols)
        await socket.prepare(request)
        try:
            await self.play(socket)
        finally:
            await socket.close()
            self.close_codes.append(socket.close_code)
        return socket

    async def listen(self, socket: web.WebSocketResponse) -> None:
        async for frame in socket:
            self.heard.append(frame.json())

    def saying(self, *frames: Any) -> None:
        """Send `frames` (texts, bytes, JSON objects), then listen."""

        async def play(socket: web.WebSocketResponse) -> None:
            for frame in frames:
                await send(socket, frame)
            await self.listen(socket)

        self.play = play

    def closing(self, *frames: Any, code: int = 1000, reason: str = "") -> None:
        """Send `frames`, then close."""

        async def play(socket: web.WebSocketResponse) -> None:
            for frame in frames:
                await send(socket, frame)
            await socket.close(code=code, message=reason.encode())

        self.play = play


async def send(socket: web.WebSocketResponse, frame: Any) -> None:
    match frame:
        case str():
            await socket.send_str(frame)
        case bytes():
            await socket.send_bytes(frame)
        case _:
            await socket.send_json(frame)


@contextlib.asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    app = web.Application()
    app.router.add_get("/graphql/", server.accept)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"ws://{host}:{port}/graphql/"
    try:
        yield server
    finally:
        await runner.cleanup()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with running(Server()) as server:
        yield server


@pytest.fixture
async def transport(server: Server) -> AsyncIterator[GraphqlWsTransportAiohttp]:
    transport = GraphqlWsTransportAiohttp(server.url)
    transport.TIMEOUT = GUARD
    yield transport
    await transport.disconnect()


@pytest.mark.parametrize(
    "call",
    [
        lambda transport: transport.connect(),
        lambda transport: transport.send({}),
        lambda transport: transport.receive(),
        lambda transport: transport.disconnect(),
        lambda transport: transport.wait_disconnect(),
    ],
)
async def test_every_method_of_the_interface_must_be_implemented(call):
    with pytest.raises(NotImplementedError):
        await call(GraphqlWsTransport())


def test_the_interface_waits_for_sixty_seconds():
    assert GraphqlWsTransport.TIMEOUT == 60.0


@pytest.mark.parametrize("method", ["connect", "receive", "disconnect", "wait_disconnect"])
def test_every_time_is_optional(method):
    signature = inspect.signature(getattr(GraphqlWsTransport, method))
    assert signature.parameters["timeout"].default is None


@pytest.mark.parametrize("text", ["", "{", "nope", "[" * 100_000])
def test_text_that_is_not_json_is_a_protocol_error(text):
    with pytest.raises(RemoteProtocolError, match="not JSON"):
        parse_message(text)


@pytest.mark.parametrize("text", ["[]", "1", "null", '"text"'])
def test_json_that_is_no_object_is_a_protocol_error(text):
    with pytest.raises(RemoteProtocolError, match="not an object"):
        parse_message(text)


def test_a_long_bad_message_is_shown_in_part():
    with pytest.raises(RemoteProtocolError) as caught:
        parse_message("x" * 100_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (None, "", "without a code"),
        (1000, "Bye", "with code 1000: Bye"),
        (4403, "Forbidden", "with code 4403: Forbidden; look at connection_params, headers and"),
        (1011, "", "with code 1011; its log says why"),
    ],
)
def test_a_close_says_what_to_look_at(code, reason, text):
    closed = closed_by_server(code, reason)
    assert str(closed).startswith(f"The server closed the connection {text}")
    assert (closed.code, closed.reason) == (code, reason)


def test_a_pong_has_a_payload_only_if_its_ping_has():
    assert pong_for({"type": "ping"}) == {"type": "pong"}
    assert pong_for({"type": "ping", "payload": {}}) == {"type": "pong", "payload": {}}


async def test_the_default_subprotocol_is_the_new_one(server, transport):
    await transport.connect()
    assert server.requests[0].headers["Sec-WebSocket-Protocol"] == NEW


async def test_the_server_gets_subprotocol_headers_and_cookies(server):
    transport = GraphqlWsTransportAiohttp(server.url, {"session": "s"}, {"X-Token": "t"})
    await transport.connect(subprotocol=LEGACY)
    await transport.disconnect()
    request = server.requests[0]
    assert request.headers["Sec-WebSocket-Protocol"] == LEGACY
    assert request.headers["X-Token"] == "t"
    assert request.cookies["session"] == "s"


async def test_connecting_twice_is_an_error_and_the_first_connection_lives_on(server, transport):
    await transport.connect()
    with pytest.raises(GraphqlWsClientError, match="connected already"):
        await transport.connect()
    await transport.send({"type": "ping"})
    await wait_until(lambda: server.heard)


async def test_after_disconnect_the_transport_connects_again(server, transport):
    server.saying({"type": "hello"})
    for _ in range(2):
        await transport.connect()
        assert await transport.receive() == {"type": "hello"}
        await transport.disconnect()
    assert server.close_codes == [1000, 1000]


async def test_a_server_that_can_not_be_reached_is_a_rejection():
    transport = GraphqlWsTransportAiohttp(f"ws://127.0.0.1:{free_port()}/")
    with pytest.raises(ConnectionRejectedError, match="Could not connect to ws://127"):
        await transport.connect()


async def test_a_refused_handshake_is_a_rejection_with_the_status(server):
    transport = GraphqlWsTransportAiohttp(server.url + "missing")
    with pytest.raises(ConnectionRejectedError, match="404"):
        await transport.connect()


async def test_a_server_without_our_subprotocol_is_a_mismatch():
    async with running(Server("mqtt")) as server:
        transport = GraphqlWsTransportAiohttp(server.url)
        with pytest.raises(SubprotocolMismatchError, match=f"did not accept subprotocol '{NEW}'"):
            await transport.connect()
        with pytest.raises(ConnectionClosedError):
            await transport.receive()


async def test_accepting_only_to_close_is_a_rejection_with_the_code():
    server = Server("none")
    server.closing(code=4406, reason="Subprotocol not acceptable")
    async with running(server):
        with pytest.raises(ConnectionRejectedError, match="with code 4406") as caught:
            await GraphqlWsTransportAiohttp(server.url).connect()
    assert caught.value.code == 4406


def test_a_mismatch_names_what_was_chosen():
    error = SubprotocolMismatchError(NEW, "mqtt")
    assert "it chose 'mqtt'" in str(error)
    assert (error.offered, error.chosen) == (NEW, "mqtt")


def test_rejections_and_mismatches_are_runtime_errors_of_our_tree():
    for error in (ConnectionRejectedError, SubprotocolMismatchError):
        assert issubclass(error, RuntimeError)
        assert issubclass(error, GraphqlWsClientError)


async def test_connect_times_out():
    async def never_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(never_answer, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        transport = GraphqlWsTransportAiohttp(f"ws://127.0.0.1:{port}/")
        with pytest.raises(asyncio.TimeoutError):
            await transport.connect(timeout=0.001)


async def test_messages_travel_in_both_directions_and_in_order(server, transport):
    server.saying({"type": "one"}, {"type": "two"})
    await transport.connect()
    assert await transport.receive() == {"type": "one"}
    assert await transport.receive() == {"type": "two"}
    await transport.send({"type": "three", "ü": None})
    await wait_until(lambda: server.heard)
    assert server.heard == [{"type": "three", "ü": None}]


@pytest.mark.parametrize("bad", [{"x": float("nan")}, {"x": object()}])
async def test_what_has_no_json_form_is_refused_and_not_sent(transport, bad):
    await transport.connect()
    with pytest.raises((TypeError, ValueError)):
        await transport.send(bad)


@pytest.mark.parametrize(
    ("frame", "fault"), [("{", "not JSON"), ("[]", "not an object"), (b"\x00", "binary frame")]
)
async def test_a_bad_frame_is_a_protocol_error_and_the_connection_lives_on(
    server, transport, frame, fault
):
    server.saying(frame, {"type": "fine"})
    await transport.connect()
    with pytest.raises(RemoteProtocolError, match=fault):
        await transport.receive()
    assert await transport.receive() == {"type": "fine"}


async def test_receive_times_out_and_the_connection_lives_on(server, transport):
    await transport.connect()
    with pytest.raises(asyncio.TimeoutError):
        await transport.receive(timeout=0)
    await transport.send({"type": "still here"})
    await wait_until(lambda: server.heard)


async def test_the_default_time_is_the_class_attribute(transport):
    await transport.connect()
    transport.TIMEOUT = 0
    with pytest.raises(asyncio.TimeoutError):
        await transport.receive()
    transport.TIMEOUT = GUARD


async def test_a_ping_is_answered_though_nobody_receives(server, transport):
    server.saying({"type": "ping", "payload": {"n": 1}}, {"type": "after"})
    await transport.connect()
    await wait_until(lambda: server.heard)
    assert server.heard == [{"type": "pong", "payload": {"n": 1}}]
    assert await transport.receive() == {"type": "after"}


async def test_a_ping_of_websockets_is_answered_though_nobody_receives():
    heard: list[WSMsgType] = []

    class Pinging(Server):
        async def accept(self, request: web.Request) -> web.StreamResponse:
            socket = web.WebSocketResponse(protocols=self.protocols, autoping=False)
            await socket.prepare(request)
            await socket.ping(b"x")
            heard.append((await socket.receive()).type)
            await socket.close()
            return socket

    async with running(Pinging()) as server:
        transport = GraphqlWsTransportAiohttp(server.url)
        await transport.connect()
        await wait_until(lambda: heard)
        await transport.disconnect()
    assert heard == [WSMsgType.PONG]


async def test_the_legacy_protocol_has_no_ping_to_answer(server, transport):
    server.saying({"type": "ping"})
    await transport.connect(subprotocol=LEGACY)
    assert await transport.receive() == {"type": "ping"}


async def test_a_ping_just_before_the_end_does_no_harm(server, transport):
    server.closing({"type": "before"}, {"type": "ping"}, code=4400)
    await transport.connect()
    assert await transport.receive() == {"type": "before"}
    with pytest.raises(ConnectionClosedError) as caught:
        await transport.receive()
    assert caught.value.code == 4400


async def test_a_server_much_faster_than_the_program_loses_nothing(server, transport):
    count = 3000
    server.saying(*({"n": n} for n in range(count)))
    await transport.connect()
    assert [(await transport.receive())["n"] for _ in range(count)] == list(range(count))


async def test_disconnect_works_while_unread_messages_pile_up(server, transport):
    server.saying(*({"n": n} for n in range(3000)))
    await transport.connect()
    await transport.receive()
    inbox = transport._connection.intake.inbox
    await wait_until(lambda: len(inbox) > 1500)
    await transport.disconnect()
    with pytest.raises(ConnectionClosedError):
        await transport.receive()


async def test_a_message_above_the_limit_ends_the_connection_with_1009(server):
    server.saying({"text": "x" * 1000})
    transport = GraphqlWsTransportAiohttp(server.url, max_message_size=100)
    await transport.connect()
    with pytest.raises(ConnectionClosedError) as caught:
        await transport.receive()
    assert caught.value.code == 1009
    await transport.disconnect()


async def test_a_message_of_five_megabytes_arrives(server, transport):
    text = "x" * 5_000_000
    server.saying({"text": text})
    await transport.connect()
    assert (await transport.receive())["text"] == text


async def test_disconnect_closes_with_1000(server, transport):
    await transport.connect()
    await transport.disconnect()
    await wait_until(lambda: server.close_codes)
    assert server.close_codes == [1000]


async def test_disconnect_without_a_connection_is_harmless():
    await GraphqlWsTransportAiohttp("ws://127.0.0.1:9/").disconnect()


async def test_disconnect_frees_the_session_and_the_task(transport):
    await transport.connect()
    connection = transport._connection
    await transport.disconnect()
    assert connection.session.closed
    assert connection.reader.done()


@pytest.mark.parametrize(
    "call",
    [
        lambda transport: transport.send({}),
        lambda transport: transport.receive(),
        lambda transport: transport.wait_disconnect(),
    ],
)
async def test_without_a_connection_nothing_works_and_the_error_says_so(call):
    with pytest.raises(ConnectionClosedError, match="not connected"):
        await call(GraphqlWsTransportAiohttp("ws://127.0.0.1:9/"))


async def test_a_close_of_the_server_comes_behind_its_messages_every_time(server, transport):
    server.closing({"type": "last"}, code=4403, reason="Forbidden")
    await transport.connect()
    assert await transport.receive() == {"type": "last"}
    for _ in range(2):
        with pytest.raises(ConnectionClosedError, match="with code 4403: Forbidden") as caught:
            await transport.receive()
        assert (caught.value.code, caught.value.reason) == (4403, "Forbidden")


async def test_a_dropped_connection_is_1006(server, transport):
    async def drop(socket: web.WebSocketResponse) -> None:
        assert server.requests[0].transport is not None
        server.requests[0].transport.abort()

    server.play = drop
    await transport.connect()
    with pytest.raises(ConnectionClosedError) as caught:
        await transport.receive()
    assert caught.value.code == 1006


async def test_sending_on_a_closed_connection_is_an_error(server, transport):
    server.closing(code=4400)
    await transport.connect()
    with pytest.raises(ConnectionClosedError):
        await transport.receive()
    with pytest.raises(ConnectionClosedError, match="nothing can be sent") as caught:
        await transport.send({"type": "late"})
    assert caught.value.code == 4400


async def test_whoever_receives_while_another_disconnects_is_told(transport):
    await transport.connect()
    waiting = asyncio.create_task(transport.receive())
    await wait_until(lambda: transport._connection.intake.inbox._waiters)
    await transport.disconnect()
    with pytest.raises(ConnectionClosedError, match="was disconnected"):
        await waiting


async def test_wait_disconnect_returns_code_and_reason_and_drops_messages(server, transport):
    server.closing({"type": "last"}, "not json", code=4429, reason="Too many")
    await transport.connect()
    assert await transport.wait_disconnect() == {
        "type": "websocket.close",
        "code": 4429,
        "reason": "Too many",
    }


async def test_wait_disconnect_works_after_receive_has_met_the_close(server, transport):
    server.closing(code=4401)
    await transport.connect()
    with pytest.raises(ConnectionClosedError):
        await transport.receive()
    assert (await transport.wait_disconnect())["code"] == 4401


async def test_wait_disconnect_times_out_and_the_connection_lives_on(server, transport):
    await transport.connect()
    with pytest.raises(asyncio.TimeoutError):
        await transport.wait_disconnect(timeout=0)
    await transport.send({"type": "still here"})
    await wait_until(lambda: server.heard)


@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_the_client_runs_operations_over_a_real_socket(server, transport, subprotocol):
    result = "next" if subprotocol == NEW else "data"

    async def answer(socket: web.WebSocketResponse) -> None:
        async for frame in socket:
            message = frame.json()
            if message["type"] == "connection_init":
                await socket.send_json({"type": "connection_ack"})
            elif message["payload"]["query"] == "{ bad }":
                await socket.send_json({"type": "error", "id": message["id"], "payload": [{}]})
            else:
                id = message["id"]
                await socket.send_json({"type": result, "id": id, "payload": {"data": 1}})
                await socket.send_json({"type": "complete", "id": id})

    server.play = answer
    client = GraphqlWsClient(transport, subprotocol)
    await client.connect_and_init()
    assert await client.execute("{ good }") == {"data": 1}
    with pytest.raises(GraphqlWsResponseError):
        await client.execute("{ bad }")
    await client.finalize()
    assert server.requests[0].headers["Sec-WebSocket-Protocol"] == subprotocol


async def test_all_subprotocols_are_offered_and_the_chosen_one_is_known(server, transport):
    await transport.connect(subprotocols=[NEW, LEGACY])
    assert server.requests[0].headers["Sec-WebSocket-Protocol"] == f"{NEW},{LEGACY}"
    assert transport.subprotocol == NEW
    await transport.disconnect()
    assert transport.subprotocol is None


async def test_url_headers_and_cookies_are_asked_for_at_each_attempt(server):
    numbers = itertools.count()

    async def headers() -> dict[str, str]:
        return {"X-Token": str(next(numbers))}

    transport = GraphqlWsTransportAiohttp(
        lambda: server.url, lambda: {"session": str(next(numbers))}, headers
    )
    assert (transport.address, transport.renews) == ("the server", True)
    for _ in range(2):
        await transport.connect()
        await transport.disconnect()
    sent = [(each.cookies["session"], each.headers["X-Token"]) for each in server.requests]
    assert sent == [("0", "1"), ("2", "3")]
    assert transport.address == server.url


def test_a_transport_with_fixed_values_cannot_renew_them():
    assert not GraphqlWsTransportAiohttp("ws://x/", {"a": "b"}, {"c": "d"}).renews


async def test_a_session_that_is_given_is_used_and_stays_open(server):
    async with ClientSession(headers={"X-Session": "given"}) as session:
        transport = GraphqlWsTransportAiohttp(server.url, session=session)
        await transport.connect()
        await transport.disconnect()
        assert not session.closed
    assert server.requests[0].headers["X-Session"] == "given"


async def test_compression_is_offered_if_that_is_wanted(server):
    for compress in (False, True):
        transport = GraphqlWsTransportAiohttp(server.url, compress=compress)
        await transport.connect()
        await transport.disconnect()
    plain, compressed = (each.headers.get("Sec-WebSocket-Extensions") for each in server.requests)
    assert plain is None
    assert "permessage-deflate" in compressed


async def refusing(status: int, **headers: str) -> Server:
    class Refusing(Server):
        async def accept(self, request: web.Request) -> web.StreamResponse:
            return web.Response(status=status, headers=headers)

    return Refusing()


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (200, "HTTP 200, a page and not a WebSocket: is the path right"),
        (401, "HTTP 401, not authenticated: look at headers"),
        (404, "HTTP 404, not found: is the path right"),
        (500, "HTTP 500, an error of the server: its log says which"),
        (502, "HTTP 502, a proxy that does not reach the server"),
        (418, "HTTP 418$"),
    ],
)
async def test_a_refused_handshake_has_its_status_and_some_advice(status, advice):
    async with running(await refusing(status)) as server:
        with pytest.raises(ConnectionRejectedError, match=advice) as caught:
            await GraphqlWsTransportAiohttp(server.url).connect()
    assert (caught.value.status, caught.value.retry_after) == (status, None)


async def test_a_handshake_that_ends_at_a_page_to_log_in_at_names_the_page():
    class LoginRequired(Server):
        async def accept(self, request: web.Request) -> web.StreamResponse:
            if request.query:
                return web.Response(text="<form>")
            raise web.HTTPFound(f"{request.path}?log-in-first")

    async with running(LoginRequired()) as server:
        with pytest.raises(ConnectionRejectedError, match="after a redirect to ws://"):
            await GraphqlWsTransportAiohttp(server.url).connect()


async def test_a_server_that_asks_to_come_later_is_understood():
    async with running(await refusing(429, **{"Retry-After": "7"})) as server:
        with pytest.raises(ConnectionRejectedError) as caught:
            await GraphqlWsTransportAiohttp(server.url).connect()
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3.5", 3.5),
        ("-1", 0),
        ("Sat, 01 Jan 2000 00:00:00 GMT", 0),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_a_retry_after_may_be_seconds_a_date_or_nonsense(header, seconds):
    assert seconds_of(header) == seconds


async def test_an_address_without_a_host_is_a_rejection_that_shows_it():
    with pytest.raises(ConnectionRejectedError, match="Could not connect to ws:///"):
        await GraphqlWsTransportAiohttp("ws:///graphql/").connect()


async def test_a_server_that_does_not_read_is_told_of_after_a_while(transport, monkeypatch):
    await transport.connect()

    async def never(text: str) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr(transport._connection, "send_text", never)
    transport.TIMEOUT = 0.001
    with pytest.raises(TimeoutError, match=r"Waited 0.001 s for ws://.* to take a message"):
        await transport.send({"type": "ping"})
    transport.TIMEOUT = GUARD


async def test_a_wait_for_a_message_that_takes_too_long_says_so(server, transport):
    await transport.connect()
    with pytest.raises(TimeoutError, match=f"Waited 0 s for a message of {server.url}"):
        await transport.receive(timeout=0)


async def test_more_messages_than_may_wait_are_dropped_and_that_is_told(server):
    server.closing(*({"n": n} for n in range(30)), code=4400)
    transport = GraphqlWsTransportAiohttp(server.url, max_unread=10)
    await transport.connect()
    await wait_until(lambda: transport._connection.intake.inbox._failure)
    with pytest.raises(MessagesLostError, match="20 messages"):
        await transport.receive()
    assert await transport.receive() == {"n": 20}
    await transport.disconnect()


async def test_what_was_lost_does_not_keep_the_end_from_being_seen(server):
    server.closing(*({"n": n} for n in range(30)), code=4400)
    transport = GraphqlWsTransportAiohttp(server.url, max_unread=10)
    await transport.connect()
    await wait_until(lambda: transport._connection.intake.inbox._failure)
    assert (await transport.wait_disconnect())["code"] == 4400


async def test_a_ping_behind_any_number_of_unread_messages_is_answered(server, transport):
    server.saying(*({"n": n} for n in range(3000)), {"type": "ping"})
    await transport.connect()
    await wait_until(lambda: server.heard)
    assert server.heard == [{"type": "pong"}]


async def test_all_messages_can_be_taken_as_they_come_pings_too(server, transport):
    server.closing({"n": 1}, {"n": 2}, {"type": "ping"}, code=4403)
    await transport.connect()
    taken: list[Any] = []

    def take(message: Any) -> bool:
        taken.append(message)
        return True

    with pytest.raises(ConnectionClosedError) as caught:
        await transport.read_all(take)
    assert caught.value.code == 4403
    assert taken == [{"n": 1}, {"n": 2}, {"type": "ping"}]
    with pytest.raises(ConnectionClosedError):
        await transport.read_all(take)


async def test_what_has_come_before_is_taken_first(server, transport):
    server.saying(*({"n": n} for n in range(5)))
    await transport.connect()
    await wait_until(lambda: len(transport._connection.intake.inbox) == 5)
    taken: list[Any] = []
    reading = asyncio.create_task(transport.read_all(taken.append))
    await wait_until(lambda: len(taken) == 5)
    reading.cancel()
    await asyncio.wait([reading])
    await transport.send({"type": "still here"})
    await wait_until(lambda: server.heard)


@pytest.mark.parametrize("frame", ["{", b"\x00"])
async def test_garbage_ends_who_takes_all_with_an_error(server, transport, frame):
    server.saying({"n": 1}, frame, {"n": 2})
    await transport.connect()
    with pytest.raises(RemoteProtocolError):
        await transport.read_all(lambda _: None)
    assert await transport.receive() == {"n": 2}


async def test_an_error_of_who_takes_the_messages_is_raised_there(server, transport):
    def fail(message: Any) -> None:
        raise KeyError("taker")

    server.saying({"n": 1})
    await transport.connect()
    with pytest.raises(KeyError, match="taker"):
        await transport.read_all(fail)


async def test_a_disconnect_ends_who_takes_all(server, transport):
    await transport.connect()
    reading = asyncio.create_task(transport.read_all(lambda _: None))
    await wait_until(lambda: transport._connection.intake._end)
    await transport.disconnect(code=4004)
    with pytest.raises(ConnectionClosedError, match="was disconnected"):
        await reading
    await wait_until(lambda: server.close_codes)
    assert server.close_codes == [4004]


OPEN_FILES = Path("/proc/self/fd")


def open_sockets() -> int:
    return len(list(OPEN_FILES.iterdir()))


@pytest.mark.skipif(not OPEN_FILES.is_dir(), reason="counts open files as Linux does")
async def test_refused_connections_leave_no_socket_open():
    async with running(Server("mqtt")) as mismatch, running(await refusing(403)) as refusal:
        for _ in range(2):
            before = open_sockets()
            for server in (mismatch, refusal):
                for _ in range(5):
                    with pytest.raises(GraphqlWsClientError):
                        await GraphqlWsTransportAiohttp(server.url).connect()
            await wait_until(lambda before=before: open_sockets() <= before)


async def test_a_handshake_that_is_cancelled_while_it_is_checked_leaves_no_socket(server):
    transport = GraphqlWsTransportAiohttp(server.url)
    checking = asyncio.Event()

    async def check(*_: Any) -> None:
        checking.set()
        await asyncio.get_running_loop().create_future()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aiohttp_transport, "_require_subprotocol", check)
        connecting = asyncio.create_task(transport.connect())
        await checking.wait()
        connecting.cancel()
        await asyncio.wait([connecting])
    await wait_until(lambda: server.close_codes)


async def talk(socket: web.WebSocketResponse) -> None:
    """Acknowledge, answer queries, and send one event to each subscription."""
    async for frame in socket:
        message = frame.json()
        if message["type"] == "connection_init":
            await socket.send_json({"type": "connection_ack"})
        elif message["type"] in {"subscribe", "start"}:
            word = "next" if message["type"] == "subscribe" else "data"
            payload = {"data": {"a": message["payload"]["query"]}}
            await socket.send_json({"type": word, "id": message["id"], "payload": payload})
            if message["payload"]["query"].startswith("{"):
                await socket.send_json({"type": "complete", "id": message["id"]})


@pytest.mark.parametrize("protocols", [(NEW, LEGACY), (LEGACY,)])
async def test_a_client_with_a_url_speaks_what_the_server_takes(protocols):
    server = Server(*protocols)
    server.play = talk
    async with running(server), GraphqlWsClient(server.url, headers={"X-Token": "t"}) as client:
        assert await client.query("{ a }") == {"a": "{ a }"}
        async for event in client.subscription("subscription { a }"):
            assert event["a"] == "subscription { a }"
            break
        assert client.subprotocol == protocols[0]
    assert server.requests[0].headers["X-Token"] == "t"


def test_a_url_with_a_subprotocol_of_the_users_choice_offers_only_that():
    assert [each.name for each in GraphqlWsClient("ws://x/", LEGACY)._offered] == [LEGACY]
    only_new = GraphqlWsClient("ws://x/", subprotocols=[NEW])
    assert [each.name for each in only_new._offered] == [NEW]
    with pytest.raises(ValueError, match="not ''"):
        GraphqlWsClient("ws://x/", subprotocols=[])


async def test_a_server_that_hangs_does_not_hold_up_the_close_of_the_client(monkeypatch):
    class Hanging(Server):
        async def accept(self, request: web.Request) -> web.StreamResponse:
            socket = web.WebSocketResponse(protocols=self.protocols, autoclose=False)
            await socket.prepare(request)
            await socket.receive()
            await socket.send_json({"type": "connection_ack"})
            await released.wait()
            return socket

    monkeypatch.setattr(session, "_CLOSE_TIMEOUT", 0.01)
    released = asyncio.Event()
    async with running(Hanging()) as server:
        async with GraphqlWsClient(server.url) as client:
            await client.connect_and_init()
        assert not client.connected
        released.set()


async def test_a_server_that_ends_the_handshake_is_a_rejection_in_plain_words():
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionRejectedError, match="the server ended the handshake"):
            await GraphqlWsTransportAiohttp(f"ws://127.0.0.1:{port}/").connect()


async def test_a_server_without_tls_is_a_rejection_for_who_wants_it(server):
    transport = GraphqlWsTransportAiohttp(server.url.replace("ws://", "wss://"))
    with pytest.raises(ConnectionRejectedError, match=r"Could not connect to wss://.*(?i:ssl)"):
        await transport.connect()

"""The transports, aiohttp's against a real server on 127.0.0.1."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from channels_graphql_ws.client.aiohttp_transport import GraphqlWsTransportAiohttp
from channels_graphql_ws.client.client import GraphqlWsClient
from channels_graphql_ws.client.transport import (
    ConnectionRejectedError,
    GraphqlWsTransport,
    SubprotocolMismatchError,
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
    with pytest.raises(RemoteProtocolError, match="no object"):
        parse_message(text)


def test_a_long_bad_message_is_shown_in_part():
    with pytest.raises(RemoteProtocolError) as caught:
        parse_message("x" * 100_000)
    assert len(str(caught.value)) < 300


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
    ("frame", "fault"), [("{", "not JSON"), ("[]", "no object"), (b"\x00", "binary frame")]
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
    inbox = transport._connection.inbox
    await wait_until(inbox.full)
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
    await wait_until(lambda: transport._connection.inbox._getters)
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

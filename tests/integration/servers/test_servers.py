"""The consumer behind real servers and sockets."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from channels_graphql_ws import GraphqlWsClient, GraphqlWsTransportAiohttp
from support import GUARD

NEW, LEGACY = "graphql-transport-ws", "graphql-ws"

pytestmark = pytest.mark.servers


@asynccontextmanager
async def opened(
    server: Any, *subprotocols: str, path: str = "graphql/", **options: Any
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """Open a plain WebSocket."""
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            server.url(path), protocols=subprotocols or (NEW,), max_msg_size=0, **options
        ) as socket,
    ):
        yield socket


async def acknowledged(socket: aiohttp.ClientWebSocketResponse, **init: Any) -> None:
    """Introduce ourselves."""
    await socket.send_json({"type": "connection_init", **init})
    answer = await socket.receive_json(timeout=GUARD)
    assert answer["type"] == "connection_ack"


async def subscribed(socket: aiohttp.ClientWebSocketResponse, reader: str) -> None:
    """Subscribe, and know that it is done."""
    query = f'subscription {{ news(reader: "{reader}") {{ text }} }}'
    await socket.send_json({"type": "subscribe", "id": reader, "payload": {"query": query}})
    await socket.send_json({"type": "ping"})
    while (await socket.receive_json(timeout=GUARD))["type"] != "pong":
        pass


async def closes(
    socket: aiohttp.ClientWebSocketResponse, server: Any, code: int, reason: str
) -> None:
    """Wait for the close, and see why; read over all before it."""
    async with asyncio.timeout(GUARD):
        while (message := await socket.receive()).type is aiohttp.WSMsgType.TEXT:
            pass
    assert message.type is aiohttp.WSMsgType.CLOSE, message
    assert message.data == code
    # Daphne knows of no reasons.
    assert (message.extra or "") == ("" if server.name == "daphne" else reason)


async def until(server: Any, holds: Callable[[dict[str, Any]], bool]) -> None:
    """Ask the server what it holds, until it is what we wait for."""
    async with asyncio.timeout(GUARD):
        while not holds(await server.counts()):
            pass


async def is_left(server: Any, reader: str) -> None:
    """Wait until the server has forgotten a subscriber."""
    await until(
        server, lambda counts: reader in counts["unsubscribed"] and not counts["listeners"]
    )
    assert (await server.counts())["unsubscribed"].count(reader) == 1


# ----------------------------------------------------------------------- what is asked


@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_queries_mutations_and_subscriptions_work(server: Any, subprotocol: str) -> None:
    client = GraphqlWsClient(GraphqlWsTransportAiohttp(server.url("graphql/")), subprotocol)
    await client.connect_and_init()
    assert client.connection_ack_payload == {"welcome": True}
    hello = await client.execute("query($n: String) { hello(name: $n) }", variables={"n": "Åsa"})
    assert hello == {"data": {"hello": "Hello Åsa"}}
    news = await client.subscribe(
        'subscription { news(reader: "all") { text } }', wait_confirmation=False
    )
    await client.start('mutation { tell(text: "hi") }', msg_id="m")
    messages = [await client.receive(raw_response=True) for _ in range(3)]
    assert {"data": {"news": {"text": "hi"}}} in [
        message.get("payload") for message in messages if message["id"] == news
    ]
    assert {"data": {"tell": True}} in [message.get("payload") for message in messages]
    await client.complete(news)
    await client.receive_complete(news)
    await client.finalize()
    await until(server, lambda counts: not counts["consumers"])


# ------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("not JSON", "Message must be valid JSON"),
        ("[" * 100_000, "Message must be valid JSON"),
        (b"binary", "Message must be a text frame"),
        ("[]", "Message must be a JSON object"),
        ("x" * 1_000_001, "Message is larger than 1000000 characters"),
    ],
    ids=["text", "brackets", "binary", "list", "big"],
)
async def test_a_bad_frame_closes_with_4400_and_a_reason(
    server: Any, frame: str | bytes, reason: str
) -> None:
    async with opened(server) as socket:
        await acknowledged(socket)
        await (socket.send_bytes(frame) if isinstance(frame, bytes) else socket.send_str(frame))
        await closes(socket, server, 4400, reason)


async def test_without_a_common_subprotocol_the_close_code_is_4406(server: Any) -> None:
    async with opened(server, "soap") as socket:
        await closes(socket, server, 4406, "Subprotocol not acceptable")


async def test_what_comes_before_the_acknowledgement_closes_with_4401(server: Any) -> None:
    async with opened(server) as socket:
        await socket.send_json({"type": "subscribe", "id": "1", "payload": {"query": "{ hello }"}})
        await closes(socket, server, 4401, "Unauthorized")


@pytest.mark.parametrize(("subprotocol", "code"), [(NEW, 4403), (LEGACY, 4000)])
async def test_a_client_that_on_connect_refuses_is_told_so(
    server: Any, subprotocol: str, code: int
) -> None:
    async with opened(server, subprotocol) as socket:
        await socket.send_json({"type": "connection_init", "payload": {"token": "bad"}})
        await closes(socket, server, code, "Forbidden")


async def test_a_silent_client_is_closed_with_4408(server: Any) -> None:
    async with opened(server, path="impatient/") as socket:
        await closes(socket, server, 4408, "Connection initialisation timeout")


async def test_a_client_that_answers_no_ping_is_closed_with_4408(server: Any) -> None:
    async with opened(server, path="impatient/") as socket:
        await acknowledged(socket)
        assert (await socket.receive_json(timeout=GUARD))["type"] == "ping"
        await closes(socket, server, 4408, "Pong timeout")


async def test_a_mistake_in_the_users_code_closes_with_4500(server: Any) -> None:
    async with opened(server, path="failing/") as socket:
        await socket.send_json({"type": "connection_init"})
        await closes(socket, server, 4500, "Internal server error")


# -------------------------------------------------------------------------- who goes away


async def test_a_dropped_tcp_connection_leaves_nothing_behind(server: Any) -> None:
    async with opened(server) as socket:
        await acknowledged(socket)
        await subscribed(socket, "dropped")
        assert (await server.counts())["listeners"] == 1
        transport = socket.get_extra_info("socket")
        assert transport is not None
        _abort(socket)
    await is_left(server, "dropped")
    await until(server, lambda counts: not counts["consumers"] and not counts["groups"])


async def test_a_client_that_closes_leaves_nothing_behind(server: Any) -> None:
    async with opened(server) as socket:
        await acknowledged(socket)
        await subscribed(socket, "closed")
    await is_left(server, "closed")


async def test_a_client_that_does_not_read_delays_nobody(server: Any) -> None:
    async with opened(server) as slow, opened(server) as fast, opened(server) as teller:
        for socket in (slow, fast, teller):
            await acknowledged(socket)
        await subscribed(slow, "slow")
        await subscribed(fast, "fast")
        _transport(slow).pause_reading()
        for number in range(100):
            query = f'mutation {{ tell(text: "{number} ", size: 30000) }}'
            await teller.send_json(
                {"type": "subscribe", "id": str(number), "payload": {"query": query}}
            )
            news = await fast.receive_json(timeout=GUARD)
            assert news["payload"]["data"]["news"]["text"].startswith(f"{number} ")
        _abort(slow)
    await is_left(server, "slow")
    await is_left(server, "fast")


def _transport(socket: aiohttp.ClientWebSocketResponse) -> asyncio.Transport:
    connection = socket._conn
    assert connection is not None
    transport = connection.transport
    assert isinstance(transport, asyncio.Transport)
    return transport


def _abort(socket: aiohttp.ClientWebSocketResponse) -> None:
    """Reset the TCP connection, without a word of WebSocket."""
    _transport(socket).abort()


# ----------------------------------------------------------------------- the server goes


async def test_a_server_that_is_told_to_end_ends_without_a_traceback(
    start_server: Callable[[], Any],
) -> None:
    server = start_server()
    async with opened(server) as one, opened(server, LEGACY) as other:
        for socket in (one, other):
            await acknowledged(socket)
        await subscribed(one, "one")
        query = 'subscription { news(reader: "other") { text } }'
        await other.send_str(json.dumps({"type": "start", "id": "1", "payload": {"query": query}}))
        await until(server, lambda counts: counts["listeners"] == 2)
        loop = asyncio.get_running_loop()
        stopping: Awaitable[int] = loop.run_in_executor(None, server.stop)
        for socket in (one, other):
            async with asyncio.timeout(GUARD):
                message = await socket.receive()
            assert message.type is not aiohttp.WSMsgType.TEXT
            # Daphne drops its clients, unless we hear the signal first, see below.
            assert message.data == (None if server.name == "daphne" else 1012)
        code = await stopping
    # Uvicorn ends by the signal that it has caught, once it has cleaned up.
    assert code in (0, -15), server.log
    assert "Traceback" not in server.log
    assert "Task was destroyed" not in server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_shutdown_lets_a_mutation_end_and_tells_all_to_come_again(
    start_server: Callable[..., Any], number: signal.Signals
) -> None:
    server = start_server("graceful_site")
    # Daphne lets no application say 1012, and knows of no reasons.
    code = 4012 if server.name == "daphne" else 1012
    query = 'subscription { news(reader: "stream") { text } }'
    async with (
        opened(server) as one,
        opened(server) as other,
        aiohttp.ClientSession() as session,
        session.post(
            server.url("graphql/", "http"),
            json={"query": query},
            headers={"Accept": "text/event-stream"},
        ) as stream,
    ):
        for socket in (one, other):
            await acknowledged(socket)
        await subscribed(one, "one")
        mutation = {"query": "mutation { wait }"}
        await other.send_json({"type": "subscribe", "id": "m", "payload": mutation})
        await until(server, lambda counts: counts["waiting"] and counts["listeners"] == 2)
        server.process.send_signal(number)
        await closes(one, server, code, "Service restart")
        async with asyncio.timeout(GUARD):
            assert b"complete" not in await stream.content.read()
        async with opened(server) as late:
            await closes(late, server, code, "Service restart")
        await server.let_go()
        result = await other.receive_json(timeout=GUARD)
        assert result == {"type": "next", "id": "m", "payload": {"data": {"wait": True}}}
        await closes(other, server, code, "Service restart")
    exit_code = await asyncio.to_thread(server.process.wait, GUARD)
    assert exit_code in (0, -15), server.log
    assert "Traceback" not in server.log
    assert "Task was destroyed" not in server.log


async def test_the_log_of_a_server_holds_no_traceback_but_of_users(server: Any) -> None:
    """Whatever the other tests have done to it."""
    async with opened(server, "soap") as socket:
        await closes(socket, server, 4406, "Subprotocol not acceptable")
    tracebacks = server.log.count("Traceback")
    assert tracebacks == server.log.count("LookupError: mistake of a user"), server.log

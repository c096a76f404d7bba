"""The consumer behind real servers and sockets."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from channels_graphql_ws import GraphqlWsClient, GraphqlWsTransportAiohttp
from live_sockets import (
    LEGACY,
    NEW,
    abort,
    acknowledged,
    closes,
    is_left,
    opened,
    subscribed,
    until,
)
from support import GUARD

pytestmark = pytest.mark.servers


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


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("not JSON", "Message must be valid JSON"),
        ("[" * 50_000, "Message must be valid JSON"),
        ("[" * 100_000, "Message has more than 62500 objects and arrays"),
        (b"binary", "Message must be a text frame"),
        ("[]", "Message must be a JSON object"),
        ("x" * 1_000_001, "Message is larger than 1000000 bytes"),
    ],
    ids=["text", "brackets", "more brackets", "binary", "list", "big"],
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


async def test_an_id_that_is_in_use_closes_with_4409(server: Any) -> None:
    async with opened(server) as socket:
        await acknowledged(socket)
        await subscribed(socket, "twice")
        query = "subscription { numbers { number } }"
        await socket.send_json({"type": "subscribe", "id": "twice", "payload": {"query": query}})
        await closes(socket, server, 4409, "Subscriber for twice already exists")
    await is_left(server, "twice")


async def test_a_second_init_closes_with_4429(server: Any) -> None:
    async with opened(server) as socket:
        await acknowledged(socket)
        await socket.send_json({"type": "connection_init"})
        await closes(socket, server, 4429, "Too many initialisation requests")


async def test_a_silent_client_is_closed_with_4408(server: Any) -> None:
    async with opened(server, path="impatient/") as socket:
        await closes(socket, server, 4408, "Connection initialisation timeout")


async def test_a_client_that_answers_no_ping_is_closed_with_4408(server: Any) -> None:
    async with opened(server, path="pinging/") as socket:
        await acknowledged(socket)
        assert (await socket.receive_json(timeout=GUARD))["type"] == "ping"
        await closes(socket, server, 4408, "Pong timeout")


async def test_a_mistake_in_the_users_code_closes_with_4500(server: Any) -> None:
    async with opened(server, path="failing/") as socket:
        await socket.send_json({"type": "connection_init"})
        await closes(socket, server, 4500, "Internal server error")


async def test_a_dropped_tcp_connection_leaves_nothing_behind(server: Any) -> None:
    async with opened(server) as socket:
        await acknowledged(socket)
        await subscribed(socket, "dropped")
        assert (await server.counts())["listeners"] == 1
        abort(socket)
    await is_left(server, "dropped")
    await until(server, lambda counts: not counts["consumers"] and not counts["groups"])


async def test_a_client_that_closes_leaves_nothing_behind(server: Any) -> None:
    async with opened(server) as socket:
        await acknowledged(socket)
        await subscribed(socket, "closed")
    await is_left(server, "closed")


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
            # Some drop their clients, unless we learn of the signal first and say that we restart.
            assert message.data in (server.kind.close_at_the_end, 1012, 4012)
        code = await stopping
    # Uvicorn ends by the signal that it has caught, once it has cleaned up.
    assert code in (0, -15), server.log
    assert "Traceback" not in server.log or not server.kind.ends_quietly
    assert "channels_graphql_ws" not in server.log
    assert "Task was destroyed" not in server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_shutdown_lets_a_mutation_end_and_tells_all_to_come_again(
    start_server: Callable[..., Any], number: signal.Signals
) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("A job in the background ignores it, and so do its children")
    server = start_server("graceful_site")
    if not server.kind.shuts_down_with_us:
        pytest.skip("This server closes its port, and does not wait")
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

"""Much at once behind real servers: large messages, bursts, and clients that do not read."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import Any

import aiohttp
import pytest

from live_sockets import (
    abort,
    acknowledged,
    closes,
    is_left,
    opened,
    subscribed,
    transport_of,
    until,
)
from support import GUARD

pytestmark = pytest.mark.servers

BURST = 1_000
EVENTS = 300


async def ask(socket: aiohttp.ClientWebSocketResponse, id: str, query: str, **names: Any) -> None:
    """Start an operation."""
    await socket.send_json(
        {"type": "subscribe", "id": id, "payload": {"query": query, "variables": names}}
    )


async def answer(socket: aiohttp.ClientWebSocketResponse, id: str) -> Any:
    """Give the data of a query; what others are sent meanwhile is read over."""
    data = None
    while (message := await socket.receive_json(timeout=GUARD))["type"] != "complete":
        if message.get("id") == id:
            data = message["payload"]["data"]
    return data


async def test_large_messages_arrive_whole_in_both_directions(server: Any) -> None:
    async with opened(server) as socket:
        await acknowledged(socket)
        name = "å" * 150_000  # Six characters each, as JSON has it.
        await ask(socket, "1", "query($n: String) { hello(name: $n) }", n=name)
        assert (await answer(socket, "1"))["hello"] == f"Hello {name}"


async def test_a_large_result_arrives_whole_or_is_the_end(server: Any) -> None:
    async with opened(server) as reader, opened(server) as teller:
        for socket in (reader, teller):
            await acknowledged(socket)
        await subscribed(reader, "large")
        await ask(teller, "1", 'mutation { tell(text: "0123456789", size: 1500000) }')
        assert await answer(teller, "1") == {"tell": True}
        if server.kind.largest_result is None:
            news = await reader.receive_json(timeout=GUARD)
            assert news["payload"]["data"]["news"]["text"] == "0123456789" * 1_500_000
        else:
            await closes(reader, server, 4500, "A message could not be sent")
    await is_left(server, "large")


async def test_a_message_that_is_too_large_for_the_server_ends_the_connection(
    server: Any,
) -> None:
    if server.name == "uvicorn-websockets":
        pytest.skip("it ends the connection, but waits ten seconds for who still sends")
    async with opened(server, path="large/") as socket:
        await acknowledged(socket)
        # Most servers say 1009, but cut off who still sends, and what they say may get lost.
        with suppress(ConnectionError):
            await socket.send_str(" " * (server.kind.largest_message + 1))
        async with asyncio.timeout(GUARD):
            message = await socket.receive()
        assert message.type is not aiohttp.WSMsgType.TEXT
    await until(server, lambda counts: not counts["consumers"])


async def test_a_message_that_the_server_takes_just_so_is_answered(server: Any) -> None:
    async with opened(server, path="large/") as socket:
        await acknowledged(socket)
        text = '{"type": "ping"}'
        await socket.send_str(text + " " * (server.kind.largest_message - len(text)))
        assert (await socket.receive_json(timeout=GUARD))["type"] == "pong"


async def test_a_burst_reaches_all_in_order(server: Any) -> None:
    async with (
        opened(server) as one,
        opened(server) as other,
        opened(server) as teller,
    ):
        for socket in (one, other, teller):
            await acknowledged(socket)
        for socket in (one, other):
            await ask(socket, "n", "subscription { numbers { number } }")
        await until(server, lambda counts: counts["listeners"] == 2)
        await ask(teller, "1", f"mutation {{ count(to: {BURST}) }}")
        for socket in (one, other):
            messages = [await socket.receive_json(timeout=GUARD) for _ in range(BURST)]
            numbers = [each["payload"]["data"]["numbers"]["number"] for each in messages]
            assert numbers == list(range(BURST))
        assert await answer(teller, "1") == {"count": True}


async def test_a_client_that_does_not_read_costs_the_others_nothing_and_little_memory(
    server: Any,
) -> None:
    """Thirty megabytes, of which but a few may wait."""
    async with (
        opened(server) as slow,
        opened(server) as fast,
        opened(server) as other,
        opened(server) as teller,
    ):
        for socket in (slow, fast, other, teller):
            await acknowledged(socket)
        for socket, name in ((slow, "slow"), (fast, "fast"), (other, "other")):
            await subscribed(socket, name)
        before = (await server.counts())["dropped"]
        transport_of(slow).pause_reading()
        for number in range(EVENTS):
            query = f'mutation {{ tell(text: "{number:09} ", size: 10000) }}'
            await ask(teller, str(number), query)
            for socket in (fast, other):
                news = await socket.receive_json(timeout=GUARD)
                assert int(news["payload"]["data"]["news"]["text"][:10]) == number
        dropped = (await server.counts())["dropped"] - before
        # All but what is on its way, and what waits for the socket (64) or as notification (20).
        assert dropped > 50 if server.kind.waits_for_readers else dropped == 0
        abort(slow)
    for name in ("slow", "fast", "other"):
        await is_left(server, name)


async def test_clients_of_one_address_that_read_nothing_make_the_server_keep_little(
    server: Any,
) -> None:
    """A hundred megabytes, of which half may wait; clients of another address get theirs."""
    if not server.kind.waits_for_readers:
        pytest.skip(f"{server.name} tells nobody that a client does not read")
    names = [f"{server.name} {number}" for number in range(6)]
    headers = {"X-Forwarded-For": "8.8.8.8"}

    def made(counts: dict[str, Any]) -> list[str]:
        return [name for name in names if name in counts["pages"]]

    async with AsyncExitStack() as stack:
        sockets = []
        for name in names:
            socket = await stack.enter_async_context(
                opened(server, path="bounded/", headers=headers)
            )
            await acknowledged(socket)
            transport_of(socket).pause_reading()
            await ask(socket, "1", f'{{ page(name: "{name}") }}')
            sockets.append(socket)
            if len(sockets) <= 3:
                await until(server, lambda counts: len(made(counts)) == len(sockets))
        other = await stack.enter_async_context(
            opened(server, path="bounded/", headers={"X-Forwarded-For": "8.8.4.4"})
        )
        await acknowledged(other)
        await ask(other, "1", '{ page(name: "other") }')
        assert len((await answer(other, "1"))["page"]) == 16_000_000
        assert made(await server.counts()) == names[:3]
        # One that reads after all lets the next one go on; so does one that has gone.
        transport_of(sockets[0]).resume_reading()
        assert len((await answer(sockets[0], "1"))["page"]) == 16_000_000
        await until(server, lambda counts: made(counts) == names[:4])
        abort(sockets[1])
        await until(server, lambda counts: made(counts) == names[:5])
        for socket in (sockets[0], *sockets[2:]):
            abort(socket)

"""HTTP behind real servers: statuses, uploads, event streams and who goes away."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from live_sockets import is_left, until
from support import GUARD

pytestmark = pytest.mark.servers

EVENTS = {"Accept": "text/event-stream"}
RESPONSE = {"Accept": "application/graphql-response+json"}

NEWS = "subscription($r: String) { news(reader: $r) { text } }"


@asynccontextmanager
async def asked(
    server: Any, body: Any, method: str = "POST", **options: Any
) -> AsyncIterator[aiohttp.ClientResponse]:
    """Ask, and give the response while it comes."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, server.url("graphql/", "http"), json=body, **options) as response,
    ):
        yield response


async def tell(server: Any, text: str, size: int = 1) -> None:
    """Have the server broadcast."""
    query = "mutation($text: String, $size: Int) { tell(text: $text, size: $size) }"
    variables = {"text": text, "size": size}
    async with asked(server, {"query": query, "variables": variables}) as response:
        assert await response.json() == {"data": {"tell": True}}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"query": "{ hello }"}, 200),
        ({"query": "{ nothing }"}, 400),
        ({"query": 1}, 400),
        ([{"query": "{ hello }"}], 400),
        ({"query": NEWS}, 406),
        ({"query": "x" * 1_000_001}, 413),
    ],
)
async def test_a_request_is_answered_with_its_status(server: Any, body: Any, status: int) -> None:
    async with asked(server, body, headers=RESPONSE) as response:
        assert response.status == status
        answer = await response.json(content_type=None)
    if status == 200:
        assert answer == {"data": {"hello": "Hello world"}}
    else:
        assert answer["errors"][0]["message"]


async def test_another_method_is_refused(server: Any) -> None:
    async with asked(server, {"query": "{ hello }"}, "PUT") as response:
        assert response.status == 405
        assert response.headers["Allow"]


async def test_a_query_may_stand_in_the_address(server: Any) -> None:
    query = {"query": '{ hello(name: "Åsa & co") }'}
    async with asked(server, None, "GET", params=query) as response:
        assert await response.json() == {"data": {"hello": "Hello Åsa & co"}}


async def test_one_connection_serves_many_requests(server: Any) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session:
        for query in ("{ hello }", "{", "{ hello }"):
            async with session.post(server.url("graphql/", "http"), json={"query": query}) as got:
                assert ("errors" in await got.json()) is (query == "{")


async def test_a_file_is_taken(server: Any) -> None:
    query = "mutation($file: Upload!) { length(file: $file) }"
    form = aiohttp.FormData()
    operations = {"query": query, "variables": {"file": None}}
    form.add_field("operations", json.dumps(operations))
    form.add_field("map", json.dumps({"0": ["variables.file"]}))
    form.add_field("0", io.BytesIO(b"\0\xff" * 1_500_000), filename="three.bin")
    headers = {"GraphQL-Require-Preflight": "1"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(server.url("graphql/", "http"), data=form) as response,
    ):
        assert await response.json() == {"data": {"length": 3_000_000}}


async def next_event(response: aiohttp.ClientResponse) -> tuple[str, Any]:
    """Wait for an event; comments, the signs of life, are read over."""
    async with asyncio.timeout(GUARD):
        while not (line := (await response.content.readline()).decode()).startswith("event: "):
            assert line, "the stream has ended"
        data = (await response.content.readline()).decode().removeprefix("data: ").strip()
    return line.removeprefix("event: ").strip(), json.loads(data) if data else None


@asynccontextmanager
async def listening(server: Any, reader: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """Subscribe over HTTP, and know that it is done."""
    body = {"query": NEWS, "variables": {"r": reader}}
    async with asked(server, body, headers=EVENTS, read_bufsize=2**22) as response:
        assert (response.status, response.content_type) == (200, "text/event-stream")
        await until(server, lambda counts: counts["listeners"] == 1)
        yield response


async def test_events_are_sent_as_they_come(server: Any) -> None:
    async with listening(server, "stream") as response:
        for number in range(10):
            await tell(server, str(number))
            name, result = await next_event(response)
            assert (name, result) == ("next", {"data": {"news": {"text": str(number)}}})
    await is_left(server, "stream")


async def test_a_silent_stream_shows_signs_of_life(server: Any) -> None:
    async with listening(server, "silent") as response, asyncio.timeout(GUARD):
        for _ in range(3):
            assert await response.content.readuntil(b":\n\n")
    await is_left(server, "silent")


async def test_a_query_on_a_stream_ends_it(server: Any) -> None:
    async with asked(server, {"query": "{ hello }"}, headers=EVENTS) as response:
        assert await next_event(response) == ("next", {"data": {"hello": "Hello world"}})
        assert (await next_event(response))[0] == "complete"
        assert not (await response.content.read()).strip()


@pytest.mark.parametrize("is_abrupt", [False, True])
async def test_a_reader_that_goes_away_is_noticed(server: Any, is_abrupt: bool) -> None:
    reader = f"gone {is_abrupt}"
    async with listening(server, reader) as response:
        connection = response.connection
        assert connection is not None
        transport = connection.transport
        assert isinstance(transport, asyncio.Transport)
        if is_abrupt:
            transport.abort()
        else:
            transport.close()
        await until(server, lambda counts: reader in counts["unsubscribed"])
    await is_left(server, reader)


async def test_a_reader_that_does_not_read_is_bounded(server: Any) -> None:
    """As of a WebSocket: thirty megabytes, of which but a few may wait."""
    before = (await server.counts())["dropped"]
    async with listening(server, "lazy") as response:
        connection = response.connection
        assert connection is not None
        transport = connection.transport
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        for number in range(300):
            await tell(server, f"{number:09} ", 10_000)
        dropped = (await server.counts())["dropped"] - before
        assert dropped > 50 if server.kind.waits_for_readers else dropped == 0
        transport.abort()
    await is_left(server, "lazy")

"""All operations on one stream of server-sent events."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from channels_graphql_ws.client import (
    ConnectionRejectedError,
    GraphqlOperationError,
    GraphqlSseTransport,
    GraphqlWsClient,
    Retry,
)
from channels_graphql_ws.exceptions import ConnectionClosedError, RemoteProtocolError
from http_peer import EVENTS, HttpPeer, body, errors, event, running
from support import wait_until

ON_A = "subscription OnA { a }"
TOKEN_HEADER = "X-GraphQL-Event-Stream-Token"  # noqa: S105 (the name of a header)


class StreamPeer(HttpPeer):
    """Reserves streams, takes operations, and says on the stream what a test says.

    Attributes:
        operations: ids of the operations that were taken and not stopped.
        streams: how many were opened.
    """

    def __init__(self) -> None:
        super().__init__()
        self.operations: list[str] = []
        self.streams = 0
        self.say: asyncio.Queue[str | None] = asyncio.Queue()
        self.refusal: Any = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        self.requests.append((request.method, dict(request.headers), dict(request.query), content))
        if self.refusal is not None and request.method == self.refusal[0]:
            return await self.refusal[1](request, content)
        if request.method == "PUT":
            return web.Response(text="the token", status=201)
        assert request.headers[TOKEN_HEADER] == "the token"
        match request.method:
            case "GET":
                return await self._stream(request)
            case "POST":
                self.operations.append(json.loads(content)["extensions"]["operationId"])
                return web.Response(status=202)
            case _:
                self.operations.remove(request.query["operationId"])
                return web.Response(status=200)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        self.streams += 1
        response = web.StreamResponse(headers=EVENTS)
        await response.prepare(request)
        while (said := await self.say.get()) is not None:
            await response.write(said.encode())
        return response


@pytest.fixture
async def peer() -> AsyncIterator[StreamPeer]:
    async with running(StreamPeer()) as peer:
        assert isinstance(peer, StreamPeer)
        yield peer


@pytest.fixture
async def client(peer: StreamPeer) -> AsyncIterator[GraphqlWsClient]:
    transport = GraphqlSseTransport(peer.url)
    async with GraphqlWsClient(transport, retry=Retry(wait=lambda _: 0)) as client:
        yield client


def result(id: str, value: Any) -> str:
    return event("next", {"id": id, "payload": {"data": {"a": value}}})


async def test_any_number_of_operations_share_one_stream(client, peer):
    asking = [asyncio.create_task(client.query(f"query Q{n} {{ a }}")) for n in range(5)]
    await wait_until(lambda: len(peer.operations) == 5)
    for id in peer.operations:
        peer.say.put_nowait(result(id, id) + event("complete", {"id": id}))
    answers = [(await each)["a"] for each in asking]
    assert sorted(answers) == sorted(peer.operations)
    assert peer.streams == 1


async def test_a_subscription_that_is_left_is_deleted(client, peer):
    async with client.subscription(ON_A) as events:
        await wait_until(lambda: peer.operations)
        peer.say.put_nowait(": alive\n\n" + result(peer.operations[0], 1))
        assert (await anext(events))["a"] == 1
    await wait_until(lambda: not peer.operations)


async def test_a_stream_that_is_lost_is_reserved_anew_with_all_its_operations(client, peer):
    async with client.subscription(ON_A) as events:
        await wait_until(lambda: peer.operations)
        (id,) = peer.operations
        peer.say.put_nowait(None)
        await wait_until(lambda: len(peer.operations) == 2)
        assert peer.operations == [id, id]
        peer.say.put_nowait(result(id, 2))
        event = await anext(events)
    assert (event["a"], event.gap.reason) == (2, "reconnected")
    assert peer.streams == 2


async def test_an_operation_that_is_refused_on_the_stream_fails_alone(client, peer):
    asking = asyncio.create_task(client.query("{ a }"))
    await wait_until(lambda: peer.operations)
    payload = {"errors": [{"message": "no such field"}]}
    peer.say.put_nowait(event("next", {"id": peer.operations[0], "payload": payload}))
    with pytest.raises(GraphqlOperationError, match="no such field"):
        await asking


async def test_an_operation_that_is_refused_at_once_fails_alone(client, peer):
    peer.refusal = ("POST", errors("no such field", status=400))
    with pytest.raises(GraphqlOperationError, match="no such field"):
        await client.query("{ a }")
    assert client.connected


@pytest.mark.parametrize("method", ["PUT", "GET"])
async def test_a_server_that_does_not_know_the_mode_is_a_rejection(client, peer, method):
    peer.refusal = (method, body("what?", 405, "text/plain"))
    with pytest.raises(ConnectionRejectedError, match=r"HTTP 405 .*'what\?'") as caught:
        await client.query("{ a }")
    assert caught.value.status == 405


async def test_a_stop_that_cannot_be_sent_does_no_harm(client, peer):
    async with client.subscription(ON_A):
        await wait_until(lambda: peer.operations)

        async def drop(request: web.Request, _: bytes) -> web.StreamResponse:
            request.transport.abort()
            return web.Response()

        peer.refusal = ("DELETE", drop)
    await wait_until(lambda: peer.requests[-1][0] == "DELETE")
    assert client.connected


@pytest.mark.parametrize("said", ["event: next\ndata: 7\n\n", "event: next\ndata: x\n\n"])
async def test_an_event_that_is_none_ends_the_stream_with_an_error(client, peer, said):
    asking = asyncio.create_task(client.query("{ a }"))
    await wait_until(lambda: peer.operations)
    peer.say.put_nowait(event("ping") + said)
    with pytest.raises(RemoteProtocolError, match="an event"):
        await asking


async def test_who_waits_for_the_end_of_the_stream_is_told(peer):
    transport = GraphqlSseTransport(peer.url)
    await transport.connect()
    peer.say.put_nowait(None)
    with pytest.raises(ConnectionClosedError, match="ended the stream before its end"):
        await transport.receive()
    assert (await transport.wait_disconnect())["code"] is None
    await transport.disconnect()


async def test_disconnecting_ends_the_stream(peer):
    transport = GraphqlSseTransport(peer.url)
    await transport.connect()
    await transport.disconnect()
    assert transport._stream is None


async def test_files_are_not_for_a_stream(peer):
    async with GraphqlWsClient(GraphqlSseTransport(peer.url)) as client:
        with pytest.raises(TypeError, match="is a file"):
            await client.query("mutation { a }", {"f": io.BytesIO()})

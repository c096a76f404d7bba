"""What becomes of streams and of requests when the server shuts down."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest
from django.http import HttpResponse

import http_schema
from channels_graphql_ws import GraphqlHttpConsumer, shut_down
from channels_graphql_ws.http import stream_formats as formats
from channels_graphql_ws.http.responses import StreamingResponse
from channels_graphql_ws.http.stream import ResponseStream
from channels_graphql_ws.pubsub.hub import hub_of
from channels_graphql_ws.pubsub.layers import channel_layer
from channels_graphql_ws.shutdown import connections_of_loop
from channels_graphql_ws.signals import ConnectionSignals
from http_client import EVENTS, PARTS, Gate, ask, exchange, listeners, post, posted, streaming
from http_schema import OnEvent
from support import tick, wait_until

SUBSCRIPTION = 'subscription { onEvent(group: "a") { event } }'
COMPLETE = b"event: complete\ndata: \n\n"
TEXT = "The server is about to restart, try again"


@pytest.fixture(autouse=True)
def gate():
    http_schema.calls.clear()
    http_schema.gates["g"] = Gate()
    yield http_schema.gates["g"]
    http_schema.gates.clear()


def consumer(**options):
    return GraphqlHttpConsumer.as_asgi(schema=http_schema.schema, **options)


@asynccontextmanager
async def shutting_down(timeout=10.0):
    leaving = asyncio.ensure_future(shut_down(timeout))
    await tick(5)
    yield leaving
    await leaving


async def test_a_stream_ends_without_complete_so_that_its_client_comes_again():
    async with streaming(consumer(resolve_sync_in_threads=False), SUBSCRIPTION) as one:
        await one.chunk()
        await OnEvent.broadcast(group="a", payload="last")
        async with shutting_down():
            rest = await one.rest()
            await one.finished()
    assert b"last" in rest
    assert COMPLETE not in rest
    assert http_schema.calls == ["a"]
    assert listeners() == 0
    assert len(connections_of_loop()) == 0


async def test_a_multipart_stream_ends_with_its_last_boundary():
    async with streaming(consumer(), SUBSCRIPTION, accept=PARTS) as one:
        await one.chunk()
        async with shutting_down():
            assert (await one.rest()).endswith(b"--\r\n")
            await one.finished()


async def test_complete_is_said_where_that_is_wanted():
    async with streaming(consumer(complete_at_shutdown=True), SUBSCRIPTION) as one:
        await one.chunk()
        async with shutting_down():
            assert await one.rest() == COMPLETE
            await one.finished()


async def test_a_streamed_mutation_comes_to_its_end(gate):
    async with streaming(consumer(), 'mutation { mutate(gate: "g") { ok } }') as one:
        await gate.entered.wait()
        async with shutting_down():
            gate.opened.set()
            assert (await one.rest()).endswith(COMPLETE)
            await one.finished()
    assert gate.passed


async def test_a_streamed_query_that_takes_too_long_is_given_up(gate):
    async with streaming(consumer(), '{ wait(gate: "g") }') as one:
        await gate.entered.wait()
        async with shutting_down(timeout=0.01):
            assert COMPLETE not in await one.rest()
            await one.finished()
    assert gate.cancelled


async def test_queries_are_answered_until_the_end_and_streams_are_not_begun():
    await shut_down()
    assert (await post(consumer(), {"query": "{ hello }"})).status == 200
    answer = await post(consumer(), {"query": SUBSCRIPTION}, accept=EVENTS)
    assert (answer.status, answer.message) == (503, TEXT)
    assert answer.headers["retry-after"] == "1"


async def test_a_reserved_stream_ends_when_its_query_has_ended(gate):
    application = consumer(single_connection_enabled=True)
    token = (await ask(application, "PUT")).body.decode()
    headers = {"Accept": EVENTS, "X-GraphQL-Event-Stream-Token": token}
    async with exchange(application, "GET", "/graphql/", headers) as one:
        await one.send()
        await one.start()
        for id, query in (("s", SUBSCRIPTION), ("q", '{ wait(gate: "g") }')):
            body = {"query": query, "extensions": {"operationId": id}}
            answer = await post(application, body, headers={"X-GraphQL-Event-Stream-Token": token})
            assert answer.status == 202
        async with shutting_down():
            late = await post(
                application,
                {"query": "{ hello }", "extensions": {"operationId": "late"}},
                headers={"X-GraphQL-Event-Stream-Token": token},
            )
            assert (late.status, late.message) == (503, TEXT)
            assert (await ask(application, "PUT")).status == 503
            gate.opened.set()
            rest = await one.rest()
            await one.finished()
    assert b'"id":"q"' in rest
    assert listeners() == 0


async def test_a_stream_that_nobody_reads_is_not_waited_for_without_end(monkeypatch):
    monkeypatch.setattr("channels_graphql_ws.http.responses.CLOSE_TIMEOUT", 0.01)

    async def end():
        pass

    stream = ResponseStream(formats.EVENT_STREAM)
    answer = StreamingResponse(HttpResponse(), stream, end, list, ConnectionSignals(object), {})
    await shut_down()
    assert len(connections_of_loop()) == 1
    await answer.close()


async def test_a_server_that_cancels_us_lets_the_client_have_the_end():
    sent = []
    body, headers = posted({"query": SUBSCRIPTION}, EVENTS)
    inbox = asyncio.Queue()
    inbox.put_nowait({"type": "http.request", "body": body})

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/graphql/",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    serving = asyncio.ensure_future(consumer()(scope, inbox.get, send))
    await wait_until(lambda: len(sent) == 2)
    serving.cancel()
    await serving
    assert sent[-1] == {"type": "http.response.body", "body": b""}
    assert listeners() == 0


def give_up_the_layer():
    """Do what a hub does when nothing comes through its channel layer any more."""
    hub = hub_of(channel_layer())
    hub._send_away()


async def test_streams_of_a_channel_layer_that_is_given_up_end_so_that_clients_come_again():
    async with streaming(consumer(), SUBSCRIPTION) as one:
        await one.chunk()
        give_up_the_layer()
        assert COMPLETE not in await one.rest()
        await one.finished()
    # Others may still come in.
    async with streaming(consumer(), SUBSCRIPTION) as one:
        await one.chunk()


async def test_a_reserved_stream_ends_with_its_channel_layer():
    application = consumer(single_connection_enabled=True)
    token = (await ask(application, "PUT")).body.decode()
    headers = {"X-GraphQL-Event-Stream-Token": token}
    async with exchange(application, "GET", "/graphql/", {"Accept": EVENTS, **headers}) as one:
        await one.send()
        await one.start()
        body = {"query": SUBSCRIPTION, "extensions": {"operationId": "s"}}
        assert (await post(application, body, headers=headers)).status == 202
        give_up_the_layer()
        assert COMPLETE not in await one.rest()
        await one.finished()

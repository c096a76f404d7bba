"""How many event streams one user or one address may have, and bodies that never come."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest
from django.test import override_settings

import http_schema
from channels_graphql_ws.http import reservations
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from channels_graphql_ws.operations.options import OperationOptions
from fake_transport import FakeTransport
from http_client import EVENTS, RESPONSE, Gate, ask, exchange, get, post, posted, scope_of
from support import tick, wait_until

FOREVER = {"query": 'subscription { onEvent(group: "a") { event } }'}
ADA = SimpleNamespace(is_authenticated=True, pk=7)
CAROL = SimpleNamespace(is_authenticated=True, pk=8)
TOKEN = "X-GraphQL-Event-Stream-Token"  # noqa: S105 (its name)


def consumer(**options):
    return GraphqlHttpConsumer.as_asgi(schema=http_schema.schema, **options)


async def opened(stack, application, status=200, **scope):
    body, headers = posted(FOREVER, EVENTS)
    one = await stack.enter_async_context(exchange(application, headers=headers, **scope))
    await one.send(body)
    await one.start()
    assert one.status == status
    return one


def from_address(number):
    return {"client": (f"8.8.8.{number}", 1)}


async def test_an_address_has_so_many_streams_and_no_more():
    application = consumer(max_event_streams_per_address=2)
    async with AsyncExitStack() as stack:
        first = await opened(stack, application, **from_address(1))
        await opened(stack, application, **from_address(1))
        refused = await opened(stack, application, 429, **from_address(1))
        text = (await refused.rest()).decode()
        assert "Too many event streams: no more than 2 may be open" in text
        assert "max_event_streams_per_address" in text
        await opened(stack, application, **from_address(2))
        await first.leave()
        await opened(stack, application, **from_address(1))


async def test_a_user_has_so_many_streams_from_wherever():
    application = consumer(max_event_streams_per_user=1)
    async with AsyncExitStack() as stack:
        await opened(stack, application, user=ADA, **from_address(1))
        await opened(stack, application, 429, user=ADA, **from_address(2))
        await opened(stack, application, user=CAROL, **from_address(1))


@pytest.mark.parametrize("client", [None, ("127.0.0.1", 1), ("10.0.0.1", 1), ("", None)])
async def test_an_address_that_is_not_the_clients_is_not_counted(client):
    application = consumer(max_event_streams_per_address=1)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await opened(stack, application, client=client)


@pytest.mark.parametrize("limits", ["compatible", "safe"])
async def test_the_defaults_are_far_from_what_one_needs(limits):
    per_address = GraphqlHttpConsumer.max_event_streams_per_address
    assert (GraphqlHttpConsumer.max_event_streams_per_user, per_address) == (100, 250)
    assert OperationOptions.trusted_proxies == ()
    application = consumer(safety=limits)
    async with AsyncExitStack() as stack:
        for _ in range(per_address):
            await opened(stack, application, **from_address(1))
        status = 200 if limits == "compatible" else 429
        await opened(stack, application, status, **from_address(1))


async def test_a_query_that_is_streamed_gives_its_place_back():
    application = consumer(max_event_streams_per_user=1)
    for _ in range(3):
        answer = await post(application, {"query": "{ hello }"}, accept=EVENTS, user=ADA)
        assert answer.status == 200


async def test_what_is_not_streamed_needs_no_place():
    application = consumer(max_event_streams_per_user=0)
    answer = await post(application, {"query": "{ hello }"}, user=ADA)
    assert answer.status == 200


async def test_a_client_that_goes_before_its_stream_begins_gives_its_place_back():
    application = consumer(max_event_streams_per_user=1)
    http_schema.gates["g"] = gate = Gate()
    body, headers = posted({"query": 'subscription { onEvent(gate: "g") { event } }'}, EVENTS)
    async with exchange(application, headers=headers, user=ADA) as one:
        await one.send(body)
        await wait_until(gate.entered.is_set)
        await one.leave()
    async with AsyncExitStack() as stack:
        await opened(stack, application, user=ADA)


async def reserve(application, **scope):
    return await ask(application, "PUT", headers={"Accept": EVENTS}, **scope)


async def test_a_reserved_stream_takes_a_place_until_it_is_closed():
    application = consumer(single_connection_enabled=True, max_event_streams_per_user=1)
    token = (await reserve(application, user=ADA)).body.decode()
    assert (await reserve(application, user=ADA)).status == 429
    headers = {TOKEN: token, "Accept": EVENTS}
    async with exchange(application, "GET", headers=headers, user=ADA) as one:
        await one.send()
        await one.start()
        assert (await reserve(application, user=ADA)).status == 429
        await one.leave()
    assert (await reserve(application, user=ADA)).status == 201


async def test_reservations_of_one_stranger_do_not_take_the_places_of_others():
    application = consumer(
        single_connection_enabled=True,
        max_event_streams=200,
        max_event_streams_per_address=None,
        max_event_streams_per_user=None,
    )
    assert reservations.MAX_WAITING == 100
    tokens = [(await reserve(application)).body.decode() for _ in range(250)]
    assert (await reserve(application, user=ADA)).status == 201
    assert (await reserve(application, **from_address(1))).status == 201
    await tick(5)
    oldest, newest = tokens[0], tokens[-1]
    headers = {"Accept": EVENTS, TOKEN: oldest}
    assert (await ask(application, "GET", headers=headers)).status == 404
    async with exchange(application, "GET", headers={**headers, TOKEN: newest}) as one:
        await one.send()
        await one.start()
        assert one.status == 200


@pytest.mark.parametrize("id", ["", "x" * 1_001])
async def test_the_id_of_an_operation_is_bounded(id):
    application = consumer(single_connection_enabled=True)
    token = (await reserve(application)).body.decode()
    content = {"query": "{ hello }", "extensions": {"operationId": id}}
    answer = await post(application, content, headers={TOKEN: token})
    assert answer.status == 400
    assert "a string of 1 to 1000 characters" in answer.message


async def test_a_body_that_does_not_come_is_given_up():
    body, headers = posted({"query": "{ hello }"})
    async with exchange(consumer(body_timeout=0), headers=headers) as one:
        await one.send(body[:5], more=True)
        answer = await one.answer()
    assert (answer.status, answer.message) == (408, "The body did not arrive within 0 seconds")
    assert answer.headers["connection"] == "close"


async def test_a_body_may_take_any_time_where_that_is_wanted():
    body, headers = posted({"query": "{ hello }"})
    async with exchange(consumer(body_timeout=None), headers=headers) as one:
        await one.send(body[:5], more=True)
        await tick(5)
        await one.send(body[5:])
        assert (await one.answer()).status == 200


async def test_the_longest_body_is_djangos():
    query = {"query": "{ hello }" + " " * 1_500_000}
    assert (await post(consumer(), query)).status == 200
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=1_000_000):
        assert (await post(consumer(), query)).message == "The body is longer than 1000000 bytes"
        assert (await post(consumer(max_body_size=2_000_000), query)).status == 200
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=None):
        assert (await post(consumer(), query)).status == 200
    assert GraphqlHttpConsumer.max_body_size == 2_621_440


async def test_an_unsuitable_stream_is_an_error_of_the_operation():
    application = consumer(max_event_streams_per_user=0)
    answer = await post(application, FOREVER, accept=f"{EVENTS}, {RESPONSE}", user=ADA)
    assert (answer.status, answer.headers["content-type"][:27]) == (
        429,
        "application/graphql-respons",
    )
    assert (await get(application, EVENTS, query="{ hello }")).status == 200


async def sent_by(application, send):
    """Let an application answer a request, and return what it sent."""
    name = "x" * 1_000_000
    body, headers = posted({"query": f'{{ hello(name: "{name}") }}'})
    received = asyncio.Queue()
    received.put_nowait({"type": "http.request", "body": body})
    sent = []

    async def record(message):
        await send(message)
        sent.append(message)

    await application(scope_of("POST", "/graphql/", headers), received.get, record)
    return sent


async def test_a_large_answer_is_sent_in_parts():
    async def send(_message):
        await tick()

    start, *parts = await sent_by(consumer(), send)
    body = b"".join(each["body"] for each in parts)
    assert len(parts) == 4
    assert [each["more_body"] for each in parts] == [True, True, True, False]
    assert dict(start["headers"])[b"content-length"] == str(len(body)).encode()
    assert json.loads(body)["data"]["hello"] == f"Hello {'x' * 1_000_000}!"


async def test_a_client_that_does_not_read_its_answer_is_given_up(caplog):
    caplog.set_level("INFO")
    never = asyncio.Event()

    async def send(message):
        if message["type"] == "http.response.body":
            await never.wait()

    assert len(await sent_by(consumer(stalled_reader_timeout=0), send)) == 1
    assert "A client does not read its answer" in caplog.text


async def test_the_server_forgets_at_once_what_was_not_read_of_an_answer():
    class Server:
        transport = FakeTransport()

        async def send(self, message):
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

    assert len(await sent_by(consumer(stalled_reader_timeout=0), Server().send)) == 1
    assert Server.transport.aborted == 1

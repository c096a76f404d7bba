"""Server-sent events and multipart subscriptions: what comes, and what is cleaned up."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace

import graphene
import pytest
from django.test import override_settings
from graphql import OperationType

import http_schema
from channels_graphql_ws.http import stream as stream_module
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from channels_graphql_ws.operations.revocation import disconnect_user
from channels_graphql_ws.pubsub.layers import channel_layer
from channels_graphql_ws.subscription import queue
from fake_transport import FakeTransport
from http_client import (
    EVENTS,
    HOUR,
    PARTS,
    RESPONSE,
    Gate,
    Timers,
    ask,
    exchange,
    get,
    listeners,
    post,
    posted,
    streaming,
)
from http_schema import OnEvent
from support import tick, wait_until

SUBSCRIPTION = 'subscription { onEvent(group: "a") { event } }'
SLOW = 'subscription { onSlow(group: "a") { event } }'


def consumer(**options):
    return GraphqlHttpConsumer.as_asgi(schema=http_schema.schema, **options)


@pytest.fixture(autouse=True)
def gates():
    http_schema.calls.clear()
    http_schema.published.clear()
    http_schema.gates.update({name: Gate() for name in ("g", "unsubscribed")})
    yield http_schema.gates
    http_schema.gates.clear()


def event(name, result):
    return f"event: next\ndata: {json.dumps(result, separators=(',', ':'))}\n\n".encode()


def a(text):
    return {"data": {"onEvent": {"event": text}}}


COMPLETE = b"event: complete\ndata: \n\n"


async def test_a_subscription_is_a_stream_of_events():
    async with streaming(consumer(), SUBSCRIPTION) as one:
        assert one.status == 200
        assert one.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert one.headers["cache-control"] == "no-cache, no-store"
        assert one.headers["x-accel-buffering"] == "no"
        assert await one.chunk() == b":\n\n"
        for text in ("one", "two"):
            await OnEvent.broadcast(group="a", payload=text)
            assert await one.chunk() == event("next", a(text))
        await OnEvent.unsubscribe(group="a")
        assert await one.rest() == COMPLETE
        await one.finished()
    assert http_schema.calls == ["a"]
    assert listeners() == 0


async def test_a_subscription_comes_by_get_too():
    headers = {"Accept": EVENTS}
    path = "/graphql/?query=subscription%7BonEvent%7Bevent%7D%7D"
    async with exchange(consumer(), "GET", path, headers) as one:
        await one.send()
        await one.start()
        await one.chunk()
        await OnEvent.broadcast(payload="x")
        assert await one.chunk() == event("next", a("x"))
        await one.leave()
    assert listeners() == 0


async def test_a_client_that_goes_away_is_cleaned_up_after():
    async with streaming(consumer(), SUBSCRIPTION) as one:
        await one.chunk()
        assert listeners() == 1
        await one.leave()
    assert http_schema.calls == ["a"]
    assert listeners() == 0


async def test_an_event_of_another_group_does_not_come():
    async with streaming(consumer(), SUBSCRIPTION) as one:
        await one.chunk()
        await OnEvent.broadcast(group="b", payload="no")
        await OnEvent.broadcast(group="a", payload="yes")
        assert await one.chunk() == event("next", a("yes"))
        await one.leave()


async def test_a_query_is_streamed_to_who_takes_nothing_else():
    async with streaming(consumer(), "{ hello }") as one:
        assert await one.rest() == (
            b":\n\n" + event("next", {"data": {"hello": "Hello world!"}}) + COMPLETE
        )
        await one.finished()


async def test_a_query_that_takes_its_time_does_not_hold_the_stream_back(gates):
    async with streaming(consumer(), '{ wait(gate: "g") }') as one:
        assert await one.chunk() == b":\n\n"
        gates["g"].opened.set()
        assert await one.rest() == event("next", {"data": {"wait": "g"}}) + COMPLETE
        await one.finished()


async def test_a_streamed_query_of_a_client_that_has_gone_is_cancelled(gates):
    async with streaming(consumer(), '{ wait(gate: "g") }') as one:
        await gates["g"].entered.wait()
        await one.leave()
    assert gates["g"].cancelled


async def test_a_streamed_mutation_of_a_client_that_has_gone_comes_to_its_end(gates):
    async with streaming(consumer(), 'mutation { mutate(gate: "g") { ok } }') as one:
        await gates["g"].entered.wait()
        leaving = asyncio.ensure_future(one.leave())
        await tick(10)
        gates["g"].opened.set()
        await leaving
    assert gates["g"].passed


async def test_a_client_that_goes_while_it_is_subscribed_leaves_nothing(gates):
    query = 'subscription { onEvent(gate: "g") { event } }'
    async with streaming(consumer(), query) as one:
        await gates["g"].entered.wait()
        await one.leave()
    assert gates["g"].cancelled
    assert listeners() == 0


async def test_a_mutation_by_get_is_refused_on_a_stream_too(gates):
    answer = await get(consumer(), EVENTS, query='mutation { mutate(gate: "g") { ok } }')
    assert (answer.status, answer.message) == (405, "Mutations need POST")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"


@pytest.mark.parametrize(
    "query",
    ["{", "{ unknown }", "subscription { onEvent(refuse: true) { event } }"],
)
async def test_what_can_not_be_executed_is_told_on_the_stream(query):
    async with streaming(consumer(), query) as one:
        assert one.status == 200
        text = (await one.rest()).decode()
        await one.finished()
    assert text.startswith(':\n\nevent: next\ndata: {"errors":[{"message":')
    assert text.endswith(COMPLETE.decode())
    assert listeners() == 0


async def test_a_request_that_makes_no_sense_gets_an_ordinary_answer():
    answer = await post(consumer(), {}, accept=EVENTS)
    assert (answer.status, answer.message) == (400, '"query" is missing')


@pytest.mark.parametrize("accept", ["application/json", RESPONSE, "*/*"])
async def test_a_subscription_needs_a_client_that_takes_a_stream(accept):
    answer = await post(consumer(), {"query": SUBSCRIPTION}, accept=accept)
    assert answer.status == 406
    assert "text/event-stream" in answer.message
    assert listeners() == 0


async def test_streams_can_be_switched_off():
    application = consumer(event_streams_enabled=False, multipart_subscriptions_enabled=False)
    for accept in (EVENTS, f"{EVENTS}, application/json", PARTS):
        answer = await post(application, {"query": SUBSCRIPTION}, accept=accept)
        assert answer.status == 406


async def test_a_client_of_both_gets_a_stream_only_for_subscriptions():
    application = consumer()
    accept = f"{RESPONSE}, application/json, {EVENTS}"
    answer = await post(application, {"query": "{ hello }"}, accept=accept)
    assert answer.headers["content-type"].startswith(RESPONSE)
    async with streaming(application, SUBSCRIPTION, accept=accept) as one:
        assert one.headers["content-type"].startswith(EVENTS)
        await one.leave()


async def test_headers_that_a_hook_sets_come_with_the_stream():
    class Consumer(GraphqlHttpConsumer):
        schema = http_schema.schema

        async def get_context(self, context):
            context.response.set_cookie("a", "1")
            await tick()
            return context

    async with streaming(Consumer.as_asgi(), SUBSCRIPTION) as one:
        assert one.set_cookies == ["a=1; Path=/"]
        await one.leave()


@pytest.mark.parametrize("query", ['{ wait(gate: "g") }', 'mutation { mutate(gate: "g") { ok } }'])
async def test_a_streamed_operation_that_takes_too_long_is_cancelled(gates, monkeypatch, query):
    timers = Timers(monkeypatch)
    async with streaming(consumer(operation_timeout=HOUR), query) as one:
        await gates["g"].entered.wait()
        timers.go_off()
        text = await one.rest()
        await one.finished()
    assert b"The operation took too long" in text
    assert text.endswith(COMPLETE)
    assert gates["g"].cancelled


async def test_a_subscription_has_all_the_time_that_it_takes(gates, monkeypatch):
    timers = Timers(monkeypatch)
    query = 'subscription { onEvent(group: "a", gate: "g") { event } }'
    async with streaming(consumer(operation_timeout=HOUR), query) as one:
        await one.chunk()
        await gates["g"].entered.wait()
        timers.go_off()
        gates["g"].opened.set()
        await wait_until(listeners)
        await tick(5)
        await OnEvent.broadcast(group="a", payload="x")
        assert await one.chunk() == event("next", a("x"))
        await one.leave()


async def test_a_confirmation_is_the_first_event():
    async with streaming(consumer(confirm_subscriptions=True), SUBSCRIPTION) as one:
        assert await one.until(b"}\n\n") == b":\n\n" + event("next", {"data": None})
        await one.leave()


async def test_silence_is_broken_by_signs_of_life():
    async with streaming(consumer(send_heartbeat_every=0.001), SUBSCRIPTION) as one:
        for _ in range(3):
            assert await one.chunk() == b":\n\n"
        await one.leave()


async def test_results_on_a_stream_are_as_the_hook_leaves_them():
    class Consumer(GraphqlHttpConsumer):
        schema = http_schema.schema

        async def process_result(self, request, result):
            await tick()
            return {"data": "changed"}

    async with streaming(Consumer.as_asgi(), SUBSCRIPTION) as one:
        await one.chunk()
        await OnEvent.broadcast(group="a", payload="x")
        assert await one.chunk() == event("next", {"data": "changed"})
        await one.leave()


async def test_a_hanging_unsubscribed_does_not_keep_the_request(gates, caplog):
    async with streaming(consumer(disconnect_timeout=0.001), SLOW) as one:
        await one.chunk()
        await one.leave()
    assert http_schema.calls == ["a"]
    assert gates["unsubscribed"].cancelled
    assert "Gave up waiting" in caplog.text
    assert listeners() == 0


class StalledClient:
    """A client that takes the start of an answer, and reads nothing more."""

    def __init__(self, query):
        self.body, headers = posted({"query": query}, EVENTS)
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "headers": [(k.lower().encode(), v.encode()) for k, v in headers.items()],
        }
        self.inbox = asyncio.Queue()
        self.inbox.put_nowait({"type": "http.request", "body": self.body})
        self.taken = []
        self.has_begun = False

    async def send(self, message):
        self.has_begun = True
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()


class LeavingClient(StalledClient):
    """Reads everything until it goes."""

    async def send(self, message):
        self.has_begun = True


async def test_what_a_client_does_not_read_is_bounded(caplog, monkeypatch):
    # Another test may have caused the one warning of a while.
    monkeypatch.setattr(queue.DropLog, "interval", 0)
    client = StalledClient(SUBSCRIPTION)
    # `publish` on the event loop: what has been executed is certain at any time.
    application = consumer(subscription_notification_queue_limit=10, resolve_sync_in_threads=False)
    serving = asyncio.ensure_future(application(client.scope, client.inbox.get, client.send))
    await wait_until(lambda: client.has_begun)
    # The first event may begin in a thread, while which others would be dropped.
    await OnEvent.broadcast(group="a", payload="0")
    await wait_until(lambda: http_schema.published)
    for number in range(1, 1_000):
        await OnEvent.broadcast(group="a", payload=str(number))
    await wait_until(lambda: "cannot keep up" in caplog.text)
    await tick(50)
    # What was put on the stream; the rest waits in the queue of the subscription, or is dropped.
    assert len(http_schema.published) == stream_module.FULL_AT
    client.inbox.put_nowait({"type": "http.disconnect"})
    async with asyncio.timeout(20):
        await serving
    assert http_schema.calls == ["a"]
    assert listeners() == 0


@pytest.mark.parametrize("query", [SUBSCRIPTION, "subscription { forever }", "{ hello }"])
async def test_a_client_may_go_at_any_moment_though_a_server_says_so_once(query):
    for iterations in range(60):
        client = LeavingClient(query)
        serving = asyncio.ensure_future(consumer()(client.scope, client.inbox.get, client.send))
        await tick(iterations)
        client.inbox.put_nowait({"type": "http.disconnect"})
        async with asyncio.timeout(20):
            await serving
        assert listeners() == 0


async def test_a_client_that_reads_nothing_is_given_up():
    client = StalledClient(SUBSCRIPTION)
    client.transport = FakeTransport()
    application = consumer(send_heartbeat_every=0.001, stalled_reader_timeout=0.005)
    async with asyncio.timeout(20):
        await application(client.scope, client.inbox.get, client.send)
    assert http_schema.calls == ["a"]
    assert listeners() == 0
    # What was not read is forgotten at once.
    assert client.transport.aborted == 1


async def test_a_server_that_can_not_send_ends_the_subscription():
    client = StalledClient(SUBSCRIPTION)

    async def send(_message):
        raise OSError("gone")

    async with asyncio.timeout(20):
        await consumer()(client.scope, client.inbox.get, send)
    assert http_schema.calls == ["a"]
    assert listeners() == 0


async def test_a_server_that_can_not_receive_ends_the_subscription():
    client = StalledClient(SUBSCRIPTION)
    taken = []

    async def receive():
        if taken:
            raise OSError("gone")
        taken.append(1)
        return {"type": "http.request", "body": client.body}

    async with asyncio.timeout(20):
        await consumer()(client.scope, receive, client.send)
    assert listeners() == 0


def broken_start(_engine, client, session):
    """Break, where the engine was not prepared for it."""
    yield tick()
    if client.request.query != "{":
        client.began(OperationType.SUBSCRIPTION)
        yield tick()
    raise RuntimeError("mine")


async def test_a_stream_ends_where_the_engine_breaks(caplog, monkeypatch):
    monkeypatch.setattr("channels_graphql_ws.operations.engine.Engine.start", broken_start)
    async with streaming(consumer(), SUBSCRIPTION) as one:
        text = await one.rest()
        await one.finished()
    assert b'{"errors":[{"message":"Internal server error"}]}' in text
    assert text.endswith(COMPLETE)
    assert "An operation failed" in caplog.text


async def test_an_answer_comes_where_the_engine_breaks(caplog, monkeypatch):
    monkeypatch.setattr("channels_graphql_ws.operations.engine.Engine.start", broken_start)
    answer = await post(consumer(), {"query": "{"})
    assert (answer.status, answer.message) == (500, "Internal server error")
    assert "An operation failed" in caplog.text


async def test_an_operation_that_the_client_stops_says_nothing_more(gates):
    application = single()
    token = await reserve(application)
    async with opened(application, token) as one:
        await one.send()
        await one.start()
        await one.chunk()
        await start(application, token, '{ wait(gate: "g") }', "1")
        await start(application, token, 'mutation { mutate(gate: "g") { ok } }', "2")
        assert (await stop(application, token, "1")).status == 200
        assert await one.chunk() == complete("1")
        stopping = asyncio.ensure_future(stop(application, token, "2"))
        await tick(10)
        gates["g"].opened.set()
        assert (await stopping).status == 200
        assert await one.chunk() == complete("2")
        await one.leave()


async def test_a_request_that_is_cancelled_leaves_nothing(monkeypatch):
    monkeypatch.setattr("channels_graphql_ws.http.consumer.CLOSE_TIMEOUT", 0.01)
    client = StalledClient(SUBSCRIPTION)
    serving = asyncio.ensure_future(consumer()(client.scope, client.inbox.get, client.send))
    await wait_until(lambda: client.has_begun)
    serving.cancel()
    await serving
    assert http_schema.calls == ["a"]
    assert listeners() == 0


async def test_a_generator_is_streamed_to_its_end():
    async with streaming(consumer(), "subscription { count(to: 2) }") as one:
        text = await one.rest()
        await one.finished()
    events = [event("next", {"data": {"count": number}}) for number in range(2)]
    assert text == b":\n\n" + b"".join(events) + COMPLETE


async def test_a_generator_that_fails_tells_why():
    async with streaming(consumer(), "subscription { count(to: 0) }") as one:
        text = (await one.rest()).decode()
        await one.finished()
    assert '{"errors":[{"message":"There is nothing to count."' in text
    assert text.endswith(COMPLETE.decode())


async def test_a_generator_waits_for_a_client_that_does_not_read():
    client = StalledClient("subscription { forever }")
    serving = asyncio.ensure_future(consumer()(client.scope, client.inbox.get, client.send))
    await wait_until(lambda: len(http_schema.published) > stream_module.FULL_AT)
    await tick(50)
    # What the server was given before it stopped to take more, and what waits behind that.
    assert len(http_schema.published) <= 2 * stream_module.FULL_AT
    client.inbox.put_nowait({"type": "http.disconnect"})
    async with asyncio.timeout(20):
        await serving
    assert http_schema.calls == ["closed"]


def heard(text):
    return event("next", {"data": {"heard": text}})


async def test_messages_of_other_channels_code_come_while_the_response_streams():
    layer = channel_layer()
    async with streaming(consumer(), 'subscription { heard(group: "g") }') as one:
        assert b"live" in await one.until(b"}\n\n")
        await layer.group_send("g", {"type": "chat.message", "text": "x"})
        await layer.group_send("other", {"type": "chat.message", "text": "no"})
        await layer.group_send("g", {"type": "chat.message", "text": "y"})
        assert await one.until(b'"y"}}\n\n') == heard("x") + heard("y")
        await one.leave()
    await wait_until(lambda: "g" not in layer.groups)


async def test_a_stream_has_a_channel_of_its_own():
    layer = channel_layer()
    async with streaming(consumer(), "subscription { heard }") as one:
        live = (await one.until(b"}\n\n")).decode()
        name = live.partition("live ")[2].partition('"')[0]
        await layer.send(name, {"type": "chat.message", "text": "x"})
        assert await one.chunk() == heard("x")
        await one.leave()


async def test_operations_on_a_reserved_stream_listen_too():
    application = single()
    token = await reserve(application)
    async with opened(application, token) as one:
        await one.send()
        await one.start()
        await start(application, token, 'subscription { heard(group: "g") }')
        await one.until(b"live")
        await channel_layer().group_send("g", {"type": "chat.message", "text": "x"})
        assert await one.chunk() == of("1", {"data": {"heard": "x"}})
        await one.leave()
    await wait_until(lambda: "g" not in channel_layer().groups)


async def test_who_listens_without_a_channel_layer_is_told_which_setting_is_missing():
    with override_settings(CHANNEL_LAYERS={}):
        application = consumer(mask_errors=False)
        async with streaming(application, "subscription { heard }") as one:
            text = (await one.rest()).decode()
            await one.finished()
    assert "CHANNEL_LAYERS" in text


async def test_a_query_has_no_channel_of_its_own():
    class Query(graphene.ObjectType):
        heard = graphene.String()

        @staticmethod
        def resolve_heard(_root, info):
            info.context.listen_to_channel("chat.message")

    schema = graphene.Schema(query=Query)
    application = GraphqlHttpConsumer.as_asgi(schema=schema, mask_errors=False)
    answer = await post(application, {"query": "{ heard }"})
    assert "name groups" in answer.json["errors"][0]["message"]


def part(result):
    payload = json.dumps({"payload": result}, separators=(",", ":"))
    return f"\r\nContent-Type: application/json\r\n\r\n{payload}\r\n--graphql".encode()


async def test_apollo_gets_a_multipart_response():
    async with streaming(consumer(), SUBSCRIPTION, accept=PARTS) as one:
        assert one.status == 200
        assert one.headers["content-type"] == (
            'multipart/mixed;boundary="graphql";subscriptionSpec="1.0"'
        )
        assert await one.chunk() == b"--graphql"
        await OnEvent.broadcast(group="a", payload="x")
        assert await one.chunk() == part(a("x"))
        await OnEvent.unsubscribe(group="a")
        assert await one.rest() == b"--\r\n"
        await one.finished()
    assert listeners() == 0


async def test_signs_of_life_are_empty_parts():
    application = consumer(send_heartbeat_every=0.001)
    async with streaming(application, SUBSCRIPTION, accept=PARTS) as one:
        await one.chunk()
        await one.until(b"\r\n\r\n{}\r\n--graphql")
        await one.leave()


async def test_a_query_of_apollo_is_answered_with_json():
    answer = await post(consumer(), {"query": "{ hello }"}, accept=PARTS)
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json == {"data": {"hello": "Hello world!"}}


TOKEN = "X-GraphQL-Event-Stream-Token"  # noqa: S105 (the name of a header)


def single(**options):
    return consumer(single_connection_enabled=True, **options)


async def reserve(application):
    answer = await ask(application, "PUT")
    assert answer.status == 201
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return answer.body.decode()


def opened(application, token):
    return exchange(application, "GET", "/graphql/", {TOKEN: token, "Accept": EVENTS})


async def start(application, token, query, id="1"):
    request = {"query": query, "extensions": {"operationId": id}}
    return await post(application, request, headers={TOKEN: token})


async def stop(application, token, id="1"):
    headers = {TOKEN: token}
    return await ask(application, "DELETE", f"/graphql/?operationId={id}", headers=headers)


def of(id, result):
    return event("next", {"id": id, "payload": result})


def complete(id):
    return f'event: complete\ndata: {{"id":"{id}"}}\n\n'.encode()


async def test_many_operations_share_a_reserved_stream():
    application = single()
    token = await reserve(application)
    async with opened(application, token) as one:
        await one.send()
        await one.start()
        assert one.headers["content-type"].startswith(EVENTS)
        await one.chunk()
        answer = await start(application, token, SUBSCRIPTION)
        assert (answer.status, answer.body) == (202, b"")
        await start(application, token, "{ hello }", "2")
        assert await one.chunk() == of("2", {"data": {"hello": "Hello world!"}}) + complete("2")
        await OnEvent.broadcast(group="a", payload="x")
        assert await one.chunk() == of("1", a("x"))
        answer = await stop(application, token)
        assert (answer.status, answer.body) == (200, b"")
        assert await one.chunk() == complete("1")
        assert http_schema.calls == ["a"]
        await one.leave()
    assert listeners() == 0


async def test_a_browser_may_give_the_token_in_the_address():
    application = single()
    token = await reserve(application)
    path = f"/graphql/?token={token}"
    async with exchange(application, "GET", path, {"Accept": EVENTS}) as one:
        await one.send()
        await one.start()
        assert one.status == 200
        await one.leave()


async def test_all_operations_end_with_the_stream(gates):
    application = single()
    token = await reserve(application)
    async with opened(application, token) as one:
        await one.send()
        await one.start()
        await start(application, token, SUBSCRIPTION, "1")
        await start(application, token, '{ wait(gate: "g") }', "2")
        await gates["g"].entered.wait()
        await one.leave()
    assert gates["g"].cancelled
    assert http_schema.calls == ["a"]
    assert listeners() == 0
    assert (await start(application, token, SUBSCRIPTION)).status == 404


async def test_an_operation_that_is_being_stopped_hears_nothing_of_rights_that_end(gates):
    application = single()
    ada = SimpleNamespace(is_authenticated=True, pk=7)
    token = await reserve(application)
    async with opened(application, token) as one:
        await one.send()
        await one.start()
        await one.chunk()
        for id, query in {"1": SLOW, "2": SUBSCRIPTION}.items():
            request = {"query": query, "extensions": {"operationId": id}}
            await post(application, request, headers={TOKEN: token}, user=ada)
        stopping = asyncio.ensure_future(stop(application, token, "1"))
        await gates["unsubscribed"].entered.wait()
        await disconnect_user(ada)
        text = await one.until(complete("2"))
        assert text.count(b"RIGHTS_ENDED") == 1
        assert b'"id":"1"' not in text
        gates["unsubscribed"].opened.set()
        assert (await stopping).status == 200
        assert await one.chunk() == complete("1")
        await one.leave()
    assert http_schema.calls == ["a", "a"]
    assert listeners() == 0


async def test_a_stream_that_nobody_opens_is_given_up(monkeypatch):
    timers = Timers(monkeypatch)
    application = single(reservation_timeout=HOUR)
    token = await reserve(application)
    await start(application, token, SUBSCRIPTION)
    timers.go_off()
    await wait_until(lambda: http_schema.calls == ["a"] and not listeners())
    async with opened(application, token) as one:
        await one.send()
        assert (await one.answer()).status == 404
    # The hooks of its end run in a thread.
    await wait_until(lambda: asyncio.all_tasks() == {asyncio.current_task()})


async def test_what_comes_before_the_stream_is_opened_waits_for_it():
    application = single(resolve_sync_in_threads=False)
    token = await reserve(application)
    await start(application, token, "{ hello }")
    async with opened(application, token) as one:
        await one.send()
        await one.start()
        assert (await one.chunk()).endswith(complete("1"))
        await one.leave()


async def test_results_of_a_reserved_stream_that_nobody_reads_are_bounded():
    application = single(resolve_sync_in_threads=False)
    token = await reserve(application)
    for number in range(stream_module.FULL_AT // 2):
        assert (await start(application, token, "{ hello }", str(number))).status == 202
    answer = await start(application, token, "{ hello }", "more")
    assert (answer.status, answer.message) == (
        429,
        "What is on this stream has to be read first",
    )
    async with opened(application, token) as one:
        await one.send()
        await one.start()
        await one.chunk()
        assert (await start(application, token, "{ hello }", "more")).status == 202
        await one.leave()


async def test_an_id_is_free_again_when_its_operation_has_ended(gates):
    application = single()
    token = await reserve(application)
    assert (await start(application, token, '{ wait(gate: "g") }')).status == 202
    answer = await start(application, token, "{ hello }")
    assert (answer.status, answer.message) == (
        409,
        "There is an operation '1' on this stream already",
    )
    gates["g"].opened.set()
    async with opened(application, token) as one:
        await one.send()
        await one.start()
        await one.until(complete("1"))
        assert (await start(application, token, "{ hello }")).status == 202
        await one.leave()


async def test_errors_of_an_operation_come_on_the_stream():
    application = single()
    token = await reserve(application)
    assert (await start(application, token, "{ unknown }")).status == 202
    async with opened(application, token) as one:
        await one.send()
        await one.start()
        text = (await one.until(complete("1"))).decode()
        assert '{"id":"1","payload":{"errors":[{"message":"Cannot query' in text
        await one.leave()


async def test_an_unknown_operation_has_ended_already():
    application = single()
    token = await reserve(application)
    assert (await stop(application, token, "unknown")).status == 200
    async with opened(application, token) as one:
        await one.send()
        await one.start()
        await one.leave()


async def test_a_stream_without_a_limit_takes_any_number_of_operations():
    application = single(max_operations_per_connection=None)
    token = await reserve(application)
    answers = [await start(application, token, SUBSCRIPTION, str(n)) for n in range(3)]
    assert [answer.status for answer in answers] == [202] * 3
    async with opened(application, token) as one:
        await one.send()
        await one.start()
        await one.leave()


async def test_requests_that_make_no_sense_are_refused():
    application = single(max_event_streams=1, max_operations_per_connection=1, max_batch_size=2)
    token = await reserve(application)
    answers = {
        "second reservation": await ask(application, "PUT"),
        "unknown token": await start(application, "unknown", "{ hello }"),
        "no id": await post(application, {"query": "{ hello }"}, headers={TOKEN: token}),
        "id is no string": await start(application, token, "{ hello }", 1),
        "batch": await post(application, [{"query": "{ hello }"}], headers={TOKEN: token}),
        "nothing to stop": await ask(application, "DELETE", headers={TOKEN: token}),
        "no token": await ask(application, "DELETE", "/graphql/?operationId=1"),
        "no event stream": await ask(application, "GET", headers={TOKEN: token}),
        "unknown stream": await stop(application, "unknown"),
        "first operation": await start(application, token, SUBSCRIPTION, "1"),
        "too many": await start(application, token, SUBSCRIPTION, "2"),
    }
    assert {name: answer.status for name, answer in answers.items()} == {
        "second reservation": 503,
        "unknown token": 404,
        "no id": 400,
        "id is no string": 400,
        "batch": 400,
        "nothing to stop": 400,
        "no token": 400,
        "no event stream": 406,
        "unknown stream": 404,
        "first operation": 202,
        "too many": 429,
    }
    async with opened(application, token) as one:
        await one.send()
        await one.start()
        async with opened(application, token) as other:
            await other.send()
            assert (await other.answer()).status == 409
        await one.leave()


async def test_single_connections_have_to_be_switched_on():
    assert (await ask(consumer(), "PUT")).status == 405
    answer = await get(consumer(), EVENTS, token="x")  # noqa: S106 (no secret)
    assert (answer.status, answer.message) == (400, '"query" is missing')
    answer = await ask(single(graphiql=False, allow_queries_via_get=False), "PATCH")
    assert answer.headers["allow"] == "GET, POST, PUT, DELETE"

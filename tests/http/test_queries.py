"""Queries and mutations over HTTP: requests, statuses, limits, hooks."""

from __future__ import annotations

import asyncio
import copy
import json
import sys
import threading

import graphene
import pytest
from graphql import GraphQLError, build_schema

import http_schema
from channels_graphql_ws.concurrency.threads import SHARE
from channels_graphql_ws.execution.context import OperationContext
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from channels_graphql_ws.operations.engine import engine_of
from http_client import (
    HOUR,
    RESPONSE,
    Exchange,
    Gate,
    Timers,
    ask,
    exchange,
    get,
    post,
    posted,
    scope_of,
    streaming,
)
from support import GUARD, tick, wait_until

JSON = "application/json"


def consumer(**options):
    return GraphqlHttpConsumer.as_asgi(schema=http_schema.schema, **options)


@pytest.fixture
def gate():
    http_schema.gates["g"] = gate = Gate()
    yield gate
    del http_schema.gates["g"]


async def test_a_query_is_posted_as_json():
    answer = await post(
        consumer(),
        {"query": "query Q($n: String) { hello(name: $n) }", "variables": {"n": "you"}},
    )
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert answer.json == {"data": {"hello": "Hello you!"}}


async def test_a_query_comes_in_a_query_string():
    answer = await get(
        consumer(),
        query="query A($n: String) { hello(name: $n) } query B { broken }",
        operationName="A",
        variables='{"n": "you"}',
    )
    assert (answer.status, answer.json) == (200, {"data": {"hello": "Hello you!"}})


async def test_queries_by_get_can_be_switched_off():
    answer = await get(consumer(allow_queries_via_get=False, graphiql=False), query="{ hello }")
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"
    assert answer.message == "Queries by GET are switched off, see `allow_queries_via_get`"


async def test_a_mutation_by_get_is_not_executed(gate):
    answer = await get(consumer(), query='mutation { mutate(gate: "g") { ok } }')
    assert answer.status == 405
    assert answer.headers["allow"] == "POST"
    assert answer.message == "Mutations need POST"
    assert not gate.entered.is_set()


async def test_the_operation_name_decides_whether_it_is_a_mutation(gate):
    document = 'query Q { hello } mutation M { mutate(gate: "g") { ok } }'
    assert (await get(consumer(), query=document, operationName="Q")).status == 200
    assert (await get(consumer(), query=document, operationName="M")).status == 405


@pytest.mark.parametrize("method", ["PATCH", "PUT", "DELETE", "OPTIONS", "HEAD"])
async def test_other_methods_are_refused(method):
    answer = await ask(consumer(), method)
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, POST"
    assert answer.message == f"{method} is not served here"


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1"],
)
async def test_a_content_type_that_any_page_may_send_is_refused(content_type):
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await ask(consumer(), headers=headers, body=b'{"query": "{ hello }"}')
    assert answer.status == 415
    assert "it is" in answer.message


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "The body is empty"),
        (b'{"query": "\xff\xfe"}', "The body is not UTF-8"),
        (b'{"query": "{ hel', "The body is not JSON: "),
        (
            b"[]",
            "Batches are switched off, see `max_batch_size`: send one operation, not an array",
        ),
        (b"{}", '"query" is missing'),
    ],
)
async def test_a_body_that_makes_no_sense_is_a_bad_request(body, message):
    answer = await ask(consumer(), headers={"Content-Type": JSON}, body=body)
    assert answer.status == 400
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.message.startswith(message)


async def test_a_body_may_come_in_pieces():
    body, headers = posted({"query": "{ hello }"})
    async with exchange(consumer(), headers=headers) as one:
        for piece in (body[:5], b"", body[5:]):
            await one.send(piece, more=True)
        await one.send()
        assert (await one.answer()).json == {"data": {"hello": "Hello world!"}}


async def test_a_body_that_is_shorter_than_announced_is_refused():
    body, headers = posted({"query": "{ hello }"})
    headers["Content-Length"] = str(len(body) + 1)
    answer = await ask(consumer(), headers=headers, body=body)
    assert (answer.status, answer.message) == (
        400,
        "The body was cut off, it is shorter than it should be",
    )


async def test_a_length_that_is_no_number_is_ignored():
    body, headers = posted({"query": "{ hello }"})
    headers["Content-Length"] = "²"
    assert (await ask(consumer(), headers=headers, body=body)).status == 200


@pytest.mark.parametrize("digits", [18, 19, 5_000])
async def test_a_length_of_many_digits_is_too_long(digits):
    async with exchange(
        consumer(), headers={"Content-Type": JSON, "Content-Length": "9" * digits}
    ) as one:
        assert (await one.answer()).status == 413


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("X-Any", "x" * 65_536, 431),
        ("Accept", '"\\"' * 30_000, 431),
        ("Accept", '"\\"' * 20_000, 406),
        ("Accept", f"application/json, {'a' * 60_000}", 200),
        ("Content-Type", "application/json;a=" + '"' * 1_000, 415),
        ("Cookie", 'a="' + "\\" * 30_000, 431),
        ("Cookie", "a=" + "b" * 8_000, 200),
    ],
)
async def test_a_large_header_stops_nothing(name, value, status):
    answer = await post(consumer(), {"query": "{ hello }"}, headers={name: value})
    assert answer.status == status
    assert answer.json["data" if status == 200 else "errors"]


async def test_a_query_string_may_be_as_long_as_a_body():
    answer = await get(consumer(max_body_size=100), query="{ hello }" + " " * 81)
    assert answer.status == 200
    answer = await get(consumer(max_body_size=100), query="{ hello }" + " " * 82)
    assert (answer.status, answer.message) == (414, "The query string is longer than 100 bytes")


async def test_a_client_that_goes_in_the_middle_of_its_body_is_forgotten():
    body, headers = posted({"query": "{ hello }"})
    async with exchange(consumer(), headers=headers) as one:
        await one.send(body[:5], more=True)
        await one.leave()


async def test_a_body_that_is_announced_too_long_is_not_read():
    async with exchange(
        consumer(max_body_size=10), headers={"Content-Type": JSON, "Content-Length": "11"}
    ) as one:
        answer = await one.answer()
    assert (answer.status, answer.message) == (413, "The body is longer than 10 bytes")


async def test_a_body_that_turns_out_too_long_is_not_read_to_its_end():
    async with exchange(consumer(max_body_size=10), headers={"Content-Type": JSON}) as one:
        await one.send(b"[" * 11, more=True)
        answer = await one.answer()
    assert answer.status == 413
    assert answer.headers["connection"] == "close"


async def test_a_body_of_any_length_may_be_allowed():
    answer = await post(consumer(max_body_size=None), {"query": "{ hello }" + " " * 2_000_000})
    assert answer.status == 200


async def test_only_http_is_served():
    with pytest.raises(ValueError, match="serves 'http' and not 'lifespan'"):
        await consumer()({"type": "lifespan"}, None, None)


@pytest.mark.parametrize(
    ("request_", "status", "has_data"),
    [
        ({"query": "{ hello }"}, 200, True),
        ({"query": "{ broken }"}, 200, True),
        ({"query": "{ required }"}, 200, True),
        ({"query": "{"}, 400, False),
        ({"query": "{ unknown }"}, 400, False),
        ({"query": "{ hello }", "operationName": "X"}, 400, False),
        ({"query": "query($n: Int!) { hello }", "variables": {"n": "x"}}, 400, False),
    ],
)
async def test_the_status_tells_whether_it_was_executed(request_, status, has_data):
    answer = await post(consumer(), request_, accept=RESPONSE)
    assert answer.status == status
    assert answer.headers["content-type"] == f"{RESPONSE}; charset=utf-8"
    assert ("data" in answer.json) is has_data


@pytest.mark.parametrize("query", ["{", "{ unknown }", "query($n: Int!) { hello(name: $n) }"])
async def test_clients_of_plain_json_get_200_for_what_is_well_formed(query):
    answer = await post(consumer(), {"query": query}, accept=JSON)
    assert answer.status == 200
    assert answer.json["errors"]


async def test_who_accepts_nothing_of_ours_is_told(gate):
    request = {"query": 'mutation { mutate(gate: "g") { ok } }'}
    answer = await post(consumer(), request, accept="text/plain")
    assert answer.status == 406
    assert "application/graphql-response+json" in answer.message
    assert not gate.entered.is_set()


async def test_a_resolver_sets_status_headers_and_cookies():
    answer = await post(consumer(), {"query": "{ respond }"})
    assert answer.status == 418
    assert answer.headers["x-tea"] == "Earl Grey"
    assert sorted(answer.set_cookies) == ["cup=full; HttpOnly; Path=/", "spoon=silver; Path=/"]
    assert answer.json == {"data": {"respond": "tea"}}


async def test_a_resolver_finds_the_request():
    body, headers = posted({"query": "{ asked }"}, headers={"X-Own": "mine", "Cookie": "a=1"})
    answer = await ask(
        consumer(),
        "POST",
        "/graphql/?x=1",
        headers=headers,
        body=body,
        url_route={"kwargs": {"tenant": "t"}},
    )
    assert json.loads(answer.json["data"]["asked"]) == {
        "method": "POST",
        "path": "/graphql/",
        "body": body.decode(),
        "content_type": JSON,
        "header": "mine",
        "query_params": {"x": "1"},
        "path_params": {"tenant": "t"},
        "cookies": {"a": "1"},
        "form": None,
        "consumer": "GraphqlHttpConsumer",
    }


async def test_a_deep_copy_of_the_context_belongs_to_the_same_request():
    class Consumer(GraphqlHttpConsumer):
        schema = http_schema.schema

        def get_context(self, context):
            copied = copy.deepcopy(context)
            requests.extend((context.request, copied.request))
            return copied

    requests = []
    answer = await post(Consumer.as_asgi(), {"query": "{ hello }"})
    assert answer.json == {"data": {"hello": "Hello world!"}}
    given, copied = requests
    assert copied is given


async def test_what_is_set_on_the_response_of_a_deep_copy_is_sent():
    class Consumer(GraphqlHttpConsumer):
        schema = http_schema.schema

        def get_context(self, context):
            copied = copy.deepcopy(context)
            copied.response.status_code = 418
            return copied

    assert (await post(Consumer.as_asgi(), {"query": "{ hello }"})).status == 418


async def test_cookies_that_come_one_by_one_are_all_there():
    headers = [
        (b"content-type", b"application/json"),
        *((b"cookie", each) for each in (b"a=1", b"b=2")),
        *((b"x-own", each) for each in (b"1", b"2")),
    ]
    body, _ = posted({"query": "{ asked }"})
    one = Exchange(consumer(), {**scope_of("POST", "/", {}), "headers": headers})
    await one.send(body)
    found = json.loads((await one.answer()).json["data"]["asked"])
    assert (found["cookies"], found["header"]) == ({"a": "1", "b": "2"}, "1, 2")


async def test_a_batch_is_answered_in_its_order(gate):
    batch = [{"query": '{ wait(gate: "g") }'}, {"query": "{ hello }"}, {"query": "{"}]
    body, headers = posted(batch, RESPONSE)
    async with exchange(consumer(max_batch_size=3), headers=headers) as one:
        await one.send(body)
        await gate.entered.wait()
        gate.opened.set()
        answer = await one.answer()
    assert answer.status == 200
    first, second, third = answer.json
    assert first == {"data": {"wait": "g"}}
    assert second == {"data": {"hello": "Hello world!"}}
    assert "data" not in third


async def test_a_batch_of_ten_thousand_is_refused():
    answer = await post(consumer(max_batch_size=10), [{"query": "{hello}"}] * 10_000)
    assert answer.status == 400
    assert answer.message == "The batch has 10000 operations, no more than 10 are allowed"


async def test_a_subscription_is_no_part_of_a_batch():
    batch = [{"query": "subscription { onEvent { event } }"}, {"query": "{ hello }"}]
    answer = await post(consumer(max_batch_size=2), batch, accept=f"{JSON}, text/event-stream")
    assert answer.status == 200
    assert "no part of a batch" in answer.json[0]["errors"][0]["message"]
    assert answer.json[1] == {"data": {"hello": "Hello world!"}}


async def test_a_batch_is_not_streamed():
    answer = await post(
        consumer(max_batch_size=2), [{"query": "{ hello }"}], accept="text/event-stream"
    )
    assert (answer.status, answer.message) == (
        406,
        "A batch is answered with JSON: accept it",
    )


async def test_a_query_of_a_client_that_has_gone_is_cancelled(gate):
    body, headers = posted({"query": '{ wait(gate: "g") }'})
    async with exchange(consumer(), headers=headers) as one:
        await one.send(body)
        await gate.entered.wait()
        await one.leave()
    assert gate.cancelled


async def test_a_mutation_of_a_client_that_has_gone_comes_to_its_end(gate):
    body, headers = posted({"query": 'mutation { mutate(gate: "g") { ok } }'})
    async with exchange(consumer(), headers=headers) as one:
        await one.send(body)
        await gate.entered.wait()
        leaving = asyncio.ensure_future(one.leave())
        await tick(10)
        assert not leaving.done()
        gate.opened.set()
        await leaving
    assert gate.passed


async def test_a_mutation_that_takes_too_long_for_that_is_cancelled(gate, caplog):
    body, headers = posted({"query": 'mutation { mutate(gate: "g") { ok } }'})
    async with exchange(consumer(disconnect_timeout=0.001), headers=headers) as one:
        await one.send(body)
        await gate.entered.wait()
        await one.leave()
    assert gate.cancelled
    assert "Gave up waiting" in caplog.text


@pytest.mark.parametrize("query", ['{ wait(gate: "g") }', 'mutation { mutate(gate: "g") { ok } }'])
async def test_an_operation_that_takes_too_long_is_cancelled(gate, monkeypatch, query):
    timers = Timers(monkeypatch)
    posting = asyncio.ensure_future(post(consumer(operation_timeout=HOUR), {"query": query}))
    await gate.entered.wait()
    timers.go_off()
    answer = await posting
    assert (answer.status, answer.message) == (504, "The operation took too long")
    assert gate.cancelled


async def test_of_a_batch_only_what_takes_too_long_is_cancelled(gate, monkeypatch):
    timers = Timers(monkeypatch)
    batch = [{"query": '{ wait(gate: "g") }'}, {"query": "{ hello }"}]
    application = consumer(operation_timeout=HOUR, max_batch_size=2, resolve_sync_in_threads=False)
    posting = asyncio.ensure_future(post(application, batch))
    await gate.entered.wait()
    timers.go_off()
    answer = await posting
    assert answer.status == 200
    assert answer.json[0]["errors"][0]["message"] == "The operation took too long"
    assert answer.json[1] == {"data": {"hello": "Hello world!"}}


async def test_an_operation_that_ends_in_time_is_not_cancelled(gate, monkeypatch):
    timers = Timers(monkeypatch)
    query = {"query": '{ wait(gate: "g") }'}
    posting = asyncio.ensure_future(post(consumer(operation_timeout=HOUR), query))
    await gate.entered.wait()
    gate.opened.set()
    assert (await posting).json == {"data": {"wait": "g"}}
    timers.go_off()
    assert gate.passed


async def test_a_server_that_can_not_send_is_not_troubled_by_it():
    async def receive():
        return {"type": "http.request", "body": posted({"query": "{ hello }"})[0]}

    async def send(_message):
        raise OSError("gone")

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "headers": [(b"content-type", b"application/json")],
    }
    await consumer()(scope, receive, send)


class Hooked(GraphqlHttpConsumer):
    schema = http_schema.schema

    def on_operation(self, op_id, payload):
        if "broken" in payload["query"]:
            raise GraphQLError("Not this one.")

    async def get_context(self, context):
        if "boom" in context.request.query_params:
            raise KeyError("boom")
        return context

    def process_result(self, request, result):
        if "drop" in request.query_params:
            raise KeyError("drop")
        result = super().process_result(request, result)
        return {**result, "extensions": {"path": request.path}}


async def test_a_hook_may_refuse_an_operation():
    for accept, status in ((RESPONSE, 403), (JSON, 200)):
        answer = await post(Hooked.as_asgi(), {"query": "{ broken }"}, accept=accept)
        assert (answer.status, answer.message) == (status, "Not this one.")


async def test_a_context_that_can_not_be_made_refuses_the_operation():
    application = Hooked.as_asgi(mask_errors=False)
    answer = await post(application, {"query": "{ hello }"}, accept=RESPONSE, path="/?boom")
    assert (answer.status, answer.message) == (403, "KeyError: 'boom'")


async def test_a_hook_may_change_results():
    answer = await post(Hooked.as_asgi(), {"query": "{ hello }"})
    assert answer.json == {
        "data": {"hello": "Hello world!"},
        "extensions": {"path": "/graphql/"},
    }


async def test_a_hook_that_breaks_on_a_result_is_logged(caplog):
    answer = await post(Hooked.as_asgi(), {"query": "{ hello }"}, path="/?drop")
    assert answer.message == "Internal server error"
    assert "`process_result` or `encode_json` failed" in caplog.text


async def test_hooks_may_be_asynchronous():
    class Consumer(GraphqlHttpConsumer):
        schema = http_schema.schema

        async def on_operation(self, op_id, payload):
            await tick()

        async def process_result(self, request, result):
            await tick()
            return {"data": "changed"}

    assert (await post(Consumer.as_asgi(), {"query": "{ hello }"})).json == {"data": "changed"}


async def test_the_context_may_be_another():
    class Consumer(GraphqlHttpConsumer):
        def get_context(self, context):
            assert isinstance(context, OperationContext)
            return {"user": context.user}

    class Query(graphene.ObjectType):
        me = graphene.String()

        @staticmethod
        def resolve_me(_root, info):
            return info.context["user"]

    application = Consumer.as_asgi(schema=graphene.Schema(query=Query))
    body, headers = posted({"query": "{ me }"})
    answer = await ask(application, headers=headers, body=body, user="Ada")
    assert answer.json == {"data": {"me": "Ada"}}


async def test_errors_are_told_as_the_class_says():
    class Consumer(GraphqlHttpConsumer):
        schema = http_schema.schema

        @staticmethod
        def _format_error(error):
            return {"message": "hidden"}

    answer = await post(Consumer.as_asgi(), {"query": "{ broken }"})
    assert answer.message == "hidden"


async def test_middleware_is_applied():
    def shout(next_, root, info, **arguments):
        return next_(root, info, **arguments).upper()

    answer = await post(consumer(middleware=[shout]), {"query": "{ hello }"})
    assert answer.json == {"data": {"hello": "HELLO WORLD!"}}


async def test_synchronous_resolvers_run_in_threads_where_the_class_says_so():
    class Query(graphene.ObjectType):
        on_loop = graphene.Boolean()

        @staticmethod
        def resolve_on_loop(_root, _info):
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return False
            return True

    schema = graphene.Schema(query=Query)
    for in_threads in (False, True):
        application = GraphqlHttpConsumer.as_asgi(
            schema=schema, resolve_sync_in_threads=in_threads
        )
        answer = await post(application, {"query": "{ onLoop }"})
        assert answer.json == {"data": {"onLoop": not in_threads}}


class Threads:
    """Resolvers that wait in their threads until the test says so."""

    def __init__(self):
        self.inside = 0
        self.most = 0
        self._lock = threading.Lock()
        self.open = threading.Event()

        class Query(graphene.ObjectType):
            stays = graphene.Int()
            passes = graphene.Int()
            later = graphene.Field(lambda: Query)

            @staticmethod
            async def resolve_later(_root, _info):
                return {}

            @staticmethod
            def resolve_stays(_root, _info):
                return self._stay()

            @staticmethod
            def resolve_passes(_root, _info):
                return 1

        schema = graphene.Schema(query=Query)
        self.application = GraphqlHttpConsumer.as_asgi(schema=schema, resolve_sync_in_threads=True)

    def _stay(self):
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        assert self.open.wait(GUARD)
        with self._lock:
            self.inside -= 1
        return 1

    async def ask(self, field, address):
        answer = await post(self.application, {"query": f"{{ {field} }}"}, client=(address, 1))
        assert "errors" not in answer.json


@pytest.mark.parametrize("field", ["stays", "later { stays }"])
async def test_one_address_does_not_get_all_the_threads(field):
    threads = Threads()
    many = [asyncio.create_task(threads.ask(field, "8.8.8.8")) for _ in range(3 * SHARE)]
    await wait_until(lambda: threads.inside == SHARE)
    # A thread is free for somebody else, after all of these could have taken one.
    await threads.ask("passes", "9.9.9.9")
    assert threads.inside == SHARE
    threads.open.set()
    await asyncio.gather(*many)
    assert threads.most == SHARE


async def test_clients_whose_address_is_not_known_are_not_taken_for_one():
    threads = Threads()
    many = [asyncio.create_task(threads.ask("stays", "10.0.0.1")) for _ in range(SHARE + 1)]
    await wait_until(lambda: threads.inside == SHARE + 1)
    threads.open.set()
    await asyncio.gather(*many)


async def test_what_breaks_on_our_side_is_a_server_error(caplog, monkeypatch):
    def fail(*_arguments, **_named):
        raise RuntimeError("mine")

    monkeypatch.setattr("channels_graphql_ws.http.parsing.operations_of", fail)
    answer = await post(consumer(compile_operations=False), {"query": "{ hello }"})
    assert (answer.status, answer.message) == (500, "Internal server error")
    assert "A request failed" in caplog.text


async def test_what_breaks_in_the_engine_is_a_server_error(caplog, monkeypatch):
    def fail(*_arguments, **_named):
        raise RuntimeError("mine")

    monkeypatch.setattr("channels_graphql_ws.operations.engine.execute", fail)
    answer = await post(consumer(compile_operations=False), {"query": "{ hello }"})
    assert (answer.status, answer.message) == (500, "Internal server error")


async def test_a_core_schema_is_served():
    schema = build_schema("type Query { a: Int }")
    answer = await post(GraphqlHttpConsumer.as_asgi(schema=schema), {"query": "{ a }"})
    assert answer.json == {"data": {"a": None}}


async def test_whatever_carries_a_schema_is_served():
    class Carrier:
        _schema = build_schema("type Query { a: Int }")

    answer = await post(GraphqlHttpConsumer.as_asgi(schema=Carrier()), {"query": "{ a }"})
    assert answer.json == {"data": {"a": None}}


@pytest.mark.parametrize("schema", [None, 1, "type Query { a: Int }"])
def test_what_carries_no_schema_is_refused_when_it_is_mounted(schema):
    with pytest.raises(TypeError, match="is not a schema"):
        GraphqlHttpConsumer.as_asgi(schema=schema)


def test_an_unknown_option_is_refused_with_a_hint():
    with pytest.raises(TypeError, match="no option 'midleware', did you mean 'middleware'"):
        consumer(midleware=[])


def test_an_option_like_no_other_is_refused():
    with pytest.raises(TypeError, match=r"no option 'zzz'$"):
        consumer(zzz=1)


def test_the_engine_is_made_once():
    class Consumer(GraphqlHttpConsumer):
        schema = http_schema.schema

    engine = engine_of(Consumer())
    assert engine_of(Consumer()) is engine
    Consumer.max_batch_size = 3
    assert engine_of(Consumer()) is engine
    Consumer.middleware = [lambda next_, *arguments: next_(*arguments)]
    assert engine_of(Consumer()) is not engine


async def test_nothing_is_left_of_many_requests():
    application = consumer()
    for _ in range(50):
        await post(application, {"query": "{ hello }"})
    await wait_until(lambda: len(asyncio.all_tasks()) == 1)


async def test_the_root_value_may_be_another_and_may_be_refused():
    class Consumer(GraphqlHttpConsumer):
        async def get_root_value(self, context):
            if "refuse" in context.request.query_params:
                raise GraphQLError("No root.")
            return "a root"

    class Query(graphene.ObjectType):
        root = graphene.String()

        @staticmethod
        def resolve_root(root, _info):
            return root

    application = Consumer.as_asgi(schema=graphene.Schema(query=Query))
    body, headers = posted({"query": "{ root }"})
    answer = await ask(application, headers=headers, body=body)
    assert answer.json == {"data": {"root": "a root"}}
    answer = await ask(application, path="/?refuse=1", headers=headers, body=body)
    assert answer.message == "No root."


async def test_documents_may_be_limited_and_replaced():
    class Consumer(GraphqlHttpConsumer):
        schema = http_schema.schema
        max_tokens = 4

        def on_operation(self, op_id, payload):
            return {"query": "{ hi: hello }"} if payload["query"] == "hi" else None

    body, headers = posted({"query": "{ hi: hello }"})
    answer = await ask(Consumer.as_asgi(), headers=headers, body=body)
    assert "more than 4 tokens" in answer.message
    body, headers = posted({"query": "hi"})
    answer = await ask(Consumer.as_asgi(max_tokens=None), headers=headers, body=body)
    assert answer.json == {"data": {"hi": "Hello world!"}}


class Indented(GraphqlHttpConsumer):
    schema = http_schema.schema
    max_batch_size = 2

    def encode_json(self, content):
        return json.dumps(json.loads(super().encode_json(content)), indent=1)

    async def decode_json(self, text):
        return super().decode_json(text.removeprefix("for(;;);"))


async def test_json_may_be_written_and_read_in_ones_own_way():
    body = b'for(;;);{"query": "{ hello }"}'
    headers = {"Content-Type": "application/json"}
    answer = await ask(Indented.as_asgi(), headers=headers, body=body)
    assert answer.body == b'{\n "data": {\n  "hello": "Hello world!"\n }\n}'
    batch = await post(Indented.as_asgi(), [{"query": "{ hello }"}])
    assert batch.json == [{"data": {"hello": "Hello world!"}}]
    refused = await ask(Indented.as_asgi(), headers=headers, body=b"{")
    assert (refused.status, refused.message[:20]) == (400, "The body is not JSON")


# Deeper than the standard library reads, and not than orjson does.
DEEP = "[" * 1_020 + "12345678901234567890" + "]" * 1_020


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="this Python reads so deep nesting")
async def test_deep_nesting_is_refused_as_what_is_no_json(caplog):
    content = f'{{"query": "{{ hello }}", "variables": {{"a": {DEEP}}}}}'
    application = GraphqlHttpConsumer.as_asgi(schema=http_schema.schema)
    headers = {"Content-Type": "application/json"}
    posted = await ask(application, headers=headers, body=content.encode())
    assert (posted.status, posted.message) == (
        400,
        "The body is not JSON: it is nested too deeply",
    )
    asked = await get(application, query="{ hello }", variables=DEEP)
    assert asked.message == '"variables" is not JSON: it is nested too deeply'
    assert not caplog.records


async def test_deep_nesting_is_refused_where_another_decoder_fails_at_it(caplog):
    class Own(GraphqlHttpConsumer):
        schema = http_schema.schema

        def decode_json(self, text):
            return json.loads(text)

    body = ("[" * 100_000 + "]" * 100_000).encode()
    answer = await ask(Own.as_asgi(), headers={"Content-Type": "application/json"}, body=body)
    assert answer.status == 400
    assert answer.message.startswith("The body is not JSON: ")
    assert not caplog.records


async def test_a_stream_takes_json_of_several_lines():
    async with streaming(Indented.as_asgi(), "{ hello }") as one:
        text = await one.rest()
        await one.finished()
    assert b'event: next\ndata: {\ndata:  "data": {\n' in text


async def test_json_that_can_not_be_written_is_an_internal_error(caplog):
    class Broken(GraphqlHttpConsumer):
        schema = http_schema.schema

        def encode_json(self, content):
            raise LookupError("broken encoder")

        def decode_json(self, text):
            return {"query": "{ hello }"}

    answer = await post(Broken.as_asgi(), {})
    assert answer.message == "Internal server error"
    assert "broken encoder" in caplog.text

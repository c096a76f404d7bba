"""Documents that `on_operation` looks up, over WebSocket, HTTP and event streams.

The recipe is that of docs/reference/http.md.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache

import http_schema
from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer
from http_client import get, post
from news_schema import consumer_class
from support import wait_until

DOCUMENT = "{ hello }"
HASH = hashlib.sha256(DOCUMENT.encode()).hexdigest()
APQ = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": HASH}}}
NO_DOCUMENT = '"query" is missing, and `on_operation` gave no document instead'
NOT_FOUND = {
    "message": "PersistedQueryNotFound",
    "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"},
}
GRAPHQL_JSON, JSON = "application/graphql-response+json", "application/json"
both = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])


def documented() -> dict[str, Any]:
    """Run the recipe of the documents."""
    text = (Path(__file__).parents[2] / "docs" / "reference" / "http.md").read_text()
    snippets = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {"schema": http_schema.schema}
    recipe = next(each for each in snippets if "sha256Hash" in each)
    exec(recipe.replace("from chat.schema import schema\n", ""), names)  # noqa: S102 (ours)
    return names


@pytest.fixture
def recipe():
    cache.clear()
    yield documented()
    cache.clear()


@pytest.fixture
def http(recipe):
    return recipe["HttpConsumer"].as_asgi()


def look_up(self: Any, op_id: Any, payload: dict[str, Any]) -> dict[str, Any] | None:
    """Knows one document."""
    return {"query": DOCUMENT} if payload.get("documentId") == "hello" else None


class Looking(GraphqlHttpConsumer):
    schema = http_schema.schema
    max_batch_size = 2
    on_operation = look_up


async def spoken(socket: AsgiSocket, payload: dict[str, Any], id: str = "1") -> Any:
    """Start an operation, and give the first thing that is said to it."""
    word = "start" if socket.subprotocol == LEGACY else "subscribe"
    socket.say(word, id=id, payload=payload)
    await wait_until(lambda: socket.results(id) or socket.closes)
    return next(iter(socket.results(id)), None)


@both
async def test_the_hook_gives_the_document_that_a_socket_only_names(subprotocol):
    socket = AsgiSocket(consumer_class(on_operation=look_up).as_asgi(), subprotocol)
    await socket.acknowledged()
    assert await spoken(socket, {"documentId": "hello"}) == {"data": {"hello": "world"}}
    assert await spoken(socket, {"query": None, "documentId": "hello"}, "2") == {
        "data": {"hello": "world"}
    }
    await socket.drop()


@both
async def test_a_socket_is_told_that_no_document_came_out_and_stays(subprotocol):
    socket = AsgiSocket(consumer_class(on_operation=look_up).as_asgi(), subprotocol)
    await socket.acknowledged()
    errors = [{"message": NO_DOCUMENT}]
    said = errors if subprotocol == NEW else {"data": None, "errors": errors}
    assert await spoken(socket, {"documentId": "other"}) == said
    assert await spoken(socket, {"documentId": "hello"}, "2") == {"data": {"hello": "world"}}
    await socket.drop()


@both
@pytest.mark.parametrize("query", [1, ["{ hello }"]])
async def test_a_query_that_is_no_string_is_a_bad_message_with_a_hook_too(subprotocol, query):
    socket = AsgiSocket(consumer_class(on_operation=look_up).as_asgi(), subprotocol)
    await socket.acknowledged()
    await spoken(socket, {"query": query, "documentId": "hello"})
    assert socket.closes[0][0] == 4400
    await socket.ended()


@both
async def test_without_a_hook_a_socket_needs_a_query(subprotocol):
    socket = AsgiSocket(consumer_class().as_asgi(), subprotocol)
    await socket.acknowledged()
    await spoken(socket, {"documentId": "hello"})
    word = "start" if subprotocol == LEGACY else "subscribe"
    assert socket.closes == [(4400, f"'payload' of '{word}' must have a string 'query'")]
    await socket.ended()


@both
async def test_a_hook_that_reads_the_query_finds_an_empty_one(subprotocol):
    seen = []

    def on_operation(self, op_id, payload):
        seen.append(payload["query"])

    socket = AsgiSocket(consumer_class(on_operation=on_operation).as_asgi(), subprotocol)
    await socket.acknowledged()
    await spoken(socket, {})
    assert seen == [""]
    await socket.drop()


async def test_the_hook_gives_the_document_that_a_request_only_names():
    application = Looking.as_asgi()
    for answer in (
        await post(application, {"documentId": "hello"}),
        await get(application, documentId="hello"),
    ):
        assert (answer.status, answer.json) == (200, {"data": {"hello": "Hello world!"}})
    batch = await post(application, [{"documentId": "hello"}, {"documentId": "other"}])
    assert batch.json == [
        {"data": {"hello": "Hello world!"}},
        {"errors": [{"message": NO_DOCUMENT}]},
    ]


@pytest.mark.parametrize("accept", [GRAPHQL_JSON, JSON])
async def test_a_request_for_which_no_document_comes_out_is_bad(accept):
    answer = await post(Looking.as_asgi(), {"documentId": "other"}, accept=accept)
    assert (answer.status, answer.json) == (400, {"errors": [{"message": NO_DOCUMENT}]})


async def test_an_event_stream_says_that_no_document_came_out():
    answer = await get(Looking.as_asgi(), "text/event-stream", documentId="other")
    assert json.dumps(NO_DOCUMENT) in answer.body.decode()


async def test_without_a_hook_a_request_needs_a_query():
    application = GraphqlHttpConsumer.as_asgi(schema=http_schema.schema)
    for answer in (await post(application, APQ), await get(application, documentId="hello")):
        assert (answer.status, answer.message) == (400, '"query" is missing')


async def test_a_query_is_registered_by_its_hash_and_found_by_it(http):
    missing = await post(http, APQ, accept=JSON)
    assert (missing.status, missing.json) == (200, {"errors": [NOT_FOUND]})
    for content in ({"query": DOCUMENT, **APQ}, APQ):
        answer = await post(http, content, accept=JSON)
        assert (answer.status, answer.json) == (200, {"data": {"hello": "Hello world!"}})
    extensions = f'{{"persistedQuery":{{"version":1,"sha256Hash":"{HASH}"}}}}'
    by_get = await get(http, extensions=extensions)
    assert by_get.json == {"data": {"hello": "Hello world!"}}


async def test_a_hash_of_another_query_registers_nothing(http):
    answer = await post(http, {"query": "{ broken }", **APQ}, accept=JSON)
    assert answer.message == "provided sha does not match query"
    assert (await post(http, APQ, accept=JSON)).json == {"errors": [NOT_FOUND]}


@pytest.mark.parametrize("extensions", [{"persistedQuery": 1}, {"persistedQuery": {}}, {}, None])
async def test_extensions_that_name_nothing_change_nothing(http, extensions):
    answer = await post(http, {"query": DOCUMENT, "extensions": extensions})
    assert answer.json == {"data": {"hello": "Hello world!"}}


async def test_a_trusted_document_is_found_by_its_id(http):
    answer = await post(http, {"documentId": "hello", "variables": {"name": "you"}})
    assert answer.json == {"data": {"hello": "Hello you!"}}
    for other in ("other", 1):
        unknown = await post(http, {"documentId": other}, accept=JSON)
        assert unknown.message == "Unknown document"


async def test_the_recipe_can_trust_nothing_else(recipe):
    class Strict(recipe["HttpConsumer"]):
        trusted_only = True

    for content in ({"query": DOCUMENT}, {"query": DOCUMENT, **APQ}, APQ):
        answer = await post(Strict.as_asgi(), content, accept=JSON)
        assert answer.message == "Only known documents are executed"
    assert (await post(Strict.as_asgi(), {"documentId": "hello"})).json == {
        "data": {"hello": "Hello world!"}
    }


@both
async def test_the_recipe_serves_sockets_too(recipe, subprotocol):
    assert issubclass(recipe["WsConsumer"], GraphqlWsConsumer)
    socket = AsgiSocket(recipe["WsConsumer"].as_asgi(), subprotocol)
    await socket.acknowledged()
    for number, content in enumerate(({"query": DOCUMENT, **APQ}, APQ, {"documentId": "hello"})):
        answer = await spoken(socket, content, str(number))
        assert answer == {"data": {"hello": "Hello world!"}}
    await socket.drop()


async def test_a_stream_may_name_its_document(http):
    answer = await get(http, "text/event-stream", documentId="count", variables='{"to": 2}')
    assert b'data: {"data":{"count":1}}' in answer.body

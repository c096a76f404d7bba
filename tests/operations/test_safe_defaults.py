"""What a server that nobody has configured answers to documents of strangers."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import graphene
import pytest
from graphql import get_introspection_query

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer
from channels_graphql_ws.execution import documents
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from channels_graphql_ws.operations.options import OperationOptions
from http_client import post
from support import GUARD, wait_until


class Query(graphene.ObjectType):
    """Has no ground."""

    deeper = graphene.Field(lambda: Query)
    name = graphene.String()
    rows = graphene.List(lambda: Query, count=graphene.Int(required=True))
    text = graphene.String(length=graphene.Int(required=True))

    @staticmethod
    def resolve_rows(root: Any, info: Any, count: int) -> list[Any]:
        return [{}] * count

    @staticmethod
    def resolve_text(root: Any, info: Any, length: int) -> str:
        return "x" * length

    @staticmethod
    def resolve_deeper(root: Any, info: Any) -> dict[str, Any]:
        return {}


SCHEMA = graphene.Schema(query=Query)


async def over_websocket(subprotocol: str, text: str, **options: Any) -> list[Any]:
    """Return the errors."""
    consumer = GraphqlWsConsumer.as_asgi(schema=SCHEMA, **options)
    socket = AsgiSocket(consumer, subprotocol)
    await socket.acknowledged()
    socket.start("1", text)
    await wait_until(lambda: socket.results("1"))
    result = socket.results("1")[0]
    await socket.drop()
    return result if isinstance(result, list) else result.get("errors", [])


async def over_http(_subprotocol: str, text: str, **options: Any) -> list[Any]:
    """Return the errors."""
    # Without DEBUG there would be no introspection at all.
    options = {"introspection": True, **options}
    answer = await post(GraphqlHttpConsumer.as_asgi(schema=SCHEMA, **options), {"query": text})
    return answer.json.get("errors", [])


ways = pytest.mark.parametrize(
    ("ask", "subprotocol"),
    [(over_websocket, NEW), (over_websocket, LEGACY), (over_http, "")],
    ids=["new", "legacy", "http"],
)


def nested(levels: int) -> str:
    return "{ deeper " * levels + "{ name }" + "}" * levels


def repeated(text: str, times: int) -> str:
    return " ".join([text] * times)


def aliases(count: int) -> str:
    return " ".join(f"a{number}: name" for number in range(count))


def mixed(count: int, after: str = "") -> str:
    """Return fields of two names: those of one are compared with each other."""
    return " ".join(f"{('name', '__typename')[number % 2]}{after}" for number in range(count))


def directives(count: int) -> str:
    return f"{{ deeper {{ {mixed(count, ' @skip(if: false)')} }} }}"


def root_fields(count: int) -> str:
    return f"{{ ...F }} fragment F on Query {{ {mixed(count)} }}"


def tokens(count: int) -> str:
    return "{ name }" + "#\n" * (count - 3)


def introspection(levels: int) -> str:
    types = levels - len(("types", "name"))
    return "{ __schema { types {" + "ofType {" * types + "name" + "}" * types + "} } }"


def comparisons(steps: int) -> str:
    """Return a document whose fields take so many steps to compare."""
    selections = []
    if steps % 2:
        # Two fields, an argument and its two values.
        selections.append("text(length: 1) text(length: 1)")
        steps -= 5
    while steps:
        # Each pair takes two.
        fields = next(count for count in range(500, 1, -1) if count * (count - 1) <= steps)
        selections.append(repeated("name", fields))
        steps -= fields * (fields - 1)
    return f"{{ {' '.join(f'd{n}: deeper {{ {each} }}' for n, each in enumerate(selections))} }}"


# What there may be at most, and a document that has so much of it.
MOST: dict[str, Any] = {
    "max_depth": (50, nested),
    "max_aliases": (1_000, lambda count: f"{{ deeper {{ {aliases(count)} }} }}"),
    "max_root_fields": (500, root_fields),
    "max_directives": (500, directives),
    "max_field_comparisons": (250_000, comparisons),
    "max_tokens": (15_000, tokens),
    "max_introspection_depth": (20, introspection),
}


@ways
@pytest.mark.parametrize("option", MOST)
async def test_a_document_may_have_so_much_and_no_more(ask, subprotocol, option):
    limit, make = MOST[option]
    assert getattr(OperationOptions, option) == limit
    assert await ask(subprotocol, make(limit)) == []
    [error] = await ask(subprotocol, make(limit + 1))
    assert f"(`{option}`)" in error["message"]
    assert error["extensions"] == {"code": "LIMIT_EXCEEDED", "limit": option, "allowed": limit}
    assert await ask(subprotocol, make(limit + 1), **{option: None}) == []
    assert await ask(subprotocol, make(limit + 1), safety="compatible") == []


@ways
async def test_a_page_of_a_thousand_rows_with_twenty_fields_is_none_too_large(ask, subprotocol):
    fields = " ".join(f"a{number}: name" for number in range(20))
    assert await ask(subprotocol, f"{{ rows(count: 1000) {{ {fields} }} }}") == []


@ways
async def test_an_operation_executes_so_many_fields_and_no_more(ask, subprotocol):
    limit = OperationOptions.max_fields_executed
    assert limit == 100_000
    assert await ask(subprotocol, f"{{ rows(count: {limit - 1}) {{ name }} }}") == []
    query = f"{{ rows(count: {limit}) {{ name }} }}"
    [error] = await ask(subprotocol, query)
    text = f"The operation executes more than {limit} fields (`max_fields_executed`)."
    assert error["message"] == text
    assert await ask(subprotocol, query, max_fields_executed=None) == []


@ways
async def test_a_result_has_so_many_bytes_and_no_more(ask, subprotocol):
    limit = OperationOptions.max_result_size
    assert limit == 16 * 2**20
    rest = len('{"data":{"text":""}}')
    assert await ask(subprotocol, f"{{ text(length: {limit - rest}) }}") == []
    query = f"{{ text(length: {limit - rest + 1}) }}"
    [error] = await ask(subprotocol, query)
    assert error["message"] == f"The result has more than {limit} bytes (`max_result_size`)."
    assert await ask(subprotocol, query, max_result_size=None) == []


@ways
async def test_tools_may_ask_for_the_schema(ask, subprotocol):
    assert await ask(subprotocol, get_introspection_query(input_value_deprecation=True)) == []


@ways
async def test_nobody_may_ask_for_it_twice(ask, subprotocol):
    text = "{ a: __schema { types { name } } b: __schema { types { name } } }"
    [error] = await ask(subprotocol, text)
    assert "does not introspect in good faith" in error["message"]
    assert await ask(subprotocol, text, good_faith_introspection=False) == []
    assert await ask(subprotocol, text, safety="compatible") == []


@ways
async def test_type_names_are_told_where_the_schema_is_not(ask, subprotocol):
    assert (
        await ask(subprotocol, "{ __typename deeper { __typename } }", introspection=False) == []
    )
    [error] = await ask(subprotocol, "{ __schema { types { name } } }", introspection=False)
    assert error["message"] == "Cannot query '__schema': introspection is disabled."


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let no document be parsed in a thread until it is set."""
    opened = threading.Event()
    loop_thread = threading.get_ident()
    load = documents.load

    def wait(*arguments: Any) -> Any:
        assert threading.get_ident() == loop_thread or opened.wait(GUARD)
        return load(*arguments)

    monkeypatch.setattr(documents, "load", wait)
    yield opened
    opened.set()


def large(number: int) -> str:
    return f"query Q{number} {{ name }} #" + "x" * documents.LARGE_LIMIT


def distinct(number: int, fields: int) -> str:
    return f"query Q{number} {{" + " ".join(f"a{n}: name" for n in range(fields)) + "}"


@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_few_large_documents_of_a_connection_wait_to_be_parsed(subprotocol, gate):
    # A schema of its own, whose documents nobody has parsed.
    schema = graphene.Schema(query=Query)
    consumer = GraphqlWsConsumer.as_asgi(schema=schema, max_waiting_documents=5)
    socket, neighbour = AsgiSocket(consumer, subprotocol), AsgiSocket(consumer, subprotocol)
    await socket.acknowledged()
    await neighbour.acknowledged()
    for number in range(8):
        socket.start(f"{number}", large(number))
        if subprotocol == LEGACY:  # Another identity is no way around it.
            socket.init()
    neighbour.start("1", large(100))
    # One is being parsed, and five wait.
    await wait_until(lambda: socket.results("6") and socket.results("7"))
    [refused] = socket.results("7")
    [error] = refused["errors"] if isinstance(refused, dict) else refused
    assert error["extensions"] == {
        "code": "LIMIT_EXCEEDED",
        "limit": "max_waiting_documents",
        "allowed": 5,
    }
    # What is small, and what is known, does not wait.
    socket.start("small", "{ name }")
    await wait_until(lambda: socket.results("small"))
    gate.set()
    await wait_until(lambda: "complete:1" in neighbour.words)
    await wait_until(lambda: all(f"complete:{n}" in socket.words for n in range(6)))
    await socket.drop()
    await neighbour.drop()


async def test_a_client_that_comes_again_with_many_large_documents_meets_no_limit(gate):
    consumer = GraphqlWsConsumer.as_asgi(schema=graphene.Schema(query=Query))
    socket = AsgiSocket(consumer, NEW)
    await socket.acknowledged()
    for number in range(33):
        socket.start(f"{number}", large(number))
    gate.set()
    await wait_until(lambda: all(f"complete:{n}" in socket.words for n in range(33)))
    await socket.drop()


@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_a_thousand_new_documents_at_once_meet_no_limit(subprotocol):
    consumer = GraphqlWsConsumer.as_asgi(schema=graphene.Schema(query=Query))
    socket = AsgiSocket(consumer, subprotocol)
    await socket.acknowledged()
    for number in range(1_000):
        socket.start(f"{number}", distinct(number % 100, 1 if number % 10 else 35))
    await wait_until(lambda: len(socket.sent) >= 2_002)
    assert not [frame for frame in socket.frames if "errors" in str(frame)]
    await socket.drop()

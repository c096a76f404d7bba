"""Documents and operations in the user's own way: parse, validate, execute."""

from __future__ import annotations

import threading
from typing import Any

import graphene
import graphql
import pytest
from graphql import ExecutionResult, GraphQLError

from asgi_socket import AsgiSocket
from channels_graphql_ws import GraphqlHttpConsumer
from channels_graphql_ws.execution.documents import INLINE_LIMIT, documents_of
from channels_graphql_ws.operations.engine import engine_of
from http_client import post
from news_schema import HELLO, consumer_class
from news_schema import schema as news
from support import tick, wait_until

pytestmark = pytest.mark.usefixtures("executor")

WORLD = {"data": {"hello": "world"}}


def fresh_schema() -> graphene.Schema:
    """A schema whose documents nobody has cached."""
    return graphene.Schema(query=news.query, mutation=news.mutation)


async def answer(query: str = HELLO, **attributes: Any) -> Any:
    socket = AsgiSocket(consumer_class(**attributes).as_asgi())
    await socket.acknowledged()
    socket.start("1", query)
    await wait_until(lambda: socket.results("1"))
    await socket.drop()
    return socket.results("1")[0]


async def test_a_parser_of_ones_own_is_asked_once_for_each_document() -> None:
    asked: list[str] = []

    def parse_document(cls: Any, text: str) -> Any:
        asked.append(text)
        return super(consumer, cls).parse_document("{ hello }")

    consumer = consumer_class(schema=fresh_schema(), parse_document=classmethod(parse_document))
    for _ in range(2):
        socket = AsgiSocket(consumer.as_asgi())
        await socket.acknowledged()
        socket.start("1", "say hello")
        await wait_until(lambda socket=socket: socket.results("1"))
        assert socket.results("1")[0] == WORLD
        await socket.drop()
    assert asked == ["say hello"]


async def test_what_one_class_parses_is_not_served_to_another() -> None:
    schema = fresh_schema()

    def parse_document(text: str) -> Any:
        return graphql.parse("{ other: hello }")

    assert await answer(schema=schema) == WORLD
    other = await answer(schema=schema, parse_document=staticmethod(parse_document))
    assert other == {"data": {"other": "world"}}
    assert await answer(schema=schema) == WORLD


async def test_a_parser_refuses_by_an_error_of_graphql() -> None:
    def parse_document(text: str) -> Any:
        raise GraphQLError("Only known documents")

    errors = await answer(parse_document=staticmethod(parse_document))
    assert errors == [{"message": "Only known documents"}]


async def test_a_parser_that_breaks_is_an_internal_error(caplog: Any) -> None:
    errors = await answer(parse_document=staticmethod(lambda text: 1 / 0))
    assert errors == [{"message": "Internal server error"}]
    assert "ZeroDivisionError" in caplog.text


async def test_a_large_document_goes_to_the_parser_in_a_thread() -> None:
    threads: list[str] = []

    def parse_document(text: str) -> Any:
        threads.append(threading.current_thread().name)
        return graphql.parse(text)

    query = f"#{'x' * INLINE_LIMIT}\n{HELLO}"
    assert await answer(query, parse_document=staticmethod(parse_document)) == WORLD
    assert threads != [threading.main_thread().name]


async def test_validation_may_be_ones_own_and_knows_the_rules_of_the_class() -> None:
    known: list[int] = []

    def validate_document(cls: Any, schema: Any, document: Any, rules: Any) -> Any:
        known.append(len(rules))
        errors = super(consumer, cls).validate_document(schema, document, rules)
        return [GraphQLError(f"<{error.message}>") for error in errors]

    consumer = consumer_class(
        max_depth=1, introspection=False, validate_document=classmethod(validate_document)
    )
    socket = AsgiSocket(consumer.as_asgi())
    await socket.acknowledged()
    socket.start("1", "{ nothing }")
    await wait_until(lambda: socket.results("1"))
    assert socket.results("1") == [
        [{"message": "<Cannot query field 'nothing' on type 'Query'.>"}]
    ]
    assert known == [3]
    await socket.drop()


async def test_validation_may_be_left_out() -> None:
    result = await answer("{ hello(x: 1) }", validate_document=staticmethod(lambda *_: []))
    assert result == WORLD


def test_classes_without_hooks_share_their_documents() -> None:
    schema = fresh_schema().graphql_schema
    one, other = (engine_of(consumer_class(schema=schema)()).settings.rules for _ in range(2))
    assert documents_of(schema, one) is documents_of(schema, other)


def _sync(self: Any, **arguments: Any) -> Any:
    arguments["document"] = graphql.parse("{ changed: hello }")
    return graphql.execute(**arguments)


async def _async(self: Any, **arguments: Any) -> Any:
    await tick()
    return _sync(self, **arguments)


@pytest.mark.parametrize("in_threads", [False, True])
@pytest.mark.parametrize("hook", [_sync, _async])
async def test_execution_may_be_ones_own(hook: Any, in_threads: bool) -> None:
    options = {"execute_operation": hook, "resolve_sync_in_threads": in_threads}
    assert await answer(**options) == {"data": {"changed": "world"}}


async def test_the_usual_execution_is_there_to_be_called() -> None:
    seen: list[Any] = []

    def execute_operation(self: Any, **arguments: Any) -> Any:
        seen.append((sorted(arguments), self.scope["path"]))
        return super(consumer, self).execute_operation(**arguments)

    consumer = consumer_class(execute_operation=execute_operation)
    socket = AsgiSocket(consumer.as_asgi())
    await socket.acknowledged()
    for id, query in (("1", HELLO), ("2", "{ wait }")):
        socket.start(id, query)
        await socket.heard(f"next:{id}", f"complete:{id}")
    arguments = [
        "context_value",
        "document",
        "middleware",
        "operation_name",
        "root_value",
        "schema",
        "variable_values",
    ]
    assert seen == [(arguments, "/graphql/")] * 2
    await socket.drop()


async def _refuse(self: Any, **_: Any) -> Any:
    raise GraphQLError("Too dear")


async def test_an_error_of_graphql_is_a_result() -> None:
    result = await answer(execute_operation=_refuse)
    assert result == {"errors": [{"message": "Too dear"}]}


@pytest.mark.parametrize("hook", [lambda self, **_: {"data": {}}, lambda self, **_: 1 / 0])
async def test_anything_else_is_an_internal_error(hook: Any, caplog: Any) -> None:
    assert await answer(execute_operation=hook) == [{"message": "Internal server error"}]
    assert "ExecutionResult" in caplog.text or "ZeroDivisionError" in caplog.text


async def test_it_works_over_http_too() -> None:
    class Consumer(GraphqlHttpConsumer):
        schema = news

        async def execute_operation(self, **arguments: Any) -> Any:
            return ExecutionResult({"path": self.scope["path"]}, None)

        @staticmethod
        def parse_document(text: str) -> Any:
            return graphql.parse("{ hello }")

    answer = await post(Consumer.as_asgi(), {"query": "anything"})
    assert answer.json == {"data": {"path": "/graphql/"}}

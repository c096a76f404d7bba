"""What clients are told of unexpected errors in production: nothing; the log has it all."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from decimal import InvalidOperation
from typing import Any

import graphene
import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError
from graphql import GraphQLError, ValidationRule, parse

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import (
    ConnectionRejectionError,
    GraphqlHttpConsumer,
    GraphqlWsConsumer,
    Subscription,
)
from channels_graphql_ws.execution.masking import Mask
from http_client import post
from support import wait_until

LEAK = "the name of a table"
HIDDEN = "Unexpected error."


class Even(graphene.Scalar):
    """A scalar that refuses by raising anything."""

    @staticmethod
    def parse_value(value: Any) -> Any:
        raise ValueError("an even number, please")


class Known(graphene.Scalar):
    """A scalar that breaks, as one that looks something up in a database may."""

    @staticmethod
    def parse_value(value: Any) -> Any:
        raise OperationalError(LEAK)

    @staticmethod
    def parse_literal(node: Any, _variables: Any = None) -> Any:
        raise KeyError(LEAK)


class Query(graphene.ObjectType):
    ok = graphene.String(even=Even(), known=Known())
    broken = graphene.String()
    refused = graphene.String()
    wrapped = graphene.String()

    @staticmethod
    def resolve_broken(_root: Any, _info: Any) -> str:
        raise ValueError(LEAK)

    @staticmethod
    def resolve_refused(_root: Any, _info: Any) -> str:
        raise GraphQLError("Not you", extensions={"code": "FORBIDDEN"})

    @staticmethod
    def resolve_wrapped(_root: Any, _info: Any) -> str:
        raise GraphQLError("Told on purpose") from ValueError(LEAK)


class OnNews(Subscription):
    text = graphene.String()

    class Arguments:
        fails = graphene.Boolean(default_value=False)

    @staticmethod
    def subscribe(_root: Any, _info: Any, fails: bool) -> None:
        if fails:
            raise ValueError(LEAK)

    @staticmethod
    def publish(payload: Any, _info: Any, fails: bool) -> Any:
        raise ValueError(LEAK)


class Root(graphene.ObjectType):
    on_news = OnNews.Field()
    generated = graphene.Int()

    @staticmethod
    async def subscribe_generated(_root: Any, _info: Any) -> AsyncIterator[int]:
        yield 1
        raise ValueError(LEAK)


schema = graphene.Schema(query=Query, subscription=Root)


def consumer(**attributes: Any) -> Any:
    options = {"schema": schema, "mask_errors": True, **attributes}
    return type("MaskingConsumer", (GraphqlWsConsumer,), options).as_asgi()


async def answer(query: str, subprotocol: str = NEW, **attributes: Any) -> list[Any]:
    """The payloads that an operation brings, one error at least among them."""
    socket = AsgiSocket(consumer(**attributes), subprotocol)
    await socket.acknowledged()
    socket.start("1", query)
    await wait_until(lambda: "message" in str(socket.results("1")))
    await socket.drop()
    return [payload for payload in socket.results("1") if payload is not None]


def located(cause: Exception | None) -> GraphQLError:
    return GraphQLError("text", path=["a"], original_error=cause)


@pytest.mark.parametrize(
    ("error", "is_hidden"),
    [
        (ValueError(LEAK), True),
        (located(ValueError(LEAK)), True),
        (located(located(ValueError(LEAK))), True),
        (located(GraphQLError("purpose")), False),
        (located(None), False),
        (GraphQLError("bad variable", parse("{ a }"), original_error=ValueError("no")), False),
        (GraphQLError("purpose", original_error=ValueError(LEAK)), False),
        (located(GraphQLError("purpose", original_error=ValueError(LEAK))), False),
    ],
)
def test_unexpected_is_what_nobody_has_raised_for_clients(error: Any, is_hidden: bool) -> None:
    assert Mask(mask_errors=True).hides(error) is is_hidden
    assert not Mask().hides(error)


def test_what_hides_an_error_keeps_where_it_happened_and_nothing_else() -> None:
    error = GraphQLError(
        LEAK, path=["a", 0], original_error=ValueError(), extensions={"code": LEAK}
    )
    assert Mask(mask_errors=True, masked_error_message="Oh")(error).formatted == {  # type: ignore[attr-defined]
        "message": "Oh",
        "path": ["a", 0],
    }


def test_a_function_decides_and_one_that_fails_hides(caplog: Any) -> None:
    assert not Mask(lambda error: isinstance(error, KeyError)).hides(ValueError())
    assert Mask(lambda error: isinstance(error, KeyError)).hides(KeyError())
    assert Mask(lambda error: 1 / 0).hides(ValueError())
    assert "`mask_errors` failed" in caplog.text


async def test_an_exception_of_a_resolver_is_hidden_and_logged_whole(caplog: Any) -> None:
    [result] = await answer("{ ok broken }")
    assert result["errors"] == [
        {"message": HIDDEN, "path": ["broken"], "locations": [{"line": 1, "column": 6}]}
    ]
    assert f"ValueError: {LEAK}" in caplog.text
    assert "Traceback" in caplog.text


async def test_without_the_attribute_all_stays_as_it_was() -> None:
    [result] = await answer("{ broken }", mask_errors=False)
    assert result["errors"][0]["message"] == LEAK


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ refused }", "Not you"),
        ("{ wrapped }", "Told on purpose"),
        ("{ nothing }", "Cannot query field 'nothing' on type 'Query'."),
        ("{", "Syntax Error: Expected Name, found <EOF>."),
        ("query A { ok } query B { ok }", "Must provide operation name"),
        ("subscription { onNews(fails: 1) { text } }", "Boolean cannot represent"),
    ],
)
async def test_what_is_meant_for_clients_stays(query: str, message: str) -> None:
    assert message in str(await answer(query))
    assert HIDDEN not in str(await answer(query))


class NoOk(ValidationRule):
    """A rule of the user's, which suggests a name of the schema."""

    def enter_field(self, node: Any, *_: Any) -> None:
        text = "'ok' is no more. Did you mean 'okay'?"
        self.report_error(GraphQLError(text, node, extensions={"code": "OLD"}))


async def test_a_rule_of_ones_own_suggests_nothing_either_where_introspection_is_refused() -> None:
    told = {"locations": [{"line": 1, "column": 3}], "extensions": {"code": "OLD"}}
    rules = {"validation_rules": [NoOk], "mask_errors": False}
    assert await answer("{ ok }", introspection=False, **rules) == [
        [{"message": "'ok' is no more.", **told}]
    ]
    assert await answer("{ ok }", introspection=True, **rules) == [
        [{"message": "'ok' is no more. Did you mean 'okay'?", **told}]
    ]


async def test_a_variable_that_a_scalar_does_not_like_is_the_clients_business() -> None:
    socket = AsgiSocket(consumer())
    await socket.acknowledged()
    socket.start("1", "query($e: Even) { ok(even: $e) }", variables={"e": 1})
    await wait_until(lambda: socket.results("1"))
    assert "an even number, please" in str(socket.results("1"))
    await socket.drop()


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (
            "query($x: Known) { ok(known: $x) }",
            "Variable '$x' got invalid value 1; Expected type 'Known'. Unexpected error.",
        ),
        ("{ ok(known: 1) }", "Expected value of type 'Known', found 1; Unexpected error."),
    ],
    ids=["variable", "literal"],
)
async def test_what_broke_in_a_scalar_is_hidden_and_logged(
    query: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    socket = AsgiSocket(consumer())
    await socket.acknowledged()
    socket.start("1", query, variables={"x": 1})
    await wait_until(lambda: len(socket.frames) > 1)
    assert message in str(socket.frames)
    assert LEAK not in str(socket.frames)
    [record] = [each for each in caplog.records if each.exc_info]
    assert LEAK in str(record.exc_info[1])
    await socket.drop()
    told = AsgiSocket(consumer(mask_errors=False))
    await told.acknowledged()
    told.start("1", query, variables={"x": 1})
    await wait_until(lambda: LEAK in str(told.frames))
    await told.drop()


class BillingError(Exception):
    """An error of another package, which knows of no client."""


class JobError(ValueError):
    """An error about a value."""


@pytest.mark.parametrize("compile_operations", [True, False])
@pytest.mark.parametrize(
    "query",
    ["query($x: Picky) { ok(picky: $x) }", "{ ok(picky: 1) }"],
    ids=["variable", "literal"],
)
@pytest.mark.parametrize(
    ("raised", "is_told"),
    [
        (GraphQLError(LEAK), True),
        (ValueError(LEAK), True),
        (JobError(LEAK), True),
        (TypeError(LEAK), True),
        (OverflowError(LEAK), True),
        (InvalidOperation(LEAK), True),
        (ValidationError(LEAK), True),
        (BillingError(LEAK), False),
        (AssertionError(LEAK), False),
        (Exception(LEAK), False),
        (RuntimeError(LEAK), False),
        (OSError(LEAK), False),
    ],
    ids=repr,
)
async def test_a_scalar_tells_clients_only_what_is_about_their_input(
    raised: Exception, is_told: bool, query: str, compile_operations: bool, caplog: Any
) -> None:
    class Picky(graphene.Scalar):
        @staticmethod
        def parse_value(value: Any) -> Any:
            raise raised

        @staticmethod
        def parse_literal(node: Any, _variables: Any = None) -> Any:
            raise raised

    of_scalar = type("Query", (graphene.ObjectType,), {"ok": graphene.String(picky=Picky())})
    options = {
        "schema": graphene.Schema(query=of_scalar),
        "compile_operations": compile_operations,
    }
    socket = AsgiSocket(consumer(**options))
    await socket.acknowledged()
    socket.start("1", query, variables={"x": 1})
    await wait_until(lambda: "message" in str(socket.frames))
    assert (LEAK in str(socket.frames), HIDDEN in str(socket.frames)) == (is_told, not is_told)
    assert (LEAK in caplog.text) == (not is_told)
    await socket.drop()


@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
@pytest.mark.parametrize(
    "query", ["subscription { onNews(fails: true) { text } }", "subscription { generated }"]
)
async def test_subscriptions_hide_errors_too(subprotocol: str, query: str, caplog: Any) -> None:
    results = await answer(query, subprotocol)
    assert HIDDEN in str(results)
    assert LEAK not in str(results)
    assert LEAK in caplog.text


async def test_an_error_in_publish_is_hidden() -> None:
    socket = AsgiSocket(consumer(confirm_subscriptions=True))
    await socket.acknowledged()
    socket.start("1", "subscription { onNews { text } }")
    await wait_until(lambda: socket.results("1"))
    await OnNews.broadcast(payload="x")
    await wait_until(lambda: len(socket.results("1")) == 2)
    [error] = socket.results("1")[1]["errors"]
    assert (error["message"], error["path"]) == (HIDDEN, ["onNews"])
    await socket.drop()


async def test_ones_own_format_gets_the_error_that_is_to_be_told() -> None:
    seen: list[Exception] = []

    def format_error(error: Exception) -> dict[str, Any]:
        seen.append(error)
        return {"message": f"<{error}>"}

    [result] = await answer("{ broken }", _format_error=staticmethod(format_error))
    assert HIDDEN in result["errors"][0]["message"]
    assert getattr(seen[0], "original_error", None) is None


async def test_the_text_may_be_ones_own_and_a_function_may_choose() -> None:
    options = {
        "masked_error_message": "Sorry",
        "mask_errors": staticmethod(lambda error: "Not you" in str(error)),
    }
    assert (await answer("{ broken }", **options))[0]["errors"][0]["message"] == LEAK
    [result] = await answer("{ refused }", **options)
    [error] = result["errors"]
    assert error["message"] == "Sorry"
    assert "extensions" not in error


@pytest.mark.parametrize("hook", ["on_operation", "get_context", "get_root_value"])
async def test_a_hook_that_breaks_is_hidden_and_worth_a_warning(hook: str, caplog: Any) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise KeyError(LEAK)

    assert await answer("{ ok }", **{hook: fail}) == [[{"message": HIDDEN}]]
    [record] = [each for each in caplog.records if each.exc_info]
    assert (record.levelno, record.exc_info[0]) == (logging.WARNING, KeyError)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyError(LEAK), {"message": HIDDEN}),
        (GraphQLError("Go away"), {"message": "Go away"}),
        (ConnectionRejectionError({"message": "Too old"}), {"message": "Too old"}),
    ],
)
async def test_a_refusal_says_what_it_says_on_purpose(error: Exception, told: Any) -> None:
    def on_connect(_self: Any, _payload: Any) -> None:
        raise error

    socket = AsgiSocket(consumer(on_connect=on_connect), LEGACY)
    socket.init()
    await socket.ended()
    assert socket.frames == [{"type": "connection_error", "payload": told}]


async def test_http_hides_the_same() -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=schema, mask_errors=True)
    answer = await post(application, {"query": "{ broken refused }"})
    messages = [error["message"] for error in answer.json["errors"]]
    assert messages == [HIDDEN, "Not you"]
    assert (await post(application, {"query": "{"})).message.startswith("Syntax Error")


async def test_an_http_hook_that_breaks_is_hidden_and_logged(caplog: Any) -> None:
    class Consumer(GraphqlHttpConsumer):
        def get_context(self, context: Any) -> Any:
            raise KeyError(LEAK)

    application = Consumer.as_asgi(schema=schema, mask_errors=True)
    answer = await post(application, {"query": "{ ok }"})
    assert answer.message == HIDDEN
    assert "KeyError" in caplog.text


def test_what_hides_an_error_keeps_its_places_without_counting_lines() -> None:
    document = parse("{\n  a\n  a\n}")
    nodes = document.definitions[0].selection_set.selections  # type: ignore[attr-defined]
    error = GraphQLError(LEAK, list(nodes), path=["a"], original_error=ValueError())
    masked: Any = Mask(mask_errors=True)(error)
    assert masked.formatted["locations"] == error.formatted["locations"]
    assert (masked.nodes, masked.source, masked.positions) == (
        error.nodes,
        error.source,
        error.positions,
    )

"""Variables of many parts are coerced in a thread: nobody else waits for that."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from typing import Any

import graphene
import pytest
from graphql import parse

from channels_graphql_ws import Subscription
from channels_graphql_ws.execution.large_variables import (
    LONG_TEXT,
    MOST_PARTS,
    CoercedVariables,
    copied,
    have_many_parts,
)
from channels_graphql_ws.execution.metered import MeteredContext
from engine_fakes import Rig, cancel, schema_of
from support import tick

pytestmark = pytest.mark.usefixtures("executor")

language: ContextVar[str] = ContextVar("language", default="none")

seen: list[tuple[bool, str]] = []


class Noted(graphene.Scalar):
    """A scalar that notes where it is parsed: on the event loop, and in which language."""

    @staticmethod
    def parse_value(value: Any) -> Any:
        seen.append((threading.current_thread() is threading.main_thread(), language.get()))
        return f"parsed {value}"

    @staticmethod
    def parse_literal(ast: Any, _variables: Any = None) -> Any:
        return ast.value


class Colour(graphene.Enum):
    RED = 1


class Row(graphene.InputObjectType):
    noted = Noted()
    colour = Colour(default_value=Colour.RED.value)


class Query(graphene.ObjectType):
    first = graphene.String(rows=graphene.List(Row), colour=Colour(), note=Noted())

    @staticmethod
    def resolve_first(root, info, rows=(), colour=None, note=None):
        return f"{len(rows)} {rows[0]['noted'] if rows else note} {colour and colour.name}"


class OnRow(Subscription):
    rows = graphene.Int()

    class Arguments:
        rows = graphene.List(Row)

    @staticmethod
    def publish(payload, info, rows):
        return {"rows": len(rows)}


QUERY = "query ($rows: [Row], $colour: Colour = RED) { first(rows: $rows, colour: $colour) }"


def rig(**settings: Any) -> Rig:
    seen.clear()
    return Rig(schema_of(OnRow, query=Query), **settings)


def rows(count: int) -> list[dict[str, Any]]:
    return [{"noted": number} for number in range(count)]


@pytest.mark.parametrize(
    ("variables", "are_many"),
    [
        ({}, False),
        ({"a": 1, "b": "text", "c": None}, False),
        ({"a": [1] * MOST_PARTS}, False),
        ({"a": [1] * (MOST_PARTS + 1)}, True),
        ({"a": dict.fromkeys(map(str, range(MOST_PARTS + 1)))}, True),
        ({"a": [{"b": [1]}] * MOST_PARTS}, True),
        ({"a": [1] * MOST_PARTS, "b": [1] * MOST_PARTS}, True),
        ({"a": {"b": {"c": {"d": [1]}}}}, False),
        ({"a": "x" * LONG_TEXT}, False),
        ({"a": "x" * (LONG_TEXT + 1)}, True),
        ({"a": [{"b": "x" * (LONG_TEXT + 1)}]}, True),
    ],
)
def test_it_is_the_parts_that_count(variables, are_many):
    assert have_many_parts(variables) is are_many


async def test_few_are_coerced_at_once():
    client, rest = rig().begin(QUERY, rows=rows(3))
    assert rest is None
    assert client.results == [{"data": {"first": "3 parsed 0 RED"}}]
    assert set(seen) == {(True, "none")}


async def test_many_are_coerced_in_a_thread_and_once():
    language.set("German")
    result = await rig().answer(QUERY, rows=rows(1_000))
    assert result == {"data": {"first": "1000 parsed 0 RED"}}
    assert seen == [(False, "German")] * 1_000


async def test_so_is_what_is_long():
    text = "x" * (LONG_TEXT + 1)
    result = await rig().answer("query ($note: Noted) { first(note: $note) }", note=text)
    assert result == {"data": {"first": f"0 parsed {text} None"}}
    assert seen == [(False, "none")]


async def test_what_is_wrong_with_them_is_told_as_ever():
    few, many = [
        await rig().answer(QUERY, rows=[{"nosuch": 1}, *[{}] * count]) for count in (0, 1_000)
    ]
    assert few == many
    assert "data" not in few
    assert "Field 'nosuch' is not defined" in few["errors"][0]["message"]


async def test_an_operation_that_has_conditions_and_a_name_is_executed_like_any_other():
    query = """
    query Other { first }
    query Wanted($rows: [Row], $is: Boolean!) { first(rows: $rows) @include(if: $is) ...F }
    fragment F on Query { again: first(rows: $rows) }
    """
    server, answers = rig(), []
    for is_included in (True, False):
        variables = {"rows": rows(1_000), "is": is_included}
        answers.append(await server.answer(query, name="Wanted", **variables))
    first = "1000 parsed 0 None"
    assert answers == [{"data": {"first": first, "again": first}}, {"data": {"again": first}}]
    assert len(seen) == 2_000


async def test_a_condition_without_a_value_is_told_as_ever():
    query = "query ($rows: [Row], $is: Boolean!) { first(rows: $rows) @include(if: $is) }"
    result = await rig().answer(query, rows=rows(1_000))
    assert "'$is' of required type 'Boolean!' was not provided" in result["errors"][0]["message"]
    assert {on_loop for on_loop, _ in seen} == {False}


async def test_subscriptions_have_them_too():
    server = rig()
    query = "subscription ($rows: [Row]) { event(rows: $rows) { rows } }"
    client = await server.subscribe(query, rows=rows(1_000))
    server.hub.broadcast()
    assert client.results == [{"data": {"event": {"rows": 1_000}}}]
    assert seen == [(False, "none")] * 1_000
    await server.end(client)


async def test_wrong_ones_do_not_subscribe():
    query = "subscription ($rows: [Row]) { event(rows: $rows) { rows } }"
    client = await rig().run(query, rows=[1] * 1_000)
    assert client.cohort is None
    assert "Expected type 'Row' to be a mapping" in str(client.heard)


async def test_who_stops_the_operation_is_not_waited_for():
    # Nothing that is noted: the thread may go on while the next test runs.
    client, rest = rig().begin(QUERY, rows=[{}] * 1_000)
    task = asyncio.ensure_future(rest)
    await tick()
    await cancel(task)
    assert client.heard == []


def test_graphql_core_says_what_else_is_wrong():
    document = parse("query A { first } query B { first }")
    schema = graphene.Schema(query=Query).graphql_schema
    variables = CoercedVariables({}, {})
    [error] = MeteredContext.build(schema, document, None, None, variables)
    assert error.message.startswith("Must provide operation name")


def test_a_copy_may_be_changed():
    variables = CoercedVariables({"a": 1}, {"a": 2})
    changed = copied(variables)
    changed["b"] = 3
    assert variables == {"a": 1}
    assert isinstance(changed, CoercedVariables)
    assert changed.coerced == {"a": 2}

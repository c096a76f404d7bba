"""Arguments and variables are as in graphql-core."""

from __future__ import annotations

from enum import Enum
from typing import Any

import graphene
import pytest
from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
)

from executed_twice import Both


class Size(Enum):
    SMALL = 1
    LARGE = 2


SizeEnum = graphene.Enum.from_enum(Size)


class Point(graphene.InputObjectType):
    x = graphene.Int(required=True)
    y = graphene.Int(default_value=7)


class Query(graphene.ObjectType):
    show = graphene.String(
        number=graphene.Int(),
        text=graphene.String(default_value="default"),
        size=SizeEnum(),
        numbers=graphene.List(graphene.Int),
        point=Point(),
        many_points=graphene.List(Point),
        day=graphene.Date(),
    )
    must = graphene.String(number=graphene.Int(required=True))

    @staticmethod
    def resolve_show(root: Any, info: Any, **arguments: Any) -> str:
        return repr(arguments) + repr(info.variable_values)

    resolve_must = resolve_show


SCHEMA = graphene.Schema(query=Query).graphql_schema


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "(number: 3)",
        "(number: null, text: null)",
        '(text: "t", size: SMALL)',
        "(numbers: [1, 2])",
        "(numbers: 5)",
        "(point: {x: 1}, manyPoints: [{x: 1, y: 2}])",
        '(day: "2026-01-31")',
        "(number: $number, text: $text)",
        "(size: $size, numbers: $numbers)",
        "(numbers: [1, $number])",
        "(point: $point, manyPoints: [$point])",
        "(point: {x: $number})",
        "(day: $day)",
    ],
)
@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"number": 4, "text": "v", "size": "LARGE", "numbers": [1, None], "point": {"x": 2}},
        {"number": None, "text": None, "numbers": 3, "day": "2026-01-31"},
        {"number": "four"},
        {"size": "HUGE", "point": {}, "numbers": ["a"] * 60},
        {"unknown": 1},
    ],
)
def test_every_argument_is_as_in_graphql_core(arguments: str, variables: Any) -> None:
    text = (
        "query ($number: Int, $text: String, $size: Size = SMALL, $numbers: [Int], $point: Point, "
        f"$day: Date) {{ show{arguments} again: show{arguments} }}"
    )
    operation = Both(SCHEMA, text)
    for _ in range(2):
        operation.same(**variables)


@pytest.mark.parametrize("text", ["{ must }", "{ must(number: null) }", '{ must(number: "a") }'])
def test_what_validation_would_not_let_pass_is_as_in_graphql_core(text: str) -> None:
    Both(SCHEMA, text).same()


@pytest.mark.parametrize("variables", [{}, {"number": None}, {"number": 3}])
def test_a_variable_that_has_to_be_is_seen_to(variables: Any) -> None:
    Both(SCHEMA, "query ($number: Int!) { must(number: $number) }").same(**variables)
    Both(SCHEMA, "query ($number: Int) { must(number: $number) }").same(**variables)


def test_a_resolver_that_changes_its_arguments_changes_no_other_call() -> None:
    def resolve(root: Any, info: Any, items: list[int], box: dict[str, Any]) -> str:
        items.append(0)
        box["size"] += 1
        return f"{items} {box}"

    box = GraphQLInputObjectType("Box", {"size": GraphQLInputField(GraphQLInt)})
    arguments = {
        "items": GraphQLArgument(GraphQLList(GraphQLNonNull(GraphQLInt))),
        "box": GraphQLArgument(box, default_value={"size": 1}),
    }
    thing = GraphQLObjectType(
        "Thing", {"change": GraphQLField(GraphQLString, arguments, resolve=resolve)}
    )
    schema = GraphQLSchema(GraphQLObjectType("Query", {"all": GraphQLField(GraphQLList(thing))}))
    text = "query ($box: Box) { all { change(items: [1], box: $box) } }"
    operation = Both(schema, text, lambda: {"all": [{}, {}]})
    for variables in ({}, {"box": {"size": 5}}):
        operation.same(**variables)
    once = "{ all { change(items: [1], box: {size: 3}) } }"
    result = Both(schema, once, lambda: {"all": [{}, {}]}).same()
    assert result["data"]["all"] == [{"change": "[1, 0] {'size': 4}"}] * 2


def test_arguments_are_worked_out_once_where_that_makes_no_difference() -> None:
    parsed: list[Any] = []

    class Noted(graphene.Scalar):
        @staticmethod
        def parse_literal(node: Any, _variables: Any = None) -> Any:
            parsed.append(node.value)
            return node.value

        parse_value = staticmethod(parsed.append)

    class Root(graphene.ObjectType):
        show = graphene.String(noted=Noted(), number=graphene.Int())

        @staticmethod
        def resolve_show(root: Any, info: Any, **arguments: Any) -> str:
            return str(arguments)

    schema = graphene.Schema(query=Root).graphql_schema
    variable = Both(schema, "query ($n: Noted) { show(noted: $n) a: show(noted: $n) }")
    variable.execute(n="v")
    assert parsed == ["v"]
    literal = Both(schema, '{ show(noted: "l") a: show(noted: "l") }')
    literal.execute()
    # Code of the user: it may give something else each time.
    assert parsed == ["v", "l", "l"]


class Reading(graphene.ObjectType):
    """Its fields have arguments, but no resolver of their own."""

    name = graphene.String(info=graphene.String(), attname=graphene.Int(required=True))
    count = graphene.Int(factor=graphene.Int())


@pytest.mark.parametrize(
    "selection",
    ["name", "name(attname: 1)", 'name(info: "i", attname: 1)', "count", "count(factor: 2)"],
)
def test_a_field_that_only_reads_sees_its_arguments_too(selection: str) -> None:
    schema = graphene.Schema(query=Reading).graphql_schema
    Both(schema, f"{{ {selection} }}", lambda: {"name": "n", "count": 1}).same()

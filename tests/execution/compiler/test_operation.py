"""What an operation selects, and what is left to graphql-core."""

from __future__ import annotations

from typing import Any

import graphene
import pytest
from graphql import (
    ExecutionResult,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    parse,
)

from channels_graphql_ws.execution.compiler import graphql_core as core
from channels_graphql_ws.execution.compiler import plans
from channels_graphql_ws.execution.compiler.operation import compile_operation
from channels_graphql_ws.execution.compiler.selections import MAX_DEPTH, MAX_SELECTIONS
from executed_twice import Both, compiled


class Thing(graphene.ObjectType):
    name = graphene.String()
    must = graphene.String(required=True)
    thing = graphene.Field(lambda: Thing)


class Query(Thing):
    pass


class Subscribed(graphene.ObjectType):
    event = graphene.Field(Thing)

    @staticmethod
    def resolve_event(root: Any, info: Any) -> Any:
        return root


SCHEMA = graphene.Schema(query=Query, subscription=Subscribed).graphql_schema


def root() -> Any:
    return {"name": "n", "must": "m", "thing": {"name": "o", "must": "p", "thing": {}}}


CONDITIONS = [
    "name @skip(if: $a)",
    "name @include(if: $a)",
    "name @skip(if: $a) @include(if: $b)",
    "name @include(if: true) @skip(if: false)",
    "name @include(if: false)",
    "... @include(if: $a) { name must }",
    "... on Query @skip(if: $a) { name }",
    "...more @skip(if: $a) ...more @include(if: $b) must",
    "thing @include(if: $a) { name } thing { must @skip(if: $b) }",
    "name @unknown(if: $a)",
]


@pytest.mark.parametrize("selection", CONDITIONS)
@pytest.mark.parametrize(
    "variables",
    [
        {"a": True, "b": True},
        {"a": True, "b": False},
        {"a": False, "b": True},
        {"a": False, "b": False},
        {"a": True},
        {"b": False},
        {},
        {"a": None},
        {"a": "text"},
    ],
)
def test_what_is_selected_is_as_in_graphql_core(selection: str, variables: Any) -> None:
    text = (
        f"query ($a: Boolean! = false, $b: Boolean) {{ must {selection} }} "
        "fragment more on Query { name thing { must } }"
    )
    operation = Both(SCHEMA, text, root)
    for _ in range(2):
        operation.same(**variables)


def test_the_first_of_two_directives_of_one_name_counts() -> None:
    Both(SCHEMA, "{ must name @skip(if: true) @skip(if: false) }", root).same()


@pytest.mark.parametrize(
    "text",
    [
        "query ($a: String) { name @skip(if: $a) }",
        "query ($a: [Boolean]) { name @skip(if: $a) }",
        "{ name @skip(if: $a) }",
        "{ name @skip }",
        "{ name @include(if: 5) }",
        "query ($a: Boolean) { name @skip(if: $a, and: $a) }",
        "query ({}) {{ {} }}".format(
            " ".join(f"$v{number}: Boolean!" for number in range(5)),
            " ".join(f"a{number}: name @skip(if: $v{number})" for number in range(5)),
        ),
        "{ __future { name } }",
        "{ ...unknown }",
        "{ ...circle } fragment circle on Query { name ...circle }",
        "mutation { name }",
        "{ " + "thing { " * MAX_DEPTH + "name" + " }" * MAX_DEPTH + " }",
        "{ " + "... { " * MAX_DEPTH + "name" + " }" * MAX_DEPTH + " }",
        "{ " + " ".join(f"a{number}: name" for number in range(MAX_SELECTIONS + 1)) + " }",
    ],
)
def test_what_is_not_known_is_left_to_graphql_core(text: str) -> None:
    assert compiled(SCHEMA, text) is None


def test_a_deep_fragment_that_is_spread_deeply_is_left_to_graphql_core() -> None:
    half = MAX_DEPTH // 2
    deep = "thing { " * half + "name" + " }" * half
    shallow = f"{{ ...f }} fragment f on Query {{ {deep} }}"
    assert compiled(SCHEMA, shallow) is not None
    nested = "thing { " * half + "...f" + " }" * half
    both = f"{{ ...f {nested} }} fragment f on Thing {{ {deep} }}"
    assert compiled(SCHEMA, both) is None


def test_the_deepest_selection_is_executed_as_in_graphql_core() -> None:
    depth = MAX_DEPTH - 1
    value: dict[str, Any] = {"name": "deep"}
    for _ in range(depth):
        value = {"thing": value}
    Both(SCHEMA, "{ " + "thing { " * depth + "name" + " }" * depth + " }", lambda: value).same()


def test_an_invalid_schema_is_left_to_graphql_core() -> None:
    schema = GraphQLSchema(GraphQLObjectType("Query", {}))
    assert compiled(schema, "{ name }") is None


def test_an_unknown_graphql_core_is_left_to_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core, "_INFO", (*core._INFO, "news"))
    assert compiled(SCHEMA, "{ name }") is None


def test_one_of_several_operations_is_compiled() -> None:
    document = parse("query A { name } query B { must }")
    b = document.definitions[1]
    assert isinstance(b, OperationDefinitionNode)
    operation = compile_operation(SCHEMA, document, b)
    assert operation is not None
    result: Any = operation.execute(root_value=root(), context_value=None, variable_values={})
    assert result.data == {"must": "m"}


def test_a_subscription_is_executed_for_an_event() -> None:
    Both(SCHEMA, "subscription { event { name must } }", root).same()


def test_a_named_operation_is_handed_over_by_its_name() -> None:
    document = parse("query A { must } query B($a: Boolean) { name @skip(if: $a) }")
    b: Any = document.definitions[1]
    operation = compile_operation(SCHEMA, document, b)
    assert operation is not None
    result: Any = operation.execute(root_value=root(), context_value=None, variable_values={})
    assert "must not be null" in str(result.errors) or "not provided" in str(result.errors)


def growing(levels: int) -> str:
    """Give a short document whose selections are many: each level doubles them."""
    fragments = [
        f"fragment f{level} on Thing {{ a: thing {{ ...f{level + 1} ...g{level + 1} }} "
        f"b: thing {{ ...f{level + 1} }} }} "
        f"fragment g{level} on Thing {{ a: thing {{ ...g{level + 1} }} }}"
        for level in range(levels)
    ]
    leaves = f"fragment f{levels} on Thing {{ name }} fragment g{levels} on Thing {{ must }}"
    return "{ thing { ...f0 ...g0 } } " + " ".join(fragments) + leaves


def endless() -> Any:
    class Endless:
        must = "m"
        name = "n"

        @property
        def thing(self) -> Any:
            return self

    return {"thing": Endless()}


@pytest.mark.parametrize(
    ("text", "room"), [(growing(5), 10), ("{ thing { thing { thing { name } } } }", 2)]
)
def test_an_operation_that_grows_too_large_is_not_kept(
    monkeypatch: pytest.MonkeyPatch, text: str, room: int
) -> None:
    monkeypatch.setattr(plans, "FIELDS_AT_LEAST", room)
    monkeypatch.setattr(plans, "CHARACTERS_FOR_A_FIELD", 1_000_000)
    operation = Both(SCHEMA, text, endless)
    operation.same()
    [plan] = operation.operation._plans.values()
    assert plan.plans.is_full
    assert len(plan.plans._selections) <= room
    # From now on graphql-core executes it.
    operation.same()
    assert operation.operation.bind(context_value=None, variable_values={}) is None


def test_fragments_that_are_spread_again_are_compiled_once() -> None:
    operation = Both(SCHEMA, growing(8), endless)
    operation.same()
    [plan] = operation.operation._plans.values()
    assert not plan.plans.is_full


def test_all_conditions_share_the_room_of_an_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "FIELDS_AT_LEAST", 3)
    monkeypatch.setattr(plans, "CHARACTERS_FOR_A_FIELD", 1_000_000)
    text = "query ($a: Boolean!) { one: __typename two: __typename @skip(if: $a) }"
    document = parse(text)
    [node] = document.definitions
    assert isinstance(node, OperationDefinitionNode)
    operation = compile_operation(SCHEMA, document, node)
    assert operation is not None
    for choice in (False, True):
        operation.execute(root_value=None, context_value=None, variable_values={"a": choice})
    assert not operation._room.is_full
    operation._room.take(1)
    assert operation.bind(context_value=None, variable_values={"a": False}) is None


def test_a_document_that_was_not_written_has_room_for_some_fields() -> None:
    document = parse("{ __typename }", no_location=True)
    [node] = document.definitions
    assert isinstance(node, OperationDefinitionNode)
    operation = compile_operation(SCHEMA, document, node)
    assert operation is not None
    result = operation.execute(root_value=None, context_value=None, variable_values={})
    assert isinstance(result, ExecutionResult)
    assert result.data == {"__typename": "Query"}


def test_errors_are_in_the_order_of_graphql_core() -> None:
    def make() -> Any:
        return {"name": [], "must": "m", "thing": {"name": {}, "must": None}}

    Both(SCHEMA, "{ thing { must name } name a: name must }", make).same()
    Both(SCHEMA, "{ must name thing { name must } b: thing { must } }", make).same()
    Both(SCHEMA, "{ thing { name } must }", lambda: {"must": None, "thing": {"name": []}}).same()


def test_a_variable_that_is_wrong_is_an_error_of_the_request() -> None:
    result = Both(SCHEMA, "query ($a: Boolean!) { name @skip(if: $a) }", root).same(a=5)
    assert result["data"] is None

"""Variables are what graphql-core makes of them, and so is what is said against them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from graphql import GraphQLInt, GraphQLSchema, OperationDefinitionNode, build_schema, parse
from graphql.execution import get_variable_values
from hypothesis import given
from hypothesis import strategies as st

from channels_graphql_ws.execution.compiler import variables as module
from channels_graphql_ws.execution.compiler.variables import Variables

SDL = """
    enum Color { RED GREEN }
    input Box { size: Int!, name: String = "box" }
    scalar Anything
    type Query {
        field(id: ID, f: Float, s: String, b: Boolean, box: Box, c: Color, any: Anything): Int
    }
"""
SCHEMA = build_schema(SDL)

SCALARS = ("Boolean", "Float", "ID", "Int", "String")
TYPES = [
    shape.format(name)
    for name in (*SCALARS, "Anything", "Box", "Color", "Query", "Unknown")
    for shape in ("{}", "{}!", "[{}]", "[{}!]!")
]
LITERALS = ("null", "1", "1.5", "9999999999", '"a"', "true", "RED")
DEFAULTS = ("", *(f" = {literal}" for literal in LITERALS))

DEFINITIONS = st.lists(
    st.tuples(st.sampled_from(TYPES), st.sampled_from(DEFAULTS)), min_size=1, max_size=4
)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers(-(2**33), 2**33)
    | st.sampled_from([2**31 - 1, 2**31, -(2**31), -(2**31) - 1, 2**70])
    | st.floats()
    | st.sampled_from(["", "RED", "1", "text"])
)
VALUES = PLAIN | st.lists(PLAIN, max_size=2) | st.dictionaries(st.just("size"), PLAIN)
INPUTS = st.dictionaries(st.sampled_from(["v0", "v1", "v2", "v3", "other"]), VALUES)


class Text(str):
    """Text that may do more than text does."""

    __slots__ = ()


def operation(definitions: str) -> OperationDefinitionNode:
    """Parse an operation with these variables."""
    [node] = parse(f"query ({definitions}) {{ field }}").definitions
    assert isinstance(node, OperationDefinitionNode)
    return node


def both(
    definitions: str, inputs: dict[str, Any], schema: GraphQLSchema = SCHEMA
) -> tuple[Any, Any]:
    """Give what we make of variables, and what graphql-core does."""
    nodes = operation(definitions).variable_definitions
    ours = Variables(schema, nodes).coerced(inputs)
    return ours, get_variable_values(schema, nodes, copy.deepcopy(inputs), max_errors=50)


def described(coerced: Any) -> str:
    """Write values, or errors, so that types and the order can be seen."""
    if isinstance(coerced, list):
        return repr([(error.message, error.locations) for error in coerced])
    return repr([(name, type(value), value) for name, value in coerced.items()])


def same(definitions: str, inputs: dict[str, Any], schema: GraphQLSchema = SCHEMA) -> Any:
    """See that both say the same; give it."""
    ours, theirs = both(definitions, inputs, schema)
    assert described(ours) == described(theirs)
    return ours


@given(DEFINITIONS, INPUTS)
def test_variables_are_as_in_graphql_core(
    definitions: list[tuple[str, str]], inputs: dict[str, Any]
) -> None:
    listed = [
        f"$v{number}: {type_}{default}" for number, (type_, default) in enumerate(definitions)
    ]
    same(", ".join(listed), inputs)


@pytest.mark.parametrize(
    ("type_", "value"),
    [("Boolean", True), ("Float", 1.5), ("ID", "5"), ("Int", 2**31 - 1), ("String!", "a")],
)
def test_a_value_of_the_right_type_is_taken_as_it_is(
    type_: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "get_variable_values", None)
    variables = Variables(SCHEMA, operation(f"$v: {type_}").variable_definitions)
    assert variables.coerced({"v": value, "other": 1}) == {"v": value}


@pytest.mark.parametrize(
    ("definition", "value"),
    [
        ("$v: Int", 2**31),
        ("$v: Int", 1.0),
        ("$v: Int", True),
        ("$v: Float", 1),
        ("$v: Float", float("inf")),
        ("$v: ID", 5),
        ("$v: String", 5),
        ("$v: String", Text("text")),
        ("$v: String!", None),
        ("$v: [Int]", 5),
        ("$v: Color", "RED"),
    ],
)
def test_any_other_value_is_left_to_graphql_core(definition: str, value: Any) -> None:
    same(definition, {"v": value})


def test_one_wrong_value_does_not_hide_another() -> None:
    errors = same("$a: Int, $b: String, $c: Int!", {"a": "x", "b": 1})
    assert len(errors) == 3


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("$v: Int", {}),
        ("$v: Int = 5", {"v": 5}),
        ("$v: Float! = 5", {"v": 5.0}),
        ("$v: ID = 5", {"v": "5"}),
        ("$v: Int = null", {"v": None}),
    ],
)
def test_a_variable_that_is_not_there_is_its_default(
    definition: str, expected: dict[str, Any]
) -> None:
    assert same(definition, {}) == expected


def test_a_null_takes_the_place_of_a_default() -> None:
    assert same("$v: Int = 5", {"v": None}) == {"v": None}


def test_a_default_of_a_wrong_type_is_left_to_graphql_core() -> None:
    same('$v: Int = "five"', {})


def test_a_scalar_whose_functions_were_replaced_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GraphQLInt, "parse_value", lambda value: value + 1)
    assert same("$v: Int", {"v": 5}) == {"v": 6}


def test_a_scalar_of_the_users_own_is_asked() -> None:
    schema = build_schema("scalar Anything type Query { field: Int }")
    parsed: Any = schema.type_map["Anything"]
    parsed.parse_value = lambda value: [value]
    assert same("$v: Anything", {"v": "a"}, schema) == {"v": ["a"]}


def test_values_do_not_change_what_the_client_has_sent() -> None:
    inputs = {"v": "text"}
    values = Variables(SCHEMA, operation("$v: String").variable_definitions).coerced(inputs)
    assert isinstance(values, dict)
    values["v"] = "changed"
    assert inputs == {"v": "text"}

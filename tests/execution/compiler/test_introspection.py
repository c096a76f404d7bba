"""Introspection: compiled like everything else, and its answers kept for all who ask the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from graphql import (
    GraphQLSchema,
    IntrospectionQuery,
    build_client_schema,
    build_schema,
    get_introspection_query,
    print_schema,
)

from channels_graphql_ws.execution.compiler import introspection
from channels_graphql_ws.execution.compiler.introspection import KnownResult, answers_of
from channels_graphql_ws.execution.documents import compiled, load
from channels_graphql_ws.execution.encoding import encode_result
from channels_graphql_ws.execution.errors import format_error
from channels_graphql_ws.execution.middleware import managed
from channels_graphql_ws.execution.rules import Rules

ALL = get_introspection_query()
FEW = Rules(max_fields_executed=20)


def large_schema() -> GraphQLSchema:
    text = (
        "type Query { first: T0 } enum Color { RED GREEN } input Filter { a: Int = 1 b: [Color!] }"
    )
    for number in range(100):
        text += (
            f" type T{number} {{ next(filter: Filter, b: Color): [T{number}!]! a: Int b: ID! }}"
        )
    return build_schema(text)


def ask(schema: GraphQLSchema, text: str, rules: Rules = FEW, **variables: Any) -> Any:
    """Return the result and its text, as clients get it."""
    document = load(schema, text, rules)
    assert document.errors == ()
    operation = compiled(schema, document, document.operation(None), None)
    assert operation is not None
    result: Any = operation.execute(root_value=None, context_value=None, variable_values=variables)
    return result, encode_result(result, format_error, rules.max_result_size)


def test_the_schema_is_told_however_large_it_is():
    schema = large_schema()
    _, text = ask(schema, ALL)
    data: IntrospectionQuery = json.loads(text)["data"]
    assert print_schema(build_client_schema(data)) == print_schema(schema)


def test_there_are_limits_to_what_can_be_known():
    repeated = " ".join(f"a{number}: name" for number in range(490))
    query = f"{{ __schema {{ types {{ fields {{ {repeated} }} }} }} }}"
    result, _ = ask(large_schema(), query)
    assert "max_fields_executed" in result.errors[0].message
    ask(large_schema(), query, Rules())


def test_what_asks_for_more_than_the_schema_has_its_ordinary_budget():
    schema = large_schema()
    result, _ = ask(schema, "{ first { a } __schema { types { name } } }")
    assert "more than 20 fields" in result.errors[0].message


def test_an_answer_is_kept_as_text():
    schema = large_schema()
    first, text = ask(schema, ALL)
    assert not isinstance(first, KnownResult)
    document = load(schema, ALL)
    operation: Any = compiled(schema, document, document.operation(None), None)
    for is_known in (False, True, True):
        result = operation.execute(root_value=None, context_value=None, variable_values={})
        assert isinstance(result, KnownResult) is is_known
        assert encode_result(result, format_error) == text


def test_answers_differ_by_variables_and_conditions():
    schema = large_schema()
    fields = "name kind @include(if: $kind)"
    query = f"query ($name: String!, $kind: Boolean!) {{ __type(name: $name) {{ {fields} }} }}"
    document = load(schema, query)
    operation: Any = compiled(schema, document, document.operation(None), None)
    for _ in range(2):
        texts = [
            encode_result(
                operation.execute(
                    root_value=None,
                    context_value=None,
                    variable_values={"name": name, "kind": kind},
                ),
                format_error,
            )
            for name in ("T1", "T2")
            for kind in (True, False)
        ]
        assert [json.loads(text)["data"]["__type"] for text in texts] == [
            {"name": "T1", "kind": "OBJECT"},
            {"name": "T1"},
            {"name": "T2", "kind": "OBJECT"},
            {"name": "T2"},
        ]
    assert len(answers_of(schema)) == 4


@pytest.mark.parametrize(
    "query",
    [
        "{ __typename }",
        "{ first { a } __schema { types { name } } }",
        'query ($a: [Int]) { __type(name: "Query") @mark(a: $a) { name } }',
    ],
)
def test_no_other_answer_is_kept(query):
    schema = build_schema(
        "directive @mark(a: [Int]) on FIELD type Query { first: A } type A { a: Int }"
    )
    ask(schema, query, Rules(), a=[1])
    assert len(answers_of(schema)) == 0


def test_no_answer_is_kept_by_a_long_text_of_a_client():
    schema = large_schema()
    query = "query ($name: String!) { __type(name: $name) { name } }"
    for length, kept in ((introspection.LONGEST_VALUE + 1, 0), (introspection.LONGEST_VALUE, 1)):
        _, text = ask(schema, query, Rules(), name="a" * length)
        assert json.loads(text) == {"data": {"__type": None}}
        assert len(answers_of(schema)) == kept


def test_an_answer_with_an_error_is_not_kept():
    schema = large_schema()
    result, _ = ask(schema, "{ __schema { types { name } } }", Rules(max_result_size=100))
    assert result.errors is None
    assert len(answers_of(schema)) == 0


def test_middleware_has_its_say_each_time():
    schema = large_schema()
    calls: list[str] = []

    def count(next, root, info, **arguments):
        calls.append(info.field_name)
        return next(root, info, **arguments)

    middleware = managed([count])
    document = load(schema, "{ __schema { queryType { name } } }")
    operation: Any = compiled(schema, document, document.operation(None), middleware)
    for _ in range(2):
        result = operation.execute(root_value=None, context_value=None, variable_values={})
        encode_result(result, format_error)
    assert calls == ["__schema", "queryType", "name"] * 2


def test_few_answers_are_kept_and_none_that_is_too_long(monkeypatch: pytest.MonkeyPatch):
    schema = large_schema()
    for number in range(20):
        ask(schema, f"query Q{number} {{ __schema {{ queryType {{ name }} }} }}")
    assert len(answers_of(schema)) == introspection.MOST_ANSWERS
    monkeypatch.setattr(introspection, "MOST_CHARACTERS", 100)
    ask(schema, ALL)
    assert len(answers_of(schema)) == introspection.MOST_ANSWERS
    ask(schema, "{ __schema { queryType { name } } }")
    assert len(answers_of(schema)) == 1

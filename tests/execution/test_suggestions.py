"""How many errors of a document say "Did you mean …"."""

from __future__ import annotations

import pytest
from graphql import build_schema

from channels_graphql_ws.execution.documents import load
from channels_graphql_ws.execution.rules import Rules
from channels_graphql_ws.execution.suggestions import MOST_NAMES, MOST_TYPES

RULES = Rules(max_field_comparisons=250_000)


def schema_of(types: int = 0, fields: int = 0, values: int = 0) -> str:
    return (
        "type Query { name(kind: Kind): String "
        + " ".join(f"field{number}: Int" for number in range(fields))
        + "} enum Kind { FIRST "
        + " ".join(f"KIND_{number}" for number in range(values))
        + "} "
        + " ".join(f"type Type{number} {{ name: Int }}" for number in range(types))
    )


def suggesting(text: str, schema: str) -> list[bool]:
    """Return for each error of a document whether it suggests a name."""
    errors = load(build_schema(schema), text, RULES).errors
    return ["Did you mean" in error.message for error in errors]


FIELDS = "{" + " ".join(f"namex{number}: nam" for number in range(90)) + "}"
TYPES = "{" + " ".join(f"... on Quer {{ a{number}: name }}" for number in range(90)) + "}"
VALUES = "{" + " ".join(f"a{number}: name(kind: FIRS)" for number in range(90)) + "}"
ARGUMENTS = "{" + " ".join(f"a{number}: name(kin: FIRST)" for number in range(90)) + "}"


@pytest.mark.parametrize("text", [FIELDS, TYPES, VALUES, ARGUMENTS])
def test_the_first_errors_of_a_small_schema_suggest_names(text):
    found = suggesting(text, schema_of())
    few = sum(found)
    assert found == [True] * few + [False] * (90 - few)
    types = len(build_schema(schema_of()).type_map)
    assert few == MOST_NAMES // types + 1


@pytest.mark.parametrize(
    ("text", "schema"),
    [
        (TYPES, schema_of(types=MOST_NAMES)),
        (FIELDS, schema_of(fields=MOST_NAMES)),
        (VALUES, schema_of(values=MOST_NAMES)),
    ],
    ids=["types", "fields", "values"],
)
def test_one_error_suggests_names_where_there_are_many_to_look_through(text, schema):
    assert suggesting(text, schema) == [True] + [False] * 89


@pytest.mark.parametrize("text", ["{ nam }", "{ ... on Quer { name } }"])
def test_no_error_does_where_there_are_too_many_types(text):
    assert suggesting(text, schema_of(types=MOST_TYPES // 2)) == [True]
    assert suggesting(text, schema_of(types=MOST_TYPES)) == [False]


def test_the_words_are_those_of_graphql_core_otherwise():
    document = load(build_schema(schema_of()), "{ nam }", RULES)
    assert [error.message for error in document.errors] == [
        "Cannot query field 'nam' on type 'Query'. Did you mean 'name'?"
    ]

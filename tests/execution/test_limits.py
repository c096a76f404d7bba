"""Static limits: what an operation selects, however it is spelled."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from graphql import GraphQLError, build_schema, get_introspection_query, parse, validate
from hypothesis import given
from hypothesis import strategies as st

from channels_graphql_ws.execution.documents import load
from channels_graphql_ws.execution.limits import LIMIT_EXCEEDED, Counter
from channels_graphql_ws.execution.rules import Rules

SCHEMA = build_schema("""
    directive @mark repeatable on
        QUERY | FIELD | FRAGMENT_DEFINITION | FRAGMENT_SPREAD | INLINE_FRAGMENT
        | VARIABLE_DEFINITION
    type Query { thing: Query fields(first: Int): [Query] name: String ok: Boolean }
""")

GOOD_FAITH = Rules(good_faith_introspection=True)


def problems(text: str, rules: Rules) -> list[GraphQLError]:
    return list(load(SCHEMA, text, rules).errors)


# An operation, and what it has: depth, aliases, root fields, directives.
COUNTED = [
    ("{ name }", 0, 0, 1, 0),
    ("{ a: name name: name ok }", 0, 2, 3, 0),
    ("{ thing { thing { name } } }", 2, 0, 1, 0),
    ("{ ... { ... on Query { a: name } } ok }", 0, 1, 2, 0),
    ("query @mark @mark { name @mark ... @mark { ok @skip(if: false) } }", 0, 0, 2, 5),
    ("query ($a: Int @mark) { fields(first: $a) { name } }", 1, 0, 1, 1),
    ("{ ...F } fragment F on Query @mark { a: name b: name @mark }", 0, 2, 2, 2),
    ("{ ...F @mark thing { ...F } } fragment F on Query { a: name @mark }", 1, 2, 2, 3),
    ("{ ...F ...F } fragment F on Query { a: name }", 0, 2, 2, 0),
    ("{ ...F } fragment F on Query { a: thing { ...G ...G } } fragment G on Query { b: ok }",
     1, 3, 1, 0),
    ("{ __typename }", 0, 0, 1, 0),
    ("{ __schema { types { fields { name } } } }", 0, 0, 1, 0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "depth", "aliases", "root_fields", "directives"), COUNTED)
def test_what_an_operation_has_is_counted(text, depth, aliases, root_fields, directives):
    found = {
        "max_depth": depth,
        "max_aliases": aliases,
        "max_root_fields": root_fields,
        "max_directives": directives,
    }
    assert problems(text, Rules(**found)) == []
    for option, figure in found.items():
        [error] = problems(text, Rules(**{option: figure - 1}))
        assert str(figure - 1) in error.message
        assert f"It has {figure} (`{option}`)." in error.message
        expected = {"code": LIMIT_EXCEEDED, "limit": option, "allowed": figure - 1}
        assert error.extensions == expected


def test_a_limit_that_is_none_is_not_a_limit():
    text = "{" + " ".join(f"a{number}: name @mark" for number in range(2_000)) + "}"
    assert problems(text, Rules()) == []


def test_each_operation_of_a_document_is_counted_for_itself():
    text = "query A { a: name } query B { a: name b: name }"
    [error] = problems(text, Rules(max_aliases=1))
    assert error.message.startswith("Operation 'B' exceeds")


def test_all_that_is_too_much_is_told_at_once():
    errors = problems("{ a: name b: name }", Rules(max_aliases=1, max_root_fields=1))
    assert len(errors) == 2


def test_fragments_that_spread_the_next_one_twice_count_without_being_walked():
    """With a count for each spread, a walk over them would take 2^150 steps."""
    text = "{ ...F0 }" + "".join(
        f"fragment F{number} on Query {{ ...F{number + 1} ...F{number + 1} }}"
        for number in range(150)
    )
    text += "fragment F150 on Query { a: name }"
    [error] = problems(text, Rules(max_aliases=1_000))
    assert "or more" in error.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{ ...F }", "Unknown fragment 'F'."),
        (
            "{ ...F } fragment F on Query { name ...F }",
            "Cannot spread fragment 'F' within itself.",
        ),
        ("{ __schema }", "must have a selection of subfields"),
    ],
)
def test_what_makes_no_sense_is_told_by_validation(text, message):
    limits = Rules(
        max_depth=9,
        max_aliases=9,
        max_root_fields=9,
        max_directives=9,
        max_introspection_depth=9,
        good_faith_introspection=True,
    )
    [error] = problems(text, limits)
    assert message in error.message


def test_fragments_nested_too_deeply_are_an_error():
    text = "{ ...F0 }" + "".join(
        f"fragment F{number} on Query {{ thing {{ ...F{number + 1} }} }}"
        for number in range(2_000)
    )
    text += "fragment F2000 on Query { name }"
    [error] = problems(text, Rules(max_depth=50))
    assert "nested too deeply" in error.message


def test_what_is_too_much_is_not_validated():
    [error] = problems("{ a: unknown b: wrong }", Rules(max_aliases=1))
    assert "max_aliases" in error.message


def test_tokens_are_counted_and_comments_with_them():
    assert problems("{ name }", Rules(max_tokens=3)) == []
    for text in ("{ name ok }", "{ name } # no more"):
        [error] = problems(text, Rules(max_tokens=3))
        assert error.message == "Document contains more than 3 tokens (`max_tokens`)."
        assert error.extensions == {"code": LIMIT_EXCEEDED, "limit": "max_tokens", "allowed": 3}


def test_a_syntax_error_stays_one_where_tokens_are_limited():
    [error] = problems("{ name", Rules(max_tokens=100))
    assert error.message.startswith("Syntax Error")


def selections(*spreads: str) -> st.SearchStrategy[str]:
    """Generate what stands between braces, with these spreads among it."""
    leaf = st.sampled_from(["name", "a: name", "b: ok @mark", "__typename", *spreads])
    opening = st.sampled_from(["thing {", "c: thing {", "... {", "... on Query @mark {"])
    nested = st.recursive(
        leaf,
        lambda inner: st.builds(
            lambda start, parts: f"{start} {' '.join(parts)} }}",
            opening,
            st.lists(inner, min_size=1, max_size=3),
        ),
        max_leaves=6,
    )
    return st.lists(nested, min_size=1, max_size=4).map(" ".join)


def expanded(node: Any, fragments: dict[str, Any]) -> tuple[int, int, int, int]:
    """Count depth, aliases, root fields and directives by walking into every spread."""
    depth = aliases = width = 0
    directives = len(node.directives)
    for each in node.selection_set.selections:
        is_field = each.kind == "field"
        width += is_field
        aliases += is_field and each.alias is not None
        if is_field and each.selection_set is None:
            directives += len(each.directives)
            continue
        is_spread = each.kind == "fragment_spread"
        below = expanded(fragments[each.name.value] if is_spread else each, fragments)
        depth = max(depth, below[0] + is_field)
        aliases += below[1]
        width += 0 if is_field else below[2]
        directives += below[3] + (len(each.directives) if is_spread else 0)
    return depth, aliases, width, directives


@given(
    selections("...A", "...B @mark", "...C"), selections("...B", "...C"), selections("...C"),
    selections(),
)  # fmt: skip
def test_counts_are_those_of_the_operation_with_its_fragments_written_out(root, a, b, c):
    document = parse(
        f"{{ {root} }} fragment A on Query {{ {a} }} fragment B on Query @mark {{ {b} }} "
        f"fragment C on Query {{ {c} }}"
    )
    definitions: Any = document.definitions
    counts = Counter(document).of(definitions[0])
    found = counts.depth, counts.aliases, counts.width, counts.directives
    assert found == expanded(definitions[0], {each.name.value: each for each in definitions[1:]})


OPTIONS = [
    name
    for name, parameter in inspect.signature(get_introspection_query).parameters.items()
    if isinstance(parameter.default, bool)
]


@pytest.mark.parametrize("value", [False, True])
def test_the_introspection_of_tools_is_in_good_faith(value):
    text = get_introspection_query(**dict.fromkeys(OPTIONS, value))
    rules = Rules(good_faith_introspection=True, max_introspection_depth=20, max_depth=0)
    assert problems(text, rules) == []


@pytest.mark.parametrize(
    "text",
    [
        "{ __schema { queryType { fields { name } } mutationType { fields { name } } } }",
        '{ __type(name: "Query") { name fields { name type { name ofType { name } } } } }',
        '{ name __schema { types { name } } __type(name: "Query") { kind } }',
        """
        { __schema { types { ...A ...B } } }
        fragment A on __Type { fields { name } }
        fragment B on __Type { fields { args { name } } }
        """,
        "{ a: fields { name } b: fields { fields { fields { name } } } }",
        "{ __schema { types { possibleTypes { name } interfaces { possibleTypes { name } } } } }",
        "{ __typename thing { __typename } }",
    ],
)
def test_so_is_that_of_people(text):
    assert problems(text, GOOD_FAITH) == []


def repeated(inner: str, times: int) -> str:
    return " ".join(f"a{number}: {inner}" for number in range(times))


def filled(text: str, inner: str) -> str:
    return text.replace("…", inner)


SCHEMAS = repeated("__schema { types { name } }", 2)
TYPES = repeated('__type(name: "Query") { name }', 3)

BAD_FAITH = {
    "aliases of __schema": (filled("{ … }", SCHEMAS), "'__schema' 2"),
    "aliases of __type": (filled("{ … }", TYPES), "'__type' 3"),
    "aliases in a fragment": (
        filled("{ ...F } fragment F on Query { … }", SCHEMAS),
        "'__schema' 2",
    ),
    "__schema on two levels": (
        "{ __schema { types { name } } thing { __schema { types { name } } } }",
        "'__schema' 2",
    ),
    "a fragment on two levels": (
        "{ ...F thing { ...F } } fragment F on Query { __schema { types { name } } }",
        "'__schema' 2",
    ),
    "a list in itself": (
        "{ __schema { types { fields { type { fields { name } } } } } }",
        "'fields'",
    ),
    "a list in itself, through fragments": (
        """
        { __schema { types { ...F } } }
        fragment F on __Type { fields { type { ...G } } }
        fragment G on __Type { ofType { ... { fields { name } } } }
        """,
        "'fields'",
    ),
    "aliases of a list": (
        filled("{ __schema { types { … } } }", repeated("fields { name }", 2)),
        "'fields'",
    ),
    "a list under two names in two fragments": (
        """
        { __schema { types { ...F ...G } } }
        fragment F on __Type { enumValues { name } }
        fragment G on __Type { b: enumValues { name } }
        """,
        "'enumValues'",
    ),
    "aliases of the outermost list": (
        filled("{ __schema { … } }", repeated("types { name }", 2)),
        "'types'",
    ),
    "possible types of possible types": (
        "{ __schema { types { possibleTypes { possibleTypes { name } } } } }",
        "'possibleTypes'",
    ),
    "aliases of a name": (
        filled("{ __schema { types { … } } }", repeated("name", 500)),
        "501 fields, and 500 will do",
    ),
    "fields in fragments": (
        filled(
            """
            { __schema { types { ofType { ...F } ...F } } }
            fragment F on __Type { … }
            """,
            repeated("name", 300),
        ),
        "602 fields",
    ),
}


@pytest.mark.parametrize("case", BAD_FAITH)
def test_introspection_in_bad_faith_is_refused(case):
    text, message = BAD_FAITH[case]
    assert problems(text, Rules()) == []
    [error] = problems(text, GOOD_FAITH)
    assert "does not introspect in good faith" in error.message
    assert message in error.message
    assert "(`good_faith_introspection`)" in error.message


def test_the_depth_of_introspection_is_counted_for_itself():
    text = "{ __schema { types { ofType { ofType { name } } } } }"
    assert problems(text, Rules(max_introspection_depth=4)) == []
    [error] = problems(text, Rules(max_introspection_depth=3))
    assert "introspection depth of 3. It has 4 (`max_introspection_depth`)" in error.message


def test_introspection_can_be_refused_and_type_names_never_are():
    rules = Rules(introspection=False)
    assert problems("{ __typename thing { __typename } }", rules) == []
    text = (
        '{ __schema { types { name } } ...F } fragment F on Query { __type(name: "A") { name } }'
    )
    assert [error.message for error in problems(text, rules)] == [
        "Cannot query '__schema': introspection is disabled.",
        "Cannot query '__type': introspection is disabled.",
    ]


@pytest.mark.parametrize(
    "text",
    ["{ nam }", "{ fields(frist: 1) { ok } }", "{ ... on Qery { ok } }"],
)
def test_nothing_is_suggested_where_introspection_is_refused(text):
    [open_to_all] = problems(text, Rules())
    assert "Did you mean" in open_to_all.message
    [closed] = problems(text, Rules(introspection=False))
    assert "Did you mean" not in closed.message
    assert closed.message in open_to_all.message


def test_the_rules_may_be_asked_as_any_other_rule():
    document = parse("{ a: name __schema { types { name } } }")
    rules = Rules(max_aliases=0, introspection=False).all()
    messages = [error.message for error in validate(SCHEMA, document, rules)]
    assert [message.split(" (")[0] for message in messages] == [
        "Operation 'anonymous' exceeds the maximum number of 0 aliases. It has 1",
        "Cannot query '__schema': introspection is disabled.",
    ]


def test_type_definitions_in_a_document_are_passed_over():
    [error] = problems("type A { a: Int } { name }", Rules(introspection=False, max_depth=1))
    assert "not executable" in error.message

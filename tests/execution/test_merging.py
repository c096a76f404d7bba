"""The limit of what comparing the fields of a document may take."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from graphql import (
    GraphQLError,
    OverlappingFieldsCanBeMergedRule,
    build_schema,
    get_introspection_query,
    parse,
    specified_rules,
    validate,
)
from graphql.validation.rules import overlapping_fields_can_be_merged as core
from hypothesis import given
from hypothesis import strategies as st

from channels_graphql_ws.execution import merging as merging_module
from channels_graphql_ws.execution.documents import load
from channels_graphql_ws.execution.limits import LIMIT_EXCEEDED
from channels_graphql_ws.execution.merging import LimitedMerging, merging
from channels_graphql_ws.execution.rules import Rules
from channels_graphql_ws.operations.options import OperationOptions

FIELDS = 400

SCHEMA = build_schema(f"""
    type Query {{
        thing: Query things(first: Int): [Query] any: Any name: String ok: Boolean
        text(length: Int, list: [Int]): String
        {" ".join(f"field{number}: String" for number in range(FIELDS))}
    }}
    type Other {{ thing: Other name: Int ok: Boolean text(length: Int): String }}
    union Any = Query | Other
""")

ALLOWED = OperationOptions.max_field_comparisons
assert ALLOWED is not None

DEFAULT = Rules(
    **{
        name: getattr(OperationOptions, name)
        for name in (
            "good_faith_introspection",
            "max_aliases",
            "max_depth",
            "max_directives",
            "max_field_comparisons",
            "max_introspection_depth",
            "max_root_fields",
            "max_tokens",
        )
    }
)

# The same forty levels a hundred times: 31 KB, and two hundred thousand comparisons.
HOSTILE = "{ thing {" + ("thing{" * 40 + "name" + "}" * 40 + " ") * 110 + "} }"


def problems(text: str, rules: Rules = DEFAULT) -> list[GraphQLError]:
    return list(load(SCHEMA, text, rules).errors)


def twenty(number: int) -> str:
    return " ".join(f"field{(20 * number + each) % FIELDS}" for each in range(20))


def page(below: str = "", spreads: int = 100) -> str:
    """Return a page of a hundred fragments with twenty fields each."""
    fragments = " ".join(
        f"fragment F{number} on Query {{ {twenty(number)} {below.format(number + 1)} }}"
        for number in range(100)
    )
    spread = " ".join(f"...F{number}" for number in [*range(spreads), 100])
    return f"{{ thing {{ {spread} }} }} {fragments} fragment F100 on Query {{ ok }}"


HONEST = {
    "introspection": get_introspection_query(input_value_deprecation=True),
    "fragments in one selection": page(),
    "fragments that have the same object in them": page(below="name thing {{ name ok }}"),
    "each fragment in the one before": page(below="...F{}", spreads=1),
    "fragments in fragments, all of them in one selection": page(below="...F{}"),
    "as many fields as there may be": " ".join(
        f"query Q{number} {{ thing {{ {twenty(number)} }} }}" for number in range(550)
    ),
    "aliases": "{ thing {"
    + " ".join(f"a{number}: text(length: {number})" for number in range(1_000))
    + "} }",
    "a union of many": "{ any { ... on Query { thing { name ok } } "
    "... on Other { thing { n: name ok } } "
    f"... on Query {{ {twenty(3)} }} }} }}",
}


@pytest.mark.parametrize("kind", HONEST)
def test_an_honest_document_passes_with_room_to_spare(kind):
    assert problems(HONEST[kind]) == []
    assert DEFAULT.max_field_comparisons == ALLOWED


def test_pages_of_many_fragments_take_less_than_half_of_the_steps():
    half = Rules(max_field_comparisons=ALLOWED // 2)
    for kind in ("introspection", "fragments in one selection", "each fragment in the one before"):
        assert problems(HONEST[kind], half) == []


def test_a_document_that_compares_the_same_again_and_again_is_told_what_to_do():
    [error] = problems(HOSTILE)
    assert error.message == (
        "Fields of the document with the same name, and fragments that are spread together, "
        f"take more than {ALLOWED} steps to compare. Select each field once, with all that you "
        "need of it, or split the document (`max_field_comparisons`)."
    )
    assert error.extensions == {
        "code": LIMIT_EXCEEDED,
        "limit": "max_field_comparisons",
        "allowed": ALLOWED,
    }


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Return a list with an item for each two fields that are compared from now on."""
    found: list[None] = []
    rule: Any = merging_module._rule
    find_conflict = rule.enter_selection_set.__globals__["find_conflict"]

    def count(*arguments: Any) -> Any:
        found.append(None)
        return find_conflict(*arguments)

    monkeypatch.setitem(rule.enter_selection_set.__globals__, "find_conflict", count)
    return found


MANY = {
    "levels": HOSTILE,
    "leaves": "{ thing {" + "name " * 14_000 + "} }",
    "objects": "{ thing {" + "thing { name ok } " * 2_800 + "} }",
    "arguments": "{ thing {" + "text(length: 1) " * 2_000 + "} }",
    "conflicts": "{ thing {" + "name: ok name " * 900 + "} }",
    "differing arguments": "{ thing {"
    + " ".join(f"text(length: {number})" for number in range(2_000))
    + "} }",
    "inline fragments": "{ thing {" + "... on Query { name } " * 2_000 + "} }",
    "fragments": "{ thing {"
    + " ".join(f"...F{number}" for number in range(800))
    + "} }"
    + " ".join(f"fragment F{number} on Query {{ thing {{ name }} }}" for number in range(800)),
    "fragments that have nothing in common": "{ thing {"
    + " ".join(f"...F{number}" for number in range(1_000))
    + "} }"
    + " ".join(
        f"fragment F{number} on Query {{ field{number % 400} }}" for number in range(1_000)
    ),
    "fragments that spread all that follow": "{ thing { ...F0 ...F1 } }"
    + " ".join(
        f"fragment F{number} on Query {{ ok "
        + " ".join(f"...F{other}" for other in range(number + 1, 110))
        + "}"
        for number in range(110)
    ),
}


@pytest.mark.parametrize("kind", MANY)
def test_no_kind_of_document_is_compared_for_longer_than_the_limit(kind, compared):
    errors = problems(MANY[kind])
    assert errors[-1].extensions["limit"] == "max_field_comparisons"  # type: ignore[index]
    # Each pair of fields takes two steps at least.
    assert len(compared) <= ALLOWED // 2 + 1
    assert kind != "leaves" or len(compared) == ALLOWED // 2 + 1


# What a document takes, by what stands in its text.
STEPS = [
    ("{ name ok thing { name } }", 0),
    ("{ name name }", 2),
    ("{ name name name }", 6),
    ("{ n: ok n: name }", 2 + 10),
    ("{ text(length: 1) text(length: 1) }", 2 + 1 + 2),
    ("{ text(length: 1) text(length: 2) }", 2 + 1 + 2 + 10),
    ("{ thing { name } thing { ok } }", 2 + 12),
    ("{ thing { name } thing { name } }", 2 + 12 + 2),
    (f"{{ thing {{ {twenty(0)} }} thing {{ ok }} }}", 2 + 12 + 20 // 8),
    ("{ ...A ...B } fragment A on Query { name } fragment B on Query { ok }", 2 + 2 + 12),
    ("{ name ...A } fragment A on Query { ok }", 1 + 12),
]  # fmt: skip


@pytest.mark.parametrize(("text", "steps"), STEPS)
def test_steps_are_counted_by_what_they_take(text, steps):
    def told(allowed: int) -> list[Any]:
        return [each.extensions for each in problems(text, Rules(max_field_comparisons=allowed))]

    refused = {"code": LIMIT_EXCEEDED, "limit": "max_field_comparisons", "allowed": steps - 1}
    assert refused not in told(steps)
    assert steps == 0 or told(steps - 1) == [refused]


def test_without_the_limit_it_is_graphql_core_that_gives_up():
    [error] = problems(HOSTILE, Rules())
    assert error.message == "Validation aborted."


def test_nothing_changes_for_others_in_the_process():
    assert [each.message for each in validate(SCHEMA, parse(HOSTILE))] == ["Validation aborted."]
    assert core.MAX_COMPLEXITY_BUDGET == 500_000
    assert core.find_conflict.__module__ == core.__name__


def test_who_has_lowered_the_budget_of_graphql_core_has_it_here_too(monkeypatch):
    monkeypatch.setattr(core, "MAX_COMPLEXITY_BUDGET", 5)
    [error] = problems("{ name name name }")
    assert error.extensions is not None
    assert error.extensions["allowed"] == 5
    monkeypatch.setattr(core, "MAX_COMPLEXITY_BUDGET", 10_000_000)
    [error] = problems(HOSTILE)
    assert error.extensions is not None
    assert error.extensions["allowed"] == ALLOWED


def test_a_validation_of_the_users_own_has_the_limit_among_its_rules():
    def own(schema: Any, document: Any, rules: Any) -> list[GraphQLError]:
        return validate(schema, document, [*rules, *specified_rules])

    rules = Rules(max_field_comparisons=ALLOWED, validate_document=own)
    assert problems("{ name name }", rules) == []
    [error] = problems(HOSTILE, rules)
    assert "max_field_comparisons" in error.message


@pytest.mark.parametrize("text", [page(below="name thing {{ name ok }}"), HOSTILE])
def test_what_was_compared_does_not_wait_for_the_garbage_collector(text):
    gc.collect()
    gc.disable()
    try:
        errors = problems(text)
        kept = [each for each in gc.get_objects() if type(each).__name__ == "CollectFieldsResult"]
    finally:
        gc.enable()
    assert kept == []
    assert len(errors) == (text == HOSTILE)


def test_a_document_of_two_hundred_levels_is_compared_as_by_graphql_core():
    levels = 199
    text = "{" + ("thing{" * levels + "name" + "}" * levels) * 2 + "}"
    assert validate(SCHEMA, parse(text)) == []
    assert problems(text, Rules(max_field_comparisons=ALLOWED)) == []


def test_a_rule_that_graphql_core_has_written_anew_is_left_to_it(monkeypatch):
    def gone(_own: Any) -> Any:
        raise AttributeError

    monkeypatch.setattr(merging_module, "_priced", gone)
    assert merging_module._load() is None
    monkeypatch.setattr(merging_module, "_rule", None)
    assert merging.__wrapped__(5) is OverlappingFieldsCanBeMergedRule


def test_the_rule_of_the_installed_graphql_core_is_known():
    assert issubclass(merging(5), LimitedMerging)
    assert merging(5) is merging(5)


def selections(*spreads: str) -> st.SearchStrategy[str]:
    """Generate what stands between braces: little of it can be merged."""
    leaf = st.sampled_from(
        ["name", "name: ok", "a: name", "a: text", "text(length: 1)", "text(length: 2)",
         "text(list: [1])", "text(list: [1, 2])", *spreads]
    )  # fmt: skip
    opening = st.sampled_from(
        ["thing {", "thing: things {", "a: thing {", "... {", "any { ... on Other {",
         "any { ... on Query {"]
    )  # fmt: skip
    nested = st.recursive(
        leaf,
        lambda inner: st.builds(
            lambda start, parts: f"{start} {' '.join(parts)} {'}' * start.count('{')}",
            opening,
            st.lists(inner, min_size=1, max_size=3),
        ),
        max_leaves=8,
    )
    return st.lists(nested, min_size=1, max_size=5).map(" ".join)


@given(selections("...A", "...B"), selections("...B"), selections())
def test_what_cannot_be_merged_is_told_in_the_words_of_graphql_core(root, a, b):
    text = f"{{ {root} }} fragment A on Query {{ {a} }} fragment B on Query {{ {b} }}"
    document = parse(text)

    def told(rule: Any) -> list[Any]:
        return [
            (each.message, each.locations, each.path)
            for each in validate(SCHEMA, document, [rule])
        ]

    assert told(merging(ALLOWED)) == told(OverlappingFieldsCanBeMergedRule)

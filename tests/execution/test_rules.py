"""Rules of GraphQL that graphql-core does not know yet."""

from __future__ import annotations

import pytest
from graphql import build_schema

from channels_graphql_ws.execution.documents import ABORTED, load

SCHEMA = build_schema("""
    type Query { ok: Boolean }
    schema { query: Query subscription: T }
    type T { event: Event other: Event }
    type Event { ok: Boolean again: Event }
""")

CONDITIONAL = [
    "subscription { event @skip(if: true) { ok } }",
    "subscription { event @include(if: true) { ok } }",
    "subscription ($a: Boolean!) { event @include(if: $a) { ok } }",
    "subscription ($a: Boolean!) { ... @include(if: $a) { event { ok } } }",
    "subscription ($a: Boolean!) { ... on T { event @skip(if: $a) { ok } } }",
    "subscription ($a: Boolean!) { ...F @skip(if: $a) } fragment F on T { event { ok } }",
    "subscription ($a: Boolean!) { ...F } fragment F on T { event @skip(if: $a) { ok } }",
    """
    subscription ($a: Boolean!) { event { ok } ...F }
    fragment F on T { ...G ...F }
    fragment G on T { ... { event @skip(if: $a) { ok } } }
    """,
]


@pytest.mark.parametrize("text", CONDITIONAL)
def test_a_subscription_does_not_decide_whether_it_has_a_root_field(text):
    messages = [error.message for error in load(SCHEMA, text).errors]
    assert messages[0].startswith(
        "Anonymous subscription must not use `@skip` or `@include` on its root field"
    )


def test_each_subscription_is_looked_at():
    text = """
    subscription A { ...F } subscription B { ...F }
    fragment F on T { event @skip(if: false) { ok } }
    """
    messages = [error.message.split(" must")[0] for error in load(SCHEMA, text).errors]
    assert messages == ["Subscription 'A'", "Subscription 'B'"]


def test_fragments_of_many_conditions_are_not_told_anew_for_each_subscription():
    conditions = "@skip(if: false) " * 300
    text = f"fragment F on T {{ event {conditions} {{ ok }} }}" + "".join(
        f"subscription S{number} {{ ...F }}" for number in range(300)
    )
    *errors, last = load(SCHEMA, text).errors
    assert [len(error.locations or ()) for error in errors] == [10] * 100
    assert last.message == ABORTED


def test_the_variables_of_many_conditions_are_not_all_named():
    conditions = "".join(f"... @skip(if: $v{number}) {{ event {{ ok }} }}" for number in range(99))
    [error] = load(SCHEMA, f"subscription {{ {conditions} }}").errors
    assert "'$v9'" in error.message
    assert "'$v10'" not in error.message


def test_the_error_names_the_subscription_and_shows_where():
    text = "subscription A {\n  event @skip(if: false) { ok }\n}"
    error = load(SCHEMA, text).errors[0]
    assert error.message.startswith("Subscription 'A' must not use")
    assert error.formatted["locations"] == [{"line": 2, "column": 9}]


@pytest.mark.parametrize(
    "text",
    [
        "subscription ($a: Boolean!) { event { ok @skip(if: $a) again @include(if: $a) { ok } } }",
        "subscription { ...F } fragment F on T { event { ok } }",
        "query ($a: Boolean!) { ok @skip(if: $a) }",
    ],
)
def test_below_it_and_elsewhere_all_may_be_decided(text):
    assert load(SCHEMA, text).errors == ()


def test_a_fragment_that_is_not_there_is_told_as_such():
    [error] = load(SCHEMA, "subscription { event { ok } ...Nothing }").errors
    assert error.message == "Unknown fragment 'Nothing'."

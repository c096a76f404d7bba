"""GraphQL specification, October 2021, section 6: every feature, through both executors."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import GraphQLError, build_schema

from differential.side_by_side import answer
from support import tick

SCHEMA = build_schema("""
    interface Animal { name: String! friend: Animal }
    type Cat implements Animal { name: String! friend: Animal lives: Int }
    type Dog implements Animal { name: String! friend: Animal barks: Boolean strict: Dog! }
    union Pet = Cat | Dog
    input Range { low: Int = 1 high: Int! }
    enum Size { SMALL LARGE }
    type Query {
        text: String
        number: Int
        sum(a: Int!, b: Int = 2): Int
        echo(text: String): String
        span(range: Range): Int
        size(size: Size = LARGE): Size
        list(of: [Int]): [Int]
        cat: Cat dog: Dog animal: Animal pet: Pet pets: [Pet] strict: Dog!
        maybe: [Int] full: [Int!] must: [Int]! both: [Int!]! deep: [[Int!]]
        broken: Int
    }
    type Mutation { add(by: Int!): Int total: Int! }
    type Subscription { total(of: Int): Int }
""")


class Root:
    """The root value: its methods are called for the fields."""

    text = "hello"
    number = 7
    maybe = (1, None, 3)
    full = (1, None)
    must = None
    both = (1, None)
    deep = ((1,), (2, None), None)
    cat = {"name": "Tom", "lives": 9, "friend": {"__typename": "Dog", "name": "Rex"}}
    dog = {"name": "Rex", "barks": True, "strict": {"name": None}}
    animal = {"__typename": "Cat", "name": "Tom", "lives": 9}
    pet = {"__typename": "Dog", "name": "Rex", "barks": False}
    pets = (cat | {"__typename": "Cat"}, pet)
    strict = None

    def sum(self, info: Any, a: int, b: int) -> int:
        return a + b

    def echo(self, info: Any, text: Any = "nothing") -> Any:
        return repr(text)

    def span(self, info: Any, range: Any = None) -> Any:
        return range and range["high"] - range["low"]

    def size(self, info: Any, size: Any) -> Any:
        return size

    def list(self, info: Any, of: Any = ()) -> Any:
        return of

    def broken(self, info: Any) -> None:
        raise LookupError("broken")


def data(text: str, **more: Any) -> Any:
    result = answer(SCHEMA, text, Root, **more)
    assert "errors" not in result, result
    return result["data"]


def failure(text: str, **more: Any) -> tuple[Any, list[tuple[str, Any]]]:
    result = answer(SCHEMA, text, Root, **more)
    errors = [(error["message"], error.get("path")) for error in result["errors"]]
    return result["data"], errors


@pytest.mark.parametrize(("name", "expected"), [("A", {"text": "hello"}), ("B", {"number": 7})])
def test_6_1_of_several_operations_the_named_one_is_executed(name: str, expected: Any) -> None:
    assert data("query A { text } query B { number }", name=name) == expected


def test_6_1_the_only_operation_needs_no_name() -> None:
    assert data("query Only { text }") == {"text": "hello"}


VARIABLES = [
    ("Int", {}, "nothing"),
    ("Int", {"v": None}, "None"),
    ("Int = 3", {}, "3"),
    ("Int = 3", {"v": None}, "None"),
    ("Int = 3", {"v": 4}, "4"),
    ("Int = null", {}, "None"),
    ("Int!", {"v": 5}, "5"),
    ("Int! = 6", {}, "6"),
]


@pytest.mark.parametrize(("type", "variables", "expected"), VARIABLES)
def test_6_1_2_a_variable_has_its_value_or_its_default_or_is_not_there(
    type: str, variables: dict[str, Any], expected: str
) -> None:
    schema = build_schema("type Query { echo(text: Int): String }")
    text = f"query ($v: {type}) {{ echo(text: $v) }}"
    result = answer(schema, text, Root, variables=variables)
    assert result == {"data": {"echo": expected if expected != "nothing" else "'nothing'"}}


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "Variable '$v' of required type 'Int!' was not provided."),
        ({"v": None}, "Variable '$v' of non-null type 'Int!' must not be null."),
        (
            {"v": "1"},
            "Variable '$v' got invalid value '1'; Int cannot represent non-integer value: '1'",
        ),
    ],
)
def test_6_1_2_a_variable_that_can_not_be_coerced_fails_the_request(
    variables: dict[str, Any], message: str
) -> None:
    text = "query ($v: Int!) { sum(a: $v) }"
    assert failure(text, variables=variables) == (None, [(message, None)])


def test_6_1_2_each_bad_variable_is_an_error_and_unknown_ones_are_passed_over() -> None:
    text = "query ($v: Int!, $w: [Int!]!) { sum(a: $v) list(of: $w) }"
    _, errors = failure(text, variables={"v": "x", "w": [1, None], "other": 1})
    assert len(errors) == 2


def test_6_2_1_a_query_has_data_for_what_it_selects() -> None:
    assert data("{ text number }") == {"text": "hello", "number": 7}


def test_6_2_2_the_fields_of_a_mutation_are_executed_one_after_another() -> None:
    class Counter:
        def __init__(self) -> None:
            self.total = 0

        async def add(self, info: Any, by: int) -> int:
            before = self.total
            await tick(3 - by)
            self.total = before + by
            return self.total

    text = "mutation { first: add(by: 1) second: add(by: 2) third: add(by: 3) }"
    result = answer(SCHEMA, text, Counter)
    assert result == {"data": {"first": 1, "second": 3, "third": 6}}
    assert list(result["data"]) == ["first", "second", "third"]


def test_6_2_2_a_mutation_goes_on_after_a_field_that_failed() -> None:
    class Half:
        async def add(self, info: Any, by: int) -> int:
            if by == 1:
                raise LookupError("one")
            return by

    result = answer(SCHEMA, "mutation { a: add(by: 1) b: add(by: 2) }", Half)
    assert result["data"] == {"a": None, "b": 2}
    assert [error["path"] for error in result["errors"]] == [["a"]]


def test_6_2_3_2_an_event_is_the_root_value_of_a_subscription() -> None:
    text = "subscription ($v: Int) { now: total(of: $v) }"
    event = {"total": lambda info, of: of * 2}
    assert answer(SCHEMA, text, lambda: event, variables={"v": 4}) == {"data": {"now": 8}}


def test_6_3_1_fields_are_in_the_order_in_which_they_are_first_met() -> None:
    text = """
        { number ...F ... on Query { text cat { lives } } dog { name } }
        fragment F on Query { dog { barks } sum(a: 1) cat { name } }
    """
    found = data(text)
    assert list(found) == ["number", "dog", "sum", "cat", "text"]
    assert list(found["dog"]) == ["barks", "name"]
    assert list(found["cat"]) == ["name", "lives"]


def test_6_3_2_what_is_skipped_or_not_included_is_not_collected() -> None:
    text = """
        query ($yes: Boolean!, $no: Boolean = false) {
            a: text @skip(if: true) b: text @skip(if: false)
            c: text @include(if: true) d: text @include(if: false)
            e: text @skip(if: $yes) f: text @skip(if: $no)
            g: text @include(if: $yes) h: text @include(if: $no)
            i: text @skip(if: $no) @include(if: $yes) j: text @skip(if: $yes) @include(if: $yes)
        }
    """
    assert list(data(text, variables={"yes": True})) == ["b", "c", "f", "g", "i"]
    assert list(data(text, variables={"yes": False, "no": True})) == ["b", "c", "e", "h"]


def test_6_3_2_a_field_stands_where_it_is_first_collected() -> None:
    text = "query ($v: Boolean!) { text @include(if: $v) number text }"
    assert list(data(text, variables={"v": True})) == ["text", "number"]
    assert list(data(text, variables={"v": False})) == ["number", "text"]


def test_6_3_2_directives_are_on_fragments_too() -> None:
    text = """
        query ($v: Boolean!) {
            ...F @skip(if: $v) ... on Query @include(if: $v) { number } ... @skip(if: $v) { text }
        }
        fragment F on Query { sum(a: 1) }
    """
    assert list(data(text, variables={"v": True})) == ["number"]
    assert list(data(text, variables={"v": False})) == ["sum", "text"]


def test_6_3_2_a_fragment_is_spread_once_and_a_skipped_spread_does_not_count() -> None:
    text = """
        { ...F @skip(if: true) number ...F ...F }
        fragment F on Query { text ...G } fragment G on Query { sum(a: 1) }
    """
    assert list(data(text)) == ["number", "text", "sum"]


def test_6_3_2_a_selection_may_turn_out_empty() -> None:
    assert data("{ cat { name @skip(if: true) } }") == {"cat": {}}
    assert data("{ text @include(if: false) }") == {}


FRAGMENTS = [
    ("pet { ... on Cat { lives } ... on Dog { barks } }", {"pet": {"barks": False}}),
    ("pet { ... on Animal { name } }", {"pet": {"name": "Rex"}}),
    ("pet { ... on Pet { __typename } }", {"pet": {"__typename": "Dog"}}),
    ("animal { ... on Cat { lives } ... on Dog { barks } name }", None),
    ("cat { ... on Animal { name } ... on Cat { lives } ... on Pet { __typename } }", None),
    ("animal { ...A ...B }", None),
]


@pytest.mark.parametrize(("selection", "expected"), FRAGMENTS)
def test_6_3_2_a_fragment_applies_to_its_type_and_those_that_are_of_it(
    selection: str, expected: Any
) -> None:
    fragments = "fragment A on Animal { name } fragment B on Cat { lives }"
    found = data(f"{{ {selection} }} {fragments if '...A' in selection else ''}")
    assert expected is None or found == expected


def test_6_4_a_field_has_its_response_key() -> None:
    text = "{ a: text b: text text cat { who: name } }"
    assert list(data(text).items()) == [
        ("a", "hello"),
        ("b", "hello"),
        ("text", "hello"),
        ("cat", {"who": "Tom"}),
    ]


ARGUMENTS = [
    ("sum(a: 1)", {}, 3),
    ("sum(a: 1, b: 5)", {}, 6),
    ("sum(b: 5, a: 1)", {}, 6),
    ("sum(a: $v)", {"v": 4}, 6),
    ("sum(a: 1, b: $v)", {}, 3),
    ("echo", {}, "'nothing'"),
    ("echo(text: null)", {}, "None"),
    ('echo(text: "x")', {}, "'x'"),
    ('echo(text: """\n  a\n    b\n""")', {}, repr("a\n  b")),
    ("span(range: {high: 5})", {}, 4),
    ("span(range: {low: 2, high: $v})", {"v": 9}, 7),
    ("span(range: {low: $v, high: 9})", {}, 8),
    ("span(range: null)", {}, None),
    ("span", {}, None),
    ("size", {}, "LARGE"),
    ("size(size: SMALL)", {}, "SMALL"),
    ("list(of: 1)", {}, [1]),
    ("list(of: [1, null, $v])", {"v": 3}, [1, None, 3]),
    ("list(of: [1, $v])", {}, [1, None]),
    ("list(of: [])", {}, []),
]


@pytest.mark.parametrize(("field", "variables", "expected"), ARGUMENTS)
def test_6_4_1_arguments_are_literals_variables_and_defaults(
    field: str, variables: dict[str, Any], expected: Any
) -> None:
    type = "Int!" if field == "sum(a: $v)" or "high: $v" in field else "Int"
    head = f"query ($v: {type}) " if "$v" in field else ""
    assert data(f"{head}{{ it: {field} }}", variables=variables) == {"it": expected}


def test_6_4_1_a_variable_that_is_null_is_an_error_of_a_field_that_wants_a_value() -> None:
    text = "query ($v: Int = 1) { text sum(a: $v) }"
    assert data(text) == {"text": "hello", "sum": 3}
    message = "Argument 'a' of non-null type 'Int!' must not be null."
    assert failure(text, variables={"v": None}) == (
        {"text": "hello", "sum": None},
        [(message, ["sum"])],
    )


def test_6_4_1_so_it_is_where_a_resolver_only_reads() -> None:
    schema = build_schema("type Query { ok: Int read(a: Int!, b: Int! = 1): Int }")
    text = "query ($v: Int = 1) { ok read(a: $v) }"
    root = {"ok": 1, "read": 2}
    assert answer(schema, text, lambda: root) == {"data": {"ok": 1, "read": 2}}
    result = answer(schema, text, lambda: root, variables={"v": None})
    assert result["data"] == {"ok": 1, "read": None}
    text = "query ($v: Int = 1) { ok read(a: 1, b: $v) }"
    result = answer(schema, text, lambda: root, variables={"v": None})
    assert result["data"] == {"ok": 1, "read": None}


class Owner:
    """Values in all the places where a resolver finds them."""

    text = "attribute"

    @property
    def number(self) -> int:
        return 8

    def __getattr__(self, name: str) -> Any:
        if name == "echo":
            return lambda info, **arguments: "found"
        raise AttributeError(name)


@pytest.mark.parametrize(
    ("root", "expected"),
    [
        (Owner(), {"text": "attribute", "number": 8, "echo": "found"}),
        ({"text": "key", "number": lambda info: 9}, {"text": "key", "number": 9, "echo": None}),
        (object(), {"text": None, "number": None, "echo": None}),
        (None, {"text": None, "number": None, "echo": None}),
    ],
)
def test_6_4_2_a_value_is_resolved_from_that_of_the_parent(root: Any, expected: Any) -> None:
    assert answer(SCHEMA, "{ text number echo }", lambda: root) == {"data": expected}


COMPLETED = [
    ("text", "hello"),
    ("number", 7),
    ("maybe", [1, None, 3]),
    ("cat { name lives friend { name } }", {"name": "Tom", "lives": 9, "friend": {"name": "Rex"}}),
    ("animal { __typename name }", {"__typename": "Cat", "name": "Tom"}),
    ("pets { __typename }", [{"__typename": "Cat"}, {"__typename": "Dog"}]),
]


@pytest.mark.parametrize(("field", "expected"), COMPLETED)
def test_6_4_3_a_value_is_completed_by_its_type(field: str, expected: Any) -> None:
    assert data(f"{{ it: {field} }}") == {"it": expected}


def test_6_4_3_fields_with_one_key_are_merged_at_all_levels() -> None:
    text = "{ cat { friend { name } } cat { lives friend { __typename name } } }"
    assert data(text) == {"cat": {"friend": {"name": "Rex", "__typename": "Dog"}, "lives": 9}}


WRONG = [
    ("number", {"number": "x"}),
    ("number", {"number": 2**31}),
    ("text", {"text": [1]}),
    ("maybe", {"maybe": 3}),
    ("maybe", {"maybe": "text"}),
    ("maybe", {"maybe": {"a": 1}}),
    ("maybe", {"maybe": [1, "x"]}),
    ("size", {"size": "HUGE"}),
    ("pet { __typename }", {"pet": {"__typename": "Query"}}),
    ("pet { __typename }", {"pet": {"__typename": "Nobody"}}),
    ("pet { __typename }", {"pet": {"__typename": "Size"}}),
    ("pet { __typename }", {"pet": {}}),
    ("animal { name }", {"animal": 3}),
]


@pytest.mark.parametrize(("field", "root"), WRONG)
def test_6_4_3_a_value_that_is_not_of_its_type_is_an_error_of_the_field(
    field: str, root: dict[str, Any]
) -> None:
    result = answer(SCHEMA, f"{{ it: {field} }}", lambda: root)
    assert len(result["errors"]) == 1
    assert result["errors"][0]["path"][0] == "it"


NULLS = [
    ("{ text broken }", {"text": "hello", "broken": None}, ["broken"]),
    ("{ full }", {"full": None}, ["full", 1]),
    ("{ text must }", None, ["must"]),
    ("{ text both }", None, ["both", 1]),
    ("{ deep }", {"deep": [[1], None, None]}, ["deep", 1, 1]),
    ("{ dog { name strict { name } } }", {"dog": None}, ["dog", "strict", "name"]),
    ("{ strict { name } text }", None, ["strict"]),
]


@pytest.mark.parametrize(("text", "expected", "path"), NULLS)
def test_6_4_4_an_error_makes_a_null_of_the_nearest_place_that_may_be_one(
    text: str, expected: Any, path: Any
) -> None:
    found, errors = failure(text)
    assert found == expected
    assert [place for _, place in errors] == [path]


def test_6_4_4_each_field_has_its_own_error() -> None:
    text = "{ a: broken b: broken full c: broken }"
    found, errors = failure(text)
    assert found == {"a": None, "b": None, "full": None, "c": None}
    assert [path for _, path in errors] == [["a"], ["b"], ["full", 1], ["c"]]


def test_7_1_2_an_error_has_a_message_locations_a_path_and_perhaps_extensions() -> None:
    def told(info: Any) -> None:
        raise GraphQLError("told", extensions={"code": 3})

    result = answer(SCHEMA, "{\n  a: text\n}", lambda: {"text": told})
    assert result["errors"] == [
        {
            "message": "told",
            "locations": [{"line": 2, "column": 3}],
            "path": ["a"],
            "extensions": {"code": 3},
        }
    ]

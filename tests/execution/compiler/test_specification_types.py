"""GraphQL specification, October 2021, sections 3 and 4: what types have to do with execution."""

from __future__ import annotations

from typing import Any

import pytest
from graphql import (
    GraphQLBoolean,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    Undefined,
    build_schema,
)

from differential.bindings import Box
from differential.recipes import Shade
from differential.side_by_side import answer


def of(type: str, more: str = "", arguments: str = "") -> GraphQLSchema:
    """Make a schema with one field."""
    return build_schema(f"{more} type Query {{ it{arguments}: {type} }}")


def it(schema: GraphQLSchema, value: Any, text: str = "{ it }", **more: Any) -> Any:
    """Execute for one value; give the data of the field, or the messages of errors."""
    result = answer(schema, text, lambda: {"it": value}, **more)
    if "errors" in result:
        return [error["message"] for error in result["errors"]]
    return result["data"]["it"]


def repeated(info: Any, **arguments: Any) -> str:
    return repr(arguments)


RESULTS = [
    ("Int", 1, 1),
    ("Int", True, 1),
    ("Int", 3.0, 3),
    ("Int", "12", 12),
    ("Int", -(2**31), -(2**31)),
    ("Float", 1, 1.0),
    ("Float", 1.5, 1.5),
    ("Float", "2.5", 2.5),
    ("Float", True, 1),
    ("String", "é", "é"),
    ("String", 1, "1"),
    ("String", True, "true"),
    ("String", 1.5, "1.5"),
    ("Boolean", True, True),
    ("Boolean", 0, False),
    ("ID", "a", "a"),
    ("ID", 4, "4"),
]


@pytest.mark.parametrize(("type", "value", "expected"), RESULTS)
def test_3_5_a_scalar_coerces_results(type: str, value: Any, expected: Any) -> None:
    schema = build_schema(f"type Query {{ a: {type} b: {type}! c: [{type}] d: [{type}!]! }}")
    root = {"a": value, "b": value, "c": [value], "d": (value, value)}
    found = answer(schema, "{ a b c d }", lambda: root)["data"]
    assert found == {"a": expected, "b": expected, "c": [expected], "d": [expected] * 2}


FILTERED = [
    ("Int", 1.5),
    ("Int", "x"),
    ("Int", 2**31),
    ("Int", float("nan")),
    ("Float", float("inf")),
    ("Float", "x"),
    ("String", []),
    ("Boolean", "x"),
    ("ID", 1.5),
]


@pytest.mark.parametrize(("type", "value"), FILTERED)
def test_3_5_a_scalar_refuses_what_it_can_not_coerce(type: str, value: Any) -> None:
    schema = build_schema(f"type Query {{ a: {type} b: {type}! c: [{type}] d: [{type}!]! }}")
    root = {"a": value, "b": value, "c": [value], "d": (value, value)}
    for name in root:
        result = answer(schema, f"{{ {name} }}", lambda: root)
        assert "cannot represent" in result["errors"][0]["message"]


class Text(str):
    """A string that shows itself in another way."""

    __slots__ = ()

    def __str__(self) -> str:
        return "shown"


class Number(int):
    """An integer of a user's."""


@pytest.mark.parametrize(
    ("type", "value"), [("String", Text("t")), ("ID", Text("t")), ("Int", Number(3))]
)
def test_3_5_subclasses_of_builtins_are_coerced_alike(type: str, value: Any) -> None:
    it(of(type), value)


def serialize(value: Any) -> Any:
    if value == "none":
        return None
    if value == "undefined":
        return Undefined
    if value == "raise":
        raise ValueError("refused")
    return [value]


@pytest.mark.parametrize("value", ["fine", "none", "undefined", "raise", 1, ("t",)])
@pytest.mark.parametrize("form", ["Own", "Own!", "[Own]", "[Own!]!"])
def test_3_5_6_a_custom_scalar_decides_for_itself(value: Any, form: str) -> None:
    schema = of(form, "scalar Own")
    own = schema.type_map["Own"]
    assert isinstance(own, GraphQLScalarType)
    own.serialize = serialize  # type: ignore[method-assign]
    found = it(schema, [value, value] if form.startswith("[") else value)
    refused = ["refused"] * (2 if form == "[Own]" else 1)
    assert (found == refused) is (value == "raise")


@pytest.mark.parametrize("scalar", [GraphQLInt, GraphQLString, GraphQLBoolean])
def test_3_5_the_functions_of_a_built_in_scalar_may_be_replaced(
    scalar: GraphQLScalarType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scalar, "serialize", lambda value: f"own {value}")
    for value in ("a", 1, True):
        assert it(of(scalar.name), value) == f"own {value}"


ANIMALS = """
    interface Named { name: String }
    interface Animal implements Named { name: String age: Int }
    type Cat implements Animal & Named { name: String age: Int lives: Int }
    type Dog implements Animal & Named { name: String! age: Int barks: Boolean }
    union Pet = Cat | Dog
    type Query { named: Named animal: Animal pet: Pet pets: [Pet!] cat: Cat dog: Dog }
"""
SELECTIONS = (
    "__typename",
    "... on Cat { lives } ... on Dog { barks }",
    "... on Named { name } ... on Animal { age }",
    "... on Animal { ... on Cat { age } ... on Pet { ... on Dog { age } } }",
)


@pytest.mark.parametrize("selection", SELECTIONS)
@pytest.mark.parametrize("field", ["named", "animal", "pet", "pets"])
def test_3_7_abstract_types_have_the_fields_of_the_type_a_value_has(
    field: str, selection: str
) -> None:
    values = [
        {"__typename": "Cat", "name": "Tom", "age": 3, "lives": 9},
        {"__typename": "Dog", "name": "Rex", "age": 4, "barks": True},
    ]
    for value in (*values, {"__typename": "Dog", "barks": None}):
        root = {field: values if field == "pets" else value}
        answer(build_schema(ANIMALS), f"{{ {field} {{ {selection} }} }}", lambda: root)  # noqa: B023


TYPE_RESOLVERS = [
    lambda value, info, abstract: value["kind"],
    lambda value, info, abstract: None,
    lambda value, info, abstract: 3,
    lambda value, info, abstract: info.schema.type_map["Cat"],
    lambda value, info, abstract: info.field_name,
]


@pytest.mark.parametrize("resolve_type", TYPE_RESOLVERS)
@pytest.mark.parametrize("waits", [False, True])
def test_3_7_a_resolver_of_types_is_asked_at_once_or_waited_for(
    resolve_type: Any, waits: bool
) -> None:
    async def waiting(*arguments: Any) -> Any:
        return resolve_type(*arguments)

    schema = build_schema(ANIMALS)
    schema.type_map["Pet"].resolve_type = waiting if waits else resolve_type  # type: ignore[attr-defined]
    pets = [{"kind": "Cat", "lives": 9}, {"kind": "Dog"}]
    answer(schema, "{ pets { __typename ... on Cat { lives } } }", lambda: {"pets": pets})


PREDICATES = [
    lambda value, info: "lives" in value,
    lambda value, info: True,
    lambda value, info: 0,
    lambda value, info: value["missing"],
]


@pytest.mark.parametrize("is_cat", PREDICATES)
@pytest.mark.parametrize("field", ["pets", "cat", "animal"])
@pytest.mark.parametrize("waits", [False, True])
def test_3_6_a_type_may_say_whether_a_value_is_of_it(is_cat: Any, field: str, waits: bool) -> None:
    async def waiting(*arguments: Any) -> Any:
        return is_cat(*arguments)

    schema = build_schema(ANIMALS)
    schema.type_map["Cat"].is_type_of = waiting if waits else is_cat  # type: ignore[attr-defined]
    schema.type_map["Dog"].is_type_of = lambda value, info: "barks" in value  # type: ignore[attr-defined]
    cat, dog = {"lives": 9, "name": "Tom"}, {"barks": True, "name": "Rex"}
    root = {"pets": [cat, dog], "cat": cat, "animal": dog}
    answer(schema, f"{{ {field} {{ __typename }} }}", lambda: root)


MEMBERS = {"RED": "red", "DARK": Shade.DARK, "NOTHING": None, "LIST": ["unhashable"]}


@pytest.mark.parametrize("value", ["red", Shade.DARK, ["unhashable"], "RED", 5, [], Shade.LIGHT])
def test_3_9_an_enum_gives_the_name_of_a_value_or_refuses(value: Any) -> None:
    color = GraphQLEnumType("Color", MEMBERS)
    types: dict[str, Any] = {
        "it": color,
        "must": GraphQLNonNull(color),
        "list": GraphQLList(color),
        "full": GraphQLList(GraphQLNonNull(color)),
    }
    fields = {name: GraphQLField(type) for name, type in types.items()}
    schema = GraphQLSchema(GraphQLObjectType("Query", fields))
    root = {"it": value, "must": value, "list": [value], "full": [value]}
    for name in types:
        answer(schema, f"{{ {name} }}", lambda: root)


@pytest.mark.parametrize("name", [*MEMBERS, "PINK"])
def test_3_9_an_enum_gives_resolvers_its_values(name: str) -> None:
    schema = of("String", "enum Color { RED DARK NOTHING LIST }", "(of: Color, all: [Color])")
    color: Any = schema.type_map["Color"]
    for each, value in MEMBERS.items():
        color.values[each].value = value
    query = "query ($v: Color, $all: [Color!]) { it(of: $v, all: $all) }"
    it(schema, repeated, query, variables={"v": name, "all": [name]})
    if name != "PINK":
        it(schema, repeated, f"{{ it(of: {name}, all: {name}) }}")


INPUT = """
    input Range { low: Int = 1 high: Int! inner: Range list: [Range!] stepSize: Float = 1 }
"""
RANGES = [
    "{high: 2}",
    "{high: $v}",
    "{low: null, high: 2}",
    "{low: $w, high: 2}",
    "{high: 2, inner: {high: $v, list: {high: 3}}}",
    "{high: 2, list: [{high: 4}, {high: $v, stepSize: 2}]}",
    "{high: 2, list: []}",
]


@pytest.mark.parametrize("literal", RANGES)
@pytest.mark.parametrize("variables", [{"v": 7}, {"v": 7, "w": None}, {"v": 7, "w": 8}])
@pytest.mark.parametrize("is_boxed", [False, True])
def test_3_10_input_objects_have_defaults_and_names_of_their_own(
    literal: str, variables: dict[str, Any], is_boxed: bool
) -> None:
    schema = of("String", INPUT, "(of: Range, or: Range = {high: 3})")
    range: Any = schema.type_map["Range"]
    range.fields["stepSize"].out_name = "step_size"
    if is_boxed:
        range.out_type = Box
    declared = "$v: Int!" * ("$v" in literal) + ", $w: Int" * ("$w" in literal)
    query = f"query ({declared})" if declared else "query"
    it(schema, repeated, f"{query} {{ it(of: {literal}) }}", variables=variables)


BAD_RANGES = [{}, {"high": None}, {"high": "x"}, {"high": 1, "nope": 2}, 3, [], {"low": 1}]


@pytest.mark.parametrize("value", BAD_RANGES)
def test_3_10_an_input_object_that_is_wrong_fails_the_request(value: Any) -> None:
    schema = of("String", INPUT, "(of: Range)")
    query = "query ($v: Range!) { it(of: $v) }"
    assert len(it(schema, repeated, query, variables={"v": value})) >= 1


LISTS = [
    ("[Int]", [1, None, "x"]),
    ("[Int!]", [1, None, 2]),
    ("[Int]!", None),
    ("[Int!]!", [1, "x"]),
    ("[[Int!]!]", [[1], [None]]),
    ("[[Int]!]!", [[1, "x"], None]),
    ("[[[Int!]]]", [[[1, None], None], None]),
    ("[Int]", (1, 2)),
    ("[Int]", frozenset({1})),
    ("[Int]", range(3)),
    ("[Int]", {1: 2}.keys()),
    ("[Int]", {1: 2}),
    ("[Int]", "12"),
    ("[Int]", b"12"),
    ("[Int]", 12),
    ("[Int]", []),
    ("[Int]", [ValueError("an item"), 1]),
    ("[Int!]", [1, ValueError("an item")]),
    ("[String]", [["nested"], "s"]),
]


@pytest.mark.parametrize(("type", "value"), LISTS)
def test_3_11_each_item_of_a_list_is_completed(type: str, value: Any) -> None:
    it(of(type), value)


COERCED = ["1", "[1]", "[]", "null", "[1, null]", "$v", "[$w]"]


@pytest.mark.parametrize(
    ("type", "literal"),
    [
        *(("[Int]", literal) for literal in COERCED),
        *(("[[Int]]", literal) for literal in ("1", "[]", "[[1], null, 2]", "$v", "[[$w], 3]")),
    ],
)
def test_3_11_one_value_stands_for_a_list_of_it(literal: str, type: str) -> None:
    schema = of("String", "", f"(of: {type})")
    head = {
        "$v": f"query ($v: {type}) ",
    }.get(literal, "query ($w: Int) " * ("$w" in literal))
    it(schema, repeated, f"{head}{{ it(of: {literal}) }}", variables={"v": [1], "w": 2})


@pytest.mark.parametrize("wrapping", ["{}", "{}!", "[{}]", "[{}!]", "[[{}]!]!"])
@pytest.mark.parametrize("type", ["Int", "Color", "Own", "Cat", "Pet"])
def test_3_12_undefined_is_null(type: str, wrapping: str) -> None:
    more = "enum Color { RED } scalar Own type Cat { name: String } union Pet = Cat"
    schema = of(wrapping.format(type), more)
    text = "{ it { __typename } }" if type in ("Cat", "Pet") else "{ it }"
    for value in (Undefined, [Undefined], [[Undefined]], [None, Undefined]):
        it(schema, value, text)


def test_3_13_directives_of_a_schema_change_nothing() -> None:
    schema = of("String", "directive @own(a: Int) repeatable on FIELD | FRAGMENT_SPREAD | QUERY")
    text = "query @own { it @own(a: 1) @own ...F @own } fragment F on Query { it }"
    assert it(schema, "x", text) == "x"


@pytest.mark.parametrize("value", [True, False, None, "x", 1])
@pytest.mark.parametrize("type", ["Boolean", "Boolean!", "Boolean = true"])
@pytest.mark.parametrize("directive", ["skip", "include"])
def test_3_13_a_condition_is_a_boolean(value: Any, type: str, directive: str) -> None:
    if type == "Boolean":
        type = "Boolean = false"
    schema = build_schema("type Query { it: Thing } type Thing { a: Int b: Int }")
    text = f"query ($v: {type}) {{ it {{ a @{directive}(if: $v) b }} }}"
    it(schema, {"a": 1, "b": 2}, text, variables={"v": value})
    it(schema, {"a": 1, "b": 2}, text)


@pytest.mark.parametrize(
    "text",
    ["{ __typename }", "{ a: __typename it __typename }", "{ ... on Query { __typename } }"],
)
def test_4_every_object_has_the_name_of_its_type(text: str) -> None:
    assert "Query" in answer(of("Int"), text)["data"].values()


@pytest.mark.parametrize(
    "text",
    [
        '{ __type(name: "Query") { name fields { name type { kind ofType { name } } } } }',
        '{ __type(name: "Nothing") { name } }',
        "{ __schema { queryType { name description } directives { name locations } } }",
        "{ ...F } fragment F on Query { a: __schema { types { kind } } __typename }",
        "query ($name: String!) { __type(name: $name) { name } }",
    ],
)
def test_4_introspection_knows_the_schema(text: str) -> None:
    answer(build_schema(ANIMALS + INPUT), text, variables={"name": "Cat"})

"""Fields, compiled, give what graphql-core gives, whatever they are read from."""

from __future__ import annotations

from collections import UserDict
from enum import Enum
from functools import partial
from typing import Any

import graphene
import pytest
from graphene.types.resolver import attr_resolver, dict_or_attr_resolver, dict_resolver
from graphene.utils.str_converters import to_snake_case
from graphql import (
    ExecutionContext,
    GraphQLField,
    GraphQLInt,
    GraphQLObjectType,
    GraphQLResolveInfo,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
    Undefined,
    build_schema,
)

from channels_graphql_ws.execution.metered import MeteredContext
from executed_twice import Both


class Colour(Enum):
    RED = 1


class Shout(graphene.Scalar):
    @staticmethod
    def serialize(value: Any) -> Any:
        if value == "silence":
            raise ValueError("nothing to shout")
        return {"nothing": None, "odd": ["a", "b"]}.get(value, str(value).upper())


class Thing(graphene.ObjectType):
    name = graphene.String()
    must = graphene.String(required=True)
    count = graphene.Int()
    ratio = graphene.Float()
    flag = graphene.Boolean()
    key = graphene.ID()
    colour = graphene.Field(graphene.Enum.from_enum(Colour))
    shout = graphene.Field(Shout)
    camel_case = graphene.String()
    preset = graphene.String(default_value="preset")
    tags = graphene.List(graphene.String)
    counts = graphene.List(graphene.NonNull(graphene.Int))
    grid = graphene.List(graphene.List(graphene.Int))
    child = graphene.Field(lambda: Thing)
    children = graphene.List(lambda: Thing)
    required_children = graphene.List(graphene.NonNull(lambda: Thing))
    repeated = graphene.String(times=graphene.Int(default_value=2))
    own = graphene.String()

    @staticmethod
    def resolve_repeated(root: Any, info: Any, times: int) -> str:
        return "ab" * times

    @staticmethod
    def resolve_own(root: Any, info: Any) -> str:
        return f"{info.parent_type.name}.{info.field_name}"


class Query(graphene.ObjectType):
    thing = graphene.Field(Thing)
    things = graphene.List(Thing)


SCHEMA = graphene.Schema(query=Query).graphql_schema


class Plain:
    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)


class Computed(Plain):
    @property
    def name(self) -> str:
        return "computed"

    @name.setter
    def name(self, value: str) -> None:
        raise AssertionError(value)


class Breaking(Plain):
    @property
    def name(self) -> str:
        raise ValueError("no name today")

    @property
    def must(self) -> str:
        raise LookupError("nor anything that must be")


class Slotted:
    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Magic(Plain):
    def __getattribute__(self, name: str) -> Any:
        return "magic" if name == "name" else super().__getattribute__(name)


class Guessing:
    def __getattr__(self, name: str) -> Any:
        return f"guessed {name}" if name == "name" else object.__getattribute__(self, name)


class Upper(dict[str, Any]):
    def get(self, key: str, default: Any = None) -> Any:
        return str(super().get(key, default)).upper()


class OneArgument(dict[str, Any]):
    def get(self, key: str) -> Any:  # type: ignore[override]
        return f"the {key}"


class Spoken(str):
    __slots__ = ()


EVERYTHING = {
    "name": "n",
    "must": "m",
    "count": 3,
    "ratio": 1.5,
    "flag": True,
    "key": 7,
    "shout": "hey",
    "camel_case": "c",
}

SELECTIONS = [
    "name must count ratio flag key shout camelCase preset",
    "alias: name other: name",
    "name name",
    "__typename name",
    "type: __typename",
    "name tags counts grid",
    "colour name",
    "repeated(times: 3) name",
    "own",
    "child { name must child { name } }",
    "child { name } child { must }",
    "children { name must own }",
    "requiredChildren { name tags }",
    "name @skip(if: true) count",
    "... on Thing { name ...more }",
    "... { name }",
    "...more ...more",
]


def both(thing: Any, selection: str) -> Any:
    text = f"{{ thing {{ {selection} }} }} fragment more on Thing {{ count child {{ count }} }}"
    return Both(SCHEMA, text, lambda: {"thing": thing}).same()


@pytest.mark.parametrize("make", [dict, Plain, Thing])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_every_kind_of_field_is_as_in_graphql_core(selection: str, make: Any) -> None:
    child = make(name="child", must="too")
    thing = make(
        **EVERYTHING,
        tags=["a", None, 5],
        counts=(1, 2),
        grid=[[1], None, [None, 2]],
        colour=Colour.RED,
        child=child,
        children=[child, None, child],
        required_children=[child],
    )
    result = both(thing, selection)
    assert result["data"]["thing"] is not None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", None),
        ("name", Undefined),
        ("must", None),
        ("must", Undefined),
        ("name", 5),
        ("name", True),
        ("name", ValueError("a value that is an error")),
        ("count", "no number"),
        ("count", "12"),
        ("count", 2**31),
        ("count", -(2**31)),
        ("count", -(2**31) - 1),
        ("count", True),
        ("ratio", 3),
        ("ratio", float("nan")),
        ("ratio", float("inf")),
        ("ratio", float("-inf")),
        ("flag", "yes"),
        ("flag", 1),
        ("name", ["a", "list"]),
        ("name", lambda: "called"),
        ("name", Spoken("subclass")),
        ("shout", "silence"),
        ("shout", "nothing"),
        ("shout", "odd"),
        ("shout", None),
        ("colour", Colour.RED),
        ("colour", 1),
        ("colour", "RED"),
        ("colour", "no colour"),
    ],
)
def test_every_value_is_as_in_graphql_core(name: str, value: Any) -> None:
    both(EVERYTHING | {name: value}, f"flag {name}")


@pytest.mark.parametrize(
    "value",
    [
        None,
        Undefined,
        (),
        ["a"],
        {"a", "b"} - {"b"},
        range(3),
        UserDict(a=1),
        {"a": 1},
        "text",
        b"bytes",
        5,
        ValueError("a list that is an error"),
        [ValueError("an item that is an error"), "a"],
        [None],
        [Undefined],
        [2**40, "x"],
        [{}, []],
    ],
)
@pytest.mark.parametrize(
    "field", ["tags", "counts", "children { name }", "requiredChildren { must }"]
)
def test_every_list_is_as_in_graphql_core(field: str, value: Any) -> None:
    name = to_snake_case(field.split(maxsplit=1)[0])
    both({"name": "n", name: value}, f"name {field}")


def test_a_list_that_breaks_off_is_an_error_of_its_field() -> None:
    class Broken:
        def __iter__(self) -> Any:
            yield "a"
            raise ValueError("no more")

    assert both({"tags": Broken()}, "tags")["data"] == {"thing": {"tags": None}}


def test_a_broken_object_in_a_list_leaves_the_others() -> None:
    children = [Plain(name=1, must="a"), Breaking(), Plain(name=2, must="b"), Breaking()]
    result = both({"children": children}, "children { name must }")
    assert [child and child["name"] for child in result["data"]["thing"]["children"]] == [
        "1",
        None,
        "2",
        None,
    ]


@pytest.mark.parametrize(
    "thing",
    [
        Computed(),
        Breaking(),
        Magic(name="hidden"),
        Guessing(),
        Slotted("slotted"),
        Plain(),
        {},
        Upper(name="loud"),
        OneArgument(),
        UserDict(name="of a mapping"),
        type("Attribute", (), {"name": "of the class"})(),
        5,
    ],
)
@pytest.mark.parametrize("selection", ["name", "name must"])
def test_every_kind_of_object_is_as_in_graphql_core(thing: Any, selection: str) -> None:
    both(thing, selection)
    both({"children": [thing, thing]}, f"children {{ {selection} }}")


def test_a_data_descriptor_wins_over_an_attribute_of_its_name() -> None:
    assert both(Computed(count=1), "name")["data"]["thing"]["name"] == "computed"


@pytest.mark.parametrize(
    "thing",
    [
        {"name": "n", "size": 1},
        {"name": lambda info: f"called for {info.field_name}", "size": None},
        Plain(name="n", size=2),
        Plain(name=lambda info: "called"),
        UserDict(name="n", size=3),
        OneArgument(),
        None,
    ],
)
def test_fields_without_a_resolver_are_as_in_graphql_core(thing: Any) -> None:
    schema = build_schema(
        "type Query { thing: Thing name: String } type Thing { name: String size: Int! }"
    )
    Both(schema, "{ thing { name size } }", lambda: {"thing": thing}).same()
    Both(schema, "{ name }", lambda: thing).same()


@pytest.mark.parametrize(
    "resolve",
    [
        partial(dict_or_attr_resolver, "name", "default"),
        partial(dict_resolver, "name", "default"),
        partial(attr_resolver, "name", "default"),
        partial(attr_resolver, "name", default_value="by keyword"),
        partial(attr_resolver, "name"),
        partial(attr_resolver),
        partial(lambda root, info: "another"),
        lambda root, info: "a function",
    ],
)
@pytest.mark.parametrize("thing", [{}, {"name": "n"}, Plain(), Plain(name="n"), None])
def test_every_resolver_is_as_in_graphql_core(resolve: Any, thing: Any) -> None:
    query = GraphQLObjectType("Query", {"name": GraphQLField(GraphQLString, resolve=resolve)})
    Both(GraphQLSchema(query), "{ name }", lambda: thing).same()


def test_a_built_in_scalar_that_was_replaced_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GraphQLInt, "serialize", lambda value: value * 2)
    assert both({"count": 2**40}, "count")["data"] == {"thing": {"count": 2**41}}


def test_a_scalar_of_the_name_of_a_built_in_one_is_asked() -> None:
    scalar = GraphQLScalarType("Custom", serialize=lambda value: value * 2)
    scalar.name = "Int"
    query = GraphQLObjectType("Query", {"count": GraphQLField(scalar)})
    assert Both(GraphQLSchema(query), "{ count }", lambda: {"count": 4}).same() == {
        "data": {"count": 8}
    }


def test_fields_that_the_type_has_not_are_passed_over() -> None:
    assert Both(SCHEMA, "{ nothing thing { name nothing } }", lambda: {"thing": {}}).same() == {
        "data": {"thing": {"name": None}}
    }


async def test_what_is_read_may_be_awaited() -> None:
    async def later() -> str:
        return "n"

    operation = Both(
        SCHEMA, "{ thing { name must } }", lambda: {"thing": {"name": later(), "must": "m"}}
    )
    assert (await operation.same_later())["data"] == {"thing": {"name": "n", "must": "m"}}


def test_a_resolver_gets_all_of_info() -> None:
    infos: list[GraphQLResolveInfo] = []

    class Leaf(graphene.ObjectType):
        seen = graphene.Int(factor=graphene.Int())

        @staticmethod
        def resolve_seen(root: Any, info: GraphQLResolveInfo, factor: int) -> int:
            infos.append(info)
            return factor

    class Root(graphene.ObjectType):
        leaves = graphene.List(Leaf)

    text = (
        "query Name($f: Int, $other: Int = 3) { some: leaves { a: seen(factor: $f) ...more } } "
        "fragment more on Leaf { b: seen(factor: $other) a: seen(factor: $f) }"
    )
    schema = graphene.Schema(query=Root).graphql_schema
    operation = Both(schema, text, lambda: {"leaves": [{}, {}]})
    context = object()
    for execute in (operation.execute, operation.execute_by_core):
        execute(context, f=2)
    ours, theirs = infos[:4], infos[4:]
    assert [tuple(info) for info in ours] == [tuple(info) for info in theirs]
    assert [type(info) for info in ours] == [GraphQLResolveInfo] * 4
    assert [info.path.as_list() for info in ours][-1] == ["some", 1, "b"]
    assert ours[0].context is context


def test_graphql_core_resolves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    operation = Both(SCHEMA, "{ thing { name own } }", lambda: {"thing": EVERYTHING})
    monkeypatch.delattr(MeteredContext, "execute_field")
    monkeypatch.delattr(ExecutionContext, "execute_field")
    assert operation.execute().data["thing"]["own"] == "Thing.own"


def test_no_resolver_is_called_twice() -> None:
    calls: list[str] = []

    class Once(graphene.ObjectType):
        first = graphene.String()
        second = graphene.String()
        third = graphene.String(required=True)

        @staticmethod
        def resolve_first(root: Any, info: Any) -> str:
            calls.append("first")
            return "1"

        @staticmethod
        def resolve_second(root: Any, info: Any) -> str:
            calls.append("second")
            raise ValueError("second")

        @staticmethod
        def resolve_third(root: Any, info: Any) -> None:
            calls.append("third")

    class Root(graphene.ObjectType):
        once = graphene.Field(Once)

    schema = graphene.Schema(query=Root).graphql_schema
    operation = Both(schema, "{ once { first second third } }", lambda: {"once": {}})
    result = operation.execute()
    assert calls == ["first", "second", "third"]
    assert [error.message for error in result.errors] == [
        "second",
        "Cannot return null for non-nullable field Once.third.",
    ]

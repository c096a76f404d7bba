"""Interfaces, unions and checks of types are as in graphql-core."""

from __future__ import annotations

from typing import Any

import graphene
import pytest
from graphql import (
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLString,
    GraphQLUnionType,
)

from executed_twice import Both


class Named(graphene.Interface):
    name = graphene.String()

    @classmethod
    def resolve_type(cls, instance: Any, info: Any) -> Any:
        assert info.field_name in ("all", "pet")
        return instance.get("type") if isinstance(instance, dict) else type(instance)


class Cat(graphene.ObjectType):
    class Meta:
        interfaces = (Named,)

    lives = graphene.Int()


class Dog(graphene.ObjectType):
    class Meta:
        interfaces = (Named,)

    barks = graphene.Boolean()


class Stone(graphene.ObjectType):
    class Meta:
        possible_types = (int,)

    weight = graphene.Int()

    @staticmethod
    def resolve_weight(root: int, info: Any) -> int:
        return root


class Pet(graphene.Union):
    class Meta:
        types = (Cat, Dog)


class Query(graphene.ObjectType):
    all = graphene.List(Named)
    pet = graphene.Field(Pet)
    stone = graphene.Field(Stone)
    stones = graphene.List(graphene.NonNull(Stone))


SCHEMA = graphene.Schema(query=Query, types=[Cat, Dog]).graphql_schema

FRAGMENTS = "name __typename ...onCat ... on Dog { barks name } ...onNamed ... on Stone { weight }"
MORE = "fragment onCat on Cat { lives } fragment onNamed on Named { again: name }"


def test_each_object_gets_the_fields_of_its_type() -> None:
    animals = [Cat(name="c", lives=9), Dog(name="d", barks=True), Cat(name="e"), None]
    result = Both(SCHEMA, f"{{ all {{ {FRAGMENTS} }} }} {MORE}", lambda: {"all": animals}).same()
    assert [list(each or ()) for each in result["data"]["all"]] == [
        ["name", "__typename", "lives", "again"],
        ["name", "__typename", "barks", "again"],
        ["name", "__typename", "lives", "again"],
        [],
    ]


@pytest.mark.parametrize("type_", [Cat, Dog, None, Query, "Cat", 5, "Named", "Nothing", ["Cat"]])
def test_every_type_that_is_told_is_as_in_graphql_core(type_: Any) -> None:
    value = {"type": type_, "name": "n"}
    Both(SCHEMA, "{ all { name } }", lambda: {"all": [value]}).same()
    Both(SCHEMA, "{ pet { ... on Cat { name } } }", lambda: {"pet": value}).same()


@pytest.mark.parametrize(
    "name",
    [
        "A",
        "B",
        "Other",
        "Named",
        "String",
        "Nothing",
        None,
        5,
        "",
        ["A"],
        type("Name", (str,), {})("A"),
    ],
)
def test_every_name_of_a_type_is_as_in_graphql_core(name: Any) -> None:
    named = GraphQLInterfaceType(
        "Named",
        {"name": GraphQLField(GraphQLString)},
        resolve_type=lambda value, info, type_: value["type"],
    )
    fields = {"name": GraphQLField(GraphQLString)}
    a, b = (GraphQLObjectType(each, fields, interfaces=[named]) for each in "AB")
    other = GraphQLObjectType("Other", fields)
    either = GraphQLUnionType("Either", [a, b], resolve_type=named.resolve_type)
    query = {"named": GraphQLField(GraphQLList(named)), "either": GraphQLField(either)}
    schema = GraphQLSchema(GraphQLObjectType("Query", query), types=[a, b, other])
    value = {"type": name, "name": "n"}
    text = "{ named { name } either { __typename ... on A { name } } }"
    Both(schema, text, lambda: {"named": [value, value], "either": value}).same()


@pytest.mark.parametrize(
    "value", [{"__typename": "A"}, {"a": 1}, {"b": 1}, {}, None, ValueError("v")]
)
def test_the_default_way_to_find_a_type_is_as_in_graphql_core(value: Any) -> None:
    named = GraphQLInterfaceType("Named", {"name": GraphQLField(GraphQLString)})
    fields = {"name": GraphQLField(GraphQLString)}
    types = [
        GraphQLObjectType(
            each,
            fields,
            interfaces=[named],
            is_type_of=lambda value, info, each=each: each.lower() in value,
        )
        for each in "AB"
    ]
    query = {"named": GraphQLField(named), "a": GraphQLField(types[0])}
    schema = GraphQLSchema(GraphQLObjectType("Query", query), types=types)
    Both(
        schema, "{ named { __typename } a { name } }", lambda: {"named": value, "a": value}
    ).same()


@pytest.mark.parametrize("value", [1, "no stone", None, ValueError("v")])
def test_possible_types_of_graphene_are_seen_to(value: Any) -> None:
    root = {"stone": value, "stones": [value, 2]}
    Both(SCHEMA, "{ stone { weight } stones { weight } }", lambda: root).same()


def test_a_check_gets_info() -> None:
    fields: list[str] = []

    def is_type_of(value: Any, info: Any) -> bool:
        fields.append(f"{info.field_name} at {info.path.as_list()}")
        return True

    thing = GraphQLObjectType(
        "Thing", {"name": GraphQLField(GraphQLString)}, is_type_of=is_type_of
    )
    query = {"things": GraphQLField(GraphQLList(thing))}
    schema = GraphQLSchema(GraphQLObjectType("Query", query))
    Both(schema, "{ a: things { name } }", lambda: {"things": [{}, {}]}).same()
    assert fields == ["things at ['a']"] * 4

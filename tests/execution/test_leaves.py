"""Plain fields read at once give what graphql-core gives, and all others are left to it."""

from enum import Enum
from typing import Any

import graphene
import pytest
from graphql import ExecutionContext, MiddlewareManager, execute, parse

from channels_graphql_ws.execution.leaves import LeafContext


class Colour(Enum):
    RED = 1


class Shout(graphene.Scalar):
    @staticmethod
    def serialize(value: Any) -> Any:
        if value == "silence":
            raise ValueError("nothing to shout")
        return {"nothing": None, "odd": ["a", "b"]}.get(value, value.upper())


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
    tags = graphene.List(graphene.String)
    child = graphene.Field(lambda: Thing)
    repeated = graphene.String(times=graphene.Int(default_value=2))
    own = graphene.String()

    @staticmethod
    def resolve_repeated(root: Any, info: Any, times: int) -> str:
        return "ab" * times

    @staticmethod
    def resolve_own(root: Any, info: Any) -> str:
        return info.field_name


class Query(graphene.ObjectType):
    thing = graphene.Field(Thing)


SCHEMA = graphene.Schema(query=Query, types=[Thing]).graphql_schema


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


class Slotted:
    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


class Magic(Plain):
    def __getattribute__(self, name: str) -> Any:
        return "magic" if name == "name" else super().__getattribute__(name)


class Spoken(str):
    __slots__ = ()


def run(context: type[ExecutionContext], thing: Any, selection: str, **options: Any) -> Any:
    result = execute(
        schema=SCHEMA,
        document=parse(f"{{ thing {{ {selection} }} }} fragment more on Thing {{ count }}"),
        root_value={"thing": thing},
        execution_context_class=context,
        **options,
    )
    return result.formatted, [error.locations for error in result.errors or ()]


class Short(LeafContext):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.readers = {}


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
    "name must count ratio flag key shout camelCase",
    "alias: name other: name",
    "name name",
    "__typename name",
    "name tags",
    "colour name",
    "repeated(times: 3) name",
    "own",
    "child { name must }",
    "name @skip(if: true) count",
    "... on Thing { name ...more }",
]


@pytest.mark.parametrize("make", [dict, Plain, Thing])
@pytest.mark.parametrize("selection", SELECTIONS)
def test_every_kind_of_field_is_as_in_graphql_core(selection: str, make: Any) -> None:
    child = make(name="child", must="too")
    thing = make(**EVERYTHING, tags=["a"], colour=Colour.RED, child=child)
    assert run(Short, thing, selection) == run(ExecutionContext, thing, selection)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", None),
        ("must", None),
        ("name", 5),
        ("name", True),
        ("count", "no number"),
        ("count", 2**40),
        ("count", True),
        ("ratio", float("nan")),
        ("flag", "yes"),
        ("name", ["a", "list"]),
        ("name", lambda: "called"),
        ("name", Spoken("subclass")),
        ("shout", "silence"),
        ("shout", "nothing"),
        ("shout", "odd"),
    ],
)
def test_every_value_is_as_in_graphql_core(name: str, value: Any) -> None:
    thing = EVERYTHING | {name: value}
    assert run(Short, thing, f"flag {name}") == run(ExecutionContext, thing, f"flag {name}")


@pytest.mark.parametrize(
    "thing",
    [
        Computed(),
        Magic(name="hidden"),
        Slotted("slotted"),
        Plain(),
        {},
        type("Attribute", (), {"name": "of the class"})(),
        5,
    ],
)
def test_every_kind_of_object_is_as_in_graphql_core(thing: Any) -> None:
    assert run(Short, thing, "name") == run(ExecutionContext, thing, "name")


def test_a_data_descriptor_wins_over_an_attribute_of_its_name() -> None:
    assert run(Short, Computed(count=1), "name")[0]["data"]["thing"]["name"] == "computed"


def test_middleware_sees_every_field() -> None:
    seen: list[str] = []

    def note(resolve: Any, root: Any, info: Any, **arguments: Any) -> Any:
        seen.append(info.field_name)
        return resolve(root, info, **arguments)

    run(Short, EVERYTHING, "name count", middleware=MiddlewareManager(note))
    assert seen == ["thing", "name", "count"]


def test_a_reader_is_made_once() -> None:
    document = parse("{ thing { name } }")
    context: Any = Short.build(schema=SCHEMA, document=document)
    context.root_value = {"thing": {"name": "n"}}
    for _ in range(2):
        data = context.execute_operation(context.operation, context.root_value)
        assert data == {"thing": {"name": "n"}}
    assert len([key for key in context.readers if key[1] == "Thing"]) == 1


def test_plain_fields_are_not_resolved_by_graphql_core(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved: list[str] = []
    original = ExecutionContext.execute_field

    def note(self: Any, parent: Any, source: Any, nodes: Any, path: Any) -> Any:
        resolved.append(nodes[0].name.value)
        return original(self, parent, source, nodes, path)

    monkeypatch.setattr(ExecutionContext, "execute_field", note)
    run(Short, EVERYTHING, "name must count ratio flag key shout")
    assert resolved == ["thing"]

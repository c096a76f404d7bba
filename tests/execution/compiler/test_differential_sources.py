"""Whatever a field is read from, the compiled reader finds what the resolver would have found."""

from __future__ import annotations

import types
from collections import ChainMap, OrderedDict, UserDict, defaultdict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import graphene
import pytest
from graphene.types.resolver import attr_resolver, dict_or_attr_resolver, dict_resolver
from graphql import GraphQLSchema, build_schema

from differential.side_by_side import answer

CORE = build_schema("type Query { thing: Thing } type Thing { title: String count: Int! }")


def of_graphene(default_resolver: Any) -> GraphQLSchema:
    """Make the same schema of Graphene's classes."""
    meta = type("Meta", (), {"default_resolver": default_resolver})
    content = {
        "title": graphene.String(default_value="by default"),
        "count": graphene.Int(required=True),
        "Meta": meta,
    }
    thing = type("Thing", (graphene.ObjectType,), content)
    query = type("Query", (graphene.ObjectType,), {"thing": graphene.Field(thing)})
    return graphene.Schema(query=query).graphql_schema  # type: ignore[no-any-return]


RESOLVERS = (dict_or_attr_resolver, dict_resolver, attr_resolver)
SCHEMAS = {"core": CORE, **{each.__name__: of_graphene(each) for each in RESOLVERS}}


class Overriding(dict[str, Any]):
    """A dictionary that gives something else."""

    def get(self, key: str, default: Any = None) -> Any:
        """Count what is there."""
        return len(self) if key == "count" else default


class Missing(dict[str, Any]):
    """A dictionary that makes what is not there."""

    def __missing__(self, key: str) -> Any:
        return 5


class Everything:
    """Answers whatever is asked."""

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return super().__getattribute__(name)
        return 8


class Property:
    """Fails where it is asked."""

    count = 3

    @property
    def title(self) -> str:
        raise AttributeError("inside")


class Failing(Property):
    """Fails in another way."""

    @property
    def title(self) -> str:
        raise ValueError("inside")


class Both(dict[str, Any]):
    """A dictionary with attributes."""

    title = "attribute"
    count = 4


@dataclass
class Data:
    title: Any = "data"
    count: Any = 1


class Slots:
    """Has no dictionary."""

    __slots__ = ("count", "title")

    def __init__(self) -> None:
        self.count = 2


class Calling:
    """Has methods."""

    def title(self, info: Any) -> str:
        return info.field_name  # type: ignore[no-any-return]

    async def count(self, info: Any) -> int:
        return 6


class Callable8:
    """Can be called, and shows itself alike wherever it is."""

    def __repr__(self) -> str:
        return "callable"

    def __call__(self, info: Any) -> int:
        return 8


Pair = namedtuple("Pair", "title count")  # noqa: PYI024 (one without types is meant)

SOURCES: dict[str, Callable[[], Any]] = {
    "dict": lambda: {"title": "t", "count": 1},
    "nothing in it": dict,
    "null in it": lambda: {"title": None, "count": None},
    "functions in it": lambda: {"title": lambda info: "called", "count": partial(int, 3)},
    "callable in it": lambda: {"title": Callable8(), "count": Callable8()},
    "a class in it": lambda: {"title": str, "count": int},
    "default dict": lambda: defaultdict(lambda: 7, title="t"),
    "ordered dict": lambda: OrderedDict(count=1),
    "overriding": lambda: Overriding(title="t"),
    "missing": Missing,
    "with attributes": lambda: Both(title="key"),
    "chain": lambda: ChainMap({"count": 1}, {"title": "t"}),
    "user dict": lambda: UserDict(title="t", count=2),
    "proxy": lambda: types.MappingProxyType({"title": "t", "count": 2}),
    "tuple with names": lambda: Pair("t", 9),
    "data class": Data,
    "class": lambda: Data,
    "slots": Slots,
    "property": Property,
    "failing": Failing,
    "everything": Everything,
    "methods": Calling,
    "namespace": lambda: types.SimpleNamespace(title=1.5, count="12"),
    "text": lambda: "text",
    "tuple": lambda: ("title", "count"),
    "list": lambda: ["title"],
    "number": lambda: 1,
    "true": lambda: True,
    "module": lambda: types,
}


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
@pytest.mark.parametrize("text", ["{ thing { title } }", "{ thing { count title other: title } }"])
def test_fields_are_read_from_anything(
    schema: GraphQLSchema, source: Callable[[], Any], text: str
) -> None:
    answer(schema, text, lambda: {"thing": source()})


def test_what_graphene_makes_itself_is_read() -> None:
    schema = SCHEMAS["dict_or_attr_resolver"]
    thing: Any = schema.type_map["Thing"].graphene_type  # type: ignore[attr-defined]
    for made in (thing(title="t", count=1), thing(count=2), thing(title=None)):
        answer(schema, "{ thing { title count } }", lambda made=made: {"thing": made})

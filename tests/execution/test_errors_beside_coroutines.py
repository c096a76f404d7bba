"""An error that takes the place of an object or a list leaves nothing in it that nobody awaits."""

from __future__ import annotations

import gc
import warnings
from itertools import count
from typing import Any

import graphene
import pytest
from graphql import ExecutionResult, parse

from channels_graphql_ws.execution import breathing, budget
from channels_graphql_ws.execution.compiler.operation import compile_operation
from differential.side_by_side import warned
from support import tick

LONG = 1_100


async def number() -> int:
    return 1


class Found(graphene.Interface):
    a = graphene.Int()


class Item(graphene.ObjectType):
    class Meta:
        interfaces = (Found,)

    a = graphene.Int()
    b = graphene.Int()
    is_late = graphene.Int()
    must = graphene.Int(required=True)
    must_later = graphene.Int(required=True)
    sub = graphene.Field(lambda: Item)
    needed = graphene.Field(lambda: Item, required=True)
    later = graphene.Field(lambda: Item)
    items = graphene.List(lambda: Item)
    needed_items = graphene.List(graphene.NonNull(lambda: Item))
    long = graphene.List(lambda: Item)
    numbers = graphene.List(graphene.Int)
    needed_numbers = graphene.List(graphene.NonNull(graphene.Int))
    late_start = graphene.List(graphene.NonNull(graphene.Int))
    plain_numbers = graphene.List(graphene.NonNull(graphene.Int))
    long_numbers = graphene.List(graphene.NonNull(graphene.Int))
    found = graphene.Field(Found)

    async def resolve_a(self, info):
        return 1

    async def resolve_b(self, info):
        await tick()
        return 2

    def resolve_must(self, info):
        raise ValueError("now")

    async def resolve_must_later(self, info):
        raise ValueError("later")

    def resolve_sub(self, info):
        return Item()

    resolve_needed = resolve_found = resolve_sub

    async def resolve_later(self, info):
        return Item()

    def resolve_items(self, info):
        return [Item(), Item()]

    resolve_needed_items = resolve_items

    def resolve_long(self, info):
        return [Item() for _ in range(LONG)]

    def resolve_numbers(self, info):
        return [number(), 2, number()]

    def resolve_needed_numbers(self, info):
        return [number(), None, number()]

    def resolve_late_start(self, info):
        return [None, number(), number()]

    def resolve_plain_numbers(self, info):
        return [None, 1, 2]

    def resolve_long_numbers(self, info):
        return [*(number() for _ in range(LONG)), None, *(number() for _ in range(LONG))]


class Query(graphene.ObjectType):
    item = graphene.Field(Item)
    later = graphene.Field(Item)

    def resolve_item(self, info):
        return Item()

    async def resolve_later(self, info):
        return Item()


class Mutation(graphene.ObjectType):
    must_later = graphene.Int(required=True)
    a = graphene.Int()
    item = graphene.Field(Item)

    async def resolve_must_later(self, info):
        raise ValueError("later")

    async def resolve_a(self, info):
        return 1

    async def resolve_item(self, info):
        return Item()


SCHEMA = graphene.Schema(query=Query, mutation=Mutation).graphql_schema
WIDE = " ".join(f"a{number}: a" for number in range(200))

NOTHING = {"item": None}
QUERIES: dict[str, Any] = {
    "{ item { a must } }": NOTHING,
    "{ item { a b mustLater } }": NOTHING,
    "{ item { must a } other: item { a } }": {"item": None, "other": {"a": 1}},
    "{ later { a must } }": {"later": None},
    "{ item { later { a } must } }": NOTHING,
    "{ item { a needed { b must } } }": NOTHING,
    "{ item { sub { a b } needed { a items { b } must } } }": NOTHING,
    "{ item { items { a } needed { numbers must } } }": NOTHING,
    "{ item { neededItems { a must } } }": {"item": {"neededItems": None}},
    "{ item { neededNumbers } }": {"item": {"neededNumbers": None}},
    "{ item { lateStart } }": {"item": {"lateStart": None}},
    "{ item { plainNumbers } }": {"item": {"plainNumbers": None}},
    "{ item { longNumbers } }": {"item": {"longNumbers": None}},
    "{ item { long { a } must } }": NOTHING,
    "{ item { found { a } must } }": NOTHING,
    f"{{ item {{ {WIDE} must }} }}": NOTHING,
    f"{{ item {{ sub {{ {WIDE} }} must }} }}": NOTHING,
    "mutation { mustLater a item { a } }": None,
    "mutation { a mustLater item { a } }": None,
}


class Clock:
    """Whatever is done, it is time for a pause."""

    def __init__(self) -> None:
        self._seconds = count()

    def __call__(self) -> float:
        return float(next(self._seconds))


@pytest.fixture(params=["at once", "with pauses"])
def pace(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "with pauses":
        clock = Clock()
        monkeypatch.setattr(budget, "monotonic", clock)
        monkeypatch.setattr(breathing, "monotonic", clock)
    return str(request.param)


async def result_of(made: Any) -> ExecutionResult:
    result = made if isinstance(made, ExecutionResult) else await made
    assert isinstance(result, ExecutionResult)
    return result


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query[:60])
async def test_no_coroutine_is_left_where_an_error_takes_the_place(query: str, pace: str) -> None:
    document = parse(query)
    compiled = compile_operation(SCHEMA, document, document.definitions[0])  # type: ignore[arg-type]
    assert compiled is not None
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = compiled.execute(root_value=None, context_value=None, variable_values={})
        result = await result_of(made)
        data, number_of_errors = result.data, len(result.errors or ())
        # Errors know the frames that they came through.
        del made, result
        gc.collect()
        left = warned(caught)
    assert left == []
    assert (data, number_of_errors) == (QUERIES[query], 1)


async def test_what_a_coroutine_of_the_user_was_given_is_the_users() -> None:
    kept = number()

    async def of(other: Any) -> int:
        return int(await other)

    class Mine(graphene.ObjectType):
        a = graphene.Int()
        must = graphene.Int(required=True)

        def resolve_a(self, info):
            return of(kept)

        def resolve_must(self, info):
            raise ValueError("now")

    class Root(graphene.ObjectType):
        mine = graphene.Field(Mine)

        def resolve_mine(self, info):
            return Mine()

    document = parse("{ mine { a must } }")
    schema = graphene.Schema(query=Root).graphql_schema
    compiled = compile_operation(schema, document, document.definitions[0])  # type: ignore[arg-type]
    assert compiled is not None
    made = compiled.execute(root_value=None, context_value=None, variable_values={})
    assert (await result_of(made)).data == {"mine": None}
    assert await kept == 1

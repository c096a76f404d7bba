"""What has to be waited for is waited for as graphql-core does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInt,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    GraphQLString,
)

from executed_twice import Both, told
from support import tick


class RefusedError(Exception):
    """What the resolvers of these tests raise."""


async def later(value: Any, ticks: int = 1) -> Any:
    for _ in range(ticks):
        await tick()
    if isinstance(value, RefusedError):
        raise value
    return value


class Awaitable:
    """Can be awaited, and is no coroutine."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __await__(self) -> Any:
        return later(self.value).__await__()


class Items:
    """Iterates asynchronously."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    async def __aiter__(self) -> Any:
        for item in self.items:
            await tick()
            yield item


def resolve(root: Any, info: Any, **_arguments: Any) -> Any:
    """Give what there is, or call it."""
    value = root.get(info.field_name)
    return value() if callable(value) else value


def field(type_: Any) -> GraphQLField:
    return GraphQLField(type_, resolve=resolve)


THING: Any = GraphQLObjectType(
    "Thing",
    lambda: {
        "name": field(GraphQLString),
        "must": field(GraphQLNonNull(GraphQLString)),
        "also": field(GraphQLNonNull(GraphQLString)),
        "plain": GraphQLField(GraphQLString),
        "child": field(THING),
        "required": field(GraphQLNonNull(THING)),
    },
)
SLOW = GraphQLScalarType("Slow", serialize=Awaitable)
ROOT = {
    "name": field(GraphQLString),
    "must": field(GraphQLNonNull(GraphQLString)),
    "thing": field(THING),
    "required": field(GraphQLNonNull(THING)),
    "things": field(GraphQLList(THING)),
    "requiredThings": field(GraphQLList(GraphQLNonNull(THING))),
    "texts": field(GraphQLList(GraphQLString)),
    "requiredTexts": field(GraphQLList(GraphQLNonNull(GraphQLString))),
    "slow": field(SLOW),
    "slows": field(GraphQLList(SLOW)),
}
SCHEMA = GraphQLSchema(GraphQLObjectType("Query", ROOT), GraphQLObjectType("Mutation", ROOT))


async def both(text: str, make_root: Any) -> Any:
    return await Both(SCHEMA, text, make_root).same_later()


@pytest.mark.parametrize(
    "make",
    [
        lambda: later("n"),
        lambda: later(None),
        lambda: later(5),
        lambda: later(["no", "text"]),
        lambda: later(RefusedError("raised")),
        lambda: later(ValueError("given")),
        lambda: Awaitable("n"),
        lambda: asyncio.ensure_future(later("n")),
    ],
)
@pytest.mark.parametrize("text", ["{ name }", "{ must }", "{ thing { name must } }"])
async def test_an_awaited_value_is_as_in_graphql_core(text: str, make: Any) -> None:
    await both(text, lambda: {"name": make, "must": make, "thing": {"name": make, "must": "m"}})


async def test_what_is_read_may_be_awaited() -> None:
    result = await both("{ thing { plain name } }", lambda: {"thing": {"plain": later("p")}})
    assert result == {"data": {"thing": {"plain": "p", "name": None}}}


async def test_fields_keep_their_order_and_wait_together() -> None:
    at_once = asyncio.Barrier(3)

    async def meet(value: str) -> str:
        await at_once.wait()
        return value

    def make() -> Any:
        things = {name: lambda name=name: meet(name) for name in ("name", "must", "also")}
        return {"thing": {**things, "plain": "p"}}

    operation = Both(SCHEMA, "{ thing { also plain name must } }", make)
    async with asyncio.timeout(20):
        result = await operation.execute()
    assert list(result.data["thing"].items()) == [
        ("also", "also"),
        ("plain", "p"),
        ("name", "name"),
        ("must", "must"),
    ]


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("{ thing { name } }", {"thing": lambda: later({"name": lambda: later("n")})}),
        (
            "{ thing { must also } }",
            {"thing": {"must": lambda: later(RefusedError("a")), "also": "b"}},
        ),
        (
            "{ thing { must also } name }",
            {
                "thing": {
                    "must": lambda: later(RefusedError("first")),
                    "also": lambda: later(RefusedError("second"), 5),
                },
                "name": lambda: later("n", 10),
            },
        ),
        (
            "{ thing { name must } }",
            {
                "thing": {
                    "name": lambda: later(RefusedError("first")),
                    "must": lambda: later(RefusedError("second"), 5),
                }
            },
        ),
        (
            "{ required { must } name }",
            {
                "required": {"must": lambda: later(RefusedError("all of it"))},
                "name": lambda: later(RefusedError("late"), 5),
            },
        ),
        ("{ required { required { must } } }", {"required": {"required": {"must": later}}}),
        (
            "{ thing { required { must } } }",
            {"thing": {"required": lambda: later({"must": lambda: later(None)})}},
        ),
        ("{ things { name } }", {"things": lambda: [later({"name": "n"}), {"name": "m"}, None]}),
        ("{ things { name } }", {"things": lambda: later([{"name": lambda: later("n")}] * 2)}),
        ("{ things { must } }", {"things": [{"must": lambda: later(None)}, {"must": "m"}]}),
        (
            "{ things { must } }",
            {
                "things": [
                    {"must": "a"},
                    {"must": lambda: later(RefusedError("b"))},
                    {"must": "c"},
                ]
                * 3
            },
        ),
        ("{ requiredThings { must } }", {"requiredThings": [{"must": lambda: later(None)}]}),
        ("{ things { name } }", {"things": lambda: [later(RefusedError("one")), later(5)]}),
        ("{ texts }", {"texts": lambda: [later("a"), "b", later(None), later(RefusedError("c"))]}),
        ("{ requiredTexts }", {"requiredTexts": lambda: [later("a"), later(None)]}),
        ("{ texts }", {"texts": lambda: Items("a", None, 5)}),
        ("{ texts }", {"texts": lambda: later(Items("a"))}),
        ("{ requiredTexts }", {"requiredTexts": lambda: Items("a", None)}),
        ("{ slow }", {"slow": "s"}),
        ("{ slow }", {"slow": RefusedError("s")}),
        ("{ slows }", {"slows": ["s", RefusedError("s"), None, "t"], "slow": "s"}),
    ],
)
async def test_every_kind_of_waiting_is_as_in_graphql_core(text: str, root: Any) -> None:
    operation = Both(SCHEMA, text, lambda: root)
    ours, theirs = operation.execute(), operation.execute_by_core()
    results = [await one if asyncio.iscoroutine(one) else one for one in (ours, theirs)]
    # What is left behind of a selection that has failed comes to its end.
    await later(None, 20)
    assert told(results[0]) == told(results[1])


async def test_asynchronous_items_that_wait_are_waited_for() -> None:
    """graphql-core gives coroutines in the place of data here, which have no JSON form."""
    operation = Both(SCHEMA, "{ texts }", lambda: {"texts": Items("a", Awaitable("b"))})
    assert (await operation.execute()).data == {"texts": ["a", "b"]}


async def test_cancellation_goes_through() -> None:
    async def cancelled() -> None:
        raise asyncio.CancelledError

    operation = Both(SCHEMA, "{ thing { name } }", lambda: {"thing": {"name": cancelled}})
    with pytest.raises(asyncio.CancelledError):
        await operation.execute()
    with pytest.raises(asyncio.CancelledError):
        await operation.execute_by_core()


async def test_mutations_wait_one_after_another() -> None:
    def make() -> Any:
        log: list[str] = []

        async def act(name: str) -> str:
            log.append(f"begin {name}")
            await tick()
            log.append(f"end {name}")
            return " ".join(log)

        return {"name": lambda: act("name"), "must": lambda: act("must"), "texts": ["t"]}

    result = await both("mutation { must texts name again: name }", make)
    assert result["data"]["again"].split("begin ")[1:] == [
        "must end must ",
        "name end name ",
        "name end name",
    ]
    assert list(result["data"]) == ["must", "texts", "name", "again"]


@pytest.mark.parametrize(
    "root",
    [
        {"name": lambda: later("n"), "must": lambda: later(RefusedError("all"))},
        {"name": lambda: later(RefusedError("only this")), "must": lambda: later("m")},
        {"name": "n", "must": lambda: later("m")},
        {"name": lambda: later("n"), "must": "m"},
    ],
)
async def test_every_mutation_is_as_in_graphql_core(root: Any) -> None:
    await both("mutation { name must }", lambda: root)


def abstract_schema(resolve_type: Any = None, is_type_of: Any = None) -> GraphQLSchema:
    named = GraphQLInterfaceType(
        "Named", {"name": GraphQLField(GraphQLString)}, resolve_type=resolve_type
    )
    fields = {"name": field(GraphQLString), "count": GraphQLField(GraphQLInt)}
    a, b = (
        GraphQLObjectType(name, fields, interfaces=[named], is_type_of=is_type_of)
        for name in ("A", "B")
    )
    query = {
        "named": field(named),
        "all": field(GraphQLList(named)),
        "a": field(a),
        "ignored": GraphQLField(named, {"of": GraphQLArgument(GraphQLInt)}),
    }
    return GraphQLSchema(GraphQLObjectType("Query", query), types=[a, b])


async def test_a_type_may_be_awaited() -> None:
    schema = abstract_schema(lambda value, info, type_: later(value["type"]))
    values = [{"type": name, "name": name} for name in ("A", "B", "A", "C")]
    values.append({"type": "A", "name": lambda: later("waits")})
    text = "{ all { name ... on A { count } __typename } }"
    await Both(schema, text, lambda: {"all": values}).same_later()


async def test_a_check_of_the_type_may_be_awaited() -> None:
    schema = abstract_schema(is_type_of=lambda value, info: later(value.get("type") != "no"))
    operation = Both(
        schema,
        "{ a { name } named { name } all { name } }",
        lambda: {
            "a": {"type": "no", "name": "a"},
            "named": {"name": "n"},
            "all": [{"type": "no"}, {}],
        },
    )
    await operation.same_later()


async def test_fields_behind_an_awaited_check_are_waited_for() -> None:
    """graphql-core gives a coroutine in the place of data here, which has no JSON form."""
    schema = abstract_schema(is_type_of=lambda value, info: later(True))
    operation = Both(schema, "{ a { name } }", lambda: {"a": {"name": lambda: later("n")}})
    assert (await operation.execute()).data == {"a": {"name": "n"}}

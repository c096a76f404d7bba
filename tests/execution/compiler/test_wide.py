"""Objects of which very many fields are selected."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from graphql import (
    GraphQLField,
    GraphQLInt,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    parse,
)

from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.execution import breathing, budget
from channels_graphql_ws.execution.budget import ExecutionLimits
from channels_graphql_ws.execution.compiler.operation import compile_operation
from channels_graphql_ws.execution.compiler.wide import FIELDS_UNTIL_A_LOOK
from executed_twice import Both, operation_of, told
from support import tick

MANY = 3 * FIELDS_UNTIL_A_LOOK + 10


async def later(value: Any) -> Any:
    await tick()
    if isinstance(value, Exception):
        raise value
    return value


def plain(root: Any, info: Any) -> Any:
    return root["plain"]


def awaited(root: Any, info: Any) -> Any:
    return later(root["awaited"])


def refused(root: Any, info: Any) -> Any:
    raise ValueError("Refused")


THING: Any = GraphQLObjectType(
    "Thing",
    lambda: {
        "plain": GraphQLField(GraphQLInt, resolve=plain),
        "awaited": GraphQLField(GraphQLInt, resolve=awaited),
        "must": GraphQLField(GraphQLNonNull(GraphQLInt), resolve=awaited),
        "refused": GraphQLField(GraphQLInt, resolve=refused),
        "mustRefuse": GraphQLField(GraphQLNonNull(GraphQLInt), resolve=refused),
        "thing": GraphQLField(THING, resolve=lambda root, info: root),
        "things": GraphQLField(GraphQLList(THING), resolve=lambda root, info: [root] * 3),
    },
)
SCHEMA = GraphQLSchema(THING, THING)
ROOT = {"plain": 1, "awaited": 2}


@pytest.fixture(params=["at once", "with pauses"])
def _pauses(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each look at the clock take a second, or none."""
    now = [0.0]

    def monotonic() -> float:
        now[0] += request.param == "with pauses"
        return now[0]

    for module in (breathing, budget):
        monkeypatch.setattr(module, "monotonic", monotonic)


def many(*names: str) -> str:
    """Return these fields under very many names."""
    return " ".join(f"a{number}: {names[number % len(names)]}" for number in range(MANY))


@pytest.mark.usefixtures("_pauses")
@pytest.mark.parametrize(
    "text",
    [
        f"{{ {many('plain')} }}",
        f"{{ {many('awaited')} }}",
        f"{{ {many('plain', 'awaited', 'refused')} }}",
        f"{{ thing {{ {many('plain', 'awaited')} }} }}",
        f"{{ things {{ {many('plain', 'refused')} }} }}",
        f"{{ things {{ {many('plain', 'awaited', 'refused', 'must')} }} }}",
        f"{{ things {{ {many('plain', 'thing { plain awaited }', 'things { awaited }')} }} }}",
        f"{{ thing {{ {many('plain')} mustRefuse }} plain }}",
        f"{{ things {{ {many('plain')} mustRefuse }} plain }}",
        f"mutation {{ {many('plain')} }}",
        f"mutation {{ {many('plain', 'awaited', 'refused')} }}",
    ],
)
async def test_it_is_as_in_graphql_core(text: str) -> None:
    operation = Both(SCHEMA, text, lambda: ROOT)
    ours, theirs = operation.execute(), operation.execute_by_core()
    results = [await one if asyncio.iscoroutine(one) else one for one in (ours, theirs)]
    assert told(results[0]) == told(results[1])


@pytest.mark.usefixtures("_pauses")
async def test_nothing_is_left_of_one_that_was_not_complete() -> None:
    operation = Both(SCHEMA, f"{{ thing {{ {many('awaited')} }} }}", lambda: ROOT)
    task = asyncio.create_task(operation.execute())
    await tick()
    eager.cancel(task)
    await asyncio.wait([task])
    assert task.cancelled()
    del task
    gc.collect()


@pytest.mark.usefixtures("_pauses")
async def test_nothing_more_is_executed_beyond_the_limit() -> None:
    document = parse(f"{{ things {{ {many('awaited')} }} }}")
    limits = ExecutionLimits(2 * MANY)
    operation = compile_operation(SCHEMA, document, operation_of(document), None, limits)
    assert operation is not None
    result: Any = operation.execute(root_value=ROOT, context_value=None, variable_values={})
    if asyncio.iscoroutine(result):
        result = await result
    assert result.data is None
    assert "more than" in result.errors[0].message
    gc.collect()

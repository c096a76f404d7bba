"""What goes wrong in Python itself goes wrong alike: exits, cancellation, depth, two at once."""

from __future__ import annotations

import asyncio
import gc
import warnings
from dataclasses import dataclass
from typing import Any

import pytest
from graphql import (
    DocumentNode,
    GraphQLResolveInfo,
    build_schema,
    execute,
    get_operation_ast,
    parse,
)
from graphql.pyutils import Path

from channels_graphql_ws.execution.compiler.operation import CompiledOperation, compile_operation
from differential.recipes import Mute
from differential.side_by_side import Given, Operation, answer, observe, warned
from engine_fakes import cancel
from support import tick

SCHEMA = build_schema("""
    type Query { a: Int must: Int! list: [Int] thing: Thing things: [Thing!] with(a: [Int]): Int }
    type Thing { a: Int b: Int of(a: [Int]): Int thing: Thing must: Thing! }
    type Mutation { a: Int b: Int }
""")


def compiled(document: DocumentNode) -> CompiledOperation:
    operation = get_operation_ast(document)
    assert operation is not None
    plan = compile_operation(SCHEMA, document, operation)
    assert plan is not None
    return plan


def both(text: str) -> list[Any]:
    """Give what executes it for a root value, compiled and not."""
    document = parse(text)
    plan = compiled(document)
    return [
        lambda root: plan.execute(root_value=root, context_value=None, variable_values={}),
        lambda root: execute(schema=SCHEMA, document=document, root_value=root),
    ]


def raising(error: BaseException) -> Any:
    def method(info: Any) -> Any:
        raise error

    return method


EXITS = [KeyboardInterrupt(), SystemExit(3), GeneratorExit(), asyncio.CancelledError()]
EXITS.append(BaseExceptionGroup("both", [KeyboardInterrupt(), ValueError("v")]))


@pytest.mark.parametrize("error", EXITS, ids=repr)
@pytest.mark.parametrize("text", ["{ a }", "{ thing { a } }", "{ must }", "mutation { a b }"])
def test_what_is_no_error_of_a_field_leaves_the_execution(error: BaseException, text: str) -> None:
    root = {"a": raising(error), "must": raising(error), "thing": {"a": raising(error)}}
    for call in both(text):
        with pytest.raises(type(error)) as caught:
            call(root)
        assert caught.value is error


@pytest.mark.parametrize("error", EXITS, ids=repr)
def test_returned_it_is_a_value_like_any(error: BaseException) -> None:
    answer(SCHEMA, "{ a list must }", lambda: {"a": error, "list": [1, error], "must": 1})


ERRORS = [StopIteration("s"), StopAsyncIteration("s"), ExceptionGroup("g", [ValueError("v")])]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_errors_that_mean_something_to_python_are_errors_of_the_field(error: Exception) -> None:
    async def later(info: Any) -> Any:
        raise error

    text = "{ a thing { a b } list }"
    root = {"a": raising(error), "thing": {"a": later, "b": error}, "list": [error, 1]}
    result = answer(SCHEMA, text, lambda: root)
    assert result["data"] == {"a": None, "thing": {"a": None, "b": None}, "list": [None, 1]}


@pytest.mark.parametrize("text", ["{ a }", "{ thing { a } list }", "{ list }", "{ must }"])
def test_an_error_that_can_not_be_shown_is_told_of_in_the_same_way(text: str) -> None:
    mute = Mute("hidden")
    root = {"a": mute, "thing": {"a": raising(mute)}, "list": [1, mute], "must": mute}
    candidate, reference = [
        observe(lambda root, *_, call=call: call(root), lambda: Given(root), {})
        for call in both(text)
    ]
    assert candidate.told() == reference.told()


class Waiting:
    """Fields that wait for ever, and say when they are begun and ended."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.thing = {"a": self.a, "b": self.b}
        self.things = [self.thing, self.thing]

    async def a(self, info: Any) -> int:
        return await self._wait(info)

    async def b(self, info: Any) -> int:
        return await self._wait(info)

    async def _wait(self, info: Any) -> int:
        name = "/".join(map(str, info.path.as_list()))
        self.begun.append(name)
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append(name)
        return 1


CANCELLED = ["{ a }", "{ thing { a b } other: thing { a } }", "{ things { a b } a }"]
CANCELLED.append("mutation { a b }")


@dataclass
class Left:
    """What an execution that was cancelled has begun, and left behind."""

    begun: list[str]
    never_awaited: int


def cancelled(call: Any, turns: int) -> Left:
    """Execute, and cancel after so many turns of the loop."""
    root = Waiting()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        asyncio.run(_cancelled(call, root, turns))
        gc.collect()
        never_awaited = len(warned(caught))
    assert sorted(root.begun) == sorted(root.ended)
    return Left(sorted(root.begun), never_awaited)


async def _cancelled(call: Any, root: Waiting, turns: int) -> None:
    task = asyncio.ensure_future(call(root))
    await tick(turns)
    await cancel(task)
    await tick(3)
    assert task.cancelled()


@pytest.mark.parametrize("text", CANCELLED)
def test_who_is_cancelled_leaves_no_more_behind_than_in_graphql_core(text: str) -> None:
    candidate, reference = both(text)
    for turns in range(6):
        ours, theirs = cancelled(candidate, turns), cancelled(reference, turns)
        # What had no turn yet is never awaited, in either.
        assert ours.never_awaited <= theirs.never_awaited, turns
    # After some turns everything has begun; how many it takes is nobody's business.
    assert ours.begun == theirs.begun


@pytest.mark.parametrize("text", ["{ thing { a } a }", "mutation { a }"])
def test_once_everything_waits_nothing_at_all_is_left_behind(text: str) -> None:
    for call in both(text):
        left = cancelled(call, 5)
        assert left.begun
        assert left.never_awaited == 0


def nested(depth: int, field: str) -> tuple[str, Any]:
    """Give a document, and a value that has itself at every level."""
    thing: dict[str, Any] = {"a": 1}
    thing[field] = thing
    text = "{ thing " + f"{{ {field} " * depth + "{ a }" + " }" * depth + " }"
    return text, thing


@pytest.mark.parametrize("depth", [1, 20, 55, 58, 60, 62, 80, 120])
@pytest.mark.parametrize("field", ["thing", "must"])
def test_documents_are_executed_however_deep_they_are(depth: int, field: str) -> None:
    text, thing = nested(depth, field)
    document = parse(text)
    operation = get_operation_ast(document)
    assert operation is not None
    plan = compile_operation(SCHEMA, document, operation)
    result: Any = execute(schema=SCHEMA, document=document, root_value={"thing": thing})
    if plan is not None:
        candidate: Any = plan.execute(
            root_value={"thing": thing}, context_value=None, variable_values={}
        )
        assert candidate.formatted == result.formatted
    assert depth > 50 or plan is not None


@pytest.mark.parametrize("depth", [10, 150, 250, 5_000])
def test_variables_are_refused_alike_however_deep_they_are(depth: int) -> None:
    schema = build_schema("input In { in: In a: Int } type Query { it(of: In): Int }")
    document = parse("query ($v: In) { it(of: $v) }")
    node = get_operation_ast(document)
    assert node is not None
    value: dict[str, Any] = {"a": 1}
    for _ in range(depth):
        value = {"in": value}
    operation = Operation(schema, document, node)
    outcomes = []
    for call in (operation.candidate, operation.reference):
        try:
            outcomes.append(call({"it": 3}, None, {"v": value}).formatted)
        except RecursionError:
            # The first releases of graphql-core 3.2 do not count.
            outcomes.append(None)
    assert outcomes[0] == outcomes[1]


def test_a_resolver_that_runs_out_of_stack_is_an_error_of_its_field() -> None:
    def endless(info: Any) -> Any:
        return endless(info)

    result = answer(SCHEMA, "{ a thing { a } list }", lambda: {"a": endless, "list": [1]})
    assert result["data"] == {"a": None, "thing": None, "list": [1]}


def test_executed_with_little_stack_left_it_gives_a_result_and_never_crashes() -> None:
    call, _ = both("{ thing { thing { thing { a } } } }")
    root = {"thing": {"thing": {"thing": {"a": 1}}}}
    whole = {"thing": {"thing": {"thing": {"a": 1}}}}

    def deeper(found: list[Any]) -> None:
        try:
            found.append(call(root))
            deeper(found)
        except RecursionError:
            return

    found: list[Any] = []
    deeper(found)
    assert found[0].data == whole
    for result in found:
        assert result.data == whole or result.errors


async def test_executions_of_one_operation_that_overlap_do_not_mix() -> None:
    gates = [asyncio.Event(), asyncio.Event()]

    async def execution(number: int) -> Any:
        async def a(info: Any) -> int:
            await gates[number].wait()
            return number

        thing = {"a": a, "b": ValueError(f"bad {number}")}
        return await plan.execute(
            root_value={"things": [thing, thing]}, context_value=number, variable_values={}
        )

    plan: Any = compiled(parse("{ things { a b } }"))
    tasks = [asyncio.ensure_future(execution(number)) for number in range(2)]
    for number in (1, 0):
        gates[number].set()
        result = await tasks[number]
        assert result.data == {"things": [{"a": number, "b": None}] * 2}
        assert [error.message for error in result.errors] == [f"bad {number}"] * 2


def test_nothing_of_one_execution_is_seen_by_the_next() -> None:
    plan = compiled(parse("query ($v: [Int] = [1]) { with(a: $v) same: with(a: [1]) }"))
    seen: list[Any] = []

    def spoil(info: Any, a: Any) -> int:
        seen.append(list(a))
        a.append("spoilt")
        info.variable_values["more"] = True
        return 1

    for variables in ({}, {"v": [1]}, {}):
        plan.execute(root_value={"with": spoil}, context_value=None, variable_values=variables)
    assert seen == [[1]] * 6


@pytest.mark.parametrize("argument", ["[1]", "1", "[1, $v]", "$w"])
def test_each_call_has_arguments_of_its_own_unless_they_are_a_variable(argument: str) -> None:
    declared = {"[1, $v]": "query ($v: Int = 2) ", "$w": "query ($w: [Int] = [1]) "}
    text = f"{declared.get(argument, '')}{{ things {{ of(a: {argument}) }} }}"
    seen: list[Any] = []

    def spoil(info: Any, a: Any) -> int:
        seen.append(list(a))
        a.append(9)
        return len(a)

    answer(SCHEMA, text, lambda: {"things": [{"of": spoil}] * 3})
    assert seen[:3] == seen[3:]
    assert (seen[0] == seen[2]) is (argument != "$w")


def test_info_is_what_graphql_core_gives() -> None:
    infos: list[Any] = []
    text = "{ thing { a with: b } }"
    for call in both(text):
        call({"thing": {"a": infos.append, "b": infos.append}})
    mine, theirs = infos[:2], infos[2:]
    for ours, reference in zip(mine, theirs, strict=True):
        assert isinstance(ours, GraphQLResolveInfo)
        assert isinstance(ours.path, Path)
        assert ours.path == reference.path
        assert ours._fields == reference._fields
        assert len(ours) == len(reference)
        assert ours._replace(context=1).context == 1
        assert ours._asdict().keys() == reference._asdict().keys()
        assert ours.field_nodes == reference.field_nodes
        assert ours.path.add_key("x", "T").as_list() == [*reference.path.as_list(), "x"]

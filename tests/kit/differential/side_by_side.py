"""Execute an operation with graphql-core and compiled, and compare all there is to compare."""

from __future__ import annotations

import asyncio
import copy
import gc
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any
from unittest.mock import patch

from graphql import (
    DocumentNode,
    GraphQLSchema,
    MiddlewareManager,
    OperationDefinitionNode,
    execute,
    get_operation_ast,
    parse,
    validate,
)
from hypothesis import event

from channels_graphql_ws.execution.compiler.operation import compile_operation
from differential import notes
from support import tick

Execute = Callable[[Any, Any, dict[str, Any]], Any]
"""Executes with a root value, a context and variables."""

_COROUTINE = json.dumps("coroutine")

_TURNS = 60
"""Of the event loop, after which nothing that an execution left behind is under way."""


@dataclass
class Outcome:
    """All that came of one execution.

    Attributes:
        result: what was given, in JSON.
        never_awaited: coroutines that nobody awaited.
        complaints: of the event loop.
        left: tasks that outlived the execution.
    """

    result: Any
    raised: Any
    is_awaitable: bool
    data: Any
    text: str
    errors: list[notes.Note] | None
    extensions: Any
    notes: list[notes.Note]
    never_awaited: list[str]
    complaints: list[str]
    left: int

    def told(self) -> dict[str, Any]:
        """Give what a client and the log are told."""
        names = ("raised", "is_awaitable", "data", "text", "errors", "extensions")
        return {name: getattr(self, name) for name in names}


@dataclass
class Operation:
    """An operation, ready for both."""

    schema: GraphQLSchema
    document: DocumentNode
    node: OperationDefinitionNode
    middleware: MiddlewareManager | None = None

    def __post_init__(self) -> None:
        self.compiled = compile_operation(self.schema, self.document, self.node, self.middleware)

    def reference(self, root: Any, context: Any, variables: dict[str, Any]) -> Any:
        """Execute with graphql-core."""
        return execute(
            schema=self.schema,
            document=self.document,
            root_value=root,
            context_value=context,
            variable_values=variables,
            operation_name=self.node.name and self.node.name.value,
            middleware=self.middleware,
        )

    def candidate(self, root: Any, context: Any, variables: dict[str, Any]) -> Any:
        """Execute what was compiled."""
        assert self.compiled is not None
        return self.compiled.execute(
            root_value=root, context_value=context, variable_values=variables
        )


def observe(call: Execute, make: Callable[[], Any], variables: dict[str, Any]) -> Outcome:
    """Execute in a loop of its own; `make` gives a world, or what looks like one."""
    variables = copy.deepcopy(variables)
    with (
        warnings.catch_warnings(record=True) as caught,
        # A pause of a machine that is busy would change the order of what waits.
        patch("channels_graphql_ws.execution.budget.WINDOW", math.inf),
    ):
        warnings.simplefilter("always")
        outcome = asyncio.run(_observed(call, make, variables))
        # Not later, within other tests: what nobody asked for may be a coroutine.
        gc.collect()
        outcome.never_awaited = warned(caught)
    return outcome


def warned(caught: list[Any]) -> list[str]:
    """Take all warnings: one keeps a coroutine, which may be the next to warn of another."""
    messages: list[str] = []
    while caught:
        messages.extend(str(each.message) for each in caught)
        caught.clear()
        gc.collect()
    return messages


async def _observed(call: Execute, make: Callable[[], Any], variables: dict[str, Any]) -> Outcome:
    complaints = notes.Complaints()
    asyncio.get_running_loop().set_exception_handler(complaints)
    world = make()
    raised = result = None
    is_awaitable = False
    try:
        result = call(world.root, world.context, variables)
        is_awaitable = isawaitable(result)
        if is_awaitable:
            result = await result
    except Exception as error:  # noqa: BLE001 (both have to raise the same)
        raised = notes.of_exception(error)
    left = len(asyncio.all_tasks()) - 1
    for _ in range(_TURNS if left else 3):
        await tick()
    text = _text(getattr(result, "data", None))
    return Outcome(
        # A coroutine that nobody awaits is to be let go of here and now.
        None if result is None or _COROUTINE in text else result.formatted,
        raised,
        is_awaitable,
        notes.canonical(getattr(result, "data", None)),
        text,
        None if result is None or result.errors is None else [*map(notes.of_error, result.errors)],
        notes.canonical(getattr(result, "extensions", None)),
        world.notes,
        [],
        complaints.heard,
        left,
    )


def _text(data: Any) -> str:
    return json.dumps(data, default=lambda value: type(value).__name__)


def assert_same(
    operation: Operation,
    make: Callable[[], Any],
    variables: dict[str, Any],
    *,
    may_forget: bool = False,
) -> None:
    """Execute both ways and compare.

    graphql-core forgets to wait for what is in an asynchronous iterable, or behind an `is_type_of`
    that is asynchronous: a coroutine is left in the data, or nowhere. If there is any such thing
    in the case, and it was forgotten, nothing is compared.
    """
    reference = observe(operation.reference, make, variables)
    if operation.compiled is None:
        event("handed to graphql-core")
        return
    event("compiled")
    event("awaitable" if reference.is_awaitable else "at once")
    event("errors" if reference.errors else "no errors")
    candidate = observe(operation.candidate, make, variables)
    if may_forget and (reference.never_awaited or _COROUTINE in reference.text):
        event("graphql-core did not wait")
        return
    assert_equal(candidate, reference)


def assert_equal(candidate: Outcome, reference: Outcome) -> None:
    """Compare what came of two executions."""
    _compare("result", candidate.told(), reference.told())
    # What waits may take its turns in another order, and that shows in nothing but this.
    _compare_calls(candidate.notes, reference.notes, in_order=not reference.is_awaitable)
    # graphql-core forgets coroutines when a field beside them fails; we may only do better.
    assert len(candidate.never_awaited) <= len(reference.never_awaited), candidate.never_awaited
    assert len(candidate.complaints) <= len(reference.complaints), candidate.complaints
    assert candidate.left <= reference.left, f"{candidate.left} tasks were left behind"


@dataclass
class Given:
    """A root value and a context that are simply there."""

    root: Any = None
    context: Any = None
    notes: list[notes.Note] = field(default_factory=list)


def answer(
    schema: GraphQLSchema,
    text: str,
    root: Callable[[], Any] = lambda: None,
    *,
    variables: dict[str, Any] | None = None,
    name: str | None = None,
    middleware: MiddlewareManager | None = None,
    is_compiled: bool = True,
) -> Any:
    """Execute a document both ways, see that it is the same, and give the result.

    Args:
        schema: what the document is valid for.
        text: the document.
        root: gives the root value, a new one for each execution.
        variables: as a client sends them.
        name: of the operation.
        middleware: around all resolvers.
        is_compiled: whether the compiler has to take the operation.
    """
    document = parse(text)
    assert validate(schema, document) == []
    node = get_operation_ast(document, name)
    assert node is not None
    operation = Operation(schema, document, node, middleware)
    assert (operation.compiled is not None) is is_compiled
    outcomes = [
        observe(execute, lambda: Given(root()), variables or {})
        for execute in (operation.reference, operation.candidate)
        if is_compiled or execute == operation.reference
    ]
    assert_equal(outcomes[-1], outcomes[0])
    assert outcomes[0].raised is None, outcomes[0].raised
    return outcomes[0].result


def _compare(what: str, candidate: dict[Any, Any], reference: dict[Any, Any]) -> None:
    different = [
        f"{name}\n  compiled:     {candidate[name]}\n  graphql-core: {reference[name]}"
        for name in reference
        if candidate[name] != reference[name]
    ]
    assert not different, "\n".join([f"not the same {what}:", *different])


def _compare_calls(
    candidate: list[notes.Note], reference: list[notes.Note], *, in_order: bool
) -> None:
    only_candidate = [each for each in candidate if each not in reference]
    only_reference = [each for each in reference if each not in candidate]
    told = f"\nonly compiled:     {only_candidate}\nonly graphql-core: {only_reference}"
    if in_order:
        assert candidate == reference, f"not the same calls, or not in order:{told}"
    assert sorted(candidate, key=repr) == sorted(reference, key=repr), f"other calls:{told}"

"""What has to be waited for: tell it from data, and wait for many of it at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from asyncio import CancelledError
from collections.abc import Awaitable, Iterable
from functools import partial
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from math import ceil
from types import CoroutineType, GeneratorType
from typing import Any, Final, TypeAlias

from graphql.pyutils import Path

from channels_graphql_ws.execution.budget import Meter
from channels_graphql_ws.execution.compiler.graphql_core import is_awaitable
from channels_graphql_ws.execution.heavy import marked
from channels_graphql_ws.execution.turns import OBJECTS_AT_ONCE, drop, in_turns, together

Kinds: TypeAlias = set[type]
"""Classes of values that cannot be awaited, as far as an operation has met them."""

MOST_KINDS: Final = 100
"""Most classes that are remembered for one operation."""

_OURS: Final = "channels_graphql_ws.execution."

_BUILT_IN: Final = (str, int, float, bool, type(None), dict, list, tuple)


def built_in_kinds() -> Kinds:
    """Return the classes that are known from the start."""
    return set(_BUILT_IN)


def has_to_wait(value: Any, kinds: Kinds) -> bool:
    """Return whether a value can be awaited; remember its class if that tells it of all values."""
    if is_awaitable(value):
        return True
    kind = type(value)
    if len(kinds) < MOST_KINDS and _is_plain(kind):
        kinds.add(kind)
    return False


def _is_plain(kind: Any) -> bool:
    """Return whether no value of the class can have an `__await__`."""
    return (
        kind.__getattribute__ is object.__getattribute__
        and not hasattr(kind, "__getattr__")
        and not hasattr(kind, "__await__")
        and kind is not GeneratorType
    )


async def awaited(awaitable: Awaitable[Any]) -> Any:
    """Make a coroutine of anything that can be awaited."""
    return await awaitable


def not_awaited(value: Any) -> None:
    """Drop what a resolver returned, where nothing more is to be executed."""
    if iscoroutine(value):
        value.close()


def close_all(coroutines: Iterable[Any]) -> None:
    """Close coroutines that have not begun and never will, as an error takes their place.

    Python would warn of each. What ours were to await is closed as well; what belongs to users
    is closed and not looked into.
    """
    left = list(coroutines)
    while left:
        value = left.pop()
        frame = value.cr_frame if type(value) is CoroutineType else None
        if frame is None or getcoroutinestate(value) != CORO_CREATED:
            continue
        is_ours = frame.f_globals.get("__name__", "").startswith(_OURS)
        arguments = [*frame.f_locals.values()] if is_ours else []
        value.close()
        for each in arguments:
            match each:
                case CoroutineType():
                    left.append(each)
                case list():
                    left.extend(each)
                case dict():
                    left.extend(each.values())
                case Unfinished():
                    each.close()
                case _:
                    pass


class Unfinished(ABC):
    """What completes something in several steps, and may be given up in between."""

    @abstractmethod
    def close(self) -> None:
        """Close the coroutines that it has made so far, none of which has begun."""


async def kept(value: Any, other: Awaitable[None]) -> None:
    """Await something before a value is completed; drop its items if that is cancelled."""
    try:
        await other
    except CancelledError:
        if isinstance(value, list | tuple):
            for item in value:
                not_awaited(item)
        raise


async def gathered(
    run: Meter, results: dict[str, Any], waiting: list[str], path: Path | None
) -> Any:
    """Await the fields of an object concurrently, and store their results.

    Args:
        run: the execution.
        results: all fields.
        waiting: those that are coroutines.
        path: of the object.
    """
    try:
        if len(waiting) == 1 and path is not None and path.prev is not None:
            # It has a task, or what it is in: nobody else sees the context variables. Between
            # the fields of a mutation there is none.
            values = [await results[waiting[0]]]
        else:
            values = await _at_once(run, [results[key] for key in waiting])
    finally:
        run.waiting -= 1
    results.update(zip(waiting, values, strict=True))
    return marked(results)


async def _at_once(run: Meter, awaitables: list[Any]) -> list[Any]:
    # Code in threads counts, too, and not exactly.
    step = ceil(OBJECTS_AT_ONCE / max(1, run.waiting))
    if len(awaitables) <= step:
        return await together(awaitables, run)
    # All objects of a list do the same: a loader gets the keys of one field together.
    return await in_turns(awaitables, step, run, run.pending.room)


async def gathered_items(run: Meter, results: list[Any], waiting: list[int], objects: int) -> Any:
    """Await items of a list concurrently, and store their results.

    Args:
        run: the execution.
        results: the items.
        waiting: where in it there are coroutines.
        objects: how many in the list have to wait, those in its items too.
    """
    run.note_wait()
    awaitables = [results[index] for index in waiting]
    if objects > OBJECTS_AT_ONCE or len(waiting) > OBJECTS_AT_ONCE:
        step = max(1, OBJECTS_AT_ONCE * len(waiting) // max(objects, len(waiting)))
        values = await in_turns(awaitables, step, run, partial(_next_turn, run))
    else:
        values = await together(awaitables, run)
    for index, value in zip(waiting, values, strict=True):
        results[index] = value
    return marked(results)


async def _next_turn(run: Meter) -> None:
    await run.give_way()
    if run.pending.is_full:
        await run.pending.room()


async def one_by_one(
    run: Meter, results: dict[str, Any], waiting: list[str], path: Path | None
) -> Any:
    """Await the fields of a mutation one after another, and store their results."""
    del path
    for place, key in enumerate(waiting, 1):
        try:
            results[key] = await results[key]
        except CancelledError:
            await drop([results[other] for other in waiting[place:]], run)
            raise
        except Exception:
            close_all([results[other] for other in waiting[place:]])
            raise
    return marked(results)

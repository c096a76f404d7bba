"""What has to be waited for: tell it from data, and wait for many of it at once."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Awaitable
from inspect import iscoroutine
from types import GeneratorType
from typing import Any, Final, TypeAlias

from channels_graphql_ws.execution.compiler.graphql_core import is_awaitable
from channels_graphql_ws.execution.heavy import marked

Kinds: TypeAlias = set[type]
"""Classes of values that cannot be awaited, as far as an operation has met them."""

MOST_KINDS: Final = 100
"""Most classes that are remembered for one operation."""

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


async def gathered(results: Any, waiting: list[Any]) -> Any:
    """Await items of a dictionary or list concurrently, and store their results."""
    values = await gather(*[results[key] for key in waiting])
    for key, value in zip(waiting, values, strict=True):
        results[key] = value
    return marked(results)


async def one_by_one(results: dict[str, Any], waiting: list[str]) -> Any:
    """Await items of a dictionary one after another, and store their results."""
    for key in waiting:
        results[key] = await results[key]
    return marked(results)

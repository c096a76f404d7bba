"""Complete values: make for a type what turns the values of resolvers into data."""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable
from types import CoroutineType
from typing import Any, Protocol, TypeAlias

from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    Undefined,
    default_type_resolver,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    located_error,
)
from graphql.pyutils import Path, is_iterable

from .awaiting import Kinds, awaited, gathered, has_to_wait
from .core import complete_leaf, invalid_return_type, is_awaitable, make, runtime_type
from .running import Run
from .scalars import NEVER, range_of

Complete: TypeAlias = Callable[[Run, Any, Path, Any], Any]
"""Turns a value into data, with the path and the `info` of its field. It gives data or a
coroutine, and nothing else that could be awaited. It may raise anything."""


class Selection(Protocol):
    """The fields of an object."""

    def execute(self, run: Run, source: Any, path: Path | None) -> Any:
        """Give the data of an object, or a coroutine."""
        ...


class Plans(Protocol):
    """Where the fields of an object are found."""

    kinds: Kinds
    is_full: bool

    def selection(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> Selection:
        """Give the fields that are selected of an object."""
        ...


class Place:
    """The field that values are completed for."""

    __slots__ = ("name", "nodes", "plans")

    def __init__(self, name: str, nodes: list[FieldNode], plans: Plans) -> None:
        self.name = name
        self.nodes = nodes
        self.plans = plans


def completer(type_: Any, place: Place) -> Complete:
    """Make what completes the values of a type."""
    if is_non_null_type(type_):
        return _non_null(completer(type_.of_type, place), place)
    if is_list_type(type_):
        return _list(type_.of_type, place)
    if is_leaf_type(type_):
        return _leaf(type_, place)
    if is_object_type(type_):
        return _object(type_, place)
    return _abstract(type_, place)


def failed(
    run: Run, error: Exception, nodes: list[FieldNode], path: Path, *, is_nullable: bool
) -> None:
    """Make a null of what an error came from, or of what it is in.

    Raises:
        GraphQLError: there has to be a value.
    """
    located = located_error(error, nodes, path.as_list())
    if not is_nullable:
        raise located
    run.add(located, path)


def _non_null(complete_inner: Complete, place: Place) -> Complete:
    def complete(run: Run, value: Any, path: Path, info: Any) -> Any:
        completed = complete_inner(run, value, path, info)
        if completed is None:
            raise TypeError(f"Cannot return null for non-nullable field {place.name}.")
        return completed

    return complete


def _leaf(type_: Any, place: Place) -> Complete:
    kind, low, high = range_of(type_) or NEVER
    kinds = place.plans.kinds

    def complete(run: Run, value: Any, path: Path, info: Any) -> Any:
        del run, path, info
        if type(value) is kind and (low is None or low <= value <= high):
            return value
        if isinstance(value, Exception):
            raise value
        if value is None or value is Undefined:
            return None
        result = complete_leaf(type_, value)
        if type(result) in kinds or not is_awaitable(result):
            return result
        # Who would let a scalar wait? But graphql-core does.
        return awaited(result)

    return complete


def _object(type_: GraphQLObjectType, place: Place) -> Complete:  # noqa: C901 (nested functions)
    is_type_of = type_.is_type_of or None
    plans, nodes = place.plans, place.nodes
    kept: Selection | None = None

    def selection() -> Selection:
        nonlocal kept
        found = plans.selection(type_, nodes)
        if not plans.is_full:
            kept = found
        return found

    def complete(run: Run, value: Any, path: Path, info: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        if value is None or value is Undefined:
            return None
        if is_type_of is not None:
            is_one = is_type_of(value, info)
            if is_one is not True and is_awaitable(is_one):
                return execute_if(is_one, run, value, path)
            if not is_one:
                raise invalid_return_type(type_, value, nodes)
        return (kept or selection()).execute(run, value, path)

    async def execute_if(is_one: Any, run: Run, value: Any, path: Path) -> Any:
        if not await is_one:
            raise invalid_return_type(type_, value, nodes)
        data = selection().execute(run, value, path)
        # graphql-core forgets to wait here.
        return await data if type(data) is CoroutineType else data

    return complete


def _abstract(type_: Any, place: Place) -> Complete:
    resolve_type = type_.resolve_type or default_type_resolver
    completers: dict[Any, Complete] = {}

    def complete(run: Run, value: Any, path: Path, info: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        if value is None or value is Undefined:
            return None
        name = resolve_type(value, info, type_)
        if type(name) is not str and is_awaitable(name):
            return complete_later(name, run, value, path, info)
        return complete_as(name, run, value, path, info)

    def complete_as(name: Any, run: Run, value: Any, path: Path, info: Any) -> Any:
        complete_object = completers.get(name) if type(name) is str else None
        if complete_object is None:
            found = runtime_type(run.bound.schema, name, type_, value, info)
            complete_object = completers[found.name] = _object(found, place)
        return complete_object(run, value, path, info)

    async def complete_later(name: Any, run: Run, value: Any, path: Path, info: Any) -> Any:
        data = complete_as(await name, run, value, path, info)
        return await data if type(data) is CoroutineType else data

    return complete


def _list(item_type: Any, place: Place) -> Complete:
    complete_items = _items(item_type, place)

    def complete(run: Run, value: Any, path: Path, info: Any) -> Any:
        if type(value) is list:
            return complete_items(run, value, path, info)
        if isinstance(value, Exception):
            raise value
        if value is None or value is Undefined:
            return None
        if is_iterable(value):
            return complete_items(run, value, path, info)
        if isinstance(value, AsyncIterable):
            return complete_later(value, run, path, info)
        raise GraphQLError(f"Expected Iterable, but did not find one for field '{place.name}'.")

    async def complete_later(value: AsyncIterable[Any], run: Run, path: Path, info: Any) -> Any:
        items = [item async for item in value]
        data = complete_items(run, items, path, info)
        # Here too.
        return await data if type(data) is CoroutineType else data

    return complete


def _items(item_type: Any, place: Place) -> Complete:  # noqa: C901 (nested functions)
    is_nullable = not is_non_null_type(item_type)
    kind, low, high = range_of(item_type if is_nullable else item_type.of_type) or NEVER
    complete_item = completer(item_type, place)
    kinds, nodes = place.plans.kinds, place.nodes

    def complete(run: Run, values: Any, path: Path, info: Any) -> Any:
        results: list[Any] = []
        waiting: list[int] = []
        data: Any
        for index, item in enumerate(values):
            if type(item) is kind and (low is None or low <= item <= high):
                results.append(item)
                continue
            item_path = make(Path, (path, index, None))
            try:
                if type(item) not in kinds and has_to_wait(item, kinds):
                    data = complete_awaited(item, run, item_path, info)
                else:
                    data = complete_item(run, item, item_path, info)
                    if type(data) is CoroutineType:
                        data = guarded(data, run, item_path)
            except Exception as error:  # noqa: BLE001 (user code raises anything)
                failed(run, error, nodes, item_path, is_nullable=is_nullable)
                data = None
            if type(data) is CoroutineType:
                waiting.append(index)
            results.append(data)
        return gathered(results, waiting) if waiting else results

    async def complete_awaited(item: Any, run: Run, path: Path, info: Any) -> Any:
        try:
            data = complete_item(run, await item, path, info)
            return await data if type(data) is CoroutineType else data
        except Exception as error:  # noqa: BLE001 (user code raises anything)
            failed(run, error, nodes, path, is_nullable=is_nullable)

    async def guarded(data: Any, run: Run, path: Path) -> Any:
        try:
            return await data
        except Exception as error:  # noqa: BLE001 (user code raises anything)
            failed(run, error, nodes, path, is_nullable=is_nullable)

    return complete

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

from channels_graphql_ws.execution.compiler.awaiting import Kinds, awaited, gathered, has_to_wait
from channels_graphql_ws.execution.compiler.graphql_core import (
    complete_leaf,
    invalid_return_type,
    is_awaitable,
    make,
    runtime_type,
)
from channels_graphql_ws.execution.compiler.run import Execution
from channels_graphql_ws.execution.compiler.scalars import NEVER, range_of

Complete: TypeAlias = Callable[[Execution, Any, Path, Any], Any]
"""Subscriber a value into data, with the path and the `info` of its field. It gives data or a
coroutine, and nothing else that could be awaited. It may raise anything."""


class Selection(Protocol):
    """The fields of an object."""

    def execute(
        self, run: Execution, source: Any, path: Path | None, index: int | None = None
    ) -> Any:
        """Give the data of an object, or a coroutine."""
        ...


class Plans(Protocol):
    """Where the fields of an object are found."""

    kinds: Kinds

    @property
    def is_full(self) -> bool:
        """Tell if there is no room for more."""
        ...

    def selection(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> Selection:
        """Give the fields that are selected of an object."""
        ...


class FieldPosition:
    """The field that values are completed for."""

    __slots__ = ("name", "nodes", "plans")

    def __init__(self, name: str, nodes: list[FieldNode], plans: Plans) -> None:
        self.name = name
        self.nodes = nodes
        self.plans = plans


def completer(type_: Any, place: FieldPosition) -> Complete:
    """Make what completes the values of a type."""
    if is_non_null_type(type_):
        return _non_null(completer(type_.of_type, place), place)
    if is_list_type(type_):
        return _list(type_.of_type, place)
    if is_leaf_type(type_):
        return _leaf(type_, place)
    if is_object_type(type_):
        return _Objects(type_, place).complete
    return _abstract(type_, place)


def failed(
    run: Execution, error: Exception, nodes: list[FieldNode], path: Path, *, is_nullable: bool
) -> None:
    """Make a null of what an error came from, or of what it is in.

    Raises:
        GraphQLError: there has to be a value.
    """
    located = located_error(error, nodes, path.as_list())
    if not is_nullable:
        raise located
    run.add(located, path)


def _non_null(complete_inner: Complete, place: FieldPosition) -> Complete:
    def complete(run: Execution, value: Any, path: Path, info: Any) -> Any:
        completed = complete_inner(run, value, path, info)
        if completed is None:
            raise TypeError(f"Cannot return null for non-nullable field {place.name}.")
        return completed

    return complete


def _leaf(type_: Any, place: FieldPosition) -> Complete:
    kind, low, high = range_of(type_) or NEVER
    kinds = place.plans.kinds

    def complete(run: Execution, value: Any, path: Path, info: Any) -> Any:
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


class _Objects:
    """Completes objects of one type."""

    def __init__(self, type_: GraphQLObjectType, place: FieldPosition) -> None:
        self.is_type_of = type_.is_type_of or None
        self._type = type_
        self._place = place
        self._kept: Selection | None = None

    def selection(self) -> Selection:
        """Give the fields that are selected of one."""
        selection = self._kept
        if selection is None:
            plans = self._place.plans
            selection = plans.selection(self._type, self._place.nodes)
            if not plans.is_full:
                self._kept = selection
        return selection

    def complete(self, run: Execution, value: Any, path: Path, info: Any) -> Any:
        """Complete anything that is said to be one."""
        if isinstance(value, Exception):
            raise value
        if value is None or value is Undefined:
            return None
        if self.is_type_of is not None:
            is_instance = self.is_type_of(value, info)
            if is_instance is not True and is_awaitable(is_instance):
                return self._complete_if(is_instance, run, value, path)
            if not is_instance:
                raise invalid_return_type(self._type, value, self._place.nodes)
        return (self._kept or self.selection()).execute(run, value, path)

    async def _complete_if(self, is_instance: Any, run: Execution, value: Any, path: Path) -> Any:
        if not await is_instance:
            raise invalid_return_type(self._type, value, self._place.nodes)
        data = self.selection().execute(run, value, path)
        # graphql-core forgets to wait here.
        return await data if type(data) is CoroutineType else data


def _abstract(type_: Any, place: FieldPosition) -> Complete:
    resolve_type = type_.resolve_type or default_type_resolver
    completers: dict[Any, Complete] = {}

    def complete(run: Execution, value: Any, path: Path, info: Any) -> Any:
        if isinstance(value, Exception):
            raise value
        if value is None or value is Undefined:
            return None
        name = resolve_type(value, info, type_)
        if type(name) is not str and is_awaitable(name):
            return complete_later(name, run, value, path, info)
        return complete_as(name, run, value, path, info)

    def complete_as(name: Any, run: Execution, value: Any, path: Path, info: Any) -> Any:
        complete_object = completers.get(name) if type(name) is str else None
        if complete_object is None:
            found = runtime_type(run.bound.schema, name, type_, value, info)
            complete_object = completers[found.name] = _Objects(found, place).complete
        return complete_object(run, value, path, info)

    async def complete_later(name: Any, run: Execution, value: Any, path: Path, info: Any) -> Any:
        data = complete_as(await name, run, value, path, info)
        return await data if type(data) is CoroutineType else data

    return complete


def _list(item_type: Any, place: FieldPosition) -> Complete:
    complete_items = _items(item_type, place).complete

    def complete(run: Execution, value: Any, path: Path, info: Any) -> Any:
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

    async def complete_later(
        value: AsyncIterable[Any], run: Execution, path: Path, info: Any
    ) -> Any:
        items = [item async for item in value]
        data = complete_items(run, items, path, info)
        # Here too.
        return await data if type(data) is CoroutineType else data

    return complete


def _items(item_type: Any, place: FieldPosition) -> _Items:
    inner = item_type.of_type if is_non_null_type(item_type) else item_type
    if is_object_type(inner) and not inner.is_type_of:
        return _ObjectItems(item_type, _Objects(inner, place), place)
    return _Items(item_type, place)


class _Items:
    """Completes the items of a list: what is data already at once, all else one by one."""

    def __init__(self, item_type: Any, place: FieldPosition) -> None:
        self._is_nullable = not is_non_null_type(item_type)
        self._range = range_of(item_type if self._is_nullable else item_type.of_type) or NEVER
        self._complete_value = completer(item_type, place)
        self._kinds = place.plans.kinds
        self._nodes = place.nodes

    def complete(self, run: Execution, values: Any, path: Path, info: Any) -> Any:
        """Give a list, or a coroutine that waits for all items at once."""
        results: list[Any] = []
        waiting: list[int] = []
        kind, low, high = self._range
        for index, item in enumerate(values):
            if type(item) is kind and (low is None or low <= item <= high):
                results.append(item)
                continue
            data = self._complete_item(run, item, make(Path, (path, index, None)), info)
            if type(data) is CoroutineType:
                waiting.append(index)
            results.append(data)
        return gathered(results, waiting) if waiting else results

    def _complete_item(self, run: Execution, item: Any, path: Path, info: Any) -> Any:
        if type(item) not in self._kinds and has_to_wait(item, self._kinds):
            return self._complete_awaited(item, run, path, info)
        try:
            data = self._complete_value(run, item, path, info)
        except Exception as error:  # noqa: BLE001 (user code raises anything)
            self._failed(run, error, path)
            return None
        return self._guarded(data, run, path) if type(data) is CoroutineType else data

    async def _complete_awaited(self, item: Any, run: Execution, path: Path, info: Any) -> Any:
        try:
            data = self._complete_value(run, await item, path, info)
            return await data if type(data) is CoroutineType else data
        except Exception as error:  # noqa: BLE001 (user code raises anything)
            self._failed(run, error, path)

    async def _guarded(self, data: Any, run: Execution, path: Path) -> Any:
        try:
            return await data
        except Exception as error:  # noqa: BLE001 (user code raises anything)
            self._failed(run, error, path)

    def _failed(self, run: Execution, error: Exception, path: Path) -> None:
        failed(run, error, self._nodes, path, is_nullable=self._is_nullable)


class _ObjectItems(_Items):
    """Completes lists of objects of one type that asks no object if it is one."""

    def __init__(self, item_type: Any, objects: _Objects, place: FieldPosition) -> None:
        super().__init__(item_type, place)
        self._objects = objects
        self._plain: Kinds = set()
        """Classes of objects that are no exceptions and can not be awaited."""

    def complete(self, run: Execution, values: Any, path: Path, info: Any) -> Any:
        """Give a list, or a coroutine that waits for all items at once."""
        results: list[Any] = []
        waiting: list[int] = []
        execute = self._objects.selection().execute
        for index, item in enumerate(values):
            if type(item) in self._plain:
                try:
                    data = execute(run, item, path, index)
                    if type(data) is CoroutineType:
                        data = self._guarded(data, run, make(Path, (path, index, None)))
                except Exception as error:  # noqa: BLE001 (user code raises anything)
                    data = None
                    self._failed(run, error, make(Path, (path, index, None)))
            else:
                data = self._complete_item(run, item, make(Path, (path, index, None)), info)
                self._remember(item)
            if type(data) is CoroutineType:
                waiting.append(index)
            results.append(data)
        return gathered(results, waiting) if waiting else results

    def _remember(self, item: Any) -> None:
        if type(item) in self._kinds and item is not None and not isinstance(item, Exception):
            self._plain.add(type(item))

"""Complete values: make for a type what turns the values of resolvers into data."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import AsyncIterable, Callable, Coroutine, Iterable, Iterator, Sequence
from functools import partial
from inspect import iscoroutine
from itertools import chain
from types import CoroutineType
from typing import Any, Final, Protocol, TypeAlias

from django.db.models import QuerySet
from graphql import (
    FieldNode,
    GraphQLError,
    GraphQLObjectType,
    SelectionNode,
    TypeNameMetaFieldDef,
    Undefined,
    default_type_resolver,
    get_named_type,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    located_error,
)
from graphql.pyutils import Path, is_iterable

from channels_graphql_ws.concurrency.placement import needs_sync, on_event_loop
from channels_graphql_ws.execution.batches import in_batch, is_at_hand, taken
from channels_graphql_ws.execution.budget import (
    HEAVY,
    ITEMS_FOR_A_FIELD,
    some_of,
)
from channels_graphql_ws.execution.compiler.awaiting import (
    Kinds,
    Unfinished,
    awaited,
    close_all,
    gathered_items,
    has_to_wait,
    kept,
    not_awaited,
)
from channels_graphql_ws.execution.compiler.graphql_core import (
    complete_leaf,
    invalid_return_type,
    is_awaitable,
    make,
    runtime_type,
)
from channels_graphql_ws.execution.compiler.run import Execution
from channels_graphql_ws.execution.compiler.scalars import NEVER, range_of
from channels_graphql_ws.execution.crowds import full_crowds
from channels_graphql_ws.execution.heavy import HeavyDict, HeavyList
from channels_graphql_ws.execution.pending import MOST_ADDED
from channels_graphql_ws.execution.turns import drop
from channels_graphql_ws.execution.unfit import unfit

LEAVES_AT_ONCE: Final = 1_024
"""Scalars of a list that are completed without a look at the clock."""

LIGHT_DEPTH: Final = 4
"""Levels of objects in objects that are counted with the outermost."""

VALUES_AT_ONCE: Final = 16
"""Other values of a list that are, where it is not known yet what is selected of them."""

Complete: TypeAlias = Callable[[Execution, Any, Path, Any], Any]
"""Subscriber a value into data, with the path and the `info` of its field. It gives data or a
coroutine, and nothing else that could be awaited. It may raise anything."""


class Selection(Protocol):
    """The fields of an object.

    Attributes:
        size: what executing them counts as.
        step: objects of a list that are executed without a look at the clock.
        is_light: nothing that is selected in it can be heavy.
        raises: a field must have a value, and raises what leaves it without one.
    """

    size: int
    step: int
    is_light: bool
    raises: bool

    def execute(
        self, run: Execution, source: Any, path: Path | None, index: int | None = None
    ) -> Any:
        """Return the data of an object, or a coroutine."""
        ...


class Plans(Protocol):
    """Where the fields of an object are found."""

    kinds: Kinds

    @property
    def is_full(self) -> bool:
        """Return whether there is no room for more."""
        ...

    def selection(self, type_: GraphQLObjectType, nodes: list[FieldNode]) -> Selection:
        """Return the fields that are selected of an object."""
        ...


class FieldPosition:
    """The field that values are completed for."""

    __slots__ = ("name", "nodes", "plans")

    def __init__(self, name: str, nodes: list[FieldNode], plans: Plans) -> None:
        self.name = name
        self.nodes = nodes
        self.plans = plans


def completer(type_: Any, place: FieldPosition, *, is_counted: bool = False) -> Complete:
    """Make what completes the values of a type.

    Args:
        type_: of the values.
        place: the field.
        is_counted: what is selected of the value, one light object, counts with the field.
    """
    if is_non_null_type(type_):
        return _non_null(completer(type_.of_type, place, is_counted=is_counted), place)
    if is_list_type(type_):
        return _list(type_.of_type, place)
    if is_leaf_type(type_):
        return _leaf(type_, place)
    if is_object_type(type_):
        return _Objects(type_, place, is_counted=is_counted).complete
    return _abstract(type_, place)


def rescue(
    run: Execution, error: Exception, call: Callable[[], Any]
) -> Coroutine[Any, Any, Any] | None:
    """Return a coroutine that does in a thread what the ORM refused to do on the event loop.

    For what runs without a resolver of the user: an attribute is read that is a foreign key, or
    an object is printed. `None` if the error has another reason.
    """
    workers = run.bound.workers
    if workers is None or isinstance(error, GraphQLError) or not needs_sync(error):
        return None
    return in_batch(call, run.bound.variable_values, rescue, workers)


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
        # Awaitable scalars are odd, but graphql-core accepts them.
        return awaited(result)

    return complete


class _Objects:
    """Completes objects of one type.

    Attributes:
        kept: what is selected of them, once it is known and kept.
    """

    def __init__(
        self, type_: GraphQLObjectType, place: FieldPosition, *, is_counted: bool = False
    ) -> None:
        self.is_type_of = type_.is_type_of or None
        self._type = type_
        self._place = place
        self.kept: Selection | None = None
        self._execute: Callable[..., Any] = self._execute_counted if is_counted else self._count

    def selection(self) -> Selection:
        """Find what is selected of them, and keep it if there is room."""
        plans = self._place.plans
        selection = plans.selection(self._type, self._place.nodes)
        if not plans.is_full:
            self.kept = selection
        return selection

    def complete(self, run: Execution, value: Any, path: Path, info: Any) -> Any:
        """Complete a value that is said to be one."""
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
        return self._execute(run, value, path)

    def _execute_counted(self, run: Execution, value: Any, path: Path) -> Any:
        """Execute what is selected of an object, for the first time."""
        selection = self.kept or self.selection()
        if selection is self.kept:
            self._execute = selection.execute
        return selection.execute(run, value, path)

    def _count(self, run: Execution, value: Any, path: Path) -> Any:
        """Count and execute what is selected of an object, and mark it if it is heavy."""
        selection = self.kept or self.selection()
        run.left = left = run.left - selection.size
        if left < 0:
            run.look()
            if run.left < 0 and run.is_exceeded:
                return {}
        if selection.is_light:
            return selection.execute(run, value, path)
        before = run.granted - run.left - selection.size
        data = selection.execute(run, value, path)
        is_light = run.granted - run.left - before <= HEAVY or not run.is_heavy(before)
        if is_light or type(data) is not dict:
            return data
        run.mark()
        return HeavyDict(data)

    async def _complete_if(self, is_instance: Any, run: Execution, value: Any, path: Path) -> Any:
        if not await is_instance:
            raise invalid_return_type(self._type, value, self._place.nodes)
        if run.awaited > MOST_ADDED:
            await run.step_aside()
        data = self._execute(run, value, path)
        # graphql-core forgets to wait here.
        return await data if type(data) is CoroutineType else data


def light_size(type_: Any, nodes: Sequence[FieldNode], depth: int = LIGHT_DEPTH) -> int | None:
    """Return how many fields are selected of the value of a field, if there is no list in it.

    Args:
        type_: of the value.
        nodes: of the field.
        depth: levels that are looked at.

    Returns:
        `None` if there may be a list, an abstract type or a fragment, or too much to count.
    """
    named: Any = get_nullable_type(type_)
    if is_leaf_type(named):
        return 0
    if not is_object_type(named) or depth == 0:
        return None
    size = 0
    for selection in _selections(nodes):
        definition = None
        if isinstance(selection, FieldNode):
            definition = named.fields.get(selection.name.value, TypeNameMetaFieldDef)
        below = definition and light_size(definition.type, [selection], depth - 1)  # type: ignore[list-item]
        if below is None or selection.arguments:  # type: ignore[attr-defined]
            return None
        size += 1 + below
    return size if size <= HEAVY else None


def _selections(nodes: Iterable[FieldNode]) -> Iterator[SelectionNode]:
    return chain.from_iterable(
        node.selection_set.selections for node in nodes if node.selection_set is not None
    )


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
        name = await name
        if run.awaited > MOST_ADDED:
            await run.step_aside()
        data = complete_as(name, run, value, path, info)
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
        if (lazily := _later(value, run)) is not None:
            return complete_later(lazily, run, path, info)
        if is_iterable(value):
            return complete_items(run, value, path, info)
        problem = f"Expected Iterable, but did not find one for field '{place.name}'."
        raise unfit(GraphQLError(problem))

    async def complete_later(
        lazily: Coroutine[Any, Any, Iterable[Any]], run: Execution, path: Path, info: Any
    ) -> Any:
        data = complete_items(run, await lazily, path, info)
        # Here too.
        return await data if type(data) is CoroutineType else data

    return complete


def _later(value: Any, run: Execution) -> Coroutine[Any, Any, Iterable[Any]] | None:
    """Return a coroutine for the items, if they cannot be had at once.

    A QuerySet has both ways to iterate: on the event loop only the asynchronous one works,
    unless its objects are there already.
    """
    if not is_iterable(value):
        return _collected(value) if isinstance(value, AsyncIterable) else None
    if is_at_hand(value) or not on_event_loop():
        return None
    if isinstance(value, QuerySet):
        return _collected(value)
    workers = run.bound.workers
    if workers is None:
        return None
    return in_batch(partial(taken, value), run.bound.variable_values, value, workers)


async def _collected(values: AsyncIterable[Any]) -> list[Any]:
    return [item async for item in values]


def _items(item_type: Any, place: FieldPosition) -> _Items:
    inner = item_type.of_type if is_non_null_type(item_type) else item_type
    if is_object_type(inner) and not inner.is_type_of:
        return _ObjectItems(item_type, _Objects(inner, place), place)
    return _Items(item_type, place)


class _Items:
    """Completes the items of a list: what is data already at once, all else one by one."""

    def __init__(self, item_type: Any, place: FieldPosition) -> None:
        self._is_nullable = not is_non_null_type(item_type)
        inner = item_type if self._is_nullable else item_type.of_type
        self._range = range_of(inner) or NEVER
        self._step = LEAVES_AT_ONCE if is_leaf_type(inner) else VALUES_AT_ONCE
        self._is_leaf = is_leaf_type(get_named_type(item_type))
        self._is_counted = is_leaf_type(inner) or is_list_type(inner)
        self._complete_value = completer(item_type, place)
        self._kinds = place.plans.kinds
        self._nodes = place.nodes

    def complete(self, run: Execution, values: Any, path: Path, info: Any) -> Any:
        """Return a list, or a coroutine that waits for all items at once."""
        step = self.step()
        if type(values) is not list or len(values) > step or run.left < 0:
            return _Slices(self, run, values, path, info, step).complete()
        before, waiting_before = run.granted - run.left, run.waiting
        results: list[Any] = []
        waiting: list[int] = []
        if len(values) >= ITEMS_FOR_A_FIELD:
            self.count(run, 0, len(values))
        try:
            self.complete_some(run, values, 0, results, waiting, path, info)
        except Exception:
            close_some(results, waiting, values)
            raise
        if run.granted - run.left - before > HEAVY and run.is_heavy(before):
            results = heavy_list(results, run, before, waiting)
        if not waiting:
            return results
        return gathered_items(run, results, waiting, run.waiting - waiting_before)

    def step(self) -> int:
        """Return how many items are completed without a look at the clock."""
        return self._step

    def count(self, run: Execution, before: int, after: int) -> None:
        """Count the items of a list, of which some were counted before."""
        if self._is_counted:
            run.take(after // ITEMS_FOR_A_FIELD - before // ITEMS_FOR_A_FIELD)

    def complete_some(
        self,
        run: Execution,
        values: Sequence[Any],
        index: int,
        results: list[Any],
        waiting: list[int],
        path: Path,
        info: Any,
    ) -> None:
        """Complete items.

        Args:
            run: the execution.
            values: some of those of the list.
            index: where in it the first of them is.
            results: all so far; is added to.
            waiting: where in them there are coroutines; is added to.
            path: of the list.
            info: of the field.
        """
        kind, low, high = self._range
        for index, item in enumerate(values, index):  # noqa: PLR1704, B020 (both begin there)
            if type(item) is kind and (low is None or low <= item <= high):
                results.append(item)
                continue
            data = self._complete_item(run, item, make(Path, (path, index, None)), info)
            if type(data) is CoroutineType:
                waiting.append(index)
            results.append(data)

    def _complete_item(self, run: Execution, item: Any, path: Path, info: Any) -> Any:
        if type(item) not in self._kinds and has_to_wait(item, self._kinds):
            run.take_wait()
            return self._complete_awaited(item, run, path, info)
        if item is None:
            self._count_null(run)
        try:
            data = self._complete_value(run, item, path, info)
        except Exception as error:  # noqa: BLE001 (user code raises anything)
            return self._rescued(run, error, item, path, info)
        return self._guarded(data, run, path) if type(data) is CoroutineType else data

    def _count_null(self, run: Execution) -> None:
        """Count a null in the place of an object; items of other lists are counted together."""
        if not self._is_counted:
            run.take(1)

    def _rescued(self, run: Execution, error: Exception, item: Any, path: Path, info: Any) -> Any:
        """Return a coroutine for an item that only has to be completed in a thread, or a null."""
        rescued = rescue(run, error, partial(self._complete_value, run, item, path, info))
        if rescued is not None:
            run.take_wait()
            return self._guarded(rescued, run, path)
        self._failed(run, error, path)
        return None

    async def _complete_awaited(self, item: Any, run: Execution, path: Path, info: Any) -> Any:
        if run.left < 0 and run.is_exceeded:
            return not_awaited(item)
        pending = run.pending
        pending.count += 1
        try:
            try:
                item = await item
            finally:
                pending.done()
            if full_crowds and (room := run.room(grows=not self._is_leaf)) is not None:
                await kept(item, room)
            if run.awaited > MOST_ADDED and not self._is_leaf:
                await kept(item, run.step_aside())
            if item is None:
                self._count_null(run)
            try:
                data = self._complete_value(run, item, path, info)
            except Exception as error:
                data = rescue(run, error, partial(self._complete_value, run, item, path, info))
                if data is None:
                    raise
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
        """Classes of objects that are no exceptions and cannot be awaited."""

    def step(self) -> int:
        """Return how many items are completed without a look at the clock."""
        objects = self._objects
        return (objects.kept or objects.selection()).step

    def complete_some(
        self,
        run: Execution,
        values: Sequence[Any],
        index: int,
        results: list[Any],
        waiting: list[int],
        path: Path,
        info: Any,
    ) -> None:
        """Complete items, see `_Items.complete_some`."""
        objects = self._objects
        selection = objects.kept or objects.selection()
        execute = selection.execute
        plain = self._plain
        others = 0
        for index, item in enumerate(values, index):  # noqa: PLR1704, B020 (both begin there)
            if type(item) in plain:
                try:
                    data = execute(run, item, path, index)
                    if type(data) is CoroutineType and selection.raises:
                        data = self._guarded(data, run, make(Path, (path, index, None)))
                except Exception as error:  # noqa: BLE001 (user code raises anything)
                    data = None
                    self._failed(run, error, make(Path, (path, index, None)))
            else:
                others += 1
                data = self._complete_item(run, item, make(Path, (path, index, None)), info)
                self._remember(item)
            if type(data) is CoroutineType:
                waiting.append(index)
            results.append(data)
        # The others have counted themselves.
        run.left = left = run.left - selection.size * (len(values) - others)
        if left < 0:
            run.look()

    def _remember(self, item: Any) -> None:
        if type(item) in self._kinds and item is not None and not isinstance(item, Exception):
            self._plain.add(type(item))


_SLICED: Final = (list, tuple)


def close_some(results: list[Any], waiting: Sequence[int], values: Any) -> None:
    """Close what the items of a list are to await, as an error takes the place of the list.

    Args:
        results: of the items so far.
        waiting: where in them there are coroutines.
        values: all items, if there is a list or tuple of them.
    """
    close_all([results[index] for index in waiting])
    rest = values[len(results) + 1 :] if type(values) in _SLICED else ()
    # A list of scalars has no coroutines, and may be very long.
    if waiting or any(map(iscoroutine, rest[:1])):
        close_all(rest)


class _Slices(Unfinished):
    """Completes a long list, with pauses in which the event loop goes on to others."""

    def __init__(
        self,
        items: _Items,
        run: Execution,
        values: Iterable[Any],
        path: Path,
        info: Any,
        step: int,
    ) -> None:
        self._items = items
        self._run = run
        self._values: Any = values if type(values) in _SLICED else iter(values)
        self._place = path, info
        self._step = step
        self._results: list[Any] = []
        self._waiting: list[int] = []
        self._before = run.granted - run.left
        self._objects = 0

    def complete(self) -> Any:
        """Return the list, or a coroutine."""
        if self._complete_until_due():
            results = self._marked_results()
            return self._gathered(results) if self._waiting else results
        return self._complete_later()

    async def _complete_later(self) -> list[Any]:
        is_complete = False
        while not is_complete:
            try:
                await self._run.pause()
            except CancelledError:
                self._drop_rest()
                await drop([self._results[index] for index in self._waiting], self._run)
                raise
            is_complete = self._complete_until_due()
        results = self._marked_results()
        return await self._gathered(results) if self._waiting else results

    def _gathered(self, results: list[Any]) -> Coroutine[Any, Any, Any]:
        return gathered_items(self._run, results, self._waiting, self._objects)

    def close(self) -> None:
        """Close what the items are to await."""
        close_some(self._results, self._waiting, self._values)

    def _complete_until_due(self) -> bool:
        """Complete slices until it is time for a pause; return whether all is complete."""
        try:
            return self._complete_some_slices()
        except Exception:
            self.close()
            raise

    def _complete_some_slices(self) -> bool:
        run, results = self._run, self._results
        while run.left >= 0:
            index, waiting = len(results), run.waiting
            some, failure = self._some(index)
            self._items.complete_some(run, some, index, results, self._waiting, *self._place)
            # Others may come to wait in the pauses.
            self._objects += run.waiting - waiting
            self._items.count(run, index, len(results))
            if failure is not None:
                raise failure
            if len(some) < self._step:
                return True
            if self._step == LEAVES_AT_ONCE:
                run.pause_if_due()
        if run.is_exceeded:
            self._drop_rest()
        return run.is_exceeded

    def _drop_rest(self) -> None:
        """Drop what is not to be completed any more."""
        if type(self._values) in _SLICED:
            for item in self._values[len(self._results) :]:
                not_awaited(item)

    def _some(self, index: int) -> tuple[Sequence[Any], Exception | None]:
        values = self._values
        if type(values) in _SLICED:
            return values[index : index + self._step], None
        return some_of(values, self._step)

    def _marked_results(self) -> list[Any]:
        run, results = self._run, self._results
        if len(results) <= HEAVY and not run.is_heavy(self._before):
            return results
        return heavy_list(results, run, self._before, self._waiting)


def heavy_list(
    results: list[Any], run: Execution, before: int, waiting: Sequence[int]
) -> HeavyList:
    """Mark a list as heavy.

    Args:
        results: the items.
        run: the execution.
        before: how many fields it had executed before the list was begun.
        waiting: which items are coroutines.
    """
    is_flat = not waiting and not run.is_marked_since(before)
    run.mark()
    return HeavyList(results, is_flat=is_flat)

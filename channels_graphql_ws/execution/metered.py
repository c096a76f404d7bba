"""Execute by graphql-core what the compiler does not know, within the same limits."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from math import ceil
from typing import Any, Final

import graphql
from graphql import (
    ExecutionContext,
    ExecutionResult,
    FieldNode,
    GraphQLError,
    GraphQLResolveInfo,
    Undefined,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    located_error,
)
from graphql.execution import get_argument_values
from graphql.execution.execute import get_field_def
from graphql.pyutils import Path, is_iterable

from channels_graphql_ws.concurrency.eager import is_awaitable
from channels_graphql_ws.execution.budget import (
    ARGUMENT_NODES_FOR_A_FIELD,
    HEAVY,
    ITEMS_FOR_A_FIELD,
    ExecutionLimits,
    Meter,
    some_of,
)
from channels_graphql_ws.execution.compiler.arguments import written_out
from channels_graphql_ws.execution.compiler.awaiting import gathered, kept, not_awaited, one_by_one
from channels_graphql_ws.execution.crowds import full_crowds
from channels_graphql_ws.execution.heavy import HeavyDict, HeavyList, HeavyResult
from channels_graphql_ws.execution.large_variables import TakesCoerced
from channels_graphql_ws.execution.pending import MOST_ADDED
from channels_graphql_ws.execution.turns import OBJECTS_AT_ONCE, drop, in_turns, together
from channels_graphql_ws.execution.unfit import unfit_if_of_library

VALUES_AT_ONCE: Final = 16
"""Items of a list that are completed without a look at the clock."""

LEAVES_AT_ONCE: Final = 256
"""The same, where they are scalars."""


_ITERATORS: Final = (type(iter(list[int]())), type(iter(tuple[int]())))


class MeteredContext(TakesCoerced):
    """Counts fields and errors, and pauses in long lists.

    Attributes:
        limits: of this execution, or of all of a class.
        meter: what this one costs.
    """

    limits: ExecutionLimits

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.begin()

    def begin(self) -> None:
        """Begin to count."""
        self.meter = Meter(self.limits)
        self._sizes: dict[int, int] = {}

    def execute_operation(self, operation: Any, root_value: Any) -> Any:
        """Execute a query or mutation."""
        data = super().execute_operation(operation, root_value)
        if self.is_awaitable(data):
            self.meter.note_wait()
        return data

    def execute_fields(
        self,
        parent_type: Any,
        source_value: Any,
        path: Any,
        fields: Any,
        join: Callable[..., Any] = gathered,
    ) -> Any:
        """Execute the fields of an object.

        Args:
            parent_type: of the object.
            source_value: the object.
            path: where it is.
            fields: nodes by response name.
            join: waits for all fields that have to be waited for.
        """
        before = self.meter.executed
        self.meter.take(self._size(fields))
        if self.meter.left < 0 and self.meter.is_exceeded:
            return {}
        results: dict[str, Any] = {}
        waiting: list[str] = []
        for key, nodes in fields.items():
            field_path = Path(path, key, parent_type.name)
            value = self.execute_field(parent_type, source_value, nodes, field_path)
            if value is not Undefined:
                results[key] = value
                if self.is_awaitable(value):
                    waiting.append(key)
        if waiting:
            self.meter.waiting += 1
            return join(self.meter, results, waiting, path)
        return HeavyDict(results) if self.meter.is_heavy(before) else results

    def execute_fields_serially(
        self, parent_type: Any, source_value: Any, path: Any, fields: Any
    ) -> Any:
        """Execute the fields of a mutation."""
        if len(fields) > 1:
            self.meter.refuse_pauses()
        return self.execute_fields(parent_type, source_value, path, fields, one_by_one)

    def execute_field(self, parent_type: Any, source: Any, field_nodes: Any, path: Any) -> Any:
        """Execute a field, as graphql-core does, with less kept for one that is awaited.

        There may be thousands of them, and of its own each has three coroutines and a closure.
        """
        definition: Any = get_field_def(self.schema, parent_type, field_nodes[0])
        if not definition:
            return Undefined
        resolve: Any = definition.resolve or self.field_resolver
        if self.middleware_manager:
            resolve = self.middleware_manager.get_field_resolver(resolve)
        info = self.build_resolve_info(definition, field_nodes, parent_type, path)
        try:
            arguments = get_argument_values(definition, field_nodes[0], self.variable_values)
            value = resolve(source, info, **arguments)
            if self.is_awaitable(value):
                self.meter.take_wait()
                return self._complete_awaited(value, info)
            data = self.complete_value(definition.type, field_nodes, info, path, value)
        except Exception as error:  # noqa: BLE001 (user code raises anything)
            return self._failed(error, info, info.return_type, path)
        if self.is_awaitable(data):
            return self._guarded(data, info, info.return_type, path)
        return data

    async def _complete_awaited(self, value: Any, info: GraphQLResolveInfo) -> Any:
        if self.meter.left < 0 and self.meter.is_exceeded:
            return not_awaited(value)
        type_ = info.return_type
        pending = self.meter.pending
        pending.count += 1
        try:
            try:
                value = await value
            finally:
                pending.done()
            if full_crowds or self.meter.awaited > MOST_ADDED:
                await self._in_turn(value, type_)
            data = self.complete_value(type_, info.field_nodes, info, info.path, value)
            return await data if self.is_awaitable(data) else data
        except Exception as error:  # noqa: BLE001 (user code raises anything)
            return self._failed(error, info, type_, info.path)

    async def _in_turn(self, value: Any, type_: Any) -> None:
        """Wait until what was awaited may be completed."""
        grows = not is_leaf_type(get_named_type(type_))
        if full_crowds and (room := self.meter.room(grows=grows)) is not None:
            await kept(value, room)
        if grows and self.meter.awaited > MOST_ADDED:
            await kept(value, self.meter.step_aside())

    async def _guarded(
        self, data: Awaitable[Any], info: GraphQLResolveInfo, type_: Any, path: Path
    ) -> Any:
        try:
            return await data
        except Exception as error:  # noqa: BLE001 (user code raises anything)
            return self._failed(error, info, type_, path)

    def _failed(self, error: Exception, info: GraphQLResolveInfo, type_: Any, path: Path) -> None:
        located = located_error(error, info.field_nodes, path.as_list())
        self.handle_field_error(located, type_, path)

    def _size(self, fields: Mapping[str, list[FieldNode]]) -> int:
        """Return what executing fields counts as; the same ones are always the same object."""
        size = self._sizes.get(id(fields))
        if size is None:
            arguments = (written_out(nodes[0]) for nodes in fields.values())
            size = max(1, len(fields)) + sum(
                each // ARGUMENT_NODES_FOR_A_FIELD for each in arguments
            )
            self._sizes[id(fields)] = size
        return size

    def handle_field_error(self, error: GraphQLError, return_type: Any, path: Any) -> None:
        """Take an error, or raise it."""
        meter = self.meter
        if meter.left < 0 and meter.is_exceeded and not is_non_null_type(return_type):
            # The only one that is told is that of the limit. Their tracebacks know them: without
            # them, they are gone at once.
            for each in (error, error.original_error or error):
                each.__traceback__ = None
            return
        super().handle_field_error(error, return_type, path)
        meter.take_error(error)

    def complete_value(
        self, return_type: Any, field_nodes: Any, info: Any, path: Any, result: Any
    ) -> Any:
        """Complete a value; what is wrong with it is marked as such."""
        try:
            data = super().complete_value(return_type, field_nodes, info, path, result)
        except GraphQLError as error:
            # One that a resolver has returned is raised by graphql-core.
            if error is not result:
                unfit_if_of_library(error)
            raise
        finds_type = is_abstract_type(return_type) or getattr(return_type, "is_type_of", None)
        return _checked_later(data) if finds_type and self.is_awaitable(data) else data

    def complete_list_value(
        self, return_type: Any, field_nodes: Any, info: Any, path: Any, result: Any
    ) -> Any:
        """Complete a list: a long one in slices, with pauses between them."""
        is_leaf = is_leaf_type(get_named_type(return_type))
        step = LEAVES_AT_ONCE if is_leaf else VALUES_AT_ONCE
        item_type = get_nullable_type(return_type.of_type)
        items_for_a_field = (
            ITEMS_FOR_A_FIELD if is_leaf_type(item_type) or is_list_type(item_type) else 0
        )
        is_short = isinstance(result, list | tuple) and len(result) <= step
        if is_short and items_for_a_field:
            self.meter.take(len(result) // items_for_a_field)
            items_for_a_field = 0  # Slices, which there are if a pause is due, do not count again.
        counts_nulls = not (is_leaf_type(item_type) or is_list_type(item_type))
        if not is_iterable(result):
            return super().complete_list_value(return_type, field_nodes, info, path, result)
        complete = partial(self._complete_items, return_type.of_type, info, path, counts_nulls)
        if is_short and self.meter.left >= 0:
            return complete(result, 0)
        return _Slices(self.meter, complete, result, step, items_for_a_field).complete()

    def _complete_items(
        self,
        item_type: Any,
        info: GraphQLResolveInfo,
        path: Path,
        counts_nulls: bool,  # noqa: FBT001 (a part of a `partial`)
        items: Sequence[Any],
        index: int,
    ) -> Any:
        """Complete some items of a list, the first of which is at an index.

        As graphql-core does, whose tasks would leave behind what they have not awaited yet if they
        were cancelled before their first step.
        """
        if counts_nulls and (nulls := sum(item is None for item in items)):
            self.meter.take(nulls)
        results: list[Any] = []
        waiting: list[int] = []
        for place, item in enumerate(items):
            item_path = path.add_key(index + place, None)
            if self.is_awaitable(item):
                if counts_nulls:
                    self.meter.take_wait()
                data = self._complete_item(item, item_type, info, item_path, counts_nulls)
            else:
                data = self._completed_item(item, item_type, info, item_path)
            if self.is_awaitable(data):
                waiting.append(place)
            results.append(data)
        return self._gathered_items(results, waiting) if waiting else results

    def _completed_item(
        self, item: Any, item_type: Any, info: GraphQLResolveInfo, path: Path
    ) -> Any:
        try:
            data = self.complete_value(item_type, info.field_nodes, info, path, item)
        except Exception as error:  # noqa: BLE001 (user code raises anything)
            return self._failed(error, info, item_type, path)
        return self._guarded(data, info, item_type, path) if self.is_awaitable(data) else data

    async def _complete_item(
        self,
        item: Any,
        item_type: Any,
        info: GraphQLResolveInfo,
        path: Path,
        counts_null: bool,  # noqa: FBT001 (as above)
    ) -> Any:
        if self.meter.left < 0 and self.meter.is_exceeded:
            return not_awaited(item)
        try:
            value = await item
            if counts_null and value is None:
                self.meter.take(1)
            elif full_crowds or self.meter.awaited > MOST_ADDED:
                await self._in_turn(value, item_type)
            data = self.complete_value(item_type, info.field_nodes, info, path, value)
            return await data if self.is_awaitable(data) else data
        except Exception as error:  # noqa: BLE001 (user code raises anything)
            return self._failed(error, info, item_type, path)

    async def _gathered_items(self, results: list[Any], waiting: list[int]) -> list[Any]:
        values = await together([results[place] for place in waiting], self.meter)
        for place, value in zip(waiting, values, strict=True):
            results[place] = value
        return results

    def build_response(  # type: ignore[override]
        self, data: dict[str, Any] | None, errors: list[GraphQLError]
    ) -> ExecutionResult:
        """Make the result; it is marked if it is heavy."""
        self.meter.end_wait()
        if self.meter.is_exceeded:
            return self.limits.exceeded()
        result = ExecutionContext.build_response(data, errors)
        if not self.meter.is_heavy(0):
            return result
        return HeavyResult(result.data, result.errors)


async def _checked_later(data: Awaitable[Any]) -> Any:
    try:
        return await data
    except GraphQLError as error:
        unfit_if_of_library(error)
        raise


class _Slices:
    """Completes a list in slices.

    Args:
        meter: of the execution.
        complete: completes a slice, which begins at an index.
        values: the items.
        step: how many are a slice.
        items_for_a_field: how many count as a field; 0 for none, where they are objects.
    """

    def __init__(
        self,
        meter: Meter,
        complete: Any,
        values: Iterable[Any],
        step: int,
        items_for_a_field: int,
    ) -> None:
        self._meter = meter
        self._complete = complete
        self._values: Iterator[Any] = iter(values)
        self._step = step
        self._items_for_a_field = items_for_a_field
        self._before = meter.executed
        self._count = 0
        self._parts: list[Any] = []
        """Lists, and coroutines that return lists."""

    def complete(self) -> Any:
        """Return the list, or a coroutine."""
        if not self._complete_until_due():
            return self._complete_later()
        if any(map(is_awaitable, self._parts)):
            return self._awaited()
        return self._joined(self._parts)

    async def _complete_later(self) -> list[Any]:
        is_complete = False
        while not is_complete:
            try:
                await self._meter.pause()
            except CancelledError:
                self._drop_rest()
                await drop([part for part in self._parts if is_awaitable(part)], self._meter)
                raise
            is_complete = self._complete_until_due()
        return await self._awaited()

    def _complete_until_due(self) -> bool:
        """Complete slices until it is time for a pause; return whether all is complete."""
        while self._meter.left >= 0:
            some, failure = some_of(self._values, self._step)
            self._parts.append(self._complete(some, self._count))
            before, self._count = self._count, self._count + len(some)
            if self._items_for_a_field:
                each = self._items_for_a_field
                self._meter.take(self._count // each - before // each)
            if failure is not None:
                raise failure
            if len(some) < self._step:
                return True
            self._meter.pause_if_due()
        if self._meter.is_exceeded:
            self._drop_rest()
        return self._meter.is_exceeded

    def _drop_rest(self) -> None:
        """Drop what is not to be completed any more."""
        if type(self._values) in _ITERATORS:
            for item in self._values:
                not_awaited(item)

    async def _awaited(self) -> list[Any]:
        self._meter.note_wait()
        waiting = [index for index, part in enumerate(self._parts) if is_awaitable(part)]
        parts = [self._parts[index] for index in waiting]
        step = ceil(OBJECTS_AT_ONCE / self._step)
        lists = await in_turns(parts, step, self._meter, self._meter.give_way)
        for index, part in zip(waiting, lists, strict=True):
            self._parts[index] = part
        return self._joined(self._parts)

    def _joined(self, parts: list[list[Any]]) -> list[Any]:
        items = [item for part in parts for item in part]
        is_heavy = len(items) > HEAVY or self._meter.is_heavy(self._before)
        return HeavyList(items, is_flat=False) if is_heavy else items


@lru_cache(maxsize=64)
def metered(limits: ExecutionLimits) -> type[MeteredContext]:
    """Return the kind of execution that keeps these limits."""
    return type("LimitedContext", (MeteredContext,), {"limits": limits})


def execute(
    *, limits: ExecutionLimits, **arguments: Any
) -> ExecutionResult | Awaitable[ExecutionResult]:
    """Execute a query or mutation within limits.

    Args:
        limits: what it may cost.
        arguments: those of `graphql.execute`.
    """
    return graphql.execute(**arguments, execution_context_class=metered(limits))

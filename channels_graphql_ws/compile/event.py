"""A subscription with its variables: what is there before the first event comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import CoroutineType
from typing import Any

from graphql import ExecutionResult, GraphQLError, GraphQLObjectType, GraphQLResolveInfo
from graphql.pyutils import Path

from .core import ROOT_VALUE, make
from .fields import Field
from .plans import Selection
from .running import Bound, Run
from .selections import Fields


class Binding:
    """A subscription whose variables and context are known.

    Attributes:
        root_type: the type of subscriptions.
        fields: what is selected of it.
        variable_values: coerced.
    """

    def __init__(
        self, bound: Bound, root: Selection, root_type: GraphQLObjectType, fields: Fields
    ) -> None:
        self.root_type = root_type
        self.fields = fields
        self.variable_values = bound.variable_values
        self._bound = bound
        self._root = root

    def event_field(self, key: str) -> EventField:
        """Give the field that events are executed by."""
        field = self._root.fields[key]
        assert isinstance(field, Field)
        return EventField(self._bound, field)


class EventField:
    """The one field of a subscription."""

    __slots__ = ("_after", "_before", "_bound", "_field", "_key", "_path")

    def __init__(self, bound: Bound, field: Field) -> None:
        self._bound = bound
        self._field = field
        self._key = field.key
        self._path = make(Path, (None, field.key, field.parent_type.name))
        info = tuple(self.info())
        self._before, self._after = info[:ROOT_VALUE], info[ROOT_VALUE + 1 :]

    def info(self) -> GraphQLResolveInfo:
        """Give what hooks get that are called without an event."""
        return self._field.info(Run(self._bound, None), self._path)

    def info_of(self, payload: Any) -> GraphQLResolveInfo:
        """Give what the resolver of the field gets for an event."""
        # Faster than to unpack them.
        parts = self._before + (payload,) + self._after  # noqa: RUF005
        info: GraphQLResolveInfo = make(GraphQLResolveInfo, parts)
        return info

    def is_resolved_by(self, resolve: Callable[..., Any]) -> bool:
        """Tell if it is this that resolves the field, and nothing around it."""
        return self._field.resolve is resolve

    def execute(self, payload: Any) -> ExecutionResult | Awaitable[ExecutionResult]:
        """Execute an event."""
        run = Run(self._bound, payload)
        try:
            value = self._field.execute_at(run, payload, self._path)
        except Exception as error:  # noqa: BLE001 (resolvers may raise anything)
            return self._failure(run, error)
        if type(value) is CoroutineType:
            return self._awaited(run, value)
        return run.response({self._key: value})

    def complete(
        self, payload: Any, value: Any, info: GraphQLResolveInfo
    ) -> ExecutionResult | Awaitable[ExecutionResult]:
        """Go on with what somebody else has resolved the field to."""
        run = Run(self._bound, payload)
        try:
            data = self._field.complete_at(run, value, self._path, info)
        except Exception as error:  # noqa: BLE001 (resolvers may raise anything)
            return self._failure(run, error)
        if type(data) is CoroutineType:
            return self._awaited(run, data)
        return run.response({self._key: data})

    def failed(self, payload: Any, error: Exception) -> ExecutionResult:
        """Give the result if somebody else could not resolve the field."""
        return self._failure(Run(self._bound, payload), error)

    def _failure(self, run: Run, error: Exception) -> ExecutionResult:
        try:
            self._field.failed(run, error, None)
        except GraphQLError as located:
            return run.failure(located)
        return run.response({self._key: None})

    async def _awaited(self, run: Run, value: Awaitable[Any]) -> ExecutionResult:
        try:
            return run.response({self._key: await value})
        except GraphQLError as error:
            return run.failure(error)

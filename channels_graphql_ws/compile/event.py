"""A subscription with its variables: what is there before the first event comes."""

from __future__ import annotations

from collections.abc import Awaitable
from types import CoroutineType
from typing import Any

from graphql import ExecutionResult, FieldNode, GraphQLObjectType, GraphQLResolveInfo
from graphql.pyutils import Path

from .core import make
from .fields import Field
from .plans import Plans
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
        self, bound: Bound, plans: Plans, root_type: GraphQLObjectType, fields: Fields
    ) -> None:
        self.root_type = root_type
        self.fields = fields
        self.variable_values = bound.variable_values
        self._bound = bound
        self._plans = plans

    def event_field(self, key: str, nodes: list[FieldNode]) -> EventField:
        """Give the field that events are executed by."""
        field = self._plans.field(self.root_type, key, nodes)
        assert isinstance(field, Field)
        return EventField(self._bound, field)


class EventField:
    """The one field of a subscription."""

    def __init__(self, bound: Bound, field: Field) -> None:
        self._bound = bound
        self._field = field

    def info(self) -> GraphQLResolveInfo:
        """Give what hooks get that are called without an event."""
        field = self._field
        path = make(Path, (None, field.key, field.parent_type.name))
        return field.info(Run(self._bound, None), path)

    def execute(self, payload: Any) -> ExecutionResult | Awaitable[ExecutionResult]:
        """Execute an event."""
        return Run(self._bound, payload).result_of(self._execute, payload)

    def _execute(self, run: Run, payload: Any, path: None) -> Any:
        field = self._field
        value: Any = None
        try:
            value = field.execute(run, payload, path)
        except Exception as error:  # noqa: BLE001 (resolvers may raise anything)
            field.failed(run, error, path)
        return self._awaited(value) if type(value) is CoroutineType else {field.key: value}

    async def _awaited(self, value: Awaitable[Any]) -> Any:
        return {self._field.key: await value}

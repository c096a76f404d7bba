"""A subscription with its variables: what is there before the first event comes."""

from __future__ import annotations

from collections.abc import Awaitable
from types import CoroutineType
from typing import Any

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    OperationDefinitionNode,
)
from graphql.pyutils import Path

from .core import make
from .fields import Field
from .plans import Selection
from .running import Bound, Run
from .selections import Fields


class EventRoot:
    """The one field that a subscription selects, the conditions being decided.

    Attributes:
        key: its response name.
        nodes: where it is selected.
        definition: of the root type.
        path: where events are executed.
    """

    __slots__ = ("definition", "key", "nodes", "path")

    def __init__(
        self, type_: GraphQLObjectType, fields: Fields, operation: OperationDefinitionNode
    ) -> None:
        """Find it.

        Raises:
            GraphQLError: there is none, or there are several.
        """
        if len(fields) != 1:
            # Validation sees to one field, `@skip` may leave none.
            raise GraphQLError("A subscription must select one field.", operation)
        self.key, self.nodes = next(iter(fields.items()))
        self.definition: GraphQLField = type_.fields[self.nodes[0].name.value]
        self.path: Path = make(Path, (None, self.key, type_.name))


class EventField:
    """The one field of a subscription whose variables and context are known.

    Attributes:
        root: what is the same for all who subscribe by this document.
    """

    __slots__ = ("_bound", "_field", "_key", "_path", "root")

    def __init__(self, bound: Bound, selection: Selection, root: EventRoot) -> None:
        self.root = root
        self._bound = bound
        field = selection.fields[root.key]
        assert isinstance(field, Field)
        self._field = field
        self._key = root.key
        self._path = root.path

    def arguments(self) -> dict[str, Any]:
        """Give the arguments of the field; they are not to be changed.

        Raises:
            GraphQLError: there is none for a variable or a literal.
        """
        return self._field.arguments_of(self._bound)

    def info(self) -> GraphQLResolveInfo:
        """Give what hooks get that are called without an event."""
        return self._field.info(Run(self._bound, None), self._path)

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

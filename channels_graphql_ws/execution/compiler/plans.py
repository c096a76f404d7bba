"""The fields of each object that an operation selects, compiled when they are first met."""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import Any, Final, NamedTuple

from graphql import FieldNode, GraphQLObjectType, MiddlewareManager, TypeNameMetaFieldDef
from graphql.pyutils import Path

from channels_graphql_ws.concurrency.placement import on_event_loop
from channels_graphql_ws.execution.budget import HEAVY
from channels_graphql_ws.execution.compiler.awaiting import built_in_kinds, close_all, gathered
from channels_graphql_ws.execution.compiler.fields import Field, Read
from channels_graphql_ws.execution.compiler.graphql_core import make, wrapped
from channels_graphql_ws.execution.compiler.run import Execution
from channels_graphql_ws.execution.compiler.scalars import NEVER
from channels_graphql_ws.execution.compiler.selections import Collector, Fields
from channels_graphql_ws.execution.compiler.wide import (
    FIELDS_UNTIL_A_LOOK,
    WideSelection,
    unjoined,
)
from channels_graphql_ws.execution.sync_resolvers import Hops

FIELDS_AT_LEAST: Final = 100
"""Fields for which there is room in any operation, see `Budget`."""

CHARACTERS_FOR_A_FIELD: Final = 4
"""Characters of a document that make room for one field more."""


BYTES_FOR_A_FIELD: Final = 600
"""What a field takes that is kept compiled."""

FIELDS_AT_ONCE: Final = 1_024
"""Fields of the objects of a list that are executed without a look at the clock."""

FIELDS_FOR_A_CALL: Final = 32
"""What a field counts as there whose resolver is called."""


class Budget:
    """What may be kept compiled of one operation, whatever its conditions are.

    A field takes a kilobyte, and fragments that are spread over and over let a short
    document have any number of them: what is kept grows with the document's length only.
    """

    __slots__ = ("_left", "_most", "is_full")

    def __init__(self, characters: int, operations: int = 1) -> None:
        """Make room for one of the operations of a document that is so long."""
        least, more = FIELDS_AT_LEAST, characters // CHARACTERS_FOR_A_FIELD
        self._left = self._most = (least + more) // operations
        self.is_full = False
        """Whether nothing more is to be kept."""

    @property
    def memory(self) -> int:
        """About how many bytes are used."""
        return BYTES_FOR_A_FIELD * (self._most - max(0, self._left))

    def take(self, fields: int) -> None:
        """Use some of it, or all and more."""
        self._left -= fields
        self.is_full = self._left < 0


class _Constant:
    """Where a kind is expected: there is a constant, and nothing to read or to resolve."""


class _Entry(NamedTuple):
    """A field, as the loop over an object's fields wants it.

    Attributes:
        attribute: what to read, if only reading is needed.
        default: what to take where that is missing, or the constant.
        kind, low, high: values that are data already.
    """

    key: str
    attribute: str | None
    default: Any
    kind: type
    low: Any
    high: Any
    field: Any


class Selection:
    """The fields that are selected of an object of one type.

    Args:
        fields: by response name; a string is a constant.
        join: waits for all fields that have to be waited for.
        guards: on the event loop, read from objects only what is certain not to block.

    Attributes:
        size: what executing them counts as.
        step: objects of a list that are executed without a look at the clock.
        is_light: nothing that is selected in it can be heavy.
        raises: a field must have a value, and raises what leaves it without one.
    """

    __slots__ = (
        "_for_dicts",
        "_for_objects",
        "_for_others",
        "_guards",
        "_join",
        "fields",
        "is_light",
        "raises",
        "size",
        "step",
    )

    def __init__(
        self, fields: dict[str, Field | str], join: Callable[..., Any], *, guards: bool
    ) -> None:
        self.fields = fields
        compiled = [field for field in fields.values() if isinstance(field, Field)]
        # An object is made even if all of its fields are skipped.
        self.size = max(1, len(fields)) + sum(field.extra_size for field in compiled)
        called = sum(field.read is None for field in compiled)
        weight = self.size + FIELDS_FOR_A_CALL * called
        self.step = max(1, FIELDS_AT_ONCE // max(1, weight))
        self.is_light = self.size <= HEAVY and all(field.is_light for field in compiled)
        self.raises = not all(field.is_nullable for field in compiled)
        self._guards = guards

        def entries(is_read: Callable[[Read], bool]) -> tuple[tuple[Any, ...], ...]:
            # Plain tuples: to unpack a named one takes three times as long.
            return tuple(tuple(_entry(key, field, is_read)) for key, field in fields.items())

        self._for_dicts = entries(lambda read: read.of_dicts)
        self._for_objects = entries(lambda read: read.of_objects)
        self._for_others = entries(lambda _read: False)
        self._join = join

    # One function for the sake of speed: here is where most of the time goes.
    def execute(  # noqa: C901, PLR0912
        self, run: Execution, source: Any, path: Path | None, index: int | None = None
    ) -> Any:
        """Return the data of an object, or a coroutine.

        Args:
            run: the execution.
            source: what the fields are resolved from.
            path: of the object or, with an `index`, of the list that it is in: most
                objects come to their end without anybody asking for their path.
            index: in a list.

        Raises:
            GraphQLError: a field has no value where it has to have one.
        """
        results: dict[str, Any] = {}
        waiting: list[str] | None = None
        is_dict = type(source) is dict
        entries = iter(self._for_dicts if is_dict else self._for_objects)
        if not is_dict and (isinstance(source, dict) or (self._guards and on_event_loop())):
            # It may have a `get` of its own, or a property that blocks: that is left to the
            # resolver.
            entries = iter(self._for_others)
        field: Any = None
        while True:
            try:
                for key, attribute, default, kind, low, high, field in entries:
                    if attribute is not None:
                        value = (
                            source.get(attribute, default)
                            if is_dict
                            else getattr(source, attribute, default)
                        )
                        if type(value) is kind and (low is None or low <= value <= high):
                            results[key] = value
                            continue
                        if value is None and field.is_nullable:
                            results[key] = None
                            continue
                        execute = field.complete
                        if field.calls_values:
                            value, execute = source, field.execute
                    elif kind is _Constant:
                        results[key] = default
                        continue
                    else:
                        value, execute = source, field.execute
                    if index is not None:
                        path, index = make(Path, (path, index, None)), None
                    results[key] = value = execute(run, value, path)
                    if type(value) is CoroutineType:
                        waiting = waiting or []
                        waiting.append(key)
            except Exception as error:  # noqa: BLE001 (user code raises anything)
                if index is not None:
                    path, index = make(Path, (path, index, None)), None
                results[field.key] = rescued = field.rescued(run, error, source, path)
                if rescued is None:
                    if waiting and not field.is_nullable:
                        close_all([results[key] for key in waiting])
                    field.failed(run, error, path)
                else:
                    waiting = waiting or []
                    waiting.append(field.key)
            else:
                if not waiting:
                    return results
                run.waiting += 1
                return self._join(run, results, waiting, path)


def _entry(key: str, field: Field | str, is_read: Callable[[Read], bool]) -> _Entry:
    if isinstance(field, str):
        return _Entry(key, None, field, _Constant, None, None, None)
    read = field.read
    if read is None or not is_read(read):
        return _Entry(key, None, None, *NEVER, field)
    return _Entry(key, read.attribute, read.default, *(field.range or NEVER), field)


class Plans:
    """All selections of an operation, the conditions being decided.

    Attributes:
        kinds: classes of values that cannot be awaited.
    """

    def __init__(
        self,
        collector: Collector,
        middleware: MiddlewareManager | None,
        room: Budget,
        *,
        is_event: bool = False,
    ) -> None:
        self.kinds = built_in_kinds()
        self._room = room
        self._collector = collector
        self._middleware = middleware
        # Events learn where they belong, and are executed often.
        self._guards = isinstance(middleware, Hops) and not is_event
        self._selections: dict[tuple[Any, ...], Selection | WideSelection] = {}

    @property
    def is_full(self) -> bool:
        """Return whether there is no room for more."""
        return self._room.is_full

    def selection(
        self, type_: GraphQLObjectType, nodes: list[FieldNode]
    ) -> Selection | WideSelection:
        """Return the fields that nodes of one field select of an object."""
        key = (type_, *map(id, nodes))
        selection = self._selections.get(key)
        if selection is None:
            fields = self._collector.collect(type_, [node.selection_set for node in nodes])
            selection = self.compiled(type_, fields)
            if not self.is_full:
                self._selections[key] = selection
        return selection

    def compiled(
        self, type_: GraphQLObjectType, fields: Fields, join: Callable[..., Any] = gathered
    ) -> Selection | WideSelection:
        """Compile the fields of an object."""
        self._room.take(len(fields))
        compiled = ((key, self._field(type_, key, nodes)) for key, nodes in fields.items())
        known = {key: field for key, field in compiled if field is not None}
        if len(known) <= FIELDS_UNTIL_A_LOOK:
            return Selection(known, join, guards=self._guards)
        items = list(known.items())
        starts = range(0, len(items), FIELDS_UNTIL_A_LOOK)
        some = (dict(items[start : start + FIELDS_UNTIL_A_LOOK]) for start in starts)
        parts = [Selection(each, unjoined, guards=self._guards) for each in some]
        return WideSelection(known, parts, join)

    def _field(
        self, type_: GraphQLObjectType, key: str, nodes: list[FieldNode]
    ) -> Field | str | None:
        """Compile one field. A string is a constant; graphql-core passes over unknown fields."""
        name = nodes[0].name.value
        definition = type_.fields.get(name)
        if name == "__typename":
            resolve = TypeNameMetaFieldDef.resolve
            assert resolve is not None
            if wrapped(resolve, self._middleware) is resolve:
                return type_.name
            definition = TypeNameMetaFieldDef
        if definition is None:
            definition = self._collector.meta_field(type_, name)
        if definition is None:
            return None
        return Field(key, definition, nodes, type_, self, self._middleware)

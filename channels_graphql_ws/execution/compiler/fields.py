"""One field: resolve it, and complete what the resolver returned."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import CoroutineType
from typing import Any, Final, NamedTuple

from graphene.types.resolver import attr_resolver, dict_or_attr_resolver, dict_resolver
from graphene.types.schema import is_type_of_from_possible_types
from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLResolveInfo,
    MiddlewareManager,
    default_field_resolver,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_leaf_type,
    is_non_null_type,
)
from graphql.pyutils import Path

from channels_graphql_ws.execution.budget import ARGUMENT_NODES_FOR_A_FIELD
from channels_graphql_ws.execution.compiler.arguments import Arguments, written_out
from channels_graphql_ws.execution.compiler.awaiting import has_to_wait, kept, not_awaited
from channels_graphql_ws.execution.compiler.completion import (
    FieldPosition,
    Plans,
    completer,
    failed,
    light_size,
    rescue,
)
from channels_graphql_ws.execution.compiler.graphql_core import is_awaitable, make, wrapped
from channels_graphql_ws.execution.compiler.run import BoundOperation, Execution
from channels_graphql_ws.execution.compiler.scalars import range_of
from channels_graphql_ws.execution.crowds import full_crowds
from channels_graphql_ws.execution.pending import MOST_ADDED
from channels_graphql_ws.execution.sync_resolvers import Hops


class Read(NamedTuple):
    """What a resolver reads that does nothing else.

    Attributes:
        attribute: its name.
        default: what is given where there is none.
        of_dicts: it reads dictionaries so.
        of_objects: it reads attributes so, of anything that is no dictionary.
    """

    attribute: str
    default: Any
    of_dicts: bool
    of_objects: bool


_READERS: Final = (
    (dict_or_attr_resolver, (True, True)),
    (dict_resolver, (True, False)),
    (attr_resolver, (False, True)),
)
"""Graphene's resolvers; they are given the name and the default, and the rest at each call."""


class Field:
    """One field of an object type, with all that an operation says of it.

    Attributes:
        resolve: the resolver, with middleware around it.
        read: what is to be read, if no code has to be called for it.
        range: values that are data already.
        calls_values: what is read and is no data yet is the resolver's affair after all.
        is_nullable: a null may stand in its place.
        is_light: its value is a scalar, or an object without anything that may be heavy.
        extra_size: what it counts as besides one field, with its arguments and such an object.
    """

    __slots__ = (
        "_arguments",
        "_complete",
        "_is_leaf",
        "_kinds",
        "_needs_info",
        "_return_type",
        "_type_name",
        "calls_values",
        "extra_size",
        "is_light",
        "is_nullable",
        "key",
        "name",
        "nodes",
        "parent_type",
        "range",
        "read",
        "resolve",
    )

    def __init__(
        self,
        key: str,
        definition: GraphQLField,
        nodes: list[FieldNode],
        parent_type: GraphQLObjectType,
        plans: Plans,
        middleware: MiddlewareManager | None,
    ) -> None:
        self.key = key
        self.nodes = nodes
        self.parent_type = parent_type
        self.name = nodes[0].name.value
        self.is_nullable = not is_non_null_type(definition.type)
        declared: Any = definition.type
        self.range = range_of(get_nullable_type(declared))
        light = light_size(declared, nodes)
        self.is_light = light is not None
        self.extra_size = written_out(nodes[0]) // ARGUMENT_NODES_FOR_A_FIELD + (light or 0)
        self._return_type = definition.type
        self._is_leaf = is_leaf_type(get_named_type(definition.type))
        self._type_name = parent_type.name
        resolve = definition.resolve or default_field_resolver
        self.resolve = wrapped(resolve, middleware)
        only_reads = self.resolve is resolve or (
            isinstance(middleware, Hops) and middleware.reads_directly
        )
        # Arguments may be wrong, or none that the resolver takes.
        only_reads = only_reads and not definition.args
        self.read = _read_by(resolve, self.name) if only_reads else None
        self.calls_values = resolve is default_field_resolver
        self._arguments = Arguments(definition, nodes[0]) if definition.args else None
        self._complete = completer(
            definition.type,
            FieldPosition(f"{parent_type.name}.{self.name}", nodes, plans),
            is_counted=self.is_light,
        )
        self._needs_info = _needs_info(get_named_type(definition.type))
        self._kinds = plans.kinds

    def execute(self, run: Execution, source: Any, parent_path: Path | None) -> Any:
        """Resolve the field; return data or a coroutine. Errors go to `failed`."""
        return self.execute_at(run, source, make(Path, (parent_path, self.key, self._type_name)))

    def execute_at(self, run: Execution, source: Any, path: Path) -> Any:
        """Resolve the field, which stands at this path."""
        info = self.info(run, path)
        if self._arguments is None:
            value = self.resolve(source, info)
        else:
            value = self.resolve(source, info, **self._arguments.of(run.bound))
        return self.complete_at(run, value, path, info)

    def complete_at(self, run: Execution, value: Any, path: Path, info: Any) -> Any:
        """Return data or a coroutine for what the resolver returned."""
        if type(value) not in self._kinds and has_to_wait(value, self._kinds):
            run.take_wait()
            return self._complete_awaited(value, run, path, info)
        data = self._complete(run, value, path, info)
        return self.guarded(data, run, path) if type(data) is CoroutineType else data

    def rescued(
        self, run: Execution, error: Exception, source: Any, parent_path: Path | None
    ) -> Any:
        """Return a coroutine for the data, if the field only has to be resolved in a thread."""
        coroutine = rescue(run, error, partial(self.execute, run, source, parent_path))
        if coroutine is None:
            return None
        run.take_wait()
        path = make(Path, (parent_path, self.key, self._type_name))
        return self.guarded(coroutine, run, path)

    def arguments_of(self, bound: BoundOperation) -> dict[str, Any]:
        """Return the arguments, which are not to be changed.

        Raises:
            GraphQLError: there is none for a variable or a literal.
        """
        return {} if self._arguments is None else self._arguments.of(bound)

    def has_lasting_arguments(self, bound: BoundOperation) -> bool:
        """Return whether all calls may share the arguments; no resolver may change them then."""
        return self._arguments is None or self._arguments.last(bound)

    def complete(self, run: Execution, value: Any, parent_path: Path | None) -> Any:
        """Do the same with a value that was read already."""
        path = make(Path, (parent_path, self.key, self._type_name))
        info = self.info(run, path) if self._needs_info else None
        return self.complete_at(run, value, path, info)

    def info(self, run: Execution, path: Path) -> GraphQLResolveInfo:
        """Return what user code gets."""
        bound = run.bound
        info: GraphQLResolveInfo = make(
            GraphQLResolveInfo,
            (
                self.name,
                self.nodes,
                self._return_type,
                self.parent_type,
                path,
                bound.schema,
                bound.fragments,
                run.root_value,
                bound.operation,
                bound.variable_values,
                bound.context_value,
                is_awaitable,
            ),
        )
        return info

    def failed(self, run: Execution, error: Exception, parent_path: Path | None) -> None:
        """Make a null of the field, or of what it is in.

        Raises:
            GraphQLError: there has to be a value.
        """
        path = make(Path, (parent_path, self.key, self._type_name))
        failed(run, error, self.nodes, path, is_nullable=self.is_nullable)

    async def _complete_awaited(self, value: Any, run: Execution, path: Path, info: Any) -> Any:
        if run.left < 0 and run.is_exceeded:
            return not_awaited(value)
        pending = run.pending
        pending.count += 1
        try:
            try:
                value = await value
            finally:
                pending.done()
            if full_crowds and (room := run.room(grows=not self._is_leaf)) is not None:
                await kept(value, room)
            if run.awaited > MOST_ADDED and not self._is_leaf:
                await kept(value, run.step_aside())
            try:
                data = self._complete(run, value, path, info)
            except Exception as error:
                data = rescue(run, error, partial(self._complete, run, value, path, info))
                if data is None:
                    raise
            return await data if type(data) is CoroutineType else data
        except Exception as error:  # noqa: BLE001 (user code raises anything)
            failed(run, error, self.nodes, path, is_nullable=self.is_nullable)

    async def guarded(self, data: Any, run: Execution, path: Path) -> Any:
        """Wait for the data of the field; an error makes a null of it, or of what it is in."""
        try:
            return await data
        except Exception as error:  # noqa: BLE001 (user code raises anything)
            failed(run, error, self.nodes, path, is_nullable=self.is_nullable)


def _read_by(resolve: Callable[..., Any], name: str) -> Read | None:
    """Return what a resolver reads, if that is all it does."""
    if resolve is default_field_resolver:
        return Read(name, None, of_dicts=True, of_objects=False)
    if not isinstance(resolve, partial) or resolve.keywords:
        return None
    for reader, of in _READERS:
        if resolve.func is reader and len(resolve.args) == len(("attribute", "default")):
            attribute, default = resolve.args
            return Read(attribute, default, *of)
    return None


def _needs_info(type_: Any) -> bool:
    """Return whether completing a value of the type may call code that gets `info`."""
    if is_abstract_type(type_):
        return True
    is_type_of = getattr(type_, "is_type_of", None)
    if is_type_of is None:
        return False
    return not (
        isinstance(is_type_of, partial) and is_type_of.func is is_type_of_from_possible_types
    )

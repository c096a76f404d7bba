"""Read plain fields at once: what needs neither arguments, nor `info`, nor waiting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import getattr_static, isdatadescriptor
from typing import Any, Final, TypeAlias

from graphene.types.resolver import dict_or_attr_resolver
from graphql import ExecutionContext, FieldNode, GraphQLObjectType, is_leaf_type, is_non_null_type
from graphql.pyutils import Path

Reader: TypeAlias = Callable[[Mapping[str, Any]], Any]

_LONG_WAY: Final = object()
"""In the place of a value: only graphql-core can tell what comes of this field."""

_PLAIN: Final = frozenset({str, int, float, bool})


class LeafContext(ExecutionContext):
    """Executes as graphql-core does, with a short way for objects of plain fields.

    Plain is a field of a scalar or enum type, without arguments and middleware, with
    Graphene's own resolver, whose value is in a dictionary or among an object's own
    attributes. Anything else goes the long way: errors, too, and a null where there must be
    a value. The short way calls no code of the user but `serialize`, so that it may be
    given up at any time.
    """

    readers: dict[tuple[type, str, int], Reader]
    """By class, parent type and field node. May be shared by all who share the document."""

    def execute_fields(
        self,
        parent_type: GraphQLObjectType,
        source_value: Any,
        path: Path | None,
        fields: dict[str, list[FieldNode]],
    ) -> Any:
        """Read all fields, or leave all of them to graphql-core."""
        kind = type(source_value)
        values = source_value if kind is dict else getattr(source_value, "__dict__", None)
        if values is None:
            return super().execute_fields(parent_type, source_value, path, fields)
        results: dict[str, Any] = {}
        for name, nodes in fields.items():
            key = kind, parent_type.name, id(nodes[0])
            read = self.readers.get(key)
            if read is None:
                read = self.readers[key] = self._reader(kind, parent_type, nodes[0])
            value = results[name] = read(values)
            if value is _LONG_WAY:
                return super().execute_fields(parent_type, source_value, path, fields)
        return results

    def _reader(self, kind: type, parent_type: GraphQLObjectType, node: FieldNode) -> Reader:
        field = parent_type.fields.get(node.name.value)
        if field is None or field.args or self.middleware_manager:
            return _give_up
        resolve = field.resolve
        if not isinstance(resolve, partial) or resolve.func is not dict_or_attr_resolver:
            return _give_up
        attribute: str = resolve.args[0]
        if kind is not dict and _is_computed(kind, attribute):
            return _give_up
        required = is_non_null_type(field.type)
        leaf: Any = field.type.of_type if required else field.type
        if not is_leaf_type(leaf):
            return _give_up
        return partial(_read, attribute, leaf.serialize, required)


def _read(
    attribute: str,
    serialize: Callable[[Any], Any],
    required: bool,  # noqa: FBT001 (only `_reader` calls it)
    values: Mapping[str, Any],
) -> Any:
    value = values.get(attribute, _LONG_WAY)
    if value is None and not required:
        return None
    if type(value) not in _PLAIN:
        return _LONG_WAY
    try:
        result = serialize(value)
    except Exception:  # noqa: BLE001 (it comes again on the long way, and is told there)
        return _LONG_WAY
    return _LONG_WAY if result is None or type(result) not in _PLAIN else result


def _give_up(_values: Mapping[str, Any]) -> Any:
    return _LONG_WAY


def _is_computed(kind: Any, attribute: str) -> bool:
    """Tell if reading the attribute may give something else than `__dict__` does."""
    has_a_way_of_its_own = kind.__getattribute__ is not object.__getattribute__
    return has_a_way_of_its_own or isdatadescriptor(getattr_static(kind, attribute, None))

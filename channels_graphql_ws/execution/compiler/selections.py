"""Survey the selections of an operation, and collect the fields of an object type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Final, TypeAlias

from graphql import (
    BooleanValueNode,
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    NamedTypeNode,
    NonNullTypeNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableDefinitionNode,
    VariableNode,
    is_abstract_type,
    type_from_ast,
)

from channels_graphql_ws.execution.compiler.introspection import meta_field

MAX_DEPTH: Final = 60
"""Deepest nesting of selections, fragments included, that is compiled."""

MAX_SELECTIONS: Final = 3_000
"""Most selections of an operation that is compiled, those of a fragment counted once."""

MAX_CONDITIONS: Final = 4
"""Most variables in `@skip` and `@include`; there is a plan for each set of their values."""

Fields: TypeAlias = dict[str, list[FieldNode]]


_META_FIELDS: Final = frozenset({"__schema", "__type", "__typename"})


class UnknownError(Exception):
    """There is something in the operation that the compiler does not know."""


class Survey:
    """What an operation has in it, found before anything is compiled.

    Attributes:
        fragments: those of the document by name.
        conditions: names of the variables which decide what is selected, and what each
            of them is where the client says nothing; `None` where there is no default.

    Raises:
        UnknownError: the operation cannot be compiled.
    """

    def __init__(self, document: DocumentNode, operation: OperationDefinitionNode) -> None:
        self.fragments: dict[str, FragmentDefinitionNode] = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self.conditions: dict[str, bool | None] = {}
        self._variables = {
            definition.variable.name.value: definition
            for definition in operation.variable_definitions or ()
        }
        self._selections = 0
        self._heights: dict[str, int] = {}
        self._height(operation.selection_set, 1)
        if len(self.conditions) > MAX_CONDITIONS:
            raise UnknownError("too many conditions")

    def _height(self, selections: SelectionSetNode, level: int) -> int:
        """Return how deep selections are nested."""
        if level > MAX_DEPTH:
            raise UnknownError("nested too deeply")
        self._selections += len(selections.selections)
        if self._selections > MAX_SELECTIONS:
            raise UnknownError("too many selections")
        return 1 + max((self._height_of(each, level) for each in selections.selections), default=0)

    def _height_of(self, selection: SelectionNode, level: int) -> int:
        for directive in selection.directives or ():
            self._add_condition(directive)
        if isinstance(selection, FragmentSpreadNode):
            return self._height_of_fragment(selection.name.value, level)
        if isinstance(selection, FieldNode):
            name = selection.name.value
            if name.startswith("__") and name not in _META_FIELDS:
                raise UnknownError("introspection of a new kind")
        else:
            assert isinstance(selection, InlineFragmentNode)
        nested: SelectionSetNode | None = selection.selection_set
        return self._height(nested, level + 1) if nested else 0

    def _height_of_fragment(self, name: str, level: int) -> int:
        height = self._heights.get(name)
        if height is None:
            if name not in self.fragments:
                raise UnknownError("an unknown fragment")
            # A circle of fragments comes here again, and is too deep in the end.
            height = self._height(self.fragments[name].selection_set, level + 1)
            self._heights[name] = height
        if level + height > MAX_DEPTH:
            raise UnknownError("nested too deeply")
        return height

    def _add_condition(self, directive: DirectiveNode) -> None:
        """Note a variable that decides if something is selected."""
        if directive.name.value not in ("skip", "include"):
            return
        values = [argument.value for argument in directive.arguments or ()]
        if len(values) == 1 and isinstance(values[0], BooleanValueNode):
            return
        if len(values) == 1 and isinstance(values[0], VariableNode):
            name = values[0].name.value
            definition = self._variables.get(name)
            if definition is not None and _is_boolean(definition):
                default = definition.default_value
                self.conditions[name] = (
                    default.value if isinstance(default, BooleanValueNode) else None
                )
                return
        raise UnknownError("a condition that is neither a literal nor a variable")


def _is_boolean(definition: VariableDefinitionNode) -> bool:
    node = definition.type
    if isinstance(node, NonNullTypeNode):
        node = node.type
    return isinstance(node, NamedTypeNode) and node.name.value == "Boolean"


class Collector:
    """Collects fields, the conditions being decided.

    Args:
        conditions: the values of the variables in `@skip` and `@include`.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        fragments: Mapping[str, FragmentDefinitionNode],
        conditions: Mapping[str, bool],
    ) -> None:
        self._schema = schema
        self._fragments = fragments
        self._conditions = conditions

    def meta_field(self, type_: GraphQLObjectType, name: str) -> GraphQLField | None:
        """Return the definition of `__schema` or `__type`, where it may be selected."""
        return meta_field(self._schema, type_, name)

    def collect(self, type_: GraphQLObjectType, sets: Iterable[SelectionSetNode | None]) -> Fields:
        """Return the nodes of each field by response name, in the order of the document."""
        fields: Fields = {}
        seen: set[str] = set()
        for node in chain.from_iterable(self._nodes(type_, each, seen) for each in sets):
            key = node.alias.value if node.alias else node.name.value
            fields.setdefault(key, []).append(node)
        return fields

    def _nodes(
        self, type_: GraphQLObjectType, selections: SelectionSetNode | None, seen: set[str]
    ) -> Iterator[FieldNode]:
        for each in selections.selections if selections else ():
            if isinstance(each, FieldNode):
                if self._is_selected(each):
                    yield each
                continue
            fragment = self._fragment(each, seen)
            if fragment is not None and self._applies(fragment, type_):
                yield from self._nodes(type_, fragment.selection_set, seen)

    def _fragment(
        self, selection: SelectionNode, seen: set[str]
    ) -> FragmentDefinitionNode | InlineFragmentNode | None:
        """Return the fragment that is to be looked into, each by its name once."""
        if not isinstance(selection, FragmentSpreadNode):
            assert isinstance(selection, InlineFragmentNode)
            return selection if self._is_selected(selection) else None
        name = selection.name.value
        if name in seen or not self._is_selected(selection):
            return None
        seen.add(name)
        return self._fragments[name]

    def _is_selected(self, selection: SelectionNode) -> bool:
        skipped, included = False, True
        # The first of several directives of one name counts.
        for directive in reversed(selection.directives or ()):
            if directive.name.value == "skip":
                skipped = self._decides(directive)
            elif directive.name.value == "include":
                included = self._decides(directive)
        return included and not skipped

    def _decides(self, directive: DirectiveNode) -> bool:
        value = directive.arguments[0].value
        if isinstance(value, VariableNode):
            return self._conditions[value.name.value]
        assert isinstance(value, BooleanValueNode)
        return value.value

    def _applies(
        self, fragment: FragmentDefinitionNode | InlineFragmentNode, type_: GraphQLObjectType
    ) -> bool:
        named: Any = fragment.type_condition
        condition: Any = type_from_ast(self._schema, named) if named else type_
        if condition is type_:
            return True
        return is_abstract_type(condition) and self._schema.is_sub_type(condition, type_)

"""Look at the resolvers of all that an operation selects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    default_field_resolver,
    get_named_type,
    is_abstract_type,
)


def selects(
    schema: GraphQLSchema,
    document: DocumentNode,
    operation: OperationDefinitionNode,
    is_looked_for: Callable[[Callable[..., Any]], bool],
) -> bool:
    """Return whether an operation may call a resolver that is looked for."""
    return _Search(schema, document, is_looked_for).finds_in(operation)


class _Search:
    """Looks for a resolver in all that an operation selects."""

    def __init__(
        self,
        schema: GraphQLSchema,
        document: DocumentNode,
        is_looked_for: Callable[[Callable[..., Any]], bool],
    ) -> None:
        self._schema = schema
        self._is_looked_for = is_looked_for
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._seen: set[tuple[int, str]] = set()

    def finds_in(self, operation: OperationDefinitionNode) -> bool:
        """Return whether there is one."""
        to_do: list[tuple[Any, SelectionSetNode]] = [
            (self._schema.get_root_type(operation.operation), operation.selection_set)
        ]
        while to_do:
            parent, selections = to_do.pop()
            # A fragment may be spread over and over.
            if parent is None or (id(selections), parent.name) in self._seen:
                continue
            self._seen.add((id(selections), parent.name))
            for node in selections.selections:
                if isinstance(node, FieldNode):
                    if any(self._has(each, node) for each in self._concrete(parent)):
                        return True
                    to_do += self._below(parent, node)
                else:
                    to_do.append(self._spread(parent, node))
        return False

    def _concrete(self, parent: Any) -> Sequence[GraphQLObjectType]:
        return self._schema.get_possible_types(parent) if is_abstract_type(parent) else [parent]

    def _has(self, type_: GraphQLObjectType, node: FieldNode) -> bool:
        field = type_.fields.get(node.name.value)
        return field is not None and self._is_looked_for(field.resolve or default_field_resolver)

    def _below(self, parent: Any, node: FieldNode) -> list[tuple[Any, SelectionSetNode]]:
        field = getattr(parent, "fields", {}).get(node.name.value)
        if field is None or node.selection_set is None:
            return []
        return [(get_named_type(field.type), node.selection_set)]

    def _spread(self, parent: Any, node: SelectionNode) -> tuple[Any, SelectionSetNode]:
        fragment: Any = node
        if isinstance(node, FragmentSpreadNode):
            fragment = self._fragments[node.name.value]
        condition = fragment.type_condition
        type_ = self._schema.get_type(condition.name.value) if condition else parent
        return type_, fragment.selection_set

"""Whether an operation calls resolvers or middleware that may block."""

from __future__ import annotations

from collections.abc import Sequence
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

from channels_graphql_ws.execution.documents import Document
from channels_graphql_ws.execution.sync_resolvers import Hops


def starts_in_thread(
    schema: GraphQLSchema, document: Document, operation: OperationDefinitionNode, hops: Hops
) -> bool:
    """Return whether an operation calls resolvers or middleware that may block."""
    key = "starts in a thread", id(operation), id(hops)
    kept: tuple[Hops, bool] | None = document.compiled.get(key)
    if kept is None:
        kept = hops, _Search(schema, document.ast, hops).blocks(operation)
        document.compiled[key] = kept
    return kept[1]


class _Search:
    """Looks for resolvers that may block, in all that an operation selects."""

    def __init__(self, schema: GraphQLSchema, document: DocumentNode, hops: Hops) -> None:
        self._schema = schema
        self._hops = hops
        self._fragments = {
            definition.name.value: definition
            for definition in document.definitions
            if isinstance(definition, FragmentDefinitionNode)
        }
        self._seen: set[tuple[int, str]] = set()

    def blocks(self, operation: OperationDefinitionNode) -> bool:
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
                    if any(self._is_blocking(each, node) for each in self._concrete(parent)):
                        return True
                    to_do += self._below(parent, node)
                else:
                    to_do.append(self._spread(parent, node))
        return False

    def _concrete(self, parent: Any) -> Sequence[GraphQLObjectType]:
        return self._schema.get_possible_types(parent) if is_abstract_type(parent) else [parent]

    def _is_blocking(self, type_: GraphQLObjectType, node: FieldNode) -> bool:
        field = type_.fields.get(node.name.value)
        return field is not None and self._hops.blocks(field.resolve or default_field_resolver)

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

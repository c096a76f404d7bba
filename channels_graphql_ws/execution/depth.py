"""A validation rule: how deeply a document may be nested."""

from __future__ import annotations

from typing import Any

from graphql import (
    ASTValidationRule,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionSetNode,
)


def depth_limit(limit: int) -> type[ASTValidationRule]:
    """Give the rule for valid documents.

    It counts as the one of Graphene, which looks at a fragment each time that it is spread,
    and so has 2^n things to look at in n fragments that spread the next one twice.
    """

    class DepthLimit(ASTValidationRule):
        def enter_document(self, document: Any, *_args: Any) -> None:
            depths = _Depths(document.definitions)
            for definition in document.definitions:
                if not isinstance(definition, OperationDefinitionNode):
                    continue
                if depths.below(definition.selection_set) > limit:
                    name = definition.name.value if definition.name else "anonymous"
                    message = f"Operation {name!r} exceeds the maximum depth of {limit}."
                    self.report_error(GraphQLError(message, definition))

    return DepthLimit


class _Depths:
    """Depths of selection sets; those of fragments are looked up once."""

    def __init__(self, definitions: Any) -> None:
        self._fragments = {
            each.name.value: each
            for each in definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        self._known: dict[str, int] = {}

    def below(self, selections: SelectionSetNode) -> int:
        return max(map(self._of, selections.selections), default=0)

    def _of(self, node: Any) -> int:
        match node:
            case FieldNode(name=name, selection_set=selections):
                is_meta = name.value.startswith("__")
                return 0 if is_meta or selections is None else 1 + self.below(selections)
            case FragmentSpreadNode():
                spread = node.name.value
                if spread not in self._known:
                    self._known[spread] = self.below(self._fragments[spread].selection_set)
                return self._known[spread]
            case _:
                assert isinstance(node, InlineFragmentNode), "there is no other selection"
                return self.below(node.selection_set)

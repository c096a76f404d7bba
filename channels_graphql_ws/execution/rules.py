"""What documents must keep: the rules of GraphQL, the limits, and those of the user."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from graphql import (
    ASTValidationRule,
    DirectiveNode,
    DocumentNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    InlineFragmentNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
)

from channels_graphql_ws.execution.budget import ExecutionLimits
from channels_graphql_ws.execution.limits import (
    DocumentRule,
    Limits,
    NoIntrospection,
    static_limits,
)
from channels_graphql_ws.execution.merging import merging


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules(Limits):
    """What documents must keep besides GraphQL's own rules: see the options of these names."""

    validation_rules: tuple[type[ASTValidationRule], ...] = ()
    max_tokens: int | None = None
    max_field_comparisons: int | None = None
    max_fields_executed: int | None = None
    max_result_size: int | None = None
    introspection: bool = True
    parse_document: Callable[[str], DocumentNode] | None = None
    """The user's own way to parse."""
    validate_document: Callable[..., Sequence[GraphQLError]] | None = None
    """The user's own way to validate."""

    @property
    def execution_limits(self) -> ExecutionLimits:
        """What each execution may cost."""
        return ExecutionLimits(self.max_fields_executed, self.max_result_size)

    def all(self) -> list[type[ASTValidationRule]]:
        """Return the rules, in the form in which a user's `validate_document` gets them."""
        rules = list(self.validation_rules)
        if self.are_static:
            rules.append(static_limits(self))
        if not self.introspection:
            rules.append(NoIntrospection)
        if self.max_field_comparisons is not None:
            rules.append(merging(self.max_field_comparisons))
        return rules


NO_RULES: Final = Rules()

MOST_SHOWN: Final = 10
"""Directives that an error about a subscription names: fragments have any number of them."""


class UnconditionalSubscription(DocumentRule):
    """Refuses `@skip` and `@include` on the root field of a subscription.

    GraphQL specification, "Single Root Field". graphql-core 3.2 decides by the literals, and
    takes a variable for one that is missing.
    """

    @classmethod
    def problems(cls, document: DocumentNode) -> Iterator[GraphQLError]:
        """Return an error for each such subscription."""
        conditions = _Conditions(document)
        for each in document.definitions:
            if not isinstance(each, OperationDefinitionNode):
                continue
            if each.operation is OperationType.SUBSCRIPTION and (found := conditions.of(each)):
                yield _conditional(each, found)


def _conditional(
    operation: OperationDefinitionNode, conditions: list[DirectiveNode]
) -> GraphQLError:
    name = operation.name
    what = f"Subscription {name.value!r}" if name else "Anonymous subscription"
    variables = [
        repr(f"${argument.value.name.value}")
        for condition in conditions
        for argument in condition.arguments
        if isinstance(argument.value, VariableNode)
    ]
    whatever = " and ".join(dict.fromkeys(variables)) or "the conditions"
    message = (
        f"{what} must not use `@skip` or `@include` on its root field: it must select one field "
        f"whatever the value of {whatever}."
    )
    return GraphQLError(message, conditions)


class _Conditions:
    """Finds what decides about root fields; looks into each fragment of a document once."""

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            each.name.value: each
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        self._known: dict[str, list[DirectiveNode]] = {}

    def of(self, operation: OperationDefinitionNode) -> list[DirectiveNode]:
        """Return the first directives that decide about root fields of an operation."""
        return self._first(operation.selection_set)

    def _first(self, selections: SelectionSetNode) -> list[DirectiveNode]:
        return list(islice(self._below(selections), MOST_SHOWN))

    def _below(self, selections: SelectionSetNode) -> Iterator[DirectiveNode]:
        for node in selections.selections:
            yield from (each for each in node.directives if each.name.value in ("skip", "include"))
            if isinstance(node, InlineFragmentNode):
                yield from self._below(node.selection_set)
            elif isinstance(node, FragmentSpreadNode):
                yield from self._of_fragment(node.name.value)

    def _of_fragment(self, name: str) -> list[DirectiveNode]:
        known = self._known.get(name)
        if known is None:
            # One that spreads itself has in it what is found around that.
            self._known[name] = []
            fragment = self._fragments.get(name)
            known = [] if fragment is None else self._first(fragment.selection_set)
            self._known[name] = known
        return known

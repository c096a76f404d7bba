"""Static limits: what an operation may select, its fragments counted wherever they are spread.

Counted before a document is validated, in one pass over it: the counts of a fragment are
worked out once and added for each spread, so n fragments that each spread the next one twice
cost n steps and count as 2^n.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from graphql import (
    BREAK,
    ASTValidationRule,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    Node,
    OperationDefinitionNode,
    SelectionSetNode,
    VisitorAction,
)

LIMIT_EXCEEDED: Final = "LIMIT_EXCEEDED"
"""`extensions.code` of an operation that is refused, or given up, because of a limit."""

MAX_INTROSPECTION_FIELDS: Final = 500
"""Most fields of an introspection in good faith. What GraphiQL asks for has less than 200."""

_COUNTABLE: Final = 2**31
"""Counts stop here: 2^n for n fragments is a number of n digits."""

_ROOTS: Final = frozenset({"__schema", "__type"})

_NESTING: Final = frozenset({"fields", "inputFields", "interfaces", "possibleTypes"})
"""Lists of `__Type` from which one comes to other types, and to their lists."""

_LISTS: Final = _NESTING | {"args", "directives", "enumValues", "types"}

_SEVERAL: Final = object()
"""In place of a response name: there are several."""


def exceeded(option: str, allowed: int, text: str, node: Node | None = None) -> GraphQLError:
    """Return the error for more than a limit allows.

    Args:
        option: which one sets the limit; named in the text, too.
        allowed: the limit.
        text: what is too much.
        node: where.
    """
    extensions = {"code": LIMIT_EXCEEDED, "limit": option, "allowed": allowed}
    return GraphQLError(f"{text} (`{option}`).", node, extensions=extensions)


class Counts:
    """What is selected by a set of selections and all below.

    Attributes:
        width: fields on the level of the set itself.
        depth: levels below it, those of introspection not counted.
        levels: levels of fields, of any kind.
        fields: all fields.
        introspected: fields below `__schema` and `__type`.
        introspection_depth: levels below those.
        roots: how often `__schema` and `__type` stand there.
        lists: response names of the lists of introspection types on this level.
        below: those lists which stand anywhere below.
        repeated: a list that introspection in good faith has once, and that is there again.
        bad_list: the same, where it is introspection.
    """

    __slots__ = (
        "aliases",
        "bad_list",
        "below",
        "depth",
        "directives",
        "fields",
        "introspected",
        "introspection_depth",
        "levels",
        "lists",
        "repeated",
        "roots",
        "width",
    )

    def __init__(self) -> None:
        self.width = self.depth = self.levels = self.fields = 0
        self.aliases = self.directives = 0
        self.introspected = self.introspection_depth = 0
        self.roots: dict[str, int] = {}
        self.lists: dict[str, object] = {}
        self.below: frozenset[str] = frozenset()
        self.repeated: str | None = None
        self.bad_list: str | None = None

    def add_field(self, node: FieldNode, nested: Counts | None) -> None:
        """Add a field with what is selected of it."""
        name = node.name.value
        self.width += 1
        self.fields += 1
        self.levels = max(self.levels, 1)
        if node.alias is not None:
            self.aliases += 1
        if name in _LISTS:
            self._add_list(name, node.alias.value if node.alias is not None else name)
        if nested is not None:
            self._add_below(name, nested)
        if name in _ROOTS:
            self.roots[name] = self.roots.get(name, 0) + 1
            if nested is not None:
                self.introspected += nested.fields
                self.introspection_depth = max(self.introspection_depth, nested.levels)
                self.bad_list = self.bad_list or nested.repeated

    def add_fragment(self, other: Counts) -> None:
        """Add what a fragment selects on the same level."""
        self.width = min(self.width + other.width, _COUNTABLE)
        self.levels = max(self.levels, other.levels)
        self.depth = max(self.depth, other.depth)
        self._add_totals(other)
        self.below |= other.below
        for name, key in other.lists.items():
            self._add_list(name, key)

    def _add_below(self, name: str, nested: Counts) -> None:
        self.levels = max(self.levels, 1 + nested.levels)
        if not name.startswith("__"):
            self.depth = max(self.depth, 1 + nested.depth)
        self._add_totals(nested)
        inside = nested.below | _NESTING.intersection(nested.lists)
        if name in inside:
            self.repeated = self.repeated or name
        self.below |= inside

    def _add_totals(self, other: Counts) -> None:
        self.fields = min(self.fields + other.fields, _COUNTABLE)
        self.aliases = min(self.aliases + other.aliases, _COUNTABLE)
        self.directives = min(self.directives + other.directives, _COUNTABLE)
        self.introspected = min(self.introspected + other.introspected, _COUNTABLE)
        self.introspection_depth = max(self.introspection_depth, other.introspection_depth)
        self.repeated = self.repeated or other.repeated
        self.bad_list = self.bad_list or other.bad_list
        for name, count in other.roots.items():
            self.roots[name] = min(self.roots.get(name, 0) + count, _COUNTABLE)

    def _add_list(self, name: str, key: object) -> None:
        if self.lists.setdefault(name, key) != key:
            self.lists[name] = _SEVERAL
            self.repeated = self.repeated or name


class Counter:
    """Counts the operations of a document, valid or not.

    Raises:
        RecursionError: it is nested too deeply.
    """

    def __init__(self, document: DocumentNode) -> None:
        self._fragments = {
            each.name.value: each
            for each in document.definitions
            if isinstance(each, FragmentDefinitionNode)
        }
        self._known: dict[str, Counts] = {}

    def of(self, operation: OperationDefinitionNode) -> Counts:
        """Count an operation."""
        counts = self._below(operation.selection_set)
        directives = len(operation.directives or ())
        for variable in operation.variable_definitions or ():
            directives += len(variable.directives or ())
        counts.directives += directives
        return counts

    def _below(self, selections: SelectionSetNode) -> Counts:
        counts = Counts()
        for node in selections.selections:
            counts.directives += len(node.directives or ())
            if isinstance(node, FieldNode):
                nested = node.selection_set
                counts.add_field(node, self._below(nested) if nested else None)
            elif isinstance(node, FragmentSpreadNode):
                counts.add_fragment(self._of_fragment(node.name.value))
            else:
                inline: Any = node
                counts.add_fragment(self._below(inline.selection_set))
        return counts

    def _of_fragment(self, name: str) -> Counts:
        known = self._known.get(name)
        if known is None:
            # Validation has its own words for a fragment that is not there, or that spreads
            # itself: here it has nothing in it.
            self._known[name] = Counts()
            fragment = self._fragments.get(name)
            if fragment is None:
                return self._known[name]
            known = self._known[name] = self._below(fragment.selection_set)
            known.directives += len(fragment.directives or ())
        return known


class DocumentRule(ASTValidationRule):
    """A rule that looks at a document as a whole, valid or not, before all other rules."""

    def enter_document(self, document: DocumentNode, *_args: Any) -> VisitorAction:
        """Report what is wrong, as any other validation rule does."""
        for error in self.problems(document):
            self.report_error(error)
        return BREAK

    @classmethod
    @abstractmethod
    def problems(cls, document: DocumentNode) -> Iterator[GraphQLError]:
        """Return what is wrong, one by one: there may be more than anybody is told.

        Raises:
            RecursionError: the document is nested too deeply.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that an operation may have, see the options of these names. `None`: no limit."""

    max_depth: int | None = None
    max_aliases: int | None = None
    max_root_fields: int | None = None
    max_directives: int | None = None
    max_introspection_depth: int | None = None
    good_faith_introspection: bool = False

    @property
    def are_static(self) -> bool:
        """Whether there is anything to count in a document."""
        limits = (
            self.max_depth,
            self.max_aliases,
            self.max_root_fields,
            self.max_directives,
            self.max_introspection_depth,
        )
        return self.good_faith_introspection or any(each is not None for each in limits)


def static_limits(limits: Limits) -> type[DocumentRule]:
    """Return the rule that holds operations to limits."""

    class StaticLimits(DocumentRule):
        @classmethod
        def problems(cls, document: DocumentNode) -> Iterator[GraphQLError]:
            counter = Counter(document)
            for each in document.definitions:
                if isinstance(each, OperationDefinitionNode):
                    yield from _problems(each, counter.of(each), limits)

    return StaticLimits


def _problems(
    operation: OperationDefinitionNode, counts: Counts, limits: Limits
) -> Iterator[GraphQLError]:
    name = repr(operation.name.value if operation.name else "anonymous")
    counted = (
        ("max_depth", limits.max_depth, counts.depth, "depth of {}"),
        ("max_aliases", limits.max_aliases, counts.aliases, "number of {} aliases"),
        ("max_root_fields", limits.max_root_fields, counts.width, "number of {} root fields"),
        ("max_directives", limits.max_directives, counts.directives, "number of {} directives"),
        (
            "max_introspection_depth",
            limits.max_introspection_depth,
            counts.introspection_depth,
            "introspection depth of {}",
        ),
    )
    for option, limit, figure, what in counted:
        if limit is not None and figure > limit:
            found = figure if figure < _COUNTABLE else f"{figure} or more"
            text = f"Operation {name} exceeds the maximum {what.format(limit)}. It has {found}"
            yield exceeded(option, limit, text, operation)
    if limits.good_faith_introspection:
        yield from _bad_faith(operation, name, counts)


def _bad_faith(
    operation: OperationDefinitionNode, name: str, counts: Counts
) -> Iterator[GraphQLError]:
    """Report an introspection that asks for more than one has to know."""
    option = "good_faith_introspection"
    text = f"Operation {name} does not introspect in good faith: "
    for root, count in counts.roots.items():
        if count > 1:
            yield exceeded(option, 1, f"{text}it asks for {root!r} {count} times", operation)
    if counts.bad_list is not None:
        text += f"it asks for the list {counts.bad_list!r} again where it has it already"
        yield exceeded(option, 1, text, operation)
    elif counts.introspected > MAX_INTROSPECTION_FIELDS:
        text += f"it asks for {counts.introspected} fields, and {MAX_INTROSPECTION_FIELDS} will do"
        yield exceeded(option, MAX_INTROSPECTION_FIELDS, text, operation)


class NoIntrospection(DocumentRule):
    """Refuses questions about the schema; `__typename` is none."""

    @classmethod
    def problems(cls, document: DocumentNode) -> Iterator[GraphQLError]:
        """Return an error for each `__schema` and `__type`."""
        for definition in document.definitions:
            selections = getattr(definition, "selection_set", None)
            if selections is not None:
                yield from _introspection(selections)


def _introspection(selections: SelectionSetNode) -> Iterator[GraphQLError]:
    for node in selections.selections:
        if isinstance(node, FieldNode) and node.name.value in _ROOTS:
            message = f"Cannot query {node.name.value!r}: introspection is disabled."
            yield GraphQLError(message, node)
        nested: SelectionSetNode | None = getattr(node, "selection_set", None)
        if nested is not None:
            yield from _introspection(nested)

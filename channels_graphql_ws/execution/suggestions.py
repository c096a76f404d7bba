"""How many errors of a document suggest other names ("Did you mean …?")."""

from __future__ import annotations

from typing import Final

from graphql import ASTValidationRule, GraphQLError, ValidationContext, get_named_type

MOST_NAMES: Final = 500
"""Names that are looked through for the suggestions of a document, before the last one. To compare
one with what was written takes up to 70 microseconds, and a hundred errors each look through all
types of the schema, or all fields of one."""

MOST_TYPES: Final = 1_000
"""Types of a schema beyond which nothing is suggested at all."""


class FewSuggestions(ASTValidationRule):
    """Lets the errors of the other rules suggest names until enough were looked through."""

    def __init__(self, context: ValidationContext) -> None:
        super().__init__(context)
        self._validation = context
        self._names = 0
        self._report = context.on_error
        context.on_error = self._count  # type: ignore[method-assign]
        if len(context.schema.type_map) > MOST_TYPES:
            self._hide()

    def _count(self, error: GraphQLError) -> None:
        context = self._validation
        here = context.get_parent_type(), get_named_type(context.get_input_type())
        kinds = [getattr(each, kind, ()) for each in here for kind in ("fields", "values")]
        self._names += max(map(len, (context.schema.type_map, *kinds)))
        if self._names > MOST_NAMES:
            self._hide()
        self._report(error)

    def _hide(self) -> None:
        # It has no setter. An attribute by another name would be without effect.
        self._validation._hide_suggestions = True  # noqa: SLF001

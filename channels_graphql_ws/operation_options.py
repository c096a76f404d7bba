"""Options and hooks that all consumers and views have: limits, rules, context, root."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graphql import ASTValidationRule

from .context import OperationContext
from .documents import Rules


class OperationOptions:
    """What decides on an operation, over whatever it came."""

    validation_rules: Sequence[type[ASTValidationRule]] = ()
    """Rules (`graphql.ValidationRule`) that documents have to keep besides GraphQL's own.
    They are asked about documents that are valid otherwise, once for each document."""

    max_depth: int | None = None
    """Deepest nesting of a document, as `graphene.validation.depth_limit_validator` counts:
    `{ a { b } }` has 1, fields of introspection do not count. `None`: any."""

    max_tokens: int | None = None
    """Most words and punctuators that a document may have. `None`: any."""

    introspection: bool = True
    """Answer questions about the schema (`__schema`, `__type`)."""

    compile_operations: bool = True
    """Compile what operations select, once for each document. Results are those of
    graphql-core, to which everything is left that the compiler does not know, and with
    `False` all there is."""

    def get_context(self, context: OperationContext) -> Any:
        """Give the `info.context` of an operation: this one, or another.

        Raise anything to refuse the operation. May be `async`.
        """
        return context

    def get_root_value(self, context: Any) -> Any:
        """Give the root value of a query or mutation. May be `async`.

        Raise anything to refuse the operation.

        Args:
            context: what `get_context` gave.
        """

    @classmethod
    def document_rules(cls) -> Rules:
        """Give what documents have to keep."""
        return Rules(
            extra=tuple(cls.validation_rules),
            max_depth=cls.max_depth,
            max_tokens=cls.max_tokens,
            introspection=cls.introspection,
        )

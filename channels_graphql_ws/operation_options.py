"""Options and hooks that all consumers and views have: limits, rules, context, root."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import graphql
from graphql import ASTValidationRule, DocumentNode, GraphQLError, GraphQLSchema

from . import documents
from .context import OperationContext
from .documents import Rules
from .masking import Mask
from .own_methods import default, overridden


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

    mask_errors: bool | Callable[[Exception], bool] = False
    """Tell clients no more of unexpected errors than `masked_error_message`: for production.
    `GraphQLError`s that are raised on purpose, and what is wrong in a request, stay. Or a
    function that gets an error, and says whether to hide it. The log has it in any case."""

    masked_error_message: str = "Unexpected error."
    """What clients read in the place of an error that is hidden."""

    complete_at_shutdown: bool = False
    """Send `complete` for each subscription when the server shuts down. A client that
    connects again by itself takes that for the end, and does not subscribe again."""

    @default
    def get_context(self, context: OperationContext) -> Any:
        """Give the `info.context` of an operation: this one, or another.

        Raise anything to refuse the operation. May be `async`.
        """
        return context

    @default
    def get_root_value(self, context: Any) -> Any:
        """Give the root value of a query or mutation. May be `async`.

        Raise anything to refuse the operation.

        Args:
            context: what `get_context` gave.
        """

    @classmethod
    @default
    def parse_document(cls, text: str) -> DocumentNode:
        """Parse a document; raise a `GraphQLError` for one that is wrong.

        What it gives is kept, and may be given to other clients: it must depend on nothing
        but the text. It may be called in a thread.
        """
        return documents.parse_document(text, max_tokens=cls.max_tokens)

    @classmethod
    @default
    def validate_document(
        cls,
        schema: GraphQLSchema,
        document: DocumentNode,
        rules: Sequence[type[ASTValidationRule]],
    ) -> Sequence[GraphQLError]:
        """Give what is wrong with a document; kept as what `parse_document` gives.

        Args:
            schema: what the document is about.
            document: as `parse_document` gave it.
            rules: those that documents of this class have to keep besides GraphQL's own.
        """
        return documents.validate_document(schema, document, rules)

    @default
    def execute_operation(self, **arguments: Any) -> Any:
        """Execute a query or mutation. May be `async`, and may raise a `GraphQLError`.

        Args:
            arguments: those of `graphql.execute`: `schema`, `document`, `root_value`,
                `context_value`, `variable_values`, `operation_name`, `middleware`.

        Returns:
            A `graphql.ExecutionResult`.
        """
        return graphql.execute(**arguments)

    # --------------------------------------------------------------- what is asked for

    def executor(self) -> Callable[..., Any] | None:
        """Give `execute_operation`, if it is the user's."""
        return self.execute_operation if overridden(self, "execute_operation") else None

    def mask(self) -> Mask:
        """Give what hides errors."""
        return Mask(self.mask_errors, self.masked_error_message)

    def document_rules(self) -> Rules:
        """Give what documents have to keep."""
        return Rules(
            extra=tuple(self.validation_rules),
            max_depth=self.max_depth,
            max_tokens=self.max_tokens,
            introspection=self.introspection,
            parse=self.parse_document if overridden(self, "parse_document") else None,
            validate=self.validate_document if overridden(self, "validate_document") else None,
        )

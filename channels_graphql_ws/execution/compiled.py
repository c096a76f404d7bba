"""Compiled operations, kept with their documents."""

from __future__ import annotations

from typing import Final

from graphql import GraphQLSchema, MiddlewareManager, OperationDefinitionNode

from ..compile import CompiledOperation, compile_operation
from ..documents import Document

MOST_KEPT: Final = 8
"""Most that is kept for one document: several operations, or consumers with middleware."""


def compiled(
    schema: GraphQLSchema,
    document: Document,
    operation: OperationDefinitionNode,
    middleware: MiddlewareManager | None,
) -> CompiledOperation | None:
    """Give what an operation was compiled to; `None` if it has to be left to graphql-core."""
    key = id(operation), id(middleware)
    # The middleware is kept as well: the `id` of one that is gone may be another's.
    kept: tuple[object, CompiledOperation | None] | None = document.compiled.get(key)
    if kept is None:
        kept = middleware, compile_operation(schema, document.ast, operation, middleware)
        if len(document.compiled) >= MOST_KEPT:
            document.compiled.clear()
        document.compiled[key] = kept
    return kept[1]

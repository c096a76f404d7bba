"""Whether an operation calls resolvers or middleware that may block."""

from __future__ import annotations

from graphql import GraphQLSchema, OperationDefinitionNode

from channels_graphql_ws.execution.documents import Document
from channels_graphql_ws.execution.selected import selects
from channels_graphql_ws.execution.sync_resolvers import Hops


def starts_in_thread(
    schema: GraphQLSchema, document: Document, operation: OperationDefinitionNode, hops: Hops
) -> bool:
    """Return whether an operation calls resolvers or middleware that may block."""
    key = "starts in a thread", id(operation), id(hops)
    kept: tuple[Hops, bool] | None = document.compiled.get(key)
    if kept is None:
        kept = hops, selects(schema, document.ast, operation, hops.blocks)
        document.compiled[key] = kept
    return kept[1]

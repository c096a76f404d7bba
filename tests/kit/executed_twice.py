"""Execute an operation with graphql-core and compiled, and see that nothing differs."""

from __future__ import annotations

import json
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLSchema,
    MiddlewareManager,
    OperationDefinitionNode,
    execute,
    parse,
)

from channels_graphql_ws.execution.compiler.operation import CompiledOperation, compile_operation


def operation_of(document: DocumentNode) -> OperationDefinitionNode:
    """Give the first operation."""
    return next(one for one in document.definitions if isinstance(one, OperationDefinitionNode))


def compiled(
    schema: GraphQLSchema, text: str, middleware: MiddlewareManager | None = None
) -> CompiledOperation | None:
    document = parse(text)
    return compile_operation(schema, document, operation_of(document), middleware)


class Both:
    """An operation that is executed both ways.

    Args:
        make_root: gives a root value for each execution.
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        text: str,
        make_root: Callable[[], Any] = lambda: None,
        middleware: MiddlewareManager | None = None,
    ) -> None:
        self.schema = schema
        self.document = parse(text)
        self.make_root = make_root
        self.middleware = middleware
        node = operation_of(self.document)
        operation = compile_operation(schema, self.document, node, middleware)
        assert operation is not None
        self.operation = operation

    def execute(self, context: Any = None, **variables: Any) -> Any:
        return self.operation.execute(
            root_value=self.make_root(), context_value=context, variable_values=variables
        )

    def execute_by_core(self, context: Any = None, **variables: Any) -> Any:
        return execute(
            schema=self.schema,
            document=self.document,
            root_value=self.make_root(),
            context_value=context,
            variable_values=variables,
            middleware=self.middleware,
        )

    def same(self, **variables: Any) -> Any:
        """Execute what needs no waiting; give the result as JSON has it."""
        result, expected = self.execute(**variables), self.execute_by_core(**variables)
        assert told(result) == told(expected)
        return result.formatted

    async def same_later(self, **variables: Any) -> Any:
        """Execute what has to wait; give the result as JSON has it."""
        waiting, expected = self.execute(**variables), self.execute_by_core(**variables)
        assert isawaitable(waiting)
        assert isawaitable(expected)
        result = await waiting
        assert told(result) == told(await expected)
        return result.formatted


def told(result: ExecutionResult) -> Any:
    """Give all that may be told of a result."""
    errors = [
        (
            error.formatted,
            error.nodes,
            type(error.original_error),
            str(error.original_error),
        )
        for error in result.errors or ()
    ]
    return json.dumps(result.data), result.errors is None, errors

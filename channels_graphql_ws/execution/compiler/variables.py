"""The variables of an operation: taken as they are, where coercing would change nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from graphql import (
    GraphQLError,
    GraphQLSchema,
    Undefined,
    VariableDefinitionNode,
    get_nullable_type,
    is_non_null_type,
    type_from_ast,
    value_from_ast,
)
from graphql.execution import get_variable_values

from channels_graphql_ws.execution.compiler.scalars import input_range_of
from channels_graphql_ws.execution.large_variables import CoercedVariables

_MISSING: Final = object()


class _Expected(NamedTuple):
    """A variable of a built-in scalar type.

    Attributes:
        kind, low, high: values that need no coercion.
        default: what it is where the client says nothing; `_MISSING`, if it is not there then.
    """

    name: str
    kind: type
    low: Any
    high: Any
    is_nullable: bool
    default: Any


class Variables:
    """Coerces the variables of an operation.

    graphql-core finds out the type of each for every client anew. Most are built-in scalars
    with a value as it should be. Where one is not, graphql-core is asked about all of them.

    Attributes:
        hides_suggestions: what is wrong is told without "Did you mean …".
    """

    def __init__(
        self,
        schema: GraphQLSchema,
        definitions: Sequence[VariableDefinitionNode],
        *,
        hide_suggestions: bool = False,
    ) -> None:
        self.hides_suggestions = hide_suggestions
        self._schema = schema
        self._definitions = definitions
        expected = [_expected(schema, each) for each in definitions]
        self._expected = [each for each in expected if each is not None]
        self._are_all_expected = len(self._expected) == len(expected)

    def coerced(self, inputs: Mapping[str, Any]) -> dict[str, Any] | list[GraphQLError]:
        """Return what a client's values are to the operation, or what is wrong with them."""
        if isinstance(inputs, CoercedVariables):
            return inputs.coerced
        if not self._are_all_expected:
            return self._coerced_by_core(inputs)
        values: dict[str, Any] = {}
        for name, kind, low, high, is_nullable, default in self._expected:
            value = inputs.get(name, default)
            if type(value) is kind:
                if low is not None and not low <= value <= high:
                    return self._coerced_by_core(inputs)
                values[name] = value
            elif not is_nullable:
                return self._coerced_by_core(inputs)
            elif value is None:
                values[name] = None
            elif value is not _MISSING:
                return self._coerced_by_core(inputs)
        return values

    def _coerced_by_core(self, inputs: Mapping[str, Any]) -> dict[str, Any] | list[GraphQLError]:
        return get_variable_values(
            schema=self._schema,
            var_def_nodes=self._definitions,
            inputs=dict(inputs),
            max_errors=50,
            hide_suggestions=self.hides_suggestions,
        )


def _expected(schema: GraphQLSchema, definition: VariableDefinitionNode) -> _Expected | None:
    """Return what is expected of a variable; `None` if it has to be left to graphql-core."""
    type_: Any = type_from_ast(schema, definition.type)
    range_ = input_range_of(get_nullable_type(type_))
    if range_ is None:
        return None
    default: Any = _MISSING
    if definition.default_value is not None:
        default = value_from_ast(definition.default_value, type_)
        if default is Undefined:
            return None
    name = definition.variable.name.value
    return _Expected(name, *range_, not is_non_null_type(type_), default)

"""The arguments of a field: worked out once, where they cannot differ from call to call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphql import (
    ArgumentNode,
    FieldNode,
    GraphQLArgument,
    GraphQLField,
    ListValueNode,
    ObjectValueNode,
    Undefined,
    ValueNode,
    VariableNode,
    get_nullable_type,
    is_enum_type,
    is_input_object_type,
)
from graphql.execution import get_argument_values

from channels_graphql_ws.execution.compiler.run import BoundOperation
from channels_graphql_ws.execution.compiler.scalars import range_of


class Arguments:
    """Gives the arguments of a field.

    What graphql-core makes anew for each call, a list or an input object, is made anew
    here too: a resolver may change it. A variable or a default is the same object for
    all calls there, so that it may be so here.
    """

    def __init__(self, definition: GraphQLField, node: FieldNode) -> None:
        self._definition = definition
        self._node = node
        nodes = {argument.name.value: argument for argument in node.arguments or ()}
        self._lasts = all(
            _lasts(argument, nodes.get(name)) for name, argument in definition.args.items()
        )
        self._is_constant = self._lasts and not any(
            isinstance(argument.value, VariableNode) for argument in nodes.values()
        )
        self._constant: dict[str, Any] | None = None
        self._variables = _variables(definition, nodes)

    def of(self, bound: BoundOperation) -> dict[str, Any]:
        """Return the arguments; they are not to be changed.

        Raises:
            GraphQLError: there is none for a variable or a literal.
        """
        values = self._constant
        if values is None:
            values = bound.arguments.get(self)
        if values is None:
            values = self._from_variables(bound.variable_values)
            if values is None:
                values = get_argument_values(self._definition, self._node, bound.variable_values)
            if self._is_constant:
                self._constant = values
            elif self._lasts:
                bound.arguments[self] = values
        return values

    def last(self, bound: BoundOperation) -> bool:
        """Return whether all calls may share these arguments."""
        return self._lasts or self._from_variables(bound.variable_values) is not None

    def _from_variables(self, values: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the arguments if each is a variable that has a value; that is checked already."""
        if self._variables is None:
            return None
        arguments: dict[str, Any] = {}
        for name, variable in self._variables:
            value = values.get(variable)
            if value is None or value is Undefined:
                return None
            arguments[name] = value
        return arguments


def _variables(
    definition: GraphQLField, nodes: Mapping[str, ArgumentNode]
) -> list[tuple[str, str]] | None:
    """Return what each argument is called by the resolver, and as a variable, if it is one."""
    variables: list[tuple[str, str]] = []
    for name, argument in definition.args.items():
        node = nodes.get(name)
        if node is None or not isinstance(node.value, VariableNode):
            return None
        variables.append((argument.out_name or name, node.value.name.value))
    return variables


def _lasts(argument: GraphQLArgument, node: ArgumentNode | None) -> bool:
    if node is None or isinstance(node.value, VariableNode):
        # The default of an input object is coerced at each call.
        return not is_input_object_type(argument.type)
    declared: Any = argument.type
    type_ = get_nullable_type(declared)
    return range_of(type_) is not None or is_enum_type(type_)


def written_out(node: FieldNode) -> int:
    """Return the number of values in lists and objects that a document writes as arguments.

    Each call makes them anew, as its resolver may change them.
    """
    return sum(_parts(argument.value) for argument in node.arguments or ())


def _parts(value: ValueNode) -> int:
    if isinstance(value, ListValueNode):
        return sum(1 + _parts(each) for each in value.values)
    if isinstance(value, ObjectValueNode):
        return sum(1 + _parts(each.value) for each in value.fields)
    return 0

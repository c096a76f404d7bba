"""Make input up: literals for documents, and values for variables, right and wrong."""

from __future__ import annotations

from typing import Any, Final

from graphql import (
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    is_required_input_field,
)

from differential.choosing import Chooser

MISSING: Final = object()
"""A variable that is not given at all."""

_LITERALS: Final[dict[str, tuple[str, ...]]] = {
    "String": ('"s"', '""', '"""block"""', '"é\\u2028"'),
    "Int": ("1", "0", "-7"),
    "Float": ("1.5", "2", "-1e3"),
    "Boolean": ("true", "false"),
    "ID": ('"id"', "7"),
    "Color": ("RED", "GREEN", "BLUE"),
    "Odd": ('"o"', "1", "[1, {a: RED}]", '"refuse"'),
    "Json": ('{a: [1, "x"], b: {c: null}}', "true", "2.5"),
}
_VALUES: Final[dict[str, tuple[Any, ...]]] = {
    "String": ("s", "", "ü"),
    "Int": (1, 0, -7, 2.0),
    "Float": (1.5, 2),
    "Boolean": (True, False),
    "ID": ("id", 7),
    "Color": ("RED", "BLUE"),
    "Odd": ("o", 3, ["l"], "refuse"),
    "Json": ({"a": [1]}, "j", 0),
}
_WRONG: Final[tuple[Any, ...]] = ("wrong", 1.5, True, [None], {"high": "no"}, {"nope": 1}, 2**40)


class Literals:
    """Makes literals up; some have variables in them."""

    def __init__(self, choose: Chooser, variable: Any) -> None:
        """Take what gives the name of a variable that fits a type."""
        self._choose = choose
        self._variable = variable

    def argument(self, type: Any, *, has_default: bool = False) -> str:
        """Give what may stand behind the colon of an argument."""
        return self._literal(type, 0, has_default=has_default)

    def constant(self, type: Any) -> str:
        """Give a literal without variables and without `null` at its top."""
        return self._bare(getattr(type, "of_type", type), 9)

    def _literal(self, type: Any, depth: int, *, has_default: bool = False) -> str:
        if depth < 9 and self._choose.rarely(25 if depth else 45):
            return f"${self._variable(type, has_default)}"
        if isinstance(type, GraphQLNonNull):
            return self._bare(type.of_type, depth)
        return "null" if self._choose.rarely(8) else self._bare(type, depth)

    def _bare(self, type: Any, depth: int) -> str:
        if isinstance(type, GraphQLNonNull):
            return self._bare(type.of_type, depth)
        if isinstance(type, GraphQLList):
            if self._choose.rarely(20):
                # A single value stands for a list of it.
                return self._bare(type.of_type, max(depth, 9))
            items = [self._literal(type.of_type, depth + 1) for _ in range(self._choose.number(2))]
            return f"[{', '.join(items)}]"
        if isinstance(type, GraphQLInputObjectType):
            return self._object(type, depth)
        return self._choose.one(_LITERALS[type.name])

    def _object(self, type: GraphQLInputObjectType, depth: int) -> str:
        fields = [
            f"{name}: {self._literal(field.type, depth + 1)}"
            for name, field in type.fields.items()
            if is_required_input_field(field) or (depth % 9 < 3 and self._choose.rarely(30))
        ]
        return f"{{{', '.join(fields)}}}"


class Values:
    """Makes the values of variables up, as they come out of JSON."""

    def __init__(self, choose: Chooser, *, wrong: int = 0) -> None:
        """Take how many of a hundred are wrong."""
        self._choose = choose
        self._wrong = wrong

    def of(self, type: Any, *, optional: bool) -> Any:
        """Give a value, or `MISSING`."""
        if self._choose.rarely(30 if optional else self._wrong):
            return MISSING
        return self._value(type, 0)

    def _value(self, type: Any, depth: int) -> Any:
        if self._choose.rarely(self._wrong):
            return self._choose.one((None, *_WRONG))
        if isinstance(type, GraphQLNonNull):
            return self._bare(type.of_type, depth)
        return None if self._choose.rarely(15) else self._bare(type, depth)

    def _bare(self, type: Any, depth: int) -> Any:
        if isinstance(type, GraphQLList):
            if self._choose.rarely(20):
                return self._value(type.of_type, depth + 1)
            return [self._value(type.of_type, depth + 1) for _ in range(self._choose.number(2))]
        if isinstance(type, GraphQLInputObjectType):
            return {
                name: self._value(field.type, depth + 1)
                for name, field in type.fields.items()
                if is_required_input_field(field) or (depth < 2 and self._choose.rarely(30))
            }
        return self._choose.one(_VALUES[type.name])

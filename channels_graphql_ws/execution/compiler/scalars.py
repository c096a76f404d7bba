"""Which values of a built-in scalar are sent, or taken, as they are."""

from __future__ import annotations

import sys
from typing import Any, Final, NamedTuple

from graphql import is_scalar_type


class Range(NamedTuple):
    """Values of exactly one type, between two bounds if there are any."""

    kind: type
    low: Any = None
    high: Any = None


class Nothing:
    """The type of no value."""


NEVER: Final = Range(Nothing)
"""No value at all."""

_RANGES: Final = {
    "Boolean": Range(bool),
    "Float": Range(float, -sys.float_info.max, sys.float_info.max),
    "ID": Range(str),
    "Int": Range(int, -(2**31), 2**31 - 1),
    "String": Range(str),
}


def range_of(type_: Any) -> Range | None:
    """Return the values that serializing leaves alone; `None` for any but a built-in scalar."""
    return _range(type_, "serialize")


def input_range_of(type_: Any) -> Range | None:
    """Return the values of variables that parsing leaves alone; otherwise as `range_of`."""
    return _range(type_, "parse_value")


def _range(type_: Any, function: str) -> Range | None:
    if not is_scalar_type(type_):
        return None
    # Some replace the functions of a built-in scalar, to let an `Int` have 64 bits.
    is_own = getattr(getattr(type_, function), "__module__", None) == "graphql.type.scalars"
    return _RANGES.get(type_.name) if is_own else None

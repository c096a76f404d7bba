"""Carry context variables that one piece of code has set over to another."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import Context, ContextVar
from typing import Any, Final, TypeAlias

_MISSING: Final = object()

VariableChange: TypeAlias = tuple[ContextVar[Any], Any, Any]
"""A variable, its value before the change, and the value after it."""


def changes(before: Context, after: Context) -> tuple[VariableChange, ...]:
    """Return the variables whose values differ between two contexts."""
    return tuple(
        [
            (variable, before.get(variable, _MISSING), value)
            for variable, value in after.items()
            if before.get(variable, _MISSING) is not value
        ]
    )


def apply(changed: Iterable[VariableChange]) -> None:
    """Change the variables of the running code, but for those that it has changed itself."""
    for variable, before, value in changed:
        if variable.get(_MISSING) is before:
            variable.set(value)

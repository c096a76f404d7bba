"""Carry context variables that one piece of code has set over to another."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextvars import Context, ContextVar, copy_context
from threading import get_ident
from typing import Any, Final, TypeAlias, TypeVar

from asgiref import local

T = TypeVar("T")

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


_STORAGES: Final[tuple[type[Any], ...]] = tuple(
    # Older releases of asgiref have none, and need none.
    filter(None, [getattr(local, "_Storage", None)])
)


def adopt() -> None:
    """Take over the variables of asgiref's `Local` that come from another thread.

    Django keeps language and time zone in such. asgiref notes to which thread a value belongs,
    and hides it in others, unless it has moved the context there itself.
    """
    here = get_ident()
    for variable, value in copy_context().items():
        if isinstance(value, _STORAGES) and value.thread_id != here:
            variable.set(type(value)(here, value.data))


def run_adopted(context: Context, call: Callable[..., T], *args: Any) -> T:
    """Call in a context that perhaps comes from another thread."""
    return context.run(_adopted, call, args)


def _adopted(call: Callable[..., T], args: Iterable[Any]) -> T:
    adopt()
    return call(*args)

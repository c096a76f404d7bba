"""`resumable`: declares that a generator subscription survives its connection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final, TypeVar

from graphql import GraphQLField

Method = TypeVar("Method", bound=Callable[..., Any])

_MARK: Final = "_channels_graphql_ws_resumable"


@dataclass(frozen=True, slots=True, eq=False)
class Resumable:
    """How the runs of one generator are kept, see `resumable`."""

    resume_for: float
    runs_per_user: int
    runs_per_process: int
    max_events: int
    max_bytes: int


def resumable(
    resume_for: float,
    *,
    runs_per_user: int = 10,
    runs_per_process: int = 1_000,
    max_events: int = 1_000,
    max_bytes: int = 1_048_576,
) -> Callable[[Method], Method]:
    """Let the run of a `subscribe_…` method go on while its client is away.

    Its events have an `extensions.cursor`. A client of the same user that subscribes with such a
    cursor, by the same document and variables, gets what came after it, and the method is not
    called again. A client that stops the subscription ends the run, if no other watches it.

    Args:
        resume_for: seconds that a run is kept after its last client has left.
        runs_per_user: runs that one user, or all strangers of an address, may have in a process.
            The oldest that nobody watches gives way to a new one; if all are watched, the new one
            is refused.
        runs_per_process: runs of all users in a process; further ones are refused.
        max_events: events of a run that are kept. The generator waits before the next one while
            the buffer is full of what no client has had.
        max_bytes: the same, in bytes of the results; one event more than that may be kept.

    Raises:
        TypeError, ValueError: a value makes no sense, or this is not such a method.
    """
    seconds: Any = resume_for
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        hint = "call the decorator, as in `@resumable(60)`" if callable(seconds) else "seconds"
        raise TypeError(f"resumable: resume_for is {seconds!r}; it must be a number ({hint})")
    if not (isfinite(seconds) and seconds > 0):
        raise ValueError(f"resumable: resume_for is {seconds!r}; it must be seconds > 0")
    limits = {
        "runs_per_user": runs_per_user,
        "runs_per_process": runs_per_process,
        "max_events": max_events,
        "max_bytes": max_bytes,
    }
    for name, value in limits.items():
        if type(value) is not int or value < 1:
            raise ValueError(f"resumable: {name} is {value!r}; it must be a whole number ≥ 1")
    options = Resumable(resume_for, **limits)

    def decorate(method: Any) -> Any:
        function = method.__func__ if isinstance(method, staticmethod) else method
        _check(function)
        setattr(function, _MARK, options)
        return method

    return decorate


def is_resumable(function: object) -> bool:
    """Return whether a function is declared so."""
    return getattr(function, _MARK, None) is not None


def resumable_options(definition: GraphQLField) -> Resumable | None:
    """Return the options of a field whose method is declared so, `None` for any other."""
    options: Resumable | None = getattr(definition.subscribe, _MARK, None)
    if options is None and definition.extensions:
        # Strawberry calls the method by a function of its own.
        field = definition.extensions.get("strawberry-definition")
        resolver = getattr(field, "base_resolver", None)
        options = getattr(getattr(resolver, "wrapped_func", None), _MARK, None)
    return options


def _check(function: Any) -> None:
    name = getattr(function, "__qualname__", repr(function))
    if isinstance(function, type):
        raise TypeError(
            f"{name} is a class, and @resumable is for a method `subscribe_…` that yields: "
            "events of a Subscription class are kept by its `history_size`"
        )
    if not callable(function):
        raise TypeError(f"@resumable is for a method `subscribe_…` that yields, and not {name}")
    if getattr(function, "__name__", "").startswith("resolve_"):
        raise TypeError(
            f"{name} resolves a field: @resumable belongs to `subscribe_…`, the method that yields"
        )

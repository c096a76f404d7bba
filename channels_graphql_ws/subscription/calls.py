"""Calls of `broadcast` and the like that Python refuses: say how they are called."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

from channels_graphql_ws.spelling import similar_name

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")
_Class = TypeVar("_Class")

_OFTEN: Final = ("group", "payload")
"""The arguments that an example has."""


def by_name(
    function: Callable[Concatenate[_Class, _Given], _Result],
) -> Callable[Concatenate[_Class, _Given], _Result]:
    """Return a class method that says what it takes, if it is called in another way."""
    return _explained(function, _problem)


def with_known_names(
    function: Callable[Concatenate[_Class, _Given], _Result],
) -> Callable[Concatenate[_Class, _Given], _Result]:
    """Return `Field` of a class, which says where the arguments of a subscription stand."""
    return _explained(function, _problem_of_field)


def _explained(
    function: Callable[Concatenate[_Class, _Given], _Result],
    problem_of: Callable[[tuple[Any, ...], Iterable[str], list[str]], str | None],
) -> Callable[Concatenate[_Class, _Given], _Result]:
    names = list(inspect.signature(function).parameters)[1:]

    @wraps(function)
    def called(cls: Any, *args: Any, **kwargs: Any) -> Any:
        # Nothing is looked at before Python itself has refused the call.
        try:
            return function(cls, *args, **kwargs)
        except TypeError:
            problem = problem_of(args, kwargs, names)
            if problem is None:
                raise
        raise TypeError(f"{cls.__qualname__}.{function.__name__} {problem}")

    return cast("Callable[Concatenate[_Class, _Given], _Result]", called)


def _problem(args: tuple[Any, ...], given: Iterable[str], names: list[str]) -> str | None:
    if args:
        example = ", ".join(f"{each}=…" for each in names if each in _OFTEN)
        return f"takes its arguments by name, as in `({example})`"
    unknown = next((each for each in given if each not in names), None)
    if unknown is None:
        return None
    similar = similar_name(unknown, names)
    known = ", ".join(names)
    hint = f": it takes {known}" if similar is None else f", did you mean {similar!r}?"
    return f"has no argument {unknown!r}{hint}"


def _problem_of_field(args: tuple[Any, ...], given: Iterable[str], names: list[str]) -> str | None:
    del args
    unknown = next((each for each in given if each not in names), None)
    if unknown is None:
        return None
    return (
        f"has no argument {unknown!r}: the arguments of a subscription stand in its inner class "
        "`Arguments`"
    )

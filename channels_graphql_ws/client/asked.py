"""Values that may be functions, which are asked again at each attempt to connect."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, TypeVar, cast

Value = TypeVar("Value")

_AGAIN: Final = "which has worked before, and is asked again"


class Asked(Generic[Value]):
    """A value, or a function or coroutine function without arguments that returns it.

    Args:
        name: what the user calls it.
        given: the value or function.
    """

    def __init__(self, name: str, given: Value | Callable[[], Value | Awaitable[Value]]) -> None:
        self._name = name
        self._given = given
        self._has_worked = False

    async def value(self) -> Value:
        """Return the value; an error of the function says where it comes from."""
        given = self._given
        if not callable(given):
            return given
        try:
            answer: Any = cast("Callable[[], Any]", given)()
            answer = await answer if inspect.isawaitable(answer) else answer
        except Exception as error:
            note = f"It was raised by the function for `{self._name}` of the client"
            note = f"{note}, {_AGAIN}" if self._has_worked else note
            if note not in getattr(error, "__notes__", ()):
                error.add_note(note)
            raise
        self._has_worked = True
        return cast("Value", answer)


def comes_from_working_function(error: Exception) -> bool:
    """Return whether a function has raised an error that had returned a value before."""
    return any(note.endswith(_AGAIN) for note in getattr(error, "__notes__", ()))

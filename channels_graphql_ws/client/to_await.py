"""Calls of the client that are to be awaited, and say so where they are used otherwise."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Generator
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NoReturn, ParamSpec, TypeVar

from channels_graphql_ws.client.keyword_errors import keyword_error

_Given = ParamSpec("_Given")
_Answer = TypeVar("_Answer")

SUBSCRIBE: Final = (
    "`subscribe()` sends a subscription, and returns its id when it is awaited. For the events, "
    "write `async for event in client.subscription(…)`"
)
ONE_RESULT: Final = (
    "This has one result: `await` it. For the events of a subscription, write "
    "`async for event in client.subscription(…)`"
)


class ToAwait(Coroutine[Any, Any, _Answer]):
    """A coroutine that says what to write to who iterates over it, or enters it.

    Args:
        coroutine: does the work.
        instead: what to write.
    """

    __slots__ = ("_coroutine", "_instead")

    def __init__(self, coroutine: Coroutine[Any, Any, _Answer], instead: str) -> None:
        self._coroutine = coroutine
        self._instead = instead

    def __await__(self) -> Generator[Any, Any, _Answer]:
        """Do the work."""
        return self._coroutine.__await__()

    def send(self, value: Any, /) -> Any:
        """See `collections.abc.Coroutine`."""
        return self._coroutine.send(value)

    def throw(self, *error: Any) -> Any:
        """See `collections.abc.Coroutine`."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """See `collections.abc.Coroutine`."""
        self._coroutine.close()

    def __getattr__(self, name: str) -> Any:
        """Return what tools ask a coroutine for: its name, its frame."""
        return getattr(self._coroutine, name)

    if not TYPE_CHECKING:  # pragma: no branch (type checkers alone skip it)

        def __aiter__(self) -> NoReturn:
            """Refuse to be iterated over."""
            self._coroutine.close()
            raise TypeError(self._instead)

        __aenter__ = __aexit__ = __iter__ = __enter__ = __exit__ = __aiter__


def to_await(
    instead: str,
) -> Callable[
    [Callable[_Given, Coroutine[Any, Any, _Answer]]],
    Callable[_Given, Coroutine[Any, Any, _Answer]],
]:
    """Let the coroutines of a method say what to write in the place of `async for`."""

    def decorate(
        method: Callable[_Given, Coroutine[Any, Any, _Answer]],
    ) -> Callable[_Given, Coroutine[Any, Any, _Answer]]:
        @wraps(method)
        def called(*args: _Given.args, **kwargs: _Given.kwargs) -> ToAwait[_Answer]:
            try:
                coroutine = method(*args, **kwargs)
            # Nothing of it has run: Python has refused the call.
            except TypeError:
                if (error := keyword_error(method, kwargs)) is None:
                    raise
                raise error from None
            return ToAwait(coroutine, instead)

        marked: Callable[_Given, Coroutine[Any, Any, _Answer]] = _marked(called)
        return marked

    return decorate


def _mark(method: Any) -> Any:
    """Do what `inspect.markcoroutinefunction` does in later releases of Python."""
    method._is_coroutine = getattr(asyncio.coroutines, "_is_coroutine", None)  # noqa: SLF001
    return method


_marked: Callable[[Any], Any] = getattr(inspect, "markcoroutinefunction", _mark)
"""Makes a method count as a coroutine function, for mocks and frameworks."""

"""The user's middleware, as graphql-core wants it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import isclass, isfunction
from typing import Any

from graphql import MiddlewareManager


def managed(
    middleware: Sequence[Callable[..., Any]] | MiddlewareManager | None,
) -> MiddlewareManager | None:
    """Return the middleware manager for graphql-core, `None` if there is no middleware.

    Raises:
        TypeError: some of it cannot be used at all.
    """
    if not middleware:
        return None
    if not isinstance(middleware, MiddlewareManager):
        return MiddlewareManager(*map(_middleware_function, middleware))
    functions = tuple(map(_middleware_function, middleware.middlewares))
    # The same functions: it is left as it is, a subclass may do more than to hold them.
    return middleware if functions == middleware.middlewares else MiddlewareManager(*functions)


def check_middleware(middleware: Sequence[Any]) -> None:
    """Check each middleware of a list.

    Raises:
        TypeError: one cannot be used at all.
    """
    for each in middleware:
        _middleware_function(each)


def _middleware_function(middleware: Any) -> Any:
    """Wrap what is callable but no function: graphql-core would pass over it in silence.

    Raises:
        TypeError: it cannot be used at all.
    """
    if isclass(middleware) and isfunction(getattr(middleware, "resolve", None)):
        name = middleware.__name__
        raise TypeError(f"Middleware {name} is a class: pass an object of it, `{name}()`")
    if isfunction(middleware) or hasattr(middleware, "resolve"):
        return middleware
    if not callable(middleware):
        raise TypeError(f"Middleware {middleware!r} is neither callable nor has it a `resolve`")

    def call(*args: Any, **arguments: Any) -> Any:
        return middleware(*args, **arguments)

    return call

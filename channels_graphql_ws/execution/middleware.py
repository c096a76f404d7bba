"""The user's middleware, as graphql-core wants it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from inspect import isclass, isfunction
from typing import Any

from graphql import MiddlewareManager

from channels_graphql_ws.concurrency.threads import runs_on_loop
from channels_graphql_ws.execution.context import DictAsObject, kept_of


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


def fresh_middleware(cls: type[Any]) -> Any:
    """Return middleware that makes an object of a class for each operation.

    What one notes of a client, as that of django-graphql-jwt does, must not count for others:
    graphene-django's view makes new ones for each request.
    """
    first = cls()
    if not callable(getattr(first, "resolve", None)):
        return first
    return (_AsyncFresh if runs_on_loop(first.resolve) else _Fresh)(cls, first)


class _Fresh:
    """Calls an object that belongs to one operation.

    Args:
        cls: the class of the object.
        first: is for contexts of the user's own, which have no place to keep one in.
    """

    def __init__(self, cls: type[Any], first: Any) -> None:
        self.cls = cls
        self._first = first

    def resolve(self, next: Any, root: Any, info: Any, **arguments: Any) -> Any:
        return self._of(info.context).resolve(next, root, info, **arguments)

    def _of(self, context: Any) -> Any:
        if not isinstance(context, DictAsObject):
            return self._first
        kept = kept_of(context)
        found = kept.get(self)
        if found is None:
            found = kept.setdefault(self, self.cls())
        return found


class _AsyncFresh(_Fresh):
    """Does the same for a coroutine function, which has to be recognised as one."""

    async def resolve(self, next: Any, root: Any, info: Any, **arguments: Any) -> Any:
        return await self._of(info.context).resolve(next, root, info, **arguments)


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

"""Make middleware up: functions and objects, that wait, change things, or fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphql import MiddlewareManager
from graphql.pyutils import is_awaitable

from differential.choosing import Chooser
from differential.notes import canonical
from support import tick


def _note(name: str, root: Any, info: Any, args: dict[str, Any]) -> None:
    world = info.context.world
    world.note(name, world.name_of(root), world.info(info), canonical(args))


def through(next: Any, root: Any, info: Any, /, **args: Any) -> Any:
    """Change nothing."""
    _note("through", root, info, args)
    return next(root, info, **args)


def shouting(next: Any, root: Any, info: Any, /, **args: Any) -> Any:
    """Change what resolvers return."""
    _note("shouting", root, info, args)
    value = next(root, info, **args)
    return value.upper() if isinstance(value, str) else value


def adding(next: Any, root: Any, info: Any, /, **args: Any) -> Any:
    """Change what resolvers get."""
    _note("adding", root, info, args)
    return next(root, info, **{**args, "a": 99} if "a" in args else args)


def barring(next: Any, root: Any, info: Any, /, **args: Any) -> Any:
    """Keep some fields from being resolved."""
    _note("barring", root, info, args)
    if info.field_name == "age":
        raise PermissionError("age is private")
    if info.field_name == "kind":
        return None
    return next(root, info, **args)


async def waiting(next: Any, root: Any, info: Any, /, **args: Any) -> Any:
    """Make every field one that has to be waited for."""
    _note("waiting", root, info, args)
    await tick()
    value = next(root, info, **args)
    return await value if is_awaitable(value) else value


class Replacing:
    """Has a `resolve`, and gives resolvers another `info`."""

    def resolve(self, next: Any, root: Any, info: Any, /, **args: Any) -> Any:
        """Replace the variables."""
        _note("replacing", root, info, args)
        variables = {**info.variable_values, "replaced": True}
        return next(root, info._replace(variable_values=variables), **args)


class Class:
    """Is given as a class."""

    @staticmethod
    async def resolve(next: Any, root: Any, info: Any, /, **args: Any) -> Any:
        """Wait only where it has to."""
        _note("class", root, info, args)
        value = next(root, info, **args)
        return await value if is_awaitable(value) else value


SYNC: tuple[Callable[..., Any] | object, ...] = (
    through,
    shouting,
    adding,
    barring,
    Replacing(),
)
WAITING = (waiting, Class)


def choose_middleware(choose: Chooser, *, waits: bool) -> MiddlewareManager | None:
    """Choose the middleware of an execution, if there is to be any."""
    if not choose.rarely(25):
        return None
    known = (*SYNC, *WAITING) if waits else SYNC
    return MiddlewareManager(*(choose.one(known) for _ in range(choose.number(2))))

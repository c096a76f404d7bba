"""Permission classes: who may subscribe, get an event, or read a field."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from functools import partial
from inspect import Parameter, isasyncgen, isgenerator, signature
from types import UnionType
from typing import Any, ClassVar, Final, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from graphql import GraphQLError

from channels_graphql_ws.concurrency.eager import Eager, is_awaitable, is_cancellation
from channels_graphql_ws.concurrency.placement import on_event_loop
from channels_graphql_ws.spelling import takes


class PermissionMeta(type):
    """The class of permission classes: `&`, `|` and `~` make other ones of them."""

    operator: str
    operands: tuple[type[BasePermission], ...]

    def __and__(cls, other: Any) -> type[BasePermission]:
        """Return a permission that those have who have both."""
        return _combined("&", cls, other) if isinstance(other, PermissionMeta) else NotImplemented

    def __or__(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls, other: Any
    ) -> type[BasePermission]:
        """Return a permission that those have who have one of the two."""
        if isinstance(other, PermissionMeta):
            return _combined("|", cls, other)
        # In an annotation: `IsStaff | None`.
        union: Any = super().__or__(other)
        return union  # type: ignore[no-any-return]

    def __invert__(cls) -> type[BasePermission]:
        """Return a permission that those have who do not have this one."""
        return _combined("~", cls)


class BasePermission(metaclass=PermissionMeta):
    """Base of permission classes, for `permission_classes`.

    `has_permission(self, source, info, **arguments)` says whether a client may have something. It
    may be async. `source` is `None` when a client subscribes, the payload for each event, and the
    object whose field is read for a field. `arguments` are those of the subscription or field;
    only those are passed that the method takes. To raise is to deny.

    `IsStaff & IsMember`, `IsStaff | IsOwner` and `~IsBanned` are permission classes, too. A
    permission that raises is denied on both sides of a `~`.

    Attributes:
        message: what a client is told that lacks the permission.
        code: `extensions.code` of that error.
    """

    message: ClassVar[Any] = "You do not have permission to do this."
    code: ClassVar[str] = "FORBIDDEN"

    operator: ClassVar[str] = ""
    operands: ClassVar[tuple[type[BasePermission], ...]] = ()

    def __init_subclass__(cls, **options: Any) -> None:
        """Refuse what would not be asked, or would be mistaken for a combination.

        Raises:
            TypeError: `has_permission` of a combination, a reserved name, or one of Strawberry's.
        """
        super().__init_subclass__(**options)
        for name in ("operator", "operands"):
            if name in vars(cls):
                raise TypeError(f"{cls.__qualname__}: `{name}` is reserved, choose another name")
        for name, instead in _OF_STRAWBERRY.items():
            if name in vars(cls):
                raise TypeError(f"{cls.__qualname__}: `{name}` is not read here: {instead}")
        if cls.operands and "has_permission" in vars(cls):
            raise TypeError(
                f"`has_permission` of {cls.__qualname__} would not be asked: its base combines "
                "permissions. Combine it with a class of its own"
            )

    def has_permission(self, *args: Any, **kwargs: Any) -> Any:
        """Return whether the client may; to be overridden, see the class."""
        raise NotImplementedError


_RAISE: Final = "raise a `GraphQLError` with your text and extensions in `has_permission`"
_OF_STRAWBERRY: Final = {
    "error_extensions": f"set `code`, or {_RAISE}",
    "error_class": _RAISE,
    "on_unauthorized": _RAISE,
}
"""What permissions written for Strawberry have, and what takes its place."""


def _combined(operator: str, *operands: Any) -> type[BasePermission]:
    names = [each.__qualname__ for each in operands]
    name = f"~{names[0]}" if operator == "~" else f"({f' {operator} '.join(names)})"
    combined: Any = PermissionMeta(name, (BasePermission,), {"__module__": operands[0].__module__})
    combined.operator, combined.operands = operator, operands
    return combined  # type: ignore[no-any-return]


Permissions: TypeAlias = tuple[type[BasePermission], ...]

Ask: TypeAlias = Callable[[type[BasePermission]], Any]
"""Calls `has_permission` of a class; the result may be awaitable."""


class Denial(NamedTuple):
    """A permission that a client does not have.

    Attributes:
        permission: the class.
        cause: what `has_permission` has raised, `None` if it has returned.
    """

    permission: type[BasePermission]
    cause: BaseException | None = None

    @property
    def exception(self) -> Exception:
        """The cause, for the log."""
        cause = self.cause
        return cause if isinstance(cause, Exception) else RuntimeError("It was cancelled")

    @property
    def error(self) -> GraphQLError:
        """What the client is told."""
        if isinstance(self.cause, GraphQLError):
            return self.cause
        permission = self.permission
        return GraphQLError(str(permission.message), extensions={"code": permission.code})


def denial(permissions: Iterable[type[BasePermission]], ask: Ask) -> Eager[Denial | None]:
    """Ask permissions, one after another; return the first that is denied, `None` if none is."""
    for permission in permissions:
        denied = yield from _asked(permission, ask)
        if denied is not None:
            return denied
    return None


def _asked(permission: type[BasePermission], ask: Ask) -> Eager[Denial | None]:
    if not permission.operands:
        return (yield from _of_one(permission, ask))
    if permission.operator == "~":
        return (yield from _of_opposite(permission, ask))
    all_or_one = denial if permission.operator == "&" else _of_either
    denied = yield from all_or_one(permission.operands, ask)
    # A class that derives from a combination speaks for it.
    if denied is not None and "operands" not in vars(permission):
        return Denial(permission, denied.cause)
    return denied


def _of_opposite(permission: type[BasePermission], ask: Ask) -> Eager[Denial | None]:
    denied = yield from _asked(permission.operands[0], ask)
    if denied is None:
        return Denial(permission)
    # Nobody knows what one that has raised would have said.
    return None if denied.cause is None else denied


def _of_either(permissions: Iterable[type[BasePermission]], ask: Ask) -> Eager[Denial | None]:
    worst: Denial | None = None
    for each in permissions:
        denied = yield from _asked(each, ask)
        if denied is None:
            return None
        if worst is None or denied.cause is not None:
            worst = denied
    return worst


def _of_one(permission: type[BasePermission], ask: Ask) -> Eager[Denial | None]:
    try:
        allowed = ask(permission)
        while is_awaitable(allowed):
            allowed = yield allowed
        return None if _verdict(allowed) else Denial(permission)
    # Whatever it raises, nobody gets what is protected.
    except (Exception, asyncio.CancelledError) as error:
        # There is no task to cancel in a thread.
        if on_event_loop() and is_cancellation(error):
            raise
        return Denial(permission, error)


def call_of(
    permission: type[BasePermission], source: Any, info: Any, arguments: dict[str, Any]
) -> Callable[[], Any]:
    """Return a call of `has_permission`, with those of the arguments that it takes."""
    hook = permission().has_permission
    if arguments and (names := _names_of(permission)) is not None:
        arguments = {name: value for name, value in arguments.items() if name in names}
    return partial(_answer, partial(hook, source, info, **arguments))


def _names_of(permission: type[BasePermission]) -> frozenset[str] | None:
    """Return the arguments that `has_permission` takes, `None` for all."""
    hook = permission.has_permission
    known = _names.get(permission)
    # A test may have replaced the method.
    if known is None or known[0] != hook:
        own = list(signature(permission().has_permission).parameters.values())
        takes_all = any(each.kind is each.VAR_KEYWORD for each in own)
        names = None if takes_all else frozenset(each.name for each in own[2:])
        _names[permission] = known = hook, names
    return known[1]


_names: WeakKeyDictionary[type[BasePermission], tuple[Any, frozenset[str] | None]]
_names = WeakKeyDictionary()


def _answer(call: Callable[[], Any]) -> Any:
    answer = call()
    # Asked here, in a thread perhaps: a QuerySet makes a query of it.
    return answer if is_awaitable(answer) else _verdict(answer)


def _verdict(answer: Any) -> bool:
    return verdict_of(answer, "has_permission")


def verdict_of(answer: Any, hook: str) -> bool:
    """Return the answer of a hook as a boolean.

    Raises:
        TypeError: it is true by mistake only, as a method is that was not called.
    """
    if callable(answer) or isgenerator(answer) or isasyncgen(answer):
        raise TypeError(f"`{hook}` returned {answer!r}: return `True` or `False`")
    return bool(answer)


def checked_permissions(
    where: str, given: object, arguments: Collection[str] | None = None
) -> Permissions:
    """Return permission classes as a tuple.

    Args:
        where: they were given, for the error.
        given: what the user gave.
        arguments: names that `has_permission` may be called with, `None` if nobody knows.

    Raises:
        TypeError: it is not a list of permission classes; the text says what to write.
    """
    if not isinstance(given, list | tuple):
        example = f"[{given.__qualname__}]" if isinstance(given, PermissionMeta) else "[IsStaff]"
        raise TypeError(
            f"{where} is {given!r}, it must be a list of classes: `permission_classes = {example}`"
        )
    for each in given:
        problem = _problem_of(each, arguments)
        if problem is not None:
            raise TypeError(f"{where}: {problem}")
    return tuple(given)


def _problem_of(given: Any, arguments: Collection[str] | None) -> str | None:
    """Return what is wrong with a permission class, and the cure; `None` if nothing is."""
    if isinstance(given, BasePermission):
        name = type(given).__qualname__
        return f"{name}() is an instance: write the class, `{name}` without `()`"
    if isinstance(given, UnionType):
        return f"`{given}` combines what is not a permission class: derive both from {_BASE}"
    if not isinstance(given, type):
        return f"{given!r} is not a class: write a class that derives from {_BASE}"
    name = given.__qualname__
    if not issubclass(given, BasePermission):
        return f"{name} is not a permission class: derive it from {_BASE}"
    if given.operands:
        problems = (_problem_of(each, arguments) for each in given.operands)
        return next(filter(None, problems), None)
    return _problem_of_hook(given, arguments)


def _problem_of_hook(
    permission: type[BasePermission], arguments: Collection[str] | None
) -> str | None:
    name = permission.__qualname__
    if permission.has_permission is BasePermission.has_permission:
        return f"{name} has no `has_permission`: add {_HOOK}"
    try:
        hook: Any = permission().has_permission
    except Exception as error:  # noqa: BLE001 (whatever the user's code raises)
        return (
            f"{name}() cannot be made: {error!r}. It is made without arguments, for each question"
        )
    if not callable(hook):
        return f"`has_permission` of {name} is not a method: write {_HOOK}"
    names = [
        each.name for each in list(signature(hook).parameters.values())[2:] if _is_named(each)
    ]
    known = names if arguments is None else [each for each in names if each in arguments]
    if not takes(hook, 2, known):
        call = ", ".join(["source", "info", *(f"{each}=…" for each in arguments or ())])
        return f"`has_permission` of {name} cannot be called as `({call})`: write {_HOOK}"
    return None


def _is_named(parameter: Parameter) -> bool:
    return parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)


_BASE: Final = "`channels_graphql_ws.BasePermission`"
_HOOK: Final = "`def has_permission(self, source, info, **arguments): return …`"

"""Names in the body of a `Subscription` class: allowed and refused ones."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from graphene.types.base import BaseType
from graphene.types.mountedtype import MountedType
from graphene.types.scalars import Scalar
from graphene.types.structures import Structure
from graphene.types.unmountedtype import UnmountedType

from channels_graphql_ws.execution.permissions import BasePermission
from channels_graphql_ws.spelling import (
    added_names,
    calls_super,
    is_function,
    refuse,
    similar_name,
    takes,
    takes_info,
    yields,
)
from channels_graphql_ws.subscription.field import Hook
from channels_graphql_ws.subscription.python_types import (
    problem_of_annotations,
    problem_of_argument,
)
from channels_graphql_ws.subscription.resumable import is_resumable

if TYPE_CHECKING:
    from channels_graphql_ws.subscription.declaration import Subscription, SubscriptionOptions

HOOKS: Final = (
    "publish",
    "subscribe",
    "unsubscribed",
    "initial",
    "filter_event",
    "context_id",
    "on_gap",
)
"""Methods that are called with `info`."""

OLD_HOOKS: Final = ("publish", "subscribe", "unsubscribed")
"""Hooks that the predecessor has, too."""

NEW_HOOKS: Final = ("initial", "filter_event", "context_id", "coalesce", "on_gap")
"""Hooks that the predecessor does not have: its classes may use the names for something else."""

_OPTIONS: Final[Mapping[str, tuple[type, ...]]] = {
    "notification_queue_limit": (int,),
    "notification_queue_policy": (str,),
    "history_size": (int,),
    "history_ttl": (int,),
    "gap_policy": (str,),
    "broadcast_on_commit": (bool,),
    "broadcast_durable": (bool,),
    "permission_classes": (list, tuple),
}

_INNER_CLASSES: Final = ("Arguments", "Output", "Meta")

META: Final = (*HOOKS, "coalesce", "output", "arguments", "none_skips", "own_names")
"""What `Meta` may hold besides what Graphene knows."""

_REPLACED: Final = {
    "_group_name": (
        "name the groups in `subscribe` and in `broadcast(group=…)`; `group_name_prefix` of the "
        "consumer begins the names of all of them on the channel layer"
    ),
    "_channel_layer": "set `channel_layer_alias` of the consumer",
    "_subscribe": "override `subscribe`; raise there to refuse",
}
"""Private methods of django-channels-graphql-ws that people override, and what to do instead."""


def check_names(cls: type[Subscription], own_names: Collection[str], base: type[Any]) -> None:
    """Refuse names that are misspelt, or that override what is not called here.

    Only what could be meant: a function that could be a hook, a value of an option's type.

    Args:
        cls: the class.
        own_names: names that the user says are meant as they are.
        base: `Subscription`.

    Raises:
        TypeError: there is such a name; the text says what may have been meant.
    """
    for name, value in added_names(cls, base).items():
        if name in own_names or is_field(value):
            continue
        if _is_replaced(name, value):
            refuse(_not_called(cls, name))
            continue
        misplaced = _misplaced(cls, name, value)
        if misplaced is not None:
            refuse(_error(cls, misplaced, name))
            continue
        if not name.startswith("_") and not hasattr(base, name):
            meant = _meant(cls, name, value)
            if meant is not None:
                refuse(_error(cls, f"there is no {name!r}, did you mean {meant!r}?", name))


def check_replaced(cls: type[Subscription], own_names: Collection[str]) -> None:
    """Refuse methods of the predecessor that are not called here, whenever they were set.

    Raises:
        TypeError: there is one; the text names what takes its place.
    """
    for name in _REPLACED:
        if name not in own_names and _is_replaced(name, inspect.getattr_static(cls, name, None)):
            refuse(_not_called(cls, name))


def _is_replaced(name: str, value: object) -> bool:
    """Return whether a value overrides a method of the predecessor, and is not a helper."""
    if name not in _REPLACED or not is_function(value):
        return False
    return name != "_subscribe" or calls_super(value)


def _not_called(cls: type[Subscription], name: str) -> TypeError:
    problem = f"`{name}` of django-channels-graphql-ws is not called: {_REPLACED[name]}"
    return _error(cls, problem, name)


def _meant(cls: type[Subscription], name: str, value: Any) -> str | None:
    """Return the hook, option or inner class that a name may be a misspelling of."""
    if name in META or name in _INNER_CLASSES:
        return None
    if _holds_permissions(value):
        return "permission_classes"
    if isinstance(value, type):
        return similar_name(name, _INNER_CLASSES)
    if is_function(value):
        return similar_name(name, HOOKS) if takes_info(getattr(cls, name)) else None
    fitting = [option for option, kinds in _OPTIONS.items() if type(value) in kinds]
    return similar_name(name, fitting)


def _holds_permissions(value: object) -> bool:
    """Return whether a value is a permission class, or a list of nothing else."""
    values = value if isinstance(value, list | tuple) and value else [value]
    return all(isinstance(each, type) and issubclass(each, BasePermission) for each in values)


def _misplaced(cls: type[Subscription], name: str, value: Any) -> str | None:
    """Return what is wrong with a name that means something, but not here."""
    if name == "none_skips" and isinstance(value, bool):
        return f"`none_skips` belongs into the inner class: `class Meta: none_skips = {value}`"
    is_helper = not is_function(value) or isinstance(value, classmethod)
    if name == "unsubscribe" and not is_helper and takes_info(getattr(cls, name)):
        return "`unsubscribe` ends subscriptions of a group; the hook is called `unsubscribed`"
    if name not in ("Meta", "Output") and not hasattr(cls, "Arguments") and _holds_fields(value):
        return f"arguments stand in a class that is called `Arguments`, and not `{name}`"
    if name in ("subscribe", "unsubscribed") and name in vars(cls) and not _may_be_hook(value):
        return f"`{name}` is a hook: it must be a method, not {value!r}"
    return _not_made(name, value)


def _not_made(name: str, value: Any) -> str | None:
    """Return what is wrong if a type of Graphene's stands where one is to be made of it."""
    if name == "Arguments" and isinstance(value, type):
        problems = [
            _not_made(each, inner) or problem_of_argument(each, inner)
            for each, inner in vars(value).items()
        ]
        return next(filter(None, problems), problem_of_annotations(value))
    is_type = isinstance(value, type) and issubclass(value, Scalar | Structure)
    if not is_type or not value.__module__.startswith("graphene."):
        return None
    of = "…" if issubclass(value, Structure) else ""
    return (
        f"`{name}` is a type, and no field or argument: write `{name} = "
        f"graphene.{value.__name__}({of})`"
    )


def _may_be_hook(value: object) -> bool:
    return value is None or is_function(value) or (callable(value) and not isinstance(value, type))


def _holds_fields(value: object) -> bool:
    """Return whether a value is a plain class with fields: no type of its own."""
    if not isinstance(value, type) or issubclass(value, BaseType):
        return False
    return any(map(is_field, vars(value).values()))


def check_meta(cls: type[Subscription], options: Iterable[str]) -> None:
    """Refuse names in `Meta`, or class keywords, that Graphene would ignore as misspelt.

    Raises:
        TypeError: there is one.
    """
    for name in options:
        where = f"Subscription {cls.__qualname__!r}: `Meta`"
        if name in _OPTIONS:
            refuse(
                TypeError(f"{where} has no {name!r}, which is an attribute of the class itself")
            )
            continue
        meant = None
        if name not in _GRAPHENES_META:
            meant = similar_name(name, (*META, *_GRAPHENES_META))
        if meant is not None:
            refuse(TypeError(f"{where} has no {name!r}, did you mean {meant!r}?"))


_GRAPHENES_META: Final = frozenset(
    {"abstract", "default_resolver", "description", "interfaces", "name", "possible_types"}
)


def check_not_resumable(cls: type[Subscription], *hooks: Hook | None) -> None:
    """Refuse a hook that is declared as a generator is.

    Raises:
        TypeError: one is.
    """
    if any(map(is_resumable, hooks)):
        refuse(
            TypeError(
                f"Subscription {cls.__qualname__!r}: @resumable is for generators outside of "
                "Subscription classes: set `history_size` instead, and clients that come back "
                "get the broadcasts that they have missed"
            )
        )


def check_hook(cls: type[Subscription], name: str, hook: Hook, arguments: Iterable[str]) -> None:
    """Refuse a method with the name of a new hook that cannot be called as one.

    Raises:
        TypeError: it is a helper of the user's, or a hook that lacks a parameter.
    """
    arguments = list(arguments)
    if takes(hook, 2, arguments):
        return
    first = {"filter_event": "payload", "on_gap": "gap"}.get(name, "root")
    call = f"{name}({', '.join([first, 'info', *(f'{each}=…' for each in arguments)])})"
    refuse(_error(cls, f"`{name}` is a hook, but it cannot be called as `{call}`", name))


def check_old_hook(
    cls: type[Subscription], name: str, hook: Hook | None, arguments: Mapping[str, Any]
) -> None:
    """Refuse a hook of the predecessor's that no call could reach.

    An argument that it does not take is no mistake while clients do not send it.

    Raises:
        TypeError: it takes less than two values, or has a parameter that is not an argument.
    """
    if hook is None or takes(hook, 2, _parameters(hook).intersection(arguments)):
        return
    first = "payload" if name == "publish" else "root"
    call = f"{name}({', '.join([first, 'info', *arguments])})"
    refuse(_error(cls, f"`{name}` is a hook, but it cannot be called as `{call}`", name))


def check_returns(cls: type[Subscription], meta: SubscriptionOptions) -> None:
    """Refuse hooks with a `yield`: they are called for what they return.

    Raises:
        TypeError: there is one; the text says what to write.
    """
    for name in (*HOOKS, "coalesce"):
        hook = getattr(meta, name)
        if hook is None or name in meta.own_names or not yields(hook):
            continue
        # A list of GraphQL's may be made of whatever can be iterated.
        if name in _RETURN_OBJECTS and isinstance(meta.output, Structure):
            continue
        advice = _RETURNS.get(name, "use `return`").format(cls=cls.__qualname__)
        refuse(
            _error(
                cls, f"`{name}` is called for what it returns, and has a `yield`: {advice}", name
            )
        )


_RETURN_OBJECTS: Final = ("publish", "initial", "on_gap")
"""Hooks whose result is that of the field."""

_RETURNS: Final = {
    "subscribe": (
        '`return ["…"]`, the groups to listen to, or nothing. An event, which other libraries '
        "`yield` there, is sent by `{cls}.broadcast(group=…, payload=…)`, and `publish` returns "
        "what is made of it. A generator of your own is a method `async def subscribe_…` of the "
        "root type"
    ),
    "publish": (
        "`return` what the fields are resolved from. It is called once for each "
        "`{cls}.broadcast(…)`: several events are several broadcasts"
    ),
}


def _parameters(hook: Hook) -> set[str]:
    try:
        return set(inspect.signature(hook).parameters)
    except (TypeError, ValueError):
        return set()


def is_field(value: object) -> bool:
    """Return whether a value in the body of a class declares a GraphQL field."""
    return isinstance(value, UnmountedType | MountedType)


def is_users(value: object) -> bool:
    """Return whether a class uses the name of an option for a field or a method of its own."""
    return is_field(value) or callable(value) or isinstance(value, property)


def hook_named(cls: type[Subscription], name: str) -> Hook | None:
    """Return the method of that name; a field or a nested class is none."""
    found = getattr(cls, name, None)
    return found if callable(found) and not isinstance(found, type) else None


def _error(cls: type[Subscription], problem: str, name: str) -> TypeError:
    sentence = problem if problem.endswith("?") else f"{problem}."
    return TypeError(
        f"Subscription {cls.__qualname__!r}: {sentence} If the name is meant as it is, say so: "
        f"`class Meta: own_names = [{name!r}]`"
    )

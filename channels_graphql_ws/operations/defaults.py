"""Defaults that are not fixed: they follow Django's DEBUG, or the option `safety`.

What an option falls back to stands in its `Annotated`, as `ByDebug` or `Open`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from django.conf import global_settings, settings
from django.core.exceptions import ImproperlyConfigured

COMPATIBLE: Final = "compatible"
"""The `safety` that gives back what django-channels-graphql-ws 1.0.0rc7 allowed."""

SAFETIES: Final = ("safe", COMPATIBLE)

_SETTING: Final = "CHANNELS_GRAPHQL_WS"

_PACKAGE: Final = "channels_graphql_ws."


@dataclass(frozen=True, slots=True)
class Open:
    """The value of a safety option that nobody has set, with `safety = "compatible"`."""

    value: Any


@dataclass(frozen=True, slots=True)
class ByDebug:
    """The value of an option that is `None`.

    Attributes:
        on: with DEBUG.
        off: without.
        otherwise: where DEBUG does not decide, see `OperationOptions._follows_debug`.
    """

    on: Any
    off: Any
    otherwise: Any


def project_setting(name: str, default: Any) -> Any:
    """Return a value of the Django setting CHANNELS_GRAPHQL_WS, a dictionary."""
    values: Mapping[str, Any] | None = getattr(settings, _SETTING, None)
    return default if values is None else values.get(name, default)


class FromSettings:
    """The default of an option that is a setting of Django, read whenever the option is.

    Args:
        name: of the setting.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type[Any]) -> Any:
        """Return the setting; Django's own default where nothing is configured yet."""
        del instance, owner
        try:
            return getattr(settings, self._name)
        except ImproperlyConfigured:
            return getattr(global_settings, self._name)


def is_debug() -> bool:
    """Return Django's DEBUG, or what `CHANNELS_GRAPHQL_WS["DEBUG"]` says in its place.

    Tests run without DEBUG; this shows them what developers see.
    """
    return bool(project_setting("DEBUG", settings.DEBUG))


def safety_of(endpoint: Any) -> str:
    """Return the `safety` of an endpoint or class: its own, or that of the settings."""
    own: str | None = endpoint.safety
    found: str = project_setting("SAFETY", SAFETIES[0]) if own is None else own
    return found


def check_safety(endpoint: Any, name: str) -> None:
    """Check the option `safety`.

    Raises:
        ValueError: it is not one of `SAFETIES`.
    """
    safety = safety_of(endpoint)
    if safety not in SAFETIES:
        where = f"{_SETTING}['SAFETY']" if endpoint.safety is None else f"{name}.safety"
        raise ValueError(f"{where} is {safety!r}, it must be 'safe' or 'compatible'")


def settle(endpoint: Any) -> None:
    """Give an instance the values of the options whose defaults are not fixed.

    Harmless when repeated. What the user has set on it, or on its class, stays.
    """
    is_open = safety_of(endpoint) == COMPATIBLE
    declared = _declared(type(endpoint))
    if is_open:
        for name, value in declared.open.items():
            if not is_set(endpoint, name):
                setattr(endpoint, name, value)
    for name, by_debug in declared.by_debug.items():
        if getattr(endpoint, name) is None:
            setattr(endpoint, name, _by_debug(endpoint, by_debug))


def _by_debug(endpoint: Any, option: ByDebug) -> Any:
    if not endpoint._follows_debug:  # noqa: SLF001 (not an option of users)
        return option.otherwise
    return option.on if is_debug() else option.off


def is_set(endpoint: Any, name: str) -> bool:
    """Return whether the value of an option is not the one that it was declared with.

    To be asked before `settle`.
    """
    if name in vars(endpoint):
        return True
    base = next(each for each in type(endpoint).__mro__ if name in vars(each))
    return not (_is_ours(base) and name in inspect.get_annotations(base))


def _is_ours(cls: type[Any]) -> bool:
    return cls.__module__.startswith(_PACKAGE)


class _Declared(NamedTuple):
    open: dict[str, Any]
    by_debug: dict[str, ByDebug]


# Classes come and go: `as_asgi(…)` makes one.
_of_classes: WeakKeyDictionary[type[Any], _Declared] = WeakKeyDictionary()


def _declared(cls: type[Any]) -> _Declared:
    found = _of_classes.get(cls)
    if found is None:
        found = _of_classes[cls] = _Declared({}, {})
        for base in filter(_is_ours, reversed(cls.__mro__)):
            for name, hint in inspect.get_annotations(base, eval_str=True).items():
                for each in getattr(hint, "__metadata__", ()):
                    if isinstance(each, Open):
                        found.open[name] = each.value
                    elif isinstance(each, ByDebug):
                        found.by_debug[name] = each
    return found

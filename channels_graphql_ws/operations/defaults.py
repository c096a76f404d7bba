"""Defaults that are not fixed: they follow Django's DEBUG, or the option `safety`.

What an option falls back to stands in its `Annotated`, as `ByDebug` or `Open`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from django.conf import global_settings, settings
from django.core.exceptions import ImproperlyConfigured

COMPATIBLE: Final = "compatible"
"""The `safety` that gives back what django-channels-graphql-ws 1.0.0rc7 allowed."""

SAFETIES: Final = ("safe", COMPATIBLE)

_SETTING: Final = "CHANNELS_GRAPHQL_WS"

_PACKAGE: Final = "channels_graphql_ws."

_IS_SETTLED: Final = "_is_settled"

_DECLARED: Final = "_declared_defaults"


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


def project_settings() -> Mapping[str, Any]:
    """Return the Django setting CHANNELS_GRAPHQL_WS, a dictionary."""
    # Django takes long to find out that there is no such setting, and this is asked for each
    # request. `override_settings` puts another object there, an assignment changes it.
    holder = settings._wrapped  # noqa: SLF001
    try:
        own = holder.__dict__.get(_SETTING)
    except AttributeError:  # Nothing is configured yet.
        return getattr(settings, _SETTING, None) or {}
    known = _known.settings
    if known is None or known[0] is not holder or known[1] is not own:
        known = _known.settings = holder, own, getattr(settings, _SETTING, None) or {}
    return known[2]


class _Known:
    settings: tuple[Any, Any, Mapping[str, Any]] | None = None
    """What holds Django's settings, its value, and the values to use."""


_known = _Known()


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
    return bool(project_settings().get("DEBUG", settings.DEBUG))


def check_safety(endpoint: Any, name: str) -> None:
    """Check the option `safety`.

    Raises:
        ValueError: it is not one of `SAFETIES`.
    """
    safety = _safety(endpoint, project_settings())
    if safety not in SAFETIES:
        where = f"{_SETTING}['SAFETY']" if endpoint.safety is None else f"{name}.safety"
        raise ValueError(f"{where} is {safety!r}, it must be 'safe' or 'compatible'")


def settle(endpoint: Any) -> None:
    """Give an instance the values of the options whose defaults are not fixed, once.

    What the user has set on it, or on its class, stays.
    """
    own = vars(endpoint)
    if _IS_SETTLED in own:
        return
    own[_IS_SETTLED] = True
    project = project_settings()
    cls = type(endpoint)
    declared: _Declared = vars(cls).get(_DECLARED) or _declared(cls)
    if _safety(endpoint, project) == COMPATIBLE:
        for name, value in declared.open.items():
            if not is_set(endpoint, name):
                own[name] = value
    follows_debug = endpoint._follows_debug  # noqa: SLF001 (not an option of users)
    is_on = follows_debug and project.get("DEBUG", settings.DEBUG)
    for name, option in declared.by_debug.items():
        if getattr(endpoint, name) is None:
            followed = option.on if is_on else option.off
            own[name] = followed if follows_debug else option.otherwise


def _safety(endpoint: Any, project: Mapping[str, Any]) -> str:
    own: str | None = endpoint.safety
    found: str = project.get("SAFETY", SAFETIES[0]) if own is None else own
    return found


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


def _declared(cls: type[Any]) -> _Declared:
    """Return what a class declares, and keep it on the class."""
    found = _Declared({}, {})
    for base in filter(_is_ours, reversed(cls.__mro__)):
        for name, hint in inspect.get_annotations(base, eval_str=True).items():
            for each in getattr(hint, "__metadata__", ()):
                if isinstance(each, Open):
                    found.open[name] = each.value
                elif isinstance(each, ByDebug):
                    found.by_debug[name] = each
    setattr(cls, _DECLARED, found)
    return found

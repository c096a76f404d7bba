"""Defaults that are not fixed: they follow Django's settings, DEBUG, or the option `safety`.

What an option falls back to stands in its `Annotated`, as `ByDebug` or `Open`. A value in
the Django setting `CHANNELS_GRAPHQL_WS` goes before both.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, NamedTuple
from weakref import WeakSet

from channels.layers import channel_layers
from django.conf import global_settings, settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from channels_graphql_ws.pubsub.layers import DEFAULT_DESTINATION
from channels_graphql_ws.settings import DEFAULTS, NAME, project_settings

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

COMPATIBLE: Final = "compatible"
"""The `safety` that gives back what django-channels-graphql-ws 1.0.0rc7 allowed."""

SAFETIES: Final = ("safe", COMPATIBLE)

_DESTINATION: Final = {
    "channel_layer_alias": "CHANNEL_LAYER_ALIAS",
    "group_name_prefix": "GROUP_NAME_PREFIX",
}
"""Options whose setting wins over attributes: senders need not know the classes."""

_IN_MEMORY: Final = "channels.layers.InMemoryChannelLayer"

_PACKAGE: Final = "channels_graphql_ws."

_IS_SETTLED: Final = "_is_settled"

_DECLARED: Final = "_declared_defaults"

_DOTTED_PATHS: Final = frozenset({"MASK_ERRORS", "MIDDLEWARE", "PING_PAYLOAD", "VALIDATION_RULES"})
"""Keys of options that hold functions or classes, which the setting names."""


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


class _OptionDefaults:
    """The options that the Django setting has, by name; made anew when the setting changes."""

    def __init__(self) -> None:
        self._given: Mapping[str, Any] | None = None
        self._values: dict[str, Any] = {}

    def __call__(self) -> Mapping[str, Any]:
        """Return the values; dotted paths are what they name.

        Raises:
            ImportError: a dotted path names nothing.
        """
        given = project_settings.given
        if given is not self._given:
            self._values = {
                key.lower(): option_default(key, value)
                for key, value in given.items()
                if key not in DEFAULTS and str(key).isupper()
            }
            self._given = given
        return self._values


option_defaults = _OptionDefaults()


def option_default(key: str, value: Any) -> Any:
    """Return the value of an option that the Django setting has; dotted paths are what they name.

    Raises:
        ImportError: a dotted path names nothing.
    """
    return imported(value, f"{NAME}[{key!r}]") if key in _DOTTED_PATHS else value


def imported(value: Any, setting: str) -> Any:
    """Return what dotted paths name, and all else as it is.

    Args:
        value: a path, or a list of some.
        setting: where it stands, for the error.

    Raises:
        ImportError: a path names nothing.
    """
    if isinstance(value, list | tuple):
        return [imported(each, setting) for each in value]
    try:
        return import_string(value) if isinstance(value, str) else value
    except ImportError as error:
        raise ImportError(
            f"{setting} names {value!r}, which cannot be imported: {error}"
        ) from error


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
    chosen = project_settings.get("DEBUG")
    return bool(settings.DEBUG if chosen is None else chosen)


def safety_of(endpoint: Any) -> str:
    """Return the `safety` of an endpoint or class: its own, or that of the settings."""
    own: str | None = endpoint.safety
    found: str = project_settings.get("SAFETY") if own is None else own
    return found


def check_safety(endpoint: Any, name: str) -> None:
    """Check the option `safety`.

    Raises:
        ValueError: it is not one of `SAFETIES`.
    """
    safety = safety_of(endpoint)
    if safety not in SAFETIES:
        where = f"{NAME}['SAFETY']" if endpoint.safety is None else f"{name}.safety"
        raise ValueError(f"{where} is {safety!r}, it must be 'safe' or 'compatible'")


def settle(endpoint: Any) -> None:
    """Set the options of an instance whose defaults are not fixed, once.

    What the user has set on it, or on its class, stays.
    """
    own = vars(endpoint)
    if _IS_SETTLED in own:
        return
    own[_IS_SETTLED] = True
    cls = type(endpoint)
    declared: _Declared = vars(cls).get(_DECLARED) or _declared(cls)
    if project_settings.given:
        _settle_by_settings(endpoint, declared)
    if safety_of(endpoint) == COMPATIBLE:
        for name, value in declared.open.items():
            if not is_set(endpoint, name):
                own[name] = value
    follows_debug = endpoint._follows_debug  # noqa: SLF001 (not an option of users)
    is_on = follows_debug and is_debug()
    for name, option in declared.by_debug.items():
        if getattr(endpoint, name) is None:
            followed = option.on if is_on else option.off
            own[name] = followed if follows_debug else option.otherwise


def _settle_by_settings(endpoint: Any, declared: _Declared) -> None:
    own = vars(endpoint)
    for name, value in option_defaults().items():
        if name in declared.names and not is_set(endpoint, name):
            own[name] = value
    for name, key in _DESTINATION.items():
        value = project_settings.get(key)
        if value is not None:
            own[name] = value
    warn_of_destination(type(endpoint))


_warned: WeakSet[type[Any]] = WeakSet()


def warn_of_destination(cls: type[Any]) -> None:
    """Warn, once, of a class whose prefix or layer differs from that of the settings."""
    if cls not in _warned and (text := other_destination(cls)) is not None:
        _warned.add(cls)
        log.warning("%s", text)


def other_destination(cls: type[Any]) -> str | None:
    """Return what a class says otherwise than processes know that do not import it."""
    for (name, key), usual in zip(_DESTINATION.items(), DEFAULT_DESTINATION, strict=True):
        value, own = project_settings.get(key), getattr(cls, name)
        if isinstance(own, property) or not _is_own(cls, name):
            continue
        what = f"{cls.__qualname__}.{name} is {own!r}"
        if value is not None and own != value:
            return (
                f"{what}, and {NAME}[{key!r}] {value!r}: the setting wins, as processes that do "
                "not import the class broadcast by it. Remove one of them"
            )
        if value is None and own != usual and _crosses_processes(cls):
            return (
                f"{what}: what a process broadcasts that does not import the class, such as a "
                f"worker of Celery, does not reach its clients. Set {NAME}[{key!r}] instead, or "
                "let workers import the class"
            )
    return None


def _crosses_processes(cls: type[Any]) -> bool:
    config = channel_layers.configs.get(cls.channel_layer_alias, {})
    return bool(config.get("BACKEND", _IN_MEMORY) != _IN_MEMORY)


def settled(cls: type[Any]) -> Any:
    """Return an object with the values that options of a class have, never initialised."""
    probe = object.__new__(cls)
    settle(probe)
    return probe


def is_set(endpoint: Any, name: str) -> bool:
    """Return whether the value of an option is not the one that it was declared with.

    To be asked before `settle`.
    """
    return name in vars(endpoint) or _is_own(type(endpoint), name)


def _is_own(cls: type[Any], name: str) -> bool:
    base = next(each for each in cls.__mro__ if name in vars(each))
    return not (_is_ours(base) and name in _annotated(base))


@lru_cache(maxsize=64)
def _annotated(cls: type[Any]) -> frozenset[str]:
    """Return the annotated names of a class of this package, which does not change."""
    return frozenset(inspect.get_annotations(cls))


def _is_ours(cls: type[Any]) -> bool:
    return cls.__module__.startswith(_PACKAGE)


class _Declared(NamedTuple):
    open: dict[str, Any]
    by_debug: dict[str, ByDebug]
    names: set[str]


def _declared(cls: type[Any]) -> _Declared:
    """Return what a class declares, and keep it on the class."""
    found = _Declared({}, {}, set())
    for base in filter(_is_ours, reversed(cls.__mro__)):
        for name, hint in inspect.get_annotations(base, eval_str=True).items():
            if not name.startswith("_"):
                found.names.add(name)
            for each in getattr(hint, "__metadata__", ()):
                if isinstance(each, Open):
                    found.open[name] = each.value
                elif isinstance(each, ByDebug):
                    found.by_debug[name] = each
    setattr(cls, _DECLARED, found)
    return found

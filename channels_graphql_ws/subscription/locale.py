"""The language, the time zone and the beginning of URLs of the running code."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import Context, ContextVar
from datetime import UTC, tzinfo
from functools import cache
from typing import Any, NamedTuple

from django.conf import settings
from django.core.signals import setting_changed
from django.urls import get_script_prefix, set_script_prefix
from django.utils import timezone, translation


class Locale(NamedTuple):
    """What decides on texts, hours and URLs.

    Attributes:
        language: `None` if translations are switched off.
        zone: the time zone.
        script_prefix: what `reverse()` begins with.
    """

    language: str | None
    zone: tzinfo
    script_prefix: str

    def activate(self) -> None:
        """Make it that of the running code."""
        if self.language is None:
            translation.deactivate_all()
        else:
            translation.activate(self.language)
        timezone.activate(self.zone)
        set_script_prefix(self.script_prefix)


def current_locale() -> Locale:
    """Return what is active in the running code.

    Django asks variables of its own, and takes long to find that there is nothing in them, which
    is so for most clients.
    """
    language, zone, prefix = _variables()
    is_chosen = language is None or language.get(None) is not None
    zone_is_chosen = zone is None or zone.get(None) is not None
    return Locale(
        translation.get_language() if is_chosen else settings.LANGUAGE_CODE,
        timezone.get_current_timezone() if zone_is_chosen else timezone.get_default_timezone(),
        _script_prefix(prefix),
    )


class _Seen:
    """The object that a context variable had, and the script prefix that it stands for."""

    last: tuple[object, str] = None, "/"


def _script_prefix(variable: ContextVar[Any] | None) -> str:
    """Return what `reverse()` begins with.

    asgiref puts another object into the variable when the prefix is set, and never changes one;
    most clients have that which was there when the process began.
    """
    stored = None if variable is None else variable.get(None)
    if variable is not None and stored is None:
        return "/"
    last, prefix = _Seen.last
    if stored is None or stored is not last:
        prefix = get_script_prefix()
        _Seen.last = stored, prefix
    return prefix


@cache
def _variables() -> tuple[ContextVar[Any] | None, ...]:
    """Find the variables in which Django keeps language, time zone and script prefix."""
    return (
        _variable_of(translation.deactivate_all),
        _variable_of(lambda: timezone.activate(UTC)),
        _variable_of(lambda: set_script_prefix("/")),
    )


def _forget(**_: Any) -> None:
    """Find them anew: with some settings, Django replaces them in tests."""
    _variables.cache_clear()


setting_changed.connect(_forget)


def _variable_of(activate: Callable[[], None]) -> ContextVar[Any] | None:
    """Return the one context variable that a function sets; `None` if it is not just one."""
    context = Context()
    context.run(activate)
    return next(iter(context)) if len(context) == 1 else None

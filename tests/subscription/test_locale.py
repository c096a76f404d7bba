"""Language, time zone and script prefix of the running code are those that Django says."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from datetime import timedelta
from datetime import timezone as fixed
from functools import cache
from typing import Any

import pytest
from django.urls import clear_script_prefix, get_script_prefix, set_script_prefix
from django.utils import timezone, translation

from channels_graphql_ws.subscription import locale
from channels_graphql_ws.subscription.locale import current_locale

EAST = fixed(timedelta(hours=5))


@cache
def not_found() -> tuple[None, None, None]:
    """Find no variables."""
    return None, None, None


def nothing() -> None:
    """Leave all as it is."""


def back_and_forth() -> None:
    """Choose, and take it back."""
    translation.activate("de")
    translation.deactivate()
    timezone.activate(EAST)
    timezone.deactivate()
    set_script_prefix("/shop")
    clear_script_prefix()


CHOICES: dict[str, tuple[Callable[[], Any], str | None, Any, str]] = {
    "nothing": (nothing, "en-us", None, "/"),
    "a language": (lambda: translation.activate("de"), "de", None, "/"),
    "no translations": (translation.deactivate_all, None, None, "/"),
    "a time zone": (lambda: timezone.activate(EAST), "en-us", EAST, "/"),
    "a script prefix": (lambda: set_script_prefix("/shop"), "en-us", None, "/shop/"),
    "back and forth": (back_and_forth, "en-us", None, "/"),
}


@pytest.fixture(params=["found", "not found"], autouse=True)
def _variables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take Django's variables as they are, and as if they could not be found."""
    if request.param == "not found":
        monkeypatch.setattr(locale, "_variables", not_found)


@pytest.mark.parametrize("choice", CHOICES)
def test_what_is_active_is_found(choice: str, settings: Any) -> None:
    settings.LANGUAGE_CODE = "en-us"
    activate, language, zone, prefix = CHOICES[choice]

    def found() -> tuple[Any, ...]:
        activate()
        zone_now, prefix_now = timezone.get_current_timezone(), get_script_prefix()
        assert current_locale() == (translation.get_language(), zone_now, prefix_now)
        return current_locale()

    default = timezone.get_default_timezone()
    assert copy_context().run(found) == (language, zone or default, prefix)


def test_another_default_counts_at_once(settings: Any) -> None:
    settings.LANGUAGE_CODE, settings.TIME_ZONE = "fr", "Asia/Tokyo"
    assert current_locale() == ("fr", timezone.get_default_timezone(), "/")
    assert str(current_locale().zone) == "Asia/Tokyo"

"""The Django setting `CHANNELS_GRAPHQL_WS`: what holds for the whole project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from django.conf import settings
from django.core.signals import setting_changed

NAME: Final = "CHANNELS_GRAPHQL_WS"

DEFAULTS: Final[Mapping[str, Any]] = {
    # Seconds that a broadcast may take until the channel layer has it; `None`: no limit.
    "BROADCAST_TIMEOUT": 5.0,
    # Dotted path of what makes the history of a channel layer; `None`: found from the layer.
    "HISTORY": None,
    # Seconds between two looks whether the last event of a group with a history was lost.
    "HISTORY_CHECK_EVERY": 10.0,
}


class ProjectSettings:
    """The values of the setting; read once, as a broadcast cannot afford to ask Django."""

    def __init__(self) -> None:
        self._values: dict[str, Any] | None = None

    def get(self, name: str) -> Any:
        """Return a value, or its default.

        Raises:
            KeyError: there is no such setting; a mistake of ours.
        """
        if self._values is None:
            given: Mapping[str, Any] = getattr(settings, NAME, {}) if settings.configured else {}
            self._values = {**DEFAULTS, **given}
        return self._values[name]

    def forget(self) -> None:
        """Read the setting anew when it is asked for."""
        self._values = None


project_settings = ProjectSettings()


def _changed(*, setting: str, **_: Any) -> None:
    if setting == NAME:
        project_settings.forget()


setting_changed.connect(_changed)

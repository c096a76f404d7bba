"""The Django setting `CHANNELS_GRAPHQL_WS`: what holds for the whole project."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed

NAME: Final = "CHANNELS_GRAPHQL_WS"

DEFAULTS: Final[Mapping[str, Any]] = {
    # Whether broadcasts are written into the outbox, in the transaction under way.
    "BROADCAST_DURABLE": False,
    # Whether broadcasts wait for the commit of the transaction under way.
    "BROADCAST_ON_COMMIT": False,
    # Seconds that a broadcast may take until the channel layer has it; `None`: no limit.
    "BROADCAST_TIMEOUT": 5.0,
    # Which of CHANNEL_LAYERS carries broadcasts; `None`: what the consumers say.
    "CHANNEL_LAYER_ALIAS": None,
    # What takes the place of Django's DEBUG; `None`: nothing does.
    "DEBUG": None,
    # Whether logouts, other passwords and closed accounts end connections of users.
    "END_CONNECTIONS_OF_USERS": True,
    # Begins the names of all groups on the channel layer; `None`: what the consumers say.
    "GROUP_NAME_PREFIX": None,
    # Dotted path of what makes the history of a channel layer; `None`: found from the layer.
    "HISTORY": None,
    # Seconds between two looks whether the last event of a group with a history was lost.
    "HISTORY_CHECK_EVERY": 10.0,
    # Bytes of all histories that this process keeps for the in-memory layer; `None`: no limit.
    "HISTORY_MAX_BYTES": 67_108_864,
    # Whether each process can be asked for its connections, whoever is connected to it.
    "LIST_CONNECTIONS": False,
    # Aliases of the databases whose outbox is looked at; `None`: all that have its table.
    "OUTBOX_DATABASES": None,
    # Seconds that a row of the outbox is kept which was given up.
    "OUTBOX_KEEP_FAILED": 7 * 86_400,
    # Seconds between two looks into the outbox; `None`: this process does not look.
    "OUTBOX_LOOK_EVERY": 1.0,
    # Seconds after which a row of the outbox that cannot be sent is given up.
    "OUTBOX_RETRY_FOR": 86_400,
    # Whether options that protect against strangers are "safe" or "compatible".
    "SAFETY": "safe",
    # Most threads of a process for operations, and as many again for events.
    "THREADS": 32,
}
"""Keys that are no options of consumers and views; each of those is a key, too."""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _is_whole(value: object) -> bool:
    return _is_number(value) and isinstance(value, int)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _are_names(value: object) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_text, value))


_OR_NONE: Final = "or `None`"

_VALUES: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "BROADCAST_DURABLE": (lambda value: isinstance(value, bool), "`True` or `False`"),
    "BROADCAST_ON_COMMIT": (lambda value: isinstance(value, bool), "`True` or `False`"),
    "BROADCAST_TIMEOUT": (_is_number, f"a number of seconds > 0, {_OR_NONE}"),
    "CHANNEL_LAYER_ALIAS": (_is_text, f"a key of CHANNEL_LAYERS, {_OR_NONE}"),
    "DEBUG": (lambda value: isinstance(value, bool), f"`True`, `False` {_OR_NONE}"),
    "END_CONNECTIONS_OF_USERS": (lambda value: isinstance(value, bool), "`True` or `False`"),
    "GROUP_NAME_PREFIX": (_is_text, f"a string, {_OR_NONE}"),
    "HISTORY": (_is_text, f"a dotted path, {_OR_NONE}"),
    "HISTORY_CHECK_EVERY": (_is_number, "a number of seconds > 0"),
    "HISTORY_MAX_BYTES": (_is_whole, f"an integer > 0, {_OR_NONE}"),
    "LIST_CONNECTIONS": (lambda value: isinstance(value, bool), "`True` or `False`"),
    "OUTBOX_DATABASES": (_are_names, f"a list of keys of DATABASES, {_OR_NONE}"),
    "OUTBOX_KEEP_FAILED": (_is_number, "a number of seconds > 0"),
    "OUTBOX_LOOK_EVERY": (_is_number, f"a number of seconds > 0, {_OR_NONE}"),
    "OUTBOX_RETRY_FOR": (_is_number, "a number of seconds > 0"),
    "SAFETY": (lambda value: value in ("safe", "compatible"), "'safe' or 'compatible'"),
    "THREADS": (_is_whole, "an integer > 0"),
}
"""What each key may be, and what to call it. `None` is allowed where a text says so."""


def problem_of(name: str, value: object) -> str | None:
    """Return what is wrong with the value of a key in `DEFAULTS`; `None` if nothing is."""
    is_right, expected = _VALUES[name]
    if is_right(value) or (value is None and _OR_NONE in expected):
        return None
    return f"{NAME}[{name!r}] is {value!r}, it must be {expected}"


class ProjectSettings:
    """The values of the setting; read once, as a broadcast cannot afford to ask Django."""

    def __init__(self) -> None:
        self._given: Mapping[str, Any] | None = None

    @property
    def given(self) -> Mapping[str, Any]:
        """What the project has set, by key.

        Raises:
            ImproperlyConfigured: it is not a dictionary.
        """
        if self._given is None:
            if not settings.configured:
                # It may be later.
                return {}
            given = getattr(settings, NAME, None)
            if given is not None and not isinstance(given, Mapping):
                raise ImproperlyConfigured(f"{NAME} is {given!r}, it must be a dictionary")
            self._given = {} if given is None else given
        return self._given

    def get(self, name: str) -> Any:
        """Return a value, or its default.

        Raises:
            KeyError: there is no such setting; a bug of this package.
        """
        default = DEFAULTS[name]
        return self.given.get(name, default)

    def forget(self) -> None:
        """Read the setting anew when it is asked for."""
        self._given = None


project_settings = ProjectSettings()


def _changed(*, setting: str, **_: Any) -> None:
    if setting == NAME:
        project_settings.forget()


setting_changed.connect(_changed)

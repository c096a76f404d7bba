"""Options of consumers and views that the setting `CHANNELS_GRAPHQL_WS` has, and its mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from channels_graphql_ws.operations.defaults import option_default
from channels_graphql_ws.operations.option_values import check_values, option_names
from channels_graphql_ws.pubsub.publisher import group_name
from channels_graphql_ws.settings import DEFAULTS, NAME, problem_of, project_settings

_CLASSES: Final = (
    ("channels_graphql_ws.websocket.options", "ConsumerOptions"),
    ("channels_graphql_ws.http.options", "GraphqlHttpEndpoint"),
)
"""By name, as they are declared above this module."""

_OF_CLASSES: Final = frozenset({"own_names", "schema"})
"""Options that mean nothing for a whole project."""


def check_project_settings() -> None:
    """Check the setting, where consumers and views are mounted.

    Raises:
        ImproperlyConfigured: a key is not known, or its value makes no sense.
    """
    for problem in problems():
        raise ImproperlyConfigured(problem)


def problems() -> Iterator[str]:
    """Return what is wrong with the setting, a text for each key."""
    given = project_settings.given
    known = _option_keys() if given else {}
    for key, value in given.items():
        if key in DEFAULTS:
            problem = (
                problem_of(key, value)
                or _problem_of_prefix(key, value)
                or _problem_of_databases(key, value)
            )
        elif key in known:
            problem = _problem_of_option(key, known[key])
        else:
            problem = _unknown(key, [*DEFAULTS, *known])
        if problem is not None:
            yield problem


def _option_keys() -> dict[str, type[Any]]:
    classes = [getattr(import_module(module), name) for module, name in _CLASSES]
    return {
        name.upper(): cls
        for cls in classes
        for name in option_names(cls)
        if name not in _OF_CLASSES
    }


def _unknown(key: object, known: list[str]) -> str:
    similar = get_close_matches(str(key).upper(), known, 1)
    hint = f", did you mean {similar[0]!r}?" if similar else ""
    return f"{NAME} has an unknown key {key!r}{hint}"


def _problem_of_prefix(key: str, value: object) -> str | None:
    if key == "GROUP_NAME_PREFIX" and isinstance(value, str):
        try:
            group_name(value, "", None)
        except ValueError as error:
            return f"{NAME}[{key!r}]: {error}"
    return None


def _problem_of_databases(key: str, value: Any) -> str | None:
    if key == "OUTBOX_DATABASES" and value is not None:
        unknown = next((alias for alias in value if alias not in connections.settings), None)
        if unknown is not None:
            return f"{NAME}[{key!r}] has {unknown!r}, which is not a key of DATABASES"
    return None


def _problem_of_option(key: str, cls: type[Any]) -> str | None:
    """Return what is wrong with the value of an option; checked as if it were an attribute."""
    name = key.lower()
    probe = object.__new__(cls)
    try:
        value = option_default(key, project_settings.given[key])
        if isinstance(getattr(cls, name), bool) and not isinstance(value, bool):
            return f"{NAME}[{key!r}] is {value!r}, it must be `True` or `False`"
        setattr(probe, name, value)
        check_values(probe)
    except (ImportError, TypeError, ValueError) as error:
        text = str(error).replace(f"{cls.__qualname__}.{name}", f"{NAME}[{key!r}]")
        return text if NAME in text else f"{NAME}[{key!r}]: {text}"
    return None

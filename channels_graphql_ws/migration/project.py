"""Import a project, and look at the classes that it declares."""

from __future__ import annotations

import importlib
import inspect
import os
import re
import warnings
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import django
from django.conf import settings

from channels_graphql_ws.migration.findings import Finding
from channels_graphql_ws.migration.names import (
    DISTRIBUTION,
    NEWLY_CALLED,
    NOT_CALLED,
    OLD_DISTRIBUTION,
)
from channels_graphql_ws.operations.overrides import is_default
from channels_graphql_ws.spelling import OldNameWarning, collecting
from channels_graphql_ws.subscription.declaration import Subscription
from channels_graphql_ws.subscription.names import NEW_HOOKS
from channels_graphql_ws.websocket.consumer import GraphqlWsConsumer

_SETTINGS_OF_MANAGE: Final = re.compile(r"DJANGO_SETTINGS_MODULE['\"]\s*,\s*['\"]([\w.]+)['\"]")


def installed() -> Iterator[Finding]:
    """Look at what is installed beside this package."""
    try:
        version = metadata.version(OLD_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return
    yield Finding(
        OLD_DISTRIBUTION,
        f"{version} is installed, too, and both have a folder `channels_graphql_ws`: `pip "
        f"uninstall {OLD_DISTRIBUTION}`, then `pip install --force-reinstall {DISTRIBUTION}`",
    )


def settings_module(folder: Path) -> str | None:
    """Return the settings that the environment names, or `manage.py` in a folder."""
    if named := os.environ.get("DJANGO_SETTINGS_MODULE"):
        return named
    manage = folder / "manage.py"
    found = _SETTINGS_OF_MANAGE.search(manage.read_text()) if manage.is_file() else None
    return found.group(1) if found else None


def findings_of(application: str | None) -> Iterator[Finding]:
    """Import the project, and look at its consumers and subscriptions.

    Args:
        application: the ASGI application, `module.name` or `module:name`; without one, the
            setting ASGI_APPLICATION.
    """
    known = {*_declared(GraphqlWsConsumer), *_declared(Subscription)}
    with collecting() as refused, warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield from list(_import_project(application))
    for place, error in refused:
        yield Finding(place, str(error))
    for each in warned:
        if issubclass(each.category, OldNameWarning):
            yield Finding(f"{each.filename}:{each.lineno}", str(each.message), is_note=True)
    for consumer in _declared(GraphqlWsConsumer):
        if consumer not in known:
            yield from _in_consumer(consumer)
    for subscription in _declared(Subscription):
        if subscription not in known:
            yield from _in_subscription(subscription)


def _import_project(application: str | None) -> Iterator[Finding]:
    try:
        django.setup()
        named = application or getattr(settings, "ASGI_APPLICATION", None) or ""
        modules = [re.sub(r"[:.]\w+$", "", named), getattr(settings, "ROOT_URLCONF", None)]
    # The project's own code may raise anything.
    except Exception as error:  # noqa: BLE001
        yield Finding("settings", f"cannot be loaded: {_shown(error)}")
        return
    for module in filter(None, modules):
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001
            yield Finding(module, f"cannot be imported: {_shown(error)}")


def _declared(base: type[Any]) -> list[type[Any]]:
    """Return the classes of the project that derive from one of the library."""
    todo, found = [base], dict[type[Any], None]()
    while todo:
        below = todo.pop().__subclasses__()
        todo += below
        found |= dict.fromkeys(below)
    return list(found)


def _in_consumer(cls: type[Any]) -> Iterator[Finding]:
    place = place_of(cls)
    for name, instead in NOT_CALLED.items():
        if name in vars(cls):
            text = (
                f"{cls.__qualname__}.{name} is not called, there are no such messages: {instead}"
            )
            yield Finding(place, text)
    for name in NEWLY_CALLED:
        if name in vars(cls) and name not in cls.own_names and not is_default(vars(cls)[name]):
            text = f"{cls.__qualname__}.{name} is called here, releases before 1.0 did not"
            yield Finding(place, text, is_note=True)
    if cls.resolve_sync_in_threads is False:
        text = (
            f"{cls.__qualname__}: synchronous resolvers and hooks run on the event loop, where "
            "Django refuses its ORM. If they use it, set `resolve_sync_in_threads = True`"
        )
        yield Finding(place, text, is_note=True)


def _in_subscription(cls: type[Any]) -> Iterator[Finding]:
    for name in NEW_HOOKS:
        if name in vars(cls) and getattr(cls._meta, name) is not None:
            text = (
                f"{cls.__qualname__}.{name} is a hook here; `own_names` in `Meta` keeps the name"
            )
            yield Finding(place_of(cls), text, is_note=True)


def place_of(cls: type[Any]) -> str:
    """Return the file and the line of a class."""
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):  # Made by a function, for example.
        return f"{cls.__module__}.{cls.__qualname__}"


def _shown(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"

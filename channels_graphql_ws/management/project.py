"""What a command knows of the project: its application, its schema, its Subscription classes."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from django.conf import settings
from django.core.management.base import CommandError
from django.utils.module_loading import import_string
from graphql import GraphQLSchema

from channels_graphql_ws.checks import load_application
from channels_graphql_ws.operations.graphene_settings import default_schema
from channels_graphql_ws.operations.mounting import mounted
from channels_graphql_ws.operations.option_values import core_schema
from channels_graphql_ws.pubsub import local
from channels_graphql_ws.pubsub.layers import destinations, is_local
from channels_graphql_ws.spelling import similar_name
from channels_graphql_ws.subscription.declaration import Subscription
from channels_graphql_ws.subscription.known import subscription_classes

SHOWN: Final = 20
"""Classes that an error lists."""


_NOT_IMPORTED: Final = (ImportError, TypeError, ValueError)
"""What Python raises for a path of a module that is none, such as "..."."""


def load_project() -> None:
    """Import the application and the URLs, so that all consumers and views are known.

    Raises:
        CommandError: one of them cannot be imported.
    """
    if getattr(settings, "ASGI_APPLICATION", None):
        error = load_application()
        if error is not None:
            raise CommandError(f"ASGI_APPLICATION cannot be imported: {error!r}")
    urls = getattr(settings, "ROOT_URLCONF", None)
    if isinstance(urls, str):
        try:
            import_module(urls)
        except Exception as error:
            raise CommandError(f"ROOT_URLCONF cannot be imported: {error!r}") from error


def schema_at(path: str | None) -> GraphQLSchema:
    """Return the schema of a dotted path, or else the one that the project serves.

    Raises:
        CommandError: there is none, or there are several.
    """
    if path is not None:
        return _schema(_imported(path), path)
    load_project()
    found: dict[int, tuple[GraphQLSchema, list[str]]] = {}
    for cls in sorted(mounted, key=lambda cls: (cls.__module__, cls.__qualname__)):
        schema = getattr(cls, "schema", None)
        if schema is not None and not isinstance(schema, property):
            core = _schema(schema, f"{cls.__qualname__}.schema")
            found.setdefault(id(core), (core, []))[1].append(cls.__qualname__)
    if len(found) > 1:
        served = "; ".join(", ".join(dict.fromkeys(names)) for _, names in found.values())
        raise CommandError(
            f"There are {len(found)} schemas, served by {served}: name one, for example "
            "--schema mysite.schema.schema"
        )
    if found:
        return next(iter(found.values()))[0]
    default = default_schema()
    if default is None:
        raise CommandError(
            "No schema was found: nothing that ASGI_APPLICATION or ROOT_URLCONF mounts has one. "
            "Name it, for example --schema mysite.schema.schema"
        )
    return _schema(default, "GRAPHENE['SCHEMA']")


def subscription_named(name: str) -> type[Subscription]:
    """Return the Subscription class of a name or a dotted path.

    Raises:
        CommandError: there is none of that name, or there are several.
    """
    load_project()
    path = name.replace(":", ".")
    found = [cls for cls in subscription_classes() if path in _names_of(cls)]
    if not found and "." in path:
        return _subscription_at(path)
    if not found:
        raise CommandError(f"There is no Subscription class {name!r}{_hint(name)}")
    if len(found) > 1:
        paths = ", ".join(map(path_of, found))
        raise CommandError(f"There are {len(found)} Subscription classes {name!r}: {paths}")
    return found[0]


def path_of(cls: type[Any]) -> str:
    """Return the dotted path of a class."""
    return f"{cls.__module__}.{cls.__qualname__}"


def reaches_nobody() -> bool:
    """Return whether what is sent from here can reach no client at all."""
    return all(is_local(layer) and not local.receivers(layer) for layer, _ in destinations())


def _names_of(cls: type[Subscription]) -> set[str]:
    return {path_of(cls), cls.__qualname__, cls.__name__, str(cls._meta.name)}


def _subscription_at(path: str) -> type[Subscription]:
    try:
        found = import_string(path)
    except _NOT_IMPORTED as error:
        raise CommandError(
            f"There is no Subscription class {path!r}: {error}{_hint(path)}"
        ) from None
    if not (isinstance(found, type) and issubclass(found, Subscription)):
        raise CommandError(f"{path} is not a Subscription class, it is {found!r}")
    return found


def _hint(name: str) -> str:
    """Return what may have been meant, or what there is."""
    known = {cls.__name__: path_of(cls) for cls in subscription_classes()}
    meant = similar_name(name.rpartition(".")[2], known) or similar_name(name, known.values())
    if meant is not None:
        return f"; did you mean {known.get(meant, meant)!r}?"
    if not known:
        return ". None was imported: does ASGI_APPLICATION mount your schema?"
    more = "" if len(known) <= SHOWN else ", …"
    return f". There are: {', '.join(sorted(known.values())[:SHOWN])}{more}"


def _imported(path: str) -> Any:
    try:
        return import_string(path.replace(":", "."))
    except _NOT_IMPORTED as error:
        raise CommandError(f"{path!r} cannot be imported: {error}") from error


def _schema(schema: Any, where: str) -> GraphQLSchema:
    try:
        return core_schema(schema)
    except TypeError as error:
        raise CommandError(f"{where}: {error}") from None

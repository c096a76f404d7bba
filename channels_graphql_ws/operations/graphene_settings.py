"""Defaults from the setting GRAPHENE, which graphene-django's own view obeys."""

from __future__ import annotations

from collections.abc import Sequence
from inspect import isclass
from typing import Any

from django.conf import settings
from graphql import GraphQLSchema

from channels_graphql_ws.execution.middleware import fresh_middleware
from channels_graphql_ws.operations.defaults import imported

# By the value of the setting: the same list gives the same instances, and so the same engine.
_middleware: dict[tuple[Any, ...], list[Any]] = {}


def _graphene() -> dict[str, Any]:
    # A program without settings has no GRAPHENE either.
    return getattr(settings, "GRAPHENE", None) or {} if settings.configured else {}


def default_schema() -> Any:
    """Return the schema that GRAPHENE names, `None` if it names none.

    Raises:
        ImportError: it names one that is not there.
    """
    return imported(_graphene().get("SCHEMA"), "GRAPHENE['SCHEMA']")


def default_middleware(schema: GraphQLSchema) -> Sequence[Any] | None:
    """Return the middleware that GRAPHENE names, see `fresh_middleware` for classes.

    It is `None` if there is none.

    With DEBUG, graphene-django has one by default: that of its debug panel. It is there if the
    schema has a field for the panel.
    """
    named: Any = _graphene().get("MIDDLEWARE")
    if named is None:
        has_panel = settings.configured and settings.DEBUG and schema.get_type("DjangoDebug")
        named = ["graphene_django.debug.DjangoDebugMiddleware"] if has_panel else ()
    key = tuple(named)
    if key not in _middleware:
        found = imported(key, "GRAPHENE['MIDDLEWARE']")
        _middleware[key] = [fresh_middleware(each) if isclass(each) else each for each in found]
    return _middleware[key] or None

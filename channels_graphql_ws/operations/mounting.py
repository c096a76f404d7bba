"""Mistakes that are found where a consumer is mounted, and not by its first client."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final
from weakref import WeakSet

from django.http import HttpRequest

from channels_graphql_ws.operations import user_signals
from channels_graphql_ws.operations.class_checks import check_replaced, check_schema
from channels_graphql_ws.operations.defaults import warn_of_destination
from channels_graphql_ws.operations.option_values import check_values, core_schema
from channels_graphql_ws.operations.project_options import check_project_settings
from channels_graphql_ws.serializer import Serializer
from channels_graphql_ws.spelling import refuse

_MODULES: Final = (
    "channels_graphql_ws.graphql_ws_consumer",
    "channels_graphql_ws.serializer",
    "channels_graphql_ws.subscription",
)
"""Where the predecessor looks for its serializer."""

mounted: WeakSet[type[Any]] = WeakSet()
"""The classes of consumers and views that serve, for the system checks."""


def register_mounted(cls: type[Any]) -> None:
    """Note that a class serves, and that its clients may lose their rights."""
    warn_of_destination(cls)
    _check_serializer()
    mounted.add(cls)
    user_signals.connect()


def _check_serializer() -> None:
    """Refuse another serializer in its place: in the predecessor's modules it had an effect.

    Raises:
        TypeError: there is one.
    """
    for name in _MODULES:
        module = sys.modules.get(name)
        found = Serializer if module is None else vars(module).get("Serializer", Serializer)
        if found is not Serializer:
            refuse(
                TypeError(
                    f"`{name}.Serializer` is replaced by {found!r}, which has no effect: "
                    "`register` types in `channels_graphql_ws.serializer`, or broadcast what a "
                    "function of yours returns"
                )
            )


def check_class(cls: type[Any]) -> None:
    """Check the options of a class that is mounted, as far as they are there.

    The schema may be set until the first connection, and any option by the instance.

    Raises:
        ValueError, TypeError: a value makes no sense, see `check_values` and `check_schema`;
            or a method is not called here, see `check_replaced`.
        ImproperlyConfigured: the Django setting does not, see `check_project_settings`.
    """
    check_project_settings()
    check_values(cls)
    check_replaced(cls)
    register_mounted(cls)
    schema = getattr(cls, "schema", None)
    if schema is not None and not isinstance(schema, property):
        check_schema(schema, core_schema(schema))


def check_called(cls: type[Any], arguments: Sequence[Any]) -> None:
    """Check that `as_asgi` is not mounted itself, and called by the server.

    Raises:
        TypeError: it is.
    """
    if arguments:
        name = cls.__qualname__
        if isinstance(arguments[0], Mapping) and "type" in arguments[0]:
            raise TypeError(f"`{name}.as_asgi` is not called: mount `{name}.as_asgi()`")
        raise TypeError(
            f"{name}.as_asgi takes its options by name, such as `{name}.as_asgi(schema=schema)`"
        )


def check_request(name: str, request: object) -> None:
    """Check that an ASGI application is not called as a Django view.

    Raises:
        TypeError: it is.
    """
    if isinstance(request, HttpRequest):
        raise TypeError(
            f"{name} is an ASGI application, and not a view: route it in asgi.py, see "
            "`GraphqlProtocolTypeRouter`. In a URLconf, `GraphqlView.as_view(schema=schema)` "
            "serves GraphQL over HTTP"
        )


def check_is_request(name: str, request: object) -> None:
    """Check that a view is not called as an ASGI application.

    Raises:
        TypeError: it is.
    """
    if isinstance(request, Mapping):
        is_websocket = request.get("type") == "websocket"
        consumer = "GraphqlWsConsumer" if is_websocket else "GraphqlHttpConsumer"
        raise TypeError(
            f"{name} is a view, and not an ASGI application: route it in a URLconf, or mount "
            f"`{consumer}.as_asgi(schema=schema)` here"
        )


def check_arguments(cls: type[Any], arguments: Sequence[Any]) -> None:
    """Check that an instance is not made of what a server or Django calls with.

    Raises:
        TypeError: it is, so the class was mounted and not its `as_asgi()`.
    """
    if not arguments:
        return
    name = cls.__qualname__
    check_request(name, arguments[0])
    if isinstance(arguments[0], Mapping) and "type" in arguments[0]:
        raise TypeError(f"{name} is not an ASGI application: mount `{name}.as_asgi()`")

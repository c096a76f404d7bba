"""Django's system checks of a project; those about security run with `--deploy`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from channels.layers import channel_layers, get_channel_layer
from channels.routing import get_default_application
from django.conf import global_settings, settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 (its name)
from django.core.exceptions import ImproperlyConfigured
from django.core.management import get_commands
from django.utils.module_loading import import_string

from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from channels_graphql_ws.http.options import GraphqlHttpEndpoint
from channels_graphql_ws.operations.defaults import (
    is_debug,
    other_destination,
    safety_of,
    settled,
)
from channels_graphql_ws.operations.graphene_settings import default_schema
from channels_graphql_ws.operations.mounting import mounted
from channels_graphql_ws.operations.origins import ANY_ORIGIN
from channels_graphql_ws.operations.overrides import overridden
from channels_graphql_ws.operations.project_options import problems
from channels_graphql_ws.pubsub import local
from channels_graphql_ws.pubsub.layer_traits import warnings_of
from channels_graphql_ws.pubsub.layers import is_local
from channels_graphql_ws.pubsub.redis_cluster import refuses_cluster
from channels_graphql_ws.settings import NAME, project_settings
from channels_graphql_ws.spelling import similar_name
from channels_graphql_ws.subscription.durable import APP, installed
from channels_graphql_ws.subscription.known import subscription_classes
from channels_graphql_ws.websocket.consumer import GraphqlWsConsumer

PREDECESSOR: Final = "django-channels-graphql-ws"

_ID: Final = "channels_graphql_ws"

_REDIS: Final = "for example channels_redis.pubsub.RedisPubSubChannelLayer"


def register_checks() -> None:
    """Register the checks; harmless when repeated."""
    register(check_project)
    register(check_deployment, Tags.security, deploy=True)


def check_project(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Check what is wrong wherever the project runs."""
    del app_configs
    found = [*_of_setting(), *_of_installation()]
    # Its consumers cannot be looked at if the setting makes no sense.
    return found or [
        *_of_spelling(),
        *_of_application(),
        *_of_layers(),
        *_once(_of_consumers()),
        *_of_subscriptions(),
    ]


def check_deployment(app_configs: Any, **_: Any) -> list[CheckMessage]:
    """Check what is wrong where strangers come."""
    del app_configs
    if any(True for _ in problems()):
        return []
    load_application()
    endpoints = _once([*_of_deployed_endpoints(), *_of_login()])
    return [*_of_deployed_layers(), *endpoints]


def _once(messages: Iterable[CheckMessage]) -> list[CheckMessage]:
    """Leave out what was said before: a class that is mounted often is several with options."""
    said: list[CheckMessage] = []
    for message in messages:
        if message not in said:
            said.append(message)
    return said


def _of_setting() -> Iterator[CheckMessage]:
    try:
        for problem in problems():
            yield Error(problem, hint="See the reference of settings.", id=f"{_ID}.E001")
    except ImproperlyConfigured as error:
        yield Error(str(error), id=f"{_ID}.E001")


def _of_installation() -> Iterator[CheckMessage]:
    try:
        version(PREDECESSOR)
    except PackageNotFoundError:
        return
    yield Error(
        f"{PREDECESSOR} is installed beside channels-graphql-ws, and has the same files.",
        hint=f"pip uninstall {PREDECESSOR} channels-graphql-ws, then install the latter again.",
        id=f"{_ID}.E002",
    )


def _of_spelling() -> Iterator[CheckMessage]:
    given = [each for each in dir(settings) if each.isupper()]
    for wanted in (NAME, "ASGI_APPLICATION", "CHANNEL_LAYERS"):
        if wanted in given:
            continue
        meant = similar_name(
            wanted, [each for each in given if not hasattr(global_settings, each)]
        )
        if meant is not None:
            yield Warning(
                f"The setting {meant} has no effect: did you mean {wanted}?",
                hint=f"Rename it to {wanted}, or silence this check if another app reads it.",
                id=f"{_ID}.W007",
            )


def _of_application() -> Iterator[CheckMessage]:
    if not getattr(settings, "ASGI_APPLICATION", None):
        yield Warning(
            "ASGI_APPLICATION is not set: `runserver` serves no WebSockets, and the checks see "
            "no consumers.",
            hint='Set it, for example ASGI_APPLICATION = "mysite.asgi.application".',
            id=f"{_ID}.W001",
        )
    elif (error := load_application()) is not None:
        yield Warning(
            f"ASGI_APPLICATION cannot be imported: {error!r}",
            hint="The checks see no consumers; see what the module needs.",
            id=f"{_ID}.W002",
        )
    serves_wsgi = get_commands().get("runserver") in ("django.core", "django.contrib.staticfiles")
    if settings.DEBUG and serves_wsgi:
        yield Warning(
            "`runserver` serves no WebSockets: it is Django's own.",
            hint='Put "daphne" at the beginning of INSTALLED_APPS (pip install daphne).',
            id=f"{_ID}.W003",
        )


def load_application() -> Exception | None:
    """Import the ASGI application, which makes consumers known; return what went wrong."""
    has_served = local.is_serving()
    try:
        get_default_application()
    except Exception as error:  # noqa: BLE001 (whatever the module of the project raises)
        return error
    finally:
        # A process that only looks at the application will not serve clients.
        if not has_served and "runserver" not in sys.argv:
            local.not_serving()
    return None


def _layers() -> dict[str, Any]:
    """Return the channel layers that broadcasts go through.

    For one that is missing it is `None`, for one that cannot be made the error.
    """
    aliases = {settled(cls).channel_layer_alias for cls in _checked()}
    aliases = {each for each in aliases if isinstance(each, str)} or {"default"}
    return {alias: _layer(alias) for alias in sorted(aliases)}


def _layer(alias: str) -> Any:
    if alias not in channel_layers.configs:
        return None
    try:
        return get_channel_layer(alias)
    except Exception as error:  # noqa: BLE001 (whatever the layer of the project raises)
        return error


def _of_layers() -> Iterator[CheckMessage]:
    for alias, layer in _layers().items():
        if layer is None:
            yield Warning(
                f"CHANNEL_LAYERS has no {alias!r}: nothing can be subscribed to or broadcast.",
                hint='For one process: {"BACKEND": "channels.layers.InMemoryChannelLayer"}.',
                id=f"{_ID}.W004",
            )
        elif isinstance(layer, Exception):
            yield Error(
                f"CHANNEL_LAYERS[{alias!r}] cannot be made: {layer!r}",
                hint="Is BACKEND spelt right, and its package installed? For that of Redis: "
                "pip install 'channels-graphql-ws[redis]'.",
                id=f"{_ID}.E004",
            )


def _of_consumers() -> Iterator[CheckMessage]:
    for cls in _checked():
        if (text := other_destination(cls)) is not None:
            yield Warning(f"{text}.", id=f"{_ID}.W005")
        if _lacks_schema(cls):
            yield Warning(
                f"{cls.__qualname__} is mounted without a schema.",
                hint="Set `schema` on the class, or name it as SCHEMA in the setting GRAPHENE.",
                id=f"{_ID}.W006",
            )


def _of_subscriptions() -> Iterator[CheckMessage]:
    if installed.outbox is not None:
        return
    if project_settings.get("BROADCAST_DURABLE"):
        yield Error(
            f"{NAME}['BROADCAST_DURABLE'] is set, and there is no outbox.",
            hint=_ADD_OUTBOX,
            id=f"{_ID}.E003",
        )
    for cls in subscription_classes():
        if cls.broadcast_durable is True:
            yield Error(
                f"{cls.__qualname__}.broadcast_durable is set, and there is no outbox.",
                hint=_ADD_OUTBOX,
                id=f"{_ID}.E003",
            )


_ADD_OUTBOX: Final = f"Add {APP!r} to INSTALLED_APPS, and run `python manage.py migrate`."


def _checked() -> Sequence[type[Any]]:
    return sorted(mounted, key=lambda cls: (cls.__module__, cls.__qualname__))


def _lacks_schema(cls: type[Any]) -> bool:
    """Return whether no instance will have a schema: it may be set where one is made."""
    makes_own = cls.__init__ is not GraphqlWsConsumer.__init__
    is_consumer = issubclass(cls, GraphqlWsConsumer)
    has_none = getattr(cls, "schema", None) is None and default_schema() is None
    return is_consumer and not makes_own and has_none


def _of_deployed_layers() -> Iterator[CheckMessage]:
    is_alone = settings.DEBUG and int(os.environ.get("WEB_CONCURRENCY") or 1) == 1
    for alias, layer in _layers().items():
        if is_local(layer) and not is_alone:
            yield Warning(
                f"CHANNEL_LAYERS[{alias!r}] is an InMemoryChannelLayer: events do not reach "
                "clients of other processes.",
                hint=f"Take a layer that connects processes, {_REDIS}.",
                id=f"{_ID}.W010",
            )
        elif refuses_cluster(layer):
            yield Error(
                f"CHANNEL_LAYERS[{alias!r}] is a RedisChannelLayer on a Redis Cluster, which it "
                "cannot use: subscriptions and broadcasts fail.",
                hint="Take channels_redis.pubsub.RedisPubSubChannelLayer.",
                id=f"{_ID}.E010",
            )
        else:
            for number, text in warnings_of(layer):
                yield Warning(f"CHANNEL_LAYERS[{alias!r}]: {text}.", id=f"{_ID}.{number}")


def _of_login() -> Iterator[CheckMessage]:
    """Return the consumers that let in visitors, though the project asks all to log in."""
    if not any(map(_asks_for_login, settings.MIDDLEWARE)):
        return
    for cls in _checked():
        # Views are behind the middleware.
        hook = "on_operation" if issubclass(cls, GraphqlHttpConsumer) else "on_connect"
        is_consumer = issubclass(cls, GraphqlHttpConsumer | GraphqlWsConsumer)
        if is_consumer and not overridden(cls, hook):
            yield Warning(
                f"LoginRequiredMiddleware is not in front of {cls.__qualname__}: visitors who "
                "have not logged in get answers, and events.",
                hint=f"Refuse them in `{hook}`. If resolvers and `subscribe` do, or everybody may "
                "come, silence this check.",
                id=f"{_ID}.W017",
            )


def _asks_for_login(path: str) -> bool:
    # It needs the models of users.
    from django.contrib.auth.middleware import LoginRequiredMiddleware  # noqa: PLC0415

    try:
        middleware: Any = import_string(path)
    except ImportError:
        return False
    return isinstance(middleware, type) and issubclass(middleware, LoginRequiredMiddleware)


def _debug_or(cls: type[Any], name: str, hint: str) -> str:
    """Return what to do about an option: if it only follows DEBUG, that is to be off."""
    follows_debug = cls._follows_debug and is_debug()
    if getattr(cls, name) is not None or not follows_debug:
        return hint
    if project_settings.get("DEBUG") is None:
        return "It follows DEBUG: set `DEBUG = False` in deployment."
    return f"It follows {NAME}['DEBUG']: leave that out in deployment, as it wins over `DEBUG`."


def _of_deployed_endpoints() -> Iterator[CheckMessage]:
    for cls in _checked():
        options, name = settled(cls), cls.__qualname__
        if issubclass(cls, GraphqlWsConsumer) and not options.send_ping_every:
            yield Warning(
                f"{name} does not notice clients that went away without a word.",
                hint=f"Set send_ping_every, also as {NAME}['SEND_PING_EVERY']; 25 is usual.",
                id=f"{_ID}.W012",
            )
        if issubclass(cls, GraphqlHttpEndpoint) and options.graphiql is True:
            yield Warning(
                f"{name} shows GraphiQL to everybody.",
                hint=_debug_or(
                    cls,
                    "graphiql",
                    f"Leave `graphiql` and {NAME}['GRAPHIQL'] alone: it follows DEBUG then. "
                    "Or silence this check.",
                ),
                id=f"{_ID}.W013",
            )
        if options.mask_errors is False:
            yield Warning(
                f"{name} shows clients the texts of unexpected errors.",
                hint=_debug_or(
                    cls, "mask_errors", f"Set mask_errors, also as {NAME}['MASK_ERRORS']."
                ),
                id=f"{_ID}.W014",
            )
        if options.introspection is True:
            yield Warning(
                f"{name} tells everybody the schema.",
                hint=_debug_or(
                    cls,
                    "introspection",
                    f"Set introspection = False, also as {NAME}['INTROSPECTION']. If the API is "
                    "public, silence this check.",
                ),
                id=f"{_ID}.W018",
            )
        if safety_of(options) != "safe" or ANY_ORIGIN in (options.allowed_origins or ()):
            yield Warning(
                f"{name} lets in pages of any site, or leaves limits out.",
                hint="Name the sites in `allowed_origins`, and set `safety` to 'safe'.",
                id=f"{_ID}.W015",
            )

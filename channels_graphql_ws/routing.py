"""`GraphqlProtocolTypeRouter`: HTTP and WebSocket in one line."""

from __future__ import annotations

import logging
import re
import signal
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.http.request import validate_host
from django.urls import re_path
from django.utils.http import is_same_domain

from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from channels_graphql_ws.operations.option_values import check_options, option_names, with_options
from channels_graphql_ws.shutdown import DEFAULT_TIMEOUT, GraphqlLifespan, shut_down_on_signals
from channels_graphql_ws.websocket.consumer import GraphqlWsConsumer

log = logging.getLogger("channels_graphql_ws.graphql_ws_consumer")

_DEBUG_HOSTS = [".localhost", "127.0.0.1", "[::1]"]
"""What Django takes for ALLOWED_HOSTS where that is empty and DEBUG is on."""


class GraphqlProtocolTypeRouter(ProtocolTypeRouter):
    r"""The ASGI application of a project: GraphQL at one address, Django elsewhere.

    Args:
        schema: what the consumers serve.
        django_application: serves HTTP at all other addresses; `None`: nobody does.
        url_pattern: a regular expression for the path, without the first slash. Its named
            groups are arguments of the route.
        http_consumer: class to serve HTTP; `None` leaves it to Django.
        websocket_consumer: class to serve WebSocket.
        middleware_stack: puts users and sessions into the scope; `None` for none.
        check_origin: refuse the WebSocket of a page of another site, see `OriginCheck`.
        shutdown_timeout: seconds that queries and mutations may take when the server shuts
            down, see `GraphqlLifespan`; `None` leaves that, and the signals, to others.
        options: attributes of the consumer classes, each for those that have it.

    Raises:
        TypeError: no class has such an attribute, or a consumer is none of its kind.
        re.error: the pattern is no regular expression.
    """

    def __init__(
        self,
        schema: Any,
        *,
        django_application: Any = None,
        url_pattern: str = r"^graphql/?$",
        http_consumer: type[GraphqlHttpConsumer] | None = GraphqlHttpConsumer,
        websocket_consumer: type[GraphqlWsConsumer] = GraphqlWsConsumer,
        middleware_stack: Callable[[Any], Any] | None = AuthMiddlewareStack,
        check_origin: bool = True,
        shutdown_timeout: float | None = DEFAULT_TIMEOUT,
        **options: Any,
    ) -> None:
        _check_consumer("websocket_consumer", websocket_consumer, GraphqlWsConsumer)
        if http_consumer is not None:
            _check_consumer("http_consumer", http_consumer, GraphqlHttpConsumer)
        re.compile(url_pattern)
        options["schema"] = schema
        classes = [each for each in (http_consumer, websocket_consumer) if each is not None]
        known = set[str]().union(*(option_names(each) for each in classes))
        check_options(options, known, type(self).__qualname__)
        stack = middleware_stack or (lambda application: application)
        options["_follows_debug"] = True
        applications = [stack(_with_known_options(each, options).as_asgi()) for each in classes]
        websocket = URLRouter([_route(url_pattern, applications[-1]), _route("", _refuse)])
        routes = [_route("", django_application or _not_found)]
        if http_consumer is not None:
            routes.insert(0, _route(url_pattern, applications[0]))
        protocols: dict[str, Any] = {
            "http": URLRouter(routes),
            "websocket": OriginCheck(websocket) if check_origin else websocket,
        }
        if shutdown_timeout is not None:
            protocols["lifespan"] = GraphqlLifespan(shutdown_timeout)
            # Daphne tells of no lifespan. A developer's Ctrl-C is left alone.
            shut_down_on_signals(shutdown_timeout, (signal.SIGTERM,))
        super().__init__(protocols)


class OriginCheck:
    """Refuses WebSockets of pages of other sites, before anything looks at their cookies.

    A browser lets any page open a WebSocket to any site, and sends that site's cookies with
    it; only the header `Origin` tells. Allowed is an origin whose host is in ALLOWED_HOSTS
    or which is in CSRF_TRUSTED_ORIGINS; if ALLOWED_HOSTS allows all, one whose host is the
    one that was connected to. A client without the header is no page of a browser.
    """

    def __init__(self, application: Any) -> None:
        self._application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a connection, or refuse it."""
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        host = headers.get(b"host", b"").decode("latin-1")
        if origin is None or is_allowed(origin.decode("latin-1"), host):
            await self._application(scope, receive, send)
            return
        log.warning("Refused a WebSocket of the origin %s", origin.decode("latin-1"))
        await _refuse(scope, receive, send)


def is_allowed(origin: str, host: str) -> bool:
    """Tell if a page of `origin` may connect to us, whom it knows as `host`."""
    try:
        parts = urlsplit(origin.lower())
    except ValueError:
        return False
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return False
    if any(
        _is_trusted(parts.scheme, parts.netloc, each) for each in settings.CSRF_TRUSTED_ORIGINS
    ):
        return True
    if "*" in settings.ALLOWED_HOSTS:
        return parts.netloc == host.lower()
    allowed = settings.ALLOWED_HOSTS or (_DEBUG_HOSTS if settings.DEBUG else [])
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return validate_host(name, allowed)


def _is_trusted(scheme: str, netloc: str, trusted: str) -> bool:
    parts = urlsplit(trusted.lower())
    # Django's setting has a star in front: "https://*.example.com".
    return scheme == parts.scheme and is_same_domain(netloc, parts.netloc.lstrip("*"))


def _check_consumer(name: str, given: Any, kind: type[Any]) -> None:
    if not (isinstance(given, type) and issubclass(given, kind)):
        raise TypeError(f"{name} is {given!r}, it has to be a subclass of {kind.__name__}")


def _with_known_options(cls: type[Any], options: dict[str, Any]) -> type[Any]:
    known = option_names(cls) | {"_follows_debug"}
    return with_options(cls, {name: value for name, value in options.items() if name in known})


def _route(pattern: str, application: Any) -> Any:
    return re_path(pattern, application)


async def _refuse(_scope: Any, receive: Any, send: Any) -> None:
    """Refuse a WebSocket: servers make it a 403."""
    await receive()
    await send({"type": "websocket.close"})


async def _not_found(_scope: Any, _receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 404, "headers": headers})
    await send({"type": "http.response.body", "body": b"Not found\n"})

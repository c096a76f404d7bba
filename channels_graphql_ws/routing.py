"""`GraphqlProtocolTypeRouter`: HTTP and WebSocket in one line."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final, Unpack

from asgiref.sync import markcoroutinefunction
from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from django.core.asgi import get_asgi_application
from django.core.handlers.wsgi import WSGIHandler
from django.urls import Resolver404, re_path

from channels_graphql_ws.client_log import shown
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from channels_graphql_ws.operations.defaults import is_debug, option_defaults
from channels_graphql_ws.operations.keywords import RouterKeywords
from channels_graphql_ws.operations.mounting import check_request
from channels_graphql_ws.operations.option_values import (
    check_options,
    is_own,
    option_names,
    with_options,
)
from channels_graphql_ws.operations.origins import ANY_ORIGIN, check_allowed_origins
from channels_graphql_ws.shutdown import DEFAULT_TIMEOUT, GraphqlLifespan, shut_down_on_signals
from channels_graphql_ws.websocket.consumer import GraphqlWsConsumer
from channels_graphql_ws.websocket.handshake import (
    Refusal,
    problem_of_origin,
    problem_of_size,
    refuse,
)

_DEFAULTS: Final[Mapping[str, Any]] = {
    "atomic_mutations": None,
    "resolve_sync_in_threads": None,
    "uses_graphene_settings": True,
}
"""What differs from a bare consumer, which keeps what users of the predecessor rely on."""


class GraphqlProtocolTypeRouter(ProtocolTypeRouter):
    r"""The ASGI application of a project: GraphQL at one address, Django elsewhere.

    Args:
        schema: what the consumers serve; without one, what the setting GRAPHENE names.
        django_application: serves HTTP at all other addresses; `None`: nothing is there. If it
            is a `ProtocolTypeRouter` itself, perhaps another one of these, it serves
            WebSockets at other addresses and other protocols, too.
        url_pattern: a regular expression for the path, without the first slash. Its named
            groups are arguments of the route.
        websocket_application: serves WebSockets at all other addresses; `None`: those of
            `django_application`, if there are any.
        http_consumer: class to serve HTTP; `None` leaves it to Django.
        websocket_consumer: class to serve WebSocket.
        middleware_stack: puts users and sessions into the scope; `None` for none.
        check_origin: refuse the WebSocket of a page of another site, see the option
            `allowed_origins`.
        shutdown_timeout: seconds that queries and mutations may take when the server shuts
            down, see `GraphqlLifespan`; `None` leaves that, and the signals, to others.
        options: attributes of the consumer classes, each for those that have it.

    Raises:
        TypeError: no class has such an attribute, or an argument is not what it should be.
        ValueError: an option has a value that it cannot have, or `url_pattern` cannot match.
        re.error: the pattern is not a regular expression.
    """

    def __init__(  # noqa: PLR0913 (each is an option of its own, given by keyword)
        self,
        schema: Any = None,
        django_application: Any = None,
        url_pattern: str = r"^graphql/?$",
        *,
        websocket_application: Any = None,
        http_consumer: type[GraphqlHttpConsumer] | None = GraphqlHttpConsumer,
        websocket_consumer: type[GraphqlWsConsumer] = GraphqlWsConsumer,
        middleware_stack: Callable[[Any], Any] | None = AuthMiddlewareStack,
        check_origin: bool = True,
        shutdown_timeout: float | None = DEFAULT_TIMEOUT,
        **options: Unpack[RouterKeywords],
    ) -> None:
        _check_schema(schema)
        _check_consumer("websocket_consumer", websocket_consumer, GraphqlWsConsumer)
        if http_consumer is not None:
            _check_consumer("http_consumer", http_consumer, GraphqlHttpConsumer)
        _check_application("django_application", django_application)
        _check_application("websocket_application", websocket_application)
        _check_pattern(url_pattern)
        _check_others(middleware_stack, check_origin, shutdown_timeout)
        given: dict[str, Any] = {**options}
        if schema is not None:
            given["schema"] = schema
        classes = [each for each in (http_consumer, websocket_consumer) if each is not None]
        known = set[str]().union(*(option_names(each) for each in classes))
        check_options(given, known, type(self).__qualname__)
        stack = middleware_stack or (lambda application: application)
        others = _others(django_application)
        websocket_options = given if check_origin else {**given, "allowed_origins": (ANY_ORIGIN,)}
        websocket = _mounted(websocket_consumer, websocket_options, stack)
        elsewhere = websocket_application or others.pop("websocket", None)
        protocols: dict[str, Any] = {
            **others,
            "websocket": _At(url_pattern, websocket, elsewhere),
            "http": _At(
                url_pattern,
                None if http_consumer is None else _mounted(http_consumer, given, stack),
                django_application,
            ),
        }
        if shutdown_timeout is not None:
            protocols["lifespan"] = GraphqlLifespan(shutdown_timeout)
            # Daphne has no lifespan. A developer's Ctrl-C is left alone.
            shut_down_on_signals(shutdown_timeout, (signal.SIGTERM,))
        super().__init__(protocols)
        # Django awaits what it takes for an asynchronous view, and is told then.
        markcoroutinefunction(self)

    # Django calls it with a request alone, Daphne by these names.
    async def __call__(
        self, scope: Any, receive: Any = None, send: Any = None, **_path_params: Any
    ) -> None:
        """Serve a connection or request (ASGI).

        Raises:
            TypeError: this is a request of Django, as the router is in a URLconf.
        """
        check_request(type(self).__name__, scope)
        await super().__call__(scope, receive, send)


class OriginCheck:
    """Refuses WebSockets of pages of other sites, before anything looks at their cookies.

    For consumers that do not check by themselves; those of this package do.

    Args:
        application: serves what is let in.
        allowed_origins: as the option of `GraphqlWsConsumer`.

    Raises:
        TypeError, ValueError: the origins are none.
    """

    def __init__(self, application: Any, *, allowed_origins: Sequence[str] | None = None) -> None:
        check_allowed_origins(allowed_origins, "allowed_origins")
        self._application = application
        self._allowed_origins = allowed_origins

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a connection, or refuse it."""
        refusal = problem_of_size(scope) or problem_of_origin(scope, self._allowed_origins)
        if refusal is None:
            await self._application(scope, receive, send)
        else:
            await receive()
            await refuse(refusal, scope, send)


class _At:
    """Serves GraphQL at the paths of a pattern, and something else elsewhere.

    Args:
        pattern: a regular expression.
        graphql: serves GraphQL; `None`: this protocol is not served.
        elsewhere: serves the rest; `None`: there is nothing.
    """

    def __init__(self, pattern: str, graphql: Any, elsewhere: Any) -> None:
        self._pattern = pattern
        self._elsewhere = elsewhere
        routes = [] if graphql is None else [_route(pattern, graphql)]
        self._router = URLRouter([*routes, _route("", self._serve_elsewhere)])

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve a connection or request."""
        if "path_remaining" not in scope:
            scope = {**scope, "path_remaining": _path_below_root(scope)}
        await self._router(scope, receive, send)

    async def _serve_elsewhere(self, scope: Any, receive: Any, send: Any) -> None:
        if self._elsewhere is not None:
            try:
                await self._elsewhere(scope, receive, send)
                return
            # So a `URLRouter` says that it has no such path.
            except Resolver404:
                pass
        problem = (
            f"at {shown(scope['path'])}: there is nothing, GraphQL is at paths that match "
            f"{self._pattern!r} behind the first slash"
        )
        if scope["type"] == "websocket":
            await receive()
            await refuse(Refusal(HTTPStatus.NOT_FOUND, problem), scope, send)
        else:
            await _not_found(f"Not found: {problem}\n" if is_debug() else "Not found\n", send)


def _path_below_root(scope: Mapping[str, Any]) -> str:
    """Return the path below the one that the application is mounted at.

    Servers disagree on whether the path includes the root path if a proxy has taken it away
    (Daphne: no).
    """
    path: str = scope["path"]
    root: str = (scope.get("root_path") or "").rstrip("/")
    return path[len(root) :] if path == root or path.startswith(f"{root}/") else path


async def _not_found(text: str, send: Any) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"x-content-type-options", b"nosniff"),
    ]
    start = {"status": int(HTTPStatus.NOT_FOUND), "headers": headers}
    await send({"type": "http.response.start", **start})
    await send({"type": "http.response.body", "body": text.encode()})


def _others(application: Any) -> dict[str, Any]:
    """Return what a router serves besides HTTP."""
    if not isinstance(application, ProtocolTypeRouter):
        return {}
    return {name: each for name, each in application.application_mapping.items() if name != "http"}


def _mounted(cls: type[Any], options: dict[str, Any], stack: Callable[[Any], Any]) -> Any:
    """Return the application of a consumer class with the options that it has."""
    known = option_names(cls)
    own = {name: value for name, value in options.items() if name in known}
    for name, value in _DEFAULTS.items():
        if not (is_own(cls, name) or name in option_defaults()):
            own.setdefault(name, value)
    bare = with_options(cls, {**own, "_follows_debug": True}).as_asgi()
    with_users = stack(bare)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        # Channels' middleware parses cookies of any size: the consumer refuses those first.
        is_too_large = problem_of_size(scope) is not None
        await (bare if is_too_large else with_users)(scope, receive, send)

    return application


def _route(pattern: str, application: Any) -> Any:
    return re_path(pattern, application)


def _check_schema(schema: Any) -> None:
    cls = schema if isinstance(schema, type) else getattr(schema, "consumer_class", None)
    for kind, name in (
        (GraphqlWsConsumer, "websocket_consumer"),
        (GraphqlHttpConsumer, "http_consumer"),
    ):
        if isinstance(cls, type) and issubclass(cls, kind):
            raise TypeError(
                f"{schema!r} is not a schema: pass the schema first, and the class as "
                f"{name}={cls.__name__}"
            )


def _check_consumer(name: str, given: Any, kind: type[Any]) -> None:
    if isinstance(given, type) and issubclass(given, kind):
        return
    cls = getattr(given, "consumer_class", None) or getattr(given, "__self__", None)
    hint = ""
    if isinstance(cls, type) and issubclass(cls, kind):
        hint = f"; pass {cls.__name__}, without `.as_asgi()`"
    raise TypeError(f"{name} is {given!r}, it has to be a subclass of {kind.__name__}{hint}")


def _check_application(name: str, given: Any) -> None:
    if given is None or (callable(given) and not isinstance(given, (type, WSGIHandler))):
        if given is not get_asgi_application:
            return
        raise TypeError(f"{name} is a function: call it, `get_asgi_application()`")
    raise TypeError(
        f"{name} is {given!r}, it must be an ASGI application, such as `get_asgi_application()`"
    )


def _check_pattern(pattern: Any) -> None:
    if not isinstance(pattern, str):
        raise TypeError(f"url_pattern is {pattern!r}, it must be a regular expression, a string")
    re.compile(pattern)
    if pattern.removeprefix("^").startswith("/"):
        raise ValueError(
            f"url_pattern is {pattern!r}, which matches nothing: paths are matched without "
            "their first slash"
        )
    if re.search(r"(?<!\?P)<\w+(:\w+)?>", pattern):
        raise ValueError(
            f"url_pattern is {pattern!r}, which is a route of `path()`: it must be a regular "
            r"expression, such as r'^graphql/(?P<tenant>\w+)/$'"
        )


def _check_others(middleware_stack: Any, check_origin: Any, shutdown_timeout: Any) -> None:
    if middleware_stack is not None and not callable(middleware_stack):
        raise TypeError(
            f"middleware_stack is {middleware_stack!r}, it must be a function that takes an ASGI "
            "application and returns one, or `None`"
        )
    if not isinstance(check_origin, bool):
        raise TypeError(
            f"check_origin is {check_origin!r}, it must be `True` or `False`; name origins as "
            "`allowed_origins`"
        )
    is_number = isinstance(shutdown_timeout, int | float) and shutdown_timeout >= 0
    if shutdown_timeout is not None and not is_number:
        raise ValueError(
            f"shutdown_timeout is {shutdown_timeout!r}, it must be a number of seconds ≥ 0, "
            "or `None`"
        )

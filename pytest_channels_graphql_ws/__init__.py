"""Pytest plugin of channels_graphql_ws: fixtures that give its clients for tests.

It is no part of the package itself, because pytest imports plugins before anything else: the
package, and Django with it, is imported when a test asks for a fixture. The fixtures are
ordinary ones, so that any plugin for async tests will do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from channels_graphql_ws.testing import GraphqlHttpClient, GraphqlWebsocketCommunicator


@pytest.fixture
def graphql_ws_client() -> Callable[..., GraphqlWebsocketCommunicator]:
    """Make WebSocket clients, which are opened by `async with`.

    Takes the arguments of `GraphqlWebsocketCommunicator`. The application may be a consumer
    class; without one it is the project's ASGI_APPLICATION.
    """
    from channels_graphql_ws.testing import GraphqlWebsocketCommunicator  # noqa: PLC0415

    def client(
        application: Any = None, path: str = "/graphql/", **arguments: Any
    ) -> GraphqlWebsocketCommunicator:
        return GraphqlWebsocketCommunicator(_asgi(application), path, **arguments)

    return client


@pytest.fixture
def graphql_http_client() -> Callable[..., GraphqlHttpClient]:
    """Make HTTP clients.

    Takes the arguments of `GraphqlHttpClient`; the application as `graphql_ws_client` does.
    """
    from channels_graphql_ws.testing import GraphqlHttpClient  # noqa: PLC0415

    def client(
        application: Any = None, path: str = "/graphql/", **arguments: Any
    ) -> GraphqlHttpClient:
        return GraphqlHttpClient(_asgi(application), path, **arguments)

    return client


def _asgi(application: Any) -> Any:
    if application is None:
        from channels.routing import get_default_application  # noqa: PLC0415

        return get_default_application()
    return application.as_asgi() if hasattr(application, "as_asgi") else application

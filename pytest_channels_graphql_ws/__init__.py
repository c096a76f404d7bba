"""Pytest plugin of channels_graphql_ws: fixtures that return its clients for tests.

It is not a part of the package itself, because pytest imports plugins before anything else:
the package, and Django with it, is imported when a test asks for a fixture. The fixtures are
ordinary ones, so that any plugin for async tests will do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from channels_graphql_ws.testing import (
        FaultyChannelLayer,
        GraphqlHttpClient,
        GraphqlWebsocketCommunicator,
        LiveServer,
        SyncGraphqlHttpClient,
    )


@pytest.fixture
def graphql_ws_client() -> Callable[..., GraphqlWebsocketCommunicator]:
    """Make WebSocket clients, which are opened by `async with`.

    Takes the arguments of `GraphqlWebsocketCommunicator`. The application may be a consumer
    class; without one it is the project's ASGI_APPLICATION. If that looks up sessions and
    users, as the router does by default, the test needs a database (`django_db`).
    """
    from channels_graphql_ws.testing import GraphqlWebsocketCommunicator  # noqa: PLC0415
    from channels_graphql_ws.testing.running import as_asgi  # noqa: PLC0415

    def client(
        application: Any = None, path: str = "/graphql/", **arguments: Any
    ) -> GraphqlWebsocketCommunicator:
        return GraphqlWebsocketCommunicator(as_asgi(application), path, **arguments)

    return client


@pytest.fixture
def graphql_http_client() -> Callable[..., GraphqlHttpClient]:
    """Make HTTP clients.

    Takes the arguments of `GraphqlHttpClient`; the application as `graphql_ws_client` does.
    """
    from channels_graphql_ws.testing import GraphqlHttpClient  # noqa: PLC0415
    from channels_graphql_ws.testing.running import as_asgi  # noqa: PLC0415

    def client(
        application: Any = None, path: str = "/graphql/", **arguments: Any
    ) -> GraphqlHttpClient:
        return GraphqlHttpClient(as_asgi(application), path, **arguments)

    return client


@pytest.fixture
def graphql_sync_http_client() -> Callable[..., SyncGraphqlHttpClient]:
    """Make HTTP clients for tests without an event loop.

    Takes the arguments of `SyncGraphqlHttpClient`; the application as `graphql_ws_client` does.
    """
    from channels_graphql_ws.testing import SyncGraphqlHttpClient  # noqa: PLC0415
    from channels_graphql_ws.testing.running import as_asgi  # noqa: PLC0415

    def client(
        application: Any = None, path: str = "/graphql/", **arguments: Any
    ) -> SyncGraphqlHttpClient:
        return SyncGraphqlHttpClient(as_asgi(application), path, **arguments)

    return client


@pytest.fixture
def graphql_live_server() -> Iterator[Callable[..., LiveServer]]:
    """Start servers, which are stopped at the end of the test.

    Takes the arguments of `LiveServer`. The database has to be `transactional_db`: a server
    sees only what is committed.
    """
    from channels_graphql_ws.testing import LiveServer  # noqa: PLC0415

    with ExitStack() as stack:
        yield lambda *args, **kwargs: stack.enter_context(LiveServer(*args, **kwargs))


@pytest.fixture
def faulty_channel_layer() -> Iterator[FaultyChannelLayer]:
    """Put a `FaultyChannelLayer` in the place of the channel layer "default"."""
    from channels_graphql_ws.testing import FaultyChannelLayer  # noqa: PLC0415

    with FaultyChannelLayer().installed() as layer:
        yield layer

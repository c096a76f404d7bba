"""Fixtures of the tests with gql: the example, and a session of its client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
from gql import Client
from gql.client import AsyncClientSession
from gql.transport.websockets import WebsocketsTransport

from example_server import ExampleServer

OpenSession = Callable[..., Awaitable[AsyncClientSession]]


class RecordingTransport(WebsocketsTransport):
    """Keeps what the server says: gql itself drops what nobody waits for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.said: list[dict[str, Any]] = []
        receive = self.adapter.receive

        async def receive_and_keep() -> str:
            text = await receive()
            self.said.append(json.loads(text))
            return text

        self.adapter.receive = receive_and_keep


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleServer]:
    """Serve the example."""
    with ExampleServer(tmp_path_factory.mktemp("example")) as server:
        yield server


@pytest.fixture(params=["graphql-transport-ws", "graphql-ws"])
def subprotocol(request: pytest.FixtureRequest) -> str:
    """Name each of the two subprotocols in turn."""
    name: str = request.param
    return name


@pytest.fixture
async def open_session(example: ExampleServer, subprotocol: str) -> AsyncIterator[OpenSession]:
    """Connect as a guest of that nick."""
    async with AsyncExitStack() as stack:

        async def connect(nick: str, **options: Any) -> AsyncClientSession:
            transport = RecordingTransport(
                example.websocket_url,
                headers=example.guest(nick),
                subprotocols=[subprotocol],
                **options,
            )
            return await stack.enter_async_context(Client(transport=transport))

        yield connect

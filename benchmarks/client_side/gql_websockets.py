"""gql, over websockets."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import version

from gql import Client
from gql.transport.websockets import WebsocketsTransport

from client_side.gql_session import Session

VERSIONS = {name: version(name) for name in ("gql", "websockets", "graphql-core")}


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Session]:
    """Connect."""
    transport = WebsocketsTransport(url=url, subprotocols=["graphql-transport-ws"])
    async with Client(transport=transport, execute_timeout=60) as session:
        yield Session(session)

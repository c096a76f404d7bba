"""Fixtures of the tests with npm's HTTP clients: Node, its packages, a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from node_process import NodeProcess, node_starter, node_with_packages, serving

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def node() -> str:
    """Give the path of Node, with the packages of the lock file installed."""
    return node_with_packages(HERE)


@pytest.fixture
async def start_node(node: str) -> AsyncIterator[Callable[..., Awaitable[NodeProcess]]]:
    """Start a script with its arguments."""
    async with node_starter(node, HERE) as start:
        yield start


@pytest.fixture
def serve() -> Callable[..., Any]:
    """Serve an ASGI application with Uvicorn, on the event loop of the test."""
    return _serve


@asynccontextmanager
async def _serve(application: Any) -> AsyncIterator[str]:
    async with serving(application) as port:
        yield f"http://127.0.0.1:{port}/graphql/"

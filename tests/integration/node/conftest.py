"""Fixtures of the tests with npm's clients: Node, its packages, something to talk to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from example_server import ExampleServer
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


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExampleServer]:
    """Serve the example."""
    with ExampleServer(tmp_path_factory.mktemp("example")) as server:
        yield server


@pytest.fixture
def serve() -> Callable[..., Any]:
    """Serve an ASGI application with Uvicorn, on the event loop of the test."""
    return serving

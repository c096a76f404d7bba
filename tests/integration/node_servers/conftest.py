"""Fixtures of the tests with servers of npm: Node, its packages, a server of each kind."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node_process import node_with_packages
from support import GUARD

HERE = Path(__file__).resolve().parent


class NodeServer:
    """A server of a kind, in a process of its own.

    Attributes:
        port: where it listens.
    """

    def __init__(self, node: str, kind: str, port: int = 0) -> None:
        self._process = subprocess.Popen(
            [node, str(HERE / "servers.mjs"), kind, str(port)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the server {kind!r} did not start"
        self.port: int = json.loads(line)["port"]

    def stop(self) -> None:
        """End it, if it has not."""
        self._process.kill()
        self._process.communicate(timeout=GUARD)


@pytest.fixture(scope="session")
def node() -> str:
    """Give the path of Node, with the packages of the lock file installed."""
    return node_with_packages(HERE)


@pytest.fixture(scope="session")
def port_of(node: str) -> Iterator[Callable[[str], int]]:
    """Return the port of the one server of a kind, which all tests share."""
    servers: dict[str, NodeServer] = {}

    def port_of(kind: str) -> int:
        if kind not in servers:
            servers[kind] = NodeServer(node, kind)
        return servers[kind].port

    yield port_of
    for server in servers.values():
        server.stop()


@pytest.fixture
def start(node: str) -> Iterator[Callable[..., NodeServer]]:
    """Start a server of a kind for this test alone, which may end it."""
    started: list[NodeServer] = []

    def start(kind: str, port: int = 0) -> NodeServer:
        started.append(NodeServer(node, kind, port))
        return started[-1]

    yield start
    for server in started:
        server.stop()

"""Real servers, each in a process of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import channels_graphql_ws
from support import GUARD

HERE = Path(__file__).parent

COMMANDS = {
    "daphne": ["daphne", "-b", "127.0.0.1", "-p", "0"],
    "uvicorn": ["uvicorn", "--host", "127.0.0.1", "--port", "0"],
    "uvicorn-websockets": ["uvicorn", "--host", "127.0.0.1", "--port", "0", "--ws", "websockets"],
}

_ADDRESS = re.compile(r"(?:Listening on TCP address |running on http://)127\.0\.0\.1:(\d+)")


class LiveServer:
    """A server process; its log is a file."""

    def __init__(self, name: str, log: Path, site: str = "live_site") -> None:
        self.name = name
        self._log = log
        package = Path(channels_graphql_ws.__file__).parent.parent
        # With tox's PYTHONSAFEPATH a process finds nothing that it is not told of.
        paths = {"PYTHONPATH": os.pathsep.join([str(HERE), str(package)])}
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *COMMANDS[name], f"{site}:application"],
                env=os.environ | paths,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.port = self._port()

    def _port(self) -> int:
        deadline = time.monotonic() + GUARD
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := _ADDRESS.search(self.log):
                return int(found.group(1))
            time.sleep(0.02)  # noqa: TID251 (another process is waited for)
        self.stop()
        pytest.fail(f"{self.name} does not start:\n{self.log}")

    @property
    def log(self) -> str:
        """What the server has written so far."""
        return self._log.read_text(errors="replace")

    def url(self, path: str, scheme: str = "ws") -> str:
        """An address of the server."""
        return f"{scheme}://127.0.0.1:{self.port}/{path}"

    async def counts(self) -> dict[str, Any]:
        """What the process of the server holds."""
        return await self._get("counts/")

    async def let_go(self) -> None:
        """Let the mutations go on that wait."""
        await self._get("let-go/")

    async def _get(self, path: str) -> dict[str, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.url(path, "http")) as response,
        ):
            content: dict[str, Any] = await response.json()
            return content

    def stop(self) -> int:
        """End the process and return its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(GUARD)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@contextmanager
def running(name: str, folder: Path) -> Iterator[LiveServer]:
    """Run a server, and end it whatever happens."""
    server = LiveServer(name, folder / f"{name}.log")
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="session", params=list(COMMANDS))
def server(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[LiveServer]:
    """A server that the tests of the session share."""
    with running(request.param, tmp_path_factory.mktemp("server")) as live:
        yield live


@pytest.fixture(params=list(COMMANDS))
def start_server(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[..., LiveServer]]:
    """Start a server for one test."""
    servers: list[LiveServer] = []

    def start(site: str = "live_site") -> LiveServer:
        servers.append(LiveServer(request.param, tmp_path / "log", site))
        return servers[-1]

    yield start
    for live in servers:
        if live.process.poll() is None:
            live.stop()

"""Node scripts that the tests of npm's clients start, and what they talk to."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from support import GUARD, free_port, wait_until

Answer = dict[str, Any]


def node_with_packages(folder: Path) -> str:
    """Give the path of Node, with the packages of the folder's lock file installed."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        reason = "node and npm are not both on the path"
        if os.environ.get("CI_NODE_REQUIRED") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    _install_packages(npm, folder)
    return node


def _install_packages(npm: str, folder: Path) -> None:
    """Install what the lock file names, unless that has been done since it was changed."""
    installed = folder / "node_modules" / ".package-lock.json"
    locked = folder / "package-lock.json"
    if installed.exists() and installed.stat().st_mtime >= locked.stat().st_mtime:
        return
    done = subprocess.run(
        [npm, "ci"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=5 * GUARD,
    )
    if done.returncode:
        pytest.fail(f"npm ci failed:\n{done.stdout}{done.stderr}", pytrace=False)


class NodeProcess:
    """A script that runs: it prints a JSON value per line, and may wait for ours."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> Answer:
        """Return the next thing the script has to say."""
        assert self._process.stdout is not None
        async with asyncio.timeout(GUARD):
            line = await self._process.stdout.readline()
        if not line:
            await self.lines()
            pytest.fail("The script ended where it should have said something")
        answer: Answer = json.loads(line)
        return answer

    async def lines(self) -> list[Answer]:
        """Return all that the script has to say until it ends; it must end well."""
        async with asyncio.timeout(GUARD):
            text, errors = await self._process.communicate()
        assert self._process.returncode == 0, errors.decode()
        return [json.loads(line) for line in text.splitlines()]

    def go_on(self) -> None:
        """Tell a script that waits for us not to wait any longer."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")

    async def stop(self) -> None:
        """End it, if it has not."""
        if self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()


@asynccontextmanager
async def node_starter(
    node: str, folder: Path
) -> AsyncIterator[Callable[..., Awaitable[NodeProcess]]]:
    """Give what starts a script of the folder with its arguments; in the end all are ended."""
    async with AsyncExitStack() as stack:

        async def start(script: str, *arguments: str) -> NodeProcess:
            process = NodeProcess(
                await asyncio.create_subprocess_exec(
                    *(node, str(folder / script), *arguments),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE,
                )
            )
            stack.push_async_callback(process.stop)
            return process

        yield start


@asynccontextmanager
async def serving(application: Any, port: int = 0, **options: Any) -> AsyncIterator[int]:
    """Serve with Uvicorn on the event loop of the test, and give the port.

    When this ends, clients are told of a restart (1012); streams over HTTP are waited for, if
    the options, those of `uvicorn.Config`, do not say otherwise.
    """
    # Not one for whoever asks for any: a client that tries again and again while nobody is there
    # would get it for itself some day, and be connected to nobody but itself.
    with socket.create_server(("127.0.0.1", port or free_port())) as listener:
        config = uvicorn.Config(application, lifespan="off", log_config=None, **options)
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve([listener]))
        try:
            await wait_until(lambda: server.started or running.done())
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await running

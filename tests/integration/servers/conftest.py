"""Real servers, each in a process group of its own."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import channels_graphql_ws
from support import GUARD, free_port

HERE = Path(__file__).parent

ALL_REQUIRED = bool(os.environ.get("CI_SERVERS_REQUIRED"))
"""Whether to test all of them, and to fail for one that is not installed (`tox -e servers`)."""

_START_GUARD = 3 * GUARD

# Which port it is says the log, but not that of Granian.
_ADDRESS = re.compile(
    r"(?:Listening on TCP address |(?:[Rr]unning on|Listening at:) http://)127\.0\.0\.1:(\d+)"
)


@dataclass(frozen=True)
class Kind:
    """A server, and in which ways it is like no other: see docs/how-to/deployment.md.

    Attributes:
        command: module and arguments; `{port}` is a free port.
        needs: a module that is there if the server can be used.
        sends_reasons: of a close.
        largest_message: bytes that it takes, whatever we would take.
        largest_result: bytes that it sends.
        waits_for_readers: lets us know when a client does not read.
        has_transport: sends by a transport of asyncio, which can be ended at once.
        ends_quietly: when it is told to, with clients connected.
        close_at_the_end: what a client is closed with that the application has not closed.
        shuts_down_with_us: takes clients and waits for us when it is told to end.
        inflates: messages that clients have compressed.
    """

    command: tuple[str, ...]
    needs: str
    sends_reasons: bool = True
    largest_message: int = 16 * 2**20
    largest_result: int | None = None
    waits_for_readers: bool = True
    has_transport: bool = True
    ends_quietly: bool = True
    close_at_the_end: int | None = 1012
    shuts_down_with_us: bool = True
    inflates: bool = True


def _uvicorn(implementation: str, needs: str = "uvicorn") -> Kind:
    command = ("uvicorn", "--host", "127.0.0.1", "--port", "0", "--ws", implementation)
    return Kind(command, needs)


KINDS = {
    "daphne": Kind(
        ("daphne", "-b", "127.0.0.1", "-p", "0"),
        "daphne",
        sends_reasons=False,
        largest_message=2**20,
        largest_result=2**20,
        waits_for_readers=False,
        has_transport=False,
        close_at_the_end=None,
        inflates=False,
    ),
    "uvicorn": _uvicorn("auto"),
    "uvicorn-sansio": _uvicorn("websockets-sansio"),
    "uvicorn-websockets": _uvicorn("websockets", "websockets"),
    "uvicorn-wsproto": _uvicorn("wsproto", "wsproto"),
    # Ends its own tasks by cancelling, of which asyncio of Python 3.11 tells the log.
    # Its workers do not hear of a signal before it has closed its port.
    "hypercorn": Kind(
        ("hypercorn", "-b", "127.0.0.1:0"),
        "hypercorn",
        ends_quietly=False,
        shuts_down_with_us=False,
    ),
    "granian": Kind(
        ("granian", "--interface", "asginl", "--host", "127.0.0.1", "--port", "{port}"),
        "granian",
        has_transport=False,
        close_at_the_end=None,
        inflates=False,
    ),
}

MANAGED = {
    # Runs Uvicorn, which the other tests have.
    "gunicorn": Kind(
        ("gunicorn", "-k", "uvicorn_worker.UvicornWorker", "-b", "127.0.0.1:{port}"),
        "uvicorn_worker",
    )
}

# What Uvicorn takes by itself is one of the three that are named.
NAMES = [name for name in KINDS if name != "uvicorn"] if ALL_REQUIRED else ["daphne", "uvicorn"]


@dataclass(frozen=True)
class Form:
    """A way to run a server, with the flag that bounds its shutdown.

    Attributes:
        server: a key of `KINDS` or `MANAGED`.
        flags: what its command has besides.
        code: what its clients are closed with.
        outlasts_readers: ends by itself, even if a client reads nothing.
    """

    server: str
    flags: tuple[str, ...] = ()
    code: int = 1012
    outlasts_readers: bool = True


_UVICORN_FLAGS = ("--timeout-graceful-shutdown", "1")

FORMS = {
    "uvicorn": Form("uvicorn", _UVICORN_FLAGS),
    "uvicorn-workers": Form("uvicorn", ("--workers", "2", *_UVICORN_FLAGS)),
    "uvicorn-reload": Form("uvicorn", ("--reload", "--reload-dir", str(HERE), *_UVICORN_FLAGS)),
    "gunicorn": Form("gunicorn", ("--graceful-timeout", "3")),
    "daphne": Form("daphne", code=4012),
    "hypercorn": Form("hypercorn", ("--graceful-timeout", "1"), outlasts_readers=False),
    "granian": Form("granian", ("--workers-kill-timeout", "3")),
}
"""The cells of the table of docs/reference/shutdown.md."""


class LiveServer:
    """A server process; its log is a file."""

    def __init__(
        self, name: str, log: Path, site: str = "live_site", flags: Iterable[str] = ()
    ) -> None:
        self.name = name
        self.kind = _installed(name)
        self._log = log
        self.port = free_port()
        package = Path(channels_graphql_ws.__file__).parent.parent
        # With tox's PYTHONSAFEPATH a process finds nothing that it is not told of.
        paths = {"PYTHONPATH": os.pathsep.join([str(HERE), str(package)])}
        command = [each.format(port=self.port) for each in self.kind.command]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command, *flags, f"{site}:application"],
                env=os.environ | paths,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_for_start()

    def _wait_for_start(self) -> None:
        deadline = time.monotonic() + _START_GUARD
        while time.monotonic() < deadline and self.process.poll() is None:
            if found := _ADDRESS.search(self.log):
                self.port = int(found.group(1))
            if self._answers():
                return
            time.sleep(0.02)  # noqa: TID251 (another process is waited for)
        self.kill()
        pytest.fail(f"{self.name} does not start:\n{self.log}")

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=GUARD).close()
        except OSError:
            return False
        return True

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

    async def buffered(self) -> dict[str, Any]:
        """What the server keeps for clients that do not read (`stalled_site`)."""
        return await self._get("buffered/")

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
        finally:
            self.kill()

    def kill(self) -> None:
        """End the process and those that it has started, at once."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _installed(name: str) -> Kind:
    """Give what is known of a server, or skip the test."""
    kind = (KINDS | MANAGED)[name]
    if find_spec(kind.needs) is None:
        reason = f"{name} is not installed: no module {kind.needs}"
        if ALL_REQUIRED:
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    return kind


@contextmanager
def running(name: str, folder: Path) -> Iterator[LiveServer]:
    """Run a server, and end it whatever happens."""
    server = LiveServer(name, folder / f"{name}.log")
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session", params=NAMES)
def server(request: pytest.FixtureRequest, tmp_path_factory: Any) -> Iterator[LiveServer]:
    """A server that the tests of the session share."""
    with running(request.param, tmp_path_factory.mktemp("server")) as live:
        yield live


@pytest.fixture(params=NAMES)
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
        live.kill()


@pytest.fixture(params=FORMS if ALL_REQUIRED else ["uvicorn", "daphne"])
def ending(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[LiveServer, Form]]:
    """Start a server that is to be ended, in one of the ways to run it."""
    form = FORMS[request.param]
    server = LiveServer(form.server, tmp_path / "log", "deadline_site", form.flags)
    yield server, form
    server.kill()

"""Start, pin, measure and end the server processes."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import resource
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

HERE = Path(__file__).resolve().parent
START_TIMEOUT = 180.0
STOP_TIMEOUT = 10.0
REDIS_TIMEOUT = 60.0

# Below those that the system gives to whoever asks for any: a Redis that is started again must
# find its port free.
PORTS = range(20_000, 32_000)

_PINNED = """
import os, sys
os.sched_setaffinity(0, {int(sys.argv[1])})
os.execvp(sys.argv[2], sys.argv[2:])
"""


class ServerError(Exception):
    """A server did not start, ended too early, or had something to complain about."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server process."""

    process: asyncio.subprocess.Process
    port: int
    package: str | None
    versions: dict[str, str]
    log: IO[bytes]

    def cpu_seconds(self) -> float:
        """Return user and system time of the process so far, all threads, in seconds."""
        return time.clock_gettime(_cpu_clock(self.process.pid))

    def rss_kib(self) -> int:
        """Return the resident memory of the process in KiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") // 1024

    def log_text(self) -> str:
        """Return what the server wrote to its log so far."""
        self.log.seek(0)
        return self.log.read().decode(errors="replace")


@contextlib.asynccontextmanager
async def running(
    module: str | None,
    *,
    command: Sequence[str] | None = None,
    cpu: int | None = None,
    send_buffer: int | None = None,
    wishes: dict[str, Any] | None = None,
    tree: Path | None = None,
) -> AsyncGenerator[Server, None]:
    """Run `servers/<module>.py` for the time of the block, on core `cpu` if it is given.

    Args:
        module: what to run under Uvicorn; `None` if `command` is all there is to run.
        command: another interpreter than this one.
        cpu: the core to run on.
        send_buffer: bytes that the kernel keeps for a connection.
        wishes: what the server shall do otherwise, see `servers/django_setup.py`.
        tree: a checkout whose package it runs, instead of this one's.
    """
    whole = list(command or [sys.executable])
    if module is not None:
        whole += ["-m", "servers.launch", module]
    if send_buffer is not None:
        whole += ["--send-buffer", str(send_buffer)]
    whole = pinned(whole, cpu)
    variables = environment(foreign=command is not None, tree=tree)
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *whole,
            stdout=subprocess.PIPE,
            stderr=log,
            # `-m` looks there first: nowhere near the package of this checkout.
            cwd=HERE,
            env=variables | {"BENCHMARK_WISHES": json.dumps(wishes or {})},
        )
        try:
            ready = await _ready(process, log)
            yield Server(process, ready["port"], ready["package"], ready["versions"], log)
        finally:
            await _stop(process)


class Redis:
    """A Redis server, which has the same port when it is started again, and no data.

    Args:
        command: how to start it, without a port.
        cpu: the core to run on.
    """

    def __init__(self, command: Sequence[str], cpu: int | None = None) -> None:
        self.port = _free_port()
        self._command = pinned([*command, "--port", str(self.port)], cpu)
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it, and return when it listens."""
        self._process = await asyncio.create_subprocess_exec(
            *self._command, stdout=subprocess.DEVNULL
        )
        async with asyncio.timeout(REDIS_TIMEOUT):
            while not await _is_listening(self.port):  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            await _stop(self._process)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None, "only a server that was started gets signals"
        self._process.send_signal(number)


@contextlib.asynccontextmanager
async def running_redis(command: Sequence[str], cpu: int | None) -> AsyncGenerator[str, None]:
    """Run a Redis server for the time of the block; yield its address."""
    redis = Redis(command, cpu)
    try:
        await redis.start()
        yield redis.url
    finally:
        await redis.stop()


def _free_port() -> int:
    while True:
        port = secrets.choice(PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


async def _is_listening(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def most_files() -> int:
    """Allow as many open files as may be, here and in servers; return how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def cores() -> tuple[int | None, int | None]:
    """Return a core for the server and another one for the load, if there is a choice."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    available = sorted(os.sched_getaffinity(0))
    if len(available) < 2:
        return None, None
    return available[0], available[-1]


def pinned(command: Sequence[str], cpu: int | None) -> list[str]:
    """Return a command that runs another on one core, if one is given."""
    prefix = [] if cpu is None else [sys.executable, "-c", _PINNED, str(cpu)]
    return [*prefix, *command]


def environment(*, foreign: bool, tree: Path | None = None) -> dict[str, str]:
    """Return the environment of a process; a `foreign` one must not see this checkout."""
    paths = [str(HERE)]
    if tree is not None:
        paths.append(str(tree))
    elif not foreign:
        paths += [path for path in [os.environ.get("PYTHONPATH")] if path]
        if importlib.util.find_spec("channels_graphql_ws") is None:
            paths.append(str(HERE.parent))
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "0"}


async def _ready(process: asyncio.subprocess.Process, log: IO[bytes]) -> dict[str, Any]:
    assert process.stdout is not None
    async with asyncio.timeout(START_TIMEOUT):
        line = await process.stdout.readline()
    if not line:
        log.seek(0)
        raise ServerError(
            f"a server ended before it listened:\n{log.read().decode(errors='replace')}"
        )
    ready: dict[str, Any] = json.loads(line)
    return ready


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


def _cpu_clock(pid: int) -> int:
    """Return the id of Linux's CPU clock of another process, `MAKE_PROCESS_CPUCLOCK` there.

    `/proc/<pid>/stat` counts in ticks of 10 ms, too coarse for a round of the floor.
    """
    return (~pid << 3) | 2

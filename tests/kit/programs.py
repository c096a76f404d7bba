"""Programs that run beside a test, such as servers, and a browser's part without a browser."""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import socket
import subprocess
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from support import GUARD


class Program:
    """A program that runs: `with Program(…) as server` waits until it is ready.

    Args:
        command: the program, and its arguments.
        folder: where it runs.
        environment: all of its environment.
        ready: what it prints when it is ready, or the port where it listens then.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        environment: Mapping[str, str],
        ready: str | int,
    ) -> None:
        self.output: list[str] = []
        self._ready = ready
        self._is_ready = threading.Event()
        self._has_ended = threading.Event()
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        is_ready = self._is_ready.wait if isinstance(self._ready, str) else self._listens
        if not is_ready(2 * GUARD) or self._process.poll() is not None:
            self.stop()
            raise RuntimeError("The program did not start:\n" + "".join(self.output))
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End the program, whether it wants to or not; harmless if it has ended."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(GUARD / 4)
        self._process.kill()
        self._process.wait()
        self._reader.join()

    def _listens(self, timeout: float) -> bool:
        """Wait until something accepts connections at the port; there is no sign to wait for."""
        for _ in range(int(timeout / 0.1)):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", self._ready)),
            ):
                return True
            if self._has_ended.wait(0.1):
                break
        return False

    def _read(self) -> None:
        """Keep the output: a pipe that nobody reads would stop the program."""
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                self.output.append(line)
                if isinstance(self._ready, str) and self._ready in line:
                    self._is_ready.set()
        self._is_ready.set()
        self._has_ended.set()


class Visitor:
    """Someone who visits a site: keeps cookies, fills in forms, sends queries.

    Args:
        url: the address of the site, without a slash at the end.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._jar = http.cookiejar.CookieJar()
        self._opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(self._jar)
        )

    @property
    def cookies(self) -> str:
        """The header `Cookie`, for a WebSocket."""
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in self._jar)

    def get(self, path: str, **headers: str) -> str:
        """Open a page."""
        request = urllib.request.Request(self.url + path, headers=headers)  # noqa: S310 (ours)
        with self._opener.open(request, timeout=GUARD) as response:
            text: str = response.read().decode()
            return text

    def submit(self, path: str, **fields: str) -> str:
        """Open a page with a form, and send that."""
        self.get(path)
        token = next((c.value or "" for c in self._jar if c.name == "csrftoken"), "")
        form = urllib.parse.urlencode({**fields, "csrfmiddlewaretoken": token}).encode()
        headers = {"Referer": self.url + path}
        request = urllib.request.Request(self.url + path, form, headers)  # noqa: S310 (ours)
        with self._opener.open(request, timeout=GUARD) as response:
            text: str = response.read().decode()
            return text

    def execute(
        self, query: str, variables: Mapping[str, Any] | None = None, **headers: str
    ) -> dict[str, Any]:
        """Send a query or mutation; return the response, whatever its status."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"Content-Type": "application/json", "Accept": "application/json", **headers}
        request = urllib.request.Request(self.url + "/graphql/", body, headers)  # noqa: S310 (ours)
        try:
            with self._opener.open(request, timeout=GUARD) as response:
                answer: dict[str, Any] = json.load(response)
        except urllib.error.HTTPError as error:
            answer = json.load(error)
        return answer

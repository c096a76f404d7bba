"""The example as its users start it: a process of its own, on a database of its own."""

from __future__ import annotations

import http.cookiejar
import importlib.util
import os
import subprocess
import sys
import threading
import urllib.parse
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from support import GUARD, free_port

START_GUARD = 3 * GUARD
"""Seconds for a start: all of Django is imported, and checks are run."""

MANAGE = Path(__file__).resolve().parents[2] / "example" / "manage.py"


class ExampleServer:
    """A context manager: inside it the example is served.

    Args:
        folder: where the database is, or is made.
        manage: the `manage.py` of the project.
    """

    def __init__(self, folder: Path, manage: Path = MANAGE) -> None:
        self.database = folder / "chat.sqlite3"
        self._manage = manage
        self._address = f"127.0.0.1:{free_port()}"
        self._log: list[str] = []

    @property
    def url(self) -> str:
        """Where the pages are."""
        return f"http://{self._address}"

    @property
    def websocket_url(self) -> str:
        """Where GraphQL is served."""
        return f"ws://{self._address}/graphql/"

    def guest(self, nick: str) -> dict[str, str]:
        """Choose a nick as the page does; return the headers of the browser that did."""
        jar = http.cookiejar.CookieJar()
        browser = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar)
        )
        browser.open(self.url, timeout=GUARD).close()
        token = next(cookie.value or "" for cookie in jar if cookie.name == "csrftoken")
        form = urllib.parse.urlencode({"nick": nick, "csrfmiddlewaretoken": token})
        browser.open(f"{self.url}/enter/guest/", form.encode(), timeout=GUARD).close()
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)
        return {"cookie": cookies, "origin": self.url}

    def manage(self, *arguments: str, **environment: str) -> None:
        """Run a command in another process, until it has ended."""
        command = self._start(*arguments, **environment)
        said, _ = command.communicate(timeout=3 * GUARD)
        if command.returncode:
            raise RuntimeError(f"{arguments} failed:\n{said}")

    def start(self) -> None:
        """Start the server and return when it listens."""
        self._server = self._start("runserver", "--noreload", self._address)
        listens = threading.Event()
        self._reader = threading.Thread(target=self._read, args=[listens])
        self._reader.start()
        if not listens.wait(START_GUARD) or self._server.poll() is not None:
            self.stop()
            raise RuntimeError("The example did not start:\n" + "".join(self._log))

    def stop(self) -> None:
        """End the server; harmless if it has ended."""
        self._server.terminate()
        try:
            self._server.wait(GUARD)
        finally:
            self._server.kill()
            self._reader.join()

    def __enter__(self) -> Self:
        self.manage("migrate", "--noinput")
        self.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(self._manage), *arguments],
            env=_environment(self.database) | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def _read(self, listens: threading.Event) -> None:
        """Keep what the server says: a pipe that nobody reads would stop it."""
        output = self._server.stdout
        assert output is not None
        with output:
            for line in output:
                self._log.append(line)
                if "Listening on TCP address" in line:
                    listens.set()
        listens.set()


def _environment(database: Path) -> dict[str, str]:
    # The server runs the package that is tested, be it installed or a checkout.
    spec = importlib.util.find_spec("channels_graphql_ws")
    assert spec is not None
    assert spec.origin is not None
    # With `PYTHONSAFEPATH` a project would not find its own modules.
    not_its_own = {"DJANGO_SETTINGS_MODULE", "PYTHONSAFEPATH", "REDIS_URL"}
    return {
        **{name: value for name, value in os.environ.items() if name not in not_its_own},
        "EXAMPLE_DATABASE": str(database),
        "PYTHONPATH": str(Path(spec.origin).parents[1]),
        "PYTHONUNBUFFERED": "1",
    }

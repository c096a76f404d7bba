"""Fixtures of the browser tests: the example's real server, Chromium, people in it."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support import GUARD, free_port

if TYPE_CHECKING:
    from playwright.async_api import Browser, ConsoleMessage, Page

Newcomer = Callable[[], Awaitable["Page"]]

MANAGE = Path(__file__).resolve().parents[2] / "example" / "manage.py"
CHROMIUM_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Example:
    """The example on a database of its own: a server that can be stopped and started."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log: list[str] = []

    async def start(self) -> None:
        """Start the server and return when it listens."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *(str(MANAGE), "runserver", "--noreload", f"127.0.0.1:{self.port}"),
            env=_environment(self.database),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        listens = asyncio.Event()
        self._reader = asyncio.create_task(self._read(listens))
        async with asyncio.timeout(GUARD):
            await listens.wait()
        if self._process.returncode is not None or self._reader.done():
            pytest.fail("The server did not start:\n" + "".join(self.log))

    async def stop(self) -> None:
        """End the server; harmless if it has ended."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            async with asyncio.timeout(GUARD):
                await self._process.wait()
        finally:
            if self._process.returncode is None:
                self._process.kill()
            await self._reader

    def say(self, text: str, name: str = "The house") -> None:
        """Say something from another process, as `manage.py say` does."""
        _manage(self.database, "say", "lobby", text, "--as", name)

    def fill(self, count: int) -> None:
        """Put old messages into the lobby, before those that are there."""
        with closing(sqlite3.connect(self.database)) as connection, connection:
            connection.execute("UPDATE chat_message SET id = id + ?", [count])
            connection.executemany(
                "INSERT INTO chat_message (id, room_id, author_key, author_name, text, sent_at)"
                " VALUES (?, 'lobby', 'house', 'The house', ?, '2026-01-01 12:00:00')",
                [(number, f"Old message {number}") for number in range(1, count + 1)],
            )

    async def _read(self, listens: asyncio.Event) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.log.append(line.decode(errors="replace"))
            if b"Listening on TCP address" in line:
                listens.set()
        listens.set()


@pytest.fixture(scope="session")
def filled_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database as `migrate` leaves it; to be copied, not used."""
    database = tmp_path_factory.mktemp("example") / "filled.sqlite3"
    _manage(database, "migrate", "--noinput")
    return database


@pytest.fixture
async def example(filled_database: Path, tmp_path: Path) -> AsyncIterator[Example]:
    """Serve the example on a database of this test."""
    database = tmp_path / "chat.sqlite3"
    shutil.copy(filled_database, database)
    server = Example(database)
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Start Chromium."""
    from playwright.async_api import async_playwright, expect  # noqa: PLC0415 (optional)

    executable = _chromium()
    expect.set_options(timeout=GUARD * 1000)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=executable, args=CHROMIUM_ARGUMENTS
        )
        yield chromium
        await chromium.close()


@pytest.fixture
async def visitor(browser: Browser, example: Example) -> AsyncIterator[Newcomer]:
    """Open the chat in a window of its own, for somebody without a name.

    Whatever goes wrong in a page, caught by nobody, fails the test.
    """
    problems: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        # A refused connection is reported too, and is what some tests are about.
        if message.type == "error" and "WebSocket" not in message.text:
            problems.append(message.text)

    async def come() -> Page:
        context = await browser.new_context()
        page = await context.new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(example.url)
        return page

    yield come
    assert problems == []


@pytest.fixture
def guest(visitor: Newcomer) -> Newcomer:
    """Open the chat for a guest who goes by the name of Owl."""

    async def come() -> Page:
        page = await visitor()
        await page.get_by_label("Join in as").fill("Owl")
        await page.get_by_role("button", name="Join").click()
        return page

    return come


@pytest.fixture
def member(visitor: Newcomer) -> Newcomer:
    """Open the chat for Ada, who has an account."""

    async def come() -> Page:
        page = await visitor()
        await page.get_by_role("link", name="Sign in").first.click()
        await page.get_by_label("Username").fill("ada")
        await page.get_by_label("Password").fill("lovelace")
        await page.get_by_role("button", name="Sign in").click()
        return page

    return come


def _chromium() -> str:
    names = ("chromium", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if found:
        return found
    reason = "no Chromium: neither CHROMIUM is set nor chromium or google-chrome on the path"
    if os.environ.get("CI_BROWSER_REQUIRED") == "1":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def _manage(database: Path, *arguments: str) -> None:
    command = [sys.executable, str(MANAGE), *arguments]
    done = subprocess.run(
        command,
        env=_environment(database),
        capture_output=True,
        text=True,
        check=False,
        timeout=3 * GUARD,
    )
    if done.returncode:
        pytest.fail(f"{arguments} failed:\n{done.stdout}{done.stderr}")


def _environment(database: Path) -> dict[str, str]:
    # The server runs the package that is tested, be it installed or a checkout.
    spec = importlib.util.find_spec("channels_graphql_ws")
    assert spec is not None
    assert spec.origin is not None
    return {
        **{name: value for name, value in os.environ.items() if name != "REDIS_URL"},
        "EXAMPLE_DATABASE": str(database),
        "PYTHONPATH": str(Path(spec.origin).parents[1]),
        "PYTHONUNBUFFERED": "1",
    }

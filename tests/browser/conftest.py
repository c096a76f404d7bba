"""Fixtures of the browser tests: the example's real server, Chromium, people in it."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from example_server import ExampleServer
from support import GUARD

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page

NewContext = Callable[[], Awaitable["BrowserContext"]]
Newcomer = Callable[[], Awaitable["Page"]]

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


class Example(ExampleServer):
    """The example on a database of its own: a server that can be stopped and started.

    Starting and stopping block: the browser has a process of its own, and goes on.
    """

    def say(self, text: str, name: str = "The house") -> None:
        """Say something from another process, as `manage.py say` does."""
        self.manage("say", "lobby", text, "--as", name)

    def kill(self) -> None:
        """End the server as a crash would: nobody is told."""
        self._server.kill()
        self.stop()

    def keep(self, room: str, count: int) -> None:
        """Put new messages into a room without telling anybody, as if said meanwhile."""
        with closing(self._connect()) as connection, connection:
            connection.executemany(
                "INSERT INTO chat_message (room_id, author_key, author_name, text, sent_at)"
                " VALUES (?, 'house', 'The house', ?, '2026-01-02 12:00:00')",
                [(room, f"Meanwhile {number}") for number in range(1, count + 1)],
            )

    def texts(self, room: str) -> list[str]:
        """Return what was said in a room, oldest first."""
        with closing(self._connect()) as connection:
            rows = connection.execute(
                "SELECT text FROM chat_message WHERE room_id = ? ORDER BY id", [room]
            )
            return [text for (text,) in rows]

    def fill(self, count: int) -> None:
        """Put old messages into the lobby, before those that are there."""
        with closing(self._connect()) as connection, connection:
            connection.execute("UPDATE chat_message SET id = id + ?", [count])
            connection.executemany(
                "INSERT INTO chat_message (id, room_id, author_key, author_name, text, sent_at)"
                " VALUES (?, 'lobby', 'house', 'The house', ?, '2026-01-01 12:00:00')",
                [(number, f"Old message {number}") for number in range(1, count + 1)],
            )

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.database, timeout=GUARD)


@pytest.fixture(scope="session")
def filled_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database as `migrate` leaves it; to be copied, not used."""
    server = Example(tmp_path_factory.mktemp("example"))
    server.manage("migrate", "--noinput")
    return server.database


@pytest.fixture
def example(filled_database: Path, tmp_path: Path) -> Iterator[Example]:
    """Serve the example on a database of this test."""
    server = Example(tmp_path)
    shutil.copy(filled_database, server.database)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Start Chromium."""
    from playwright.async_api import async_playwright, expect  # noqa: PLC0415 (optional)

    executable = _chromium()
    expect.set_options(timeout=GUARD * 1000)
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(
            executable_path=executable, args=CHROMIUM_ARGUMENTS, timeout=GUARD * 1000
        )
        yield chromium
        await chromium.close()


@pytest.fixture
def new_context(browser: Browser) -> NewContext:
    """Make a window with cookies of its own, in which each step may take as long as any wait."""

    async def make() -> BrowserContext:
        context = await browser.new_context()
        context.set_default_timeout(GUARD * 1000)
        return context

    return make


@pytest.fixture
async def visitor(new_context: NewContext, example: Example) -> AsyncIterator[Newcomer]:
    """Open the chat in a window of its own, for somebody without a name.

    Whatever goes wrong in a page, caught by nobody, fails the test.
    """
    problems: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        # A refused connection is reported too, and is what some tests are about. A server that
        # is about to end answers 503 to streams.
        expected = ("WebSocket", "net::ERR_", "status of 4", "status of 503")
        if message.type == "error" and not any(each in message.text for each in expected):
            problems.append(message.text)

    async def come() -> Page:
        page = await (await new_context()).new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: problems.append(str(error)))
        await page.goto(example.url)
        return page

    yield come
    assert problems == []


@pytest.fixture
def guest(visitor: Newcomer) -> Newcomer:
    """Open the chat for a guest who goes by the name of Owl, until it is live."""
    from chat_page import expect_live  # noqa: PLC0415 (needs playwright, which is optional)

    async def come() -> Page:
        page = await visitor()
        await page.get_by_label("Join in as").fill("Owl")
        await page.get_by_role("button", name="Join").click()
        await expect_live(page, name="Owl")
        return page

    return come


@pytest.fixture
def member(visitor: Newcomer) -> Newcomer:
    """Open the chat for Ada, who has an account, until it is live."""
    from chat_page import expect_live  # noqa: PLC0415 (needs playwright, which is optional)

    async def come() -> Page:
        page = await visitor()
        await page.get_by_role("link", name="Sign in").first.click()
        await page.get_by_label("Username").fill("ada")
        await page.get_by_label("Password").fill("lovelace")
        await page.get_by_role("button", name="Sign in").click()
        await expect_live(page, name="Ada")
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

"""The project to begin with, `example/start_here`, in a real browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

if os.environ.get("CI_BROWSER_REQUIRED") != "1":
    pytest.importorskip("playwright.async_api", reason="playwright is not installed")

from playwright.async_api import Page, expect

from example_server import ExampleServer
from pages import ROOT
from screenshots import keep_screenshot

pytestmark = pytest.mark.browser


SAY_WHEN_IT_LISTENS = """
LOGGING = {
    "version": 1,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"daphne.server": {"handlers": ["console"], "level": "INFO"}},
}
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[ExampleServer]:
    """Serve a copy of the project, with a user."""
    folder = shutil.copytree(ROOT / "example" / "start_here", tmp_path / "mysite")
    with (folder / "mysite" / "settings.py").open("a") as settings:
        settings.write(SAY_WHEN_IT_LISTENS)
    server = ExampleServer(tmp_path, manage=folder / "manage.py")
    server.manage("migrate", "--noinput")
    ada = ("--username", "ada", "--email", "ada@example.com")
    server.manage("createsuperuser", "--noinput", *ada, DJANGO_SUPERUSER_PASSWORD="lovelace")  # noqa: S106 (of this test)
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def ada(new_context, site: ExampleServer) -> AsyncIterator[Page]:
    """Log in as Ada."""
    page = await (await new_context()).new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    await page.goto(site.url)
    await page.get_by_role("link", name="Log in").click()
    await page.get_by_label("Username").fill("ada")
    await page.get_by_label("Password").fill("lovelace")
    await page.get_by_role("button", name="Log in").click()
    await expect(page.get_by_role("status")).to_have_text("Live")
    yield page
    assert problems == []


@pytest.fixture
async def visitor(new_context, site: ExampleServer) -> Page:
    """Come without a name."""
    page = await (await new_context()).new_page()
    await page.goto(site.url)
    await expect(page.get_by_role("status")).to_have_text("Live")
    return page


async def say(page: Page, text: str) -> None:
    """Write a message and send it."""
    await page.get_by_label("Your message").fill(text)
    await page.get_by_role("button", name="Send").click()


async def test_a_message_arrives_in_another_window(ada, visitor, tmp_path: Path):
    await say(ada, "Milk or <b>lemon</b>?")
    for page in (ada, visitor):
        await expect(page.get_by_role("listitem")).to_have_text(["ada: Milk or <b>lemon</b>?"])
    await keep_screenshot(ada, tmp_path / "start-here.png")


async def test_it_goes_on_after_a_restart_of_the_server(ada, visitor, site):
    await say(ada, "Before")
    await expect(visitor.get_by_role("listitem")).to_have_count(1)
    site.stop()
    for page in (ada, visitor):
        await expect(page.get_by_role("status")).to_have_text("Connecting again…")
    site.start()
    await expect(ada.get_by_role("status")).to_have_text("Live")
    await say(ada, "After")
    await expect(visitor.get_by_role("listitem")).to_have_text(["ada: Before", "ada: After"])

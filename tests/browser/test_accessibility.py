"""The example's pages, looked at by axe-core: no serious finding, by day and by night."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

if os.environ.get("CI_BROWSER_REQUIRED") != "1":
    pytest.importorskip("playwright.async_api", reason="playwright is not installed")
    pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed")

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from chat_page import expect_message, say
from graphiql_page import expect_ready
from screenshots import keep_screenshot

pytestmark = pytest.mark.browser

PHONE = {"width": 390, "height": 844}
NOT_OURS = (".monaco-editor", ".graphiql-tab")
"""GraphiQL's editors, whose colours are Monaco's, and its tabs, which contain buttons."""


@pytest.fixture(params=["light", "dark"])
async def looked_at(request, member) -> AsyncIterator[Page]:
    """Come in as Ada, in one of the two colour schemes."""
    page = await member()
    await page.emulate_media(color_scheme=request.param, reduced_motion="reduce")
    yield page
    assert await findings(page) == []


async def findings(page: Page) -> list[str]:
    """Return the serious findings of axe-core, each with the elements that it is about."""
    results = await Axe().run(page, context={"exclude": [[each] for each in NOT_OURS]})
    return [
        f"{each['id']}: {each['help']}: {[node['html'][:200] for node in each['nodes']]}"
        for each in results.response["violations"]
        if each["impact"] in {"serious", "critical"}
    ]


async def test_the_chat(looked_at, tmp_path: Path):
    await say(looked_at, "See https://example.com/ for more.")
    await expect_message(looked_at, "https://example.com/")
    await keep_screenshot(looked_at, tmp_path / "chat.png")


async def test_the_chat_on_a_phone(looked_at, tmp_path: Path):
    await looked_at.set_viewport_size(PHONE)
    await keep_screenshot(looked_at, tmp_path / "phone.png")


async def test_the_messages_on_the_wire(looked_at, tmp_path: Path):
    await looked_at.get_by_role("button", name="How this page works").click()
    await say(looked_at, "Watch this")
    # The answer and the event: what comes meanwhile would move what is clicked on.
    answers = looked_at.locator("#frames li", has_text="Received: next")
    heard = answers.filter(has_text="Watch this")
    await expect(heard).to_have_count(2)
    await heard.first.locator("summary").click()
    await keep_screenshot(looked_at, tmp_path / "wire.png")


async def test_the_chat_while_the_server_is_away(looked_at, example, tmp_path: Path):
    example.stop()
    await expect(looked_at.locator("#offline")).to_be_visible()
    await keep_screenshot(looked_at, tmp_path / "away.png")


@pytest.mark.parametrize("path", ["/wall/", "/how/", "/register/", "/graphql/"])
async def test_the_other_pages(looked_at, example, path, tmp_path: Path):
    await looked_at.goto(f"{example.url}{path}")
    if path == "/wall/":
        await expect_message(looked_at, "Only a nick. Everybody is welcome in the lobby.")
        await expect(looked_at.locator("#clock")).not_to_be_empty()
    if path == "/graphql/":
        await expect_ready(looked_at)
    await keep_screenshot(looked_at, tmp_path / "page.png")


async def test_the_door(visitor, example, tmp_path: Path):
    page = await visitor()
    await page.get_by_role("link", name="Sign in").first.click()
    await page.get_by_role("button", name="Sign in").click()
    await keep_screenshot(page, tmp_path / "door.png")
    assert await findings(page) == []

"""What people do in the page of the example, and what they see there."""

from __future__ import annotations

from playwright.async_api import Page, expect


async def say(page: Page, text: str) -> None:
    """Write a message and send it."""
    await page.get_by_label("Your message").fill(text)
    await page.get_by_label("Your message").press("Enter")


async def expect_lost(page: Page) -> None:
    """Wait until the page has seen that the server is away: only then "Live" is news."""
    await expect(page.locator("#status")).to_have_text("Reconnecting…")


async def expect_message(page: Page, text: str) -> None:
    """Wait for the message; it is there once, and nothing is on its way any more."""
    await expect(page.get_by_role("log").get_by_text(text, exact=True)).to_have_count(1)


async def expect_live(page: Page, *, name: str | None = None) -> None:
    """Wait until the lamp is green and the conversation is there.

    Args:
        page: the chat.
        name: of the person whose page is to come; the one before may be live too.
    """
    if name is not None:
        await expect(page.locator(".self strong")).to_have_text(name)
    await expect(page.locator("#status")).to_have_text("Live")
    await expect_message(page, "Only a nick. Everybody is welcome in the lobby.")

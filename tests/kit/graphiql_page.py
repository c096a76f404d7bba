"""What people do in the page of GraphiQL, and what they see there."""

from __future__ import annotations

from playwright.async_api import Page, expect

from support import GUARD


async def expect_ready(page: Page) -> None:
    """Wait until the editors are there and the schema has come."""
    await expect(page.get_by_role("button", name="Execute query")).to_be_visible()
    await expect(page.locator(".graphiql-query-editor .view-line")).not_to_have_count(0)
    # It is disabled while the schema is on its way, which has begun before there are editors.
    await expect(page.get_by_role("button", name="Re-fetch GraphQL schema")).to_be_enabled()


async def run(page: Page) -> None:
    """Press the button that runs the document, once what ran before has ended."""
    await page.get_by_role("button", name="Execute query").click()


async def stop(page: Page) -> None:
    """Press the button that stops what runs."""
    await page.get_by_role("button", name="Stop query").click()


async def expect_response(page: Page, *texts: str) -> None:
    """Wait until all of it stands in the response, however the editor wraps its lines."""
    for text in texts:
        await page.wait_for_function(
            "text => globalThis.__MONACO?.editor.getModels().some(each =>"
            " each.uri.path.endsWith('response.json') && each.getValue().includes(text))",
            arg=text,
            timeout=GUARD * 1000,
        )

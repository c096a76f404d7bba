"""Screenshots, for people who want to see what a test has seen."""

from __future__ import annotations

import contextlib
from pathlib import Path

from playwright.async_api import Page
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

PATIENCE = 10_000
"""Milliseconds."""


async def keep_screenshot(page: Page, path: Path) -> None:
    """Take a screenshot; no test fails because the browser is too busy for one."""
    with contextlib.suppress(PlaywrightTimeoutError):
        await page.screenshot(path=path, timeout=PATIENCE)

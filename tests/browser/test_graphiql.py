"""GraphiQL in a real browser, under the policy that it says it can live with."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

if os.environ.get("CI_BROWSER_REQUIRED") != "1":
    pytest.importorskip("playwright.async_api", reason="playwright is not installed")

from playwright.async_api import ConsoleMessage, Page, expect

from support import GUARD, free_port

pytestmark = pytest.mark.browser

SERVER = Path(__file__).with_name("graphiql_server.py")
HEAR = "subscription { said { text token } }"
SAY = 'mutation { say(text: "Good evening") { ok } }'

CONSUMER = "a consumer, with files of its own"
VIEW = "a view, with collected static files"
only_consumer = pytest.mark.parametrize("project", [CONSUMER], indirect=True)
only_view = pytest.mark.parametrize("project", [VIEW], indirect=True)

Opener = Callable[[str], Awaitable[Page]]


class Project:
    """The server of `graphiql_server.py`: it can be stopped and started."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._port = free_port()
        self.host = f"127.0.0.1:{self._port}"
        self.log: list[str] = []

    async def start(self) -> None:
        spec = importlib.util.find_spec("channels_graphql_ws")
        assert spec is not None
        assert spec.origin is not None
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(SERVER), str(self._port), *self._arguments),
            env={**os.environ, "PYTHONPATH": str(Path(spec.origin).parents[1])},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        listens = asyncio.Event()
        self._reader = asyncio.create_task(self._read(listens))
        async with asyncio.timeout(GUARD):
            await listens.wait()
        if self._reader.done():
            pytest.fail("The server did not start:\n" + "".join(self.log))

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reader

    async def _read(self, listens: asyncio.Event) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.log.append(line.decode(errors="replace"))
            if b"Uvicorn running" in line:
                listens.set()
        listens.set()


@pytest.fixture(params=[CONSUMER, VIEW])
async def project(request, tmp_path: Path) -> AsyncIterator[Project]:
    """Serve the page and its files in both ways."""
    server = Project(*([str(tmp_path / "static")] if request.param == VIEW else []))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def opened(browser, project: Project) -> AsyncIterator[Opener]:
    """Open GraphiQL with a document; nothing may go wrong, nothing may be fetched elsewhere."""
    context = await browser.new_context()
    problems: list[str] = []
    requests: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        # What a browser says of any refusal, and of a server that is away.
        expected = ("WebSocket connection to", "status of 403", "ERR_CONNECTION_REFUSED")
        if message.type in {"error", "warning"} and not any(
            words in message.text for words in expected
        ):
            problems.append(message.text)

    async def come(document: str) -> Page:
        page = await context.new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.on("websocket", lambda socket: requests.append(socket.url))
        query = urlencode({"query": document}, quote_via=quote)
        await page.goto(f"http://{project.host}/graphql/#{query}")
        await expect(page.get_by_role("button", name="Execute query")).to_be_visible()
        await expect(page.locator(".graphiql-query-editor .view-line")).not_to_have_count(0)
        return page

    yield come
    await context.close()
    assert problems == []
    homes = (f"http://{project.host}/", f"ws://{project.host}/")
    assert [each for each in requests if not each.startswith(homes)] == []


async def execute(page: Page) -> None:
    """Press the button, be it to run or to stop."""
    await page.locator(".graphiql-execute-button").click()


async def set_headers(page: Page, headers: dict[str, str]) -> None:
    """Write into the Headers tab, over what is there."""
    await page.get_by_role("button", name="Headers").click()
    editor = page.locator('.monaco-editor[data-uri$="headers.json"]')
    # To type it would mean to fight with the brackets which the editor closes.
    await editor.evaluate(
        "(node, text) => globalThis.__MONACO.editor.getModels()"
        ".find(each => each.uri.toString() === node.dataset.uri).setValue(text)",
        json.dumps(headers),
    )
    await expect(editor).to_contain_text(json.dumps(headers))


async def expect_response(page: Page, *texts: str) -> None:
    """Wait until all of it stands in the response."""
    for text in texts:
        await expect(page.locator(".graphiql-response")).to_contain_text(text)


def sockets_of(page: Page) -> list[str]:
    """Give a list that grows with every WebSocket which the page opens."""
    urls: list[str] = []
    page.on("websocket", lambda socket: urls.append(socket.url))
    return urls


async def all_workers(page: Page) -> None:
    """Wait until the page needs no more of the server than its answers."""
    kinds = {"editor.worker.js", "graphql.worker.js", "json.worker.js"}
    while not all(any(kind in each.url for each in page.workers) for kind in kinds):
        await page.wait_for_event("worker", timeout=GUARD * 1000)
    for worker in page.workers:
        await worker.evaluate("1")


async def test_a_subscriber_sees_what_is_mutated_in_another_tab(opened, tmp_path: Path):
    hearing, saying = await opened(HEAR), await opened(SAY)
    await execute(hearing)
    await expect(hearing.get_by_role("status")).to_have_text("Live, 0 events")
    await execute(saying)
    await expect_response(saying, '"ok": true')
    await expect_response(hearing, '"text": "Good evening"')
    await expect(hearing.get_by_role("status")).to_have_text("Live, 1 event")
    await hearing.screenshot(path=tmp_path / "hearing.png")
    await execute(hearing)
    await expect(hearing.get_by_role("status")).to_have_count(0)


async def test_the_schema_is_there_to_be_read(opened, tmp_path: Path):
    page = await opened("{ hello }")
    await page.get_by_role("button", name="Show Documentation Explorer").click()
    await expect(page.locator(".graphiql-plugin")).to_contain_text("mutation: Mutation")
    await page.screenshot(path=tmp_path / "schema.png")
    await execute(page)
    await expect_response(page, '"hello": "Hello, you!"')


@only_consumer
async def test_a_description_in_the_editor_brings_no_elements_of_its_own(opened, tmp_path: Path):
    page = await opened("{ hello }")
    await page.locator(".graphiql-query-editor .view-line span", has_text="hello").last.hover()
    hover = page.locator(".monaco-hover", has_text="Says")
    await expect(hover).to_contain_text("Says hello. a link")
    await page.screenshot(path=tmp_path / "hover.png")
    await expect(hover.locator("a, b, iframe, img")).to_have_count(0)


@only_consumer
async def test_a_confirmation_is_shown_but_is_no_event(opened, tmp_path: Path):
    page = await opened(HEAR)
    await execute(page)
    await expect_response(page, '"data": null')
    await expect(page.get_by_role("status")).to_have_text("Live, 0 events")
    await page.screenshot(path=tmp_path / "confirmed.png")


@only_consumer
async def test_the_headers_tab_becomes_the_connection_params(opened):
    hearing, saying = await opened(HEAR), await opened(SAY)
    sockets = sockets_of(hearing)
    for token in ("first", "second"):
        await set_headers(hearing, {"Authorization": token})
        await execute(hearing)
        await expect(hearing.get_by_role("status")).to_have_text("Live, 0 events")
        await execute(saying)
        await expect_response(hearing, f'"token": "{token}"')
        await execute(hearing)
    assert len(sockets) == 2


@only_consumer
async def test_subscriptions_with_the_same_headers_share_a_socket(opened):
    page = await opened(HEAR)
    sockets = sockets_of(page)
    for _ in range(3):
        await execute(page)
        await expect(page.get_by_role("status")).to_have_text("Live, 0 events")
        await execute(page)
        await expect(page.get_by_role("status")).to_have_count(0)
    assert len(sockets) == 1


@only_consumer
async def test_a_refused_connection_says_why(opened):
    page = await opened(HEAR)
    await set_headers(page, {"Authorization": "wrong"})
    await execute(page)
    await expect_response(page, "The server refused the connection: Forbidden", '"code": 4403')
    await expect(page.get_by_role("status")).to_have_count(0)
    await set_headers(page, {"Authorization": "right"})
    await execute(page)
    await expect(page.get_by_role("status")).to_have_text("Live, 0 events")


@only_consumer
async def test_an_invalid_subscription_shows_its_errors(opened):
    page = await opened("subscription { said { shouted } }")
    await execute(page)
    await expect_response(page, "Cannot query field 'shouted'")


@only_view
async def test_a_refused_post_says_what_the_server_said(opened):
    page = await opened(SAY)
    await page.context.clear_cookies()
    await execute(page)
    await expect_response(page, "The server answered 403 Forbidden", "CSRF verification failed")


@only_consumer
async def test_a_subscription_survives_a_restart_of_the_server(opened, project):
    hearing = await opened(HEAR)
    await execute(hearing)
    await expect(hearing.get_by_role("status")).to_have_text("Live, 0 events")
    await all_workers(hearing)
    await project.stop()
    await expect(hearing.get_by_role("status")).to_have_text(
        "The connection is lost, trying again…"
    )
    await project.start()
    await expect(hearing.get_by_role("status")).to_have_text("Live, 0 events")
    saying = await opened(SAY)
    await execute(saying)
    await expect_response(hearing, '"text": "Good evening"')

"""GraphiQL in a real browser, under the policy that it says it can live with."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import itertools
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

if os.environ.get("CI_BROWSER_REQUIRED") != "1":
    pytest.importorskip("playwright.async_api", reason="playwright is not installed")

import aiohttp
from playwright.async_api import ConsoleMessage, Locator, Page, Route, WebSocketRoute, expect
from playwright.async_api import Error as PlaywrightError
from playwright.async_api import TimeoutError as PlaywrightTimeoutError

from graphiql_page import expect_ready, expect_response, run, stop
from screenshots import keep_screenshot
from support import GUARD, free_port

pytestmark = pytest.mark.browser

# Milliseconds; Monaco waits 300 before it asks for what it shows.
HOVER_DELAY = 3_000

# Seconds; all of Django is imported, and static files may be collected.
START_GUARD = 3 * GUARD

SERVER = Path(__file__).with_name("graphiql_server.py")
HEAR = "subscription { said { text token } }"
SAY = 'mutation { say(text: "Good evening") { ok } }'

# The page closes a socket that nobody has used for five seconds, which a busy machine may take.
CLOSES_NO_IDLE_SOCKET = """
    const wait = setTimeout;
    globalThis.setTimeout = (call, delay, ...rest) =>
        wait(call, delay === 5_000 ? 3_600_000 : delay, ...rest);
"""

CONSUMER = "a consumer, with files of its own"
VIEW = "a view, with collected static files"
ONLY_HTTP = "a consumer that nobody has routed WebSockets to"
WSGI = "a view, under WSGI"
only_consumer = pytest.mark.parametrize("project", [CONSUMER], indirect=True)
no_websocket = pytest.mark.parametrize("project", [ONLY_HTTP, WSGI], indirect=True)
only_view = pytest.mark.parametrize("project", [VIEW], indirect=True)

Opener = Callable[..., Awaitable[Page]]
Socket = Callable[[WebSocketRoute], None]


class Project:
    """The server of `graphiql_server.py`: it can be stopped and started."""

    def __init__(self, *arguments: str) -> None:
        self.arguments = arguments
        self._port = free_port()
        self.host = f"127.0.0.1:{self._port}"
        self.log: list[str] = []

    async def start(self) -> None:
        spec = importlib.util.find_spec("channels_graphql_ws")
        assert spec is not None
        assert spec.origin is not None
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(SERVER), str(self._port), *self.arguments),
            env={**os.environ, "PYTHONPATH": str(Path(spec.origin).parents[1])},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        listens = asyncio.Event()
        self._reader = asyncio.create_task(self._read(listens))
        async with asyncio.timeout(START_GUARD):
            await listens.wait()
        if self._reader.done():
            pytest.fail("The server did not start:\n" + "".join(self.log))

    async def has_subscriber(self) -> None:
        """Wait until a broadcast would reach somebody."""
        url = f"http://{self.host}/graphql/?query={{subscribers}}"
        headers = {"Accept": "application/json"}
        async with asyncio.timeout(GUARD), aiohttp.ClientSession(headers=headers) as session:
            while True:
                async with session.get(url) as response:
                    if (await response.json())["data"]["subscribers"]:
                        return

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        await self._reader

    async def _read(self, listens: asyncio.Event) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.log.append(line.decode(errors="replace"))
            if b"Uvicorn running" in line or b"Listening" in line:
                listens.set()
        listens.set()


@pytest.fixture(params=[CONSUMER, VIEW])
async def project(request, tmp_path: Path) -> AsyncIterator[Project]:
    """Serve the page and its files in both ways."""
    static = ["--static", str(tmp_path / "static")]
    arguments = {VIEW: static, ONLY_HTTP: ["--http"], WSGI: [*static, "--wsgi"]}
    server = Project(*arguments.get(request.param, []))
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def opened(new_context, project: Project) -> AsyncIterator[Opener]:
    """Open GraphiQL with a document; nothing may go wrong, nothing may be fetched elsewhere."""
    context = await new_context()
    problems: list[str] = []
    requests: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        # What a browser says of any refusal, and of a server that is away.
        expected = ("WebSocket connection to", "status of 403", "net::ERR_")
        if message.type in {"error", "warning"} and not any(
            words in message.text for words in expected
        ):
            problems.append(message.text)

    async def come(
        document: str,
        *,
        subscription_endpoint: str | None = None,
        sockets: list[Socket] = (),
        script: str = "",
    ) -> Page:
        page = await context.new_page()
        if script:
            await page.add_init_script(script)
        if subscription_endpoint is not None:
            await change_settings(page, {"subscriptionEndpoint": subscription_endpoint})
        if sockets:
            await page.route_web_socket("**/graphql/", one_after_the_other(sockets))
        page.on("console", listen)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.on("websocket", lambda socket: requests.append(socket.url))
        query = urlencode({"query": document}, quote_via=quote)
        await page.goto(f"http://{project.host}/graphql/#{query}")
        await expect_ready(page)
        return page

    yield come
    await context.close()
    assert problems == []
    homes = (f"http://{project.host}/", f"ws://{project.host}/")
    assert [each for each in requests if not each.startswith(homes)] == []


async def change_settings(page: Page, changes: dict[str, str]) -> None:
    """Change what the server has written into the page for its script."""

    async def answer(route: Route) -> None:
        if route.request.resource_type != "document":
            await route.continue_()
            return
        response = await route.fetch(timeout=GUARD * 1000)
        text = await response.text()
        pattern = r'(?<=id="graphiql-config" type="application/json">)[^<]*'
        settings = json.loads(re.search(pattern, text)[0])
        changed = json.dumps(settings | changes)
        await route.fulfill(response=response, body=re.sub(pattern, lambda _: changed, text))

    await page.route("**/graphql/", answer)


def one_after_the_other(sockets: list[Socket]) -> Socket:
    """Make a server that serves each WebSocket as the next of these does."""
    left = iter(sockets)

    def serve(socket: WebSocketRoute) -> None:
        next(left)(socket)

    return serve


def accept_then_close(code: int) -> Socket:
    """Make a server that acknowledges a connection, and closes it at its first subscription."""

    def serve(socket: WebSocketRoute) -> None:
        async def receive(message: str) -> None:
            if json.loads(message)["type"] == "connection_init":
                socket.send('{"type": "connection_ack"}')
            else:
                await socket.close(code=code)

        socket.on_message(receive)

    return serve


def accept_then_tell() -> Socket:
    """Make a server that acknowledges a connection, and sends an event for each subscription."""

    def serve(socket: WebSocketRoute) -> None:
        def receive(text: str) -> None:
            message = json.loads(text)
            if message["type"] == "connection_init":
                socket.send('{"type": "connection_ack"}')
            elif message["type"] == "subscribe":
                event = {"data": {"said": {"text": "Here again", "token": None}}}
                socket.send(json.dumps({"type": "next", "id": message["id"], "payload": event}))

        socket.on_message(receive)

    return serve


def refuse(code: int, reason: str) -> Socket:
    """Make a server that refuses whoever says `connection_init`."""

    def serve(socket: WebSocketRoute) -> None:
        async def receive(_: str) -> None:
            await socket.close(code=code, reason=reason)

        socket.on_message(receive)

    return serve


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


async def go_live(page: Page, project: Project) -> None:
    """Run a subscription, until a broadcast would reach it."""
    await run(page)
    await expect_live(page, project)


async def expect_live(page: Page, project: Project) -> None:
    """Wait until a broadcast would reach the page: it shows the state of its connection."""
    await expect(page.get_by_role("status")).to_have_text("Live, 0 events")
    await project.has_subscriber()


def sockets_of(page: Page) -> list[str]:
    """Give a list that grows with every WebSocket which the page opens."""
    urls: list[str] = []
    page.on("websocket", lambda socket: urls.append(socket.url))
    return urls


async def point_at(word: Locator, *, until: Locator) -> None:
    """Point at one letter of a word after another until the editor tells what it knows of it.

    While its worker does not know the schema it shows nothing; and it asks again only when the
    mouse has moved to another letter.
    """
    async with asyncio.timeout(2 * GUARD):
        for attempt in itertools.count():
            # Longer each time, as to move on would begin anew what a busy machine has not ended.
            patience = HOVER_DELAY * (attempt + 1)
            with contextlib.suppress(PlaywrightTimeoutError):
                box = await word.bounding_box(timeout=patience)
                if box is None:
                    # Drawn anew at this moment.
                    continue
                place = {"x": box["width"] * (attempt % 5 + 0.5) / 5, "y": box["height"] / 2}
                await word.hover(position=place, timeout=patience)
                await until.wait_for(timeout=patience)
                return


async def all_workers(page: Page) -> None:
    """Wait until the page needs no more of the server than its answers."""
    kinds = {"editor.worker.js", "graphql.worker.js", "json.worker.js"}
    async with asyncio.timeout(GUARD):
        while True:
            workers = list(page.workers)
            # One may be replaced meanwhile: that of GraphQL is when the schema has come.
            with contextlib.suppress(PlaywrightError):
                for worker in workers:
                    await worker.evaluate("1")
                if all(any(kind in each.url for each in workers) for kind in kinds):
                    return
            await page.evaluate("new Promise(requestAnimationFrame)")


async def test_a_subscriber_sees_what_is_mutated_in_another_tab(opened, project, tmp_path: Path):
    hearing, saying = await opened(HEAR), await opened(SAY)
    await go_live(hearing, project)
    await run(saying)
    await expect_response(saying, '"ok": true')
    await expect_response(hearing, '"text": "Good evening"')
    await expect(hearing.get_by_role("status")).to_have_text("Live, 1 event")
    await keep_screenshot(hearing, tmp_path / "hearing.png")
    await stop(hearing)
    await expect(hearing.get_by_role("status")).to_have_count(0)


async def test_the_schema_is_there_to_be_read(opened, tmp_path: Path):
    page = await opened("{ hello }")
    await page.get_by_role("button", name="Show Documentation Explorer").click()
    await expect(page.locator(".graphiql-plugin")).to_contain_text("mutation: Mutation")
    await keep_screenshot(page, tmp_path / "schema.png")
    await run(page)
    await expect_response(page, '"hello": "Hello, you!"')


@only_consumer
async def test_a_path_that_looks_like_a_host_is_not_taken_for_one(opened, project):
    page = await opened("{ hello }")
    place = f"http://{project.host}//other.example/graphql/"

    async def answer(route: Route) -> None:
        # Whatever the path begins with, the project may serve it.
        url = route.request.url.replace("//other.example/", "/")
        await route.fulfill(response=await route.fetch(url=url, timeout=GUARD * 1000))

    await page.route(re.compile(re.escape(place)), answer)
    await page.goto(f"{place}#{urlencode({'query': '{ hello }'})}")
    await expect_ready(page)
    async with page.expect_request(lambda request: request.method == "POST") as asked:
        await run(page)
    assert (await asked.value).url == place
    await expect_response(page, '"hello": "Hello, you!"')


@only_consumer
async def test_a_description_in_the_editor_brings_no_elements_of_its_own(opened, tmp_path: Path):
    page = await opened("{ hello }")
    hover = page.locator(".monaco-hover", has_text="Says hello. a link")
    word = page.locator(".graphiql-query-editor .view-line span", has_text="hello").last
    await point_at(word, until=hover)
    await expect(hover.locator("a, b, iframe, img")).to_have_count(0)
    await keep_screenshot(page, tmp_path / "hover.png")


@only_consumer
async def test_a_confirmation_is_shown_but_is_no_event(opened, tmp_path: Path):
    page = await opened(HEAR)
    await run(page)
    await expect_response(page, '"data": null')
    await expect(page.get_by_role("status")).to_have_text("Live, 0 events")
    await keep_screenshot(page, tmp_path / "confirmed.png")


@only_consumer
async def test_the_headers_tab_becomes_the_connection_params(opened, project):
    hearing, saying = await opened(HEAR), await opened(SAY)
    sockets = sockets_of(hearing)
    for token in ("first", "second"):
        await set_headers(hearing, {"Authorization": token})
        await go_live(hearing, project)
        await run(saying)
        await expect_response(hearing, f'"token": "{token}"')
        await stop(hearing)
    assert len(sockets) == 2


@only_consumer
async def test_subscriptions_with_the_same_headers_share_a_socket(opened):
    page = await opened(HEAR, script=CLOSES_NO_IDLE_SOCKET)
    sockets = sockets_of(page)
    for _ in range(3):
        await run(page)
        await expect(page.get_by_role("status")).to_have_text("Live, 0 events")
        await stop(page)
        await expect(page.get_by_role("status")).to_have_count(0)
    assert len(sockets) == 1


@only_consumer
async def test_a_refused_connection_says_why(opened):
    page = await opened(HEAR)
    await set_headers(page, {"Authorization": "wrong"})
    await run(page)
    await expect_response(page, "The server refused the connection: Forbidden", '"code": 4403')
    await expect(page.get_by_role("status")).to_have_count(0)
    await set_headers(page, {"Authorization": "right"})
    await run(page)
    await expect(page.get_by_role("status")).to_have_text("Live, 0 events")


@only_consumer
async def test_an_invalid_subscription_shows_its_errors(opened):
    page = await opened("subscription { said { shouted } }")
    await run(page)
    await expect_response(page, "Cannot query field 'shouted'")


@only_view
async def test_a_refused_post_says_what_the_server_said(opened):
    page = await opened(SAY)
    await page.context.clear_cookies()
    await run(page)
    await expect_response(page, "The server answered 403 Forbidden", "CSRF verification failed")


@only_consumer
async def test_a_subscription_survives_a_restart_of_the_server(opened, project):
    hearing = await opened(HEAR)
    await go_live(hearing, project)
    await all_workers(hearing)
    await project.stop()
    await expect(hearing.get_by_role("status")).to_contain_text("The connection is lost")
    await project.start()
    await expect_live(hearing, project)
    saying = await opened(SAY)
    await run(saying)
    await expect_response(hearing, '"text": "Good evening"')


@only_consumer
async def test_a_subscription_survives_an_outage_of_many_attempts(opened, project, tmp_path: Path):
    hearing = await opened(HEAR)
    await go_live(hearing, project)
    await all_workers(hearing)
    for attempt in ("[4-9]", "[3-9]"):
        await project.stop()
        await expect(hearing.get_by_role("status")).to_contain_text(
            re.compile(rf"attempt ({attempt}|\d\d);")
        )
        await keep_screenshot(hearing, tmp_path / "lost.png")
        await project.start()
        await expect_live(hearing, project)
    saying = await opened(SAY)
    await run(saying)
    await expect_response(hearing, '"text": "Good evening"')
    await expect(hearing.get_by_role("status")).to_have_text("Live, 1 event")


@only_consumer
async def test_a_subscription_can_be_stopped_while_the_server_is_away(opened, project):
    hearing = await opened(HEAR)
    await go_live(hearing, project)
    await all_workers(hearing)
    await project.stop()
    await expect(hearing.get_by_role("status")).to_contain_text("The connection is lost")
    await stop(hearing)
    await expect(hearing.get_by_role("status")).to_have_count(0)
    await project.start()
    await run(hearing)
    await expect(hearing.get_by_role("status")).to_have_text("Live, 0 events")


@no_websocket
async def test_a_socket_that_cannot_be_opened_says_what_to_change(opened, project, tmp_path: Path):
    page = await opened(HEAR)
    await run(page)
    await expect_response(page, f"No WebSocket could be opened at ws://{project.host}/graphql/")
    await expect_response(page, "GraphqlProtocolTypeRouter")
    await keep_screenshot(page, tmp_path / "unopened.png")
    if "--wsgi" in project.arguments:
        await expect_response(page, "through WSGI", "daphne", "ASGI_APPLICATION")
    else:
        await expect_response(page, f"origin http://{project.host}", "CSRF_TRUSTED_ORIGINS")
    await expect(page.get_by_role("status")).to_have_count(0)
    await expect(page.get_by_role("button", name="Execute query")).to_be_visible()


@only_consumer
@pytest.mark.parametrize(
    ("endpoint", "explanation"),
    [
        ("http://[", "is not an address"),
        ("ftp://example.com/graphql/", "need a WebSocket"),
    ],
)
async def test_an_address_that_is_not_a_websocket_is_explained(opened, endpoint, explanation):
    page = await opened(HEAR, subscription_endpoint=endpoint)
    await run(page)
    await expect_response(page, explanation, "subscription_endpoint")
    await expect(page.get_by_role("button", name="Execute query")).to_be_visible()
    await expect(page.get_by_role("status")).to_have_count(0)


@only_consumer
async def test_a_client_that_is_refused_after_a_restart_is_told(opened):
    """What a token that has expired meanwhile leads to."""
    page = await opened(HEAR, sockets=[accept_then_close(1012), refuse(4403, "Expired")])
    await run(page)
    await expect_response(page, "refused the connection: Expired", '"code": 4403')
    await expect(page.get_by_role("status")).to_have_count(0)


@only_consumer
@pytest.mark.parametrize("code", [1001, 1006, 1012, 1013, 4408, 4012])
async def test_a_closed_connection_is_opened_again(opened, code):
    page = await opened(HEAR, sockets=[accept_then_close(code), accept_then_tell()])
    await run(page)
    await expect(page.get_by_role("status")).to_have_text("Live, 1 event")


@only_consumer
async def test_past_events_are_listed(opened, project, tmp_path: Path):
    hearing, saying = await opened(HEAR), await opened(SAY)
    await hearing.get_by_role("button", name="Show Past Events").click()
    events = hearing.get_by_role("region", name="Past events")
    await expect(events).to_contain_text("None yet")
    await go_live(hearing, project)
    for count in (1, 2, 3):
        await run(saying)
        await expect(events.get_by_role("listitem")).to_have_count(count)
    await expect(events).to_contain_text('{"said":{"text":"Good evening"')
    await events.locator("time").first.click()
    await expect(events.locator("pre").first).to_contain_text('"text": "Good evening"')
    await keep_screenshot(hearing, tmp_path / "past-events.png")
    await events.get_by_role("button", name="Clear").click()
    await expect(events).to_contain_text("None yet")
    await run(saying)
    await expect(events.get_by_role("listitem")).to_have_count(1)
    await expect(events.get_by_role("listitem")).to_contain_text("4")


@only_consumer
async def test_the_editors_follow_the_system_from_light_to_dark(opened, tmp_path: Path):
    page = await opened(HEAR)
    editors = page.locator(".graphiql-container .monaco-editor")
    for scheme, theme in (("light", "vs"), ("dark", "vs-dark"), ("light", "vs")):
        await page.emulate_media(color_scheme=scheme)
        await expect(editors.first).to_have_class(re.compile(rf"\b{theme}(?!-)"))
        await keep_screenshot(page, tmp_path / f"{scheme}.png")


@only_consumer
async def test_a_theme_that_was_chosen_stays(opened):
    page = await opened(HEAR)
    await page.get_by_role("button", name="Open settings dialog").click()
    await page.get_by_role("button", name="Light").click()
    await page.keyboard.press("Escape")
    await page.emulate_media(color_scheme="dark")
    await expect(page.locator(".monaco-editor").first).to_have_class(re.compile(r"\bvs(?!-)"))


@only_consumer
async def test_a_phone_shows_the_response(opened):
    page = await opened("{ hello }")
    await page.set_viewport_size({"width": 390, "height": 844})
    await run(page)
    await expect_response(page, "Hello, you!")
    box = await page.locator(".graphiql-response").bounding_box()
    assert box is not None
    assert box["width"] > 250
    assert box["x"] + box["width"] <= 390
    assert box["y"] + 100 < 844

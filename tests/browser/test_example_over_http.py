"""What the example does over HTTP, in a real browser: GraphiQL, pictures, the wall."""

from __future__ import annotations

import json
import os
import random
import struct
import zlib
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

if os.environ.get("CI_BROWSER_REQUIRED") != "1":
    pytest.importorskip("playwright.async_api", reason="playwright is not installed")

from playwright.async_api import FilePayload, Locator, Page, expect

from chat_page import expect_live, expect_lost, expect_message, say
from graphiql_page import expect_ready, expect_response, run
from screenshots import keep_screenshot

pytestmark = pytest.mark.browser

LISTEN = 'subscription { onMessage(room: "lobby") { message { author { name } text } } }'
SEND = """
    mutation ($picture: Upload) {
      sendMessage(room: "lobby", text: "Hello from GraphiQL", picture: $picture) { message { id } }
    }
"""
IS_LOADED = "image => image.complete && image.naturalWidth > 0"


def png(side: int, pixels: bytes) -> bytes:
    """Make a picture."""
    rows = [b"\0" + pixels[at : at + 3 * side] for at in range(0, 3 * side * side, 3 * side)]
    size = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", size), (b"IDAT", zlib.compress(b"".join(rows))), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(content))
        + name
        + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def file(name: str, content: bytes) -> FilePayload:
    """Make a file to be chosen, which says that it is a picture."""
    return {"name": name, "mimeType": "image/png", "buffer": content}


GREEN = file("green.png", png(12, b"\x20\x90\x60" * 144))


def form_with(picture: FilePayload) -> dict[str, str | FilePayload]:
    """Make the form that carries a message and its picture."""
    return {
        "operations": json.dumps({"query": SEND, "variables": {"picture": None}}),
        "map": json.dumps({"file": ["variables.picture"]}),
        "file": picture,
    }


async def choose(page: Page, chosen: FilePayload) -> None:
    """Choose the picture for the next message; it is shown before it is sent."""
    await page.get_by_label("Add a picture").last.set_input_files(chosen)
    await expect(page.get_by_role("button", name="Remove the picture")).to_be_visible()


async def expect_picture(place: Locator) -> None:
    """Wait until there is one picture, and until it is painted."""
    await expect(place.locator("img.picture")).to_have_count(1)
    handle = await place.locator("img.picture").element_handle()
    await place.page.wait_for_function(IS_LOADED, arg=handle)


async def open_graphiql(page: Page, url: str, document: str) -> Page:
    """Open GraphiQL in another tab of the same person, until it is ready."""
    tab = await page.context.new_page()
    await tab.goto(f"{url}/graphql/#{urlencode({'query': document}, quote_via=quote)}")
    await expect_ready(tab)
    return tab


async def open_wall(page: Page, url: str) -> None:
    """Go to the wall, and wait until it is live and shows what was said before."""
    await page.goto(f"{url}/wall/")
    await expect(page.locator("#status")).to_have_text("Live")
    await expect_message(page, "Only a nick. Everybody is welcome in the lobby.")


async def test_graphiql_hears_what_is_said_in_a_second_tab(example, guest, tmp_path: Path):
    owl = await guest()
    hearing = await open_graphiql(owl, example.url, LISTEN)
    await run(hearing)
    # The confirmation, which is no event: the subscription is in its group.
    await expect_response(hearing, '"data": null')
    await expect(hearing.get_by_role("status")).to_have_text("Live, 0 events")
    saying = await open_graphiql(owl, example.url, SEND)
    await run(saying)
    await expect_response(saying, '"sendMessage"')
    await expect_response(hearing, '"name": "Owl"', '"text": "Hello from GraphiQL"')
    await keep_screenshot(hearing, tmp_path / "graphiql.png")
    await expect_message(owl, "Hello from GraphiQL")


async def test_graphiql_hears_what_is_said_in_the_chat(example, guest):
    owl = await guest()
    hearing = await open_graphiql(owl, example.url, LISTEN)
    await run(hearing)
    # The confirmation, which is no event: the subscription is in its group.
    await expect_response(hearing, '"data": null')
    await expect(hearing.get_by_role("status")).to_have_text("Live, 0 events")
    await say(owl, "Is anybody listening?")
    await expect_response(hearing, "Is anybody listening?")
    await expect(hearing.get_by_role("status")).to_have_text("Live, 1 event")


async def test_a_clock_with_a_number_of_ticks_stops_by_itself(example, visitor):
    page = await open_graphiql(await visitor(), example.url, "subscription { clock(ticks: 2) }")
    await run(page)
    await expect_response(page, '"clock": "2')
    await expect(page.get_by_role("button", name="Execute query")).to_be_visible()


async def test_the_wall_shows_what_is_said_and_the_time(example, visitor, guest, tmp_path: Path):
    wall, owl = await visitor(), await guest()
    await open_wall(wall, example.url)
    await say(owl, "Can you read this from over there?")
    await expect_message(wall, "Can you read this from over there?")
    await expect(wall.get_by_role("listitem").last).to_contain_text("Owlguest")
    clock = wall.locator("#clock")
    await expect(clock).not_to_be_empty()
    now = await clock.get_attribute("datetime")
    assert now is not None
    await expect(clock).not_to_have_attribute("datetime", now)
    await keep_screenshot(wall, tmp_path / "wall.png")


async def test_the_wall_shows_the_room_that_was_chosen(example, visitor, guest):
    wall, owl = await visitor(), await guest()
    await open_wall(wall, example.url)
    await wall.get_by_role("link", name="Tea kitchen").click()
    await expect_message(wall, "The kettle is on.")
    await expect_live(owl)
    await say(owl, "Said in the lobby")
    await expect_message(owl, "Said in the lobby")
    await owl.get_by_role("link", name="Tea kitchen").click()
    await expect_message(owl, "The kettle is on.")
    await say(owl, "Said in the kitchen")
    await expect_message(wall, "Said in the kitchen")
    await expect(wall.get_by_text("Said in the lobby")).to_have_count(0)


async def test_the_wall_recovers_when_the_server_is_restarted(example, visitor, guest):
    wall, owl = await visitor(), await guest()
    await open_wall(wall, example.url)
    example.stop()
    await expect_lost(wall)
    await expect_lost(owl)
    example.say("Said while nobody could hear it")
    example.start()
    await expect(wall.locator("#status")).to_have_text("Live")
    await expect_message(wall, "Said while nobody could hear it")
    await expect_live(owl)
    await say(owl, "Here we are again")
    await expect_message(wall, "Here we are again")


async def test_a_picture_reaches_the_other_window_and_the_wall(
    example, visitor, member, guest, tmp_path: Path
):
    wall, ada, owl = await visitor(), await member(), await guest()
    await open_wall(wall, example.url)
    await choose(owl, GREEN)
    await say(owl, "As green as this")
    for page in (owl, ada, wall):
        await expect_message(page, "As green as this")
        await expect_picture(page.get_by_role("log"))
    await expect(owl.locator("#outbox article")).to_have_count(0)
    await expect(owl.locator("#preview")).to_be_hidden()
    await keep_screenshot(ada, tmp_path / "picture.png")


async def test_a_picture_needs_no_words_and_is_there_after_a_reload(guest):
    owl = await guest()
    await choose(owl, GREEN)
    await owl.get_by_role("button", name="Send", exact=True).click()
    await expect_picture(owl.get_by_role("log"))
    await owl.reload()
    await expect_live(owl)
    await expect_picture(owl.get_by_role("log"))


async def test_a_picture_is_served_as_nothing_but_a_picture(example, guest):
    owl = await guest()
    await choose(owl, GREEN)
    await say(owl, "Look")
    await expect_picture(owl.get_by_role("log"))
    address = await owl.get_by_role("log").locator("img.picture").get_attribute("src")
    answer = await owl.request.get(f"{example.url}{address}")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert await answer.body() == GREEN["buffer"]


async def test_a_chosen_picture_can_be_removed(guest):
    owl = await guest()
    await choose(owl, GREEN)
    await owl.get_by_role("button", name="Remove the picture").click()
    await say(owl, "Words only")
    await expect_message(owl, "Words only")
    await expect(owl.locator("img.picture")).to_have_count(0)


async def test_a_photo_that_is_too_large_is_made_smaller(guest):
    owl = await guest()
    noise = file("noise.png", png(700, random.Random(7).randbytes(3 * 700 * 700)))  # noqa: S311 (no secret)
    assert len(noise["buffer"]) > 1_000_000
    await choose(owl, noise)
    await say(owl, "Snow")
    await expect_message(owl, "Snow")
    await expect_picture(owl.get_by_role("log"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "A picture is a PNG, JPEG, GIF or WebP file",
        ),
        (b"\0" * 1_000_001, "A picture has at most one megabyte"),
    ],
    ids=["no picture", "too large"],
)
async def test_what_is_no_decent_picture_is_refused_with_a_reason(guest, content, reason):
    owl = await guest()
    await choose(owl, file("harmless.png", content))
    await say(owl, "Trust me")
    await expect(owl.locator("#outbox")).to_contain_text(reason)
    await owl.get_by_role("button", name="Discard").click()
    await expect(owl.locator("#outbox article")).to_have_count(0)
    await expect(owl.get_by_role("log").get_by_text("Trust me")).to_have_count(0)


@pytest.mark.parametrize(
    ("size", "status", "reason"),
    [
        (1_000_001, 200, "A picture has at most one megabyte."),
        (1_100_000, 413, "The body is longer than 1020000 bytes"),
    ],
    ids=["too large", "far too large"],
)
async def test_the_server_does_not_rely_on_the_page(example, guest, size, status, reason):
    owl = await guest()
    form = form_with(file("large.png", GREEN["buffer"].ljust(size, b"\0")))
    headers = {"GraphQL-Require-Preflight": "1"}
    url = f"{example.url}/graphql/"
    answer = await owl.request.post(url, multipart=form, headers=headers)
    assert answer.status == status
    assert [each["message"] for each in (await answer.json())["errors"]] == [reason]


async def test_a_form_that_another_site_could_have_sent_is_refused(example, guest):
    owl = await guest()
    answer = await owl.request.post(f"{example.url}/graphql/", multipart=form_with(GREEN))
    assert answer.status == 403
    await say(owl, "Nothing above?")
    await expect_message(owl, "Nothing above?")
    await expect(owl.get_by_text("Hello from GraphiQL")).to_have_count(0)

"""The example in a real browser: what its two windows show each other."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

if os.environ.get("CI_BROWSER_REQUIRED") != "1":
    pytest.importorskip("playwright.async_api", reason="playwright is not installed")

import aiohttp
from playwright.async_api import Locator, Page, expect

from chat_page import expect_live, expect_lost, expect_message, say
from screenshots import keep_screenshot
from support import GUARD, wait_until

pytestmark = pytest.mark.browser

AT_THE_END = "node => node.scrollHeight - node.scrollTop - node.clientHeight < 2"


async def type_until_it_is_seen(box: Locator, seen: Locator, text: str) -> None:
    """Go on typing until another page says so: it is told every other second, and forgotten."""
    watching = asyncio.create_task(expect(seen).to_have_text(text))
    while not watching.done():
        await box.press_sequentially("hm ", delay=150)
    await watching


async def test_a_message_travels_from_one_window_to_the_other(member, guest, tmp_path: Path):
    ada, owl = await member(), await guest()
    await say(owl, "Good evening, Ada")
    await expect_message(ada, "Good evening, Ada")
    await say(ada, "Good evening, Owl")
    await expect_message(owl, "Good evening, Owl")
    await expect_message(owl, "Good evening, Ada")
    await expect(owl.locator("#outbox article")).to_have_count(0)
    await keep_screenshot(ada, tmp_path / "ada.png")


async def test_markup_in_a_message_is_shown_as_it_was_typed(member, guest):
    ada, owl = await member(), await guest()
    await say(owl, "<img src=x onerror=alert(1)> & <b>bold</b>")
    await expect_message(ada, "<img src=x onerror=alert(1)> & <b>bold</b>")
    await expect(ada.locator("#messages img")).to_have_count(0)


async def test_others_see_who_is_typing_until_the_message_is_there(member, guest):
    ada, owl = await member(), await guest()
    box = ada.get_by_label("Your message")
    await type_until_it_is_seen(box, owl.locator("#typing"), "Ada is typing…")
    await expect(ada.locator("#typing")).to_have_text("")
    await box.fill("A long thought")
    await box.press("Enter")
    await expect_message(owl, "A long thought")
    await expect(owl.locator("#typing")).to_have_text("")


async def test_who_stops_typing_is_forgotten(member, guest):
    ada, owl = await member(), await guest()
    box = ada.get_by_label("Your message")
    await type_until_it_is_seen(box, owl.locator("#typing"), "Ada is typing…")
    await expect(owl.locator("#typing")).to_have_text("")


async def test_a_reload_shows_the_history(guest):
    owl = await guest()
    await say(owl, "To be read tomorrow")
    await expect_message(owl, "To be read tomorrow")
    await owl.reload()
    await expect_live(owl)
    await expect_message(owl, "To be read tomorrow")


async def test_a_visitor_without_a_name_reads_along(visitor, guest):
    nobody, owl = await visitor(), await guest()
    await expect_live(nobody)
    await say(owl, "Who is there?")
    await expect_message(nobody, "Who is there?")
    await expect(nobody.get_by_label("Your message")).to_have_count(0)
    await expect(nobody.get_by_role("button", name="Join")).to_be_visible()


async def test_a_guest_can_not_take_the_name_of_a_member(visitor):
    page = await visitor()
    await page.get_by_label("Join in as").fill("Ada")
    await page.get_by_role("button", name="Join").click()
    await expect(page.get_by_role("alert")).to_contain_text("belongs to a member")


async def test_an_account_is_created_and_signed_in(visitor):
    page = await visitor()
    await page.get_by_role("link", name="Sign in").first.click()
    await page.get_by_role("link", name="Create an account").click()
    await page.get_by_label("Username").fill("ADA")
    await page.get_by_label("Password", exact=True).fill("apollo-11")
    await page.get_by_label("Password confirmation").fill("apollo-11")
    await page.get_by_role("button", name="Create it and come in").click()
    await expect(page.get_by_role("alert")).to_contain_text("already exists")
    await page.get_by_label("Username").fill("Margaret")
    await page.get_by_label("Password", exact=True).fill("apollo-11")
    await page.get_by_label("Password confirmation").fill("apollo-11")
    await page.get_by_role("button", name="Create it and come in").click()
    await expect_live(page)
    await say(page, "Go for landing")
    await expect_message(page, "Go for landing")
    await expect(page.locator(".self strong")).to_have_text("Margaret")


async def test_another_room_shows_that_something_was_said(member, guest):
    ada, owl = await member(), await guest()
    await ada.get_by_role("link", name="Tea kitchen").click()
    await expect_message(ada, "The kettle is on.")
    await say(owl, "Where is everybody?")
    await expect(ada.get_by_role("link", name="Lobby")).to_contain_text("1 unread")
    await ada.get_by_role("link", name="Lobby").click()
    await expect_message(ada, "Where is everybody?")
    await expect(ada.get_by_role("link", name="Lobby")).not_to_contain_text("1 unread")


async def test_a_reader_of_old_messages_is_left_in_peace(example, member, guest):
    example.fill(100)
    ada, owl = await member(), await guest()
    conversation = ada.get_by_role("region", name="Conversation")
    await conversation.evaluate("node => { node.scrollTop = 0; }")
    await expect_message(ada, "Old message 50")
    await say(owl, "News")
    news = ada.get_by_role("button", name="1 new message")
    await expect(news).to_be_visible()
    assert not await conversation.evaluate(AT_THE_END)
    await news.click()
    await expect(news).to_be_hidden()
    await ada.wait_for_function(AT_THE_END, arg=await conversation.element_handle())


async def test_the_page_recovers_when_the_server_is_restarted(example, member, guest):
    ada, owl = await member(), await guest()
    example.stop()
    await expect_lost(ada)
    await expect_lost(owl)
    await ada.get_by_label("Your message").fill("Kept while the line is down")
    await expect(ada.get_by_role("button", name="Send")).to_be_disabled()
    await ada.get_by_label("Your message").press("Enter")
    await expect(ada.locator("#offline")).to_contain_text(
        "Not connected. What you write stays here"
    )
    example.say("Said while nobody could hear it")
    example.start()
    await expect_live(ada)
    await expect_live(owl)
    await expect_message(ada, "Said while nobody could hear it")
    await expect_message(owl, "Said while nobody could hear it")
    await expect(ada.get_by_role("button", name="Send")).to_be_enabled()
    await expect(ada.locator("#offline")).to_be_hidden()
    await ada.get_by_role("button", name="Send").click()
    await expect_message(owl, "Kept while the line is down")


class Talker:
    """Talks on over HTTP, whatever becomes of the server; repeats what was not taken."""

    def __init__(self, example) -> None:
        self._example = example
        self._headers = {**example.guest("Magpie"), "content-type": "application/json"}
        self._end = asyncio.Event()
        self.said: list[str] = []

    async def talk(self) -> None:
        """Say one thing after another until `stop`."""
        async with aiohttp.ClientSession(headers=self._headers) as session:
            while not self._end.is_set():
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    await self._say(session, f"Word {len(self.said) + 1}")
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._end.wait(), 0.02)

    async def _say(self, session: aiohttp.ClientSession, text: str) -> None:
        query = f'mutation {{ sendMessage(room: "lobby", text: "{text}") {{ message {{ id }} }} }}'
        url = f"{self._example.url}/graphql/"
        # What has been kept although it took too long is said again.
        limit = aiohttp.ClientTimeout(GUARD / 2)
        async with session.post(url, json={"query": query}, timeout=limit) as response:
            if response.status == 200:
                answer = await response.json()
                assert "errors" not in answer
                self.said.append(text)

    async def has_said(self, more: int) -> None:
        """Wait until so many more messages were taken."""
        wanted = len(self.said) + more
        await wait_until(lambda: len(self.said) >= wanted)

    def stop(self) -> None:
        """Say nothing more."""
        self._end.set()


async def texts_of(page: Page) -> list[str]:
    """Read the conversation, once all that was said earlier is there."""
    conversation = page.get_by_role("region", name="Conversation")
    while await page.locator("#earlier").is_visible():
        await conversation.evaluate("node => { node.scrollTop = 0; }")
        await page.evaluate("new Promise(requestAnimationFrame)")
    texts: list[str] = await page.locator("#messages article .bubble").all_inner_texts()
    return texts


async def expect_all(page: Page, said: Callable[[], list[str]]) -> None:
    """Wait until the conversation shows just that: what was missed is loaded after what is new."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GUARD):
            while await texts_of(page) != said():
                await page.evaluate("new Promise(requestAnimationFrame)")
    assert await texts_of(page) == said()


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_no_message_is_lost_when_the_server_is_restarted_while_people_talk(
    example, guest, end
):
    owl = await guest()
    talker = Talker(example)
    talking = asyncio.create_task(talker.talk())
    for _ in range(2):
        await talker.has_said(5)
        await asyncio.to_thread(getattr(example, end))
        # More than a page, of which no event tells.
        example.keep("lobby", 60)
        await asyncio.to_thread(example.start)
        await talker.has_said(5)
        await expect_live(owl)
    talker.stop()
    await talking
    assert set(talker.said) <= set(example.texts("lobby"))
    # Its last message may be there twice: it repeats what nobody has answered.
    await expect_all(owl, lambda: example.texts("lobby"))


async def test_a_room_that_was_not_open_shows_all_that_was_said_over_a_restart(
    example, member, guest
):
    ada, owl = await member(), await guest()
    await ada.get_by_role("link", name="Tea kitchen").click()
    await expect_message(ada, "The kettle is on.")
    await say(ada, "Before the restart")
    await expect(owl.get_by_role("link", name="Tea kitchen")).to_contain_text("1 unread")
    example.stop()
    await expect_lost(ada)
    await expect_lost(owl)
    example.keep("tea-kitchen", 60)
    example.start()
    await expect_live(owl)
    await expect(ada.locator("#status")).to_have_text("Live")
    await say(ada, "After the restart")
    await owl.get_by_role("link", name="Tea kitchen").click()
    await expect_message(owl, "After the restart")
    await expect_all(owl, lambda: example.texts("tea-kitchen"))


async def test_a_message_that_is_too_long_is_refused_with_a_reason(guest):
    owl = await guest()
    await owl.get_by_label("Your message").evaluate("box => box.removeAttribute('maxlength')")
    await say(owl, "long " * 500)
    await expect(owl.locator("#outbox")).to_contain_text("A message has at most 2000 characters")
    # It would be refused again.
    await expect(owl.get_by_role("button", name="Try again")).to_have_count(0)
    await owl.get_by_role("button", name="Edit").click()
    await expect(owl.locator("#outbox article")).to_have_count(0)
    assert len(await owl.get_by_label("Your message").input_value()) > 2000
    await owl.get_by_label("Your message").press("Enter")
    await owl.get_by_role("button", name="Discard").click()
    await expect(owl.locator("#outbox article")).to_have_count(0)


async def test_addresses_in_messages_are_links(guest):
    owl = await guest()
    await say(owl, "Read (https://example.com/a?b=c&d#e). Not javascript:alert(1), not http://")
    link = owl.get_by_role("log").get_by_role("link", name="https://example.com/a?b=c&d#e")
    await expect(link).to_have_attribute("href", "https://example.com/a?b=c&d#e")
    await expect(link).to_have_attribute("rel", "noopener noreferrer nofollow")
    await expect(owl.get_by_role("log").get_by_role("link")).to_have_count(1)


async def test_the_page_shows_what_goes_over_the_wire(guest):
    owl = await guest()
    await owl.get_by_role("button", name="How this page works").click()
    frames = owl.get_by_role("list", name="Messages on the WebSocket").get_by_role("listitem")
    await expect(frames.filter(has_text="connection_ack")).to_have_count(1)
    await say(owl, "Watch this")
    # The answer and the event: what comes meanwhile would move what is clicked on.
    heard = frames.filter(has_text="Received: next").filter(has_text="Watch this")
    await expect(heard).to_have_count(2)
    sent = frames.filter(has_text="mutation Send")
    await sent.locator("summary").click()
    await expect(sent.locator("pre")).to_contain_text("sendMessage(room: $room, text: $text)")
    await owl.get_by_role("button", name="Close").click()
    await expect(owl.locator("#wire")).to_be_hidden()
    await expect(owl.get_by_role("button", name="How this page works")).to_be_focused()


async def test_the_code_behind_the_page_can_be_read(guest):
    owl = await guest()
    await owl.get_by_role("button", name="How this page works").click()
    await owl.get_by_role("link", name="The code behind it").click()
    await expect(owl.get_by_role("heading", level=1)).to_have_text("How it works")
    for code in (
        "GraphqlProtocolTypeRouter(",
        "class OnMessage(Subscription)",
        "OnMessage.broadcast(",
    ):
        await expect(owl.get_by_role("main")).to_contain_text(code)


async def test_a_phone_shows_the_ways_to_the_other_pages(guest):
    owl = await guest()
    await owl.set_viewport_size({"width": 390, "height": 844})
    rooms = owl.get_by_role("navigation", name="Rooms")
    for name in ("Wall display", "GraphiQL", "How this page works"):
        await expect(rooms.get_by_text(name)).to_be_visible()
    assert await owl.evaluate("document.documentElement.scrollWidth <= innerWidth")

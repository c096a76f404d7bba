"""Who gets which message, and who reads: what the calls of the client rarely meet."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from channels_graphql_ws.client.router import Mailbox, Reader, Router
from channels_graphql_ws.exceptions import ConnectionClosedError, RemoteProtocolError
from channels_graphql_ws.websocket.subprotocols import GRAPHQL_TRANSPORT_WS
from support import tick


@pytest.fixture
def router() -> Router:
    return Router(GRAPHQL_TRANSPORT_WS, "ours-")


def test_a_mailbox_gives_what_came_in_its_order_and_raises_exceptions_in_their_place():
    mailbox = Mailbox()
    mailbox.put({"n": 1})
    mailbox.put(RemoteProtocolError("garbage"))
    mailbox.put({"n": 2})
    assert (len(mailbox), mailbox.take()) == (3, {"n": 1})
    with pytest.raises(RemoteProtocolError, match="garbage"):
        mailbox.take()
    assert mailbox.take() == {"n": 2}
    assert not mailbox


def test_a_mailbox_that_has_failed_gives_what_it_has_and_then_raises_for_ever():
    mailbox = Mailbox()
    mailbox.put({"n": 1})
    mailbox.fail(ConnectionClosedError("over"))
    assert mailbox.take() == {"n": 1}
    for _ in range(2):
        with pytest.raises(ConnectionClosedError, match="over"):
            mailbox.take()


async def test_who_no_longer_waits_is_not_woken():
    mailbox = Mailbox()
    gone, there = mailbox.waiter(), mailbox.waiter()
    gone.cancel()
    mailbox.put({})
    assert there.done()


async def test_messages_and_exceptions_that_are_waited_past_are_dropped(router, caplog):
    caplog.set_level(logging.INFO, logger="channels_graphql_ws.client")
    expected = router.expect("a", drops_others=True)
    router.unclaimed.put({"type": "next", "id": "b"})
    router.unclaimed.put(RemoteProtocolError("garbage"))
    router.deliver({"type": "next", "id": "a"})
    assert await expected.message == {"type": "next", "id": "a"}
    assert len(router.unclaimed) == 0
    assert [record.args for record in caplog.records] == [("next", "b")]


async def test_a_message_goes_to_the_next_who_expects_it_if_the_first_has_gone(router):
    first, second = router.expect("a"), router.expect("a")
    first.message.cancel()
    router.deliver({"type": "next", "id": "a"})
    assert second.message.done()
    router.forget("a", first)
    assert router._expected == {}


async def test_one_of_several_who_expect_a_message_may_forget_it(router):
    first, second = router.expect("a"), router.expect("a")
    router.forget("a", first)
    router.deliver({"type": "next", "id": "a"})
    assert second.message.done()


async def test_who_expects_a_message_is_told_when_the_connection_is_lost(router):
    gone, there = router.expect("a"), router.expect("b")
    gone.message.cancel()
    router.lose_connection(ConnectionClosedError("lost"))
    with pytest.raises(ConnectionClosedError):
        await there.message
    router.forget("b", there)
    assert len(router.unclaimed) == 0


def test_pongs_are_kept_only_while_somebody_looks_for_them(router):
    router.deliver({"type": "pong"})
    with router.keeping_pongs():
        router.deliver({"type": "pong", "payload": 1})
    assert [router.unclaimed.take() for _ in range(len(router.unclaimed))] == [
        {"type": "pong", "payload": 1}
    ]


def test_pings_of_a_connection_without_anybody_to_answer_are_dropped(router):
    router.deliver({"type": "ping"})
    assert len(router.unclaimed) == 0


async def test_a_timeout_of_the_transport_itself_is_not_taken_for_ours():
    async def fail() -> dict[str, Any]:
        raise TimeoutError("of the transport")

    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError, match="of the transport"):
        await Reader(fail, lambda _: None).wait(waiter)


async def test_when_the_one_who_reads_has_what_it_needs_the_next_reads_on():
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    waiters = [loop.create_future() for _ in range(3)]
    reader = Reader(inbox.get, lambda message: waiters[message["n"]].set_result(None))
    waiting = [asyncio.create_task(reader.wait(waiter)) for waiter in waiters]
    await tick(3)
    for number in (0, 2, 1):
        inbox.put_nowait({"n": number})
    await asyncio.gather(*waiting)
    assert not reader._next


async def test_a_reader_may_be_cancelled_in_the_moment_in_which_it_is_asked_to_read():
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    waiters = [loop.create_future() for _ in range(3)]
    reader = Reader(inbox.get, lambda message: waiters[message["n"]].set_result(None))
    first, second, third = (asyncio.create_task(reader.wait(waiter)) for waiter in waiters)
    await tick(3)
    inbox.put_nowait({"n": 0})
    await first
    second.cancel()
    inbox.put_nowait({"n": 2})
    await third
    await asyncio.wait([second])

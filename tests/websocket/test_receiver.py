"""The server is asked for the next event, and called off while we close."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import pytest

from channels_graphql_ws.websocket import receiver as receiving
from channels_graphql_ws.websocket.receiver import Receiver
from support import tick, wait_until


class Server:
    """Tells who asks, and answers when the test says so."""

    def __init__(self) -> None:
        self.asked = 0
        self.called_off = 0
        self.events: deque[Any] = deque()
        self.come = asyncio.Event()
        self.is_stubborn = False

    def put(self, event: object) -> None:
        self.events.append(event)
        self.come.set()

    async def receive(self) -> Any:
        self.asked += 1
        while not self.events:
            self.come.clear()
            try:
                await self.come.wait()
            except asyncio.CancelledError:
                self.called_off += 1
                if not self.is_stubborn:
                    raise
        return self.events.popleft()


class Application:
    """Takes events in a task, as ASGI servers call applications."""

    def __init__(self) -> None:
        self.server = Server()
        self.heard: list[Any] = []
        self.receiver: Receiver
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        self.receiver = Receiver(self.server.receive)
        while (event := await self.receiver()) is not None:
            self.heard.append(event)

    async def ends(self) -> None:
        self.server.put(None)
        async with asyncio.timeout(20):
            await self.task


@pytest.fixture
async def application():
    application = Application()
    await wait_until(lambda: application.server.asked)
    yield application
    if not application.task.done():
        await application.ends()


async def test_events_come_in_order(application):
    for number in range(3):
        application.server.put(number)
    await wait_until(lambda: application.heard == [0, 1, 2])


async def test_the_server_is_not_asked_in_a_pause_and_asked_again_afterwards(application):
    with application.receiver.paused():
        await tick(3)
        assert application.server.called_off == 1
        application.server.put("kept")
        await tick(3)
        assert (application.heard, application.server.asked) == ([], 1)
    await wait_until(lambda: application.heard == ["kept"])
    assert application.task.cancelling() == 0


async def test_a_pause_may_begin_while_an_event_is_being_seen_to(application):
    with application.receiver.paused():
        await tick(3)
        with application.receiver.paused():
            await tick(3)
    application.server.put(1)
    await wait_until(lambda: application.heard == [1])
    assert application.server.called_off == 1


async def test_the_task_itself_may_pause():
    server = Server()
    receiver = Receiver(server.receive)
    with receiver.paused():
        assert server.asked == 0
    server.put(1)
    assert await receiver() == 1


async def test_an_event_that_has_just_come_is_not_lost(application):
    application.server.put(1)
    with application.receiver.paused():
        pass
    await wait_until(lambda: application.heard == [1])


async def test_a_server_that_will_not_be_called_off_is_listened_to(application):
    application.server.is_stubborn = True
    with application.receiver.paused():
        await tick(3)
        application.server.put(1)
        await wait_until(lambda: application.heard == [1])
    assert application.task.cancelling() == 0


async def test_a_pause_that_does_not_end_is_cut_short(application, monkeypatch):
    monkeypatch.setattr(receiving, "PAUSE_LIMIT", 0.001)
    with application.receiver.paused():
        application.server.put(1)
        await wait_until(lambda: application.heard == [1])


async def test_a_server_that_says_nothing_of_our_close_is_not_waited_for(application, monkeypatch):
    monkeypatch.setattr(receiving, "END_LIMIT", 0.0)
    with application.receiver.paused():
        application.receiver.expect_end()
    await wait_until(lambda: {"type": "websocket.disconnect", "code": 1006} in application.heard)
    assert application.task.cancelling() == 0


async def test_what_comes_before_the_end_is_heard(application):
    with application.receiver.paused():
        application.receiver.expect_end()
        application.receiver.expect_end()
    application.server.put(1)
    await wait_until(lambda: application.heard == [1])
    with application.receiver.paused():
        application.server.put(2)
    await wait_until(lambda: application.heard == [1, 2])


@pytest.mark.parametrize("is_paused", [False, True])
async def test_a_server_that_cancels_is_obeyed(application, is_paused):
    if is_paused:
        with application.receiver.paused():
            application.task.cancel()
            await asyncio.wait([application.task])
    else:
        application.task.cancel()
        await asyncio.wait([application.task])
    assert application.task.cancelled()
    assert application.task.cancelling() == 1


async def test_a_server_may_break(application):
    def broken():
        raise OSError("broken pipe")

    application.server.put(1)
    application.receiver._receive = broken
    with pytest.raises(OSError, match="broken pipe"):
        await application.task

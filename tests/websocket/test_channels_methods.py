"""Methods and attributes of Channels' consumers that a class may override or use."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from channels.layers import get_channel_layer

from asgi_socket import LEGACY, NEW, AsgiSocket, Event
from channels_graphql_ws import GraphqlWsConsumer
from channels_graphql_ws.exceptions import ChannelLayerError
from news_schema import HELLO, News, schema
from support import wait_until

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])


async def opened(cls: Any, subprotocol: str = NEW) -> AsgiSocket:
    socket = AsgiSocket(cls.as_asgi(schema=schema), subprotocol)
    socket.init()
    await socket.heard("connection_ack")
    return socket


@BOTH
async def test_send_json_sees_everything_that_is_sent(subprotocol: str) -> None:
    class Mine(GraphqlWsConsumer):
        sent: list[Any] = []

        async def send_json(self, content: Any, close: bool = False) -> None:
            self.sent.append(content["type"])
            await super().send_json({**content, "mine": True}, close=close)

    socket = await opened(Mine, subprotocol)
    socket.start("s", HELLO)
    await wait_until(lambda: Mine.sent[1:] or News.broadcast(payload="x") is None)
    await wait_until(lambda: len(Mine.sent) > 1)
    assert Mine.sent == [frame["type"] for frame in socket.frames]
    assert all(frame["mine"] for frame in socket.frames)
    await socket.drop()


async def test_a_send_json_that_fails_closes_with_4500(caplog: pytest.LogCaptureFixture) -> None:
    class Mine(GraphqlWsConsumer):
        async def send_json(self, content: Any, close: bool = False) -> None:
            raise LookupError("broken")

    socket = AsgiSocket(Mine.as_asgi(schema=schema), NEW)
    socket.init()
    await socket.ended()
    assert socket.closes == [(4500, "Internal server error")]
    assert "`send_json` failed" in caplog.text


async def test_a_send_json_whose_client_has_gone_is_a_disconnect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Mine(GraphqlWsConsumer):
        async def send_json(self, content: Any, close: bool = False) -> None:
            raise OSError("gone")

    socket = AsgiSocket(Mine.as_asgi(schema=schema), NEW)
    socket.init()
    await wait_until(lambda: socket.sent)
    await socket.drop()
    assert "`send_json` failed" not in caplog.text


@BOTH
async def test_dispatch_sees_every_event(subprotocol: str) -> None:
    class Mine(GraphqlWsConsumer):
        seen: list[str] = []

        async def dispatch(self, message: Event) -> None:
            self.seen.append(message["type"])
            await super().dispatch(message)

    socket = await opened(Mine, subprotocol)
    socket.start("q", "{ connection }")
    await socket.heard("complete:q")
    await socket.drop()
    assert Mine.seen == [
        "websocket.connect",
        "websocket.receive",
        "websocket.receive",
        "websocket.disconnect",
    ]


Joining = Callable[[Any], Awaitable[None]]


async def join(consumer: Any) -> None:
    """Join a group, as Channels' documentation shows it."""
    await consumer.channel_layer.group_add("readers", consumer.channel_name)


class InConnect(GraphqlWsConsumer):
    async def connect(self) -> None:
        await super().connect()
        await self.channel_layer.group_add("readers", self.channel_name)


class InOnConnect(GraphqlWsConsumer):
    async def on_connect(self, payload: Any) -> None:
        await self.channel_layer.group_add("readers", self.channel_name)


class InPart(GraphqlWsConsumer):
    async def on_connect(self, payload: Any) -> None:
        async def part() -> None:
            await self.channel_layer.group_add("readers", self.channel_name)

        await part()


class Asking(GraphqlWsConsumer):
    listen_to_channel_layer = True

    async def on_connect(self, payload: Any) -> None:
        await join(self)


@pytest.mark.parametrize("base", [InConnect, InOnConnect, InPart, Asking])
async def test_a_class_that_uses_its_channel_has_a_real_one(base: Any) -> None:
    heard: list[str] = []

    class Mine(base):  # type: ignore[misc]
        async def chat_message(self, event: Event) -> None:
            heard.append(event["text"])

    socket = await opened(Mine)
    layer: Any = get_channel_layer()
    await layer.group_send("readers", {"type": "chat.message", "text": "hi"})
    await wait_until(lambda: heard == ["hi"])
    await socket.drop()


@pytest.mark.parametrize("base", [InConnect, InOnConnect, InPart, Asking])
async def test_a_class_has_its_channel_without_any_handler_too(base: Any) -> None:
    class Mine(base):  # type: ignore[misc]
        pass

    layer: Any = get_channel_layer()
    known = set(layer.groups.get("readers", ()))
    socket = await opened(Mine)
    (name,) = set(layer.groups["readers"]) - known
    # Somebody reads what is sent there.
    await wait_until(lambda: name in layer.channels)
    await socket.drop()


async def test_a_class_without_a_channel_is_told_which_option_gives_one() -> None:
    class Mine(GraphqlWsConsumer):
        problems: list[Exception] = []

        async def on_connect(self, payload: Any) -> None:
            try:
                await join(self)
            except ChannelLayerError as error:
                self.problems.append(error)

    socket = await opened(Mine)
    assert "set `listen_to_channel_layer = True`" in str(Mine.problems[0])
    await socket.drop()


async def test_without_a_channel_layer_there_is_no_name(settings: Any) -> None:
    class Mine(GraphqlWsConsumer):
        names: list[Any] = []

        async def on_connect(self, payload: Any) -> None:
            self.names.append(self.channel_name)

    settings.CHANNEL_LAYERS = {}
    socket = await opened(Mine)
    assert Mine.names == [None]
    await socket.drop()


async def test_strawberrys_older_word_for_listening_works() -> None:
    heard: list[str] = []

    class Mine(GraphqlWsConsumer):
        async def on_connect(self, payload: Any) -> None:
            self.listening = asyncio.create_task(self.listen())

        async def listen(self) -> None:
            async for message in self.channel_listen("chat.message", groups=["of-an-older-word"]):
                heard.append(message["text"])  # noqa: PERF401 (as users write it)

        async def on_disconnect(self, code: Any) -> None:
            self.listening.cancel()
            await asyncio.wait([self.listening])

    socket = await opened(Mine)
    layer: Any = get_channel_layer()
    await wait_until(lambda: layer.groups.get("of-an-older-word"))
    await layer.group_send("of-an-older-word", {"type": "chat.message", "text": "hi"})
    await wait_until(lambda: heard == ["hi"])
    await socket.drop()


def test_the_name_may_be_set() -> None:
    consumer = GraphqlWsConsumer.__new__(GraphqlWsConsumer)
    consumer._has_channel = True
    consumer.channel_name = "mine"
    assert consumer.channel_name == "mine"


def test_the_scope_may_be_set_to_try_a_method_without_a_connection() -> None:
    class Mine(GraphqlWsConsumer):
        def is_staff(self) -> bool:
            return self.scope["user"] == "staff"

    Mine.schema = schema
    consumer = Mine()
    consumer.scope = {"type": "websocket", "user": "staff"}
    assert consumer.is_staff()
    consumer.scope = {"type": "websocket", "user": "guest"}
    assert not consumer.is_staff()

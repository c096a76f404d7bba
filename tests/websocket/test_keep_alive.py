"""KeepAlive and pongs: payloads, hooks, and what a flood of them does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_socket import LEGACY, AsgiSocket
from channels_graphql_ws.websocket.keep_alive import WAITING_LIMIT
from channels_graphql_ws.websocket.protocol import Pinged, Ponged, Send, ServerProtocol
from channels_graphql_ws.websocket.subprotocols import GRAPHQL_TRANSPORT_WS
from news_schema import HELLO, consumer_class
from support import tick, wait_until

PING = '{"type":"ping","payload":{"n":1}}'
PONG = '{"type":"pong","payload":{"n":1}}'


async def ready(**attributes: Any) -> AsgiSocket:
    socket = AsgiSocket(consumer_class(**attributes).as_asgi())
    await socket.acknowledged()
    return socket


def pongs(socket: AsgiSocket) -> list[Any]:
    return [frame.get("payload") for frame in socket.frames if frame["type"] == "pong"]


def test_without_hooks_a_ping_is_answered_and_a_pong_is_nothing() -> None:
    protocol = ServerProtocol(GRAPHQL_TRANSPORT_WS)
    assert protocol.received(PING) == [Send(PONG)]
    assert protocol.received(PONG) == []


def test_with_hooks_the_application_is_told_and_answers() -> None:
    protocol = ServerProtocol(GRAPHQL_TRANSPORT_WS, asks_about_pings=True, tells_of_pongs=True)
    assert protocol.received(PING) == [Pinged({"n": 1})]
    assert protocol.received(PONG) == [Ponged({"n": 1})]
    assert protocol.ping_answered({"n": 1}) == [Send(PONG)]
    protocol.socket_closed()
    assert protocol.ping_answered({"n": 1}) == []


@pytest.mark.parametrize(
    ("given", "payload"),
    [
        (None, None),
        ({"server": "a"}, {"server": "a"}),
        (lambda self: {"path": self.scope["path"]}, {"path": "/graphql/"}),
        (lambda self: None, None),
    ],
)
async def test_a_ping_carries_the_payload_of_the_class(given: Any, payload: Any) -> None:
    socket = await ready(send_ping_every=0.001, ping_payload=given)
    await wait_until(lambda: "ping" in socket.words)
    ping = next(frame for frame in socket.frames if frame["type"] == "ping")
    assert ping.get("payload") == payload
    await socket.drop()


@pytest.mark.parametrize("given", [lambda self: 1 / 0, {"no": object()}, "no object", [1]])
async def test_a_payload_that_fails_costs_no_ping(given: Any, caplog: Any) -> None:
    socket = await ready(send_ping_every=0.001, ping_payload=given)
    await wait_until(lambda: socket.words.count("ping") > 1)
    assert {"type": "ping"} in socket.frames
    assert "`ping_payload` failed" in caplog.text
    await socket.drop()


async def test_the_legacy_keep_alive_has_no_payload() -> None:
    cls = consumer_class(send_ping_every=1000, ping_payload={"server": "a"})
    socket = AsgiSocket(cls.as_asgi(), LEGACY)
    socket.init()
    await socket.heard("connection_ack", "ka")
    assert socket.frames[-1] == {"type": "ka"}
    await socket.drop()


def _sync_on_ping(self: Any, payload: Any) -> Any:
    return None if payload is None else {"seen": payload}


async def _async_on_ping(self: Any, payload: Any) -> Any:
    await tick()
    return _sync_on_ping(self, payload)


@pytest.mark.parametrize("hook", [_sync_on_ping, _async_on_ping])
async def test_on_ping_gives_the_payload_of_the_pong_in_order(hook: Any) -> None:
    socket = await ready(on_ping=hook)
    for number in range(3):
        socket.say("ping", payload={"n": number})
    socket.say("ping")
    await wait_until(lambda: len(pongs(socket)) == 4)
    assert pongs(socket) == [{"seen": {"n": 0}}, {"seen": {"n": 1}}, {"seen": {"n": 2}}, None]
    await socket.drop()


async def test_on_pong_learns_of_what_comes_back() -> None:
    seen: list[Any] = []
    socket = await ready(on_pong=lambda _self, payload: seen.append(payload))
    socket.say("pong", payload={"n": 1})
    socket.say("pong")
    await wait_until(lambda: len(seen) == 2)
    assert seen == [{"n": 1}, None]
    assert pongs(socket) == []
    await socket.drop()


async def _cancelled(*_: Any) -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize(
    "hook", [lambda *_: 1 / 0, lambda *_: {"no": object()}, lambda *_: "no object", _cancelled]
)
async def test_a_hook_that_fails_is_logged_and_the_ping_answered(hook: Any, caplog: Any) -> None:
    socket = await ready(on_ping=hook, on_pong=hook)
    socket.say("ping", payload={"n": 1})
    socket.say("pong")
    await wait_until(lambda: pongs(socket))
    assert pongs(socket) == [{"n": 1}]
    assert "`on_ping` of " in caplog.text
    await socket.drop()


async def test_a_hook_that_waits_holds_up_nothing_else_and_is_not_flooded(caplog: Any) -> None:
    gate = asyncio.Event()

    async def on_ping(self: Any, payload: Any) -> None:
        await gate.wait()

    socket = await ready(on_ping=on_ping)
    for number in range(WAITING_LIMIT + 10):
        socket.say("ping", payload={"n": number})
    socket.start("1", HELLO)
    await socket.heard("next:1", "complete:1")
    assert pongs(socket) == []
    assert "faster than the hook takes them" in caplog.text
    gate.set()
    await wait_until(lambda: len(pongs(socket)) == WAITING_LIMIT + 1)
    await socket.drop()


async def test_a_hook_that_hangs_ends_with_the_connection() -> None:
    async def on_ping(self: Any, payload: Any) -> None:
        await asyncio.Event().wait()

    socket = await ready(on_ping=on_ping, disconnect_timeout=0.01)
    socket.say("ping")
    await tick(5)
    await socket.drop()
    assert pongs(socket) == []

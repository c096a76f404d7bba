"""Connections are counted by user and by address; who has too many is refused, and only he."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import Any

import pytest

from asgi_socket import LEGACY, NEW, AsgiSocket
from news_schema import HELLO, consumer_class
from support import wait_until

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])

PUBLIC, OTHER = "8.8.8.8", "8.8.4.4"
DENIAL = {"extensions": {"websocket.http.response": {}}}


def user(name: str) -> Any:
    return SimpleNamespace(pk=name, is_authenticated=True)


def connect(subprotocol: str, scope: Any, **attributes: Any) -> AsgiSocket:
    return AsgiSocket(consumer_class(**attributes).as_asgi(), subprotocol, scope=scope)


async def accepted(subprotocol: str, scope: Any, **attributes: Any) -> AsgiSocket:
    socket = connect(subprotocol, scope, **attributes)
    await socket.acknowledged()
    return socket


async def _log_in(self: Any, payload: Any) -> None:
    self.scope["user"] = user(payload["name"])


@BOTH
@pytest.mark.parametrize(
    ("option", "scope", "other"),
    [
        ("max_connections_per_user", {"user": user("a")}, {"user": user("b")}),
        ("max_connections_per_address", {"client": (PUBLIC, 1)}, {"client": (OTHER, 1)}),
    ],
)
async def test_one_connection_too_many_is_refused_before_it_is_accepted(
    subprotocol: str, option: str, scope: Any, other: Any, caplog: pytest.LogCaptureFixture
) -> None:
    limits = {option: 2}
    sockets = [await accepted(subprotocol, scope, **limits) for _ in range(2)]

    refused = connect(subprotocol, scope, **limits)
    await refused.ended()
    assert [event["type"] for event in refused.sent] == ["websocket.close"]
    assert option in caplog.text
    refused = connect(subprotocol, {**scope, **DENIAL}, **limits)
    await refused.ended()
    assert refused.sent[0]["status"] == 429

    sockets.append(await accepted(subprotocol, other, **limits))
    # There is room again when one has gone.
    await sockets.pop(0).drop()
    sockets.append(await accepted(subprotocol, scope, **limits))
    for socket in sockets:
        await socket.drop()


@BOTH
async def test_a_user_whom_on_connect_logs_in_is_counted_and_told_to_come_later(
    subprotocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    limits = {"max_connections_per_user": 1, "on_connect": _log_in}
    first = connect(subprotocol, {}, **limits)
    await first.acknowledged(payload={"name": "a"})
    second = connect(subprotocol, {}, **limits)
    second.init(payload={"name": "a"})
    await second.ended()

    reason = "Too many connections: no more than 1 may be open (`max_connections_per_user`)"
    assert second.closes == [(1013, reason)]
    said = (
        []
        if subprotocol == NEW
        else [{"type": "connection_error", "payload": {"message": reason}}]
    )
    assert second.frames == said
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    third = connect(subprotocol, {}, **limits)
    await third.acknowledged(payload={"name": "b"})
    # Another login of the same user is the same place.
    if subprotocol == LEGACY:
        third.init(payload={"name": "b"})
        await wait_until(lambda: third.words.count("connection_ack") == 2)
    await first.drop()
    await third.drop()
    again = connect(subprotocol, {}, **limits)
    await again.acknowledged(payload={"name": "a"})
    await again.drop()


@pytest.mark.parametrize(
    "client", [None, ("127.0.0.1", 1), ("::1", 1), ("10.1.2.3", 1), ("192.168.0.1", 1), ("", 0)]
)
async def test_addresses_that_are_not_the_clients_own_are_not_counted(client: Any) -> None:
    limits = {"max_connections_per_address": 1}
    sockets = [await accepted(NEW, {"client": client}, **limits) for _ in range(3)]
    for socket in sockets:
        await socket.drop()


async def test_what_a_trusted_proxy_says_is_counted() -> None:
    limits = {"max_connections_per_address": 1, "trusted_proxies": ["10.0.0.0/8"]}

    def through_proxy(address: str) -> dict[str, Any]:
        headers = [(b"x-forwarded-for", address.encode())]
        return {"client": ("10.0.0.1", 1), "headers": headers}

    first = await accepted(NEW, through_proxy(PUBLIC), **limits)
    refused = connect(NEW, through_proxy(PUBLIC), **limits)
    await refused.ended()
    other = await accepted(NEW, through_proxy(OTHER), **limits)
    await first.drop()
    await other.drop()


async def test_nobody_is_counted_where_there_is_no_limit() -> None:
    limits = {"max_connections_per_address": None, "max_connections_per_user": None}
    scope = {"client": (PUBLIC, 1), "user": user("a")}
    sockets = [await accepted(NEW, scope, **limits) for _ in range(3)]
    for socket in sockets:
        socket.start("1", HELLO)
        await socket.heard("next:1", "complete:1")
        await socket.drop()

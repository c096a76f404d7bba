"""What protects a consumer that nobody has configured, and how to give it up with one word."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_socket import LEGACY, NEW, AsgiSocket
from news_schema import consumer_class
from support import wait_until

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])

# By default, and with `safety = "compatible"`.
VALUES: dict[str, tuple[Any, Any]] = {
    "send_ping_every": (25.0, None),
    "pong_timeout": (20.0, 20.0),
    "connection_init_wait_timeout": (10.0, 0),
    "on_connect_timeout": (30.0, None),
    "operation_timeout": (None, None),
    "idle_timeout": (None, None),
    "max_connection_age": (None, None),
    "max_connections_per_user": (100, None),
    "max_connections_per_address": (250, None),
    "max_messages_per_second": (1_000.0, None),
    "max_operations_per_connection": (100, None),
    "max_subscriptions_per_user": (2_000, None),
    "max_subscriptions_per_address": (5_000, None),
    "max_message_size": (2_621_440, None),
    "max_message_size_before_ack": (131_072, None),
    "max_operations_in_flight": (2_000, None),
    "max_bytes_in_flight": (16_777_216, None),
    "max_unsent_bytes": (1_048_576, None),
    "max_unsent_bytes_per_user": (67_108_864, None),
    "max_unsent_bytes_per_address": (134_217_728, None),
    "max_unsent_bytes_per_process": (268_435_456, None),
    "max_ping_size": (1_024, None),
    "allowed_origins": (None, ("*",)),
}


async def values_of_a_connection(subprotocol: str, **attributes: Any) -> dict[str, Any]:
    seen: dict[str, Any] = {}

    async def on_connect(self: Any, payload: Any) -> None:
        seen.update({name: getattr(self, name) for name in VALUES})

    socket = AsgiSocket(consumer_class(on_connect=on_connect, **attributes).as_asgi(), subprotocol)
    socket.init()
    await wait_until(lambda: "connection_ack" in socket.words)
    await socket.drop()
    return seen


@BOTH
async def test_the_bare_consumer_is_bounded(subprotocol: str) -> None:
    seen = await values_of_a_connection(subprotocol)
    assert seen == {name: default for name, (default, _) in VALUES.items()}


@BOTH
async def test_one_word_gives_up_the_bounds(subprotocol: str) -> None:
    seen = await values_of_a_connection(subprotocol, safety="compatible")
    assert seen == {name: compatible for name, (_, compatible) in VALUES.items()}


@BOTH
async def test_what_is_set_stays_set_beside_that_word(subprotocol: str) -> None:
    seen = await values_of_a_connection(subprotocol, safety="compatible", send_ping_every=7)
    assert seen["send_ping_every"] == 7


async def test_the_legacy_subprotocol_can_be_switched_off() -> None:
    application = consumer_class(subprotocols=(NEW,)).as_asgi()
    old = AsgiSocket(application, LEGACY)
    await wait_until(lambda: old.closes)
    assert old.closes == [(4406, "Subprotocol not acceptable")]
    await old.ended()
    both = AsgiSocket(application, LEGACY, NEW)
    await both.acknowledged()
    assert both.sent[0]["subprotocol"] == NEW
    await both.drop()

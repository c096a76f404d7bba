"""protocol.md, api.md 2.4, 2.5: pings, pongs, `ka`, and how connections end."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.peer import LEGACY, NEW, Peers
from conformance.stage import Stage, consumer

only_new = pytest.mark.parametrize("subprotocol", [NEW])
only_legacy = pytest.mark.parametrize("subprotocol", [LEGACY])


@only_new
@pytest.mark.parametrize("init", [False, True])
@pytest.mark.parametrize("rest", [{}, {"payload": {}}, {"payload": {"a": [1, {"b": "ж"}]}}])
async def test_a_ping_is_answered_at_once_with_its_payload_before_the_ack_too(
    peers: Peers, stage: Stage, init: bool, rest: dict[str, Any]
) -> None:
    peer = await peers.connect(consumer(stage), init=init)

    await peer.say("ping", **rest)

    assert await peer.heard() == {"type": "pong", **rest}


@only_new
async def test_a_payload_of_a_ping_that_is_null_is_no_payload(peers: Peers, stage: Stage) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.say("ping", payload=None)

    assert await peer.heard() == {"type": "pong"}


@only_new
@pytest.mark.parametrize("init", [False, True])
async def test_an_unasked_pong_is_fine(peers: Peers, stage: Stage, init: bool) -> None:
    peer = await peers.connect(consumer(stage), init=init)

    await peer.say("pong")
    await peer.say("pong", payload={"a": 1})

    assert await peer.lives()


@only_new
async def test_a_ping_does_not_wait_for_a_running_operation(peers: Peers, stage: Stage) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", "{ hang }")
    await stage.arrival("query")

    await peer.say("ping")

    assert await peer.heard() == {"type": "pong"}


@only_new
async def test_server_pings_come_after_one_interval_and_then_at_each(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, send_ping_every=0.01), init=False)
    await peer.say("connection_init")

    assert await peer.hear(5) == [{"type": "connection_ack"}, *[{"type": "ping"}] * 4]


@only_new
async def test_the_first_ping_does_not_come_with_the_ack(peers: Peers, stage: Stage) -> None:
    peer = await peers.connect(consumer(stage, send_ping_every=1000))
    await peer.say("ping")

    assert await peer.heard() == {"type": "pong"}


@only_legacy
async def test_ka_comes_at_once_after_the_ack_and_then_at_each_interval(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, send_ping_every=0.01), init=False)
    await peer.say("connection_init")

    assert await peer.hear(5) == [{"type": "connection_ack"}, *[{"type": "ka"}] * 4]


async def test_without_an_interval_there_are_no_pings(peers: Peers, stage: Stage) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", "{ hello }")
    await peer.hear(2)

    types = {event.get("text", "")[:12] for event in peer.sent}
    assert not types & {'{"type":"ping', '{"type":"ka"'}


@only_new
async def test_a_client_that_answers_no_ping_is_closed_with_4408(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, send_ping_every=0.01, pong_timeout=0.02))
    while await peer.transport._running.next_event() == {
        "type": "websocket.send",
        "text": '{"type":"ping"}',
    }:
        pass

    assert await peer.closed() == (4408, "Pong timeout")


@only_legacy
async def test_a_legacy_client_can_not_answer_and_is_not_closed(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, send_ping_every=0.01, pong_timeout=0.001))

    assert await peer.hear(5) == [{"type": "ka"}] * 5
    assert await peer.lives()


@only_legacy
@pytest.mark.parametrize("init", [False, True])
async def test_connection_terminate_closes_1000(peers: Peers, stage: Stage, init: bool) -> None:
    peer = await peers.connect(consumer(stage), init=init)

    await peer.say("connection_terminate")

    assert await peer.closed() == (1000, "")


async def async_answer(self: Any, payload: Any) -> Any:
    return {"no": object()}


def plain_answer(self: Any, payload: Any) -> Any:
    return {"no": object()}


@pytest.mark.parametrize("on_connect", [async_answer, plain_answer])
async def test_a_fault_in_on_connects_answer_closes_4500_and_not_the_process(
    peers: Peers, stage: Stage, caplog: pytest.LogCaptureFixture, on_connect: Any
) -> None:
    peer = await peers.connect(consumer(stage, on_connect=on_connect), init=False)

    await peer.say("connection_init")

    assert await peer.closed() == (4500, "Internal server error")
    assert any(record.exc_info for record in caplog.records)

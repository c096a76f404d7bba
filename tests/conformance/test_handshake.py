"""api.md 2.3, protocol.md: which dialect is spoken, and who is let in."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from channels_graphql_ws.client.transport import ConnectionRejectedError
from conformance.peer import LEGACY, NEW, Peer, Peers
from conformance.stage import Stage, consumer
from support import GUARD

only_new = pytest.mark.parametrize("subprotocol", [NEW])
only_legacy = pytest.mark.parametrize("subprotocol", [LEGACY])


def refusing(error: Exception) -> Any:
    def on_connect(self: Any, payload: Any) -> None:
        raise error

    return on_connect


def deciding(stage: Stage) -> Any:
    async def on_connect(self: Any, payload: Any) -> None:
        stage.executed.append("on_connect")
        await stage.wait_at("connect")

    return on_connect


@pytest.mark.parametrize(
    ("offered", "subprotocol"),
    [
        ([NEW], NEW),
        ([LEGACY], LEGACY),
        ([LEGACY, NEW], NEW),
        ([b"graphql-ws"], LEGACY),
        ([b"graphql-ws", b"graphql-transport-ws"], NEW),
        (["soap", LEGACY], LEGACY),
    ],
)
async def test_the_new_dialect_is_chosen_whenever_it_is_offered_else_the_legacy_one(
    peers: Peers, stage: Stage, offered: list[Any], subprotocol: str
) -> None:
    peer = Peer(consumer(stage), subprotocol)
    peer.transport._scope["subprotocols"] = offered

    await peer.connect_and_init()

    assert peer.sent[0]["subprotocol"] == subprotocol
    await peer.finalize()


@only_new
@pytest.mark.parametrize("offered", [[], ["soap"], ["GraphQL-WS"]])
async def test_without_a_subprotocol_in_common_the_close_is_4406_and_one_log_line(
    peers: Peers, stage: Stage, offered: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    peer = Peer(consumer(stage), NEW)
    peer.transport._scope["subprotocols"] = offered

    with pytest.raises(ConnectionRejectedError) as raised:
        await peer.connect_and_init()

    assert (raised.value.code, raised.value.reason) == (4406, "Subprotocol not acceptable")
    records = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert [record.exc_info for record in records] == [None]


async def test_connection_init_is_answered_with_connection_ack_without_payload(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage), init=False)

    await peer.say("connection_init")

    assert await peer.heard() == {"type": "connection_ack"}
    assert await peer.lives()


async def test_the_ack_carries_what_on_connect_returns_if_it_is_a_dict(
    peers: Peers, stage: Stage
) -> None:
    async def on_connect(self: Any, payload: Any) -> Any:
        return {"seen": payload}

    peer = await peers.connect(consumer(stage, on_connect=on_connect), init=False)

    await peer.say("connection_init", payload={"token": "x"})

    assert await peer.heard() == {"type": "connection_ack", "payload": {"seen": {"token": "x"}}}


@pytest.mark.parametrize("payload", [{}, {"payload": None}, {"payload": ""}])
async def test_an_absent_null_or_empty_payload_of_connection_init_is_no_payload(
    peers: Peers, stage: Stage, payload: dict[str, Any]
) -> None:
    seen = []

    async def on_connect(self: Any, payload: Any) -> None:
        seen.append((payload, self.connection_params))

    peer = await peers.connect(consumer(stage, on_connect=on_connect), init=False)
    await peer.say("connection_init", **payload)

    assert await peer.heard() == {"type": "connection_ack"}
    assert seen == [(payload.get("payload"), {})]


@only_new
async def test_when_on_connect_raises_the_close_is_4403_and_nothing_is_sent(
    peers: Peers, stage: Stage
) -> None:
    serving = consumer(stage, on_connect=refusing(RuntimeError("Connection rejected!")))
    peer = await peers.connect(serving, init=False)

    await peer.say("connection_init")

    assert await peer.closed() == (4403, "Forbidden")


@only_legacy
async def test_when_on_connect_raises_a_legacy_client_is_told_why_and_closed_with_4000(
    peers: Peers, stage: Stage
) -> None:
    serving = consumer(stage, on_connect=refusing(RuntimeError("Connection rejected!")))
    peer = await peers.connect(serving, init=False)

    await peer.say("connection_init")

    assert await peer.heard() == {
        "type": "connection_error",
        "payload": {
            "message": "RuntimeError: Connection rejected!",
            "extensions": {"code": "RuntimeError"},
        },
    }
    assert await peer.closed() == (4000, "Forbidden")


@only_new
async def test_a_second_connection_init_after_the_ack_closes_4429(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.say("connection_init", payload="")

    assert await peer.closed() == (4429, "Too many initialisation requests")


async def test_a_second_connection_init_while_on_connect_decides_closes_4429(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, on_connect=deciding(stage)), init=False)
    await peer.say("connection_init")
    await stage.arrival("connect")

    await peer.say("connection_init")

    assert await peer.closed() == (4429, "Too many initialisation requests")
    assert stage.executed == ["on_connect"]
    assert stage.cancelled == ["connect"]


@only_legacy
async def test_a_second_connection_init_of_a_legacy_client_is_acked_without_a_second_timer(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, send_ping_every=1000), init=False)
    await peer.say("connection_init")
    assert await peer.hear(2) == [{"type": "connection_ack"}, {"type": "ka"}]
    timers = _timers()

    await peer.say("connection_init")
    await peer.ask("1", "{ hello }")

    # No `ka` in between: the pings go on as they did.
    heard = [message["type"] for message in await peer.hear(3)]
    assert heard == ["connection_ack", "data", "complete"]
    assert _timers() == timers


@only_legacy
async def test_operations_go_on_while_a_second_connection_init_is_decided(
    peers: Peers, stage: Stage
) -> None:
    decisions = iter([False, True])

    async def on_connect(self: Any, payload: Any) -> None:
        if next(decisions):
            await stage.wait_at("connect")
            raise RuntimeError

    peer = await peers.connect(consumer(stage, on_connect=on_connect))
    await peer.ask("1", "{ hang }")
    await peer.ask("2", "subscription { onEvent { text } }")
    await stage.arrival("query")

    await peer.say("connection_init")
    await stage.arrival("connect")
    stage.open_gate("query")
    assert [message["id"] for message in await peer.hear(2)] == ["1", "1"]

    await peer.ask("3", "{ hello }")
    stage.open_gate("connect")
    assert (await peer.heard())["type"] == "connection_error"
    assert await peer.closed() == (4000, "Forbidden")
    assert stage.unsubscribed == ["2"]
    assert "hello" not in stage.executed


def _timers() -> int:
    loop: Any = asyncio.get_running_loop()
    # Those of the tests' own guards are cancelled, or there both times.
    return sum(handle.when() - loop.time() > 900 for handle in loop._scheduled)


async def test_a_socket_without_connection_init_in_time_is_closed_with_4408(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, connection_init_wait_timeout=0.01), init=False)

    assert await peer.closed() == (4408, "Connection initialisation timeout")


@only_new
async def test_the_init_timeout_runs_until_connection_init_and_not_until_the_hook_has_decided(
    peers: Peers, stage: Stage
) -> None:
    serving = consumer(stage, on_connect=deciding(stage), connection_init_wait_timeout=0.05)
    peer = await peers.connect(serving, init=False)
    await peer.say("connection_init")
    await stage.arrival("connect")

    witness = await peers.connect(serving, init=False)
    assert (await witness.closed())[0] == 4408

    stage.open_gate("connect")
    assert await peer.heard() == {"type": "connection_ack"}


async def test_an_operation_before_connection_init_closes_4401_and_is_never_executed(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage), init=False)

    await peer.ask("1", "{ hello }")

    assert await peer.closed() == (4401, "Unauthorized")
    assert stage.executed == []


@only_new
async def test_an_operation_before_the_ack_closes_4401_and_is_never_executed(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, on_connect=deciding(stage)), init=False)
    await peer.say("connection_init")
    await peer.ask("1", "{ hello }")

    assert await peer.closed() == (4401, "Unauthorized")
    stage.open_gate("connect")
    assert stage.executed == ["on_connect"]


@only_legacy
async def test_operations_of_a_legacy_client_before_the_ack_are_executed_after_it(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, on_connect=deciding(stage)), init=False)
    await peer.say("connection_init")
    await peer.ask("1", "{ hello }")
    await peer.ask("2", "{ helloAsync }")
    await stage.arrival("connect")
    assert stage.executed == ["on_connect"]

    stage.open_gate("connect")

    assert await peer.hear(3) == [
        {"type": "connection_ack"},
        peer.next("1", {"hello": "Hello, world!"}),
        {"type": "complete", "id": "1"},
    ]
    assert await peer.hear(2) == [
        peer.next("2", {"helloAsync": "Hello, async!"}),
        {"type": "complete", "id": "2"},
    ]


@only_legacy
async def test_operations_of_a_legacy_client_are_dropped_when_it_is_rejected(
    peers: Peers, stage: Stage
) -> None:
    async def on_connect(self: Any, payload: Any) -> None:
        await stage.wait_at("connect")
        raise RuntimeError

    peer = await peers.connect(consumer(stage, on_connect=on_connect), init=False)
    await peer.say("connection_init")
    await peer.ask("1", "{ hello }")
    stage.open_gate("connect")

    assert (await peer.heard())["type"] == "connection_error"
    assert await peer.closed() == (4000, "Forbidden")
    assert stage.executed == []


@only_legacy
async def test_an_operation_that_is_stopped_before_the_ack_is_never_executed(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, on_connect=deciding(stage)), init=False)
    await peer.say("connection_init")
    await peer.ask("1", "{ hello }")
    await peer.stop("1")
    assert await peer.heard() == {"type": "complete", "id": "1"}
    stage.open_gate("connect")

    assert await peer.heard() == {"type": "connection_ack"}
    assert await peer.lives()
    assert stage.executed == ["on_connect"]


async def test_a_connection_that_is_lost_while_on_connect_decides_leaves_nothing(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, on_connect=deciding(stage)), init=False)
    await peer.say("connection_init")
    await stage.arrival("connect")

    async with asyncio.timeout(GUARD):
        await peer.finalize()

    assert stage.cancelled == ["connect"]
    assert [event["type"] for event in peer.sent] == ["websocket.accept"]

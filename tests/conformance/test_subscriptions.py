"""api.md 2.5, protocol.md: what is said of a subscription, from its start to its end."""

from __future__ import annotations

from typing import Any

import pytest

from conformance.peer import NEW, Peers, complete
from conformance.stage import Stage, consumer
from eager_tasks import counts_turns
from support import wait_until

SUBSCRIBE = "subscription { onEvent { text } }"
SEND = "mutation ($text: String!, $room: String) { send(text: $text, room: $room) }"
CONFIRMED = {"confirm_subscriptions": True}


async def send(peer: Any, text: str, room: str | None = None) -> None:
    """Broadcast by a mutation of this connection, and read its answer."""
    await peer.ask("send", SEND, variables={"text": text, "room": room})


def event(peer: Any, id: Any, text: str) -> dict[str, Any]:
    return peer.next(id, {"onEvent": {"text": text}})


def of(id: Any, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [message for message in messages if message["id"] == id]


async def test_nothing_is_sent_on_subscribing(peers: Peers, stage: Stage) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.ask("1", SUBSCRIBE)

    assert await peer.lives()
    assert stage.executed == ["subscribe"]


async def test_a_confirmation_is_a_result_whose_payload_is_exactly_data_null(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, **CONFIRMED))

    await peer.ask("1", SUBSCRIBE)

    assert await peer.heard() == {"type": peer.result, "id": "1", "payload": {"data": None}}
    assert await peer.lives()


async def test_a_confirmation_may_be_any_json_value_and_errors(peers: Peers, stage: Stage) -> None:
    message = {"data": "subscribed", "errors": [RuntimeError("x")]}
    serving = consumer(stage, **CONFIRMED, subscription_confirmation_message=message)
    peer = await peers.connect(serving)

    await peer.ask("1", SUBSCRIBE)

    error = {"message": "RuntimeError: x", "extensions": {"code": "RuntimeError"}}
    assert await peer.heard() == peer.next("1", "subscribed", errors=[error])


async def test_a_subscription_is_not_confirmed_before_its_subscribe_hook_has_returned(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, **CONFIRMED))

    await peer.ask("1", 'subscription { onEvent(gate: "subscribe") { text } }')
    await stage.arrival("subscribe")
    assert await peer.lives()

    stage.open_gate("subscribe")
    assert await peer.heard() == peer.next("1", None)


async def test_a_notification_issued_after_the_confirmation_arrives(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, **CONFIRMED))
    await peer.ask("1", SUBSCRIBE)
    await peer.heard()

    await send(peer, "a")

    assert of("1", await peer.hear(3)) == [event(peer, "1", "a")]


async def test_a_confirmation_comes_before_any_notification(peers: Peers, stage: Stage) -> None:
    peer = await peers.connect(consumer(stage, **CONFIRMED))
    other = await peers.connect(consumer(stage))

    await peer.ask("1", SUBSCRIBE)
    await send(other, "a")
    await other.hear(2)

    heard = await peer.settle()
    assert heard[0] == peer.next("1", None)
    assert heard[1:] in ([], [event(peer, "1", "a")])


@pytest.mark.parametrize("how", ["raise", "refuse", "wrong"])
async def test_a_subscription_that_fails_is_not_confirmed(
    peers: Peers, stage: Stage, how: str
) -> None:
    peer = await peers.connect(consumer(stage, **CONFIRMED))

    await peer.ask("1", f'subscription {{ failing(how: "{how}") {{ ok }} }}')

    answer = await peer.heard()
    assert answer["type"] == ("error" if peer.is_new else "data")
    if not peer.is_new:
        assert await peer.heard() == complete("1")
    assert await peer.lives()


@pytest.mark.parametrize(
    ("how", "text", "code"),
    [
        ("raise", "RuntimeError: out of order", "RuntimeError"),
        ("wrong", "AssertionError: ", "AssertionError"),
        ("refuse", "not for you", None),
    ],
)
async def test_a_subscribe_hook_that_fails_is_an_error_or_legacy_data_and_complete(
    peers: Peers, stage: Stage, how: str, text: str, code: str | None
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.ask("1", f'subscription {{ failing(how: "{how}") {{ ok }} }}')

    answer = await peer.heard()
    if peer.is_new:
        assert (answer["type"], answer["id"]) == ("error", "1")
        [error] = answer["payload"]
    else:
        assert (answer["type"], answer["id"]) == ("data", "1")
        assert answer["payload"]["data"] is None
        [error] = answer["payload"]["errors"]
        assert await peer.heard() == complete("1")
    assert error["message"].startswith(text)
    assert error.get("extensions", {}).get("code") == code
    assert await peer.lives()


async def test_the_id_of_a_subscription_that_failed_is_free_again(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", "subscription { failing { ok } }")
    await peer.hear(1 if peer.is_new else 2)

    await peer.ask("1", "{ double(value: 2) }")

    assert await peer.hear(2) == [peer.next("1", {"double": 4}), complete("1")]


async def test_an_error_in_publish_is_a_result_and_the_subscription_lives_on(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", SUBSCRIBE)

    await send(peer, "fail")
    heard = of("1", await peer.hear(3))
    await send(peer, "a")

    error = {
        "message": "out of order",
        "locations": [{"line": 1, "column": 16}],
        "path": ["onEvent"],
    }
    assert heard == [peer.next("1", {"onEvent": None}, errors=[error])]
    assert of("1", await peer.hear(3)) == [event(peer, "1", "a")]


async def test_notifications_come_in_the_order_issued_also_while_publish_is_slow(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", 'subscription { onEvent(publishGate: "publish") { text } }')
    for number in range(20):
        await send(peer, str(number))
        assert [message["id"] for message in await peer.hear(2)] == ["send", "send"]

    stage.open_gate("publish")

    assert await peer.hear(20) == [event(peer, "1", str(number)) for number in range(20)]


async def test_the_clients_complete_of_a_subscription_is_answered_by_exactly_one(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", SUBSCRIBE)

    for _ in range(10):
        await peer.stop("1")

    assert await peer.heard() == complete("1")
    assert await peer.lives()
    assert stage.unsubscribed == ["1"]


async def test_the_answer_to_the_clients_complete_can_be_switched_off(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, answer_complete=False))
    await peer.ask("1", SUBSCRIBE)

    await peer.stop("1")
    await wait_until(lambda: stage.unsubscribed == ["1"])

    assert await peer.lives()


@counts_turns
async def test_after_a_complete_no_notification_follows_though_broadcasts_are_in_flight(
    peers: Peers, stage: Stage
) -> None:
    serving = consumer(stage)
    peer = await peers.connect(serving)
    witness = await peers.connect(serving)
    await peer.ask("1", SUBSCRIBE)
    await witness.ask("1", SUBSCRIBE)
    await send(peer, "a")
    await peer.stop("1")

    heard = await peer.settle()
    assert await witness.heard() == event(witness, "1", "a")
    heard += await peer.settle()
    assert of("1", heard) in ([complete("1")], [event(peer, "1", "a"), complete("1")])


async def test_an_event_that_is_being_resolved_when_the_client_completes_is_not_sent(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", 'subscription { onEvent(publishGate: "publish") { text } }')
    await send(peer, "a")
    await stage.arrival("publish")
    await peer.hear(2)

    await peer.stop("1")
    stage.open_gate("publish")

    assert await peer.heard() == complete("1")
    assert await peer.lives()


async def test_a_stop_right_behind_the_start_is_answered(peers: Peers, stage: Stage) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.ask("1", SUBSCRIBE)
    await peer.stop("1")

    assert await peer.heard() == complete("1")
    assert await peer.lives()


async def test_a_confirmation_precedes_the_complete_also_when_stops_follow_immediately(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, **CONFIRMED))

    await peer.ask("1", SUBSCRIBE)
    await peer.stop("1")
    await peer.stop("1")

    assert await peer.hear(2) == [peer.next("1", None), complete("1")]
    assert await peer.lives()


async def test_a_complete_during_an_awaiting_subscribe_hook_is_honoured(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", 'subscription { onEvent(gate: "subscribe") { text } }')
    await stage.arrival("subscribe")

    await peer.stop("1")

    assert await peer.heard() == complete("1")
    stage.open_gate("subscribe")
    await send(peer, "a")
    assert of("1", await peer.settle()) == []


async def test_a_stopped_subscription_says_nothing_into_the_next_one_of_its_id(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", 'subscription { onEvent(gate: "subscribe") { text } }')
    await stage.arrival("subscribe")

    await peer.stop("1")
    await peer.ask("1", SUBSCRIBE)
    await wait_until(lambda: stage.cancelled == ["subscribe"])
    assert await peer.lives()

    await send(peer, "a")
    assert of("1", await peer.hear(3)) == [event(peer, "1", "a")]


async def test_one_stop_ends_one_subscription(peers: Peers, stage: Stage) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", SUBSCRIBE)
    await peer.ask("2", SUBSCRIBE)
    await peer.stop("1")
    assert await peer.heard() == complete("1")

    await send(peer, "a")

    assert of("2", await peer.hear(3)) == [event(peer, "2", "a")]


async def test_each_subscription_gets_one_complete_when_the_server_unsubscribes(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", 'subscription { onEvent(room: "a") { text } }')
    await peer.ask("2", 'subscription { onEvent(room: "a") { text } }')
    await peer.ask("3", 'subscription { onEvent(room: "b") { text } }')

    await peer.ask("out", 'mutation { unsubscribe(room: "a") }')

    heard = [message for message in await peer.hear(4) if message["id"] != "out"]
    assert heard == [complete("1"), complete("2")]
    assert await peer.lives()
    assert stage.unsubscribed == ["1", "2"]


async def test_a_stop_that_crosses_the_complete_of_the_server_is_ignored(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", SUBSCRIBE)
    await peer.ask("out", "mutation { unsubscribe }")
    await peer.hear(3)

    await peer.stop("1")

    assert await peer.lives()
    assert stage.unsubscribed == ["1"]


@pytest.mark.parametrize("subprotocol", [NEW])
@pytest.mark.parametrize(
    "query",
    [
        "subscription { onEvent { text } failing { ok } }",
        "subscription ($v: String!) { onEvent(room: $v) { text } }",
    ],
)
async def test_a_subscription_that_can_not_be_executed_is_one_error(
    peers: Peers, stage: Stage, query: str
) -> None:
    peer = await peers.connect(consumer(stage))

    await peer.ask("1", query)

    answer = await peer.heard()
    assert (answer["type"], answer["id"]) == ("error", "1")
    assert answer["payload"]
    assert await peer.lives()

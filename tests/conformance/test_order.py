"""api.md 2.6: what may overtake what."""

from __future__ import annotations

import asyncio

import pytest

from conformance.peer import Peers, complete
from conformance.stage import Stage, consumer
from support import tick

SUBSCRIBE = "subscription { onEvent { text } }"


async def test_a_mutation_that_hangs_does_not_block_later_queries(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", "mutation { hang }")
    await stage.arrival("mutation")

    await peer.ask("2", "{ helloAsync }")

    assert await peer.hear(2) == [
        peer.next("2", {"helloAsync": "Hello, async!"}),
        complete("2"),
    ]
    stage.open_gate("mutation")
    assert await peer.hear(2) == [peer.next("1", {"hang": "released"}), complete("1")]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("field", ["hello", "helloAsync"])
async def test_1000_queries_sent_at_once_on_one_connection_are_all_answered(
    peers: Peers, stage: Stage, field: str, strict: bool
) -> None:
    peer = await peers.connect(consumer(stage, strict_ordering=strict))
    ids = [str(number) for number in range(1000)]

    for id in ids:
        await peer.ask(id, f"{{ {field} }}")

    heard = await peer.hear(2000)
    assert not any("errors" in message.get("payload", {}) for message in heard)
    for type in (peer.result, "complete"):
        answered = [message["id"] for message in heard if message["type"] == type]
        assert (answered if strict else sorted(answered, key=int)) == ids
    # The result of an operation and its complete are sent together.
    assert [each["id"] for each in heard[::2]] == [each["id"] for each in heard[1::2]]


async def test_strictly_a_message_is_processed_to_its_end_before_the_next_one(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage, strict_ordering=True))
    await peer.ask("1", "{ hang }")
    await peer.ask("2", "{ hello }")
    await stage.arrival("query")
    assert stage.executed == ["hang"]

    stage.open_gate("query")

    assert [each["id"] for each in await peer.hear(4)] == ["1", "1", "2", "2"]


@pytest.mark.parametrize(
    ("mutation", "caused"),
    [
        ('mutation { send(text: "a") }', "next"),
        ("mutation { unsubscribe }", "complete"),
    ],
)
async def test_strictly_a_mutations_own_answer_comes_before_what_it_causes(
    peers: Peers, stage: Stage, mutation: str, caused: str
) -> None:
    peer = await peers.connect(consumer(stage, strict_ordering=True))
    await peer.ask("sub", SUBSCRIBE)

    await peer.ask("mutation", mutation)

    heard = [(each["id"], each["type"]) for each in await peer.hear(3)]
    last = peer.result if caused == "next" else caused
    assert heard == [("mutation", peer.result), ("mutation", "complete"), ("sub", last)]


async def test_strictly_a_stop_waits_for_its_subscribe(peers: Peers, stage: Stage) -> None:
    peer = await peers.connect(consumer(stage, strict_ordering=True, confirm_subscriptions=True))

    await peer.ask("1", 'subscription { onEvent(gate: "subscribe") { text } }')
    await peer.stop("1")
    await stage.arrival("subscribe")
    stage.open_gate("subscribe")

    assert await peer.hear(2) == [peer.next("1", None), complete("1")]
    assert await peer.lives()


@pytest.mark.parametrize("strict", [False, True])
async def test_on_disconnect_running_queries_are_cancelled_and_subscriptions_ended(
    peers: Peers, stage: Stage, strict: bool
) -> None:
    peer = await peers.connect(consumer(stage, strict_ordering=strict))
    await peer.ask("1", SUBSCRIBE)
    await peer.ask("2", "{ hang }")
    await stage.arrival("query")

    await peer.finalize()

    assert stage.cancelled == ["query"]
    assert stage.unsubscribed == ["1"]


async def test_on_disconnect_a_mutation_under_way_comes_to_its_end(
    peers: Peers, stage: Stage
) -> None:
    peer = await peers.connect(consumer(stage))
    await peer.ask("1", "mutation { hang }")
    await stage.arrival("mutation")

    leaving = asyncio.create_task(peer.finalize())
    await tick(10)
    assert not leaving.done()
    stage.open_gate("mutation")
    await leaving

    assert stage.cancelled == []

"""What one client has done in threads leaves threads to the others, and is refused nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import graphene
import pytest

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer
from channels_graphql_ws.concurrency.threads import SHARE, THREADS
from support import GUARD, tick, wait_until

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])

gates: dict[str, threading.Event] = {}
inside: list[str] = []
begun: list[str] = []
waiting: list[asyncio.Future[None]] = []


def pass_gate(name: str) -> None:
    """Wait in a thread until the test opens the gate, if it has one of that name."""
    inside.append(name)
    gates.get(name, _open).wait(GUARD)
    inside.remove(name)


_open = threading.Event()
_open.set()


@pytest.fixture(autouse=True)
async def gate() -> AsyncIterator[threading.Event]:
    closed = gates["closed"] = threading.Event()
    yield closed
    closed.set()
    gates.clear()
    # The next test counts its own threads only.
    await wait_until(lambda: not inside)


class Query(graphene.ObjectType):
    """Answers when the test wants it."""

    hold = graphene.String(at=graphene.String())
    late = graphene.String()

    @staticmethod
    async def resolve_late(root: Any, info: Any) -> str:
        waiting.append(asyncio.get_running_loop().create_future())
        await waiting[-1]
        return "late"

    @staticmethod
    def resolve_hold(root: Any, info: Any, at: str | None = None) -> str:
        pass_gate(at or "open")
        return "done"


class Mutation(graphene.ObjectType):
    """Does something when the test wants it."""

    hold = graphene.String()

    @staticmethod
    def resolve_hold(root: Any, info: Any) -> str:
        begun.append("mutation")
        pass_gate("closed")
        return "done"


class Consumer(GraphqlWsConsumer):
    """Executes in threads."""

    schema = graphene.Schema(query=Query, mutation=Mutation)
    resolve_sync_in_threads = True


HELD = '{ hold(at: "closed") }'
OPEN = "{ hold }"


class Hooked(Consumer):
    """Is told of the end of operations."""

    async def on_complete(self, op_id: Any) -> None:
        """Hear of it."""


async def connected(subprotocol: str, consumer: type[Consumer] = Consumer) -> AsgiSocket:
    socket = AsgiSocket(consumer.as_asgi(), subprotocol)
    await socket.acknowledged()
    return socket


async def answered(socket: AsgiSocket, *ids: str) -> None:
    await wait_until(lambda: {f"complete:{id}" for id in ids} <= set(socket.words))


@BOTH
async def test_one_client_has_its_share_of_the_threads_and_the_others_go_on(
    subprotocol: str, gate: threading.Event
) -> None:
    greedy, other = await connected(subprotocol), await connected(subprotocol)
    ids = [str(number) for number in range(2 * THREADS)]
    for id in ids:
        greedy.start(id, HELD)
    await wait_until(lambda: inside.count("closed") == SHARE)
    other.start("1", OPEN)
    await answered(other, "1")
    assert inside.count("closed") == SHARE
    gate.set()
    await answered(greedy, *ids)
    assert not any(word.startswith("error") for word in greedy.words)
    await greedy.drop()
    await other.drop()


@BOTH
async def test_threads_that_work_on_though_nobody_waits_count_as_the_clients(
    subprotocol: str, gate: threading.Event
) -> None:
    greedy = await connected(subprotocol)
    for number in range(SHARE):
        greedy.start(str(number), HELD)
    await wait_until(lambda: inside.count("closed") == SHARE)
    for number in range(SHARE):
        greedy.stop(str(number))
    greedy.start("more", HELD)
    await tick(100)
    assert inside.count("closed") == SHARE
    gate.set()
    await answered(greedy, "more")
    await greedy.drop()


@BOTH
async def test_what_waits_outside_of_a_thread_keeps_no_other_from_it(subprotocol: str) -> None:
    waiting.clear()
    client = await connected(subprotocol)
    ids = [str(number) for number in range(2 * SHARE)]
    for id in ids:
        client.start(id, "{ hold late }")
    await wait_until(lambda: len(waiting) == len(ids))
    for each in waiting:
        each.set_result(None)
    await answered(client, *ids)
    await client.drop()


@BOTH
@pytest.mark.parametrize("consumer", [Consumer, Hooked])
async def test_mutations_that_wait_for_threads_never_begin_when_their_client_has_gone(
    subprotocol: str, consumer: type[Consumer], gate: threading.Event
) -> None:
    begun.clear()
    greedy = await connected(subprotocol, consumer)
    for number in range(3 * SHARE):
        greedy.start(str(number), "mutation { hold }")
    await wait_until(lambda: inside.count("closed") == SHARE)
    greedy.hang_up()
    await tick(10)
    gate.set()
    # Those that have begun come to their end.
    await greedy.ended()
    assert len(begun) == SHARE
    assert not inside


@BOTH
async def test_a_client_that_goes_with_queries_that_wait_for_threads_keeps_none(
    subprotocol: str, gate: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    greedy = await connected(subprotocol)
    for number in range(3 * SHARE):
        greedy.start(str(number), HELD)
    await wait_until(lambda: inside.count("closed") >= SHARE)
    greedy.hang_up()
    # The threads are free while those that wait for them are cancelled.
    gate.set()
    await greedy.ended()
    other = await connected(subprotocol)
    other.start("1", OPEN)
    await answered(other, "1")
    assert not [record for record in caplog.records if record.exc_info]
    await other.drop()

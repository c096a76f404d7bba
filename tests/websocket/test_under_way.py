"""Operations of one user or address that are under way: no more are read while they are many."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from typing import Any

import graphene
import pytest

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer
from channels_graphql_ws.shutdown import connections_of_loop
from channels_graphql_ws.websocket import tasks as of_connection
from channels_graphql_ws.websocket import under_way
from channels_graphql_ws.websocket.under_way import BYTES_FOR_ONE, TOO_MANY, UnderWay
from support import tick, wait_until

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])

PUBLIC, OTHER = "8.8.8.8", "8.8.4.4"

MOST, FEW = 20, 4

running: Counter[str] = Counter()
"""How many resolvers wait, by the name of the gate."""

gates: dict[str, asyncio.Event] = {}


class Query(graphene.ObjectType):
    wait = graphene.String(by=graphene.String(required=True), text=graphene.String())

    @staticmethod
    async def resolve_wait(root: Any, info: Any, by: str, text: str | None = None) -> str:
        running[by] += 1
        try:
            await gates[by].wait()
        finally:
            running[by] -= 1
        return "done"


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query)


@pytest.fixture(autouse=True)
async def _few(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(under_way, "MOST_UNDER_WAY", MOST)
    monkeypatch.setattr(under_way, "FEW", FEW)
    monkeypatch.setattr(of_connection, "FEW", FEW)
    monkeypatch.setattr(under_way, "LONGEST_WAIT", 3_600)
    running.clear()
    gates.update({name: asyncio.Event() for name in "ab"})
    yield
    # Nothing is counted of what is over.
    await wait_until(lambda: gc.collect() >= 0 and not any(map(len, under_way._owned.values())))


async def connect(
    address: str | None = PUBLIC, subprotocol: str = NEW, **options: Any
) -> AsgiSocket:
    client = None if address is None else (address, 1)
    socket = AsgiSocket(Consumer.as_asgi(**options), subprotocol, scope={"client": client})
    await socket.acknowledged()
    return socket


def begin(socket: AsgiSocket, number: int, by: str = "a", **variables: Any) -> None:
    for id in range(number):
        query = f'query($text: String) {{ wait(by: "{by}", text: $text) }}'
        socket.start(f"{by}{id}", query, variables=variables)


async def runs(number: int, by: str = "a") -> None:
    """See that so many come to run, and no more."""
    await wait_until(lambda: running[by] >= number)
    await tick(50)
    assert running[by] == number


def answers(socket: AsgiSocket, by: str = "a") -> int:
    data = [{"data": {"wait": "done"}}]
    ids = {frame["id"] for frame in socket.frames if frame.get("id", "").startswith(by)}
    return sum([each for each in socket.results(id) if each] == data for id in ids)


@BOTH
async def test_no_more_is_read_of_an_owner_with_too_many_until_some_end(subprotocol: str) -> None:
    one, two = [await connect(subprotocol=subprotocol) for _ in range(2)]
    begin(one, 2 * MOST)
    await runs(MOST + FEW)
    begin(two, 2 * MOST, "b")
    # One that has few is always read.
    await runs(FEW + 1, "b")
    other, unknown = await connect(OTHER), await connect(None)
    for socket in (other, unknown):
        before = running["b"]
        begin(socket, MOST, "b")
        await runs(before + MOST, "b")
    gates["a"].set()
    await wait_until(lambda: answers(one) == 2 * MOST)
    gates["b"].set()
    await wait_until(lambda: answers(two, "b") == 2 * MOST)
    for socket in (one, two, other, unknown):
        await socket.drop()


async def test_one_that_has_few_by_now_is_read_whatever_others_of_its_owner_have() -> None:
    one, two = await connect(), await connect()
    begin(one, 2 * MOST)
    await runs(MOST + FEW)
    begin(two, FEW + 3, "b")
    await runs(FEW + 1, "b")
    gates["b"].set()
    await wait_until(lambda: answers(two, "b") == FEW + 3)
    assert answers(one) == 0
    gates["a"].set()
    for socket in (one, two):
        await socket.drop()


@BOTH
async def test_one_that_has_waited_too_long_is_read_again_and_more_is_refused(
    subprotocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(under_way, "LONGEST_WAIT", 0)
    socket = await connect(subprotocol=subprotocol)
    begin(socket, MOST + FEW + 2)
    refused = [f"a{MOST + FEW}", f"a{MOST + FEW + 1}"]
    await wait_until(lambda: all(map(socket.results, refused)))
    await runs(MOST + FEW)
    for id in refused:
        [payload] = socket.results(id)
        assert str(TOO_MANY) in str(payload)
    socket.stop(f"a{MOST + FEW - 1}")
    await runs(MOST + FEW - 1)
    begin(socket, 1, "b")
    await runs(1, "b")
    await socket.drop()
    assert not socket.closes


async def test_a_large_message_counts_as_several() -> None:
    socket = await connect()
    begin(socket, MOST, text="x" * 4 * BYTES_FOR_ONE)
    await runs(MOST // 5)
    gates["a"].set()
    await wait_until(lambda: answers(socket) == MOST)
    await socket.drop()


async def test_nothing_is_expected_of_one_that_is_not_read() -> None:
    socket = await connect()
    [connection] = connections_of_loop().all()
    assert not connection.is_full
    begin(socket, 2 * MOST)
    await runs(MOST + FEW)
    assert connection.is_full
    gates["a"].set()
    await wait_until(lambda: answers(socket) == 2 * MOST)
    assert not connection.is_full
    await socket.drop()


async def test_one_that_has_gone_while_it_was_not_read_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(under_way, "LONGEST_WAIT", 0)
    socket = await connect()
    begin(socket, 2 * MOST)
    await socket.drop()
    assert not running["a"]


async def test_operations_count_for_an_owner_that_is_known_later() -> None:
    owner: list[Any] = [None]
    tasks = [asyncio.ensure_future(tick()) for _ in range(MOST + FEW)]
    mine, others = UnderWay(lambda: owner[0], tasks), UnderWay(lambda: "me", tasks)
    for task in tasks[:-1]:
        mine.add(task, 0)
    assert not mine.is_crowded
    owner[0] = "me"
    mine.add(tasks[-1], 0)
    assert mine.is_crowded
    for task in tasks[: FEW + 1]:
        others.add(task, 0)
    assert others.must_wait
    for task in tasks:
        mine.discard(task)
        mine.discard(task)
    assert not others.must_wait
    for task in tasks[: FEW + 1]:
        others.discard(task)
    await asyncio.gather(*tasks)

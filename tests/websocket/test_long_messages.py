"""Long messages of many clients at once: one is decoded, then others have their turn."""

from __future__ import annotations

import asyncio
from typing import Any

import graphene
import pytest

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer
from channels_graphql_ws.http import parsing
from channels_graphql_ws.json_text import loads_from_client
from channels_graphql_ws.operations import holding, long_texts
from channels_graphql_ws.operations.sizes import LONG_TEXT
from channels_graphql_ws.shutdown import connections_of_loop
from channels_graphql_ws.websocket import connection as module
from channels_graphql_ws.websocket import subprotocols
from http_client import post
from support import tick, wait_until

CONTENT = {"query": "{ ok }", "extensions": {"more": "x" * LONG_TEXT}}


class Query(graphene.ObjectType):
    """Something to ask."""

    ok = graphene.String()

    @staticmethod
    def resolve_ok(root: Any, info: Any) -> str:
        return "ok"


SCHEMA = graphene.Schema(query=Query)


class Consumer(GraphqlWsConsumer):
    """Decodes as all do."""

    schema = SCHEMA


class OwnDecoder(Consumer):
    """Decodes in its own way."""

    def decode_json(self, text: str) -> Any:
        return subprotocols.loads_from_client(text)


class Watch:
    """Counts iterations of the event loop, and notes in which of them a text is decoded."""

    def __init__(self) -> None:
        self.iteration = 0
        self.decoded: list[int] = []
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._next)

    def _next(self) -> None:
        self.iteration += 1
        self._handle = self._loop.call_soon(self._next)

    def loads(self, text: str) -> Any:
        if len(text) > LONG_TEXT:
            self.decoded.append(self.iteration)
        return loads_from_client(text)

    def stop(self) -> None:
        self._handle.cancel()


@pytest.mark.parametrize("application", [Consumer, OwnDecoder])
@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_long_messages_of_sockets_are_decoded_in_turn(
    application: Any, subprotocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets = [AsgiSocket(application.as_asgi(), subprotocol) for _ in range(5)]
    for socket in sockets:
        await socket.acknowledged()
    watch = Watch()
    monkeypatch.setattr(subprotocols, "loads_from_client", watch.loads)
    for socket in sockets:
        socket.start("1", CONTENT["query"], extensions=CONTENT["extensions"])
    for socket in sockets:
        await socket.heard("next:1" if subprotocol == NEW else "data:1", "complete:1")
    watch.stop()
    assert len(set(watch.decoded)) == len(watch.decoded) == 5
    for socket in sockets:
        await socket.drop()


class Pauses:
    """Has each owner pause after each long text until the test ends all pauses."""

    def __init__(self) -> None:
        self._owned: list[Any] = []

    def begin(self, owned: Any, _seconds: float) -> None:
        owned._pause.clear()
        self._owned.append(owned)

    def end(self) -> None:
        owned, self._owned = self._owned, []
        for each in owned:
            each.go_on()


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> Pauses:
    pauses = Pauses()

    def pause(owned: Any, seconds: float) -> None:
        pauses.begin(owned, seconds)

    monkeypatch.setattr(long_texts, "WINDOW", -1.0)
    monkeypatch.setattr(long_texts._Owned, "pause", pause)
    return pauses


def connect(application: Any, subprotocol: str, address: str) -> AsgiSocket:
    scope = {"client": (address, 1_234)}
    return AsgiSocket(application.as_asgi(), subprotocol, scope=scope)


def waiting() -> int:
    """Return how many clients have a long message that waits."""
    return sum(each.is_full for each in connections_of_loop().all())


@pytest.mark.parametrize("application", [Consumer, OwnDecoder])
@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_an_address_pauses_after_a_long_message_and_others_do_not(
    application: Any, subprotocol: str, pauses: Pauses
) -> None:
    one, two = (connect(application, subprotocol, "198.41.0.4") for _ in range(2))
    other = connect(application, subprotocol, "199.9.14.201")
    for socket in (one, two, other):
        await socket.acknowledged()
    one.start("a", **CONTENT)
    await wait_until(lambda: one.results("a"))
    two.start("c", **CONTENT)
    await wait_until(lambda: waiting() == 1)
    one.start("b", **CONTENT)
    await wait_until(lambda: waiting() == 2)
    other.start("d", **CONTENT)
    await wait_until(lambda: other.results("d"))
    await tick(20)
    assert not one.results("b")
    assert not two.results("c")
    # It is its other connection's turn.
    pauses.end()
    await wait_until(lambda: two.results("c"))
    await tick(20)
    assert not one.results("b")
    pauses.end()
    await wait_until(lambda: one.results("b"))
    for socket in (one, two, other):
        await socket.drop()


async def answered(sockets: list[AsgiSocket], id: str, pauses: Pauses) -> None:
    """End one pause after the other until all sockets have their answers, in whatever order."""
    for count in range(1, len(sockets) + 1):
        pauses.end()
        await wait_until(lambda count=count: sum(map(bool, results_of(sockets, id))) == count)


def results_of(sockets: list[AsgiSocket], id: str) -> list[list[Any]]:
    return [each.results(id) for each in sockets]


@pytest.mark.parametrize("application", [Consumer, OwnDecoder])
@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_what_waits_of_an_address_is_bounded(
    application: Any, subprotocol: str, pauses: Pauses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHARE_OF_CONNECTION", 0)
    monkeypatch.setattr(holding, "SHARE", 0)
    # There is room for two.
    monkeypatch.setattr(module, "MOST_HELD", 5 * LONG_TEXT // 2)
    sockets = [connect(application, subprotocol, "198.41.0.4") for _ in range(6)]
    other = connect(application, subprotocol, "199.9.14.201")
    for socket in (*sockets, other):
        await socket.acknowledged()
    sockets[0].start("a", **CONTENT)
    await wait_until(lambda: sockets[0].results("a"))
    for socket in sockets:
        socket.start("b", **CONTENT)
    await wait_until(lambda: sum(bool(each.closes) for each in sockets) == 4)
    reason = "Other large messages of this client are waiting: try again later"
    assert {each.closes[0] for each in sockets if each.closes} == {(1013, reason)}
    # That is no matter of another.
    other.start("a", **CONTENT)
    await wait_until(lambda: other.results("a"))
    left = [each for each in sockets if not each.closes]
    await answered(left, "b", pauses)
    # There is room again.
    for socket in left:
        socket.start("c", **CONTENT)
    await wait_until(lambda: waiting() == 2)
    await answered(left, "c", pauses)
    for socket in (*sockets, other):
        await socket.drop()


async def test_nothing_is_expected_of_a_client_whose_long_message_waits(pauses: Pauses) -> None:
    socket = connect(Consumer, NEW, "198.41.0.4")
    await socket.acknowledged()
    [connection] = connections_of_loop().all()
    socket.start("a", **CONTENT)
    await wait_until(lambda: socket.results("a"))
    assert not connection.is_full
    relieved = connection.relieved
    socket.start("b", **CONTENT)
    await wait_until(lambda: connection.is_full)
    pauses.end()
    await wait_until(lambda: socket.results("b"))
    assert not connection.is_full
    # What it was asked before, it may answer after that.
    assert connection.relieved > relieved
    await socket.drop()


async def test_one_that_has_gone_while_its_long_message_waited_leaves_the_others(
    pauses: Pauses,
) -> None:
    one, two, three = (connect(Consumer, NEW, "198.41.0.4") for _ in range(3))
    for socket in (one, two, three):
        await socket.acknowledged()
    one.start("a", **CONTENT)
    await wait_until(lambda: one.results("a"))
    two.start("b", **CONTENT)
    await wait_until(lambda: waiting() == 1)
    three.start("c", **CONTENT)
    await wait_until(lambda: waiting() == 2)
    two.task.cancel()
    await asyncio.wait([two.task])
    pauses.end()
    await wait_until(lambda: three.results("c"))
    for socket in (one, three):
        await socket.drop()


async def test_an_address_pauses_between_long_bodies_and_others_do_not(pauses: Pauses) -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=SCHEMA)

    def begin(address: str) -> asyncio.Task[Any]:
        return asyncio.create_task(post(application, CONTENT, client=(address, 1_234)))

    await begin("198.41.0.4")
    second, other = map(begin, ["198.41.0.4", "199.9.14.201"])
    await other
    assert not second.done()
    pauses.end()
    assert (await second).json == {"data": {"ok": "ok"}}


async def test_long_bodies_are_decoded_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=SCHEMA)
    watch = Watch()
    monkeypatch.setattr(parsing, "loads_from_client", watch.loads)
    answers = await asyncio.gather(*(post(application, CONTENT) for _ in range(5)))
    watch.stop()
    assert [answer.json for answer in answers] == [{"data": {"ok": "ok"}}] * 5
    assert len(set(watch.decoded)) == len(watch.decoded) == 5

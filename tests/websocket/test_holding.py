"""What operations of one client keep in memory, on all of its connections: there is a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import graphene
import pytest

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.operations import holding
from channels_graphql_ws.websocket import connection

PUBLIC, OTHER = "8.8.8.8", "8.8.4.4"

REFUSED = {
    "message": "Other large requests of this client are still under way: try again later",
    "extensions": {"code": "LIMIT_EXCEEDED"},
}

MORE = {"more": "x" * 40_000}
"""Variables that take so many bytes."""


class Ticks(Subscription):
    """Lasts."""

    text = graphene.String()

    @staticmethod
    def subscribe(root: Any, info: Any) -> list[str]:
        return ["ticks"]

    @staticmethod
    def publish(payload: str, info: Any) -> Any:
        return {"text": payload}


class Subscriptions(graphene.ObjectType):
    """Root type of the subscriptions."""

    ticks = Ticks.Field()


class Query(graphene.ObjectType):
    """Something to ask."""

    ok = graphene.String()
    slow = graphene.String()

    @staticmethod
    def resolve_ok(root: Any, info: Any) -> str:
        return "ok"

    @staticmethod
    async def resolve_slow(root: Any, info: Any) -> str:
        await opened.wait()
        return "slow"


opened = asyncio.Event()


class Consumer(GraphqlWsConsumer):
    """Confirms, so that a test knows what is live."""

    schema = graphene.Schema(query=Query, subscription=Subscriptions)
    confirm_subscriptions = True


@pytest.fixture(autouse=True)
def _room_for_one(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(connection, "MOST_HELD", 100_000)
    monkeypatch.setattr(connection, "SHARE_OF_CONNECTION", 1_000)
    monkeypatch.setattr(holding, "SHARE", 1_000)
    yield
    assert not holding._sizes
    assert not holding._documents


async def connect(subprotocol: str = NEW, address: str = PUBLIC, **options: Any) -> AsgiSocket:
    application = Consumer.as_asgi(**options)
    socket = AsgiSocket(application, subprotocol, scope={"client": (address, 1)})
    await socket.acknowledged()
    return socket


def words_of(subprotocol: str) -> tuple[str, str]:
    return ("next", "error") if subprotocol == NEW else ("data", "error")


@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_large_messages_of_subscriptions_count_on_all_connections(subprotocol: str) -> None:
    result, error = words_of(subprotocol)
    first, second = await connect(subprotocol), await connect(subprotocol)
    stranger = await connect(subprotocol, OTHER)
    for id in "12":
        first.start(id, "subscription { ticks { text } }", variables=MORE)
        await first.heard(f"{result}:{id}")
    second.start("3", "subscription { ticks { text } }", variables=MORE)
    await second.heard(f"{error}:3")
    payload = second.frames[-1]["payload"]
    assert payload == ([REFUSED] if subprotocol == NEW else {"errors": [REFUSED]})
    # What is small is not counted, and what others have neither.
    second.start("4", "subscription { ticks { text } }")
    await second.heard(f"{result}:4")
    stranger.start("5", "subscription { ticks { text } }", variables=MORE)
    await stranger.heard(f"{result}:5")
    # What has ended makes room.
    first.stop("1")
    second.start("6", "{ ok }")
    await second.heard(f"{result}:6", "complete:6")
    second.start("7", "subscription { ticks { text } }", variables=MORE)
    await second.heard(f"{result}:7")
    for socket in (first, second, stranger):
        await socket.drop()


def long_document(number: int, field: str = "ticks { %s }", kind: str = "subscription") -> str:
    fields = " ".join(f"a{alias}: text" for alias in range(80))
    return f"{kind} Q{number} {{ {field % fields} }}"


async def test_a_large_document_counts_once_for_all_of_its_client() -> None:
    first, second = await connect(), await connect()
    for number, socket in enumerate((first, second, first, second)):
        socket.start(str(number), long_document(1))
        await socket.heard(f"next:{number}")
    second.start("4", long_document(2))
    await second.heard("error:4")
    assert second.frames[-1]["payload"] == [REFUSED]
    await first.drop()
    second.start("5", long_document(2))
    await second.heard("error:5")
    for id in "13":
        second.stop(id)
    second.start("6", long_document(2))
    await second.heard("next:6")
    await second.drop()


async def test_a_connection_has_a_share_whatever_others_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = await connect(), await connect()
    for id in "12":
        first.start(id, "subscription { ticks { text } }", variables=MORE)
        await first.heard(f"next:{id}")
    monkeypatch.setattr(connection, "SHARE_OF_CONNECTION", 130_000)
    second.start("3", "subscription { ticks { text } }", variables=MORE)
    await second.heard("next:3")
    second.start("4", long_document(1))
    await second.heard("next:4")
    second.start("5", "subscription { ticks { text } }", variables=MORE)
    await second.heard("error:5")
    # What has ended is not in the share any more.
    second.stop("3")
    second.start("6", "{ ok }")
    await second.heard("next:6", "complete:6")
    second.start("7", "subscription { ticks { text } }", variables=MORE)
    await second.heard("next:7")
    for socket in (first, second):
        await socket.drop()


async def test_an_operation_that_ends_while_its_document_is_parsed_keeps_nothing() -> None:
    socket = await connect()
    # So long that it is parsed in a thread.
    socket.start("1", long_document(1))
    socket.stop("1")
    socket.start("2", "{ ok }")
    await socket.heard("next:2", "complete:2")
    await socket.drop()


async def test_hooks_of_operations_make_no_difference() -> None:
    class Hooked(Consumer):
        """Has a hook for each result."""

        def on_next(self, operation: Any, result: Any) -> None:
            pass

    socket = AsgiSocket(Hooked.as_asgi(), NEW, scope={"client": (PUBLIC, 1)})
    await socket.acknowledged()
    socket.start("1", long_document(1))
    await socket.heard("next:1")
    socket.start("2", long_document(2))
    await socket.heard("error:2")
    await socket.drop()


async def test_who_has_switched_the_bound_for_a_connection_off_has_none_for_all() -> None:
    socket = await connect(max_bytes_in_flight=None)
    for id in "123":
        socket.start(id, long_document(int(id)), variables=MORE)
        await socket.heard(f"next:{id}")
    await socket.drop()

"""What one client has done in threads leaves threads to the others, and is refused nothing.

A client is a user, or an address: not a connection, of which it may have many.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import graphene
import pytest

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer, Subscription
from channels_graphql_ws.concurrency.threads import SHARE, THREADS
from http_client import post
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


class OnHeld(Subscription):
    """Has events when the test wants it."""

    resolve_sync_in_threads = True
    text = graphene.String()

    class Arguments:
        at = graphene.String()
        number = graphene.Int()

    @staticmethod
    def publish(payload: Any, info: Any, at: str = "open", number: int = 0) -> dict[str, Any]:
        pass_gate(at)
        return {"text": payload}


class OnHeldShared(OnHeld):
    """Is executed once for all who ask for the same."""

    text = graphene.String()

    @staticmethod
    def context_id(root: Any, info: Any, at: str = "open", number: int = 0) -> str:
        return "all"


class Subscriptions(graphene.ObjectType):
    """Root type of the subscriptions."""

    on_held = OnHeld.Field()
    on_held_shared = OnHeldShared.Field()


class Consumer(GraphqlWsConsumer):
    """Executes in threads."""

    schema = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscriptions)
    resolve_sync_in_threads = True
    confirm_subscriptions = True

    async def on_connect(self, payload: Any) -> None:
        """Log in who says a name."""
        if "name" in payload:
            self.scope["user"] = user(payload["name"])


HELD = '{ hold(at: "closed") }'
OPEN = "{ hold }"


class Hooked(Consumer):
    """Is told of the end of operations."""

    async def on_complete(self, op_id: Any) -> None:
        """Hear of it."""


PUBLIC, OTHER = {"client": ("8.8.8.8", 1)}, {"client": ("8.8.4.4", 1)}

PRIVATE = {"client": ("10.0.0.1", 1)}
"""Nobody's in particular."""


def user(name: str) -> Any:
    return SimpleNamespace(is_authenticated=True, pk=name)


async def connected(
    subprotocol: str,
    consumer: type[Consumer] = Consumer,
    scope: dict[str, Any] | None = None,
    **payload: Any,
) -> AsgiSocket:
    socket = AsgiSocket(consumer.as_asgi(), subprotocol, scope=scope)
    await socket.acknowledged(payload=payload)
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


def hold(socket: AsgiSocket, count: int, first: int = 0) -> list[str]:
    """Ask for what stays in threads."""
    ids = [str(first + number) for number in range(count)]
    for id in ids:
        socket.start(id, HELD)
    return ids


@BOTH
@pytest.mark.parametrize(
    ("scopes", "neighbour"),
    [
        ([PUBLIC, PUBLIC, PUBLIC], OTHER),
        ([PUBLIC, PUBLIC, PUBLIC], PUBLIC | {"user": user("a")}),
        (
            [
                PUBLIC | {"user": user("a")},
                OTHER | {"user": user("a")},
                PRIVATE | {"user": user("a")},
            ],
            PUBLIC,
        ),
    ],
    ids=["address", "address-user", "user"],
)
async def test_connections_of_a_user_or_address_have_one_share_in_common(
    subprotocol: str,
    scopes: list[dict[str, Any]],
    neighbour: dict[str, Any],
    gate: threading.Event,
) -> None:
    greedy = [await connected(subprotocol, scope=scope) for scope in scopes]
    other = await connected(subprotocol, scope=neighbour)
    ids = [hold(each, SHARE) for each in greedy]
    await wait_until(lambda: inside.count("closed") == SHARE)
    other.start("1", OPEN)
    await answered(other, "1")
    assert inside.count("closed") == SHARE
    gate.set()
    for socket, asked in zip(greedy, ids, strict=True):
        await answered(socket, *asked)
        assert not any(word.startswith("error") for word in socket.words)
    for socket in [*greedy, other]:
        await socket.drop()


@BOTH
@pytest.mark.parametrize("scope", [None, PRIVATE])
async def test_connections_that_nobody_knows_have_shares_of_their_own(
    subprotocol: str, scope: dict[str, Any] | None, gate: threading.Event
) -> None:
    sockets = [await connected(subprotocol, scope=scope) for _ in range(2)]
    for each in sockets:
        hold(each, 2 * SHARE)
    await wait_until(lambda: inside.count("closed") == 2 * SHARE)
    gate.set()
    for each in sockets:
        await each.drop()


@BOTH
async def test_who_logs_in_takes_threads_of_the_user_from_then_on(
    subprotocol: str, gate: threading.Event
) -> None:
    stranger = await connected(subprotocol, scope=PUBLIC)
    hold(stranger, 2 * SHARE)
    await wait_until(lambda: inside.count("closed") == SHARE)
    first = await connected(subprotocol, scope=PUBLIC, name="a")
    hold(first, SHARE)
    await wait_until(lambda: inside.count("closed") == 2 * SHARE)
    second = await connected(subprotocol, scope=OTHER, name="a")
    second.start("late", OPEN)
    await tick(100)
    assert "complete:late" not in second.words
    gate.set()
    await answered(second, "late")
    for socket in (stranger, first, second):
        await socket.drop()


async def test_another_user_of_a_connection_has_threads_though_the_first_has_none_left(
    gate: threading.Event,
) -> None:
    socket = await connected(LEGACY, scope=PUBLIC, name="a")
    # As many results of one connection may be under way, whoever has asked for them.
    hold(socket, SHARE - 1)
    second = await connected(LEGACY, scope=PUBLIC, name="a")
    hold(second, SHARE)
    await wait_until(lambda: inside.count("closed") == SHARE)
    socket.init(payload={"name": "b"})
    await wait_until(lambda: socket.words.count("connection_ack") == 2)
    socket.start("new", OPEN)
    await answered(socket, "new")
    assert inside.count("closed") == SHARE
    gate.set()
    await socket.drop()
    await second.drop()


@BOTH
async def test_connections_of_one_client_take_turns(
    subprotocol: str, gate: threading.Event
) -> None:
    """A second tab does not wait for all that the first has asked for."""
    again = gates["again"] = threading.Event()
    greedy = await connected(subprotocol, scope=PUBLIC)
    tab = await connected(subprotocol, scope=PUBLIC)
    third = await connected(subprotocol, scope=PUBLIC)
    ids = hold(greedy, SHARE)
    await wait_until(lambda: inside.count("closed") == SHARE)
    for number in range(SHARE):
        third.start(str(number), '{ hold(at: "again") }')
    await tick(100)
    tab.start("1", OPEN)
    await tick(100)
    assert len(inside) == SHARE
    gate.set()
    # All places are taken again before those who came first have got theirs.
    await answered(tab, "1")
    await answered(greedy, *ids)
    again.set()
    await answered(third, *map(str, range(SHARE)))
    for socket in (greedy, tab, third):
        await socket.drop()


@BOTH
async def test_a_client_has_one_share_over_both_transports(
    subprotocol: str, gate: threading.Event
) -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=Consumer.schema, resolve_sync_in_threads=True)

    async def ask(query: str, scope: dict[str, Any]) -> None:
        answer = await post(application, {"query": query}, **scope)
        assert answer.json == {"data": {"hold": "done"}}

    socket = await connected(subprotocol, scope=PUBLIC)
    ids = hold(socket, SHARE)
    await wait_until(lambda: inside.count("closed") == SHARE)
    same = asyncio.create_task(ask(OPEN, PUBLIC))
    await asyncio.create_task(ask(OPEN, OTHER))
    assert not same.done()
    gate.set()
    await same
    await answered(socket, *ids)
    await socket.drop()


@BOTH
@pytest.mark.parametrize("subscription_class", [OnHeld, OnHeldShared])
async def test_events_of_one_address_have_their_share_of_the_threads(
    subprotocol: str, subscription_class: type[OnHeld], gate: threading.Event
) -> None:
    name = subscription_class.__name__
    field = name[0].lower() + name[1:]
    greedy = [await connected(subprotocol, scope=PUBLIC) for _ in range(2)]
    for at, socket in enumerate(greedy):
        for number in range(SHARE):
            query = f'{field}(at: "closed", number: {at * SHARE + number}) {{ text }}'
            socket.start(str(number), f"subscription {{ {query} }}")
    other = await connected(subprotocol, scope=OTHER)
    other.start("0", f"subscription {{ {field} {{ text }} }}")
    confirmed = {
        socket: {str(number) for number in range(SHARE)} if socket in greedy else {"0"}
        for socket in [*greedy, other]
    }
    await wait_until(
        lambda: all(socket.results(id) for socket, ids in confirmed.items() for id in ids)
    )
    await subscription_class.broadcast_async(payload="event")
    await wait_until(lambda: len(other.results("0")) == 2)
    await wait_until(lambda: inside.count("closed") == SHARE)
    await tick(100)
    assert inside.count("closed") == SHARE
    gate.set()
    await wait_until(
        lambda: all(
            len(socket.results(id)) == 2 for socket, ids in confirmed.items() for id in ids
        )
    )
    for socket in [*greedy, other]:
        await socket.drop()

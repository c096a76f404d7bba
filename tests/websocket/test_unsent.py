"""Many connections of one client that ask for much and read nothing: the rest waits."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import graphene
import pytest

from asgi_socket import LEGACY, NEW, AsgiSocket, Event
from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.execution import breathing, budget
from channels_graphql_ws.execution.budget import FIRST_LOOK
from channels_graphql_ws.execution.pieces import HeavyEncoding
from channels_graphql_ws.operations.unsent import LARGE, unsent_of_loop
from support import tick, wait_until

pytestmark = pytest.mark.usefixtures("executor")

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])

SIZE = 2 * LARGE

PUBLIC, OTHER = "8.8.8.8", "8.8.4.4"

LIMITS = {"max_unsent_bytes_per_user": 2 * SIZE, "max_unsent_bytes_per_address": 2 * SIZE}
"""Two results may be unsent, and a few bytes of a third."""

made: list[str] = []
"""What was executed."""


class Pages(Subscription):
    """Sends large events."""

    text = graphene.String()

    class Arguments:
        own = graphene.Boolean()

    @staticmethod
    def subscribe(root: Any, info: Any, own: bool = False) -> list[str]:
        return ["pages"]

    @staticmethod
    def publish(payload: str, info: Any, own: bool = False) -> Any:
        made.append("event")
        return {"text": payload * SIZE}


class SharedPages(Pages):
    """Executes once for all clients."""

    @staticmethod
    def context_id(root: Any, info: Any, own: bool = False) -> str:
        return "all"


ITEMS = 10 * FIRST_LOOK


class Item(graphene.ObjectType):
    """One of many."""

    text = graphene.String()

    @staticmethod
    def resolve_text(name: str, info: Any) -> str:
        made.append(name)
        return "x" * (SIZE // ITEMS)


class Query(graphene.ObjectType):
    """Large and small results."""

    large = graphene.String(name=graphene.String())
    items = graphene.List(Item, name=graphene.String())
    small = graphene.String()

    @staticmethod
    def resolve_large(root: Any, info: Any, name: str = "large") -> str:
        made.append(name)
        return "x" * SIZE

    @staticmethod
    def resolve_items(root: Any, info: Any, name: str) -> list[str]:
        return [name] * ITEMS

    @staticmethod
    def resolve_small(root: Any, info: Any) -> str:
        return "small"


class Subscriptions(graphene.ObjectType):
    """Root type of the subscriptions."""

    pages = Pages.Field()
    shared = SharedPages.Field()


class Consumer(GraphqlWsConsumer):
    """With limits that two results reach."""

    schema = graphene.Schema(query=Query, subscription=Subscriptions)
    max_unsent_bytes_per_user = LIMITS["max_unsent_bytes_per_user"]
    max_unsent_bytes_per_address = LIMITS["max_unsent_bytes_per_address"]


class Reader:
    """What a client reads, and how its server waits for that.

    Args:
        lets_go: whether it closes a socket whose client does not read; Uvicorn does not.
        waits_before: whether it takes a message when the client has read those before it, as
            Uvicorn does; else when it has read the message itself.

    Attributes:
        reads: set while the client reads.
        offered: large messages that the server was given.
        is_closing: whether the server was told to close the socket.
    """

    def __init__(self, *, waits_before: bool = False, lets_go: bool = True) -> None:
        self.reads = asyncio.Event()
        self.reads.set()
        self.offered = 0
        self.is_closing = False
        self._waits_before = waits_before
        self._lets_go = lets_go
        self._is_buffered = False

    async def take(self, event: Event) -> None:
        if event["type"] == "websocket.close":
            self.is_closing = True
            if not self._lets_go:
                await self.reads.wait()
        is_large = len(event.get("text") or "") > LARGE
        self.offered += is_large
        if self._waits_before:
            if self._is_buffered:
                await self.reads.wait()
            self._is_buffered = (self._is_buffered or is_large) and not self.reads.is_set()
        elif is_large:
            await self.reads.wait()


@pytest.fixture(autouse=True)
def _nothing_was_made() -> None:
    made.clear()


@pytest.fixture(params=[False, True], ids=["waits-for-each", "waits-before-the-next"])
def waits_before(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def connect(
    reader: Reader, subprotocol: str = NEW, scope: Any = None, **attributes: Any
) -> AsgiSocket:
    application = type("MyConsumer", (Consumer,), attributes).as_asgi()
    scope = {"client": (PUBLIC, 1)} if scope is None else scope
    socket = AsgiSocket(application, subprotocol, scope=scope, on_send=reader.take)
    await socket.acknowledged()
    return socket


async def connected(
    number: int, waits_before: bool, subprotocol: str = NEW, **more: Any
) -> tuple[list[Reader], list[AsgiSocket]]:
    readers = [Reader(waits_before=waits_before) for _ in range(number)]
    sockets = [await connect(reader, subprotocol, **more) for reader in readers]
    for reader in readers:
        reader.reads.clear()
    return readers, sockets


async def leave(*sockets: AsgiSocket) -> None:
    for socket in sockets:
        await socket.drop()
    assert not unsent_of_loop().is_tight


@BOTH
async def test_results_wait_until_others_of_their_owner_are_read(
    subprotocol: str, waits_before: bool
) -> None:
    readers, sockets = await connected(5, waits_before, subprotocol)
    for number, socket in enumerate(sockets):
        socket.start("1", f'{{ large(name: "{number}") }}')
        await wait_until(lambda number=number: len(made) > min(number, 1))
        await tick(10)
    assert made == ["0", "1"]
    readers[0].reads.set()
    await sockets[0].heard("next:1" if subprotocol == NEW else "data:1", "complete:1")
    await wait_until(lambda: made == ["0", "1", "2"])
    # A client that has gone makes room, too.
    await sockets[1].drop()
    await wait_until(lambda: made == ["0", "1", "2", "3"])
    for reader in readers:
        reader.reads.set()
    for socket in (sockets[2], sockets[3], sockets[4]):
        await socket.heard("next:1" if subprotocol == NEW else "data:1", "complete:1")
    await leave(*sockets)


async def test_results_of_threads_wait_as_well(waits_before: bool) -> None:
    readers, sockets = await connected(3, waits_before, resolve_sync_in_threads=True)
    for socket in sockets[:2]:
        socket.start("1", "{ large }")
    await wait_until(lambda: [each.offered for each in readers] == [1, 1, 0])
    sockets[2].start("1", "{ large }")
    await tick(10)
    assert len(made) == 2
    for reader in readers:
        reader.reads.set()
    await sockets[2].heard("next:1", "complete:1")
    await leave(*sockets)


@pytest.mark.parametrize("ends", ["the server lets go", "after a time"])
async def test_nobody_waits_for_ever_for_a_client_that_does_not_read(
    ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if ends == "after a time":
        monkeypatch.setattr("channels_graphql_ws.operations.unsent.GIVEN_UP_FOR", 0)
    readers = [Reader(lets_go=False) for _ in range(2)]
    stalled = [await connect(reader, pong_timeout=0.01) for reader in readers]
    for reader, socket in zip(readers, stalled, strict=True):
        reader.reads.clear()
        socket.start("1", "{ large }")
    await wait_until(lambda: len(made) == 2)
    waits = await connect(Reader())
    waits.start("1", "{ large }")
    if ends == "the server lets go":
        await wait_until(lambda: all(reader.is_closing for reader in readers))
        await tick(20)
        assert len(made) == 2
    else:
        await waits.heard("next:1", "complete:1")
        waits.start("2", "{ large }")
        await waits.heard("next:2", "complete:2")
        assert not any(socket.task.done() for socket in stalled)
    for reader in readers:
        reader.reads.set()
    if ends == "the server lets go":
        await waits.heard("next:1", "complete:1")
    for socket in stalled:
        await socket.ended()
    await leave(waits)


@pytest.mark.parametrize(
    "scope",
    [{"client": (OTHER, 1)}, {"client": (PUBLIC, 1), "user": "b"}],
    ids=["address", "user"],
)
async def test_nobody_else_waits(scope: Any, waits_before: bool) -> None:
    _, sockets = await connected(3, waits_before)
    for socket in sockets:
        socket.start("1", "{ large }")
    await wait_until(lambda: len(made) == 2)
    if "user" in scope:
        scope = {**scope, "user": SimpleNamespace(pk="b", is_authenticated=True)}
    other = await connect(Reader(), scope=scope)
    for id in "123":
        other.start(id, "{ large }")
        await other.heard(f"next:{id}", f"complete:{id}")
    await leave(other, *sockets)


async def test_a_user_whom_on_connect_logs_in_is_counted(waits_before: bool) -> None:
    async def on_connect(self: Any, payload: Any) -> None:
        self.scope["user"] = SimpleNamespace(pk="a", is_authenticated=True)

    _, sockets = await connected(3, waits_before, scope={}, on_connect=on_connect)
    for socket in sockets:
        socket.start("1", "{ large }")
        await tick(10)
    assert len(made) == 2
    await leave(*sockets)


async def test_long_executions_of_clients_that_do_not_read_are_kept(
    waits_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breathing, "MOST_AT_A_TIME", 1)
    monkeypatch.setattr(budget, "WINDOW", 0)
    monkeypatch.setattr(breathing, "WINDOW", 0)
    # With windows of no time, encoding takes as many iterations as executing.
    monkeypatch.setattr(HeavyEncoding, "text_or_rest", HeavyEncoding.text)
    readers, sockets = await connected(5, waits_before)
    for number, socket in enumerate(sockets):
        socket.start("1", f'{{ items(name: "{number}") {{ text }} }}')
    await wait_until(lambda: sum(each.offered for each in readers) == 2)
    await tick(50)
    counts = [made.count(str(number)) for number in range(5)]
    over = [number for number, count in enumerate(counts) if count == ITEMS]
    assert {number for number in range(5) if readers[number].offered} <= set(over)
    # One may be over while the result of another is on its way. The rest would hold theirs.
    assert len(over) in (2, 3), counts
    assert all(0 < count < ITEMS / 2 for count in counts if count < ITEMS), counts
    for reader in readers:
        reader.reads.set()
    for socket in sockets:
        await socket.heard("next:1", "complete:1")
    await leave(*sockets)


async def test_no_more_executions_begin_while_many_long_ones_of_an_owner_are_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breathing, "MOST_UNDER_WAY", 2)
    monkeypatch.setattr(budget, "WINDOW", 0)
    monkeypatch.setattr(breathing, "WINDOW", 0)
    sockets = [await connect(Reader()) for _ in range(5)]
    stranger = await connect(Reader(), scope={"client": (OTHER, 1)})
    for number, socket in enumerate(sockets):
        socket.start("1", f'{{ items(name: "{number}") {{ text }} }}')
    await wait_until(lambda: made.count("0") and made.count("1"))
    await sockets[3].drop()
    stranger.start("1", "{ small }")
    await stranger.heard("next:1", "complete:1")
    assert made.count("0") < ITEMS
    for number in (0, 1, 2, 4):
        await sockets[number].heard("next:1", "complete:1")
    first_of_each = [made.index(str(number)) for number in (0, 1, 2, 4)]
    assert first_of_each == sorted(first_of_each)
    assert "3" not in made, [(n, made.count(n), made.index(n)) for n in "01234"]
    # One of the two was over before the third began.
    assert ITEMS in (made[: first_of_each[2]].count(name) for name in "01")
    await leave(*sockets, stranger)


@pytest.mark.parametrize("field", ["pages", "shared"])
async def test_large_events_wait_in_their_queues(field: str, waits_before: bool) -> None:
    readers, sockets = await connected(4, waits_before)
    for socket in sockets:
        socket.start("1", f"subscription {{ {field} {{ text }} }}")
    await tick(10)
    cls = Pages if field == "pages" else SharedPages
    await cls.broadcast(group="pages", payload="x")
    await wait_until(lambda: made)
    await tick(20)
    assert sum(reader.offered for reader in readers) == 2
    assert unsent_of_loop().is_tight
    for reader in readers:
        reader.reads.set()
    for socket in sockets:
        await wait_until(lambda socket=socket: len(socket.results("1")) == 1)
    await leave(*sockets)


@BOTH
async def test_only_a_client_of_which_nobody_knows_whether_it_has_read_is_asked(
    subprotocol: str,
) -> None:
    known, unknown = [await connect(Reader(), subprotocol) for _ in range(2)]
    known.start("1", "{ large }")
    await wait_until(lambda: known.words[-1:] == ["complete:1"])
    unknown.start("1", "subscription { pages { text } }")
    await tick(10)
    await Pages.broadcast(group="pages", payload="x")
    await wait_until(lambda: unknown.results("1"))
    _, sockets = await connected(3, False, subprotocol)
    for socket in sockets:
        socket.start("1", "{ large }")
    await wait_until(lambda: unknown.words[-1] == ("ping" if subprotocol == NEW else "ka"))
    assert known.words[-1] == "complete:1"
    await leave(known, unknown, *sockets)


async def test_small_results_go_while_there_is_room_and_are_not_counted() -> None:
    socket = await connect(Reader(), max_unsent_bytes_per_address=0)
    for id in "123":
        socket.start(id, "{ small }")
        await socket.heard(f"next:{id}", f"complete:{id}")
    assert not unsent_of_loop().is_tight
    await leave(socket)

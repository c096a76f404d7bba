"""What one user or address awaits at a time: its next executions begin when that is less."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from typing import Any

import graphene
import pytest

from asgi_socket import AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.execution import crowds
from channels_graphql_ws.execution.compiler import awaiting as turns
from support import tick, wait_until

BOTH = pytest.mark.usefixtures("executor")

PUBLIC, OTHER = "8.8.8.8", "8.8.4.4"

FIELDS = 60
RESULT = {f"a{number}": 1 for number in range(FIELDS)}

awaited: Counter[str] = Counter()
"""How many fields are awaited at the moment, by the name of who asks for them."""

gates: dict[str, asyncio.Event] = {}


class Item(graphene.ObjectType):
    fails = graphene.NonNull(graphene.Int)
    slow = graphene.Int(by=graphene.String(required=True))

    @staticmethod
    async def resolve_fails(root: Any, info: Any) -> int:
        raise ValueError("no")

    @staticmethod
    async def resolve_slow(root: Any, info: Any, by: str) -> int:
        awaited[by] += 1
        try:
            await gates[by].wait()
        finally:
            awaited[by] -= 1
        return 1


class Query(graphene.ObjectType):
    item = graphene.Field(Item)
    items = graphene.List(Item)

    @staticmethod
    def resolve_item(root: Any, info: Any) -> dict[str, Any]:
        return {}

    @staticmethod
    def resolve_items(root: Any, info: Any) -> list[dict[str, Any]]:
        return [{}]


class OnItem(Subscription):
    item = graphene.Field(Item)

    @staticmethod
    def publish(payload: Any, info: Any) -> dict[str, Any]:
        return {"item": {}}


class OnFirst(OnItem):
    """Begins with an event."""

    item = graphene.Field(Item)

    @staticmethod
    def initial(root: Any, info: Any) -> dict[str, Any]:
        return {"item": {}}


class OnShared(OnItem):
    """Is executed once for all clients that ask for the same."""

    item = graphene.Field(Item)

    @staticmethod
    def context_id(root: Any, info: Any) -> str:
        return "all"


class OnSharedFirst(OnFirst):
    """Is shared, and begins with an event for each."""

    item = graphene.Field(Item)

    @staticmethod
    def context_id(root: Any, info: Any) -> str:
        return "all"


class Subscriptions(graphene.ObjectType):
    on_item = OnItem.Field()
    on_first = OnFirst.Field()
    on_shared = OnShared.Field()
    on_shared_first = OnSharedFirst.Field()
    generated = graphene.Field(Item)

    @staticmethod
    async def subscribe_generated(root: Any, info: Any) -> Any:
        yield {}

    @staticmethod
    def resolve_generated(root: Any, info: Any) -> Any:
        return root


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Subscriptions)
    confirm_subscriptions = True
    max_aliases = None
    max_root_fields = None


@pytest.fixture(autouse=True)
async def _two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> Any:
    """With two executions as many fields are awaited as may be."""
    monkeypatch.setattr(crowds, "MOST_AWAITED", 2 * FIELDS)
    awaited.clear()
    gates.update({"one": asyncio.Event(), "other": asyncio.Event()})
    yield
    # Nothing is counted of what is over.
    await wait_until(lambda: not crowds.full_crowds)
    await wait_until(lambda: gc.collect() >= 0 and not any(crowds._crowds.values()))


async def connect(address: str | None = PUBLIC, **options: Any) -> AsgiSocket:
    client = None if address is None else (address, 1)
    socket = AsgiSocket(Consumer.as_asgi(**options), scope={"client": client})
    await socket.acknowledged()
    return socket


def slow(number: int, by: str) -> str:
    """Give a selection that no other operation has."""
    fields = " ".join(f'a{each}: slow(by: "{by}")' for each in range(FIELDS))
    return f"{{ t{number}: __typename {fields} }}"


def begin(socket: AsgiSocket, field: str, by: str = "one", number: int = 5) -> None:
    kind = "query" if field in {"item", "items"} else "subscription"
    for id in range(number):
        inner = slow(id, by) if field in {"items", "generated"} else f"{{ item {slow(id, by)} }}"
        text = f"item {slow(id, by)}" if field == "item" else f"{field} {inner}"
        socket.start(str(id), f"{kind} {{ {text} }}")


async def expect_two_at_a_time(socket: AsgiSocket, *ended: int) -> None:
    """See that the executions of a client come in twos until all but some are answered."""
    await wait_until(lambda: awaited["one"] >= 2 * FIELDS)
    await tick(50)
    assert awaited["one"] == 2 * FIELDS
    gates["one"].set()
    ids = [id for id in range(5) if id not in ended]
    await wait_until(lambda: all(results(socket, id) for id in ids))
    for id in ids:
        [value] = results(socket, id)[0].values()
        item = value[0] if isinstance(value, list) else value.get("item", value)
        assert {key: item[key] for key in RESULT} == RESULT


async def live(socket: AsgiSocket, number: int = 5) -> None:
    """Wait until subscriptions are confirmed."""
    await wait_until(lambda: all(socket.results(str(id)) for id in range(number)))


def results(socket: AsgiSocket, id: object) -> list[Any]:
    """Give what an operation has got, but for its confirmation."""
    return [each["data"] for each in socket.results(str(id)) if each and each["data"]]


@BOTH
@pytest.mark.parametrize("field", ["item", "items", "generated", "onFirst", "onSharedFirst"])
async def test_what_a_client_begins_itself_waits(field: str) -> None:
    socket = await connect()
    begin(socket, field)
    await expect_two_at_a_time(socket)
    await socket.drop()


@BOTH
@pytest.mark.parametrize("cls", [OnItem, OnShared])
async def test_events_of_many_subscriptions_wait(cls: type[OnItem]) -> None:
    socket = await connect()
    begin(socket, "onItem" if cls is OnItem else "onShared")
    await live(socket)
    await cls.broadcast(payload="x")
    await expect_two_at_a_time(socket)
    await socket.drop()


@BOTH
async def test_of_a_client_without_an_address_those_of_its_connection_count() -> None:
    socket = await connect(None)
    begin(socket, "item")
    await expect_two_at_a_time(socket)
    await socket.drop()


@BOTH
async def test_those_of_all_connections_of_an_address_count_and_those_of_others_do_not() -> None:
    first, second, stranger = await connect(), await connect(), await connect(OTHER)
    for socket in (first, second):
        begin(socket, "item", number=2)
    await wait_until(lambda: awaited["one"] == 2 * FIELDS)
    await tick(50)
    assert awaited["one"] == 2 * FIELDS
    begin(stranger, "item", "other", number=1)
    await wait_until(lambda: awaited["other"] == FIELDS)
    for gate in gates.values():
        gate.set()
    for socket, number in ((first, 2), (second, 2), (stranger, 1)):
        await wait_until(lambda: all(results(socket, id) for id in range(number)))  # noqa: B023
        await socket.drop()


@BOTH
@pytest.mark.parametrize("others", [[OTHER], [OTHER, "1.1.1.1", "1.0.0.1"]])
async def test_what_somebody_shares_with_others_does_not_wait_for_it_alone(
    others: list[str],
) -> None:
    sockets = [await connect(address) for address in (PUBLIC, *others)]
    for each in sockets:
        begin(each, "onShared", "other", number=1)
        await live(each, 1)
    busy = await connect()
    begin(busy, "item", number=2)
    await wait_until(lambda: awaited["one"] == 2 * FIELDS)
    await OnShared.broadcast(payload="x")
    await wait_until(lambda: awaited["other"] == FIELDS)
    for gate in gates.values():
        gate.set()
    await wait_until(lambda: all(results(each, 0) for each in sockets))
    for each in (*sockets, busy):
        await each.drop()


@BOTH
@pytest.mark.parametrize("cls", [OnItem, OnShared])
async def test_who_is_stopped_while_it_waits_keeps_nobody_waiting(cls: type[OnItem]) -> None:
    socket = await connect()
    begin(socket, "onItem" if cls is OnItem else "onShared")
    await live(socket)
    await cls.broadcast(payload="x")
    await wait_until(lambda: awaited["one"] == 2 * FIELDS)
    await tick(20)
    socket.stop("3")
    await tick(20)
    await expect_two_at_a_time(socket, 3)
    assert results(socket, 3) == []
    await socket.drop()


@BOTH
async def test_a_client_that_leaves_gives_back_what_it_awaits() -> None:
    socket = await connect()
    begin(socket, "item")
    await wait_until(lambda: awaited["one"] == 2 * FIELDS)
    await socket.drop()
    await wait_until(lambda: not awaited["one"])
    gates["one"].set()
    another = await connect()
    begin(another, "item", number=1)
    await wait_until(lambda: results(another, 0))
    await another.drop()


@pytest.mark.parametrize("field", ["item", "items", "many"])
async def test_what_goes_on_beside_an_error_counts_until_it_is_over(
    field: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # More than begin together.
    monkeypatch.setattr(turns, "OBJECTS_AT_ONCE", 1 if field == "many" else 1_000)
    # graphql-core forgets what it awaits.
    socket = await connect(compile_operations=True)
    for id in range(5):
        fields = " ".join(f'a{each}: slow(by: "one")' for each in range(FIELDS))
        text = f"{{ {'items' if field == 'many' else field} {{ t{id}: fails {fields} }} }}"
        socket.start(str(id), text)
    await wait_until(lambda: socket.results("0") and socket.results("1"))
    await tick(50)
    assert awaited["one"] == 2 * FIELDS
    assert not any(socket.results(str(id)) for id in (2, 3, 4))
    gates["one"].set()
    await wait_until(lambda: all(socket.results(str(id)) for id in range(5)))
    for id in range(5):
        assert [error["message"] for error in socket.results(str(id))[0]["errors"]] == ["no"]
    await socket.drop()

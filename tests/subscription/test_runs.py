"""Generators that survive the connection of their client: `resumable`."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any
from weakref import ref

import graphene
import pytest
from channels.layers import InMemoryChannelLayer, channel_layers
from graphql import GraphQLError

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import BasePermission, GraphqlWsConsumer, protected, resumable
from channels_graphql_ws.pubsub.history.interfaces import Position
from channels_graphql_ws.subscription import run_post, runs
from channels_graphql_ws.subscription.cursor import CursorCodec
from channels_graphql_ws.subscription.run_cursor import RunCursor
from channels_graphql_ws.subscription.runs import runs_of_loop
from support import tick, wait_until

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])

KEPT_FOR = 1_000


class Script:
    """What the generator of a test yields, and what became of it."""

    def __init__(self) -> None:
        self.calls = 0
        self.closed = 0
        self.yielded = 0
        self.allowed = asyncio.Semaphore(0)
        self.failure: Exception | None = None
        self.permitted = True

    def allow(self, number: int) -> None:
        """Let the generator go on for so many steps."""
        for _ in range(number):
            self.allowed.release()

    async def numbers(self, to: int) -> AsyncIterator[int]:
        self.calls += 1
        try:
            for number in range(1, to + 1):
                await self.allowed.acquire()
                self.yielded = number
                yield number
            await self.allowed.acquire()
            if self.failure is not None:
                raise self.failure
        finally:
            self.closed += 1


class Permitted(BasePermission):
    def has_permission(self, source: Any, info: Any) -> bool:
        return info.context.channels_scope["script"].permitted


class Anything(graphene.Scalar):
    """Takes what is no JSON."""

    class Meta:
        name = "Any"

    parse_value = staticmethod(lambda value: value)


class Root(graphene.ObjectType):
    count = graphene.Int(to=graphene.Int(default_value=20))
    guarded = graphene.Int()
    brief = graphene.Int()
    narrow = graphene.String()
    wide = graphene.String()
    free = graphene.Int(of=Anything())

    @resumable(KEPT_FOR, runs_per_user=2, runs_per_process=4)
    async def subscribe_count(root, info, to):  # noqa: N805 (root, not self)
        async for number in info.context.channels_scope["script"].numbers(to):
            yield number

    @protected(Permitted)
    @resumable(KEPT_FOR)
    async def subscribe_guarded(root, info):  # noqa: N805
        async for number in info.context.channels_scope["script"].numbers(20):
            yield number

    @staticmethod
    @resumable(0.001)
    async def subscribe_brief(root, info):
        async for number in info.context.channels_scope["script"].numbers(20):
            yield number

    @resumable(KEPT_FOR, max_events=4, max_bytes=1_000)
    async def subscribe_narrow(root, info):  # noqa: N805
        async for number in info.context.channels_scope["script"].numbers(20):
            yield f"{number}"

    @resumable(KEPT_FOR, max_bytes=1_000)
    async def subscribe_wide(root, info):  # noqa: N805
        async for number in info.context.channels_scope["script"].numbers(20):
            yield f"{number} " + "ä" * 200

    @resumable(KEPT_FOR)
    async def subscribe_free(root, info, of):  # noqa: N805
        yield 1


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Root)


COUNT = "subscription { x: count }"


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture(autouse=True)
async def nothing_stays_behind() -> AsyncIterator[None]:
    """End the runs of the test, and see that they are gone."""
    yield
    for run in list(runs_of_loop().runs.values()):
        await run.close_soon(runs.LOST)
    assert runs_of_loop().runs == {}


class Client:
    """One connection with one subscription, and what came for it."""

    def __init__(
        self, script: Script, subprotocol: str = NEW, user: Any = None, **options: Any
    ) -> None:
        scope: dict[str, Any] = {"script": script}
        if user is not None:
            scope["user"] = SimpleNamespace(pk=user, is_authenticated=True)
        session = options.pop("session", None)
        if session is not None:
            scope["session"] = SimpleNamespace(session_key=session)
        consumer = type("Mine", (Consumer,), options)
        self.socket = AsgiSocket(consumer.as_asgi(), subprotocol, scope=scope)

    async def subscribe(self, query: str = COUNT, cursor: Any = None, **payload: Any) -> Client:
        await self.socket.acknowledged()
        if cursor is not None:
            payload["extensions"] = {"cursor": cursor}
        self.socket.start("s", query, **payload)
        return self

    @property
    def payloads(self) -> list[Any]:
        """What came as events."""
        frames = [each for each in self.socket.frames if each.get("id") == "s"]
        return [each["payload"] for each in frames if each["type"] in {"next", "data"}]

    @property
    def values(self) -> list[Any]:
        """The field of each event that has one."""
        return [each["data"]["x"] for each in self.payloads if each.get("data")]

    @property
    def codes(self) -> list[str]:
        """The codes of all errors."""
        errors = [error for each in self.payloads for error in each.get("errors") or ()]
        for frame in self.socket.frames:
            if frame["type"] == "error":
                found = frame["payload"]
                errors += found if isinstance(found, list) else [found]
        return [error["extensions"]["code"] for error in errors]

    @property
    def told(self) -> list[Any]:
        """What each event said of recovery."""
        return [each.get("extensions", {}).get("recovered") for each in self.payloads]

    @property
    def cursor(self) -> str:
        cursor: str = self.payloads[-1]["extensions"]["cursor"]
        return cursor

    async def gets(self, number: int) -> list[Any]:
        await wait_until(lambda: len(self.payloads) >= number)
        return self.values

    async def ends(self) -> str:
        """Wait for the last word on the subscription."""
        ends = {"complete:s", "error:s"}
        await wait_until(lambda: ends.intersection(self.socket.words))
        return next(word for word in self.socket.words if word in ends)

    async def leave(self) -> str:
        """Lose the connection; give the last cursor."""
        await self.socket.drop()
        return self.cursor


@BOTH
async def test_who_reloads_at_the_seventh_of_twenty_gets_all_of_them_and_it_ran_once(
    script: Script, subprotocol: str
) -> None:
    first = await Client(script, subprotocol).subscribe()
    script.allow(7)
    assert await first.gets(7) == list(range(1, 8))
    cursor = await first.leave()
    script.allow(5)
    await wait_until(lambda: script.yielded == 12)
    second = await Client(script, subprotocol).subscribe(cursor=cursor)
    await second.gets(5)
    script.allow(9)
    assert await second.ends() == "complete:s"
    assert first.values + second.values == list(range(1, 21))
    assert first.told == [None] * 7
    assert second.told == [True, *[None] * 12]
    assert (script.calls, script.closed) == (1, 1)
    await second.socket.drop()


@BOTH
async def test_a_confirmation_has_the_cursor_of_the_beginning(
    script: Script, subprotocol: str
) -> None:
    first = await Client(script, subprotocol, confirm_subscriptions=True).subscribe()
    await first.gets(1)
    start = first.cursor
    script.allow(3)
    assert await first.gets(4) == [1, 2, 3]
    await first.leave()
    second = await Client(script, subprotocol, confirm_subscriptions=True).subscribe(cursor=start)
    assert await second.gets(4) == [1, 2, 3]
    assert second.payloads[0] == {
        "data": None,
        "extensions": {"cursor": start, "recovered": True},
    }
    assert second.told == [True, True, None, None]
    await second.socket.drop()


@BOTH
@pytest.mark.parametrize("failure", [None, GraphQLError("broken", extensions={"code": "BROKEN"})])
async def test_the_end_of_a_run_reaches_those_who_come_later(
    script: Script, subprotocol: str, failure: Exception | None
) -> None:
    script.failure = failure
    first = await Client(script, subprotocol).subscribe()
    script.allow(19)
    await first.gets(19)
    cursor = await first.leave()
    script.allow(2)
    await wait_until(lambda: script.closed)
    for values in ([20], []):
        later = await Client(script, subprotocol).subscribe(cursor=cursor)
        await later.ends()
        assert later.values == values
        assert later.codes == ([] if failure is None else ["BROKEN"])
        if values:
            cursor = later.payloads[0]["extensions"]["cursor"]
        await later.socket.drop()
    assert script.calls == 1


async def test_two_clients_watch_one_run(script: Script) -> None:
    first = await Client(script).subscribe()
    script.allow(2)
    await first.gets(2)
    second = await Client(script).subscribe(cursor=first.cursor)
    script.allow(19)
    assert [await first.ends(), await second.ends()] == ["complete:s"] * 2
    assert first.values == list(range(1, 21))
    assert second.values == list(range(3, 21))
    assert script.calls == 1
    await first.socket.drop()
    await second.socket.drop()


@BOTH
async def test_a_client_that_stops_ends_the_run_unless_another_one_watches(
    script: Script, subprotocol: str
) -> None:
    first = await Client(script, subprotocol).subscribe()
    script.allow(1)
    await first.gets(1)
    second = await Client(script, subprotocol).subscribe(cursor=first.cursor)
    script.allow(1)
    await second.gets(1)
    first.socket.stop("s")
    await first.ends()
    script.allow(1)
    assert await second.gets(2) == [2, 3]
    assert script.closed == 0
    second.socket.stop("s")
    await second.ends()
    assert script.closed == 1
    third = await Client(script, subprotocol).subscribe(cursor=second.cursor)
    await third.ends()
    assert third.codes == ["RUN_LOST"]
    for each in (first, second, third):
        await each.socket.drop()


def forged(host: bytes = b"h" * 16, run: bytes = b"r" * 16, position: Any = 0) -> str:
    return RunCursor(host, run, position).encode()


@pytest.mark.parametrize(
    "cursor",
    [
        1,
        {},
        "",
        "no cursor",
        "ü",
        "A" * 10_000,
        CursorCodec(["group"]).encode({"group": Position("epoch", 1)}),
        forged(),
        forged(host=b"short"),
        forged(run=b"short"),
        forged(position=-1),
        forged(position=2**60),
        forged(position="1"),
    ],
)
async def test_a_cursor_that_leads_nowhere_begins_nothing(script: Script, cursor: Any) -> None:
    client = await Client(script).subscribe(cursor=cursor)
    assert await client.ends() == "complete:s"
    [payload] = client.payloads
    assert payload["data"] is None
    assert payload["extensions"] == {"recovered": False}
    assert client.codes == ["RUN_LOST"]
    assert script.calls == 0
    await client.socket.drop()


async def begun(script: Script, number: int = 3, **options: Any) -> Client:
    """Give a client that has had some events."""
    client = await Client(script, **options).subscribe()
    script.allow(number)
    await client.gets(number)
    return client


async def refused(script: Script, cursor: str, query: str = COUNT, **more: Any) -> None:
    """See that a client does not get at a run."""
    payload = more.pop("payload", {})
    client = await Client(script, **more).subscribe(query, cursor=cursor, **payload)
    await client.ends()
    assert client.codes == ["RUN_LOST"]
    assert client.values == []
    await client.socket.drop()


async def test_an_unknown_run_and_a_place_it_has_not_reached_are_lost(script: Script) -> None:
    first = await begun(script)
    known = RunCursor.decode(first.cursor)
    assert known is not None
    await refused(script, known._replace(run=b"r" * 16).encode())
    await refused(script, known._replace(position=4).encode())
    await first.socket.drop()


@pytest.mark.parametrize(
    ("mine", "others"),
    [
        ({"user": 1}, {"user": 2}),
        ({"user": 1}, {}),
        ({}, {"user": 1}),
        ({"session": "a"}, {"session": "b"}),
        ({"session": "a"}, {"user": "a"}),
        ({"session": "a"}, {}),
    ],
)
async def test_the_cursor_of_another_is_of_no_use(
    script: Script, mine: dict[str, Any], others: dict[str, Any]
) -> None:
    cursor = await (await begun(script, **mine)).leave()
    await refused(script, cursor, **others)
    again = await Client(script, **mine).subscribe(cursor=cursor)
    script.allow(1)
    assert await again.gets(1) == [4]
    await again.socket.drop()


@pytest.mark.parametrize(
    ("query", "payload"),
    [
        ("subscription { x: count(to: 20) }", {}),
        ("subscription { x: brief }", {}),
        ("subscription { x: narrow }", {}),
    ],
)
async def test_the_cursor_of_another_operation_is_of_no_use(
    script: Script, query: str, payload: dict[str, Any]
) -> None:
    cursor = await (await begun(script)).leave()
    await refused(script, cursor, query, payload=payload)


async def test_the_cursor_of_other_variables_is_of_no_use(script: Script) -> None:
    query = "subscription ($to: Int) { x: count(to: $to) }"
    first = await Client(script).subscribe(query, variables={"to": 5})
    script.allow(2)
    await first.gets(2)
    cursor = await first.leave()
    await refused(script, cursor, query, payload={"variables": {"to": 6}})
    again = await Client(script).subscribe(query, cursor=cursor, variables={"to": 5})
    script.allow(1)
    assert await again.gets(1) == [3]
    await again.socket.drop()


async def test_variables_that_are_no_json_are_refused(script: Script) -> None:
    def on_operation(self: Any, op_id: Any, payload: Any) -> Any:
        return {"variables": {"to": object()}}

    query = "subscription ($to: Any) { x: free(of: $to) }"
    client = await Client(script, on_operation=on_operation).subscribe(query)
    assert await client.ends() == "error:s"
    assert "variables that are JSON" in client.socket.frames[-1]["payload"][0]["message"]
    await client.socket.drop()


async def test_permissions_are_asked_again_of_those_who_come_back(script: Script) -> None:
    query = "subscription { x: guarded }"
    first = await Client(script).subscribe(query)
    script.allow(1)
    await first.gets(1)
    cursor = await first.leave()
    script.permitted = False
    denied = await Client(script).subscribe(query, cursor=cursor)
    assert await denied.ends() == "error:s"
    assert denied.codes == ["FORBIDDEN"]
    script.permitted = True
    again = await Client(script).subscribe(query, cursor=cursor)
    script.allow(1)
    assert await again.gets(1) == [2]
    await denied.socket.drop()
    await again.socket.drop()


async def test_of_one_user_the_oldest_run_without_a_client_gives_way() -> None:
    first, second, third, other, fourth = (Script() for _ in range(5))
    clients = [await begun(first, user=1), await begun(second, user=1)]
    refusal = await Client(third, user=1).subscribe()
    assert await refusal.ends() == "error:s"
    assert refusal.codes == ["LIMIT_EXCEEDED"]
    clients += [refusal, await begun(other, user=2)]
    cursor = await clients.pop(0).leave()
    clients.append(await begun(fourth, user=1))
    await wait_until(lambda: first.closed)
    await refused(first, cursor, user=1)
    assert [each.calls for each in (first, second, third, other, fourth)] == [1, 1, 0, 1, 1]
    for each in clients:
        await each.socket.drop()


async def test_a_process_has_so_many_runs() -> None:
    clients = [await begun(Script()) for _ in range(4)]
    fifth = await Client(Script()).subscribe()
    assert await fifth.ends() == "error:s"
    assert fifth.codes == ["LIMIT_EXCEEDED"]
    for each in (*clients, fifth):
        await each.socket.drop()


async def test_a_run_without_a_client_waits_when_its_buffer_is_full(script: Script) -> None:
    query = "subscription { x: narrow }"
    first = await Client(script).subscribe(query)
    script.allow(21)
    # With a client, it goes on.
    await first.ends()
    assert script.yielded == 20
    await first.socket.drop()

    script.yielded = 0
    first = await Client(script).subscribe(query)
    script.allow(2)
    await first.gets(2)
    start = first.cursor
    script.allow(6)
    await first.gets(8)
    cursor = await first.leave()
    script.allow(20)
    # Two that the client may not have got are kept for it, and two new ones fit.
    await wait_until(lambda: script.yielded == 11)
    await tick(20)
    assert script.yielded == 11
    again = await Client(script).subscribe(query, cursor=cursor)
    await again.ends()
    assert again.values == [str(number) for number in range(9, 21)]
    assert again.told[0] is True
    late = await Client(script).subscribe(query, cursor=start)
    await late.ends()
    assert late.payloads[0]["data"] is None
    assert late.told[:2] == [False, None]
    assert late.values == [str(number) for number in range(17, 21)]
    await again.socket.drop()
    await late.socket.drop()


async def test_the_buffer_is_bounded_in_bytes(script: Script) -> None:
    query = "subscription { x: wide }"
    first = await Client(script).subscribe(query)
    script.allow(1)
    await first.gets(1)
    cursor = await first.leave()
    script.allow(20)
    await wait_until(lambda: script.yielded == 4)
    await tick(20)
    assert script.yielded == 4
    again = await Client(script).subscribe(query, cursor=cursor)
    await again.ends()
    assert [int(value.split()[0]) for value in again.values] == list(range(2, 21))
    await again.socket.drop()

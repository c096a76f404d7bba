"""Generators that survive the connection of their client: `resumable`."""

from __future__ import annotations

import asyncio
import gc
import itertools
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any
from weakref import ref

import graphene
import pytest
from channels.layers import InMemoryChannelLayer, channel_layers
from django.contrib.auth.models import AnonymousUser
from graphql import GraphQLError, GraphQLField, GraphQLInt

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import (
    BasePermission,
    ChannelLayerError,
    GraphqlWsClient,
    GraphqlWsConsumer,
    Retry,
    RunStatistics,
    Subscription,
    disconnect_user,
    protected,
    resumable,
    statistics,
)
from channels_graphql_ws.operations import resuming
from channels_graphql_ws.operations.listing import list_process
from channels_graphql_ws.operations.session import EndpointSession
from channels_graphql_ws.operations.subscribing import Subscribing
from channels_graphql_ws.pubsub.history.interfaces import Position
from channels_graphql_ws.pubsub.hub import Hub, hub_of
from channels_graphql_ws.serializer import Serializer
from channels_graphql_ws.shutdown import connections_of_loop
from channels_graphql_ws.signals import subscribed, unsubscribed
from channels_graphql_ws.subscription import run_post, runs
from channels_graphql_ws.subscription.cursor import CursorCodec
from channels_graphql_ws.subscription.resumable import resumable_options
from channels_graphql_ws.subscription.run_cursor import RunCursor
from channels_graphql_ws.subscription.run_watch import NoFeed, RunSubscription
from channels_graphql_ws.subscription.runs import RunHost, runs_of_loop
from channels_graphql_ws.testing import GraphqlWsTransport
from engine_fakes import notification
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
        self.logged_in, self.answers = asyncio.Event(), asyncio.Event()

    def allow(self, number: int) -> None:
        """Let the generator go on for so many steps."""
        for _ in range(number):
            self.allowed.release()

    def __aiter__(self) -> AsyncIterator[int]:
        return self

    async def __anext__(self) -> int:
        raise AssertionError("It must not be iterated over")

    async def aclose(self) -> None:
        self.closed += 1

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
    late = graphene.Int()
    faulty = graphene.Int()
    stubborn = graphene.Int()
    polite = graphene.Int()
    whose = graphene.String()

    @resumable(KEPT_FOR, runs_per_user=2, runs_per_process=6)
    async def subscribe_count(root, info, to):  # noqa: N805 (root, not self)
        async for number in info.context.channels_scope["script"].numbers(to):
            yield number

    @resumable(KEPT_FOR)
    async def subscribe_whose(root, info):  # noqa: N805
        async for _ in info.context.channels_scope["script"].numbers(20):
            user = info.context.channels_scope.get("user")
            yield "nobody" if user is None else f"user {user.pk}"

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

    @resumable(KEPT_FOR)
    async def subscribe_late(root, info):  # noqa: N805
        script = info.context.channels_scope["script"]
        script.calls += 1
        await script.allowed.acquire()
        return script

    @resumable(KEPT_FOR)
    def subscribe_faulty(root, info):  # noqa: N805
        raise GraphQLError("broken")

    @resumable(KEPT_FOR)
    async def subscribe_stubborn(root, info):  # noqa: N805
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            await asyncio.Event().wait()

    @resumable(KEPT_FOR)
    async def subscribe_polite(root, info):  # noqa: N805
        yield 1
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()


class Faulty:
    """What a declaration may be put at by mistake."""

    @staticmethod
    def resolve_x(root: Any, info: Any) -> None: ...


class Query(graphene.ObjectType):
    logout = graphene.Boolean()
    login = graphene.Boolean()

    @staticmethod
    async def resolve_login(root: Any, info: Any) -> bool:
        scope = info.context.channels_scope
        scope["user"] = SimpleNamespace(pk=1, is_authenticated=True)
        scope["script"].logged_in.set()
        await scope["script"].answers.wait()
        return True

    @staticmethod
    def resolve_logout(root: Any, info: Any) -> bool:
        info.context.channels_scope["user"] = AnonymousUser()
        return True


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
    await wait_until(lambda: not runs._closing)


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
        address = options.pop("address", None)
        if address is not None:
            scope["client"] = address, 1
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


async def test_runs_are_counted_with_what_they_keep(script: Script) -> None:
    assert statistics().runs == RunStatistics(0, 0, 0, 0, 0)
    first, second = [await Client(script).subscribe() for _ in range(2)]
    # Otherwise the first of them may have all.
    await wait_until(lambda: statistics().runs.watched == 2)
    script.allow(6)
    await wait_until(lambda: len(first.payloads) + len(second.payloads) == 6)
    counted = (await asyncio.to_thread(statistics)).runs
    assert (counted.watched, counted.waiting, counted.finished, counted.events) == (2, 0, 0, 6)
    assert counted.bytes > 6 * len('{"data":')
    await first.leave()
    script.allow(40)
    await second.ends()
    await wait_until(lambda: statistics().runs.finished == 2)
    counted = statistics().runs
    assert (counted.watched + counted.waiting, counted.events) == (2, 40)
    assert counted.waiting >= 1
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


def only_run() -> Any:
    """Give the run of the test."""
    [run] = runs_of_loop().runs.values()
    return run


async def test_two_clients_watch_one_run(script: Script) -> None:
    first = await Client(script).subscribe()
    script.allow(2)
    await first.gets(2)
    second = await Client(script).subscribe(cursor=first.cursor)
    await wait_until(lambda: len(only_run().watchers) == 2)
    listed = (await list_process()).listed
    assert [(each.subscriptions, each.queued) for each in listed] == [({"count": 1}, 0)] * 2
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
    # What the operation does not define means nothing.
    again = await Client(script).subscribe(query, cursor=cursor, variables={"to": 5, "a": 1})
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


@pytest.mark.parametrize("address", ["8.8.8.8", "127.0.0.1"])
async def test_of_one_address_strangers_have_as_many_as_a_user_whatever_their_sessions(
    address: str,
) -> None:
    scripts = [Script() for _ in range(4)]
    clients = [await begun(scripts[0], session="a", address=address)]
    clients.append(await begun(scripts[1], session="b", address=address))
    third = await Client(scripts[2], session="c", address=address).subscribe()
    if address == "127.0.0.1":
        # Where an address says nothing, each session counts by itself.
        scripts[2].allow(1)
        await third.gets(1)
    else:
        assert await third.ends() == "error:s"
        assert third.codes == ["LIMIT_EXCEEDED"]
    clients += [third, await begun(scripts[3], session="d", user=1, address=address)]
    for each in clients:
        await each.socket.drop()


async def test_a_process_has_so_many_runs() -> None:
    clients = [await begun(Script(), user=user) for user in range(1, 7)]
    seventh = await Client(Script(), user=7).subscribe()
    assert await seventh.ends() == "error:s"
    assert seventh.codes == ["LIMIT_EXCEEDED"]
    for each in (*clients, seventh):
        await each.socket.drop()


async def test_clients_nobody_knows_leave_half_of_the_runs_to_others() -> None:
    clients = [await begun(Script(), session=session) for session in (None, None, "a")]
    fourth = await Client(Script(), session="b").subscribe()
    assert await fourth.ends() == "error:s"
    assert fourth.codes == ["LIMIT_EXCEEDED"]
    clients += [await begun(Script(), user=1), await begun(Script(), address="8.8.8.8")]
    for each in (*clients, fourth):
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


async def test_a_run_is_ended_when_it_was_kept_long_enough(script: Script) -> None:
    query = "subscription { x: brief }"
    first = await Client(script).subscribe(query)
    script.allow(1)
    await first.gets(1)
    cursor = await first.leave()
    await wait_until(lambda: script.closed)
    await refused(script, cursor, query)


async def test_who_comes_back_in_time_keeps_the_run_for_good(script: Script) -> None:
    cursor = await (await begun(script)).leave()
    again = await Client(script).subscribe(cursor=cursor)
    script.allow(1)
    await again.gets(1)
    run = only_run()
    assert run._timer is None
    await again.socket.drop()
    assert run._timer is not None


class OtherLayer(InMemoryChannelLayer):
    """A layer that is used as those of other processes are; it may lose messages.

    Attributes:
        loses: returns whether a message is lost.
    """

    loses: Any = staticmethod(lambda message: False)

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        if "payload" not in message or not self.loses(Serializer.deserialize(message["payload"])):
            await super().group_send(group, message)


class Processes:
    """Two processes, as far as runs know of processes: each has its own.

    Attributes:
        layer: what connects them.
    """

    def __init__(self, layer: OtherLayer, monkeypatch: pytest.MonkeyPatch) -> None:
        self.layer = layer
        self.hosts = [RunHost(), RunHost()]
        self.current = self.hosts[0]
        monkeypatch.setattr(resuming, "runs_of_loop", lambda: self.current)

    def go_on_in(self, number: int) -> None:
        """Let clients that come from now on come to that process."""
        self.current = self.hosts[number]

    def kill(self) -> None:
        """Let nobody answer for the first process any more."""
        self.layer.loses = lambda message: message["kind"] != "page"


@pytest.fixture
async def processes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Processes]:
    layer = OtherLayer()
    before = channel_layers.set("default", layer)
    monkeypatch.setattr(run_post, "ASK_EVERY", 0.01)
    processes = Processes(layer, monkeypatch)
    yield processes
    for host in processes.hosts:
        for run in list(host.runs.values()):
            await run.close_soon(runs.LOST)
    await wait_until(lambda: not runs._closing)
    assert run_post._posts == {}
    del channel_layers.backends["default"]
    if before is not None:
        channel_layers.set("default", before)


@BOTH
async def test_another_process_gets_the_rest_from_the_one_that_has_the_run(
    script: Script, processes: Processes, subprotocol: str
) -> None:
    cursor = await (await begun(script, 7, subprotocol=subprotocol)).leave()
    script.allow(5)
    await wait_until(lambda: script.yielded == 12)
    processes.go_on_in(1)
    options = {"confirm_subscriptions": True}
    second = await Client(script, subprotocol, **options).subscribe(cursor=cursor)
    await second.gets(6)
    script.allow(8)
    await second.gets(14)
    script.allow(1)
    assert await second.ends() == "complete:s"
    assert second.values == list(range(8, 21))
    assert second.told == [True, True, *[None] * 12]
    assert (script.calls, script.closed) == (1, 1)
    await second.socket.drop()


async def test_an_error_and_the_end_of_rights_reach_other_processes(
    script: Script, processes: Processes
) -> None:
    script.failure = GraphQLError("broken", extensions={"code": "BROKEN"})
    cursor = await (await begun(script, 19)).leave()
    processes.go_on_in(1)
    second = await Client(script).subscribe(cursor=cursor)
    script.allow(2)
    assert await second.ends() == "error:s"
    assert (second.values, second.codes) == ([20], ["BROKEN"])
    await second.socket.drop()


async def test_the_end_of_rights_reaches_other_processes(
    script: Script, processes: Processes
) -> None:
    first = await begun(script)
    processes.go_on_in(1)
    second = await Client(script).subscribe(cursor=first.cursor)
    script.allow(1)
    await second.gets(1)
    [run] = processes.hosts[0].runs.values()
    # It has asked for more.
    await wait_until(lambda: all(each.position == 4 for each in run.watchers))
    run.revoke("over")
    for each in (first, second):
        assert await each.ends() == "error:s"
        assert each.codes == ["RIGHTS_ENDED"]
        await each.socket.drop()


async def test_what_a_layer_loses_is_asked_for_again(script: Script, processes: Processes) -> None:
    numbers = itertools.count()
    processes.layer.loses = lambda message: next(numbers) % 3 == 0
    cursor = await (await begun(script)).leave()
    processes.go_on_in(1)
    second = await Client(script).subscribe(cursor=cursor)
    for number in range(4, 21):
        script.allow(1)
        await second.gets(number - 3)
    script.allow(1)
    assert await second.ends() == "complete:s"
    assert second.values == list(range(4, 21))
    await second.socket.drop()


@pytest.mark.parametrize("when", ["before it comes", "while it watches"])
async def test_a_client_is_told_when_the_process_of_its_run_is_gone(
    script: Script, processes: Processes, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    monkeypatch.setattr(run_post, "LOST_AFTER", 0.02)
    cursor = await (await begun(script)).leave()
    processes.go_on_in(1)
    if when == "before it comes":
        processes.kill()
    second = await Client(script).subscribe(cursor=cursor)
    if when == "while it watches":
        script.allow(1)
        await second.gets(1)
        processes.kill()
    assert await second.ends() == "complete:s"
    assert second.codes == ["RUN_LOST"]
    assert second.told[-1] is False
    await second.socket.drop()


async def test_who_asks_another_process_needs_the_same_rights(
    script: Script, processes: Processes
) -> None:
    cursor = await (await begun(script, user=1)).leave()
    processes.go_on_in(1)
    await refused(script, cursor, user=2)
    known = RunCursor.decode(cursor)
    assert known is not None
    await refused(script, known._replace(position=4).encode(), user=1)
    await refused(script, cursor, "subscription { x: count(to: 20) }", user=1)
    again = await Client(script, user=1).subscribe(cursor=cursor)
    script.allow(1)
    assert await again.gets(1) == [4]
    await again.socket.drop()


async def test_who_stops_in_another_process_ends_the_run(
    script: Script, processes: Processes
) -> None:
    cursor = await (await begun(script)).leave()
    processes.go_on_in(1)
    second = await Client(script).subscribe(cursor=cursor)
    script.allow(1)
    await second.gets(1)
    second.socket.stop("s")
    await second.ends()
    await wait_until(lambda: script.closed)
    await second.socket.drop()


async def test_a_watcher_of_a_process_that_is_gone_is_forgotten(
    script: Script, processes: Processes
) -> None:
    cursor = await (await begun(script)).leave()
    processes.go_on_in(1)
    second = await Client(script).subscribe(cursor=cursor)
    script.allow(1)
    await second.gets(1)
    [run] = processes.hosts[0].runs.values()
    [watcher], door = run.watchers, run.door
    processes.layer.loses = lambda message: True
    # What is on its way comes yet.
    await tick(20)
    door._look()
    assert list(run.watchers) == [watcher]
    watcher.asked_at -= run_post.LEASE + 1
    door._look()
    assert not run.watchers
    await second.socket.drop()


async def test_a_client_that_reads_slowly_keeps_its_place_in_another_process(
    script: Script, processes: Processes
) -> None:
    cursor = await (await begun(script)).leave()
    processes.go_on_in(1)
    hanging, go_on = asyncio.Event(), asyncio.Event()

    async def on_send(event: Any) -> None:
        if '"x":4' in event.get("text", ""):
            hanging.set()
            await go_on.wait()

    second = Client(script, max_unsent_bytes=1)
    second.socket._on_send = on_send
    await second.subscribe(cursor=cursor)
    script.allow(1)
    await hanging.wait()
    script.allow(3)
    [run] = processes.hosts[0].runs.values()
    [watcher] = run.watchers
    for _ in range(2):
        before = watcher.asked_at
        await wait_until(lambda before=before: watcher.asked_at > before)
    assert list(run.watchers) == [watcher]
    go_on.set()
    script.allow(14)
    assert await second.ends() == "complete:s"
    assert second.values == list(range(4, 21))
    await second.socket.drop()


async def test_a_late_page_is_not_for_anybody(script: Script, processes: Processes) -> None:
    """A message that waits in the layer when its client leaves."""
    post = run_post.post_of(hub_of(processes.layer), "GQLWS", processes.hosts[0])
    message = {"kind": "page", "watcher": b"nobody"}
    assert post.offer(notification(message)) is False
    assert post.offer(notification({"kind": "leave", "watcher": b"nobody"})) is False
    assert (post.lost(1, 1), post.finish(), post.run_next()) == (False, False, False)
    post.revoke()
    run_post._posts.clear()


async def test_in_one_process_a_run_of_before_a_restart_is_lost_at_once(script: Script) -> None:
    await refused(script, forged())


async def test_without_a_channel_layer_a_run_survives_in_its_process(script: Script) -> None:
    options = {"channel_layer_alias": "missing"}
    cursor = await (await begun(script, **options)).leave()
    again = await Client(script, **options).subscribe(cursor=cursor)
    script.allow(1)
    assert await again.gets(1) == [4]
    await again.socket.drop()
    await refused(script, forged(), **options)


async def test_rights_that_end_end_the_run_even_without_a_client(script: Script) -> None:
    cursor = await (await begun(script, user=1)).leave()
    await disconnect_user(1)
    await wait_until(lambda: script.closed)
    await refused(script, cursor, user=1)


async def test_rights_that_end_while_the_generator_is_called_begin_nothing(
    script: Script,
) -> None:
    client = await Client(script).subscribe("subscription { x: late }")
    await wait_until(lambda: script.calls)
    run = only_run()
    run.revoke("over")
    script.allow(1)
    assert await client.ends() == "error:s"
    assert client.codes == ["RIGHTS_ENDED"]
    assert script.closed == 1
    await client.socket.drop()


async def test_a_client_that_goes_while_the_generator_is_called_leaves_no_run(
    script: Script,
) -> None:
    client = await Client(script).subscribe("subscription { x: late }")
    await wait_until(lambda: script.calls)
    await client.socket.drop()
    assert runs_of_loop().runs == {}


async def test_a_method_that_raises_leaves_no_run(script: Script) -> None:
    client = await Client(script).subscribe("subscription { x: faulty }")
    assert await client.ends() == "error:s"
    assert runs_of_loop().runs == {}
    await client.socket.drop()


@pytest.mark.parametrize("renewed", [True, False])
async def test_a_run_ends_with_the_token_unless_that_was_renewed(
    script: Script, renewed: bool
) -> None:
    client = Client(script, user=1)
    await client.subscribe()
    script.allow(1)
    await client.gets(1)
    run = only_run()
    lease: Any = run.lease
    scope = {"expires_at": time.time() - 1}
    lease._lent.expire(scope)
    if renewed:
        scope["expires_at"] = time.time() + KEPT_FOR
    await tick(5)
    assert (run.closing is None) is renewed
    await client.socket.drop()


async def test_who_logs_out_over_the_socket_ends_the_run(script: Script) -> None:
    client = await begun(script, user=1)
    client.socket.start("q", "{ logout }")
    assert await client.ends() == "complete:s"
    await wait_until(lambda: script.closed)
    await client.socket.drop()


async def test_who_watches_a_run_of_nobody_sees_nothing_of_who_logs_in(script: Script) -> None:
    query = "subscription { x: whose }"
    owner = await Client(script).subscribe(query)
    script.allow(1)
    await owner.gets(1)
    stranger = await Client(script).subscribe(query, cursor=owner.cursor)
    await wait_until(lambda: len(only_run().watchers) == 2)
    owner.socket.start("q", "{ login }")
    await script.logged_in.wait()
    # Neither while the login is not answered, nor later.
    script.allow(1)
    await stranger.gets(1)
    script.answers.set()
    assert await owner.ends() == "complete:s"
    script.allow(1)
    await stranger.gets(2)
    assert stranger.values == ["nobody"] * 2
    await owner.socket.drop()
    await stranger.socket.drop()


async def test_a_context_of_the_users_own_is_left_alone(script: Script) -> None:
    class Context:
        def __init__(self, scope: Any) -> None:
            self.channels_scope = scope

    own = {"get_context": lambda _, context: Context(context.channels_scope)}
    client = await begun(script, **own)
    assert client.values == [1, 2, 3]
    await client.socket.drop()


async def test_a_shutdown_ends_runs(script: Script) -> None:
    await (await begun(script)).leave()
    run = only_run()
    await run.lease.drain(KEPT_FOR)
    assert script.closed == 1
    assert runs_of_loop().runs == {}


async def test_a_shutdown_lets_other_processes_fetch_the_rest(
    script: Script, processes: Processes
) -> None:
    cursor = await (await begun(script)).leave()
    [run] = processes.hosts[0].runs.values()
    draining = asyncio.create_task(run.drain(KEPT_FOR))
    await tick(5)
    processes.go_on_in(1)
    second = await Client(script).subscribe(cursor=cursor)
    script.allow(18)
    assert await second.ends() == "complete:s"
    assert second.values == list(range(4, 21))
    await draining
    # Nothing is left to wait for.
    assert processes.hosts[0].runs == {}
    await second.socket.drop()


@pytest.mark.parametrize("cancelled", [True, False])
async def test_a_shutdown_waits_no_longer_than_its_deadline(
    script: Script, processes: Processes, cancelled: bool
) -> None:
    await (await begun(script)).leave()
    [run] = processes.hosts[0].runs.values()
    draining = asyncio.create_task(run.drain(KEPT_FOR if cancelled else 0.001))
    await tick(5)
    if cancelled:
        draining.cancel()
    await asyncio.wait([draining])
    await run.close_soon(runs.LOST)
    assert script.closed == 1
    assert processes.hosts[0].runs == {}


async def test_a_shutdown_does_not_wait_where_everything_was_read(
    script: Script, processes: Processes
) -> None:
    first = await Client(script).subscribe()
    script.allow(21)
    await first.ends()
    await first.socket.drop()
    [run] = processes.hosts[0].runs.values()
    await run.drain(KEPT_FOR)
    assert processes.hosts[0].runs == {}


async def test_patience_with_a_finally_has_an_end(
    script: Script, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(runs, "CLOSE_TIMEOUT", 0.01)
    first = await Client(script).subscribe("subscription { x: stubborn }")
    await first.gets(1)
    run = only_run()
    await first.socket.drop()
    await run.close_soon(runs.LOST)
    assert "Gave up waiting" in caplog.text


async def test_nothing_is_left_of_a_run(script: Script) -> None:
    first = await begun(script)
    second = await Client(script).subscribe(cursor=first.cursor)
    run = only_run()
    known = [ref(run), ref(run._generator), ref(run.lease)]
    first.socket.stop("s")
    second.socket.stop("s")
    await first.ends()
    await second.ends()
    await first.socket.drop()
    await second.socket.drop()
    del run, first, second
    await wait_until(lambda: script.closed)
    await tick(5)
    gc.collect()
    assert [each() for each in known] == [None] * 3
    assert connections_of_loop().all() == []
    assert run_post._posts == {}


async def test_the_context_is_let_go_when_a_generator_has_ended(script: Script) -> None:
    first = await Client(script).subscribe()
    script.allow(1)
    await first.gets(1)
    run = only_run()
    script.allow(20)
    await first.ends()
    assert run._generator is None
    await first.socket.drop()


HOOKS = {
    "text": graphene.String(),
    "publish": lambda payload, info: payload,
    "subscribe": resumable(1)(lambda root, info: []),
}


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (lambda: resumable(lambda root, info: None), "call the decorator"),
        (lambda: resumable("60"), "must be a number"),
        (lambda: resumable(True), "must be a number"),
        (lambda: resumable(0), "must be seconds > 0"),
        (lambda: resumable(float("inf")), "must be seconds > 0"),
        (lambda: resumable(1, runs_per_user=0), "runs_per_user is 0"),
        (lambda: resumable(1, runs_per_process=True), "runs_per_process is True"),
        (lambda: resumable(1, max_events=1.5), "max_events is 1.5"),
        (lambda: resumable(1, max_bytes=None), "max_bytes is None"),
        (lambda: resumable(1)(Root), "`history_size`"),
        (lambda: resumable(1)(1), "and not 1"),
        (lambda: resumable(1)(Faulty.resolve_x), "`subscribe_…`"),
        (lambda: type("OnIt", (Subscription,), HOOKS), "`history_size`"),
    ],
)
def test_a_declaration_that_makes_no_sense_is_refused(declare: Any, text: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(text)):
        declare()


@BOTH
async def test_the_client_of_this_library_goes_on_by_itself(
    script: Script, subprotocol: str
) -> None:
    consumers: list[Any] = []

    async def on_connect(self: Any, payload: Any) -> None:
        self.scope["script"] = script
        consumers.append(self)

    consumer = type("Mine", (Consumer,), {"on_connect": on_connect})
    transport = GraphqlWsTransport(consumer.as_asgi(), "/", subprotocol=subprotocol)
    script.allow(7)
    values = []
    retry = Retry(wait=lambda _: 0)
    async with (
        GraphqlWsClient(transport, subprotocol=subprotocol, retry=retry) as client,
        client.subscription(COUNT) as events,
    ):
        async for event in events:
            values.append(event["x"])
            assert event.gap is None
            if event["x"] == 7:
                await consumers[-1].close(1012)
                script.allow(14)
    assert values == list(range(1, 21))
    assert len(consumers) == 2
    assert (script.calls, script.closed) == (1, 1)


async def test_several_clients_of_another_process_watch_one_run(
    script: Script, processes: Processes
) -> None:
    cursor = await (await begun(script)).leave()
    processes.go_on_in(1)
    clients = [await Client(script).subscribe(cursor=cursor) for _ in range(2)]
    script.allow(1)
    for each in clients:
        assert await each.gets(1) == [4]
    clients[0].socket.stop("s")
    await clients[0].ends()
    script.allow(17)
    assert await clients[1].ends() == "complete:s"
    assert clients[1].values == list(range(4, 21))
    for each in clients:
        await each.socket.drop()


async def test_a_layer_that_lets_nobody_join_refuses_who_comes_back(
    script: Script, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = await (await begun(script)).leave()
    processes.go_on_in(1)

    async def joined(self: Any, groups: Any) -> None:
        raise ChannelLayerError("not today")

    with monkeypatch.context() as patched:
        patched.setattr(Hub, "joined", joined)
        client = await Client(script).subscribe(cursor=cursor)
        assert await client.ends() == "error:s"
        assert "not today" in client.socket.frames[-1]["payload"][0]["message"]
    await client.socket.drop()
    again = await Client(script).subscribe(cursor=cursor)
    script.allow(1)
    assert await again.gets(1) == [4]
    await again.socket.drop()


async def test_signals_tell_of_each_client_and_hooks_see_its_end(script: Script) -> None:
    told: list[tuple[str, Any]] = []

    def on_begin(sender: Any, name: str, **more: Any) -> None:
        told.append(("subscribed", name))

    def on_end(sender: Any, name: str, **more: Any) -> None:
        told.append(("unsubscribed", name))

    async def on_complete(self: Any, op_id: Any) -> None:
        told.append(("complete", op_id))

    subscribed.connect(on_begin)
    unsubscribed.connect(on_end)
    try:
        client = await begun(script, on_complete=on_complete)
        await client.leave()
        again = await Client(script, on_complete=on_complete).subscribe(cursor=client.cursor)
        script.allow(1)
        await again.gets(1)
        again.socket.stop("s")
        await again.ends()
        await again.socket.drop()
        await wait_until(lambda: len(told) >= 6)
    finally:
        subscribed.disconnect(on_begin)
        unsubscribed.disconnect(on_end)
    once = [("subscribed", "count"), ("unsubscribed", "count"), ("complete", "s")]
    assert sorted(told) == sorted(once * 2)
    assert script.closed == 1


@pytest.mark.parametrize("what", ["_confirm", "lend_to"])
async def test_a_mistake_of_ours_while_it_begins_leaves_no_task(
    script: Script, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    of = Subscribing if what == "_confirm" else EndpointSession
    monkeypatch.setattr(of, what, fail)
    client = await Client(script).subscribe()
    assert await client.ends() == "error:s"
    assert script.calls == 0
    await client.socket.drop()


async def test_a_generator_that_ends_as_it_is_cancelled_has_ended_only_once(
    script: Script,
) -> None:
    client = await Client(script).subscribe("subscription { x: polite }")
    await client.gets(1)
    run = only_run()
    assert run.next_at_once("") is False
    run.revoke("over")
    assert await client.ends() == "error:s"
    await run.close_soon(runs.LOST)
    assert client.codes == ["RIGHTS_ENDED"]
    await client.socket.drop()


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_method_of_strawberry_is_found_behind_its_function(is_declared: bool) -> None:
    async def count() -> AsyncIterator[int]:
        yield 1

    method = resumable(5)(count) if is_declared else count
    field = SimpleNamespace(base_resolver=SimpleNamespace(wrapped_func=method))
    definition = GraphQLField(GraphQLInt, extensions={"strawberry-definition": field})
    options = resumable_options(definition)
    assert (None if options is None else options.resume_for) == (5 if is_declared else None)


class FakePost:
    """Sends nothing."""

    host = SimpleNamespace(token=b"t" * 16)

    def acquire(self) -> None:
        """Listen to nobody."""

    def add(self, id: bytes, feed: Any) -> None:
        """Pass nothing on."""

    def send(self, token: bytes, **message: Any) -> None:
        """Lose it."""


async def test_of_pages_that_were_asked_for_twice_one_counts() -> None:
    post: Any = FakePost()
    feed = run_post.RemoteFeed(post, RunCursor(b"h" * 16, b"r" * 16, 3), None, b"mark")
    page = {"asked": 3, "begins": 3, "texts": ["{}"], "end": None}
    # Nobody waits for it.
    feed.take(page)
    asking = asyncio.create_task(feed.after(4))
    await tick()
    feed.take(page)
    feed.take({**page, "asked": 4, "begins": 4, "texts": []})
    await tick()
    assert not asking.done()
    for text in ("first", "second"):
        feed.take({**page, "asked": 4, "begins": 4, "texts": [text]})
    assert (await asking).texts == ["first"]


async def test_a_client_is_sent_nothing_until_it_is_ready() -> None:
    gate = asyncio.Event()
    sent: list[str] = []

    class Member:
        is_stopping = False

        def ready(self) -> Any:
            return None if gate.is_set() else gate.wait()

        def next(self, _text: Any) -> None:
            sent.append("next")

        def completed(self) -> None:
            sent.append("complete")

    class Ended(NoFeed):
        async def after(self, position: int) -> runs.Page:
            return runs.Page(position, ['{"data":null}'], runs.COMPLETE)

    member: Any = Member()
    options: Any = {"recovered": None, "format_error": str, "name": "s"}
    watching = RunSubscription(Ended(), member, RunCursor(b"h" * 16, b"r" * 16, 0), **options)
    watching.open()
    await tick()
    assert sent == []
    gate.set()
    await wait_until(lambda: sent == ["next", "complete"])

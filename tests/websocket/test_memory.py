"""What one client makes the server keep: little, bounded in bytes, and given back at once."""

from __future__ import annotations

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Iterator
from typing import Any
from weakref import ref

import graphene
import pytest

from asgi_socket import LEGACY, NEW, AsgiSocket, Event
from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.concurrency.threads import SHARE
from channels_graphql_ws.execution import breathing, budget, pieces
from channels_graphql_ws.websocket.outbox import MEBIBYTE
from support import tick, wait_until

pytestmark = pytest.mark.usefixtures("executor")

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])

JUNK = [{} for _ in range(2_000)]
"""Eight kilobytes of JSON that take more than a hundred when they are read."""

seen: list[ref[Any]] = []


async def _wait(info: Any) -> None:
    seen.append(ref(info.context))
    await asyncio.Event().wait()


class Waiting(Subscription):
    """Waits in `subscribe`."""

    text = graphene.String()

    @staticmethod
    async def subscribe(root: Any, info: Any) -> None:
        await _wait(info)

    @staticmethod
    def publish(payload: Any, info: Any) -> Any:
        raise AssertionError


class Publishing(Subscription):
    """Waits in `publish`."""

    text = graphene.String()

    class Arguments:
        only = graphene.String()

    @staticmethod
    def subscribe(root: Any, info: Any, only: str | None = None) -> None:
        seen.append(ref(info.context))

    @staticmethod
    async def publish(payload: Any, info: Any, only: str | None = None) -> Any:
        if payload == "wait":
            await _wait(info)
        return {"text": payload}


class Query(graphene.ObjectType):
    """Answers late, much, or nothing."""

    wait = graphene.String()
    large = graphene.String(size=graphene.Int())

    @staticmethod
    async def resolve_wait(root: Any, info: Any) -> None:
        await _wait(info)

    @staticmethod
    def resolve_large(root: Any, info: Any, size: int) -> str:
        return "x" * size


class Subscriptions(graphene.ObjectType):
    """Root type of the subscriptions."""

    waiting = Waiting.Field()
    publishing = Publishing.Field()


class Consumer(GraphqlWsConsumer):
    """Waits in `get_context` for operations that are named so."""

    schema = graphene.Schema(query=Query, subscription=Subscriptions)

    async def get_context(self, context: Any) -> Any:
        if context.graphql_operation_name == "Waiting":
            seen.append(ref(context))
            await asyncio.Event().wait()
        return context


PUBLISHING = "subscription { publishing { text } }"


@pytest.fixture(autouse=True)
def _nothing_was_seen() -> None:
    seen.clear()


@pytest.fixture
def _no_garbage_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def connect(subprotocol: str, on_send: Any = None, **attributes: Any) -> AsgiSocket:
    consumer = type("MyConsumer", (Consumer,), attributes)
    socket = AsgiSocket(consumer.as_asgi(), subprotocol, on_send=on_send)
    await socket.acknowledged()
    return socket


@BOTH
@pytest.mark.usefixtures("_no_garbage_collection")
@pytest.mark.parametrize(
    "query",
    [
        "{ wait }",
        "{ wait " + " ".join(f"a{number}: wait" for number in range(50)) + "}",
        "query Waiting { large(size: 1) }",
        "subscription { waiting { text } }",
        PUBLISHING,
    ],
)
@pytest.mark.parametrize("how", ["stop", "drop"])
async def test_what_a_stopped_operation_takes_is_given_back_at_once(
    subprotocol: str, query: str, how: str
) -> None:
    socket = await connect(subprotocol)
    socket.start("1", query, operationName="Waiting" if "Waiting" in query else None)
    await wait_until(lambda: seen)
    if query == PUBLISHING:
        await Publishing.broadcast(payload="wait")
        await wait_until(lambda: len(seen) == 2)
    if how == "stop":
        socket.stop("1")
    else:
        await socket.drop()
    await wait_until(lambda: all(each() is None for each in seen))
    if how == "stop":
        await socket.drop()


@BOTH
@pytest.mark.usefixtures("_no_garbage_collection")
async def test_a_subscription_keeps_nothing_of_its_message_that_it_does_not_need(
    subprotocol: str,
) -> None:
    socket = await connect(subprotocol)
    # What is kept with the document was not asked for by these.
    socket.start("first", PUBLISHING)
    await wait_until(lambda: len(seen) == 1)
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    for number in range(10):
        socket.start(str(number), PUBLISHING, variables={"junk": JUNK}, extensions={"a": JUNK})
    await wait_until(lambda: len(seen) == 11)
    await tick(5)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < MEBIBYTE
    await socket.drop()


@BOTH
async def test_operations_that_wait_take_so_much_memory_and_no_more(subprotocol: str) -> None:
    socket = await connect(subprotocol)
    for number in range(100):
        socket.start(str(number), "{ wait }", variables={"junk": JUNK})
    await wait_until(lambda: "LIMIT_EXCEEDED" in str(socket.frames) and len(seen) > 20)
    assert len(seen) < 100
    await socket.drop()


class SlowSocket:
    """Takes frames while it is told to."""

    def __init__(self) -> None:
        self.takes_frames = asyncio.Event()
        self.takes_frames.set()

    async def __call__(self, _event: Event) -> None:
        await self.takes_frames.wait()


@BOTH
@pytest.mark.parametrize("is_async", [False, True])
async def test_large_results_wait_for_a_client_that_reads_none(
    subprotocol: str, is_async: bool
) -> None:
    executed: list[str] = []
    opened = asyncio.Event()

    class Large(graphene.ObjectType):
        sync = graphene.String()
        late = graphene.String()

        @staticmethod
        def resolve_sync(root: Any, info: Any) -> str:
            executed.append("sync")
            return "x" * MEBIBYTE

        @staticmethod
        async def resolve_late(root: Any, info: Any) -> str:
            executed.append("late")
            await opened.wait()
            return "x" * MEBIBYTE

    slow = SlowSocket()
    socket = await connect(subprotocol, slow, schema=graphene.Schema(query=Large))
    slow.takes_frames.clear()
    for number in range(30):
        socket.start(str(number), "{ late }" if is_async else "{ sync }")
    await tick(50)
    tracemalloc.start()
    opened.set()
    await tick(50)
    if is_async:
        # They had begun before it was known how large they are; none is encoded too early.
        assert len(executed) == 30
    else:
        # One is being sent, one waits, and no more is read.
        assert len(executed) <= 3
    tracemalloc.stop()

    slow.takes_frames.set()
    await wait_until(lambda: sum("complete" in word for word in socket.words) == 30)
    assert len(executed) == 30
    assert not socket.closes
    await socket.drop()


async def test_results_that_wait_are_encoded_one_after_the_other() -> None:
    """Thirty results of a mebibyte do not become thirty texts at once."""
    opened = asyncio.Event()

    class Late(graphene.ObjectType):
        late = graphene.String()

        @staticmethod
        async def resolve_late(root: Any, info: Any) -> str:
            await opened.wait()
            return TEXT

    slow = SlowSocket()
    socket = await connect(NEW, slow, schema=graphene.Schema(query=Late))
    for number in range(30):
        socket.start(str(number), "{ late }")
    await tick(20)
    slow.takes_frames.clear()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    opened.set()
    await tick(50)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 5 * MEBIBYTE
    slow.takes_frames.set()
    await wait_until(lambda: len(socket.words) == 61)
    await socket.drop()


class Wide(graphene.ObjectType):
    """Takes long, and makes much of little."""

    begin = graphene.String()
    text = graphene.String()

    @staticmethod
    def resolve_begin(root: Any, info: Any) -> str:
        seen.append(ref(info.context))
        return ""

    @staticmethod
    def resolve_text(root: Any, info: Any) -> str:
        return "x" * 100


WIDE = "{ begin " + " ".join(f"a{number}: text" for number in range(250)) + "}"


@BOTH
@pytest.mark.parametrize("in_threads", [False, True])
async def test_few_long_queries_of_a_client_are_under_way_at_a_time(
    subprotocol: str, in_threads: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forty messages of a few kilobytes do not become forty large results at once."""
    for module in (budget, breathing, pieces):
        monkeypatch.setattr(module, "WINDOW", 0.0)
    slow = SlowSocket()
    schema = graphene.Schema(query=Wide)
    options = {"schema": schema, "resolve_sync_in_threads": in_threads}
    socket = await connect(subprotocol, slow, max_unsent_bytes=10_000, **options)
    slow.takes_frames.clear()
    for number in range(40):
        socket.start(str(number), WIDE)
        await tick()
    # One result is being sent, and one waits. Of the others, few are there or will soon be.
    most = 2 + (SHARE if in_threads else 4)
    await wait_until(lambda: len(seen) >= 2)
    await tick(1_000)
    assert len(seen) <= most

    slow.takes_frames.set()
    await wait_until(lambda: len(socket.sent) == 2 + 2 * 40)
    assert len(seen) == 40
    assert not socket.closes
    await socket.drop()


TEXT = "x" * MEBIBYTE


@BOTH
async def test_events_follow_their_policy_while_a_client_reads_nothing(subprotocol: str) -> None:
    slow = SlowSocket()
    socket = await connect(
        subprotocol, slow, max_unsent_bytes=10_000, subscription_notification_queue_limit=5
    )
    socket.start("1", PUBLISHING)
    await wait_until(lambda: seen)
    slow.takes_frames.clear()
    for number in range(30):
        await Publishing.broadcast(payload=f"{number} {'x' * 4_000}")
        await tick(5)
    slow.takes_frames.set()
    await wait_until(lambda: str(socket.frames).count("29 xxx"))
    numbers = [
        int(frame["payload"]["data"]["publishing"]["text"].split()[0])
        for frame in socket.frames
        if frame.get("payload")
    ]
    # One was sent, three waited, one was being executed; of the rest, the newest are kept.
    assert numbers == [0, 1, 2, 3, 4, *range(25, 30)]
    await socket.drop()


@BOTH
async def test_a_message_may_be_as_large_as_django_allows(subprotocol: str) -> None:
    socket = await connect(subprotocol)
    socket.start("1", "{ large(size: 1) }", extensions={"padding": "x" * MEBIBYTE})
    await socket.heard("complete:1")
    socket.say_text(json.dumps({"type": "x" * 3 * MEBIBYTE}))
    await socket.ended()
    assert socket.closes == [(4400, "Message is larger than 2621440 bytes")]


@BOTH
async def test_a_message_of_a_stranger_must_be_smaller(subprotocol: str) -> None:
    socket = AsgiSocket(Consumer.as_asgi(), subprotocol)
    socket.init(payload={"token": "x" * 200_000})
    await socket.ended()
    assert socket.closes == [
        (4400, "Message is larger than 131072 bytes before the acknowledgement")
    ]

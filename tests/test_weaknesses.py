"""The 33 weaknesses that were found in the predecessor: for each, a test that it is not ours.

Most behaviour is tested in detail elsewhere. This is the list, so that nothing is missing.
"""

from __future__ import annotations

import ast
import asyncio
import gc
import importlib.metadata
import importlib.util
import json
import logging
import subprocess
import sys
import tomllib
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Self

import graphene
import pytest
from aiohttp import web
from channels.layers import channel_layers
from graphql.execution.map_async_iterator import MapAsyncIterator
from packaging.requirements import Requirement

import channels_graphql_ws
from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.client.aiohttp_transport import GraphqlWsTransportAiohttp
from channels_graphql_ws.client.client import GraphqlWsClient
from channels_graphql_ws.exceptions import GraphqlWsResponseError
from channels_graphql_ws.execution import documents
from channels_graphql_ws.execution import middleware as middleware_module
from channels_graphql_ws.pubsub import hub, notification
from channels_graphql_ws.subscription.groups import layer_group
from channels_graphql_ws.testing import GraphqlWsClient as ClientInProcess
from channels_graphql_ws.testing import GraphqlWsTransport
from news_schema import HELLO, NEWS, SLOW_NEWS, News, SlowNews, Stage, consumer_class
from support import GUARD, FakeLayer, tick, wait_until

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
MANY = 50
PACKAGE = Path(channels_graphql_ws.__file__).parent


@pytest.fixture
async def layer() -> AsyncIterator[FakeLayer]:
    """A channel layer like Redis: its messages leave the process."""
    fake = FakeLayer()
    before = channel_layers.set("default", fake)
    yield fake
    if before is None:  # None had been made yet.
        del channel_layers.backends["default"]
    else:
        channel_layers.set("default", before)


async def ready(
    *subprotocols: str,
    stage: Stage | None = None,
    consumer: type[GraphqlWsConsumer] | None = None,
    **attributes: Any,
) -> AsgiSocket:
    """Give a connection that is acknowledged."""
    scope = None if stage is None else stage.scope
    application: Any = (consumer or consumer_class(**attributes)).as_asgi()
    socket = AsgiSocket(application, *subprotocols, scope=scope)
    socket.init()
    await wait_until(lambda: "connection_ack" in socket.words or socket.task.done())
    return socket


async def live(query: str = NEWS, *subprotocols: str, **options: Any) -> AsgiSocket:
    """Give a connection with a subscription that is live; its id is `s`."""
    socket = await ready(*subprotocols, confirm_subscriptions=True, **options)
    socket.start("s", query)
    await wait_until(lambda: socket.frames[-1].get("id") == "s" or socket.task.done())
    assert len(socket.results("s")) == 1, socket.frames
    return socket


def results(socket: AsgiSocket) -> list[Any]:
    """Give what the subscription `s` of `live` has heard, in short."""
    _confirmation, *payloads = socket.results("s")
    return [next(iter(payload["data"].values()))["text"] for payload in payloads]


def schema_with(**subscriptions: type[Subscription]) -> graphene.Schema:
    """Give a schema of these subscriptions."""
    fields = {name: cls.Field() for name, cls in subscriptions.items()}
    root = type("Root", (graphene.ObjectType,), fields)
    query = type("Query", (graphene.ObjectType,), {"ok": graphene.Boolean(default_value=True)})
    return graphene.Schema(query=query, subscription=root)


class LonelyWait:
    """A wait which nobody knows of but who waits: the garbage collector may take both."""

    def __init__(self) -> None:
        self._future: Callable[[], asyncio.Future[None] | None] = lambda: None

    async def __call__(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._future = weakref.ref(future)
        await future

    @property
    def is_waiting(self) -> bool:
        return self._future() is not None

    def end(self) -> None:
        gc.collect()
        future = self._future()
        assert future is not None, "who waited was destroyed"
        future.set_result(None)


@BOTH
async def test_weakness_01_no_operation_name_bypasses_the_middleware(subprotocol: str) -> None:
    def deny(next: Any, root: Any, info: Any, **arguments: Any) -> Any:
        raise PermissionError("denied")

    socket = await ready(subprotocol, middleware=[deny])
    socket.start("1", "query IntrospectionQuery { hello }", operationName="IntrospectionQuery")
    await wait_until(lambda: "complete:1" in socket.words)
    [payload, _] = socket.results("1")
    assert payload["data"] == {"hello": None}
    assert payload["errors"][0]["message"] == "denied"
    await socket.drop()


@pytest.mark.parametrize(
    "payload",
    [
        {"__djangomodel__": True, "as_str": "[]"},
        {"__datetime__": True, "as_str": "never"},
        {"__class__": "Model", "__type__": "bytes"},
        {1: "one", (2, None): "two"},
    ],
)
async def test_weakness_02_no_payload_is_taken_for_something_else(payload: Any) -> None:
    class Echo(Subscription):
        text = graphene.String()

        @staticmethod
        def publish(payload: Any, info: Any) -> dict[str, str]:
            return {"text": repr(payload)}

    socket = await live("subscription { echo { text } }", schema=schema_with(echo=Echo))
    await Echo.broadcast_async(payload=payload)
    await Echo.broadcast_async(payload="next")
    await wait_until(lambda: len(results(socket)) == 2)
    assert results(socket) == [repr(payload), "'next'"]
    await socket.drop()


@BOTH
@pytest.mark.parametrize(
    "frame",
    [
        "{",
        "[]",
        "{}",
        '{"type": ["ping"]}',
        '{"type": "START", "payload": {"query": "{ hello }"}}',
        '{"type": "START", "id": [], "payload": {"query": "{ hello }"}}',
        b'{"type": "ping"}',
    ],
)
async def test_weakness_03_a_malformed_message_closes_4400_without_a_traceback(
    subprotocol: str, frame: str | bytes, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await ready(subprotocol)
    if isinstance(frame, bytes):
        socket.say_bytes(frame)
    else:
        word = "start" if subprotocol == LEGACY else "subscribe"
        socket.say_text(frame.replace("START", word))
    await socket.ended()
    [(code, reason)] = socket.closes
    assert code == 4400
    assert reason
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize("query", ["{ wait }", 'mutation { tellAndWait(text: "hi") }', NEWS])
async def test_weakness_04_an_id_in_use_closes_4409(query: str) -> None:
    stage = Stage("query", "mutation")
    socket = await ready(stage=stage)
    socket.start("1", query)
    await wait_until(lambda: stage.passed)
    socket.start("1", HELLO)
    stage.let_go("mutation")
    await socket.ended()
    assert socket.closes == [(4409, "Subscriber for 1 already exists")]


async def test_weakness_04_an_id_in_use_is_an_error_for_a_legacy_client() -> None:
    socket = await live(NEWS, LEGACY)
    socket.start("s", HELLO)
    await socket.heard("data:s", "data:s", "complete:s")
    [error] = socket.results("s")[1]["errors"]
    assert error["message"] == "Subscription with msg_id=s already exists!"
    await News.broadcast_async(payload="unharmed")
    await socket.heard("complete:s", "data:s")
    assert socket.results("s")[-1] == {"data": {"news": {"text": "unharmed"}}}
    await socket.drop()


@pytest.mark.parametrize("offered", [[], ["soap"]])
async def test_weakness_05_without_an_acceptable_subprotocol_4406(offered: list[str]) -> None:
    socket = AsgiSocket(consumer_class().as_asgi(), scope={"subprotocols": offered})
    await socket.ended()
    assert socket.closes == [(4406, "Subprotocol not acceptable")]


@BOTH
@pytest.mark.parametrize(
    "operation",
    [
        {"payload": {}},
        {"id": "1", "payload": {"query": HELLO, "operationName": "Nobody"}},
        {"id": "1", "payload": {"query": HELLO, "operationName": []}},
        {"id": "1", "payload": {"variables": {}}},
        {"id": {}, "payload": {"query": HELLO}},
    ],
)
async def test_weakness_06_clients_are_not_told_texts_of_python(
    subprotocol: str, operation: dict[str, Any]
) -> None:
    socket = await ready(subprotocol)
    before = len(socket.sent)
    socket.say("start" if subprotocol == LEGACY else "subscribe", **operation)
    await wait_until(lambda: len(socket.sent) > before)
    said = str(socket.sent[before:])
    assert not [word for word in ("KeyError", "TypeError", "Assertion", "hash") if word in said]
    await socket.drop()


@BOTH
async def test_weakness_07_a_message_has_a_largest_size(subprotocol: str) -> None:
    assert consumer_class().max_message_size is not None
    socket = await ready(subprotocol, max_message_size=100)
    socket.start("1", HELLO + " " * 100)
    await socket.ended()
    assert [code for code, _ in socket.closes] == [4400]


async def test_weakness_07_a_client_that_does_not_answer_pings_is_closed() -> None:
    assert consumer_class().pong_timeout is not None
    socket = await ready(send_ping_every=0.001, pong_timeout=0.001)
    await socket.ended()
    assert socket.closes == [(4408, "Pong timeout")]


async def test_weakness_07_a_document_nested_too_deeply_is_an_error_and_no_more() -> None:
    socket = await ready()
    socket.start("1", "{ hello " + "{ a " * 20_000)
    await wait_until(lambda: "error:1" in socket.words)
    socket.start("2", HELLO)
    await socket.heard("next:2", "complete:2")
    await socket.drop()


@BOTH
async def test_weakness_07_there_is_a_limit_of_operations(subprotocol: str) -> None:
    assert consumer_class().max_operations_in_flight is not None
    socket = await ready(subprotocol, max_operations_in_flight=2)
    for id in ("1", "2", "3"):
        socket.start(id, NEWS)
    await socket.heard("error:3")
    assert "More than 2 operations" in str(socket.results("3"))
    socket.stop("1")
    await socket.heard("complete:1")
    socket.start("3", HELLO)
    await wait_until(lambda: socket.words[-1] == "complete:3")
    await socket.drop()


async def test_weakness_07_what_waits_for_a_slow_subscription_is_bounded() -> None:
    stage = Stage("publish")
    socket = await live(SLOW_NEWS, stage=stage, subscription_notification_queue_limit=2)
    for number in range(MANY):
        await SlowNews.broadcast_async(payload=str(number))
    stage.let_go("publish")
    await wait_until(lambda: len(results(socket)) == 3)
    assert results(socket) == ["0", "48", "49"]
    await socket.drop()


@BOTH
async def test_weakness_08_after_a_fatal_close_nothing_is_executed(subprotocol: str) -> None:
    stage = Stage()
    socket = await ready(subprotocol, stage=stage)
    socket.say_text("[")
    socket.start("1", "{ wait }")
    await socket.ended()
    assert stage.passed == []
    assert socket.sent[-1]["type"] == "websocket.close"


@BOTH
async def test_weakness_09_a_confirmation_comes_when_the_groups_are_joined(
    subprotocol: str, layer: FakeLayer
) -> None:
    layer.hold("group_add")
    stage = Stage()
    socket = await ready(subprotocol, stage=stage, confirm_subscriptions=True)
    socket.start("s", NEWS)
    await wait_until(lambda: layer.calls["group_add"])
    await tick(5)
    assert socket.words[-1] == "connection_ack"
    layer.release("group_add")
    await wait_until(lambda: socket.results("s"))
    await News.broadcast_async(payload="not lost")
    await wait_until(lambda: results(socket) == ["not lost"])
    await socket.drop()


async def test_weakness_09_a_subscription_that_is_rejected_is_not_confirmed() -> None:
    socket = await ready(confirm_subscriptions=True)
    socket.start("1", 'subscription { news(topic: "refused") { text } }')
    await socket.heard("connection_ack", "error:1")
    await socket.drop()


@BOTH
@pytest.mark.parametrize("strict_ordering", [False, True])
async def test_weakness_10_a_complete_during_subscribe_ends_the_subscription(
    subprotocol: str, strict_ordering: bool
) -> None:
    stage = Stage("subscribe")
    socket = await ready(subprotocol, stage=stage, strict_ordering=strict_ordering)
    socket.start("s", SLOW_NEWS)
    await wait_until(lambda: stage.passed)
    socket.stop("s")
    stage.let_go("subscribe")
    await socket.heard("complete:s")
    await SlowNews.broadcast_async(payload="too late")
    socket.start("2", HELLO)
    await wait_until(lambda: "complete:2" in socket.words)
    assert socket.results("s") == [None]
    await socket.drop()


@BOTH
async def test_weakness_11_unsubscribed_is_called_when_the_client_has_gone(
    subprotocol: str,
) -> None:
    stage = Stage()
    socket = await live(NEWS, subprotocol, stage=stage)
    await socket.drop()
    assert stage.passed == ["subscribe", "unsubscribed"]


async def test_weakness_12_the_garbage_collector_takes_no_running_operation() -> None:
    wait = LonelyWait()

    class Query(graphene.ObjectType):
        late = graphene.Int()

        @staticmethod
        async def resolve_late(root: Any, info: Any) -> int:
            await wait()
            return 1

    socket = await ready(schema=graphene.Schema(query=Query))
    socket.start("1", "{ late }")
    await wait_until(lambda: wait.is_waiting)
    wait.end()
    await socket.heard("next:1", "complete:1")
    await socket.drop()


async def test_weakness_12_the_garbage_collector_takes_no_broadcast(
    layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = LonelyWait()
    sent: list[Any] = []

    async def group_send(group: str, message: Any) -> None:
        if not sent:  # There is one for each prefix of groups that is known.
            await wait()
        sent.append(message)

    monkeypatch.setattr(layer, "group_send", group_send)
    News.broadcast(payload="nobody awaits it")
    await wait_until(lambda: wait.is_waiting)
    wait.end()
    await wait_until(lambda: sent)


@pytest.mark.parametrize("limit", [1, MANY])
async def test_weakness_13_broadcasts_that_nobody_awaits_keep_their_order(
    layer: FakeLayer, limit: int
) -> None:
    socket = await live(subscription_notification_queue_limit=limit)
    # Every other one takes much longer to encode.
    for number in range(MANY):
        News.broadcast(payload=str(number) + " " * (1 - number % 2) * 100_000)
    await wait_until(lambda: results(socket)[-1:] == [str(MANY - 1)])
    seen = [int(text) for text in results(socket)]
    assert seen == sorted(seen)
    assert limit == 1 or len(seen) == MANY
    await socket.drop()


@BOTH
async def test_weakness_14_a_group_that_can_not_be_joined_is_told_the_client(
    subprotocol: str, layer: FakeLayer
) -> None:
    layer.errors["group_add"] = OSError("no Redis")
    socket = await ready(subprotocol, confirm_subscriptions=True)
    socket.start("1", NEWS)
    await wait_until(lambda: socket.results("1"))
    assert "no Redis" in json.dumps(socket.results("1")[0])
    assert "data:1" not in socket.words or socket.results("1")[0]["data"] is None
    await socket.drop()


async def test_weakness_14_a_group_that_can_not_be_left_is_told_the_log(
    layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await live()
    layer.errors["group_discard"] = OSError("no Redis")
    socket.stop("s")
    await socket.heard("complete:s")
    await wait_until(lambda: "no Redis" in caplog.text)
    await socket.drop()


async def test_weakness_15_bytes_that_are_no_payload_cost_one_notification(
    layer: FakeLayer, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await live()
    group = layer_group(News, "GQLWS", None)
    await layer.group_send(group, {"type": "broadcast", "group": group, "payload": b"\xc1"})
    await News.broadcast_async(payload="the next one")
    await wait_until(lambda: results(socket) == ["the next one"])
    assert [record for record in caplog.records if record.levelno == logging.ERROR]
    socket.stop("s")
    socket.start("s", HELLO)
    await wait_until(lambda: socket.words[-1] == "complete:s")
    assert socket.closes == []
    await socket.drop()


@pytest.mark.parametrize("groups", [["a", "a"], [None], ["a", None, "a", None]])
async def test_weakness_16_a_group_that_is_named_twice_is_one_group(groups: list[Any]) -> None:
    class Twice(Subscription):
        text = graphene.String()

        @staticmethod
        def subscribe(root: Any, info: Any) -> list[Any]:
            return groups

        @staticmethod
        def publish(payload: Any, info: Any) -> dict[str, Any]:
            return {"text": payload}

    socket = await live("subscription { twice { text } }", schema=schema_with(twice=Twice))
    for group in dict.fromkeys(groups):
        await Twice.broadcast_async(group=group, payload=f"to {group}")
    socket.stop("s")
    await wait_until(lambda: "complete:s" in socket.words)
    # The last of the payloads is that of the `complete`: there is none.
    assert [payload and payload["data"] for payload in socket.results("s")[1:]] == [
        *({"twice": {"text": f"to {group}"}} for group in dict.fromkeys(groups)),
        None,
    ]
    await socket.drop()


@BOTH
async def test_weakness_17_an_unsubscribed_that_raises_does_not_keep_the_complete(
    subprotocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Raising(Subscription):
        text = graphene.String()

        @staticmethod
        def publish(payload: Any, info: Any) -> None:
            return None

        @staticmethod
        def unsubscribed(root: Any, info: Any) -> None:
            raise ValueError("broken")

    socket = await live(
        "subscription { raising { text } }", subprotocol, schema=schema_with(raising=Raising)
    )
    socket.stop("s")
    await socket.heard("complete:s")
    assert "broken" in caplog.text
    await socket.drop()


async def test_weakness_18_two_inits_in_a_row_close_4429() -> None:
    calls: list[Any] = []
    gate = asyncio.Event()

    async def on_connect(self: Any, payload: Any) -> None:
        calls.append(payload)
        await gate.wait()

    socket = AsgiSocket(consumer_class(on_connect=on_connect).as_asgi())
    socket.init()
    socket.init()
    await socket.ended()
    assert [code for code, _ in socket.closes] == [4429]
    assert len(calls) == 1
    assert "connection_ack" not in socket.words


async def test_weakness_18_a_second_init_of_a_legacy_client_starts_no_second_ping() -> None:
    socket = await ready(LEGACY, send_ping_every=1000)
    socket.init()
    await wait_until(lambda: socket.words.count("connection_ack") == 2)
    socket.start("1", HELLO)
    await socket.heard("data:1", "complete:1")
    assert socket.words.count("ka") == 1
    assert len(ping_timers()) == 1
    await socket.drop()
    assert ping_timers() == []


def ping_timers() -> list[Any]:
    loop: Any = asyncio.get_running_loop()
    timers = [timer for timer in loop._scheduled if not timer.cancelled()]
    return [timer for timer in timers if "_Queue._look" in repr(timer)]


async def test_weakness_19_the_time_for_the_init_ends_with_the_init() -> None:
    is_later = asyncio.Event()

    async def on_connect(self: Any, payload: Any) -> None:
        # A timer behind the one for the init.
        asyncio.get_running_loop().call_later(0.02, is_later.set)
        await is_later.wait()

    socket = await ready(on_connect=on_connect, connection_init_wait_timeout=0.01)
    socket.start("1", HELLO)
    await socket.heard("connection_ack", "next:1", "complete:1")
    assert socket.closes == []
    await socket.drop()


async def test_weakness_20_a_subscription_may_have_an_output_and_a_field_that_is_required() -> (
    None
):
    class Shown(graphene.ObjectType):
        text = graphene.String(required=True)

    class OnShown(Subscription):
        Output = Shown

        @staticmethod
        def publish(payload: Any, info: Any) -> Any:
            return None if payload is None else Shown(text=payload)

    root = type("Root", (graphene.ObjectType,), {"shown": OnShown.Field(required=True)})
    query = type("Query", (graphene.ObjectType,), {"ok": graphene.Boolean()})
    schema = graphene.Schema(query=query, subscription=root)
    socket = await live("subscription { shown { text } }", schema=schema)
    await OnShown.broadcast_async(payload=None)
    await OnShown.broadcast_async(payload="shown")
    await wait_until(lambda: len(socket.results("s")) == 2)
    assert socket.results("s")[1] == {"data": {"shown": {"text": "shown"}}}
    await socket.drop()


async def test_weakness_20_a_consumer_class_may_have_its_own_prefix_of_groups(
    layer: FakeLayer,
) -> None:
    socket = await live(group_name_prefix="MINE")
    assert layer_group(News, "MINE", None) in layer.groups
    await News.broadcast_async(payload="heard")
    await wait_until(lambda: results(socket) == ["heard"])
    await socket.drop()


async def test_weakness_20_an_error_tells_what_is_documented() -> None:
    """Of an exception in a resolver its text; anywhere else `extensions.code`, too."""

    async def on_operation(self: Any, op_id: Any, payload: Any) -> None:
        if op_id == "refused":
            raise PermissionError("not you")

    socket = await ready(on_operation=on_operation)
    socket.start("1", "{ broken }")
    socket.start("refused", HELLO)
    await wait_until(lambda: "error:refused" in socket.words)
    [error] = socket.results("1")[0]["errors"]
    assert (error["message"], error.get("extensions")) == ("broken", None)
    [[refusal]] = socket.results("refused")
    assert refusal == {
        "message": "PermissionError: not you",
        "extensions": {"code": "PermissionError"},
    }
    await socket.drop()


@BOTH
async def test_weakness_21_the_client_raises_at_once_where_no_complete_follows(
    subprotocol: str,
) -> None:
    transport = GraphqlWsTransport(consumer_class().as_asgi(), "/", subprotocol=subprotocol)
    client = ClientInProcess(transport, subprotocol)
    await client.connect_and_init()
    with pytest.raises(GraphqlWsResponseError):
        await client.execute("{ nothingLikeThat }")
    assert await client.execute(HELLO) == {"data": {"hello": "world"}}
    await client.finalize()


class ServerOfAiohttp:
    """A server which pings, and closes when it is answered."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.chosen: str | None = None

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=(NEW, LEGACY))
        await socket.prepare(request)
        self.chosen = socket.ws_protocol
        self.heard.append(await socket.receive_json(timeout=GUARD))
        await socket.send_json({"type": "connection_ack"})
        if self.chosen == NEW:
            await socket.send_json({"type": "ping"})
            self.heard.append(await socket.receive_json(timeout=GUARD))
        await socket.close(code=4400, message=b"That was all")
        return socket


@pytest.fixture
async def server() -> AsyncIterator[ServerOfAiohttp]:
    server = ServerOfAiohttp()
    application = web.Application()
    application.router.add_get("/", server.serve)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/"
    yield server
    await runner.cleanup()


@BOTH
async def test_weakness_21_the_client_is_one_that_strict_servers_like(
    subprotocol: str, server: ServerOfAiohttp
) -> None:
    client = GraphqlWsClient(GraphqlWsTransportAiohttp(server.url), subprotocol)
    await client.connect_and_init()
    closed = await client.wait_disconnect(timeout=GUARD)
    assert (closed["code"], closed["reason"]) == (4400, "That was all")
    assert server.chosen == subprotocol
    init, *pongs = server.heard
    assert init.get("payload", {}) == {}
    assert pongs == ([{"type": "pong"}] if subprotocol == NEW else [])
    await client.finalize()


def test_weakness_22_no_lock_of_threads_is_held_while_something_is_awaited() -> None:
    waits = (ast.Await, ast.AsyncFor, ast.AsyncWith, ast.Yield, ast.YieldFrom)
    held = 0
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.With) and "lock" in ast.unparse(node.items[0]).lower():
                held += 1
                inside = [one for one in ast.walk(node) if isinstance(one, waits)]
                assert inside == [], f"{path.name}:{node.lineno}"
    assert held, "nothing was looked at"


async def test_weakness_22_a_subscription_that_waits_stops_no_thread() -> None:
    stage = Stage("publish")
    socket = await live(SLOW_NEWS, stage=stage)
    await SlowNews.broadcast_async(payload="1")
    await wait_until(lambda: "publish" in stage.passed)
    async with asyncio.timeout(GUARD):
        await asyncio.to_thread(SlowNews.broadcast_sync, payload="2")
    stage.let_go("publish")
    await wait_until(lambda: results(socket) == ["1", "2"])
    await socket.drop()


@BOTH
@pytest.mark.parametrize("strict_ordering", [False, True])
async def test_weakness_23_a_mutation_goes_on_when_its_client_has_gone(
    subprotocol: str, strict_ordering: bool
) -> None:
    stage = Stage("mutation")
    socket = await ready(subprotocol, stage=stage, strict_ordering=strict_ordering)
    socket.start("1", 'mutation { tellAndWait(text: "hi") }')
    await wait_until(lambda: "mutation" in stage.passed)
    socket.hang_up()
    await tick(5)
    stage.let_go("mutation")
    await socket.ended()
    assert "mutation done" in stage.passed


class Counted:
    """Counts the calls of what it is put in front of."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self.count = 0
        original = getattr(owner, name)

        def counting(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)


async def test_weakness_24_connections_share_documents_which_keep_none_of_them_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    parses = Counted(monkeypatch, documents, "parse")
    validations = Counted(monkeypatch, documents, "validate")
    alive: weakref.WeakSet[Any] = weakref.WeakSet()

    class Watched(consumer_class()):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            alive.add(self)

    for _ in range(20):
        socket = await ready(consumer=Watched)
        socket.start("1", "{ hello } # shared")
        await socket.heard("next:1", "complete:1")
        await socket.drop()
        del socket
    assert (parses.count, validations.count) == (1, 1)
    await tick(3)
    gc.collect()
    assert list(alive) == []


class TaskCounter:
    """Counts the tasks that are created on the running loop, and its hops to threads."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.tasks = 0
        self._loop = asyncio.get_running_loop()
        self._hops = Counted(monkeypatch, self._loop, "run_in_executor")

    @property
    def hops(self) -> int:
        return self._hops.count

    def __enter__(self) -> Self:
        self._hops.count = 0
        self._loop.set_task_factory(self._task)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.set_task_factory(None)

    def _task(self, loop: Any, coroutine: Any, **options: Any) -> Any:
        self.tasks += 1
        return asyncio.Task(coroutine, loop=loop, **options)


@pytest.mark.parametrize(("connections", "subscriptions"), [(1, 1), (10, 1), (1, 10)])
async def test_weakness_25_a_notification_costs_no_task_and_no_thread(
    connections: int, subscriptions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    sockets = [await ready() for _ in range(connections)]
    ids = [str(number) for number in range(subscriptions)]
    for socket in sockets:
        for id in ids:
            socket.start(id, NEWS)
    decodes = Counted(monkeypatch, notification.Serializer, "deserialize")
    await wait_until(lambda: listeners() == connections * subscriptions)
    with TaskCounter(monkeypatch) as counter:
        for _ in range(MANY):
            News.broadcast(payload="x")
        await wait_until(
            lambda: all(len(socket.results(id)) == MANY for socket in sockets for id in ids)
        )
    # One that gives the turns, however many deliveries there are.
    assert counter.tasks <= 2
    assert counter.hops == 0
    # The look whether the bytes are sound costs no decode of its own.
    assert decodes.count <= MANY * connections * subscriptions
    for socket in sockets:
        await socket.drop()


def listeners() -> int:
    return sum(one.counts()["listeners"] for one in hub._hubs.values())


async def test_weakness_26_a_group_is_joined_once_however_many_subscribe(
    layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    joined: list[str] = []
    group_add = layer.group_add

    async def noting(group: str, channel: str) -> None:
        joined.append(group)
        await group_add(group, channel)

    monkeypatch.setattr(layer, "group_add", noting)
    sockets = [await ready(confirm_subscriptions=True) for _ in range(2)]
    for socket in sockets:
        for number in range(5):
            socket.start(str(number), NEWS)
    await wait_until(lambda: all(len(socket.frames) == 1 + 5 for socket in sockets))
    assert joined.count(layer_group(News, "GQLWS", None)) == 1
    for socket in sockets:
        await socket.drop()


async def test_weakness_27_subscriptions_have_no_iterators_and_idle_ones_no_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    iterators = Counted(monkeypatch, MapAsyncIterator, "__init__")
    socket = await ready()
    tasks = asyncio.all_tasks()
    for number in range(MANY):
        socket.start(str(number), NEWS)
    await wait_until(lambda: listeners() == MANY)
    await tick(3)
    assert asyncio.all_tasks() == tasks
    await News.broadcast_async(payload="x")
    await wait_until(lambda: len(socket.frames) == 1 + MANY)
    assert iterators.count == 0
    await socket.drop()


async def test_weakness_28_a_consumer_class_has_one_middleware_manager(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []

    class Noted(middleware_module.MiddlewareManager):
        def __init__(self, *middlewares: Any) -> None:
            made.append(middlewares)
            super().__init__(*middlewares)

    def middleware(next: Any, root: Any, info: Any, **arguments: Any) -> Any:
        return next(root, info, **arguments)

    monkeypatch.setattr(middleware_module, "MiddlewareManager", Noted)
    consumer = consumer_class(middleware=[middleware])
    for _ in range(5):
        socket = await ready(consumer=consumer)
        socket.start("1", HELLO)
        await socket.heard("next:1", "complete:1")
        await socket.drop()
    assert made == [(middleware,)]


async def test_weakness_29_what_is_the_same_for_all_is_done_once_in_a_process(
    layer: FakeLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Documents, the membership in groups, and the look at a broadcast's bytes are shared.

    The execution of identical subscriptions is not, yet.
    """
    parses = Counted(monkeypatch, documents, "parse")
    validations = Counted(monkeypatch, documents, "validate")
    notifications = Counted(monkeypatch, hub, "Notification")
    sockets = [await ready(confirm_subscriptions=True) for _ in range(10)]
    for socket in sockets:
        socket.start("1", NEWS + " # the same")
    await wait_until(lambda: all(socket.results("1") for socket in sockets))
    assert len(layer.groups[layer_group(News, "GQLWS", None)]) == 1
    await News.broadcast_async(payload="x")
    await wait_until(lambda: all(len(socket.results("1")) == 2 for socket in sockets))
    assert (parses.count, validations.count, notifications.count) == (1, 1, 1)
    for socket in sockets:
        await socket.drop()


def requirements() -> dict[str, Requirement]:
    """Give what an installation of the package brings along."""
    try:
        lines = importlib.metadata.requires("channels-graphql-ws") or []
    except importlib.metadata.PackageNotFoundError:  # This is a checkout.
        text = (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")
        lines = tomllib.loads(text)["project"]["dependencies"]
    every = [Requirement(line) for line in lines if "extra ==" not in line]
    return {requirement.name.lower(): requirement for requirement in every}


def test_weakness_30_nothing_is_pinned_and_django_has_no_cap() -> None:
    needed = requirements()
    assert {"django", "channels", "graphene", "graphql-core"} <= needed.keys()
    for name, requirement in needed.items():
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators <= ({">=", "<"} if name == "graphql-core" else {">="}), requirement
    for version in ("5.2.19", "6.0", "6.1", "7.0"):
        assert needed["django"].specifier.contains(version)


def test_weakness_31_a_graphql_core_that_does_not_fit_is_not_installed() -> None:
    """Graphene 3.4 does not work with 3.3 either, and would not say so."""
    fits = requirements()["graphql-core"].specifier
    assert fits.contains("3.2.99")
    assert not fits.contains("3.3.0")
    gone = {"MapAsyncIterator", "create_source_event_stream", "graphql.subscription"}
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                names = {node.module, *(alias.name for alias in node.names)}
                assert not names & gone, f"{path.name}:{node.lineno}"


async def test_weakness_32_the_transport_works_with_this_python(server: ServerOfAiohttp) -> None:
    transport = GraphqlWsTransportAiohttp(server.url)
    await transport.connect(timeout=GUARD)
    await transport.send({"type": "connection_init"})
    assert await transport.receive(timeout=GUARD) == {"type": "connection_ack"}
    await transport.disconnect(timeout=GUARD)
    assert server.heard[0] == {"type": "connection_init"}


def test_weakness_33_the_server_needs_no_aiohttp(tmp_path: Path) -> None:
    """It comes with the package, for the client; a server works where it is missing."""
    code = (
        "import sys; sys.modules['aiohttp'] = None\n"
        "import channels_graphql_ws\n"
        "from channels_graphql_ws import *\n"
        "from channels_graphql_ws import routing, testing\n"
        "print('fine')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=3 * GUARD,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "fine"), done.stderr

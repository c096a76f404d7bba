"""Django signals about clients: what is told, in which order, and that nobody waits for it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import graphene
import pytest
from django.test import Client, override_settings
from django.urls import path

from asgi_socket import LEGACY, NEW
from channels_graphql_ws import (
    ConnectionRejectionError,
    GraphqlHttpConsumer,
    GraphqlView,
    GraphqlWsConsumer,
    Subscription,
    shut_down,
    signals,
)
from channels_graphql_ws.shutdown import connections_of_loop
from channels_graphql_ws.subscription import signals as of_subscriptions
from channels_graphql_ws.subscription.signals import SubscriptionSignals
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from http_client import EVENTS, PARTS, ask, exchange, post, streaming
from support import tick, wait_until

ALL = signals.__all__

ADA = SimpleNamespace(pk=1, is_authenticated=True)


class OnMessage(Subscription):
    """Tells messages of a room, late if there is a gate."""

    class Arguments:
        room = graphene.String(default_value="a")

    text = graphene.String()
    gate: asyncio.Event | None = None
    entered: asyncio.Event | None = None

    @staticmethod
    def subscribe(root: Any, info: Any, room: str) -> list[str] | None:
        if room == "secret":
            raise PermissionError("not you")
        return None if room == "all" else [room]

    @classmethod
    async def publish(cls, payload: Any, info: Any, **arguments: Any) -> dict[str, Any]:
        if cls.gate is not None and cls.entered is not None:
            cls.entered.set()
            await cls.gate.wait()
        return {"text": payload}


class OnFew(OnMessage):
    """Has room for two."""

    notification_queue_limit = 2
    text = graphene.String()

    class Arguments(OnMessage.Arguments):
        pass


class OnShared(OnFew):
    """Is executed once for all."""

    text = graphene.String()

    class Arguments(OnMessage.Arguments):
        pass

    @staticmethod
    def context_id(root: Any, info: Any, **arguments: Any) -> str:
        return "everybody"


class Query(graphene.ObjectType):
    """Without one, a schema is not valid."""

    ok = graphene.Boolean(default_value=True)


class Subscriptions(graphene.ObjectType):
    """The root type of the subscriptions."""

    on_message = OnMessage.Field()
    on_few = OnFew.Field()
    on_shared = OnShared.Field()
    count = graphene.Int()
    broken = graphene.Int()

    @staticmethod
    async def subscribe_count(_root: Any, _info: Any) -> AsyncIterator[int]:
        for number in range(2):
            yield number

    @staticmethod
    def resolve_count(number: int, _info: Any) -> int:
        return number

    @staticmethod
    async def subscribe_broken(_root: Any, _info: Any) -> AsyncIterator[int]:
        yield 1
        raise ValueError("broken")


SCHEMA = graphene.Schema(query=Query, subscription=Subscriptions)

ROOM = 'subscription Room { onMessage(room: "a") { text } }'


class Consumer(GraphqlWsConsumer):
    """Lets all in but those who say that they are nobody."""

    schema = SCHEMA

    async def on_connect(self, payload: Any) -> None:
        match payload:
            case {"name": "nobody"}:
                raise ConnectionRejectionError({"message": "Nobody comes in"})
            case {"name": "slow"}:
                await asyncio.Event().wait()
        self.scope["user"] = ADA

    async def on_operation(self, op_id: Any, payload: Any) -> None:
        if "{ ok }" in payload["query"]:
            raise PermissionError("no queries")


class Heard(list[tuple[str, dict[str, Any]]]):
    """The signals that were sent."""

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self]

    def only(self, name: str) -> dict[str, Any]:
        (found,) = [arguments for each, arguments in self if each == name]
        return found

    async def until(self, name: str, count: int = 1) -> dict[str, Any]:
        await wait_until(lambda: self.names.count(name) >= count)
        return next(arguments for each, arguments in reversed(self) if each == name)


class Receivers:
    """Connects receivers for the time of a test."""

    def __init__(self) -> None:
        self._connected: list[tuple[Any, Any]] = []

    def connect(self, name: str, receiver: Callable[..., Any], sender: Any = None) -> None:
        signal = getattr(signals, name)
        signal.connect(receiver, sender=sender, weak=False)
        self._connected.append((signal, partial(signal.disconnect, receiver, sender=sender)))

    def disconnect(self) -> None:
        for signal, disconnect in self._connected:
            disconnect()
            signal.blocks = False


@pytest.fixture
def receivers() -> Iterator[Receivers]:
    made = Receivers()
    yield made
    made.disconnect()


@pytest.fixture
def heard(receivers: Receivers) -> Heard:
    """What an asynchronous receiver of all signals has got."""
    found = Heard()
    for name in ALL:
        receivers.connect(name, recorder(found, name))
    return found


def recorder(heard: Heard, name: str) -> Callable[..., Any]:
    async def receive(**arguments: Any) -> None:
        heard.append((name, arguments))

    return receive


@asynccontextmanager
async def connection(
    application: Any = None, payload: Any = None, subprotocol: str = NEW
) -> AsyncIterator[GraphqlWsClient]:
    application = Consumer.as_asgi() if application is None else application
    transport = GraphqlWsTransport(application, "/", subprotocol=subprotocol)
    client = GraphqlWsClient(transport, subprotocol)
    try:
        await client.connect_and_init(payload=payload)
        yield client
    finally:
        await client.finalize()


async def rest_of_signals() -> None:
    """Wait until what was sent so far was received."""
    while connections_of_loop().trailing:
        await tick()


async def test_the_life_of_a_connection_is_told_in_order(heard: Heard) -> None:
    async with connection() as client:
        id = await client.subscribe(ROOM, wait_confirmation=False)
        await heard.until("subscribed")
    await rest_of_signals()
    assert heard.names == ["connected", "subscribed", "unsubscribed", "disconnected"]
    assert {arguments["sender"] for _, arguments in heard} == {Consumer}
    assert all(arguments["scope"]["user"] is ADA for _, arguments in heard)
    (connection_id,) = {arguments["connection"] for _, arguments in heard}
    assert len(connection_id) == 16
    told = heard.only("subscribed")
    assert (told["operation_id"], told["operation_name"]) == (id, "Room")
    assert (told["subscription"], told["name"]) == (OnMessage, "OnMessage")
    assert told["groups"] == ["a"]
    assert told["context"].user is ADA
    assert {**heard.only("unsubscribed"), "signal": 0} == {**told, "signal": 0}
    end = heard.only("disconnected")
    assert (end["code"], end["reason"]) == (1000, "")


async def test_connections_have_ids_of_their_own(heard: Heard) -> None:
    async with connection(), connection():
        await heard.until("connected", 2)
        first, second = [arguments["connection"] for _, arguments in heard]
        assert first != second


async def test_a_client_that_says_hello_twice_is_connected_once(heard: Heard) -> None:
    async with connection(subprotocol=LEGACY) as client:
        await client.send_raw_message({"type": "connection_init", "payload": {}})
        await client.receive(assert_type="connection_ack")
    await rest_of_signals()
    assert heard.names == ["connected", "disconnected"]


@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_the_end_of_a_subscription_is_told_whatever_ends_it(
    heard: Heard, subprotocol: str
) -> None:
    async with connection(subprotocol=subprotocol) as client:
        id = await client.subscribe(ROOM, wait_confirmation=False)
        await heard.until("subscribed")
        await client.complete(id)
        await heard.until("unsubscribed")
        await client.subscribe(ROOM, wait_confirmation=False)
        await heard.until("subscribed", 2)
        await OnMessage.unsubscribe()
        await heard.until("unsubscribed", 2)
        await client.receive(assert_type="complete")
    assert heard.names.count("subscribed") == 2


async def test_the_sender_is_the_class_as_it_was_written(receivers: Receivers) -> None:
    found = Heard()
    receivers.connect("connected", recorder(found, "connected"), sender=Consumer)
    async with connection(Consumer.as_asgi(confirm_subscriptions=True)):
        await found.until("connected")
    async with connection(GraphqlWsConsumer.as_asgi(schema=SCHEMA)):
        pass
    assert len(found) == 1


async def test_generators_are_told_without_a_class(heard: Heard) -> None:
    async with connection() as client:
        await client.subscribe("subscription { count }", wait_confirmation=False)
        for _ in range(2):
            await client.receive()
        await client.receive(assert_type="complete")
        await client.subscribe("subscription { broken }", wait_confirmation=False)
        await client.receive()
        with pytest.raises(Exception, match="broken"):
            await client.receive()
    await rest_of_signals()
    first, second = [told for name, told in heard if name == "unsubscribed"]
    assert (first["subscription"], first["name"]) == (None, "count")
    assert (second["subscription"], second["name"]) == (None, "broken")
    assert (first["operation_name"], first["groups"]) == (None, [])


async def test_a_generator_that_a_client_stops_is_told_once(heard: Heard) -> None:
    async with connection() as client:
        id = await client.subscribe("subscription { count }", wait_confirmation=False)
        await heard.until("subscribed")
        await client.complete(id)
        await heard.until("unsubscribed")
    await rest_of_signals()
    assert heard.names.count("unsubscribed") == 1


async def test_synchronous_receivers_run_in_a_thread_in_order(receivers: Receivers) -> None:
    found = Heard()
    threads: set[int] = set()

    def receiver(name: str) -> Callable[..., Any]:
        def receive(**arguments: Any) -> None:
            threads.add(threading.get_ident())
            found.append((name, arguments))

        return receive

    for name in ALL:
        receivers.connect(name, receiver(name))
    receivers.connect("subscribed", recorder(found, "asynchronous"))
    async with connection() as client:
        await client.subscribe(ROOM, wait_confirmation=False)
        await found.until("asynchronous")
    await rest_of_signals()
    assert [name for name in found.names if name != "asynchronous"] == [
        "connected",
        "subscribed",
        "unsubscribed",
        "disconnected",
    ]
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_receiver_that_raises_is_logged_and_costs_the_others_nothing(
    receivers: Receivers, heard: Heard, caplog: pytest.LogCaptureFixture, *, is_async: bool
) -> None:
    def fail(**_: Any) -> None:
        raise ValueError("a broken receiver")

    async def fail_later(**_: Any) -> None:
        fail()

    receivers.connect("connected", fail_later if is_async else fail)
    async with connection() as client:
        await client.subscribe(ROOM, wait_confirmation=False)
        await OnMessage.broadcast(group="a", payload="hello")
        await client.receive()
    await rest_of_signals()
    assert heard.names == ["connected", "subscribed", "unsubscribed", "disconnected"]
    assert "a broken receiver" in caplog.text


async def test_after_a_receiver_that_is_cancelled_from_inside_others_are_told(
    receivers: Receivers, heard: Heard
) -> None:
    begun = asyncio.Event()

    async def cancelled(**_: Any) -> None:
        begun.set()
        raise asyncio.CancelledError

    receivers.connect("connected", cancelled)
    async with connection():
        await begun.wait()
    await rest_of_signals()
    assert heard.names == ["connected", "disconnected"]


async def test_a_receiver_that_hangs_delays_neither_events_nor_the_close(
    receivers: Receivers,
) -> None:
    gate = asyncio.Event()
    found = Heard()

    async def hang(**_: Any) -> None:
        await gate.wait()

    receivers.connect("connected", hang)
    receivers.connect("disconnected", recorder(found, "disconnected"))
    async with connection() as client:
        await client.subscribe(ROOM, wait_confirmation=False)
        await OnMessage.broadcast(group="a", payload="hello")
        assert (await client.receive())["data"] == {"onMessage": {"text": "hello"}}
    # The connection has ended, and it is not told before its turn.
    assert not found
    gate.set()
    await rest_of_signals()
    assert found.names == ["disconnected"]


async def test_a_thread_that_hangs_delays_nothing_either(receivers: Receivers) -> None:
    gate = threading.Event()
    receivers.connect("connected", lambda **_: gate.wait())
    try:
        async with connection() as client:
            await client.subscribe(ROOM, wait_confirmation=False)
            await OnMessage.broadcast(group="a", payload="hello")
            await client.receive()
    finally:
        gate.set()
    await rest_of_signals()


async def test_receivers_that_take_too_long_are_given_up(
    receivers: Receivers,
    heard: Heard,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(signals, "TIMEOUT", 0.01)

    async def hang(**_: Any) -> None:
        await asyncio.Event().wait()

    receivers.connect("connected", hang)
    async with connection():
        pass
    await rest_of_signals()
    assert heard.names[-1] == "disconnected"
    assert "Receivers of the signal connected take longer than 0.01 seconds" in caplog.text


async def test_signals_that_wait_are_bounded_and_the_end_is_told_in_any_case(
    receivers: Receivers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(signals, "MOST_WAITING", 1)
    gate = asyncio.Event()
    found = Heard()

    async def hang(**_: Any) -> None:
        await gate.wait()

    receivers.connect("connected", hang)
    for name in ("subscribed", "disconnected"):
        receivers.connect(name, recorder(found, name))
    async with connection() as client:
        await tick(5)
        for _ in range(3):
            await client.subscribe(ROOM, wait_confirmation=False)
    gate.set()
    await rest_of_signals()
    assert found.names == ["subscribed", "disconnected"]
    assert "Receivers of signals are too slow" in caplog.text


async def test_a_shutdown_waits_for_receivers_but_not_long(
    receivers: Receivers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("channels_graphql_ws.shutdown.TRAILING_TIMEOUT", 0.01)
    gate = asyncio.Event()

    async def hang(**_: Any) -> None:
        await gate.wait()

    receivers.connect("connected", hang)
    async with connection():
        await shut_down(0)
    assert connections_of_loop().trailing
    gate.set()
    await rest_of_signals()


async def test_what_waits_goes_with_the_event_loop(receivers: Receivers) -> None:
    async def hang(**_: Any) -> None:
        await asyncio.Event().wait()

    receivers.connect("connected", hang)
    async with connection():
        (task,) = connections_of_loop().trailing
        await tick()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


@pytest.mark.parametrize("steps", [["end"], ["end", "begin"]])
def test_what_was_never_live_is_not_told(steps: list[str]) -> None:
    def send(signal: Any, **_: Any) -> None:
        raise AssertionError(signal)

    told = SubscriptionSignals(send)
    for step in steps:
        getattr(told, step)()


async def test_nothing_is_kept_without_a_receiver() -> None:
    async with connection() as client:
        await client.subscribe(ROOM, wait_confirmation=False)
        assert not connections_of_loop().trailing


# Refusals.


async def refusal(heard: Heard) -> dict[str, Any]:
    told = await heard.until("refused")
    assert heard.names == ["refused"]
    names = ("what", "reason", "code")
    return {name: told[name] for name in names} | {"error": type(told["error"]).__name__}


async def test_a_handshake_that_is_refused(heard: Heard) -> None:
    headers = [(b"origin", b"https://evil.example"), (b"host", b"good.example")]
    client = GraphqlWsClient(GraphqlWsTransport(Consumer.as_asgi(), "/", {"headers": headers}))
    with pytest.raises(Exception, match=r"refused|rejected|closed"):
        await client.connect_and_init()
    await client.finalize()
    told = await refusal(heard)
    assert told.pop("reason").startswith("of the origin https://evil.example")
    assert told == {"what": "handshake", "code": 403, "error": "NoneType"}
    assert heard[0][1]["sender"] is Consumer


async def test_a_subprotocol_that_nobody_speaks(heard: Heard) -> None:
    transport = GraphqlWsTransport(Consumer.as_asgi(subprotocols=["graphql-ws"]), "/")
    client = GraphqlWsClient(transport)
    with pytest.raises(Exception, match="4406"):
        await client.connect_and_init()
    await client.finalize()
    assert await refusal(heard) == {
        "what": "connection",
        "reason": "Subprotocol not acceptable",
        "code": 4406,
        "error": "NoneType",
    }


@pytest.mark.parametrize(("subprotocol", "code"), [(NEW, 4403), (LEGACY, 4000)])
async def test_a_client_that_on_connect_refuses(heard: Heard, subprotocol: str, code: int) -> None:
    with pytest.raises(Exception, match="Nobody comes in"):
        async with connection(payload={"name": "nobody"}, subprotocol=subprotocol):
            pass
    told = await refusal(heard)
    assert told == {
        "what": "connection",
        "reason": "{'message': 'Nobody comes in'}",
        "code": code,
        "error": "ConnectionRejectionError",
    }


async def test_an_on_connect_that_takes_too_long(heard: Heard) -> None:
    application = Consumer.as_asgi(on_connect_timeout=0.01)
    with pytest.raises(Exception, match=r"4408|took too long|closed"):
        async with connection(application, {"name": "slow"}):
            pass
    told = await refusal(heard)
    assert told["reason"] == "`on_connect` of Consumer took longer than 0.01 seconds"
    assert told["what"] == "connection"


async def test_a_user_with_too_many_connections(heard: Heard) -> None:
    application = Consumer.as_asgi(max_connections_per_user=1)
    async with connection(application):
        await heard.until("connected")
        with pytest.raises(Exception, match="Too many connections"):
            async with connection(application):
                pass
        told = await heard.until("refused")
        assert "Too many connections" in told["reason"]


async def test_operations_that_hooks_or_limits_refuse(heard: Heard) -> None:
    async with connection(Consumer.as_asgi(max_operations_per_connection=1)) as client:
        with pytest.raises(Exception, match="no queries"):
            await client.execute("{ ok }")
        told = await heard.until("refused")
        assert (told["what"], told["reason"]) == ("operation", "no queries")
        assert isinstance(told["error"], PermissionError)
        with pytest.raises(Exception, match="not you"):
            await client.execute('subscription Secret { onMessage(room: "secret") { text } }')
        told = await heard.until("refused", 2)
        assert (told["reason"], told["operation_name"]) == ("not you", "Secret")
        await client.subscribe(ROOM, wait_confirmation=False)
        with pytest.raises(Exception, match="Operation limit"):
            await client.execute(ROOM)
        told = await heard.until("refused", 3)
        assert told["reason"].startswith("Operation limit of 1 reached")


async def test_what_does_not_parse_is_not_refused(heard: Heard) -> None:
    async with connection() as client:
        with pytest.raises(Exception, match="Syntax"):
            await client.execute("{ o k ")
    await rest_of_signals()
    assert "refused" not in heard.names


def test_a_reason_is_short_and_always_a_text() -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert signals._text(BrokenError()) == "BrokenError"
    assert signals._text(ValueError()) == "ValueError"
    assert len(signals._text("a" * 1_000)) == signals.LONGEST_REASON


# Over HTTP.


@pytest.mark.parametrize("accept", [EVENTS, PARTS])
async def test_a_stream_of_events_is_a_connection(heard: Heard, accept: str) -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=SCHEMA, multipart_subscriptions_enabled=True)
    async with streaming(application, ROOM, accept=accept) as one:
        await heard.until("subscribed")
        await one.leave()
    await rest_of_signals()
    assert heard.names == ["connected", "subscribed", "unsubscribed", "disconnected"]
    assert len({arguments["connection"] for _, arguments in heard}) == 1
    assert {arguments["sender"] for _, arguments in heard} == {GraphqlHttpConsumer}
    assert heard.only("disconnected")["code"] is None
    assert heard.only("connected")["scope"]["type"] == "http"


async def test_a_subscription_that_is_refused_ends_its_stream(heard: Heard) -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=SCHEMA)
    query = 'subscription { onMessage(room: "secret") { text } }'
    async with streaming(application, query) as one:
        await one.rest()
        await one.finished()
    await rest_of_signals()
    assert heard.names == ["connected", "refused", "disconnected"]


async def test_queries_over_http_are_no_connections(heard: Heard) -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=SCHEMA)
    assert (await post(application, {"query": "{ ok }"})).status == 200
    await rest_of_signals()
    assert not heard


async def test_a_reserved_stream_is_one_connection_for_all_that_is_on_it(heard: Heard) -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=SCHEMA, single_connection_enabled=True)
    token = (await ask(application, "PUT", headers={"Accept": EVENTS})).body.decode()
    headers = {"X-GraphQL-Event-Stream-Token": token}
    async with exchange(application, "GET", "/graphql/", {**headers, "Accept": EVENTS}) as one:
        await one.start()
        for id in ("1", "2"):
            content = {"query": ROOM, "extensions": {"operationId": id}}
            assert (await post(application, content, headers=headers)).status == 202
        await heard.until("subscribed", 2)
        await one.leave()
    await rest_of_signals()
    assert heard.names[0] == "connected"
    assert heard.names[-1] == "disconnected"
    assert sorted(heard.names[1:-1]) == ["subscribed"] * 2 + ["unsubscribed"] * 2
    assert len({arguments["connection"] for _, arguments in heard}) == 1


async def test_requests_of_strangers_are_refused(heard: Heard) -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=SCHEMA, max_event_streams_per_user=1)
    headers = {"Origin": "https://evil.example", "Host": "testserver"}
    assert (await post(application, {"query": "{ ok }"}, headers=headers)).status == 403
    told = await refusal(heard)
    assert told.pop("reason")
    assert told == {"what": "request", "code": 403, "error": "NoneType"}
    content = {"query": ROOM}
    async with streaming_of(application, content):
        answer = await post(application, content, accept=EVENTS, user=ADA)
        assert answer.status == 429
        told = await heard.until("refused", 2)
        assert (told["code"], told["what"]) == (429, "request")


@asynccontextmanager
async def streaming_of(application: Any, content: Any) -> AsyncIterator[None]:
    async def as_ada(scope: Any, receive: Any, send: Any) -> None:
        await application({**scope, "user": ADA}, receive, send)

    async with streaming(as_ada, content["query"]):
        yield


class Urls:
    urlpatterns = (path("graphql/", GraphqlView.as_view(schema=SCHEMA)),)


@override_settings(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["testserver"], MIDDLEWARE=[])
def test_the_last_signal_is_sent_where_the_event_loop_ends_with_the_request(
    heard: Heard,
) -> None:
    response = Client().post(
        "/graphql/",
        {"query": "{ ok }"},
        content_type="application/json",
        headers={"origin": "https://evil.example"},
    )
    assert response.status_code == 403
    assert heard.names == ["refused"]


# Dropped events.


@asynccontextmanager
async def held(cls: Any) -> AsyncIterator[asyncio.Event]:
    """Let `publish` wait, and so fill queues."""
    cls.gate, cls.entered = asyncio.Event(), asyncio.Event()
    try:
        yield cls.gate
    finally:
        cls.gate.set()
        cls.gate = cls.entered = None


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_subscriptions, "DROPS_EVERY", 0.0)


async def fill(cls: Any, count: int) -> None:
    await cls.broadcast(group="a", payload="first")
    await cls.entered.wait()
    for number in range(count):
        await cls.broadcast(group="a", payload=str(number))


@pytest.mark.usefixtures("at_once")
async def test_dropped_events_are_told(heard: Heard) -> None:
    async with held(OnFew), connection() as client:
        await client.subscribe("subscription { onFew { text } }", wait_confirmation=False)
        await fill(OnFew, 5)
        await wait_until(lambda: sum(of_drops(heard)) == 3)
        assert heard.only("subscribed")["operation_id"] == heard[-1][1]["operation_id"]
        assert heard[-1][1]["subscription"] is OnFew


def of_drops(heard: Heard) -> list[int]:
    return [told["number"] for name, told in heard if name == "dropped"]


async def test_dropped_events_are_counted_for_a_while_and_told_before_the_end(
    heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_subscriptions, "DROPS_EVERY", 3_600.0)
    async with held(OnFew), connection() as client:
        await client.subscribe("subscription { onFew { text } }", wait_confirmation=False)
        await fill(OnFew, 5)
    await rest_of_signals()
    assert of_drops(heard) == [3]
    assert heard.names[-3:] == ["dropped", "unsubscribed", "disconnected"]


@pytest.mark.usefixtures("at_once")
async def test_what_is_dropped_before_it_is_executed_is_told_of_all_who_share_it(
    heard: Heard,
) -> None:
    async with held(OnShared), connection() as one, connection() as other:
        for client in (one, other):
            await client.subscribe("subscription { onShared { text } }", wait_confirmation=False)
        await fill(OnShared, 4)
        await wait_until(lambda: sum(of_drops(heard)) == 4)
        told = {each["connection"] for name, each in heard if name == "dropped"}
        assert len(told) == 2

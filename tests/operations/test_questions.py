"""Operators ask all processes for their connections, and end one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import graphene
import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from django.contrib.auth.models import User

from channels_graphql_ws import (
    ChannelLayerError,
    GraphqlHttpConsumer,
    GraphqlWsConsumer,
    Subscription,
)
from channels_graphql_ws.operations import answers, listing
from channels_graphql_ws.operations.listing import ListedProcess
from channels_graphql_ws.operations.questions import (
    IN_MEMORY,
    NOBODY_KNOWS,
    ONLY_LOGGED_IN,
    Answers,
    ask_for_connections,
    end_connection,
    in_plain_code,
)
from channels_graphql_ws.shutdown import connections_of_loop
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport, alogin_headers
from http_client import EVENTS, ask, exchange, post, streaming
from support import GUARD, FakeLayer, tick, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

HOSTILE = "<script>alert('\x1b[J')</script>" + "x" * 100
SUBSCRIBE = "subscription { onGate { text } }"


class OnGate(Subscription):
    """Its events wait until the gate is opened."""

    gate: asyncio.Event

    text = graphene.String()

    @staticmethod
    async def publish(payload: Any, info: Any) -> dict[str, Any]:
        await OnGate.gate.wait()
        return {"text": payload}


class OnShared(Subscription):
    """Executed once for all clients."""

    text = graphene.String()

    @staticmethod
    def context_id(root: Any, info: Any) -> str:
        return "all"

    @staticmethod
    def publish(payload: Any, info: Any) -> dict[str, Any]:
        return {"text": payload}


class Query(graphene.ObjectType):
    """Without one, a schema is not valid."""

    ok = graphene.Boolean()


class Subscriptions(graphene.ObjectType):
    """The root type of the subscriptions."""

    on_gate = OnGate.Field()
    on_shared = OnShared.Field()
    numbers = graphene.Int()

    @staticmethod
    async def subscribe_numbers(root: Any, info: Any) -> AsyncIterator[int]:
        yield 1
        await asyncio.Event().wait()


SCHEMA = graphene.Schema(query=Query, subscription=Subscriptions)


class Layer(FakeLayer):
    """Connects this process to another one, which answers whatever this one does.

    Attributes:
        other: what the other process answers.
        broken: what a third one answers before that.
    """

    other: str = ListedProcess("other", "elsewhere:1", connections=7).encoded()
    broken: tuple[str, ...] = ()

    async def send(self, channel: str, message: dict[str, Any]) -> None:
        await self._called("send")
        self.put(channel, message)
        if message["type"] == answers.ANSWER:
            for answer in (*self.broken, self.other):
                self.put(channel, {"type": answers.ANSWER, "answer": answer})


def layer() -> Layer:
    return Layer()


@pytest.fixture
def connected_processes(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.layer"}}


class Stage:
    """Clients of one process."""

    def __init__(self) -> None:
        self.clients: list[GraphqlWsClient] = []

    async def client(self, user: User | None = None, *queries: str) -> GraphqlWsClient:
        headers = [] if user is None else await alogin_headers(user)
        application = AuthMiddlewareStack(GraphqlWsConsumer.as_asgi(schema=SCHEMA))
        client = GraphqlWsClient(GraphqlWsTransport(application, "/live/", {"headers": headers}))
        self.clients.append(client)
        await client.connect_and_init()
        for query in queries or (SUBSCRIBE,):
            await client.subscribe(query, wait_confirmation=False)
        return client


async def queue(texts: str, *, subscriptions: int, of_gate: int) -> None:
    """Broadcast once all subscriptions are live; the first event is under way, the others wait."""
    async with asyncio.timeout(GUARD):
        while (await listing.list_process()).subscriptions < subscriptions:
            await tick()
        for text in texts:
            await OnGate.broadcast(payload=text)
        while (await listing.list_process()).queued < of_gate * (len(texts) - 1):
            await tick()


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    OnGate.gate = asyncio.Event()
    stage = Stage()
    yield stage
    OnGate.gate.set()
    for client in stage.clients:
        await client.finalize()


@pytest.fixture
async def user() -> User:
    return await User.objects.acreate_user(HOSTILE)


@pytest.mark.usefixtures("connected_processes")
async def test_each_process_says_who_is_connected_and_what_waits(stage: Stage, user: User) -> None:
    shared = "subscription { onShared { text } }"
    await stage.client(user, SUBSCRIBE, SUBSCRIBE, shared, "subscription { numbers }")
    await stage.client()
    await queue("abc", subscriptions=5, of_gate=3)
    found = await ask_for_connections(processes=2)
    here, elsewhere = sorted(found.processes, key=lambda each: each.connections)
    assert (elsewhere.name, elsewhere.connections, elsewhere.more) == ("elsewhere:1", 7, 0)
    assert (here.connections, here.users, here.subscriptions, here.queued) == (2, 1, 5, 6)
    one, other = here.listed
    assert (one.kind, one.path, one.user_id) == ("WebSocket", "/live/", str(user.pk))
    assert one.user == f"{HOSTILE[:99]}…"
    assert (one.operations, one.queued, other.queued) == (4, 4, 2)
    assert one.subscriptions == {"OnGate": 2, "OnShared": 1, "numbers": 1}
    assert (other.user, other.user_id) == ("", "")
    assert found.notes == (ONLY_LOGGED_IN,)


@pytest.mark.usefixtures("connected_processes")
async def test_a_process_without_users_answers_where_the_setting_says_so(
    stage: Stage, settings: Any
) -> None:
    settings.CHANNELS_GRAPHQL_WS = {"LIST_CONNECTIONS": True}
    client = await stage.client()
    found = await ask_for_connections(processes=2)
    assert {each.connections for each in found.processes} == {7, 1}
    assert found.notes == ()
    await client.finalize()
    # Nobody is there any more that could answer, and nobody else is known.
    found = await ask_for_connections(seconds=0.001)
    assert (found.processes, found.notes) == ((), (NOBODY_KNOWS,))


async def test_what_is_listed_is_bounded_and_can_be_searched(
    stage: Stage, user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = await User.objects.acreate_user("Ada")
    await stage.client(other)
    await stage.client(user, SUBSCRIBE, SUBSCRIBE)

    async def here(*arguments: Any) -> ListedProcess:
        found = await ask_for_connections(*arguments)
        assert found.notes == (IN_MEMORY,)
        return found.processes[0]

    await queue("ab", subscriptions=3, of_gate=3)
    first = await here("", 1)
    assert ([each.user_id for each in first.listed], first.more) == ([str(user.pk)], 1)
    for search in ("ad", str(other.pk), (await here()).listed[1].id):
        assert [each.user for each in (await here(search)).listed] == ["Ada"]
    assert (await here("nobody")).matching == 0
    monkeypatch.setattr(listing, "MOST_BYTES", 300)
    monkeypatch.setattr(listing, "_AT_ONCE", 1)
    assert ((await here()).more, (await here()).matching) == (1, 2)


@pytest.mark.parametrize("over_layer", [True, False])
async def test_an_operator_ends_one_connection(
    stage: Stage, user: User, settings: Any, *, over_layer: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if over_layer:
        settings.CHANNEL_LAYERS = {"default": {"BACKEND": f"{__name__}.layer"}}
        monkeypatch.setattr(
            Layer, "other", ListedProcess("other", "elsewhere:1", ended=1).encoded()
        )
    monkeypatch.setattr(listing, "_AT_ONCE", 1)
    one, other = await stage.client(user), await stage.client(user)
    first, second = (await listing.list_process()).listed
    ids = {first.id, second.id}
    assert (await end_connection(first.id)).ended == 1
    done, pending = await asyncio.wait(
        [asyncio.create_task(each.wait_disconnect()) for each in (one, other)],
        return_when=asyncio.FIRST_COMPLETED,
    )
    (closed,) = [each.result() for each in done]
    assert (closed["code"], closed["reason"]) == (4403, listing.ENDED)
    for task in pending:
        task.cancel()
    await wait_until(lambda: len(connections_of_loop()) == 1)
    (left,) = (await listing.list_process()).listed
    assert {left.id, first.id} == ids
    # The other process says that it was there.
    assert (await end_connection("unknown")).ended == int(over_layer)


@pytest.mark.parametrize("reserved", [True, False])
async def test_an_event_stream_is_listed_and_ended(stage: Stage, *, reserved: bool) -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=SCHEMA, single_connection_enabled=reserved)
    if reserved:
        token = (await ask(application, "PUT")).body.decode()
        headers = {"X-GraphQL-Event-Stream-Token": token}
        streamed = exchange(application, "GET", "/graphql/", {"Accept": EVENTS, **headers})
    else:
        streamed = streaming(application, SUBSCRIBE)
    async with streamed as one:
        if reserved:
            await one.send()
            await one.start()
            body = {"query": SUBSCRIBE, "extensions": {"operationId": "1"}}
            assert (await post(application, body, headers=headers)).status == 202
        (listed,) = (await listing.list_process()).listed
        assert (listed.kind, listed.path) == ("event stream", "/graphql/")
        assert (listed.operations, listed.subscriptions) == (1, {"OnGate": 1})
        assert (await end_connection(listed.id)).ended == 1
        rest = await one.rest()
        await one.finished()
    assert b"RIGHTS_ENDED" in rest
    assert b"event: complete" in rest
    assert len(connections_of_loop()) == 0


async def test_plain_code_asks_on_the_event_loop_that_serves_clients(stage: Stage) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def ask_for_nothing() -> Answers:
        loops.append(asyncio.get_running_loop())
        return Answers((), ())

    ask_in_thread = sync_to_async(in_plain_code, thread_sensitive=False)
    # Nobody is served.
    await ask_in_thread(ask_for_nothing)
    await stage.client()
    assert await ask_in_thread(ask_for_nothing) == Answers((), ())
    # Who keeps the event loop waiting must not wait for it.
    in_plain_code(ask_for_nothing)
    serving = asyncio.get_running_loop()
    assert [each is serving for each in loops] == [False, True, False]


@pytest.mark.usefixtures("connected_processes")
async def test_an_answer_of_another_release_is_left_out(
    stage: Stage, user: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.client(user)
    monkeypatch.setattr(Layer, "broken", ('{"listed": [], "new": 1}', "[]", "?"))
    found = await ask_for_connections(processes=2)
    assert {each.connections for each in found.processes} == {1, 7}
    assert "Ignored the answer of a process" in caplog.text


@pytest.mark.usefixtures("connected_processes")
async def test_a_process_that_cannot_answer_says_so_in_its_log(
    stage: Stage, user: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.client(user)

    def broken(_: Any) -> str:
        raise OSError("cannot be sent")

    with monkeypatch.context() as patch:
        patch.setattr(ListedProcess, "encoded", broken)
        question = {"search": "", "limit": 1, "reply": "channel"}
        answers.answer(layer(), question)
        await wait_until(lambda: "got no answer: OSError" in caplog.text)
    monkeypatch.setattr(answers, "MOST_AT_ONCE", 0)
    answers.answer(layer(), question)
    assert "others wait for theirs" in caplog.text


@pytest.mark.usefixtures("connected_processes")
@pytest.mark.parametrize(
    ("method", "error", "text"),
    [
        ("new_channel", OSError("away"), r"took no question: OSError.*away"),
        ("send", OSError("away"), r"Cannot send to the channel .*OSError.*away"),
        ("group_send", OSError("away"), r"OSError.*away"),
        ("new_channel", ChannelLayerError("too slow"), r"^too slow"),
    ],
)
async def test_a_layer_that_fails_is_an_error_with_its_cause(
    method: str, error: Exception, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Layer, method, lambda *_: _raising(error))
    with pytest.raises(ChannelLayerError, match=text):
        await ask_for_connections()


async def _raising(error: Exception) -> None:
    raise error


async def test_without_a_channel_layer_there_is_nobody_to_ask(settings: Any) -> None:
    settings.CHANNEL_LAYERS = {}
    with pytest.raises(ChannelLayerError, match="CHANNEL_LAYERS"):
        await ask_for_connections()


async def test_a_user_of_another_kind_is_listed_without_a_name() -> None:
    user = SimpleNamespace(is_authenticated=True, pk=1)
    listed = listing.listed_connection(
        "1", "WebSocket", {"user": user}, (), operations=0, unsent_bytes=0
    )
    assert (listed.user, listed.user_id) == ("", "1")


async def test_what_is_drained_and_is_no_connection_is_not_listed() -> None:
    class Other:
        async def drain(self, timeout: float) -> None:
            """Have nothing to end."""

    other = Other()
    connections_of_loop().add(other)
    assert (await listing.list_process()).connections == 0
    assert (await listing.end_in_process("1")).ended == 0
    connections_of_loop().discard(other)

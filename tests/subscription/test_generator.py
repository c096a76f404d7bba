"""Subscriptions that feed themselves: generators and other asynchronous iterators."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any
from weakref import ref

import graphene
import pytest
from graphql import GraphQLError

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.execution.errors import INTERNAL_ERROR
from channels_graphql_ws.execution.request import Refusal
from channels_graphql_ws.operations.engine import Engine
from channels_graphql_ws.operations.interfaces import EngineSettings
from channels_graphql_ws.pubsub.hub import RUNS_AT_ONCE
from channels_graphql_ws.subscription.event import EventExecution
from channels_graphql_ws.subscription.generator import GeneratorSubscription
from channels_graphql_ws.websocket import tasks
from eager_tasks import counts_turns
from engine_fakes import FakeClient, Query, Rig
from support import tick, wait_until

pytestmark = pytest.mark.usefixtures("executor")

BOTH = pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
COUNT = "subscription { count }"

said: ContextVar[str] = ContextVar("said", default="nothing")


class Script:
    """What the generators of a test do, and what became of them."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.gate = asyncio.Event()
        self.generate: Any = self.numbers

    async def numbers(self) -> AsyncIterator[Any]:
        """Give two numbers, then wait."""
        try:
            yield 1
            yield 2
            self.notes.append("waits")
            await self.gate.wait()
        finally:
            self.notes.append("finally")


class Broadcast(Subscription):
    number = graphene.Int()

    @staticmethod
    def publish(payload, info):
        return {"number": payload}


class Root(graphene.ObjectType):
    """Generators beside a broadcast class."""

    count = graphene.Int(to=graphene.Int())
    sure = graphene.Int(required=True)
    doubled = graphene.Int()
    slow = graphene.Int()
    returned = graphene.Int()
    handed = graphene.Int()
    broadcast = Broadcast.Field()

    async def subscribe_count(root, info, **arguments):  # noqa: N805 (root, not self)
        assert root is None
        source = info.context.channels_scope["script"].generate
        events = source(**arguments)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()

    async def subscribe_sure(root, info):  # noqa: N805
        yield None
        yield 1

    async def subscribe_doubled(root, info):  # noqa: N805
        yield -1
        yield 21

    @staticmethod
    async def resolve_doubled(root, info):
        await tick()
        if root < 0:
            raise ValueError("too small")
        return root * 2

    async def subscribe_slow(root, info):  # noqa: N805
        try:
            yield 1
        finally:
            info.context.channels_scope["script"].notes.append("finally")

    @staticmethod
    async def resolve_slow(root, info):
        await info.context.channels_scope["script"].gate.wait()

    @staticmethod
    async def subscribe_returned(root, info):
        await tick()
        return info.context.channels_scope["script"].generate()

    @staticmethod
    def subscribe_handed(root, info):
        return info.context.channels_scope["script"].generate()


schema = graphene.Schema(query=Query, subscription=Root)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def rig(script, monkeypatch) -> Rig:
    rig = Rig(schema.graphql_schema)
    make = rig.session.operation_context

    def context_with_script(request):
        context = make(request)
        context.channels_scope["script"] = script
        return context

    monkeypatch.setattr(rig.session, "operation_context", context_with_script)
    return rig


async def live(script: Script, *subprotocols: str, **attributes: Any) -> AsgiSocket:
    """Open a socket to a consumer of the schema."""
    consumer = type("Streams", (GraphqlWsConsumer,), {"schema": schema, **attributes})
    socket = AsgiSocket(consumer.as_asgi(), *subprotocols, scope={"script": script})
    await socket.acknowledged()
    return socket


async def hears_the_end(client: FakeClient) -> tuple[str, Any]:
    await wait_until(lambda: client.heard and client.heard[-1][0] in {"completed", "failed"})
    return client.heard[-1]


@BOTH
async def test_each_yield_is_an_event_and_the_end_is_a_complete_from_the_server(
    script, subprotocol
):
    script.gate.set()
    socket = await live(script, subprotocol)
    socket.start("s", COUNT)
    word = "data" if subprotocol == LEGACY else "next"
    await socket.heard(f"{word}:s", f"{word}:s", "complete:s")
    assert socket.results("s") == [{"data": {"count": 1}}, {"data": {"count": 2}}, None]
    assert script.notes == ["waits", "finally"]
    await socket.drop()


async def test_a_generator_needs_no_channel_layer(script):
    socket = await live(script, channel_layer_alias="missing")
    socket.start("s", COUNT)
    await socket.heard("next:s", "next:s")
    await socket.drop()


async def test_it_works_beside_a_class_in_the_same_schema(script):
    socket = await live(script, confirm_subscriptions=True)
    socket.start("b", "subscription { broadcast { number } }")
    await socket.heard("next:b")
    socket.start("s", COUNT)
    await socket.heard("next:s", "next:s", "next:s")
    await Broadcast.broadcast(payload=5)
    await socket.heard("next:b")
    assert socket.results("b") == [{"data": None}, {"data": {"broadcast": {"number": 5}}}]
    assert socket.results("s")[0] == {"data": None}
    await socket.drop()


async def test_none_is_an_event_like_any_other(rig):
    client = await rig.run("subscription { sure }")
    await hears_the_end(client)
    nothing, one = client.results
    assert nothing["data"] is None
    assert "Cannot return null" in nothing["errors"][0]["message"]
    assert one == {"data": {"sure": 1}}


async def test_arguments_and_aliases_are_as_in_any_field(rig, script):
    async def up_to(to):
        yield to

    script.generate = up_to
    client = await rig.run("subscription ($n: Int!) { it: count(to: $n) }", n=3)
    await hears_the_end(client)
    assert client.results == [{"data": {"it": 3}}]


@pytest.mark.parametrize("field", ["returned", "handed"])
async def test_a_method_may_return_an_iterator_instead(rig, script, field):
    script.gate.set()
    client = await rig.run(f"subscription {{ {field} }}")
    assert await hears_the_end(client) == ("completed", None)
    assert client.data == [1, 2]


async def test_an_iterator_needs_no_more_than_to_iterate(rig, script):
    class Countdown:
        left = 2

        def __aiter__(self):
            return self

        async def __anext__(self):
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return self.left

    script.generate = Countdown
    client = await rig.run("subscription { handed }")
    assert await hears_the_end(client) == ("completed", None)
    assert client.data == [1, 0]


async def test_events_go_through_the_resolver_and_through_middleware(script):
    seen: list[Any] = []

    def middleware(next, root, info, **arguments):
        seen.append(root)
        return next(root, info, **arguments)

    rig = Rig(schema.graphql_schema, middleware=[middleware])
    client = await rig.run("subscription { doubled }")
    await hears_the_end(client)
    assert client.data == [None, 42]
    assert seen == [-1, 21]


@pytest.mark.parametrize("field", ["count", "handed"])
async def test_with_sync_resolvers_in_threads_a_generator_still_runs_on_the_loop(script, field):
    async def threads():
        yield int(asyncio.get_running_loop() is loop)

    loop = asyncio.get_running_loop()
    script.generate = threads
    socket = await live(script, resolve_sync_in_threads=True)
    socket.start("s", f"subscription {{ {field} }}")
    await socket.heard("next:s", "complete:s")
    assert socket.results("s")[0] == {"data": {field: 1}}
    await socket.drop()


async def test_what_a_generator_sets_in_context_variables_is_seen_by_nobody_else(rig, script):
    async def sets():
        said.set("something")
        yield 1
        yield len(said.get())

    script.generate = sets
    client = await rig.run(COUNT)
    await hears_the_end(client)
    assert client.data == [1, len("something")]
    assert said.get() == "nothing"


@BOTH
@pytest.mark.parametrize("events", [0, 2])
@pytest.mark.parametrize("field", ["count", "returned"])
async def test_an_error_ends_the_stream_with_one_message(
    script, subprotocol, events, field, caplog
):
    async def fails():
        for number in range(events):
            yield number
        raise ValueError("boom")

    script.generate = fails
    socket = await live(script, subprotocol)
    socket.start("s", f"subscription {{ {field} }}")
    error = {"message": "ValueError: boom", "extensions": {"code": "ValueError"}}
    if subprotocol == NEW:
        await socket.heard(*["next:s"] * events, "error:s")
        assert socket.results("s")[-1] == [error]
    else:
        await socket.heard(*["data:s"] * events, "data:s", "complete:s")
        assert socket.results("s")[-2] == {"data": None, "errors": [error]}
    [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert record.exc_info is not None
    assert record.exc_info[0] is ValueError
    socket.start("s", "{ ok }")
    await socket.heard("next:s" if subprotocol == NEW else "data:s", "complete:s")
    await socket.drop()


async def test_a_graphql_error_keeps_its_text_and_its_extensions(rig, script, caplog):
    async def refuses():
        yield 1
        raise GraphQLError("No more for you", extensions={"code": "ENOUGH"})

    script.generate = refuses
    client = await rig.run(COUNT)
    error = {"message": "No more for you", "extensions": {"code": "ENOUGH"}}
    assert await hears_the_end(client) == ("failed", [error])
    assert client.refusal is Refusal.STREAM
    assert caplog.records == []


async def test_an_error_before_there_is_an_iterator_is_told_in_the_same_way(rig, script):
    def fails():
        raise GraphQLError("Not you")

    script.generate = fails
    client = await rig.run("subscription { handed }")
    assert client.heard == [("failed", [{"message": "Not you"}])]
    assert client.refusal is Refusal.STREAM
    assert client.cohort is None


async def test_what_is_no_asynchronous_iterator_is_named(rig, script):
    script.generate = lambda: [1, 2]
    client = await rig.run("subscription { handed }")
    assert client.errors[0]["message"] == (
        "TypeError: The `subscribe_…` method of 'handed' must yield asynchronously, or "
        "return an asynchronous iterator, and not 'list'"
    )


async def test_an_error_in_a_resolver_costs_one_event(rig, caplog):
    client = await rig.run("subscription { doubled }")
    assert await hears_the_end(client) == ("completed", None)
    failed, good = client.results
    assert failed["errors"][0]["path"] == ["doubled"]
    assert good == {"data": {"doubled": 42}}
    assert "too small" in caplog.text


@counts_turns
@pytest.mark.parametrize("error", [RuntimeError("ours"), asyncio.CancelledError()])
async def test_a_mistake_of_ours_costs_one_event(rig, script, error, caplog, monkeypatch):
    client = await rig.run(COUNT)
    right = EventExecution.run

    def broken(plan, payload):
        monkeypatch.setattr(EventExecution, "run", right)
        raise error
        yield

    monkeypatch.setattr(EventExecution, "run", broken)
    await client.hears(1)
    assert client.data == [2]
    assert "Lost an event of count (id 1)" in caplog.text
    await rig.end(client)


async def test_a_generator_that_is_cancelled_from_inside_owes_an_answer(rig, script, caplog):
    async def waits_for_what_is_cancelled():
        yield 1
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future

    script.generate = waits_for_what_is_cancelled
    client = await rig.run(COUNT)
    assert await hears_the_end(client) == ("failed", [INTERNAL_ERROR])
    assert "cancelled from inside" in caplog.text


async def test_a_confirmation_that_fails_ends_the_stream(rig, script, monkeypatch):
    rig.engine = Engine(EngineSettings(schema=schema.graphql_schema, confirm_subscriptions=True))

    def fail(_self, _result):
        raise OSError("no")

    monkeypatch.setattr(FakeClient, "confirmed", fail)
    client = await rig.run(COUNT)
    assert client.errors[0]["message"] == "OSError: no"
    assert client.cohort._ended
    assert script.notes == []


@BOTH
@pytest.mark.parametrize("answers", [True, False])
async def test_finally_has_run_when_the_answer_to_a_stop_is_sent(script, subprotocol, answers):
    async def tidies():
        try:
            yield 1
            await script.gate.wait()
        finally:
            await tick(5)
            script.notes.append(f"complete:s said: {'complete:s' in socket.words}")

    script.generate = tidies
    socket = await live(script, subprotocol, answer_complete=answers)
    socket.start("s", COUNT)
    await wait_until(lambda: socket.results("s"))
    socket.stop("s")
    await wait_until(lambda: script.notes)
    if answers:
        await socket.heard("complete:s")
    await socket.drop()
    assert script.notes == ["complete:s said: False"]
    assert socket.words.count("complete:s") == answers


@BOTH
async def test_finally_has_run_when_the_consumer_of_a_lost_client_has_ended(script, subprotocol):
    socket = await live(script, subprotocol)
    socket.start("s", COUNT)
    await wait_until(lambda: "waits" in script.notes)
    await socket.drop()
    assert script.notes == ["waits", "finally"]


@counts_turns
async def test_a_generator_that_stands_at_a_yield_is_closed_too(rig, script):
    client, _ = rig.begin(COUNT)
    client.waiting = script.gate.wait()
    await tick(5)
    assert client.results == []
    await rig.end(client)
    assert script.notes == ["finally"]
    assert [name for name, _ in client.heard] == []


async def test_a_generator_whose_event_is_being_executed_is_closed_too(rig, script):
    client = await rig.run("subscription { slow }")
    await tick(5)
    await rig.end(client)
    assert (client.heard, script.notes) == ([], ["finally"])


@counts_turns
async def test_it_is_not_asked_for_more_than_the_client_takes(rig, script):
    async def counts():
        for number in range(3):
            script.notes.append(str(number))
            yield number

    script.generate = counts
    client, _ = rig.begin(COUNT)
    client.waiting = script.gate.wait()
    await tick(5)
    assert script.notes == ["0"]
    client.waiting = None
    script.gate.set()
    await hears_the_end(client)
    assert client.data == [0, 1, 2]


async def test_ending_it_twice_is_ending_it_once(rig, script):
    client = await rig.run(COUNT)
    await wait_until(lambda: "waits" in script.notes)
    await asyncio.gather(rig.end(client), rig.end(client))
    await rig.end(client)
    assert script.notes == ["waits", "finally"]


async def test_ended_before_it_began_it_never_begins(rig, script):
    client = await rig.run(COUNT)
    plan = client.cohort._plan
    await rig.end(client)
    script.notes.clear()
    events = script.numbers()
    stream = GeneratorSubscription(plan, client, events, format_error=dict, id="2")
    client.cohort = stream
    await rig.end(client)
    await rig.end(client)
    stream.open()
    assert [event async for event in events] == []
    assert script.notes == []


async def test_a_generator_that_goes_on_after_its_end_is_heard_no_more(rig, script):
    async def stubborn():
        yield 1
        try:
            await script.gate.wait()
        except asyncio.CancelledError:
            script.notes.append("ignored")
            yield 2
        script.notes.append("never")

    script.generate = stubborn
    client = await rig.run("subscription { handed }")
    await client.hears(1)
    await rig.end(client)
    assert client.data == [1]
    assert script.notes == ["ignored"]


@pytest.mark.parametrize("error", [ValueError("late"), asyncio.CancelledError()])
async def test_an_iterator_that_can_not_be_closed_is_logged(rig, script, caplog, error):
    class Unclosable:
        def __init__(self):
            self.closed = 0
            script.notes.append("made")

        def __aiter__(self):
            return self

        async def __anext__(self):
            raise StopAsyncIteration

        async def aclose(self):
            script.notes.append("closed")
            raise error

    script.generate = Unclosable
    client = await rig.run("subscription { handed }")
    assert await hears_the_end(client) == ("completed", None)
    assert script.notes == ["made", "closed"]
    assert "handed could not be closed (id 1)" in caplog.text


async def test_patience_with_a_finally_has_an_end(rig, script, monkeypatch):
    async def hangs():
        try:
            yield 1
            await script.gate.wait()
        finally:
            script.notes.append("finally")
            await asyncio.Event().wait()

    script.generate = hangs
    monkeypatch.setattr(tasks, "CANCEL_TIMEOUT", 1)
    socket = await live(script, disconnect_timeout=0.001)
    socket.start("s", COUNT)
    await socket.heard("next:s")
    await socket.drop()
    assert script.notes == ["finally"]


async def test_a_close_that_is_cancelled_is_at_its_end(rig, script):
    class SlowToClose:
        def __aiter__(self):
            return self

        async def __anext__(self):
            await script.gate.wait()

        async def aclose(self):
            script.notes.append("closing")
            await asyncio.Event().wait()

    script.generate = SlowToClose
    client = await rig.run("subscription { handed }")
    await tick(2)
    ending = asyncio.ensure_future(rig.end(client))
    await wait_until(lambda: script.notes)
    ending.cancel()
    await asyncio.wait([ending])
    assert ending.cancelled()
    assert client.cohort._task.done()


async def test_a_stream_that_ends_the_connection_ends_in_order(script):
    async def talks():
        try:
            yield 1
            socket.hang_up()
            yield 2
            await script.gate.wait()
        finally:
            script.notes.append("finally")

    script.generate = talks
    socket = await live(script)
    socket.start("s", COUNT)
    await socket.ended()
    assert script.notes == ["finally"]


@counts_turns
async def test_one_that_never_waits_does_not_keep_others_waiting(rig, script):
    async def floods():
        number = 0
        while True:
            number += 1
            yield number

    script.generate = floods
    client = await rig.run(COUNT)
    await tick(3)
    assert 0 < len(client.results) <= 3 * RUNS_AT_ONCE
    await rig.end(client)


async def test_in_strict_order_the_next_message_does_not_wait_for_the_stream(script):
    socket = await live(script, strict_ordering=True)
    socket.start("s", COUNT)
    socket.start("q", "{ ok }")
    await wait_until(lambda: "complete:q" in socket.words and len(socket.results("s")) == 2)
    await socket.drop()


async def test_nothing_of_a_stream_stays_behind(script):
    socket = await live(script)
    streams: list[Any] = []
    keep = GeneratorSubscription.open

    def open(self):
        streams.append(ref(self))
        keep(self)

    GeneratorSubscription.open = open
    try:
        for way in ("stop", "end", "drop"):
            script.notes.clear()
            script.gate = asyncio.Event()
            socket.start(way, COUNT)
            await wait_until(lambda: "waits" in script.notes)
            if way == "stop":
                socket.stop(way)
            if way == "end":
                script.gate.set()
            if way != "drop":
                await socket.heard(f"complete:{way}")
        await socket.drop()
    finally:
        GeneratorSubscription.open = keep
    gc.collect()
    assert [stream() for stream in streams] == [None, None, None]


def test_steps_of_an_ended_stream_need_no_loop():
    stream = object.__new__(GeneratorSubscription)
    stream._task, stream._ended = None, True
    assert eager.start(stream.end()) is None

"""The spans of operations, broadcasts and events."""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import graphene
import pytest
from asgiref.sync import sync_to_async

if os.environ.get("CI_OTEL_REQUIRED") != "1":
    pytest.importorskip("opentelemetry.sdk", reason="opentelemetry-sdk is not installed")

from opentelemetry import context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import (
    ChannelLayerError,
    GraphqlHttpConsumer,
    GraphqlWsConsumer,
    Subscription,
    otel,
)
from channels_graphql_ws.serializer import Serializer
from channels_graphql_ws.testing import FaultyChannelLayer
from channels_graphql_ws.tracing import HEADER, tracing
from http_client import post
from support import tick, wait_until

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PARENTS_TRACE = int(PARENT.split("-")[1], 16)


class Spans:
    """What was traced."""

    def __init__(self, **options: Any) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, **options)
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("tests")

    def named(self, name: str) -> list[ReadableSpan]:
        return [each for each in self._exporter.get_finished_spans() if each.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    @property
    def names(self) -> list[str]:
        return sorted(each.name for each in self._exporter.get_finished_spans())


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    otel.instrument(spans.provider)
    yield spans
    otel.uninstrument()


def _here() -> str:
    """Return the span that takes place here, as text."""
    return format(trace.get_current_span().get_span_context().span_id, "x")


class OnTraced(Subscription):
    """Says which span its events take place in."""

    span = graphene.String()

    class Arguments:
        shared = graphene.Boolean()
        filtered = graphene.Boolean()

    def context_id(self, info, shared=None, filtered=None):
        return "all" if shared else None

    def filter_event(self, info, shared=None, filtered=None):
        return not filtered

    async def publish(self, info, shared=None, filtered=None):
        await tick()
        if self == "bad":
            raise ValueError("bad")
        return {"span": _here()}


class OnQuick(Subscription):
    """Has no filter, and waits for nothing."""

    span = graphene.String()

    def publish(self, info):
        return {"span": _here()}


class OnKept(OnQuick):
    """Has a history."""

    history_size = 10

    class Arguments:
        forbidden = graphene.Boolean()

    def subscribe(self, info, forbidden=None):
        if forbidden:
            raise PermissionError("no")

    def publish(self, info, forbidden=None):
        return {"span": _here()}


class Query(graphene.ObjectType):
    span = graphene.String()
    bad = graphene.Boolean(text=graphene.String(), must=graphene.Int(default_value=1))
    strict = graphene.Boolean(secret=graphene.String(), must=graphene.Int(required=True))
    forever = graphene.Boolean()

    def resolve_span(self, info):
        return _here()

    def resolve_bad(self, info, must, text="bad"):
        raise ValueError(text)

    async def resolve_forever(self, info):
        await asyncio.Event().wait()


class Root(graphene.ObjectType):
    traced = OnTraced.Field()
    quick = OnQuick.Field()
    kept = OnKept.Field()


SCHEMA = graphene.Schema(query=Query, subscription=Root)


class Consumer(GraphqlWsConsumer):
    schema = SCHEMA
    confirm_subscriptions = True

    def on_operation(self, op_id, payload):
        if payload["query"] == "{ refused: span }":
            raise PermissionError("no")


class OverHttp(GraphqlHttpConsumer):
    schema = SCHEMA


async def _socket(subprotocol: str = NEW, **init: Any) -> AsgiSocket:
    socket = AsgiSocket(Consumer.as_asgi(), subprotocol)
    await socket.acknowledged(**init)
    return socket


async def _subscribed(document: str) -> AsgiSocket:
    socket = await _socket()
    socket.start("1", f"subscription {{ {document} }}")
    await wait_until(lambda: socket.results("1"))
    return socket


async def _answer(query: str, **payload: Any) -> Any:
    """Execute an operation over a connection of its own."""
    init = payload.pop("init", {})
    socket = await _socket(payload={**init})
    socket.start("1", query, **payload)
    await wait_until(lambda: socket.results("1"))
    await socket.drop()
    return socket.results("1")[0]


@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
async def test_an_operation_has_a_span(spans: Spans, subprotocol: str) -> None:
    socket = await _socket(subprotocol)
    socket.start("1", "query Which { span }")
    await wait_until(lambda: socket.results("1"))
    await socket.drop()
    span = spans.one("query")
    assert socket.results("1")[0]["data"] == {"span": format(span.context.span_id, "x")}
    assert span.kind is SpanKind.SERVER
    assert span.parent is None
    assert span.status.status_code is StatusCode.UNSET
    assert span.attributes == {
        "graphql.operation.type": "query",
        "graphql.operation.name": "Which",
        "network.protocol.name": "websocket",
    }


async def test_an_operation_over_http_has_a_span_whose_parent_a_header_names(
    spans: Spans,
) -> None:
    headers = {"traceparent": PARENT, "tracestate": "a=1"}
    await post(OverHttp.as_asgi(), {"query": "{ span }"}, headers=headers)
    span = spans.one("query")
    assert span.attributes["network.protocol.name"] == "http"
    assert span.context.trace_id == PARENTS_TRACE
    assert span.context.trace_state.to_header() == "a=1"


@pytest.mark.parametrize(
    "payload",
    [{"init": {"traceparent": PARENT}}, {"extensions": {"traceparent": PARENT}}],
    ids=["connection_init", "operation"],
)
async def test_a_client_may_name_the_parent_of_its_operations(
    spans: Spans, payload: dict[str, Any]
) -> None:
    with spans.tracer.start_as_current_span("server") as server:
        await _answer("{ span }", **payload)
    span = spans.one("query")
    assert span.context.trace_id == PARENTS_TRACE
    assert [link.context for link in span.links] == [server.get_span_context()]


async def test_what_is_said_of_an_operation_counts_before_what_is_said_of_its_connection(
    spans: Spans,
) -> None:
    await _answer(
        "{ span }",
        init={"traceparent": PARENT.replace("0af7", "1111")},
        extensions={"traceparent": PARENT},
    )
    assert spans.one("query").context.trace_id == PARENTS_TRACE


@pytest.mark.parametrize(
    "said",
    [None, 1, "", "nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", PARENT + "x" * 9_000, []],
    ids=["null", "number", "empty", "nonsense", "zeros", "long", "list"],
)
async def test_a_parent_that_is_malformed_is_none(
    spans: Spans, said: Any, caplog: pytest.LogCaptureFixture
) -> None:
    result = await _answer(
        "{ span }", init={"traceparent": said}, extensions={"traceparent": said}
    )
    assert "errors" not in result
    span = spans.one("query")
    assert span.parent is None
    assert span.context.trace_id != PARENTS_TRACE
    assert not caplog.records


async def test_clients_that_are_not_trusted_name_no_parent(spans: Spans) -> None:
    otel.instrument(spans.provider, trust_clients=False)
    await _answer("{ span }", extensions={"traceparent": PARENT})
    assert spans.one("query").parent is None


async def test_errors_are_recorded(spans: Spans) -> None:
    await _answer("query Bad { bad }")
    span = spans.one("query")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "ValueError"
    [event] = span.events
    assert event.attributes["exception.message"] == "bad"


async def test_errors_of_what_nobody_samples_are_not_recorded() -> None:
    unsampled = Spans(sampler=ALWAYS_OFF)
    otel.instrument(unsampled.provider)
    try:
        assert len((await _answer("{ bad }"))["errors"]) == 1
        assert unsampled.names == []
    finally:
        otel.uninstrument()


async def test_of_an_error_no_more_is_recorded_than_a_line(spans: Spans) -> None:
    query = "query ($text: String) { bad(text: $text) }"
    await _answer(query, variables={"text": "forged\n" * 100_000})
    [event] = spans.one("query").events
    assert event.attributes["exception.type"] == "ValueError"
    assert event.attributes["exception.message"].startswith(r"forged\nforged\n")
    assert len(event.attributes["exception.message"]) < 600
    assert "Traceback (most recent call last)" in event.attributes["exception.stacktrace"]
    assert len(event.attributes["exception.stacktrace"]) < 10_000


async def test_what_stands_in_a_document_is_not_recorded(spans: Spans) -> None:
    query = 'query ($n: Int = 1) { strict(secret: "hunter2", must: $n) }'
    await _answer(query, variables={"n": None})
    [event] = spans.one("query").events
    assert "must" in event.attributes["exception.message"]
    assert "hunter2" not in str(dict(event.attributes))


@pytest.mark.parametrize(
    ("query", "name", "why"),
    [
        ("{ nothing }", "GraphQL Operation", "document"),
        ("subscription { wrong: number }", "GraphQL Operation", "document"),
        ("subscription { kept(forbidden: true) { span } }", "subscription", "subscribe"),
        ("{ refused: span }", "GraphQL Operation", "operation"),
        ("{", "GraphQL Operation", "document"),
    ],
)
async def test_what_is_not_executed_says_why(
    spans: Spans, query: str, name: str, why: str
) -> None:
    await _answer(query)
    span = spans.one(name)
    assert span.attributes["error.type"] == why
    assert span.status.status_code is StatusCode.ERROR


async def test_an_operation_that_is_cancelled_says_so(spans: Spans) -> None:
    socket = await _socket()
    socket.start("1", "{ forever }")
    socket.say("ping")
    await socket.heard("pong")
    socket.stop("1")
    await wait_until(lambda: spans.named("query"))
    assert spans.one("query").attributes["error.type"] == "CancelledError"
    await socket.drop()


async def _broadcast(subscription_class: type[Subscription], way: str) -> None:
    send = getattr(subscription_class, way)
    await (sync_to_async(send) if way == "broadcast_sync" else send)(payload=1)


def _assert_linked(spans: Spans, name: str) -> ReadableSpan:
    """See that the event of a process belongs to its broadcast; return the span of the event."""
    sent, came = spans.one(f"broadcast {name}"), spans.one(f"deliver {name}")
    assert came.parent.span_id == sent.context.span_id
    assert came.context.trace_id == sent.context.trace_id
    assert [link.context.span_id for link in came.links] == [sent.context.span_id]
    assert (sent.kind, came.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
    return came


@pytest.mark.parametrize("arguments", ["", "(shared: true)"])
async def test_an_event_has_one_span_in_each_process_linked_to_the_broadcast(
    spans: Spans, arguments: str
) -> None:
    document = f"traced{arguments} {{ span }}"
    sockets = [await _subscribed(document) for _ in range(3)]
    await OnTraced.broadcast(payload="good")
    for socket in sockets:
        await wait_until(lambda socket=socket: len(socket.results("1")) == 2)
    came = _assert_linked(spans, "OnTraced")
    here = {"span": format(came.context.span_id, "x")}
    assert [socket.results("1")[1]["data"]["traced"] for socket in sockets] == [here] * 3
    assert came.attributes == {
        "messaging.system": "channels",
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "process",
        "messaging.destination.name": "OnTraced",
        "channels_graphql_ws.executions": 1 if arguments else 3,
    }
    assert spans.one("broadcast OnTraced").attributes == {
        "messaging.system": "channels",
        "messaging.operation.name": "broadcast",
        "messaging.operation.type": "send",
        "messaging.destination.name": "OnTraced",
        "messaging.message.body.size": len(Serializer.serialize("good")),
    }
    assert len(spans.named("subscription")) == 3
    for socket in sockets:
        await socket.drop()


@pytest.mark.parametrize("field", ["quick", "kept"])
@pytest.mark.parametrize("with_layer", [False, True])
@pytest.mark.parametrize("way", ["broadcast", "broadcast_async", "broadcast_sync"])
async def test_each_way_to_broadcast_carries_the_trace(
    spans: Spans, field: str, with_layer: bool, way: str
) -> None:
    subscription_class = {"quick": OnQuick, "kept": OnKept}[field]
    with FaultyChannelLayer().installed() if with_layer else nullcontext():
        socket = await _subscribed(f"{field} {{ span }}")
        with spans.tracer.start_as_current_span("view") as view:
            await _broadcast(subscription_class, way)
        await wait_until(lambda: len(socket.results("1")) == 2)
        await socket.drop()
    name = subscription_class.__name__
    came = _assert_linked(spans, name)
    assert came.context.trace_id == view.get_span_context().trace_id
    assert socket.results("1")[1]["data"][field] == {"span": format(came.context.span_id, "x")}
    assert spans.one(f"broadcast {name}").status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("way", ["broadcast", "broadcast_async", "broadcast_sync"])
async def test_a_broadcast_that_fails_has_a_span_that_says_so(spans: Spans, way: str) -> None:
    with FaultyChannelLayer().installed() as layer:
        layer.fail("group_send")
        with pytest.raises(ChannelLayerError):
            await _broadcast(OnQuick, way)
    await wait_until(lambda: spans.named("broadcast OnQuick"))
    span = spans.one("broadcast OnQuick")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "ChannelLayerUnavailableError"


async def test_a_failure_that_nobody_awaits_is_logged_as_before(
    spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    with FaultyChannelLayer().installed() as layer:
        layer.fail("group_send")
        OnQuick.broadcast(payload=1)
        await wait_until(lambda: spans.named("broadcast OnQuick"))
    assert "nobody awaited it" in caplog.text


async def test_a_broadcast_that_is_cancelled_has_an_end(spans: Spans) -> None:
    with FaultyChannelLayer().installed() as layer:
        layer.hold("group_send")
        sending = OnQuick.broadcast(payload=1)
        sending.cancel()
        await wait_until(lambda: spans.named("broadcast OnQuick"))
        layer.release()


async def test_events_of_one_subscription_are_each_in_their_own_trace(spans: Spans) -> None:
    socket = await _subscribed("traced { span }")
    OnTraced.broadcast(payload="one")
    OnTraced.broadcast(payload="bad")
    OnTraced.broadcast(payload="two")
    tracing.tracer = None
    OnTraced.broadcast(payload="three")
    otel.instrument(spans.provider)
    await wait_until(lambda: len(socket.results("1")) == 5)
    found = [result["data"]["traced"] for result in socket.results("1")[1:]]
    ids = [format(each.context.span_id, "x") for each in spans.named("deliver OnTraced")]
    # The last one was not traced, and is in no span of one before it, nor of the operation.
    assert found == [{"span": ids[0]}, None, {"span": ids[2]}, {"span": "0"}]
    await socket.drop()


async def test_each_execution_has_a_span_if_that_is_asked_for(spans: Spans) -> None:
    otel.instrument(spans.provider, each_execution=True)
    sockets = [await _subscribed("traced { span }") for _ in range(2)]
    sockets.append(await _subscribed("traced(filtered: true) { span }"))
    await OnTraced.broadcast(payload="good")
    for socket in sockets[:2]:
        await wait_until(lambda socket=socket: len(socket.results("1")) == 2)
    executions = spans.named("publish OnTraced")
    came = _assert_linked(spans, "OnTraced")
    assert len(executions) == 3
    assert {each.parent.span_id for each in executions} == {came.context.span_id}
    ids = {socket.results("1")[1]["data"]["traced"]["span"] for socket in sockets[:2]}
    assert ids < {format(each.context.span_id, "x") for each in executions}
    for socket in sockets:
        await socket.drop()


async def test_without_a_recording_span_nothing_is_added_to_a_broadcast() -> None:
    unsampled = Spans(sampler=ALWAYS_OFF)
    with FaultyChannelLayer().installed() as layer:
        messages: list[Any] = []
        send = layer.group_send

        async def group_send(group: str, message: dict[str, Any]) -> None:
            messages.append(message)
            await send(group, message)

        layer.group_send = group_send
        await OnQuick.broadcast(payload=1)
        otel.instrument(unsampled.provider)
        await OnQuick.broadcast(payload=1)
        otel.instrument(Spans().provider)
        await OnQuick.broadcast(payload=1)
        otel.uninstrument()
    assert [HEADER in each for each in messages] == [False, False, True]
    assert unsampled.names == []


@pytest.mark.parametrize("header", [None, "x", {}, {"traceparent": "x"}, {"traceparent": 1}])
async def test_a_header_that_is_not_ours_is_ignored(spans: Spans, header: Any) -> None:
    assert tracing.tracer is not None
    assert tracing.tracer.event(header, "OnQuick", 1) is None
    socket = await _subscribed("quick { span }")
    tracing.tracer.broadcast = lambda name, messages, send: (  # type: ignore[method-assign]
        messages[0].update({HEADER: header}),
        send(),
    )
    OnQuick.broadcast(payload=1)
    await wait_until(lambda: len(socket.results("1")) == 2)
    assert spans.named("deliver OnQuick") == []
    await socket.drop()


async def test_an_event_that_nobody_is_left_for_has_a_span_without_executions(
    spans: Spans,
) -> None:
    with FaultyChannelLayer().installed() as layer:
        sockets = [await _subscribed("quick { span }") for _ in range(2)]
        layer.hold("group_send")
        OnQuick.broadcast(payload=1)
        await sockets[0].drop()
        layer.release()
        await wait_until(lambda: spans.named("deliver OnQuick"))
        await sockets[1].drop()
    assert spans.one("deliver OnQuick").attributes["channels_graphql_ws.executions"] == 1


def test_a_run_that_is_closed_elsewhere_does_not_disturb_what_is_there(
    spans: Spans, caplog: pytest.LogCaptureFixture
) -> None:
    assert tracing.tracer is not None
    event = tracing.tracer.event({"traceparent": PARENT}, "OnQuick", 1)
    assert event is not None

    def forever() -> Iterator[None]:
        while True:
            yield

    run = event.around(forever(), "OnQuick")
    contextvars.copy_context().run(next, run)
    before = context.get_current()
    run.close()
    assert context.get_current() == before
    assert not caplog.records


async def test_what_takes_place_in_no_operation_has_none(spans: Spans) -> None:
    assert tracing.tracer is not None
    tracing.tracer.began("query", None)
    tracing.tracer.leave_operation()
    assert spans.names == []


async def test_spans_are_made_by_the_provider_of_the_process(caplog: Any) -> None:
    otel.instrument()
    await _answer("{ span }")
    otel.uninstrument()
    otel.uninstrument()
    assert tracing.tracer is None
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


def test_without_the_package_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "channels_graphql_ws.otel")
    with pytest.raises(ImportError, match=re.escape("channels-graphql-ws[otel]")):
        importlib.import_module("channels_graphql_ws.otel")

"""Traces for OpenTelemetry: spans of operations, broadcasts and events. See `instrument`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextvars import ContextVar
from importlib import metadata
from typing import Any, Final, TypeVar

from channels_graphql_ws.tracebacks import said, traceback_of
from channels_graphql_ws.tracing import HEADER, tracing

try:
    from opentelemetry import context, trace
    from opentelemetry.context import Context
    from opentelemetry.trace import Link, Span, SpanKind, StatusCode, TracerProvider
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError as error:
    raise ImportError(
        "`channels_graphql_ws.otel` needs the package opentelemetry-api: "
        "pip install 'channels-graphql-ws[otel]'"
    ) from error

T = TypeVar("T")
Steps = Generator[Any, Any, None]

_LONGEST_HEADER: Final = 512
"""Characters of a trace context that are looked at: the limit of `tracestate` by W3C."""

_LONGEST_NAME: Final = 100
"""Characters of an operation's name, which clients choose."""

_MOST_ERRORS: Final = 3
"""Exceptions of one result that are recorded."""

_propagator = TraceContextTextMapPropagator()

_operation: ContextVar[tuple[Span, Context] | None] = ContextVar("_operation", default=None)
"""The span of the operation that takes place here, and the context around it."""


def instrument(
    tracer_provider: TracerProvider | None = None,
    *,
    each_execution: bool = False,
    trust_clients: bool = True,
) -> None:
    """Make spans from now on. A second call replaces the first.

    Args:
        tracer_provider: what makes them; `None` for that of the process.
        each_execution: make a span for each execution of an event, too: for each client, or
            for each group of clients that share it by `context_id`.
        trust_clients: let clients name the parent of an operation, by a `traceparent` in its
            `extensions`, in the payload of `connection_init` or in a header. Whoever names
            one decides whether it is sampled, with the default sampler.
    """
    version = metadata.version("channels-graphql-ws")
    tracer = trace.get_tracer("channels_graphql_ws", version, tracer_provider)
    tracing.tracer = _Tracer(tracer, each_execution=each_execution, trust_clients=trust_clients)


def uninstrument() -> None:
    """Make no more spans. Harmless when none are made."""
    tracing.tracer = None


class _Tracer:
    """Makes the spans."""

    def __init__(self, tracer: trace.Tracer, *, each_execution: bool, trust_clients: bool) -> None:
        self._tracer = tracer
        self._each_execution = each_execution
        self._trust_clients = trust_clients

    def operation(self, running: Steps, sources: Sequence[Mapping[str, Any]], via: str) -> Steps:
        """Let an operation take place within a span of its own."""
        around = context.get_current()
        parent, links = self._parent(sources)
        span = self._tracer.start_span(
            "GraphQL Operation",
            parent,
            SpanKind.SERVER,
            {"network.protocol.name": via},
            links,
        )
        # Never detached: the operation has variables of its own, which end with it.
        context.attach(trace.set_span_in_context(span))
        _operation.set((span, around))
        try:
            yield from running
        except BaseException as error:
            _fail(span, type(error).__qualname__)
            raise
        finally:
            span.end()

    def _parent(self, sources: Sequence[Mapping[str, Any]]) -> tuple[Context | None, list[Link]]:
        """Return what a client says is the parent, and a link to what is here, too."""
        named = filter(None, map(_extracted, sources)) if self._trust_clients else iter(())
        parent = next(named, None)
        here = trace.get_current_span().get_span_context()
        return parent, [Link(here)] if parent is not None and here.is_valid else []

    def began(self, type: str, name: str | None) -> None:
        """Name the span by the type of the operation, as the names of clients are many."""
        span = _current_operation()
        span.update_name(type)
        span.set_attribute("graphql.operation.type", type)
        if name is not None:
            span.set_attribute("graphql.operation.name", name[:_LONGEST_NAME])

    def executed(self, errors: Sequence[Exception] | None) -> None:
        """Record the errors of a result."""
        if not errors:
            return
        span = _current_operation()
        originals = [getattr(error, "original_error", None) or error for error in errors]
        if span.is_recording():
            for each in originals[:_MOST_ERRORS]:
                _record(span, each)
        _fail(span, type(originals[0]).__qualname__)

    def refused(self, why: str) -> None:
        """Record that an operation was not executed."""
        _fail(_current_operation(), why)

    def leave_operation(self) -> None:
        """Go on as before the operation: its events may come when it has long ended."""
        known = _operation.get()
        if known is not None:
            context.attach(known[1])

    def broadcast(self, name: str, messages: Sequence[dict[str, Any]], send: Callable[[], T]) -> T:
        """Send a broadcast within a span, which ends when the broadcast is sent."""
        span = self._broadcast(name, messages)
        try:
            sent = send()
        except BaseException as error:
            _fail(span, type(error).__qualname__)
            span.end()
            raise
        pending: Any = sent
        if isinstance(pending, asyncio.Future):
            # Not by the method of the class, or a failure would count as awaited.
            asyncio.Future.add_done_callback(pending, lambda done: _sent(span, done))
        else:
            span.end()
        return sent

    async def broadcast_async(
        self,
        name: str,
        messages: Sequence[dict[str, Any]],
        send: Callable[[], Awaitable[None]],
    ) -> None:
        """Do as `broadcast` does, and return when it is sent."""
        span = self._broadcast(name, messages)
        try:
            await send()
        except BaseException as error:
            _fail(span, type(error).__qualname__)
            raise
        finally:
            span.end()

    def _broadcast(self, name: str, messages: Sequence[dict[str, Any]]) -> Span:
        attributes = {
            **_messaging("broadcast", "send", name),
            "messaging.message.body.size": len(messages[0]["payload"]),
        }
        span = self._tracer.start_span(f"broadcast {name}", None, SpanKind.PRODUCER, attributes)
        if span.is_recording():
            header: dict[str, str] = {}
            _propagator.inject(header, trace.set_span_in_context(span))
            for message in messages:
                message[HEADER] = header
        return span

    def event(self, header: Any, name: str, listeners: int) -> _EventTrace | None:
        """Begin the span of an event that has come to this process."""
        parent = _extracted(header) if isinstance(header, Mapping) else None
        if parent is None:
            return None
        span = self._tracer.start_span(
            f"deliver {name}",
            parent,
            SpanKind.CONSUMER,
            {
                **_messaging("deliver", "process", name),
                "channels_graphql_ws.executions": listeners,
            },
            [Link(trace.get_current_span(parent).get_span_context())],
        )
        return _EventTrace(self._tracer if self._each_execution else None, span)


class _EventTrace:
    """The span of one event in this process, around all executions of it."""

    def __init__(self, tracer: trace.Tracer | None, span: Span) -> None:
        self._tracer = tracer
        self._span = span
        self._context = trace.set_span_in_context(span, Context())

    def offer(self, event: object) -> bool:
        """End behind the listeners, all of which were offered the event."""
        del event
        self._span.end()
        return False

    def around(self, run: Steps, name: str) -> Steps:
        """Let an execution take place within the span, or within one of its own."""
        here, span = self._context, None
        if self._tracer is not None:
            span = self._tracer.start_span(f"publish {name}", here)
            here = trace.set_span_in_context(span, here)
        token = context.attach(here)
        detaches = True
        try:
            yield from run
        except GeneratorExit:
            # Closed by the garbage collector, outside of its own variables.
            detaches = False
            raise
        finally:
            if span is not None:
                span.end()
            if detaches:
                context.detach(token)


def _extracted(source: Mapping[str, Any]) -> Context | None:
    """Return a context with the span that somebody names, if it is well-formed."""
    carrier = {
        key: value
        for key in ("traceparent", "tracestate")
        if isinstance(value := source.get(key), str) and len(value) <= _LONGEST_HEADER
    }
    if "traceparent" not in carrier:
        return None
    found = _propagator.extract(carrier, Context())
    return found if trace.get_current_span(found).get_span_context().is_valid else None


def _current_operation() -> Span:
    known = _operation.get()
    return trace.INVALID_SPAN if known is None else known[0]


def _messaging(operation: str, type: str, destination: str) -> dict[str, Any]:
    return {
        "messaging.system": "channels",
        "messaging.operation.name": operation,
        "messaging.operation.type": type,
        "messaging.destination.name": destination,
    }


def _fail(span: Span, error_type: str) -> None:
    span.set_attribute("error.type", error_type)
    span.set_status(StatusCode.ERROR)


def _record(span: Span, error: Exception) -> None:
    """Record an exception as `Span.record_exception` does, but not what clients have put into it.

    Its text may be as long as a client likes; that of a `GraphQLError` has lines of the document.
    """
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    span.add_event(
        "exception",
        {
            "exception.type": f"{module}{kind.__qualname__}",
            "exception.message": said(error),
            "exception.stacktrace": traceback_of(error),
            "exception.escaped": "False",
        },
    )


def _sent(span: Span, sent: asyncio.Future[Any]) -> None:
    error = None if sent.cancelled() else sent.exception()
    if error is not None:
        _fail(span, type(error).__qualname__)
    span.end()

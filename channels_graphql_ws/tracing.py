"""Where operations, broadcasts and events tell a tracer of themselves; see `otel`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

HEADER: Final = "trace"
"""The key of the trace context in the message of a broadcast."""


class EventTrace(Protocol):
    """The trace of one event in this process."""

    def offer(self, event: object) -> bool:
        """End behind the listeners, all of which were offered the event; return `False`."""
        ...

    def around(self, run: Generator[Any, Any, None], name: str) -> Generator[Any, Any, None]:
        """Let an execution of the event take place within the trace.

        Args:
            run: the steps of the execution.
            name: what to call the subscription.
        """
        ...


class Tracer(Protocol):
    """What makes spans."""

    def operation(
        self, running: Generator[Any, Any, None], sources: Sequence[Mapping[str, Any]], via: str
    ) -> Generator[Any, Any, None]:
        """Let an operation take place within a span of its own.

        Args:
            running: the steps of the operation.
            sources: where a client may have said which span is its parent; the first counts.
            via: "websocket" or "http".
        """
        ...

    def began(self, type: str, name: str | None) -> None:
        """Learn what the operation is that takes place here."""
        ...

    def executed(self, errors: Sequence[Exception] | None) -> None:
        """Learn of the errors in the result of the operation that takes place here."""
        ...

    def refused(self, why: str) -> None:
        """Learn that the operation that takes place here is not executed."""
        ...

    def leave_operation(self) -> None:
        """Go on outside of the span of the operation."""
        ...

    def broadcast(self, name: str, messages: Sequence[dict[str, Any]], send: Callable[[], T]) -> T:
        """Send a broadcast within a span, which ends when the broadcast is sent.

        Args:
            name: of the Subscription class.
            messages: get the trace context.
            send: sends them; returns a future where that takes time.
        """
        ...

    async def broadcast_async(
        self,
        name: str,
        messages: Sequence[dict[str, Any]],
        send: Callable[[], Awaitable[None]],
    ) -> None:
        """Do as `broadcast` does, and return when it is sent."""
        ...

    def event(self, header: Any, name: str, listeners: int) -> EventTrace | None:
        """Begin the span of an event that has come to this process.

        Args:
            header: the trace context that came with it.
            name: what to call the subscription.
            listeners: how many executions it may have here.

        Returns:
            `None` if it has no trace.
        """
        ...


class Tracing:
    """The tracer of this process, if there is one."""

    tracer: Tracer | None = None


tracing: Final = Tracing()

"""Write results into a response that goes on, in one of two forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from channels_graphql_ws.execution.results import CursorText
from channels_graphql_ws.json_text import dumps

HEADERS: Final[Mapping[str, str]] = {
    # A middleware that compresses holds events back, unless it is told that somebody did so.
    "Content-Encoding": "identity",
    "Cache-Control": "no-cache, no-store",
    "X-Accel-Buffering": "no",
}


class StreamFormat(Protocol):
    """The form of a stream."""

    content_type: str
    headers: Mapping[str, str]
    opening: bytes
    """Sent at once, so that the client knows that it is served."""
    heartbeat: bytes
    closing: bytes

    def next(self, result: str, id: str | None = None) -> bytes:
        """Write a result, JSON text; `id` names the operation where there are several."""
        ...

    def complete(self, id: str | None = None) -> bytes:
        """Write that there are no more results."""
        ...


class EventStream:
    """Server-sent events, as in the protocol of `graphql-sse`."""

    content_type = "text/event-stream; charset=utf-8"
    headers: Mapping[str, str] = HEADERS
    opening = b":\n\n"
    heartbeat = b":\n\n"
    closing = b""

    def next(self, result: str, id: str | None = None) -> bytes:
        """Write a result."""
        data = result if id is None else f'{{"id":{dumps(id)},"payload":{result}}}'
        place = ""
        if id is None and isinstance(result, CursorText):
            # A browser sends it back as `Last-Event-ID` when it connects again.
            place = f"id: {result.cursor}\n"
        if "\n" in data:  # The user's own JSON: each line has to be marked as data.
            data = data.replace("\n", "\ndata: ")
        return f"{place}event: next\ndata: {data}\n\n".encode()

    def complete(self, id: str | None = None) -> bytes:
        """Write that there are no more results."""
        # With no `data` line at all, a browser would not notice the event.
        data = "" if id is None else f'{{"id":{dumps(id)}}}'
        return f"event: complete\ndata: {data}\n\n".encode()


class Multipart:
    """Multipart subscriptions of Apollo's clients."""

    content_type = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0"'
    headers: Mapping[str, str] = HEADERS
    # The delimiter goes behind each part: a client knows of a part's end by the next one.
    opening = b"--graphql"
    heartbeat = b"\r\nContent-Type: application/json\r\n\r\n{}\r\n--graphql"
    closing = b"--\r\n"

    def next(self, result: str, id: str | None = None) -> bytes:
        """Write a result."""
        del id
        part = f'\r\nContent-Type: application/json\r\n\r\n{{"payload":{result}}}\r\n--graphql'
        return part.encode()

    def complete(self, id: str | None = None) -> bytes:
        """Write nothing: the end of the response says it."""
        del id
        return b""


EVENT_STREAM = EventStream()
MULTIPART = Multipart()

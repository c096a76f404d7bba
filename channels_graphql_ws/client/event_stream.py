"""Server-sent events: bytes ⇒ events (HTML standard, Server-sent events)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from channels_graphql_ws.exceptions import RemoteProtocolError

_BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event.

    Attributes:
        type: "message" if the server gives none.
        data: its text.
        id: the last that the server gave, `None` if it gave none yet.
    """

    type: str
    data: str
    id: str | None


class EventStreamParser:
    """Turns what arrives into events, wherever it is cut.

    Args:
        max_size: bytes of one event; 0 means no limit.

    Attributes:
        comments: comment lines so far, with which servers keep a silent stream alive.
    """

    def __init__(self, max_size: int) -> None:
        self.comments = 0
        self._max_size = max_size
        self._rest = b""
        self._is_first = True
        self._type = ""
        self._data: list[str] = []
        self._size = 0
        self._id: str | None = None

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take bytes; return the events that they complete.

        Raises:
            RemoteProtocolError: an event is too large, or not UTF-8.
        """
        buffer = self._rest + chunk
        if self._is_first:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                # A byte order mark may still become whole, at the very beginning only.
                self._rest = buffer
                return []
            buffer = buffer.removeprefix(_BOM)
            self._is_first = False
        *lines, self._rest = _lines(buffer)
        events = [event for line in lines if (event := self._take(line)) is not None]
        if self._max_size and self._size + len(self._rest) > self._max_size:
            raise RemoteProtocolError(
                f"The server sent an event of more than {self._max_size} bytes"
            )
        return events

    def _take(self, line: bytes) -> ServerSentEvent | None:
        if not line:
            return self._dispatch()
        if line.startswith(b":"):
            self.comments += 1
            return None
        self._size += len(line)
        try:
            name, _, value = line.decode().partition(":")
        except UnicodeDecodeError as error:
            raise RemoteProtocolError("The server sent an event that is not UTF-8") from error
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        type, data = self._type or "message", self._data
        is_event = bool(data or self._type)
        self._type, self._data, self._size = "", [], 0
        # `complete` of GraphQL over SSE may come without data.
        return ServerSentEvent(type, "\n".join(data), self._id) if is_event else None


def _lines(buffer: bytes) -> list[bytes]:
    """Split at line ends; the last part is what is not ended yet."""
    if b"\r" not in buffer:
        return buffer.split(b"\n")
    # A line feed may still follow the carriage return at the very end.
    held = b"\r" if buffer.endswith(b"\r") else b""
    buffer = buffer.removesuffix(b"\r").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    *lines, rest = buffer.split(b"\n")
    return [*lines, rest + held]

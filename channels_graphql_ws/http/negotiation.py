"""What the client accepts: which form a result has, and which a stream."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class MediaType(StrEnum):
    """The forms of an answer."""

    RESPONSE = "application/graphql-response+json"
    JSON = "application/json"
    EVENT_STREAM = "text/event-stream"
    MULTIPART = "multipart/mixed"
    HTML = "text/html"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What suits the client best.

    Attributes:
        single: the form of one result; `None` if the client takes none.
        stream: the form of a stream of results; `None` if the client takes none.
        streams_all: the stream is wanted for queries and mutations, too.
        html: a page is wanted, as by a browser's address bar.
    """

    single: MediaType | None = MediaType.JSON
    stream: MediaType | None = None
    streams_all: bool = False
    html: bool = False


_ANYTHING: Final = Accepted()

_COMMON: Final = {
    None: _ANYTHING,
    "*/*": _ANYTHING,
    "application/json": _ANYTHING,
    "application/graphql-response+json": Accepted(MediaType.RESPONSE),
    "text/event-stream": Accepted(None, MediaType.EVENT_STREAM, streams_all=True),
}

# An element of a list; a comma in a quoted string does not end it (RFC 9110, 5.6.1).
_ELEMENT: Final = re.compile(r'(?:[^,"]|"(?:[^"\\]|\\.)*")+')
_PARAMETER: Final = re.compile(r'(?:[^;"]|"(?:[^"\\]|\\.)*")+')


@dataclass(frozen=True, slots=True)
class Range:
    """One of the media ranges of an `Accept` header, or the value of a `Content-Type`."""

    name: str
    parameters: dict[str, str]

    @property
    def quality(self) -> float:
        """How much it is wanted, from 0, not at all, to 1."""
        try:
            return min(max(float(self.parameters.get("q", "1")), 0.0), 1.0)
        except ValueError:
            return 1.0


def parse(value: str) -> Range:
    """Take a media type and its parameters apart (RFC 9110, 8.3.1); never fails."""
    name, *rest = _PARAMETER.findall(value) or [""]
    pairs = (each.partition("=") for each in rest)
    parameters = {key.strip().lower(): value.strip().strip('"').lower() for key, _, value in pairs}
    return Range(name.strip().lower(), parameters)


def accept(header: str | None) -> Accepted:
    """Choose by an `Accept` header. Without one the client takes anything."""
    common = _COMMON.get(header)
    return common or _choose([parse(each) for each in _ELEMENT.findall(header or "")])


def _choose(ranges: list[Range]) -> Accepted:
    response = _quality(ranges, MediaType.RESPONSE)
    json = _quality(ranges, MediaType.JSON, "application/*", "*/*")
    events = _quality(ranges, MediaType.EVENT_STREAM)
    parts = _quality((each for each in ranges if _takes_events(each)), MediaType.MULTIPART)
    page = _quality(ranges, MediaType.HTML)
    single = MediaType.RESPONSE if response and response >= json else None
    single = single or (MediaType.JSON if json else None)
    stream = MediaType.EVENT_STREAM if events and events >= parts else None
    stream = stream or (MediaType.MULTIPART if parts else None)
    return Accepted(
        single=single,
        stream=stream,
        streams_all=bool(stream) and (single is None or events > max(response, json)),
        html=page > 0 and page >= json,
    )


def _quality(ranges: Iterable[Range], *names: str) -> float:
    """Give the quality of the first name that is there: the most specific range decides."""
    found = {each.name: each.quality for each in ranges}
    return next((found[name] for name in names if name in found), 0.0)


def _takes_events(range: Range) -> bool:
    """Tell Apollo's multipart subscriptions from `@defer`, which has the same name."""
    return "subscriptionspec" in range.parameters

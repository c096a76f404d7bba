"""Choose the forms of results and streams by the `Accept` header."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from math import isnan
from typing import Final

from channels_graphql_ws.execution.headers import MAX_PARSED_LENGTH


class MediaType(StrEnum):
    """The forms of an answer."""

    RESPONSE = "application/graphql-response+json"
    JSON = "application/json"
    EVENT_STREAM = "text/event-stream"
    MULTIPART = "multipart/mixed"
    HTML = "text/html"


@dataclass(frozen=True, slots=True)
class Accepted:
    """The forms that suit the client best.

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

# A quoted string; one that is left open ends with the text. An alternative that could fail
# after a long way would be tried again behind each quote: quadratic.
_QUOTED: Final = r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)'

# An element of a list; a comma in a quoted string does not end it (RFC 9110, 5.6.1).
_ELEMENT: Final = re.compile(rf'(?:[^,"]|{_QUOTED})+', re.DOTALL)
_PARAMETER: Final = re.compile(rf'(?:[^;"]|{_QUOTED})+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Range:
    """One of the media ranges of an `Accept` header, or the value of a `Content-Type`."""

    name: str
    parameters: dict[str, str]

    @property
    def quality(self) -> float:
        """How much it is wanted, from 0, not at all, to 1."""
        try:
            quality = float(self.parameters.get("q", "1"))
        except ValueError:
            return 1.0
        return 1.0 if isnan(quality) else min(max(quality, 0.0), 1.0)


def parse(value: str) -> Range:
    """Take a media type and its parameters apart (RFC 9110, 8.3.1); never fails.

    No more than `MAX_PARSED_LENGTH` characters are looked at.
    """
    name, *rest = _PARAMETER.findall(value[:MAX_PARSED_LENGTH]) or [""]
    pairs = (each.partition("=") for each in rest)
    parameters = {key.strip().lower(): value.strip().strip('"').lower() for key, _, value in pairs}
    return Range(name.strip().lower(), parameters)


def accept(header: str | None) -> Accepted:
    """Choose by an `Accept` header. Without one the client takes anything.

    No more than `MAX_PARSED_LENGTH` characters are looked at, and of those only whole
    elements.
    """
    if header is None or len(header) <= MAX_PARSED_LENGTH:
        return _COMMON.get(header) or _choose(_ELEMENT.findall(header or ""))
    return _choose(_ELEMENT.findall(header[:MAX_PARSED_LENGTH])[:-1])


def _choose(elements: list[str]) -> Accepted:
    ranges = [parse(each) for each in elements]
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
    """Return the quality of the first name that is there: the most specific range decides."""
    found = {each.name: each.quality for each in ranges}
    return next((found[name] for name in names if name in found), 0.0)


def _takes_events(range: Range) -> bool:
    """Return whether this is Apollo's multipart subscriptions, and not `@defer`."""
    return "subscriptionspec" in range.parameters

"""Server-sent events, however they are cut."""

from __future__ import annotations

import hypothesis
import pytest
from hypothesis import strategies

from channels_graphql_ws.client.event_stream import EventStreamParser, ServerSentEvent
from channels_graphql_ws.exceptions import RemoteProtocolError


def parsed(*chunks: bytes, max_size: int = 0) -> list[tuple[str, str, str | None]]:
    parser = EventStreamParser(max_size)
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return [(event.type, event.data, event.id) for event in events]


@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b"data: a\n\n", [("message", "a", None)]),
        (b"event: next\ndata: a\n\n", [("next", "a", None)]),
        (b"data:a\ndata: b\ndata\n\n", [("message", "a\nb\n", None)]),
        (b"event: complete\n\n", [("complete", "", None)]),
        (b"event: complete\ndata:\n\n", [("complete", "", None)]),
        (b": comment\n\n", []),
        (b"\n\n\n", []),
        (b"unknown: x\nretry: 3\ndata: a\n\n", [("message", "a", None)]),
        (b"id: 1\ndata: a\n\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "1")]),
        (b"id: 1\ndata: a\n\nid\ndata: b\n\n", [("message", "a", "1"), ("message", "b", "")]),
        (b"id: a\0b\ndata: a\n\n", [("message", "a", None)]),
        (b"data: a\r\n\r\n", [("message", "a", None)]),
        (b"data: a\r\rdata: b\r\n\n", [("message", "a", None), ("message", "b", None)]),
        ("\ufeffdata: ü: x\n\n".encode(), [("message", "ü: x", None)]),
        (b"data: not ended", []),
    ],
)
def test_a_stream_is_read_as_the_standard_says_wherever_it_is_cut(text, events):
    assert parsed(text) == events
    assert parsed(*(text[index : index + 1] for index in range(len(text)))) == events


@hypothesis.given(
    strategies.lists(
        strategies.sampled_from([b"data: a", b"\n", b"\r", b"\r\n", b": c", b"id: 1"])
    ),
    strategies.data(),
)
def test_where_a_stream_is_cut_makes_no_difference(parts, draw):
    text = b"".join(parts)
    cuts = sorted(draw.draw(strategies.lists(strategies.integers(0, len(text)), max_size=5)))
    chunks = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    # What a carriage return at the very end means is only known when more comes.
    assert parsed(*chunks, b"\n") == parsed(text, b"\n")


def test_comments_are_counted_as_signs_of_life():
    parser = EventStreamParser(0)
    assert parser.feed(b": one\n:\n: three") == []
    assert parser.comments == 2


def test_an_event_may_have_a_largest_size():
    assert parsed(b"data: 12345\n\n" * 9, max_size=12) == [("message", "12345", None)] * 9
    for text in (b"data: 123456789\n", b"data: 1234567", b"data: 1\ndata: 2\n"):
        with pytest.raises(RemoteProtocolError, match="an event of more than 12 bytes"):
            parsed(text, max_size=12)


def test_what_is_not_utf_8_is_an_error():
    with pytest.raises(RemoteProtocolError, match="not UTF-8"):
        parsed(b"data: \xff\n\n")


def test_an_event_is_compared_by_what_it_says():
    assert EventStreamParser(0).feed(b"data: a\n\n") == [ServerSentEvent("message", "a", None)]

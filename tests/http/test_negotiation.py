"""What a client's `Accept` header is understood to mean."""

from __future__ import annotations

import pytest

from channels_graphql_ws.http.negotiation import Accepted, MediaType, accept, parse

RESPONSE = "application/graphql-response+json"
APOLLO = 'multipart/mixed;boundary="graphql";subscriptionSpec="1.0"'


@pytest.mark.parametrize(
    ("header", "single"),
    [
        (None, MediaType.JSON),
        ("*/*", MediaType.JSON),
        ("application/*", MediaType.JSON),
        ("application/json", MediaType.JSON),
        (RESPONSE, MediaType.RESPONSE),
        (f"{RESPONSE}; charset=utf-8, application/json;q=0.9", MediaType.RESPONSE),
        (f"application/json, {RESPONSE};q=0.5", MediaType.JSON),
        (f"{RESPONSE}, application/json", MediaType.RESPONSE),
        (f"{RESPONSE};q=0, */*;q=0.1", MediaType.JSON),
        ("APPLICATION/JSON ; Q=1", MediaType.JSON),
        ("application/json;q=much", MediaType.JSON),
        ("application/json;q=nan", MediaType.JSON),
        ("application/json;q=-1", None),
        ("application/json;q=0", None),
        ("application/json;q=0, */*", None),
        ("text/plain", None),
        ("", None),
        (',;,"', None),
        ("text/event-stream", None),
    ],
)
def test_the_form_of_a_result_is_the_one_wanted_most(header, single):
    assert accept(header).single is single


@pytest.mark.parametrize(
    ("header", "stream", "streams_all"),
    [
        ("application/json", None, False),
        ("*/*", None, False),
        ("text/*", None, False),
        ("text/event-stream", MediaType.EVENT_STREAM, True),
        ("text/event-stream, application/json;q=0.5", MediaType.EVENT_STREAM, True),
        ("text/event-stream, application/json", MediaType.EVENT_STREAM, False),
        (f"{APOLLO},application/json", MediaType.MULTIPART, False),
        (f"{APOLLO};q=1, application/json;q=0.5", MediaType.MULTIPART, False),
        (APOLLO, MediaType.MULTIPART, True),
        (f"text/event-stream, {APOLLO}, application/json", MediaType.EVENT_STREAM, False),
        (f"text/event-stream;q=0.5, {APOLLO}", MediaType.MULTIPART, True),
        ("multipart/mixed;deferSpec=20220824, application/json", None, False),
        ("text/event-stream;q=0, application/json", None, False),
    ],
)
def test_a_stream_has_to_be_asked_for_by_name(header, stream, streams_all):
    accepted = accept(header)
    assert accepted.stream is stream
    assert accepted.streams_all is streams_all


def test_a_comma_in_a_quoted_string_ends_nothing():
    assert accept('text/plain;note="a, application/json", text/html') == Accepted(
        single=None, html=True
    )


@pytest.mark.parametrize(
    ("header", "single"),
    [
        (f"application/json, {'a' * 1_000}", MediaType.JSON),
        (f"application/json;a={'a' * 1_000}", None),
        (f"{'a/b, ' * 198}application/json;q=0", None),
        (f"{'a/b, ' * 199}application/json", None),
        ("text/html, " + '"\\"' * 30_000, None),
    ],
)
def test_of_a_long_header_the_whole_elements_at_the_beginning_count(header, single):
    assert accept(header).single is single


@pytest.mark.parametrize(
    ("header", "elements"),
    [
        ('application/json;a="b, text/html', (MediaType.JSON, False)),
        ('application/json, text/plain;a="\\', (MediaType.JSON, False)),
        ('text/plain;a="\\\n", application/json', (MediaType.JSON, False)),
        ('"text/html", application/json', (MediaType.JSON, False)),
    ],
)
def test_a_quoted_string_that_is_left_open_ends_with_the_header(header, elements):
    accepted = accept(header)
    assert (accepted.single, accepted.html) == elements


def test_a_browser_that_opens_a_page_wants_a_page():
    assert accept("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8").html


@pytest.mark.parametrize(
    "header", ["application/json, text/html;q=0.5", "*/*", "text/html;q=0", "application/json"]
)
def test_a_program_wants_no_page(header):
    assert not accept(header).html


def test_a_content_type_is_taken_apart():
    media_type = parse('Application/JSON; Charset="UTF-8"')
    assert media_type.name == "application/json"
    assert media_type.parameters == {"charset": "utf-8"}


def test_no_content_type_is_none():
    assert parse("").name == ""


def test_of_a_long_content_type_the_beginning_is_parsed():
    assert parse(f"application/json;a={'a' * 2_000};b=c").parameters.keys() == {"a"}

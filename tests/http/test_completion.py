"""What a resolver sets on the response, and no server could send."""

from __future__ import annotations

import pytest
from django.http import HttpResponse, StreamingHttpResponse

import http_schema
from channels_graphql_ws.http.completion import UnsendableError, headers_of_answer
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from http_client import EVENTS, exchange, get, listeners, post, posted


def application(change, **options):
    class Consumer(GraphqlHttpConsumer):
        schema = http_schema.schema

        def get_context(self, context):
            change(context.response)
            return context

    return Consumer.as_asgi(**options)


def nul(response):
    response.headers["X-Own"] = "a\0b"


def line_feed(response):
    response.headers._store["x-own"] = ("X-Own", "a\r\nSet-Cookie: b=c")


def odd_name(response):
    response.headers["X Own:"] = "a"


def odd_cookie(response):
    response.set_cookie("own", "☃")


def odd_path(response):
    response.set_cookie("own", "a", path="/\r\nX: y")


def odd_status(response):
    response.status_code = "teapot"


def informational(response):
    response.status_code = 101


def too_high(response):
    response.status_code = 1_000


CHANGES = [nul, line_feed, odd_name, odd_cookie, odd_path, odd_status, informational, too_high]


@pytest.mark.parametrize("change", CHANGES)
async def test_what_cannot_be_sent_is_an_error_and_a_line_in_the_log(change, caplog):
    answer = await post(application(change), {"query": "{ hello }"})
    assert (answer.status, answer.message) == (500, "Internal server error")
    assert "X-Own" not in answer.headers
    assert "An answer cannot be sent: a resolver or hook has set " in caplog.text


@pytest.mark.parametrize("change", [nul, odd_cookie])
async def test_a_stream_that_cannot_begin_is_ended(change, caplog):
    body, headers = posted({"query": 'subscription { onEvent(group: "a") { event } }'}, EVENTS)
    async with exchange(application(change), headers=headers) as one:
        await one.send(body)
        answer = await one.answer()
    assert answer.status == 500
    assert "An answer cannot be sent" in caplog.text
    assert listeners() == 0


async def test_what_the_server_decides_is_left_to_it():
    def change(response):
        response.headers["Content-Length"] = "3"
        response.headers["Transfer-Encoding"] = "chunked"
        response.headers["X-Own"] = "  padded\t"

    answer = await post(application(change), {"query": "{ hello }"})
    assert answer.headers["content-length"] == str(len(answer.body))
    assert "transfer-encoding" not in answer.headers
    assert answer.headers["x-own"] == "padded"


@pytest.mark.parametrize("status", [204, 304])
async def test_a_status_without_a_body_has_none(status):
    def change(response):
        response.status_code = status

    answer = await post(application(change), {"query": "{ hello }"})
    assert (answer.status, answer.body) == (status, b"")
    assert "content-length" not in answer.headers


@pytest.mark.parametrize("page", ["a text", StreamingHttpResponse()])
async def test_a_page_that_is_no_response_is_an_error(page, caplog):
    class Consumer(GraphqlHttpConsumer):
        schema = http_schema.schema
        graphiql = True

        def render_graphiql(self, request):
            return page

    answer = await get(Consumer.as_asgi(), "text/html")
    assert answer.status == 500
    assert "it must return a `django.http.HttpResponse`" in caplog.text


def test_a_cookie_that_cannot_be_written_is_a_problem():
    class Broken:
        def OutputString(self):  # noqa: N802 (its name in http.cookies)
            raise ValueError("a control character")

    response = HttpResponse()
    response.cookies.update({"own": Broken()})
    with pytest.raises(UnsendableError, match="the cookie 'own'"):
        headers_of_answer(response, {})


@pytest.mark.parametrize(
    ("own", "vary"),
    [
        ({}, "Accept, Cookie, Origin"),
        ({"Vary": "origin,X-A"}, "origin,X-A, Accept, Cookie"),
        ({"Cache-Control": "public, max-age=60"}, None),
        ({"Cache-Control": "public, max-age=60", "Vary": "X-A"}, "X-A"),
    ],
)
def test_an_answer_says_what_it_depends_on_unless_it_is_for_everybody(own, vary):
    assert headers_of_answer(HttpResponse(headers=own), {}).get("vary") == vary


def test_further_headers_are_added():
    assert headers_of_answer(HttpResponse(), {"x-more": "a"})["x-more"] == "a"

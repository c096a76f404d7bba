"""Requests of other sites, hosts that are not ours, and what other origins may read (CORS)."""

from __future__ import annotations

import json

import pytest
from django.test import AsyncRequestFactory, override_settings

import http_schema
from channels_graphql_ws.graphiql import ASSET_PARAMETER
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from channels_graphql_ws.http.view import GraphqlView
from http_client import EVENTS, ask, exchange, post

SPA = "http://localhost:5173"
HELLO = {"data": {"hello": "Hello world!"}}


@pytest.fixture(autouse=True)
def hosts():
    with override_settings(ALLOWED_HOSTS=["ours.org"], CSRF_TRUSTED_ORIGINS=["https://a.org"]):
        yield


def consumer(**options):
    return GraphqlHttpConsumer.as_asgi(schema=http_schema.schema, **options)


async def get(application, headers, query="?query={hello}"):
    return await ask(application, "GET", f"/graphql/{query}", headers=headers)


CROSS_SITE = {"Sec-Fetch-Site": "cross-site"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "same-site"}, 200),
        (CROSS_SITE, 403),
        ({**CROSS_SITE, "Referer": "https://evil.org/page"}, 403),
        ({**CROSS_SITE, "Referer": "https://[evil"}, 403),
        ({**CROSS_SITE, "Referer": "https://a.org/page"}, 200),
        ({**CROSS_SITE, "Origin": "https://a.org"}, 200),
        ({"Origin": "https://a.org"}, 200),
        ({"Origin": "https://evil.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://ours.org", "Host": "ours.org"}, 200),
        ({"Origin": "http://ours.org:8000", "Host": "ours.org"}, 403),
        ({"Origin": "https://evil.org", "Sec-Fetch-Site": "same-origin"}, 403),
    ],
)
async def test_the_page_of_another_site_has_nothing_executed(headers, status):
    for answer in (
        await get(consumer(), headers),
        await post(consumer(), {"query": "{ hello }"}, headers=headers),
    ):
        assert answer.status == status
        if status == 200:
            assert answer.json == HELLO
        else:
            assert answer.message == "Requests of other sites are refused"


@pytest.mark.parametrize("headers", [CROSS_SITE, {"Origin": "https://evil.org"}])
async def test_nor_is_it_given_a_stream(headers):
    headers = {**headers, "Accept": EVENTS}
    application = consumer(single_connection_enabled=True)
    assert (await get(application, headers, "?query=subscription{forever}")).status == 403
    assert (await get(application, headers, "?token=x")).status == 403
    for method in ("PUT", "DELETE"):
        assert (await ask(application, method, headers=headers)).status == 403


async def test_a_link_of_another_site_to_the_page_works():
    headers = {**CROSS_SITE, "Accept": "text/html"}
    assert (await get(consumer(graphiql=True), headers, "")).status == 200
    files = await get(consumer(graphiql=True), headers, f"?{ASSET_PARAMETER}=favicon.svg")
    assert files.status == 200


async def test_the_log_and_a_developer_are_told_what_was_compared(caplog):
    headers = {"Origin": SPA, "Host": "ours.org"}
    with override_settings(CHANNELS_GRAPHQL_WS={"DEBUG": True}):
        answer = await get(consumer(), headers)
    assert answer.message == (
        "Refused a request of the origin http://localhost:5173: it was compared with the host "
        "ours.org, ALLOWED_HOSTS ['ours.org'] with its port, and "
        "CSRF_TRUSTED_ORIGINS ['https://a.org']. If its pages may connect, add it to "
        "CSRF_TRUSTED_ORIGINS or `allowed_origins`"
    )
    assert "Refused a request of the origin http://localhost:5173: it was" in caplog.text


@pytest.mark.parametrize("more", [{}, {"Referer": "https://[evil"}, {"Referer": "no address"}])
async def test_of_a_link_without_an_origin_the_log_says_so(more, caplog):
    assert (await get(consumer(), {**CROSS_SITE, **more})).status == 403
    assert caplog.messages[-1] == (
        "Refused a request of another site (`Sec-Fetch-Site: cross-site`) that says no more of "
        "itself, neither in `Origin` nor in `Referer`: such links and images execute nothing"
    )
    assert (await get(consumer(allowed_origins=["*"]), {**CROSS_SITE, **more})).status == 200


@pytest.mark.parametrize("debug", [False, True])
async def test_a_host_that_is_not_ours_is_refused_as_by_django(debug, caplog):
    with override_settings(CHANNELS_GRAPHQL_WS={"DEBUG": debug}):
        answer = await get(consumer(graphiql=True), {"Host": "evil.org", "Accept": "text/html"})
    assert answer.status == 400
    assert ("You may need to add 'evil.org' to ALLOWED_HOSTS" in answer.message) is debug
    assert "You may need to add 'evil.org' to ALLOWED_HOSTS" in caplog.text


async def test_every_answer_says_that_it_is_not_to_be_stored():
    application = consumer(single_connection_enabled=True, graphiql=True)
    answers = [
        await get(application, {}),
        await get(application, CROSS_SITE),
        await get(application, {"Host": "evil.org"}),
        await get(application, {"Accept": "text/html"}, ""),
        await get(application, {"X": "x" * 70_000}),
        await post(application, {"query": "{"}),
        await ask(application, "PUT", headers={"Accept": EVENTS}),
        await ask(application, "PATCH"),
    ]
    assert [each.status for each in answers] == [200, 403, 400, 200, 431, 200, 201, 405]
    for answer in answers:
        assert "no-store" in answer.headers["cache-control"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["vary"] == "Accept, Cookie, Origin"


async def test_a_stream_is_not_stored_compressed_or_held_back():
    body = json.dumps({"query": "subscription { count(to: 1) }"}).encode()
    headers = {"Accept": EVENTS, "Content-Type": "application/json"}
    async with exchange(consumer(), headers=headers) as one:
        await one.send(body)
        await one.start()
        assert one.headers["cache-control"] == "no-cache, no-store"
        assert one.headers["content-encoding"] == "identity"
        assert one.headers["x-content-type-options"] == "nosniff"
        assert one.headers["vary"] == "Accept, Cookie, Origin"
        await one.rest()
        await one.finished()


async def test_files_of_the_page_may_be_stored_by_anybody():
    answer = await get(consumer(graphiql=True), {}, f"?{ASSET_PARAMETER}=favicon.svg")
    assert "public" in answer.headers["cache-control"]
    assert answer.headers["vary"] == "Accept-Encoding"


async def test_what_a_resolver_has_set_stays():
    class Consumer(GraphqlHttpConsumer):
        schema = http_schema.schema

        def get_context(self, context):
            context.response.headers["Cache-Control"] = "private, max-age=60"
            context.response.headers["Vary"] = "Accept-Language, Cookie"
            return context

    answer = await post(Consumer.as_asgi(), {"query": "{ hello }"})
    assert answer.headers["cache-control"] == "private, max-age=60"
    assert answer.headers["vary"] == "Accept-Language, Cookie, Accept, Origin"


PREFLIGHT = {
    "Origin": SPA,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "content-type, authorization",
}


async def test_a_browser_that_asks_for_a_listed_page_gets_a_yes():
    answer = await ask(consumer(allowed_origins=[SPA]), "OPTIONS", headers=PREFLIGHT)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == SPA
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert answer.headers["access-control-allow-headers"] == "content-type, authorization"
    assert answer.headers["access-control-max-age"] == "600"
    assert "Origin" in answer.headers["vary"]
    assert "content-type" not in answer.headers
    assert "content-length" not in answer.headers


async def test_a_browser_that_asks_for_another_page_gets_a_no():
    answer = await ask(consumer(), "OPTIONS", headers=PREFLIGHT)
    assert answer.status == 403
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("wanted", ["", "x" * 2_000])
async def test_headers_are_only_allowed_if_they_are_named_in_few_words(wanted):
    headers = {**PREFLIGHT, "Access-Control-Request-Headers": wanted}
    answer = await ask(consumer(allowed_origins=[SPA]), "OPTIONS", headers=headers)
    assert answer.status == 204
    assert "access-control-allow-headers" not in answer.headers


@pytest.mark.parametrize("wanted", ["x-a, \x01", "x-a,,x-b", "x a", "x-a;q=1", "x-\xe4"])
async def test_a_preflight_for_what_is_no_header_is_refused(wanted, caplog):
    headers = {**PREFLIGHT, "Access-Control-Request-Headers": wanted}
    answer = await ask(consumer(allowed_origins=[SPA]), "OPTIONS", headers=headers)
    assert answer.status == 400
    assert answer.message == "Access-Control-Request-Headers is not a list of header names"
    assert not caplog.records


async def test_what_is_not_a_preflight_is_a_method_that_is_not_served():
    assert (await ask(consumer(), "OPTIONS", headers={"Origin": SPA})).status == 405


async def test_a_listed_page_may_read_answers_refusals_too():
    application = consumer(allowed_origins=[SPA])
    for content, status in (({"query": "{ hello }"}, 200), ({}, 400)):
        answer = await post(application, content, headers={"Origin": SPA})
        assert answer.status == status
        assert answer.headers["access-control-allow-origin"] == SPA
        assert answer.headers["access-control-allow-credentials"] == "true"


async def test_a_listed_page_may_read_streams():
    headers = {"Origin": SPA, "Accept": EVENTS}
    answer = await get(
        consumer(allowed_origins=[SPA]), headers, "?query=subscription{count(to:1)}"
    )
    assert answer.headers["access-control-allow-origin"] == SPA
    assert b"event: next" in answer.body


async def test_any_page_may_read_without_cookies_where_any_is_allowed():
    answer = await post(
        consumer(allowed_origins=["*"]), {"query": "{ hello }"}, headers={"Origin": SPA}
    )
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://ours.org", "Host": "ours.org"}])
async def test_a_page_of_our_own_needs_no_permission(headers):
    answer = await post(consumer(), {"query": "{ hello }"}, headers=headers)
    assert answer.json == HELLO
    assert "access-control-allow-origin" not in answer.headers


async def test_the_word_compatible_does_not_open_http():
    answer = await get(consumer(safety="compatible"), CROSS_SITE)
    assert answer.status == 403


@pytest.mark.parametrize(("headers", "status"), [({}, 200), (CROSS_SITE, 403)])
@override_settings(ALLOWED_HOSTS=["testserver"])
async def test_the_view_checks_the_same(headers, status):
    request = AsyncRequestFactory().get("/", {"query": "{ hello }"}, headers=headers)
    answer = await GraphqlView.as_view(schema=http_schema.schema)(request)
    assert answer.status_code == status
    assert answer["Cache-Control"] == "no-store"
    assert answer["Vary"] == "Accept, Cookie, Origin"


@override_settings(ALLOWED_HOSTS=["testserver"])
async def test_the_view_answers_preflights():
    request = AsyncRequestFactory().options("/", headers=PREFLIGHT)
    view = GraphqlView.as_view(schema=http_schema.schema, allowed_origins=[SPA])
    answer = await view(request)
    assert answer.status_code == 204
    assert answer["Access-Control-Allow-Origin"] == SPA

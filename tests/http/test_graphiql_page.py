"""GraphiQL, served by the endpoint that it talks to."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import override_settings

import http_schema
from channels_graphql_ws.graphiql import ASSET_PARAMETER, GraphiqlConfig
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from http_client import get
from support import tick

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


def consumer(**options):
    return GraphqlHttpConsumer.as_asgi(
        **{"schema": http_schema.schema, "graphiql": True, **options}
    )


async def test_a_browser_that_opens_the_endpoint_gets_graphiql():
    answer = await get(consumer(), BROWSER)
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    assert b'<main id="graphiql">' in answer.body


async def test_its_settings_are_those_of_the_class():
    class Consumer(GraphqlHttpConsumer):
        schema = http_schema.schema

        def graphiql_config(self, request):
            return GraphiqlConfig(title="Ours", endpoint="/elsewhere/")

    answer = await get(Consumer.as_asgi(graphiql=True), BROWSER)
    assert b"<title>Ours</title>" in answer.body
    assert b'"endpoint": "/elsewhere/"' in answer.body


async def test_the_endpoint_serves_its_files():
    parameters = {ASSET_PARAMETER: "favicon.svg"}
    answer = await get(consumer(), "image/*", **parameters)
    assert (answer.status, answer.headers["content-type"]) == (200, "image/svg+xml")
    assert answer.headers["content-length"] == str(len(answer.body))
    answer = await get(consumer(), "image/*", **{ASSET_PARAMETER: "../graphiql.py"})
    assert answer.status == 404


async def test_a_program_gets_no_page():
    assert (await get(consumer(), "application/json")).message == '"query" is missing'


async def test_a_query_of_a_browser_is_executed():
    answer = await get(consumer(), BROWSER, query="{ hello }")
    assert answer.json == {"data": {"hello": "Hello world!"}}


@pytest.mark.parametrize("debug", [False, True])
async def test_without_a_word_it_is_there_while_one_develops(debug):
    with override_settings(DEBUG=debug):
        answer = await get(consumer(graphiql=None), BROWSER)
    assert (b'<main id="graphiql">' in answer.body) is debug


async def test_it_can_be_switched_off():
    application = consumer(graphiql=False)
    assert (await get(application, BROWSER)).status == 400
    assert (await get(application, "*/*", **{ASSET_PARAMETER: "favicon.svg"})).status == 400


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_page_of_ones_own_takes_its_place(is_async):
    class Consumer(GraphqlHttpConsumer):
        schema = http_schema.schema

        def render_graphiql(self, request):
            page = HttpResponse(f"Mine at {request.path}")

            async def later():
                await tick()
                return page

            return later() if is_async else page

    answer = await get(Consumer.as_asgi(graphiql=True), BROWSER)
    assert answer.body == b"Mine at /graphql/"

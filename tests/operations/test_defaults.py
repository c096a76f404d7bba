"""What strangers are told follows DEBUG, and one word gives back what the predecessor allowed."""

from __future__ import annotations

import json
from typing import Annotated, Any

import graphene
import pytest
from django.test import AsyncRequestFactory, override_settings
from graphql import GraphQLError

from asgi_socket import AsgiSocket
from channels_graphql_ws import (
    GraphqlHttpConsumer,
    GraphqlProtocolTypeRouter,
    GraphqlView,
    GraphqlWsConsumer,
)
from channels_graphql_ws.operations.defaults import Open, settle
from channels_graphql_ws.operations.options import OperationOptions
from http_client import get, post
from support import wait_until

ASKED = {"query": "{ __schema { queryType { name } } }"}
BROKEN = {"query": "{ broken }"}
DEVELOPING = override_settings(CHANNELS_GRAPHQL_WS={"DEBUG": True})
COMPATIBLE = override_settings(CHANNELS_GRAPHQL_WS={"SAFETY": "compatible"})


class Color(graphene.Enum):
    RED = 1


class Query(graphene.ObjectType):
    hello = graphene.String(color=Color())
    broken = graphene.String()
    joke = graphene.String()

    @staticmethod
    def resolve_broken(_root: Any, _info: Any) -> str:
        raise ValueError("postgres://hunter2")

    @staticmethod
    def resolve_joke(_root: Any, _info: Any) -> str:
        raise GraphQLError("A yolk. Did you mean a joke?")


schema = graphene.Schema(query=Query)


async def over_http(content: dict[str, Any], **options: Any) -> Any:
    application = GraphqlHttpConsumer.as_asgi(schema=schema, **options)
    return (await post(application, content)).json


async def by_view(content: dict[str, Any], **options: Any) -> Any:
    request = AsyncRequestFactory().post("/", content, content_type="application/json")
    view = GraphqlView.as_view(schema=schema, **options)
    return json.loads((await view(request)).content)


async def through_socket(application: Any, content: dict[str, Any]) -> Any:
    socket = AsgiSocket(application)
    await socket.acknowledged()
    socket.start("1", **content)
    await wait_until(lambda: socket.results("1"))
    result = socket.results("1")[0]
    await socket.drop()
    return {"errors": result} if isinstance(result, list) else result


async def by_router(content: dict[str, Any], **options: Any) -> Any:
    router = GraphqlProtocolTypeRouter(
        schema, middleware_stack=None, shutdown_timeout=None, **options
    )
    return await through_socket(router, content)


async def by_hand(content: dict[str, Any], **options: Any) -> Any:
    return await through_socket(GraphqlWsConsumer.as_asgi(schema=schema, **options), content)


CLOSED = pytest.mark.parametrize("ask", [over_http, by_view, by_router])
ALL = pytest.mark.parametrize("ask", [over_http, by_view, by_router, by_hand])


def message(answer: Any) -> str:
    (error,) = answer["errors"]
    return str(error["message"])


@CLOSED
async def test_without_debug_strangers_read_no_unexpected_error(ask: Any) -> None:
    assert message(await ask(BROKEN)) == "Unexpected error."
    assert message(await ask(BROKEN, mask_errors=False)) == "postgres://hunter2"
    assert message(await ask({"query": "{ joke }"})) == "A yolk. Did you mean a joke?"


@CLOSED
async def test_without_debug_strangers_are_not_told_of_the_schema(ask: Any) -> None:
    assert "introspection is disabled" in message(await ask(ASKED))
    assert "data" in await ask(ASKED, introspection=True)


@pytest.mark.parametrize(
    ("query", "variables", "text"),
    [
        ("{ helo }", {}, "Cannot query field 'helo' on type 'Query'."),
        ("{ hello(colr: RED) }", {}, "Unknown argument 'colr' on field 'Query.hello'."),
        ("{ hello(color: RAD) }", {}, "Value 'RAD' does not exist in 'Color' enum."),
        (
            "query ($c: Color) { hello(color: $c) }",
            {"c": "RAD"},
            "Variable '$c' got invalid value 'RAD'; Value 'RAD' does not exist in 'Color' enum.",
        ),
    ],
)
@ALL
async def test_names_are_suggested_where_introspection_is_answered(
    ask: Any, query: str, variables: Any, text: str
) -> None:
    content = {"query": query, "variables": variables}
    assert message(await ask(content, introspection=False)) == text
    assert message(await ask(content, introspection=True)).startswith(f"{text} Did you mean")


@DEVELOPING
@ALL
async def test_one_setting_shows_a_test_suite_what_a_developer_sees(ask: Any) -> None:
    assert message(await ask(BROKEN)).endswith("postgres://hunter2")
    assert "data" in await ask(ASKED)
    assert "Did you mean 'hello'?" in message(await ask({"query": "{ helo }"}))


@override_settings(DEBUG=True)
@ALL
async def test_with_debug_a_developer_is_told_everything(ask: Any) -> None:
    assert message(await ask(BROKEN)).endswith("postgres://hunter2")
    assert "data" in await ask(ASKED)


@override_settings(DEBUG=True, CHANNELS_GRAPHQL_WS={"DEBUG": False})
@CLOSED
async def test_the_setting_may_close_what_debug_opens(ask: Any) -> None:
    assert message(await ask(BROKEN)) == "Unexpected error."


async def test_a_consumer_that_is_mounted_by_hand_tells_what_the_predecessor_told() -> None:
    assert message(await by_hand(BROKEN)) == "postgres://hunter2"
    assert "data" in await by_hand(ASKED)


@ALL
async def test_the_word_compatible_opens_what_nobody_has_set(ask: Any) -> None:
    assert message(await ask(BROKEN, safety="compatible")).endswith("postgres://hunter2")
    assert "data" in await ask(ASKED, safety="compatible")
    closed = await ask(BROKEN, safety="compatible", mask_errors=True)
    assert message(closed) == "Unexpected error."


@COMPATIBLE
@CLOSED
async def test_the_word_may_stand_in_the_settings(ask: Any) -> None:
    assert "data" in await ask(ASKED)
    assert "introspection is disabled" in message(await ask(ASKED, safety="safe"))


@COMPATIBLE
async def test_compatible_shows_graphiql_too() -> None:
    application = GraphqlHttpConsumer.as_asgi(schema=schema)
    assert (await get(application, "text/html")).status == 200


async def test_the_log_says_what_shows_a_hidden_error(caplog: Any) -> None:
    await over_http(BROKEN)
    assert 'CHANNELS_GRAPHQL_WS = {"DEBUG": True}' in caplog.text
    assert "hunter2" in caplog.text


async def test_the_log_says_nothing_of_it_where_the_error_is_shown(caplog: Any) -> None:
    await over_http(BROKEN, mask_errors=False)
    assert "CHANNELS_GRAPHQL_WS" not in caplog.text


@pytest.mark.parametrize(
    "mounted", [GraphqlHttpConsumer.as_asgi, GraphqlWsConsumer.as_asgi, GraphqlView.as_view]
)
def test_another_word_is_refused(mounted: Any) -> None:
    with pytest.raises(ValueError, match=r"\.safety is 'compatble', it must be 'safe' or 'comp"):
        mounted(schema=schema, safety="compatble")
    with (
        override_settings(CHANNELS_GRAPHQL_WS={"SAFETY": "off"}),
        pytest.raises(ValueError, match=r"CHANNELS_GRAPHQL_WS\['SAFETY'\] is 'off', it must be"),
    ):
        mounted(schema=schema, introspection=False)


# An option that looks as if the library had declared it.
OPTION = {
    "__module__": "channels_graphql_ws.tests",
    "__annotations__": {"limit": Annotated[int | None, Open(None)]},
    "limit": 7,
}


@pytest.mark.parametrize(
    ("attributes", "limit"),
    [({}, None), ({"limit": 7}, 7), ({"limit": 8}, 8), ({"safety": "safe"}, 7)],
)
def test_only_what_nobody_has_set_is_opened(attributes: dict[str, Any], limit: Any) -> None:
    options = type("Options", (OperationOptions,), OPTION)
    for values, on_instance in ((attributes, {}), ({}, attributes)):
        endpoint = type("Endpoint", (options,), {"safety": "compatible", **values})()
        vars(endpoint).update(on_instance)
        settle(endpoint)
        assert endpoint.limit == limit

"""Options that cannot work are refused where they are given, and errors name them."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest

from channels_graphql_ws import GraphqlWsClient, GraphqlWsClientSync
from channels_graphql_ws.client import NEVER, Retry
from channels_graphql_ws.client.http_transport import GraphqlHttpTransport
from scripted_transport import ScriptedTransport, acknowledging

NOWHERE = "ws://127.0.0.1:9/"


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"retry": 3}, TypeError, "retry must be a Retry, such as Retry(attempts=3), not 3"),
        ({"queue_limit": 0}, ValueError, "queue_limit must be 1 or more, not 0"),
        ({"queue_limit": "5"}, TypeError, "queue_limit must be a whole number, not '5'"),
        ({"queue_limit": True}, TypeError, "queue_limit must be a whole number, not True"),
        ({"keep_alive": -1}, ValueError, "keep_alive must be seconds, or None, not -1"),
        ({"keep_alive": "25"}, TypeError, "keep_alive must be seconds, or None, not '25'"),
        ({"keep_alive": True}, TypeError, "keep_alive must be seconds, or None, not True"),
        ({"pong_timeout": None}, TypeError, "pong_timeout must be seconds, not None"),
        ({"ack_timeout": math.nan}, ValueError, "ack_timeout must be seconds, or None, not nan"),
        ({"connect_timeout": -1}, ValueError, "connect_timeout must be seconds"),
        ({"close_when_idle": "x"}, TypeError, "close_when_idle must be seconds, or None"),
        ({"on": [("closed", print)]}, TypeError, "on must be a mapping such as a dict"),
        ({"on": {"closed": None}}, TypeError, "A listener must be a function, not None"),
        ({"subprotocols": "graphql-ws"}, TypeError, "a list, such as ['graphql-ws']"),
        ({"connection_params": "key"}, TypeError, "connection_params must be a mapping such"),
        ({"headers": "a=b"}, TypeError, "headers must be a mapping of names to texts, not a va"),
        ({"cookies": 5}, TypeError, "cookies must be a mapping of names to texts"),
    ],
)
def test_a_client_refuses_an_option_that_cannot_work(options, error, text):
    with pytest.raises(error, match=re.escape(text)):
        GraphqlWsClient(NOWHERE, **options)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"attempts": "many"}, TypeError, "attempts must be a number; 0 for none"),
        ({"attempts": -1}, ValueError, "attempts must be a number"),
        ({"wait": 3}, TypeError, "wait must be a function, not 3"),
        ({"should_retry": True}, TypeError, "should_retry must be a function, not True"),
    ],
)
def test_a_retry_refuses_what_cannot_work(options, error, text):
    with pytest.raises(error, match=text):
        Retry(**options)


def _fail(_: object) -> Any:
    raise KeyError("a bug")


@pytest.mark.parametrize(
    ("retry", "error", "text"),
    [
        (Retry(wait=_fail), KeyError, "a bug"),
        (Retry(should_retry=_fail), KeyError, "a bug"),
        (Retry(wait=lambda _: "3"), TypeError, "What Retry.wait returns must be seconds"),
        (Retry(wait=lambda _: math.nan), ValueError, "What Retry.wait returns must be seconds"),
    ],
)
async def test_a_function_that_fails_lets_nobody_wait_in_vain(retry, error, text):
    transport = ScriptedTransport()
    transport.refusals = [ConnectionResetError("gone")]
    async with GraphqlWsClient(transport, retry=retry) as client:
        with pytest.raises(error, match=text):
            await client.query("{ a }")


@pytest.mark.parametrize("url", [NOWHERE, "http://127.0.0.1:9/"])
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"headers": lambda: None}, "headers must be a mapping of names to texts, not None"),
        ({"headers": {"X": 1}}, "The header 'X' must be text, not a value of the type 'int'"),
        ({"cookies": lambda: "a"}, "cookies must be a mapping of names to texts"),
    ],
)
async def test_what_a_function_returns_is_refused_before_it_is_sent(url, options, text):
    async with GraphqlWsClient(url, retry=NEVER, **options) as client:
        with pytest.raises(TypeError, match=text):
            await client.query("{ a }")


@pytest.mark.parametrize("transport", [lambda: None, GraphqlHttpTransport(lambda: None)])
async def test_a_url_that_is_none_is_refused(transport):
    async with GraphqlWsClient(transport, retry=NEVER) as client:
        with pytest.raises(TypeError, match="The function for the URL must return text, not None"):
            await client.query("{ a }")


async def test_connection_params_that_are_no_object_are_refused_and_not_shown():
    client = GraphqlWsClient(acknowledging(), retry=NEVER, connection_params=lambda: "secret")
    async with client:
        with pytest.raises(TypeError, match="connection_params must be a mapping") as caught:
            await client.query("{ a }")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"variables": [1]}, "variables must be a mapping such as a dict"),
        ({"extensions": [1]}, "extensions must be a mapping such as a dict"),
        ({"timeout": "3"}, "timeout must be seconds, or None, not '3'"),
    ],
)
async def test_arguments_of_a_query_are_refused(arguments, text):
    async with GraphqlWsClient(acknowledging()) as client:
        with pytest.raises(TypeError, match=text):
            await client.query("{ a }", **arguments)


async def test_a_subscription_needs_a_queue():
    async with GraphqlWsClient(acknowledging()) as client:
        with pytest.raises(ValueError, match="queue_limit must be 1 or more, not 0"):
            client.subscription("subscription { a }", queue_limit=0)


def test_a_with_without_async_says_what_to_write():
    client: Any = GraphqlWsClient(NOWHERE)
    with pytest.raises(TypeError, match="`async with GraphqlWsClient"), client:
        pass


async def test_an_async_with_too_many_says_what_to_write():
    client: Any = GraphqlWsClientSync(NOWHERE)
    with pytest.raises(TypeError, match="`with GraphqlWsClientSync"):
        async with client:
            pass


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("conection_params", "did you mean `connection_params`?"),
        ("init_payload", "did you mean `connection_params`?"),
        ("token", "did you mean `headers={'Authorization': …}` or `connection_params="),
        ("reconnecting", "did you mean `retry=Retry(…)`?"),
        ("colour", "it takes transport, subprotocol, connection_params"),
    ],
)
@pytest.mark.parametrize("cls", [GraphqlWsClient, GraphqlWsClientSync])
def test_an_option_that_does_not_exist_says_which_one_may_be_meant(cls, name, hint):
    with pytest.raises(TypeError, match=re.escape(hint)) as caught:
        cls(NOWHERE, **{name: "x"})
    assert f"GraphqlWsClient() has no argument {name!r}" in str(caught.value)


@pytest.mark.parametrize("call", ["query", "result", "execute", "subscribe", "subscription"])
def test_variables_by_name_are_told_to_be_one_dict(call):
    method: Any = getattr(GraphqlWsClient(NOWHERE), call)
    with pytest.raises(TypeError, match=re.escape("one dict, `variables={'room': …}`")):
        method("{ a }", room="tea")
    with pytest.raises(TypeError, match="did you mean `variables`"):
        method("{ a }", variable_values={})
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        method()

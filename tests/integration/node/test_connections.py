"""How clients of npm take what our server does with their connections."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import graphene
import pytest

from channels_graphql_ws import GraphqlWsConsumer, Subscription

pytestmark = pytest.mark.node


class OnTick(Subscription):
    """A clock whose hand is moved by the tests."""

    number = graphene.Int(required=True)

    @staticmethod
    def publish(payload: int, _info: graphene.ResolveInfo) -> OnTick:
        return OnTick(number=payload)


class Query(graphene.ObjectType):
    hello = graphene.String(required=True)

    @staticmethod
    def resolve_hello(_root: None, info: graphene.ResolveInfo) -> str:
        return f"Hello, {info.context.connection_params.get('token', 'stranger')}"


class Root(graphene.ObjectType):
    on_tick = OnTick.Field(required=True)


SCHEMA = graphene.Schema(query=Query, subscription=Root)


class Consumer(GraphqlWsConsumer):
    schema = SCHEMA
    confirm_subscriptions = True

    async def on_connect(self, payload: Any) -> Mapping[str, Any]:
        return {"welcome": payload}


class Bouncer(Consumer):
    async def on_connect(self, payload: Any) -> Mapping[str, Any]:
        raise PermissionError("not tonight")


class Impatient(Consumer):
    connection_init_wait_timeout = 0.05


class Pinging(Consumer):
    send_ping_every = 0.02


class Strict(Pinging):
    pong_timeout = 0.05


@pytest.fixture
def report(serve, start_node):
    """Let a client talk to a consumer; return what it reports until it ends."""

    async def report(consumer: type[GraphqlWsConsumer], scenario: str) -> list[Any]:
        async with serve(consumer.as_asgi()) as port:
            process = await start_node("reports.mjs", scenario, f"ws://127.0.0.1:{port}/")
            lines: list[Any] = await process.lines()
            return lines

    return report


async def test_the_payload_of_the_acknowledgement_arrives(report):
    assert await report(Consumer, "acknowledged") == [
        {"acknowledged": {"welcome": {"token": "of Owl"}}},
        {"data": {"hello": "Hello, of Owl"}},
        {"closed": 1000, "reason": "Normal Closure"},
    ]


OTHER_DIALECT = (
    "Unknown message type 'start': it belongs to the subprotocol 'graphql-ws', this is "
    "'graphql-transport-ws'"
)


@pytest.mark.parametrize(
    ("fault", "code", "reason"),
    [
        ("a message that is none", 4400, "Message must be a JSON object"),
        ("an unknown type", 4400, OTHER_DIALECT),
        ("a subscribe before the init", 4401, "Unauthorized"),
        ("an id that is in use", 4409, "Subscriber for same already exists"),
        ("a second init", 4429, "Too many initialisation requests"),
    ],
)
async def test_a_client_which_breaks_the_rules_gives_up_at_once(report, fault, code, reason):
    assert await report(Consumer, fault) == [
        {"closed": code, "reason": reason},
        {"gave up": code},
    ]


@pytest.mark.parametrize(
    ("consumer", "scenario", "code", "reason"),
    [
        (Bouncer, "refused", 4403, "Forbidden"),
        (Impatient, "no init", 4408, "Connection initialisation timeout"),
        (Strict, "no pong", 4408, "Pong timeout"),
    ],
)
async def test_a_client_which_may_have_better_luck_next_time_tries_again(
    report, consumer, scenario, code, reason
):
    closed = {"closed": code, "reason": reason}
    assert await report(consumer, scenario) == [closed, closed, {"gave up": code}]


async def test_pings_are_answered_in_both_directions(report):
    assert await report(Pinging, "pings") == [
        {"data": {"hello": "Hello, stranger"}},
        {"closed": 1000, "reason": "Normal Closure"},
    ]


async def test_after_a_restart_the_client_comes_back_and_hears_what_is_new(serve, start_node):
    async with AsyncExitStack() as first_life:
        port = await first_life.enter_async_context(serve(Consumer.as_asgi()))
        client = await start_node("reports.mjs", "restart", f"ws://127.0.0.1:{port}/")
        assert await client.line() == {"connected": ""}
        assert await client.line() == {"data": None}
        await OnTick.broadcast(payload=1)
        assert await client.line() == {"data": {"onTick": {"number": 1}}}
    assert (await client.line())["closed"] == 1012
    async with serve(Consumer.as_asgi(), port):
        client.go_on()
        assert await client.line() == {"connected": "again"}
        assert await client.line() == {"data": None}
        await OnTick.broadcast(payload=2)
        assert await client.line() == {"data": {"onTick": {"number": 2}}}
        assert await client.lines() == [{"closed": 1000, "reason": "Normal Closure"}]


async def test_the_legacy_client_is_kept_alive_while_nothing_else_is_said(report):
    result, words, last = await report(Pinging, "legacy keep-alive")
    assert result == {"data": {"hello": "Hello, stranger"}}
    first, second, *kept_alive = words[:6]
    assert (first, second) == (["client", "connection_init"], ["server", "connection_ack"])
    assert kept_alive == [["server", "ka"]] * 4
    assert last == "disconnected"


async def test_the_legacy_client_is_told_why_it_is_refused(report):
    told, closed = await report(Bouncer, "legacy refusal")
    assert told["error"]["message"] == "PermissionError: not tonight"
    assert closed == {"closed": 4000}

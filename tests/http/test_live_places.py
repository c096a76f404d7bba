"""Live subscriptions are counted by user and by address, over all their event streams."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from types import SimpleNamespace
from typing import Any

import pytest

import http_schema
from channels_graphql_ws.http.consumer import GraphqlHttpConsumer
from http_client import EVENTS, RESPONSE, Exchange, Gate, ask, exchange, post, posted
from support import wait_until

FOREVER = 'subscription { onEvent(group: "a") { event } }'
SLOW = 'subscription { onSlow(group: "slow") { event } }'
ADA = SimpleNamespace(is_authenticated=True, pk=7)
CAROL = SimpleNamespace(is_authenticated=True, pk=8)
TOKEN = "X-GraphQL-Event-Stream-Token"  # noqa: S105 (its name)
OF_USER, OF_ADDRESS = "max_subscriptions_per_user", "max_subscriptions_per_address"

OWNERS = pytest.mark.parametrize(
    ("option", "scope", "other"),
    [
        (OF_USER, {"user": ADA}, {"user": CAROL}),
        (OF_ADDRESS, {"client": ("8.8.8.8", 1)}, {"client": ("8.8.4.4", 1)}),
    ],
)


def consumer(**options: Any) -> Any:
    options.setdefault("confirm_subscriptions", True)
    return GraphqlHttpConsumer.as_asgi(schema=http_schema.schema, **options)


async def opened(stack: AsyncExitStack, application: Any, scope: Any, **content: Any) -> Exchange:
    body, headers = posted({"query": FOREVER, **content}, EVENTS)
    one = await stack.enter_async_context(exchange(application, headers=headers, **scope))
    await one.send(body)
    await one.start()
    return one


def extensions(option: str) -> dict[str, Any]:
    return {"code": "LIMIT_EXCEEDED", "limit": option, "allowed": 1}


@OWNERS
async def test_one_stream_with_a_subscription_too_many_is_refused(
    option: str, scope: Any, other: Any
) -> None:
    application = consumer(**{option: 1})
    async with AsyncExitStack() as stack:
        first = await opened(stack, application, scope)
        refused = await opened(stack, application, scope)
        assert refused.status == 429
        (error,) = json.loads(await refused.rest())["errors"]
        assert error["extensions"] == extensions(option)
        assert option in error["message"]
        assert (await opened(stack, application, other)).status == 200
        # Queries are not counted, streamed or not.
        for accept in (EVENTS, RESPONSE):
            answer = await post(application, {"query": "{ hello }"}, accept=accept, **scope)
            assert answer.status == 200
        await first.leave()
        assert (await opened(stack, application, scope)).status == 200


async def test_a_browser_that_asks_by_get_is_refused_by_a_status_as_well() -> None:
    application = consumer(**{OF_USER: 0})
    path, headers = f"/graphql/?query={FOREVER}", {"Accept": EVENTS}
    answer = await ask(application, "GET", path, headers=headers, user=ADA)
    (error,) = answer.json["errors"]
    assert (answer.status, error["extensions"]["limit"]) == (429, OF_USER)


async def test_who_is_not_known_is_not_counted() -> None:
    application = consumer(**{OF_USER: 1, OF_ADDRESS: 1})
    async with AsyncExitStack() as stack:
        for _ in range(3):
            assert (await opened(stack, application, {"client": ("10.0.0.1", 1)})).status == 200


async def test_a_subscription_that_comes_to_its_end_frees_its_place() -> None:
    application = consumer(**{OF_USER: 1})
    for _ in range(3):
        content = {"query": "subscription { count(to: 2) }"}
        answer = await post(application, content, accept=EVENTS, user=ADA)
        assert (answer.status, answer.body.count(b"event: next")) == (200, 3)


async def test_what_is_not_served_takes_no_place() -> None:
    application = consumer(**{OF_USER: 1})
    for _ in range(3):
        assert (await post(application, {"query": FOREVER}, user=ADA)).status == 406
    async with AsyncExitStack() as stack:
        assert (await opened(stack, application, {"user": ADA})).status == 200


async def added(application: Any, token: str, id: str, query: str, scope: Any) -> None:
    content = {"query": query, "extensions": {"operationId": id}}
    assert (await post(application, content, headers={TOKEN: token}, **scope)).status == 202


@OWNERS
async def test_subscriptions_on_a_reserved_stream_count_as_well(
    option: str, scope: Any, other: Any
) -> None:
    application = consumer(single_connection_enabled=True, **{option: 1})
    http_schema.gates["unsubscribed"] = gate = Gate()
    token = (await ask(application, "PUT", headers={"Accept": EVENTS}, **scope)).body.decode()
    headers = {TOKEN: token, "Accept": EVENTS}
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(
            exchange(application, "GET", headers=headers, **scope)
        )
        await one.send()
        await one.start()
        await added(application, token, "slow", SLOW, scope)
        await one.until(b'"slow"')
        assert (await opened(stack, application, scope)).status == 429
        # What is refused is told on the stream, and others are not disturbed.
        await added(application, token, "refused", FOREVER, scope)
        told = (await one.until(b'event: complete\ndata: {"id":"refused"}')).decode()
        assert f'"limit":"{option}"' in told
        assert (await opened(stack, application, other)).status == 200

        # At once, though `unsubscribed` takes its time.
        path = "/graphql/?operationId=slow"
        stopping = await stack.enter_async_context(
            exchange(application, "DELETE", path, headers={TOKEN: token}, **scope)
        )
        await stopping.send()
        await wait_until(gate.entered.is_set)
        third = await opened(stack, application, scope)
        assert third.status == 200
        gate.opened.set()
        assert (await stopping.answer()).status == 200
        await third.leave()

        await added(application, token, "counted", "subscription { count(to: 1) }", scope)
        await one.until(b'event: complete\ndata: {"id":"counted"}')
        await added(application, token, "last", FOREVER, scope)
        await one.until(b'"last"')
        await one.leave()
        assert (await opened(stack, application, scope)).status == 200


async def test_there_may_be_any_number_where_that_is_wanted() -> None:
    assert GraphqlHttpConsumer.max_subscriptions_per_address == 5_000
    off = {"max_event_streams_per_user": None}
    async with AsyncExitStack() as stack:
        for options in ({OF_USER: None}, {"safety": "compatible"}):
            application = consumer(**off, **options)
            for _ in range(3):
                assert (await opened(stack, application, {"user": ADA})).status == 200
        # What is not limited does not count for what is.
        limited = consumer(**off, **{OF_USER: 1})
        assert (await opened(stack, limited, {"user": ADA})).status == 200
        assert (await opened(stack, limited, {"user": ADA})).status == 429

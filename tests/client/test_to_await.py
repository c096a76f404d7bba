"""Coroutines of the client that are used like iterators say what to write."""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any
from unittest import mock

import pytest

from channels_graphql_ws import GraphqlWsClient, GraphqlWsClientSync
from channels_graphql_ws import testing as kit
from channels_graphql_ws.client.to_await import ToAwait
from scripted_transport import NEW, SAME_ID, acknowledging, result
from support import tick

EVENTS = re.escape("`async for event in client.subscription(…)`")

CALLS = {
    "subscribe": "subscription { a }",
    "execute": "{ a }",
    "query": "{ a }",
    "result": "{ a }",
}


def called(name: str) -> Any:
    client: Any = GraphqlWsClient(acknowledging())
    return getattr(client, name)(CALLS[name])


@pytest.mark.parametrize("name", CALLS)
async def test_async_for_over_a_coroutine_of_the_client_says_what_to_write(name):
    with pytest.raises(TypeError, match=EVENTS):
        async for _ in called(name):
            pass
    with pytest.raises(TypeError, match=EVENTS):
        async with called(name):
            pass


@pytest.mark.parametrize("name", CALLS)
def test_for_and_with_over_a_coroutine_of_the_client_say_what_to_write(name):
    with pytest.raises(TypeError, match=EVENTS):
        list(called(name))
    with pytest.raises(TypeError, match=EVENTS), called(name):
        pass


async def test_subscribe_of_the_test_client_says_what_to_write_too():
    client: Any = kit.GraphqlWsClient(acknowledging())
    with pytest.raises(TypeError, match=EVENTS):
        async for _ in client.subscribe("subscription { a }"):
            pass


async def test_such_a_coroutine_may_be_a_task_and_is_named_by_its_method():
    transport = acknowledging()
    answer, end = result(NEW, SAME_ID, data={"a": 1}), {"type": "complete", "id": SAME_ID}
    transport.answer("subscribe", answer, end)
    async with GraphqlWsClient(transport) as client:
        task = asyncio.create_task(client.query("{ a }"))
        assert "GraphqlWsClient.query()" in repr(task)
        assert await task == {"a": 1}
        assert await client.query("{ a }") == {"a": 1}


@pytest.mark.parametrize("name", CALLS)
def test_its_methods_are_coroutine_functions_for_mocks(name):
    mocked = getattr(mock.MagicMock(spec=GraphqlWsClient), name)
    assert isinstance(mocked, mock.AsyncMock)


def test_it_is_a_coroutine_in_all_that_coroutines_do():
    async def ask() -> Any:
        with contextlib.suppress(KeyError):
            await tick()
        return "answered"

    working = ToAwait(ask(), "")
    assert working.send(None) is None
    with pytest.raises(StopIteration, match="answered"):
        working.throw(KeyError())
    working.close()


async def test_events_that_are_awaited_or_iterated_over_without_async_say_what_to_write():
    client: Any = GraphqlWsClient(acknowledging())
    events = client.subscription("subscription { a }")
    with pytest.raises(TypeError, match=EVENTS):
        await events
    with pytest.raises(TypeError, match="of a `GraphqlWsClientSync`"):
        list(events)
    with pytest.raises(TypeError, match=EVENTS), events:
        pass


async def test_events_of_a_plain_client_in_an_async_for_say_what_to_write():
    client: Any = GraphqlWsClientSync(acknowledging())
    events = client.subscription("subscription { a }")
    with pytest.raises(TypeError, match="Write `for event in client"):
        async for _ in events:
            pass
    with pytest.raises(TypeError, match="Write `for event in client"):
        await events
    with pytest.raises(TypeError, match="Write `for event in client"):
        async with events:
            pass

"""A client belongs to the event loop on which it was opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from channels_graphql_ws.client import NEVER, GraphqlWsClient
from channels_graphql_ws.client.home_loop import HomeLoop
from channels_graphql_ws.exceptions import GraphqlWsClientError
from scripted_transport import NEW, SAME_ID, ScriptedTransport, acknowledging, result

ON_A = "subscription OnA { a }"
CURE = "and works on that one only: open it with `async with`"


@pytest.fixture
def transport() -> ScriptedTransport:
    transport = acknowledging()
    answers = result(NEW, SAME_ID, data={"a": 1}), {"type": "complete", "id": SAME_ID}
    transport.answer("subscribe", *answers)
    return transport


@pytest.fixture
def one() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        yield runner


@pytest.fixture
def other() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        yield runner


async def first_event(client: GraphqlWsClient) -> Any:
    return await anext(client.subscription(ON_A))


CALLS: list[Callable[[GraphqlWsClient], Any]] = [
    lambda client: client.query("{ a }"),
    lambda client: client.execute("{ a }"),
    lambda client: client.receive(),
    lambda client: client.finalize(),
    first_event,
]


@pytest.mark.parametrize("call", CALLS)
def test_a_client_that_is_entered_on_another_loop_says_so_and_lives_on(
    transport, one, other, call
):
    client = GraphqlWsClient(transport, retry=NEVER)
    one.run(client.__aenter__())
    one.run(client.query("{ a }"))
    with pytest.raises(GraphqlWsClientError, match=f"opened on another event loop, {CURE}"):
        other.run(call(client))
    one.run(client.__aenter__())
    assert one.run(client.query("{ a }")) == {"a": 1}
    one.run(client.finalize())


@pytest.mark.parametrize("call", CALLS)
def test_a_connection_that_was_opened_on_another_loop_says_so_and_lives_on(
    transport, one, other, call
):
    client = GraphqlWsClient(transport)
    one.run(client.connect_and_init())
    with pytest.raises(GraphqlWsClientError, match=f"opened on another event loop, {CURE}"):
        other.run(call(client))
    assert one.run(client.execute("{ a }")) == {"data": {"a": 1}}
    one.run(client.finalize())


def test_a_subscription_goes_on_where_it_has_begun_only(transport, one, other):
    transport.answer("subscribe", result(NEW, SAME_ID, data={"a": 1}))
    client = GraphqlWsClient(transport, retry=NEVER)
    events = client.subscription(ON_A)
    assert one.run(anext(events))["a"] == 1
    with pytest.raises(GraphqlWsClientError, match="opened on another event loop"):
        other.run(anext(events))
    # The server is not told from there.
    other.run(events.aclose())
    assert transport.sent_of("complete") == []
    one.run(client.finalize())


def test_a_client_that_one_run_has_left_open_connects_again_in_the_next(transport):
    client = GraphqlWsClient(transport, retry=NEVER)
    for _ in range(2):
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            assert runner.run(client.query("{ a }")) == {"a": 1}
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(client.finalize())
    assert (transport.connects, transport.disconnects) == (2, 2)


async def test_a_loop_that_has_been_closed_is_called_so():
    home = HomeLoop()

    async def settle() -> None:
        home.settle()

    def run() -> None:
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            runner.run(settle())

    await asyncio.to_thread(run)
    with pytest.raises(GraphqlWsClientError, match=f"event loop that has been closed, {CURE}"):
        home.check()

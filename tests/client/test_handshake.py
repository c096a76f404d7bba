"""Time limits, and values that may be functions."""

from __future__ import annotations

import math

import pytest

from channels_graphql_ws.client.errors import GraphqlWsTimeoutError
from channels_graphql_ws.client.handshake import not_open, time_limit
from support import tick


async def test_a_limit_that_is_reached_says_for_what():
    with pytest.raises(GraphqlWsTimeoutError, match=r"Waited 0 s for tea\. Boil water"):
        async with time_limit(0, "tea", "Boil water"):
            await tick(5)


async def test_a_timeout_inside_that_says_something_is_kept():
    with pytest.raises(TimeoutError, match="said inside") as caught:
        async with time_limit(20, "tea"):
            raise TimeoutError("said inside")
    assert not isinstance(caught.value, GraphqlWsTimeoutError)


async def test_a_timeout_inside_that_says_nothing_gets_a_text():
    with pytest.raises(GraphqlWsTimeoutError, match="Waited 20 s for tea"):
        async with time_limit(20, "tea"):
            raise TimeoutError


async def test_an_endless_limit_is_none():
    async with time_limit(math.inf, "tea"):
        await tick()


def test_what_to_look_at_when_nothing_answers_depends_on_the_url():
    assert not_open("ws://x/").endswith("does the server run?")
    assert not_open("wss://x/").endswith("Without, the URL begins with ws://")

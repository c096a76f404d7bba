"""Functions for the URL, headers, cookies and connection_params, and what they raise."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from channels_graphql_ws import GraphqlWsClient
from channels_graphql_ws.client import Retry
from channels_graphql_ws.client.asked import Asked, comes_from_working_function
from scripted_transport import acknowledging
from support import tick, wait_until


async def test_a_value_may_come_from_a_function_or_a_coroutine_function():
    async def later() -> str:
        await tick()
        return "c"

    given: list[Any] = ["a", lambda: "b", later]
    assert [await Asked("url", each).value() for each in given] == ["a", "b", "c"]


def raising(*answers: Any) -> Any:
    left: Iterator[Any] = iter(answers)

    def answer() -> Any:
        value = next(left)
        if isinstance(value, Exception):
            raise value
        return value

    return answer


async def test_an_error_says_which_function_has_raised_it_and_whether_that_had_worked():
    broken = KeyError("token")
    asked: Asked[Any] = Asked("headers", raising(broken, broken, {}, broken))
    for _ in range(2):
        with pytest.raises(KeyError):
            await asked.value()
    assert not comes_from_working_function(broken)
    assert await asked.value() == {}
    with pytest.raises(KeyError):
        await asked.value()
    assert comes_from_working_function(broken)
    name = "It was raised by the function for `headers` of the client"
    assert broken.__notes__ == [name, f"{name}, which has worked before, and is asked again"]


async def test_a_function_that_has_worked_may_fail_in_any_way_and_is_asked_again(caplog):
    transport = acknowledging()
    params = raising(
        {"token": "old"}, KeyError("access_token"), ValueError("no JSON"), {"t": "new"}
    )
    retry = Retry(wait=lambda _: 0)
    async with GraphqlWsClient(transport, connection_params=params, retry=retry) as client:
        await client.connect_and_init()
        events = client.subscription("subscription { a }")
        async with events:
            transport.drop(1006)
            await wait_until(lambda: len(transport.sent_of("connection_init")) == 2)
    assert transport.sent_of("connection_init")[1]["payload"] == {"t": "new"}
    assert "KeyError: 'access_token'. It was raised by the function for `connection_params`" in (
        caplog.text
    )


async def test_a_function_that_has_never_worked_ends_the_client_with_its_own_error():
    params = raising(KeyError("token"))
    async with GraphqlWsClient(acknowledging(), connection_params=params) as client:
        with pytest.raises(KeyError, match="token"):
            await client.query("{ a }")

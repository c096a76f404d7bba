"""Operations: what comes at a moment that the calls of the client rarely meet."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from channels_graphql_ws.client.operations import (
    Gap,
    LiveSubscription,
    OperationRequest,
    SingleResult,
)


def request(document: str = "{ a }") -> OperationRequest:
    return OperationRequest.build(document, None)


async def test_an_answer_after_the_wait_for_it_has_ended_is_nothing_new():
    answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    operation = SingleResult("1", request(), answer, replayable=True)
    operation.fail(TimeoutError("too late"))
    assert operation.next({"payload": {"data": 1}})
    operation.complete()
    with pytest.raises(TimeoutError, match="too late"):
        await answer


async def test_of_two_gaps_of_which_one_is_unknown_nobody_knows_the_size():
    live = LiveSubscription("1", request("subscription { a }"), limit=1)
    live.sent_on = object()
    live.payload()
    for number in range(3):
        live.next({"payload": {"data": number}})
    event = live.take_now()
    assert event is not None
    assert (event.data, event.gap) == (2, Gap(None, "reconnected"))


def test_only_the_first_end_of_a_subscription_counts():
    live = LiveSubscription("1", request("subscription { a }"), limit=1)
    live.fail(KeyError("first"))
    live.complete()
    assert isinstance(live._end, KeyError)

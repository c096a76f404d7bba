"""Whatever goes wrong, each operation ends with a named error or goes on, and nothing is left."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from channels_graphql_ws.client import (
    GraphqlWsClient,
    GraphqlWsClientError,
    Retry,
)
from chaos import ABOVE, BELOW, Fault, chaos
from idle_clock import run_on_idle_clock
from support import GUARD, leftover_tasks, tick, wait_until

EVENTS = 12

FATAL = 1002, 1007, 1009, 4400, 4401
PASSING = 1000, 1001, 1012, 1013, 4012, 4403, 4408

faults = st.one_of(
    st.builds(Fault, st.just("refuse")),
    st.builds(Fault, st.just("status"), st.just(0), st.sampled_from([401, 403, 429, 502])),
    st.builds(Fault, st.just("close"), st.integers(0, 8), st.sampled_from(PASSING + FATAL)),
    st.builds(Fault, st.sampled_from(BELOW[2:]), st.integers(0, 1500), st.integers(0, 255)),
    st.builds(Fault, st.sampled_from(ABOVE), st.integers(0, 8), st.integers(0, 3)),
)


class Outcome:
    """What a client has received, and how its operations have ended."""

    def __init__(self) -> None:
        self.is_confirmed = False
        self.events: list[int] = []
        self.gaps: list[str] = []
        self.end: Exception | None = None
        self.answers: list[Any] = []


async def live_through(plan_of_faults: list[Fault]) -> Outcome:
    """Subscribe and ask, while events are published and connections go wrong."""
    known = asyncio.all_tasks()
    outcome = Outcome()
    async with (
        asyncio.timeout(GUARD),
        chaos(plan_of_faults) as (server, url),
        GraphqlWsClient(
            url,
            retry=Retry(wait=lambda _: 0),
            connect_timeout=0.3,
            ack_timeout=0.3,
            keep_alive=0.02,
            pong_timeout=0.1,
        ) as client,
    ):
        listening = asyncio.create_task(listen(client, outcome))
        asking = asyncio.create_task(ask(client, outcome))
        await wait_until(lambda: outcome.is_confirmed or listening.done())
        for number in range(EVENTS):
            server.publish(number)
            await tick(5)
        await asking
        await wait_until(lambda: len(outcome.events) == EVENTS or listening.done())
        listening.cancel()
        await asyncio.wait([listening])
    assert await leftover_tasks(known) == set()
    return outcome


async def listen(client: GraphqlWsClient, outcome: Outcome) -> None:
    try:
        async with client.subscription("subscription { n }", wait_confirmation=True) as events:
            outcome.is_confirmed = True
            async for event in events:
                outcome.events.append(event["n"])
                if event.gap is not None:
                    outcome.gaps.append(event.gap.reason)
    except GraphqlWsClientError as error:
        outcome.end = error


async def ask(client: GraphqlWsClient, outcome: Outcome) -> None:
    for number in range(4):
        document = f"{'mutation' if number % 2 else 'query'} Q{number} {{ a }}"
        try:
            outcome.answers.append((await client.query(document, timeout=GUARD), document))
        except GraphqlWsClientError as error:
            outcome.answers.append(error)
        await tick(3)


def check(outcome: Outcome) -> None:
    """See that nothing was lost, doubled or mixed up, and that each error says something."""
    assert outcome.events == list(range(len(outcome.events)))
    assert outcome.gaps == []
    if outcome.end is None:
        assert len(outcome.events) == EVENTS
    else:
        assert str(outcome.end)
    for answer in outcome.answers:
        if isinstance(answer, Exception):
            assert str(answer)
            assert not isinstance(answer, TimeoutError)
        else:
            received, document = answer
            assert received == document


# A failing example may take seconds, and is small as it is.
@settings(
    max_examples=int(os.environ.get("CHANNELS_GRAPHQL_WS_TEST_CHAOS", "40")),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(st.lists(faults, max_size=4))
def test_each_operation_ends_with_a_named_error_or_goes_on(plan_of_faults):
    check(run_on_idle_clock(live_through(plan_of_faults)))

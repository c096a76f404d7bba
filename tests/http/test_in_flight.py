"""Large requests of one client that wait for their resolvers: there are few at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

import http_schema
from channels_graphql_ws import GraphqlHttpConsumer
from channels_graphql_ws.http import in_flight
from http_client import EVENTS, Answer, Gate, ask, exchange, multipart, posted

PUBLIC, OTHER = ("8.8.8.8", 1), ("8.8.4.4", 1)

CONTENT = {
    "query": "query ($gate: String!) { wait(gate: $gate) }",
    "variables": {"gate": "g", "more": [{}] * 2_000},
}

ANSWER = {"data": {"wait": "g"}}


def in_a_form() -> tuple[bytes, dict[str, str]]:
    return multipart([("operations", None, json.dumps(CONTENT).encode()), ("map", None, b"{}")])


async def send(
    message: tuple[bytes, dict[str, str]], client: tuple[str, int] | None = PUBLIC
) -> Answer:
    body, headers = message
    application = GraphqlHttpConsumer.as_asgi(
        schema=http_schema.schema, multipart_uploads_enabled=True, max_batch_size=2
    )
    return await ask(application, headers=headers, body=body, client=client)


@pytest.fixture(autouse=True)
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Have room for one of the messages, and for no second."""
    monkeypatch.setattr(in_flight, "MOST_BYTES", 500_000)
    monkeypatch.setitem(http_schema.gates, "g", Gate())
    yield http_schema.gates["g"]
    assert not in_flight._in_flight


MESSAGES = {
    "JSON": lambda: posted(CONTENT),
    "a form": in_a_form,
    "a batch": lambda: posted([CONTENT]),
    "an event stream": lambda: posted(CONTENT, accept=EVENTS),
}


@pytest.mark.parametrize("kind", MESSAGES)
async def test_the_next_large_one_is_told_to_come_again(kind: str, gate: Gate) -> None:
    first = asyncio.create_task(send(MESSAGES[kind]()))
    await gate.entered.wait()
    refused = await send(posted(CONTENT))
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert "large requests" in refused.json["errors"][0]["message"]
    gate.opened.set()
    await first
    assert (await send(posted(CONTENT))).json == ANSWER


async def test_small_ones_and_those_of_others_are_answered(gate: Gate) -> None:
    first = asyncio.create_task(send(posted(CONTENT)))
    await gate.entered.wait()
    small = posted({"query": "{ hello }"})
    assert (await send(small)).status == 200
    gate.opened.set()
    for client in (OTHER, None, None):
        assert (await send(posted(CONTENT), client)).json == ANSWER
    await first


async def test_what_is_no_request_is_counted_no_more() -> None:
    for _ in range(2):
        answer = await send((b"[" * 20_000, posted({})[1] | {"Content-Length": "20000"}))
        assert answer.status == 400
    await send(posted({**CONTENT, "query": "{ no"}))


async def test_a_client_that_leaves_has_nothing_in_flight(gate: Gate) -> None:
    body, headers = posted(CONTENT)
    application: Any = GraphqlHttpConsumer.as_asgi(schema=http_schema.schema)
    async with exchange(application, headers=headers, client=PUBLIC) as first:
        await first.send(body)
        await gate.entered.wait()
        await first.leave()
    gate.opened.set()
    assert (await send(posted(CONTENT))).json == ANSWER


async def test_as_many_as_have_room_wait_at_a_time(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_flight, "MOST_BYTES", 1_200_000)
    first = asyncio.create_task(send(posted(CONTENT)))
    await gate.entered.wait()
    gate.entered.clear()
    second = asyncio.create_task(send(posted(CONTENT)))
    await gate.entered.wait()
    assert (await send(posted(CONTENT))).status == 503
    gate.opened.set()
    assert [each.json for each in await asyncio.gather(first, second)] == [ANSWER, ANSWER]

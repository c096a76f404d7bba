"""Large requests of one client that wait for their resolvers: there are few at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest

import http_schema
from channels_graphql_ws import GraphqlHttpConsumer
from channels_graphql_ws.http import in_flight
from channels_graphql_ws.http.in_flight import HeldMessage
from channels_graphql_ws.http.request import TOKEN_HEADER, HttpRequest
from channels_graphql_ws.operations import holding
from channels_graphql_ws.operations.sizes import FEW_CONTAINERS
from http_client import (
    EVENTS,
    Answer,
    Gate,
    ask,
    exchange,
    multipart,
    posted,
    scope_of,
)

PUBLIC, OTHER = ("8.8.8.8", 1), ("8.8.4.4", 1)

CONTENT = {
    "query": "query ($gate: String!) { wait(gate: $gate) }",
    "variables": {"gate": "g", "more": [{}] * 2_000},
}

ANSWER = {"data": {"wait": "g"}}


def in_a_form(content: object = CONTENT) -> tuple[bytes, dict[str, str]]:
    return multipart([("operations", None, json.dumps(content).encode()), ("map", None, b"{}")])


def consumer(**options: Any) -> Any:
    return GraphqlHttpConsumer.as_asgi(
        schema=http_schema.schema,
        multipart_uploads_enabled=True,
        single_connection_enabled=True,
        max_batch_size=2,
        **options,
    )


async def send(
    message: tuple[bytes, dict[str, str]],
    client: tuple[str, int] | None = PUBLIC,
    **options: Any,
) -> Answer:
    body, headers = message
    return await ask(consumer(**options), headers=headers, body=body, client=client)


async def get(
    content: dict[str, Any], client: tuple[str, int] | None = PUBLIC, **options: Any
) -> Answer:
    parameters = {**content, "variables": json.dumps(content["variables"])}
    path = f"/graphql/?{urlencode(parameters)}"
    return await ask(consumer(**options), "GET", path, client=client)


@pytest.fixture(autouse=True)
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Have room for one of the messages, and for no second."""
    monkeypatch.setattr(in_flight, "MOST_BYTES", 500_000)
    monkeypatch.setattr(holding, "SHARE", 1_000)
    monkeypatch.setitem(http_schema.gates, "g", Gate())
    yield http_schema.gates["g"]
    assert not holding._sizes
    assert not holding._documents


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


async def test_a_query_string_is_a_message_too(gate: Gate) -> None:
    first = asyncio.create_task(get(CONTENT))
    await gate.entered.wait()
    refused = await get(CONTENT)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert (await get({"query": "{ hello }", "variables": {}})).status == 200
    gate.opened.set()
    assert (await first).json == ANSWER


async def reserved() -> dict[str, str]:
    """Reserve a stream, and return the header with its token."""
    answer = await ask(consumer(), "PUT", client=PUBLIC)
    return {TOKEN_HEADER: answer.body.decode()}


async def add(token: dict[str, str], id: str, query: str = CONTENT["query"]) -> Answer:
    content = {**CONTENT, "query": query, "extensions": {"operationId": id}}
    return await send(posted(content, headers=token))


@pytest.mark.parametrize("end", ["its result", "the client stops it", "the stream ends"])
async def test_what_is_on_a_reserved_stream_is_held_until_it_ends(end: str, gate: Gate) -> None:
    token = await reserved()
    async with exchange(
        consumer(), "GET", headers={**token, "Accept": EVENTS}, client=PUBLIC
    ) as stream:
        await stream.send()
        await stream.start()
        assert (await add(token, "1")).status == 202
        await gate.entered.wait()
        for refused in (await add(token, "2"), await send(posted(CONTENT))):
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert "still under way" in refused.json["errors"][0]["message"]
        match end:
            case "its result":
                gate.opened.set()
                await stream.until(b"event: complete")
            case "the client stops it":
                await ask(consumer(), "DELETE", "/graphql/?operationId=1", headers=token)
            case _:
                await stream.leave()
        gate.opened.set()
        assert (await send(posted(CONTENT))).json == ANSWER


async def test_what_a_reserved_stream_does_not_take_is_held_no_more(gate: Gate) -> None:
    token = await reserved()
    async with exchange(
        consumer(), "GET", headers={**token, "Accept": EVENTS}, client=PUBLIC
    ) as stream:
        await stream.send()
        await stream.start()
        small = {"query": "subscription { forever }", "extensions": {"operationId": "1"}}
        assert (await send(posted(small, headers=token))).status == 202
        for _ in range(2):
            assert (await add(token, "1")).status == 409
        assert (await add(token, "2", "{ hello }")).status == 202
        await stream.until(b"world")
        await stream.leave()


async def test_clients_that_nobody_knows_have_a_share_in_common(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "MOST_OF_UNKNOWN", 500_000)
    first = asyncio.create_task(send(posted(CONTENT), None))
    await gate.entered.wait()
    refused = await send(posted(CONTENT), ("127.0.0.1", 1))
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    gate.opened.set()
    assert (await send(posted(CONTENT))).json == ANSWER
    assert (await first).json == ANSWER


async def test_all_clients_together_have_so_much_and_each_a_little_more(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "MOST_OF_ALL", 500_000)
    monkeypatch.setattr(holding, "SHARE", 400_000)
    first = asyncio.create_task(send(posted(CONTENT)))
    await gate.entered.wait()
    refused = await send(posted(CONTENT), OTHER)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert "other clients" in refused.json["errors"][0]["message"]
    gate.opened.set()
    less = {**CONTENT, "variables": {"gate": "g", "more": [{}] * 1_200}}
    assert (await send(posted(less), OTHER)).json == ANSWER
    assert (await first).json == ANSWER


def test_operations_of_a_batch_share_the_size_of_its_message() -> None:
    body, headers = posted(CONTENT)
    request = HttpRequest(scope_of("POST", "/", headers), None)
    request.body = body
    message = HeldMessage(request)
    message.hold(lambda: "one", None)
    size = message.size_of_operation
    assert size == holding._sizes["requests", "one"] > 500_000
    message.operations = 2
    assert message.size_of_operation == size // 2
    message.release()
    # It may begin to wait when the request is over.
    assert message.size_of_operation == size // 2


async def test_what_is_small_goes_on_beside_what_is_large_and_one_large_beside_what_is_small(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = asyncio.create_task(send(posted(CONTENT)))
    await gate.entered.wait()
    gate.entered.clear()
    less = {**CONTENT, "variables": {"gate": "g", "more": "x" * 50_000}}
    second = asyncio.create_task(send(posted(less)))
    await gate.entered.wait()
    gate.opened.set()
    assert [each.json for each in await asyncio.gather(first, second)] == [ANSWER, ANSWER]
    gate.opened.clear()
    monkeypatch.setattr(holding, "SHARE", 100_000)
    gate.entered.clear()
    small = asyncio.create_task(send(posted(less)))
    await gate.entered.wait()
    gate.entered.clear()
    large = asyncio.create_task(send(posted(CONTENT)))
    await gate.entered.wait()
    assert (await send(posted(CONTENT))).status == 503
    gate.opened.set()
    assert [each.json for each in await asyncio.gather(small, large)] == [ANSWER, ANSWER]


MANY = {"query": "{ hello }", "variables": {"more": [{}] * FEW_CONTAINERS}}

FEW = {"query": "{ hello }", "variables": {"more": [{}] * (FEW_CONTAINERS - 4)}}


@pytest.mark.parametrize("kind", ["JSON", "a form", "a query string"])
async def test_what_takes_long_to_decode_is_refused(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_flight, "MOST_BYTES", 1_000_000_000)

    async def answer(content: dict[str, Any], **options: Any) -> Answer:
        match kind:
            case "JSON":
                return await send(posted(content), **options)
            case "a form":
                return await send(in_a_form(content), **options)
            case _:
                return await get(content, **options)

    refused = await answer(MANY, max_body_size=150_000)
    assert refused.status == 413
    [error] = refused.json["errors"]
    assert "than the 10000 that `max_body_size` allows" in error["message"]
    assert (await answer(FEW, max_body_size=150_000)).status == 200
    for enough in (None, 1_000_000):
        assert (await answer(MANY, max_body_size=enough)).status == 200


def long_document(number: int) -> dict[str, Any]:
    fields = " ".join(f"a{field}: hello" for field in range(100))
    return {"query": f'query Q{number} {{ wait(gate: "g") {fields} }}'}


async def test_large_documents_count_as_well_and_each_of_them_once(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_flight, "MOST_BYTES", 150_000)
    waiting = []
    for _ in range(3):
        waiting.append(asyncio.create_task(send(posted(long_document(1)))))
        await gate.entered.wait()
        gate.entered.clear()
    refused = await send(posted(long_document(2)))
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert refused.json["errors"][0]["extensions"] == {"code": "LIMIT_EXCEEDED"}
    assert (await send(posted({"query": "{ hello }"}))).status == 200
    gate.opened.set()
    assert [each.status for each in await asyncio.gather(*waiting)] == [200] * 3
    assert (await send(posted(long_document(2)))).status == 200

"""Bodies that are being received: what has come of them counts for the client that sends them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.test import override_settings

import http_schema
from channels_graphql_ws import GraphqlHttpConsumer
from channels_graphql_ws.http import in_flight
from channels_graphql_ws.http.in_flight import STEP, HeldMessage
from channels_graphql_ws.http.request import HttpRequest
from channels_graphql_ws.operations import holding
from channels_graphql_ws.operations.sizes import memory_of_json
from http_client import Answer, Exchange, Gate, exchange, multipart, posted, scope_of
from support import wait_until

PUBLIC, OTHER = ("8.8.8.8", 1), ("8.8.4.4", 1)

ANSWER = {"data": {"hello": "Hello world!"}}


@pytest.fixture(autouse=True)
def _room_for_one(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have room for one of the bodies, and for no second."""
    monkeypatch.setattr(in_flight, "MOST_BYTES", 500_000)
    monkeypatch.setattr(holding, "SHARE", 1_000)
    yield
    assert not holding._sizes


def of_size(size: int) -> tuple[bytes, dict[str, str]]:
    body, headers = posted({"query": "{ hello }", "variables": {"more": "x" * size}})
    # As in chunks, whose client does not say how many will come.
    del headers["Content-Length"]
    return body, headers


def form_of(
    size: int, query: str = "{ hello }", name: str | None = "a.txt"
) -> tuple[bytes, dict[str, str]]:
    operations = {"query": query, "variables": {"gate": "g"}}
    mapping = {} if name is None else {"0": []}
    return multipart(
        [
            ("operations", None, json.dumps(operations).encode()),
            ("map", None, json.dumps(mapping).encode()),
            ("0", name, b"x" * size),
        ]
    )


@asynccontextmanager
async def sending(
    headers: dict[str, str], client: tuple[str, int] | None = PUBLIC, **options: Any
) -> AsyncIterator[Exchange]:
    """Begin a request, of which nothing has come but its headers."""
    application: Any = GraphqlHttpConsumer.as_asgi(
        schema=http_schema.schema, multipart_uploads_enabled=True, **options
    )
    async with exchange(application, headers=headers, client=client) as one:
        yield one


async def send(
    message: tuple[bytes, dict[str, str]],
    client: tuple[str, int] | None = PUBLIC,
    *,
    step: int = 50_000,
    **options: Any,
) -> Answer:
    """Send a body in pieces, behind the last of which another may come until it is answered."""
    body, headers = message
    async with sending(headers, client, **options) as one:
        for start in range(0, len(body), step):
            await one.send(body[start : start + step], more=True)
        await one.send()
        return await one.answer()


def counted(kind: str = "requests", client: tuple[str, int] = PUBLIC) -> int:
    """Return how many bytes of a kind count for the address of a client."""
    return sum(
        size
        for (each, whose), size in holding._sizes.items()
        if each == kind and client[0] in str(whose)
    )


def refused(answer: Answer) -> bool:
    found = answer.status, answer.headers.get("retry-after"), answer.headers.get("connection")
    return found == (503, "1", "close") and "under way" in answer.message


@pytest.mark.parametrize("message", [of_size(400_000), form_of(400_000)])
async def test_a_body_that_stops_takes_the_room_of_the_next_of_its_client(
    message: tuple[bytes, dict[str, str]],
) -> None:
    body, headers = message
    async with sending(headers) as first:
        await first.send(body[:390_000], more=True)
        await wait_until(lambda: counted() == 390_000)
        assert refused(await send(of_size(200_000)))
        assert refused(await send(form_of(200_000)))
        # One of 64 KiB has room, however it comes, and what others send.
        assert (await send(of_size(STEP - 1_000), step=9_000)).json == ANSWER
        assert (await send(of_size(200_000), OTHER)).json == ANSWER
        await first.send(body[390_000:])
        assert (await first.answer()).json == ANSWER
    assert (await send(of_size(200_000))).json == ANSWER


async def test_the_length_that_a_client_announces_takes_no_room() -> None:
    body, headers = of_size(400_000)
    async with sending({**headers, "Content-Length": str(len(body))}) as first:
        await first.send(body[:STEP], more=True)
        assert (await send(of_size(400_000))).json == ANSWER
        await first.send(body[STEP:])
        assert (await first.answer()).json == ANSWER


@pytest.mark.parametrize("options", [{}, {"max_body_size": None, "body_timeout": None}])
async def test_one_body_may_take_more_bit_by_bit(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "MOST_OF_ALL", 600_000)
    assert (await send(of_size(1_000_000), **options)).json == ANSWER


async def test_clients_that_nobody_knows_have_their_room_in_common(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(holding, "MOST_OF_UNKNOWN", 500_000)
    body, headers = of_size(400_000)
    async with sending(headers, None) as first:
        await first.send(body[:390_000], more=True)
        await wait_until(lambda: holding._sizes)
        answer = await send(of_size(200_000), ("127.0.0.1", 1))
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        await first.leave()
    assert (await send(of_size(200_000), None)).json == ANSWER


@pytest.mark.parametrize("end", ["leaves", "is cut off", "is too long", "is no form"])
async def test_what_is_not_received_to_its_end_counts_no_more(end: str) -> None:
    body, headers = of_size(300_000)
    if end == "is no form":
        headers["Content-Type"] = "multipart/form-data; boundary=b"
    announced = {**headers, "Content-Length": "310000", "X-CSRFToken": "any"}
    async with sending(announced, max_body_size=310_000) as one:
        await one.send(body[:290_000], more=True)
        await wait_until(lambda: counted() == 290_000)
        match end:
            case "leaves":
                await one.leave()
            case "is too long":
                await one.send(b"x" * 30_000, more=True)
                assert (await one.answer()).status == 413
            case _:
                await one.send(body[290_000:])
                assert (await one.answer()).status == 400
    assert not holding._sizes


def test_the_message_takes_the_place_of_the_bytes_that_were_received() -> None:
    body, headers = of_size(200_000)
    request = HttpRequest(scope_of("POST", "/", headers), None)
    message = HeldMessage(request)
    for length in (100_000, len(body)):
        message.receive(length, lambda: "one", is_stored=False)
        assert holding._sizes["requests", "one"] == length
    request.body = body
    message.hold(lambda: "one", None)
    assert holding._sizes["requests", "one"] == memory_of_json(body.decode())
    message.release()


@pytest.mark.parametrize("in_memory", [0, 100_000])
async def test_uploads_that_stop_take_the_disk_and_no_memory(
    in_memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "UPLOADS", 2)
    body, headers = form_of(400_000)
    longest = 400_500
    with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=in_memory):
        async with (
            sending(headers, max_upload_size=longest) as first,
            sending(headers, max_upload_size=longest) as second,
        ):
            for number, one in enumerate((first, second), start=1):
                # What was counted as memory is given back.
                await one.send(body[:90_000], more=True)
                await one.send(body[90_000:390_000], more=True)
                await wait_until(lambda number=number: counted("uploads") == number * 390_000)
                assert counted() == 0
            assert refused(await send(form_of(200_000), max_upload_size=longest))
            assert (await send(form_of(400_000), OTHER, max_upload_size=longest)).json == ANSWER
            assert (await send(of_size(200_000))).json == ANSWER
            # Where there is no limit, it is nobody's.
            assert (await send(form_of(200_000), max_upload_size=None)).json == ANSWER
            await first.leave()
            assert (await send(form_of(200_000), max_upload_size=longest)).json == ANSWER
            await second.send(body[390_000:])
            assert (await second.answer()).json == ANSWER


@pytest.mark.parametrize("bound", ["UPLOADS_OF_UNKNOWN", "UPLOADS_OF_ALL"])
async def test_all_uploads_together_have_so_much_and_each_client_one(
    bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, bound, 2)
    body, headers = form_of(400_000)
    longest = 400_500
    first_client = None if bound == "UPLOADS_OF_UNKNOWN" else PUBLIC
    with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=1_000):
        async with (
            sending(headers, first_client, max_upload_size=longest) as first,
            sending(headers, first_client, max_upload_size=longest) as second,
        ):
            for number, one in enumerate((first, second), start=1):
                await one.send(body[:390_000], more=True)
                await wait_until(
                    lambda number=number: holding._sizes["uploads", None] == number * 390_000
                )
            answer = await send(form_of(300_000), first_client, max_upload_size=longest)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert (await send(form_of(400_000), OTHER, max_upload_size=longest)).json == ANSWER


@pytest.mark.parametrize("name", ["a.txt", None])
async def test_files_and_texts_of_a_form_count_until_it_is_answered(
    name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    monkeypatch.setitem(http_schema.gates, "g", gate)
    form = form_of(400_000, "query ($gate: String!) { wait(gate: $gate) }", name)
    first = asyncio.create_task(send(form))
    await gate.entered.wait()
    assert 400_000 <= counted() < 410_000
    assert refused(await send(form))
    gate.opened.set()
    assert (await first).json == {"data": {"wait": "g"}}


async def test_files_on_the_disk_count_there_until_the_form_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate = Gate()
    monkeypatch.setitem(http_schema.gates, "g", gate)
    with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=100_000):
        form = form_of(400_000, "query ($gate: String!) { wait(gate: $gate) }")
        first = asyncio.create_task(send(form))
        await gate.entered.wait()
        assert (counted("uploads"), counted()) == (400_000, 0)
        gate.opened.set()
        assert (await first).json == {"data": {"wait": "g"}}

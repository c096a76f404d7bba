"""Generators that survive their stream: `resumable` over HTTP."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import graphene
import pytest

from channels_graphql_ws import GraphqlHttpConsumer, resumable
from channels_graphql_ws.subscription import runs
from channels_graphql_ws.subscription.runs import LOST, runs_of_loop
from http_client import EVENTS, PARTS, ask, exchange, post, posted, streaming
from support import wait_until

COUNT = "subscription { count }"

TOKEN = "X-GraphQL-Event-Stream-Token"  # noqa: S105 (the name of a header)


class Script:
    """What the generator of a test does."""

    calls = closed = 0
    allowed: asyncio.Semaphore

    def allow(self, number: int) -> None:
        for _ in range(number):
            self.allowed.release()


script = Script()


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    count = graphene.Int()

    @resumable(1_000)
    async def subscribe_count(root, info):  # noqa: N805 (root, not self)
        script.calls += 1
        try:
            for number in range(1, 21):
                await script.allowed.acquire()
                yield number
        finally:
            script.closed += 1


schema = graphene.Schema(query=Query, subscription=Root)


def consumer(**options: Any) -> Any:
    return GraphqlHttpConsumer.as_asgi(schema=schema, resolve_sync_in_threads=False, **options)


@pytest.fixture(autouse=True)
async def ends_runs() -> AsyncIterator[None]:
    script.calls = script.closed = 0
    script.allowed = asyncio.Semaphore(0)
    yield
    for run in list(runs_of_loop().runs.values()):
        await run.close_soon(LOST)
    await wait_until(lambda: not runs._closing)


def numbers(stream: bytes) -> list[int]:
    return [int(each) for each in re.findall(rb'"count":(\d+)', stream)]


async def test_a_browser_that_connects_again_goes_on_and_the_generator_ran_once() -> None:
    script.allow(7)
    async with streaming(consumer(), COUNT) as one:
        begun = await one.until(b'"count":7')
        begun += await one.chunk() if not begun.endswith(b"\n\n") else b""
        await one.leave()
    last = re.findall(rb"^id: (\S+)$", begun, re.MULTILINE)[-1].decode()
    script.allow(13)
    async with streaming(consumer(), COUNT, headers={"Last-Event-ID": last}) as two:
        rest = await two.rest()
    assert numbers(begun + rest) == list(range(1, 21))
    assert rest.count(b'"recovered":true') == 1
    assert b"event: complete" in rest
    assert (script.calls, script.closed) == (1, 1)


async def test_a_multipart_stream_takes_a_cursor() -> None:
    script.allow(3)
    async with streaming(consumer(), COUNT, accept=PARTS) as one:
        begun = await one.until(b'"count":3}')
        begun += await one.until(b"--graphql") if b"}}" not in begun[-40:] else b""
        await one.leave()
    cursor = re.findall(rb'"cursor":"([^"]+)"', begun)[-1].decode()
    script.allow(17)
    body = {"query": COUNT, "extensions": {"cursor": cursor}}
    raw, headers = posted(body, PARTS)
    async with exchange(consumer(), "POST", "/graphql/", headers) as two:
        await two.send(raw)
        await two.start()
        assert numbers(begun + await two.rest()) == list(range(1, 21))


async def test_an_id_that_leads_nowhere_is_an_error_and_the_end() -> None:
    async with streaming(consumer(), COUNT, headers={"Last-Event-ID": "17"}) as one:
        answer = await one.rest()
    assert b"RUN_LOST" in answer
    assert b'"recovered":false' in answer
    assert b"event: complete" in answer
    assert script.calls == 0


async def test_who_stops_an_operation_of_a_reserved_stream_ends_the_run() -> None:
    application = consumer(single_connection_enabled=True)
    token = (await ask(application, "PUT")).body.decode()
    headers = {TOKEN: token, "Accept": EVENTS}
    async with exchange(application, "GET", "/graphql/", headers) as one:
        await one.send()
        await one.start()
        request = {"query": COUNT, "extensions": {"operationId": "1"}}
        await post(application, request, headers={TOKEN: token})
        script.allow(1)
        await one.until(b'"count":1')
        await ask(application, "DELETE", "/graphql/?operationId=1", headers={TOKEN: token})
        assert script.closed == 1
        await wait_until(lambda: not runs_of_loop().runs)

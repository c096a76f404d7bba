"""Streams that recover: a browser's `EventSource` by itself, others by the cursor."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import graphene
import pytest

from channels_graphql_ws import GraphqlHttpConsumer, Subscription
from http_client import EVENTS, PARTS, exchange, streaming


class OnText(Subscription):
    class Arguments:
        room = graphene.String(required=True)

    text = graphene.String()
    history_size = 10

    def subscribe(self, info, room):
        return [room]

    def publish(self, info, room):
        return {"text": self}


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    text = OnText.Field()


schema = graphene.Schema(query=Query, subscription=Root)


def consumer(**options: Any) -> Any:
    # On the event loop a subscription is live when its stream begins.
    options = {"resolve_sync_in_threads": False, **options}
    return GraphqlHttpConsumer.as_asgi(schema=schema, **options)


@pytest.fixture
def room() -> str:
    return uuid.uuid4().hex


def query(room: str) -> str:
    return f'subscription {{ text(room: "{room}") {{ text }} }}'


def texts(stream: bytes) -> list[str]:
    return re.findall(r'"text":"(\w+)"', stream.decode())


def last_id(stream: bytes) -> str:
    return re.findall(r"^id: (\S+)$", stream.decode(), re.MULTILINE)[-1]


async def read_until(stream: Any, text: str) -> bytes:
    found: bytes = await stream.until(f':"{text}"'.encode())
    while not found.endswith(b"\n\n"):
        found += await stream.chunk()
    return found


@pytest.mark.parametrize("hooked", [False, True])
async def test_a_browser_that_connects_again_gets_what_it_has_missed(
    room: str, hooked: bool
) -> None:
    class Hooked(GraphqlHttpConsumer):
        resolve_sync_in_threads = False

        async def process_result(self, request: Any, result: Any) -> Any:
            return dict(result)

    application = Hooked.as_asgi(schema=schema) if hooked else consumer()
    async with streaming(application, query(room)) as one:
        await one.chunk()
        await OnText.broadcast(group=room, payload="a")
        begun = await read_until(one, "a")
    assert f'"cursor":"{last_id(begun)}"' in begun.decode()
    for text in ("b", "c"):
        await OnText.broadcast(group=room, payload=text)
    headers = {"Last-Event-ID": last_id(begun)}
    async with streaming(application, query(room), headers=headers) as two:
        again = await read_until(two, "c")
    assert texts(again) == ["b", "c"]
    assert again.count(b'"recovered":true') == 1


async def test_an_id_that_is_no_cursor_is_told_politely(room: str) -> None:
    async with streaming(consumer(), query(room), headers={"Last-Event-ID": "17"}) as one:
        assert b'"recovered":false' in await one.until(b"recovered")


async def test_a_cursor_in_the_request_comes_before_the_header(room: str) -> None:
    async with streaming(consumer(), query(room)) as one:
        await one.chunk()
        await OnText.broadcast(group=room, payload="a")
        begun = await read_until(one, "a")
    await OnText.broadcast(group=room, payload="b")
    body = {"query": query(room), "extensions": {"cursor": last_id(begun)}}
    headers = {"Accept": EVENTS, "Content-Type": "application/json", "Last-Event-ID": "17"}
    async with exchange(consumer(), "POST", "/graphql/", headers) as two:
        await two.send(json.dumps(body).encode())
        await two.start()
        assert texts(await read_until(two, "b")) == ["b"]


async def test_a_multipart_stream_has_the_cursor_in_its_results(room: str) -> None:
    async with streaming(consumer(), query(room), accept=PARTS) as one:
        await one.chunk()
        await OnText.broadcast(group=room, payload="a")
        assert b'"cursor":"' in await one.until(b'"a"')


async def test_on_a_stream_of_many_operations_there_is_no_id(room: str) -> None:
    application = consumer(single_connection_enabled=True)
    headers = {"Accept": EVENTS, "Content-Type": "application/json"}
    async with exchange(application, "PUT", "/graphql/", headers) as reserving:
        await reserving.send()
        token = (await reserving.answer()).body.decode()
    headers["X-GraphQL-Event-Stream-Token"] = token
    async with exchange(application, "GET", "/graphql/", headers) as one:
        await one.send()
        await one.start()
        body = {"query": query(room), "extensions": {"operationId": "s"}}
        async with exchange(application, "POST", "/graphql/", headers) as asking:
            await asking.send(json.dumps(body).encode())
            assert (await asking.answer()).status == 202
        await OnText.broadcast(group=room, payload="a")
        stream = await read_until(one, "a")
        await one.leave()
    # It would be that of one of them only.
    assert b"id: " not in stream
    assert b'"cursor":"' in stream

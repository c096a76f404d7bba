"""Many requests of one client that asks for much and reads nothing: the rest waits."""

from __future__ import annotations

import asyncio
import gc
import json
from types import SimpleNamespace
from typing import Any

import graphene
import pytest
from django.test import AsyncRequestFactory

from channels_graphql_ws import GraphqlHttpConsumer, GraphqlView
from channels_graphql_ws.execution import breathing, budget
from channels_graphql_ws.execution.budget import FIRST_LOOK
from channels_graphql_ws.http import beginning
from channels_graphql_ws.http.stream import ResponseStream
from channels_graphql_ws.http.stream_formats import EVENT_STREAM
from channels_graphql_ws.operations.unsent import LARGE, Unsent, unsent_of_loop
from http_client import EVENTS, exchange, post, posted
from support import tick, wait_until

SIZE = 4 * LARGE

PUBLIC, OTHER = ("8.8.8.8", 1), ("8.8.4.4", 1)

made: list[str] = []


class Item(graphene.ObjectType):
    """One of many."""

    text = graphene.String()

    @staticmethod
    def resolve_text(text: str, info: Any) -> str:
        made.append(text)
        return text


class Query(graphene.ObjectType):
    """Large results."""

    large = graphene.String(late=graphene.Boolean())
    items = graphene.List(lambda: Item)

    @staticmethod
    def resolve_items(root: Any, info: Any) -> list[str]:
        made.append("items")
        return ["x"] * 10 * FIRST_LOOK

    @staticmethod
    async def resolve_large(root: Any, info: Any, late: bool = False) -> str:
        made.append("large")
        if late:
            await tick(5)
        return "x" * SIZE


schema = graphene.Schema(query=Query)

OPTIONS: dict[str, Any] = {"schema": schema, "max_unsent_bytes_per_address": SIZE}

LARGE_QUERY = {"query": "{ large }"}


@pytest.fixture(autouse=True)
def _nothing_was_made() -> None:
    made.clear()


class Client:
    """Asks for a result, and reads it when it is told to."""

    def __init__(self, application: Any, content: Any, accept: str) -> None:
        body, headers = posted(content, accept)
        self.reads = asyncio.Event()
        self.body = b""
        self._incoming: asyncio.Queue[Any] = asyncio.Queue()
        self._incoming.put_nowait({"type": "http.request", "body": body})
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "query_string": b"",
            "headers": encoded,
            "client": PUBLIC,
        }
        self.task = asyncio.create_task(application(scope, self._incoming.get, self._send))

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.body":
            await self.reads.wait()
            self.body += message["body"]

    async def leave(self) -> None:
        self._incoming.put_nowait({"type": "http.disconnect"})
        self.reads.set()
        await wait_until(self.task.done)
        await self.task


@pytest.mark.parametrize("accept", ["application/json", EVENTS])
async def test_requests_wait_until_the_answers_before_them_are_read(accept: str) -> None:
    application = GraphqlHttpConsumer.as_asgi(**OPTIONS)
    first = Client(application, LARGE_QUERY, accept)
    await wait_until(lambda: unsent_of_loop().is_tight)
    second = Client(application, LARGE_QUERY, accept)
    await tick(20)
    assert len(made) == 1
    # Others do not wait.
    other = await post(application, LARGE_QUERY, accept="application/json", client=OTHER)
    assert other.status == 200
    assert len(made) == 2

    first.reads.set()
    await wait_until(lambda: len(made) == 3)
    second.reads.set()
    for client in (first, second):
        await wait_until(lambda client=client: b"x" * SIZE in client.body)
        await client.leave()
    assert not unsent_of_loop().is_tight


async def test_a_result_that_is_ready_waits_to_be_written() -> None:
    application = GraphqlHttpConsumer.as_asgi(**OPTIONS)
    late = {"query": "{ large(late: true) }"}
    clients = [Client(application, late, "application/json") for _ in range(3)]
    await wait_until(lambda: unsent_of_loop().is_tight)
    await tick(20)
    assert len(made) == 3
    for client in clients:
        client.reads.set()
    for client in clients:
        await wait_until(client.task.done)
        assert len(json.loads(client.body)["data"]["large"]) == SIZE
    assert not unsent_of_loop().is_tight


async def test_the_answers_of_a_batch_do_not_wait_for_each_other() -> None:
    application = GraphqlHttpConsumer.as_asgi(max_batch_size=3, **OPTIONS)
    batch = [{"query": "{ large(late: true) }"}] * 3
    answer = await post(application, batch, accept="application/json", client=PUBLIC)
    assert [len(each["data"]["large"]) for each in answer.json] == [SIZE] * 3
    assert not unsent_of_loop().is_tight


@pytest.mark.parametrize("accept", ["application/json", EVENTS])
async def test_a_client_that_leaves_gives_back_what_it_has_not_read(accept: str) -> None:
    application = GraphqlHttpConsumer.as_asgi(**OPTIONS)
    body, headers = posted(LARGE_QUERY, accept)
    async with exchange(application, headers=headers, client=PUBLIC) as one:
        await one.send(body)
        await wait_until(lambda: made)
        await tick(5)
    await tick(5)
    assert not unsent_of_loop().is_tight


def ask_view(view: type[GraphqlView] = GraphqlView) -> Any:
    request = AsyncRequestFactory().post("/", LARGE_QUERY, content_type="application/json")
    request.scope["client"] = PUBLIC
    return view.as_view(**OPTIONS)(request)


async def test_an_answer_of_a_view_counts_until_django_has_sent_it() -> None:
    response = await ask_view()
    assert response.status_code == 200
    assert unsent_of_loop().is_tight
    waiting = asyncio.create_task(ask_view())
    await tick(20)
    assert len(made) == 1
    del response
    gc.collect()
    await wait_until(waiting.done)
    assert len(made) == 2
    del waiting
    gc.collect()
    await wait_until(lambda: not unsent_of_loop().is_tight)


async def test_nobody_waits_for_ever_for_an_answer_of_a_view(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class View(GraphqlView):
        stalled_reader_timeout = 0.01

    monkeypatch.setattr("channels_graphql_ws.operations.unsent.GIVEN_UP_FOR", 0)
    response = await ask_view(View)
    assert unsent_of_loop().is_tight
    assert (await ask_view()).status_code == response.status_code
    del response
    gc.collect()
    await wait_until(lambda: not unsent_of_loop().is_tight)


async def test_a_request_to_a_view_that_is_cancelled_is_forgotten() -> None:
    class View(GraphqlView):
        async def process_result(self, request: Any, result: Any) -> Any:
            await asyncio.Event().wait()

    task = asyncio.create_task(ask_view(View))
    await wait_until(lambda: unsent_of_loop().is_tight)
    task.cancel()
    await wait_until(task.done)
    assert not unsent_of_loop().is_tight


async def test_a_view_whose_event_loop_is_closed_has_nothing_to_give_back() -> None:
    loop = asyncio.new_event_loop()

    async def ask() -> Any:
        return await ask_view()

    response = await asyncio.to_thread(loop.run_until_complete, ask())
    loop.close()
    del response
    gc.collect()


async def test_a_stream_counts_large_chunks_until_the_next_one_is_asked_for() -> None:
    unsent = Unsent(None, {})
    stream = ResponseStream(EVENT_STREAM, unsent=unsent)
    stream.put(b"small")
    assert unsent.size == 0
    stream.put(b"x" * SIZE)
    assert unsent.size == SIZE
    assert await anext(stream) == b"small" + b"x" * SIZE
    assert unsent.size == SIZE
    stream.put(b"small")
    assert await anext(stream) == b"small"
    assert unsent.size == 0
    stream.put(b"x" * SIZE)
    stream.drop()
    assert unsent.size == 0
    stream.put(b"x" * SIZE)
    await anext(stream)
    stream.put(b"x" * SIZE)
    stream.close()
    # Django goes on reading a stream that was given up.
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    stream.drop()
    assert unsent.size == 0


async def test_a_stream_is_ready_when_its_owner_has_room_again() -> None:
    options: Any = SimpleNamespace(
        max_unsent_bytes_per_user=None,
        max_unsent_bytes_per_address=1,
        max_unsent_bytes_per_process=None,
        trusted_proxies=(),
    )
    first, second = (Unsent(options, {"client": PUBLIC}) for _ in range(2))
    stream = ResponseStream(EVENT_STREAM, unsent=first)
    assert stream.ready() is None
    second.hold(1)
    waiting = stream.ready()
    assert waiting is not None
    task = asyncio.ensure_future(waiting)
    await tick(5)
    assert not task.done()
    second.close()
    await wait_until(task.done)


async def test_no_more_executions_begin_while_a_long_one_of_the_owner_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breathing, "MOST_UNDER_WAY", 1)
    monkeypatch.setattr(budget, "WINDOW", 0)
    monkeypatch.setattr(breathing, "WINDOW", 0)
    application = GraphqlHttpConsumer.as_asgi(**OPTIONS, resolve_sync_in_threads=False)
    clients = [Client(application, {"query": "{ items { text } }"}, "*/*") for _ in range(3)]
    for client in clients:
        client.reads.set()
    await asyncio.gather(*(client.task for client in clients))
    assert all(len(json.loads(each.body)["data"]["items"]) == 10 * FIRST_LOOK for each in clients)
    assert [n for n, each in enumerate(made) if each == "items"] == [0, 641, 1282]


async def test_a_request_that_waits_for_long_is_answered_with_503(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(beginning, "PATIENCE", 0.0)
    application = GraphqlHttpConsumer.as_asgi(**OPTIONS)
    unread = Client(application, LARGE_QUERY, "*/*")
    await wait_until(lambda: unsent_of_loop().is_tight)
    late = await post(application, LARGE_QUERY, client=PUBLIC)
    assert late.status == 503
    assert late.json["errors"][0]["extensions"] == {"code": "UNAVAILABLE"}
    assert made == ["large"]
    unread.reads.set()
    await unread.task

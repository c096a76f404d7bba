"""What was answered is forgotten at once: large answers do not wait for the garbage collector."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any
from weakref import WeakSet

import graphene
import pytest
from django.test import AsyncRequestFactory

from channels_graphql_ws import GraphqlHttpConsumer, GraphqlView
from channels_graphql_ws.operations.unsent import LARGE, unsent_of_loop
from http_client import EVENTS, exchange, posted
from support import tick, wait_until


class Query(graphene.ObjectType):
    """At once, and later."""

    text = graphene.String()
    later = graphene.String()

    @staticmethod
    def resolve_text(root: Any, info: Any) -> str:
        return "x" * 2 * LARGE

    @staticmethod
    async def resolve_later(root: Any, info: Any) -> str:
        await tick()
        return "x" * 2 * LARGE


schema = graphene.Schema(query=Query)

served: WeakSet[Any] = WeakSet()


class Consumer(GraphqlHttpConsumer):
    """Is known while anything of its request is."""

    schema = schema
    max_batch_size = 2

    def __init__(self) -> None:
        super().__init__()
        served.add(self)


@pytest.fixture(autouse=True)
def _without_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("accept", ["application/json", EVENTS])
@pytest.mark.parametrize(
    "content",
    [{"query": "{ text }"}, {"query": "{ later }"}, {"query": "{ none }"}],
    ids=["at once", "later", "invalid"],
)
async def test_nothing_of_a_request_waits_for_the_collector(content: Any, accept: str) -> None:
    application = Consumer.as_asgi()
    body, headers = posted(content, accept)
    async with exchange(application, headers=headers) as one:
        await one.send(body)
        assert (await one.answer()).status == 200
    del one
    await wait_until(lambda: not served)


async def test_large_answers_of_a_view_count_until_the_last_is_forgotten() -> None:
    view = GraphqlView.as_view(schema=schema, max_unsent_bytes_per_address=1)
    request: Any = AsyncRequestFactory().post(
        "/", {"query": "{ later }"}, content_type="application/json"
    )
    request.scope["client"] = ("8.8.8.8", 1)
    answer = await view(request)
    assert answer.status_code == 200
    assert unsent_of_loop().is_tight
    del answer, request
    await tick(5)
    assert not unsent_of_loop().is_tight

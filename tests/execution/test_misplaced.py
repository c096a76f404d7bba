"""Code that uses Django's ORM on the event loop is told what to do, where it stands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import graphene
import pytest
from django.utils.asyncio import async_unsafe

from channels_graphql_ws import GraphqlHttpConsumer, GraphqlProtocolTypeRouter
from channels_graphql_ws.execution.misplaced import hint_for
from channels_graphql_ws.testing import GraphqlHttpClient


@async_unsafe
def follow() -> str:
    """Stand for a foreign key that is not loaded."""
    return "there"


def helper() -> str:
    return follow()


class Shelf(graphene.ObjectType):
    by_coroutine = graphene.String()
    by_helper = graphene.String()
    by_function = graphene.String()

    async def resolve_by_coroutine(self, info):
        return follow()

    async def resolve_by_helper(self, info):
        return helper()

    def resolve_by_function(self, info):
        return follow()


SCHEMA = graphene.Schema(query=Shelf)


async def message_of(field: str, **options: Any) -> str:
    """Return what a client is told of the error of a field."""
    router = GraphqlProtocolTypeRouter(
        SCHEMA, middleware_stack=None, mask_errors=False, shutdown_timeout=None, **options
    )
    result = await GraphqlHttpClient(router).execute(f"{{ {field} }}")
    assert result.errors is not None
    return result.errors[0].message


@pytest.mark.parametrize("compiles", [True, False])
@pytest.mark.parametrize("field", ["byCoroutine", "byHelper"])
async def test_a_coroutine_is_not_told_to_become_one(field: str, compiles: bool, caplog: Any):
    message = await message_of(field, compile_operations=compiles)
    name = {"byCoroutine": "resolve_by_coroutine", "byHelper": "resolve_by_helper"}[field]
    for text in (message, caplog.messages[-1]):
        assert f"`{name}` is `async def`" in text
        assert "`sync_to_async`" in text
        assert "write this code `async def`" not in text


async def test_a_function_is_told_the_switch():
    message = await message_of("byFunction", resolve_sync_in_threads=False)
    assert message.endswith(
        "Set `resolve_sync_in_threads = True` on the consumer, or write this code `async def`."
    )


async def test_a_hook_that_is_a_coroutine_is_named(caplog: Any):
    class Consumer(GraphqlHttpConsumer):
        async def on_operation(self, op_id: Any, payload: Any) -> None:
            follow()

    message = await message_of("byFunction", http_consumer=Consumer)
    assert "`on_operation` is `async def`" in message
    assert "`on_operation` is `async def`" in caplog.text


async def test_an_asynchronous_generator_is_named():
    async def rows() -> AsyncIterator[str]:
        yield follow()

    with pytest.raises(Exception, match="async context") as caught:
        await anext(aiter(rows()))
    assert "`rows` is `async def`" in hint_for(caught.value)


def test_other_errors_are_told_nothing():
    assert hint_for(ValueError("no")) == hint_for(None) == ""

"""Tasks that begin when their maker waits, whatever the event loop does with others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from channels_graphql_ws.client import GraphqlWsClient
from channels_graphql_ws.client.tasks import begin_soon
from scripted_transport import acknowledging

EAGER: Any = getattr(asyncio, "eager_task_factory", None)  # Python 3.12 has it first.


@pytest.fixture
async def eager() -> Any:
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    loop.set_task_factory(EAGER)
    yield
    loop.set_task_factory(before)


async def test_a_task_has_not_begun_when_it_is_returned(eager: None) -> None:
    begun: list[int] = []

    async def begin() -> int:
        begun.append(1)
        return 7

    task = begin_soon(begin())
    assert not begun
    assert await task == 7


async def test_a_client_connects_where_tasks_are_eager(eager: None) -> None:
    transport = acknowledging()
    async with GraphqlWsClient(transport, lazy=False) as client:
        assert client.connected
    assert transport.connects == 1

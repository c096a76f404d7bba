"""What a live subscription keeps: the garbage collector looks at each object of it."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from contextvars import Context
from functools import partial
from types import CoroutineType, FunctionType, GeneratorType, MethodType
from typing import Any

import pytest
from graphql import GraphQLResolveInfo
from graphql.execution.execute import CollectedErrors

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws.execution.compiler.run import BoundOperation
from channels_graphql_ws.subscription.event import EventExecution
from channels_graphql_ws.subscription.single import SingleSubscriber
from channels_graphql_ws.websocket.operation import ClientOperation
from news_schema import NEWS, consumer_class
from support import tick, wait_until

MANY = 90

# What is needed to begin only, or the same for all.
NOT_KEPT = (
    asyncio.Handle,
    asyncio.Task,
    BoundOperation,
    CollectedErrors,
    CoroutineType,
    FunctionType,
    GeneratorType,
    GraphQLResolveInfo,
    MethodType,
    asyncio.TimerHandle,
    partial,
)


def census() -> Counter[type[Any]]:
    """Count what there is by its type, without the timers that the loop only has to forget."""
    gc.collect()
    found = gc.get_objects()
    counts = Counter(map(type, found))
    cancelled = [each for each in found if type(each) is asyncio.TimerHandle and each.cancelled()]
    # Each has a context of its own.
    counts[asyncio.TimerHandle] -= len(cancelled)
    counts[Context] -= len(cancelled)
    return counts


async def _waiting(self: Any, op_id: Any, payload: Any) -> None:
    """Wait before it is known that the operation is a subscription."""
    await tick()


@pytest.mark.parametrize("subprotocol", [NEW, LEGACY])
@pytest.mark.parametrize("compiles", [True, False])
@pytest.mark.parametrize(
    "attributes", [{}, {"resolve_sync_in_threads": True}, {"on_operation": _waiting}]
)
async def test_a_live_subscription_keeps_little(
    subprotocol: str, compiles: bool, attributes: dict[str, Any]
) -> None:
    cls = consumer_class(
        confirm_subscriptions=True,
        compile_operations=compiles,
        operation_timeout=600,
        **attributes,
    )
    socket = AsgiSocket(cls.as_asgi(), subprotocol)
    await socket.acknowledged()

    known = asyncio.all_tasks()

    async def subscribe(ids: range) -> None:
        before = len(socket.sent)
        for id in ids:
            socket.start(str(id), NEWS)
        await wait_until(lambda: len(socket.sent) == before + len(ids))
        await wait_until(lambda: asyncio.all_tasks() == known)
        # What is told of the end of a task runs in the next iteration.
        await tick(5)

    await subscribe(range(10))
    before = census()
    await subscribe(range(10, 10 + MANY))
    grown = census() - before
    await socket.drop()

    # Something of the loop and of its threads may be among them.
    few = MANY // 3
    for kind in (ClientOperation, EventExecution, SingleSubscriber, Context):
        assert MANY - few < grown[kind] < MANY + few, kind
    assert [kind for kind in NOT_KEPT if grown[kind] > few] == []
    if compiles:
        assert grown[list] < few

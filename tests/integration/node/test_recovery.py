"""The recipe of the docs, with real clients of npm: no event is lost over restarts."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import graphene
import pytest
from channels.routing import ProtocolTypeRouter

from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer, Subscription
from http_client import listeners
from support import tick, wait_until

pytestmark = pytest.mark.node

PAGE = Path(__file__).resolve().parents[3] / "docs" / "how-to" / "recovery.md"


class OnTick(Subscription):
    number = graphene.Int()
    history_size = 100

    def publish(self, info):
        return {"number": self}


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    on_tick = OnTick.Field()


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Root)
    confirm_subscriptions = True


class HttpConsumer(GraphqlHttpConsumer):
    schema = Consumer.schema
    confirm_subscriptions = True


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    [text] = re.findall(r"^```js\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(text.splitlines()) <= 30
    path = tmp_path / "recovering.mjs"
    path.write_text(text)
    return path


async def numbers(node: Any, count: int) -> list[Any]:
    """The numbers of the next events; a confirmation has none."""
    found: list[Any] = []
    while len(found) < count:
        line = await node.line()
        if line["number"] is not None:
            found.append(line["number"])
    return found


@pytest.mark.parametrize("client", ["graphql-ws", "graphql-sse", "apollo"])
async def test_every_event_arrives_once_and_in_order_over_restarts(
    serve: Any, start_node: Any, recipe: Path, client: str, settings: Any
) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1"]
    application = ProtocolTypeRouter(
        {"websocket": Consumer.as_asgi(), "http": HttpConsumer.as_asgi()}
    )
    # A stream over HTTP is cut off, and not waited for.
    serve = functools.partial(serve, application, timeout_graceful_shutdown=0)
    async with serve() as port:
        node = await start_node("recovery.mjs", str(recipe), str(port), client)
        # Apollo Client keeps the confirmation to itself.
        await wait_until(listeners)
        await tick(100)
        for number in range(3):
            await OnTick.broadcast(payload=number)
        assert await numbers(node, 3) == [0, 1, 2]
    for restart in range(1, 4):
        # Nobody is there.
        for number in range(10 * restart, 10 * restart + 3):
            await OnTick.broadcast(payload=number)
        async with serve(port):
            assert await numbers(node, 3) == [10 * restart, 10 * restart + 1, 10 * restart + 2]
            await OnTick.broadcast(payload=10 * restart + 3)
            assert await numbers(node, 1) == [10 * restart + 3]

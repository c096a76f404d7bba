"""The recipe of the docs, with the real client of npm: no event is lost over restarts."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import graphene
import pytest

from channels_graphql_ws import GraphqlWsConsumer, Subscription

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


async def test_every_event_arrives_once_and_in_order_over_restarts(
    serve: Any, start_node: Any, recipe: Path
) -> None:
    application = Consumer.as_asgi()
    async with serve(application) as port:
        node = await start_node("recovery.mjs", str(recipe), f"ws://127.0.0.1:{port}/")
        assert (await node.line())["number"] is None
        for number in range(3):
            await OnTick.broadcast(payload=number)
        assert await numbers(node, 3) == [0, 1, 2]
    for restart in range(1, 4):
        # Nobody is there.
        for number in range(10 * restart, 10 * restart + 3):
            await OnTick.broadcast(payload=number)
        async with serve(application, port):
            assert await numbers(node, 3) == [10 * restart, 10 * restart + 1, 10 * restart + 2]
            await OnTick.broadcast(payload=10 * restart + 3)
            assert await numbers(node, 1) == [10 * restart + 3]

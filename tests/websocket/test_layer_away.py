"""What clients of WebSockets are told while the channel layer is away."""

from __future__ import annotations

import asyncio
from typing import Any

import graphene
import pytest
from channels.layers import get_channel_layer

from asgi_socket import LEGACY, NEW, AsgiSocket
from channels_graphql_ws import (
    GraphqlWsConsumer,
    Subscription,
)
from channels_graphql_ws.testing import FaultyChannelLayer

TOLD = {
    "message": "Events are unavailable at the moment.",
    "extensions": {"code": "SERVICE_UNAVAILABLE"},
}


class OnSight(Subscription):
    ok = graphene.Boolean()

    @staticmethod
    async def publish(payload: Any, info: Any) -> Any:
        if payload == "tell others":
            layer: Any = get_channel_layer()
            layer.fail("group_send", times=1)
            await OnSight.broadcast(payload=None)
        return {"ok": True}


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    sight = OnSight.Field()
    listening = graphene.Boolean(own=graphene.Boolean(), groups=graphene.List(graphene.String))

    @staticmethod
    async def subscribe_listening(root: Any, info: Any, groups: Any = ()) -> Any:
        async with info.context.listen_to_channel("x", groups=groups) as messages:
            async for _ in messages:
                yield True


schema = graphene.Schema(query=Query, subscription=Root)
SUBSCRIBE = "subscription { sight { ok } }"


class Consumer(GraphqlWsConsumer):
    schema = schema
    mask_errors = True
    confirm_subscriptions = True


@pytest.fixture(autouse=True)
def layer(faulty_channel_layer: FaultyChannelLayer) -> FaultyChannelLayer:
    return faulty_channel_layer


async def opened(cls: Any = Consumer, subprotocol: str = NEW) -> AsgiSocket:
    socket = AsgiSocket(cls.as_asgi(), subprotocol)
    await socket.acknowledged()
    return socket


async def test_a_subscription_is_refused_and_may_be_tried_again(
    layer: FaultyChannelLayer, caplog: pytest.LogCaptureFixture
) -> None:
    socket = await opened()
    layer.fail(error=OSError("no Redis"))
    socket.start("1", SUBSCRIBE)
    await socket.heard("error:1")
    assert socket.results("1") == [[TOLD]]
    (line,) = [each for each in caplog.records if "no Redis" in each.getMessage()]
    assert line.exc_info is None
    layer.heal()
    socket.start("1", SUBSCRIBE)
    await socket.heard("next:1")
    await socket.drop()


async def test_the_legacy_dialect_has_a_result_without_data(layer: FaultyChannelLayer) -> None:
    socket = await opened(subprotocol=LEGACY)
    layer.fail("group_add")
    socket.start("1", SUBSCRIBE)
    await socket.heard("data:1", "complete:1")
    assert socket.results("1") == [{"data": None, "errors": [TOLD]}, None]
    await socket.drop()


async def test_a_publish_whose_broadcast_fails_costs_that_event_alone() -> None:
    socket = await opened()
    socket.start("1", SUBSCRIBE)
    await socket.heard("next:1")
    await OnSight.broadcast(payload="tell others")
    await socket.heard("next:1", "next:1")
    where = {"locations": [{"line": 1, "column": 16}], "path": ["sight"]}
    assert socket.results("1")[-1] == {"data": {"sight": None}, "errors": [TOLD | where]}
    await OnSight.broadcast(payload=None)
    await socket.heard("next:1", "next:1", "next:1")
    # And the one that nobody got counts as lost.
    gap = {"missed": 1, "reason": "layer"}
    assert socket.results("1")[-1] == {"data": {"sight": {"ok": True}}, "extensions": {"gap": gap}}
    await socket.drop()


@pytest.mark.parametrize("groups", [[], ["a"]])
async def test_a_generator_that_listens_ends_with_the_error(
    layer: FaultyChannelLayer, groups: list[str]
) -> None:
    socket = await opened()
    layer.fail()
    socket.start(
        "1", "subscription ($g: [String]) { listening(groups: $g) }", variables={"g": groups}
    )
    await socket.heard("error:1")
    assert socket.results("1")[-1] == [TOLD]
    await socket.drop()


async def test_a_name_that_no_group_can_have_is_a_mistake_and_stays_one() -> None:
    socket = await opened()
    socket.start("1", 'subscription { listening(groups: ["not a name"]) }')
    await socket.heard("error:1")
    assert socket.results("1")[-1] == [{"message": "Unexpected error."}]
    await socket.drop()


@pytest.mark.parametrize(("subprotocol", "words"), [(NEW, []), (LEGACY, ["connection_error"])])
async def test_who_cannot_be_decided_on_is_to_come_again(
    layer: FaultyChannelLayer, subprotocol: str, words: list[str]
) -> None:
    class Greeting(Consumer):
        async def on_connect(self, payload: Any) -> None:
            await OnSight.broadcast(payload=None)

    layer.fail("group_send")
    socket = AsgiSocket(Greeting.as_asgi(), subprotocol)
    socket.init()
    await socket.ended()
    assert socket.words == words
    assert socket.closes == [(1013, "Events are unavailable at the moment")]


class WithHandler(GraphqlWsConsumer):
    schema = schema

    async def chat_message(self, event: Any) -> None:
        """Have a channel."""


@pytest.mark.parametrize("answers", [True, False])
async def test_a_connection_that_gets_no_channel_is_refused_for_now(
    layer: FaultyChannelLayer, answers: bool
) -> None:
    layer.fail("new_channel", error=OSError("no Redis"))
    extensions = {"websocket.http.response": {}} if answers else {}
    socket = AsgiSocket(WithHandler.as_asgi(), scope={"extensions": extensions})
    await asyncio.wait([socket.task])
    if answers:
        assert socket.sent[0]["status"] == 503
    else:
        assert [event["type"] for event in socket.sent] == ["websocket.close"]


async def test_who_has_left_before_that_is_told_nothing(layer: FaultyChannelLayer) -> None:
    layer.fail("new_channel", error=OSError("no Redis"))
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.disconnect", "code": 1006}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    scope = {"type": "websocket", "path": "/graphql/", "headers": [], "subprotocols": [NEW]}
    await WithHandler.as_asgi()(scope, receive, send)
    assert sent == []

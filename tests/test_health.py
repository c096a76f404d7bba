"""What the probes of an orchestrator are told."""

from __future__ import annotations

import json
from typing import Any

import graphene
import pytest
from django.core.handlers.base import BaseHandler
from django.db import connections
from django.test import AsyncRequestFactory

from asgi_socket import NEW, AsgiSocket
from channels_graphql_ws import (
    GraphqlWsConsumer,
    Subscription,
    health,
    prometheus,
    shut_down,
    statistics,
)
from channels_graphql_ws.process_statistics import Statistics
from channels_graphql_ws.pubsub import join_failures, membership
from channels_graphql_ws.pubsub.join_failures import JoinFailures
from channels_graphql_ws.testing import FaultyChannelLayer
from support import GUARD, wait_until


async def _asked(view: Any) -> tuple[int, dict[str, Any]]:
    answer = await view(AsyncRequestFactory().get("/"))
    assert answer["Cache-Control"] == "no-store"
    return answer.status_code, json.loads(answer.content)


async def test_a_process_is_alive_and_ready() -> None:
    assert await _asked(health.live) == (200, {"live": True})
    assert await _asked(health.ready) == (200, {"ready": True, "problems": []})


async def test_a_process_that_shuts_down_is_alive_and_not_ready() -> None:
    await shut_down(0)
    assert await _asked(health.live) == (200, {"live": True})
    expected = {"ready": False, "problems": ["the process is shutting down"]}
    assert await _asked(health.ready) == (503, expected)


@pytest.mark.parametrize("view", [health.live, health.ready, prometheus.metrics])
def test_the_views_may_be_mounted_where_requests_are_atomic(
    view: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for alias in connections:
        monkeypatch.setitem(connections.settings[alias], "ATOMIC_REQUESTS", True)
    assert BaseHandler().make_view_atomic(view) is view


class OnText(Subscription):
    text = graphene.String()

    def publish(self, info):
        return {"text": self}


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    text = OnText.Field()


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Root)
    confirm_subscriptions = True


async def _told() -> str:
    """Subscribe, and return how that was answered."""
    socket = AsgiSocket(Consumer.as_asgi(), NEW)
    await socket.acknowledged()
    socket.start("1", "subscription { text { text } }")
    await wait_until(lambda: socket.results("1"))
    await socket.drop()
    return socket.words[-1]


UNJOINABLE = {"ready": False, "problems": ["the channel layer does not carry messages"]}


async def test_a_process_whose_clients_cannot_join_groups_is_not_ready(
    faulty_channel_layer: FaultyChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(membership, "JOIN_TIMEOUT", 0.05)
    monkeypatch.setattr(membership, "CLOSE_TIMEOUT", 0.05)
    faulty_channel_layer.hold("group_add")
    assert await _told() == "error:1"
    assert await _asked(health.ready) == (503, UNJOINABLE)
    assert (await _asked(health.live))[0] == 200
    faulty_channel_layer.release()
    monkeypatch.setattr(membership, "JOIN_TIMEOUT", GUARD)
    assert await _told() == "next:1"
    assert (await _asked(health.ready))[0] == 200


async def test_a_process_whose_layer_refuses_joins_is_not_ready(
    faulty_channel_layer: FaultyChannelLayer,
) -> None:
    faulty_channel_layer.fail("group_add")
    assert await _told() == "error:1"
    assert statistics().joins_fail
    assert await _asked(health.ready) == (503, UNJOINABLE)


async def test_a_failure_to_join_counts_for_a_while(
    faulty_channel_layer: FaultyChannelLayer, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = JoinFailures()
    assert not failures.are_recent
    failures.add(faulty_channel_layer, ValueError("a name that no layer takes"))
    assert not failures.are_recent
    failures.add(faulty_channel_layer)
    assert failures.are_recent
    monkeypatch.setattr(join_failures, "COUNTS_FOR", 0.0)
    assert not failures.are_recent
    failures.forget(faulty_channel_layer)
    failures.forget(faulty_channel_layer)


async def test_a_process_whose_channel_layer_is_silent_is_not_ready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Statistics, "is_healthy", property(lambda _: False))
    expected = {"ready": False, "problems": ["the channel layer does not carry messages"]}
    assert await _asked(health.ready) == (503, expected)

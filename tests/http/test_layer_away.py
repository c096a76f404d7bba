"""What clients of HTTP are told while the channel layer is away."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import graphene
import pytest

from channels_graphql_ws import GraphqlHttpConsumer, Subscription
from channels_graphql_ws.http import operation
from channels_graphql_ws.testing import FaultyChannelLayer
from http_client import EVENTS, PARTS, RESPONSE, Answer, ask, exchange, post, streaming
from support import wait_until

TOLD = {
    "message": "Events are unavailable at the moment.",
    "extensions": {"code": "SERVICE_UNAVAILABLE"},
}
HOST = "redis://10.0.0.3 does not answer"


class OnSight(Subscription):
    class Arguments:
        slowly = graphene.Boolean(default_value=False)

    ok = graphene.Boolean()
    may_go_on = asyncio.Event()

    @staticmethod
    async def subscribe(root: Any, info: Any, slowly: bool) -> None:
        if slowly:
            await OnSight.may_go_on.wait()

    @staticmethod
    def publish(payload: Any, info: Any, slowly: bool) -> Any:
        return {"ok": True}


class Announce(graphene.Mutation):
    ok = graphene.Boolean()

    @staticmethod
    async def mutate(root: Any, info: Any) -> Announce:
        await OnSight.broadcast(payload=None)
        return Announce(ok=True)


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Mutation(graphene.ObjectType):
    announce = Announce.Field()


class Root(graphene.ObjectType):
    sight = OnSight.Field()


schema = graphene.Schema(query=Query, mutation=Mutation, subscription=Root)
SUBSCRIBE = "subscription { sight { ok } }"
SLOWLY = "subscription { sight(slowly: true) { ok } }"


@pytest.fixture(autouse=True)
def away(faulty_channel_layer: FaultyChannelLayer, monkeypatch: Any) -> FaultyChannelLayer:
    monkeypatch.setattr(OnSight, "may_go_on", asyncio.Event())
    faulty_channel_layer.fail(error=OSError(HOST))
    return faulty_channel_layer


def consumer(**options: Any) -> Any:
    return GraphqlHttpConsumer.as_asgi(schema=schema, **{"mask_errors": True, **options})


def is_told_to_try_again(answer: Answer) -> bool:
    return (answer.status, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize("accept", [EVENTS, PARTS])
async def test_a_stream_that_has_not_begun_is_refused_with_a_status(
    accept: str, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await post(consumer(), {"query": SUBSCRIBE}, accept=accept)
    assert is_told_to_try_again(answer)
    assert answer.json == {"errors": [TOLD]}
    # The log has the cause, and an outage no traceback for each client.
    (line,) = [each for each in caplog.records if HOST in each.getMessage()]
    assert line.exc_info is None


@pytest.mark.parametrize("masks", [False, lambda _error: False])
async def test_who_reads_the_texts_of_exceptions_reads_this_one(masks: Any) -> None:
    answer = await post(consumer(mask_errors=masks), {"query": SUBSCRIBE}, accept=EVENTS)
    assert is_told_to_try_again(answer)
    assert answer.message.startswith("Events are unavailable at the moment: Cannot join a group")
    assert HOST in answer.message


async def test_one_that_has_begun_ends_with_the_error(monkeypatch: Any) -> None:
    monkeypatch.setattr(operation, "BEGIN_AFTER", 0)
    async with streaming(consumer(), SLOWLY) as stream:
        assert stream.status == 200
        OnSight.may_go_on.set()
        told = await stream.rest()
    assert json.dumps({"errors": [TOLD]}, separators=(",", ":")).encode() in told
    assert b"event: complete" in told


async def test_an_event_source_that_would_give_up_at_a_status_is_told_on_the_stream() -> None:
    path = "/graphql/?query=subscription%20%7B%20sight%20%7B%20ok%20%7D%20%7D"
    answer = await ask(consumer(), "GET", path, headers={"Accept": EVENTS})
    assert answer.status == 200
    assert b"SERVICE_UNAVAILABLE" in answer.body


async def test_the_operations_of_a_reserved_stream_are_told_one_by_one() -> None:
    application = consumer(single_connection_enabled=True)
    headers = {"Accept": EVENTS, "Content-Type": "application/json"}
    reserved = await ask(application, "PUT", headers=headers)
    headers["X-GraphQL-Event-Stream-Token"] = reserved.body.decode()
    async with exchange(application, "GET", "/graphql/", headers) as stream:
        await stream.send()
        await stream.start()
        content = {"query": SUBSCRIBE, "extensions": {"operationId": "s"}}
        answer = await post(application, content, headers=headers)
        assert answer.status == 202
        told = await stream.until(b"event: complete")
        await stream.leave()
    assert b"SERVICE_UNAVAILABLE" in told


async def test_a_mutation_whose_broadcast_fails_is_told_where() -> None:
    content = {"query": "mutation { announce { ok } }"}
    answer = await post(consumer(mask_errors=True), content, accept=RESPONSE)
    assert answer.status == 200
    where = {"locations": [{"line": 1, "column": 12}], "path": ["announce"]}
    assert answer.json == {"data": {"announce": None}, "errors": [TOLD | where]}


async def test_a_hook_that_needs_the_layer_refuses_for_now() -> None:
    class Counted(GraphqlHttpConsumer):
        mask_errors = True

        async def on_operation(self, op_id: Any, payload: Any) -> None:
            await OnSight.broadcast(payload=None)

    answer = await post(Counted.as_asgi(schema=schema), {"query": "{ ok }"}, accept=RESPONSE)
    assert is_told_to_try_again(answer)
    assert answer.json == {"errors": [TOLD]}


async def test_a_function_may_hide_that_too() -> None:
    application = consumer(mask_errors=lambda _error: True)
    answer = await post(application, {"query": SUBSCRIBE}, accept=EVENTS)
    assert answer.message == "Unexpected error."


async def test_a_stream_that_is_set_up_holds_no_channel_of_the_layer(
    away: FaultyChannelLayer,
) -> None:
    away.heal()
    async with streaming(consumer(), SUBSCRIBE) as stream:
        # One for the process, and one that watches the layer.
        await wait_until(lambda: bool(away.groups))
        made = away.calls["new_channel"]
        async with streaming(consumer(), SUBSCRIBE):
            assert away.calls["new_channel"] == made
        await stream.leave()


async def test_a_client_that_leaves_meanwhile_leaves_nothing_behind(
    away: FaultyChannelLayer,
) -> None:
    body = json.dumps({"query": SLOWLY}).encode()
    headers = {"Accept": EVENTS, "Content-Type": "application/json"}
    async with exchange(consumer(), "POST", "/graphql/", headers) as one:
        await one.send(body)
        assert await one.is_silent()
        await one.leave()
    assert not away.groups

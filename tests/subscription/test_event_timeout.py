"""Hooks that hang: they cost one event, and the log says which."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import graphene
import pytest

from channels_graphql_ws import GraphqlWsConsumer, Subscription
from channels_graphql_ws.client_log import LINES
from channels_graphql_ws.subscription import patience
from channels_graphql_ws.subscription.patience import (
    ENDLESS,
    HookTimeoutError,
    HookWatch,
    Overdue,
    Patience,
    overdue_of_loop,
)
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from support import tick, wait_until


class Hanging(Subscription):
    """Hangs where the payload says so."""

    class Meta:
        abstract = True

    text = graphene.String()

    async def publish(self, info):
        if self == "publish":
            await asyncio.Event().wait()
        return {"text": self}

    async def filter_event(self, info):
        if self == "filter":
            await asyncio.Event().wait()
        return True


class OnAlone(Hanging):
    pass


class OnShared(Hanging):
    def context_id(self, info):
        return "all"


class OnFirst(Hanging):
    async def initial(self, info):
        await asyncio.Event().wait()


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    alone = OnAlone.Field()
    shared = OnShared.Field()
    first = OnFirst.Field()


class Consumer(GraphqlWsConsumer):
    schema = graphene.Schema(query=Query, subscription=Root)
    confirm_subscriptions = True
    event_timeout = 0.05
    warn_operation_timeout = 0.01


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(patience, "EVERY", 0.01)


async def subscribed(field: str, **options: Any) -> GraphqlWsClient:
    application = type("Mine", (Consumer,), options).as_asgi()
    client = GraphqlWsClient(GraphqlWsTransport(application, "/"))
    await client.connect_and_init()
    await client.subscribe(f"subscription {{ x: {field} {{ text }} }}")
    return client


async def payload_of(client: GraphqlWsClient) -> Any:
    message = await client.transport.receive()
    assert message["type"] == "next", message
    return message["payload"]


TOO_LONG = {
    "message": "This event took longer than 0.05 seconds.",
    "extensions": {"code": "EVENT_TIMEOUT"},
}


@pytest.mark.parametrize(
    ("field", "where", "hook"),
    [
        ("alone", "publish", "publish"),
        ("alone", "filter", "filter_event"),
        ("shared", "publish", "publish"),
        ("shared", "filter", "filter_event"),
    ],
)
async def test_an_event_that_hangs_is_an_error_and_the_stream_goes_on(
    field: str, where: str, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    cls = OnAlone if field == "alone" else OnShared
    clients = [await subscribed(field) for _ in range(2)]
    for payload in ("before", where, "after"):
        await cls.broadcast(payload=payload)
    for client in clients:
        assert (await payload_of(client))["data"] == {"x": {"text": "before"}}
        assert (await payload_of(client))["errors"] == [TOO_LONG]
        assert (await payload_of(client))["data"] == {"x": {"text": "after"}}
    assert f"An event of {cls.__name__} has waited for `{hook}` for" in caplog.text
    assert f"An event of {cls.__name__} was given up: `{hook}` took too long" in caplog.text
    for client in clients:
        await client.finalize()


async def test_a_snapshot_that_hangs_is_an_error_and_events_follow(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = await subscribed("first")
    await OnFirst.broadcast(payload="1")
    assert (await payload_of(client))["errors"] == [TOO_LONG]
    assert (await payload_of(client))["data"] == {"x": {"text": "1"}}
    assert "An event of OnFirst has waited for `initial` for" in caplog.text
    await client.finalize()


async def test_without_a_limit_only_the_log_is_told(caplog: pytest.LogCaptureFixture) -> None:
    client = await subscribed("alone", event_timeout=None)
    await OnAlone.broadcast(payload="publish")
    await wait_until(lambda: "has waited for `publish`" in caplog.text)
    warnings = len(caplog.records)
    assert await client.settle() == []
    await client.finalize()
    assert len(caplog.records) == warnings == 1


async def test_without_a_warning_the_limit_holds(caplog: pytest.LogCaptureFixture) -> None:
    client = await subscribed("alone", warn_operation_timeout=None)
    await OnAlone.broadcast(payload="publish")
    assert (await payload_of(client))["errors"] == [TOO_LONG]
    assert "has waited for" not in caplog.text
    await client.finalize()


async def test_without_both_nothing_is_watched() -> None:
    client = await subscribed("alone", event_timeout=None, warn_operation_timeout=None)
    await OnAlone.broadcast(payload="1")
    assert (await payload_of(client))["data"] == {"x": {"text": "1"}}
    assert overdue_of_loop()._timer is None
    await client.finalize()


async def test_a_client_that_leaves_while_its_event_hangs_is_gone() -> None:
    client = await subscribed("alone", event_timeout=20)
    await OnAlone.broadcast(payload="publish")
    await client.settle()
    await client.finalize()


class OnSetUp(Subscription):
    """Hangs when it is set up or ended."""

    class Arguments:
        where = graphene.String()

    text = graphene.String()

    async def subscribe(self, info, where):
        if where == "subscribe":
            await asyncio.Event().wait()

    async def context_id(self, info, where):
        if where == "context_id":
            await asyncio.Event().wait()

    async def unsubscribed(self, info, where):
        if where == "unsubscribed":
            await asyncio.Event().wait()

    def publish(self, info, where):
        return {"text": self}


async def count(root, info, where):
    if where == "before":
        await asyncio.Event().wait()

    async def events():
        for number in range(2):
            yield {"text": str(number)}

    return events()


class Item(graphene.ObjectType):
    text = graphene.String()

    async def resolve_text(self, info):
        if self["text"] == "0":
            await asyncio.Event().wait()
        return self["text"]


class SetUpRoot(graphene.ObjectType):
    set_up = OnSetUp.Field()
    numbers = graphene.Field(Item, where=graphene.String())

    subscribe_numbers = staticmethod(count)

    def resolve_numbers(self, info, where):
        return self


class SetUpConsumer(Consumer):
    schema = graphene.Schema(query=Query, subscription=SetUpRoot)


async def set_up(field: str, where: str) -> tuple[GraphqlWsClient, Any]:
    client = GraphqlWsClient(GraphqlWsTransport(SetUpConsumer.as_asgi(), "/"))
    await client.connect_and_init()
    query = f'subscription {{ x: {field}(where: "{where}") {{ text }} }}'
    await client.transport.send({"type": "subscribe", "id": "1", "payload": {"query": query}})
    return client, await client.transport.receive()


@pytest.mark.parametrize(
    ("field", "where", "hook"),
    [
        ("setUp", "subscribe", "subscribe"),
        ("setUp", "context_id", "context_id"),
        ("numbers", "before", "count"),
    ],
)
async def test_a_subscription_that_hangs_while_it_is_set_up_is_refused(
    field: str, where: str, hook: str, caplog: pytest.LogCaptureFixture
) -> None:
    client, message = await set_up(field, where)
    assert message["type"] == "error"
    [error] = message["payload"]
    assert error["message"] == f"`{hook}` took longer than 0.05 seconds."
    assert error["extensions"]["code"] == "SUBSCRIBE_TIMEOUT"
    assert f"has waited for `{hook}`" in caplog.text
    await client.finalize()


async def test_an_unsubscribed_hook_that_hangs_is_given_up_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    client, _ = await set_up("setUp", "unsubscribed")
    await client.transport.send({"type": "complete", "id": "1"})
    await wait_until(lambda: "was given up: `unsubscribed` took too long" in caplog.text)
    await client.finalize()
    assert "failed" not in caplog.text


async def test_an_event_of_a_generator_that_hangs_is_an_error_and_it_goes_on() -> None:
    client, _ = await set_up("numbers", "no")
    assert (await payload_of(client))["errors"] == [TOO_LONG]
    assert (await payload_of(client))["data"] == {"x": {"text": "1"}}
    await client.finalize()


async def test_a_hook_that_swallows_cancellations_is_asked_again_and_its_result_counts() -> None:
    async def stubborn() -> str:
        for _ in range(2):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue
        return "after all"

    watch = HookWatch("An event of X", "publish", Patience(timeout=0.01))
    assert await watch.wait(stubborn()) == "after all"
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()


async def test_who_is_cancelled_by_somebody_else_is_cancelled() -> None:
    watch = HookWatch("An event of X", "publish", Patience(timeout=0.01))
    task = asyncio.create_task(watch.wait(asyncio.Event().wait()))
    await tick()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert overdue_of_loop()._timer is None
    watch.has_waited(1)


async def test_the_log_is_told_of_a_few_hooks_of_those_that_hang(
    caplog: pytest.LogCaptureFixture,
) -> None:
    at_once = Patience(warn_after=0, timeout=0)
    watches = [HookWatch("An event of X", "publish", at_once) for _ in range(LINES + 5)]
    tasks = [asyncio.create_task(each.wait(asyncio.Event().wait())) for each in watches]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in results] == [HookTimeoutError] * len(watches)
    texts = [each.getMessage() for each in caplog.records]
    assert sum("has waited for `publish`" in each for each in texts) == LINES
    assert sum("was given up" in each for each in texts) == LINES


async def test_others_are_served_between_looks_at_many_hooks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(patience, "AT_ONCE", 1)
    noted: list[str] = []
    overdue = Overdue()

    class Noting(HookWatch):
        """Notes when it is looked at; the first one sees the second one end meanwhile."""

        __slots__ = ()

        def has_waited(self, seconds: float) -> None:
            if not noted:
                overdue.end(watches[1])
                asyncio.get_running_loop().call_soon(noted.append, "others")
            noted.append(self._what)

    watches = [Noting(name, "publish", ENDLESS) for name in "abc"]
    for each in watches:
        overdue.begin(each)
    await wait_until(lambda: len(noted) > 4)
    # The next round begins by the timer.
    assert noted[:5] == ["a", "others", "c", "a", "c"]
    overdue.end(watches[0])
    overdue.end(watches[2])
    assert overdue._timer is None


async def test_a_round_ends_with_the_last_hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "AT_ONCE", 1)
    overdue = Overdue()
    watch = HookWatch("An event of X", "publish", ENDLESS)
    overdue.begin(watch)
    assert overdue._timer is not None
    overdue._timer.cancel()
    overdue._look()
    handle = overdue._timer
    overdue.end(watch)
    assert handle.cancelled()

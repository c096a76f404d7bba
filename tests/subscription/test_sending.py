"""Broadcasts that go out with the commit of a database transaction, or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import graphene
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction
from django.test import override_settings
from django.utils.connection import ConnectionDoesNotExist

from channels_graphql_ws import GraphqlWsConsumer, PayloadTypeError, Subscription
from channels_graphql_ws.pubsub.outgoing import failures
from channels_graphql_ws.subscription import sending
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport
from support import tick

BOTH = pytest.mark.django_db(transaction=True, databases=["default", "other"])


class OnSale(Subscription):
    """Tells what was sold."""

    what = graphene.String()

    @staticmethod
    def publish(payload: Any, info: Any) -> dict[str, Any]:
        return payload if isinstance(payload, dict) else {"what": payload}


class OnOrder(OnSale):
    """Says itself that it waits for the commit."""

    broadcast_on_commit = True


class OnField(OnSale):
    """Has a field of that name, as a class of the predecessor may."""

    broadcast_on_commit = graphene.String()


class Query(graphene.ObjectType):
    """Without one, a schema is not valid."""

    ok = graphene.Boolean()


class Subscriptions(graphene.ObjectType):
    """All of them."""

    on_sale = OnSale.Field()
    on_order = OnOrder.Field()
    on_field = OnField.Field()


class Consumer(GraphqlWsConsumer):
    """Serves them."""

    schema = graphene.Schema(query=Query, subscription=Subscriptions)


@pytest.fixture
async def client() -> AsyncIterator[GraphqlWsClient]:
    """A client that is subscribed to all of them."""
    client = GraphqlWsClient(GraphqlWsTransport(Consumer.as_asgi(), path="/"))
    await client.connect_and_init()
    for field in ("onSale", "onOrder", "onField"):
        await client.subscribe(f"subscription {{ {field} {{ what }} }}", wait_confirmation=False)
    yield client
    await client.finalize()


async def received(client: GraphqlWsClient, count: int) -> list[str]:
    """Return what was sold, and check that nothing else comes."""
    sold = [await sale(client) for _ in range(count)]
    # Whatever else was sent would come before what is sent now.
    for cls in (OnSale, OnOrder, OnField):
        await cls.broadcast(payload="the last", on_commit=False)
        assert await sale(client) == "the last"
    assert await client.settle() == []
    return sold


async def sale(client: GraphqlWsClient) -> str:
    """Return what the next event tells of."""
    (value,) = (await client.receive())["data"].values()
    what: str = value["what"]
    return what


async def in_thread(work: Callable[[], Any]) -> Any:
    """Do synchronous work where Django's connection is."""
    return await sync_to_async(work)()


def sold(what: str | dict[str, str], **options: Any) -> Any:
    return OnSale.broadcast(payload=what, **{"on_commit": True, **options})


@BOTH
async def test_an_event_comes_with_the_commit_and_in_order(client: GraphqlWsClient) -> None:
    def work() -> None:
        with transaction.atomic():
            sold("tea")
            with transaction.atomic():
                sold("milk")
            sold("sugar")
            sold("now", on_commit=False)

    await in_thread(work)
    assert await received(client, 4) == ["now", "tea", "milk", "sugar"]


@BOTH
async def test_nothing_is_told_of_what_is_rolled_back(client: GraphqlWsClient) -> None:
    def work() -> None:
        with suppress(KeyError), transaction.atomic():
            sold("lost")
            raise KeyError
        with transaction.atomic():
            sold("tea")
            with suppress(KeyError), transaction.atomic():
                sold("lost")
                raise KeyError

    await in_thread(work)
    assert await received(client, 1) == ["tea"]


@BOTH
async def test_outside_of_a_transaction_an_event_comes_at_once(client: GraphqlWsClient) -> None:
    await in_thread(lambda: sold("tea"))
    await sold("milk")
    await OnSale.broadcast_async(payload="sugar", on_commit=True)
    await in_thread(lambda: OnSale.broadcast_sync(payload="salt", on_commit=True))
    assert await received(client, 4) == ["tea", "milk", "sugar", "salt"]


@BOTH
async def test_a_coroutine_inside_of_a_transaction_waits_for_its_commit(
    client: GraphqlWsClient,
) -> None:
    async def later() -> None:
        await sold("tea")
        await OnSale.broadcast_async(payload="milk", on_commit=True)

    def work() -> None:
        with transaction.atomic():
            async_to_sync(later)()
            OnSale.broadcast_sync(payload="sugar", on_commit=True)
            sold("now", on_commit=False)
        with suppress(KeyError), transaction.atomic():
            async_to_sync(later)()
            raise KeyError

    await in_thread(work)
    assert await received(client, 4) == ["now", "tea", "milk", "sugar"]


@BOTH
async def test_what_is_returned_may_be_awaited(client: GraphqlWsClient) -> None:
    async def later() -> None:
        returned.append(await sold("tea"))

    def work() -> None:
        with transaction.atomic():
            async_to_sync(later)()
            returned.append(sold("milk"))

    returned: list[Any] = []
    await in_thread(work)
    assert returned[0] is None
    assert await returned[1] is None
    assert await received(client, 2) == ["tea", "milk"]


@BOTH
async def test_the_transaction_of_another_database_may_count(client: GraphqlWsClient) -> None:
    def work() -> None:
        with transaction.atomic(using="other"):
            sold("after", using="other")
            sold("tea")

    await in_thread(work)
    assert await received(client, 2) == ["tea", "after"]


@BOTH
async def test_the_class_or_the_setting_may_say_it(client: GraphqlWsClient) -> None:
    def work() -> None:
        with transaction.atomic():
            for cls in (OnOrder, OnSale, OnField):
                cls.broadcast(payload=cls.__name__)
            OnOrder.broadcast(payload="now", on_commit=False)

    await in_thread(work)
    assert await received(client, 4) == ["OnSale", "OnField", "now", "OnOrder"]
    with override_settings(CHANNELS_GRAPHQL_WS={"BROADCAST_ON_COMMIT": True}):
        await in_thread(work)
    assert await received(client, 4) == ["now", "OnOrder", "OnSale", "OnField"]


@BOTH
async def test_an_end_of_subscriptions_waits_too(client: GraphqlWsClient) -> None:
    def work() -> None:
        with transaction.atomic():
            OnSale.unsubscribe(on_commit=True)
            OnSale.unsubscribe_sync(on_commit=True)
            async_to_sync(OnSale.unsubscribe_async)(on_commit=True)
            sold("now", on_commit=False)

    await in_thread(work)
    assert (await client.receive())["data"] == {"onSale": {"what": "now"}}
    await client.receive(assert_type="complete")


@BOTH
async def test_what_is_changed_after_the_call_does_not_go_out(client: GraphqlWsClient) -> None:
    sale = {"what": "tea"}
    sending = sold(sale, on_commit=False)
    sale["what"] = "changed"
    await sending

    def work() -> None:
        with transaction.atomic():
            later = {"what": "milk"}
            sold(later)
            later["what"] = "changed"

    await in_thread(work)
    assert await received(client, 2) == ["tea", "milk"]


@BOTH
def test_a_payload_is_refused_at_the_call() -> None:
    with transaction.atomic():
        with pytest.raises(PayloadTypeError):
            sold(object())  # type: ignore[arg-type]
        with pytest.raises(ConnectionDoesNotExist):
            sold("tea", using="nowhere")
        with pytest.raises(TypeError, match="add `on_commit=True`"):
            sold("tea", on_commit=False, using="other")


@pytest.mark.django_db
def test_a_test_case_sees_what_waits(django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks() as callbacks:
        sold("tea")
        sold("milk")
    assert len(callbacks) == 2


@BOTH
async def test_a_layer_that_fails_at_the_commit_fails_no_transaction(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no Redis")

    def work() -> None:
        with transaction.atomic():
            sold("tea")

    monkeypatch.setattr(failures, "_said", {})
    monkeypatch.setattr(sending.publisher, "send_now", fail)
    await in_thread(work)
    assert "OnSale.broadcast(group=None) failed and nobody awaited it" in caplog.text


@BOTH
async def test_a_coroutine_learns_of_a_failure_or_else_the_log_does(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: Any) -> None:
        raise OSError("no Redis")

    monkeypatch.setattr(failures, "_said", {})
    monkeypatch.setattr(sending, "send_async", fail)
    with pytest.raises(OSError, match="no Redis"):
        await sold("tea")
    sold("milk")
    running = list(sending._running)
    await asyncio.wait(running)
    assert "OnSale.broadcast(group=None) failed and nobody awaited it" in caplog.text


@BOTH
def test_an_event_loop_that_ends_too_early_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        sold("tea")
        await tick()

    monkeypatch.setattr(failures, "_said", {})
    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert "await broadcasts of the last moment" in caplog.text


@pytest.mark.parametrize("call", ["broadcast", "unsubscribe", "disconnect"])
def test_the_warning_about_a_call_that_nobody_awaited_names_class_and_cure(call: str) -> None:
    text = rf"'OnSale.{call}_async \(await it, or call OnSale.{call}\)' was never awaited"
    forget = getattr(OnSale, f"{call}_async")
    with pytest.warns(RuntimeWarning, match=text):
        forget()


async def test_a_broadcast_that_outlives_its_request_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def of_request(*_: Any, **__: Any) -> Any:
        async def called(*_: Any) -> bool:
            raise RuntimeError("CurrentThreadExecutor already quit or is broken")

        return called

    monkeypatch.setattr(sending, "sync_to_async", of_request)
    with pytest.raises(RuntimeError, match="await broadcasts in coroutines"):
        await sold("milk")

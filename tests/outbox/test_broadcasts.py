"""Durable broadcasts: written with the data, and sent with the commit by the process itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import DatabaseError, OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.connection import ConnectionDoesNotExist

from channels_graphql_ws import PayloadTypeError
from channels_graphql_ws.outbox import writing
from channels_graphql_ws.outbox.models import OutboxEvent
from channels_graphql_ws.pubsub import local, publisher
from channels_graphql_ws.subscription.durable import installed
from channels_graphql_ws.testing import GraphqlWsClient
from outbox_schema import Consumer, OnHurry, OnKept, OnOrder, OnSale, OnSpoken
from support import GUARD, tick

BOTH = pytest.mark.django_db(transaction=True, databases=["default", "other"])


async def received(client: GraphqlWsClient, count: int) -> list[str]:
    """Return what was sold, and check that nothing else comes."""
    sold = [await sale(client) for _ in range(count)]
    # Whatever else was sent would come before what is sent now.
    for cls in (OnSale, OnOrder, OnKept, OnHurry, OnSpoken):
        await cls.broadcast(payload="the last", durable=False)
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


def rows(using: str = "default") -> list[OutboxEvent]:
    return list(OutboxEvent.objects.using(using))


def sold(what: str, **options: Any) -> Any:
    return OnSale.broadcast(payload=what, **{"durable": True, **options})


@BOTH
async def test_an_event_is_a_row_of_the_transaction_and_comes_with_the_commit(
    client: GraphqlWsClient,
) -> None:
    def work() -> list[OutboxEvent]:
        with transaction.atomic():
            sold("tea", group=None)
            with transaction.atomic():
                sold("milk")
            OnKept.broadcast(payload="sugar", durable=True)
            written = rows()
            OnSale.broadcast(payload="now")
        return written

    written = await in_thread(work)
    assert [row.class_path for row in written] == [
        "outbox_schema.OnSale",
        "outbox_schema.OnSale",
        "outbox_schema.OnKept",
    ]
    assert await received(client, 4) == ["now", "tea", "milk", "sugar"]
    assert await in_thread(rows) == []


@BOTH
async def test_of_what_is_rolled_back_there_is_no_row_and_no_event(
    client: GraphqlWsClient,
) -> None:
    def work() -> None:
        with suppress(KeyError), transaction.atomic():
            sold("lost")
            raise KeyError
        with transaction.atomic():
            sold("tea")
            with suppress(KeyError), transaction.atomic():
                sold("lost")
                raise KeyError
            assert len(rows()) == 1

    await in_thread(work)
    assert await received(client, 1) == ["tea"]
    assert await in_thread(rows) == []


@BOTH
async def test_it_works_in_coroutines_and_outside_of_transactions(
    client: GraphqlWsClient,
) -> None:
    async def later() -> None:
        await sold("tea")
        await OnSale.broadcast_async(payload="milk", durable=True)

    def work() -> None:
        with transaction.atomic():
            async_to_sync(later)()
            OnSale.broadcast_sync(payload="sugar", durable=True)
            assert len(rows()) == 3
        with suppress(KeyError), transaction.atomic():
            async_to_sync(later)()
            raise KeyError

    await in_thread(work)
    await sold("salt")
    await OnSale.broadcast_async(payload="oil", durable=True)
    assert await received(client, 5) == ["tea", "milk", "sugar", "salt", "oil"]
    assert await in_thread(rows) == []
    with pytest.raises(SynchronousOnlyOperation):
        OnSale.broadcast_sync(payload="lost", durable=True)


@BOTH
async def test_the_transaction_of_another_database_may_count(client: GraphqlWsClient) -> None:
    def work() -> None:
        with transaction.atomic(using="other"):
            sold("after", using="other")
            sold("tea")
            assert (len(rows()), len(rows("other"))) == (0, 1)

    await in_thread(work)
    assert await received(client, 2) == ["tea", "after"]
    assert await in_thread(lambda: rows("other")) == []


@BOTH
async def test_the_class_may_say_it(client: GraphqlWsClient) -> None:
    def work() -> None:
        with transaction.atomic():
            OnOrder.broadcast(payload="tea")
            OnOrder.broadcast(payload="now", durable=False)
            assert len(rows()) == 1

    await in_thread(work)
    assert await received(client, 2) == ["now", "tea"]


@BOTH
async def test_the_project_may_say_it(client: GraphqlWsClient, settings: Any) -> None:
    settings.CHANNELS_GRAPHQL_WS = {**settings.CHANNELS_GRAPHQL_WS, "BROADCAST_DURABLE": True}

    def work() -> None:
        with transaction.atomic():
            OnSale.broadcast(payload="tea")
            OnSale.broadcast(payload="milk", on_commit=True)
            assert len(rows()) == 2
            OnSale.broadcast(payload="now", durable=False)
            OnSale.broadcast(payload="at once", on_commit=False)
            OnHurry.broadcast(payload="by its class")
            OnSpoken.broadcast(payload="in a hurry")
            assert len(rows()) == 2

    await in_thread(work)
    expected = ["now", "at once", "by its class", "in a hurry", "tea", "milk"]
    assert await received(client, 6) == expected


@BOTH
def test_mistakes_are_told_at_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    with transaction.atomic():
        with pytest.raises(PayloadTypeError):
            sold(object())  # type: ignore[arg-type]
        with pytest.raises(ConnectionDoesNotExist):
            sold("tea", using="nowhere")
        with pytest.raises(TypeError, match=r"`on_commit=False` contradicts it.*durable=False"):
            sold("tea", on_commit=False)
        with pytest.raises(TypeError, match="group must be a string"):
            sold("tea", group=1)
        monkeypatch.setattr(installed, "outbox", None)
        with pytest.raises(ImproperlyConfigured) as caught:
            sold("tea")
    assert str(caught.value) == (
        "OnSale.broadcast(…, durable=True) needs an outbox: add 'channels_graphql_ws.outbox' to "
        "INSTALLED_APPS, and run `python manage.py migrate`"
    )


def test_a_database_that_nobody_looks_at_is_refused(settings: Any) -> None:
    settings.CHANNELS_GRAPHQL_WS = {"OUTBOX_DATABASES": ["other"]}
    with pytest.raises(ImproperlyConfigured, match=r"'default': add it to .*OUTBOX_DATABASES"):
        sold("tea")


@pytest.mark.usefixtures("bare_database")
def test_a_missing_table_is_told_at_the_call() -> None:
    with pytest.raises(OperationalError, match="no such table") as caught:
        sold("tea")
    assert "python manage.py migrate --database default" in caught.value.__notes__[0]


@BOTH
def test_names_of_groups_may_be_any_text() -> None:
    with transaction.atomic():
        names = ["Ω" * 300, "a\0b", "\ud800", None]
        for name in names:
            sold("tea", group=name)
        assert [row.group_name for row in rows()] == names


@pytest.mark.django_db
def test_a_test_case_sees_what_waits(
    django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "mounted", (Consumer,))
    with django_capture_on_commit_callbacks() as callbacks:
        sold("tea")
    assert (len(callbacks), len(rows())) == (1, 1)
    with django_capture_on_commit_callbacks(execute=True):
        sold("milk")
    # Nothing has sent the first.
    assert len(rows()) == 1


@BOTH
async def test_what_a_layer_does_not_take_stays_in_the_outbox(
    client: GraphqlWsClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no Redis")

    monkeypatch.setattr(publisher, "send_now", fail)
    await in_thread(lambda: sold("tea"))
    assert "OnSale.broadcast(group=None) was not sent with its commit: OSError" in caplog.text
    assert len(await in_thread(rows)) == 1
    assert await client.settle() == []


@BOTH
async def test_a_row_that_cannot_be_deleted_is_logged(
    client: GraphqlWsClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Objects:
        def using(self, alias: str) -> Any:
            raise DatabaseError("locked")

    def work() -> None:
        with transaction.atomic():
            sold("tea")
            monkeypatch.setattr(OutboxEvent, "objects", Objects())

    await in_thread(work)
    assert "of the outbox cannot be deleted: DatabaseError('locked')" in caplog.text
    assert await received(client, 1) == ["tea"]


@BOTH
def test_a_transaction_begun_by_hand_leaves_the_row_to_a_serving_process() -> None:
    transaction.set_autocommit(False)
    try:
        sold("tea")
        transaction.commit()
        assert len(rows()) == 1
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)


@BOTH
def test_a_process_that_reaches_nobody_leaves_the_row_to_a_serving_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local._process, "serves", False)
    monkeypatch.setattr(writing, "mounted", ())
    sold("tea")
    assert len(rows()) == 1


class _Sends:
    """Sends as an event loop does, and ends as a test says."""

    def __init__(self) -> None:
        self.sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def __call__(self, outgoing: Any) -> asyncio.Future[None]:
        return self.sent


@BOTH
async def test_a_transaction_on_an_event_loop_counts_where_django_allows_it(
    client: GraphqlWsClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    try:
        with transaction.atomic():
            await sold("tea")
            await OnSale.broadcast_async(payload="milk", durable=True)
        assert await received(client, 2) == ["tea", "milk"]
        async with asyncio.timeout(GUARD):
            # In the thread that deletes them: elsewhere, SQLite may say that the table is locked.
            while await in_thread(rows):
                await tick()
        outcomes: list[Callable[[Any], Any]] = [
            lambda sent: sent.set_exception(OSError("no Redis")),
            lambda sent: sent.cancel(),
        ]
        for outcome in outcomes:
            sends = _Sends()
            monkeypatch.setattr(writing, "send", sends)
            with transaction.atomic():
                sold("sugar")
            outcome(sends.sent)
            await tick(2)
        assert len(rows()) == 2
        assert "was not sent with its commit: OSError('no Redis')" in caplog.text
    finally:
        # SQLite's own `close` leaves a database in memory open.
        BaseDatabaseWrapper.close(connections["default"])

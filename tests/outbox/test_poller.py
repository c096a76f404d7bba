"""What a process has written and not sent is sent by a serving process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.apps import apps
from django.db import OperationalError, connection, connections, models, transaction
from django.db.models.functions import Now
from django.test import override_settings
from django.utils import timezone

import outbox_schema
from channels_graphql_ws import ChannelLayerError, OutboxStatistics, Subscription, statistics
from channels_graphql_ws.concurrency.threads import sync_in_callers_thread
from channels_graphql_ws.outbox import poller, rows, writing
from channels_graphql_ws.outbox.models import OutboxEvent
from channels_graphql_ws.pubsub.services import services
from channels_graphql_ws.testing import GraphqlWsClient
from outbox_schema import OnKept, OnSale
from support import tick, wait_until

CHILD = """
import os, sys
from django.conf import settings
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
    INSTALLED_APPS=["channels_graphql_ws.outbox"],
    CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}},
    USE_TZ=True,
)
import django
django.setup()
from django.db import transaction
from outbox_schema import Consumer, OnSale
Consumer.as_asgi()
with transaction.atomic():
    transaction.on_commit(lambda: os._exit(9))
    OnSale.broadcast(payload="tea", durable=True)
    OnSale.broadcast(payload="milk", durable=True)
"""


async def received(client: GraphqlWsClient, count: int) -> list[str]:
    """Return what was sold."""
    results = [await client.receive() for _ in range(count)]
    return [value["what"] for result in results for value in result["data"].values()]


def leave(*what: str, cls: type[Subscription] = OnSale, **values: Any) -> list[OutboxEvent]:
    """Write events that nobody sends with the commit."""
    with pytest.MonkeyPatch.context() as patch, transaction.atomic():
        patch.setattr(writing, "_send_committed", lambda *_: None)
        for each in what:
            cls.broadcast(payload=each, durable=True)
        left = list(reversed(OutboxEvent.objects.order_by("-pk")[: len(what)]))
        written = OutboxEvent.objects.filter(pk__in=[row.pk for row in left])
        written.update(**{"due_at": Now(), **values})
    return left


async def do(work: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """Do synchronous work in another thread than the event loop's."""
    return await sync_to_async(work)(*arguments, **options)


def count() -> int:
    return OutboxEvent.objects.count()


async def is_empty() -> None:
    """Wait until there is no row."""
    while await do(count):
        await tick()


async def test_what_a_killed_process_has_committed_is_sent_by_another(
    database: Path, client: GraphqlWsClient
) -> None:
    kit, package = Path(outbox_schema.__file__).parent, Path(rows.__file__).parents[2]
    code = f"import sys; sys.path[:0] = {[str(kit), str(package)]!r}\n{CHILD}"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, str(database))
    assert await process.wait() == 9
    assert await received(client, 2) == ["tea", "milk"]
    await is_empty()


async def test_rows_are_sent_in_their_order_and_once(
    database: Path, client: GraphqlWsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "BATCH", 2)
    names = ["tea", "milk", "sugar", "salt", "oil"]
    await do(leave, *names)
    assert await received(client, 5) == names
    await is_empty()
    [kept] = await do(leave, "bread", cls=OnKept, event="a" * 32)
    assert await received(client, 1) == ["bread"]
    await is_empty()
    # Another process has not seen that it was sent.
    await do(
        OutboxEvent(
            event="a" * 32,
            subscription=kept.subscription,
            group="null",
            payload=kept.payload,
            due_at=timezone.now(),
        ).save
    )
    await is_empty()
    await do(leave, "last", cls=OnKept)
    assert await received(client, 1) == ["last"]


async def test_a_row_whose_class_is_gone_is_kept_with_its_error(
    database: Path,
    client: GraphqlWsClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rows, "MOST_ATTEMPTS", 1)
    await do(leave, "gone", subscription="outbox_schema:OnGone:OnGone:")
    await do(leave, "gone", subscription="no_module.at_all:OnGone:OnGone:")
    await do(leave, "tea")
    assert await received(client, 1) == ["tea"]
    await wait_until(lambda: caplog.text.count("Gave up") == 2)
    assert "Gave up row 1 of the outbox (outbox_schema.OnGone, group null) after 1" in caplog.text
    given_up = OutboxEvent.objects.filter(due_at=None).order_by("pk")
    first, second = await do(lambda: list(given_up))
    assert (first.due_at, first.attempts) == (None, 1)
    assert first.error == "LookupError: there is no Subscription class outbox_schema.OnGone"
    assert second.error == "LookupError: there is no module 'no_module'"


class Fails:
    """Fails to send as often as it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, times: int, error: BaseException) -> None:
        self._send = poller.publisher.send_soon
        self.left, self._error = times, error
        fake = SimpleNamespace(send_soon=self.send_soon)
        monkeypatch.setattr(poller, "publisher", fake)

    def send_soon(self, layer: Any, outgoing: Any) -> asyncio.Future[None]:
        if not self.left:
            return self._send(layer, outgoing)
        self.left -= 1
        sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        sent.set_exception(self._error)
        return sent


async def test_a_layer_that_was_away_gets_the_event_when_it_is_back(
    database: Path,
    client: GraphqlWsClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rows, "MOST_ATTEMPTS", 1)
    monkeypatch.setattr(rows, "LONGEST_PAUSE", 0)
    fails = Fails(monkeypatch, 3, ChannelLayerError("no Redis"))
    await do(leave, "tea")
    assert await received(client, 1) == ["tea"]
    await is_empty()
    assert fails.left == 0
    assert caplog.text.count("Could not send row 1") == 1
    assert "Gave up" not in caplog.text


async def test_a_row_that_cannot_be_sent_for_long_is_given_up(
    database: Path,
    client: GraphqlWsClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Fails(monkeypatch, 10, ChannelLayerError("no\0Redis"))
    await do(leave, "tea", created_at=timezone.now() - timedelta(days=2))
    await wait_until(lambda: "Gave up row 1" in caplog.text)
    row = await do(OutboxEvent.objects.get)
    assert (row.due_at, row.error) == (None, "ChannelLayerError: noRedis")


async def test_a_layer_that_hangs_has_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    monkeypatch.setattr(poller, "SEND_TIMEOUT", 0.001)
    monkeypatch.setattr(poller, "publisher", SimpleNamespace(send_soon=lambda *_: never))
    claimed = rows.Claimed(OutboxEvent(pk=1), [(None, None)])  # type: ignore[list-item]
    assert str((await poller.send([claimed]))[1]) == "it took more than 0.001 seconds"


async def test_a_database_that_is_away_is_logged_once_until_it_is_back(
    database: Path,
    client: GraphqlWsClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(alias: str) -> Any:
        failures.append(alias)
        raise OperationalError("away")

    failures: list[str] = []
    claim = rows.claim
    monkeypatch.setattr(poller, "LONGEST_PAUSE", 0.0)
    monkeypatch.setattr(rows, "claim", fail)
    await wait_until(lambda: len(failures) > 2)
    monkeypatch.setattr(rows, "claim", claim)
    await do(leave, "tea")
    assert await received(client, 1) == ["tea"]
    await wait_until(lambda: "read again" in caplog.text)
    away, back = [line for line in caplog.messages if "outbox" in line]
    assert away.startswith("The outbox of the database 'default' cannot be read: Operational")
    assert back == "The outbox of the database 'default' can be read again"


@pytest.mark.usefixtures("bare_database")
async def test_a_database_without_the_table_is_left_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    one = poller.Database("default")
    assert not await one.look()
    assert not await one.look()
    assert caplog.messages == ["There is no table for the outbox: run `python manage.py migrate`"]


def test_an_unreadable_database_is_not_taken_for_one_without_the_table(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> Any:
        raise OperationalError("away")

    assert not rows.lacks_table("default")
    monkeypatch.setattr(connection.introspection, "table_names", fail)
    assert not rows.lacks_table("default")


async def test_another_error_than_the_databases_is_logged_too(
    database: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "claim", lambda alias: 1 / 0)
    assert not await poller.Database("default").look()
    assert "cannot be read: ZeroDivisionError" in caplog.text


def test_two_processes_never_claim_the_same_row(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave("tea", "milk", "sugar")
    monkeypatch.setattr(rows, "BATCH", 2)
    first, second = rows.claim("default"), rows.claim("default")
    assert [len(first), len(second), rows.claim("default")] == [2, 1, []]
    # The first was killed: when its lease is over, its rows are anybody's.
    OutboxEvent.objects.filter(pk=first[0].row.pk).update(due_at=Now())
    again = rows.claim("default")
    assert [each.row.pk for each in again] == [first[0].row.pk]
    # What the first has to say of a row that is another's now changes nothing.
    rows.settle("default", first[:1], {first[0].row.pk: ChannelLayerError("late")})
    assert OutboxEvent.objects.get(pk=first[0].row.pk).attempts == 0


def test_who_comes_second_finds_no_row_that_is_due(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process claims between the look and the UPDATE."""
    leave("tea")
    others: list[Any] = []

    def atomic(using: str) -> Any:
        monkeypatch.undo()
        others.extend(rows.claim("default"))
        return transaction.atomic(using=using)

    monkeypatch.setattr(rows, "transaction", SimpleNamespace(atomic=atomic))
    assert rows.claim("default") == []
    assert len(others) == 1


def test_rows_are_locked_where_the_database_can_do_it(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []

    def locked(self: Any, *, skip_locked: bool) -> Any:
        asked.append(skip_locked)
        return self

    leave("tea")
    monkeypatch.setattr(connection.features, "has_select_for_update_skip_locked", True)
    monkeypatch.setattr(models.QuerySet, "select_for_update", locked)
    assert len(rows.claim("default")) == 1
    assert asked == [True]


def test_rows_that_were_given_up_long_ago_are_deleted(
    database: Path, caplog: pytest.LogCaptureFixture
) -> None:
    old = timezone.now() - timedelta(days=8)
    leave("kept", due_at=None)
    leave("waits", created_at=old)
    leave("old", due_at=None, created_at=old)
    rows.delete_old("default")
    assert sorted(OutboxEvent.objects.values_list("pk", flat=True)) == [1, 2]
    assert "Deleted 1 rows of the outbox in the database 'default'" in caplog.text


async def test_what_is_in_the_outbox_is_counted_while_it_can_be_read(
    database: Path, client: GraphqlWsClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(alias: str) -> Any:
        raise OperationalError("away")

    monkeypatch.setattr(poller, "COUNT_EVERY", 0.0)
    long_ago = timezone.now() - timedelta(hours=1)
    in_an_hour = timezone.now() + timedelta(hours=1)
    await do(leave, "tea", "milk", due_at=in_an_hour, created_at=long_ago)
    await do(leave, "sugar", due_at=None, created_at=long_ago - timedelta(hours=1))
    await wait_until(lambda: [each.given_up for each in statistics().outbox] == [1])
    [counted] = statistics().outbox
    assert (counted.database, counted.waiting) == ("default", 2)
    assert 3_600 <= counted.oldest_seconds < 7_200
    await do(OutboxEvent.objects.all().delete)
    nothing = (OutboxStatistics("default", 0, 0, 0.0),)
    await wait_until(lambda: statistics().outbox == nothing)
    monkeypatch.setattr(rows, "count", fail)
    await wait_until(lambda: statistics().outbox == ())
    monkeypatch.undo()


async def test_rows_are_counted_every_15_seconds_and_no_longer_when_nobody_looks(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: list[str] = []
    count = rows.count
    monkeypatch.setattr(rows, "count", lambda alias: counts.append(alias) or count(alias))
    one = poller.Poller()
    one.acquire()
    await wait_until(lambda: statistics().outbox != ())
    looks = 0
    claim = rows.claim

    def look(alias: str) -> Any:
        nonlocal looks
        looks += 1
        return claim(alias)

    monkeypatch.setattr(rows, "claim", look)
    await wait_until(lambda: looks > 2)
    assert counts == ["default"]
    await one.release()
    assert statistics().outbox == ()


async def test_counts_stay_while_another_event_loop_looks(database: Path) -> None:
    one = poller.Poller()
    one.acquire()
    await wait_until(lambda: statistics().outbox != ())
    other = asyncio.new_event_loop()
    one._loops[other] = poller._Loop()
    await one.release()
    assert statistics().outbox != ()
    del one._loops[other]
    other.close()
    one.acquire()
    await one.release()
    assert statistics().outbox == ()


def test_a_class_whose_types_were_renamed_is_found_by_its_path(database: Path) -> None:
    leave("tea", subscription="outbox_schema:OnSale:Older:")
    leave("milk", subscription="tests_that_do_not_exist:A:A:")
    [found, lost] = rows.claim("default")
    assert [outgoing.sender for _, outgoing in found.addressed] == ["OnSale"]
    assert isinstance(lost.error, LookupError)


def test_attempts_are_not_numbered(database: Path) -> None:
    """Receivers would count each one that fails as an event that was lost."""
    leave("tea")
    [found] = rows.claim("default")
    assert [outgoing.is_numbered for _, outgoing in found.addressed] == [False]


def test_a_class_is_imported_if_nothing_has_done_it(
    database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "from outbox_schema import OnSale\nclass OnLate(OnSale):\n    pass\n"
    (tmp_path / "late_outbox_schema.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    leave("tea", subscription="late_outbox_schema:OnLate:OnLate:")
    [found] = rows.claim("default")
    assert [outgoing.sender for _, outgoing in found.addressed] == ["OnLate"]


def test_which_databases_are_looked_at(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The other one is in memory, where nobody else can have written.
    assert rows.databases() == ["default"]
    names = ["other", "default", "nowhere"]
    with override_settings(CHANNELS_GRAPHQL_WS={"OUTBOX_DATABASES": names}):
        assert rows.databases() == ["default"]
    monkeypatch.setitem(connections.settings["default"]["TEST"], "MIRROR", "other")
    assert rows.databases() == []


async def tasks_of_poller() -> int:
    return sum("Poller._run" in repr(task) for task in asyncio.all_tasks())


@pytest.mark.parametrize("every", [0.01, None])
async def test_one_task_looks_for_each_loop_unless_told_not_to(
    database: Path, every: float | None
) -> None:
    one = poller.Poller()
    with override_settings(CHANNELS_GRAPHQL_WS={"OUTBOX_LOOK_EVERY": every}):
        one.acquire()
        one.acquire()
        assert await tasks_of_poller() == (every is not None)
        await one.release()
        assert await tasks_of_poller() == (every is not None)
        await one.release()
        assert await tasks_of_poller() == 0


async def test_a_test_that_lends_its_thread_is_not_looked_at(database: Path) -> None:
    one = poller.Poller()
    token = sync_in_callers_thread.set(True)
    one.acquire()
    sync_in_callers_thread.reset(token)
    assert await tasks_of_poller() == 0
    await one.release()


async def test_of_several_loops_one_looks(database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, stopping = poller.Poller(), asyncio.Event()
    looks: list[str] = []

    async def look(self: Any) -> bool:
        looks.append("look")
        stopping.set()
        return True

    monkeypatch.setattr(poller.Database, "look", look)
    # Another event loop has looked, and will again.
    one._looked_at = float("inf")
    running = asyncio.create_task(one._run([poller.Database("default")], stopping))
    stopping_soon = asyncio.get_running_loop().call_later(0.05, stopping.set)
    await running
    assert looks == []
    stopping_soon.cancel()
    stopping.clear()
    one._looked_at = float("-inf")
    await one._run([poller.Database("default")], stopping)
    assert looks == ["look"]


async def test_a_look_that_hangs_is_given_up_at_the_end(
    database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, looks = poller.Poller(), asyncio.Event()

    async def look(self: Any) -> bool:
        looks.set()
        await asyncio.Event().wait()
        return True

    monkeypatch.setattr(poller.Database, "look", look)
    monkeypatch.setattr(poller, "STOP_TIMEOUT", 0.001)
    one.acquire()
    await looks.wait()
    await one.release()
    await tick(2)
    assert await tasks_of_poller() == 0


def test_the_app_may_be_made_ready_again() -> None:
    apps.get_app_config("channels_graphql_ws_outbox").ready()
    assert services.count(poller.poller) == 1


async def test_rows_that_cannot_be_sent_are_not_waited_for() -> None:
    error = LookupError("there is no such class")
    claimed = rows.Claimed(OutboxEvent(pk=7), error=error)
    assert await poller.send([claimed]) == {7: error}

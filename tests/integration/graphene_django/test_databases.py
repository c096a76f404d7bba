"""Databases that are locked, killed, several, or atomic."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import graphene
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core import mail
from django.db import OperationalError, connections, transaction
from django.db.backends.signals import connection_created
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.test import RequestFactory

import library_schema
from channels_graphql_ws import (
    GraphqlProtocolTypeRouter,
    GraphqlView,
    Subscription,
    SyncGraphqlView,
)
from channels_graphql_ws.operations.revalidation import Claim, refuted
from channels_graphql_ws.testing import GraphqlHttpClient, GraphqlWebsocketCommunicator
from file_database import file_database
from testapp.models import Author

LABELS = ("contenttypes", "auth", "sessions", "testapp")


class OnAuthor(Subscription):
    """Writes in a thread."""

    name = graphene.String()

    @staticmethod
    def publish(payload: Any, _info: Any) -> Any:
        return Author.objects.create(name=payload)


class OnAuthorLater(Subscription):
    """Writes by the asynchronous ORM."""

    name = graphene.String()

    @staticmethod
    async def publish(payload: Any, _info: Any) -> Any:
        return await Author.objects.acreate(name=payload)


class OnOther(Subscription):
    """Reads both databases."""

    names = graphene.List(graphene.String)

    @staticmethod
    def publish(_payload: Any, _info: Any) -> Any:
        names = [Author.objects.using(alias).get(pk=1).name for alias in ("default", "other")]
        return {"names": names}


class Subscriptions(graphene.ObjectType):
    on_author = OnAuthor.Field()
    on_author_later = OnAuthorLater.Field()
    on_other = OnOther.Field()


class Add(graphene.Mutation):
    class Arguments:
        fails = graphene.Boolean(default_value=False)

    ok = graphene.Boolean()

    @staticmethod
    def mutate(_root: Any, _info: Any, fails: bool) -> Any:
        for alias in ("default", "other"):
            Author.objects.using(alias).create(name="New")
        if fails:
            raise ValueError("after all")
        return {"ok": True}


class AddLater(graphene.ObjectType):
    ok = graphene.Boolean()

    @staticmethod
    async def resolve_ok(_root: Any, _info: Any) -> bool:
        return True


class Mutation(graphene.ObjectType):
    add = Add.Field()
    add_later = graphene.Field(AddLater)

    @staticmethod
    def resolve_add_later(_root: Any, _info: Any) -> AddLater:
        Author.objects.create(name="New")
        return AddLater()


schema = graphene.Schema(library_schema.Query, Mutation, Subscriptions)


def router(**options: Any) -> Any:
    return GraphqlProtocolTypeRouter(
        schema, middleware_stack=None, event_timeout=None, **{"mask_errors": False, **options}
    )


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the database, whose users do not wait while it is locked."""
    monkeypatch.setitem(connections.settings["default"], "OPTIONS", {"timeout": 0})
    return tmp_path / "library.sqlite3"


@pytest.fixture
def library(path: Path, django_db_blocker: Any) -> Iterator[None]:
    with file_database(path, django_db_blocker, *LABELS):
        yield


writers = pytest.mark.parametrize(
    ("subscription", "field"), [(OnAuthor, "onAuthor"), (OnAuthorLater, "onAuthorLater")]
)


@writers
async def test_an_event_that_meets_a_locked_database_fails_and_the_next_one_is_served(
    subscription: type[Subscription], field: str, path: Path, library: None
) -> None:
    async with (
        GraphqlWebsocketCommunicator(router(), "/graphql/") as socket,
        socket.subscribe(f"subscription {{ {field} {{ name }} }}") as results,
    ):
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        await subscription.broadcast(payload="Ada")
        failed = await anext(results)
        assert [each.message for each in failed.errors] == ["database is locked"]
        other.execute("ROLLBACK")
        other.close()
        await subscription.broadcast(payload="Bob")
        assert (await anext(results)).data == {field: {"name": "Bob"}}


@pytest.fixture
def opened(library: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The connections that were opened, and stay so; as elsewhere, broken ones are known."""

    def is_usable(self: Any) -> bool:
        try:
            self.connection.execute("SELECT 1")
        except sqlite3.Error:
            return False
        return True

    made: list[Any] = []

    def created(connection: Any, **_: Any) -> None:
        made.append(connection)

    monkeypatch.setattr(DatabaseWrapper, "is_usable", is_usable)
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", None)
    # While tests run, threads keep no connections.
    monkeypatch.delattr(mail, "outbox")
    connection_created.connect(created)
    yield made
    connection_created.disconnect(created)
    for each in made:
        # It belongs to a thread that lives on, and must not outlive the file.
        each.inc_thread_sharing()
        each.close()


@writers
async def test_an_event_that_meets_a_broken_connection_fails_and_the_next_one_is_served(
    subscription: type[Subscription], field: str, opened: list[Any]
) -> None:
    async with (
        GraphqlWebsocketCommunicator(router(), "/graphql/") as socket,
        socket.subscribe(f"subscription {{ {field} {{ name }} }}") as results,
    ):
        await subscription.broadcast(payload="Ada")
        assert (await anext(results)).errors is None
        for connection in opened:
            if connection.connection is not None:
                connection.connection.close()
        await subscription.broadcast(payload="Bob")
        assert "closed database" in (await anext(results)).errors[0].message
        await subscription.broadcast(payload="Carol")
        assert (await anext(results)).data == {field: {"name": "Carol"}}


@pytest.fixture
def two_databases(path: Path, tmp_path: Path, django_db_blocker: Any) -> Iterator[list[Any]]:
    """Two databases, and the connections that were opened to them."""
    made: list[Any] = []

    def created(connection: Any, **_: Any) -> None:
        made.append(connection)

    with (
        file_database(path, django_db_blocker, *LABELS),
        file_database(tmp_path / "other.sqlite3", django_db_blocker, *LABELS, alias="other"),
    ):
        for alias in ("default", "other"):
            Author.objects.using(alias).create(name=f"Author of {alias}")
            connections[alias].close()
        connection_created.connect(created)
        yield made
        connection_created.disconnect(created)


async def test_an_event_may_use_several_databases(two_databases: list[Any]) -> None:
    async with (
        GraphqlWebsocketCommunicator(router(), "/graphql/") as socket,
        socket.subscribe("subscription { onOther { names } }") as results,
    ):
        for _ in range(4):
            await OnOther.broadcast()
            names = ["Author of default", "Author of other"]
            assert (await anext(results)).data == {"onOther": {"names": names}}
    assert {each.alias for each in two_databases} == {"default", "other"}
    assert all(each.connection is None for each in two_databases)


@pytest.mark.parametrize(
    ("atomic", "rolled_back"),
    [
        (False, []),
        (True, ["default"]),
        (["other"], ["other"]),
        (["default", "other"], ["default", "other"]),
    ],
)
async def test_a_mutation_is_atomic_in_the_databases_that_are_named(
    atomic: Any, rolled_back: list[str], two_databases: list[Any]
) -> None:
    application = router(atomic_mutations=atomic)
    client = GraphqlHttpClient(application)
    async with GraphqlWebsocketCommunicator(application, "/graphql/") as socket:
        for ask in (socket.execute, client.execute):
            result: Any = await ask("mutation { add(fails: true) { ok } }")
            assert [each.message for each in result.errors] == ["after all"]
            for alias in ("default", "other"):
                added = Author.objects.using(alias).filter(name="New")
                assert (await added.acount() == 0) is (alias in rolled_back)
                await added.adelete()
            result = await ask("mutation { add { ok } }")
            assert result.data == {"add": {"ok": True}}
            for alias in ("default", "other"):
                added = Author.objects.using(alias).filter(name="New")
                assert await added.acount() == 1
                await added.adelete()


@pytest.fixture
def full_disk(two_databases: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(_self: Any) -> None:
        raise OperationalError("the disk is full")

    monkeypatch.setattr(DatabaseWrapper, "_commit", commit)


@pytest.mark.parametrize("field", ["add", "addLater"])
async def test_a_commit_that_fails_is_told(field: str, full_disk: None) -> None:
    client = GraphqlHttpClient(router(atomic_mutations=True))
    result = await client.execute(f"mutation {{ {field} {{ ok }} }}")
    assert [each.message for each in result.errors] == ["the disk is full"]


@pytest.mark.parametrize("field", ["add", "addLater"])
async def test_strangers_are_not_told_why_a_commit_failed(
    field: str, full_disk: None, caplog: pytest.LogCaptureFixture
) -> None:
    application = router(atomic_mutations=True, mask_errors=True)
    client = GraphqlHttpClient(application)
    async with GraphqlWebsocketCommunicator(application, "/graphql/") as socket:
        for ask in (socket.execute, client.execute):
            caplog.clear()
            result: Any = await ask(f"mutation {{ {field} {{ ok }} }}")
            assert [each.message for each in result.errors] == ["Unexpected error."]
            assert "the disk is full" in caplog.text


@pytest.mark.parametrize("view_class", [SyncGraphqlView, GraphqlView])
def test_a_transaction_around_a_request_goes_on_to_its_end(view_class: Any, library: None) -> None:
    view = view_class.as_view(schema=schema)
    if view_class is GraphqlView:
        view = async_to_sync(view)
    body = {"query": "mutation { addLater { ok } }"}
    request = RequestFactory().post("/graphql/", body, content_type="application/json")
    added, committed = Author.objects.filter(name="New"), list[str]()
    with transaction.atomic():
        answer = json.loads(view(request).content)
        assert answer == {"data": {"addLater": {"ok": True}}}
        transaction.on_commit(lambda: committed.append("committed"))
    assert (added.count(), committed) == (1, ["committed"])


async def test_a_look_up_of_users_ends_no_transaction(library: None) -> None:
    claim = Claim(1, None, is_active=True, session=None)

    def in_transaction() -> int:
        with transaction.atomic():
            Author.objects.create(name="New")
            assert async_to_sync(refuted)([claim]) == {claim: None}
        return Author.objects.filter(name="New").count()

    assert await sync_to_async(in_transaction)() == 1

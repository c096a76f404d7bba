"""Test suites that were written for a Django view, with the clients and cases of Django."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import graphene
import pytest
from channels.db import database_sync_to_async
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import User
from django.db import DEFAULT_DB_ALIAS, connection, connections, transaction
from django.test import (
    AsyncClient,
    Client,
    RequestFactory,
    TestCase,
    TransactionTestCase,
    override_settings,
)
from django.urls import path
from django.utils.decorators import method_decorator
from django.utils.functional import SimpleLazyObject
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from graphene_django.utils.testing import GraphQLTestCase, GraphQLTransactionTestCase

import library_schema
from channels_graphql_ws import GraphqlView, SyncGraphqlView
from file_database import file_database
from testapp.models import Author, Book

SESSIONS = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]


class Fail(graphene.Mutation):
    ok = graphene.Boolean()

    @staticmethod
    def mutate(_root: Any, _info: Any) -> Fail:
        Author.objects.create(name="Nobody")
        raise ValueError("after all")


class AddByChannels(graphene.Mutation):
    """Does it as documentation of Channels says."""

    book = graphene.Field(library_schema.BookType)

    class Arguments:
        title = graphene.String()

    @staticmethod
    async def mutate(_root: Any, _info: Any, title: str) -> Any:
        return {"book": await database_sync_to_async(Book.objects.create)(title=title)}


class Mutation(library_schema.Mutation):
    fail = Fail.Field()
    add_by_channels = AddByChannels.Field()


class Query(library_schema.Query):
    me = graphene.String()
    in_atomic_block = graphene.Boolean()
    by_channels = graphene.Int()

    @staticmethod
    async def resolve_by_channels(_root: Any, _info: Any) -> int:
        return await database_sync_to_async(Book.objects.count)()

    @staticmethod
    def resolve_me(_root: Any, info: Any) -> str:
        return str(info.context.user)

    @staticmethod
    def resolve_in_atomic_block(_root: Any, _info: Any) -> bool:
        return connection.in_atomic_block


schema = graphene.Schema(query=Query, mutation=Mutation)


class Members(LoginRequiredMixin, GraphqlView):
    """For users that are logged in."""


class SyncMembers(LoginRequiredMixin, SyncGraphqlView):
    """For users that are logged in."""


@method_decorator(never_cache, name="dispatch")
class Fresh(GraphqlView):
    """Decorated."""


def stamped(view: Any) -> Any:
    def stamp(*args: Any, **kwargs: Any) -> Any:
        response = view(*args, **kwargs)
        response["X-Stamp"] = "1"
        return response

    return stamp


class Urls:
    urlpatterns = (
        path("graphql/", csrf_exempt(GraphqlView.as_view(schema=schema))),
        path("sync/", csrf_exempt(SyncGraphqlView.as_view(schema=schema))),
        path("members/", csrf_exempt(Members.as_view(schema=schema))),
        path("sync-members/", csrf_exempt(SyncMembers.as_view(schema=schema))),
        path("fresh/", csrf_exempt(Fresh.as_view(schema=schema))),
        path("stamped/", csrf_exempt(stamped(SyncGraphqlView.as_view(schema=schema)))),
    )


settings = override_settings(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["testserver"], MIDDLEWARE=SESSIONS)


def ask(client: Any, query: str, where: str = "/graphql/") -> Any:
    return client.post(where, json.dumps({"query": query}), content_type="application/json")


class _Suite:
    """What holds in both kinds of test cases, as for any view."""

    def setUp(self) -> None:
        library_schema.fill()

    def test_a_query_sees_the_data_of_the_test(self) -> None:
        for where in ("/graphql/", "/sync/"):
            query = "{ books { title author { name } } later { title } }"
            data = ask(self.client, query, where).json()["data"]  # type: ignore[attr-defined]
            assert [book["author"]["name"] for book in data["books"]] == [
                "Ada Lovelace",
                "Bob Dylan",
                "Bob Dylan",
            ]
            assert len(data["later"]) == 3

    def test_a_mutation_is_seen_by_the_test(self) -> None:
        for number, where in enumerate(("/graphql/", "/sync/")):
            answer = ask(
                self.client, 'mutation { addBook(title: "New") { book { title } } }', where
            )  # type: ignore[attr-defined]
            assert answer.json() == {"data": {"addBook": {"book": {"title": "New"}}}}
            assert Book.objects.filter(title="New").count() == number + 1

    def test_a_login_is_seen(self) -> None:
        self.client.force_login(User.objects.create_user("ada"))  # type: ignore[attr-defined]
        for where in ("/graphql/", "/sync/"):
            assert ask(self.client, "{ me }", where).json() == {"data": {"me": "ada"}}  # type: ignore[attr-defined]


@settings
class TestInOneTransaction(_Suite, TestCase):
    async def test_the_asynchronous_client_sees_it_too(self) -> None:
        for where in ("/graphql/", "/sync/"):
            answer = await ask(AsyncClient(), "{ books { title } later { title } }", where)
            assert len(answer.json()["data"]["books"]) == 3

    def test_broadcasts_at_commit_are_captured(self) -> None:
        done = []
        with self.captureOnCommitCallbacks(execute=True):
            transaction.on_commit(lambda: done.append(1))
            ask(self.client, "{ count }")
        assert done == [1]


@settings
class TestInTransactionsOfItsOwn(_Suite, TransactionTestCase):
    available_apps = None


class _GraphqlSuite:
    """A suite in the manner of graphene-django."""

    def setUp(self) -> None:
        library_schema.fill()

    def test_a_query(self: Any) -> None:
        response = self.query("query all { books { title } }", operation_name="all")
        self.assertResponseNoErrors(response)
        assert len(response.json()["data"]["books"]) == 3

    def test_a_mutation_with_variables(self: Any) -> None:
        document = "mutation ($t: String!) { addBook(title: $t) { book { title } } }"
        response = self.query(document, variables={"t": "New"})
        self.assertResponseNoErrors(response)
        assert Book.objects.filter(title="New").exists()

    def test_an_error(self: Any) -> None:
        self.assertResponseHasErrors(self.query("mutation { fail { ok } }"))
        self.assertResponseHasErrors(self.query("{ nonsense }"))


@settings
class TestOfGrapheneDjango(_GraphqlSuite, GraphQLTestCase):
    GRAPHQL_URL = "/graphql/"


@settings
class TestOfGrapheneDjangoWithASyncView(_GraphqlSuite, GraphQLTestCase):
    GRAPHQL_URL = "/sync/"


@settings
class TestOfGrapheneDjangoInTransactionsOfItsOwn(_GraphqlSuite, GraphQLTransactionTestCase):
    GRAPHQL_URL = "/graphql/"
    available_apps = None


def answer_of(request: Any, view: Any = GraphqlView) -> Any:
    return view.as_view(schema=schema)(request)


class TestUsers(TestCase):
    def _request(self) -> Any:
        request: Any = RequestFactory().post(
            "/graphql/", json.dumps({"query": "{ me }"}), content_type="application/json"
        )
        return request

    async def test_a_request_of_the_factory_has_the_user_that_was_put_there(self) -> None:
        request = self._request()
        request.user = User(username="bob")
        response = await answer_of(request)
        assert json.loads(response.content) == {"data": {"me": "bob"}}

    async def test_a_lazy_user_of_ones_own_middleware_may_ask_the_database(self) -> None:
        await User.objects.acreate(username="carol")
        request = self._request()
        request.user = SimpleLazyObject(lambda: User.objects.get(username="carol"))
        response = await answer_of(request)
        assert json.loads(response.content) == {"data": {"me": "carol"}}


@settings
class TestMiddleware(TestCase):
    def test_the_user_is_who_the_middleware_says(self) -> None:
        self.client.force_login(User.objects.create_user("ada"))
        with override_settings(MIDDLEWARE=[*SESSIONS, "suite_middleware.hide_user"]):
            for where in ("/graphql/", "/sync/"):
                answer = ask(self.client, "{ me }", where)
                assert answer.json() == {"data": {"me": "AnonymousUser"}}


@settings
class TestMixins(TestCase):
    def test_a_guest_is_sent_to_the_login(self) -> None:
        for where in ("/members/", "/sync-members/"):
            assert ask(self.client, "{ me }", where).status_code == 302
        self.client.force_login(User.objects.create_user("ada"))
        for where in ("/members/", "/sync-members/"):
            assert ask(self.client, "{ me }", where).json() == {"data": {"me": "ada"}}

    async def test_under_asgi_as_well(self) -> None:
        client = AsyncClient()
        assert (await ask(client, "{ me }", "/members/")).status_code == 302
        await client.aforce_login(await User.objects.acreate(username="ada"))
        assert (await ask(client, "{ me }", "/members/")).json() == {"data": {"me": "ada"}}

    def test_decorators_touch_the_response(self) -> None:
        assert "no-store" in ask(self.client, "{ me }", "/fresh/")["Cache-Control"]
        assert ask(self.client, "{ me }", "/stamped/")["X-Stamp"] == "1"


@pytest.fixture
def atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings[DEFAULT_DB_ALIAS], "ATOMIC_REQUESTS", True)


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("atomic_requests")
@pytest.mark.parametrize("where", ["/graphql/", "/sync/"])
def test_a_mutation_with_errors_is_rolled_back_where_requests_are_atomic(where: str) -> None:
    with settings:
        client = Client()
        answer = ask(client, "mutation { fail { ok } }", where).json()
        assert answer["errors"]
        assert not Author.objects.exists()
        ask(client, 'mutation { addBook(title: "New") { book { title } } }', where)
        assert Book.objects.count() == 1
        is_atomic = ask(client, "{ inAtomicBlock }", where).json()["data"]["inAtomicBlock"]
        assert is_atomic is (where == "/sync/")


@pytest.fixture
def own_connections(tmp_path: Path, django_db_blocker: Any) -> Iterator[None]:
    """A database that connections can be closed of: one in memory lives on."""
    with file_database(tmp_path / "db.sqlite3", django_db_blocker, "testapp"):
        yield


@pytest.mark.usefixtures("own_connections", "atomic_requests")
def test_the_transaction_of_a_request_is_kept_to_its_end() -> None:
    with settings:
        client = Client()
        for name in ("addBook", "addByChannels"):
            mutation = f'mutation {{ {name}(title: "{name}") {{ book {{ title }} }} }}'
            answer = ask(client, mutation, "/sync/").json()
            assert answer == {"data": {name: {"book": {"title": name}}}}
            assert Book.objects.filter(title=name).exists()
        assert ask(client, "mutation { fail { ok } }", "/sync/").json()["errors"]
        assert not Author.objects.filter(name="Nobody").exists()
        query = client.get("/sync/", {"query": "{ byChannels }"}).json()
        assert query == {"data": {"byChannels": 2}}


@pytest.mark.usefixtures("own_connections")
@pytest.mark.parametrize("where", ["/graphql/", "/sync/"])
def test_the_transaction_of_a_test_is_kept_to_its_end(where: str) -> None:
    with settings:
        with transaction.atomic():
            for name in ("addBook", "addByChannels"):
                mutation = f'mutation {{ {name}(title: "{name}") {{ book {{ title }} }} }}'
                answer = ask(Client(), mutation, where).json()
                assert answer == {"data": {name: {"book": {"title": name}}}}
            assert Book.objects.count() == 2
            transaction.set_rollback(True)
        assert not Book.objects.exists()

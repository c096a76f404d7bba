"""`SyncGraphqlHttpClient`: without an event loop, and in the transaction of the test."""

from __future__ import annotations

import asyncio
import gc
import json
import threading

import graphene
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group, User
from django.core.asgi import get_asgi_application
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import TestCase, override_settings
from django.urls import path
from graphql import ExecutionResult

import http_schema
from channels_graphql_ws import (
    GraphqlHttpConsumer,
    GraphqlProtocolTypeRouter,
    GraphqlView,
    RemoteProtocolError,
    Subscription,
)
from channels_graphql_ws.testing import SyncGraphqlHttpClient
from channels_graphql_ws.testing.portal import Portal
from http_schema import OnEvent

STORE = "mutation ($file: Upload!, $more: [Upload]) { store(file: $file, more: $more) { stored } }"
EVENTS = 'subscription { onEvent(group: "a") { event } }'
OPTIONS = {"schema": http_schema.schema, "multipart_uploads_enabled": True, "max_batch_size": 3}


class Urls:
    urlpatterns = (path("graphql/", GraphqlView.as_view(**OPTIONS)),)


@pytest.fixture(autouse=True)
def site():
    http_schema.calls.clear()
    with override_settings(
        ROOT_URLCONF=Urls,
        ALLOWED_HOSTS=["testserver"],
        MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
    ):
        yield


def consumer():
    return GraphqlHttpConsumer.as_asgi(**OPTIONS)


def router():
    return GraphqlProtocolTypeRouter(**OPTIONS, middleware_stack=None)


@pytest.fixture(params=[consumer, router, get_asgi_application])
def client(request):
    return SyncGraphqlHttpClient(request.param())


def threads():
    return [each for each in threading.enumerate() if each.name == "channels-graphql-ws-test"]


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_query_gives_a_result(client, method):
    query = "query A($n: String) { hello(name: $n) } query B { broken }"
    result = client.execute(query, {"n": "me"}, "A", method=method)
    assert (result.status, result) == (200, ExecutionResult({"hello": "Hello me!"}))
    assert threads() == []


def test_operations_are_sent_in_one_batch(client):
    query = {"query": "query ($n: String) { hello(name: $n) }", "variables": {"n": "you"}}
    one, other, broken = client.execute_batch(["{ hello }", query, "{ broken }"])
    assert (one.data, other.data) == ({"hello": "Hello world!"}, {"hello": "Hello you!"})
    assert (broken.status, broken.errors[0].message) == (200, "It is broken.")


def test_a_batch_that_is_refused_is_an_error(client):
    with pytest.raises(RemoteProtocolError, match="a JSON array, the application answered 400"):
        client.execute_batch(["{ hello }"] * 4)


def test_files_are_uploaded(client):
    files = {"file": b"bytes", "more.0": SimpleUploadedFile("a.txt", b"a file", "text/plain")}
    result = client.execute(STORE, {"more": [None]}, files=files)
    assert result.data == {"store": {"stored": ["file: bytes", "a.txt: a file"]}}


def test_headers_path_and_cookies_are_those_of_the_client():
    client = SyncGraphqlHttpClient(consumer(), "/g/?x=1", {"X-Own": "mine"}, csrf=False)
    client.execute("{ respond }")
    content = json.loads(client.execute("{ asked }", headers={"X-Own": "other"}).data["asked"])
    assert (content["header"], content["query_params"]) == ("other", {"x": "1"})
    assert content["cookies"] == {"cup": "full", "spoon": "silver"}
    assert set(client.cookies) == {"cup", "spoon"}


async def test_where_an_event_loop_runs_it_says_what_to_use():
    client = SyncGraphqlHttpClient(consumer())
    for call in (
        lambda: client.execute("{ hello }"),
        lambda: client.execute_batch(["{ hello }"]),
        lambda: next(client.subscribe(EVENTS)),
    ):
        with pytest.raises(RuntimeError, match="use GraphqlHttpClient"):
            call()


def test_other_parameters_are_sent_and_the_query_may_be_missing(client):
    result = client.execute(None, parameters={"documentId": "x"})
    assert (result.status, result.errors[0].message) == (400, '"query" is missing')
    events = client.subscribe("subscription { count(to: 1) }", parameters={"extensions": {}})
    assert [each.data for each in events] == [{"count": 0}]


def test_what_is_synchronous_is_done_in_the_thread_of_the_test():
    async def ask(portal):
        loop = asyncio.get_running_loop()
        with pytest.raises(KeyError, match="lost"):
            await loop.run_in_executor(portal, {}.__getitem__, "lost")
        return await loop.run_in_executor(portal, threading.get_ident)

    with Portal() as portal:
        portal.submit(print).cancel()
        assert portal.run(ask(portal)) == threading.get_ident()


def test_an_exception_of_the_application_surfaces():
    async def application(scope, receive, send):
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        SyncGraphqlHttpClient(application).execute("{ hello }")
    with pytest.raises(KeyError, match="lost"):
        next(SyncGraphqlHttpClient(application).subscribe(EVENTS))
    assert threads() == []


def test_events_are_iterated_to_the_end(client):
    with client.subscribe(EVENTS) as events:
        for text in ("one", "two"):
            OnEvent.broadcast(group="a", payload=text)
        assert events.take(2) == [
            ExecutionResult({"onEvent": {"event": text}}) for text in ("one", "two")
        ]
        OnEvent.unsubscribe(group="a")
        assert list(events) == []
    assert http_schema.calls == ["a"]
    assert threads() == []


def test_who_leaves_is_unsubscribed(client):
    with client.subscribe(EVENTS) as first, client.subscribe(EVENTS) as second:
        OnEvent.broadcast(group="a", payload="x")
        assert next(first) == next(second) == ExecutionResult({"onEvent": {"event": "x"}})
    assert http_schema.calls == ["a", "a"]


def test_a_stream_that_is_forgotten_comes_to_its_end(client):
    for result in client.subscribe("subscription { forever }"):
        assert result.data == {"forever": 0}
        break
    del result
    gc.collect()
    assert http_schema.calls == ["closed"]
    assert threads() == []


def test_fewer_results_than_are_wanted_are_an_error(client):
    with pytest.raises(AssertionError, match="Expected 3 results"):
        client.subscribe("subscription { count(to: 2) }").take(3)


def test_who_has_waited_in_vain_may_wait_again():
    class Impatient(SyncGraphqlHttpClient):
        TIMEOUT = 0.05

    with Impatient(consumer()).subscribe(EVENTS) as events:
        with pytest.raises(TimeoutError):
            next(events)
        OnEvent.broadcast(group="a", payload="late")
        assert next(events).data == {"onEvent": {"event": "late"}}


class Names(graphene.ObjectType):
    synchronous = graphene.List(graphene.String)
    asynchronous = graphene.List(graphene.String)
    thread = graphene.String()

    @staticmethod
    def resolve_synchronous(root, info):
        return list(Group.objects.values_list("name", flat=True))

    @staticmethod
    async def resolve_asynchronous(root, info):
        return [group.name async for group in Group.objects.all()]

    @staticmethod
    async def resolve_thread(root, info):
        return (await sync_to_async(threading.current_thread)()).name


class AddGroup(graphene.Mutation):
    class Arguments:
        name = graphene.String(required=True)

    ok = graphene.Boolean()

    @staticmethod
    def mutate(root, info, name):
        Group.objects.create(name=name)
        OnGroups.broadcast()
        OnSharedGroups.broadcast()
        return AddGroup(ok=True)


class OnGroups(Subscription):
    names = graphene.List(graphene.String)
    me = graphene.String()

    @staticmethod
    def publish(payload, info):
        return OnGroups(
            names=list(Group.objects.values_list("name", flat=True)),
            me=info.context.user.get_username(),
        )


class OnSharedGroups(OnGroups):
    """Executed for no client in particular, and in the transaction all the same."""

    class Meta:
        output = None

    @staticmethod
    def context_id(root, info):
        return "everybody"

    @staticmethod
    def publish(payload, info):
        return OnGroups(names=list(Group.objects.values_list("name", flat=True)))


class Mutation(graphene.ObjectType):
    add = AddGroup.Field()


class Subscriptions(graphene.ObjectType):
    groups = OnGroups.Field()
    shared = OnSharedGroups.Field()


GROUPS = {
    "schema": graphene.Schema(query=Names, mutation=Mutation, subscription=Subscriptions),
    "resolve_sync_in_threads": True,
    "confirm_subscriptions": True,
}


class GroupUrls:
    urlpatterns = (path("graphql/", GraphqlView.as_view(**GROUPS)),)


AUTHENTICATION = {
    "ROOT_URLCONF": GroupUrls,
    "MIDDLEWARE": [
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
    ],
}


class TransactionTests(TestCase):
    """All of this is rolled back: nobody but the connection of the test sees it."""

    def clients(self):
        Group.objects.create(name="cats")
        yield SyncGraphqlHttpClient(GraphqlProtocolTypeRouter(**GROUPS))
        with self.settings(**AUTHENTICATION):
            yield SyncGraphqlHttpClient(get_asgi_application())

    def test_resolvers_see_what_the_test_has_written(self):
        for client in self.clients():
            result = client.execute("{ synchronous asynchronous thread }")
            main = threading.current_thread().name
            assert result.errors is None
            assert result.data == {
                "synchronous": ["cats"],
                "asynchronous": ["cats"],
                "thread": main,
            }

    def test_the_test_sees_what_a_mutation_has_written(self):
        for number, client in enumerate(self.clients()):
            result = client.execute(f'mutation {{ add(name: "dogs{number}") {{ ok }} }}')
            assert result.errors is None
            assert Group.objects.filter(name=f"dogs{number}").exists()

    def test_events_are_worked_out_for_the_user_who_was_logged_in(self):
        user = User.objects.create_user("ada")
        for number, client in enumerate(self.clients()):
            client.force_login(user)
            with client.subscribe("subscription { groups { names me } }") as events:
                assert [confirmation.data for confirmation in events.take(1)] == [None]
                client.execute(f'mutation {{ add(name: "g{number}") {{ ok }} }}')
                (result,) = events.take(1)
            assert result.errors is None
            assert result.data["groups"]["me"] == "ada"
            assert f"g{number}" in result.data["groups"]["names"]

    def test_events_that_clients_share_are_worked_out_in_the_transaction_too(self):
        for number, client in enumerate(self.clients()):
            with client.subscribe("subscription { shared { names } }") as events:
                assert [confirmation.data for confirmation in events.take(1)] == [None]
                client.execute(f'mutation {{ add(name: "s{number}") {{ ok }} }}')
                (result,) = events.take(1)
            assert result.errors is None
            assert f"s{number}" in result.data["shared"]["names"]

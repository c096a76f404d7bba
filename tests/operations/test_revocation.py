"""Rights that end: logouts, other passwords and closed accounts end sockets and streams."""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext, suppress
from datetime import UTC, datetime, timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import graphene
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.auth import AuthMiddlewareStack, login, logout
from django.contrib.auth import aget_user, alogout, update_session_auth_hash
from django.contrib.auth import logout as plain_logout
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection, models, transaction
from django.http import HttpRequest
from django.test import AsyncClient, override_settings
from django.test.utils import isolate_apps
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from asgi_socket import LEGACY, AsgiSocket
from channels_graphql_ws import (
    ChannelLayerError,
    ConnectionClosedError,
    GraphqlHttpConsumer,
    GraphqlView,
    GraphqlWsConsumer,
    OperationContext,
    Subscription,
    SyncGraphqlView,
    disconnect_session,
    disconnect_user,
)
from channels_graphql_ws.operations import revocation, user_signals
from channels_graphql_ws.operations.lent import Lent
from channels_graphql_ws.operations.revocation import rights_of, seconds_until
from channels_graphql_ws.pubsub import publisher
from channels_graphql_ws.pubsub.hub import hub_of
from channels_graphql_ws.pubsub.layers import channel_layer
from channels_graphql_ws.pubsub.notification import Notification
from channels_graphql_ws.pubsub.outgoing import failures
from channels_graphql_ws.serializer import Serializer
from channels_graphql_ws.signals import ConnectionSignals
from channels_graphql_ws.testing import (
    GraphqlHttpClient,
    GraphqlWsClient,
    GraphqlWsTransport,
    alogin_headers,
)
from support import tick, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

SUBSCRIBE = "subscription { onSecret { text } }"


class OnSecret(Subscription):
    """Tells secrets."""

    text = graphene.String()

    @staticmethod
    def publish(payload: Any, info: Any) -> dict[str, Any]:
        return {"text": payload}


class Gate:
    """Where a resolver waits for a test."""

    def __init__(self) -> None:
        self.reached, self.may_go_on = asyncio.Event(), asyncio.Event()


class Query(graphene.ObjectType):
    """Without one, a schema is not valid."""

    ok = graphene.Boolean()


class Mutation(graphene.ObjectType):
    """Login and logout over the socket."""

    login = graphene.Boolean(name=graphene.String())
    renew = graphene.Boolean(seconds=graphene.Int())
    logout = graphene.Boolean()
    django_logout = graphene.Boolean()
    logout_later = graphene.Boolean()
    end_own = graphene.Boolean(way=graphene.String())
    end_own_later = graphene.Boolean()
    disconnect_other = graphene.Boolean(name=graphene.String())

    @staticmethod
    async def resolve_end_own(root: Any, info: Any, way: str) -> bool:
        await OWN_ENDS[way](await User.objects.aget(pk=info.context.user.pk))
        OnSecret.broadcast(payload="secret")
        return True

    @classmethod
    async def resolve_end_own_later(cls, root: Any, info: Any) -> bool:
        await disconnect_user(info.context.user)
        await disconnect_user(info.context.user)
        cls.gate.reached.set()
        await cls.gate.may_go_on.wait()
        return True

    @staticmethod
    async def resolve_disconnect_other(root: Any, info: Any, name: str) -> bool:
        await disconnect_user(await User.objects.aget(username=name))
        return True

    @staticmethod
    async def resolve_login(root: Any, info: Any, name: str = "ada") -> bool:
        await login(info.context.channels_scope, await User.objects.aget(username=name))
        return True

    @staticmethod
    def resolve_renew(root: Any, info: Any, seconds: int | None = None) -> bool:
        info.context.renew(None if seconds is None else time.time() + seconds)
        return True

    @staticmethod
    async def resolve_logout(root: Any, info: Any) -> bool:
        await logout(info.context.channels_scope)
        return True

    gate: Gate

    @classmethod
    async def resolve_logout_later(cls, root: Any, info: Any) -> bool:
        cls.gate.reached.set()
        await cls.gate.may_go_on.wait()
        await logout(info.context.channels_scope)
        return True

    @staticmethod
    async def resolve_django_logout(root: Any, info: Any) -> bool:
        await alogout(info.context)
        return True


async def set_password(user: User) -> None:
    user.set_password("milk")
    await user.asave()


async def deactivate(user: User) -> None:
    user.is_active = False
    await user.asave()


async def disconnect(user: User) -> None:
    await disconnect_user(user)


async def disconnect_class(user: User) -> None:
    await OnSecret.disconnect()


OWN_ENDS = {
    "password": set_password,
    "is_active": deactivate,
    "delete": User.adelete,
    "disconnect_user": disconnect,
    "disconnect": disconnect_class,
}
"""Ways of a mutation to end the rights of who has sent it."""


class Subscriptions(graphene.ObjectType):
    """The root type of the subscriptions."""

    on_secret = OnSecret.Field()


SESSIONS = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]

SCHEMA = graphene.Schema(query=Query, mutation=Mutation, subscription=Subscriptions)


class Stage:
    """A user, and clients of theirs."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.clients: list[GraphqlWsClient] = []

    async def session(self) -> list[tuple[bytes, bytes]]:
        """Log in; return the headers that carry the session."""
        return await alogin_headers(self.user)

    async def connected(self, headers: Any = None) -> GraphqlWsClient:
        """Return a client that is subscribed."""
        headers = await self.session() if headers is None else headers
        application = AuthMiddlewareStack(GraphqlWsConsumer.as_asgi(schema=SCHEMA))
        transport = GraphqlWsTransport(application, "/", {"headers": headers})
        client = GraphqlWsClient(transport)
        self.clients.append(client)
        await client.connect_and_init()
        await client.subscribe(SUBSCRIBE, wait_confirmation=False)
        return client


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    # As the first consumer that is mounted does; a test may have none.
    user_signals.connect()
    stage = Stage(await User.objects.acreate_user("ada", password="tea"))  # noqa: S106
    yield stage
    for client in stage.clients:
        await client.finalize()


async def ended(client: GraphqlWsClient) -> None:
    """Check that a client is closed with 4403, and gets nothing that comes later."""
    OnSecret.broadcast(payload="secret")
    closed = await client.wait_disconnect(assert_code=4403)
    assert closed["reason"] == revocation.REVOKED


async def stays(client: GraphqlWsClient) -> None:
    """Check that a client still gets events, and each of them once."""
    for text in ("news", "more"):
        await OnSecret.broadcast(payload=text)
        assert (await client.receive())["data"] == {"onSecret": {"text": text}}
    assert await client.settle() == []


async def over_http(way: str, headers: Any, query: str) -> None:
    """Execute an operation over HTTP in a session."""
    if way == "consumer":
        consumer = AuthMiddlewareStack(GraphqlHttpConsumer.as_asgi(schema=SCHEMA))
        result = await GraphqlHttpClient(consumer, headers=headers).execute(query)
        assert result.errors is None
        return
    await over_view(GraphqlView.as_view(schema=SCHEMA), headers, query)


async def over_view(view: Any, headers: Any, query: str) -> None:
    """Execute an operation over HTTP in a session, by a Django view."""
    view = csrf_exempt(view)
    urls = type("Urls", (), {"urlpatterns": [path("graphql/", view)]})
    # Django's application has threads of its own, whose connections to a database in memory it
    # never closes. Its client has not.
    client = AsyncClient()
    client.cookies.load(headers[0][1].decode())
    with override_settings(ROOT_URLCONF=urls, MIDDLEWARE=SESSIONS):
        response = await client.post("/graphql/", {"query": query}, "application/json")
    assert "errors" not in response.json()


async def in_thread(work: Callable[[], Any]) -> None:
    await sync_to_async(work)()


def request_of(headers: Any) -> HttpRequest:
    """Return a request of the session, as Django's middleware makes it."""
    request = HttpRequest()
    request.session = SessionStore(headers[0][1].decode().partition("=")[2])
    return request


async def logged_out(headers: Any) -> None:
    request = request_of(headers)
    request.user = await aget_user(request)
    request.auser = lambda: aget_user(request)
    await alogout(request)


async def test_a_logout_ends_the_sockets_of_its_session_and_no_others(stage: Stage) -> None:
    headers = await stage.session()
    one, other = await stage.connected(headers), await stage.connected(headers)
    elsewhere = await stage.connected()
    await logged_out(headers)
    await ended(one)
    await ended(other)
    for _ in range(2):
        await elsewhere.receive()
    await stays(elsewhere)


async def test_another_password_ends_all_sockets_of_the_user(stage: Stage) -> None:
    client, other = await stage.connected(), await stage.connected()
    stage.user.set_password("milk")
    await stage.user.asave()
    await ended(client)
    await ended(other)
    await stays(await stage.connected())


async def test_a_session_that_survives_a_new_password_connects_again(stage: Stage) -> None:
    headers = await stage.session()
    client = await stage.connected(headers)

    def work() -> None:
        stage.user.set_password("milk")
        stage.user.save()
        update_session_auth_hash(request, stage.user)
        request.session.save()

    request = request_of(headers)
    request.user = stage.user
    await in_thread(work)
    await ended(client)
    key = request.session.session_key
    await stays(await stage.connected([(b"cookie", f"sessionid={key}".encode())]))


@pytest.mark.parametrize("change", ["is_active", "delete"])
async def test_an_account_that_is_no_more_ends_them_with_the_commit(
    stage: Stage, change: str
) -> None:
    client = await stage.connected()

    def work() -> None:
        stage.user.is_active = False
        if change == "delete":
            stage.user.delete()
        else:
            stage.user.save(update_fields=["is_active"])

    def undone() -> None:
        with suppress(KeyError), transaction.atomic():
            work()
            raise KeyError

    key = stage.user.pk
    await in_thread(undone)
    await stays(client)
    stage.user = await User.objects.aget(pk=key)
    await in_thread(work)
    await ended(client)


with isolate_apps("testapp"):

    class Colleague(User):
        """A user under the name of a proxy."""

        class Meta:
            """No table of its own."""

            app_label = "testapp"
            proxy = True

    class Customer(User):
        """A user with a table of its own."""

        phone = models.CharField(max_length=20)

        class Meta:
            """Elsewhere than where the tests find models."""

            app_label = "testapp"


@pytest.fixture
async def table_of_customers(stage: Stage) -> AsyncIterator[None]:
    def change(method: str) -> None:
        with connection.schema_editor() as editor:
            getattr(editor, method)(Customer)

    await sync_to_async(change)("create_model")
    yield
    await sync_to_async(change)("delete_model")


@pytest.mark.parametrize("change", ["password", "is_active", "delete"])
@pytest.mark.parametrize("model", [Colleague, Customer])
@pytest.mark.usefixtures("table_of_customers")
async def test_a_user_that_is_saved_as_another_model_of_users_is_noticed(
    stage: Stage, model: type[User], change: str
) -> None:
    if model is Customer:
        stage.user = await Customer.objects.acreate(username="eve")
    client = await stage.connected()
    user = await model.objects.aget(pk=stage.user.pk)
    await user.asave()
    await stays(client)
    if change == "delete":
        await user.adelete()
    else:
        user.is_active = change != "is_active"
        user.set_password("milk")
        await user.asave()
    await ended(client)


@pytest.mark.usefixtures("table_of_customers")
async def test_a_user_stays_who_keeps_the_row_of_the_parent(stage: Stage) -> None:
    stage.user = customer = await Customer.objects.acreate(username="eve")
    client = await stage.connected()
    await sync_to_async(customer.delete)(keep_parents=True)
    await stays(client)


async def test_a_model_of_users_that_is_made_later_is_listened_to(stage: Stage) -> None:
    with isolate_apps("testapp"):

        class Late(User):
            """A proxy that is there when signals are connected."""

            class Meta:
                """No table of its own."""

                app_label = "testapp"
                proxy = True

    client = await stage.connected()
    user = await Late.objects.aget(pk=stage.user.pk)
    user.is_active = False
    await user.asave()
    await ended(client)


async def test_what_changes_no_rights_ends_nothing(stage: Stage) -> None:
    client = await stage.connected()
    other = await User.objects.acreate_user("bob", password="tea")  # noqa: S106
    await stage.session()
    await stage.user.asave()
    other.is_active = False
    await other.asave()
    await stays(client)


async def test_the_setting_switches_the_signals_off(stage: Stage) -> None:
    client = await stage.connected()
    with override_settings(CHANNELS_GRAPHQL_WS={"END_CONNECTIONS_OF_USERS": False}):
        stage.user.set_password("milk")
        await stage.user.asave()
    await stays(client)


@pytest.mark.parametrize("by_key", [True, False])
async def test_a_user_can_be_disconnected_by_hand(stage: Stage, *, by_key: bool) -> None:
    client = await stage.connected()
    await disconnect_user(stage.user.pk if by_key else stage.user)
    await ended(client)
    again = await stage.connected()
    await in_thread(lambda: disconnect_user(stage.user))
    await ended(again)


async def test_a_session_can_be_disconnected_by_hand(stage: Stage) -> None:
    headers = await stage.session()
    client, other = await stage.connected(headers), await stage.connected()
    await disconnect_session(headers[0][1].decode().partition("=")[2])
    await ended(client)
    await other.receive()
    await stays(other)


async def test_a_stream_ends_with_an_error(stage: Stage) -> None:
    application = AuthMiddlewareStack(GraphqlHttpConsumer.as_asgi(schema=SCHEMA))
    client = GraphqlHttpClient(application)
    await client.force_login(stage.user)
    async with client.subscribe(SUBSCRIBE) as results:
        await disconnect_user(stage.user)
        OnSecret.broadcast(payload="secret")
        (result,) = [each async for each in results]
    (error,) = result.errors or ()
    assert error.message == revocation.REVOKED
    assert error.extensions == {"code": "RIGHTS_ENDED"}


@pytest.mark.parametrize("way", ["consumer", "view"])
@pytest.mark.parametrize("leaves", ["logout", "djangoLogout", 'login(name: "bob")'])
async def test_who_leaves_a_session_over_http_ends_what_belongs_to_it(
    stage: Stage, way: str, leaves: str
) -> None:
    await User.objects.acreate_user("bob", password="tea")  # noqa: S106
    headers = await stage.session()
    client, elsewhere = await stage.connected(headers), await stage.connected()
    await over_http(way, headers, f"mutation {{ {leaves} }}")
    await ended(client)
    await elsewhere.receive()
    await stays(elsewhere)


@pytest.mark.parametrize("way", ["consumer", "view"])
async def test_who_stays_in_a_session_over_http_ends_nothing(stage: Stage, way: str) -> None:
    headers = await stage.session()
    client = await stage.connected(headers)
    await over_http(way, headers, "{ ok }")
    await stays(client)


async def test_a_logout_counts_though_nobody_waits_for_its_answer(stage: Stage) -> None:
    headers = await stage.session()
    client = await stage.connected(headers)
    gate = Mutation.gate = Gate()
    application = AuthMiddlewareStack(GraphqlHttpConsumer.as_asgi(schema=SCHEMA))
    mutation = GraphqlHttpClient(application, headers=headers).execute("mutation { logoutLater }")
    request = asyncio.create_task(mutation)
    await gate.reached.wait()
    request.cancel()
    gate.may_go_on.set()
    await asyncio.wait([request])
    closed = await client.wait_disconnect(assert_code=4403)
    assert closed["reason"] == revocation.REVOKED


async def test_a_logout_over_the_socket_is_answered_and_ends_the_others(stage: Stage) -> None:
    headers = await stage.session()
    client, other = await stage.connected(headers), await stage.connected(headers)
    await client.execute("mutation { logout }")
    await ended(other)
    assert await client.execute("{ ok }")


async def closed_after(client: GraphqlWsClient) -> list[dict[str, Any]]:
    """Return the messages of the server until it closes with 4403."""
    said = []
    while True:
        try:
            message = await client.transport.receive()
        except ConnectionClosedError as error:
            assert error.code == 4403  # noqa: PT017 (it is the end of the loop)
            return said
        if message["type"] != "ping":
            said.append(message)


@pytest.mark.parametrize("way", OWN_ENDS)
async def test_a_mutation_that_ends_the_rights_of_its_client_is_answered(
    stage: Stage, way: str
) -> None:
    client, other = await stage.connected(), await stage.connected()
    id = await client.start(f'mutation {{ endOwn(way: "{way}") }}')
    said = await closed_after(client)
    # The subscription ends at once, without what is broadcast later.
    assert [each["type"] for each in said] == ["complete", "next", "complete"]
    assert [each["id"] == id for each in said] == [False, True, True]
    assert said[1]["payload"]["data"] == {"endOwn": True}
    await closed_after(other)


async def test_whoever_has_ended_the_own_rights_begins_nothing_more(stage: Stage) -> None:
    Mutation.gate = Gate()
    client = await stage.connected()
    id = await client.start("mutation { endOwnLater }")
    await Mutation.gate.reached.wait()
    await client.start("{ ok }")
    await client.start(SUBSCRIBE)
    OnSecret.broadcast(payload="secret")
    await disconnect_user(stage.user)
    Mutation.gate.may_go_on.set()
    said = await closed_after(client)
    assert [each["type"] for each in said] == ["complete", "next", "complete"]
    assert said[1]["id"] == said[2]["id"] == id


async def test_whose_rights_are_ended_by_others_is_closed_at_once(stage: Stage) -> None:
    await User.objects.acreate_user("bob")
    client = await stage.connected()
    answer = await client.execute('mutation { disconnectOther(name: "bob") }')
    assert answer["data"] == {"disconnectOther": True}
    Mutation.gate = Gate()
    await client.start("mutation { logoutLater }")
    await Mutation.gate.reached.wait()
    await disconnect_user(stage.user)
    assert await closed_after(client) == []
    Mutation.gate.may_go_on.set()


async def test_who_logs_in_over_the_socket_has_rights_that_end(stage: Stage) -> None:
    client = await stage.connected([])
    await disconnect_user(stage.user)
    await client.execute("mutation { login }")
    # What began as nobody has ended.
    assert [each["type"] for each in await client.settle()] == ["complete"]
    await disconnect_user(stage.user)
    await ended(client)


def test_one_more_consumer_leaves_nothing_with_the_signals(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Any] = []
    monkeypatch.setattr(weakref, "finalize", lambda *whom: made.append(whom))
    user_signals.connect()
    assert made == []


async def test_a_layer_that_is_away_fails_no_logout(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise ChannelLayerError("no Redis")

    monkeypatch.setattr(failures, "_said", {})
    monkeypatch.setattr(user_signals, "revoke", fail)
    await logged_out(await stage.session())
    assert "disconnect_user() failed" in caplog.text


@pytest.mark.parametrize("engine", ["db", "cache"])
@pytest.mark.parametrize("way", ["async", "sync", "transaction"])
async def test_a_logout_is_told_before_the_session_is_gone_and_behind_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, way: str, engine: str
) -> None:
    store = import_module(f"django.contrib.sessions.backends.{engine}").SessionStore
    done: list[str] = []

    class Store(store):
        def delete(self, session_key: str | None = None) -> None:
            super().delete(session_key)
            done.append("deleted")

        async def adelete(self, session_key: str | None = None) -> None:
            await super().adelete(session_key)
            done.append("deleted")

    def work() -> None:
        with transaction.atomic() if way == "transaction" else nullcontext():
            plain_logout(request)
            in_transaction = way == "transaction" and engine == "db"
            assert done == ["told", "deleted", "told"][: 2 if in_transaction else 3]

    monkeypatch.setattr(user_signals, "revoke", lambda _: done.append("told"))
    request = HttpRequest()
    request.session, request.user = Store(), stage.user
    await request.session.acreate()
    if way == "async":
        request.auser = User.objects.aget
        await alogout(request)
    else:
        await in_thread(work)
    assert done == ["told", "deleted", "told"]
    assert not {"delete", "adelete"}.intersection(vars(request.session))


SYNC_VIEW = SyncGraphqlView.as_view(schema=SCHEMA)
ASYNC_VIEW = GraphqlView.as_view(schema=SCHEMA)


@pytest.mark.parametrize("view", [SYNC_VIEW, async_to_sync(ASYNC_VIEW)], ids=["sync", "async"])
@pytest.mark.parametrize("leaves", ["logout", "djangoLogout", 'login(name: "bob")'])
@pytest.mark.parametrize("engine", ["db", "cache"])
async def test_a_logout_in_a_transaction_around_the_request_is_told_again_with_its_commit(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    view: Any,
    leaves: str,
    engine: str,
) -> None:
    done: list[str] = []

    def atomic_view(request: HttpRequest) -> Any:
        with transaction.atomic():
            answer = view(request)
            done.append("answered")
        done.append("committed")
        return answer

    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    await User.objects.acreate_user("bob", password="tea")  # noqa: S106
    headers = await stage.session()
    monkeypatch.setattr(user_signals, "revoke", lambda _: done.append("told"))
    await over_view(atomic_view, headers, f"mutation {{ {leaves} }}")
    # A session in the cache is gone at once.
    again = ["told"] if engine == "db" else []
    assert done == ["told", "answered", *again, "committed"]


@pytest.mark.parametrize("view", [SYNC_VIEW, async_to_sync(ASYNC_VIEW)], ids=["sync", "async"])
async def test_a_logout_without_a_transaction_is_told_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, view: Any
) -> None:
    done: list[str] = []
    headers = await stage.session()
    monkeypatch.setattr(user_signals, "revoke", lambda _: done.append("told"))
    await over_view(view, headers, "mutation { logout }")
    assert done == ["told"]


async def test_a_logout_without_a_session_ends_nothing(stage: Stage) -> None:
    client = await stage.connected()
    user_signals.user_logged_out.send(User, request=None, user=stage.user)
    await stays(client)


async def test_without_a_channel_layer_a_user_may_connect(stage: Stage, settings: Any) -> None:
    headers = await stage.session()
    settings.CHANNEL_LAYERS = {}
    application = AuthMiddlewareStack(GraphqlWsConsumer.as_asgi(schema=SCHEMA))
    client = GraphqlWsClient(GraphqlWsTransport(application, "/", {"headers": headers}))
    stage.clients.append(client)
    await client.connect_and_init()
    assert await client.execute("{ ok }")


def test_whose_rights_a_scope_gives() -> None:
    class Token:
        is_authenticated = True
        pk = 7

    assert rights_of({}) is None
    assert rights_of({"user": AnonymousUser()}) is None
    assert rights_of({"user": "ada"}) is None
    assert rights_of({"user": Token()}) == ("user 7", None, None)
    session = SimpleNamespace(session_key="key")
    rights = rights_of({"user": Token(), "session": session})
    assert rights is not None
    assert (rights.session, rights.password) == ("key", None)


class Expiring(GraphqlWsConsumer):
    """Lets clients in for as long as they say."""

    schema = SCHEMA

    async def on_connect(self, payload: Any) -> None:
        self.scope["expires_at"] = payload["until"]


async def expiring(
    stage: Stage, until: Any, consumer: type[GraphqlWsConsumer] = Expiring
) -> GraphqlWsClient:
    transport = GraphqlWsTransport(consumer.as_asgi(), "/")
    client = GraphqlWsClient(transport)
    stage.clients.append(client)
    await client.connect_and_init(payload={"until": until})
    return client


async def test_rights_expire(stage: Stage) -> None:
    client = await expiring(stage, time.time() - 1)
    assert (await client.wait_disconnect(assert_code=4403))["reason"] == revocation.EXPIRED


async def test_rights_can_be_renewed_before_they_expire(stage: Stage) -> None:
    client = await expiring(stage, time.time() + 1_000)
    await client.execute("mutation { renew }")
    assert await client.execute("{ ok }")
    await client.execute("mutation { renew(seconds: -1) }")
    assert (await client.wait_disconnect(assert_code=4403))["reason"] == revocation.EXPIRED


class RenewedByPings(Expiring):
    """Lets pings say for how long."""

    refused = ""

    async def on_ping(self, payload: Any) -> dict[str, Any]:
        self.renew(payload["until"])
        return {"until": self.scope["expires_at"]}

    async def on_disconnect(self, code: int | None) -> None:
        try:
            self.renew(None)
        except RuntimeError as error:
            type(self).refused = str(error)


class RenewedByPlainPings(RenewedByPings):
    """The same, with a plain function, in a thread."""

    resolve_sync_in_threads = True

    def on_ping(self, payload: Any) -> dict[str, Any]:  # type: ignore[override]
        self.renew(payload["until"])
        return {"until": self.scope["expires_at"]}


async def read_to_the_end(client: GraphqlWsClient) -> None:
    """Read until the connection is closed: a pong may come first."""
    while True:
        await client.transport.receive()


@pytest.mark.parametrize("consumer", [RenewedByPings, RenewedByPlainPings])
async def test_rights_can_be_renewed_by_the_payload_of_a_ping(
    stage: Stage, consumer: type[RenewedByPings]
) -> None:
    client = await expiring(stage, time.time() + 1_000, consumer)
    until = time.time() + 2_000
    await client.transport.send({"type": "ping", "payload": {"until": until}})
    pong = await client.transport.receive()
    assert pong == {"type": "pong", "payload": {"until": until}}
    assert await client.execute("{ ok }")
    await client.transport.send({"type": "ping", "payload": {"until": time.time() - 1}})
    with pytest.raises(ConnectionClosedError) as closed:
        await read_to_the_end(client)
    assert (closed.value.code, closed.value.reason) == (4403, revocation.EXPIRED)
    await client.finalize()
    assert "the connection is not open" in consumer.refused


async def test_a_renewal_counts_however_fast_the_event_loop_is(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await expiring(stage, time.time() + 1_000, RenewedByPings)
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda call, *args: call(*args))
    await client.transport.send({"type": "ping", "payload": {"until": time.time() - 1}})
    with pytest.raises(ConnectionClosedError) as closed:
        await read_to_the_end(client)
    assert (closed.value.code, closed.value.reason) == (4403, revocation.EXPIRED)
    await client.finalize()


@pytest.mark.parametrize("until", [None, 4_000_000_000.0])
async def test_a_renewal_in_time_counts_though_the_timer_comes_first(
    stage: Stage, until: float | None
) -> None:
    revoked: list[str] = []
    lent = Lent("default", None, ConnectionSignals(GraphqlWsConsumer), is_closed=False)
    lent.drainable = SimpleNamespace(revoke=revoked.append)  # type: ignore[assignment]
    scope: dict[str, Any] = {"expires_at": time.time() - 1}
    lent.expire(scope)
    scope["expires_at"] = until
    await tick(5)
    assert revoked == []
    scope["expires_at"] = time.time() - 1
    lent.expire(scope)
    scope["expires_at"] = "tomorrow"
    await tick(5)
    assert revoked == [revocation.EXPIRED]
    await lent.close()


async def test_what_on_connect_renews_counts_once_the_client_is_accepted(stage: Stage) -> None:
    class Own(GraphqlWsConsumer):
        schema = SCHEMA

        async def on_connect(self, payload: Any) -> None:
            with pytest.raises(TypeError, match="must be a datetime"):
                self.renew("tomorrow")  # type: ignore[arg-type]
            self.renew(payload["until"])

    client = await expiring(stage, time.time() - 1, Own)
    assert (await client.wait_disconnect(assert_code=4403))["reason"] == revocation.EXPIRED


class RenewedLate(graphene.ObjectType):
    """Renews in the middle of a mutation, when it may."""

    late = graphene.Boolean()
    told: list[str]
    gate: Gate
    context: OperationContext

    @classmethod
    async def resolve_late(cls, _root: Any, info: Any) -> bool:
        cls.context = info.context
        cls.gate.reached.set()
        await cls.gate.may_go_on.wait()
        try:
            info.context.renew(None)
        except RuntimeError as error:
            cls.told.append(str(error))
        return True


class AnyUser(GraphqlWsConsumer):
    """Lets in whoever a client says it is."""

    schema = graphene.Schema(query=Query, mutation=RenewedLate)

    async def on_connect(self, payload: Any) -> None:
        self.scope["user"] = await User.objects.aget(username=payload["name"])
        self.scope["expires_at"] = time.time() + 1_000


async def while_it_renews(stage: Stage) -> AsgiSocket:
    """Return a socket of Ada, with a mutation under way that is about to renew her rights."""
    RenewedLate.told, RenewedLate.gate = [], Gate()
    await User.objects.aget_or_create(username="bob")
    socket = AsgiSocket(AnyUser.as_asgi(), LEGACY)
    await socket.acknowledged(payload={"name": "ada"})
    socket.start("1", "mutation { late }")
    await RenewedLate.gate.reached.wait()
    return socket


async def test_what_began_as_another_user_renews_nothing(stage: Stage) -> None:
    socket = await while_it_renews(stage)
    socket.init(payload={"name": "bob"})
    await wait_until(lambda: socket.words.count("connection_ack") == 2)
    RenewedLate.gate.may_go_on.set()
    await socket.heard("data:1", "complete:1")
    assert "another user has logged in" in RenewedLate.told[0]
    # It is Bob's connection, and ends with his rights.
    await disconnect_user(stage.user)
    await disconnect_user(await User.objects.aget(username="bob"))
    await socket.ended()
    assert socket.closes == [(4403, revocation.REVOKED)]


async def test_a_login_that_overtakes_a_renewal_has_its_own_rights(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = await while_it_renews(stage)
    later: list[Callable[[], Any]] = []
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda call, *_: later.append(call))
    RenewedLate.gate.may_go_on.set()
    await socket.heard("data:1", "complete:1")
    monkeypatch.undo()
    socket.init(payload={"name": "bob"})
    await wait_until(lambda: socket.words.count("connection_ack") == 2)
    for each in later:
        each()
    await disconnect_user(await User.objects.aget(username="bob"))
    await socket.ended()
    assert (RenewedLate.told, socket.closes) == ([], [(4403, revocation.REVOKED)])


async def test_a_connection_that_is_closed_cannot_be_renewed(stage: Stage) -> None:
    socket = await while_it_renews(stage)
    RenewedLate.gate.may_go_on.set()
    await socket.drop()
    with pytest.raises(RuntimeError, match="the connection is closed"):
        RenewedLate.context.renew(None)


async def test_over_http_there_is_nothing_to_renew() -> None:
    client = GraphqlHttpClient(GraphqlHttpConsumer.as_asgi(schema=SCHEMA, mask_errors=False))
    result = await client.execute("mutation { renew(seconds: 5) }")
    assert "nothing to renew" in str(result.errors)


def test_a_context_of_no_connection_cannot_be_renewed() -> None:
    with pytest.raises(RuntimeError, match="belongs to no connection"):
        OperationContext({}).renew(None)


async def test_rights_that_take_the_place_of_others_have_their_keys() -> None:
    class Connection:
        reasons: Any = []

        def revoke(self, reason: str) -> None:
            self.reasons.append(reason)

        async def drain(self, timeout: float) -> None: ...

    connection = Connection()
    hub = hub_of(channel_layer())
    revocations = revocation.Revocations(hub, "group")
    before, after = (revocation.Rights("user 1", key, None) for key in ("one", "two"))
    revocations.add(connection, before, {})
    revocations.add(connection, after, {})
    revocations.discard(connection, before)
    data = Serializer.serialize({"key": "user 1"})
    revocations.offer(Notification(data, 1))
    assert connection.reasons == [revocation.REVOKED]
    revocations.discard(connection, after)
    assert hub.counts()["listeners"] == 0


def test_how_much_time_is_left() -> None:
    assert 9 < seconds_until(datetime.now(UTC) + timedelta(seconds=10)) <= 10
    assert seconds_until(datetime.max.replace(tzinfo=UTC)) > 0
    in_milliseconds = 1_800_000_000_000
    for wrong in ("tomorrow", True, in_milliseconds, float("nan"), float("inf")):
        with pytest.raises(TypeError, match="it must be a datetime or seconds"):
            seconds_until(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("more", [{}, {"revokes": True}])
async def test_an_end_of_subscriptions_concerns_no_rights(stage: Stage, more: Any) -> None:
    client = await stage.connected()
    for layer, message in revocation.revocation("user 0"):
        message.message.update(more, type="unsubscribe")
        await publisher.send_soon(layer, message)
    await stays(client)


@pytest.mark.parametrize(("missed", "text"), [(3, "3 messages"), (None, "unknown number")])
async def test_a_message_that_the_layer_has_lost_is_logged(
    missed: int | None, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    revocations = revocation.Revocations(hub_of(channel_layer()), "group")
    assert not revocations.lost(missed, 7)
    assert not revocations.run_next()
    assert f"has lost {'an ' if missed is None else ''}{text}" in caplog.text

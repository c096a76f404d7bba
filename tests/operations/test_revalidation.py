"""Users and sessions that end without a signal are found, and what is theirs is ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from datetime import timedelta
from http import HTTPStatus
from importlib import import_module
from threading import get_ident
from typing import Any

import graphene
import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.models import AnonymousUser, Group, User, UserManager
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import connection
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils import timezone

from channels_graphql_ws import GraphqlHttpConsumer, GraphqlWsConsumer, Subscription
from channels_graphql_ws.concurrency import eager
from channels_graphql_ws.concurrency.eager import Eager
from channels_graphql_ws.concurrency.fairness import Owner
from channels_graphql_ws.http import beginning
from channels_graphql_ws.operations import revalidation
from channels_graphql_ws.operations.lent import Lent
from channels_graphql_ws.operations.revalidation import (
    Claim,
    Revalidation,
    Watched,
    claim_of,
    is_in_memory,
    look_up,
    refuted,
)
from channels_graphql_ws.operations.revocation import REVOKED, Rights, rights_of
from channels_graphql_ws.operations.session import after_look_up
from channels_graphql_ws.signals import ConnectionSignals
from channels_graphql_ws.testing import (
    FaultyChannelLayer,
    GraphqlHttpClient,
    GraphqlWsClient,
    GraphqlWsTransport,
    alogin_headers,
)
from support import tick, wait_until

ENGINE = "django.contrib.sessions.backends."


class Query(graphene.ObjectType):
    """Counts its calls."""

    calls = graphene.Int()
    made: Any = []

    @staticmethod
    def resolve_calls(root: Any, info: Any) -> int:
        Query.made.append(1)
        return len(Query.made)


class OnNews(Subscription):
    """Tells nothing."""

    text = graphene.String()

    @staticmethod
    def publish(payload: Any, info: Any) -> Any: ...


SCHEMA = graphene.Schema(
    query=Query, subscription=type("Root", (graphene.ObjectType,), {"on_news": OnNews.Field()})
)
SUBSCRIBE = "subscription { onNews { text } }"


class Stage:
    """A user who has logged in, and clients of theirs."""

    def __init__(self, user: User, headers: Any) -> None:
        self.user = user
        self.headers = headers
        self.clients: list[GraphqlWsClient] = []

    async def connected(self, **options: Any) -> GraphqlWsClient:
        application = AuthMiddlewareStack(GraphqlWsConsumer.as_asgi(schema=SCHEMA, **options))
        transport = GraphqlWsTransport(application, "/", {"headers": self.headers})
        client = GraphqlWsClient(transport)
        self.clients.append(client)
        await client.connect_and_init()
        return client

    async def changed(self, change: Callable[[User], object]) -> None:
        await sync_to_async(change)(self.user)


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    Query.made = []
    user = await User.objects.acreate_user("ada")
    stage = Stage(user, await alogin_headers(user))
    yield stage
    for client in stage.clients:
        await client.finalize()
    await wait_until(lambda: not tasks("Revalidation._run"))


def tasks(name: str) -> list[asyncio.Task[Any]]:
    return [each for each in asyncio.all_tasks() if name in repr(each.get_coro())]


def deactivated(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def deleted(user: User) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM auth_user WHERE id = %s", [user.pk])


def other_password(user: User) -> None:
    User.objects.filter(pk=user.pk).update(password="another")  # noqa: S106


def session_deleted(user: User) -> None:
    Session.objects.all().delete()


def session_expired(user: User) -> None:
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))


CHANGES = [deactivated, deleted, other_password, session_deleted, session_expired]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", CHANGES)
async def test_an_operation_of_who_may_no_longer_is_not_executed(
    stage: Stage, change: Callable[[User], object]
) -> None:
    await stage.connected()
    client = await stage.connected()
    assert (await client.execute("{ calls }"))["data"] == {"calls": 1}
    await stage.changed(change)
    await client.start("{ calls }")
    assert (await client.wait_disconnect(assert_code=4403))["reason"] == REVOKED
    assert Query.made == [1]


@pytest.mark.django_db(transaction=True)
async def test_who_may_no_longer_when_there_is_a_thread_is_not_served(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await stage.connected(resolve_sync_in_threads=True, revalidate_operations_every=0)
    places = asyncio.Semaphore(0)
    monkeypatch.setattr(Owner, "in_threads", lambda *_: places)
    await client.start("{ calls }")
    await wait_until(lambda: places._waiters)
    await stage.changed(deleted)
    places.release()
    assert (await client.wait_disconnect(assert_code=4403))["reason"] == REVOKED
    assert Query.made == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", [deleted, session_deleted])
async def test_who_does_nothing_is_found_all_the_same(
    stage: Stage, change: Callable[[User], object]
) -> None:
    client = await stage.connected(revalidate_every=0.01, revalidate_operations_every=None)
    await client.subscribe(SUBSCRIBE, wait_confirmation=False)
    await stage.changed(change)
    assert (await client.wait_disconnect(assert_code=4403))["reason"] == REVOKED


@pytest.mark.django_db(transaction=True)
async def test_a_stream_ends_with_an_error(stage: Stage) -> None:
    consumer = GraphqlHttpConsumer.as_asgi(schema=SCHEMA, revalidate_every=0.01)
    client = GraphqlHttpClient(AuthMiddlewareStack(consumer))
    await client.force_login(stage.user)
    async with client.subscribe(SUBSCRIBE) as results:
        await stage.changed(deactivated)
        (result,) = [each async for each in results]
    assert [each.extensions for each in result.errors or ()] == [{"code": "RIGHTS_ENDED"}]


class Slow:
    """Has the body of a request come when a test says so, the user of which was read before.

    Args:
        stage: has the user.
        options: of the consumer.
    """

    def __init__(self, stage: Stage, **options: Any) -> None:
        self.asked, self.may_come = asyncio.Event(), asyncio.Event()
        self._consumer = AuthMiddlewareStack(GraphqlHttpConsumer.as_asgi(schema=SCHEMA, **options))
        self.client = GraphqlHttpClient(self, headers=stage.headers)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def late() -> Any:
            self.asked.set()
            await self.may_come.wait()
            return await receive()

        await self._consumer(scope, late, send)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", CHANGES)
async def test_a_user_is_looked_up_again_whose_body_was_slow(
    stage: Stage, change: Callable[[User], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginning, "FRESH_FOR", -1.0)
    slow = Slow(stage)
    request = asyncio.create_task(slow.client.execute("{ calls }"))
    await slow.asked.wait()
    await stage.changed(change)
    slow.may_come.set()
    result = await request
    assert [each.message for each in result.errors or ()] == [REVOKED]
    assert result.status == HTTPStatus.FORBIDDEN
    assert Query.made == []


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "options", [{}, {"revalidate_every": None}, {"revalidate_operations_every": None}]
)
async def test_a_slow_body_of_who_may_go_on_is_served(
    stage: Stage, options: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beginning, "FRESH_FOR", -1.0)
    slow = Slow(stage, **options)
    request = asyncio.create_task(slow.client.execute("{ calls }"))
    await slow.asked.wait()
    if options:
        await stage.changed(deactivated)
    slow.may_come.set()
    assert (await request).data == {"calls": 1}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("subscribes", [True, False])
async def test_rights_that_end_while_the_process_joins_the_group_of_such_messages_are_found(
    stage: Stage, faulty_channel_layer: FaultyChannelLayer, *, subscribes: bool
) -> None:
    faulty_channel_layer.hold("group_add")
    client = await stage.connected()
    await client.start(SUBSCRIBE if subscribes else "{ calls }")
    await wait_until(lambda: faulty_channel_layer.calls["group_add"])
    await tick(10)
    # The message is for those who have joined.
    await stage.changed(deactivated)
    faulty_channel_layer.release("group_add")
    assert (await client.wait_disconnect(assert_code=4403))["reason"] == REVOKED
    assert Query.made == []


@pytest.mark.django_db(transaction=True)
async def test_so_they_are_for_a_stream(
    stage: Stage, faulty_channel_layer: FaultyChannelLayer
) -> None:
    faulty_channel_layer.hold("group_add")
    consumer = AuthMiddlewareStack(GraphqlHttpConsumer.as_asgi(schema=SCHEMA))
    request = asyncio.create_task(subscribed(GraphqlHttpClient(consumer, headers=stage.headers)))
    await wait_until(lambda: faulty_channel_layer.calls["group_add"])
    await tick(10)
    await stage.changed(deactivated)
    faulty_channel_layer.release("group_add")
    assert await request == [{"code": "RIGHTS_ENDED"}]


@pytest.mark.django_db(transaction=True)
async def test_a_layer_that_refuses_to_join_stops_no_query(
    stage: Stage, faulty_channel_layer: FaultyChannelLayer
) -> None:
    faulty_channel_layer.fail("group_add")
    client = await stage.connected()
    assert (await client.execute("{ calls }"))["data"] == {"calls": 1}
    faulty_channel_layer.heal()


@pytest.mark.django_db(transaction=True)
async def test_a_stream_that_begins_too_late_ends_at_once(stage: Stage) -> None:
    slow = Slow(stage)
    request = asyncio.create_task(subscribed(slow.client))
    await slow.asked.wait()
    await stage.changed(deactivated)
    slow.may_come.set()
    assert await request == [{"code": "RIGHTS_ENDED"}]


async def subscribed(client: GraphqlHttpClient) -> list[Any]:
    """Return what a stream says of its errors, until its end."""
    async with client.subscribe(SUBSCRIBE) as results:
        return [error.extensions async for each in results for error in each.errors or ()]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "options",
    [
        {"revalidate_every": None},
        {"revalidate_every": 0},
        {"revalidate_operations_every": None},
        {"revalidate_operations_every": 1_000},
    ],
)
async def test_it_can_be_switched_off(stage: Stage, options: Any) -> None:
    client = await stage.connected(**options)
    assert await client.execute("{ calls }")
    await stage.changed(deactivated)
    assert (await client.execute("{ calls }"))["data"] == {"calls": 2}


@pytest.mark.django_db(transaction=True)
async def test_the_setting_switches_it_off(stage: Stage) -> None:
    with override_settings(CHANNELS_GRAPHQL_WS={"END_CONNECTIONS_OF_USERS": False}):
        client = await stage.connected()
        await stage.changed(deactivated)
        assert await client.execute("{ calls }")


def store_of(engine: str) -> Any:
    return import_module(ENGINE + engine).SessionStore


def saved(engine: str, user: User) -> Any:
    session = store_of(engine)()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return session


def claim(user: User, session: Any = None) -> Claim:
    scope = {"user": user} if session is None else {"user": user, "session": session}
    rights = rights_of(scope)
    assert rights is not None
    found = claim_of(scope, rights)
    assert found is not None
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("engine", ["db", "cache", "cached_db", "file"])
def test_sessions_of_each_engine_are_looked_up(engine: str, settings: Any, tmp_path: Any) -> None:
    settings.SESSION_FILE_PATH = str(tmp_path)
    user = User.objects.create_user("ada")
    stays, goes = saved(engine, user), saved(engine, user)
    claims = [claim(user, stays), claim(user, goes)]
    assert look_up(claims) == {}
    goes.delete()
    assert look_up(claims) == {claims[1]: None}


@pytest.mark.django_db
def test_a_session_in_a_cookie_cannot_be_taken_away() -> None:
    user = User.objects.create_user("ada")
    assert look_up([claim(user, saved("signed_cookies", user))]) == {}


@pytest.mark.django_db
def test_many_are_looked_up_by_one_query_each(monkeypatch: pytest.MonkeyPatch) -> None:
    users = [User.objects.create_user(name) for name in ("ada", "bob", "eve")]
    claims = [claim(each, saved("db", each)) for each in users]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert look_up(claims) == {}
    assert len(queries) == 2
    monkeypatch.setattr(revalidation, "MOST_KEYS", 2)
    with CaptureQueriesContext(connection) as queries:
        assert look_up(claims) == {}
    assert len(queries) == 3


@pytest.mark.django_db
def test_who_was_let_in_with_a_closed_account_stays() -> None:
    user = User.objects.create_user("ada", is_active=False)
    assert look_up([claim(user)]) == {}


class Picky(ModelBackend):
    """Lets in those with an address."""

    def user_can_authenticate(self, user: Any) -> bool:
        return bool(user.email)


class OfRequests(Picky):
    """Takes users from elsewhere."""

    def get_user(self, user_id: Any) -> Any:
        raise AssertionError


class Shown(UserManager[User]):
    """Hides those who have asked to be forgotten."""

    def get_queryset(self) -> Any:
        return super().get_queryset().exclude(last_name="gone")


def logged_in(user: User, path: str) -> Claim:
    session = saved("db", user)
    session[BACKEND_SESSION_KEY] = path
    session.save()
    return claim(user, session)


@pytest.mark.django_db
def test_whom_a_backend_would_not_let_in_any_more_is_out(settings: Any) -> None:
    paths = [f"{__name__}.{name}" for name in ("Picky", "OfRequests")]
    settings.AUTHENTICATION_BACKENDS = paths
    user = User.objects.create_user("ada", email="ada@example.com")
    claims = [logged_in(user, path) for path in (*paths, "of.another.time")]
    claims.append(claim(user))
    assert look_up(claims) == {}
    User.objects.update(email="")
    assert look_up(claims) == {claims[0]: None}


@pytest.mark.django_db
def test_whom_the_default_manager_hides_is_out(monkeypatch: pytest.MonkeyPatch) -> None:
    manager: Any = Shown()
    manager.model = User
    monkeypatch.setattr(User._meta, "default_manager", manager)
    claims = []
    for name in ("ada", "bob"):
        user = User.objects.create_user(name)
        claims += [claim(user, saved("db", user)), claim(user)]
    with CaptureQueriesContext(connection) as queries:
        assert look_up(claims) == {}
    assert len(queries) == 3
    User.objects.filter(username="ada").update(last_name="gone")
    # Who has come by a token may have been found by another manager.
    assert look_up(claims) == {claims[0]: None}
    assert look_up(claims[3:]) == {}


@pytest.mark.django_db(transaction=True)
async def test_so_it_is_with_the_next_operation(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager: Any = Shown()
    manager.model = User
    monkeypatch.setattr(User._meta, "default_manager", manager)
    client = await stage.connected()
    await client.execute("{ calls }")
    await stage.changed(lambda user: User.objects.update(last_name="gone"))
    await client.start("{ calls }")
    await client.wait_disconnect(assert_code=4403)
    assert Query.made == [1]


def test_who_cannot_be_looked_up() -> None:
    rights = Rights("user 1", "key", None)
    user = User(pk=1, password="tea")  # noqa: S106
    assert claim_of({"user": AnonymousUser()}, rights) is None
    assert claim_of({"user": user}, rights) is None
    user._state.adding = False
    assert claim_of({"user": Group(pk=1)}, rights) is None
    assert claim_of({}, rights) is None
    flags = (("is_staff", False), ("is_superuser", False))
    expected = (1, None, True, None, flags, None)
    assert claim_of({"user": user}, rights) == expected
    assert claim_of({"user": user, "session": "key"}, rights) is None
    unread = SessionStore("key")
    assert claim_of({"user": user, "session": unread}, rights) == expected


@pytest.mark.django_db(transaction=True)
async def test_who_is_found_gone_is_looked_up_once_more_where_coroutines_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def seen(claims: Collection[Claim]) -> Any:
        asked.append((get_ident() == of_coroutines, [each.user for each in claims]))
        gone = {1} if get_ident() == of_coroutines else {1, 2}
        return dict.fromkeys(each for each in claims if each.user in gone)

    of_coroutines = await sync_to_async(get_ident)()
    monkeypatch.setattr(revalidation, "look_up", seen)
    monkeypatch.setattr(revalidation, "is_in_memory", lambda: False)
    claims = [Claim(number, None, True, None) for number in range(4)]
    assert list(await refuted(claims)) == [claims[1]]
    assert asked == [(False, [0, 1, 2, 3]), (True, [1, 2])]
    assert list(await refuted([claims[3]])) == []
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("database", "expected"),
    [(":memory:", True), ("/tmp/users.sqlite3", False)],  # noqa: S108 (nothing is written)
)
def test_what_is_in_memory(
    database: str, *, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "NAME", database)
    assert is_in_memory() is expected


class Answers:
    """What look-ups say, and what they were asked."""

    def __init__(self) -> None:
        self.asked: list[set[Any]] = []
        self.gone: set[Any] = set()
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, claims: Collection[Claim]) -> Any:
        self.asked.append({each.user for each in claims})
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return dict.fromkeys(each for each in claims if each.user in self.gone)


class Connection:
    """Is ended, perhaps."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def revoke(self, reason: str) -> None:
        self.reasons.append(reason)

    async def drain(self, timeout: float) -> None: ...


@pytest.fixture
async def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    answers = Answers()
    monkeypatch.setattr(revalidation, "refuted", answers)
    return answers


def watched(looks: Revalidation, user: int) -> tuple[Watched, Connection]:
    owner = Connection()
    one = Watched(owner, Claim(user, None, True, None))
    looks.add(one)
    return one, owner


async def test_the_same_claim_of_the_same_connection_is_looked_up_once(answers: Answers) -> None:
    lent = Lent("default", None, ConnectionSignals(GraphqlWsConsumer), is_closed=False)
    lent.drainable = Connection()
    claim = Claim(1, None, True, None)
    lent.look_up(claim, 60)
    known = lent.looked_up
    assert known is not None
    scope: dict[str, Any] = {"user": "the same"}
    lent.look_up(claim, 60, scope)
    assert lent.looked_up is known
    assert known[1].scope is scope
    lent.look_up(None, 60)
    assert lent.looked_up is None


async def test_operations_that_come_meanwhile_share_the_next_look_up(answers: Answers) -> None:
    looks = Revalidation(1_000)
    three = [watched(looks, number)[0] for number in range(3)]
    answers.gate.clear()
    first = looks.before_operation(three[0], 0)
    await tick(3)
    others = [looks.before_operation(each, 0) for each in (*three, three[1])]
    answers.gate.set()
    await asyncio.gather(*[each for each in (first, *others) if each is not None])
    assert answers.asked == [{0}, {0, 1, 2}]


async def test_an_operation_that_is_cancelled_leaves_the_others(answers: Answers) -> None:
    looks = Revalidation(1_000)
    one, _ = watched(looks, 1)
    cancelled, other = looks.before_operation(one, 0), looks.before_operation(one, 0)
    assert cancelled is not None
    assert other is not None
    cancelled.cancel()
    await other


async def test_a_look_up_counts_for_a_while(answers: Answers) -> None:
    looks = Revalidation(1_000)
    one, _ = watched(looks, 1)
    waiting = looks.before_operation(one, 1_000)
    assert waiting is not None
    await waiting
    assert looks.before_operation(one, 1_000) is None


async def test_a_connection_that_has_gone_meanwhile_is_left_alone(answers: Answers) -> None:
    looks = Revalidation(1_000)
    one, owner = watched(looks, 1)
    answers.gone = {1}
    waiting = looks.before_operation(one, 0)
    assert waiting is not None
    looks.discard(one)
    looks.discard(one)
    await waiting
    assert owner.reasons == []
    assert one.has_ended


async def test_all_are_looked_up_again_and_again_while_there_are_some(answers: Answers) -> None:
    looks = Revalidation(0.001)
    (one, owner), (other, _) = watched(looks, 1), watched(looks, 2)
    await wait_until(lambda: len(answers.asked) >= 2)
    assert answers.asked[0] == {1, 2}
    answers.gone = {1}
    await wait_until(lambda: owner.reasons)
    looks.discard(one)
    looks.discard(other)
    await tick(5)
    asked = len(answers.asked)
    again, _ = watched(looks, 3)
    await wait_until(lambda: len(answers.asked) > asked)
    assert answers.asked[asked] == {3}
    looks.discard(again)


async def test_while_nobody_answers_everybody_stays(
    answers: Answers, caplog: pytest.LogCaptureFixture
) -> None:
    looks = Revalidation(1_000)
    one, owner = watched(looks, 1)

    async def operation() -> None:
        waiting = looks.before_operation(one, 0)
        assert waiting is not None
        await waiting

    answers.error = OSError("no database")
    await operation()
    await operation()
    assert owner.reasons == []
    assert caplog.text.count("cannot be looked up") == 1
    answers.error = None
    await operation()
    answers.error = OSError("no database")
    await operation()
    assert caplog.text.count("cannot be looked up") == 2


async def test_a_database_that_hangs_holds_operations_up_once(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(revalidation, "PATIENCE", 0)
    looks = Revalidation(1_000)
    one, _ = watched(looks, 1)
    answers.gate.clear()
    for _ in range(2):
        waiting = looks.before_operation(one, 0)
        assert waiting is not None
        await waiting
    assert answers.asked == [{1}]
    assert "no answer in 0 s" in caplog.text
    # What it says at last is of no interest.
    answers.error = OSError("no database")
    answers.gate.set()
    await tick(3)


async def test_a_look_up_that_is_cancelled_is_none(answers: Answers) -> None:
    looks = Revalidation(1_000)
    one, _ = watched(looks, 1)
    answers.gate.clear()
    waiting = looks.before_operation(one, 0)
    assert waiting is not None
    await tick(3)
    (task,) = [each for each in asyncio.all_tasks() if "Answers.__call__" in repr(each.get_coro())]
    task.cancel()
    await waiting


async def test_an_operation_that_outlives_its_connection_is_not_begun(answers: Answers) -> None:
    looks = Revalidation(1_000)
    one, owner = watched(looks, 1)
    begun: list[int] = []

    def running() -> Eager[None]:
        begun.append(1)
        yield tick()

    answers.gone = {1}
    waiting = eager.start(after_look_up(running(), looks, one, 0))
    assert waiting is not None
    await waiting
    assert owner.reasons == [REVOKED]
    assert not begun

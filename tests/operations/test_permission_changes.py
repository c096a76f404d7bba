"""Permissions that are given or taken away count for connections that are open already."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import graphene
import pytest
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from django.contrib.auth.models import AnonymousUser, Group, Permission, User
from django.db import transaction

from channels_graphql_ws import (
    BasePermission,
    GraphqlWsConsumer,
    GraphqlWsResponseError,
    Subscription,
)
from channels_graphql_ws.operations.revalidation import have_ended
from channels_graphql_ws.operations.revocation import Revocations, refresh, rights_of
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport, alogin_headers
from support import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "auth.view_group"


class Reader(BasePermission):
    """Notes its answers."""

    answers: Any = []

    async def has_permission(self, source: Any, info: Any) -> bool:
        allowed = await info.context.user.ahas_perm(NAME)
        Reader.answers.append(allowed)
        return bool(allowed)


class Event(Subscription):
    """Is for readers."""

    permission_classes = [Reader]
    number = graphene.Int()

    @staticmethod
    def publish(payload: Any, info: Any) -> Any:
        return {"number": payload}


class Query(graphene.ObjectType):
    ok = graphene.Boolean()


SCHEMA = graphene.Schema(
    query=Query, subscription=type("Root", (graphene.ObjectType,), {"event": Event.Field()})
)


class Stage:
    """Two ways to a permission."""

    def __init__(self) -> None:
        self.user = User.objects.create_user("ada")
        self.other = User.objects.create_user("bob")
        self.group = Group.objects.create(name="readers")
        self.permission = Permission.objects.get(
            codename="view_group", content_type__app_label="auth"
        )

    def by_group(self) -> None:
        self.group.permissions.set([self.permission])
        self.user.groups.add(self.group)

    def by_user(self) -> None:
        self.user.user_permissions.add(self.permission)

    def by_all(self) -> None:
        self.user.is_superuser = True
        self.user.save()


@pytest.fixture
async def stage() -> Stage:
    Reader.answers = []
    return await sync_to_async(Stage)()


@pytest.fixture
async def client(stage: Stage) -> AsyncIterator[GraphqlWsClient]:
    application = AuthMiddlewareStack(GraphqlWsConsumer.as_asgi(schema=SCHEMA))
    headers = await alogin_headers(stage.user)
    client = GraphqlWsClient(GraphqlWsTransport(application, "/", {"headers": headers}))
    await client.connect_and_init()
    yield client
    await client.finalize()


async def subscribed(client: GraphqlWsClient) -> None:
    await client.subscribe("subscription { event { number } }", wait_confirmation=False)
    await received(client)


async def received(client: GraphqlWsClient) -> None:
    Event.broadcast(payload=1)
    assert (await client.receive())["data"] == {"event": {"number": 1}}


async def kept(client: GraphqlWsClient) -> None:
    """Check that the next events do not reach a client, which stays."""
    await refused(2)
    # When it is asked about this one, it is done with the other.
    await refused(3)
    assert await client.settle() == []


async def refused(payload: int) -> None:
    """Broadcast an event, and check that its reader is asked about, and refused."""
    asked = len(Reader.answers)
    await Event.broadcast(payload=payload)
    await wait_until(lambda: len(Reader.answers) > asked)
    assert Reader.answers[-1] is False


async def save_flag(user: User, *fields: str) -> None:
    user.is_superuser = False
    await user.asave(update_fields=fields or None)


TAKEN: list[tuple[Any, Callable[[Stage], object]]] = [
    (Stage.by_group, lambda stage: stage.user.groups.remove(stage.group)),
    (Stage.by_group, lambda stage: stage.user.groups.clear()),
    (Stage.by_group, lambda stage: stage.group.user_set.remove(stage.user)),
    (Stage.by_group, lambda stage: stage.group.user_set.clear()),
    (Stage.by_group, lambda stage: stage.group.permissions.clear()),
    (Stage.by_group, lambda stage: stage.permission.group_set.remove(stage.group)),
    (Stage.by_user, lambda stage: stage.user.user_permissions.clear()),
    (Stage.by_user, lambda stage: stage.permission.user_set.remove(stage.user)),
    (Stage.by_group, lambda stage: stage.group.delete()),
]


async def test_a_permission_that_was_taken_away_keeps_the_next_event(
    stage: Stage, client: GraphqlWsClient
) -> None:
    await sync_to_async(stage.by_all)()
    await client.subscribe("subscription { event { number } }", wait_confirmation=False)
    await save_flag(stage.user)
    for given, taken in TAKEN:
        await sync_to_async(given)(stage)
        await received(client)
        await sync_to_async(taken)(stage)
        await kept(client)


@pytest.mark.parametrize("fields", [(), ("is_superuser",), ("is_superuser", "is_active")])
async def test_who_is_no_superuser_any_more_gets_no_more_events(
    stage: Stage, client: GraphqlWsClient, fields: Any
) -> None:
    await sync_to_async(stage.by_all)()
    await subscribed(client)
    await save_flag(stage.user, *fields)
    await kept(client)


async def test_a_permission_that_was_given_counts_for_the_next_event(
    stage: Stage, client: GraphqlWsClient
) -> None:
    await client.start("subscription { event { number } }")
    with pytest.raises(GraphqlWsResponseError):
        await client.receive()
    await sync_to_async(stage.by_group)()
    await subscribed(client)


async def test_it_counts_with_the_commit_and_for_nobody_else(
    stage: Stage, client: GraphqlWsClient
) -> None:
    await sync_to_async(stage.by_user)()
    await subscribed(client)

    def undone() -> None:
        with transaction.atomic():
            stage.user.user_permissions.clear()
            transaction.set_rollback(True)

    await sync_to_async(undone)()
    await sync_to_async(stage.other.groups.add)(stage.group)
    await stage.user.asave(update_fields=["last_login"])
    await Event.broadcast(payload=3)
    assert (await client.receive())["data"] == {"event": {"number": 3}}


class Asking(GraphqlWsConsumer):
    """Has read permissions of a client before it accepts it."""

    schema = SCHEMA
    reached: asyncio.Event
    may_go_on: asyncio.Event

    async def on_connect(self, payload: Any) -> None:
        assert await self.scope["user"].ahas_perm(NAME)
        self.reached.set()
        await self.may_go_on.wait()


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (Stage.by_all, lambda stage: User.objects.update(is_superuser=False)),
        (Stage.by_user, lambda stage: stage.user.user_permissions.clear()),
    ],
    ids=["flag", "permission"],
)
async def test_what_was_taken_away_while_a_client_was_decided_on_is_not_had(
    stage: Stage, given: Any, taken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sync_to_async(given)(stage)
    monkeypatch.setattr(Asking, "reached", asyncio.Event(), raising=False)
    monkeypatch.setattr(Asking, "may_go_on", asyncio.Event(), raising=False)
    headers = await alogin_headers(stage.user)
    application = AuthMiddlewareStack(Asking.as_asgi())
    client = GraphqlWsClient(GraphqlWsTransport(application, "/", {"headers": headers}))
    connecting = asyncio.create_task(client.connect_and_init())
    await Asking.reached.wait()
    await sync_to_async(taken)(stage)
    Asking.may_go_on.set()
    await connecting
    await client.start("subscription { event { number } }")
    with pytest.raises(GraphqlWsResponseError):
        await client.receive()
    await client.finalize()


async def test_a_flag_that_no_signal_tells_of_counts_for_the_next_operation(
    stage: Stage, client: GraphqlWsClient
) -> None:
    await sync_to_async(stage.by_all)()
    await subscribed(client)
    await User.objects.aupdate(is_superuser=False)
    await client.start("subscription { event { number } }")
    with pytest.raises(GraphqlWsResponseError):
        await client.receive()
    await kept(client)


async def test_who_lost_a_flag_while_a_body_was_on_its_way_is_refreshed(stage: Stage) -> None:
    await sync_to_async(stage.by_all)()
    scope = {"user": await User.objects.aget(pk=stage.user.pk)}
    assert not await have_ended(scope, 60)
    assert scope["user"].is_superuser
    await User.objects.aupdate(is_superuser=False)
    assert not await have_ended(scope, 60)
    assert not scope["user"].is_superuser


async def test_what_was_read_before_changes_are_told_is_read_anew(stage: Stage) -> None:
    joined = asyncio.Event()
    hub: Any = SimpleNamespace(
        loop=asyncio.get_running_loop(), listen=lambda *_: True, joined=lambda _: joined.wait()
    )
    revocations = Revocations(hub, "group")
    scope: dict[str, Any] = {"user": stage.user}
    rights = rights_of(scope)
    assert rights is not None
    revocations.add(object(), rights, scope)  # type: ignore[arg-type]
    vars(stage.user)["_perm_cache"] = {NAME}
    assert revocations.joining is not None
    joined.set()
    await revocations.joining
    assert "_perm_cache" not in vars(scope["user"])


def test_what_a_user_object_has_read_is_forgotten() -> None:
    user = User(username="ada")
    vars(user).update(_perm_cache={NAME}, _guardian_perms_cache={}, _prefetched_objects_cache={})
    scope: dict[str, Any] = {"user": user}
    refresh(scope, {"is_staff": True})
    assert scope["user"].username == "ada"
    assert scope["user"].is_staff
    assert not [name for name in vars(scope["user"]) if name.endswith("_cache")]
    # A thread may be about to read them.
    assert vars(user)["_perm_cache"] == {NAME}


def test_other_kinds_of_users_are_left_alone() -> None:
    scope: dict[str, Any] = {"user": AnonymousUser()}
    before = scope["user"]
    refresh(scope, {})
    assert scope["user"] is before

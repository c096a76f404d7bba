"""Permissions that are given or taken away count for connections that are open already."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
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
from channels_graphql_ws.operations.revocation import refresh
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
    """Check that the next event does not reach a client, which stays."""
    asked = len(Reader.answers)
    await Event.broadcast(payload=2)
    await wait_until(lambda: len(Reader.answers) > asked)
    assert Reader.answers[-1] is False
    await client.assert_no_messages()


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

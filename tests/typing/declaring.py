"""What type checkers know of a Subscription: checked by mypy and pyright, never run."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, assert_type

import graphene

from channels_graphql_ws import (
    COMPLETE,
    SKIP,
    BasePermission,
    PayloadTypeError,
    ProtectedField,
    Subscription,
    SubscriptionField,
    protected,
)
from channels_graphql_ws.serializer import Serializer
from channels_graphql_ws.subscription.declaration import QueuePolicy, SubscriptionOptions


class OnMessage(Subscription):
    """Declared as the documents say, with every hook as a static method."""

    notification_queue_limit = 10

    text = graphene.String(required=True)

    class Arguments:
        room = graphene.ID(required=True)

    @staticmethod
    async def subscribe(_root: None, _info: graphene.ResolveInfo, room: str) -> list[str]:
        return [room]

    @staticmethod
    def publish(payload: str, _info: graphene.ResolveInfo, room: str) -> object:
        return SKIP if room in payload else OnMessage(text=payload)

    @staticmethod
    async def initial(_root: None, _info: graphene.ResolveInfo, room: str) -> object:
        return {"text": room} if room else COMPLETE

    @staticmethod
    def unsubscribed(_root: None, _info: graphene.ResolveInfo, room: str) -> None:
        del room

    @classmethod
    def say(cls, text: str) -> None:
        """Broadcast from a class method, by way of `super()` too."""
        cls.broadcast(group="lobby", payload=text)
        super().broadcast(payload={"text": text})


class IsStaff(BasePermission):
    """Takes no arguments."""

    message = "Staff only."

    def has_permission(self, source: object, info: graphene.ResolveInfo) -> bool:
        return bool(source or info)


class IsMember(BasePermission):
    """Takes an argument, and has to wait."""

    async def has_permission(self, source: object, info: graphene.ResolveInfo, room: str) -> bool:
        return bool(source or info or room)


class OnSecret(Subscription):
    """Permissions combine, in lists and in tuples, on classes, fields and resolvers."""

    permission_classes = [IsStaff | IsMember, ~(IsStaff & IsMember)]

    text = ProtectedField(graphene.String, permission_classes=(IsStaff | ~IsMember,))

    @staticmethod
    def publish(payload: str, _info: graphene.ResolveInfo) -> object:
        return OnSecret(text=payload)

    @protected(IsStaff | IsMember, IsStaff)
    def resolve_text(self, _info: graphene.ResolveInfo) -> str:
        return "text"


def combine_permissions(optional: type[IsStaff] | None, either: IsStaff | None) -> None:
    """Combinations are permission classes, and annotations stay annotations."""
    assert_type(IsStaff | IsMember, type[BasePermission])
    assert_type(IsStaff & IsMember, type[BasePermission])
    assert_type(~IsStaff, type[BasePermission])
    assert_type((IsStaff | IsMember) & ~IsStaff, type[BasePermission])
    assert_type(optional, type[IsStaff] | None)
    assert_type(either, IsStaff | None)
    OnSecret.permission_classes = [IsStaff]


class WithMeta(Subscription):
    """The options may be given by a class `Meta`, the hooks be other kinds of method."""

    class Meta:
        name = "Renamed"
        none_skips = False

    ok = graphene.Boolean()

    async def publish(self, _info: graphene.ResolveInfo) -> None:
        """A plain method has the payload as `self`."""

    @classmethod
    def subscribe(cls, _root: None, _info: graphene.ResolveInfo) -> tuple[str, ...]:
        return ("a", "b")


class WithKeywords(Subscription, publish=lambda payload, _info: payload, description="Short"):
    """Or they are class keywords."""

    ok = graphene.Boolean()


class WithInitial(Subscription, publish=lambda _, __: SKIP, initial=lambda _, __: COMPLETE):
    """The first value, too."""

    ok = graphene.Boolean()


class Coalescing(Subscription, publish=lambda payload, _: payload):
    """What gives way when a queue is full is one of four words."""

    notification_queue_policy: QueuePolicy = "coalesce"

    ok = graphene.Boolean()

    @staticmethod
    def coalesce(payload: dict[str, str]) -> str | None:
        return payload.get("room")


class Closing(Subscription, publish=lambda payload, _: payload):
    """It need not be annotated."""

    notification_queue_policy = "close"

    ok = graphene.Boolean()


class Root(graphene.ObjectType):
    on_message = OnMessage.Field()
    on_meta = WithMeta.Field(name="onMeta", description="…", required=True)
    wrapped = graphene.NonNull(OnMessage)


def plain_code_may_not_care_for_what_comes_back() -> None:
    """Without an event loop there is nothing to wait for."""
    assert_type(OnMessage.broadcast(payload="hi"), asyncio.Future[None] | Any)
    assert_type(OnMessage.unsubscribe(group="lobby"), asyncio.Future[None] | Any)
    OnMessage.broadcast_sync(group="lobby", payload={"any": ("thing", 1)})
    OnMessage.unsubscribe_sync()
    assert_type(OnMessage.disconnect(group="lobby"), asyncio.Future[None] | Any)
    OnMessage.disconnect_sync()


async def a_coroutine_may_wait() -> None:
    """Both forms can be awaited."""
    await assert_type(OnMessage.broadcast_async(payload="hi"), Coroutine[Any, Any, None])
    await OnMessage.broadcast_async(group="lobby", payload="hi")
    await OnMessage.unsubscribe_async(group="lobby")
    await OnMessage.disconnect_async(group="lobby")
    await OnMessage.broadcast(payload="hi")


def payloads_survive_the_wire() -> None:
    """The serializer's own face."""
    try:
        data = Serializer.serialize({"a": 1})
    except PayloadTypeError as error:
        assert_type(error, PayloadTypeError)
        raise
    assert_type(data, bytes)
    assert_type(Serializer.deserialize(data), Any)


def options_can_be_looked_at(options: SubscriptionOptions) -> None:
    """As resolvers of the field do."""
    assert_type(options.none_skips, bool)
    assert_type(options.arguments, dict[str, Any] | None)


class OnTitle(Subscription[str]):
    """The type of the payload may be named."""

    title = graphene.String()

    @staticmethod
    def publish(payload: str, _info: graphene.ResolveInfo) -> object:
        return OnTitle(title=payload)


class OnSpecialTitle(OnTitle):
    """A subclass has the payload of its base."""


async def the_payload_has_its_type() -> None:
    """`None` is the default, and may be meant."""
    OnTitle.broadcast(payload="Dune")
    OnTitle.broadcast()
    OnSpecialTitle.broadcast_sync(payload="Dune")
    await OnSpecialTitle.broadcast_async(payload=None)
    assert_type(OnTitle.Field(required=True), SubscriptionField)

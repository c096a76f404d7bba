"""The GraphQL schema: read rooms, say something, hear what others say and type."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import graphene
from django.core.files import File
from django.urls import reverse
from django.utils import timezone
from graphql import GraphQLError

from channels_graphql_ws import SKIP, Subscription, Upload
from chat import models, pictures
from chat.people import Person, person_of

HISTORY_LIMIT = 100
SLOWEST_CLOCK = 3600


class Author(graphene.ObjectType):
    """Who wrote a message or is typing one."""

    id = graphene.ID(required=True, description="Tells two guests of one nick apart.")
    name = graphene.String(required=True)
    is_guest = graphene.Boolean(required=True)


class Room(graphene.ObjectType):
    """A place to talk."""

    slug = graphene.ID(required=True)
    name = graphene.String(required=True)
    topic = graphene.String(required=True)


class Message(graphene.ObjectType):
    """Something that was said. Resolved from a `models.Message`."""

    id = graphene.ID(required=True)
    room = graphene.ID(required=True, description="The slug of the room.")
    author = graphene.Field(Author, required=True)
    text = graphene.String(required=True, description="May be empty if there is a picture.")
    picture = graphene.String(description="The address of the picture that came along.")
    sent_at = graphene.DateTime(required=True)

    @staticmethod
    def resolve_room(message: models.Message, _info: graphene.ResolveInfo) -> str:
        """Take the foreign key as it is: no query, so it works on the event loop."""
        return message.room_id

    @staticmethod
    def resolve_author(message: models.Message, _info: graphene.ResolveInfo) -> Author:
        """Build the author from what is kept with the message."""
        return Author(
            id=message.author_key,
            name=message.author_name,
            is_guest=message.author_key.startswith("guest-"),
        )

    @staticmethod
    def resolve_picture(message: models.Message, _info: graphene.ResolveInfo) -> str | None:
        """Say where the picture is; only its id is needed for that."""
        return reverse("picture", args=[message.picture_id]) if message.picture_id else None


class History(graphene.ObjectType):
    """A piece of what was said in a room, oldest first."""

    messages = graphene.List(graphene.NonNull(Message), required=True)
    has_earlier = graphene.Boolean(required=True)


class Query(graphene.ObjectType):
    """What can be asked."""

    me = graphene.Field(Author, description="Null for a visitor without a nick.")
    rooms = graphene.List(graphene.NonNull(Room), required=True)
    history = graphene.Field(
        History,
        required=True,
        room=graphene.ID(required=True),
        before=graphene.ID(description="Only messages before this one."),
        limit=graphene.Int(default_value=40),
    )

    @staticmethod
    def resolve_me(_root: None, info: graphene.ResolveInfo) -> Author | None:
        """Say who the client is to others."""
        person = _speaker(info)
        return _author(person) if person else None

    @staticmethod
    async def resolve_rooms(_root: None, _info: graphene.ResolveInfo) -> list[models.Room]:
        """List all rooms."""
        return [room async for room in models.Room.objects.all()]

    @staticmethod
    async def resolve_history(
        _root: None,
        _info: graphene.ResolveInfo,
        room: str,
        limit: int,
        before: str | None = None,
    ) -> History:
        """Return the newest messages of a room, or those before a given one."""
        if not 1 <= limit <= HISTORY_LIMIT:
            raise GraphQLError(f"The limit is a number from 1 to {HISTORY_LIMIT}.")
        await _check_room(room)
        newest_first = models.Message.objects.filter(room_id=room).order_by("-id")
        if before is not None:
            newest_first = newest_first.filter(id__lt=_message_id(before))
        # One more than asked for tells whether there is more.
        found = [message async for message in newest_first[: limit + 1]]
        return History(messages=found[:limit][::-1], has_earlier=len(found) > limit)


class OnMessage(Subscription):
    """Something was said in the room."""

    message = graphene.Field(Message, required=True)

    class Arguments:
        """Which room to listen to."""

        room = graphene.ID(required=True)

    @staticmethod
    async def subscribe(_root: None, _info: graphene.ResolveInfo, room: str) -> list[str]:
        """Listen to the group of the room."""
        await _check_room(room)
        return [room]

    @staticmethod
    def publish(message: models.Message, _info: graphene.ResolveInfo, room: str) -> OnMessage:
        """Show the message: it arrives as the model that was broadcast."""
        del room
        return OnMessage(message=message)


class OnTyping(Subscription):
    """Somebody else is typing in the room. Worth showing for a few seconds."""

    # Only the latest is of interest. Who still types says so again in a moment.
    notification_queue_limit = 1

    author = graphene.Field(Author, required=True)

    class Arguments:
        """Which room to look at."""

        room = graphene.ID(required=True)

    @staticmethod
    async def subscribe(_root: None, _info: graphene.ResolveInfo, room: str) -> list[str]:
        """Listen to the group of the room."""
        await _check_room(room)
        return [room]

    @staticmethod
    def publish(payload: dict[str, object], info: graphene.ResolveInfo, room: str) -> object:
        """Tell everybody but the one who types."""
        del room
        me = _speaker(info)
        if me is not None and me.key == payload["id"]:
            return SKIP
        return OnTyping(author=Author(**payload))


class SendMessage(graphene.Mutation):
    """Say something in a room."""

    message = graphene.Field(Message, required=True)

    class Arguments:
        """Where, and what."""

        room = graphene.ID(required=True)
        text = graphene.String(required=True)
        picture = Upload(description="PNG, JPEG, GIF or WebP. Comes over HTTP only.")

    @staticmethod
    async def mutate(
        _root: None,
        info: graphene.ResolveInfo,
        room: str,
        text: str,
        picture: File[Any] | None = None,
    ) -> SendMessage:
        """Keep the message, then broadcast it as it is: a model."""
        person = _speaker_or_error(info)
        text = _checked_text(text, may_be_empty=picture is not None)
        await _check_room(room)
        kept = await _kept(picture) if picture is not None else None
        message = await models.Message.objects.acreate(
            room_id=room,
            user_id=person.user_id,
            author_key=person.key,
            author_name=person.name,
            text=text,
            picture=kept,
        )
        await OnMessage.broadcast(group=room, payload=message)
        return SendMessage(message=message)


class SetTyping(graphene.Mutation):
    """Tell a room that one is typing. To be repeated while it is true."""

    ok = graphene.Boolean(required=True)

    class Arguments:
        """Where."""

        room = graphene.ID(required=True)

    @staticmethod
    async def mutate(_root: None, info: graphene.ResolveInfo, room: str) -> SetTyping:
        """Broadcast the name; nothing is kept, an unknown room is heard by nobody."""
        person = _speaker_or_error(info)
        payload = {"id": person.key, "name": person.name, "is_guest": person.is_guest}
        await OnTyping.broadcast(group=room, payload=payload)
        return SetTyping(ok=True)


class Mutation(graphene.ObjectType):
    """What can be done."""

    send_message = SendMessage.Field(required=True)
    set_typing = SetTyping.Field(required=True)


class SubscriptionRoot(graphene.ObjectType):
    """What can be listened to."""

    on_message = OnMessage.Field(required=True)
    on_typing = OnTyping.Field()
    # No broadcast and no class: what the generator below yields is what is sent.
    clock = graphene.DateTime(
        required=True,
        every=graphene.Int(default_value=1, description="Seconds from one to the next."),
        ticks=graphene.Int(description="How many; without it the clock does not stop."),
        description="The time on the server, again and again.",
    )

    @staticmethod
    async def subscribe_clock(
        _root: None, _info: graphene.ResolveInfo, every: int, ticks: int | None = None
    ) -> AsyncIterator[datetime]:
        """Tell the time. When this returns, the subscription is complete."""
        if not 1 <= every <= SLOWEST_CLOCK:
            raise GraphQLError(f"A clock ticks every 1 to {SLOWEST_CLOCK} seconds.")
        yield timezone.now()
        while ticks is None or (ticks := ticks - 1) > 0:
            await asyncio.sleep(every)
            yield timezone.now()

    class Meta:
        """The name that GraphQL tools expect."""

        name = "Subscription"


schema = graphene.Schema(query=Query, mutation=Mutation, subscription=SubscriptionRoot)


def _speaker(info: graphene.ResolveInfo) -> Person | None:
    # `AuthMiddlewareStack` has loaded the session while connecting: no query here.
    return person_of(info.context.user, info.context.session)


def _speaker_or_error(info: graphene.ResolveInfo) -> Person:
    person = _speaker(info)
    if person is None:
        raise GraphQLError("Choose a nick or sign in first.")
    return person


def _author(person: Person) -> Author:
    return Author(id=person.key, name=person.name, is_guest=person.is_guest)


def _checked_text(text: str, *, may_be_empty: bool) -> str:
    text = text.strip()
    if not text and not may_be_empty:
        raise GraphQLError("There is nothing to send.")
    if len(text) > models.Message.MAX_LENGTH:
        raise GraphQLError(
            f"A message has at most {models.Message.MAX_LENGTH} characters, "
            f"this one has {len(text)}."
        )
    return text


async def _kept(picture: File[Any]) -> models.Picture:
    try:
        return await pictures.keep(picture)
    except pictures.NoPictureError as error:
        raise GraphQLError(str(error)) from None


def _message_id(text: str) -> int:
    # SQLite's integers end at 64 bits; no id is longer than that.
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise GraphQLError("`before` is no id of a message.")
    return int(text)


async def _check_room(slug: str) -> None:
    if not await models.Room.objects.filter(slug=slug).aexists():
        raise GraphQLError("There is no such room.")

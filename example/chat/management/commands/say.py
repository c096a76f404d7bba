"""`manage.py say ROOM TEXT`: say something from another process than the server's."""

from __future__ import annotations

from typing import Any

from channels.layers import InMemoryChannelLayer, get_channel_layer
from django.core.management.base import BaseCommand, CommandError, CommandParser

from chat.models import Message, Room
from chat.schema import OnMessage


class Command(BaseCommand):
    """Keep a message in a room and broadcast it."""

    help = "Say something in a room. Open pages see it at once if REDIS_URL is set."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the room, the text and a name to say it under."""
        parser.add_argument("room", help="slug of the room, e.g. lobby")
        parser.add_argument("text", nargs="+", help="what to say")
        parser.add_argument("--as", dest="name", default="The house", help="who says it")

    def handle(self, *args: Any, **options: Any) -> None:
        """Create the message, then broadcast the model."""
        del args
        room = Room.objects.filter(slug=options["room"]).first()
        if room is None:
            known = ", ".join(Room.objects.values_list("slug", flat=True))
            raise CommandError(f"There is no room {options['room']!r}. Rooms: {known}.")
        text = " ".join(options["text"]).strip()
        if not text or len(text) > Message.MAX_LENGTH:
            raise CommandError(f"A text has 1 to {Message.MAX_LENGTH} characters.")
        message = Message.objects.create(
            room=room, author_key="house", author_name=options["name"], text=text
        )
        OnMessage.broadcast(group=room.slug, payload=message)
        if isinstance(get_channel_layer(), InMemoryChannelLayer):
            self.stderr.write(
                "Kept, but only a page that is loaded now will show it: the in-memory "
                "channel layer ends at this process. Set REDIS_URL here and for the server."
            )

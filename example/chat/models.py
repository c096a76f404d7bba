"""What the chat keeps: rooms, messages and pictures."""

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone


class Room(models.Model):
    """A place to talk. Its slug is its name in addresses and its broadcast group."""

    slug = models.SlugField(primary_key=True)
    name = models.CharField(max_length=40)
    topic = models.CharField(max_length=120, blank=True)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        """Rooms are listed in the order that was chosen for them."""

        ordering = ("position", "slug")

    def __str__(self) -> str:
        """Show the name."""
        return self.name


class Picture(models.Model):
    """A picture that was sent along with a message.

    In the database, so that the example leaves no other files behind; a site of size
    would keep them in a storage of their own.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    content = models.BinaryField()
    content_type = models.CharField(max_length=20)

    def __str__(self) -> str:
        """Show which one, and what it is."""
        return f"{self.id} ({self.content_type})"


class Message(models.Model):
    """Something that was said in a room, by a user or by a guest.

    The name of the author is kept with the message: a guest has no row elsewhere, and
    a message that is broadcast as a model can be shown without a query.
    """

    MAX_LENGTH = 2000

    room = models.ForeignKey(Room, on_delete=models.CASCADE, related_name="messages")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True
    )
    author_key = models.CharField(max_length=50)
    author_name = models.CharField(max_length=150)
    text = models.TextField(max_length=MAX_LENGTH)
    # Its id is part of the message: to show that there is one takes no query either.
    picture = models.OneToOneField(Picture, on_delete=models.SET_NULL, null=True, blank=True)
    sent_at = models.DateTimeField(default=timezone.now)

    class Meta:
        """Newer messages have greater ids; a room is read along this index."""

        ordering = ("id",)
        indexes = (models.Index(fields=["room", "id"], name="chat_message_room_id"),)

    def __str__(self) -> str:
        """Show who said what."""
        return f"{self.author_name}: {self.text}"

"""Fill the new database: rooms, two members and the beginning of a conversation."""

from __future__ import annotations

from datetime import timedelta

from django.apps.registry import Apps
from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.utils import timezone

ROOMS = [
    ("lobby", "Lobby", "Come in, say hello"),
    ("engine-room", "Engine room", "How this page works"),
    ("library", "Library", "What are you reading?"),
    ("tea-kitchen", "Tea kitchen", "Everything else"),
]
MEMBERS = {"ada": "lovelace", "grace": "hopper"}

# Room, minutes before now, author, text.
CONVERSATION = [
    ("lobby", 1530, "ada", "Good evening! Is anybody still up?"),
    ("lobby", 1528, "grace", "Always. I was looking for a moth in a relay."),
    ("lobby", 1527, "grace", "Found it, taped it into the logbook."),
    ("lobby", 1526, "ada", "Keep that page. Somebody will want to see it one day."),
    ("lobby", 42, "grace", "Morning! The new chat runs."),
    (
        "lobby",
        41,
        "grace",
        "Open it in a second window, sign in as somebody else "
        "and type something. No reload needed.",
    ),
    ("lobby", 38, "ada", "I can see you typing before you have finished. Uncanny."),
    ("lobby", 37, "ada", "And guests only need a nick?"),
    ("lobby", 36, "grace", "Only a nick. Everybody is welcome in the lobby."),
    (
        "engine-room",
        95,
        "ada",
        "One WebSocket carries everything here: the history is a query, sending is a "
        "mutation, and every room is a subscription.",
    ),
    (
        "engine-room",
        93,
        "ada",
        "A message is kept as a Django model and broadcast as that very model:\n\n"
        "await OnMessage.broadcast(group=room, payload=message)",
    ),
    ("engine-room", 90, "grace", "What if the server is restarted?"),
    (
        "engine-room",
        88,
        "ada",
        "The page connects again, subscribes again and asks for what it has missed. "
        "Try it: stop the server, watch the lamp, start it.",
    ),
    (
        "library",
        610,
        "grace",
        "Notes on the sketch of an analytical engine, by a certain A. A. L. "
        "The notes are longer than the text.",
    ),
    ("library", 604, "ada", "Note G has a bug in it. I am told it was the first one."),
    ("tea-kitchen", 260, "grace", "The kettle is on."),
]


def fill(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create what is missing; a second run changes nothing."""
    del schema_editor
    room_model = apps.get_model("chat", "Room")
    user_model = apps.get_model(settings.AUTH_USER_MODEL)
    for position, (slug, name, topic) in enumerate(ROOMS):
        values = {"name": name, "topic": topic, "position": position}
        room_model.objects.get_or_create(slug=slug, defaults=values)
    for name, password in MEMBERS.items():
        values = {"password": make_password(password), "first_name": name.title()}
        user_model.objects.get_or_create(username=name, defaults=values)
    _fill_messages(apps)


def _fill_messages(apps: Apps) -> None:
    message_model = apps.get_model("chat", "Message")
    if message_model.objects.exists():
        return
    users = apps.get_model(settings.AUTH_USER_MODEL).objects.in_bulk(
        MEMBERS, field_name="username"
    )
    now = timezone.now()
    message_model.objects.bulk_create(
        message_model(
            room_id=room,
            user=users[name],
            author_key=f"user-{users[name].pk}",
            author_name=users[name].first_name,
            text=text,
            sent_at=now - timedelta(minutes=minutes),
        )
        for room, minutes, name, text in CONVERSATION
    )


class Migration(migrations.Migration):
    """Demonstration data."""

    dependencies = [  # noqa: RUF012 (Django's shape)
        ("chat", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
    ]
    operations = [  # noqa: RUF012
        migrations.RunPython(fill, migrations.RunPython.noop)
    ]

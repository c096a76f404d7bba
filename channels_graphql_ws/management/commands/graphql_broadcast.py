"""`manage.py graphql_broadcast`: broadcast an event by hand."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from channels_graphql_ws.exceptions import ChannelLayerError, PayloadError
from channels_graphql_ws.management.project import path_of, reaches_nobody, subscription_named

SHOWN: Final = 200
"""Characters of a payload that an error shows."""


class Command(BaseCommand):
    """Broadcasts an event to the subscribers of a class."""

    help = "Broadcast an event to the subscribers of a Subscription class."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments (Django)."""
        parser.add_argument(
            "subscription", help="name or dotted path of the class, such as chat.schema.OnMessage"
        )
        parser.add_argument(
            "--group", help="to the subscribers of this group only, as `subscribe` names it"
        )
        parser.add_argument(
            "--payload", metavar="JSON", default="null", help="what `publish` gets (default: null)"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the command (Django)."""
        group = options["group"]
        payload = _payload(options["payload"])
        cls = subscription_named(options["subscription"])
        try:
            if reaches_nobody():
                raise CommandError(
                    "InMemoryChannelLayer does not cross processes: nobody outside of this "
                    "command would get it. Set a layer that connects processes in CHANNEL_LAYERS, "
                    "for example channels_redis.pubsub.RedisPubSubChannelLayer"
                )
            cls.broadcast_sync(group=group, payload=payload)
        except (ChannelLayerError, PayloadError) as error:
            raise CommandError(str(error)) from error
        where = "all subscribers" if group is None else f"the group {group!r}"
        self.stdout.write(f"The channel layer has it: {path_of(cls)}, for {where}")


def _payload(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
        raise CommandError(
            f"--payload is not JSON: {error}. It was {shown!r}; a text needs quotes of its own, "
            """such as --payload '"hello"'"""
        ) from None

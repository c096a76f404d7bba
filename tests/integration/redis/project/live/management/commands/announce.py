"""`manage.py announce ROOM TEXT`: broadcast from a process that ends at once."""

from django.core.management.base import BaseCommand, CommandParser

from live.schema import OnNews


class Command(BaseCommand):
    help = "Broadcast news to a room."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("room")
        parser.add_argument("text")

    def handle(self, **options: str) -> None:
        OnNews.broadcast(group=options["room"], payload=options["text"])

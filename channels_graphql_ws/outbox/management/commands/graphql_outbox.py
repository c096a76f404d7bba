"""`manage.py graphql_outbox`: list, retry and delete the events that are to be sent."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, OperationalError, ProgrammingError, connections
from django.db.models import QuerySet

from channels_graphql_ws.outbox.models import OutboxEvent
from channels_graphql_ws.outbox.rows import retry

SHOWN: Final = 50
"""Rows that are listed unless more are asked for."""


class Command(BaseCommand):
    """Lists the rows of the outbox, and does what nothing does by itself."""

    help = "List the events in the outbox; have those that were given up sent, or delete them."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments (Django)."""
        parser.add_argument(
            "action", nargs="?", choices=["list", "retry", "delete"], default="list"
        )
        parser.add_argument("ids", nargs="*", type=int, help="numbers of rows, as listed")
        parser.add_argument(
            "--failed", action="store_true", help="only, and all, rows that were given up"
        )
        parser.add_argument(
            "--database", default=DEFAULT_DB_ALIAS, choices=list(connections), help="its alias"
        )
        parser.add_argument(
            "--limit", type=int, default=SHOWN, help=f"rows to list (default: {SHOWN})"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the command (Django)."""
        found = OutboxEvent.objects.using(options["database"]).order_by("pk")
        if options["failed"]:
            found = found.filter(due_at__isnull=True)
        if options["ids"]:
            found = found.filter(pk__in=options["ids"])
        elif options["action"] != "list" and not options["failed"]:
            raise CommandError(f"Which rows? Name them to {options['action']}, or say --failed")
        try:
            self._do(options["action"], found, options["limit"])
        except (OperationalError, ProgrammingError) as error:
            raise CommandError(
                f"The outbox cannot be read: {error}. If its table is missing: "
                f"python manage.py migrate --database {options['database']}"
            ) from error

    def _do(self, action: str, found: QuerySet[OutboxEvent], limit: int) -> None:
        if action == "list":
            self._list(found, limit)
        elif action == "retry":
            count = retry(found)
            self.stdout.write(f"{count} to be sent by a serving process")
        else:
            count, _ = found.delete()
            self.stdout.write(f"{count} deleted")

    def _list(self, found: QuerySet[OutboxEvent], limit: int) -> None:
        for row in found.defer("payload")[:limit]:
            state = "given up" if row.due_at is None else "waits"
            failed = f", failed {row.attempts} times: {row.error}" if row.attempts else ""
            self.stdout.write(
                f"{row.pk}  {row.created_at:%Y-%m-%d %H:%M:%S}  {state}  {row.class_path}  "
                f"group {row.group}{failed}"
            )
        count = found.count()
        if count > limit:
            self.stdout.write(f"… and {count - limit} more, see --limit")
        elif not count:
            self.stdout.write("Nothing waits to be sent")

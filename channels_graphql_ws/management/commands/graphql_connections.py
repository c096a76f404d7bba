"""`manage.py graphql_connections`: who is connected to which process, and ending one."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError

from channels_graphql_ws.exceptions import ChannelLayerError
from channels_graphql_ws.management.project import load_project, reaches_nobody
from channels_graphql_ws.operations.listing import MOST_LISTED, ListedConnection, ListedProcess
from channels_graphql_ws.operations.questions import (
    TIMEOUT,
    ask_for_connections,
    end_connection,
    in_plain_code,
)

MOST: Final = 100_000
"""The largest number that an option takes."""


class Command(BaseCommand):
    """Lists the connections of all processes, or ends one."""

    help = "List the connections of all processes that serve the project, or end one."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments (Django)."""
        parser.add_argument(
            "search",
            nargs="?",
            default="",
            help="the id of a connection, or the id or a part of the name of a user",
        )
        parser.add_argument(
            "--limit",
            type=_positive(int),
            default=200,
            metavar="N",
            help=f"connections of each process, those with most waiting first; at most "
            f"{MOST_LISTED} (default: 200)",
        )
        parser.add_argument(
            "--timeout",
            type=_positive(float),
            default=TIMEOUT,
            metavar="SECONDS",
            help=f"how long processes may take to answer (default: {TIMEOUT:g})",
        )
        parser.add_argument(
            "--processes",
            type=_positive(int),
            metavar="N",
            help="how many there are: end as soon as all have answered, and fail if not all do",
        )
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument("--end", metavar="ID", help="end the connection of this id")

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the command (Django)."""
        load_project()
        try:
            if reaches_nobody():
                raise CommandError(
                    "InMemoryChannelLayer does not cross processes: this command can ask nobody. "
                    "Set a layer that connects processes in CHANNEL_LAYERS, for example "
                    "channels_redis.pubsub.RedisPubSubChannelLayer"
                )
            if options["end"] is not None:
                self._end(options["end"], options["timeout"])
            else:
                self._list(options)
        except ChannelLayerError as error:
            raise CommandError(str(error)) from error

    def _end(self, id: str, seconds: float) -> None:
        answers = in_plain_code(lambda: end_connection(id, seconds=seconds))
        if not answers.ended:
            raise CommandError(f"No process that has answered in time has a connection {id!r}")
        self.stdout.write(f"The connection {id} was ended")

    def _list(self, options: dict[str, Any]) -> None:
        answers = in_plain_code(
            lambda: ask_for_connections(
                options["search"],
                options["limit"],
                seconds=options["timeout"],
                processes=options["processes"],
            )
        )
        if options["json"]:
            processes = [asdict(each) for each in answers.processes]
            content = {"processes": processes, "notes": answers.notes}
            self.stdout.write(json.dumps(content, indent=2))
        else:
            for process in answers.processes:
                for line in _lines(process):
                    self.stdout.write(line)
        for note in answers.notes:
            self.stderr.write(note)
        expected, number = options["processes"], len(answers.processes)
        if expected is not None and number < expected:
            raise CommandError(f"{number} of {expected} processes have answered in time")


def _lines(process: ListedProcess) -> Iterable[str]:
    yield (
        f"{_visible(process.name)}: {process.connections} connections, {process.users} users, "
        f"{process.subscriptions} subscriptions, {process.queued} events queued, "
        f"{process.unsent_bytes} bytes unsent"
    )
    for each in process.listed:
        yield f"  {_line(each)}"
    if process.more:
        yield f"  {process.more} more"


def _line(each: ListedConnection) -> str:
    names = ", ".join(f"{name} x {number}" for name, number in each.subscriptions.items())
    user = f"{each.user} ({each.user_id})" if each.user_id else "nobody"
    return _visible(
        f"{each.id}  {each.kind} {each.path}  {user}  {names or 'no subscription'}  "
        f"{each.queued} queued, {each.unsent_bytes} bytes unsent"
    )


def _visible(text: str) -> str:
    """Escape what a terminal could take for a command: users choose their names."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _positive(kind: type[int | float]) -> Any:
    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = 0
        if not 0 < value <= MOST:
            raise ArgumentTypeError(f"{text!r} is not a number > 0 and up to {MOST:,}")
        return value

    return parse

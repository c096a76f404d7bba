"""`manage.py graphql_schema`: print the schema, or write it to a file."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError
from graphql import introspection_from_schema, print_schema

from channels_graphql_ws.management.project import schema_at

_SUFFIXES: Final = {".json": True, ".graphql": False, ".graphqls": False, ".gql": False}
"""By the end of a file's name: whether it is JSON."""


class Command(BaseCommand):
    """Prints the schema, or writes it to a file."""

    help = "Print the GraphQL schema, or write it to a file."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the arguments (Django)."""
        parser.add_argument(
            "--schema",
            metavar="PATH",
            help="dotted path of the schema; by default the one that the project serves",
        )
        parser.add_argument(
            "--out",
            default="-",
            metavar="FILE",
            help="where to write it: .graphql as text, .json as the result of an introspection; "
            "- is standard output (default)",
        )
        parser.add_argument(
            "--json", action="store_true", help="print the result of an introspection"
        )
        parser.add_argument(
            "--indent", type=int, default=2, metavar="N", help="spaces in JSON (default: 2)"
        )

    def handle(self, *_: Any, **options: Any) -> None:
        """Run the command (Django)."""
        out = str(options["out"])
        is_json = bool(options["json"])
        if out != "-":
            suffix = Path(out).suffix
            if suffix not in _SUFFIXES:
                raise CommandError(f"--out {out} must end in {', '.join(_SUFFIXES)}")
            if is_json and not _SUFFIXES[suffix]:
                raise CommandError(f"--json and --out {out} do not go together: name it .json")
            is_json = _SUFFIXES[suffix]
        schema = schema_at(options["schema"])
        if is_json:
            content = {"data": introspection_from_schema(schema)}
            text = json.dumps(content, indent=options["indent"], ensure_ascii=False)
        else:
            text = print_schema(schema)
        if out == "-":
            self.stdout.write(text)
            return
        try:
            Path(out).write_text(f"{text.rstrip()}\n", encoding="utf-8")
        except OSError as error:
            raise CommandError(f"{out} cannot be written: {error}") from None
        self.stderr.write(f"The schema is in {out}")

"""`python -m channels_graphql_ws check`: what a project would have to change."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from channels_graphql_ws.migration.findings import Finding

_DESCRIPTION: Final = """\
Import a Django project that was written for another package, look through its source, and list
what it has to change."""

_EXIT_CODES: Final = "exit codes: 0 there is nothing to change, notes aside, 1 there is"


def add_command(commands: Any) -> None:
    """Add `check` to the commands of a parser."""
    parser = commands.add_parser(
        "check",
        help="list what a project that comes from another package has to change",
        description=_DESCRIPTION,
        epilog=_EXIT_CODES,
    )
    parser.add_argument(
        "folders",
        nargs="*",
        type=Path,
        metavar="FOLDER",
        help="where the source is; the current folder if there is none",
    )
    parser.add_argument(
        "--settings",
        help="the module of the settings; otherwise DJANGO_SETTINGS_MODULE or manage.py",
    )
    parser.add_argument("--asgi", help="the ASGI application; otherwise ASGI_APPLICATION")
    parser.add_argument("--no-import", action="store_true", help="look through the source only")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the findings; return the exit code."""
    count = 0
    for finding in dict.fromkeys(_findings(options)):
        print(finding)  # noqa: T201 (a program)
        count += not finding.is_note
    print(f"{count or 'Nothing'} to change")  # noqa: T201
    return 1 if count else 0


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    # Only here: the other commands work without Django.
    from channels_graphql_ws.migration import project, source  # noqa: PLC0415

    folders: list[Path] = options.folders or [Path()]
    yield from project.installed()
    yield from source.findings_in(folders)
    if options.no_import:
        return
    settings = options.settings or project.settings_module(folders[0])
    if settings is None:
        text = "not imported: name the settings by `--settings` or DJANGO_SETTINGS_MODULE"
        yield Finding("project", text)
        return
    os.environ["DJANGO_SETTINGS_MODULE"] = settings
    # As `manage.py` has it.
    sys.path[:0] = [str(folder.resolve()) for folder in folders]
    yield from project.findings_of(options.asgi)

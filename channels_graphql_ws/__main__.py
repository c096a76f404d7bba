"""`python -m channels_graphql_ws`, and `graphql-live`: the package in a shell."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from channels_graphql_ws.client import command_line
from channels_graphql_ws.client.client import GraphqlWsClient
from channels_graphql_ws.migration import command as migration

_DESCRIPTION = """\
Talk to any GraphQL server: queries and mutations over WebSocket or HTTP, subscriptions over
WebSocket or server-sent events. Each result is a line of JSON."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code.

    Args:
        arguments: those of the command line, `None` for those of the process.
    """
    parser = argparse.ArgumentParser(
        prog="graphql-live", description=_DESCRIPTION, epilog=command_line.EXIT_CODES
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # Each adds its own, and imports what only it needs when it is run.
    command_line.add_commands(commands)
    _add_schema(commands)
    migration.add_command(commands)
    options = parser.parse_args(arguments)
    options.prog = parser.prog
    exit_code: int = options.run(options)
    return exit_code


def _add_schema(commands: Any) -> None:
    parser = commands.add_parser(
        "schema",
        help="print the schema of a server in GraphQL's own language",
        epilog=command_line.EXIT_CODES,
    )
    command_line.add_connection(parser)
    parser.add_argument("--json", action="store_true", help="print the introspection as JSON")
    parser.set_defaults(run=lambda options: command_line.run(options, _print_schema), follow=False)


async def _print_schema(options: argparse.Namespace, client: GraphqlWsClient) -> int:
    import graphql  # noqa: PLC0415 (no other command needs it)

    query = graphql.get_introspection_query()
    introspection = await client.query(query, timeout=options.timeout)
    options.progress.clear()
    if options.json:
        command_line.print_json(introspection)
    else:
        print(graphql.print_schema(graphql.build_client_schema(introspection)))
    return 0


if __name__ == "__main__":  # pragma: no cover (run by the tests in a process of its own)
    sys.exit(main())

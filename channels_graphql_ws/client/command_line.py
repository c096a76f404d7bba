"""The client in a shell: run operations, print a line of JSON for each result."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TextIO, TypeAlias, TypeVar, cast
from urllib.parse import urlsplit

from channels_graphql_ws.client.aiohttp_transport import GraphqlWsTransportAiohttp
from channels_graphql_ws.client.client import GraphqlWsClient
from channels_graphql_ws.client.documents import choose_operation
from channels_graphql_ws.client.errors import sentence
from channels_graphql_ws.client.handshake import DIALECTS, time_limit
from channels_graphql_ws.client.http_transport import GraphqlHttpTransport
from channels_graphql_ws.client.listeners import ConnectionEvent, log
from channels_graphql_ws.client.operations import SubscriptionEvent
from channels_graphql_ws.client.retry import NEVER, Retry
from channels_graphql_ws.client.sse_transport import GraphqlSseTransport
from channels_graphql_ws.client.transport import GraphqlWsTransport
from channels_graphql_ws.exceptions import GraphqlWsClientError, GraphqlWsResponseError

EXIT_CODES: Final = """\
exit codes: 0 all went well, 1 the server answered with errors, 2 the command makes no sense,
3 the server cannot be reached or the connection was lost, 4 it took too long, 130 Ctrl-C"""

ANSWERED_WITH_ERRORS: Final = 1
MAKES_NO_SENSE: Final = 2
NO_CONNECTION: Final = 3
TOOK_TOO_LONG: Final = 4
INTERRUPTED: Final = 130

Number = TypeVar("Number", int, float)

_STREAMS: Final = "sse"
_SINGLE: Final = "sse-single"

Work: TypeAlias = Callable[[argparse.Namespace, GraphqlWsClient], Coroutine[Any, Any, int]]
"""What a command does with its client; returns its exit code."""


class UsageError(Exception):
    """The command makes no sense; the text says why."""


def add_commands(commands: Any) -> None:
    """Add `query`, `mutate` and `subscribe` to the commands of a parser."""
    for name, text in (("query", "run a query"), ("mutate", "run a mutation")):
        parser = commands.add_parser(name, help=text, epilog=EXIT_CODES)
        _add_operation(parser)
        parser.set_defaults(run=lambda options: run(options, _ask), follow=False)
    parser = commands.add_parser(
        "subscribe", help="print the events of a subscription as they come", epilog=EXIT_CODES
    )
    _add_operation(parser)
    parser.add_argument(
        "--follow",
        action="store_true",
        help="reconnect whenever the connection is lost, and go on where that is possible",
    )
    parser.add_argument(
        "--count", type=_positive(int), metavar="N", help="end after so many events"
    )
    parser.set_defaults(run=lambda options: run(options, _listen))


def add_connection(parser: argparse.ArgumentParser) -> None:
    """Add what says how to connect."""
    parser.add_argument("url", metavar="URL", help="ws://, wss://, http:// or https://")
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        metavar="'NAME: VALUE'",
        help="send a header; may be repeated",
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="send a connection parameter, JSON or text; may be repeated",
    )
    parser.add_argument(
        "--protocol",
        choices=[*DIALECTS, _STREAMS, _SINGLE],
        help="speak only this subprotocol, or use streams only, one for each or one for all; "
        "default: what fits",
    )
    parser.add_argument(
        "--timeout",
        type=_positive(float),
        default=60.0,
        metavar="SECONDS",
        help="default: %(default)g",
    )
    parser.add_argument(
        "--insecure", action="store_true", help="do not check certificates of the server"
    )


def _positive(number: type[Number]) -> Callable[[str], Number]:
    """Return what reads a number above zero."""

    def read(text: str) -> Number:
        value = number(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above zero")
        return value

    read.__name__ = number.__name__  # argparse shows the name in its error.
    return read


def run(options: argparse.Namespace, work: Work) -> int:
    """Run a command; return its exit code, after a readable error if it failed."""
    try:
        with _errors_only_in_the_log():
            return asyncio.run(_connected(options, work))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain when it flushes the rest.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (UsageError, GraphqlWsClientError, ValueError, TypeError) as error:
        print(f"{options.prog}: {error}", file=sys.stderr)
        return _exit_code(error)


@contextlib.contextmanager
def _errors_only_in_the_log() -> Generator[None]:
    """Keep warnings out of the log: the command prints what they say."""
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def print_json(value: Any) -> None:
    """Print a value on a line of its own; in a terminal, for people to read."""
    indent = 2 if sys.stdout.isatty() else None
    separators = None if indent else (",", ":")
    print(json.dumps(value, ensure_ascii=False, indent=indent, separators=separators), flush=True)


def _add_operation(parser: argparse.ArgumentParser) -> None:
    add_connection(parser)
    parser.add_argument(
        "document",
        nargs="?",
        default="-",
        metavar="DOCUMENT",
        help="the GraphQL document, @FILE or - for the standard input, which is the default",
    )
    parser.add_argument("--variables", metavar="JSON", help="an object, or @FILE")
    parser.add_argument("--operation", metavar="NAME", help="if the document has several")


async def _connected(options: argparse.Namespace, work: Work) -> int:
    """Run a command with a client; nothing is sent before the command asks for it."""
    progress = Progress(sys.stderr)
    options.progress = progress
    both = list(DIALECTS)
    try:
        async with GraphqlWsClient(
            _transport(options),
            subprotocols=[options.protocol] if options.protocol in DIALECTS else both,
            connection_params=_params(options.param),
            retry=Retry() if options.follow else NEVER,
            on=dict.fromkeys(("connecting", "acknowledged", "retrying"), progress.take),
        ) as client:
            return await work(options, client)
    finally:
        progress.clear()


async def _ask(options: argparse.Namespace, client: GraphqlWsClient) -> int:
    """Run a query or a mutation and print its result."""
    text = _document(options, "mutation" if options.command == "mutate" else "query")
    variables = _variables(options.variables)
    result = await client.result(
        text, variables, operation_name=options.operation, timeout=options.timeout
    )
    options.progress.clear()
    print_json(_body(result.data, [each.as_json() for each in result.errors], result.extensions))
    return ANSWERED_WITH_ERRORS if result.errors else 0


async def _listen(options: argparse.Namespace, client: GraphqlWsClient) -> int:
    """Print the events of a subscription."""
    text = _document(options, "subscription")
    events = client.subscription(
        text, _variables(options.variables), operation_name=options.operation
    )
    if not options.follow:
        async with time_limit(options.timeout, f"a connection to {options.url}"):
            await client.connect_and_init()
    exit_code, count = 0, 0
    async with events:
        options.progress.show("Waiting for events. Ctrl-C ends this.")
        while options.count is None or count < options.count:
            event = await anext(events, None)
            if event is None:
                break
            options.progress.clear()
            _print_event(event)
            exit_code = ANSWERED_WITH_ERRORS if event.errors else exit_code
            count += 1
    return exit_code


def _print_event(event: SubscriptionEvent[Any]) -> None:
    if event.gap is not None:
        number = "Events" if event.gap.missed is None else f"{event.gap.missed} events"
        print(f"{number} may have been lost before this one: {event.gap.reason}", file=sys.stderr)
    print_json(_body(event.data, event.errors, event.extensions))


def _body(data: Any, errors: Sequence[Any], extensions: Mapping[str, Any]) -> dict[str, Any]:
    body = {"data": data, "errors": errors, "extensions": extensions}
    return {name: value for name, value in body.items() if value or name == "data"}


def _transport(options: argparse.Namespace) -> GraphqlWsTransport:
    headers = dict(_split(each, ":", "--header", "'Name: value'") for each in options.header)
    ssl = not options.insecure
    match urlsplit(options.url).scheme:
        case "ws" | "wss" if options.protocol not in {_STREAMS, _SINGLE}:
            return GraphqlWsTransportAiohttp(options.url, headers=headers, ssl=ssl)
        case "http" | "https" if options.protocol == _SINGLE:
            return GraphqlSseTransport(options.url, headers=headers, ssl=ssl)
        case "http" | "https" if options.protocol in {None, _STREAMS}:
            only_streams = options.protocol == _STREAMS
            return GraphqlHttpTransport(
                options.url, headers=headers, ssl=ssl, only_streams=only_streams
            )
        case "http" | "https" | "ws" | "wss":
            raise UsageError(f"--protocol {options.protocol} is not spoken at {options.url}")
        case _:
            raise UsageError(
                f"The URL must begin with ws://, wss://, http:// or https://, not {options.url!r}"
            )


def _params(given: list[str]) -> dict[str, Any] | None:
    pairs = dict(_split(each, "=", "--param", "NAME=VALUE") for each in given)
    return {name: _json_or_text(value) for name, value in pairs.items()} or None


def _split(text: str, separator: str, option: str, form: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not found or not name.strip():
        raise UsageError(f"{option} must be {form}, not {text!r}")
    return name.strip(), value.strip()


def _json_or_text(text: str) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(text)
    return text


def _document(options: argparse.Namespace, kind: str) -> str:
    """Return the text of the document, which must hold an operation of the kind."""
    text = sys.stdin.read() if options.document == "-" else _text_or_file(options.document)
    declared = choose_operation(text, options.operation)
    if declared.kind not in {kind, "operation"}:
        command = {"mutation": "mutate", "subscription": "subscribe"}.get(declared.kind, "query")
        raise UsageError(f"{declared} is for the command {command!r}")
    return text


def _variables(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        variables = json.loads(_text_or_file(text))
    except ValueError as error:
        raise UsageError(f"--variables is not JSON: {error}") from None
    if not isinstance(variables, dict):
        raise UsageError(f"--variables must be a JSON object, not {text!r}")
    return cast("dict[str, Any]", variables)


def _text_or_file(text: str) -> str:
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{text[1:]} cannot be read: {error}") from None


def _exit_code(error: Exception) -> int:
    match error:
        case GraphqlWsResponseError():
            return ANSWERED_WITH_ERRORS
        case TimeoutError():
            return TOOK_TOO_LONG
        case GraphqlWsClientError():
            return NO_CONNECTION
        case _:
            return MAKES_NO_SENSE


class Progress:
    """A line in the terminal that says what is waited for; only people see it.

    Args:
        terminal: where it is written, if that is a terminal.
    """

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._is_for_people = terminal.isatty()
        self._is_shown = False

    def take(self, event: ConnectionEvent) -> None:
        """Say what happens to the connection."""
        if event.type == "retrying":
            self.clear()
            assert event.error is not None, "there is a reason to try again"
            text = f"{sentence(event.error)} Trying again in {event.delay:.1f} s"
            print(text, file=self._terminal, flush=True)
        else:
            self.show("Connecting …" if event.type == "connecting" else "Connected.")

    def show(self, text: str) -> None:
        """Show a text in place of the one before."""
        if self._is_for_people:
            self.clear()
            self._terminal.write(text)
            self._terminal.flush()
            self._is_shown = True

    def clear(self) -> None:
        """Show nothing."""
        if self._is_shown:
            self._terminal.write("\r\x1b[K")
            self._terminal.flush()
            self._is_shown = False

"""The tables of docs/security.md say what the options are declared with."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from channels_graphql_ws import client_log, resumable
from channels_graphql_ws.concurrency import computing, fairness, rotation, shares, threads
from channels_graphql_ws.execution import (
    breathing,
    budget,
    crowds,
    documents,
    errors,
    headers,
    inline_parsing,
    limits,
    merging,
    parser_queue,
    pending,
    request,
    suggestions,
)
from channels_graphql_ws.execution.compiler import introspection
from channels_graphql_ws.http import in_flight, parsing, reservations, stream
from channels_graphql_ws.http.options import GraphqlHttpEndpoint
from channels_graphql_ws.operations import holding, long_texts, sizes
from channels_graphql_ws.operations.defaults import ByDebug, FromSettings, Open
from channels_graphql_ws.operations.options import OperationOptions
from channels_graphql_ws.pubsub import hub, late_events
from channels_graphql_ws.subscription import cursor, queue
from channels_graphql_ws.websocket import (
    admission,
    connection,
    outbox,
    pace,
    protocol,
    under_way,
)
from channels_graphql_ws.websocket.options import ConsumerOptions

PAGE = Path(__file__).parents[2] / "docs" / "security.md"

CLASSES = (OperationOptions, ConsumerOptions, GraphqlHttpEndpoint)

NOT_OF_STRANGERS = {
    # How long what the application does itself may take.
    "disconnect_timeout",
    "event_timeout",
    "reservation_timeout",
    "warn_operation_timeout",
}


def tables() -> Iterator[dict[str, str]]:
    """Yield the rows of all tables, as cells by their heading."""
    heading: list[str] = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            heading = []
        elif not heading:
            heading = cells
        elif not set(line) <= set("| -"):
            assert len(cells) == len(heading), line
            yield dict(zip(heading, cells, strict=True))


def rows() -> dict[str, list[dict[str, str]]]:
    """Return the rows by the option in their first cell, each with its own part of the others."""
    found: dict[str, list[dict[str, str]]] = {}
    for row in tables():
        first = next(iter(row.values()))
        names = re.findall(r"`([a-z_]+)`", first) if re.match(r"`[a-z_]+`", first) else []
        for index, name in enumerate(names):
            own = dict(row)
            for heading in ("default", "compatible"):
                parts = row.get(heading, "").split("; ")
                if len(names) == len(parts) > 1:
                    own[heading] = parts[index]
            found.setdefault(name, []).append(own)
    return found


def declared() -> Iterator[tuple[type[Any], str, tuple[Any, ...]]]:
    """Yield the options with what stands in their `Annotated`."""
    for cls in CLASSES:
        for name, hint in inspect.get_annotations(cls, eval_str=True).items():
            yield cls, name, getattr(hint, "__metadata__", ())


def is_limit(name: str, metadata: tuple[Any, ...]) -> bool:
    is_named_so = name.startswith("max_") or name.endswith("_timeout")
    is_marked = any(isinstance(each, Open | ByDebug) for each in metadata)
    return (is_marked or is_named_so) and name not in NOT_OF_STRANGERS


LIMITS = [each for each in declared() if is_limit(each[1], each[2])]


def words(value: Any) -> set[str]:
    """Return the ways to write the value of an option."""
    if value is None:
        return {"`None`", "off"}
    if value == ("*",):
        return {'`["*"]`'}
    if isinstance(value, bool):
        return {f"`{value}`"}
    found = {f"{value:,}".removesuffix(".0"), f"{value:g} s"}
    if isinstance(value, int):
        found |= {f"{value / 1024:g} KiB", f"{value / 1024**2:g} MiB"}
    return found


def begins_with(cell: str, value: Any) -> bool:
    return any(cell.startswith(word) and cell[len(word) :][:1] in " ,;:" for word in words(value))


def row_of(cls: type[Any], name: str) -> dict[str, str]:
    of_name = rows().get(name, [])
    if len(of_name) > 1:  # One for each transport.
        transport = "HTTP" if cls is GraphqlHttpEndpoint else "WebSocket"
        of_name = [row for row in of_name if transport in next(iter(row.values()))]
    assert len(of_name) == 1, f"docs/security.md has {len(of_name)} rows for {name}"
    return of_name[0]


of_each_limit = pytest.mark.parametrize(
    ("cls", "name", "metadata"), LIMITS, ids=[f"{cls.__name__}-{name}" for cls, name, _ in LIMITS]
)


@of_each_limit
def test_each_limit_is_there_with_its_default_its_answer_and_the_reason(cls, name, metadata):
    row = row_of(cls, name)
    by_debug = [each for each in metadata if isinstance(each, ByDebug)]
    if by_debug:
        assert begins_with(row["without `DEBUG`"] + " ", by_debug[0].off)
        assert begins_with(row["with `DEBUG`"] + " ", by_debug[0].on)
        return
    default = vars(cls)[name]
    if isinstance(default, FromSettings):
        assert f"`{default._name}`, 2.5 MiB" in row["default"]
    elif name != "allowed_origins":  # A rule, and no value.
        assert begins_with(row["default"] + " ", default), row["default"]
    assert all(row.values()), "an empty cell"
    assert "because" in row
    assert "answer" in row


@of_each_limit
def test_each_limit_is_there_with_what_compatible_means(cls, name, metadata):
    cell = row_of(cls, name)["compatible"]
    opened = [each.value for each in metadata if isinstance(each, Open)]
    if opened:
        assert begins_with(cell + " ", opened[0])
    else:
        assert cell == "the same as safe"


@pytest.mark.parametrize("name", sorted(rows()))
def test_each_row_is_of_an_option(name):
    assert any(hasattr(cls, name) for cls in CLASSES)


KIB, MIB = 1024, 1024**2

# What nobody can set: the beginning of a row, and what it says in the words of the code.
RUNS: dict[str, Any] = {
    name: parameter.default for name, parameter in inspect.signature(resumable).parameters.items()
}

IN_WORDS = ("no", "one", "two", "three", "four", "five", "six")

FIXED = {
    "headers, all together": f"{headers.MAX_HEADERS_SIZE / KIB:g} KiB; "
    f"{headers.MAX_PARSED_LENGTH:,} characters of `Accept`",
    "backslashes in cookies": f"{headers.MAX_COOKIE_WORK:,} for their number",
    "parameters of a query string": f"{parsing.MAX_QUERY_PARAMETERS}",
    "reserved and not opened": f"{reservations.MAX_WAITING} of a user or an address",
    "`extensions.operationId`": f"{request.MAX_ID_LENGTH:,} characters",
    "a cursor, and `Last-Event-ID`": f"{cursor.LONGEST:,} characters are looked at",
    "results that wait for the reader of a stream": f"{stream.FULL_AT}, or "
    f"{stream.FULL_AT_BYTES / MIB:g} MiB; then subscriptions wait, and reserved streams take no "
    f"further operation. {stream.MOST_BYTES / MIB:g} MiB in all",
    "operations of the legacy protocol before": f"{protocol.HELD_LIMIT:,}, and about "
    f"{protocol.HELD_BYTES / MIB:g} MiB of memory; after it, {admission.BEGUN_AT_ONCE} or "
    f"{1_000 * pace.SLICE:g} ms of work begin at a time",
    "`max_ping_size`": f"1 KiB of payload; {protocol.EARLY_PINGS} pings before",
    "the `id` of an operation": f"{request.MAX_ID_LENGTH:,} characters",
    "`max_messages_per_second`": f"1,000, and {1_000 * pace.BURST_SECONDS:,} at once",
    "a burst of requests over HTTP": f"{rotation.REQUESTS_AT_ONCE} begin in one iteration",
    "a burst of messages": f"{1_000 * pace.SLICE:g} ms of work at a time, and "
    f"{pace.SLICE / pace.AT_LEAST:.0f} messages",
    "messages of more than": f"at once in a process; one that took more than "
    f"{1_000 * breathing.WINDOW:g} ms is followed by a pause of twice that, "
    f"{1_000 * long_texts.LONGEST_PAUSE:g} ms at most",
    f"messages of more than {sizes.LONG_TEXT:,} characters, and bodies of HTTP": "is decoded",
    "`max_unsent_bytes`": f"{outbox.MEBIBYTE / MIB:g} MiB, and {outbox.FULL_AT} messages,",
    "`max_queued_bytes`": "16 MiB for all subscriptions of a connection; over HTTP, of a stream. "
    f"{queue.MOST_BYTES / MIB:g} MiB in all; beyond that, {queue.SHARE / MIB:g} MiB for each",
    "long queries and mutations": f"{fairness.MOST_LONG_EXECUTIONS} under way on the event loop, "
    f"{threads.SHARE} in threads",
    "long executions on the event loop of a user": f"{breathing.MOST_AT_A_TIME} go on at a time, "
    f"and {breathing.MOST_UNDER_WAY} are under way",
    "events of a user": f"more than {late_events.ALLOWANCE * 1_000:g} ms lately wait for the "
    f"others, while events come faster than they are executed; {hub.INBOX_LIMIT:,} wait so",
    "fields that executions of a user": "no more operations and events begin while there are "
    f"{crowds.MOST_AWAITED:,}",
    "objects and arrays in a message": f"each {sizes.BYTES_FOR_CONTAINER} bytes that "
    f"`max_body_size` or `max_message_size` allows, and {sizes.FEW_CONTAINERS:,} at least: "
    f"{sizes.most_containers(2_621_440):,} by default; before `connection_ack` "
    f"{sizes.most_containers(ConsumerOptions.max_message_size_before_ack):,}.",
    "messages of requests under way": f"{in_flight.MOST_BYTES / MIB:g} MiB of memory of a user, "
    f"or of an address without one, estimated; {holding.MOST_OF_UNKNOWN / MIB:g} MiB of all "
    f"clients that have neither, and {holding.MOST_OF_ALL / MIB:g} MiB in all, WebSockets "
    f"included; beyond that, {holding.SHARE / MIB:g} MiB for each. Messages of up to "
    f"{holding.SMALL / KIB:g} KiB are not counted, and those of up to "
    f"{holding.SHARE_OF_REQUEST / KIB:g} never refused for that; {in_flight.STEP / KIB:g} KiB of "
    "a body that is received are not counted before the next ones come",
    "uploads on the disk": f"as much as {holding.UPLOADS} of `max_upload_size` of a user, or of "
    f"an address without one; {holding.UPLOADS_OF_UNKNOWN} of all clients that have neither, and "
    f"{holding.UPLOADS_OF_ALL} in all; beyond that, one for each",
    "messages and documents of a user": f"{connection.MOST_HELD / MIB:g} MiB, estimated, for "
    f"operations under way, subscriptions among them; {holding.MOST_OF_UNKNOWN / MIB:g} MiB of "
    f"all clients that have neither, and {holding.MOST_OF_ALL / MIB:g} MiB in all, requests over "
    f"HTTP included; beyond that, {holding.SHARE / MIB:g} MiB for each. Messages of up to "
    f"{holding.SMALL / KIB:g} KiB and documents of up to {holding.SMALL_DOCUMENT / KIB:g} are",
    "the map of an upload": f"{parsing.MAX_PATHS:,} paths of {parsing.MAX_PATH_LENGTH:,} char",
    "queries and mutations in threads": f"{threads.SHARE} of a user, or of an address",
    "queries, mutations and hooks of a user": f"{threads.SHARE} at a time in a process",
    "runs of a [`@resumable`]": f"{RUNS['runs_per_user']} of a user (or of an address without "
    f"one), {RUNS['runs_per_process']:,} in all, half of them of clients that have neither, each "
    f"with {RUNS['max_events']:,} events or "
    f"{RUNS['max_bytes'] / MIB:g} MiB",
    "operations of a user": f"{under_way.MOST_UNDER_WAY:,} on all WebSockets, of which "
    f"{under_way.FEW} of each are not counted; {under_way.BYTES_FOR_ONE // 1_024} KiB of a "
    "message, in memory, count as one more. No more is read of a WebSocket that has more than "
    f"{under_way.FEW} until some end, for {under_way.LONGEST_WAIT:g} s at most",
    "operations that end at the client's wish": f"{connection.STOPPING_LIMIT:,}",
    "`good_faith_introspection`": f"{limits.MAX_INTROSPECTION_FIELDS} fields",
    "`max_field_comparisons`": f"Two for each pair of fields, {merging.STEPS_FOR_A_PAIR} for each "
    "pair of selections or fragments with fields, and one more for each "
    f"{merging.LOOK_UPS_FOR_A_STEP} fields of the first, {merging.STEPS_FOR_A_CONFLICT} for each "
    "pair that cannot be merged.",
    "`max_waiting_documents`": f"({documents.LARGE_LIMIT:,} characters, "
    f"{documents.LARGE_NAMES} names or {documents.LARGE_SIGNS:,} signs) of one WebSocket that "
    "wait to be parsed. Two threads parse them, one at a time for each user, or address without "
    "one, its connections in turn; where neither is known, for each connection. Of a user or "
    f"address {documents.MOST_WAITING // parser_queue.OWNERS} may wait, over HTTP "
    f"{documents.MOST_WAITING // 10}. Of all clients {documents.MOST_WAITING:,} may, "
    "and one of each that has none. "
    f"Small ones ({documents.INLINE_LIMIT:,} characters, {documents.INLINE_NAMES} names and "
    f"{documents.INLINE_SIGNS} signs at most) are parsed on the event loop, "
    f"{inline_parsing.NAMES_AT_ONCE} names in one iteration of it,",
    "`max_fields_executed`": f"{budget.ITEMS_FOR_A_FIELD} items of a list of scalars or lists as "
    f"one, a field that has to be awaited as {IN_WORDS[1 + budget.FIELDS_FOR_A_WAIT]} "
    "(its resolver is an `async def`, or a synchronous one below it, which waits for a thread), "
    f"an error as {budget.FIELDS_FOR_AN_ERROR},",
}


@pytest.mark.parametrize("beginning", FIXED)
def test_a_limit_that_nobody_can_set_is_there_with_its_figure(beginning):
    found = [row for row in tables() if next(iter(row.values())).startswith(beginning)]
    assert len(found) == 1
    cells = list(found[0].values())
    assert FIXED[beginning] in " | ".join(cells)
    assert all(cells), "an empty cell"


def test_no_row_is_left_out():
    first = [next(iter(row.values())) for row in tables()]
    others = [each for each in first if not re.match(r"`[a-z_]+`", each)]
    # Django's own, headers of every answer, and one that is an option of another row.
    known = {*FIXED, "`ALLOWED_HOSTS`", "`Cache-Control: no-store`", "a query string"}
    assert not [each for each in others if not any(map(each.startswith, known))]


@pytest.mark.parametrize(
    "sentence",
    [
        f"may execute {introspection.FIELDS_FOR_A_MEMBER} fields for each type",
        (
            f"gets to hear of its end more than {1_000 * shares.LATE:g} ms late, users and "
            f"addresses that have computed for more than {shares.LITTLE:g} s lately"
        ),
        (
            f"one that waits for a database keeps nobody waiting for more than "
            f"{1_000 * computing.LONGEST:g} ms"
        ),
        (
            f"until {suggestions.MOST_NAMES} names were looked through, and none in a\nschema of "
            f"more than {suggestions.MOST_TYPES:,} types"
        ),
        f"lets others run every {1_000 * breathing.WINDOW:g} ms",
        f"of each kind of line there are {client_log.LINES} in a minute",
        f"as far as they have no more than {pending.MOST_ADDED:,} fields to await",
        f"no more while one execution awaits {pending.MOST_PENDING:,} of them",
        "Of an IPv6 address the first 64 bits count",
    ],
)
def test_a_sentence_has_the_figure_of_the_code(sentence):
    assert sentence in PAGE.read_text()


def test_other_figures_are_those_in_words():
    text = PAGE.read_text()
    assert "Ten errors of a result are logged" in text
    assert (errors.MOST_LOGGED, client_log.PERIOD, documents.THREADS) == (10, 60, 2)
    assert long_texts.PAUSE_FACTOR == 2

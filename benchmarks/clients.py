"""Measure this package's client beside gql and npm's graphql-ws.

    python benchmarks/clients.py                 # three rounds of each; writes results/clients.*
    python benchmarks/clients.py --rounds 1 --total 2000 --operations 1 --operations 100 --no-write

All talk to one server, take turns, and are processes of their own. The unit is the CPU time of the
client, user and system, all threads, for each event and each query. The exit code is 1 if a ratio
is so much worse than what is promised that it is not the noise of a busy machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import environments
from processes import HERE, cores, environment, pinned
from results import machine

RESULTS = HERE / "results"
CLIENT_TIMEOUT = 600.0

OURS = "ours"
GQL = ("gql, aiohttp", "gql, websockets")
NPM = "npm graphql-ws"
BY_CALLBACK = "npm graphql-ws, callbacks"

KINDS = ("events", "queries")
OPERATIONS = (1, 100, 10_000)

AT_MOST_OF_GQL = 1 / 3
AT_MOST_OF_NPM = 2.0

DEMANDED_OF_GQL = 1.0
DEMANDED_OF_NPM = 3.0

_EXPLANATION = """\
At once: subscriptions that are live, or queries under way, on one connection. KiB are the growth
of the process for each subscription that has had one event, and for each query that waits for its
answer; for a single one they are lost in the noise.

A third of gql's time is out of reach where most of ours goes into what both have to do: reading
frames from the socket and decoding JSON is more than half of an event, and writing to the socket
and waiting for it about half of a query that is alone.""".splitlines()

Key = tuple[str, int, str]
"""Kind, operations, contender."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """Our CPU time by that of another client, what it may be at most, and what is a failure."""

    kind: str
    operations: int
    other: str
    value: float
    limit: float
    demanded: float

    @property
    def is_met(self) -> bool:
        """Whether the promise is kept."""
        return self.value <= self.limit


def main() -> int:
    """Measure, print, perhaps write; return 0 if everything demanded holds."""
    options = _options()
    figures, versions = _measure(options)
    text = report(figures, versions, options.rounds)
    print(text)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "clients.md").write_text(text)
        rows = [[*key, rounds] for key, rounds in figures.items()]
        content = {"machine": machine(), "versions": versions, "rows": rows}
        (RESULTS / "clients.json").write_text(json.dumps(content, ensure_ascii=False) + "\n")
    return 0 if all(ratio.value <= ratio.demanded for ratio in ratios(figures)) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--total", type=int, default=20_000, help="events or queries of a round")
    parser.add_argument("--operations", type=int, action="append", help="how many at once")
    parser.add_argument("--no-write", dest="write", action="store_false")
    return parser.parse_args()


def _measure(
    options: argparse.Namespace,
) -> tuple[dict[Key, list[dict[str, float]]], dict[str, dict[str, str]]]:
    contenders = _contenders()
    server_cpu, client_cpu = cores()
    figures: dict[Key, list[dict[str, float]]] = defaultdict(list)
    versions: dict[str, dict[str, str]] = {}
    with _server(server_cpu) as address:
        for _, kind, operations in product(
            range(options.rounds), KINDS, options.operations or OPERATIONS
        ):
            for name, command in contenders.items():
                arguments = (address, kind, str(operations), str(options.total))
                found = _run(pinned([*command, *arguments], client_cpu), foreign=name != OURS)
                figures[kind, operations, name].append(found["figures"])
                versions[name] = found["versions"]
                shown = {unit: round(value, 1) for unit, value in found["figures"].items()}
                print(f"{kind} {operations} {name}: {shown}", file=sys.stderr, flush=True)
    return figures, versions


def _contenders() -> dict[str, list[str]]:
    """Return the commands that run the clients; without Node.js that of npm is left out."""
    python = environments.gql()
    commands = {
        OURS: [sys.executable, "-m", "client_side.driver", "ours"],
        GQL[0]: [*python, "-m", "client_side.driver", "gql_aiohttp"],
        GQL[1]: [*python, "-m", "client_side.driver", "gql_websockets"],
    }
    with contextlib.suppress(environments.MissingError):
        server = Path(environments.node()[2])
        node = ["node", "--expose-gc", str(server.with_name("client.mjs"))]
        commands[NPM] = [*node, "iterate"]
        commands[BY_CALLBACK] = [*node, "callbacks"]
    return commands


@contextlib.contextmanager
def _server(cpu: int | None) -> Iterator[str]:
    command = pinned([sys.executable, "-m", "client_side.server"], cpu)
    with subprocess.Popen(command, cwd=HERE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"127.0.0.1:{json.loads(process.stdout.readline())['port']}"
        finally:
            process.terminate()


def _run(command: Sequence[str], *, foreign: bool) -> dict[str, Any]:
    done = subprocess.run(
        command,
        cwd=HERE,
        env=environment(foreign=foreign),
        stdout=subprocess.PIPE,
        timeout=CLIENT_TIMEOUT,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def ratios(figures: dict[Key, list[dict[str, float]]]) -> list[Ratio]:
    """Return what is promised beside what was found: medians of the ratios within a round."""
    found: list[Ratio] = []
    limits = dict.fromkeys(GQL, (AT_MOST_OF_GQL, DEMANDED_OF_GQL))
    limits[NPM] = (AT_MOST_OF_NPM, DEMANDED_OF_NPM)
    for (kind, operations, name), rounds in figures.items():
        if name in limits:
            pairs = zip(figures[kind, operations, OURS], rounds, strict=True)
            value = median(ours["µs"] / theirs["µs"] for ours, theirs in pairs)
            found.append(Ratio(kind, operations, name, value, *limits[name]))
    return found


def report(
    figures: dict[Key, list[dict[str, float]]], versions: dict[str, dict[str, str]], rounds: int
) -> str:
    """Return the report, in Markdown."""
    where = machine()
    lines = [
        "# Clients",
        "",
        f"{where['date']}, {where['processor']}, {where['cores']} cores, {where['kernel']}.",
        f"Medians of {rounds} interleaved rounds; CPU time and memory of the client process.",
        "",
        *_table(figures, list(versions)),
        "",
        *_EXPLANATION,
        "",
        "| | beside | at most | measured | |",
        "| --- | --- | ---: | ---: | --- |",
        *(
            f"| {_title(each.kind, each.operations)} | {each.other} | {each.limit:.2f} "
            f"| {each.value:.2f} | {'met' if each.is_met else '**not met**'} |"
            for each in ratios(figures)
        ),
        "",
        *(
            f"- {name}: {', '.join(f'{package} {number}' for package, number in found.items())}"
            for name, found in versions.items()
        ),
        "",
    ]
    return "\n".join(lines)


def _table(figures: dict[Key, list[dict[str, float]]], names: list[str]) -> Iterator[str]:
    yield f"| | {' | '.join(names)} |"
    yield f"| --- |{' ---: |' * len(names)}"
    for kind, operations in dict.fromkeys(key[:2] for key in figures):
        for unit in ("µs", "KiB") if operations > 1 else ("µs",):
            values = [
                median(each[unit] for each in figures[kind, operations, name]) for name in names
            ]
            row = " | ".join(f"{value:,.1f}" for value in values)
            yield f"| {_title(kind, operations)}: {unit} for each | {row} |"


def _title(kind: str, operations: int) -> str:
    return f"{kind}, {operations:,} at once"


if __name__ == "__main__":
    sys.exit(main())

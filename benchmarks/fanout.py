"""What does it cost a server to deliver one broadcast to one of 1,000 subscribers?

    python benchmarks/fanout.py --short     # about a minute
    python benchmarks/fanout.py             # the full form

Three servers in turn, round by round: this package, its predecessor in an environment of its own,
and the floor (a bare ASGI application which sends a prepared text). Counted is the CPU time of the
server process; the verdict is a ratio within this run, so that it says the same on every machine.
While it is measured it is checked that every subscriber has each event exactly once, in order,
with the right content.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import uvloop
from environments import predecessor_python
from load import Crowd, DeliveryError
from processes import Server, ServerError, cores, running
from report import Result, markdown, ratio
from websocket_client import WebSocketError

RESULTS = Path(__file__).resolve().parent / "results"
TITLES = {
    "ours": "this package",
    "predecessor": "django-channels-graphql-ws 1.0.0rc7",
    "floor": "floor (bare ASGI application)",
}

# Between two bursts everybody must have had time for the first, or the in-memory layer drops.
PAUSE_FACTOR = 1.3
# The predecessor costs so much more that fewer events give the same precision.
PREDECESSOR_SHARE = 5


@dataclass(frozen=True, slots=True)
class Contender:
    """A server to measure."""

    name: str
    module: str
    events: int
    python: Path | None = None


@dataclass(frozen=True, slots=True)
class Load:
    """What every contender has to bear."""

    connections: int
    burst: int
    server_cpu: int | None


def main() -> int:
    """Run the benchmark, print the table, and return 0 if everything promised holds."""
    options = _options()
    _allow_many_sockets()
    server_cpu, load_cpu = cores()
    if load_cpu is not None:
        os.sched_setaffinity(0, {load_cpu})
    contenders = _contenders(options.only, options.events)
    results = {one.name: Result(one.name, TITLES[one.name]) for one in contenders}
    load = Load(options.connections, options.burst, server_cpu)
    for number, contender in itertools.product(range(1, options.rounds + 1), contenders):
        try:
            _measure(contender, load, results[contender.name])
        except (DeliveryError, ServerError, WebSocketError, TimeoutError) as error:
            print(f"FAILED while {contender.name} was measured: {error!r}", file=sys.stderr)
            return 1
        _progress(number, results[contender.name])
    report = markdown(
        list(results.values()),
        load=f"{load.connections:,} connections in one group, bursts of {load.burst}",
        rounds=options.rounds,
        pinned=load_cpu is not None,
    )
    print(report)
    if options.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "fanout.md").write_text(f"# Fan-out\n\n{report}\n")
    return _verdict(results, options.require_ratio)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="fewer events and rounds")
    parser.add_argument("--connections", type=int, default=1000, help="default 1000")
    parser.add_argument("--rounds", type=int, help="default 5, short 3")
    parser.add_argument("--events", type=int, help="broadcasts per round; default 40, short 15")
    parser.add_argument("--burst", type=int, default=1, help="broadcasts back to back; default 1")
    parser.add_argument("--only", choices=TITLES, action="append", help="measure only this one")
    parser.add_argument("--require-ratio", type=float, default=15.0, metavar="TIMES")
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/fanout.md")
    options = parser.parse_args()
    options.rounds = options.rounds or (3 if options.short else 5)
    options.events = options.events or (15 if options.short else 40)
    return options


def _contenders(only: list[str] | None, events: int) -> list[Contender]:
    names = [name for name in TITLES if only is None or name in only]
    fewer = max(3, events // PREDECESSOR_SHARE)
    every = {
        "ours": lambda: Contender("ours", "graphql_app", events),
        "predecessor": lambda: Contender(
            "predecessor", "graphql_app", fewer, predecessor_python()
        ),
        "floor": lambda: Contender("floor", "floor", events),
    }
    return [every[name]() for name in names]


def _measure(contender: Contender, load: Load, result: Result) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_round(contender, load, result))


async def _round(contender: Contender, load: Load, result: Result) -> None:
    running_server = running(contender.module, python=contender.python, cpu=load.server_cpu)
    async with running_server as server:
        _see_who_it_is(contender, server)
        result.versions.update(server.versions)
        crowd = await Crowd.gather(server.port, load.connections)
        try:
            pause = PAUSE_FACTOR * load.burst * await crowd.warm_up()
            await crowd.settle()
            one = await _fire(server, crowd, contender.events, load.burst, pause)
            await crowd.settle()
            if log := server.log_text():
                raise ServerError(f"unexpected records in the log:\n{log[:2000]}")
        finally:
            crowd.disperse()
    result.rounds.append(one)


def _see_who_it_is(contender: Contender, server: Server) -> None:
    """Make sure that the predecessor is not measured for ours: both have one name."""
    if contender.python is None:
        return
    environment = contender.python.parent.parent
    if not Path(server.package or "").is_relative_to(environment):
        raise ServerError(f"{contender.name} has imported {server.package}")


async def _fire(server: Server, crowd: Crowd, events: int, burst: int, pause: float) -> float:
    before = server.cpu_seconds()
    deliveries = await crowd.fire(events, burst=burst, pause=pause)
    return 1e6 * (server.cpu_seconds() - before) / deliveries


def _progress(number: int, result: Result) -> None:
    line = f"round {number} {result.name:12} {result.rounds[-1]:8.1f} µs"
    print(line, file=sys.stderr, flush=True)


def _verdict(results: dict[str, Result], required: float) -> int:
    if not {"ours", "predecessor"} <= results.keys():
        return 0
    times = ratio(results["predecessor"], results["ours"])
    if times >= required:
        return 0
    print(f"FAILED: {times:.1f} times cheaper, {required:g} are required", file=sys.stderr)
    return 1


def _allow_many_sockets() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())

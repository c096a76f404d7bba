"""Measure this package beside its peers.

    python benchmarks/run.py                              # the short form, some minutes
    python benchmarks/run.py --full                       # less than 20 minutes; writes results/
    python benchmarks/run.py --scenario shared --only ours --only floor
    python benchmarks/run.py --report                     # write the report of the last run anew

Within a scenario all servers are there at the same time and take turns, round by round: what is
compared are ratios within a round. The exit code is 1 if a notification of ours was lost, doubled
or wrong, or if a ratio is far from what it should be.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import resource
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import environments
import uvloop
from contenders import BEFORE, CONTENDERS, OURS, before
from load import DeliveryError
from measures.stage import Setting, Stage
from measures.two_processes import TwoProcesses
from plots import plots
from processes import ServerError, cores
from report import changes, markdown, number, overview, targets
from results import Measured, Row, Run, machine
from scenarios import SCENARIOS, Entry, Scenario
from targets import verdicts
from websocket_client import WebSocketError

RESULTS = Path(__file__).resolve().parent / "results"
MINUTES = 20
"""After so many minutes no further scenario begins."""

FAULT_LENGTH = 300
FAULTS = (DeliveryError, ServerError, WebSocketError, TimeoutError, OSError, RuntimeError)


def main() -> int:
    """Measure, print, perhaps write, and return 0 if everything demanded holds."""
    options = _options()
    if options.report:
        _write(Run.read(RESULTS / "benchmarks.json"))
        return 0
    _allow_many_sockets()
    runner = Runner(options)
    runner.measure_all()
    run = runner.run
    print(overview(run), targets(verdicts(run.scenarios)), sep="\n\n")
    if options.before is not None:
        print("", changes(run), sep="\n")
    elif options.full or options.write:
        _write(run)
    return _verdict(run)


def _options() -> argparse.Namespace:
    names = [scenario.name for scenario in SCENARIOS]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="larger audiences, more rounds")
    parser.add_argument("--rounds", type=int, help="default 5, in the short form 2")
    parser.add_argument("--budget", type=float, help="seconds of server CPU for a round")
    parser.add_argument("--scenario", choices=names, action="append", metavar="NAME",
                        help=f"measure only this one, of {', '.join(names)}")  # fmt: skip
    parser.add_argument(
        "--only", choices=CONTENDERS, action="append", help="measure only this one"
    )
    parser.add_argument(
        "--write", action="store_true", help="write results/ in the short form too"
    )
    parser.add_argument("--before", type=Path, metavar="FOLDER",
                        help="another checkout, which takes turns with this one")  # fmt: skip
    parser.add_argument("--report", action="store_true", help="only write the last report anew")
    options = parser.parse_args()
    options.rounds = options.rounds or (5 if options.full else 2)
    options.budget = options.budget or (0.5 if options.full else 0.2)
    return options


class Runner:
    """Goes through the scenarios."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._server_cpu, self._load_cpu = cores()
        if self._load_cpu is not None:
            os.sched_setaffinity(0, {self._load_cpu})
        form = "full" if options.full else "short"
        self.run = Run(form, options.rounds, self._load_cpu is not None, machine())
        self._commands: dict[Any, list[str] | None] = {}

    def measure_all(self) -> None:
        """Measure every scenario that is wanted, each on an event loop of its own."""
        start = time.monotonic()
        for scenario in self._scenarios():
            if time.monotonic() - start > 60 * MINUTES:
                self.run.missing[scenario.title] = f"{MINUTES} minutes were over"
                continue
            began = time.monotonic()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._measure(scenario))
            _say(f"{scenario.name}: {time.monotonic() - began:.0f} s")

    def _scenarios(self) -> list[Scenario]:
        wanted = self._options.scenario
        full = self._options.full
        return [
            scenario if full else scenario.shortened()
            for scenario in SCENARIOS
            if (full or not scenario.only_full or wanted)
            and (not wanted or scenario.name in wanted)
        ]

    async def _measure(self, scenario: Scenario) -> None:
        measured = Measured(
            scenario.name, scenario.title, scenario.unit, scenario.figure, scenario.in_report
        )
        async with AsyncExitStack() as stack:
            stages = self._stages(scenario)
            for name in stages:
                measured.rows[name] = Row()
            if stages:
                self.run.scenarios[scenario.name] = measured
            await asyncio.gather(*(stage.start(stack) for stage in stages.values()))
            await _take_turns(scenario, stages, measured.rows, self._options.rounds)
        for entry in self._entries(scenario):
            if entry.name in stages:
                self.run.versions.setdefault(entry.contender, stages[entry.name].versions)

    def _stages(self, scenario: Scenario) -> dict[str, Stage]:
        only = self._options.only
        stages: dict[str, Stage] = {}
        for entry in self._entries(scenario):
            if only is None or entry.contender in (*only, BEFORE):
                try:
                    stages[entry.name] = scenario.stage(self._setting(scenario, entry))
                except environments.MissingError as error:
                    self.run.missing[entry.contender] = str(error)
        return stages

    def _entries(self, scenario: Scenario) -> list[Entry]:
        """Return who takes part; next to each entry of ours that of the other checkout."""
        entries: list[Entry] = []
        for entry in scenario.entries:
            entries.append(entry)
            if self._options.before is not None and entry.contender == OURS:
                label = entry.label and f"{BEFORE}: {entry.label}"
                entries.append(Entry(BEFORE, entry.audience, label))
        return entries

    def _setting(self, scenario: Scenario, entry: Entry) -> Setting:
        needs_redis = issubclass(scenario.stage, TwoProcesses)
        is_before = entry.contender == BEFORE
        contender = before(self._options.before) if is_before else CONTENDERS[entry.contender]
        return Setting(
            contender,
            entry.audience,
            self._options.budget,
            self._server_cpu,
            self._load_cpu,
            self._command(contender.environment),
            self._command(environments.redis) if needs_redis else None,
            scenario.options,
        )

    def _command(self, environment: Any) -> list[str] | None:
        if environment not in self._commands:
            self._commands[environment] = None if environment is None else environment()
        return self._commands[environment]


async def _take_turns(
    scenario: Scenario, stages: dict[str, Stage], rows: dict[str, Row], rounds: int
) -> None:
    """Let every stage have its rounds; one that fails is out."""
    for name, stage in stages.items():
        await _try(stage.prepare(), rows[name])
    for _ in range(min(rounds, scenario.most_rounds)):
        for name, stage in stages.items():
            gc.collect()
            gc.disable()
            figures = await _try(stage.round(), rows[name])
            gc.enable()
            if figures is not None:
                rows[name].rounds.append(figures)
    for name, stage in stages.items():
        figures = await _try(stage.finish(), rows[name])
        rows[name].once.update(figures or {})
        try:
            stage.check_logs()
        except ServerError as error:
            rows[name].fault = rows[name].fault or str(error)
        values = rows[name].values(scenario.figure)
        found = " ".join(number(value) for value in values)
        _say(f"  {scenario.name} {name}: {found} {scenario.unit} {rows[name].fault or ''}")
    for name, stage in stages.items():
        # Who has failed may not even have come together; the end of the server ends it.
        if rows[name].fault is None:
            stage.disperse()


async def _try(work: Any, row: Row) -> dict[str, float] | None:
    if row.fault is not None:
        work.close()
        return None
    try:
        figures: dict[str, float] | None = await work
    except FAULTS as error:
        row.fault = f"{type(error).__name__}: {error}"[:FAULT_LENGTH]
        return None
    return figures


def _write(run: Run) -> None:
    RESULTS.mkdir(exist_ok=True)
    drawn = plots(run)
    for name, svg in drawn.items():
        (RESULTS / name).write_text(svg)
    run.write(RESULTS / "benchmarks.json")
    (RESULTS / "README.md").write_text(markdown(run, drawn))


def _verdict(run: Run) -> int:
    failures = [f"{where}: {fault}" for where, fault in run.faults().items() if OURS in where]
    failures += [
        f"{verdict.target.scenario}: {verdict.target}, measured {number(verdict.value)}; "
        f"{verdict.target.demanded:g} is demanded"
        for verdict in verdicts(run.scenarios)
        if verdict.is_failure
    ]
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _allow_many_sockets() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    sys.exit(main())

"""What a run has found: figures by scenario, contender and round."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any


@dataclass(slots=True)
class Row:
    """What was found of one contender in one scenario."""

    rounds: list[dict[str, float]] = field(default_factory=list)
    once: dict[str, float] = field(default_factory=dict)
    fault: str | None = None

    def values(self, figure: str) -> list[float]:
        """Return one figure, round by round."""
        if figure in self.once:
            return [self.once[figure]]
        return [each[figure] for each in self.rounds if figure in each]


@dataclass(slots=True)
class Measured:
    """One scenario, measured."""

    name: str
    title: str
    unit: str
    figure: str
    in_report: dict[str, str] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)

    def rounds(self, entry: str, figure: str | None = None) -> list[float]:
        """Return a figure of an entry, round by round; empty if there is none."""
        row = self.rows.get(entry)
        return row.values(figure or self.figure) if row else []

    def median(self, entry: str, figure: str | None = None) -> float | None:
        """Return the median, if there is one."""
        values = self.rounds(entry, figure)
        return median(values) if values else None


@dataclass(slots=True)
class Run:
    """A run: where, when, with what, and what was found."""

    form: str
    rounds: int
    pinned: bool
    machine: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    scenarios: dict[str, Measured] = field(default_factory=dict)

    def faults(self) -> dict[str, str]:
        """Return what went wrong, by scenario and contender."""
        return {
            f"{measured.name}, {entry}": row.fault
            for measured in self.scenarios.values()
            for entry, row in measured.rows.items()
            if row.fault is not None
        }

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Run:
        """Read what was written."""
        found: dict[str, Any] = json.loads(path.read_text())
        scenarios = found.pop("scenarios")
        run = cls(**found)
        for name, one in scenarios.items():
            rows = {entry: Row(**row) for entry, row in one.pop("rows").items()}
            run.scenarios[name] = Measured(**one, rows=rows)
        return run


def machine() -> dict[str, str]:
    """Tell what this runs on."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown"

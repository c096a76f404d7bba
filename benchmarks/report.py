"""Turn the rounds of a run into medians, ratios and a Markdown table."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from statistics import median


@dataclass(slots=True)
class Result:
    """All rounds of one contender, in µs of the server's CPU per delivered notification."""

    name: str
    title: str
    rounds: list[float] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def cost(self) -> float:
        """Return the median of the server's cost."""
        return median(self.rounds)

    def row(self) -> str:
        """Return this contender's line of the table."""
        spread = f"{min(self.rounds):.1f} - {max(self.rounds):.1f}"
        return f"| {self.title} | {self.cost():.1f} | {spread} |"


def ratio(dear: Result, cheap: Result) -> float:
    """Return how many times the one costs what the other does."""
    return dear.cost() / cheap.cost()


def markdown(results: list[Result], *, load: str, rounds: int, pinned: bool) -> str:
    """Return the report of a run."""
    table = [
        "| server | µs of CPU per notification, median | spread |",
        "| --- | ---: | ---: |",
        *(result.row() for result in results),
    ]
    return "\n".join(
        [
            f"{load}, {rounds} interleaved rounds, "
            + ("server and load on a core each." if pinned else "**not pinned to cores**."),
            "",
            *table,
            "",
            *(f"- {line}" for line in _ratios({result.name: result for result in results})),
            "",
            f"{platform.system()} {platform.machine()}; " + _versions(results),
        ],
    )


def _ratios(results: dict[str, Result]) -> list[str]:
    lines = []
    if {"predecessor", "ours"} <= results.keys():
        times = ratio(results["predecessor"], results["ours"])
        lines.append(f"the predecessor costs **{times:.1f} times** what ours does")
    if {"floor", "ours"} <= results.keys():
        times = ratio(results["ours"], results["floor"])
        lines.append(f"ours costs **{times:.2f} times** what the floor does")
    return lines


def _versions(results: list[Result]) -> str:
    found: dict[str, set[str]] = {}
    for result in results:
        for name, version in result.versions.items():
            found.setdefault(name, set()).add(version)
    return ", ".join(f"{name} {'/'.join(sorted(versions))}" for name, versions in found.items())

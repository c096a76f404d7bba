"""The report of a run, in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from statistics import median

from contenders import BEFORE, CONTENDERS, FLOOR, OURS
from results import Measured, Run
from targets import Verdict, verdicts


def markdown(run: Run, plots: Iterable[str] = ()) -> str:
    """Return the whole report."""
    parts = [
        "# Benchmarks",
        _head(run),
        *(f"![{name}]({name})" for name in plots),
        "## All scenarios",
        overview(run),
        "## Targets",
        targets(verdicts(run.scenarios)),
        "## Is it the load generator that is measured?",
        _load_check(run),
        "## Each scenario",
        *(_scenario(measured) for measured in run.scenarios.values()),
        "## Versions",
        _versions(run),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def overview(run: Run) -> str:
    """Return the medians of all contenders, one scenario in each line."""
    names = [
        name
        for name in CONTENDERS
        if any(name in measured.rows for measured in run.scenarios.values())
    ]
    lines = [
        [f"{measured.title} ({measured.unit})", *(_cell(measured, name) for name in names)]
        for measured in run.scenarios.values()
    ]
    return table(["scenario", *names], lines)


def targets(found: Iterable[Verdict]) -> str:
    """Return what was promised and what was measured."""
    lines = [
        [
            verdict.target.scenario,
            str(verdict.target),
            number(verdict.value),
            "met" if verdict.is_met else "**not met**",
        ]
        for verdict in found
    ]
    return table(["scenario", "target", "measured", ""], lines)


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first hold figures."""
    rule = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines))


def number(value: float) -> str:
    """Write a figure with three digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _head(run: Run) -> str:
    pinned = "the server on one core, the load on another" if run.pinned else "**not pinned**"
    where = ", ".join(
        [
            run.machine["date"],
            run.machine["processor"],
            f"{run.machine['cores']} cores",
            f"{run.machine['kernel']}.",
        ]
    )
    lines = [
        where,
        f"{run.form} form, up to {run.rounds} interleaved rounds, {pinned}; medians.",
        *(f"Without {name}: {why}." for name, why in run.missing.items()),
    ]
    return "\n".join(lines)


def _cell(measured: Measured, name: str) -> str:
    row = measured.rows.get(name)
    if row is None:
        return "-"
    value = measured.median(name)
    return "failed" if value is None else number(value)


def _scenario(measured: Measured) -> str:
    figures = {measured.figure: measured.unit, **measured.in_report}
    figures = {
        figure: title
        for figure, title in figures.items()
        if any(row.values(figure) for row in measured.rows.values())
    }
    head = ["", *figures.values(), "spread", "above the floor"]
    lines = [
        [
            name,
            *(_median(row.values(figure)) for figure in figures),
            _spread(row.values(measured.figure)),
            _above_the_floor(measured, name),
        ]
        for name, row in measured.rows.items()
    ]
    faults = [f"- {name}: {row.fault}" for name, row in measured.rows.items() if row.fault]
    return "\n\n".join([f"### {measured.title}", table(head, lines), *_joined(faults)])


def _joined(lines: list[str]) -> Iterator[str]:
    if lines:
        yield "\n".join(lines)


def _median(values: list[float]) -> str:
    return number(median(values)) if values else "-"


def _spread(values: list[float]) -> str:
    return f"{number(min(values))} to {number(max(values))}" if values else "-"


def _above_the_floor(measured: Measured, name: str) -> str:
    """How many times a contender costs what we do, without what the server itself costs."""
    floor, ours, own = (measured.median(each) for each in (FLOOR, OURS, name))
    if floor is None or ours is None or own is None or name == FLOOR or ours <= floor:
        return "-"
    return f"{(own - floor) / (ours - floor):.1f} x"


def _load_check(run: Run) -> str:
    """Show that the load generator has time left while the fastest server sends."""
    lines = [
        [measured.title, name, _median(row.values("load")), _median(row.values("wall")),
         f"{row.once['busy']:.0f} %"]
        for measured in run.scenarios.values()
        for name, row in measured.rows.items()
        if name == _fastest(measured) and "busy" in row.once
    ]  # fmt: skip
    head = ["scenario", "fastest", "µs of the load", "µs of the clock", "busy"]
    return table(head, lines) if lines else "Not measured."


def _fastest(measured: Measured) -> str | None:
    found: dict[str, float] = {}
    for name, row in measured.rows.items():
        if values := row.values("wall"):
            found[name] = median(values)
    return min(found, key=found.__getitem__, default=None)


def _versions(run: Run) -> str:
    lines = []
    for name, versions in run.versions.items():
        found = ", ".join(f"{package} {version}" for package, version in versions.items())
        title = CONTENDERS[name].title if name in CONTENDERS else name
        lines.append(f"- {title}: {found}")
    return "\n".join(lines)


def changes(run: Run) -> str:
    """Return what has become of each scenario since another checkout: ratios within a round."""
    lines = ["| scenario | before | now | now / before |", "| --- | ---: | ---: | ---: |"]
    for measured in run.scenarios.values():
        for name in measured.rows:
            twin = BEFORE if name == OURS else f"{BEFORE}: {name}"
            if twin not in measured.rows:
                continue
            now, then = measured.rounds(name), measured.rounds(twin)
            ratios = [one / other for one, other in zip(now, then, strict=False) if other]
            if ratios:
                title = measured.name if name == OURS else f"{measured.name}, {name}"
                figures = " | ".join(map(number, (median(then), median(now))))
                lines.append(f"| {title} | {figures} | {median(ratios):.3f} |")
    return "\n".join(lines)

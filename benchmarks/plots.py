"""Plots as SVG: bars on a logarithmic scale."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from contenders import CONTENDERS
from report import number
from results import Run

WIDTH, LABELS, FIGURES = 860, 150, 70
BAR, GAP, HEAD, TOP = 16, 4, 24, 44

# From Okabe and Ito's palette, which everybody can tell apart.
COLOURS = ("#0072B2", "#56B4E9", "#D55E00", "#CC79A7", "#009E73", "#E69F00", "#999999")


@dataclass(frozen=True, slots=True)
class Bar:
    """One value of one contender."""

    label: str
    value: float
    colour: str


@dataclass(frozen=True, slots=True)
class Group:
    """The bars of one scenario."""

    title: str
    bars: Sequence[Bar]


def plots(run: Run) -> dict[str, str]:
    """Return all plots of a run by the names of their files."""
    fan_outs = ("shared", "personal", "3000", "skipped", "model", "rooms")
    operations = ("queries", "query", "pair", "pairs", "arrivals")
    wanted = {
        "fan-out.svg": ("µs of CPU for each delivered notification", fan_outs),
        "operations.svg": ("µs of CPU for each operation", operations),
        "latency.svg": ("ms until the last receiver has it", ("latency", "pings")),
        "memory.svg": ("KiB for each connection", ("memory",)),
    }
    drawn = {}
    for name, (title, scenarios) in wanted.items():
        groups = [group for each in scenarios if (group := _group(run, each)) is not None]
        if groups:
            drawn[name] = bar_chart(title, groups)
    return drawn


def bar_chart(title: str, groups: Sequence[Group]) -> str:
    """Draw groups of bars over one logarithmic scale."""
    values = [bar.value for group in groups for bar in group.bars if bar.value > 0]
    scale = _Scale(min(values, default=1), max(values, default=10))
    height = TOP + sum(HEAD + len(group.bars) * (BAR + GAP) for group in groups) + GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="12">'
    )
    lines = [
        head,
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(8, 18, f"{title} (logarithmic: shorter is better)", 'font-weight="bold"'),
        *_grid(scale, height),
    ]
    y = TOP
    for group in groups:
        lines.append(_text(8, y + 14, group.title, 'font-style="italic"'))
        y += HEAD
        for bar in group.bars:
            lines += _bar(bar, y, scale)
            y += BAR + GAP
    return "\n".join([*lines, "</svg>", ""])


class _Scale:
    """From a value to the length of its bar."""

    def __init__(self, least: float, most: float) -> None:
        self.first = math.floor(math.log10(least) - 0.1)
        self.last = max(math.ceil(math.log10(most)), self.first + 1)

    def length(self, value: float) -> float:
        """Return pixels."""
        room = WIDTH - LABELS - FIGURES
        part = (math.log10(max(value, 10**self.first)) - self.first) / (self.last - self.first)
        return room * part


def _grid(scale: _Scale, height: int) -> Iterator[str]:
    for exponent in range(scale.first, scale.last + 1):
        x = LABELS + scale.length(10.0**exponent)
        yield f'<path d="M{x:.1f} {TOP - 8}V{height}" stroke="#dddddd"/>'
        yield _text(x, TOP - 12, f"{10.0**exponent:g}", 'text-anchor="middle" fill="#777777"')


def _bar(bar: Bar, y: int, scale: _Scale) -> Iterator[str]:
    length = max(1.0, scale.length(bar.value))
    yield _text(LABELS - 6, y + 12, bar.label, 'text-anchor="end"')
    yield (f'<rect x="{LABELS}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{bar.colour}"/>')
    yield _text(LABELS + length + 4, y + 12, number(bar.value), "")


def _text(x: float, y: float, text: str, attributes: str) -> str:
    return f'<text x="{x:.1f}" y="{y}" {attributes}>{escape(text)}</text>'


def _group(run: Run, scenario: str) -> Group | None:
    measured = run.scenarios.get(scenario)
    if measured is None:
        return None
    colours = dict(zip(CONTENDERS, COLOURS, strict=True))
    bars = [
        Bar(name, value, colours.get(name, COLOURS[0]))
        for name in measured.rows
        if (value := measured.median(name)) is not None
    ]
    return Group(measured.title, bars) if bars else None

"""What is promised, in one table, and whether it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from contenders import FLOOR, NODE, OURS, OURS_GRAPHQL_CORE, PREDECESSOR
from results import Measured


@dataclass(frozen=True, slots=True)
class Target:
    """One promise: a ratio within a run, or a figure.

    Attributes:
        scenario: where.
        at_least: the smallest value that is good enough.
        at_most: the largest.
        dividend: whose figure.
        divisor: by whose it is divided; without one, the figure itself counts.
        figure: another one than that of the scenario.
        demanded: what fails a run, instead of `at_least` or `at_most`, with so much margin that it
            holds on any machine; without it, the target is only shown.
    """

    scenario: str
    at_least: float | None = None
    at_most: float | None = None
    dividend: str = PREDECESSOR
    divisor: str | None = OURS
    figure: str | None = None
    demanded: float | None = None

    def __str__(self) -> str:
        """Say what is wanted."""
        bound = f"≥ {self.at_least:g}" if self.at_most is None else f"≤ {self.at_most:g}"
        figure = f" ({self.figure})" if self.figure else ""
        if self.divisor is None:
            return f"{self.dividend}{figure} {bound}"
        return f"{self.dividend} / {self.divisor}{figure} {bound}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target, and what was measured."""

    target: Target
    value: float
    is_met: bool
    is_failure: bool


def _times(scenario: str, times: float, demanded: float | None = None) -> Target:
    return Target(scenario, at_least=times, demanded=demanded)


def _of(scenario: str, divisor: str, at_most: float, dividend: str = OURS) -> Target:
    return Target(scenario, at_most=at_most, dividend=dividend, divisor=divisor)


def _is(
    scenario: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    figure: str | None = None,
    demanded: float | None = None,
) -> Target:
    return Target(
        scenario,
        at_least=at_least,
        at_most=at_most,
        figure=figure,
        dividend=OURS,
        divisor=None,
        demanded=demanded,
    )


TARGETS = (
    _times("shared", 80, demanded=15),
    _of("shared", FLOOR, 1.3),
    _times("personal", 60, demanded=8),
    Target("personal", at_least=2, dividend=NODE),
    _of("personal", FLOOR, 2.2),
    Target("personal", at_least=15, divisor=OURS_GRAPHQL_CORE, demanded=5),
    _of("personal", NODE, 1.5, OURS_GRAPHQL_CORE),
    _times("3000", 100, demanded=10),
    _of("3000", "ours at 100", 2),
    _times("skipped", 200, demanded=8),
    _of("skipped", NODE, 1),
    _times("model", 45, demanded=5),
    _times("rooms", 50, demanded=5),
    _of("rooms", NODE, 1.1),
    _times("queries", 6, demanded=2),
    Target("queries", at_least=4, dividend=NODE),
    _times("query", 4),
    _times("pair", 4, demanded=2),
    _times("pairs", 8, demanded=3),
    _times("arrivals", 6, demanded=2),
    _of("arrivals", FLOOR, 1.5),
    _is("memory", at_most=32, demanded=64),
    _times("redis-core", 35, demanded=4),
    Target("redis-core", at_least=4, figure="publisher"),
    _times("redis-pubsub", 35, demanded=4),
    _is("redis-pubsub", at_most=1.05, figure="commands", demanded=1.5),
    *(
        target
        for how in ("awaited", "unawaited", "thread")
        for target in (
            _is(f"burst-{how}", at_least=100, demanded=100),
            _is(f"burst-{how}", at_least=100, figure="in order", demanded=100),
        )
    ),
    _of("latency", NODE, 1),
    _is("pings", at_most=20),
    _is("slow-reader", at_most=1.1, figure="times"),
    _is("slow-reader", at_most=4_096, figure="growth"),
    _is("slow-reader", at_least=100, figure="in order", demanded=100),
    _of("connections", "ours at 1,000", 1.5),
    _of("groups", "ours with 100", 1.5),
)


def verdicts(results: dict[str, Measured]) -> Iterator[Verdict]:
    """Yield every target of which something was measured."""
    for target in TARGETS:
        measured = results.get(target.scenario)
        value = measured and _value(target, measured)
        if value is not None:
            yield _verdict(target, value)


def _verdict(target: Target, value: float) -> Verdict:
    is_met = _holds(value, target.at_least, target.at_most)
    if target.demanded is None:
        return Verdict(target, value, is_met, is_failure=False)
    lower = target.demanded if target.at_most is None else None
    upper = target.demanded if target.at_most is not None else None
    return Verdict(target, value, is_met, is_failure=not _holds(value, lower, upper))


def _holds(value: float, at_least: float | None, at_most: float | None) -> bool:
    return (at_least is None or value >= at_least) and (at_most is None or value <= at_most)


def _value(target: Target, measured: Measured) -> float | None:
    """Return the median of the ratios, each within one round."""
    figure = target.figure or measured.figure
    dividend = measured.rounds(target.dividend, figure)
    if target.divisor is None:
        return median(dividend) if dividend else None
    divisor = measured.rounds(target.divisor, figure)
    ratios = [one / other for one, other in zip(dividend, divisor, strict=False) if other]
    return median(ratios) if ratios else None

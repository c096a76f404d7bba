"""What is measured, and for whom it makes sense."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from contenders import (
    CHANNELS,
    FLOOR,
    NODE,
    OURS,
    OURS_GRAPHQL_CORE,
    PREDECESSOR,
    STRAWBERRY,
)
from load import Audience
from measures.arrivals import Arrivals, Memory
from measures.bursts import Bursts
from measures.fanout import FanOut, KeepAlive, Latency, SlowReader
from measures.operations import Pairs, Queries
from measures.stage import Stage
from measures.two_processes import TwoProcesses

SHORT = 0.3
"""The part of the connections that the short form has."""

MANY = 300
"""Audiences that are not larger than this are the same in the short form."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A contender of a scenario, with the audience it gets."""

    contender: str
    audience: Audience
    label: str = ""

    @property
    def name(self) -> str:
        """What targets and the report call it."""
        return self.label or self.contender


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table.

    Attributes:
        name: for `--scenario`.
        title: for the report.
        unit: what the figure is.
        stage: what measures it.
        entries: who takes part.
        figure: the most important one.
        options: what else the stage needs to know.
        most_rounds: more would not tell more.
        only_full: whether the short form leaves it out.
        keeps_size: whether the short form has all of it.
        in_report: further figures, with their titles.
    """

    name: str
    title: str
    stage: type[Stage]
    entries: tuple[Entry, ...]
    unit: str = "µs"
    figure: str = "cpu"
    options: dict[str, Any] = field(default_factory=dict)
    most_rounds: int = 100
    only_full: bool = False
    keeps_size: bool = False
    in_report: dict[str, str] = field(default_factory=dict)

    def shortened(self) -> Scenario:
        """Return it with a smaller audience, and without peers that no target is about."""
        if self.keeps_size:
            return self
        entries = tuple(
            replace(each, audience=_smaller(each.audience))
            for each in self.entries
            if each.contender not in (STRAWBERRY, CHANNELS)
        )
        options = self.options | self.options.get("short", {})
        return replace(self, entries=entries, options=options)


def _smaller(audience: Audience) -> Audience:
    if audience.connections <= MANY:
        return audience
    return replace(audience, connections=int(audience.connections * SHORT))


def _entries(audience: Audience, names: Iterable[str]) -> tuple[Entry, ...]:
    return tuple(Entry(name, audience) for name in names)


THROUGHPUT = {"wall": "µs of the clock"}
PERCENTILES = {"p50": "median", "p99": "99 of 100", "max": "the worst"}
ALL = (OURS, PREDECESSOR, STRAWBERRY, NODE, CHANNELS, FLOOR)

EVERYBODY = Audience("OnEvent", 1_000)
PERSONAL = Audience("OnPersonal", 1_000, "client")
ROOMS = Audience("OnRoom", 1_000, "room")

SCENARIOS = (
    Scenario(
        "shared",
        "fan-out, same document, 1,000 connections, shared",
        FanOut,
        _entries(EVERYBODY, ALL),
        in_report=THROUGHPUT,
        keeps_size=True,
    ),
    Scenario(
        "personal",
        "fan-out, every connection other variables, not shared",
        FanOut,
        _entries(PERSONAL, (OURS, OURS_GRAPHQL_CORE, *ALL[1:])),
        in_report=THROUGHPUT,
    ),
    Scenario(
        "3000",
        "3,000 connections, same document",
        FanOut,
        (
            *_entries(replace(EVERYBODY, connections=3_000), (OURS, PREDECESSOR, NODE, FLOOR)),
            Entry(OURS, replace(EVERYBODY, connections=100), "ours at 100"),
        ),
        in_report=THROUGHPUT,
        most_rounds=3,
    ),
    Scenario(
        "skipped",
        "90 % skipped in `publish`, per delivered one",
        FanOut,
        _entries(Audience("OnSelected", 1_000, "client", one_in=10), ALL[:4]),
        in_report=THROUGHPUT,
    ),
    Scenario(
        "model",
        "Django model as payload",
        FanOut,
        _entries(Audience("OnReading", 1_000), (OURS, PREDECESSOR, FLOOR)),
        in_report=THROUGHPUT,
    ),
    Scenario(
        "rooms",
        "1,000 groups with one member each",
        FanOut,
        _entries(ROOMS, ALL),
        in_report=THROUGHPUT,
    ),
    Scenario(
        "queries",
        "query of 10 objects of 5 fields over WebSocket, 32 in flight",
        Queries,
        _entries(EVERYBODY, (OURS, OURS_GRAPHQL_CORE, *ALL[1:])),
        options={"in_flight": 32},
        in_report=THROUGHPUT,
    ),
    Scenario(
        "query",
        "the same, one in flight",
        Queries,
        _entries(EVERYBODY, (OURS, OURS_GRAPHQL_CORE, *ALL[1:])),
        options={"in_flight": 1},
        in_report=THROUGHPUT,
    ),
    Scenario(
        "pair",
        "subscribe/complete pair on one connection, one at a time",
        Pairs,
        _entries(EVERYBODY, ALL),
        options={"in_flight": 1},
        in_report=THROUGHPUT,
    ),
    Scenario(
        "pairs",
        "subscribe/complete pair on one connection, 32 in flight",
        Pairs,
        _entries(EVERYBODY, ALL),
        options={"in_flight": 32},
        in_report=THROUGHPUT,
    ),
    Scenario(
        "arrivals",
        "connect + init + subscribe + first event",
        Arrivals,
        _entries(replace(EVERYBODY, connections=300), ALL),
        in_report=THROUGHPUT,
        most_rounds=5,
    ),
    Scenario(
        "memory",
        "KiB per connection with one subscription",
        Memory,
        _entries(EVERYBODY, ALL),
        unit="KiB",
        figure="kib",
        most_rounds=3,
    ),
    *(
        Scenario(
            f"redis-{layer}",
            f"{title} Redis layer, two server processes, 1,000 connections",
            TwoProcesses,
            _entries(EVERYBODY, (OURS, PREDECESSOR, STRAWBERRY)),
            options={"layer": layer},
            in_report={
                "publisher": "µs of the publisher, each broadcast",
                "commands": "Redis commands, each broadcast",
            },
            most_rounds=5,
        )
        for layer, title in (("core", "core"), ("pubsub", "pub/sub"))
    ),
    *(
        Scenario(
            f"burst-{how}",
            f"burst of 5,000 to 10, {title}: delivered",
            Bursts,
            _entries(Audience("OnEvent", 10), (OURS, PREDECESSOR, STRAWBERRY)),
            unit="%",
            figure="delivered",
            options={"how": how, "events": 5_000, "short": {"events": 1_000}},
            in_report={"in order": "in order, %"},
            most_rounds=1,
        )
        for how, title in (
            ("awaited", "awaited"),
            ("unawaited", "un-awaited"),
            ("thread", "from sync code in a thread"),
        )
    ),
    Scenario(
        "latency",
        "from broadcast to the last of 1,000 receivers, p99",
        Latency,
        _entries(EVERYBODY, ALL),
        unit="ms",
        figure="p99",
        in_report=PERCENTILES,
        most_rounds=3,
    ),
    Scenario(
        "pings",
        "a ping is answered while events go to 5,000, the worst",
        KeepAlive,
        _entries(replace(EVERYBODY, connections=5_000), (OURS, NODE)),
        unit="ms",
        figure="max",
        in_report=PERCENTILES,
        most_rounds=3,
    ),
    Scenario(
        "slow-reader",
        "one of 200 does not read",
        SlowReader,
        _entries(replace(EVERYBODY, connections=200, size=4_000), (OURS,)),
        options={"send_buffer": 16_384, "events": 300, "short": {"events": 150}},
        in_report={
            "reading": "µs while it reads",
            "growth": "KiB that the server grows by",
            "in order": "in order, %",
        },
        most_rounds=3,
    ),
    Scenario(
        "connections",
        "10,000 connections, same document",
        FanOut,
        (
            Entry(OURS, replace(EVERYBODY, connections=10_000)),
            Entry(OURS, EVERYBODY, "ours at 1,000"),
        ),
        in_report=THROUGHPUT,
        most_rounds=3,
        only_full=True,
    ),
    Scenario(
        "groups",
        "10,000 groups with one member each, ten on a connection",
        FanOut,
        (
            Entry(OURS, replace(ROOMS, per_connection=10)),
            Entry(OURS, replace(ROOMS, connections=100), "ours with 100"),
        ),
        in_report=THROUGHPUT,
        most_rounds=3,
    ),
)

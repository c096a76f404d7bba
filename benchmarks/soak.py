"""Is anything lost, doubled or left behind while everything breaks, again and again?

    python benchmarks/soak.py                       # 2,000 clients, 10 minutes
    python benchmarks/soak.py --short               # 100 clients, each fault once: half a minute
    python benchmarks/soak.py --fault kill --fault stop --clients 1000 --minutes 1

Clients subscribe through two servers that share one Redis, come back with their cursors, stall,
and leave in several ways, while a third process broadcasts. Meanwhile servers are killed, stopped
for a while and ended, connections to Redis are cut, Redis hangs, and it is killed and comes back
empty. At the end each client must have each event once and in order, or have been told that there
is a gap; and the servers must hold nothing of clients that are gone. Needs `redis-server`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from typing import Final

import uvloop
from processes import most_files
from soak_stage import FAULTS, Outcome, Setting, soak

LAYERS: Final = ("pubsub", "core")
SPARE_FILES: Final = 200
MOST_LINES: Final = 40


def main() -> int:
    """Run the soak for each layer, and return 0 if nothing was lost or left."""
    options = _options()
    layers = options.layer or LAYERS
    if most_files() < options.clients + SPARE_FILES:
        print(f"{options.clients:,} clients need more open files", file=sys.stderr)
        return 1
    is_clean = True
    for layer in layers:
        setting = Setting(
            layer=layer,
            clients=options.clients,
            rooms=options.rooms,
            seconds=60 * options.minutes / len(layers),
            rounds=options.rounds,
            rate=options.rate,
            stay=options.stay,
            pause=options.pause,
            hang=options.hang,
            burst=options.burst,
            faults=tuple(options.fault or FAULTS),
            seed=options.seed,
        )
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            outcome = runner.run(soak(setting))
        _print(setting, outcome)
        is_clean = is_clean and not outcome.findings
    return 0 if is_clean else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    is_short = "--short" in sys.argv
    parser.add_argument("--short", action="store_true", help="100 clients, and each fault once")
    parser.add_argument("--layer", action="append", choices=LAYERS, help="both without it")
    parser.add_argument("--fault", action="append", choices=list(FAULTS), help="all without it")
    parser.add_argument("--clients", type=int, default=100 if is_short else 2_000)
    parser.add_argument("--rooms", type=int, default=6 if is_short else 24)
    parser.add_argument("--minutes", type=float, default=1 if is_short else 10)
    parser.add_argument("--rounds", type=int, default=1 if is_short else 1_000)
    parser.add_argument("--rate", type=float, default=20.0, help="broadcasts a second")
    parser.add_argument("--stay", type=float, default=4.0 if is_short else 30.0)
    parser.add_argument("--pause", type=float, default=0.2 if is_short else 4.0)
    parser.add_argument("--hang", type=float, default=1.0 if is_short else 5.0)
    parser.add_argument("--burst", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _print(setting: Setting, outcome: Outcome) -> None:
    print(f"\n## {setting.layer} layer: {setting.clients:,} clients, {setting.seconds:.0f} s\n")
    faults = ", ".join(f"{name}: {count}" for name, count in outcome.faults.items())
    print(f"What broke, and how often: {faults}\n")
    print("| | |\n| --- | ---: |")
    for name, count in outcome.figures.items():
        print(f"| {name} | {count:,} |")
    print("\n| what else was seen | |\n| --- | ---: |")
    for name, count in outcome.closes.most_common(MOST_LINES):
        print(f"| {name} | {count:,} |")
    for finding in outcome.findings[:MOST_LINES]:
        print(f"FAILED: {finding}", file=sys.stderr)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

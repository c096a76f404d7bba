"""What does one process carry?

    python benchmarks/scale.py                              # 1,000, 5,000 and 10,000 sockets
    python benchmarks/scale.py --sockets 500 --seconds 20   # a short form

Clients connect to this package under Uvicorn, each with one subscription to a group of its own,
and stay idle. At each number of sockets it tells how fast they came, what each costs in memory,
and how long a broadcast takes to the last of a hundred clients of one group while all the others
are there. It ends by itself: after the last number, when there are no file descriptors left, or
when its time is over.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

import uvloop
from door import inventory
from processes import Server, ServerError, cores, most_files, running
from websocket_client import WebSocketClient, WebSocketError

AT_ONCE = 64
CROWD = 100
BROADCASTS = 20
SPARE_FILES = 100
ANSWER_TIMEOUT = 60.0

TICKS = "subscription ($room: String!) { ticks(room: $room) { text } }"
SPILL = "mutation ($room: String!) { spill(room: $room, size: 100) { ok } }"


class Row(NamedTuple):
    """What was measured with so many sockets."""

    sockets: int
    accepted_per_second: float
    kib_per_socket: float
    median_ms: float
    slowest_ms: float


def main() -> int:
    """Run the benchmark and print the table; return 0 if all numbers of sockets were reached."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sockets", type=int, nargs="+", default=[1_000, 5_000, 10_000])
    parser.add_argument("--seconds", type=float, default=300.0, help="when to end")
    options = parser.parse_args()
    steps = [number for number in sorted(options.sockets) if number <= _most_sockets()]
    server_cpu, load_cpu = cores()
    if load_cpu is not None:
        os.sched_setaffinity(0, {load_cpu})
    print("| sockets | accepted/s | KiB each | broadcast to 100, median ms | slowest ms |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_run(steps, options.seconds, server_cpu))
        except (WebSocketError, ServerError, TimeoutError, OSError) as error:
            print(f"ended: {error!r}", file=sys.stderr)
            return 1
    if steps != sorted(options.sockets):
        print(f"no more than {_most_sockets():,} files may be open", file=sys.stderr)
        return 1
    return 0


def _most_sockets() -> int:
    """Allow as many files as may be, here and in the server; return how many sockets fit."""
    return most_files() - CROWD - SPARE_FILES


async def _run(steps: list[int], seconds: float, cpu: int | None) -> None:
    clients: list[WebSocketClient] = []
    async with asyncio.timeout(seconds), running("churn_app", cpu=cpu) as server:
        try:
            crowd = [await _subscribed(server.port, "crowd") for _ in range(CROWD)]
            clients += crowd
            empty = await _resident_kib(server)
            for sockets in steps:
                came, began = len(clients) - CROWD, time.perf_counter()
                await _come(server.port, range(came, sockets), clients)
                rate = (sockets - came) / (time.perf_counter() - began)
                each = (await _resident_kib(server) - empty) / sockets
                took = [await _broadcast(crowd) for _ in range(BROADCASTS)]
                _print(Row(sockets, rate, each, median(took), max(took)))
        finally:
            for client in clients:
                client.drop()


async def _come(port: int, numbers: range, clients: list[WebSocketClient]) -> None:
    """Let clients come, some at a time."""

    async def work(left: Iterator[int]) -> None:
        for number in left:
            client = await _subscribed(port, f"room {number}")
            clients.append(client)

    waiting = iter(numbers)
    await asyncio.gather(*(work(waiting) for _ in range(AT_ONCE)))


async def _subscribed(port: int, room: str) -> WebSocketClient:
    client = await WebSocketClient.connect(port)
    await client.initialize()
    _start(client, "1", TICKS, room)
    await client.expect("next")
    return client


async def _broadcast(crowd: list[WebSocketClient]) -> float:
    """Return the milliseconds from a mutation to the last client that gets its event."""
    began = time.perf_counter()
    _start(crowd[0], "2", SPILL, "crowd")
    await asyncio.gather(*(client.expect("next") for client in crowd))
    took = time.perf_counter() - began
    # Its own result, and the end of the mutation.
    for _ in range(2):
        await crowd[0].messages.get()
    return 1_000 * took


def _start(client: WebSocketClient, id: str, query: str, room: str) -> None:
    payload = {"query": query, "variables": {"room": room}}
    client.send({"type": "subscribe", "id": id, "payload": payload})


async def _resident_kib(server: Server) -> int:
    """Ask the server for its memory, which collects its garbage first."""
    return int((await inventory(server.port, ANSWER_TIMEOUT))["rss_kib"])


def _print(row: Row) -> None:
    print(
        f"| {row.sockets:,} | {row.accepted_per_second:,.0f} | {row.kib_per_socket:.1f} "
        f"| {row.median_ms:.1f} | {row.slowest_ms:.1f} |",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())

"""Is anything left of clients that are gone, however they went?

    python benchmarks/churn.py                  # 10,000 clients, about a minute
    python benchmarks/churn.py --cycles 600     # a short form

Clients connect to this package under Uvicorn, subscribe, and leave: with a close frame or without
a word, with a subscription or just after it, while `subscribe` or `on_connect` waits, and in the
middle of a send. Afterwards the server is asked which objects, tasks, groups and log records it
has; there must be no more than after the warm-up.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, TypeAlias

import uvloop
from door import inventory
from processes import Server, ServerError, cores, running
from websocket_client import WebSocketClient, WebSocketError

AT_ONCE = 32
WARM_UP_CYCLES = 600
SETTLE_TIMEOUT = 60.0
LOOK_EVERY = 0.25
SPILL = 1_000_000
SMALL_BUFFER = 16_384
RSS_NOISE_KIB = 24_576

TICKS = "subscription ($room: String!) { ticks(room: $room) { text } }"
ENDLESS = "subscription { endless { text } }"
SPILL_MUTATION = (
    "mutation ($room: String!, $size: Int!) { spill(room: $room, size: $size) { ok } }"
)


Inventory: TypeAlias = dict[str, Any]
Check: TypeAlias = Callable[[Inventory], Iterable[str]]


class ChurnError(Exception):
    """A client could not come or go."""


class Reader(WebSocketClient):
    """A client that can stop to read in the middle of a message."""

    def __init__(self) -> None:
        super().__init__()
        self.choked = asyncio.Event()
        self.choking = False

    def read_on(self) -> None:
        """Read as everybody does."""
        self.choking = False
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Stop with the first bytes, if told to."""
        if self.choking:
            self.transport.pause_reading()
            self.choked.set()
        super().data_received(data)


async def close(client: WebSocketClient) -> None:
    """Leave with a close frame."""
    if isinstance(client, Reader):
        client.read_on()
    await client.close()


async def drop(client: WebSocketClient) -> None:
    """Leave without a word."""
    client.drop()


async def after_subscribing(port: int, room: str) -> WebSocketClient:
    """Come as far as a live subscription."""
    client = await WebSocketClient.connect(port)
    await client.initialize()
    _subscribe(client, TICKS, {"room": room})
    await client.expect("next")
    return client


async def after_completing(port: int, room: str) -> WebSocketClient:
    """Subscribe, and end the subscription."""
    client = await after_subscribing(port, room)
    client.send({"type": "complete", "id": "1"})
    await client.expect("complete")
    return client


async def during_subscribe(port: int, room: str) -> WebSocketClient:
    """Come as far as a `subscribe` hook that does not return."""
    client = await WebSocketClient.connect(port)
    await client.initialize()
    _subscribe(client, ENDLESS, {})
    await client.fence()
    return client


async def during_on_connect(port: int, room: str) -> WebSocketClient:
    """Come as far as an `on_connect` hook that does not return."""
    client = await WebSocketClient.connect(port)
    client.send({"type": "connection_init", "payload": {"wait": True}})
    await client.fence()
    return client


async def during_a_send(port: int, room: str) -> WebSocketClient:
    """Come as far as the first bytes of a message that no buffer can hold."""
    client = await Reader.connect(port, receive_buffer=SMALL_BUFFER)
    await client.initialize()
    _subscribe(client, TICKS, {"room": room})
    await client.expect("next")
    client.choking = True
    _subscribe(client, SPILL_MUTATION, {"room": room, "size": SPILL}, id="2")
    async with asyncio.timeout(SETTLE_TIMEOUT):
        await client.choked.wait()
    return client


STAGES = (
    after_subscribing,
    after_completing,
    during_subscribe,
    during_on_connect,
    during_a_send,
)
CONSUMERS = "objects of servers.churn_app.Consumer"

WAYS = tuple(itertools.product(STAGES, (close, drop)))


def main() -> int:
    """Run the benchmark, print what was found, and return 0 if nothing is left."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cycles", type=int, default=10_000)
    options = parser.parse_args()
    server_cpu, load_cpu = cores()
    if load_cpu is not None:
        os.sched_setaffinity(0, {load_cpu})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            findings = runner.run(_run(options.cycles, server_cpu))
        except* (ChurnError, ServerError) as errors:
            findings = [str(error) for error in errors.exceptions]
    for finding in findings:
        print(f"FAILED: {finding}", file=sys.stderr)
    return 1 if findings else 0


async def _run(cycles: int, server_cpu: int | None) -> list[str]:
    async with running("churn_app", cpu=server_cpu, send_buffer=SMALL_BUFFER) as server:
        # Without somebody who stays, the server would forget everything with the last who goes.
        resident = await after_subscribing(server.port, "residence")
        await _churn(server.port, WARM_UP_CYCLES)
        before = await _settled(server, lambda _: ())
        started = time.perf_counter()
        await _churn(server.port, cycles)
        seconds = time.perf_counter() - started
        after = await _settled(server, partial(_grown, before))
        _print(cycles, seconds, before, after)
        findings = list(_findings(cycles, before, after))
        await _hear(resident)
        await resident.close()
        deserted = await _settled(server, _left)
    return [*findings, *_left(deserted)]


async def _hear(resident: WebSocketClient) -> None:
    """See that somebody who was there all the time is still served."""
    variables = {"room": "residence", "size": 1}
    _subscribe(resident, SPILL_MUTATION, variables, id="2")
    # The event may come before the result of the mutation that has sent it, or behind its end.
    async with asyncio.timeout(SETTLE_TIMEOUT):
        answers = [await resident.messages.get() for _ in range(3)]
    heard = sorted((answer["type"], answer["id"]) for answer in answers)
    if heard != [("complete", "2"), ("next", "1"), ("next", "2")]:
        raise ChurnError(f"the resident heard {answers}")


async def _churn(port: int, cycles: int) -> None:
    """Let clients come and go, many at once, in every way in turn."""
    numbers = iter(range(cycles))

    async def work() -> None:
        for number in numbers:
            arrive, leave = WAYS[number % len(WAYS)]
            try:
                await leave(await arrive(port, f"room {number % 100}"))
            except (WebSocketError, TimeoutError, OSError) as error:
                raise ChurnError(f"{leave.__name__} {arrive.__name__}: {error!r}") from error

    async with asyncio.TaskGroup() as workers:
        for _ in range(AT_ONCE):
            workers.create_task(work())


def _subscribe(
    client: WebSocketClient, query: str, variables: dict[str, Any], *, id: str = "1"
) -> None:
    payload = {"query": query, "variables": variables}
    client.send({"type": "subscribe", "id": id, "payload": payload})


async def _settled(server: Server, check: Check) -> Inventory:
    """Ask the server until it says twice the same, and the check finds nothing."""
    deadline = time.monotonic() + SETTLE_TIMEOUT
    latest = await inventory(server.port, SETTLE_TIMEOUT)
    while time.monotonic() < deadline:
        await asyncio.sleep(LOOK_EVERY)
        previous, latest = latest, await inventory(server.port, SETTLE_TIMEOUT)
        if dict(_counted(previous)) == dict(_counted(latest)) and not any(check(latest)):
            break
    return latest


def _findings(cycles: int, before: Inventory, after: Inventory) -> Iterator[str]:
    yield from _grown(before, after)
    yield from (f"unexpected log record: {record}" for record in after["records"])
    grown = after["rss_kib"] - before["rss_kib"]
    if grown > RSS_NOISE_KIB + cycles / 4:
        yield f"the process grew by {grown} KiB"


def _grown(before: Inventory, after: Inventory) -> Iterator[str]:
    """Tell what has become more."""
    then = dict(_counted(before))
    for name, count in _counted(after):
        if count > then.get(name, 0):
            yield f"{count} {name}, {then.get(name, 0)} before"


def _left(deserted: Inventory) -> Iterator[str]:
    """Tell what is left when nobody is there any more."""
    for name, count in _counted(deserted):
        if count and name.startswith(
            ("subscriptions", "groups", "listeners", "channels", CONSUMERS)
        ):
            yield f"{count} {name} when the last client has left"


def _counted(found: Inventory) -> Iterator[tuple[str, int]]:
    """Yield everything that must not become more."""
    hooks = found["hooks"]
    yield "tasks", found["tasks"]
    yield "subscriptions", hooks.get("subscribed", 0) - hooks.get("unsubscribed", 0)
    yield "groups of the hub", found["hub"]["groups"]
    yield "listeners of the hub", found["hub"]["listeners"]
    yield "groups of the layer", found["layer"]["groups"]
    yield "channels of the layer", found["layer"]["channels"]
    for name, count in found["objects"].items():
        yield f"objects of {name}", count


def _print(cycles: int, seconds: float, before: Inventory, after: Inventory) -> None:
    print(f"{cycles:,} clients in {seconds:.1f} s, {len(WAYS)} ways to leave\n")
    print("| | after the warm-up | at the end |\n| --- | ---: | ---: |")
    rows = zip(_rows(before), _rows(after), strict=True)
    for (title, then), (_, now) in rows:
        print(f"| {title} | {then:,} | {now:,} |")


def _rows(found: Inventory) -> Iterator[tuple[str, int]]:
    yield "tasks", found["tasks"]
    yield "groups of the hub", found["hub"]["groups"]
    yield "consumers", found["objects"].get("servers.churn_app.Consumer", 0)
    yield "watched objects", sum(found["objects"].values())
    yield "log records", len(found["records"])
    yield "resident memory, KiB", found["rss_kib"]


if __name__ == "__main__":
    sys.exit(main())

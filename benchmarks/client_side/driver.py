"""What each client in Python does, whatever package it uses; `node/client.mjs` does the same.

    python -m client_side.driver ours 127.0.0.1:8000 events 100 10000

Prints the CPU time and the memory that the client took, as a line of JSON.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

ON_NEWS = "subscription OnNews { onNews { number title author { id name } tags isUrgent } }"
NEWS = "query News($number: Int) { news(number: $number) { number title author { id name } } }"
GO = "query Go($number: Int) { go(number: $number) { number } }"
HOLD = "query Hold($number: Int) { hold(number: $number) { number } }"


_WAVES = 2_000


class Client(Protocol):
    """A connected client of some package."""

    async def query(self, document: str, variables: dict[str, Any]) -> dict[str, Any]:
        """Run a query, return its data."""
        ...

    def subscription(self, document: str) -> AsyncIterator[Any]:
        """Subscribe, return the events, in which fields are looked up."""
        ...


class Package(Protocol):
    """A module beside this one."""

    VERSIONS: dict[str, str]

    def connected(self, url: str) -> AbstractAsyncContextManager[Client]:
        """Connect."""
        ...


async def measure_events(client: Client, operations: int, total: int) -> dict[str, float]:
    """Return µs of CPU for an event, and KiB for a subscription that has had one."""
    for_each = max(1, total // operations)
    warm = max(1, for_each // 10)
    counts = Counts(operations)
    await client.query(NEWS, {"number": 0})
    before = rss_kib()
    tasks = [
        asyncio.create_task(counts.follow(client.subscription(ON_NEWS))) for _ in range(operations)
    ]
    await counts.until(1)
    kib = (rss_kib() - before) / operations
    await client.query(GO, {"number": warm})
    await counts.until(1 + warm)
    gc.collect()
    began = time.process_time()
    await client.query(GO, {"number": for_each})
    await counts.until(1 + warm + for_each)
    seconds = time.process_time() - began
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {"µs": seconds * 1e6 / (for_each * operations), "KiB": kib}


async def measure_queries(client: Client, operations: int, total: int) -> dict[str, float]:
    """Return µs of CPU for a query, and KiB for one that waits for its answer."""
    await client.query(NEWS, {"number": 0})
    before = rss_kib()
    await at_once(client, HOLD, operations)
    kib = (peak_kib() - before) / operations
    waves = max(1, min(_WAVES, total // operations))
    await at_once(client, NEWS, operations)
    gc.collect()
    began = time.process_time()
    for _ in range(waves):
        await at_once(client, NEWS, operations)
    seconds = time.process_time() - began
    return {"µs": seconds * 1e6 / (waves * operations), "KiB": kib}


async def at_once(client: Client, document: str, operations: int) -> None:
    """Run so many queries at the same time, and look at their answers."""
    variables = {"number": operations}
    if operations == 1:
        answers = [await client.query(document, variables)]
    else:
        answers = await asyncio.gather(
            *(client.query(document, variables) for _ in range(operations))
        )
    assert all(answer["news"]["number"] == 1 for answer in answers), "answers are wrong"


class Counts:
    """How many events have come on each of some subscriptions, in the right order."""

    def __init__(self, operations: int) -> None:
        self._operations = operations
        self._events = 0
        self._wanted = 0
        self._reached = asyncio.Event()

    async def follow(self, events: AsyncIterator[Any]) -> None:
        """Count the events of one subscription."""
        previous = -1
        async for event in events:
            number = event["onNews"]["number"]
            # Each `Go` begins with 0 anew.
            assert number in {previous + 1, 0}, f"{number} came behind {previous}"
            previous = number
            self._events += 1
            if self._events == self._wanted:
                self._reached.set()

    async def until(self, events: int) -> None:
        """Wait until each subscription has had so many events."""
        self._wanted = events * self._operations
        if self._events < self._wanted:
            await self._reached.wait()
        self._reached.clear()


def rss_kib() -> float:
    """Return the resident memory of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def peak_kib() -> float:
    """Return the most that it has been so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


async def _main(package: Package, address: str, kind: str, operations: int, total: int) -> None:
    measure = measure_events if kind == "events" else measure_queries
    async with package.connected(f"ws://{address}/graphql/") as client:
        figures = await measure(client, operations, total)
    versions = {"python": sys.version.split()[0], **package.VERSIONS}
    print(json.dumps({"figures": figures, "versions": versions}), flush=True)


if __name__ == "__main__":
    chosen: Any = importlib.import_module(f"client_side.{sys.argv[1]}")
    asyncio.run(_main(chosen, sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))

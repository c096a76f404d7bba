"""What one delivered notification costs, and how long the last receiver waits for it."""

from __future__ import annotations

import asyncio
import json
import time
from itertools import pairwise
from statistics import quantiles
from typing import Any

from load import Crowd, wide_awake
from servers.events import root_field
from websocket_client import WebSocketClient

from measures.stage import Figures, Setting, Stage

BURST_AT = 200
BURST = 10
LEAST_EVENTS = 2
WARM_UP = 3


class FanOut(Stage):
    """µs of the server's CPU for each delivered notification, and wall time."""

    most_events = 2_000

    async def prepare(self) -> None:
        """Gather the crowd, and see what an event costs."""
        self.crowd = await self.gather()
        # With few receivers the request to broadcast must not be a large part of the cost.
        self.burst = BURST if self.setting.audience.subscriptions <= BURST_AT else 1
        before, spent, events = self.server.cpu_seconds(), 0.0, 0
        # Long enough for a compiler that works while the program runs, too.
        while events < WARM_UP or spent < self.setting.budget:
            await self.crowd.fire()
            events += 1
            spent = self.server.cpu_seconds() - before
        each = spent / events
        self.events = max(LEAST_EVENTS, min(self.most_events, int(self.setting.budget / each)))

    async def gather(self) -> Crowd:
        """Gather the crowd."""
        return await Crowd.gather(self.server.port, self.setting.audience)

    async def round(self) -> Figures:
        """Broadcast, each time when everybody has what was before."""
        async with wide_awake():
            return self.figures(*await self.fire())

    async def fire(self) -> tuple[int, float, float]:
        """Broadcast; return the deliveries, the seconds of CPU, and those of the clock."""
        before, start = self.server.cpu_seconds(), time.perf_counter()
        times = -(-self.events // self.burst)
        for _ in range(times):
            await self.crowd.fire(self.burst)
        cpu = self.server.cpu_seconds() - before
        return self.crowd.deliveries(times * self.burst), cpu, time.perf_counter() - start

    @staticmethod
    def figures(deliveries: int, cpu: float, wall: float) -> Figures:
        """Return what a notification costs, in µs."""
        return {"cpu": 1e6 * cpu / deliveries, "wall": 1e6 * wall / deliveries}

    async def finish(self) -> Figures:
        """See that nothing more arrives, and what a notification costs the load generator."""
        before, start = time.process_time(), time.perf_counter()
        deliveries, _, _ = await self.fire()
        load = time.process_time() - before
        busy = load / (time.perf_counter() - start)
        await self.crowd.settle()
        return {"load": 1e6 * load / deliveries, "busy": 100 * busy}

    def disperse(self) -> None:
        """Let go of the clients."""
        self.crowd.disperse()


class Latency(FanOut):
    """ms from the request to broadcast until the last receiver has the event."""

    least, most = 10, 100

    async def round(self) -> Figures:
        """Broadcast events one by one."""
        async with wide_awake():
            count = max(self.least, min(self.most, self.events))
            times = [1e3 * await self.crowd.fire() for _ in range(count)]
        return {"p50": _percentile(times, 50), "p99": _percentile(times, 99), "max": max(times)}


class KeepAlive(FanOut):
    """ms that another client's ping waits while an event goes to everybody."""

    events_at_once = 3

    async def prepare(self) -> None:
        """Gather the crowd, and the other client."""
        await super().prepare()
        self.pinger = await WebSocketClient.connect(self.server.port)
        await self.pinger.initialize()

    async def round(self) -> Figures:
        """Ping one time after another while events go out."""
        times: list[float] = []

        async def ping() -> None:
            while True:
                start = time.perf_counter()
                await self.pinger.fence()
                times.append(1e3 * (time.perf_counter() - start))
                await asyncio.sleep(0)

        pinging = asyncio.create_task(ping())
        for _ in range(self.events_at_once):
            await self.crowd.fire()
        pinging.cancel()
        await asyncio.gather(pinging, return_exceptions=True)
        return {"p50": _percentile(times, 50), "p99": _percentile(times, 99), "max": max(times)}

    def disperse(self) -> None:
        """Let go of the clients."""
        super().disperse()
        self.pinger.drop()


class Stalling(WebSocketClient):
    """A subscriber that stops to read, and keeps what it has heard."""

    def __init__(self) -> None:
        super().__init__()
        self.seqs: list[int] = []
        self.field = ""

    async def subscribe(self, setting: Setting) -> None:
        """Subscribe, and wait until the server says so."""
        audience = setting.audience
        self.field = root_field(audience.operation)
        self.send({"type": "subscribe", "id": "1", "payload": audience.request(0)})
        await self.expect("next")

    def text_received(self, text: bytes, frame: bytes) -> None:
        """Keep the number of an event."""
        message = json.loads(text)
        match message:
            case {"type": "next", "payload": {"data": {**data}}} if self._seq(data) >= 0:
                self.seqs.append(self._seq(data))
            case _:
                self.messages.put_nowait(message)

    def _seq(self, data: dict[str, Any]) -> int:
        """Return the number of an event; that of the first answer is negative."""
        seq: int = data[self.field]["seq"]
        return seq


class SlowReader(FanOut):
    """What one that does not read costs the others, and how much memory."""

    most_events = 300

    async def prepare(self) -> None:
        """Gather the crowd, and the one who will not read."""
        await super().prepare()
        buffer = self.setting.options["send_buffer"]
        self.slow = await Stalling.connect(self.server.port, receive_buffer=buffer)
        await self.slow.initialize()
        await self.slow.subscribe(self.setting)
        self.events = self.setting.options["events"]

    async def round(self) -> Figures:
        """Broadcast while it reads, and as often while it does not."""
        async with wide_awake():
            reading = self.figures(*await self.fire())
            self.slow.transport.pause_reading()
            before = self.server.rss_kib()
            stalled = self.figures(*await self.fire())
            growth = self.server.rss_kib() - before
            self.slow.transport.resume_reading()
            await self.slow.fence()
        return {
            "cpu": stalled["cpu"],
            "reading": reading["cpu"],
            "times": stalled["cpu"] / reading["cpu"],
            "growth": growth,
        }

    async def finish(self) -> Figures:
        """See that it heard what it heard in order, and once."""
        figures = await super().finish()
        await self.slow.fence()
        seqs = self.slow.seqs
        in_order = all(one < other for one, other in pairwise(seqs))
        return figures | {"in order": 100.0 * in_order}

    def disperse(self) -> None:
        """Let go of the clients."""
        super().disperse()
        self.slow.drop()


def _percentile(values: list[float], percent: int) -> float:
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]

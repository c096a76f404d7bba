"""What it costs to take a client in, and how much memory it is while it is there."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace

from load import Crowd

from measures.stage import Figures, Stage, calm

WARM_UP = 64


class Arrivals(Stage):
    """µs of the server's CPU to connect, initialise, subscribe, and have a first event."""

    async def prepare(self) -> None:
        """Let some come and go."""
        await self._wave(WARM_UP)

    async def round(self) -> Figures:
        """Let all come; they leave when the clock has stopped."""
        return await self._wave(self.setting.audience.connections)

    async def _wave(self, count: int) -> Figures:
        audience = replace(self.setting.audience, connections=count)
        before, start = self.server.cpu_seconds(), time.perf_counter()
        crowd = await Crowd.gather(self.server.port, audience)
        await crowd.fire()
        cpu, wall = self.server.cpu_seconds() - before, time.perf_counter() - start
        await crowd.settle()
        crowd.disperse()
        await asyncio.sleep(0)
        await calm(self.server)
        return {"cpu": 1e6 * cpu / count, "wall": 1e6 * wall / count}


class Memory(Stage):
    """KiB for each connection with one subscription that has heard an event."""

    async def start(self, stack: AsyncExitStack) -> None:
        """Start nothing: each round has a server of its own, which has no room left over."""

    async def round(self) -> Figures:
        """Look at a server before and after everybody came."""
        async with self.serve() as server:
            few = replace(self.setting.audience, connections=WARM_UP)
            early = await Crowd.gather(server.port, few)
            await early.fire()
            await early.door.collect()
            before = server.rss_kib()
            crowd = await Crowd.gather(server.port, self.setting.audience)
            await early.door.collect()
            grown = server.rss_kib() - before
            await crowd.settle()
            for one in (crowd, early):
                one.disperse()
            self.check_logs()
            self.forget_servers()
        return {"kib": grown / self.setting.audience.connections}

"""A fan-out through Redis: one process broadcasts, the other one has the subscribers."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from load import Crowd
from processes import running_redis

from measures.fanout import FanOut
from measures.stage import Figures


class TwoProcesses(FanOut):
    """The cost for the process that delivers, for the one that broadcasts, and for Redis."""

    async def start(self, stack: AsyncExitStack) -> None:
        """Start Redis and both processes."""
        assert self.setting.redis is not None
        redis = running_redis(self.setting.redis, self.setting.load_cpu)
        self.redis = await stack.enter_async_context(redis)
        wishes = {"layer": self.setting.options["layer"], "redis": self.redis}
        self.server = await stack.enter_async_context(self.serve(**wishes))
        publisher = self.serve(cpu=self.setting.load_cpu, **wishes)
        self.publisher = await stack.enter_async_context(publisher)

    async def gather(self) -> Crowd:
        """Gather the crowd at one process, and the door at the other."""
        return await Crowd.gather(
            self.server.port, self.setting.audience, publisher=self.publisher.port
        )

    async def round(self) -> Figures:
        """Broadcast. The load sleeps when it can: its core is Redis's and the publisher's too."""
        commands, before = await self._commands(), self.publisher.cpu_seconds()
        figures = self.figures(*await self.fire())
        events = -(-self.events // self.burst) * self.burst
        publisher = 1e6 * (self.publisher.cpu_seconds() - before) / events
        commands = await self._commands() - commands - 1
        return figures | {"publisher": publisher, "commands": commands / events}

    async def _commands(self) -> int:
        address = urlsplit(self.redis)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(b"INFO stats\r\n")
        size = int((await reader.readline())[1:])
        text = (await reader.readexactly(size)).decode()
        writer.close()
        return int(text.partition("total_commands_processed:")[2].split()[0])

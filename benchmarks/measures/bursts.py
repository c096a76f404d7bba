"""What of many broadcasts back to back arrives, and in which order."""

from __future__ import annotations

import asyncio

from door import Door

from measures.fanout import Stalling
from measures.stage import Figures, Stage

QUIET = 2.0
"""Seconds without news after which nothing more is expected."""


class Bursts(Stage):
    """Percent of the notifications that arrive."""

    async def prepare(self) -> None:
        """Let everybody subscribe."""
        self.clients = []
        for _ in range(self.setting.audience.connections):
            client = await Stalling.connect(self.server.port)
            await client.initialize()
            await client.subscribe(self.setting)
            self.clients.append(client)
        self.door = await Door.open(self.server.port)

    async def round(self) -> Figures:
        """Broadcast everything at once, and wait until there is quiet."""
        count: int = self.setting.options["events"]
        for client in self.clients:
            client.seqs.clear()
        firing = asyncio.create_task(
            self.door.fire(
                self.setting.audience.operation,
                first=0,
                count=count,
                how=self.setting.options["how"],
            )
        )
        await self._quiet(count)
        await firing
        heard = [client.seqs for client in self.clients]
        delivered = sum(len(set(seqs)) for seqs in heard) / (count * len(heard))
        in_order = all(seqs == sorted(set(seqs)) for seqs in heard)
        return {"delivered": 100 * delivered, "in order": 100.0 * in_order}

    async def _quiet(self, count: int) -> None:
        before, now = -1, 0
        while before < now < count * len(self.clients):
            await asyncio.sleep(QUIET)
            before, now = now, sum(len(client.seqs) for client in self.clients)

    def disperse(self) -> None:
        """Let go of the clients."""
        for client in self.clients:
            client.drop()
        self.door.close()

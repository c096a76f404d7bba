"""What a query costs, and what a subscription that comes and goes on one connection."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from load import Audience, Crowd, DeliveryError, wide_awake
from servers.events import DOCUMENTS, ITEMS
from websocket_client import WebSocketClient

from measures.stage import Figures, Stage

TIMEOUT = 120.0
WARM_UP = 200
MOST = 20_000


class Asker(WebSocketClient):
    """A client that keeps so many operations in flight until enough are done."""

    def __init__(self) -> None:
        super().__init__()
        self._done = asyncio.get_running_loop().create_future()
        self._to_start = 0
        self._to_end = 0

    async def work(self, count: int, window: int) -> None:
        """Work off so many operations."""
        self._done = asyncio.get_running_loop().create_future()
        self._to_start, self._to_end = count, count
        for _ in range(min(window, count)):
            self.start(str(self._to_start))
        async with asyncio.timeout(TIMEOUT):
            await self._done

    def start(self, id: str) -> None:
        """Send one more."""
        self._to_start -= 1
        self.send({"type": "subscribe", "id": id, "payload": self.request(self._to_start)})

    def request(self, number: int) -> dict[str, Any]:
        """Return what to ask for."""
        raise NotImplementedError

    def ended(self, id: str) -> None:
        """One has come to its end."""
        self._to_end -= 1
        if self._to_start:
            self.start(id)
        elif not self._to_end and not self._done.done():
            self._done.set_result(None)

    def failed(self, fault: str) -> None:
        """Give up."""
        if not self._done.done():
            self._done.set_exception(DeliveryError(fault))


class Querying(Asker):
    """Asks for ten objects of five fields."""

    def __init__(self) -> None:
        super().__init__()
        self._known_answers: set[bytes] = set()
        self._known_ends: dict[bytes, str] = {}
        self._answered: set[str] = set()

    def request(self, number: int) -> dict[str, Any]:
        """Return the query."""
        return {"operationName": "Items", "query": DOCUMENTS["Items"], "variables": None}

    def text_received(self, text: bytes, frame: bytes) -> None:
        """Check an answer."""
        if frame in self._known_answers:
            return
        if (id := self._known_ends.get(frame)) is not None:
            self.ended(id)
            return
        match json.loads(text):
            case {"type": "next", "payload": {"data": {"items": items}}} if items == ITEMS:
                self._known_answers.add(frame)
            case {"type": "complete", "id": str(id)}:
                self._known_ends[frame] = id
                self.ended(id)
            case {"type": "connection_ack" | "pong"} as message:
                self.messages.put_nowait(message)
            case message:
                self.failed(f"unexpected answer {message}")


class Pairing(Asker):
    """Subscribes, and stops each subscription when it is live."""

    audience = Audience("OnPersonal", 1, "client")

    def __init__(self) -> None:
        super().__init__()
        self._number = 0
        self.heard_after_the_end = 0

    def request(self, number: int) -> dict[str, Any]:
        """Return a subscription with variables of its own."""
        return self.audience.request(number)

    def start(self, id: str) -> None:
        """Send one more, under a new id."""
        self._number += 1
        super().start(f"pair {self._number}")

    def text_received(self, text: bytes, frame: bytes) -> None:
        """Stop what is live."""
        match json.loads(text):
            case {"type": "next"} if self._done.done():
                self.heard_after_the_end += 1
            case {"type": "next", "id": id}:
                self.send({"type": "complete", "id": id})
                self.ended(id)
            case {"type": "complete"}:
                pass
            case {"type": "connection_ack" | "pong"} as message:
                self.messages.put_nowait(message)
            case message:
                self.failed(f"unexpected answer {message}")


class _Asking(Stage):
    client_class: type[Asker]

    async def prepare(self) -> None:
        """Connect, and see what one costs."""
        self.client = await self.client_class.connect(self.server.port)
        await self.client.initialize()
        self.window: int = self.setting.options["in_flight"]
        before, spent, count = self.server.cpu_seconds(), 0.0, 0
        # Long enough for a compiler that works while the program runs, too.
        while spent < self.setting.budget:
            await self.client.work(WARM_UP, self.window)
            count += WARM_UP
            spent = self.server.cpu_seconds() - before
        each = spent / count
        self.count = max(WARM_UP, min(MOST, int(self.setting.budget / each)))

    async def round(self) -> Figures:
        """Work off as many as the budget allows."""
        await self.client.fence()
        before, start = self.server.cpu_seconds(), time.perf_counter()
        async with wide_awake():
            await self.client.work(self.count, self.window)
        await self.client.fence()
        cpu, wall = self.server.cpu_seconds() - before, time.perf_counter() - start
        return {"cpu": 1e6 * cpu / self.count, "wall": 1e6 * wall / self.count}

    def disperse(self) -> None:
        """Let go of the client."""
        self.client.drop()


class Queries(_Asking):
    """µs of the server's CPU for one query."""

    client_class = Querying


class Pairs(_Asking):
    """µs of the server's CPU for `subscribe`, its first answer, and `complete`."""

    client_class = Pairing

    async def finish(self) -> Figures:
        """See that nothing of the subscriptions is left."""
        crowd = await Crowd.gather(self.server.port, Audience("OnPersonal", 1, "client"))
        await crowd.fire()
        await crowd.settle()
        await self.client.fence()
        crowd.disperse()
        if self.client.heard_after_the_end:
            raise DeliveryError("an event arrived for a subscription that was stopped")
        return {}

"""The load: a crowd of subscribers on one event loop, which checks all it hears.

A frame that is equal, byte for byte, to one that was found right is right as well; so most frames
cost the load a comparison, and none goes unchecked.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from door import Door
from servers.events import DOCUMENTS, event, root_field
from websocket_client import WebSocketClient

CONNECTING_AT_ONCE = 64
DELIVERY_TIMEOUT = 180.0


class DeliveryError(Exception):
    """A subscriber did not get each event exactly once, in order, with the right content."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Who subscribes to what.

    Attributes:
        operation: the name of a document.
        connections: how many clients.
        variable: the variable which tells subscriptions apart, if there is one.
        per_connection: subscriptions of each client.
        one_in: a subscription hears one event of so many.
        size: characters of text in an event.
    """

    operation: str
    connections: int
    variable: str | None = None
    per_connection: int = 1
    one_in: int = 1
    size: int = 0

    @property
    def subscriptions(self) -> int:
        """How many there are, all clients together."""
        return self.connections * self.per_connection

    @property
    def rooms(self) -> int:
        """How many groups are broadcast to; 0 is the one of the class."""
        return self.subscriptions if self.variable == "room" else 0

    def request(self, number: int) -> dict[str, Any]:
        """Return what subscription `number` asks for."""
        return {
            "operationName": self.operation,
            "query": DOCUMENTS[self.operation],
            "variables": {self.variable: number} if self.variable else None,
        }

    def message(self, id: str, seq: int) -> dict[str, Any]:
        """Return the notification of an event."""
        data = {root_field(self.operation): event(seq, self.size)}
        return {"id": id, "type": "next", "payload": {"data": data}}


class Tally:
    """What a crowd shares: which frames are known to be right, and how many still wait."""

    def __init__(self, audience: Audience) -> None:
        self.audience = audience
        self.known_frames: dict[int, bytes] = {}
        self.fault: str | None = None
        self._missing = 0
        self._complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def expect(self, deliveries: int) -> None:
        """Wait, from now on, for so many notifications more."""
        self.known_frames.clear()
        self._missing = deliveries
        self._complete = asyncio.get_running_loop().create_future()

    def arrived(self) -> None:
        """Count a notification that was the right one."""
        self._missing -= 1
        if self._missing == 0:
            self._wake()

    def failed(self, fault: str) -> None:
        """Record the first fault and wake who waits."""
        if self.fault is None:
            self.fault = fault
        self._wake()

    async def complete(self) -> None:
        """Wait until everybody has heard everything."""
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT):
                await self._complete
        except TimeoutError:
            raise DeliveryError(f"{self._missing} notifications did not arrive") from None
        self.check()

    def check(self) -> None:
        """Raise what went wrong so far, if anything did."""
        if self.fault is not None:
            raise DeliveryError(self.fault)

    def _wake(self) -> None:
        if not self._complete.done():
            self._complete.set_result(None)


class Subscriber(WebSocketClient):
    """One client, which compares what it hears with what was broadcast."""

    def __init__(self) -> None:
        super().__init__()
        self.tally: Tally
        self.is_live = False
        self._waiting: set[str] = set()
        self._next_seqs: dict[str, int] = {}
        self._next_seq = 0
        self._step = 1

    async def subscribe(self, tally: Tally, number: int) -> None:
        """Subscribe, and wait until the server says that the subscription is live."""
        audience = tally.audience
        self.tally = tally
        self._step = audience.one_in
        first = number * audience.per_connection
        ids = [str(1 + index) for index in range(audience.per_connection)]
        self._waiting = set(ids)
        self._next_seqs = dict.fromkeys(ids, first % audience.one_in)
        self._next_seq = self._next_seqs[ids[0]]
        for index, id in enumerate(ids):
            payload = audience.request(first + index)
            self.send({"type": "subscribe", "id": id, "payload": payload})
        await self.expect("live")

    def data_received(self, data: bytes) -> None:
        """Count a frame that is already known to be right, and look closer at all others."""
        known = self.is_live and data == self.tally.known_frames.get(self._next_seq)
        if known and not self._buffer:
            self._next_seq += self._step
            self.tally.arrived()
        else:
            super().data_received(data)

    def text_received(self, text: bytes, frame: bytes) -> None:
        """Compare a notification with the event that must come next."""
        if self.is_live and frame == self.tally.known_frames.get(self._next_seq):
            self._next_seq += self._step
            self.tally.arrived()
            return
        message = json.loads(text)
        if message["type"] != "next":
            self.take(message)
        elif self._waiting:
            self._waiting.discard(message["id"])
            if not self._waiting:
                # With several subscriptions no frame is the same for all of them.
                self.is_live = len(self._next_seqs) == 1
                self.messages.put_nowait({"type": "live"})
        else:
            self._compare(message, frame)

    def connection_lost(self, exc: Exception | None) -> None:
        """Report a connection which the server ended."""
        super().connection_lost(exc)
        if self._next_seqs:
            self.tally.failed(f"a connection was lost: {exc!r}, close code {self._close_code}")

    def _compare(self, message: dict[str, Any], frame: bytes) -> None:
        id = message["id"]
        if id not in self._next_seqs:
            self.tally.failed(f"expected none of operation {id!r}, got {str(message)[:300]}")
            return
        seq = self._next_seq if self.is_live else self._next_seqs[id]
        expected = self.tally.audience.message(id, seq)
        if not _same_json(message, expected):
            self.tally.failed(f"expected {expected}, got {str(message)[:300]}")
            return
        if self.is_live:
            self.tally.known_frames[seq] = frame
            self._next_seq += self._step
        else:
            self._next_seqs[id] += self._step
        self.tally.arrived()


class Crowd:
    """An audience that is there, and the door through which it makes the server broadcast."""

    def __init__(self, subscribers: list[Subscriber], door: Door, tally: Tally) -> None:
        self.subscribers = subscribers
        self.door = door
        self._tally = tally
        self._next_seq = 0

    @classmethod
    async def gather(cls, port: int, audience: Audience, *, publisher: int | None = None) -> Crowd:
        """Connect and initialise all clients and subscribe them, until all are live.

        Args:
            port: where to subscribe.
            audience: who subscribes to what.
            publisher: the port of another server, the one that broadcasts.
        """
        turnstile = asyncio.Semaphore(CONNECTING_AT_ONCE)
        tally = Tally(audience)

        async def arrive(number: int) -> Subscriber:
            async with turnstile:
                client = await Subscriber.connect(port)
                await client.initialize()
                await client.subscribe(tally, number)
                return client

        subscribers = await asyncio.gather(*map(arrive, range(audience.connections)))
        return cls(list(subscribers), await Door.open(publisher or port), tally)

    @property
    def audience(self) -> Audience:
        """Who they are."""
        return self._tally.audience

    def deliveries(self, count: int) -> int:
        """Return how many notifications so many events are."""
        return count * self.audience.subscriptions // self.audience.one_in

    async def fire(self, count: int = 1) -> float:
        """Have the server broadcast, wait until everybody has it, and return the seconds."""
        audience = self.audience
        self._tally.expect(self.deliveries(count))
        first, self._next_seq = self._next_seq, self._next_seq + count
        start = time.perf_counter()
        await self.door.fire(
            audience.operation,
            first=first,
            count=count,
            rooms=audience.rooms,
            size=audience.size,
        )
        await self._tally.complete()
        return time.perf_counter() - start

    async def settle(self) -> None:
        """Make sure that nothing more was on its way to anybody."""
        await asyncio.gather(*(subscriber.fence() for subscriber in self.subscribers))
        self._tally.check()

    def disperse(self) -> None:
        """Leave without a word."""
        for client in self.subscribers:
            client.drop()
        self.door.close()


@contextlib.asynccontextmanager
async def wide_awake() -> AsyncGenerator[None, None]:
    """Keep the event loop from sleeping, for the time of the block.

    To wake a process that sleeps on another core is work for the one who sends, on this loopback
    interface and nowhere else: the slower a server sends, the more often it would pay for that.
    """

    async def poll() -> None:
        while True:  # noqa: ASYNC110 (to be busy is the purpose)
            await asyncio.sleep(0)

    polling = asyncio.create_task(poll())
    try:
        yield
    finally:
        polling.cancel()


def _same_json(one: object, other: object) -> bool:
    """Compare as JSON does: `True` is not `1`."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

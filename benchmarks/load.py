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

from servers.events import FIRE, SUBSCRIBE, event
from websocket_client import WebSocketClient

SUBSCRIPTION_ID = "1"
CONNECTING_AT_ONCE = 64
WARM_UP_ATTEMPTS = 20
WARM_UP_TIMEOUT = 5.0
DELIVERY_TIMEOUT = 120.0


class DeliveryError(Exception):
    """A subscriber did not get each event exactly once, in order, with the right content."""


class Tally:
    """What a crowd shares: which frames are known to be right, and how many still wait."""

    def __init__(self) -> None:
        self.known_frames: dict[int, bytes] = {}
        self.last_seq = -1
        self.fault: str | None = None
        self._missing = 0
        self._complete: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def announce(self, last_seq: int, subscribers: int) -> None:
        """Wait, from now on, until so many subscribers have heard this event."""
        self.known_frames.clear()
        self.last_seq = last_seq
        self._missing = subscribers
        self._complete = asyncio.get_running_loop().create_future()

    def arrived(self) -> None:
        """Count a subscriber that has heard the last event."""
        self._missing -= 1
        if self._missing == 0:
            self._wake()

    def failed(self, fault: str) -> None:
        """Record the first fault and wake who waits."""
        if self.fault is None:
            self.fault = fault
        self._wake()

    async def complete(self, timeout: float) -> None:
        """Wait until everybody has heard everything."""
        try:
            async with asyncio.timeout(timeout):
                await self._complete
        except TimeoutError:
            raise DeliveryError(f"{self._missing} subscribers did not hear everything") from None
        self.check()

    def check(self) -> None:
        """Raise what went wrong so far, if anything did."""
        if self.fault is not None:
            raise DeliveryError(self.fault)

    def _wake(self) -> None:
        if not self._complete.done():
            self._complete.set_result(None)


class Subscriber(WebSocketClient):
    """One client with one subscription, which compares what it hears with what was broadcast."""

    def __init__(self) -> None:
        super().__init__()
        self.tally = Tally()
        self.next_seq = 0
        self.joining = True

    def join(self, tally: Tally) -> None:
        """Subscribe; what comes is counted in the crowd's tally."""
        self.tally = tally
        self.send({"type": "subscribe", "id": SUBSCRIPTION_ID, "payload": {"query": SUBSCRIBE}})

    def data_received(self, data: bytes) -> None:
        """Count a frame that is already known to be right, and look closer at all others."""
        if data == self.tally.known_frames.get(self.next_seq) and not self._buffer:
            self._heard()
        else:
            super().data_received(data)

    def text_received(self, text: bytes, frame: bytes) -> None:
        """Compare a notification with the event that must come next."""
        message = json.loads(text)
        if message["type"] != "next":
            self.messages.put_nowait(message)
            return
        if self.joining:
            # What was broadcast before the server had this subscription is rightly not heard.
            self.next_seq = max(self.next_seq, message["payload"]["data"]["onEvent"]["seq"])
        if not _same_json(message, _notification(self.next_seq)):
            self.tally.failed(f"expected event {self.next_seq}, got {text[:200]!r}")
            return
        self.tally.known_frames[self.next_seq] = frame
        self._heard()

    def connection_lost(self, exc: Exception | None) -> None:
        """Report a connection which the server ended."""
        super().connection_lost(exc)
        self.tally.failed(f"a connection was lost: {exc!r}, close code {self._close_code}")

    def _heard(self) -> None:
        if self.next_seq == self.tally.last_seq:
            self.tally.arrived()
        self.next_seq += 1


class Crowd:
    """Subscribers of one group, and one more client at whose request the server broadcasts."""

    def __init__(self, subscribers: list[Subscriber], trigger: WebSocketClient) -> None:
        self._subscribers = subscribers
        self._trigger = trigger
        self._tally = Tally()
        self._next_seq = 0

    @classmethod
    async def gather(cls, port: int, size: int) -> Crowd:
        """Connect and initialise this many subscribers and subscribe them all."""
        turnstile = asyncio.Semaphore(CONNECTING_AT_ONCE)

        async def arrive() -> Subscriber:
            async with turnstile:
                client = await Subscriber.connect(port)
                await client.initialize()
                return client

        subscribers = await asyncio.gather(*(arrive() for _ in range(size)))
        trigger = await WebSocketClient.connect(port)
        await trigger.initialize()
        crowd = cls(subscribers, trigger)
        for subscriber in subscribers:
            subscriber.join(crowd._tally)
        return crowd

    async def warm_up(self) -> float:
        """Broadcast until everybody hears it; return the seconds one event takes to reach all."""
        for _ in range(WARM_UP_ATTEMPTS):
            self._announce(count=1)
            await self._request(count=1, burst=1, pause=0.0)
            try:
                await self._tally.complete(WARM_UP_TIMEOUT)
                break
            except DeliveryError:
                self._tally.check()
        else:
            raise DeliveryError("not everybody could be subscribed")
        for subscriber in self._subscribers:
            subscriber.joining = False
        return max([await self._one_event() for _ in range(3)])

    async def fire(self, count: int, *, burst: int = 1, pause: float = 0.0) -> int:
        """Have the server broadcast, wait until everybody has it, and return the deliveries."""
        self._announce(count)
        async with _wide_awake():
            await self._request(count, burst, pause)
            await self._tally.complete(DELIVERY_TIMEOUT)
        return count * len(self._subscribers)

    async def settle(self) -> None:
        """Make sure that nothing more was on its way to anybody."""
        await asyncio.gather(*(subscriber.fence() for subscriber in self._subscribers))
        self._tally.check()

    def disperse(self) -> None:
        """Leave without a word."""
        for client in [*self._subscribers, self._trigger]:
            client.drop()

    async def _one_event(self) -> float:
        start = time.perf_counter()
        await self.fire(count=1)
        return time.perf_counter() - start

    def _announce(self, count: int) -> None:
        self._tally.announce(self._next_seq + count - 1, len(self._subscribers))

    async def _request(self, count: int, burst: int, pause: float) -> None:
        variables = {"first": self._next_seq, "count": count, "burst": burst, "pause": pause}
        self._next_seq += count
        payload = {"query": FIRE, "variables": variables}
        self._trigger.send({"type": "subscribe", "id": "fire", "payload": payload})
        answer = await self._trigger.expect("next", timeout=DELIVERY_TIMEOUT)
        if answer["payload"] != {"data": {"fire": {"ok": True}}}:
            raise DeliveryError(f"the broadcast failed: {answer}")
        await self._trigger.expect("complete")


@contextlib.asynccontextmanager
async def _wide_awake() -> AsyncGenerator[None, None]:
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


def _notification(seq: int) -> dict[str, object]:
    payload = {"data": {"onEvent": event(seq)}}
    return {"id": SUBSCRIPTION_ID, "type": "next", "payload": payload}


def _same_json(one: object, other: object) -> bool:
    """Compare as JSON does: `True` is not `1`."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)

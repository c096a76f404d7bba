"""Clients that come, read, stall, leave and come back where they were."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from soak_account import Account
from websocket_client import WebSocketClient, WebSocketError

FIELDS: Final = {"own": "onOwn", "shared": "onShared", "live": "onLive"}
SMALL_BUFFER: Final = 16_384
ANSWER_TIMEOUT: Final = 20.0
LONGEST_WAIT: Final = 2.0
STALLS_AT_MOST: Final = 4.0


class Connection(WebSocketClient):
    """One connection of a seat; only messages of its present operation count."""

    def __init__(self) -> None:
        super().__init__()
        self.seat: Seat | None = None
        self.operation = 0

    def read_on(self) -> None:
        """Read as everybody does."""
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def take(self, message: dict[str, Any]) -> None:
        """Hand results on at once: there are many."""
        if self.seat is None or "id" not in message:
            super().take(message)
        elif message["id"] == str(self.operation):
            self.seat.take(message)


class Seat:
    """One client over all of its connections.

    Args:
        room: what it subscribes to; the name begins with a key of `FIELDS`.
        ports: those of the servers; they change when a server is started again.
        stay: seconds after which it does something, on the average.
        is_slow: whether it stops to read now and then.
        door: lets some clients in at a time.
        chance: random numbers.
    """

    def __init__(
        self,
        room: str,
        ports: Callable[[], Sequence[int]],
        *,
        stay: float,
        is_slow: bool,
        door: asyncio.Semaphore,
        chance: random.Random,
    ) -> None:
        self.room = room
        self.account = Account()
        self.closes: Counter[str] = Counter()
        self.comes = 0
        self.is_live = False
        self.is_calm = False
        self._kind = room.partition("-")[0]
        self._ports = ports
        self._stay = stay
        self._is_slow = is_slow
        self._door = door
        self._chance = chance
        self._cursor: str | None = None
        self._connection: Connection | None = None
        self._confirmed: asyncio.Future[dict[str, Any]] | None = None

    @property
    def has_history(self) -> bool:
        """Return whether the client can recover what it has missed."""
        return self._kind != "live"

    async def run(self) -> None:
        """Come again and again, until cancelled."""
        failures = 0
        try:
            while True:
                try:
                    connection = await self._come()
                except (WebSocketError, TimeoutError, OSError) as error:
                    failures += 1
                    self.closes[f"refused: {type(error).__name__} {str(error)[:60]}"] += 1
                else:
                    failures = 0
                    await self._live_on(connection)
                self.is_live = False
                longest = min(LONGEST_WAIT, 0.1 * 2.0**failures)
                await asyncio.sleep(self._chance.uniform(0, longest))
        finally:
            if self._connection is not None:
                self._connection.drop()

    def calm_down(self) -> None:
        """Do nothing any more but read, and come back if the connection is lost."""
        self.is_calm = True
        if self._connection is not None:
            self._connection.read_on()

    def take(self, message: dict[str, Any]) -> None:
        """Take a message of the present operation."""
        confirmed = self._confirmed
        if message["type"] != "next":
            error = json.dumps(message.get("payload", ""))[:120]
            if confirmed is not None and not confirmed.done():
                confirmed.set_exception(WebSocketError(f"{message['type']} {error}"))
            elif self._connection is not None:
                self.closes[f"{message['type']} {error}"] += 1
                self._connection.drop()
            return
        payload = message["payload"]
        if confirmed is not None and not confirmed.done():
            confirmed.set_result(payload)
            self._take_confirmation(payload)
            return
        if "errors" in payload:
            self.closes[f"errors {json.dumps(payload['errors'])[:120]}"] += 1
        extensions, data = payload.get("extensions", {}), payload["data"]
        self._cursor = extensions.get("cursor", self._cursor)
        self.account.take(data and data["event"]["number"], extensions)

    def _take_confirmation(self, payload: dict[str, Any]) -> None:
        extensions = payload.get("extensions", {})
        is_first, self._cursor = self._cursor is None, extensions.get("cursor")
        if self._cursor is None and self.comes > 1:
            self.account.came_back(recovered=None)
        elif not is_first:
            self.account.came_back(recovered=extensions["recovered"])

    async def _come(self) -> Connection:
        async with self._door, asyncio.timeout(ANSWER_TIMEOUT):
            port = self._chance.choice(self._ports())
            connection = await Connection.connect(
                port, receive_buffer=SMALL_BUFFER if self._is_slow else None
            )
            self._connection = connection
            try:
                connection.send({"type": "connection_init", "payload": {}})
                await _first(connection.expect("connection_ack"), connection)
                connection.seat = self
                await self._subscribe(connection)
            except BaseException:
                connection.drop()
                raise
        return connection

    async def _subscribe(self, connection: Connection) -> None:
        """Subscribe where we were, and wait for the confirmation."""
        self.comes += 1
        connection.operation += 1
        payload: dict[str, Any] = {
            "query": f"subscription ($room: String!) {{ event: {FIELDS[self._kind]}(room: $room) "
            "{ number text } }",
            "variables": {"room": self.room},
        }
        if self._cursor is not None:
            payload["extensions"] = {"cursor": self._cursor}
        self._confirmed = asyncio.get_running_loop().create_future()
        id = str(connection.operation)
        connection.send({"type": "subscribe", "id": id, "payload": payload})
        await _first(self._confirmed, connection)
        self.is_live = True

    async def _live_on(self, connection: Connection) -> None:
        """Stay until the connection ends, or until it is time to go."""
        while True:
            seconds = None if self.is_calm else self._chance.expovariate(1 / self._stay)
            await asyncio.wait([connection.closed], timeout=seconds)
            if connection.closed.done():
                self.closes[f"closed: {connection.closed.result()}"] += 1
                return
            if self.is_calm:
                continue
            try:
                if await self._act(connection):
                    return
            except (WebSocketError, TimeoutError) as error:
                self.closes[f"refused: {type(error).__name__} {str(error)[:60]}"] += 1
                connection.drop()
                return

    async def _act(self, connection: Connection) -> bool:
        """Do something at random; return whether the connection has ended."""
        if self._is_slow:
            if not connection.transport.is_closing():
                connection.transport.pause_reading()
            await asyncio.sleep(self._chance.uniform(0, STALLS_AT_MOST))
            connection.read_on()
            return False
        match self._chance.randrange(4):
            case 0:
                connection.send({"type": "complete", "id": str(connection.operation)})
                async with asyncio.timeout(ANSWER_TIMEOUT):
                    await self._subscribe(connection)
                return False
            case 1:
                connection.seat = None
                await connection.close()
            case _:
                connection.seat = None
                connection.drop()
        return True


async def _first(answer: Any, connection: Connection) -> Any:
    """Wait for an answer, or for the end of the connection.

    Raises:
        WebSocketError: the connection has ended.
    """
    waiting = asyncio.ensure_future(answer)
    try:
        await asyncio.wait([waiting, connection.closed], return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise WebSocketError(f"closed with {connection.closed.result()}")
        return waiting.result()
    finally:
        waiting.cancel()

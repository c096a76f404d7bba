"""Transports that play the server's part in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from channels_graphql_ws.client.transport import GraphqlWsTransport
from channels_graphql_ws.exceptions import ConnectionClosedError

NEW = "graphql-transport-ws"
LEGACY = "graphql-ws"
SAME_ID = object()

RESULT = {NEW: "next", LEGACY: "data"}
START = {NEW: "subscribe", LEGACY: "start"}
STOP = {NEW: "complete", LEGACY: "stop"}
KEEP_ALIVE = {NEW: "ping", LEGACY: "ka"}


class ScriptedTransport(GraphqlWsTransport):
    """Answers messages as the test says; its `connect` has the predecessor's signature."""

    TIMEOUT = 20

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.connects = 0
        self.disconnects = 0
        self.refusals: list[Exception] = []
        self._script: dict[str, list[dict[str, Any]]] = {}
        self._inbox: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue()

    def answer(self, type: str, *messages: dict[str, Any]) -> None:
        self._script[type] = list(messages)

    def say(self, *messages: dict[str, Any] | Exception) -> None:
        for message in messages:
            self._inbox.put_nowait(message)

    def drop(self, code: int | None = 1006, reason: str = "") -> None:
        """End the connection."""
        self.say(ConnectionClosedError("lost", code, reason))

    def sent_of(self, *types: str) -> list[dict[str, Any]]:
        return [message for message in self.sent if message["type"] in types]

    async def connect(self, timeout: float | None = None) -> None:
        self.connects += 1
        if self._inbox._loop not in {None, asyncio.get_running_loop()}:
            self._inbox = asyncio.Queue()
        if self.refusals:
            raise self.refusals.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)
        for template in self._script.get(message["type"], []):
            answer = dict(template)
            if answer.get("id") is SAME_ID:
                answer["id"] = message["id"]
            self.say(answer)

    async def receive(self, timeout: float | None = None) -> dict[str, Any]:
        async with asyncio.timeout(self.TIMEOUT if timeout is None else timeout):
            message = await self._inbox.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def disconnect(self, timeout: float | None = None) -> None:
        self.disconnects += 1

    async def wait_disconnect(self, timeout: float | None = None) -> dict[str, Any]:
        return {"type": "websocket.close", "code": 4400, "reason": "Bad"}


class AwareTransport(ScriptedTransport):
    """Its `connect` takes the subprotocols, its `disconnect` a code."""

    def __init__(self, chosen: str | None = None) -> None:
        super().__init__()
        self.offered: tuple[str, Sequence[str]] | None = None
        self.codes: list[int] = []
        self._chosen = chosen

    @property
    def subprotocol(self) -> str | None:
        return self._chosen

    async def connect(
        self,
        timeout: float | None = None,
        subprotocol: str = "none",
        subprotocols: Sequence[str] = (),
    ) -> None:
        await super().connect()
        self.offered = (subprotocol, subprotocols)

    async def disconnect(self, timeout: float | None = None, code: int = 0) -> None:
        await super().disconnect()
        self.codes.append(code)


def result(subprotocol: str, id: Any, **payload: Any) -> dict[str, Any]:
    return {"type": RESULT[subprotocol], "id": id, "payload": payload}


def acknowledging(transport: ScriptedTransport | None = None) -> ScriptedTransport:
    """Return a transport whose server takes everybody in."""
    transport = transport or ScriptedTransport()
    transport.answer("connection_init", {"type": "connection_ack"})
    return transport

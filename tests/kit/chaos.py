"""A server with a history, behind a proxy that does to each connection what a test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from support import tick

PROTOCOL = "graphql-transport-ws"

BELOW = "refuse", "status", "cut", "garbage", "freeze", "delay"
"""Faults of the network: the proxy makes them."""

ABOVE = "no ack", "wrong subprotocol", "strangers", "bad message", "twice", "late"
"""Faults of the server."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one connection.

    Attributes:
        kind: one of `BELOW` or `ABOVE`, or "close".
        after: bytes or messages of the server before it does.
        number: HTTP status or close code.
    """

    kind: str
    after: int = 0
    number: int = 0


class Plan:
    """The faults of one connection after another; those that follow have none."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = list(faults)
        self.current: Fault | None = None
        self.connections = 0

    def begin(self) -> Fault | None:
        """Go on to the next connection."""
        self.connections += 1
        self.current = self._faults.pop(0) if self._faults else None
        return self.current

    @property
    def is_over(self) -> bool:
        return not self._faults and self.current is None


class HistoryServer:
    """Numbers events from 0 on, keeps all of them, and replays what comes after a cursor."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._log: list[int] = []
        self._live: dict[asyncio.Queue[int], None] = {}

    def publish(self, number: int) -> None:
        self._log.append(number)
        for queue in self._live:
            queue.put_nowait(number)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        fault = self._plan.current
        kind = "" if fault is None else fault.kind
        protocols = ("mqtt",) if kind == "wrong subprotocol" else (PROTOCOL,)
        connection = _Connection(web.WebSocketResponse(protocols=protocols), fault)
        await connection.socket.prepare(request)
        streams: dict[str, asyncio.Task[None]] = {}
        try:
            async for frame in connection.socket:
                await self._answer(connection, frame.json(), streams)
        except ConnectionError:
            pass
        finally:
            for stream in streams.values():
                stream.cancel()
            await asyncio.gather(*streams.values(), return_exceptions=True)
        return connection.socket

    async def _answer(
        self, connection: _Connection, message: Any, streams: dict[str, asyncio.Task[None]]
    ) -> None:
        match message:
            case {"type": "connection_init"} if connection.kind != "no ack":
                await connection.send({"type": "connection_ack"})
            case {"type": "ping"}:
                await connection.send({"type": "pong"})
            case {"type": "subscribe", "id": id, "payload": payload}:
                if payload["query"].startswith("subscription"):
                    cursor = payload.get("extensions", {}).get("cursor")
                    streams[id] = asyncio.create_task(self._stream(connection, id, cursor))
                else:
                    await connection.next(id, {"data": payload["query"]})
                    await connection.send({"type": "complete", "id": id})
            case {"type": "complete", "id": id} if id in streams:
                streams.pop(id).cancel()
            case _:
                pass

    async def _stream(self, connection: _Connection, id: str, cursor: str | None) -> None:
        queue: asyncio.Queue[int] = asyncio.Queue()
        self._live[queue] = None
        position = len(self._log) if cursor is None else int(cursor)
        missed = self._log[position:]
        with contextlib.suppress(ConnectionError):
            try:
                extensions = {"cursor": str(position)}
                recovered = {} if cursor is None else {"recovered": True}
                await connection.next(id, {"data": None, "extensions": extensions | recovered})
                for number in missed:
                    await connection.next(id, _event(number))
                while True:
                    await connection.next(id, _event(await queue.get()))
            finally:
                del self._live[queue]


def _event(number: int) -> dict[str, Any]:
    return {"data": {"n": number}, "extensions": {"cursor": str(number + 1)}}


class _Connection:
    """One socket of the server, and what goes wrong with it."""

    def __init__(self, socket: web.WebSocketResponse, fault: Fault | None) -> None:
        self.socket = socket
        self.kind = "" if fault is None else fault.kind
        self._fault = fault
        self._sent = 0

    async def next(self, id: str, payload: dict[str, Any]) -> None:
        await self.send({"type": "next", "id": id, "payload": payload})

    async def send(self, message: dict[str, Any]) -> None:
        self._sent += 1
        if self._fault is not None and self._sent > self._fault.after:
            await self._go_wrong(self._fault)
        await self.socket.send_json(message)

    async def _go_wrong(self, fault: Fault) -> None:
        self._fault = None
        match fault.kind:
            case "strangers":
                for id in ("stranger", [], 7, None):
                    await self.socket.send_json({"type": "next", "id": id, "payload": {"data": 1}})
                for _ in range(2000):
                    await self.socket.send_json({"type": "complete", "id": "stranger"})
            case "close":
                await self.socket.close(code=fault.number or 1000)
                raise ConnectionResetError
            case "bad message":
                bad = ['{"type":', "[]", '{"type": 7}', "\x00"][fault.number % 4]
                await self.socket.send_str(bad)
            case "twice":
                await self.socket.send_json({"type": "connection_ack"})
                await self.socket.send_json({"type": "pong"})
            case "late":
                await tick(50)
            case _:
                pass


class ChaosProxy:
    """Hands bytes on between clients and a server, until something is to go wrong.

    Attributes:
        port: where it listens.
    """

    def __init__(self, plan: Plan, upstream: int) -> None:
        self._plan = plan
        self._upstream = upstream
        self._tasks: set[asyncio.Task[Any]] = set()
        self.port = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._carry(self._plan.begin(), reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def stop(self) -> None:
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _carry(
        self, fault: Fault | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if fault is not None and fault.kind == "refuse":
            return
        if fault is not None and fault.kind == "status":
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 {fault.number} No\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"
            writer.write(head.encode())
            await writer.drain()
            return
        below, above = await asyncio.open_connection("127.0.0.1", self._upstream)
        pumps = [
            asyncio.create_task(_pump(reader, above)),
            asyncio.create_task(_pump(below, writer, fault)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            above.transport.abort()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, fault: Fault | None = None
) -> None:
    sent = 0
    while chunk := await reader.read(4096):
        if fault is not None and fault.kind in BELOW and sent + len(chunk) > fault.after:
            before = max(0, fault.after - sent)
            writer.write(chunk[:before])
            await writer.drain()
            chunk = chunk[before:]
            if fault.kind == "cut":
                return
            if fault.kind == "freeze":
                await asyncio.Event().wait()
            if fault.kind == "garbage":
                writer.write(bytes([fault.number % 256]) * 7)
            if fault.kind == "delay":
                await tick(50)
            fault = None
        sent += len(chunk)
        writer.write(chunk)
        await writer.drain()


@contextlib.asynccontextmanager
async def chaos(faults: Sequence[Fault]) -> AsyncIterator[tuple[HistoryServer, str]]:
    """Serve behind a proxy; give the server and the URL of the proxy."""
    plan = Plan(faults)
    server = HistoryServer(plan)
    app = web.Application()
    app.router.add_get("/graphql/", server.handle)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    proxy = ChaosProxy(plan, runner.addresses[0][1])
    listener = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    proxy.port = listener.sockets[0].getsockname()[1]
    try:
        yield server, f"ws://127.0.0.1:{proxy.port}/graphql/"
    finally:
        listener.close()
        await proxy.stop()
        await runner.cleanup()

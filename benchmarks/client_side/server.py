"""Answers prepared texts over `graphql-transport-ws`: what costs is the client.

    python -m client_side.server

Prints its port. A subscription gets one event at once and further ones when the query `Go` asks
for them, many in one piece, so that no client waits for the server. `Hold` is answered when as
many queries wait as its variable says.
"""

from __future__ import annotations

import asyncio
import json
from itertools import islice
from typing import Any

from aiohttp import WSMsgType, web

PROTOCOL = "graphql-transport-ws"

_NEXT = '{"id":"%s","type":"next","payload":{"data":%s}}'
_COMPLETE = '{"id":"%s","type":"complete"}'
_NEWS = (
    '{"onNews":{"number":%d,"title":"What has happened since we last looked","author":{"id":"42",'
    '"name":"Ann Onymous"},"tags":["one","two","three"],"isUrgent":false}}'
)
_IN_ONE_PIECE = 200

_ANSWER = _NEWS.replace("onNews", "news")


class Connection:
    """One client."""

    def __init__(self, socket: web.WebSocketResponse, transport: asyncio.WriteTransport) -> None:
        self._socket = socket
        self._transport = transport
        self._live: list[str] = []
        self._held: list[str] = []

    async def take(self, message: dict[str, Any]) -> None:
        """Answer a message."""
        match message:
            case {"type": "connection_init"}:
                await self._socket.send_str('{"type":"connection_ack"}')
            case {"type": "ping"}:
                await self._socket.send_str('{"type":"pong"}')
            case {"type": "subscribe", "id": id, "payload": payload}:
                await self._start(id, payload["query"], payload.get("variables") or {})
            case _:
                pass

    async def _start(self, id: str, query: str, variables: dict[str, Any]) -> None:
        name = query.split(None, 2)[1]
        if name.startswith("OnNews"):
            self._live.append(id)
            await self._socket.send_str(_NEXT % (id, _NEWS % 0))
        elif name.startswith("Hold"):
            self._held.append(id)
            if len(self._held) == variables["number"]:
                for each in self._held:
                    await self._answer(each)
                self._held.clear()
        else:
            await self._answer(id)
            if name.startswith("Go"):
                await self._publish(variables["number"])

    async def _answer(self, id: str) -> None:
        await self._socket.send_str(_NEXT % (id, _ANSWER % 1))
        await self._socket.send_str(_COMPLETE % id)

    async def _publish(self, events: int) -> None:
        frames = (
            _frame(_NEXT % (id, _NEWS % number)) for number in range(events) for id in self._live
        )
        while piece := b"".join(islice(frames, _IN_ONE_PIECE)):
            self._transport.write(piece)
            while self._transport.get_write_buffer_size():  # noqa: ASYNC110 (of the kernel)
                await asyncio.sleep(0.001)


def _frame(text: str) -> bytes:
    """Return a text frame (RFC 6455, section 5.2), which is longer than 125 bytes."""
    content = text.encode()
    return b"\x81\x7e" + len(content).to_bytes(2) + content


async def _serve(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse(protocols=[PROTOCOL], compress=False)
    await socket.prepare(request)
    transport = request.transport
    assert isinstance(transport, asyncio.WriteTransport)
    connection = Connection(socket, transport)
    async for frame in socket:
        if frame.type == WSMsgType.TEXT:
            await connection.take(json.loads(frame.data))
    return socket


async def _main() -> None:
    app = web.Application()
    app.router.add_get("/graphql/", _serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"port": runner.addresses[0][1]}), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main())

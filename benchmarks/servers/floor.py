"""The floor: a bare ASGI application that sends one prepared text to all of its open connections.

No GraphQL, no Django, no Channels: what is left is the cost of the server and the socket, below
which no package under the same server can come. It speaks just enough `graphql-transport-ws` for
the load generator.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from servers.events import bursts, event

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_subscribers: dict[Send, None] = {}


async def application(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Serve one WebSocket connection."""
    if scope["type"] != "websocket":
        raise NotImplementedError(scope["type"])
    await receive()
    await send({"type": "websocket.accept", "subprotocol": "graphql-transport-ws"})
    try:
        while (frame := await receive())["type"] == "websocket.receive":
            await _answer(json.loads(frame["text"]), send)
    finally:
        _subscribers.pop(send, None)


async def _answer(message: dict[str, Any], send: Send) -> None:
    match message:
        case {"type": "connection_init"}:
            await _send_json(send, {"type": "connection_ack"})
        case {"type": "ping"}:
            await _send_json(send, {"type": "pong"})
        case {"type": "subscribe", "payload": {"variables": {"first": _} as variables}}:
            await _fire(**variables)
            payload = {"data": {"fire": {"ok": True}}}
            await _send_json(send, {"type": "next", "id": message["id"], "payload": payload})
            await _send_json(send, {"type": "complete", "id": message["id"]})
        case {"type": "subscribe"}:
            _subscribers[send] = None
        case _:
            raise ValueError(message)


async def _fire(first: int, count: int, burst: int, pause: float) -> None:
    for sequence in bursts(first, count, burst):
        for seq in sequence:
            await _broadcast(seq)
        await asyncio.sleep(pause)


async def _broadcast(seq: int) -> None:
    payload = {"data": {"onEvent": event(seq)}}
    text = json.dumps({"id": "1", "type": "next", "payload": payload}, separators=(",", ":"))
    for send in list(_subscribers):
        await send({"type": "websocket.send", "text": text})


async def _send_json(send: Send, message: dict[str, Any]) -> None:
    await send({"type": "websocket.send", "text": json.dumps(message)})
